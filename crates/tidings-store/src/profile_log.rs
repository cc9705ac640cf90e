//! Profiles that were written lately: the newest state of each in memory, and a row per commit on disk.
//!
//! A device that is told of a change is written when it is seen and again when its partner has answered, and
//! soon a third time, since visitors come in visits. A row of its own for each of these costs a place in the
//! backend's memory, and its share of merging. So the profiles that a commit writes are one row, `g` and the
//! number of the commit:
//!
//! ```text
//! version 1 | entry …
//! entry     0 ended | key bytes u8 | key
//!           1 put   | key bytes u8 | key | value bytes varint | value
//!           2 new   | as put; the profile's own row was written too
//! ```
//!
//! What the rows of the log say, the oldest first, is kept in memory as a map. When the log grows too long its
//! oldest row goes, and the profiles of which it has the newest state get that into rows of their own, `p`, unless
//! they are as new there.
//! So they do, some with every commit, after a profile was deleted: no row may name a device of which nothing
//! is to be left.
//!
//! Invariants:
//! - a profile in the log has a `p` row as well, an older one or the same: who reads pages of these overlooks
//!   no device;
//! - the map says what the commits say that are on disk, and nothing else;
//! - map and log are bounded, see [`Bounds`].

use crate::{
    batch::{Batch, Operation},
    codec::{
        DecodeError,
        bytes::{Problem, Reader, put_len},
    },
    error::StoreError,
    keys,
};
use foldhash::fast::RandomState;
use hashbrown::{HashSet, HashTable, hash_table::Entry};
use std::{collections::VecDeque, fmt, hash::BuildHasher, iter, ops::Range};

const VERSION: u8 = 1;
const ENDED: u8 = 0;
const PUT: u8 = 1;
const NEW: u8 = 2;

/// Bytes of a profile that is written to the log; there are few that are larger.
const VALUE_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a row from which on further profiles of the commit are not written to the log.
const ROW_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Profiles that get rows of their own with each commit after one was deleted: some milliseconds.
const DRAINED_PER_COMMIT: usize = 2_000;
/// Memory that a profile takes besides key and value: its commit, the length of its key, its place.
const ENTRY_BYTES: usize = 40;
/// The commit and the length of the key, before the key.
const ENTRY_HEADER: usize = 9;

/// How long the log may grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of memory.
    memory: usize,
    /// Bytes of all rows on disk.
    disk: usize,
    /// Rows.
    rows: usize,
}

impl Bounds {
    pub(crate) const fn of_memory(memory: usize) -> Self {
        Self {
            memory,
            disk: memory.saturating_mul(2),
            rows: memory / 1024,
        }
    }
}

/// What is kept in memory of the log.
pub(crate) struct ProfileLog {
    /// Commit, length of the key, key, value.
    entries: HashTable<Box<[u8]>>,
    hasher: RandomState,
    /// The oldest first.
    rows: VecDeque<LogRow>,
    memory: usize,
    disk: usize,
    /// Rows up to this commit go: a profile was deleted that one of them names.
    drained_to: u64,
    bounds: Bounds,
}

#[derive(Clone, Copy, Debug)]
struct LogRow {
    commit: u64,
    bytes: usize,
    /// Profiles of which it has the newest state.
    newest: usize,
}

/// What a commit does to the log.
#[derive(Default)]
pub(crate) struct Plan {
    commit: u64,
    /// Where the operations of the batch go; those behind its end to rows of their own.
    places: Vec<Place>,
    row: Vec<u8>,
    puts: Vec<Put>,
    ended: Vec<Ended>,
    /// Profiles that get rows of their own, with the states that are in the map.
    settled: Vec<Box<[u8]>>,
    /// Profiles that leave the map, and have such a row.
    known: Vec<Box<[u8]>>,
    /// Rows of the log that go, from the oldest.
    gone: Vec<Vec<u8>>,
    row_key: Vec<u8>,
    drained_to: u64,
}

/// Where an operation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To a row of its own.
    Row,
    /// To the log, where the profile is already.
    Log,
    /// To the log, where the profile is not yet.
    Enters,
    /// To both.
    Both,
}

/// A profile that the row has, and where.
#[derive(Clone, Debug)]
struct Put {
    hash: u64,
    key: Range<usize>,
    value: Range<usize>,
}

/// A profile that is in the log no more, and the commit in the row of which it was.
#[derive(Clone, Debug)]
struct Ended {
    key: Box<[u8]>,
    commit: u64,
}

impl Plan {
    /// What the operations of the batch, in order, come to, of which others are none of the log's.
    pub(crate) fn rest<'a>(
        &self,
        operations: impl Iterator<Item = Operation<'a>>,
    ) -> impl Iterator<Item = Operation<'a>> {
        let placed = operations.zip(self.places());
        let placed = placed.filter(|(_, place)| matches!(place, Place::Row | Place::Both));
        placed.map(|(operation, _)| operation)
    }

    /// What the rows of their own have become, for those who keep some of them: one that is in the log now is
    /// not kept.
    pub(crate) fn rows_after<'a>(
        &'a self,
        operations: impl Iterator<Item = Operation<'a>>,
    ) -> impl Iterator<Item = Operation<'a>> {
        let placed = operations.zip(self.places());
        let placed = placed.filter(|(_, place)| *place != Place::Log);
        let operations = placed.map(|(operation, place)| Operation {
            value: operation.value.filter(|_| place == Place::Row),
            ..operation
        });
        self.settled_operations().chain(operations)
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        self.places.iter().copied().chain(iter::repeat(Place::Row))
    }

    /// What is to be written beside these.
    pub(crate) fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        let gone = self.gone.iter().map(|key| Operation {
            key,
            value: None,
            replaces: false,
        });
        let row = (!self.row.is_empty()).then_some(Operation {
            key: &self.row_key,
            value: Some(&self.row),
            replaces: false,
        });
        self.settled_operations().chain(gone).chain(row)
    }

    /// Whether the row of this commit has room for a profile.
    fn fits(&self, key: &[u8], value: &[u8]) -> bool {
        key.len() <= usize::from(u8::MAX)
            && value.len() <= VALUE_BYTES_MAX
            && self.row.len() <= ROW_BYTES_MAX
    }

    fn put(&mut self, kind: u8, hash: u64, key: &[u8], value: &[u8]) {
        self.row.push(kind);
        let key = self.put_key(key);
        put_len(&mut self.row, value.len());
        let start = self.row.len();
        self.row.extend_from_slice(value);
        let value = start..self.row.len();
        self.puts.push(Put { hash, key, value });
    }

    fn put_key(&mut self, key: &[u8]) -> Range<usize> {
        // Longer ones do not come here.
        self.row.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
        let start = self.row.len();
        self.row.extend_from_slice(key);
        start..self.row.len()
    }

    /// Adds what has ended of rows that stay, of which this is the oldest.
    fn finish_row(&mut self, oldest: Option<&LogRow>) {
        let oldest = oldest.map_or(self.commit, |row| row.commit);
        for ended in std::mem::take(&mut self.ended) {
            if ended.commit >= oldest {
                self.row.push(ENDED);
                self.put_key(&ended.key);
            }
            self.ended.push(ended);
        }
        if self.row.len() <= 1 {
            self.row.clear();
        }
        keys::put_profile_log(&mut self.row_key, self.commit);
    }

    /// The profiles that get rows of their own.
    pub(crate) fn settled_operations(&self) -> impl Iterator<Item = Operation<'_>> {
        self.settled.iter().map(|entry| Operation {
            key: key_of(entry),
            value: Some(value_of(entry)),
            replaces: true,
        })
    }
}

impl ProfileLog {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            entries: HashTable::new(),
            hasher: RandomState::default(),
            rows: VecDeque::new(),
            memory: 0,
            disk: 0,
            drained_to: 0,
            bounds,
        }
    }

    /// The profile of this key, if it is in the log.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.entry(self.hasher.hash_one(key), key).map(value_of)
    }

    /// Whether rows are left that name a profile which was deleted: any further commit takes some away.
    pub(crate) fn is_draining(&self) -> bool {
        let oldest = self.rows.front();
        oldest.is_some_and(|row| row.commit <= self.drained_to)
    }

    fn entry(&self, hash: u64, key: &[u8]) -> Option<&[u8]> {
        let entry = self.entries.find(hash, |entry| key_of(entry) == key);
        entry.map(|entry| &entry[..])
    }

    /// Takes in the next row of the log, as it was found on disk.
    pub(crate) fn replay(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let commit = keys::read_profile_log(key)
            .map_err(StoreError::corrupt("key of the log of profiles"))?;
        let mut plan = Plan {
            commit,
            row: value.to_vec(),
            drained_to: self.drained_to,
            ..Plan::default()
        };
        read_entries(value, |_, key, put| {
            let name = &value[key.clone()];
            match put {
                Some(value) => plan.puts.push(Put {
                    hash: self.hasher.hash_one(name),
                    key,
                    value,
                }),
                None => {
                    // It may have been deleted.
                    plan.drained_to = commit;
                    plan.ended.push(Ended {
                        key: name.into(),
                        commit,
                    });
                }
            }
        })
        .map_err(damaged_row(commit))?;
        self.apply(plan);
        Ok(())
    }

    /// What the commit of this number is to write for what the batch does to profiles. `read` reads a row of
    /// the log.
    pub(crate) fn plan(
        &self,
        commit: u64,
        batch: &Batch,
        read: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Plan, StoreError> {
        let mut plan = Plan {
            commit,
            row: vec![VERSION],
            drained_to: self.drained_to,
            ..Plan::default()
        };
        self.collect(batch, &mut plan);
        self.make_room(&mut plan, read)?;
        plan.finish_row(self.rows.get(plan.gone.len()));
        Ok(plan)
    }

    /// Which profiles go to the log, and which leave it.
    fn collect(&self, batch: &Batch, plan: &mut Plan) {
        // What the batch itself has taken out of the log, or deleted.
        let mut out: HashSet<&[u8], _> = HashSet::with_hasher(self.hasher.clone());
        for (number, operation) in batch.operations().enumerate() {
            let Operation {
                key,
                value,
                replaces,
            } = operation;
            if key.first() != Some(&keys::PROFILE) {
                continue;
            }
            let hash = self.hasher.hash_one(key);
            let logged_in = self.entry(hash, key).map(commit_of);
            let fitting = value.filter(|value| plan.fits(key, value) && !out.contains(key));
            if let Some(value) = fitting {
                let (kind, place) = match logged_in {
                    Some(_) => (PUT, Place::Log),
                    None if replaces => (PUT, Place::Enters),
                    None => (NEW, Place::Both),
                };
                plan.places.resize(number, Place::Row);
                plan.places.push(place);
                plan.put(kind, hash, key, value);
                continue;
            }
            if value.is_none() {
                plan.drained_to = plan.commit;
            }
            let in_row = plan
                .puts
                .iter()
                .any(|put| plan.row[put.key.clone()] == *key);
            let commit = if in_row { Some(plan.commit) } else { logged_in };
            if out.insert(key)
                && let Some(commit) = commit
            {
                let key = key.into();
                plan.ended.push(Ended { key, commit });
            }
        }
    }

    /// Lets the oldest rows go, as many as there have to.
    fn make_room(
        &self,
        plan: &mut Plan,
        read: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<(), StoreError> {
        // What the states take that are replaced is not taken off: it is little more than is wanted.
        let written = plan.puts.iter();
        let written = written.map(|put| ENTRY_BYTES + put.key.len() + put.value.len());
        let mut memory = self.memory + written.sum::<usize>();
        let mut disk = self.disk + plan.row.len();
        // Profiles with a newer state in this batch, or a row of their own already.
        let mut done: HashSet<Box<[u8]>, _> = HashSet::with_hasher(self.hasher.clone());
        for row in &self.rows {
            let rows = self.rows.len() - plan.gone.len();
            let is_long =
                memory > self.bounds.memory || disk > self.bounds.disk || rows > self.bounds.rows;
            let is_drained =
                row.commit <= plan.drained_to && plan.settled.len() < DRAINED_PER_COMMIT;
            if row.newest > 0 && !is_long && !is_drained {
                break;
            }
            let mut key = Vec::new();
            keys::put_profile_log(&mut key, row.commit);
            if row.newest > 0 {
                if done.is_empty() {
                    done.extend(plan.ended.iter().map(|ended| ended.key.clone()));
                    let puts = plan.puts.iter();
                    done.extend(puts.map(|put| plan.row[put.key.clone()].into()));
                }
                let entries = read(&key)?.unwrap_or_default();
                read_entries(&entries, |kind, key, put| {
                    let key = &entries[key];
                    let newest = self.entry(self.hasher.hash_one(key), key);
                    let newest = newest.filter(|entry| commit_of(entry) == row.commit);
                    // A row may have two states of a profile.
                    if let Some(entry) = newest
                        && let Some(value) = put
                        && done.insert(key.into())
                    {
                        memory -= memory_of(entry);
                        let is_known = kind == NEW && entries[value] == *value_of(entry);
                        let leaving = if is_known {
                            &mut plan.known
                        } else {
                            &mut plan.settled
                        };
                        leaving.push(entry.into());
                    }
                })
                .map_err(damaged_row(row.commit))?;
            }
            disk -= row.bytes;
            plan.gone.push(key);
        }
        Ok(())
    }

    /// The commit is on disk.
    pub(crate) fn apply(&mut self, plan: Plan) {
        self.drained_to = plan.drained_to;
        for entry in plan.settled.iter().chain(&plan.known) {
            self.remove(key_of(entry));
        }
        for row in self.rows.drain(..plan.gone.len()) {
            self.disk -= row.bytes;
        }
        if !plan.row.is_empty() {
            self.disk += plan.row.len();
            self.rows.push_back(LogRow {
                commit: plan.commit,
                bytes: plan.row.len(),
                newest: 0,
            });
        }
        for Put { hash, key, value } in plan.puts {
            self.put(hash, plan.commit, &plan.row[key], &plan.row[value]);
        }
        for ended in plan.ended {
            self.remove(&ended.key);
        }
    }

    fn put(&mut self, hash: u64, commit: u64, key: &[u8], value: &[u8]) {
        let hasher = &self.hasher;
        let length = ENTRY_HEADER + key.len() + value.len();
        let found = self.entries.entry(
            hash,
            |entry| key_of(entry) == key,
            |entry| hasher.hash_one(key_of(entry)),
        );
        let older = match found {
            Entry::Occupied(mut occupied) => {
                let entry = occupied.get_mut();
                let older = commit_of(entry);
                self.memory -= memory_of(entry);
                if entry.len() == length {
                    entry[..8].copy_from_slice(&commit.to_le_bytes());
                    entry[ENTRY_HEADER + key.len()..].copy_from_slice(value);
                } else {
                    *entry = new_entry(commit, key, value);
                }
                Some(older)
            }
            Entry::Vacant(vacant) => {
                vacant.insert(new_entry(commit, key, value));
                None
            }
        };
        self.memory += ENTRY_BYTES + key.len() + value.len();
        if let Some(older) = older {
            self.count(older, false);
        }
        self.count(commit, true);
    }

    fn remove(&mut self, key: &[u8]) {
        let hash = self.hasher.hash_one(key);
        let entry = self.entries.find_entry(hash, |entry| key_of(entry) == key);
        if let Ok(entry) = entry {
            let (entry, _) = entry.remove();
            self.memory -= memory_of(&entry);
            self.count(commit_of(&entry), false);
        }
    }

    /// A row has the newest state of one profile more, or less.
    fn count(&mut self, commit: u64, more: bool) {
        let at = self.rows.binary_search_by_key(&commit, |row| row.commit);
        if let Some(row) = at.ok().and_then(|at| self.rows.get_mut(at)) {
            row.newest = if more { row.newest + 1 } else { row.newest - 1 };
        }
    }
}

impl fmt::Debug for ProfileLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfileLog").finish_non_exhaustive()
    }
}

fn new_entry(commit: u64, key: &[u8], value: &[u8]) -> Box<[u8]> {
    let mut entry = Vec::with_capacity(ENTRY_HEADER + key.len() + value.len());
    entry.extend_from_slice(&commit.to_le_bytes());
    entry.push(u8::try_from(key.len()).unwrap_or(u8::MAX));
    entry.extend_from_slice(key);
    entry.extend_from_slice(value);
    entry.into()
}

fn commit_of(entry: &[u8]) -> u64 {
    u64::from_le_bytes(entry.first_chunk().copied().unwrap_or_default())
}

fn key_of(entry: &[u8]) -> &[u8] {
    let length = usize::from(entry[ENTRY_HEADER - 1]);
    &entry[ENTRY_HEADER..ENTRY_HEADER + length]
}

fn value_of(entry: &[u8]) -> &[u8] {
    &entry[ENTRY_HEADER + key_of(entry).len()..]
}

fn memory_of(entry: &[u8]) -> usize {
    ENTRY_BYTES + entry.len() - ENTRY_HEADER
}

fn damaged_row(commit: u64) -> impl FnOnce(DecodeError) -> StoreError {
    move |error| StoreError::corrupt(format_args!("profiles of commit {commit}"))(error)
}

/// Reads a row of the log: the kind of each entry, where its key lies, and its value if there is one.
fn read_entries(
    row: &[u8],
    mut entry: impl FnMut(u8, Range<usize>, Option<Range<usize>>),
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(row);
    reader.version(VERSION)?;
    while reader.remaining() > 0 {
        let kind = reader.u8("kind of entry")?;
        let length = reader.u8("bytes of a key")?;
        let start = reader.offset();
        if reader.bytes("key", length.into())?.first() != Some(&keys::PROFILE) {
            return Err(reader.fail("key", Problem::OutOfRange));
        }
        let key = start..reader.offset();
        let value = match kind {
            ENDED => None,
            PUT | NEW => {
                let length = reader.count("bytes of a value", 1)?;
                let start = reader.offset();
                reader.bytes("value", length)?;
                Some(start..reader.offset())
            }
            _ => return Err(reader.fail("kind of entry", Problem::OutOfRange)),
        };
        entry(kind, key, value);
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

    const MEMORY: usize = 8 * 1024;

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    /// The log with a disk in memory.
    struct World {
        log: ProfileLog,
        disk: Rows,
        commits: u64,
        batch: Batch,
    }

    impl World {
        fn new(memory: usize) -> Self {
            Self {
                log: ProfileLog::new(Bounds::of_memory(memory)),
                disk: Rows::new(),
                commits: 0,
                batch: Batch::new(),
            }
        }

        fn put(&mut self, number: u8, value: &[u8]) {
            let key = key(number);
            if self.disk.contains_key(&key) {
                self.batch.replace_row(&key, value);
            } else {
                self.batch.put_meta(&key, value);
            }
        }

        fn delete(&mut self, number: u8) {
            self.batch.delete_row(&key(number));
        }

        /// Rows of the log, and other rows, written and deleted.
        fn commit(&mut self) -> (usize, usize) {
            self.commits += 1;
            let disk = &self.disk;
            let plan = self
                .log
                .plan(self.commits, &self.batch, |key| Ok(disk.get(key).cloned()));
            let plan = plan.unwrap();
            let operations = plan.rest(self.batch.operations()).chain(plan.operations());
            let operations: Vec<_> = operations
                .map(|one| (one.key.to_vec(), one.value.map(<[u8]>::to_vec)))
                .collect();
            let after = plan.rows_after(self.batch.operations());
            let after = after.map(|one| (one.key.to_vec(), one.value.is_some()));
            let after: Vec<_> = after.collect();
            self.log.apply(plan);
            // What is kept of rows is what is in no other memory.
            for (key, kept) in after {
                assert!(!kept || self.log.get(&key).is_none());
            }
            let of_log = |key: &[u8]| key.first() == Some(&keys::PROFILE_LOG);
            let rows = operations.iter().filter(|(key, _)| of_log(key)).count();
            let others = operations.len() - rows;
            for (key, value) in operations {
                match value {
                    Some(value) => drop(self.disk.insert(key, value)),
                    None => drop(self.disk.remove(&key)),
                }
            }
            self.batch.clear();
            (rows, others)
        }

        fn reopen(&mut self, memory: usize) {
            self.log = ProfileLog::new(Bounds::of_memory(memory));
            let end = keys::prefix_end(&[keys::PROFILE_LOG]);
            for (key, value) in self.disk.range(vec![keys::PROFILE_LOG]..end) {
                self.log.replay(key, value).unwrap();
            }
        }

        /// What a page of all profiles would say.
        fn profiles(&self) -> Rows {
            let rows = self.disk.range(vec![keys::PROFILE]..);
            let rows = rows.map(|(key, row)| (key, self.log.get(key).unwrap_or(row)));
            rows.map(|(key, row)| (key.clone(), row.to_vec())).collect()
        }

        fn names(&self, number: u8) -> bool {
            let key = key(number);
            let holds = |text: &[u8]| text.windows(key.len()).any(|part| part == key);
            let mut rows = self.disk.iter();
            rows.any(|(key, value)| holds(key) || holds(value))
        }
    }

    fn key(number: u8) -> Vec<u8> {
        vec![keys::PROFILE, 0x42, number, number, 0x42]
    }

    #[test]
    fn a_commit_is_a_row_however_many_profiles_it_writes() {
        let mut world = World::new(MEMORY);
        (0..50).for_each(|number| world.put(number, b"first"));
        // There are none yet, so each gets a row.
        assert_eq!(world.commit(), (1, 50));
        (0..50).for_each(|number| world.put(number, b"second"));
        assert_eq!(world.commit(), (1, 0));
        (0..50).for_each(|number| world.put(number, b"third"));
        // The first row has the newest state of none.
        assert_eq!(world.commit(), (2, 0));
        assert_eq!(world.log.get(&key(7)), Some(&b"third"[..]));
        assert_eq!(world.profiles()[&key(7)], b"third");
    }

    #[test]
    fn a_profile_that_does_not_change_for_long_gets_a_row() {
        let mut world = World::new(MEMORY);
        for number in [0, 1] {
            world.put(number, b"first");
            world.commit();
            world.put(number, b"second");
            world.commit();
        }
        for commit in 0..200u8 {
            world.put(1, &[commit; 50]);
            world.commit();
        }
        assert_eq!(world.log.get(&key(0)), None);
        assert_eq!(world.disk[&key(0)], b"second");
        // Its first row is as old as it ever was.
        assert_eq!(world.disk[&key(1)], b"first");
        assert_eq!(world.profiles()[&key(1)], [199; 50]);
    }

    #[test]
    fn what_is_too_large_goes_past_the_log() {
        let mut world = World::new(1 << 20);
        for value in [&b"first"[..], b"second", &[7; 5_000]] {
            world.put(0, value);
            world.commit();
        }
        assert_eq!(world.log.get(&key(0)), None);
        assert_eq!(world.profiles()[&key(0)], [7; 5_000]);
        world.reopen(1 << 20);
        assert_eq!(world.profiles()[&key(0)], [7; 5_000]);
    }

    #[test]
    fn nothing_is_left_of_what_is_deleted() {
        let mut world = World::new(MEMORY);
        for value in [b"first", b"other"] {
            (0..3).for_each(|number| world.put(number, value));
            world.commit();
        }
        world.delete(1);
        world.commit();
        assert!(!world.names(1));
        assert!(!world.log.is_draining());
        assert_eq!(world.profiles()[&key(2)], b"other");
    }

    #[test]
    fn much_is_taken_away_little_by_little() {
        let mut world = World::new(64 << 20);
        let key = |number: u16| [&[keys::PROFILE][..], &number.to_be_bytes()].concat();
        for value in [b"first", b"other"] {
            for number in 0..5_000 {
                if value == b"first" {
                    world.batch.put_meta(&key(number), value);
                } else {
                    world.batch.replace_row(&key(number), value);
                }
                if number % 1_000 == 999 {
                    world.commit();
                }
            }
        }
        world.batch.delete_row(&key(4_999));
        assert_eq!(world.commit().1, 2_001);
        assert!(world.log.is_draining());
        world.reopen(64 << 20);
        assert_eq!(world.log.get(&key(4_999)), None);
        assert_eq!(world.log.get(&key(4_998)), Some(&b"other"[..]));
        assert!(world.log.is_draining());
        while world.log.is_draining() {
            world.commit();
        }
        let rows = world.disk.keys().filter(|key| key[0] == keys::PROFILE_LOG);
        assert_eq!(rows.count(), 0);
        assert_eq!(world.profiles().len(), 4_999);
        assert!(world.profiles().values().all(|value| value == b"other"));
    }

    #[test]
    fn damage_is_named() {
        let mut log = ProfileLog::new(Bounds::of_memory(MEMORY));
        let mut key = Vec::new();
        keys::put_profile_log(&mut key, 12);
        let error = log.replay(&key, &[VERSION, 9, 0]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("profiles of commit 12"), "{text}");
    }

    proptest! {
        #[test]
        fn is_what_the_batches_say(
            commits in vec((vec((0..60u8, 0..8u8, any::<u8>()), 0..40), 0..12u8), 0..60),
        ) {
            let mut world = World::new(MEMORY);
            let mut expected = Rows::new();
            for (operations, reopen) in commits {
                for (number, kind, byte) in operations {
                    if kind == 0 {
                        world.delete(number);
                        expected.remove(&key(number));
                    } else {
                        let value = vec![byte; if byte == 0 { 5_000 } else { usize::from(byte % 80) }];
                        world.put(number, &value);
                        expected.insert(key(number), value);
                    }
                }
                world.commit();
                if reopen == 0 {
                    world.reopen(MEMORY);
                }
                prop_assert_eq!(&world.profiles(), &expected);
                let log = &world.log;
                let newest: usize = log.rows.iter().map(|row| row.newest).sum();
                prop_assert_eq!(newest, log.entries.len());
                let memory: usize = log.entries.iter().map(|entry| memory_of(entry)).sum();
                prop_assert_eq!(memory, log.memory);
                let of_log = world.disk.iter().filter(|(key, _)| key[0] == keys::PROFILE_LOG);
                let disk: usize = of_log.map(|(_, row)| row.len()).sum();
                prop_assert_eq!(disk, log.disk);
                // The row of the commit itself stays.
                prop_assert!(log.memory <= MEMORY + 40 * 200 && log.disk <= 2 * MEMORY + 40 * 200);
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(mut bytes in vec(any::<u8>(), 0..80)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            drop(read_entries(&bytes, |_, _, _| {}));
        }
    }
}
