//! When a token is used, renewed, fetched, or not to be had: what a [`super::TokenSource`] decides,
//! without its clock and its network. Simulations drive it too.
//!
//! Times are counted from any one instant, the same for all calls.

use super::TokenError;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tidings_model::planted;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A token is renewed so long before it expires, or at half its life.
const MARGIN_MAX: Duration = Duration::from_secs(60);

/// Tokens that are remembered after others took their place.
const RECENT_MAX: usize = 8;

/// A token and its life.
pub struct Token<T> {
    pub(super) value: T,
    /// Tells tokens of one source apart.
    number: u64,
    fetched: Duration,
    /// From here on another is wanted.
    renew_at: Duration,
    /// From here on it is of no use.
    expires_at: Duration,
    /// A destination took it.
    taken: AtomicBool,
}

impl<T> Token<T> {
    /// The token.
    pub const fn value(&self) -> &T {
        &self.value
    }

    /// A destination took it: if it is refused later, its time was over, however short that was.
    pub fn taken(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }
}

impl<T> fmt::Debug for Token<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// What is known of the tokens of one source.
#[derive(Debug)]
pub struct TokenState<T> {
    token: Option<Arc<Token<T>>>,
    /// The newest tokens, the newest first, in use or not.
    recent: VecDeque<Arc<Token<T>>>,
    /// Number of the last token.
    number: u64,
    /// Fetches that failed since the last token.
    failures: u32,
    /// Tokens in a row that were refused soon after they were fetched, and never taken.
    refusals: u32,
    /// Why the last fetch failed; `None` after one that did not.
    last_error: Option<TokenError>,
    /// Before this instant nothing is fetched, because of this.
    pause: Option<(Duration, TokenError)>,
}

impl<T> Default for TokenState<T> {
    fn default() -> Self {
        Self {
            token: None,
            recent: VecDeque::new(),
            number: 0,
            failures: 0,
            refusals: 0,
            last_error: None,
            pause: None,
        }
    }
}

/// What a caller who needs a token may do now.
#[derive(Debug)]
pub enum Next<T> {
    /// Use this one.
    Use(Arc<Token<T>>),
    /// Use this one, but it is time for another: fetch, unless someone does.
    Renew(Arc<Token<T>>),
    /// Fetch one, or wait for the fetch in flight.
    Fetch,
    /// There is none, and none is to be fetched now.
    Fail(TokenError),
}

impl<T> TokenState<T> {
    /// What is to be done for a token.
    #[must_use]
    pub fn next(&self, now: Duration) -> Next<T> {
        let paused = self
            .pause
            .as_ref()
            .filter(|(until, _)| now < *until)
            .map(|(_, error)| error.clone());
        match (&self.token, paused) {
            (Some(token), _) if now < token.renew_at => Next::Use(Arc::clone(token)),
            (Some(token), Some(_)) if now < token.expires_at => Next::Use(Arc::clone(token)),
            (Some(token), None) if now < token.expires_at => Next::Renew(Arc::clone(token)),
            (_, Some(error)) => Next::Fail(error),
            (_, None) => Next::Fetch,
        }
    }

    /// A token was fetched that lives so long. Its life is counted from when it was asked for: the
    /// answer was on its way for a part of it.
    pub fn fetched(&mut self, asked: Duration, value: T, life: Duration) -> Arc<Token<T>> {
        self.failures = 0;
        self.last_error = None;
        self.pause = None;
        self.number += 1;
        let margin = (life / 2).min(MARGIN_MAX);
        let token = Arc::new(Token {
            value,
            number: self.number,
            fetched: asked,
            renew_at: asked.saturating_add(life - margin),
            expires_at: asked.saturating_add(life),
            taken: AtomicBool::new(false),
        });
        self.token = Some(Arc::clone(&token));
        self.recent.truncate(RECENT_MAX - 1);
        self.recent.push_front(Arc::clone(&token));
        token
    }

    /// A fetch failed.
    pub fn failed(&mut self, now: Duration, error: &TokenError) {
        let until = now + backoff(self.failures);
        self.failures += 1;
        self.last_error = Some(error.clone());
        self.pause = Some((until, error.clone()));
    }

    /// A destination answered 401 to this token: it is dropped if it is still in use.
    pub fn refused(&mut self, now: Duration, refused: &Token<T>) {
        planted!(RefusedTokenKept, {
            return;
        });
        if self.token.as_ref().map(|token| token.number) != Some(refused.number) {
            return;
        }
        self.token = None;
        let soon = now.saturating_sub(refused.fetched) < BACKOFF_MAX
            && !refused.taken.load(Ordering::Relaxed);
        self.refusals = if soon { self.refusals + 1 } else { 1 };
        // The first token that is refused may have been revoked: fetch another at once. When the
        // second is refused as well, another will hardly help.
        if let Some(again) = self.refusals.checked_sub(2) {
            self.pause = Some((now + backoff(again), TokenError::Refused));
        }
    }

    /// The eight newest tokens, the newest first, in use or not.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Arc<Token<T>>> {
        self.recent.iter()
    }

    /// Why the last fetch failed; `None` after one that did not.
    pub(super) const fn last_error(&self) -> Option<&TokenError> {
        self.last_error.as_ref()
    }
}

/// 1 s, doubling to 60 s.
fn backoff(failures_before: u32) -> Duration {
    BACKOFF_MIN
        .saturating_mul(1 << failures_before.min(6))
        .min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_minute() {
        let seconds: Vec<_> = (0..9).map(|n| backoff(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
