//! Whether a destination is answering, and when to try again if it is not.
//!
//! A message that was given up makes the destination *failing*: new changes are still sent at once.
//! Sustained failure makes it *open*: nothing but probes is sent, one device at a time, at intervals
//! that double up to a bound, until one succeeds. A destination that refuses us (401, 403, 404) is
//! open at once, and raises an alert. Messages of a batch that are given up make it failing too, which
//! pauses the batch, but never open: they must not hold up real time.

use crate::{Kind, types::Verdict};
use std::time::Duration;
use tidings_model::Millis;

/// First pause before a probe.
const PROBE_FIRST: Duration = Duration::from_secs(5);
/// Longest pause between probes. Held devices and waiting ones take turns, so that a held one is
/// tried at least every 60 s.
const PROBE_MAX: Duration = Duration::from_secs(30);
/// Messages given up in a row before only probes are sent.
const OPEN_AFTER: u32 = 10;
/// The same once the destination has been failing for [`OPEN_AFTER_TIME`].
const OPEN_AFTER_SUSTAINED: u32 = 3;
/// Since the first failed attempt after the last success.
const OPEN_AFTER_TIME: Duration = Duration::from_secs(5);

/// How a destination has been answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The last message was answered with success, or none was sent yet.
    Healthy,
    /// It answers again, and what waited is sent at a rate that grows.
    Recovering {
        /// When it answered again.
        since: Millis,
    },
    /// Messages are being given up, but new ones are still sent at once.
    Failing {
        /// When the first of them was given up.
        since: Millis,
        /// When a held device is tried next.
        next_probe: Millis,
    },
    /// So many were given up in a row, or in such a way, that only probes are sent.
    Open {
        /// When the first of them was given up.
        since: Millis,
        /// When a device is tried next.
        next_probe: Millis,
    },
}

/// What a success changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recovery {
    /// Nothing: the destination was answering.
    None,
    /// It was failing, but was still sent everything.
    FromFailing,
    /// Only probes were sent.
    FromOpen,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Breaker {
    failing: Option<Failing>,
    /// The first failed attempt since the last success.
    failed_first: Option<Millis>,
}

#[derive(Clone, Debug)]
struct Failing {
    since: Millis,
    given_up: u32,
    is_open: bool,
    /// Since when the destination refuses us.
    refused: Option<Millis>,
    pause: Duration,
    next_probe: Millis,
}

impl Breaker {
    /// A message succeeded.
    pub(crate) fn succeeded(&mut self) -> Recovery {
        self.failed_first = None;
        match self.failing.take() {
            None => Recovery::None,
            Some(failing) if failing.is_open => Recovery::FromOpen,
            Some(_) => Recovery::FromFailing,
        }
    }

    /// An attempt failed.
    pub(crate) fn attempt_failed(&mut self, now: Millis) {
        self.failed_first.get_or_insert(now);
    }

    /// A message was given up. True when the destination is open now and was not before.
    pub(crate) fn gave_up(&mut self, now: Millis, kind: Kind, verdict: Verdict) -> bool {
        let first = self.failed_first.unwrap_or(now);
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: now,
            given_up: 0,
            is_open: false,
            refused: None,
            pause: PROBE_FIRST,
            next_probe: now.plus(PROBE_FIRST),
        });
        if kind == Kind::Realtime {
            failing.given_up = failing.given_up.saturating_add(1);
        }
        let refused = verdict == Verdict::Refused;
        if refused {
            failing.refused.get_or_insert(now);
        }
        let sustained =
            failing.given_up >= OPEN_AFTER_SUSTAINED && now.since(first) >= OPEN_AFTER_TIME;
        let opens = refused || failing.given_up >= OPEN_AFTER || sustained;
        let opened = opens && !failing.is_open;
        failing.is_open |= opens;
        opened
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
        self.failing.as_ref().is_some_and(|failing| failing.is_open)
    }

    /// Since when the destination refuses us.
    pub(crate) fn refused_since(&self) -> Option<Millis> {
        self.failing.as_ref().and_then(|failing| failing.refused)
    }

    pub(crate) fn health(&self) -> Health {
        let Some(failing) = &self.failing else {
            return Health::Healthy;
        };
        let (since, next_probe) = (failing.since, failing.next_probe);
        if failing.is_open {
            Health::Open { since, next_probe }
        } else {
            Health::Failing { since, next_probe }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is given up, `.` for a success, and after how many of them the breaker is open.
    #[track_caller]
    fn check(script: &str, seconds_between: u64, expected: Option<usize>) {
        let mut breaker = Breaker::default();
        let mut now = Millis(1_000);
        let mut opened = None;
        for (index, step) in script.chars().enumerate() {
            now = now.plus(Duration::from_secs(seconds_between));
            let (kind, verdict) = match step {
                'f' => (Kind::Realtime, Verdict::Failed),
                'b' => (Kind::Batch, Verdict::Failed),
                'r' => (Kind::Realtime, Verdict::Refused),
                _ => {
                    breaker.succeeded();
                    continue;
                }
            };
            breaker.attempt_failed(now);
            if breaker.gave_up(now, kind, verdict) {
                opened.get_or_insert(index + 1);
            }
        }
        assert_eq!(opened, expected, "{script}");
    }

    #[test]
    fn opens_on_sustained_failure() {
        check("ffffffffff", 0, Some(10));
        check("fffffffff", 0, None);
        check("fff", 3, Some(3));
        check("ff", 100, None);
        check("ff.ff.ff.ff", 100, None);
        check("bbbbbbbbbbbbbb", 3, None);
        check("bbf", 3, None);
    }

    #[test]
    fn opens_at_once_when_refused() {
        check("r", 0, Some(1));
        check("fr.fr", 0, Some(2));
    }

    #[test]
    fn probes_ever_more_seldom() {
        let mut breaker = Breaker::default();
        breaker.gave_up(Millis(0), Kind::Realtime, Verdict::Refused);
        let mut probes = Vec::new();
        for second in 0..130 {
            if breaker.take_probe(Millis(second * 1000)) {
                probes.push(second);
            }
        }
        assert_eq!(probes, [5, 15, 35, 65, 95, 125]);
        assert_eq!(breaker.succeeded(), Recovery::FromOpen);
        assert_eq!(breaker.refused_since(), None);
        assert!(!breaker.take_probe(Millis(1_000_000)));
    }
}
