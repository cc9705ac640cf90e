//! Takes a destination's secrets out of what its partner answered, before anyone sees or stores it.
//!
//! A partner may repeat what it was sent: a debugging page shows the headers, an error quotes the
//! token. Known are the signing keys, the OAuth credentials and the token of the attempt, each as it
//! stands and in the forms in which they travel (base64, percent-encoded, within a JSON string).
//!
//! Invariant: an attempt that left [`Redactor::clean`] has only printable text in it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use std::fmt;
use tidings_egress::{Attempt, EXCERPT_BYTES_MAX};
use zeroize::Zeroizing;

/// Bytes kept of the body of a response that was a success.
const SUCCESS_BYTES_MAX: usize = 512;
/// What stands for a secret.
const MASK: &[u8] = b"***";
/// Bytes of a secret's beginning that are taken for it where the text was cut off.
const CUT_SECRET_MIN: usize = 4;

/// The secrets of one destination. Wiped when it is dropped, and never shown.
#[derive(Default)]
pub(crate) struct Redactor {
    /// The longest first, since one may hold another.
    secrets: Vec<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// Adds a secret in all its forms.
    pub(crate) fn add(&mut self, secret: &str) {
        self.secrets.extend(forms(secret.as_bytes()));
        self.secrets
            .sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.secrets.dedup();
    }

    /// Makes an attempt's texts printable, without secrets, and short where it was a success.
    /// `token` is the value of its `Authorization` header.
    pub(crate) fn clean(&self, attempt: &mut Attempt, token: Option<&[u8]>) {
        let token: Vec<_> = token.map(token_forms).unwrap_or_default();
        match &mut attempt.result {
            Ok(response) => {
                let success = (200..300).contains(&response.status);
                let bytes_max = if success {
                    SUCCESS_BYTES_MAX
                } else {
                    EXCERPT_BYTES_MAX
                };
                if !response.body_excerpt.is_empty() {
                    let text = self.text(&response.body_excerpt, &token, bytes_max);
                    response.body_excerpt = Bytes::from(text);
                }
                let shown = [&mut response.bearer_error, &mut response.location];
                for text in shown.into_iter().flatten() {
                    *text = self.text(text.as_bytes(), &token, EXCERPT_BYTES_MAX).into();
                }
            }
            Err(failure) => {
                failure.detail = self.text(failure.detail.as_bytes(), &token, EXCERPT_BYTES_MAX);
            }
        }
    }

    /// An error text without secrets.
    pub(crate) fn error(&self, text: &str) -> String {
        self.text(text.as_bytes(), &[], EXCERPT_BYTES_MAX)
    }

    fn text(&self, bytes: &[u8], token: &[Zeroizing<Vec<u8>>], bytes_max: usize) -> String {
        if is_compressed(bytes) {
            return format!("({} bytes that are not text)", bytes.len());
        }
        let secrets = || token.iter().chain(&self.secrets).map(|secret| &secret[..]);
        // Whole secrets are looked for in somewhat more than is kept.
        let longest = secrets().map(<[u8]>::len).max().unwrap_or(0);
        let looked_at = bytes.len().min(bytes_max.saturating_add(longest));
        let bytes = bytes.get(..looked_at).unwrap_or_default();
        let mut kept = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some((first, after)) = rest.split_first() {
            let found = secrets().find(|secret| rest.starts_with(secret));
            // The end was cut off, maybe in the middle of a secret.
            let cut =
                || rest.len() >= CUT_SECRET_MIN && secrets().any(|secret| secret.starts_with(rest));
            if let Some(secret) = found {
                kept.extend_from_slice(MASK);
                rest = rest.get(secret.len()..).unwrap_or_default();
            } else if cut() {
                kept.extend_from_slice(MASK);
                break;
            } else {
                kept.push(*first);
                rest = after;
            }
        }
        kept.truncate(bytes_max);
        printable(&kept, bytes_max)
    }
}

/// A secret as it may be met.
fn forms(secret: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    if secret.is_empty() {
        return Vec::new();
    }
    let json = serde_json::to_vec(&String::from_utf8_lossy(secret)).unwrap_or_default();
    let json = json
        .get(1..json.len().saturating_sub(1))
        .unwrap_or_default();
    let mut forms = vec![
        Zeroizing::new(secret.to_vec()),
        Zeroizing::new(STANDARD.encode(secret).into_bytes()),
        Zeroizing::new(percent_encoded(secret)),
        Zeroizing::new(json.to_vec()),
    ];
    forms.sort_by(|a, b| a.as_slice().cmp(b));
    forms.dedup();
    forms
}

/// The token in an `Authorization` header, without its scheme.
fn token_forms(authorization: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let space = authorization.iter().position(|&byte| byte == b' ');
    let token = space.and_then(|space| authorization.get(space + 1..));
    forms(token.unwrap_or(authorization))
}

fn percent_encoded(secret: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(secret.len());
    for &byte in secret {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

/// What is compressed cannot be searched, so it is not shown.
fn is_compressed(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
}

/// The text, with line breaks as spaces and other control characters replaced, in at most
/// `bytes_max` bytes.
fn printable(bytes: &[u8], bytes_max: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let wrong = text
        .chars()
        .filter(|&c| c == '\u{fffd}' || c == '\0')
        .count();
    if wrong > 8 && wrong > text.chars().count() / 4 {
        return format!("({} bytes that are not text)", bytes.len());
    }
    let mut shown: String = text
        .chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect();
    shown.truncate(shown.floor_char_boundary(bytes_max));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "canary/key+\"1\"";

    #[track_caller]
    fn check(body: &[u8], expected: &str) {
        let mut redactor = Redactor::default();
        redactor.add("canary");
        redactor.add(KEY);
        let token = token_forms(b"Bearer canary-token-abc");
        assert_eq!(redactor.text(body, &token, 40), expected);
    }

    #[test]
    fn secrets_are_masked_in_every_form() {
        check(b"ok", "ok");
        check(b"key canary/key+\"1\" end", "key *** end");
        check(b"{\"key\":\"canary/key+\\\"1\\\"\"}", "{\"key\":\"***\"}");
        check(b"?key=canary%2Fkey%2B%221%22&x", "?key=***&x");
        check(STANDARD.encode(KEY).as_bytes(), "***");
        check(
            b"Authorization: Bearer canary-token-abc",
            "Authorization: Bearer ***",
        );
        check(b"canarycanary", "******");
    }

    #[test]
    fn what_was_cut_off_in_a_secret_is_masked() {
        check(b"see canary-tok", "see ***-tok");
        check(b"see cana", "see ***");
        check(b"see can", "see can");
        // Forty bytes are kept, the secret begins at the thirty-eighth.
        let mut long = vec![b'.'; 38];
        long.extend_from_slice(b"canary and more");
        check(&long, &format!("{}**", ".".repeat(38)));
    }

    #[test]
    fn only_text_is_shown() {
        check(b"a\nb\x1b[2Jc", "a b\u{fffd}[2Jc");
        check(b"\x1f\x8b\x08canary", "(9 bytes that are not text)");
        check(&[0xff; 30], "(30 bytes that are not text)");
        check("é".repeat(30).as_bytes(), &"é".repeat(20));
    }
}
