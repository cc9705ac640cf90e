//! OAuth 2.0 client credentials: the token endpoint and the tokens it has issued.
//!
//! Checked as the protocol asks of a partner: `POST`, a form as content type (parameters of it do
//! not matter), `Authorization: Basic` with the Base64 of id and secret, both form-encoded first
//! (RFC 6749 section 2.3.1), and `grant_type=client_credentials`. Errors are those of RFC 6749
//! section 5.2. Tokens are random, opaque and kept in memory.

use crate::{limits::TOKENS_MAX, reply::Answer, settings::OAuthSettings};
use base64::{Engine, engine::general_purpose};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use subtle::ConstantTimeEq;

/// Path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth2/token";

/// Issues and checks access tokens.
pub(crate) struct TokenIssuer {
    client_id: String,
    client_secret: String,
    ttl: Duration,
    issued: Mutex<Issued>,
}

#[derive(Default)]
struct Issued {
    expires: HashMap<String, Instant>,
    /// Oldest first. All tokens live equally long, so the first is also the first to expire.
    order: VecDeque<String>,
}

/// A token request that is not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    InvalidRequest(&'static str),
    InvalidClient,
    UnsupportedGrantType,
}

impl TokenIssuer {
    pub(crate) fn new(settings: OAuthSettings) -> Self {
        Self {
            client_id: settings.client_id,
            client_secret: settings.client_secret,
            ttl: settings.token_ttl,
            issued: Mutex::default(),
        }
    }

    /// Answers a POST to the token endpoint; the error says what was wrong with it.
    pub(crate) fn grant(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Instant,
    ) -> (Answer, Option<String>) {
        let result = self.check_request(headers, body);
        match result {
            Ok(()) => match self.issue(now) {
                Ok(token) => (self.granted(&token), None),
                Err(error) => {
                    let answer = Answer::status(StatusCode::INTERNAL_SERVER_ERROR);
                    (answer, Some(format!("no token: {error}")))
                }
            },
            Err(refusal) => (refusal.answer(), Some(refusal.problem().to_owned())),
        }
    }

    /// True when `headers` carry exactly one `Authorization`, a bearer token that is still valid.
    pub(crate) fn is_authorized(&self, headers: &HeaderMap, now: Instant) -> bool {
        bearer(headers).is_some_and(|token| {
            let issued = self.issued();
            issued.expires.get(token).is_some_and(|end| now < *end)
        })
    }

    /// Forgets every token, so that senders have to fetch a new one.
    pub(crate) fn revoke_all(&self) {
        *self.issued() = Issued::default();
    }

    fn check_request(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
        if !is_form(headers) {
            return Err(Refusal::InvalidRequest(
                "Content-Type is not application/x-www-form-urlencoded",
            ));
        }
        let (id, secret) = basic(headers).ok_or(Refusal::InvalidClient)?;
        let same = id.as_bytes().ct_eq(self.client_id.as_bytes())
            & secret.as_bytes().ct_eq(self.client_secret.as_bytes());
        if !bool::from(same) {
            return Err(Refusal::InvalidClient);
        }
        match form_value(body, "grant_type").as_deref() {
            Some("client_credentials") => Ok(()),
            Some(_) => Err(Refusal::UnsupportedGrantType),
            None => Err(Refusal::InvalidRequest("grant_type is missing")),
        }
    }

    fn issue(&self, now: Instant) -> Result<String, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let token = general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        let mut issued = self.issued();
        while let Some(oldest) = issued.order.front() {
            let expired = issued.expires.get(oldest).is_none_or(|end| *end <= now);
            if !expired && issued.order.len() < TOKENS_MAX {
                break;
            }
            if let Some(oldest) = issued.order.pop_front() {
                issued.expires.remove(&oldest);
            }
        }
        issued.expires.insert(token.clone(), now + self.ttl);
        issued.order.push_back(token.clone());
        Ok(token)
    }

    fn granted(&self, token: &str) -> Answer {
        let body = serde_json::json!({
            "token_type": "Bearer",
            "access_token": token,
            "expires_in": self.ttl.as_secs(),
        });
        Answer::json(StatusCode::OK, body.to_string())
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// A panic elsewhere cannot leave the two collections in a state that matters.
    fn issued(&self) -> MutexGuard<'_, Issued> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusal {
    fn answer(self) -> Answer {
        let (status, code) = match self {
            Self::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        };
        let body = serde_json::json!({"error": code, "error_description": self.problem()});
        let answer = Answer::json(status, body.to_string())
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"tidings receiver\"");
            answer.with(header::WWW_AUTHENTICATE, challenge)
        } else {
            answer
        }
    }

    fn problem(self) -> &'static str {
        match self {
            Self::InvalidRequest(problem) => problem,
            Self::InvalidClient => "the client credentials are missing or wrong",
            Self::UnsupportedGrantType => "grant_type is not client_credentials",
        }
    }
}

/// True for a form, whatever the parameters of the media type.
fn is_form(headers: &HeaderMap) -> bool {
    crate::reply::media_type(headers).is_some_and(|media_type| {
        media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}

/// Id and secret of `Authorization: Basic`, decoded.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = credentials(headers, "Basic")?;
    let decoded = general_purpose::STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form_decode(id)?, form_decode(secret)?))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    credentials(headers, "Bearer")
}

/// What follows the scheme in the one `Authorization` header; schemes ignore case.
fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (given, credentials) = value.split_once(' ')?;
    given
        .eq_ignore_ascii_case(scheme)
        .then(|| credentials.trim_matches(' '))
}

/// The one value of `name` in a form; `None` when it is missing, there twice, or not decodable.
fn form_value(form: &[u8], name: &str) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let mut values = form
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| form_decode(key).as_deref() == Some(name));
    let (_, value) = values.next()?;
    if values.next().is_some() {
        return None;
    }
    form_decode(value)
}

/// Decodes `application/x-www-form-urlencoded`: `+` is a space, `%XX` a byte.
fn form_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// `form` with the value of `client_secret` replaced, for the record: it does not belong in the
/// body, and a sender that puts it there shall not find it in a file.
pub(crate) fn redact_form(form: &str) -> String {
    let pairs: Vec<_> = form
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((key, _)) if form_decode(key).as_deref() == Some("client_secret") => {
                "client_secret=***"
            }
            _ => pair,
        })
        .collect();
    pairs.join("&")
}

#[cfg(test)]
mod tests;
