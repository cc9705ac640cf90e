//! Decimal texts: the numbers of a message travel as strings or as integers.

use std::str::FromStr;

/// The number that `text` spells in the one way JSON would spell it: digits only, no leading zero.
/// `None` for any other text and for a number too large for `T`.
pub(crate) fn canonical<T: FromStr>(text: &str) -> Option<T> {
    let canonical = is_digits(text) && (text.len() == 1 || !text.starts_with('0'));
    canonical.then(|| text.parse().ok()).flatten()
}

/// Whether `text` is one digit or more and nothing else.
pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_spelling_is_canonical() {
        assert_eq!(canonical("0"), Some(0u32));
        assert_eq!(canonical("4294967295"), Some(u32::MAX));
        for text in ["", "00", "042", "+1", "-1", "1 ", "1.0", "٣", "4294967296"] {
            assert_eq!(canonical::<u32>(text), None, "{text:?}");
        }
    }
}
