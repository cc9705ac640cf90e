//! Time: instants in whole seconds, UTC days, and milliseconds of a clock that only schedules.
//!
//! The domain has a resolution of one second (wire dates) and one day (time-to-live, recency), so
//! an instant is seconds since 1970-01-01T00:00:00Z and fractions are dropped at the door.

use std::{fmt, time::Duration};

/// Seconds of a day.
pub const DAY_SECONDS: i64 = 86_400;

/// An instant: whole seconds since the Unix epoch, UTC, leap seconds not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// A calendar day in UTC: days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UtcDay(pub i32);

/// Milliseconds of a scheduling clock: monotonic in a running server, virtual in a simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Millis(pub u64);

/// The text is not an instant in RFC 3339 form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time like 2016-07-27T16:17:22Z: {0}")]
pub struct TimestampError(String);

impl Timestamp {
    /// Parses RFC 3339, any offset; a fraction of a second is dropped, not rounded.
    ///
    /// # Errors
    /// When the text is not an RFC 3339 instant in the years -9999 to 9999.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        if let Some(instant) = parse_plain(text.as_bytes()) {
            return Ok(instant);
        }
        let instant: jiff::Timestamp = text
            .parse()
            .map_err(|error: jiff::Error| TimestampError(error.to_string()))?;
        // `as_second` truncates towards zero; before 1970 that would be rounding up.
        Ok(Self(instant.as_millisecond().div_euclid(1000)))
    }

    /// The day this instant lies in.
    #[must_use]
    pub const fn day(self) -> UtcDay {
        let day = self.0.div_euclid(DAY_SECONDS);
        // Days of any instant a text can name fit easily; beyond, the edge of time will do.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "clamped to the range of i32"
        )]
        UtcDay(if day > i32::MAX as i64 {
            i32::MAX
        } else if day < i32::MIN as i64 {
            i32::MIN
        } else {
            day as i32
        })
    }

    /// This instant and `seconds` more.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this instant; negative when `earlier` is later.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The one form that nearly every event carries, `YYYY-MM-DDThh:mm:ssZ`, without the general parser.
fn parse_plain(text: &[u8]) -> Option<Timestamp> {
    let text: &[u8; 20] = text.try_into().ok()?;
    let number = |from: usize, to: usize| {
        text.get(from..to)?.iter().try_fold(0i64, |n, byte| {
            byte.is_ascii_digit()
                .then(|| n * 10 + i64::from(byte - b'0'))
        })
    };
    for (position, expected) in [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'Z'),
    ] {
        if text.get(position) != Some(&expected) {
            return None;
        }
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || day < 1 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if day > 28 && day > days_in_month(year, month) {
        return None;
    }
    Some(Timestamp(
        days_from_civil(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second,
    ))
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar. The year is taken to begin
/// in March, which puts the leap day at its end and makes the month lengths a linear formula.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl UtcDay {
    /// The day with this date (proleptic Gregorian calendar), or `None` if there is no such date.
    #[must_use]
    pub const fn from_date(year: i32, month: u8, day: u8) -> Option<Self> {
        let (y, m, d) = (year as i64, month as i64, day as i64);
        if year < 0 || year > 9999 || m < 1 || m > 12 || d < 1 || d > days_in_month(y, m) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "years 0 to 9999 fit")]
        Some(Self(days_from_civil(y, m, d) as i32))
    }

    /// Midnight UTC at which this day begins.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        Timestamp(self.0 as i64 * DAY_SECONDS)
    }

    /// This day and `days` more.
    #[must_use]
    pub const fn plus_days(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Days from `earlier` to this day; negative when `earlier` is later.
    #[must_use]
    pub const fn days_since(self, earlier: Self) -> i32 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with whole seconds, `2016-07-27T16:17:22Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(instant) => fmt::Display::fmt(&instant, f),
            Err(_) => write!(f, "@{}", self.0),
        }
    }
}

impl fmt::Display for UtcDay {
    /// `2016-07-27`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.start().to_string();
        f.write_str(text.split('T').next().unwrap_or(&text))
    }
}

impl Millis {
    /// This moment and `duration` more.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// The time from `earlier` to this moment, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(Timestamp::parse(text).unwrap().to_string(), expected);
    }

    #[test]
    fn parses_and_prints() {
        check("2016-07-27T16:17:22Z", "2016-07-27T16:17:22Z");
        check("2016-02-29T00:00:05.999Z", "2016-02-29T00:00:05Z");
        check("2016-07-27T18:17:22+02:00", "2016-07-27T16:17:22Z");
        check("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59Z");
    }

    #[test]
    fn refuses_what_is_not_an_instant() {
        for text in [
            "",
            "yesterday",
            "2016-02-30T00:00:00Z",
            "2016-07-27",
            "2016-07-27T25:00:00Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_begin_at_midnight() {
        let before = Timestamp::parse("2016-07-27T23:59:59Z").unwrap();
        assert_eq!(before.plus_seconds(1).day(), before.day().plus_days(1));
        assert_eq!(before.day().to_string(), "2016-07-27");
        assert_eq!(UtcDay::from_date(2016, 7, 27), Some(before.day()));
        assert_eq!(UtcDay::from_date(2015, 2, 29), None);
        assert_eq!(Timestamp(-1).day(), UtcDay(-1));
    }

    proptest::proptest! {
        #[test]
        fn the_plain_form_agrees_with_the_general_parser(seconds in -62_000_000_000i64..250_000_000_000) {
            let text = Timestamp(seconds).to_string();
            if let Some(plain) = parse_plain(text.as_bytes()) {
                proptest::prop_assert_eq!(plain, Timestamp(seconds));
            }
            proptest::prop_assert_eq!(Timestamp::parse(&text).unwrap(), Timestamp(seconds));
        }
    }
}
