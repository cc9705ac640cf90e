//! Values with a unit: durations such as `30s` and sizes such as `8MiB`.
//!
//! A number is whole and directly followed by its unit, so that no value is read in two ways.

use std::time::Duration;

/// Why a text is not a duration or a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// There is no whole number before the unit.
    #[error("it does not begin with a whole number")]
    NoNumber,
    /// There is only a number.
    #[error("the unit is missing")]
    NoUnit,
    /// The unit is not one of those known.
    #[error("the unit is unknown")]
    UnknownUnit,
    /// The value does not fit in 64 bits.
    #[error("it is too large")]
    TooLarge,
}

/// Parses a duration: a whole number and `ms`, `s`, `m`, `h` or `d`, as in `500ms` or `24h`.
///
/// # Errors
/// When there is no number or no unit, when the unit is unknown, and when the value overflows.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60 * 1_000,
        "h" => 3_600 * 1_000,
        "d" => 86_400 * 1_000,
        _ => return Err(UnitError::UnknownUnit),
    };
    let total = number
        .checked_mul(milliseconds)
        .ok_or(UnitError::TooLarge)?;
    Ok(Duration::from_millis(total))
}

/// Parses a size in bytes: a whole number and `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`.
///
/// # Errors
/// When there is no number or no unit, when the unit is unknown, and when the value overflows.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(UnitError::UnknownUnit),
    };
    number.checked_mul(bytes).ok_or(UnitError::TooLarge)
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(UnitError::NoNumber)?;
    if number.is_empty() {
        return Err(UnitError::NoNumber);
    }
    if unit.is_empty() {
        return Err(UnitError::NoUnit);
    }
    let number = number.parse().map_err(|_| UnitError::TooLarge)?;
    Ok((number, unit))
}

/// Writes a duration the way [`parse_duration`] reads it, with the largest unit that fits.
pub(crate) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if milliseconds >= size && milliseconds.is_multiple_of(size) {
            return format!("{}{unit}", milliseconds / size);
        }
    }
    format!("{milliseconds}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<u64, UnitError>) {
        let milliseconds = expected.map(Duration::from_millis);
        assert_eq!(parse_duration(text), milliseconds, "{text}");
    }

    #[test]
    fn reads_durations() {
        check("500ms", Ok(500));
        check("1s", Ok(1_000));
        check("2m", Ok(120_000));
        check("24h", Ok(86_400_000));
        check("1d", Ok(86_400_000));
        check("0s", Ok(0));
        check("", Err(UnitError::NoNumber));
        check("s", Err(UnitError::NoNumber));
        check("-1s", Err(UnitError::NoNumber));
        check("3", Err(UnitError::NoUnit));
        check("3 s", Err(UnitError::UnknownUnit));
        check("1.5s", Err(UnitError::UnknownUnit));
        check("3S", Err(UnitError::UnknownUnit));
        check("99999999999999999999s", Err(UnitError::TooLarge));
        check("18446744073709551615d", Err(UnitError::TooLarge));
    }

    #[test]
    fn reads_sizes() {
        assert_eq!(parse_size("8MiB"), Ok(8 << 20));
        assert_eq!(parse_size("10kB"), Ok(10_000));
        assert_eq!(parse_size("8"), Err(UnitError::NoUnit));
        assert_eq!(parse_size("8mb"), Err(UnitError::UnknownUnit));
        assert_eq!(
            parse_size("18446744073709551615GiB"),
            Err(UnitError::TooLarge)
        );
    }

    #[test]
    fn shows_what_it_reads() {
        for text in ["500ms", "1s", "90s", "2m", "24h", "0ms"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
    }
}
