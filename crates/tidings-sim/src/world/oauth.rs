//! Attempts at destinations that want a token: it is had, waited for, renewed, or there is none.

use super::{Happening, Try, World};
use crate::{
    Violation,
    tokens::{Fetch, TokenId},
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tidings_egress::oauth::{Next, Token};
use tidings_model::DestinationId;

/// An attempt that waits for a token.
#[derive(Debug)]
pub(super) struct Authorizing {
    pub(super) which: Try,
    pub(super) number: u32,
    pub(super) body: Bytes,
}

/// Whether an attempt has waited for a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    No,
    Yes,
}

impl World<'_> {
    /// Makes an attempt once there is a token for it.
    pub(super) fn authorize(&mut self, one: Authorizing, waited: Waited) -> Result<(), Violation> {
        let to = one.which.to;
        let now = Duration::from_millis(self.now);
        let source = self.sources.entry(to).or_default();
        match source.state.next(now) {
            Next::Use(token) => self.go(one, token),
            Next::Renew(token) if waited == Waited::Yes || source.fetching.is_some() => {
                self.go(one, token)
            }
            Next::Renew(_) => {
                self.counts.add("tokens renewed");
                self.fetch(one)
            }
            Next::Fetch if source.fetching.is_some() => {
                source.waiting.push(one);
                Ok(())
            }
            Next::Fetch => self.fetch(one),
            Next::Fail(error) => {
                self.counts.add("attempts without a token");
                let end = Happening::End(one.which, Box::new(Err(error.to_string())), None);
                self.queue.put(self.now, end);
                Ok(())
            }
        }
    }

    fn go(&mut self, one: Authorizing, token: Arc<Token<TokenId>>) -> Result<(), Violation> {
        let source = self.sources.entry(one.which.to).or_default();
        if source.refused.contains(token.value()) {
            let detail = format!("destination {}, token {}", one.which.to, token.value());
            return Err(Violation::new("a refused token is not sent again", detail));
        }
        self.post(one.which, one.number, one.body, Some(token))
    }

    fn fetch(&mut self, one: Authorizing) -> Result<(), Violation> {
        let Try { epoch, to, .. } = one.which;
        let source = self.sources.entry(to).or_default();
        if source.fetching.replace(self.now).is_some() {
            let promise = "one token is fetched at a time";
            return Err(Violation::new(promise, format!("destination {to}")));
        }
        // The one who fetches is served first.
        source.waiting.insert(0, one);
        let failing = if self.calm_since.is_some() {
            0
        } else {
            self.plan.tokens_failing
        };
        let fetch = Fetch::draw(&mut self.random, failing);
        self.trace
            .line(self.now, &format!("token for {to}: {fetch:?}"));
        let end = Happening::Token(epoch, to, Box::new(fetch.clone()));
        self.queue.put(self.now + fetch.takes, end);
        Ok(())
    }

    /// A fetch has come to its end.
    pub(super) fn fetched(
        &mut self,
        epoch: u32,
        to: DestinationId,
        fetch: &Fetch,
    ) -> Result<(), Violation> {
        if !self.is_current(epoch) {
            return Ok(());
        }
        let source = self.sources.entry(to).or_default();
        let asked = source.fetching.take().unwrap_or(self.now);
        match &fetch.granted {
            Ok(life) => {
                let token = self.endpoints.issue(asked, to, fetch, *life);
                let asked = Duration::from_millis(asked);
                source.state.fetched(asked, token, *life);
                self.counts.add("tokens fetched");
            }
            Err(error) => {
                source.state.failed(Duration::from_millis(self.now), error);
                self.counts.add("tokens not to be had");
            }
        }
        for one in std::mem::take(&mut source.waiting) {
            self.authorize(one, Waited::Yes)?;
        }
        Ok(())
    }

    /// What an answer says about the token that was sent.
    pub(super) fn judge(&mut self, to: DestinationId, status: u16, token: &Arc<Token<TokenId>>) {
        let source = self.sources.entry(to).or_default();
        match status {
            401 => {
                self.counts.add("tokens refused");
                let now = Duration::from_millis(self.now);
                source.state.refused(now, token);
                source.refused.insert(*token.value());
            }
            200..300 => token.taken(),
            _ => {}
        }
    }

    /// A partner revokes every token.
    pub(super) fn revoke(&mut self, to: DestinationId) {
        self.counts.add("tokens revoked");
        self.trace
            .line(self.now, &format!("{to} revokes its tokens"));
        self.endpoints.revoke(to);
    }
}
