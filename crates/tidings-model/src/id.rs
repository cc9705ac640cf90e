//! Ids of the domain: devices, data sources, traits, segments, destinations, regions.
//!
//! A device id is decimal text whose leading zeros count. Ids of the usual 38 digits are kept as
//! one `u128` (10^38 < 2^127); any other length up to [`limits::UUID_DIGITS_MAX`] is kept as text.

use crate::limits;
use std::{fmt, str::FromStr};

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The text is empty.
    #[error("the id is empty")]
    Empty,
    /// The text is longer than the limit.
    #[error("the id has {length} characters, the limit is {max}")]
    TooLong {
        /// Characters found.
        length: usize,
        /// Characters allowed.
        max: usize,
    },
    /// A character that is not a decimal digit.
    #[error("the id has a character that is not a digit at position {position}")]
    NotADigit {
        /// Byte position, from 0.
        position: usize,
    },
    /// The number does not fit in 32 bits.
    #[error("the id {0} is out of range, ids go from 0 to 4294967294")]
    OutOfRange(String),
}

/// The id of one device: 1 to 64 decimal digits, normally 38, leading zeros significant.
///
/// Two ids are equal when their texts are. Cloning a 38-digit id copies 16 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceUuid(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    /// Exactly 38 digits.
    Canonical(u128),
    /// Any other length.
    Text(Box<str>),
}

/// Digits of a canonical id.
pub const UUID_DIGITS: usize = 38;

const CANONICAL_END: u128 = 10u128.pow(38);

impl DeviceUuid {
    /// The canonical id with this number, or `None` when it needs more than 38 digits.
    #[must_use]
    pub const fn from_number(number: u128) -> Option<Self> {
        if number < CANONICAL_END {
            Some(Self(Repr::Canonical(number)))
        } else {
            None
        }
    }

    /// A canonical id from 16 random bytes; the caller brings the randomness.
    #[must_use]
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        // 2^128 / 10^38 is about 3.4: the bias of the remainder is of no consequence for an id.
        Self(Repr::Canonical(u128::from_le_bytes(bytes) % CANONICAL_END))
    }

    /// The number of a canonical (38-digit) id, `None` for ids of any other length.
    #[must_use]
    pub const fn as_number(&self) -> Option<u128> {
        match self.0 {
            Repr::Canonical(number) => Some(number),
            Repr::Text(_) => None,
        }
    }

    /// The text of an id that is not canonical, `None` for 38-digit ids.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Repr::Canonical(_) => None,
            Repr::Text(text) => Some(text),
        }
    }

    /// Hands out the id's digits as text, without allocating.
    pub fn with_text<R>(&self, read: impl FnOnce(&str) -> R) -> R {
        match &self.0 {
            // Digits are ASCII.
            Repr::Canonical(number) => {
                read(std::str::from_utf8(&digits(*number)).unwrap_or_default())
            }
            Repr::Text(text) => read(text),
        }
    }

    /// Appends the id's digits to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Repr::Canonical(number) => out.extend_from_slice(&digits(*number)),
            Repr::Text(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

/// The 38 digits of `number`, which is below 10^38.
fn digits(number: u128) -> [u8; UUID_DIGITS] {
    const HALF: u128 = 10u128.pow(19);
    let mut out = [b'0'; UUID_DIGITS];
    // Each half is below 10^19 and so fits in 64 bits, where division is cheap.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both are below 10^19 < 2^64"
    )]
    let halves = [(number / HALF) as u64, (number % HALF) as u64];
    for (half, mut rest) in halves.into_iter().enumerate() {
        for position in (half * 19..half * 19 + 19).rev() {
            let digit = (rest % 10) as u8;
            if let Some(byte) = out.get_mut(position) {
                *byte = b'0' + digit;
            }
            rest /= 10;
        }
    }
    out
}

impl FromStr for DeviceUuid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.len() > limits::UUID_DIGITS_MAX {
            return Err(IdError::TooLong {
                length: text.len(),
                max: limits::UUID_DIGITS_MAX,
            });
        }
        if let Some(position) = text.bytes().position(|byte| !byte.is_ascii_digit()) {
            return Err(IdError::NotADigit { position });
        }
        if text.len() == UUID_DIGITS {
            let number = text
                .bytes()
                .fold(0u128, |n, byte| n * 10 + u128::from(byte - b'0'));
            return Ok(Self(Repr::Canonical(number)));
        }
        Ok(Self(Repr::Text(text.into())))
    }
}

impl fmt::Display for DeviceUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Canonical(number) => write!(f, "{number:038}"),
            Repr::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for DeviceUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_number(text).map(Self)
            }
        }
    };
}

fn parse_number(text: &str) -> Result<u32, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if let Some(position) = text.bytes().position(|byte| !byte.is_ascii_digit()) {
        return Err(IdError::NotADigit { position });
    }
    match text.parse() {
        Ok(u32::MAX) | Err(_) => Err(IdError::OutOfRange(text.to_owned())),
        Ok(number) => Ok(number),
    }
}

number_id! {
    /// A data source: the namespace of declared ids, and the owner of traits.
    DataSourceId
}
number_id! {
    /// A trait.
    TraitId
}
number_id! {
    /// A segment.
    SegmentId
}
number_id! {
    /// A destination: our configuration of one partner endpoint.
    DestinationId
}
number_id! {
    /// An edge region in which a device was seen.
    RegionId
}

impl DataSourceId {
    /// Stands for "no namespace" where a destination has no ids of its own; never in a catalog.
    pub const NONE: Self = Self(u32::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, IdError>) {
        let parsed = text.parse::<DeviceUuid>();
        assert_eq!(
            parsed.clone().map(|uuid| uuid.to_string()),
            expected.map(str::to_owned)
        );
        if let Ok(uuid) = parsed {
            let mut bytes = Vec::new();
            uuid.write_to(&mut bytes);
            assert_eq!(bytes, text.as_bytes());
        }
    }

    #[test]
    fn keeps_leading_zeros_and_any_length() {
        for text in [
            "07955261652886032950143702505894272138",
            "00000000000000000000000000000000000000",
            "99999999999999999999999999999999999999",
            "0578240750487542456854736923319946899715232",
            "7",
            "0",
        ] {
            check(text, Ok(text));
        }
    }

    #[test]
    fn refuses_what_is_not_an_id() {
        check("", Err(IdError::Empty));
        check("12a", Err(IdError::NotADigit { position: 2 }));
        check(
            &"1".repeat(65),
            Err(IdError::TooLong {
                length: 65,
                max: 64,
            }),
        );
    }

    #[test]
    fn number_ids_are_bounded() {
        assert_eq!("4294967294".parse(), Ok(TraitId(4_294_967_294)));
        assert!("4294967295".parse::<TraitId>().is_err());
        assert!("-1".parse::<TraitId>().is_err());
        assert!("".parse::<TraitId>().is_err());
    }
}
