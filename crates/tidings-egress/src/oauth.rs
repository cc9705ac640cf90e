//! OAuth 2.0 client credentials (RFC 6749 4.4): bearer tokens for a destination.
//!
//! One source per token URL and credential, shared by every destination that uses both. It keeps
//! the newest token and fetches another when it is needed:
//!
//! - one fetch at a time, whoever else needs a token waits for it;
//! - a token is renewed `min(60 s, half its life)` before it expires. If that fails it is used on
//!   until it really expires, so a token endpoint that is down for less than the margin costs
//!   nothing. A token without `expires_in` is kept for an hour at most;
//! - failed fetches are spaced 1 s, doubling to 60 s; in between, callers get the last error;
//! - a refused token (401) is dropped if it is still the one in use. The first refusal is followed
//!   by a fetch at once, since tokens do get revoked; if its successors are refused too before one
//!   of them was ever taken, fetches are spaced in the same way.
//!
//! Nothing here sends a request without a token or counts as an attempt at a delivery.
//!
//! **Secrets:** credentials and tokens are never printed; the buffers that this module owns are
//! wiped when dropped. Copies in the buffers of the HTTP and TLS libraries are out of reach.

mod answer;
mod credentials;
mod error;
mod state;

pub use credentials::{Credentials, CredentialsError};
pub use error::{OAuthCode, TokenError};
pub use state::{Next, Token, TokenState};

use crate::{
    Egress, Endpoint, EndpointSettings, PoolSettings, TlsProfile, UrlError, link::BodySink,
    request::message,
};
use answer::Grant;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tidings_model::limits::RESPONSE_BYTES_MAX;
use tokio::time::Instant;

const FORM: HeaderValue =
    HeaderValue::from_static("application/x-www-form-urlencoded;charset=UTF-8");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const GRANT: &[u8] = b"grant_type=client_credentials";

/// Settings of a token source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// Deadline of one fetch, the whole response included. Default 3000 ms.
    pub timeout: Duration,
    /// Life of a token whose response names none. Default 3600 s.
    pub age_max: Duration,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(3_000),
            age_max: Duration::from_secs(3_600),
        }
    }
}

/// A token, as the value of an `Authorization` header.
pub type BearerToken = Token<HeaderValue>;

impl BearerToken {
    /// `Bearer <token>`, marked as sensitive; wiped when the last clone of it is dropped.
    #[must_use]
    pub const fn authorization(&self) -> &HeaderValue {
        &self.value
    }
}

/// Fetches and keeps the tokens of one token URL and credential.
pub struct TokenSource {
    egress: Arc<Egress>,
    endpoint: Endpoint,
    credentials: Credentials,
    settings: TokenSettings,
    /// Times are counted from here.
    began: Instant,
    state: Mutex<TokenState<HeaderValue>>,
    /// Held by the one fetch in flight.
    fetching: tokio::sync::Mutex<()>,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl TokenSource {
    /// A source without a token; the first is fetched when it is asked for.
    ///
    /// # Errors
    /// When the token URL is not one that can be sent to (see [`Endpoint::new`]).
    pub fn new(
        egress: Arc<Egress>,
        token_url: &str,
        credentials: Credentials,
        settings: TokenSettings,
    ) -> Result<Self, UrlError> {
        let endpoint = EndpointSettings {
            // One fetch at a time, an hour apart: there is no use for idle connections.
            pool: PoolSettings {
                idle_max: 0,
                ..PoolSettings::default()
            },
            // Here the body is the answer.
            body_wait: settings.timeout,
        };
        Ok(Self {
            endpoint: Endpoint::new(Arc::clone(&egress), token_url, endpoint)?,
            egress,
            credentials,
            settings,
            began: Instant::now(),
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::new(()),
        })
    }

    /// Takes other trust roots or another client certificate for the token endpoint.
    pub fn set_tls(&self, profile: TlsProfile) {
        self.endpoint.set_tls(profile);
    }

    /// What keeps tokens from being fetched now, as far as the operator has to look at it: the token
    /// endpoint refuses the credentials. `None` once a token was fetched.
    #[must_use]
    pub fn configuration_error(&self) -> Option<TokenError> {
        let state = self.state();
        let error = state.last_error().cloned();
        error.filter(TokenError::is_configuration)
    }

    /// The eight newest tokens, the newest first, also those that are not used any more: what must not
    /// be shown when a partner repeats it.
    #[must_use]
    pub fn recent(&self) -> Vec<Arc<BearerToken>> {
        self.state().recent().cloned().collect()
    }

    /// The token in use, else a new one.
    ///
    /// Waits at most for the fetch in flight and one of its own, each at most
    /// [`TokenSettings::timeout`] long. Cost with a token at hand: one short lock.
    ///
    /// Cancel safe: a dropped fetch is forgotten, the next caller begins another.
    ///
    /// # Errors
    /// Why there is no token; the request must then not be sent.
    pub async fn token(&self) -> Result<Arc<BearerToken>, TokenError> {
        match self.next() {
            Next::Use(token) => return Ok(token),
            Next::Fail(error) => return Err(error),
            Next::Renew(token) => {
                // While one caller renews, the others go on with what there is.
                let Ok(_flight) = self.fetching.try_lock() else {
                    return Ok(token);
                };
                return match self.next() {
                    Next::Use(newer) => Ok(newer),
                    Next::Renew(_) => match (self.fetch().await, self.next()) {
                        (Ok(newer), _) => Ok(newer),
                        // It goes on, unless its time was over meanwhile or it was refused.
                        (Err(_), Next::Use(token) | Next::Renew(token)) => Ok(token),
                        (Err(error), _) => Err(error),
                    },
                    // The token was refused meanwhile.
                    Next::Fetch => self.fetch().await,
                    Next::Fail(error) => Err(error),
                };
            }
            Next::Fetch => {}
        }
        let _flight = self.fetching.lock().await;
        match self.next() {
            Next::Use(token) | Next::Renew(token) => Ok(token),
            Next::Fail(error) => Err(error),
            Next::Fetch => self.fetch().await,
        }
    }

    /// Says that a destination took this token: if it is refused later, its time was over, however
    /// short that was.
    pub fn taken(&self, token: &BearerToken) {
        token.taken();
    }

    /// Says that a destination answered 401 to this token: it is dropped if it is still in use.
    pub fn invalidate(&self, refused: &BearerToken) {
        let now = self.now();
        self.state().refused(now, refused);
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, TokenState<HeaderValue>> {
        // No code under this lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Next<HeaderValue> {
        let now = self.now();
        self.state().next(now)
    }

    /// Fetches a token and notes the outcome. The caller holds `fetching`.
    async fn fetch(&self) -> Result<Arc<BearerToken>, TokenError> {
        let asked = self.now();
        let result = self.request().await;
        let now = self.now();
        let mut state = self.state();
        match result {
            Ok(grant) => {
                let life = grant.life.unwrap_or(self.settings.age_max);
                Ok(state.fetched(asked, grant.authorization, life))
            }
            Err(error) => {
                state.failed(now, &error);
                Err(error)
            }
        }
    }

    async fn request(&self) -> Result<Grant, TokenError> {
        let target = self.endpoint.target();
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(header::HOST, target.authority.clone());
        headers.insert(header::USER_AGENT, self.egress.user_agent.clone());
        headers.insert(header::AUTHORIZATION, self.credentials.authorization());
        headers.insert(header::CONTENT_TYPE, FORM);
        headers.insert(header::CONTENT_LENGTH, GRANT.len().into());
        headers.insert(header::ACCEPT_ENCODING, GZIP);
        let message = message(target, headers, Bytes::from_static(GRANT));
        let sink = BodySink::whole(RESPONSE_BYTES_MAX);
        let (result, _) = self
            .endpoint
            .exchange(message, self.settings.timeout, sink)
            .await;
        let (head, sink) = result.map_err(TokenError::Unreachable)?;
        answer::read(&head, sink)
    }
}
