//! The task of one destination: the shell around its [`Courier`], with the sockets and the clock.
//!
//! Nothing is shared with other destinations but the writer's queue and the machine: own mailbox,
//! own connections, own bound of messages in flight.

use crate::{
    clock::Clock,
    core::ActiveCatalog,
    courier::{Courier, Errand, Pause},
    errand::Ask,
    inbox::{Inbox, Mail},
    outlet::Outlet,
    schedule::Lateness,
    stats::DestinationStats,
    writer::{Control, WriterHandle},
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tidings_dispatch::MessageId;
use tidings_egress::{
    Attempt, Request,
    oauth::{BearerToken, TokenSource},
};
use tidings_model::Destination;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

pub(crate) struct DestinationTask {
    courier: Courier,
    outlet: Arc<Outlet>,
    inbox: Arc<Inbox>,
    writer: WriterHandle,
    clock: Arc<Clock>,
    attempts: JoinSet<Attempted>,
    spare: Mail,
}

struct Attempted {
    message: MessageId,
    attempt: Result<Attempt, String>,
}

impl DestinationTask {
    pub(crate) fn new(
        destination: Arc<Destination>,
        catalog: Arc<ActiveCatalog>,
        outlet: Arc<Outlet>,
        inbox: Arc<Inbox>,
        writer: WriterHandle,
        clock: Arc<Clock>,
        stats: Arc<DestinationStats>,
    ) -> Self {
        let lateness = if clock.is_virtual() {
            Lateness::Ignored
        } else {
            Lateness::Counts
        };
        let signatures = Arc::clone(&outlet.signatures);
        let now = clock.both();
        Self {
            courier: Courier::new(destination, catalog, signatures, stats, lateness, now),
            outlet,
            inbox,
            writer,
            clock,
            attempts: JoinSet::new(),
            spare: Mail::default(),
        }
    }

    /// Delivers until `stopping` turns true; then waits for the attempts under way, records their
    /// outcomes and ends. What is not on its way stays in the pending set.
    pub(crate) async fn run(
        mut self,
        mut stopping: watch::Receiver<bool>,
        mut pause: watch::Receiver<Pause>,
    ) {
        let first = *pause.borrow_and_update();
        self.courier.set_paused(self.clock.both(), first);
        loop {
            self.act();
            let wakeup = self.wakeup();
            self.courier.publish(self.clock.both());
            tokio::select! {
                biased;
                _ = stopping.wait_for(|&stop| stop) => break,
                Ok(()) = pause.changed() => {
                    let pause = *pause.borrow_and_update();
                    self.courier.set_paused(self.clock.both(), pause);
                }
                Some(done) = self.attempts.join_next(), if !self.attempts.is_empty() => {
                    self.attempted(done);
                    // Others that have ended meanwhile are looked at in the same turn.
                    while let Some(done) = self.attempts.try_join_next() {
                        self.attempted(done);
                    }
                }
                () = self.inbox.arrived() => self.read_mail(),
                () = self.clock.moved(), if self.courier.minds_the_clock() => {}
                () = sleep_until(wakeup.unwrap_or_else(Instant::now)), if wakeup.is_some() => {}
            }
        }
        while let Some(done) = self.attempts.join_next().await {
            self.attempted(done);
            while let Some(ask) = self.courier.poll_stopping(self.clock.both()) {
                self.ask(ask);
            }
        }
    }

    fn wakeup(&self) -> Option<Instant> {
        let at = self.courier.next_wakeup(self.clock.both())?;
        // A millisecond is the resolution of the clock: wake up just after, not just before.
        Some(Instant::from_std(
            self.clock.instant(at) + Duration::from_micros(500),
        ))
    }

    fn read_mail(&mut self) {
        self.inbox.take(&mut self.spare);
        self.courier.read(self.clock.both(), &mut self.spare);
    }

    /// Does everything that there is to do now.
    fn act(&mut self) {
        while let Some(errand) = self.courier.poll(self.clock.both()) {
            match errand {
                Errand::Ask(ask) => self.ask(ask),
                Errand::Attempt {
                    message, request, ..
                } => self.attempt(message, request),
            }
        }
    }

    fn ask(&self, ask: Ask) {
        let destination = self.courier.destination().id;
        self.writer.control(Control::Ask { destination, ask });
    }

    fn attempt(&mut self, message: MessageId, request: Arc<Request>) {
        let outlet = Arc::clone(&self.outlet);
        let timeout = self.courier.destination().timeout;
        self.attempts.spawn(async move {
            let attempt = match outlet.token.load_full() {
                None => {
                    let mut attempt = outlet.endpoint.post(&request, timeout).await;
                    outlet.redactor.load().clean(&mut attempt, Vec::new);
                    Ok(attempt)
                }
                Some(source) => {
                    Box::pin(post_with_token(&outlet, &source, &request, timeout)).await
                }
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
        self.courier.attempted(self.clock.both(), message, &attempt);
    }
}

/// One attempt with a bearer token. A 401 makes the token go, so that the retry, if one is left,
/// gets a fresh one.
async fn post_with_token(
    outlet: &Outlet,
    source: &TokenSource,
    request: &Request,
    timeout: Duration,
) -> Result<Attempt, String> {
    let token = source.token().await;
    let token: Arc<BearerToken> = token.map_err(|error| {
        let redactor = outlet.redactor.load();
        redactor.error(&error.to_string(), &source.recent())
    })?;
    let request = request
        .clone()
        .with_authorization(token.authorization().clone());
    let mut attempt = outlet.endpoint.post(&request, timeout).await;
    // Whatever is known by now: a secret may have been replaced meanwhile.
    let redactor = outlet.redactor.load();
    redactor.clean(&mut attempt, || source.recent());
    match attempt.result.as_ref().map(|response| response.status) {
        Ok(401) => source.invalidate(&token),
        Ok(200..300) => source.taken(&token),
        // Says nothing about the token.
        Ok(_) | Err(_) => {}
    }
    Ok(attempt)
}

/// Reads a counter.
pub(crate) fn read(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
