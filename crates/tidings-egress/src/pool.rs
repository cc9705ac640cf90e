//! Idle connections of one destination.
//!
//! The newest is used first, so that under light load the others grow old and go. A connection is
//! handed out only after a look at it: an end that the peer has sent meanwhile is noticed, and its
//! address is judged by the policy of now. While there are idle connections a task sweeps them now and
//! then, so that sockets are not held for a destination that went quiet; it ends with the last of them
//! and is aborted with the pool.
//!
//! Invariant: at most `idle_max` idle connections. Connections in use belong to their attempts.

use crate::{egress::Egress, link::Link};
use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep},
};

/// How an endpoint keeps its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Idle connections kept. Default 32, as many as requests of one destination may be in flight.
    pub idle_max: usize,
    /// How long a connection may be idle. Default 50 s: shorter than the 60 s after which many
    /// servers close, so that the race between their close and our request is rare.
    pub idle_timeout: Duration,
    /// How old a connection may be when a request is sent over it. Default 300 s: then the name is
    /// resolved, the address judged and the certificate verified again.
    pub age_max: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            idle_max: tidings_model::limits::IN_FLIGHT_PER_DESTINATION_MAX,
            idle_timeout: Duration::from_secs(50),
            age_max: Duration::from_secs(300),
        }
    }
}

pub(crate) struct Pool {
    settings: PoolSettings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Oldest use first.
    idle: Vec<Idle>,
    /// Raised by [`Pool::clear`]: links of an earlier generation are not taken back.
    generation: u64,
    sweeper: Option<AbortHandle>,
}

struct Idle {
    link: Link,
    since: Instant,
}

/// A link in use, and what the pool must know when it comes back.
pub(crate) struct Lease {
    pub(crate) link: Link,
    pub(crate) generation: u64,
}

impl Pool {
    pub(crate) fn new(settings: PoolSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An idle connection that looks alive at `now`, to a peer that is still permitted.
    pub(crate) async fn take(&self, egress: &Egress, now: Instant) -> Option<Lease> {
        loop {
            let (mut idle, generation) = {
                let mut state = self.state();
                (state.idle.pop()?, state.generation)
            };
            let is_ready = poll_fn(|cx| Poll::Ready(idle.link.is_ready(cx))).await;
            if is_ready && !self.has_expired(&idle, now) && egress.may_reuse(idle.link.peer()) {
                return Some(Lease {
                    link: idle.link,
                    generation,
                });
            }
            idle.link.close();
        }
    }

    /// The generation of connections opened from now on.
    pub(crate) fn generation(&self) -> u64 {
        self.state().generation
    }

    /// Takes a connection back after a response that was read to its end, at `now`.
    pub(crate) async fn put(self: &Arc<Self>, mut lease: Lease, now: Instant) {
        // The driver declares itself ready in the pass after the one that ended the response.
        let is_ready = poll_fn(|cx| Poll::Ready(lease.link.is_ready(cx))).await;
        let idle = Idle {
            link: lease.link,
            since: now,
        };
        if !is_ready || self.settings.idle_max == 0 || self.has_expired(&idle, now) {
            idle.link.close();
            return;
        }
        let mut state = self.state();
        if state.generation != lease.generation {
            drop(state);
            idle.link.close();
            return;
        }
        let surplus = (state.idle.len() >= self.settings.idle_max).then(|| state.idle.remove(0));
        state.idle.push(idle);
        if state.sweeper.is_none() {
            state.sweeper = Some(self.spawn_sweeper());
        }
        drop(state);
        if let Some(surplus) = surplus {
            surplus.link.close();
        }
    }

    /// Closes all idle connections; those in use close when their attempt ends.
    pub(crate) fn clear(&self) {
        let idle = {
            let mut state = self.state();
            state.generation += 1;
            std::mem::take(&mut state.idle)
        };
        idle.into_iter().for_each(|idle| idle.link.close());
    }

    pub(crate) fn idle_count(&self) -> usize {
        self.state().idle.len()
    }

    fn has_expired(&self, idle: &Idle, now: Instant) -> bool {
        let since = |earlier| now.saturating_duration_since(earlier);
        since(idle.since) >= self.settings.idle_timeout
            || since(idle.link.opened()) >= self.settings.age_max
    }

    fn spawn_sweeper(self: &Arc<Self>) -> AbortHandle {
        let pause = (self.settings.idle_timeout / 4)
            .clamp(Duration::from_millis(50), Duration::from_secs(5));
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                sleep(pause).await;
                if !Weak::upgrade(&pool).is_some_and(|pool| pool.sweep()) {
                    return;
                }
            }
        })
        .abort_handle()
    }

    /// Closes what has expired or was closed by the peer. Returns whether the sweeper goes on.
    fn sweep(&self) -> bool {
        let mut state = self.state();
        let (now, mut cx) = (Instant::now(), Context::from_waker(Waker::noop()));
        let gone: Vec<Idle> = state
            .idle
            .extract_if(.., |idle| {
                !idle.link.is_ready(&mut cx) || self.has_expired(idle, now)
            })
            .collect();
        let goes_on = !state.idle.is_empty();
        if !goes_on {
            state.sweeper = None;
        }
        drop(state);
        gone.into_iter().for_each(|idle| idle.link.close());
        goes_on
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.clear();
        if let Some(sweeper) = self.state().sweeper.take() {
            sweeper.abort();
        }
    }
}
