//! What is left of destinations that are no longer in the catalog: removed in pages, so that events
//! never wait long, and found again on disk after a restart.

use crate::core::{Changes, Core, Scans};
use std::collections::VecDeque;
use tidings_model::{DestinationId, DeviceUuid};

/// Pairs removed in one step.
const PAIRS_PER_STEP: usize = 200;

/// Destinations of which rows are left, the next one first, with the page that comes next.
#[derive(Debug, Default)]
pub struct Forgetting {
    destinations: VecDeque<(DestinationId, Page)>,
}

#[derive(Clone, Debug, Default)]
struct Page {
    table: Table,
    /// The last device of the page before.
    after: Option<DeviceUuid>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Table {
    #[default]
    Pending,
    Undelivered,
    BatchChanges,
}

impl Forgetting {
    /// Begins to remove what is left of a destination.
    pub fn add(&mut self, destination: DestinationId) {
        if !self.destinations.iter().any(|(id, _)| *id == destination) {
            self.destinations.push_back((destination, Page::default()));
        }
    }

    /// Whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.destinations.is_empty()
    }

    /// Removes a page, of a destination that did not come back meanwhile.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn step<R: Scans>(
        &mut self,
        core: &mut Core,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        let Some((destination, page)) = self.destinations.front_mut() else {
            return Ok(());
        };
        let destination = *destination;
        if core.catalog().compiled.destination(destination).is_some() {
            self.destinations.pop_front();
            return Ok(());
        }
        let after = page.after.as_ref();
        let devices = match page.table {
            Table::Pending => rows.pending(destination, after, PAIRS_PER_STEP)?,
            Table::Undelivered => rows.undelivered(destination, after, PAIRS_PER_STEP)?,
            Table::BatchChanges => rows.batch_changes(destination, after, PAIRS_PER_STEP)?,
        };
        for uuid in &devices {
            core.forget_pair(destination, uuid, rows, changes)?;
        }
        page.after = devices.last().cloned();
        if devices.len() == PAIRS_PER_STEP {
            return Ok(());
        }
        page.after = None;
        page.table = match page.table {
            Table::Pending => Table::Undelivered,
            Table::Undelivered => Table::BatchChanges,
            Table::BatchChanges => {
                self.destinations.pop_front();
                tracing::info!(
                    destination = destination.0,
                    "nothing is left of the destination, which is not in the catalog"
                );
                return Ok(());
            }
        };
        Ok(())
    }
}
