//! Forgets removals that ended long ago: a page of the ledger a second, from its first row to its
//! last, and again a minute later.

use crate::{
    core::Core,
    settings::{RecordSettings, seconds},
};
use tidings_engine::Moment;
use tidings_model::{DestinationId, Millis};
use tidings_store::{Batch, RecordKind, RemovalKey, Store, StoreError};

/// Rows read in one go.
const PAGE: usize = 200;
/// Pause between pages.
const PAGE_EVERY_MS: u64 = 1_000;
/// Pause between the last page and the first.
const PASS_EVERY_MS: u64 = 60_000;

/// Where the reading of the ledger stands.
#[derive(Debug)]
pub(super) struct LedgerTrim {
    keep_seconds: i64,
    destinations: Vec<DestinationId>,
    after: Option<RemovalKey>,
    next: Millis,
}

impl LedgerTrim {
    pub(super) fn new(settings: &RecordSettings) -> Self {
        Self {
            keep_seconds: seconds(settings.removals_keep),
            destinations: Vec::new(),
            after: None,
            next: Millis(0),
        }
    }

    /// Reads the next page, if it is time for that.
    pub(super) fn visit(
        &mut self,
        now: Millis,
        moment: Moment,
        core: &mut Core,
        store: &Store,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if now < self.next {
            return Ok(());
        }
        if self.destinations.is_empty() {
            self.destinations = store.destinations_with(RecordKind::Removals)?;
        }
        self.next = Millis(now.0 + PASS_EVERY_MS);
        let Some(&destination) = self.destinations.last() else {
            return Ok(());
        };
        let kept_from = moment.now.plus_seconds(-self.keep_seconds);
        let rows = store.removals(destination, None, self.after.as_ref(), PAGE)?;
        for (key, removals) in &rows {
            let mut ended = removals.iter().filter_map(|removal| removal.ended());
            if ended.any(|ended| ended < kept_from) {
                core.trim_removals(key, kept_from, store, batch)?;
            }
        }
        let complete = rows.len() < PAGE;
        self.after = rows.into_iter().last().map(|(key, _)| key);
        if complete {
            self.after = None;
            self.destinations.pop();
        }
        if !self.destinations.is_empty() {
            self.next = Millis(now.0 + PAGE_EVERY_MS);
        }
        Ok(())
    }
}
