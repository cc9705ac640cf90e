//! The figures that are shown: read from the running parts, with rates over the last seconds.

use super::{
    sender::Sent,
    watch::{Latency, Watch},
};
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tidings_dispatch::Health;
use tidings_runtime::{Shared, stats::NamedStats};

/// How far rates look back.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// Figures of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Since the visitors came.
    pub(crate) elapsed: Duration,
    /// How long visitors will come; `None`: until told to stop.
    pub(crate) duration: Option<Duration>,
    /// Visitors are gone; what is owed is being delivered.
    pub(crate) is_ending: bool,
    pub(crate) devices: u64,
    pub(crate) events: Counted,
    pub(crate) entered: Counted,
    pub(crate) left: Counted,
    /// Events that were refused or got lost.
    pub(crate) events_failed: u64,
    /// Requests with events that were told to come back later.
    pub(crate) waits: u64,
    pub(crate) partners: Vec<PartnerFigures>,
}

/// A count since the start and its rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) total: u64,
    pub(crate) per_second: u64,
}

/// Figures of one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartnerFigures {
    pub(crate) name: String,
    /// In one word: `healthy`, `failing`, `stopped`, `refused`.
    pub(crate) health: &'static str,
    pub(crate) messages: u64,
    pub(crate) users_told: u64,
    pub(crate) latency: Option<Latency>,
    /// Devices that wait for company or their turn.
    pub(crate) waiting: u64,
    /// Messages on their way.
    pub(crate) in_flight: u64,
    /// Messages given up.
    pub(crate) failed: u64,
    /// Bytes of bodies sent.
    pub(crate) bytes: u64,
}

impl PartnerFigures {
    /// Nothing is queued or on its way.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.waiting == 0 && self.in_flight == 0
    }
}

/// Reads figures, and remembers the last few for rates.
#[derive(Debug)]
pub(crate) struct Reader {
    started: Instant,
    duration: Option<Duration>,
    /// Events, entered and left at some moments, oldest first.
    past: VecDeque<(Instant, [u64; 3])>,
}

impl Reader {
    /// Visitors come from `started` on.
    pub(crate) fn new(started: Instant, duration: Option<Duration>) -> Self {
        Self {
            started,
            duration,
            past: VecDeque::from([(started, [0; 3])]),
        }
    }

    /// The figures now.
    pub(crate) fn read(
        &mut self,
        now: Instant,
        is_ending: bool,
        server: &Shared,
        watch: &Watch,
        sent: &Sent,
    ) -> Figures {
        let totals = [
            read(&server.stats.events_accepted),
            read(&server.stats.segments_entered),
            read(&server.stats.segments_left),
        ];
        let [events, entered, left] = self.count(now, totals);
        Figures {
            elapsed: now.saturating_duration_since(self.started),
            duration: self.duration,
            is_ending,
            devices: watch.devices() as u64,
            events,
            entered,
            left,
            events_failed: read(&sent.failed),
            waits: read(&sent.waits),
            partners: server
                .destinations()
                .iter()
                .enumerate()
                .map(|(index, named)| partner(named, watch.latency(index)))
                .collect(),
        }
    }

    fn count(&mut self, now: Instant, totals: [u64; 3]) -> [Counted; 3] {
        while let Some((at, _)) = self.past.get(1)
            && now.saturating_duration_since(*at) >= RATE_WINDOW
        {
            self.past.pop_front();
        }
        let (since, before) = self.past.front().copied().unwrap_or((now, totals));
        self.past.push_back((now, totals));
        let millis = now.saturating_duration_since(since).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX).max(1);
        let mut counted = totals.map(|total| Counted {
            total,
            per_second: 0,
        });
        for (counted, before) in counted.iter_mut().zip(before) {
            counted.per_second = (counted.total - before).saturating_mul(1000) / millis;
        }
        counted
    }
}

fn partner(named: &NamedStats, latency: Option<Latency>) -> PartnerFigures {
    let (stats, state) = (&named.stats, named.stats.state());
    let health = match (&state.refused, state.health) {
        (Some(_), _) => "refused",
        (None, None) => "starting",
        (None, Some(Health::Healthy)) => "healthy",
        (None, Some(Health::Failing { .. })) => "failing",
        (None, Some(Health::Recovering { .. })) => "recovering",
        (None, Some(Health::Open { .. })) => "stopped",
    };
    PartnerFigures {
        name: named.name.clone(),
        health,
        messages: read(&stats.messages_delivered),
        users_told: read(&stats.users_told),
        latency,
        waiting: (state.waiting + state.held) as u64,
        in_flight: state.in_flight as u64,
        failed: read(&stats.messages_failed),
        bytes: read(&stats.bytes_sent),
    }
}

/// Reads a counter.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds totals of events at milliseconds and shows the rates.
    #[track_caller]
    fn check(events: &[(u64, u64)], expected: &[u64]) {
        let started = Instant::now();
        let mut reader = Reader::new(started, None);
        let rates: Vec<_> = events
            .iter()
            .map(|&(millis, total)| {
                let now = started + Duration::from_millis(millis);
                reader.count(now, [total, 0, 0])[0].per_second
            })
            .collect();
        assert_eq!(rates, expected);
    }

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        check(&[(1_000, 500), (2_000, 1_000)], &[500, 500]);
        check(
            &[
                (1_000, 1_000),
                (2_000, 1_000),
                (3_000, 1_000),
                (4_000, 1_200),
            ],
            &[1_000, 500, 0, 100],
        );
    }
}
