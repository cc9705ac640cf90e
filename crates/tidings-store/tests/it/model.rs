//! The store beside a twin of plain maps: the same commits, the same answers, across restarts.

use crate::support::{profile, settings};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest},
    test_runner::{Config, TestCaseError},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use tidings_engine::Profile;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, SegmentId, Timestamp};
use tidings_store::{
    AttemptKey, AttemptPage, AttemptRecord, Batch, BatchRecord, Link, PendingRow, RecordKind,
    Removal, RemovalCause, RemovalKey, Resend, Store, StoreError, StoreSettings, Undelivered,
};

/// So that pending pairs and profiles get rows of their own.
fn open(dir: &Path) -> Result<Store, StoreError> {
    let pending_pairs = 0;
    Store::open(
        dir,
        &StoreSettings {
            pending_pairs,
            profile_log_bytes: 1024,
            ..settings()
        },
    )
}

/// The order of the store's keys: ids of 38 digits by number, then others by length and digits.
type DeviceOrder = (usize, DeviceUuid);

fn order(uuid: &DeviceUuid) -> DeviceOrder {
    (uuid.as_text().map_or(0, str::len), uuid.clone())
}

#[derive(Default)]
struct Twin {
    profiles: BTreeMap<DeviceOrder, Profile>,
    /// Devices that had a profile before the batch.
    committed: BTreeSet<DeviceOrder>,
    links: BTreeMap<(u32, String), Vec<Link>>,
    pending: BTreeMap<(u32, DeviceOrder), PendingRow>,
    undelivered: BTreeMap<(u32, DeviceOrder), Undelivered>,
    changes: BTreeSet<(u32, DeviceOrder)>,
    records: BTreeMap<(u32, u32), BatchRecord>,
    attempts: BTreeMap<(u32, AttemptKey), Vec<AttemptRecord>>,
    removals: BTreeMap<(u32, DeviceOrder, u32), (RemovalKey, Vec<Removal>)>,
    resends: BTreeMap<u32, Resend>,
    seq: u64,
}

#[derive(Clone, Debug)]
enum Row {
    PutProfile(DeviceUuid, u64),
    DeleteProfile(DeviceUuid),
    PutLinks(u32, String, Vec<DeviceUuid>),
    PutPending(u32, DeviceUuid, i64),
    DeletePending(u32, DeviceUuid),
    PutUndelivered(u32, DeviceUuid, bool),
    DeleteUndelivered(u32, DeviceUuid),
    PutChange(u32, DeviceUuid),
    DeleteChange(u32, DeviceUuid),
    PutRecord(u32, u32, u64),
    DeleteRecord(u32, u32),
    PutAttempts(u32, AttemptKey, u64),
    DeleteAttempts(u32, AttemptKey),
    PutRemovals(RemovalKey, i64),
    DeleteRemovals(RemovalKey),
    PutResend(u32, u64),
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<Row>),
    Reopen,
    Page { destination: u32, limit: usize },
}

/// Few enough devices that rows are overwritten and deleted.
fn device() -> impl Strategy<Value = DeviceUuid> {
    let text = prop_oneof!["0{36}[0-9]{2}", "[01]{1,3}", "0[0-9]{42}"];
    text.prop_map(|text| text.parse().unwrap())
}

/// Numbers whose keys have zero to four bytes.
fn number() -> impl Strategy<Value = u32> {
    (0..6usize).prop_map(|n| [0, 7, 255, 256, 70_000, u32::MAX][n])
}

fn page() -> impl Strategy<Value = AttemptKey> {
    (0..4i64, 0..3u64).prop_map(|(time, position)| AttemptKey {
        time: Timestamp(time),
        position,
    })
}

fn removal() -> impl Strategy<Value = RemovalKey> {
    (number(), device(), 0..300u32, "[ab]{0,1}").prop_map(|(destination, uuid, segment, id)| {
        RemovalKey {
            destination: DestinationId(destination),
            uuid,
            segment: SegmentId(segment % 3 * 128),
            namespace: DataSourceId(55),
            id: id.into(),
        }
    })
}

fn row() -> impl Strategy<Value = Row> {
    let id = "[ab]{0,2}";
    prop_oneof![
        4 => (device(), 0..1000u64).prop_map(|(uuid, n)| Row::PutProfile(uuid, n)),
        1 => device().prop_map(Row::DeleteProfile),
        3 => (number(), id, vec(device(), 0..3)).prop_map(|(ds, id, uuids)| Row::PutLinks(ds, id, uuids)),
        4 => (number(), device(), any::<i64>()).prop_map(|(d, u, at)| Row::PutPending(d, u, at)),
        3 => (number(), device()).prop_map(|(d, u)| Row::DeletePending(d, u)),
        2 => (number(), device(), any::<bool>()).prop_map(|(d, u, h)| Row::PutUndelivered(d, u, h)),
        1 => (number(), device()).prop_map(|(d, u)| Row::DeleteUndelivered(d, u)),
        2 => (number(), device()).prop_map(|(d, u)| Row::PutChange(d, u)),
        1 => (number(), device()).prop_map(|(d, u)| Row::DeleteChange(d, u)),
        2 => (number(), 250..260u32, any::<u64>()).prop_map(|(d, n, c)| Row::PutRecord(d, n, c)),
        1 => (number(), 250..260u32).prop_map(|(d, n)| Row::DeleteRecord(d, n)),
        3 => (number(), page(), any::<u64>()).prop_map(|(d, k, n)| Row::PutAttempts(d, k, n)),
        1 => (number(), page()).prop_map(|(d, k)| Row::DeleteAttempts(d, k)),
        3 => (removal(), any::<i64>()).prop_map(|(key, at)| Row::PutRemovals(key, at)),
        1 => removal().prop_map(Row::DeleteRemovals),
        1 => (number(), any::<u64>()).prop_map(|(d, n)| Row::PutResend(d, n)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => vec(row(), 0..12).prop_map(Step::Commit),
        1 => Just(Step::Reopen),
        3 => (number(), 1..5usize).prop_map(|(destination, limit)| Step::Page { destination, limit }),
    ]
}

impl Twin {
    fn apply(&mut self, row: Row, batch: &mut Batch) {
        match row {
            Row::PutProfile(uuid, n) => {
                // What the batch itself has put or removed matters not: there was one before it, or not.
                if self.committed.contains(&order(&uuid)) {
                    batch.replace_profile(&uuid, &profile(n));
                } else {
                    batch.put_profile(&uuid, &profile(n));
                }
                self.profiles.insert(order(&uuid), profile(n));
            }
            Row::DeleteProfile(uuid) => {
                batch.delete_profile(&uuid);
                self.profiles.remove(&order(&uuid));
            }
            Row::PutLinks(data_source, id, uuids) => {
                let links = uuids.into_iter().zip(0..);
                let links: Vec<_> = links
                    .map(|(uuid, at)| Link {
                        uuid,
                        at: Timestamp(at),
                    })
                    .collect();
                batch.put_links(DataSourceId(data_source), &id, &links);
                self.links.insert((data_source, id), links);
            }
            Row::PutPending(destination, uuid, at) => {
                let since = Timestamp(at);
                let row = PendingRow { seq: 1, since };
                if self.pending.contains_key(&(destination, order(&uuid))) {
                    batch.delete_pending(DestinationId(destination), &uuid);
                }
                batch.put_pending(DestinationId(destination), &uuid, &row);
                self.pending.insert((destination, order(&uuid)), row);
            }
            Row::DeletePending(destination, uuid) => {
                batch.delete_pending(DestinationId(destination), &uuid);
                self.pending.remove(&(destination, order(&uuid)));
            }
            Row::PutUndelivered(destination, uuid, held) => {
                let row = Undelivered {
                    at: Timestamp(-1),
                    reason: "status 500".into(),
                    held,
                };
                batch.put_undelivered(DestinationId(destination), &uuid, &row);
                self.undelivered.insert((destination, order(&uuid)), row);
            }
            Row::DeleteUndelivered(destination, uuid) => {
                batch.delete_undelivered(DestinationId(destination), &uuid);
                self.undelivered.remove(&(destination, order(&uuid)));
            }
            Row::PutChange(destination, uuid) => {
                batch.put_batch_change(DestinationId(destination), &uuid);
                self.changes.insert((destination, order(&uuid)));
            }
            Row::DeleteChange(destination, uuid) => {
                batch.delete_batch_change(DestinationId(destination), &uuid);
                self.changes.remove(&(destination, order(&uuid)));
            }
            Row::PutRecord(destination, number, received) => {
                let record = BatchRecord {
                    number,
                    received,
                    ..BatchRecord::default()
                };
                batch.put_batch_record(DestinationId(destination), &record);
                self.records.insert((destination, number), record);
            }
            Row::DeleteRecord(destination, number) => {
                batch.delete_batch_record(DestinationId(destination), number);
                self.records.remove(&(destination, number));
            }
            Row::PutAttempts(destination, key, message) => {
                let record = AttemptRecord {
                    message,
                    excerpt: "no".into(),
                    ..AttemptRecord::default()
                };
                let mut page = AttemptPage::default();
                page.push(&record);
                batch.put_attempts(DestinationId(destination), key, &page);
                self.attempts.insert((destination, key), vec![record]);
            }
            Row::DeleteAttempts(destination, key) => {
                batch.delete_attempts(DestinationId(destination), key);
                self.attempts.remove(&(destination, key));
            }
            Row::PutRemovals(key, at) => {
                let removals = vec![Removal::new(RemovalCause::Expiry, Timestamp(at))];
                batch.put_removals(&key, &removals);
                self.removals.insert(removal_order(&key), (key, removals));
            }
            Row::DeleteRemovals(key) => {
                batch.delete_removals(&key);
                self.removals.remove(&removal_order(&key));
            }
            Row::PutResend(destination, resent) => {
                let resend = Resend {
                    resent,
                    ..Resend::default()
                };
                batch.put_resend(DestinationId(destination), &resend);
                self.resends.insert(destination, resend);
            }
        }
    }

    /// The rows of one destination.
    fn of<T: Clone>(
        rows: &BTreeMap<(u32, DeviceOrder), T>,
        destination: u32,
    ) -> Vec<(DeviceUuid, T)> {
        let rows = rows.iter().filter(|((of, _), _)| *of == destination);
        rows.map(|((_, (_, uuid)), row)| (uuid.clone(), row.clone()))
            .collect()
    }

    fn destinations<T>(rows: &BTreeMap<(u32, DeviceOrder), T>) -> Vec<DestinationId> {
        let mut destinations: Vec<_> = rows.keys().map(|(id, _)| DestinationId(*id)).collect();
        destinations.dedup();
        destinations
    }

    /// Everything that the store answers is what the twin would.
    fn check(&self, store: &Store) -> Result<(), TestCaseError> {
        prop_assert_eq!(store.head().seq, self.seq);
        let profiles = self.profiles.iter();
        let profiles: Vec<_> = profiles
            .map(|((_, uuid), p)| (uuid.clone(), p.clone()))
            .collect();
        for (uuid, profile) in &profiles {
            let found = store.profile(uuid).unwrap();
            prop_assert_eq!(found.as_ref(), Some(profile));
        }
        prop_assert_eq!(store.profiles(None, usize::MAX).unwrap(), profiles);
        for ((data_source, id), links) in &self.links {
            let found = store.links(DataSourceId(*data_source), id).unwrap();
            prop_assert_eq!(&found, links);
        }
        let pending = store.destinations_with(RecordKind::Pending).unwrap();
        prop_assert_eq!(&pending, &Self::destinations(&self.pending));
        for destination in pending {
            let rows = Self::of(&self.pending, destination.0);
            prop_assert_eq!(
                store.pending_count(destination, usize::MAX).unwrap(),
                rows.len()
            );
            prop_assert_eq!(store.pending(destination, None, usize::MAX).unwrap(), rows);
        }
        for destination in [0, 7, 255, 256, 70_000, u32::MAX] {
            let id = DestinationId(destination);
            let changes = self.changes.iter().filter(|(of, _)| *of == destination);
            let changes: Vec<_> = changes.map(|(_, (_, uuid))| uuid.clone()).collect();
            prop_assert_eq!(
                store.batch_changes_count(id, 3).unwrap(),
                changes.len().min(3)
            );
            let (after, rest) = match changes.split_first() {
                None => (None, &changes[..]),
                Some((first, rest)) => (Some(first), rest),
            };
            prop_assert_eq!(store.batch_changes(id, after, usize::MAX).unwrap(), rest);
            prop_assert_eq!(
                store.batch_changes(id, None, usize::MAX).unwrap(),
                changes.clone()
            );
            let records = self
                .records
                .range((destination, 0)..=(destination, u32::MAX));
            let records: Vec<_> = records.map(|(_, record)| *record).collect();
            prop_assert_eq!(store.batch_records(id).unwrap(), records);
        }
        let destinations = |ids: Vec<u32>| {
            let ids: BTreeSet<_> = ids.into_iter().map(DestinationId).collect();
            ids.into_iter().collect::<Vec<_>>()
        };
        let changed = destinations(self.changes.iter().map(|(of, _)| *of).collect());
        prop_assert_eq!(
            store.destinations_with(RecordKind::BatchChanges).unwrap(),
            changed
        );
        let batched = destinations(self.records.keys().map(|(of, _)| *of).collect());
        prop_assert_eq!(
            store.destinations_with(RecordKind::Batches).unwrap(),
            batched
        );
        self.check_records(store)?;
        let undelivered = store.destinations_with(RecordKind::Undelivered).unwrap();
        prop_assert_eq!(&undelivered, &Self::destinations(&self.undelivered));
        for destination in undelivered {
            let rows = Self::of(&self.undelivered, destination.0);
            prop_assert_eq!(
                store.undelivered_count(destination, 2).unwrap(),
                rows.len().min(2)
            );
            prop_assert_eq!(
                store.undelivered(destination, None, usize::MAX).unwrap(),
                rows
            );
        }
        Ok(())
    }

    /// The same for the rows that say what happened.
    fn check_records(&self, store: &Store) -> Result<(), TestCaseError> {
        for destination in store.destinations_with(RecordKind::Attempts).unwrap() {
            let pages = self.attempts.iter();
            let pages = pages.filter(|((of, _), _)| *of == destination.0);
            let mut pages: Vec<_> = pages.map(|((_, key), page)| (*key, page.clone())).collect();
            let keys: Vec<_> = pages.iter().map(|(key, _)| *key).collect();
            let after = keys.first().copied();
            prop_assert_eq!(
                store.oldest_attempts(destination, None, 2).unwrap(),
                &keys[..keys.len().min(2)]
            );
            prop_assert_eq!(
                store.oldest_attempts(destination, after, 99).unwrap(),
                &keys[1..]
            );
            let last = store.last_attempts(destination).unwrap();
            prop_assert_eq!(last.map(|(key, _)| key), keys.last().copied());
            let before = AttemptKey {
                time: Timestamp(3),
                position: 1,
            };
            pages.retain(|(key, _)| *key < before && key.time >= Timestamp(1));
            pages.reverse();
            prop_assert_eq!(
                store
                    .attempts(destination, before, Timestamp(1), 99)
                    .unwrap(),
                pages
            );
        }
        let count = self.attempts.len();
        let all = store.destinations_with(RecordKind::Attempts).unwrap();
        let all = all
            .into_iter()
            .map(|id| store.oldest_attempts(id, None, 99).unwrap().len());
        prop_assert_eq!(all.sum::<usize>(), count);

        let mut found = Vec::new();
        for destination in store.destinations_with(RecordKind::Removals).unwrap() {
            let mut after: Option<RemovalKey> = None;
            while let Some(row) = store
                .removals(destination, None, after.as_ref(), 1)
                .unwrap()
                .pop()
            {
                let of_device = store
                    .removals(destination, Some(&row.0.uuid), None, 99)
                    .unwrap();
                prop_assert!(of_device.contains(&row));
                prop_assert!(of_device.iter().all(|(key, _)| key.uuid == row.0.uuid));
                prop_assert_eq!(&store.removals_at(&row.0).unwrap(), &row.1);
                after = Some(row.0.clone());
                found.push(row);
            }
        }
        prop_assert_eq!(found, self.removals.values().cloned().collect::<Vec<_>>());
        for (destination, resend) in &self.resends {
            let found = store.resend(DestinationId(*destination)).unwrap();
            prop_assert_eq!(found.as_ref(), Some(resend));
        }
        let resends = store.destinations_with(RecordKind::Resends).unwrap();
        prop_assert_eq!(resends.len(), self.resends.len());
        Ok(())
    }

    /// Pages of a destination, one after the other, are all its rows.
    fn check_pages(
        &self,
        store: &Store,
        destination: u32,
        limit: usize,
    ) -> Result<(), TestCaseError> {
        let mut rows: Vec<(DeviceUuid, PendingRow)> = Vec::new();
        loop {
            let after = rows.last().map(|(uuid, _)| uuid);
            let page = store
                .pending(DestinationId(destination), after, limit)
                .unwrap();
            prop_assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            rows.extend(page);
        }
        prop_assert_eq!(rows, Self::of(&self.pending, destination));
        Ok(())
    }
}

fn removal_order(key: &RemovalKey) -> (u32, DeviceOrder, u32) {
    // The id is part of the key as well: two ids of one device and segment sort by their text.
    let segment = key.segment.0 * 4 + key.id.chars().next().map_or(0, |c| 1 + u32::from(c == 'b'));
    (key.destination.0, order(&key.uuid), segment)
}

/// Rows that were deleted, or never there, are not found.
fn check_absent(store: &Store, twin: &Twin, row: &Row) -> Result<(), TestCaseError> {
    match row {
        Row::DeleteProfile(uuid) => {
            let expected = twin.profiles.get(&order(uuid)).cloned();
            prop_assert_eq!(store.profile(uuid).unwrap(), expected);
        }
        Row::DeletePending(destination, uuid) => {
            let expected = twin.pending.get(&(*destination, order(uuid))).copied();
            let found = store.pending_row(DestinationId(*destination), uuid);
            prop_assert_eq!(found.unwrap(), expected);
        }
        Row::DeleteUndelivered(destination, uuid) => {
            let expected = twin.undelivered.get(&(*destination, order(uuid))).cloned();
            let found = store.undelivered_row(DestinationId(*destination), uuid);
            prop_assert_eq!(found.unwrap(), expected);
        }
        _ => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn the_store_answers_as_its_twin(steps in vec(step(), 1..24)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path()).unwrap();
        let (mut twin, mut batch) = (Twin::default(), Batch::new());
        for step in steps {
            match step {
                Step::Commit(rows) => {
                    twin.committed = twin.profiles.keys().cloned().collect();
                    batch.clear();
                    for row in rows.clone() {
                        twin.apply(row, &mut batch);
                    }
                    prop_assert!(batch.len() >= rows.len());
                    twin.seq += 1;
                    prop_assert_eq!(store.commit(&batch).unwrap(), twin.seq);
                    for row in &rows {
                        check_absent(&store, &twin, row)?;
                    }
                }
                Step::Reopen => {
                    drop(store);
                    store = open(dir.path()).unwrap();
                }
                Step::Page { destination, limit } => twin.check_pages(&store, destination, limit)?,
            }
            twin.check(&store)?;
        }
        drop(store);
        twin.check(&open(dir.path()).unwrap())?;
    }
}
