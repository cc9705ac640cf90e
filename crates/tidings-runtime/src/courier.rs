//! What the task of one destination decides: it drives a dispatcher, builds and signs messages, and
//! judges outcomes. The shell around it (`destination.rs`) has the sockets and the clock.
//!
//! In go mail from the writer, outcomes of attempts and the time; out come [`Errand`]s. The same
//! code runs in a server and under simulation.
//!
//! Invariant: a message keeps the bytes and signatures of its first attempt until it is settled.

mod batch;

use self::batch::BatchState;
use crate::{
    attempts::{Delivered, MessageLog},
    core::ActiveCatalog,
    errand::{Answer, Ask},
    inbox::Mail,
    schedule::Lateness,
    settings::dispatch_settings,
    signing::Signatures,
    stats::{Alert, DestinationState, DestinationStats, add},
};
use bytes::Bytes;
use hashbrown::HashMap;
use std::{collections::VecDeque, sync::Arc};
use tidings_dispatch::{Action, Dispatcher, Health, Kind, MessageId, Outcome};
use tidings_egress::{Attempt, Request, Response};
#[cfg(planted)]
use tidings_model::planted::{self, Planted};
use tidings_model::{
    DataSourceId, Destination, DeviceUuid, FailurePolicy, Method, Millis, Timestamp,
};

/// The time, twice: the clock of events, and the one that network deadlines and pauses go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The clock, virtual where it is virtual.
    pub time: Timestamp,
    /// Real time that has passed.
    pub millis: Millis,
}

/// What the operator wants of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pause {
    /// It is told what there is to tell.
    #[default]
    Off,
    /// Nothing new is sent to it.
    On,
}

/// What the shell is to do.
#[derive(Debug)]
pub enum Errand {
    /// Ask the writer.
    Ask(Ask),
    /// Attempt the message and answer with [`Courier::attempted`].
    Attempt {
        /// The message.
        message: MessageId,
        /// What it is part of.
        kind: Kind,
        /// Its bytes: the same for every attempt.
        request: Arc<Request>,
    },
}

/// Delivery to one destination, but for the sockets.
#[derive(Debug)]
pub struct Courier {
    destination: Arc<Destination>,
    catalog: Arc<ActiveCatalog>,
    signatures: Arc<Signatures>,
    dispatcher: Dispatcher<Vec<u8>>,
    stats: Arc<DestinationStats>,
    messages: HashMap<MessageId, Outgoing>,
    /// Where the scan under way goes on.
    scan_from: Option<DeviceUuid>,
    batch: Option<BatchState>,
    errands: VecDeque<Errand>,
}

/// A message between its first attempt and its end.
#[derive(Debug)]
struct Outgoing {
    request: Arc<Request>,
    users: usize,
    log: MessageLog,
    /// Why the last attempt failed; `None` before the first and after one that succeeded.
    failure: Option<String>,
}

impl Now {
    /// The clock's time at a moment that is near.
    fn time_of(self, at: Millis) -> Timestamp {
        let seconds = at.since(self.millis).as_millis().div_ceil(1000);
        self.time
            .plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

impl Courier {
    /// A courier that knows nothing yet: it begins by asking what the latest batch was, and by
    /// reading the pending set.
    #[must_use]
    pub fn new(
        destination: Arc<Destination>,
        catalog: Arc<ActiveCatalog>,
        signatures: Arc<Signatures>,
        stats: Arc<DestinationStats>,
        lateness: Lateness,
        now: Now,
    ) -> Self {
        let dispatcher = Dispatcher::new(dispatch_settings(&destination));
        let mut courier = Self {
            destination,
            catalog,
            signatures,
            dispatcher,
            stats,
            messages: HashMap::new(),
            scan_from: None,
            batch: None,
            errands: VecDeque::new(),
        };
        courier.start_batches(lateness, now.time);
        courier
    }

    /// The destination it delivers to.
    #[must_use]
    pub const fn destination(&self) -> &Arc<Destination> {
        &self.destination
    }

    /// The operator pauses the destination, or ends that. A pause of the catalog's goes on.
    pub fn set_paused(&mut self, now: Now, pause: Pause) {
        let mut settings = dispatch_settings(&self.destination);
        settings.paused |= pause == Pause::On;
        self.dispatcher.reconfigure(now.millis, settings);
    }

    /// Whether the virtual clock's moving is of interest, besides [`Courier::next_wakeup`].
    #[must_use]
    pub const fn minds_the_clock(&self) -> bool {
        self.batch.is_some()
    }

    /// True when nothing is waiting, on its way or to be read.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.errands.is_empty() && self.messages.is_empty() && self.dispatcher.is_idle()
    }

    /// The next thing to do now, if any. Call until `None`.
    pub fn poll(&mut self, now: Now) -> Option<Errand> {
        self.begin_batch_if_due(now.time);
        loop {
            if let Some(errand) = self.errands.pop_front() {
                return Some(errand);
            }
            let action = self.dispatcher.poll(now.millis)?;
            self.perform(now, action);
        }
    }

    /// What is still to be asked of the writer when nothing new is to be begun: outcomes that are
    /// known.
    pub fn poll_stopping(&mut self, now: Now) -> Option<Ask> {
        for action in self.dispatcher.settled() {
            if matches!(action, Action::Settle { .. }) {
                self.perform(now, action);
            }
        }
        while let Some(errand) = self.errands.pop_front() {
            if let Errand::Ask(ask @ Ask::Settle { .. }) = errand {
                return Some(ask);
            }
        }
        None
    }

    /// The next moment at which [`Courier::poll`] can have something to do without further input.
    #[must_use]
    pub fn next_wakeup(&self, now: Now) -> Option<Millis> {
        let look = self
            .batch
            .as_ref()
            .map(|_| now.millis.plus(batch::LOOK_EVERY));
        let dispatcher = self.dispatcher.next_wakeup(now.millis);
        dispatcher.into_iter().chain(look).min()
    }

    /// Reads what the writer sent, leaving the buffers behind.
    pub fn read(&mut self, now: Now, mail: &mut Mail) {
        for hint in mail.hints.drain(..) {
            self.dispatcher.hint(now.millis, &hint);
        }
        if std::mem::take(&mut mail.lost) {
            self.dispatcher.lost_hints();
        }
        for answer in mail.answers.drain(..) {
            match answer {
                Answer::Taken {
                    kind,
                    namespace,
                    users,
                } => {
                    self.dispatcher.taken(kind, namespace, users);
                }
                Answer::Scanned(scanned) => {
                    for hint in scanned.hints {
                        self.dispatcher.hint(now.millis, &hint);
                    }
                    let complete = scanned.next.is_none();
                    self.scan_from = scanned.next;
                    self.dispatcher.rescanned(complete);
                }
                Answer::Batch(news) => self.batch_news(now.time, news),
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        self.errands.push_back(Errand::Ask(ask));
    }

    fn perform(&mut self, now: Now, action: Action<Vec<u8>>) {
        match action {
            Action::Take {
                kind,
                namespace,
                users,
            } => self.ask(Ask::Take {
                kind,
                namespace,
                users,
            }),
            Action::Send {
                message,
                kind,
                namespace,
                users,
                objects,
            } => self.send(now.time, message, kind, namespace, users, &objects),
            Action::Retry { message } => self.attempt(now.time, message),
            Action::Settle {
                message,
                kind,
                namespace,
                users,
            } => self.settle(now.time, message, kind, namespace, users),
            Action::BatchPage { first } => self.read_batch_page(first),
            Action::BatchDone => self.end_batch(),
            Action::Rescan => {
                let after = self.scan_from.clone();
                self.ask(Ask::Scan { after });
            }
        }
    }

    fn send(
        &mut self,
        now: Timestamp,
        message: MessageId,
        kind: Kind,
        namespace: DataSourceId,
        devices: Vec<DeviceUuid>,
        objects: &[Vec<u8>],
    ) {
        let Some(format) = self.catalog.format(self.destination.id) else {
            return;
        };
        let users = objects.iter().map(Vec::as_slice);
        let content = Bytes::from(format.message(now, namespace, users));
        let unsigned = match self.destination.method {
            Method::Post => Request::json(content),
            Method::Get => Request::get(content),
        };
        let request = self.signatures.sign(now, unsigned);
        let outgoing = Outgoing {
            request: Arc::new(request),
            users: objects.len(),
            log: MessageLog::new(kind, namespace, objects.len(), devices.into(), now),
            failure: None,
        };
        self.messages.insert(message, outgoing);
        self.attempt(now, message);
    }

    fn attempt(&mut self, now: Timestamp, message: MessageId) {
        let Some(outgoing) = self.messages.get_mut(&message) else {
            return;
        };
        outgoing.log.began = now;
        let request = Arc::clone(&outgoing.request);
        #[cfg(planted)]
        let request = if planted::is(Planted::RetryRebuilt) && outgoing.failure.is_some() {
            let mut body = request.content().to_vec();
            body.push(b' ');
            Arc::new(Request::json(Bytes::from(body)))
        } else {
            request
        };
        add(&self.stats.attempts, 1);
        add(&self.stats.bytes_sent, request.content().len());
        let kind = outgoing.log.kind;
        self.errands.push_back(Errand::Attempt {
            message,
            kind,
            request,
        });
    }

    /// An attempt ended: with a response or a failure, or, as an error, before it was made, for want
    /// of a token.
    pub fn attempted(&mut self, now: Now, message: MessageId, attempt: &Result<Attempt, String>) {
        if let Ok(attempt) = attempt {
            let micros = usize::try_from(attempt.timings.total.as_micros()).unwrap_or(0);
            add(&self.stats.attempt_micros, micros);
            add(&self.stats.attempts_reused, usize::from(attempt.reused));
        }
        let outcome = match attempt {
            Ok(Attempt {
                result: Ok(response),
                ..
            }) => self.outcome(response),
            _ => Outcome::Failed,
        };
        self.stats.count(outcome);
        if let Some(outgoing) = self.messages.get_mut(&message) {
            let delivered = if outcome == Outcome::Acknowledged {
                Delivered::Yes
            } else {
                Delivered::No
            };
            outgoing
                .log
                .push(outgoing.request.content(), attempt, delivered);
            outgoing.failure = (outcome != Outcome::Acknowledged).then(|| match attempt {
                Ok(attempt) => match &attempt.result {
                    Ok(_) => attempt.outcome(),
                    Err(failure) => failure.to_string(),
                },
                Err(failure) => failure.clone(),
            });
        }
        self.dispatcher.attempted(now.millis, message, outcome);
    }

    /// What an answer means. With OAuth a 401 that is about the token costs the retry, for which
    /// there is a fresh one.
    fn outcome(&self, response: &Response) -> Outcome {
        match (response.status, response.retry_after) {
            #[cfg(planted)]
            (204, _) if planted::is(Planted::NoContentIsSuccess) => Outcome::Acknowledged,
            (status, _) if self.destination.success_codes.contains(&status) => {
                Outcome::Acknowledged
            }
            (401 | 403 | 404, _) => Outcome::Refused,
            (429 | 503, Some(pause)) => Outcome::Busy { pause },
            _ => Outcome::Failed,
        }
    }

    fn settle(
        &mut self,
        now: Timestamp,
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
                held = users
                    .iter()
                    .all(|user| user.after_failure == FailurePolicy::Hold),
                batch = kind == Kind::Batch,
                "message given up"
            );
            self.stats.update(|state| {
                state.last_failure = Some(failure.clone());
                state.failing_since.get_or_insert(now);
            });
        } else {
            add(&self.stats.messages_delivered, 1);
            add(&self.stats.users_told, outgoing.users);
        }
        self.ask(Ask::Settle {
            kind,
            namespace,
            users,
            reason: outgoing.failure.unwrap_or_default(),
            attempts: outgoing.log.into_attempts(),
        });
    }

    /// Brings the figures that people see up to date, and tells the log when an alert begins or ends.
    pub fn publish(&self, now: Now) {
        let dispatcher = &self.dispatcher;
        let next_batch = self.batch.as_ref().and_then(BatchState::next);
        let health = dispatcher.health();
        let next_probe = match health {
            Health::Failing { next_probe, .. } | Health::Open { next_probe, .. } => {
                Some(now.time_of(next_probe))
            }
            Health::Healthy | Health::Recovering { .. } => None,
        };
        let quiet_until = dispatcher.quiet_until().map(|at| now.time_of(at));
        let refused = dispatcher.refused_since().is_some();
        self.stats.update(|state| {
            if next_probe.is_none() {
                state.failing_since = None;
            }
            state.health = Some(health);
            state.waiting = dispatcher.waiting();
            state.held = dispatcher.held();
            state.in_flight = dispatcher.in_flight();
            state.next_batch = next_batch;
            state.next_probe = next_probe;
            state.quiet_until = quiet_until;
            if refused != state.alert.is_some() {
                self.alert(now.time, state);
            }
        });
    }

    /// The destination began to refuse us, or does so no more.
    fn alert(&self, now: Timestamp, state: &mut DestinationState) {
        let destination = self.destination.id.0;
        if state.alert.take().is_some() {
            tracing::info!(destination, "the destination takes messages again");
            return;
        }
        let reason = state.last_failure.clone().unwrap_or_default();
        tracing::error!(
            destination,
            reason,
            "the destination refuses messages, nothing but probes is sent until it takes them"
        );
        state.alert = Some(Alert { since: now, reason });
    }
}
