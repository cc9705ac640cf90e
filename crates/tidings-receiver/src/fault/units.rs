//! Durations (`250ms`, `5s`, `2m`, `1h`) and byte counts (`512`, `64KiB`, `1GiB`) in faults.

use crate::limits::FAULT_DURATION_MAX;
use std::{fmt, time::Duration};

/// Parses a whole number with one of the units `ms`, `s`, `m`, `h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration like 250ms, 5s, 2m or 1h");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(wrong()),
    };
    milliseconds
        .map(Duration::from_millis)
        .filter(|duration| *duration <= FAULT_DURATION_MAX)
        .ok_or_else(|| format!("`{text}` is more than {}", Shown(FAULT_DURATION_MAX)))
}

/// Parses a whole number of bytes, `KiB`, `MiB`, `GiB` or `TiB`.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size like 512, 64KiB, 10MiB or 1GiB");
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

/// Prints a duration in the form that [`duration`] parses.
pub(super) struct Shown(pub(super) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            milliseconds if milliseconds % 1_000 == 0 => write!(f, "{}s", milliseconds / 1_000),
            milliseconds => write!(f, "{milliseconds}ms"),
        }
    }
}
