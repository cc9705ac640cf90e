//! The network between us and the partners: names, delays, and what goes wrong on the way.
//!
//! An address is dialled only after the real policy has judged every address of the answer, for each
//! attempt anew: a name that resolved to a public address may resolve to a private one a second later.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};
use tidings_egress::{AddressPolicy, Failure, FailureClass};
#[cfg(planted)]
use tidings_model::planted::{self, Planted};
use tidings_oracle::generate::Random;

/// A public address.
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 216, 34));
/// An address that no partner's name may lead to.
const PRIVATE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

/// What becomes of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is processed and answered with 200.
    Good,
    /// It is not processed, and answered with this status.
    Status {
        /// The status.
        status: u16,
        /// How long the partner asks us to wait.
        retry_after: Option<Duration>,
    },
    /// It never arrives.
    Lost,
    /// It is processed, but the answer never arrives.
    AnswerLost,
    /// The connection is reset before it arrives.
    ResetBefore,
    /// The connection is reset after it was processed.
    ResetAfter,
    /// The name leads to a private address this time, alone or beside a public one.
    Rebound {
        /// Whether there is a public address in the answer as well.
        mixed: bool,
    },
}

impl Fate {
    /// A stable name, for counting.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Status { .. } => "status",
            Self::Lost => "lost",
            Self::AnswerLost => "answer lost",
            Self::ResetBefore => "reset before",
            Self::ResetAfter => "reset after",
            Self::Rebound { .. } => "rebound",
        }
    }

    /// Every kind of fault, by name.
    pub const FAULTS: [&str; 6] = [
        "status",
        "lost",
        "answer lost",
        "reset before",
        "reset after",
        "rebound",
    ];

    /// Whether the partner processes it.
    pub(crate) const fn is_processed(self) -> bool {
        matches!(self, Self::Good | Self::AnswerLost | Self::ResetAfter)
    }

    pub(crate) fn draw(random: &mut Random, failing_percent: i64) -> Self {
        if !random.chance(failing_percent) {
            return Self::Good;
        }
        let status = |status| Self::Status {
            status,
            retry_after: None,
        };
        let retry_after = |status, seconds| Self::Status {
            status,
            retry_after: Some(Duration::from_secs(seconds)),
        };
        *random.pick(&[
            status(500),
            status(204),
            status(202),
            status(301),
            status(400),
            retry_after(503, 2),
            retry_after(429, 10),
            Self::Lost,
            Self::AnswerLost,
            Self::AnswerLost,
            Self::ResetBefore,
            Self::ResetAfter,
            Self::Rebound { mixed: false },
            Self::Rebound { mixed: true },
        ])
    }

    /// What the name of the partner resolves to.
    fn addresses(self) -> Vec<IpAddr> {
        match self {
            Self::Rebound { mixed: false } => vec![PRIVATE],
            Self::Rebound { mixed: true } => vec![PUBLIC, PRIVATE],
            _ => vec![PUBLIC],
        }
    }
}

/// The addresses that are dialled for an attempt of a message, from 1, or why none is.
pub(crate) fn addresses_to_dial(fate: Fate, number: u32) -> Result<Vec<IpAddr>, Failure> {
    let addresses = fate.addresses();
    #[cfg(planted)]
    if planted::is(Planted::AddressJudgedOnce) && number > 1 {
        return Ok(addresses);
    }
    // Whether it is the first attempt does not matter.
    let _ = number;
    let policy = AddressPolicy {
        allow_private: false,
    };
    match policy.judge_all(&addresses) {
        Ok(()) => Ok(addresses),
        Err(refusal) => Err(Failure {
            class: FailureClass::AddressRefused,
            detail: refusal.to_string(),
        }),
    }
}

/// Whether something was dialled that may not be.
pub(crate) fn is_forbidden(addresses: &[IpAddr]) -> bool {
    addresses.iter().any(|address| *address != PUBLIC)
}
