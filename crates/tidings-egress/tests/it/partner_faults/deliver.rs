//! One message to one partner, as a destination's dispatcher has it delivered.

use std::time::Duration;
use tidings_dispatch::{Action, Dispatcher, Hint, Outcome, Settings, Taken};
use tidings_egress::{Attempt, Endpoint, Request};
use tidings_model::{DataSourceId, FailurePolicy, Millis};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

/// Longest wait that `Retry-After` can ask for: shorter than a server's 30 s, so that the table
/// does not take long.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(2);
const RETRY_DELAY: Duration = Duration::from_secs(1);
const NAMESPACE: DataSourceId = DataSourceId(7);

/// What became of a message.
pub(super) struct Delivery {
    pub(super) attempts: Vec<Attempt>,
    /// Whether the dispatcher settled it as delivered.
    pub(super) delivered: bool,
}

impl Delivery {
    /// The names of the attempts' outcomes.
    pub(super) fn outcomes(&self) -> Vec<String> {
        self.attempts.iter().map(crate::partner::outcome).collect()
    }
}

/// Delivers `request` to the one user there is. Each attempt has `deadline`, and takes a permit, if
/// there are any.
pub(super) async fn deliver(
    endpoint: &Endpoint,
    request: &Request,
    deadline: Duration,
    permits: Option<&Semaphore>,
) -> Delivery {
    let mut dispatcher = Dispatcher::new(Settings {
        namespaces: vec![NAMESPACE],
        users_max: 10,
        linger: Duration::ZERO,
        retries: 1,
        retry_delay: RETRY_DELAY,
        after_failure: FailurePolicy::Drop,
        in_flight_max: 1,
        waiting_max: 10,
        paused: false,
    });
    let started = Instant::now();
    let now = || Millis(u64::try_from(started.elapsed().as_millis()).unwrap());
    dispatcher.hint(
        now(),
        &Hint {
            uuid: tidings_model::DeviceUuid::from_number(1).unwrap(),
            seq: 1,
            namespace: NAMESPACE,
            objects: 1,
            removal: false,
        },
    );
    let mut attempts = Vec::new();
    loop {
        let Some(action) = dispatcher.poll(now()) else {
            let wakeup = dispatcher.next_wakeup(now()).expect("it is not done");
            sleep(Duration::from_millis(
                wakeup.0.saturating_sub(now().0).max(1),
            ))
            .await;
            continue;
        };
        match action {
            Action::Rescan => dispatcher.rescanned(true),
            Action::Take {
                kind,
                namespace,
                users,
            } => {
                let taken = users.into_iter().map(|uuid| Taken {
                    uuid,
                    seq: 1,
                    objects: [()].into(),
                    removal: false,
                });
                dispatcher.taken(kind, namespace, taken.collect());
            }
            Action::Send { message, .. } | Action::Retry { message } => {
                let permit = match permits {
                    Some(permits) => Some(permits.acquire().await.unwrap()),
                    None => None,
                };
                let attempt = endpoint.post(request, deadline).await;
                drop(permit);
                let outcome = judge(&attempt);
                attempts.push(attempt);
                dispatcher.attempted(now(), message, outcome);
            }
            Action::Settle { users, .. } => {
                return Delivery {
                    attempts,
                    delivered: users.iter().all(tidings_dispatch::SettledUser::delivered),
                };
            }
            Action::BatchPage { .. } | Action::BatchDone => unreachable!("there is no batch"),
        }
    }
}

/// What an attempt means for the dispatcher, as a server has it.
fn judge(attempt: &Attempt) -> Outcome {
    let Ok(response) = &attempt.result else {
        return Outcome::Failed;
    };
    match (response.status, response.retry_after) {
        (200, _) => Outcome::Acknowledged,
        (401 | 403 | 404, _) => Outcome::Refused,
        (429 | 503, Some(pause)) => Outcome::Busy {
            pause: pause.clamp(RETRY_DELAY, RETRY_AFTER_MAX),
        },
        _ => Outcome::Failed,
    }
}
