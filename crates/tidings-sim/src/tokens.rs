//! OAuth: the token endpoint of a destination, and the source of tokens for it.
//!
//! What is decided about tokens is the real [`TokenState`]. A fetch in flight is simulated: whoever
//! needs a token meanwhile waits for its end, as behind the lock of the server's token source.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tidings_egress::{
    Failure, FailureClass,
    oauth::{Token, TokenError, TokenState},
};
use tidings_model::DestinationId;
use tidings_oracle::generate::Random;

/// A token of the simulated endpoints, each another.
pub(crate) type TokenId = u64;

/// What one life of the process knows of the tokens of a destination.
#[derive(Debug)]
pub(crate) struct Source<W> {
    pub(crate) state: TokenState<TokenId>,
    /// When the fetch in flight was begun.
    pub(crate) fetching: Option<u64>,
    /// Who waits for it.
    pub(crate) waiting: Vec<W>,
    /// Tokens that were answered with 401.
    pub(crate) refused: BTreeSet<TokenId>,
}

impl<W> Default for Source<W> {
    fn default() -> Self {
        Self {
            state: TokenState::default(),
            fetching: None,
            waiting: Vec::new(),
            refused: BTreeSet::new(),
        }
    }
}

/// The token endpoints, and which tokens partners take: until when, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    issued: TokenId,
    taken_until: BTreeMap<(DestinationId, TokenId), u64>,
}

/// What becomes of a fetch, and how long it takes in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub(crate) takes: u64,
    /// How long the endpoint says that the token lives.
    pub(crate) granted: Result<Duration, TokenError>,
    /// How much sooner it ends, in percent of that.
    lies: u64,
}

impl Fetch {
    pub(crate) fn draw(random: &mut Random, failing_percent: i64) -> Self {
        let quick = u64::try_from(random.between(5, 300)).unwrap_or(5);
        let slow = u64::try_from(random.between(1_000, 2_900)).unwrap_or(1_000);
        let life = Duration::from_secs(*random.pick(&[3, 20, 90, 3_600]));
        let fetch = |takes, granted| Self {
            takes,
            granted,
            lies: 0,
        };
        if !random.chance(failing_percent) {
            return fetch(quick, Ok(life));
        }
        let silent = TokenError::Unreachable(Failure {
            class: FailureClass::DeadlineResponse,
            detail: String::new(),
        });
        match random.below(5) {
            0 => fetch(3_000, Err(silent)),
            1 => fetch(quick, Err(TokenError::Status(500))),
            2 => fetch(slow, Err(TokenError::Malformed("not JSON"))),
            3 => fetch(slow, Ok(life)),
            _ => Self {
                lies: 60,
                ..fetch(quick, Ok(life))
            },
        }
    }
}

impl Endpoints {
    /// A token is handed out that lives so long, or less.
    pub(crate) fn issue(
        &mut self,
        now: u64,
        to: DestinationId,
        fetch: &Fetch,
        life: Duration,
    ) -> TokenId {
        self.issued += 1;
        let millis = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
        let life = millis - millis / 100 * fetch.lies;
        self.taken_until.insert((to, self.issued), now + life);
        self.issued
    }

    /// Every token of a destination is revoked.
    pub(crate) fn revoke(&mut self, to: DestinationId) {
        self.taken_until.retain(|(one, _), _| *one != to);
    }

    /// Whether the partner takes the token at this time.
    pub(crate) fn takes(&self, now: u64, to: DestinationId, token: &Arc<Token<TokenId>>) -> bool {
        let until = self.taken_until.get(&(to, *token.value()));
        until.is_some_and(|until| now < *until)
    }
}
