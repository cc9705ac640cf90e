//! Which pairs are pending: most of them from a log of the last commits, the others from a row each.
//!
//! Nearly every pair is pending for a second or so, and a row for it would be written only to be deleted.
//! So the pairs that a commit adds and ends are one row, `q` and the number of the commit:
//!
//! ```text
//! version 1 | entry …
//! entry     0 ended | destination, device          as in keys
//!           1 began | destination, device | seq varint | since varint
//! ```
//!
//! What the rows of the log say, the oldest first, is kept in memory as a map. A row goes when it is the
//! oldest and none of the pairs that began in it is pending any more. When the log grows too long, those
//! that still are get a row each, `o`, as a partner that does not answer makes it. So do all when a profile
//! is deleted: no row may name a device of which nothing is to be left.
//!
//! Invariants:
//! - the pairs pending are those of the map and those of the `o` rows, and none is both at once: a pair
//!   that is put is not pending, or deleted by the same batch before;
//! - the map says what the commits say that are on disk, and nothing else;
//! - map and log are bounded, see [`Bounds`].

use crate::{
    batch::{Batch, Operation},
    codec::{
        DecodeError, PendingRow,
        bytes::{Problem, Reader, put_i64, put_u64},
    },
    error::StoreError,
    keys,
};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use std::{
    collections::VecDeque,
    ops::{Bound, RangeBounds},
};

const VERSION: u8 = 1;
const ENDED: u8 = 0;
const BEGAN: u8 = 1;

/// The key that the `o` row of a pair has, or would have.
pub(crate) type PairKey = SmallVec<[u8; 24]>;

/// How long the log may grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Pairs in the map, of 65 to 130 bytes of memory each.
    pairs: usize,
    /// Entries of all rows, of about 25 bytes on disk each.
    entries: usize,
    /// Rows.
    rows: usize,
}

impl Bounds {
    pub(crate) fn of_pairs(pairs: usize) -> Self {
        Self {
            pairs,
            entries: pairs.saturating_mul(4),
            rows: pairs / 16,
        }
    }
}

/// What is kept in memory of the log.
#[derive(Debug)]
pub(crate) struct PendingLog {
    pairs: HashMap<PairKey, Began, RandomState>,
    /// The oldest first.
    rows: VecDeque<LogRow>,
    /// Entries of all rows.
    entries: usize,
    bounds: Bounds,
}

#[derive(Clone, Copy, Debug)]
struct Began {
    /// The row of the log that says so.
    commit: u64,
    row: PendingRow,
}

#[derive(Clone, Copy, Debug)]
struct LogRow {
    commit: u64,
    /// Pairs that began in it and are pending.
    pending: usize,
    entries: usize,
}

/// What a commit does to the log and the rows of pairs.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    commit: u64,
    began: Vec<(PairKey, PendingRow)>,
    /// With the commit in which each of them began.
    ended: Vec<(PairKey, u64)>,
    /// Pairs that get a row of their own.
    settled_down: Vec<PairKey>,
    /// Rows of the log that go, from the oldest.
    rows_gone: usize,
    entries: usize,
    writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Plan {
    /// What is to be written beside the operations of the batch on other rows.
    pub(crate) fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        self.writes.iter().map(|(key, value)| Operation {
            key,
            value: value.as_deref(),
            replaces: false,
        })
    }
}

impl PendingLog {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            pairs: HashMap::with_hasher(RandomState::default()),
            rows: VecDeque::new(),
            entries: 0,
            bounds,
        }
    }

    /// Takes in the next row of the log, as it was found on disk.
    pub(crate) fn replay(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let commit = keys::read_pending_log(key)
            .map_err(StoreError::corrupt("key of the log of pending pairs"))?;
        let mut plan = Plan {
            commit,
            ..Plan::default()
        };
        read_entries(value, |key, began| {
            plan.entries += 1;
            match began {
                Some(row) => plan.began.push((key, row)),
                None => plan.ended.push((key, 0)),
            }
        })
        .map_err(damaged_row(commit))?;
        self.apply(plan);
        Ok(())
    }

    /// What the commit of this number is to write for what the batch does to pending pairs. `read` reads
    /// a row of the log.
    pub(crate) fn plan(
        &self,
        commit: u64,
        batch: &Batch,
        read: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Plan, StoreError> {
        let mut plan = Plan {
            commit,
            ..Plan::default()
        };
        self.collect(batch, &mut plan)?;
        let deletes_profile = batch.operations().any(|operation| {
            operation.key.first() == Some(&keys::PROFILE) && operation.value.is_none()
        });
        // Pairs of each row of the log that are pending no more.
        let mut ended: Vec<u64> = Vec::with_capacity(plan.ended.len());
        ended.extend(plan.ended.iter().map(|(_, commit)| commit));
        ended.sort_unstable();
        let left = |row: &LogRow| {
            let from = ended.partition_point(|commit| *commit < row.commit);
            let rest = ended.get(from..).unwrap_or_default();
            row.pending - rest.partition_point(|commit| *commit == row.commit)
        };
        let (mut pairs, mut entries) = (self.pairs.len() - ended.len(), self.entries);
        pairs += plan.began.len();
        entries += plan.began.len() + plan.ended.len();
        for row in &self.rows {
            let rows = self.rows.len() - plan.rows_gone;
            let goes = deletes_profile
                || pairs > self.bounds.pairs
                || entries > self.bounds.entries
                || rows > self.bounds.rows;
            let pending = left(row);
            if pending > 0 && !goes {
                break;
            }
            if pending > 0 {
                self.settle_down(row.commit, &mut plan, &read)?;
                pairs -= pending;
            }
            let mut key = Vec::new();
            keys::put_pending_log(&mut key, row.commit);
            plan.writes.push((key, None));
            plan.rows_gone += 1;
            entries -= row.entries;
        }
        self.write_row(&mut plan);
        Ok(plan)
    }

    /// The commit is on disk.
    pub(crate) fn apply(&mut self, plan: Plan) {
        let ended = plan.ended.iter().map(|(key, _)| key);
        for key in ended.chain(&plan.settled_down) {
            if let Some(began) = self.pairs.remove(key)
                && let Some(row) = self.row_mut(began.commit)
            {
                row.pending -= 1;
            }
        }
        for row in self.rows.drain(..plan.rows_gone) {
            self.entries -= row.entries;
        }
        let (commit, entries, pending) = (plan.commit, plan.entries, plan.began.len());
        for (key, row) in plan.began {
            self.pairs.insert(key, Began { commit, row });
        }
        if entries > 0 {
            self.entries += entries;
            self.rows.push_back(LogRow {
                commit,
                pending,
                entries,
            });
        }
    }

    /// What the batch does to pending pairs, the last operation on each.
    fn collect(&self, batch: &Batch, plan: &mut Plan) -> Result<(), StoreError> {
        let operations = batch
            .operations()
            .filter(|operation| operation.key.first() == Some(&keys::PENDING));
        let hasher = self.pairs.hasher().clone();
        // Whether an operation on the pair removed it, and the last one.
        let mut pairs: HashMap<&[u8], (bool, Option<&[u8]>), _> = HashMap::with_hasher(hasher);
        for operation in operations {
            let pair = pairs.entry(operation.key).or_insert((false, None));
            *pair = (pair.0 || operation.value.is_none(), operation.value);
        }
        for (key, (removed, last)) in pairs {
            let key = PairKey::from_slice(key);
            match self.pairs.get(&key) {
                Some(began) => plan.ended.push((key.clone(), began.commit)),
                None if removed => plan.writes.push((key.to_vec(), None)),
                None => {}
            }
            if let Some(value) = last {
                let row = PendingRow::decode(value);
                let row = row.map_err(StoreError::corrupt("pending row of a batch"))?;
                plan.began.push((key, row));
            }
        }
        Ok(())
    }

    /// The pairs that began in this commit and are still pending get a row each.
    fn settle_down(
        &self,
        commit: u64,
        plan: &mut Plan,
        read: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut key = Vec::new();
        keys::put_pending_log(&mut key, commit);
        let row = read(&key)?.unwrap_or_default();
        let mut found = Vec::new();
        read_entries(&row, |key, began| found.extend(began.map(|row| (key, row))))
            .map_err(damaged_row(commit))?;
        let ended = plan.ended.iter().filter(|(_, of)| *of == commit);
        let ended: HashSet<PairKey> = ended.map(|(key, _)| key.clone()).collect();
        for (key, row) in found {
            let began = self.pairs.get(&key).map(|began| began.commit);
            if ended.contains(&key) || began != Some(commit) {
                continue;
            }
            let mut value = Vec::new();
            row.encode(&mut value);
            plan.writes.push((key.to_vec(), Some(value)));
            plan.settled_down.push(key);
        }
        Ok(())
    }

    /// The row of this commit: what began, and what ended of rows that stay.
    fn write_row(&self, plan: &mut Plan) {
        let oldest = self.rows.get(plan.rows_gone).map(|row| row.commit);
        let mut value = vec![VERSION];
        for (key, commit) in &plan.ended {
            if oldest.is_some_and(|oldest| *commit >= oldest) {
                value.push(ENDED);
                value.extend(key.iter().skip(1));
                plan.entries += 1;
            }
        }
        for (key, row) in &plan.began {
            value.push(BEGAN);
            value.extend(key.iter().skip(1));
            put_u64(&mut value, row.seq);
            put_i64(&mut value, row.since.0);
            plan.entries += 1;
        }
        if plan.entries > 0 {
            let mut key = Vec::new();
            keys::put_pending_log(&mut key, plan.commit);
            plan.writes.push((key, Some(value)));
        }
    }

    fn row_mut(&mut self, commit: u64) -> Option<&mut LogRow> {
        let at = self.rows.binary_search_by_key(&commit, |row| row.commit);
        self.rows.get_mut(at.ok()?)
    }

    /// The pair of this key, if it is in the log.
    pub(crate) fn get(&self, key: &[u8]) -> Option<PendingRow> {
        self.pairs.get(key).map(|began| began.row)
    }

    /// Up to `limit` pairs in the log, from `start` to before `end`, in the order of their keys.
    ///
    /// # Cost
    /// Looks at every pair.
    pub(crate) fn page(
        &self,
        start: Bound<&[u8]>,
        end: &[u8],
        limit: usize,
    ) -> Vec<(PairKey, PendingRow)> {
        let range: (Bound<&[u8]>, Bound<&[u8]>) = (start, Bound::Excluded(end));
        let pairs = self.pairs.iter();
        let pairs = pairs.filter(|(key, _)| RangeBounds::<[u8]>::contains(&range, &key[..]));
        let mut pairs: Vec<_> = pairs.map(|(key, began)| (key, began.row)).collect();
        if limit < pairs.len() {
            pairs.select_nth_unstable_by(limit, |(a, _), (b, _)| a.cmp(b));
            pairs.truncate(limit);
        }
        pairs.sort_unstable_by_key(|(key, _)| *key);
        let pairs = pairs.into_iter();
        pairs.map(|(key, row)| (key.clone(), row)).collect()
    }

    /// How many pairs are in the log whose keys start like this.
    ///
    /// # Cost
    /// Looks at every pair.
    pub(crate) fn count(&self, prefix: &[u8]) -> usize {
        let keys = self.pairs.keys();
        keys.filter(|key| key.starts_with(prefix)).count()
    }
}

fn damaged_row(commit: u64) -> impl FnOnce(DecodeError) -> StoreError {
    move |error| StoreError::corrupt(format_args!("pending pairs of commit {commit}"))(error)
}

/// Reads a row of the log: the key of each pair, and what began or nothing.
fn read_entries(
    value: &[u8],
    mut entry: impl FnMut(PairKey, Option<PendingRow>),
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(value);
    reader.version(VERSION)?;
    while reader.remaining() > 0 {
        let kind = reader.u8("kind of entry")?;
        let start = reader.offset();
        keys::skip_pair(&mut reader)?;
        let mut key = PairKey::new();
        key.push(keys::PENDING);
        key.extend_from_slice(reader.since(start));
        let row = match kind {
            ENDED => None,
            BEGAN => Some(PendingRow::read(&mut reader)?),
            _ => return Err(reader.fail("kind of entry", Problem::OutOfRange)),
        };
        entry(key, row);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{
        collection::vec,
        prelude::{any, prop_assert, prop_assert_eq, proptest},
    };
    use std::collections::BTreeMap;
    use tidings_model::{DestinationId, DeviceUuid, Timestamp};

    const DESTINATION: DestinationId = DestinationId(7);
    const PAIRS: usize = 64;

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    /// The log with a disk in memory.
    struct World {
        log: PendingLog,
        disk: Rows,
        commits: u64,
        batch: Batch,
    }

    impl World {
        fn new() -> Self {
            Self {
                log: PendingLog::new(Bounds::of_pairs(PAIRS)),
                disk: Rows::new(),
                commits: 0,
                batch: Batch::new(),
            }
        }

        fn put(&mut self, number: u32) {
            let row = PendingRow {
                seq: self.commits + 1,
                since: Timestamp(number.into()),
            };
            self.batch.put_pending(DESTINATION, &device(number), &row);
        }

        fn delete(&mut self, number: u32) {
            self.batch.delete_pending(DESTINATION, &device(number));
        }

        /// Rows written and deleted.
        fn commit(&mut self) -> usize {
            self.commits += 1;
            let disk = &self.disk;
            let read = |key: &[u8]| Ok(disk.get(key).cloned());
            let plan = self.log.plan(self.commits, &self.batch, read).unwrap();
            let writes = plan.writes.clone();
            self.log.apply(plan);
            let count = writes.len();
            for (key, value) in writes {
                match value {
                    Some(value) => drop(self.disk.insert(key, value)),
                    None => drop(self.disk.remove(&key)),
                }
            }
            self.batch.clear();
            count
        }

        fn reopen(&mut self) {
            self.log = PendingLog::new(Bounds::of_pairs(PAIRS));
            for (key, value) in self.disk.range(vec![keys::PENDING_LOG]..) {
                self.log.replay(key, value).unwrap();
            }
        }

        fn rows(&self, kind: u8) -> usize {
            let rows = self.disk.keys();
            rows.filter(|key| key.first() == Some(&kind)).count()
        }

        /// What is pending, and when it was touched.
        fn pending(&self) -> BTreeMap<Vec<u8>, u64> {
            let log = self.log.pairs.iter();
            let mut pending: BTreeMap<_, _> = log
                .map(|(key, began)| (key.to_vec(), began.row.seq))
                .collect();
            let own = self.disk.iter();
            for (key, value) in own.filter(|(key, _)| key.first() == Some(&keys::PENDING)) {
                let seq = PendingRow::decode(value).unwrap().seq;
                assert!(pending.insert(key.clone(), seq).is_none(), "it is in both");
            }
            pending
        }
    }

    fn device(number: u32) -> DeviceUuid {
        DeviceUuid::from_number(number.into()).unwrap()
    }

    #[test]
    fn a_commit_is_a_row_however_many_pairs_it_makes_pending() {
        let mut world = World::new();
        (0..50).for_each(|number| world.put(number));
        assert_eq!(world.commit(), 1);
        (0..49).for_each(|number| world.delete(number));
        assert_eq!(world.commit(), 1);
        world.delete(49);
        // The last one takes both rows along.
        assert_eq!(world.commit(), 2);
        assert_eq!(world.disk, Rows::new());
        assert_eq!(world.commit(), 0);
    }

    #[test]
    fn a_pair_that_waits_for_long_gets_a_row() {
        let mut world = World::new();
        world.put(1_000);
        world.commit();
        for number in 0..1_000 {
            world.put(number);
            world.commit();
            world.delete(number);
            world.commit();
        }
        assert_eq!(world.rows(keys::PENDING), 1);
        assert!(world.disk.len() < 8, "{}", world.disk.len());
        world.delete(1_000);
        world.commit();
        assert_eq!(world.disk, Rows::new());
    }

    #[test]
    fn a_deleted_device_is_named_no_more() {
        let mut world = World::new();
        (0..3).for_each(|number| world.put(number));
        world.commit();
        world.delete(1);
        world.commit();
        world.batch.delete_profile(&device(1));
        world.delete(2);
        world.commit();
        let mut left = Vec::new();
        keys::put_pair(&mut left, keys::PENDING, DESTINATION, &device(0));
        assert_eq!(world.disk.keys().collect::<Vec<_>>(), [&left]);
        assert_eq!(world.pending().len(), 1);
    }

    #[test]
    fn damage_is_named() {
        let mut log = PendingLog::new(Bounds::of_pairs(PAIRS));
        let mut key = Vec::new();
        keys::put_pending_log(&mut key, 12);
        let error = log.replay(&key, &[VERSION, 9]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("pending pairs of commit 12"), "{text}");
    }

    proptest! {
        #[test]
        fn is_what_the_batches_say(
            commits in vec((vec((0..120u32, any::<bool>()), 0..40), 0..12u8), 0..60),
        ) {
            let mut world = World::new();
            let mut expected = BTreeMap::new();
            for (operations, reopen) in commits {
                for (number, put) in operations {
                    let mut key = Vec::new();
                    keys::put_pair(&mut key, keys::PENDING, DESTINATION, &device(number));
                    if expected.remove(&key).is_some() || !put {
                        world.delete(number);
                    }
                    if put {
                        world.put(number);
                        expected.insert(key, world.commits + 1);
                    }
                }
                world.commit();
                if reopen == 0 {
                    world.reopen();
                }
                prop_assert_eq!(&world.pending(), &expected);
                prop_assert!(world.log.pairs.len() <= PAIRS);
                prop_assert!(world.log.entries <= PAIRS * 4 && world.log.rows.len() <= PAIRS / 16 + 1);
                prop_assert_eq!(world.rows(keys::PENDING_LOG), world.log.rows.len());
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(mut bytes in vec(any::<u8>(), 0..80)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            drop(read_entries(&bytes, |_, _| {}));
        }
    }
}
