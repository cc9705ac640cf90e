//! Decoder for receivers: bytes to a [`Message`], or a list of what is wrong and where.
//!
//! A **tolerant** decoder takes every form that a sender of this protocol is known to use: strings or
//! integers for numbers, any of the destination's keys, `User_DPID` and `AAM_Regions` or not, members
//! in any order, white space, members nobody knows, a blank partner id. What is merely odd comes back
//! as a warning. A **strict** decoder takes only what a sender with given [`Options`] sends, for tests
//! and certification.
//!
//! | | tolerant | strict |
//! | --- | --- | --- |
//! | number | string of digits or integer | as [`Options::numbers`] says; an id may be a text in both |
//! | destination's key | both published spellings and one extra | as [`Options::destination_key`] says |
//! | `User_DPID`, `AAM_Regions` | may be missing | may be missing; refused if the options leave them out |
//! | unknown member | ignored | refused |
//! | `User_count` is not the length of `Users` | warning | refused |
//! | `User_count` with leading zeros | taken | refused |
//! | empty `Users`, `Segments` or `AAM_Regions` | warning | refused |
//! | a `Segment_ID` twice in one user object | warning | warning |
//!
//! Both refuse: other JSON than one object, a missing or `null` member, a known member that appears
//! twice (JSON readers differ in which one wins, so two honest receivers could read different things
//! out of one signed message), an empty destination's id or `Segment_ID`, an `AAM_UUID` that is not
//! digits, a `Status` other than 0 and 1, a date that does not exist or has the wrong weekday,
//! `User_DPID`s and regions above 32 bits.
//!
//! Limits hold before and while memory is used: bytes, nesting, values, users, and reported problems.
//! Problems quote no ids of users, so they may be logged. Check the signature first, over the bytes as
//! received: see [`sign`](crate::sign).

mod json;
mod problem;
mod read;
mod rules;

use crate::{Message, Options};

use rules::Rules;

pub use problem::{Problem, Problems};

/// Bounds on what a decoder accepts and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a message: default 4 MiB.
    pub bytes: usize,
    /// Nesting of arrays and objects: default 32, at most 127; a plain message needs 5.
    pub depth: usize,
    /// JSON values in a message, names of members not counted: default 262,144. A segment has four.
    pub values: usize,
    /// User objects of a message: default 1,000.
    pub users: usize,
    /// Problems, and likewise warnings, that are listed; the rest is only counted. Default 32.
    pub problems: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 4 * 1024 * 1024,
            depth: 32,
            values: 256 * 1024,
            users: 1_000,
            problems: 32,
        }
    }
}

/// Settings of a receiver; decodes any number of messages.
#[derive(Clone, Debug)]
pub struct Decoder {
    rules: Rules,
    limits: Limits,
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The message.
    pub message: Message,
    /// What is odd about it, usually nothing.
    pub warnings: Problems,
}

/// The message was refused. To the sender all kinds are the same: an answer other than 200.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// More bytes than the limit; nothing was read.
    #[error("message has {bytes} bytes, more than {bytes_max}")]
    TooLarge {
        /// Bytes of the message.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Arrays or objects are nested deeper than the limit.
    #[error("message is nested deeper than {depth_max}")]
    TooDeep {
        /// The limit.
        depth_max: usize,
    },
    /// More JSON values than the limit.
    #[error("message has more than {values_max} values")]
    TooManyValues {
        /// The limit.
        values_max: usize,
    },
    /// The bytes are not UTF-8.
    #[error("message is not UTF-8 from byte {valid_bytes} on")]
    NotUtf8 {
        /// How many bytes at the start are.
        valid_bytes: usize,
    },
    /// The text is not JSON, or more than one JSON value.
    #[error("message is not JSON: {0}")]
    NotJson(String),
    /// The JSON is not a message.
    #[error("message is not valid: {0}")]
    Invalid(Problems),
}

impl DecodeError {
    /// The problems member by member; `None` if the message could not be read that far.
    #[must_use]
    pub const fn problems(&self) -> Option<&Problems> {
        match self {
            Self::Invalid(problems) => Some(problems),
            _ => None,
        }
    }
}

impl Decoder {
    /// A decoder that takes every known form.
    #[must_use]
    pub fn tolerant() -> Self {
        Self {
            rules: Rules::Tolerant {
                extra_destination_key: None,
            },
            limits: Limits::default(),
        }
    }

    /// A tolerant decoder that also takes the destination's id under `key`, for a sender that was
    /// configured to use it.
    #[must_use]
    pub fn tolerant_with_key(key: impl Into<String>) -> Self {
        Self {
            rules: Rules::Tolerant {
                extra_destination_key: Some(key.into()),
            },
            limits: Limits::default(),
        }
    }

    /// A decoder that takes only what a sender with these options sends.
    #[must_use]
    pub fn strict(options: Options) -> Self {
        Self {
            rules: Rules::Strict(options),
            limits: Limits::default(),
        }
    }

    /// The same decoder with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Decodes the body of one request.
    ///
    /// # Errors
    /// [`DecodeError`]; a message that is JSON is read to its end, so that
    /// [`Invalid`](DecodeError::Invalid) names all of its problems up to the limit.
    pub fn decode(&self, body: &[u8]) -> Result<Decoded, DecodeError> {
        let tree = json::parse(body, &self.limits)?;
        read::message(&self.rules, &self.limits, &tree)
    }
}
