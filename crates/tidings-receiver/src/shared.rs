//! What all connections of one receiver share.

use crate::{
    check::Checks,
    fault::{Fault, FaultSet},
    received::Received,
    record::Recorder,
    seen::SeenBodies,
    settings::Observer,
    states::States,
    stats::{Counters, Stats},
    tls::FaultyTls,
    token::TokenIssuer,
};
use std::{
    io,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};
use tidings_wire::template::Template;
use tokio::sync::{broadcast, watch};

/// The state of a running receiver. Locks in it are held for a moment and never across an await.
pub(crate) struct Shared {
    pub(crate) checks: Checks,
    /// What GET requests look like, if they are taken.
    pub(crate) get: Option<Template>,
    pub(crate) tokens: Option<TokenIssuer>,
    pub(crate) counters: Counters,
    pub(crate) seen: SeenBodies,
    pub(crate) states: Option<States>,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) observer: Option<Observer>,
    pub(crate) subscribers: Subscribers,
    pub(crate) faults: RwLock<Arc<FaultSet>>,
    pub(crate) seed: u64,
    pub(crate) faulty: FaultyTls,
    pub(crate) stop: watch::Sender<bool>,
}

impl Shared {
    /// The faults in force.
    pub(crate) fn faults(&self) -> Arc<FaultSet> {
        Arc::clone(&self.faults.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_faults(&self, faults: Vec<Fault>) {
        let faults = Arc::new(FaultSet::new(faults, self.seed));
        *self.faults.write().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Returns once the receiver is to stop. Cancel safe.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        // The sender is a neighbour of this very borrow, so waiting cannot fail.
        let waited = stop.wait_for(|stop| *stop).await;
        debug_assert!(waited.is_ok(), "the sender is alive");
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.counters.read();
        if let Some(states) = &self.states {
            states.count_into(&mut stats);
        }
        stats.faults = self.faults().counts();
        stats
    }

    /// Appends a request to the record, if there is one.
    pub(crate) fn record(&self, received: &Received) -> io::Result<()> {
        match &self.recorder {
            Some(recorder) => recorder.write(received),
            None => Ok(()),
        }
    }

    /// Shows a request to everyone who wants to see it.
    pub(crate) fn show(&self, received: Received) {
        if let Some(observer) = &self.observer {
            observer(&received);
        }
        self.subscribers.send(received);
    }
}

/// Those who follow the requests as they come.
#[derive(Debug)]
pub(crate) struct Subscribers {
    sender: broadcast::Sender<Arc<Received>>,
    /// Set once somebody has subscribed: without, a request costs no allocation and no lock.
    any: AtomicBool,
}

impl Subscribers {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            sender: broadcast::Sender::new(capacity),
            any: AtomicBool::new(false),
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Received>> {
        self.any.store(true, Ordering::Release);
        self.sender.subscribe()
    }

    fn send(&self, received: Received) {
        if self.any.load(Ordering::Acquire) {
            // An error says that nobody listens any more.
            drop(self.sender.send(Arc::new(received)));
        }
    }
}
