//! The token endpoint's answer: from head and body to a token.
//!
//! Plain or gzip, by `Content-Encoding`. A body that is announced as gzip but does not begin like
//! one is taken as it is: the protocol's published sample does exactly that. Decoding stops at the
//! same limit as reading.

use super::{
    credentials::secret_header,
    error::{OAuthCode, TokenError},
};
use crate::{attempt::BodyEnd, failure::printable, link::BodySink};
use http::{HeaderMap, HeaderValue, StatusCode, header, response::Parts};
use serde::Deserialize;
use std::{borrow::Cow, io::Read, time::Duration};
use tidings_model::limits::RESPONSE_BYTES_MAX;
use zeroize::Zeroizing;

/// Longest token that is taken: it has to fit into a header.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest token type shown, in characters.
const TYPE_CHARS_MAX: usize = 32;
/// Shortest life that is believed: a token that lives shorter is asked for again every second.
const LIFE_MIN: Duration = Duration::from_secs(1);
/// Longest life that is believed.
const LIFE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A token that was granted.
pub(super) struct Grant {
    pub(super) authorization: HeaderValue,
    /// How long it lives, counted from the request; `None` when the answer does not say.
    pub(super) life: Option<Duration>,
}

/// Members that are used; all others are ignored, as RFC 6749 5.1 demands.
#[derive(Deserialize)]
struct Granted<'a> {
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    #[serde(borrow)]
    token_type: Cow<'a, str>,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Denied<'a> {
    #[serde(borrow)]
    error: Cow<'a, str>,
}

pub(super) fn read(head: &Parts, sink: BodySink) -> Result<Grant, TokenError> {
    let (body, end) = sink.into_kept();
    let body = Zeroizing::new(body);
    if head.status != StatusCode::OK {
        return Err(denied(head, body, end));
    }
    if end != BodyEnd::Complete {
        return Err(TokenError::Incomplete(end.as_str()));
    }
    grant(&decode(&head.headers, body)?)
}

fn denied(head: &Parts, body: Zeroizing<Vec<u8>>, end: BodyEnd) -> TokenError {
    let status = head.status.as_u16();
    let code = (end == BodyEnd::Complete)
        .then(|| decode(&head.headers, body).ok())
        .flatten()
        .and_then(|body| {
            serde_json::from_slice::<Denied<'_>>(&body)
                .ok()
                .map(|denied| OAuthCode::parse(&denied.error))
        });
    match code {
        Some(code) => TokenError::Denied { status, code },
        None => TokenError::Status(status),
    }
}

fn decode(headers: &HeaderMap, body: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let encoding = encodings
        .next()
        .map_or(&b"identity"[..], HeaderValue::as_bytes);
    if encodings.next().is_some() {
        return Err(TokenError::Malformed("more than one content encoding"));
    }
    let encoding = encoding.trim_ascii();
    if encoding.eq_ignore_ascii_case(b"identity") {
        return Ok(body);
    }
    if !encoding.eq_ignore_ascii_case(b"gzip") && !encoding.eq_ignore_ascii_case(b"x-gzip") {
        return Err(TokenError::Malformed("an unknown content encoding"));
    }
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body);
    }
    let mut decoded = Zeroizing::new(Vec::with_capacity(body.len().saturating_mul(2)));
    let limit = u64::try_from(RESPONSE_BYTES_MAX).unwrap_or(u64::MAX) + 1;
    flate2::read::MultiGzDecoder::new(body.as_slice())
        .take(limit)
        .read_to_end(&mut decoded)
        .map_err(|_| TokenError::Malformed("damaged gzip"))?;
    if decoded.len() > RESPONSE_BYTES_MAX {
        return Err(TokenError::Malformed("too large when decompressed"));
    }
    Ok(decoded)
}

fn grant(body: &[u8]) -> Result<Grant, TokenError> {
    let granted: Granted<'_> = serde_json::from_slice(body).map_err(|error| {
        // The parser's text may quote the body; its category says enough.
        TokenError::Malformed(match error.classify() {
            serde_json::error::Category::Data => {
                "not an object with one access_token and one token_type"
            }
            _ => "not JSON",
        })
    })?;
    if !granted.token_type.eq_ignore_ascii_case("bearer") {
        let shown = printable(&granted.token_type, TYPE_CHARS_MAX);
        return Err(TokenError::TokenType(shown.into()));
    }
    let life = granted.expires_in.as_ref().map(life).transpose()?.flatten();
    // Escapes in the JSON text make a copy, which is wiped like the body.
    let token = match granted.access_token {
        Cow::Borrowed(token) => Zeroizing::new(token.to_owned()),
        Cow::Owned(token) => Zeroizing::new(token),
    };
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed("access_token is empty or too long"));
    }
    let authorization = secret_header("Bearer ", &token).ok_or(TokenError::Malformed(
        "access_token has a character that a header cannot carry",
    ))?;
    Ok(Grant {
        authorization,
        life,
    })
}

/// Seconds as a number or, as some servers have it, as text of one; `null` is absent. Zero and
/// enormous lives are brought into bounds.
fn life(value: &serde_json::Value) -> Result<Option<Duration>, TokenError> {
    const WRONG: TokenError = TokenError::Malformed("expires_in is not a number of seconds");
    let seconds = match value {
        serde_json::Value::Null => return Ok(None),
        serde_json::Value::Number(number) => number.as_f64(),
        serde_json::Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match seconds {
        Some(seconds) if seconds >= 0.0 => {
            let life = Duration::try_from_secs_f64(seconds).unwrap_or(LIFE_MAX);
            Ok(Some(life.clamp(LIFE_MIN, LIFE_MAX)))
        }
        _ => Err(WRONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// `expected` is the header and the life in seconds (0 when unknown), or the error's text.
    #[track_caller]
    fn check(encoding: Option<&'static str>, body: &[u8], expected: &str) {
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        let shown = match decode(&headers, Zeroizing::new(body.to_vec())).and_then(|b| grant(&b)) {
            Ok(grant) => format!(
                "{} {}",
                grant.authorization.to_str().unwrap(),
                grant.life.unwrap_or_default().as_secs()
            ),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected);
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    const SAMPLE: &[u8] = br#"{"token_type":"Bearer","access_token":"glIbBVohK8d86alDEnllPWi6IpjZvJC6kwBRuuawts6YMkw4tZkt84rEZYU2ZKHCQP3TT7PnzCQPI0yY"}"#;

    #[test]
    fn reads_the_published_sample_in_every_encoding() {
        let expected = "Bearer glIbBVohK8d86alDEnllPWi6IpjZvJC6kwBRuuawts6YMkw4tZkt84rEZYU2ZKHCQP3TT7PnzCQPI0yY 0";
        assert_eq!(SAMPLE.len(), 121);
        check(None, SAMPLE, expected);
        check(Some("identity"), SAMPLE, expected);
        // As published: announced as gzip, but plain.
        check(Some("gzip"), SAMPLE, expected);
        check(Some("GZIP"), &gzip(SAMPLE), expected);
    }

    #[test]
    fn reads_lives() {
        for (text, seconds) in [
            ("3600", 3600),
            ("3600.9", 3600),
            ("\"120\"", 120),
            ("0", 1),
            ("null", 0),
            ("1000000000000000000", 2_592_000),
            ("1e300", 2_592_000),
        ] {
            let body =
                format!(r#"{{"access_token":"t","token_type":"bearer","expires_in":{text}}}"#);
            check(None, body.as_bytes(), &format!("Bearer t {seconds}"));
        }
        for text in ["-1", "\"soon\"", "true", "[1]", "\"NaN\""] {
            let body =
                format!(r#"{{"access_token":"t","token_type":"bearer","expires_in":{text}}}"#);
            check(
                None,
                body.as_bytes(),
                "the token endpoint's answer cannot be used: expires_in is not a number of seconds",
            );
        }
    }

    #[test]
    fn refuses_other_answers() {
        let cannot = "the token endpoint's answer cannot be used: ";
        let shape = "not an object with one access_token and one token_type";
        for (body, expected) in [
            ("", "not JSON"),
            ("<html>", "not JSON"),
            ("[]", shape),
            ("{}", shape),
            (r#"{"access_token":"t"}"#, shape),
            (r#"{"access_token":7,"token_type":"bearer"}"#, shape),
            (
                r#"{"access_token":"a","access_token":"b","token_type":"bearer"}"#,
                shape,
            ),
            (
                r#"{"access_token":"","token_type":"bearer"}"#,
                "access_token is empty or too long",
            ),
            (
                r#"{"access_token":"a\r\nHost: x","token_type":"bearer"}"#,
                "access_token has a character that a header cannot carry",
            ),
        ] {
            check(None, body.as_bytes(), &format!("{cannot}{expected}"));
        }
        check(
            None,
            br#"{"access_token":"t","token_type":"mac"}"#,
            "the token is of type \"mac\", not bearer",
        );
        check(
            Some("br"),
            SAMPLE,
            &format!("{cannot}an unknown content encoding"),
        );
        let mut torn = gzip(SAMPLE);
        torn.truncate(40);
        check(Some("gzip"), &torn, &format!("{cannot}damaged gzip"));
        let bomb = gzip(&vec![b' '; 10 * 1024 * 1024]);
        check(
            Some("gzip"),
            &bomb,
            &format!("{cannot}too large when decompressed"),
        );
    }
}
