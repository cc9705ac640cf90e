//! Counters of the service, for the status page, metrics and the live view.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};
use tidings_dispatch::{Health, Outcome};
use tidings_engine::CompiledDestination;
use tidings_model::{DestinationId, ExportBlock, SegmentId, Timestamp};
use tokio::sync::watch;

/// Counters of the whole service since its start.
#[derive(Debug, Default)]
pub struct ServiceStats {
    /// Events applied.
    pub events_accepted: AtomicU64,
    /// Events whose id was seen before.
    pub events_duplicate: AtomicU64,
    /// Events that named something that does not exist.
    pub events_rejected: AtomicU64,
    /// Segments entered, over all devices.
    pub segments_entered: AtomicU64,
    /// Segments left, over all devices.
    pub segments_left: AtomicU64,
    /// Synced writes to the store.
    pub commits: AtomicU64,
    /// Whether nothing can be written because the disk is full.
    pub disk_full: watch::Sender<bool>,
}

/// Counters of one destination since the start, and its state now.
#[derive(Debug, Default)]
pub struct DestinationStats {
    /// Messages answered with success.
    pub messages_delivered: AtomicU64,
    /// Messages given up after their last attempt.
    pub messages_failed: AtomicU64,
    /// User objects in messages answered with success.
    pub users_told: AtomicU64,
    /// Attempts, retries included.
    pub attempts: AtomicU64,
    /// Of them those answered with success.
    pub attempts_acknowledged: AtomicU64,
    /// Those answered with 401, 403 or 404.
    pub attempts_refused: AtomicU64,
    /// Those answered with 429 or 503 and a `Retry-After`.
    pub attempts_busy: AtomicU64,
    /// Those that failed in another way.
    pub attempts_failed: AtomicU64,
    /// Attempts over a connection that was opened before.
    pub attempts_reused: AtomicU64,
    /// Bytes of bodies sent, retries included.
    pub bytes_sent: AtomicU64,
    /// Microseconds spent in attempts, added up.
    pub attempt_micros: AtomicU64,
    state: Mutex<DestinationState>,
}

/// What a destination is doing now.
#[derive(Clone, Debug, Default)]
pub struct DestinationState {
    /// How it has been answering; `None` until its task has begun.
    pub health: Option<Health>,
    /// Since when it fails, by the service's clock.
    pub failing_since: Option<Timestamp>,
    /// The last failure's class and detail.
    pub last_failure: Option<String>,
    /// When it is tried next; `None` while everything is sent.
    pub next_probe: Option<Timestamp>,
    /// Until when it asked to be left alone.
    pub quiet_until: Option<Timestamp>,
    /// Since when it refuses us, and how, which is for somebody to put right.
    pub alert: Option<Alert>,
    /// Devices waiting in memory.
    pub waiting: usize,
    /// Devices held in memory after a failure.
    pub held: usize,
    /// Messages on their way.
    pub in_flight: usize,
    /// When its next batch is due; `None` if it gets none, or none now.
    pub next_batch: Option<Timestamp>,
    /// Why the destination cannot be used at all, if so.
    pub refused: Option<String>,
    /// Why its changed secrets are not in use, if so: those from before are.
    pub secrets_refused: Option<String>,
}

/// A destination refuses us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Since when, by the service's clock.
    pub since: Timestamp,
    /// With which answer.
    pub reason: String,
}

impl DestinationStats {
    /// Counts an attempt's outcome.
    pub(crate) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Acknowledged => &self.attempts_acknowledged,
            Outcome::Failed => &self.attempts_failed,
            Outcome::Busy { .. } => &self.attempts_busy,
            Outcome::Refused => &self.attempts_refused,
        };
        add(counter, 1);
    }

    /// A copy of the state.
    #[must_use]
    pub fn state(&self) -> DestinationState {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut DestinationState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A destination is sent nothing because somebody wants that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// The catalog says `status: paused`.
    Catalog,
    /// The operator said so on the admin side.
    Operator {
        /// When.
        since: Timestamp,
    },
}

/// The mapped segments of a destination that export controls keep from it: neither 1 nor 0 is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportBlocks {
    /// How many.
    pub count: usize,
    /// The first [`Self::LISTED_MAX`] of them, ascending, each with what blocks it.
    pub listed: Vec<(SegmentId, ExportBlock)>,
}

impl ExportBlocks {
    /// One control may block thousands of mappings, and the figures are asked for every second.
    pub const LISTED_MAX: usize = 100;

    pub(crate) fn of(destination: &CompiledDestination) -> Self {
        let mut blocks = Self::default();
        for (segment, block) in destination.blocks() {
            blocks.count += 1;
            if blocks.listed.len() < Self::LISTED_MAX {
                blocks.listed.push((segment, *block));
            }
        }
        blocks
    }
}

/// One destination's figures, named.
#[derive(Clone, Debug)]
pub struct NamedStats {
    /// The destination.
    pub id: DestinationId,
    /// Its name.
    pub name: String,
    /// Who paused it, if somebody did.
    pub paused: Option<Paused>,
    /// Its figures.
    pub stats: std::sync::Arc<DestinationStats>,
    /// How the token endpoint refused its credentials, if it did: nothing is sent without a token.
    pub oauth_refused: Option<String>,
    /// What export controls keep from it.
    pub export_blocks: ExportBlocks,
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}
