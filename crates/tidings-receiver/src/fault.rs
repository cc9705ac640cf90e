//! Faults on purpose: what a partner endpoint may do wrong, and which requests it happens to.
//!
//! A fault is a behaviour and a selection. Faults are asked in the order given: every `delay` that
//! fires adds to the wait, and the first other fault that fires decides the answer. A fault counts
//! only the requests that get to it, so `status=500,first=2` before `hang,first=1` is a script: two
//! errors, then a hang, then good answers.
//!
//! Invariant: the n-th decision of a fault depends on the seed, its place in the list and n alone,
//! so a sequential run repeats exactly and no lock is taken.
//!
//! Not here: carrying a fault out (`handle` for what HTTP can say, `misbehave` for what it cannot).
//! To add a behaviour without a value: a row in `scripted`. With one: a variant, a row in
//! `parse::KINDS`, and the match arms the compiler then asks for.

mod list;
mod parse;
mod scripted;
mod units;

use crate::limits::FAULT_DURATION_MAX;
use http::{HeaderValue, StatusCode};
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

pub use list::{Group, Listed, list};
pub use parse::FaultError;
pub use scripted::Scripted;

/// A behaviour and the requests it happens to, parsed from text like `status=500,rate=0.1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// What happens.
    pub behaviour: Behaviour,
    /// When it happens.
    pub when: When,
}

/// What happens instead of, or before, a good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Behaviour {
    /// `status=500`: answers with this status.
    Status(StatusCode),
    /// `delay=5s`: waits before it answers; combines with every other behaviour.
    Delay(Duration),
    /// `hang`: reads the request and never answers.
    Hang,
    /// `reset`: reads the request, then resets the connection (RST).
    Reset,
    /// `slow-body` or `slow-body=1s`: status 200 at once, then one byte per interval.
    SlowBody(Duration),
    /// `big-body=1GiB`: status 200 with a body of this many bytes.
    BigBody(u64),
    /// `redirect=https://…` or `redirect=301:https://…`: this status, else 307, with this
    /// `Location`.
    Redirect(StatusCode, HeaderValue),
    /// `retry-after=120` or `retry-after=429:120`: this status, else 503, with this `Retry-After`,
    /// which may be nonsense.
    RetryAfter(StatusCode, HeaderValue),
    /// `gzip`: the answer it would have given, with a gzip-encoded body.
    Gzip,
    /// `echo=400`: this status, and as the body the request word for word, headers and all.
    Echo(StatusCode),
    /// `accept-reset`: takes a connection and resets it before TLS begins.
    AcceptReset,
    /// `accept-hang`: takes a connection and never says anything, not even in TLS.
    AcceptHang,
    /// Anything that is carried out byte by byte.
    Scripted(Scripted),
}

/// When a behaviour takes hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A connection was taken; nothing was read from it.
    Accept,
    /// The TLS handshake is done; no request was read.
    Secured,
    /// A request was read in full.
    Answer,
}

impl Behaviour {
    /// The moment this behaviour takes hold: its `rate`, `first` and `after` count those moments.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        match self {
            Self::AcceptReset | Self::AcceptHang => Stage::Accept,
            Self::Scripted(scripted) => scripted.stage(),
            Self::Status(_)
            | Self::Delay(_)
            | Self::Hang
            | Self::Reset
            | Self::SlowBody(_)
            | Self::BigBody(_)
            | Self::Redirect(..)
            | Self::RetryAfter(..)
            | Self::Gzip
            | Self::Echo(_) => Stage::Answer,
        }
    }
}

/// The requests that a behaviour happens to, out of those that get to it.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    /// `rate=0.1`: the share of requests, 0 to 1.
    pub rate: f64,
    /// `after=10`: leaves out this many requests first.
    pub after: u64,
    /// `first=2`: then takes only this many into account; `None` takes all.
    pub first: Option<u64>,
    /// `path=/x`: only requests whose path begins so. Without it, messages only; with it also
    /// the token endpoint.
    pub path: Option<String>,
}

impl Default for When {
    fn default() -> Self {
        Self {
            rate: 1.0,
            after: 0,
            first: None,
            path: None,
        }
    }
}

impl Fault {
    /// A fault that happens to every request.
    #[must_use]
    pub fn always(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            when: When::default(),
        }
    }
}

impl fmt::Display for Fault {
    /// The text that parses to this fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.behaviour, f)?;
        let When {
            rate,
            after,
            first,
            path,
        } = &self.when;
        if *rate < 1.0 {
            write!(f, ",rate={rate}")?;
        }
        if *after > 0 {
            write!(f, ",after={after}")?;
        }
        if let Some(first) = first {
            write!(f, ",first={first}")?;
        }
        if let Some(path) = path {
            write!(f, ",path={path}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status={}", status.as_u16()),
            Self::Delay(duration) => write!(f, "delay={}", units::Shown(*duration)),
            Self::Hang => f.write_str("hang"),
            Self::Reset => f.write_str("reset"),
            Self::SlowBody(interval) => write!(f, "slow-body={}", units::Shown(*interval)),
            Self::BigBody(bytes) => write!(f, "big-body={bytes}"),
            Self::Redirect(status, location) => {
                let location = location.to_str().unwrap_or_default();
                write!(f, "redirect={}:{location}", status.as_u16())
            }
            Self::RetryAfter(status, when) => {
                // A comma would end the fault's text.
                let when = when.to_str().unwrap_or_default().replace(',', "%2C");
                write!(f, "retry-after={}:{when}", status.as_u16())
            }
            Self::Gzip => f.write_str("gzip"),
            Self::Echo(status) => write!(f, "echo={}", status.as_u16()),
            Self::AcceptReset => f.write_str("accept-reset"),
            Self::AcceptHang => f.write_str("accept-hang"),
            Self::Scripted(scripted) => scripted.fmt(f),
        }
    }
}

/// What is to happen to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How long to wait first.
    pub(crate) delay: Duration,
    /// What to do then; `None` is a good answer.
    pub(crate) behaviour: Option<Behaviour>,
}

impl Plan {
    /// The name under which the fault is recorded, `None` when there is none.
    pub(crate) fn name(&self) -> Option<String> {
        match (&self.behaviour, self.delay) {
            (Some(behaviour), _) => Some(behaviour.to_string()),
            (None, Duration::ZERO) => None,
            (None, delay) => Some(Behaviour::Delay(delay).to_string()),
        }
    }
}

/// The faults of a running receiver, with their counts.
#[derive(Debug, Default)]
pub(crate) struct FaultSet {
    armed: Vec<Armed>,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    seed: u64,
    seen: AtomicU64,
    fired: AtomicU64,
}

impl FaultSet {
    pub(crate) fn new(faults: Vec<Fault>, seed: u64) -> Self {
        let armed = faults
            .into_iter()
            .zip(0u64..)
            .map(|(fault, place)| Armed {
                fault,
                seed: scramble(seed ^ scramble(place)),
                seen: AtomicU64::new(0),
                fired: AtomicU64::new(0),
            })
            .collect();
        Self { armed }
    }

    /// What happens to the connection just taken.
    pub(crate) fn plan_accept(&self) -> Option<Behaviour> {
        self.plan_connection(Stage::Accept)
    }

    /// What happens to the connection whose handshake is done.
    pub(crate) fn plan_secured(&self) -> Option<Behaviour> {
        self.plan_connection(Stage::Secured)
    }

    fn plan_connection(&self, stage: Stage) -> Option<Behaviour> {
        let mut armed = self.of_stage(stage);
        armed
            .find(|armed| armed.fires())
            .map(|armed| armed.fault.behaviour.clone())
    }

    /// What happens to the request just read. `is_message` is false for the token endpoint.
    pub(crate) fn plan_answer(&self, path: &str, is_message: bool) -> Plan {
        let mut plan = Plan::default();
        for armed in self.of_stage(Stage::Answer) {
            let concerned = match &armed.fault.when.path {
                Some(prefix) => path.starts_with(prefix),
                None => is_message,
            };
            if !concerned || !armed.fires() {
                continue;
            }
            if let Behaviour::Delay(delay) = armed.fault.behaviour {
                plan.delay = plan.delay.saturating_add(delay).min(FAULT_DURATION_MAX);
            } else {
                plan.behaviour = Some(armed.fault.behaviour.clone());
                break;
            }
        }
        plan
    }

    /// How often each fault was asked and fired.
    pub(crate) fn counts(&self) -> Vec<FaultCount> {
        let armed = self.armed.iter();
        armed
            .map(|armed| FaultCount {
                fault: armed.fault.to_string(),
                seen: armed.seen.load(Ordering::Relaxed),
                fired: armed.fired.load(Ordering::Relaxed),
            })
            .collect()
    }

    fn of_stage(&self, stage: Stage) -> impl Iterator<Item = &Armed> {
        self.armed
            .iter()
            .filter(move |armed| armed.fault.behaviour.stage() == stage)
    }
}

impl Armed {
    fn fires(&self) -> bool {
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        let When {
            rate, after, first, ..
        } = self.fault.when;
        let in_window = number >= after && first.is_none_or(|first| number - after < first);
        let fires = in_window && share(scramble(self.seed.wrapping_add(number))) < rate;
        if fires {
            self.fired.fetch_add(1, Ordering::Relaxed);
        }
        fires
    }
}

/// How often one fault was asked and fired.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FaultCount {
    /// The fault, as text.
    pub fault: String,
    /// Requests or connections that got to it.
    pub seen: u64,
    /// Those it happened to.
    pub fired: u64,
}

/// The finaliser of SplitMix64: neighbouring inputs give unrelated outputs.
const fn scramble(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Maps 64 random bits to 0 (included) to 1 (left out), so that a rate of 0 never fires and 1
/// always does.
fn share(bits: u64) -> f64 {
    let top = u32::try_from(bits >> 32).unwrap_or(u32::MAX);
    f64::from(top) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests;
