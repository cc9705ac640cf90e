//! Names of HTTP statuses as outcome classes: `status_503`, `status_301_redirect_refused`.
//!
//! Like the names of [`crate::FailureClass`] they are stable and cost nothing: they are stored with
//! attempts and counted, so none is made at run time.

/// Bytes of `status_200`.
const NAME_BYTES: usize = 10;
/// Statuses have three digits (RFC 9110 15).
const STATUSES: usize = 1_000;

static NAMES: [[u8; NAME_BYTES]; STATUSES] = names();

/// The class of a response with this status; `status_invalid` for more than three digits, which no
/// response has.
pub(crate) fn class(status: u16) -> &'static str {
    match status {
        // The statuses that ask for the request to be repeated elsewhere, which is never done.
        301 => "status_301_redirect_refused",
        302 => "status_302_redirect_refused",
        303 => "status_303_redirect_refused",
        307 => "status_307_redirect_refused",
        308 => "status_308_redirect_refused",
        _ => NAMES
            .get(usize::from(status))
            .and_then(|name| std::str::from_utf8(name).ok())
            .unwrap_or("status_invalid"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "digits are below ten, and constants cannot use try_from"
)]
const fn names() -> [[u8; NAME_BYTES]; STATUSES] {
    let mut names = [*b"status_000"; STATUSES];
    let mut status = 0;
    while status < STATUSES {
        names[status][7] += (status / 100) as u8;
        names[status][8] += (status / 10 % 10) as u8;
        names[status][9] += (status % 10) as u8;
        status += 1;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_name() {
        let mut seen = std::collections::BTreeSet::new();
        for status in 0..1_000 {
            let name = class(status);
            assert!(name.starts_with(&format!("status_{status:03}")), "{name}");
            assert_eq!(
                name.ends_with("_redirect_refused"),
                matches!(status, 301..=303 | 307 | 308)
            );
            assert!(seen.insert(name));
        }
        assert_eq!(class(1_000), "status_invalid");
        assert_eq!(class(u16::MAX), "status_invalid");
    }
}
