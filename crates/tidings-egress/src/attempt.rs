//! What one attempt came to: the response's essentials or the failure, and where the time went.
//!
//! Invariant: an attempt has a response as soon as status line and headers have arrived within the
//! deadline. How the body ends ([`BodyEnd`]) decides only whether the connection is used again.

use crate::{
    failure::{Failure, FailureClass, printable},
    status,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Bytes of a response body that are kept for the operator.
pub const EXCERPT_BYTES_MAX: usize = 4 * 1024;
/// Longest pause that a `Retry-After` can ask for; anything longer is cut to this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longest `Location` or error code shown, in characters.
const SHOWN_CHARS_MAX: usize = 256;

/// One attempt at one request.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The response, whatever its status, or why there is none.
    pub result: Result<Response, Failure>,
    /// Where the time went.
    pub timings: Timings,
    /// Whether the request went over a connection that an earlier attempt had opened.
    pub reused: bool,
    /// Bytes that were read in answer: status lines, headers and body as they are framed, without
    /// TLS. At most 32 KiB up to the end of the headers, and a body of 64 KiB.
    pub bytes_read: usize,
}

impl Attempt {
    /// An attempt at something that cannot be sent.
    pub(crate) fn refused(failure: Failure) -> Self {
        Self {
            result: Err(failure),
            timings: Timings::default(),
            reused: false,
            bytes_read: 0,
        }
    }

    /// The stable name of the outcome for logs and counts, `snake_case`: `status_200`,
    /// `status_301_redirect_refused`, or the failure's class, `deadline_response`. How the body of
    /// a response ended is another matter: [`BodyEnd::as_str`].
    #[must_use]
    pub fn class(&self) -> &'static str {
        match &self.result {
            Ok(response) => response.class(),
            Err(failure) => failure.class.as_str(),
        }
    }

    /// The name of the outcome, see [`Attempt::class`].
    #[must_use]
    pub fn outcome(&self) -> String {
        self.class().to_owned()
    }
}

/// Durations of an attempt's phases; `None` for a phase that was not reached or not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// Name resolution.
    pub dns: Option<Duration>,
    /// TCP connection.
    pub connect: Option<Duration>,
    /// TLS handshake.
    pub tls: Option<Duration>,
    /// From handing over the request until all of it was given to the system.
    pub write: Option<Duration>,
    /// From then until the head of the response was read.
    pub response: Option<Duration>,
    /// All of it, including the rest of the response.
    pub total: Duration,
}

/// The essentials of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code; 3xx too, redirects are never followed.
    pub status: u16,
    /// First bytes of the body as received, still encoded if it was; at most
    /// [`EXCERPT_BYTES_MAX`]. Whoever shows it must escape it.
    pub body_excerpt: Bytes,
    /// Bytes of the body that were read, at most [`tidings_model::limits::RESPONSE_BYTES_MAX`].
    pub body_bytes: usize,
    /// How the body ended.
    pub body_end: BodyEnd,
    /// How long the partner asks us to wait, at most [`RETRY_AFTER_MAX`]; a date in the past is
    /// zero, nonsense is `None`.
    pub retry_after: Option<Duration>,
    /// The `error` of a `WWW-Authenticate: Bearer` challenge (RFC 6750 3), e.g. `invalid_token`.
    pub bearer_error: Option<Box<str>>,
    /// Where a redirect pointed, without query and user info, printable.
    pub location: Option<Box<str>>,
}

/// How a response's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyEnd {
    /// Completely read.
    Complete,
    /// More than the limit: the rest was not read.
    TooLarge,
    /// Not complete in the time set aside for it.
    Late,
    /// The connection was closed within the body.
    Closed,
    /// The connection was reset within the body.
    Reset,
    /// The body's framing is broken.
    Malformed,
}

impl BodyEnd {
    /// The stable name, `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::TooLarge => "body_too_large",
            Self::Late => "deadline_body",
            Self::Closed => "closed_in_body",
            Self::Reset => "reset_in_body",
            Self::Malformed => "body_malformed",
        }
    }
}

impl Response {
    /// The stable name of the status, see [`Attempt::class`].
    #[must_use]
    pub fn class(&self) -> &'static str {
        status::class(self.status)
    }

    pub(crate) fn of(status: StatusCode, headers: &HeaderMap, body: Body) -> Self {
        // Success needs none of the headers, and it is nearly always success.
        let troubled = !status.is_success();
        Self {
            status: status.as_u16(),
            body_bytes: body.bytes,
            body_end: body.end,
            body_excerpt: body.kept,
            retry_after: troubled.then(|| retry_after(headers, unix_now())).flatten(),
            bearer_error: troubled.then(|| bearer_error(headers)).flatten(),
            location: troubled.then(|| location(headers)).flatten(),
        }
    }
}

/// What was read of a body.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) kept: Bytes,
    pub(crate) bytes: usize,
    pub(crate) end: BodyEnd,
}

/// Seconds since 1970.
fn unix_now() -> i64 {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

fn retry_after(headers: &HeaderMap, now: i64) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large for 64 bits is a long wait, not nonsense.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    let seconds = u64::try_from(at.as_second() - now).unwrap_or(0);
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// `WWW-Authenticate: Bearer realm="x", error="invalid_token"`: a search for the parameter, since
/// all that hangs on it is what the operator reads.
fn bearer_error(headers: &HeaderMap) -> Option<Box<str>> {
    headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter(|text| {
            text.get(..7)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "))
        })
        .find_map(|text| {
            text.get(7..)?.split(',').find_map(|parameter| {
                let (name, value) = parameter.split_once('=')?;
                let value = value.trim().trim_matches('"');
                name.trim()
                    .eq_ignore_ascii_case("error")
                    .then(|| printable(value, SHOWN_CHARS_MAX).into())
            })
        })
}

fn location(headers: &HeaderMap) -> Option<Box<str>> {
    let text = String::from_utf8_lossy(headers.get(header::LOCATION)?.as_bytes());
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let shown = match text.split_once("://") {
        // User info may be a password.
        Some((scheme, rest)) => {
            let (authority, path) = rest
                .find('/')
                .and_then(|slash| rest.split_at_checked(slash))
                .unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or(authority);
            printable(&format!("{scheme}://{host}{path}"), SHOWN_CHARS_MAX)
        }
        None => printable(text, SHOWN_CHARS_MAX),
    };
    Some(shown.into())
}

/// The phase an attempt is in: names the deadline that it misses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    Dns,
    Connect,
    Tls,
    Write,
    Response,
}

/// Notes taken while an attempt runs; they outlive the future that is cut off at the deadline.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) phase: Phase,
    pub(crate) timings: Timings,
    pub(crate) reused: bool,
    pub(crate) bytes_read: usize,
    pub(crate) started: Instant,
    /// When the phase began.
    pub(crate) since: Instant,
}

impl Trace {
    pub(crate) fn start() -> Self {
        let started = Instant::now();
        Self {
            phase: Phase::Dns,
            timings: Timings::default(),
            reused: false,
            bytes_read: 0,
            started,
            since: started,
        }
    }

    /// Ends the phase, if the notes are in it, and goes on to `next`.
    pub(crate) fn enter(&mut self, next: Phase) {
        let now = Instant::now();
        let spent = Some(now - self.since);
        match self.phase {
            Phase::Dns => self.timings.dns = spent,
            Phase::Connect => self.timings.connect = spent,
            Phase::Tls => self.timings.tls = spent,
            Phase::Write => self.timings.write = spent,
            Phase::Response => self.timings.response = spent,
        }
        self.since = now;
        self.phase = next;
    }

    /// Begins at `phase` without ending another.
    pub(crate) fn skip_to(&mut self, phase: Phase) {
        self.since = Instant::now();
        self.phase = phase;
    }

    pub(crate) fn missed_deadline(&self, timeout: Duration) -> Failure {
        let (class, phase) = match self.phase {
            Phase::Dns => (FailureClass::DeadlineDns, "resolving the name"),
            Phase::Connect => (FailureClass::DeadlineConnect, "connecting"),
            Phase::Tls => (FailureClass::DeadlineTls, "the TLS handshake"),
            Phase::Write => (FailureClass::DeadlineWrite, "sending the request"),
            Phase::Response => (FailureClass::DeadlineResponse, "waiting for the response"),
        };
        Failure::new(
            class,
            format_args!("the {} ms were over while {phase}", timeout.as_millis()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.try_into().unwrap())])
    }

    #[track_caller]
    fn check_retry_after(value: &str, expected: Option<u64>) {
        let now = jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(NOW)
            .unwrap();
        let got = retry_after(&headers(header::RETRY_AFTER, value), now.as_second());
        assert_eq!(got, expected.map(Duration::from_secs), "{value}");
    }

    #[test]
    fn reads_retry_after() {
        check_retry_after("120", Some(120));
        check_retry_after("0", Some(0));
        check_retry_after("1000000000000", Some(86_400));
        check_retry_after("99999999999999999999999999", Some(86_400));
        check_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check_retry_after("Sun, 06 Nov 1994 08:48:37 GMT", Some(0));
        check_retry_after("Tue, 31 Dec 2999 23:59:59 GMT", Some(86_400));
        for nonsense in ["", "-1", "1.5", "soon", "12 s", "0x10"] {
            check_retry_after(nonsense, None);
        }
    }

    #[test]
    fn reads_the_bearer_error() {
        let check = |value: &str, expected: Option<&str>| {
            let got = bearer_error(&headers(header::WWW_AUTHENTICATE, value));
            assert_eq!(got.as_deref(), expected, "{value}");
        };
        check("Bearer error=\"invalid_token\"", Some("invalid_token"));
        check(
            "bearer realm=\"a\", error = \"insufficient_scope\", scope=\"b\"",
            Some("insufficient_scope"),
        );
        check("Bearer realm=\"a\"", None);
        check("Basic realm=\"error=x\"", None);
        check("Bearer error_description=\"x\"", None);
    }

    #[test]
    fn shows_where_a_redirect_pointed_without_its_secrets() {
        let check = |value: &str, expected: &str| {
            let got = location(&headers(header::LOCATION, value));
            assert_eq!(got.as_deref(), Some(expected), "{value}");
        };
        check(
            "https://u:p@evil.example/a@b?token=1#x",
            "https://evil.example/a@b",
        );
        check("https://evil.example", "https://evil.example");
        check("/login?next=1", "/login");
        check("file:///etc/passwd", "file:///etc/passwd");
    }
}
