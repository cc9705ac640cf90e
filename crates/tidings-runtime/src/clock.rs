//! The clock of the service: the system's, or a virtual one that stands still until it is moved.

use crate::courier::Now;
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Instant, SystemTime},
};
use tidings_model::{Millis, Timestamp};
use tokio::sync::Notify;

/// Tells the time of day, and a monotonic time for lingering and deadlines.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Virtual seconds since 1970; `None` for the system's clock.
    virtual_now: Option<AtomicI64>,
    started: Instant,
    moved: Notify,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub(crate) fn system() -> Self {
        Self {
            virtual_now: None,
            started: Instant::now(),
            moved: Notify::new(),
        }
    }

    /// A clock that stands at `now` until [`Clock::set`] moves it.
    #[must_use]
    pub(crate) fn standing_at(now: Timestamp) -> Self {
        Self {
            virtual_now: Some(AtomicI64::new(now.0)),
            started: Instant::now(),
            moved: Notify::new(),
        }
    }

    /// The time of day.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        if let Some(now) = &self.virtual_now {
            return Timestamp(now.load(Ordering::Acquire));
        }
        let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Timestamp(i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX))
    }

    /// The time, and the real time that has passed.
    #[must_use]
    pub(crate) fn both(&self) -> Now {
        Now {
            time: self.now(),
            millis: self.millis(),
        }
    }

    /// Milliseconds since the clock was made, never going back, never virtual.
    #[must_use]
    pub(crate) fn millis(&self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The instant of a monotonic time.
    #[must_use]
    pub(crate) fn instant(&self, at: Millis) -> Instant {
        self.started + at.since(Millis(0))
    }

    /// Whether the clock is virtual.
    #[must_use]
    pub(crate) const fn is_virtual(&self) -> bool {
        self.virtual_now.is_some()
    }

    /// Moves a virtual clock forward. False for the system's clock, and for a move back.
    pub(crate) fn set(&self, now: Timestamp) -> bool {
        let Some(virtual_now) = &self.virtual_now else {
            return false;
        };
        let before = virtual_now.fetch_max(now.0, Ordering::AcqRel);
        self.moved.notify_waiters();
        before <= now.0
    }

    /// Waits until a virtual clock is moved. A move before the call is not noticed. Cancel safe.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }
}
