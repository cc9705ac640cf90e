//! Numbers, durations and lines as people read them.

use std::time::Duration;

/// `12034` as `12,034`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A latency, in milliseconds up to ten seconds: `0.8 ms`, `312 ms`, `12.3 s`.
pub(crate) fn latency(duration: Duration) -> String {
    if duration < Duration::from_millis(10) {
        let tenths = duration.as_micros() / 100;
        format!("{}.{} ms", tenths / 10, tenths % 10)
    } else if duration < Duration::from_secs(10) {
        format!("{} ms", duration.as_millis())
    } else {
        seconds(duration)
    }
}

/// A time span: `12.3 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let tenths = duration.as_millis() / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// A size: `812 B`, `14.2 MB`.
pub(crate) fn bytes(count: u64) -> String {
    for (unit, size) in [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)] {
        if count >= size {
            let tenths = count / (size / 10);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{count} B")
}

/// The first digits of a device's id, as `0795…`.
pub(crate) fn short_device(id: &str) -> String {
    cut(id, 5)
}

/// The text, or as much of it as fits into `width` characters, with `…` for the rest.
///
/// Takes every character for one cell wide, which holds for the letters, digits and signs used here.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T>(write: impl Fn(T) -> String, cases: impl IntoIterator<Item = (T, &'static str)>) {
        for (input, expected) in cases {
            assert_eq!(write(input), expected);
        }
    }

    #[test]
    fn numbers_are_grouped() {
        check(
            grouped,
            [
                (0, "0"),
                (999, "999"),
                (1_000, "1,000"),
                (12_034_567, "12,034,567"),
            ],
        );
    }

    #[test]
    fn durations_have_units() {
        check(
            |micros| latency(Duration::from_micros(micros)),
            [
                (840, "0.8 ms"),
                (9_999, "9.9 ms"),
                (312_400, "312 ms"),
                (9_999_000, "9999 ms"),
                (12_340_000, "12.3 s"),
            ],
        );
    }

    #[test]
    fn sizes_have_units() {
        check(
            bytes,
            [(812, "812 B"), (1_000, "1.0 kB"), (14_260_000, "14.2 MB")],
        );
    }

    #[test]
    fn long_text_is_cut() {
        check(
            |width| cut("a→bc", width),
            [(4, "a→bc"), (3, "a→…"), (1, "…"), (0, "")],
        );
        check(
            short_device,
            [("07955261652886032950143702505894272138", "0795…")],
        );
    }
}
