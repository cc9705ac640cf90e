//! When the batches of a destination are due: once per period, at a time of day in UTC.
//!
//! The period is counted from the time that the last batch was due at, so that a batch that begins a
//! second late does not push all later ones back. Only one that began much later, after the server was
//! down at its time, is counted from its beginning: two batches are never much less than a period apart.

use tidings_model::{Batch, Destination, Status, Timestamp, time::DAY_SECONDS};
use tidings_store::BatchRecord;

/// A batch that begins this much after its time is late, in seconds.
const LATE_SECONDS: i64 = 300;

/// The batches of one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    batch: Batch,
    paused: bool,
    lateness: Lateness,
    /// When the batches were configured, as far as is known.
    since: Timestamp,
    last: Option<Last>,
}

/// Whether a batch can be late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// As on a clock that never stands still.
    Counts,
    /// On a virtual clock a batch begins when the clock has passed its time, however far.
    Ignored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    due: Timestamp,
    started: Timestamp,
}

impl Schedule {
    /// The schedule that the catalog asks for, if the destination has batches.
    pub(crate) fn new(
        destination: &Destination,
        lateness: Lateness,
        since: Timestamp,
    ) -> Option<Self> {
        Some(Self {
            batch: destination.batch?,
            paused: destination.status == Status::Paused,
            lateness,
            since,
            last: None,
        })
    }

    /// Another version of the catalog asks for something else.
    pub(crate) fn after(self, earlier: Self) -> Self {
        Self {
            since: earlier.since,
            last: earlier.last,
            ..self
        }
    }

    /// A batch began, or had begun in an earlier run of the process.
    pub(crate) fn began(&mut self, record: &BatchRecord) {
        self.last = Some(Last {
            due: record.due,
            started: record.started,
        });
    }

    /// When the next batch is due; `None` while the destination is paused.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        if self.paused {
            return None;
        }
        let Some(last) = self.last else {
            return Some(self.at_or_after(self.since.plus_seconds(1)));
        };
        let late = self.lateness == Lateness::Counts
            && last.started.seconds_since(last.due) > LATE_SECONDS;
        let from = if late { last.started } else { last.due };
        let every = i64::try_from(self.batch.every.as_secs()).unwrap_or(i64::MAX);
        Some(self.at_or_after(from.plus_seconds(every)))
    }

    /// The time that a batch which is due now was due at: the latest one, if several were missed.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self.next().filter(|&next| next <= now)?;
        let latest = self.at_or_after(now.plus_seconds(1 - DAY_SECONDS));
        Some(next.max(latest))
    }

    /// The first instant at the time of day that is not before `from`.
    fn at_or_after(&self, from: Timestamp) -> Timestamp {
        let at = from
            .day()
            .start()
            .plus_seconds(i64::from(self.batch.at_minute) * 60);
        if at >= from {
            at
        } else {
            at.plus_seconds(DAY_SECONDS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn time(text: &str) -> Timestamp {
        let text = format!("2016-07-{}:00Z", text.replace(' ', "T"));
        Timestamp::parse(&text).unwrap()
    }

    fn schedule(lateness: Lateness, last: Option<(&str, &str)>) -> Schedule {
        Schedule {
            batch: Batch {
                every: Duration::from_secs(86_400),
                at_minute: 120,
            },
            paused: false,
            lateness,
            since: time("10 16:00"),
            last: last.map(|(due, started)| Last {
                due: time(due),
                started: time(started),
            }),
        }
    }

    #[track_caller]
    fn check(lateness: Lateness, last: Option<(&str, &str)>, now: &str, expected: Option<&str>) {
        let due = schedule(lateness, last).due(time(now));
        assert_eq!(due, expected.map(time));
    }

    #[test]
    fn the_first_batch_waits_for_its_time_of_day() {
        check(Lateness::Counts, None, "10 23:00", None);
        check(Lateness::Counts, None, "11 01:59", None);
        check(Lateness::Counts, None, "11 02:00", Some("11 02:00"));
        check(Lateness::Counts, None, "13 01:00", Some("12 02:00"));
    }

    #[test]
    fn a_period_is_counted_from_the_time_of_day() {
        let last = Some(("11 02:00", "11 02:01"));
        check(Lateness::Counts, last, "12 01:59", None);
        check(Lateness::Counts, last, "12 02:00", Some("12 02:00"));
        check(Lateness::Counts, last, "14 03:00", Some("14 02:00"));
    }

    #[test]
    fn a_late_batch_takes_the_place_of_the_next() {
        let last = Some(("11 02:00", "11 15:00"));
        check(Lateness::Counts, last, "12 02:00", None);
        check(Lateness::Counts, last, "13 02:00", Some("13 02:00"));
        check(Lateness::Ignored, last, "12 02:00", Some("12 02:00"));
    }

    #[test]
    fn a_longer_period_ends_at_the_time_of_day() {
        let mut schedule = schedule(Lateness::Counts, Some(("11 02:00", "11 02:00")));
        schedule.batch.every = Duration::from_secs(36 * 3600);
        assert_eq!(schedule.next(), Some(time("13 02:00")));
        schedule.batch.every = Duration::from_secs(48 * 3600);
        assert_eq!(schedule.next(), Some(time("13 02:00")));
        schedule.paused = true;
        assert_eq!(schedule.due(time("20 02:00")), None);
    }
}
