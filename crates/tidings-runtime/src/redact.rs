//! Takes a destination's secrets out of what its partner answered, before anyone sees or stores it.
//!
//! A partner may repeat what it was sent: a debugging page shows the headers, an error quotes the
//! token, and a log that it quotes from has those of last week. Known are the signing keys, the OAuth
//! credentials and the newest tokens, each as it stands and in the forms in which they travel (base64,
//! percent-encoded, within a JSON string); and of all of these the ones that others have replaced since
//! the process began, as far as [`FORMER_MAX`] goes.
//!
//! Invariant: an attempt that left [`Redactor::clean`] has only printable text in it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use std::{fmt, sync::Arc};
use tidings_egress::{Attempt, EXCERPT_BYTES_MAX, oauth::BearerToken};
use zeroize::Zeroizing;

/// Bytes kept of the body of a response that was a success.
const SUCCESS_BYTES_MAX: usize = 512;
/// What stands for a secret.
const MASK: &[u8] = b"***";
/// Bytes of a secret's beginning that are taken for it where the text was cut off.
const CUT_SECRET_MIN: usize = 4;

/// Forms of secrets that are remembered after others took their place; a secret has two to five.
const FORMER_MAX: usize = 128;

/// A secret in one of its forms.
type Form = Zeroizing<Vec<u8>>;

/// The secrets of one destination. Wiped when it is dropped, and never shown.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    secrets: Vec<Form>,
    /// Those that are not in use any more, the newest first.
    former: Vec<Form>,
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
    }

    /// Goes on masking what was known before, and these tokens.
    pub(crate) fn remember(&mut self, before: &Self, tokens: &[Arc<BearerToken>]) {
        let tokens = token_forms(tokens);
        let known = tokens.iter().chain(&before.secrets).chain(&before.former);
        for form in known {
            if self.former.len() == FORMER_MAX {
                break;
            }
            if !self.secrets.contains(form) && !self.former.contains(form) {
                self.former.push(form.clone());
            }
        }
    }

    /// Makes an attempt's texts printable, without secrets, and short where it was a success.
    /// `tokens` are those that the destination was sent lately; most attempts have no text and need none.
    pub(crate) fn clean(
        &self,
        attempt: &mut Attempt,
        tokens: impl FnOnce() -> Vec<Arc<BearerToken>>,
    ) {
        if let Ok(response) = &attempt.result
            && response.body_excerpt.is_empty()
            && response.bearer_error.is_none()
            && response.location.is_none()
        {
            return;
        }
        let token = token_forms(&tokens());
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
    pub(crate) fn error(&self, text: &str, tokens: &[Arc<BearerToken>]) -> String {
        self.text(text.as_bytes(), &token_forms(tokens), EXCERPT_BYTES_MAX)
    }

    fn text(&self, bytes: &[u8], tokens: &[Form], bytes_max: usize) -> String {
        if is_compressed(bytes) {
            return format!("({} bytes that are not text)", bytes.len());
        }
        let secrets = || {
            let known = tokens.iter().chain(&self.secrets).chain(&self.former);
            known.map(|secret| &secret[..])
        };
        // Where a secret can begin at all, so that most bytes are passed at once.
        let mut first_bytes = [false; 256];
        for first in secrets().filter_map(<[u8]>::first) {
            first_bytes[usize::from(*first)] = true;
        }
        // Whole secrets are looked for in somewhat more than is kept.
        let longest = secrets().map(<[u8]>::len).max().unwrap_or(0);
        let looked_at = bytes.len().min(bytes_max.saturating_add(longest));
        let bytes = bytes.get(..looked_at).unwrap_or_default();
        let mut kept = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some((first, after)) = rest.split_first() {
            if !first_bytes[usize::from(*first)] {
                kept.push(*first);
                rest = after;
                continue;
            }
            // The longest, since one may begin with another.
            let found = secrets().filter(|secret| rest.starts_with(secret));
            let found = found.max_by_key(|secret| secret.len());
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
fn forms(secret: &[u8]) -> Vec<Form> {
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
        Zeroizing::new(percent_encoded(secret, HexDigits::Upper)),
        Zeroizing::new(percent_encoded(secret, HexDigits::Lower)),
        Zeroizing::new(json.to_vec()),
    ];
    forms.sort_by(|a, b| a.as_slice().cmp(b));
    forms.dedup();
    forms
}

fn token_forms(tokens: &[Arc<BearerToken>]) -> Vec<Form> {
    let values = tokens.iter().map(|token| token.authorization().as_bytes());
    values.flat_map(|value| forms(credential(value))).collect()
}

/// What stands in an `Authorization` header, without its scheme.
pub(crate) fn credential(authorization: &[u8]) -> &[u8] {
    let space = authorization.iter().position(|&byte| byte == b' ');
    let credential = space.and_then(|space| authorization.get(space + 1..));
    credential.unwrap_or(authorization)
}

/// Both are met in percent-encoded text.
#[derive(Clone, Copy)]
enum HexDigits {
    Upper,
    Lower,
}

fn percent_encoded(secret: &[u8], digits: HexDigits) -> Vec<u8> {
    let mut out = Vec::with_capacity(secret.len());
    for &byte in secret {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            let text = match digits {
                HexDigits::Upper => format!("%{byte:02X}"),
                HexDigits::Lower => format!("%{byte:02x}"),
            };
            out.extend_from_slice(text.as_bytes());
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
        let token = forms(credential(b"Bearer canary-token-abc"));
        assert_eq!(redactor.text(body, &token, 40), expected);
    }

    #[test]
    fn secrets_that_were_replaced_are_masked_as_well() {
        let mut redactor = Redactor::default();
        for generation in 0..5 {
            let before = std::mem::take(&mut redactor);
            redactor.add(&format!("key {generation}"));
            redactor.remember(&before, &[]);
        }
        assert_eq!(
            redactor.text(b"key 0, key 3, key 4, key 5", &[], 40),
            "***, ***, ***, key 5"
        );
        // One that is in use again is no former one.
        let before = std::mem::take(&mut redactor);
        redactor.add("key 0");
        redactor.remember(&before, &[]);
        assert!(!redactor.former.iter().any(|form| &form[..] == b"key 0"));
        for generation in 6..200 {
            let before = std::mem::take(&mut redactor);
            redactor.add(&format!("key {generation}"));
            redactor.remember(&before, &[]);
        }
        assert_eq!(redactor.former.len(), FORMER_MAX);
        assert_eq!(redactor.text(b"key 0, key 198", &[], 40), "key 0, ***");
    }

    #[test]
    fn of_two_secrets_the_longer_is_masked() {
        let mut before = Redactor::default();
        before.add("abcdef");
        let mut redactor = Redactor::default();
        redactor.add("abc");
        redactor.remember(&before, &[]);
        assert_eq!(redactor.text(b"abcdef abcd", &[], 40), "*** ***d");
    }

    #[test]
    fn secrets_are_masked_in_every_form() {
        check(b"ok", "ok");
        check(b"key canary/key+\"1\" end", "key *** end");
        check(b"{\"key\":\"canary/key+\\\"1\\\"\"}", "{\"key\":\"***\"}");
        check(b"?key=canary%2Fkey%2B%221%22&x", "?key=***&x");
        check(b"?key=canary%2fkey%2b%221%22&x", "?key=***&x");
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
