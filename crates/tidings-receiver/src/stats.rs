//! Counts of a running receiver, as `GET /_stats` and `Running::stats` give them.

use crate::FaultCount;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use tidings_wire::{Message, Status};

/// Counts since the start. One line per request in the record, one `requests` here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Requests read, to any path but this one; of them:
    pub requests: u64,
    /// messages that passed every check and were answered 200,
    pub messages: u64,
    /// requests that carried no valid bearer token, or were refused one,
    pub unauthorized: u64,
    /// requests whose signature did not match or was missing,
    pub bad_signatures: u64,
    /// requests that are not acceptable messages,
    pub invalid: u64,
    /// requests whose body was seen before, whatever became of it; a retry is one,
    pub duplicates: u64,
    /// requests that a fault happened to, delays included.
    pub faulted: u64,
    /// User objects in `messages`.
    pub users: u64,
    /// Segments with Status 1 in `messages`.
    pub ones: u64,
    /// Segments with Status 0 in `messages`.
    pub zeros: u64,
    /// Access tokens issued.
    pub tokens: u64,
    /// Segment states known, if they are kept.
    pub states: u64,
    /// States told again with an earlier `DateTime` than before, if they are kept.
    pub states_out_of_order: u64,
    /// States not kept because there are too many.
    pub states_dropped: u64,
    /// Connections taken.
    pub connections: u64,
    /// Connections open now.
    pub connections_open: u64,
    /// TLS handshakes that failed.
    pub handshakes_failed: u64,
    /// Every fault, in the order they are asked.
    pub faults: Vec<FaultCount>,
}

/// The counts that requests and connections add to.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: Counter,
    pub(crate) messages: Counter,
    pub(crate) unauthorized: Counter,
    pub(crate) bad_signatures: Counter,
    pub(crate) invalid: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) faulted: Counter,
    pub(crate) users: Counter,
    pub(crate) ones: Counter,
    pub(crate) zeros: Counter,
    pub(crate) tokens: Counter,
    pub(crate) connections: Counter,
    pub(crate) connections_ended: Counter,
    pub(crate) handshakes_failed: Counter,
}

/// A count. Each is exact; two read together may be a request apart.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// Adds a message that was taken.
    pub(crate) fn add_message(&self, message: &Message) {
        let segments = message.users.iter().flat_map(|user| &user.segments);
        let (mut ones, mut zeros) = (0, 0);
        for segment in segments {
            match segment.status {
                Status::Active => ones += 1,
                Status::Inactive => zeros += 1,
            }
        }
        self.messages.add(1);
        self.users.add(message.users.len() as u64);
        self.ones.add(ones);
        self.zeros.add(zeros);
    }

    /// The counts now; what others count is left empty.
    pub(crate) fn read(&self) -> Stats {
        Stats {
            requests: self.requests.get(),
            messages: self.messages.get(),
            unauthorized: self.unauthorized.get(),
            bad_signatures: self.bad_signatures.get(),
            invalid: self.invalid.get(),
            duplicates: self.duplicates.get(),
            faulted: self.faulted.get(),
            users: self.users.get(),
            ones: self.ones.get(),
            zeros: self.zeros.get(),
            tokens: self.tokens.get(),
            connections: self.connections.get(),
            connections_open: self
                .connections
                .get()
                .saturating_sub(self.connections_ended.get()),
            handshakes_failed: self.handshakes_failed.get(),
            ..Stats::default()
        }
    }
}
