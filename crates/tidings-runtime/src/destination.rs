//! The task of one destination: it drives a dispatcher and performs what that says.
//!
//! Nothing is shared with other destinations but the writer's queue and the machine: own mailbox,
//! own connections, own bound of messages in flight.

mod batch;

use self::batch::BatchState;
use crate::{
    clock::Clock,
    core::ActiveCatalog,
    inbox::{Inbox, Mail},
    settings::dispatch_settings,
    signing::Signatures,
    stats::{DestinationStats, add},
    writer::{Control, WriterHandle},
};
use bytes::Bytes;
use hashbrown::HashMap;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tidings_dispatch::{Action, Dispatcher, Health, Kind, MessageId};
use tidings_egress::{
    Attempt, Endpoint, Request,
    oauth::{BearerToken, TokenSource},
};
use tidings_model::{DataSourceId, Destination, DeviceUuid, FailurePolicy};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Longest pause that a partner's `Retry-After` can ask for before a retry.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// What a destination's task works with.
pub(crate) struct Outlet {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) token: Option<Arc<TokenSource>>,
    pub(crate) signatures: Signatures,
}

pub(crate) struct DestinationTask {
    destination: Arc<Destination>,
    catalog: Arc<ActiveCatalog>,
    outlet: Outlet,
    dispatcher: Dispatcher<Vec<u8>>,
    inbox: Arc<Inbox>,
    writer: WriterHandle,
    clock: Arc<Clock>,
    stats: Arc<DestinationStats>,
    messages: HashMap<MessageId, Outgoing>,
    attempts: JoinSet<Attempted>,
    /// Where the scan under way goes on.
    scan_from: Option<DeviceUuid>,
    batch: Option<BatchState>,
    spare: Mail,
}

/// A message between its first attempt and its end.
struct Outgoing {
    request: Arc<Request>,
    users: usize,
    /// Why the last attempt failed; `None` before the first and after one that succeeded.
    failure: Option<String>,
}

struct Attempted {
    message: MessageId,
    attempt: Result<Attempt, String>,
}

impl DestinationTask {
    pub(crate) fn new(
        destination: Arc<Destination>,
        catalog: Arc<ActiveCatalog>,
        outlet: Outlet,
        inbox: Arc<Inbox>,
        writer: WriterHandle,
        clock: Arc<Clock>,
        stats: Arc<DestinationStats>,
    ) -> Self {
        let dispatcher = Dispatcher::new(dispatch_settings(&destination));
        Self {
            destination,
            catalog,
            outlet,
            dispatcher,
            inbox,
            writer,
            clock,
            stats,
            messages: HashMap::new(),
            attempts: JoinSet::new(),
            scan_from: None,
            batch: None,
            spare: Mail::default(),
        }
    }

    /// Delivers until `stopping` turns true; then waits for the attempts under way, records their
    /// outcomes and ends. What is not on its way stays in the pending set.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        self.start_batches();
        loop {
            self.begin_batch_if_due();
            self.act();
            let wakeup = self.wakeup();
            self.publish();
            tokio::select! {
                biased;
                _ = stopping.wait_for(|&stop| stop) => break,
                Some(done) = self.attempts.join_next(), if !self.attempts.is_empty() => {
                    self.attempted(done);
                }
                () = self.inbox.arrived() => self.read_mail(),
                () = self.clock.moved(), if self.batch.is_some() => {}
                () = sleep_until(wakeup.unwrap_or_else(Instant::now)), if wakeup.is_some() => {}
            }
        }
        while let Some(done) = self.attempts.join_next().await {
            self.attempted(done);
            self.settle_only();
        }
    }

    fn wakeup(&self) -> Option<Instant> {
        let now = self.clock.millis();
        let look = self.batch.as_ref().map(|_| now.plus(batch::LOOK_EVERY));
        let at = self
            .dispatcher
            .next_wakeup(now)
            .into_iter()
            .chain(look)
            .min()?;
        // A millisecond is the resolution of the clock: wake up just after, not just before.
        Some(Instant::from_std(
            self.clock.instant(at) + Duration::from_micros(500),
        ))
    }

    fn read_mail(&mut self) {
        let mut mail = std::mem::take(&mut self.spare);
        self.inbox.take(&mut mail);
        let now = self.clock.millis();
        for hint in mail.hints.drain(..) {
            self.dispatcher.hint(now, &hint);
        }
        if std::mem::take(&mut mail.lost) {
            self.dispatcher.lost_hints();
        }
        for (kind, namespace, users) in mail.taken.drain(..) {
            self.dispatcher.taken(kind, namespace, users);
        }
        for news in mail.batch.drain(..) {
            self.batch_news(news);
        }
        if let Some(scanned) = mail.scanned.take() {
            for hint in scanned.hints {
                self.dispatcher.hint(now, &hint);
            }
            let complete = scanned.next.is_none();
            self.scan_from = scanned.next;
            self.dispatcher.rescanned(complete);
        }
        self.spare = mail;
    }

    /// Does everything that the dispatcher has to do now.
    fn act(&mut self) {
        while let Some(action) = self.dispatcher.poll(self.clock.millis()) {
            match action {
                Action::Take {
                    kind,
                    namespace,
                    users,
                } => {
                    let destination = self.destination.id;
                    self.writer.control(Control::Take {
                        kind,
                        destination,
                        namespace,
                        users,
                    });
                }
                Action::Send {
                    message,
                    kind: _,
                    namespace,
                    objects,
                } => {
                    self.send(message, namespace, &objects);
                }
                Action::Retry { message } => self.attempt(message),
                Action::Settle {
                    message,
                    kind,
                    namespace,
                    users,
                } => {
                    self.settle(message, kind, namespace, users);
                }
                Action::BatchPage { first } => self.read_batch_page(first),
                Action::BatchDone => self.end_batch(),
                Action::Rescan => {
                    let (destination, after) = (self.destination.id, self.scan_from.clone());
                    self.writer.control(Control::Scan { destination, after });
                }
            }
        }
    }

    /// While stopping: outcomes are recorded, nothing new is begun.
    fn settle_only(&mut self) {
        for action in self.dispatcher.settled() {
            if let Action::Settle {
                message,
                kind,
                namespace,
                users,
            } = action
            {
                self.settle(message, kind, namespace, users);
            }
        }
    }

    fn send(&mut self, message: MessageId, namespace: DataSourceId, objects: &[Vec<u8>]) {
        let now = self.clock.now();
        let Some(format) = self.catalog.format(self.destination.id) else {
            return;
        };
        let body = format.message(now, namespace, objects);
        let request = self.outlet.signatures.sign(now, Bytes::from(body));
        let outgoing = Outgoing {
            request: Arc::new(request),
            users: objects.len(),
            failure: None,
        };
        self.messages.insert(message, outgoing);
        self.attempt(message);
    }

    fn attempt(&mut self, message: MessageId) {
        let Some(outgoing) = self.messages.get(&message) else {
            return;
        };
        let request = Arc::clone(&outgoing.request);
        add(&self.stats.attempts, 1);
        add(&self.stats.bytes_sent, request.body().len());
        let endpoint = Arc::clone(&self.outlet.endpoint);
        let token = self.outlet.token.clone();
        let timeout = self.destination.timeout;
        self.attempts.spawn(async move {
            let attempt = match token {
                None => Ok(endpoint.post(&request, timeout).await),
                Some(source) => post_with_token(&endpoint, &source, &request, timeout).await,
            };
            Attempted { message, attempt }
        });
    }

    fn attempted(&mut self, done: Result<Attempted, tokio::task::JoinError>) {
        let Attempted { message, attempt } = match done {
            Ok(attempted) => attempted,
            // Attempts are never aborted while the task runs, so this is a panic: pass it on.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_aborted) => return,
            },
        };
        let (success, delay) = match &attempt {
            Ok(attempt) => {
                let micros = usize::try_from(attempt.timings.total.as_micros()).unwrap_or(0);
                add(&self.stats.attempt_micros, micros);
                add(&self.stats.attempts_reused, usize::from(attempt.reused));
                match &attempt.result {
                    Ok(response) => (
                        self.destination.success_codes.contains(&response.status),
                        response
                            .retry_after
                            .filter(|_| matches!(response.status, 429 | 503)),
                    ),
                    Err(_) => (false, None),
                }
            }
            Err(_) => (false, None),
        };
        if let Some(outgoing) = self.messages.get_mut(&message) {
            outgoing.failure = (!success).then(|| match &attempt {
                Ok(attempt) => match &attempt.result {
                    Ok(_) => attempt.outcome(),
                    Err(failure) => failure.to_string(),
                },
                Err(failure) => failure.clone(),
            });
        }
        let delay = delay.map(|delay| delay.clamp(self.destination.retry_delay, RETRY_AFTER_MAX));
        self.dispatcher
            .attempted(self.clock.millis(), message, success, delay);
    }

    fn settle(
        &mut self,
        message: MessageId,
        kind: Kind,
        namespace: DataSourceId,
        users: Vec<tidings_dispatch::SettledUser>,
    ) {
        let Some(outgoing) = self.messages.remove(&message) else {
            return;
        };
        if let Some(failure) = &outgoing.failure {
            add(&self.stats.messages_failed, 1);
            tracing::warn!(
                destination = self.destination.id.0,
                users = outgoing.users,
                failure,
                held = self.destination.after_failure == FailurePolicy::Hold,
                batch = kind == Kind::Batch,
                "message given up"
            );
            let now = self.clock.now();
            self.stats.update(|state| {
                state.last_failure = Some(failure.clone());
                state.failing_since.get_or_insert(now);
            });
        } else {
            add(&self.stats.messages_delivered, 1);
            add(&self.stats.users_told, outgoing.users);
        }
        self.writer.control(Control::Settle {
            kind,
            destination: self.destination.id,
            namespace,
            users,
            policy: self.destination.after_failure,
            reason: outgoing.failure.unwrap_or_default(),
        });
    }

    fn publish(&self) {
        let (waiting, held) = (self.dispatcher.waiting(), self.dispatcher.held());
        let next_batch = self.batch.as_ref().and_then(BatchState::next);
        let (health, in_flight) = (self.dispatcher.health(), self.dispatcher.in_flight());
        self.stats.update(|state| {
            if health == Health::Healthy {
                state.failing_since = None;
            }
            state.health = Some(health);
            state.waiting = waiting;
            state.held = held;
            state.in_flight = in_flight;
            state.next_batch = next_batch;
        });
    }
}

/// One attempt with a bearer token. A 401 makes the token go, so that the retry, if one is left,
/// gets a fresh one.
async fn post_with_token(
    endpoint: &Endpoint,
    source: &TokenSource,
    request: &Request,
    timeout: Duration,
) -> Result<Attempt, String> {
    let token: Arc<BearerToken> = source.token().await.map_err(|error| error.to_string())?;
    let request = request
        .clone()
        .with_authorization(token.authorization().clone());
    let attempt = endpoint.post(&request, timeout).await;
    if attempt
        .result
        .as_ref()
        .is_ok_and(|response| response.status == 401)
    {
        source.invalidate(&token);
    }
    Ok(attempt)
}

/// Reads a counter.
pub(crate) fn read(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
