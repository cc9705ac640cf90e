//! Wire dates: `Wed Jul 27 16:17:42 UTC 2016`, the text of Java's `Date.toString()` in UTC.
//!
//! ```text
//! byte  0   4   8  11       20  24
//!       Wed Jul 27 16:17:42 UTC 2016        always 28 bytes
//! ```
//!
//! Instants are seconds since 1970-01-01T00:00:00Z; leap seconds are not counted, fractions do not
//! exist. English names, two-digit day, four-digit year, the literal `UTC`: nothing is localised.
//! Invariant: `parse(text(s)) == Ok(s)` for every second from [`FIRST`] to [`LAST`].
//!
//! Calendar arithmetic counts years from March, which puts the leap day at a year's end and makes
//! month lengths a linear formula (Howard Hinnant, "chrono-compatible low-level date algorithms").

/// Bytes of every wire date.
pub const LEN: usize = 28;
/// The first instant a wire date can name: 0000-01-01T00:00:00Z.
pub const FIRST: i64 = -62_167_219_200;
/// The last instant a wire date can name: 9999-12-31T23:59:59Z.
pub const LAST: i64 = 253_402_300_799;

const DAY_SECONDS: u64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;
/// Seconds from 400 years before 0000-03-01 to the epoch: added to an instant in range, the sum is
/// positive, so that everything after it is unsigned. 400 years are one cycle of the calendar.
const SHIFT_SECONDS: i64 = (EPOCH_DAYS + CYCLE_DAYS as i64) * DAY_SECONDS as i64;
const CYCLE_DAYS: u32 = 146_097;
const TEMPLATE: [u8; LEN] = *b"Www Mmm 00 00:00:00 UTC 0000";
const WEEKDAYS: [[u8; 3]; 7] = [
    *b"Wed", *b"Thu", *b"Fri", *b"Sat", *b"Sun", *b"Mon", *b"Tue",
];
/// From March, as the arithmetic counts.
const MONTHS: [[u8; 3]; 12] = [
    *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct", *b"Nov", *b"Dec",
    *b"Jan", *b"Feb",
];

/// The text is not a wire date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DateError {
    /// It does not have the fixed form.
    #[error("must have the form \"Wed Jul 27 16:17:42 UTC 2016\"")]
    Form,
    /// The form is right, but no such day or time of day exists.
    #[error("names no existing day and time")]
    NoSuchTime,
    /// The weekday contradicts the date.
    #[error("weekday does not agree with the date")]
    Weekday,
}

/// Appends the wire date of `seconds` to `out`, 28 bytes.
///
/// An instant outside [`FIRST`]`..=`[`LAST`] is written as the nearer of the two: the format has no
/// text for it. Allocates only if `out` has to grow.
pub fn write(seconds: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&text(seconds));
}

/// The wire date of `seconds`; out of range as [`write()`] says.
#[must_use]
pub fn text(seconds: i64) -> [u8; LEN] {
    let shifted = (seconds.clamp(FIRST, LAST) + SHIFT_SECONDS).unsigned_abs();
    let day = narrow(shifted / DAY_SECONDS);
    let second = narrow(shifted % DAY_SECONDS);
    let (year, month, day_of_month) = civil(day);

    let mut text = TEMPLATE;
    text[0..3].copy_from_slice(&WEEKDAYS[(day % 7) as usize]);
    text[4..7].copy_from_slice(&MONTHS[month as usize]);
    put_pair(&mut text, 8, day_of_month);
    put_pair(&mut text, 11, second / 3600);
    put_pair(&mut text, 14, second / 60 % 60);
    put_pair(&mut text, 17, second % 60);
    put_pair(&mut text, 24, year / 100);
    put_pair(&mut text, 26, year % 100);
    text
}

/// The instant a wire date names, in seconds since 1970-01-01T00:00:00Z.
///
/// # Errors
/// Anything but the exact form is refused: other lengths, cases, zones or paddings, second 60, a
/// day its month does not have, a weekday that does not belong to the date.
pub fn parse(text: &str) -> Result<i64, DateError> {
    let text: &[u8; LEN] = text.as_bytes().try_into().map_err(|_| DateError::Form)?;
    let fixed = [(3, b' '), (7, b' '), (10, b' '), (13, b':'), (16, b':')];
    if fixed.iter().any(|&(at, byte)| text[at] != byte) || text[19..24] != *b" UTC " {
        return Err(DateError::Form);
    }
    let weekday = find(&WEEKDAYS, &text[0..3])?;
    let month = find(&MONTHS, &text[4..7])?;
    let day_of_month = pair(text, 8)?;
    let (hour, minute, second) = (pair(text, 11)?, pair(text, 14)?, pair(text, 17)?);
    let year = pair(text, 24)? * 100 + pair(text, 26)?;

    if day_of_month == 0 || hour > 23 || minute > 59 || second > 59 {
        return Err(DateError::NoSuchTime);
    }
    let day = days(year, month, day_of_month);
    // A day past the end of its month comes back as one of the next month.
    if civil(day) != (year, month, day_of_month) {
        return Err(DateError::NoSuchTime);
    }
    if day % 7 != weekday {
        return Err(DateError::Weekday);
    }
    let seconds_of_day = hour * 3600 + minute * 60 + second;
    Ok(i64::from(day) * 86_400 + i64::from(seconds_of_day) - SHIFT_SECONDS)
}

/// Year, month from March (0 to 11) and day of month of a day counted from 400 years before
/// 0000-03-01. The year is that of the calendar, which changes in January.
const fn civil(day: u32) -> (u32, u32, u32) {
    let cycle = day / CYCLE_DAYS;
    let day = day % CYCLE_DAYS;
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let january_or_later = if month >= 10 { 1 } else { 0 };
    // Range: the first day in range lies in January of year 0, that is in cycle 0.
    let year = cycle * 400 + year + january_or_later - 400;
    (year, month, day_of_month)
}

/// The inverse of [`civil`].
const fn days(year: u32, month: u32, day_of_month: u32) -> u32 {
    let january_or_later = if month >= 10 { 1 } else { 0 };
    let year = year + 400 - january_or_later;
    let day_of_year = (153 * month + 2) / 5 + day_of_month;
    (year * 365 + year / 4 - year / 100 + year / 400 + day_of_year) - 1
}

fn narrow(number: u64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "days of 10,400 years, seconds of a day"
    )]
    let number = number as u32;
    number
}

fn put_pair(text: &mut [u8; LEN], at: usize, number: u32) {
    #[expect(clippy::cast_possible_truncation, reason = "callers pass 0 to 99")]
    let number = number as u8;
    text[at] = b'0' + number / 10;
    text[at + 1] = b'0' + number % 10;
}

fn pair(text: &[u8; LEN], at: usize) -> Result<u32, DateError> {
    match text[at..at + 2] {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Ok(u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
        }
        _ => Err(DateError::Form),
    }
}

/// The position of `name` in `names`.
fn find(names: &[[u8; 3]], name: &[u8]) -> Result<u32, DateError> {
    (0u32..)
        .zip(names)
        .find_map(|(index, candidate)| (candidate == name).then_some(index))
        .ok_or(DateError::Form)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(seconds: i64, expected: &str) {
        assert_eq!(std::str::from_utf8(&text(seconds)).unwrap(), expected);
        assert_eq!(parse(expected), Ok(seconds));
    }

    #[track_caller]
    fn refuse(text: &str, expected: DateError) {
        assert_eq!(parse(text), Err(expected), "{text:?}");
    }

    #[test]
    fn writes_and_reads() {
        check(1_469_636_262, "Wed Jul 27 16:17:42 UTC 2016");
        check(1_437_505_965, "Tue Jul 21 19:12:45 UTC 2015");
        check(1_456_704_005, "Mon Feb 29 00:00:05 UTC 2016");
        check(1_456_823_287, "Tue Mar 01 09:08:07 UTC 2016");
        check(0, "Thu Jan 01 00:00:00 UTC 1970");
        check(-1, "Wed Dec 31 23:59:59 UTC 1969");
        check(951_782_400, "Tue Feb 29 00:00:00 UTC 2000");
        check(FIRST, "Sat Jan 01 00:00:00 UTC 0000");
        check(LAST, "Fri Dec 31 23:59:59 UTC 9999");
    }

    #[test]
    fn writes_the_nearest_date_when_out_of_range() {
        assert_eq!(text(i64::MIN), text(FIRST));
        assert_eq!(text(LAST + 1), text(LAST));
        assert_eq!(text(i64::MAX), text(LAST));
    }

    #[test]
    fn refuses_another_form() {
        for text in [
            "",
            "Wed Jul 27 16:17:42 UTC 2016 ",
            "Wed Jul 27 16:17:42 UTC 216",
            "Wed Jul 27 16:17:42 GMT 2016",
            "wed Jul 27 16:17:42 UTC 2016",
            "Wed JUL 27 16:17:42 UTC 2016",
            "Wed Jul 27 16.17.42 UTC 2016",
            "Wed Jul 27 16:17:42 UTC +016",
            "Tue Mar  1 09:08:07 UTC 2016",
            "Tue Mar 1 09:08:07 UTC 2016",
            "2016-07-27T16:17:42Z",
            "Wed Jul 27 16:17:4\u{e9} UTC 201",
        ] {
            refuse(text, DateError::Form);
        }
    }

    #[test]
    fn refuses_what_does_not_exist() {
        for text in [
            "Sun Feb 29 00:00:00 UTC 2015",
            "Thu Feb 29 00:00:00 UTC 1900",
            "Wed Jul 00 16:17:42 UTC 2016",
            "Wed Jul 32 16:17:42 UTC 2016",
            "Fri Jun 31 16:17:42 UTC 2016",
            "Wed Jul 27 24:00:00 UTC 2016",
            "Wed Jul 27 16:60:42 UTC 2016",
            "Sat Dec 31 23:59:60 UTC 2016",
            "Fri Dec 99 23:59:59 UTC 9999",
            "Sat Jan 00 00:00:00 UTC 0000",
        ] {
            refuse(text, DateError::NoSuchTime);
        }
    }

    #[test]
    fn refuses_a_weekday_of_another_date() {
        refuse("Thu Jul 27 16:17:42 UTC 2016", DateError::Weekday);
    }

    proptest! {
        #[test]
        fn parse_inverts_text(seconds in FIRST..=LAST) {
            let text = text(seconds);
            prop_assert_eq!(parse(std::str::from_utf8(&text).unwrap()), Ok(seconds));
        }

        #[test]
        fn what_is_read_is_written_alike(
            at in 0..LEN, byte in 0x20u8..0x7f, seconds in FIRST..=LAST,
        ) {
            let mut altered = text(seconds);
            altered[at] = byte;
            if let Ok(read) = parse(std::str::from_utf8(&altered).unwrap()) {
                prop_assert_eq!(text(read), altered);
            }
        }
    }
}
