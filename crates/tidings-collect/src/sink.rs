//! What the event API needs of the system behind it.

use std::time::Duration;
use tidings_model::{DeviceUuid, Event};

/// Takes events and makes them durable.
pub trait EventSink: Send + Sync + 'static {
    /// Submits events; the answer has one entry per event, in their order.
    ///
    /// **Durability:** when this returns `Ok`, whatever it calls accepted survives a crash.
    /// **Cancel safety:** a caller that goes away does not know what became of its events; it may
    /// submit them again, and an `event_id` keeps that from counting twice.
    ///
    /// # Errors
    /// When none of the events was taken; the caller may try all of them again.
    fn submit(
        &self,
        events: Vec<Event>,
    ) -> impl Future<Output = Result<Vec<Submitted>, SubmitError>> + Send;
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The event is durable; this is its device.
    Accepted(DeviceUuid),
    /// The event was seen before and changes nothing; this is its device.
    Duplicate(DeviceUuid),
    /// The event can never be taken.
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
