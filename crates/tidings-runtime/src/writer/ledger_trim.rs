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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ActiveCatalog;
    use std::{sync::Arc, time::Duration};
    use tidings_engine::MappingChanges;
    use tidings_model::{Catalog, DataSourceId, SegmentId, Timestamp};
    use tidings_store::{Removal, RemovalCause, RemovalEnd, StoreSettings};

    /// A destination whose removals the ledger has and the catalog does not.
    const GONE: DestinationId = DestinationId(7);

    fn removal(owed: i64, end: RemovalEnd) -> Removal {
        Removal {
            end,
            ..Removal::new(RemovalCause::Rule, Timestamp(owed))
        }
    }

    #[test]
    fn removals_at_a_destination_that_is_gone_go_by_age() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreSettings::default()).unwrap();
        let key = |number: u128| RemovalKey {
            destination: GONE,
            uuid: tidings_model::DeviceUuid::from_number(number).unwrap(),
            segment: SegmentId(10),
            namespace: DataSourceId(55),
            id: "a".into(),
        };
        let at = |at| Timestamp(at);
        let acknowledged = RemovalEnd::Acknowledged {
            at: at(50),
            message: 1,
        };
        let cancelled = RemovalEnd::Cancelled { at: at(60) };
        let mut batch = Batch::new();
        batch.put_removals(
            &key(1),
            &[removal(40, acknowledged), removal(55, cancelled)],
        );
        batch.put_removals(&key(2), &[removal(30, cancelled)]);
        batch.put_removals(&key(3), &[removal(30, RemovalEnd::Owed)]);
        store.commit(&batch).unwrap();

        let active = ActiveCatalog::new(Catalog::default(), 1, MappingChanges::default());
        let mut core = Core::new(Arc::new(active.unwrap()), 100);
        let mut trim = LedgerTrim::new(&RecordSettings {
            removals_keep: Duration::from_secs(100),
            ..RecordSettings::default()
        });
        let mut counts = |now: i64| {
            let moment = Moment {
                now: at(now),
                seq: 1,
                epoch: 1,
            };
            let mut batch = Batch::new();
            let millis = Millis(u64::try_from(now).unwrap() * PASS_EVERY_MS);
            trim.visit(millis, moment, &mut core, &store, &mut batch)
                .unwrap();
            store.commit(&batch).unwrap();
            [1, 2, 3].map(|number| store.removals_at(&key(number)).unwrap().len())
        };
        assert_eq!(counts(150), [2, 1, 1]);
        assert_eq!(counts(151), [1, 1, 1]);
        // What is owed stays until it is told or cannot be told any more.
        assert_eq!(counts(161), [0, 0, 1]);
    }
}
