//! How many events are due: a steady rate that never makes up for more than a tenth of a second.
//!
//! Visitors held up by a busy server are late, not a flood once it has time again.

use std::time::Duration;

/// Counts what is due and what was given.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: u64,
    /// Events that would have been due in time, without those that were let go.
    given: u64,
}

impl Pace {
    /// A pace of so many events per second.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            per_second: u64::from(per_second),
            given: 0,
        }
    }

    /// How many are due now, `elapsed` after the start; they count as given.
    pub(crate) fn due(&mut self, elapsed: Duration) -> u64 {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let due = micros.saturating_mul(self.per_second) / 1_000_000;
        let behind = due.saturating_sub(self.given);
        self.given = self.given.max(due);
        behind.min((self.per_second / 10).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(per_second: u32, millis: &[u64], expected: &[u64]) {
        let mut pace = Pace::new(per_second);
        let due: Vec<_> = millis
            .iter()
            .map(|&at| pace.due(Duration::from_millis(at)))
            .collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn gives_a_steady_rate() {
        check(1_000, &[0, 10, 15, 20, 100], &[0, 10, 5, 5, 80]);
        check(3, &[100, 400, 700, 1000], &[0, 1, 1, 1]);
    }

    #[test]
    fn does_not_make_up_for_a_long_wait() {
        check(1_000, &[10, 5_010, 5_020], &[10, 100, 10]);
    }
}
