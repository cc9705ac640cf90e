//! How values compare: as exact decimals when both are numbers, as text otherwise.
//!
//! A number is what the grammar calls one, `-?[0-9]+(\.[0-9]+)?`, of any length: `1e3`, `+5`, `.5`
//! and ` 5` are text. Numbers are compared digit by digit, never as floating point: two different
//! 20-digit ids must not become equal because they share 53 bits.

use std::cmp::Ordering;

/// A decimal number without the zeros that do not count. The slices hold digits only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Decimal<'a> {
    /// Never set for zero.
    negative: bool,
    /// Without leading zeros; empty below one.
    whole: &'a [u8],
    /// Without trailing zeros.
    fraction: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// The number that `text` is, or `None` when it is not one.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let all_digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !fraction.is_none_or(all_digits) {
            return None;
        }
        let whole = whole.trim_start_matches('0').as_bytes();
        let fraction = fraction
            .unwrap_or_default()
            .trim_end_matches('0')
            .as_bytes();
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self {
            negative: negative && !is_zero,
            whole,
            fraction,
        })
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // A fraction is compared like text: 0.5 is above 0.45, and a prefix is below what it begins.
        let magnitude = |n: &Self| (n.whole.len(), n.whole, n.fraction);
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => (self.whole.len(), self.whole, self.fraction).cmp(&magnitude(other)),
            (true, true) => (other.whole.len(), other.whole, other.fraction).cmp(&magnitude(self)),
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A value in the form in which equal values are equal: `==` holds exactly when these are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Canonical<'a> {
    Number(Decimal<'a>),
    Text(&'a str),
}

impl<'a> Canonical<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Decimal::parse(text).map_or(Self::Text(text), Self::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(left: &str, expected: Option<Ordering>, right: &str) {
        let order = Decimal::parse(left)
            .zip(Decimal::parse(right))
            .map(|(left, right)| left.cmp(&right));
        assert_eq!(order, expected, "{left} against {right}");
        if let Some(order) = order {
            let equal = Canonical::of(left) == Canonical::of(right);
            assert_eq!(equal, order == Ordering::Equal);
        }
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        use Ordering::{Equal, Greater, Less};
        check("1", Some(Equal), "1.00");
        check("007", Some(Equal), "7");
        check("-0", Some(Equal), "0.0");
        check("9", Some(Less), "10");
        check("0.5", Some(Greater), "0.45");
        check("0.5", Some(Less), "0.51");
        check("-2", Some(Less), "-1.9");
        check("-1", Some(Less), "0");
        check("100.00", Some(Greater), "99.999");
        check("12345678901234567890", Some(Less), "12345678901234567891");
    }

    #[test]
    fn other_texts_are_not_numbers() {
        for text in [
            "", "-", ".", ".5", "5.", "+5", "1e3", " 5", "5 ", "1.2.3", "--1", "٣", "0x1",
        ] {
            check(text, None, "1");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_integers_scaled_by_a_thousand(a in -99_999i64..99_999, b in -99_999i64..99_999) {
            let text = |n: i64| {
                let sign = if n < 0 { "-" } else { "" };
                format!("{sign}{}.{:03}", n.abs() / 1000, n.abs() % 1000)
            };
            let (left, right) = (text(a), text(b));
            let order = Decimal::parse(&left).unwrap().cmp(&Decimal::parse(&right).unwrap());
            prop_assert_eq!(order, a.cmp(&b));
        }
    }
}
