//! What the event API needs of the system behind it.

use crate::entry::Entry;
use std::time::Duration;
use tidings_model::DeviceUuid;

/// Takes events and opt-outs and makes them durable.
pub trait EventSink: Send + Sync + 'static {
    /// Submits entries, which happen in their order; the answer has one for each of them.
    ///
    /// **Durability:** when this returns `Ok`, whatever it calls accepted survives a crash.
    /// **Cancel safety:** a caller that goes away does not know what became of its events; it may
    /// submit them again, and an `event_id` keeps that from counting twice.
    ///
    /// # Errors
    /// When none of them was taken; the caller may try all of them again.
    fn submit(
        &self,
        entries: Vec<Entry>,
    ) -> impl Future<Output = Result<Vec<Submitted>, SubmitError>> + Send;
}

/// What became of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The event is durable; this is its device.
    Accepted(DeviceUuid),
    /// The event was seen before and changes nothing; this is its device.
    Duplicate(DeviceUuid),
    /// Somebody opted out, which is durable; the device if it was by device. Which one a declared id
    /// leads to is not told.
    OptedOut(Option<DeviceUuid>),
    /// It can never be taken.
    Rejected {
        /// Stable, in snake case.
        code: &'static str,
        /// What is wrong, for people.
        message: String,
    },
}

/// Why no event of a submission was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// Too many events wait already.
    #[error("the queue of events is full")]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// Events cannot be made durable now: the store fails, or the server starts or stops.
    #[error("events cannot be taken now: {reason}")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// Why, for the client: no paths, no secrets.
        reason: String,
    },
}
