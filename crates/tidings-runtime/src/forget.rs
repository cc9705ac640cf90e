//! What is left of destinations that are no longer in the catalog: removed in pages, so that events
//! never wait long, and found again on disk after a restart.

use crate::{
    core::{Changes, Core, Scans},
    pages::Pages,
};
use std::collections::VecDeque;
use tidings_engine::Moment;
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
    /// After the changes: the last batch says whether those were told. A few rows, all in one step.
    Batches,
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
        moment: Moment,
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
            Table::Batches => {
                core.forget_batches(destination, rows, changes)?;
                self.destinations.pop_front();
                tracing::info!(
                    destination = destination.0,
                    "nothing is left of the destination, which is not in the catalog"
                );
                return Ok(());
            }
        };
        for uuid in &devices {
            planted!(RemovedKeepsRows, {
                continue;
            });
            core.forget_pair(moment, destination, uuid, rows, changes)?;
        }
        page.after = devices.last().cloned();
        if devices.len() == self.page {
            return Ok(());
        }
        page.after = None;
        page.table = match page.table {
            Table::Pending => Table::Undelivered,
            Table::Undelivered => Table::BatchChanges,
            Table::BatchChanges | Table::Batches => Table::Batches,
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
    const MOMENT: Moment = Moment {
        now: Timestamp(0),
        seq: 1,
        epoch: 1,
    };

    /// A core whose catalog has no destination, and rows that are left of one.
    struct World {
        core: Core,
        rows: MemoryRows,
        forgetting: Forgetting,
    }

    impl World {
        fn new() -> Self {
            let active = ActiveCatalog::new(Catalog::default(), 1, MappingChanges::default());
            Self {
                core: Core::new(Arc::new(active.unwrap()), 100),
                rows: MemoryRows::default(),
                forgetting: Forgetting::new(2),
            }
        }

        fn list(&mut self, number: u32) {
            let why = Undelivered {
                at: Timestamp(0),
                reason: "status_500".into(),
                held: false,
            };
            self.rows.undelivered.insert((GONE, device(number)), why);
        }

        fn step(&mut self) {
            let (core, rows) = (&mut self.core, &self.rows);
            let mut changes = MemoryChanges::default();
            let step = self.forgetting.step(MOMENT, core, rows, &mut changes);
            step.unwrap();
            self.rows.apply(&mut changes);
        }
    }

    fn device(number: u32) -> DeviceUuid {
        number.to_string().parse().unwrap()
    }

    /// Between two pages it may come back, be told something, and leave again.
    #[test]
    fn a_destination_that_leaves_again_is_forgotten_from_the_first_page() {
        let mut world = World::new();
        (2..=4).for_each(|number| world.list(number));
        world.forgetting.add(GONE);
        for steps in 0..10 {
            if steps == 2 {
                world.list(1);
                world.forgetting.add(GONE);
            }
            world.step();
        }
        assert!(world.forgetting.is_empty());
        assert!(world.rows.undelivered.is_empty());
    }

    /// The last batch stays until no device has changes since: by it is known whether they were told.
    #[test]
    fn batches_go_after_the_changes_since() {
        let mut world = World::new();
        let mut changes = MemoryChanges::default();
        let (core, rows) = (&mut world.core, &world.rows);
        core.begin_batch(MOMENT, GONE, MOMENT.now, rows, &mut changes)
            .unwrap();
        world.rows.apply(&mut changes);
        for number in 1..=5 {
            world.rows.batch_changes.insert((GONE, device(number)));
        }
        world.forgetting.add(GONE);
        while !world.forgetting.is_empty() {
            let is_left = !world.rows.batch_changes.is_empty();
            assert!(!is_left || world.rows.batches.contains_key(&GONE));
            world.step();
        }
        assert!(world.rows.batch_changes.is_empty());
        assert!(world.rows.batches.is_empty());
        // If it comes back, its first batch is the first.
        let (core, rows) = (&mut world.core, &world.rows);
        assert_eq!(core.last_batch(GONE, rows), Ok(None));
    }
}
