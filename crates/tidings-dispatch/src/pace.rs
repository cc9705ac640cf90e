//! How fast a destination is told after an outage: what waited must not flood it.
//!
//! While the destination answers, messages are counted in windows of some seconds, of which the
//! busiest of the latest is *the rate before*. After an outage a ramp begins far below it, doubles
//! every second in which something was acknowledged, and ends at no more than 1.1 times that rate,
//! until no backlog is left. A backlog that is larger than that can work off is let go faster after a
//! while: a partner that keeps up is not to wait for days.
//!
//! Rates are in thousandths of a message per second, which is in millionths of a message per
//! millisecond: so the permits that a span of time brings are counted without rounding.

use std::{collections::VecDeque, time::Duration};
use tidings_model::Millis;

/// Length of a window.
const WINDOW: Duration = Duration::from_secs(20);
/// Windows that are remembered: ten minutes in which something was told.
const WINDOWS_MAX: usize = 30;
/// A window that was cut short by an outage counts from this length on.
const WINDOW_MIN: Duration = Duration::from_secs(5);
/// Windows without which little is known of a destination.
const WINDOWS_KNOWN: usize = 3;
/// Bound of a ramp in percent of the rate before. With the permits that may be saved up it comes to
/// less than 110 in any second.
const LIMIT_PERCENT: u64 = 105;
/// Bound, at least, where the rate before is known.
const LIMIT_MIN: u64 = 10_000;
/// Bound, at least, where little is known.
const LIMIT_MIN_UNKNOWN: u64 = 50_000;
/// A ramp begins with this part of its bound, but with a message per second.
const START_DIVISOR: u64 = 16;
const RATE_MIN: u64 = 1_000;
/// A ramp grows that often.
const GROW_EVERY: Duration = Duration::from_secs(1);
/// After this time at its bound a ramp may go beyond it.
const HOLD: Duration = Duration::from_secs(600);
/// And then grows by a half that often.
const BEYOND_EVERY: Duration = Duration::from_secs(60);
/// Up to ten thousand messages per second.
const BEYOND_MAX: u64 = 10_000_000;
/// Permits are saved up for that long, but always for one message.
const SAVED_UP: Duration = Duration::from_millis(40);
/// Permits that a message takes.
const MESSAGE: i64 = 1_000_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    /// Messages of whole windows, the latest last.
    windows: VecDeque<u32>,
    window: Option<Window>,
    ramp: Option<Ramp>,
}

/// The window under way.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Millis,
    messages: u32,
}

#[derive(Clone, Debug)]
struct Ramp {
    began: Millis,
    limit: u64,
    rate: u64,
    /// When it grew last.
    grew: Millis,
    /// A message was acknowledged since.
    acknowledged: bool,
    /// Since when it is at its bound.
    at_limit: Option<Millis>,
    /// Negative when more was sent than there were permits, by retries.
    permits: i64,
    filled: Millis,
}

impl Pace {
    /// A message was acknowledged.
    pub(crate) fn acknowledged(&mut self, now: Millis) {
        if let Some(ramp) = &mut self.ramp {
            // What a ramp lets through says nothing about the rate before it.
            ramp.acknowledged = true;
            return;
        }
        let window = self.window.get_or_insert(Window {
            began: now,
            messages: 0,
        });
        if now.since(window.began) >= WINDOW {
            self.windows.push_back(window.messages);
            if self.windows.len() > WINDOWS_MAX {
                self.windows.pop_front();
            }
            *window = Window {
                began: now,
                messages: 0,
            };
        }
        window.messages += 1;
    }

    /// The busiest window.
    fn rate_before(&self, now: Millis) -> u64 {
        let whole = self.windows.iter().max().copied().unwrap_or(0);
        let whole = u64::from(whole) * 1_000_000 / millis(WINDOW);
        let current = self.window.map_or(0, |window| {
            let length = now.since(window.began).clamp(WINDOW_MIN, WINDOW);
            u64::from(window.messages) * 1_000_000 / millis(length)
        });
        whole.max(current)
    }

    /// The destination answers again at `now`, after having been sent nothing: what waited is to be
    /// sent at a rate that grows.
    pub(crate) fn begin_ramp(&mut self, now: Millis) {
        let known = self.windows.len() >= WINDOWS_KNOWN;
        let min = if known { LIMIT_MIN } else { LIMIT_MIN_UNKNOWN };
        let limit = (self.rate_before(now) * LIMIT_PERCENT / 100).max(min);
        self.window = None;
        self.ramp = Some(Ramp {
            began: now,
            limit,
            rate: (limit / START_DIVISOR).max(RATE_MIN),
            grew: now,
            acknowledged: false,
            at_limit: None,
            permits: MESSAGE,
            filled: now,
        });
    }

    /// The destination asked for time until `until`, before which nothing is sent: then the ramp goes
    /// on at half its rate, or begins.
    pub(crate) fn slow_down(&mut self, now: Millis, until: Millis) {
        match &mut self.ramp {
            None => self.begin_ramp(until),
            Some(ramp) => {
                // Of several answers that ask for the same time, one counts.
                if ramp.filled <= now {
                    ramp.halve();
                }
                ramp.permits = ramp.permits.min(MESSAGE);
                ramp.filled = ramp.filled.max(until);
                ramp.grew = ramp.grew.max(until);
            }
        }
    }

    /// A message was given up.
    pub(crate) fn gave_up(&mut self) {
        if let Some(ramp) = &mut self.ramp {
            ramp.halve();
        }
    }

    /// No backlog is left, or the destination does not answer.
    pub(crate) fn end_ramp(&mut self) {
        self.ramp = None;
    }

    pub(crate) fn ramping_since(&self) -> Option<Millis> {
        self.ramp.as_ref().map(|ramp| ramp.began)
    }

    /// Whether something is known of the rate that the destination takes.
    pub(crate) fn is_known(&self) -> bool {
        !self.windows.is_empty()
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, now: Millis) {
        if let Some(ramp) = &mut self.ramp {
            ramp.advance(now);
        }
    }

    /// A message is sent, or sent again.
    pub(crate) fn sent(&mut self) {
        if let Some(ramp) = &mut self.ramp {
            ramp.permits -= MESSAGE;
        }
    }

    /// Messages that may be sent now.
    pub(crate) fn permits(&self) -> usize {
        self.ramp.as_ref().map_or(usize::MAX, |ramp| {
            usize::try_from(ramp.permits / MESSAGE).unwrap_or(0)
        })
    }

    /// When so many messages may be sent, as far as is known now; `None` when that is always or never.
    pub(crate) fn permits_at(&self, messages: usize) -> Option<Millis> {
        let ramp = self.ramp.as_ref()?;
        let wanted = i64::try_from(messages).unwrap_or(i64::MAX);
        let wanted = wanted.saturating_mul(MESSAGE);
        if wanted > ramp.permits_max() {
            return None;
        }
        let missing = wanted.saturating_sub(ramp.permits);
        let missing = u64::try_from(missing).unwrap_or(0);
        let wait = Duration::from_millis(missing.div_ceil(ramp.rate));
        Some(ramp.filled.plus(wait))
    }
}

impl Ramp {
    fn advance(&mut self, now: Millis) {
        let passed = i64::try_from(millis(now.since(self.filled))).unwrap_or(i64::MAX);
        let rate = i64::try_from(self.rate).unwrap_or(i64::MAX);
        let permits = self.permits.saturating_add(passed.saturating_mul(rate));
        self.permits = permits.min(self.permits_max());
        self.filled = self.filled.max(now);
        // Last, so that time passed before it counts at the rate of that time.
        self.grow(now);
    }

    fn permits_max(&self) -> i64 {
        let saved_up = self.rate.saturating_mul(millis(SAVED_UP));
        i64::try_from(saved_up).unwrap_or(i64::MAX).max(MESSAGE)
    }

    fn grow(&mut self, now: Millis) {
        if let Some(since) = self.at_limit
            && now.since(since) >= HOLD
            && now.since(self.grew) >= BEYOND_EVERY
            && self.acknowledged
        {
            self.limit = (self.limit + self.limit / 2).min(self.limit.max(BEYOND_MAX));
            self.rate = self.limit;
            self.grew = now;
            self.acknowledged = false;
        }
        if self.rate < self.limit && now.since(self.grew) >= GROW_EVERY && self.acknowledged {
            self.rate = (self.rate * 2).min(self.limit);
            self.grew = now;
            self.acknowledged = false;
        }
        if self.rate >= self.limit {
            self.at_limit.get_or_insert(now);
        }
    }

    fn halve(&mut self) {
        self.rate = (self.rate / 2).max(RATE_MIN);
        self.at_limit = None;
        self.acknowledged = false;
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
