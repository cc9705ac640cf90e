//! Whether a destination is answering, and when to try again if it is not.
//!
//! A message that was given up makes the destination *failing*: its held devices are probed one
//! message at a time, at intervals that double up to a bound. After several in a row it is *open*:
//! nothing but probes is sent until one succeeds. Messages of a batch that are given up make it
//! failing too, which pauses the batch, but never open: they must not hold up real time.

use crate::Kind;
use std::time::Duration;
use tidings_model::Millis;

/// First pause before a probe.
const PROBE_FIRST: Duration = Duration::from_secs(5);
/// Longest pause between probes.
const PROBE_MAX: Duration = Duration::from_secs(60);
/// Messages given up in a row before only probes are sent.
const OPEN_AFTER: u32 = 10;

/// How a destination has been answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The last message was answered with success, or none was sent yet.
    Healthy,
    /// Messages are being given up, but new ones are still sent at once.
    Failing {
        /// When the first of them was given up.
        since: Millis,
        /// When a held device is tried next.
        next_probe: Millis,
    },
    /// So many were given up in a row that only probes are sent.
    Open {
        /// When the first of them was given up.
        since: Millis,
        /// When a held device is tried next.
        next_probe: Millis,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failing: Option<Failing>,
}

#[derive(Debug)]
struct Failing {
    since: Millis,
    given_up: u32,
    pause: Duration,
    next_probe: Millis,
}

impl Breaker {
    /// A message succeeded. True when the destination was failing before.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.failing.take().is_some()
    }

    /// A message was given up.
    pub(crate) fn gave_up(&mut self, now: Millis, kind: Kind) {
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: now,
            given_up: 0,
            pause: PROBE_FIRST,
            next_probe: now.plus(PROBE_FIRST),
        });
        if kind == Kind::Realtime {
            failing.given_up = failing.given_up.saturating_add(1);
        }
    }

    /// True when a probe is due; the next one is then later.
    pub(crate) fn take_probe(&mut self, now: Millis) -> bool {
        let Some(failing) = self
            .failing
            .as_mut()
            .filter(|failing| failing.next_probe <= now)
        else {
            return false;
        };
        failing.pause = (failing.pause * 2).min(PROBE_MAX);
        failing.next_probe = now.plus(failing.pause);
        true
    }

    pub(crate) fn next_probe(&self) -> Option<Millis> {
        self.failing.as_ref().map(|failing| failing.next_probe)
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.failing.is_none()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.failing
            .as_ref()
            .is_some_and(|failing| failing.given_up >= OPEN_AFTER)
    }

    pub(crate) fn health(&self) -> Health {
        let Some(failing) = &self.failing else {
            return Health::Healthy;
        };
        let (since, next_probe) = (failing.since, failing.next_probe);
        if self.is_open() {
            Health::Open { since, next_probe }
        } else {
            Health::Failing { since, next_probe }
        }
    }
}
