//! What is left of destinations that are no longer in the catalog: removed in pages, so that events
//! never wait long, and found again on disk after a restart.

use crate::{
    core::{Changes, Core, Scans},
    pages::Pages,
};
use std::collections::VecDeque;
use tidings_model::{DestinationId, DeviceUuid, planted};

/// Destinations of which rows are left, the next one first, with the page that comes next.
#[derive(Debug)]
pub struct Forgetting {
    /// Pairs removed in one step.
    page: usize,
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

impl Default for Forgetting {
    fn default() -> Self {
        Self::new(Pages::SERVER.forgotten)
    }
}

impl Forgetting {
    /// Nothing to do yet; so many pairs are removed in one step.
    #[must_use]
    pub const fn new(page: usize) -> Self {
        Self {
            page,
            destinations: VecDeque::new(),
        }
    }

    /// Begins to remove what is left of a destination; anew, if that is under way: it may have come
    /// back and left again.
    pub fn add(&mut self, destination: DestinationId) {
        let mut under_way = self.destinations.iter_mut();
        match under_way.find(|(id, _)| *id == destination) {
            Some((_, page)) => *page = Page::default(),
            None => self.destinations.push_back((destination, Page::default())),
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
            Table::Pending => rows.pending(destination, after, self.page)?,
            Table::Undelivered => rows.undelivered(destination, after, self.page)?,
            Table::BatchChanges => rows.batch_changes(destination, after, self.page)?,
        };
        for uuid in &devices {
            planted!(RemovedKeepsRows, {
                continue;
            });
            core.forget_pair(destination, uuid, rows, changes)?;
        }
        page.after = devices.last().cloned();
        if devices.len() == self.page {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::ActiveCatalog,
        memory::{MemoryChanges, MemoryRows},
    };
    use std::sync::Arc;
    use tidings_engine::MappingChanges;
    use tidings_model::{Catalog, Timestamp};
    use tidings_store::Undelivered;

    const GONE: DestinationId = DestinationId(7);

    /// Between two pages it may come back, be told something, and leave again.
    #[test]
    fn a_destination_that_leaves_again_is_forgotten_from_the_first_page() {
        let active = ActiveCatalog::new(Catalog::default(), 1, MappingChanges::default());
        let mut core = Core::new(Arc::new(active.unwrap()), 100);
        let mut rows = MemoryRows::default();
        let list = |rows: &mut MemoryRows, number: u32| {
            let uuid: DeviceUuid = number.to_string().parse().unwrap();
            let why = Undelivered {
                at: Timestamp(0),
                reason: "status_500".into(),
                held: false,
            };
            rows.undelivered.insert((GONE, uuid), why);
        };
        for number in 2..=4 {
            list(&mut rows, number);
        }
        let mut forgetting = Forgetting::new(2);
        forgetting.add(GONE);
        for steps in 0..10 {
            if steps == 2 {
                list(&mut rows, 1);
                forgetting.add(GONE);
            }
            let mut changes = MemoryChanges::default();
            forgetting.step(&mut core, &rows, &mut changes).unwrap();
            rows.apply(&mut changes);
        }
        assert!(forgetting.is_empty());
        assert!(rows.undelivered.is_empty());
    }
}
