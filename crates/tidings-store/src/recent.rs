//! Rows that were written or read lately, as the bytes they have on disk. The backend looks through several
//! tables for a row; here it is one.
//!
//! A row lies in a ring of bytes, and one that is written again keeps its place when it still fits. So a
//! population that fits is found in whole, in whatever order it comes. Places that rows have left are closed
//! up before more memory is used for them, or other rows go. Once a ring is full, one in [`ADMIT_EVERY`] new
//! rows takes the place of the oldest: of a population that is somewhat too large most rows are found, where
//! they would otherwise push each other out just before their turns.
//!
//! Invariants:
//! - what is found here is what the last commit that returned has left of the row, or that of a commit
//!   that is about to return;
//! - memory is bounded by the bytes of the ring, and about a tenth of them for finding rows in it.
//!
//! The second by a count of commits: what was read from the backend is kept only if none ended meanwhile.
//! Only rows that are read one by one come here, see [`keys::is_read_alone`]; scans do not look here.

use crate::{batch::Operation, keys};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::{
    fmt,
    hash::BuildHasher,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Rings, each with a lock of its own, held for as long as it takes to read or write one row.
const RINGS: usize = 8;
/// A row of more than this part of a ring is not kept.
const ROW_SHARE: usize = 16;
/// Places that were left are closed up when they are this part of a ring.
const LEFT_SHARE: usize = 4;
/// Before each row: bytes of its key, bytes of its value, bytes that the value may have in this place.
const HEADER: usize = 12;
/// Of the rows that are new to a full ring one in so many is kept.
const ADMIT_EVERY: u32 = 8;

/// The rows.
pub(crate) struct Recent {
    rings: Box<[Mutex<Ring>]>,
    hasher: FixedState,
}

/// A row that was found. Holds the lock of its ring.
pub(crate) struct Found<'a> {
    ring: MutexGuard<'a, Ring>,
    value: Range<usize>,
}

/// When a row was looked for and not found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp(u64);

struct Ring {
    /// Grows up to the capacity; then rows go round.
    bytes: Vec<u8>,
    capacity: usize,
    /// Where the next row goes. Those of this lap lie before it.
    next: usize,
    /// The rows of the lap before lie from `oldest` to `end`.
    oldest: usize,
    end: usize,
    places: HashTable<u32>,
    /// Bytes of rows in the ring that are not found any more, or at another place.
    left: usize,
    /// Rows that came to it when it was full.
    refused: u32,
    commits: u64,
    hasher: FixedState,
}

impl Recent {
    /// Room for rows of so many bytes in all.
    pub(crate) fn new(bytes: usize) -> Self {
        let hasher = FixedState::default();
        // Places have 32 bits.
        let capacity = (bytes / RINGS).min(1 << 31);
        let ring = || Mutex::new(Ring::new(capacity, hasher.clone()));
        Self {
            rings: (0..RINGS).map(|_| ring()).collect(),
            hasher,
        }
    }

    /// What is known of a row; otherwise what [`Recent::keep`] asks for.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Found<'_>, Stamp> {
        let hash = self.hasher.hash_one(key);
        let ring = self.ring(hash);
        let Some(place) = ring.place(hash, key) else {
            return Err(Stamp(ring.commits));
        };
        let value = ring.row(place).value();
        Ok(Found { ring, value })
    }

    /// Keeps a row that was read from the backend after it was not found here.
    pub(crate) fn keep(&self, Stamp(commits): Stamp, key: &[u8], value: &[u8]) {
        let hash = self.hasher.hash_one(key);
        let mut ring = self.ring(hash);
        if ring.commits == commits {
            ring.put(hash, key, value);
        }
    }

    /// Keeps what a commit has made of rows.
    pub(crate) fn committed<'a>(&self, operations: impl Iterator<Item = Operation<'a>>) {
        for ring in &self.rings {
            lock(ring).commits += 1;
        }
        for operation in operations {
            let Some(&kind) = operation.key.first() else {
                continue;
            };
            if keys::is_read_alone(kind) {
                let hash = self.hasher.hash_one(operation.key);
                let mut ring = self.ring(hash);
                match operation.value {
                    // Links are read by events that name a declared id and no device: most are never
                    // read.
                    Some(_) if kind == keys::LINK && ring.place(hash, operation.key).is_none() => {}
                    Some(value) => ring.put(hash, operation.key, value),
                    None => ring.remove(hash, operation.key),
                }
            }
        }
    }

    fn ring(&self, hash: u64) -> MutexGuard<'_, Ring> {
        // Neither the bits that the tables begin at, nor those that they compare.
        let index = usize::try_from(hash >> 32 & 0xffff).unwrap_or_default();
        lock(&self.rings[index % RINGS])
    }
}

impl Found<'_> {
    /// The value of the row.
    pub(crate) fn value(&self) -> &[u8] {
        &self.ring.bytes[self.value.clone()]
    }
}

/// Where a row and its parts lie.
struct Row {
    place: usize,
    key: usize,
    value: usize,
    room: usize,
}

impl Row {
    fn key(&self) -> Range<usize> {
        let start = self.place + HEADER;
        start..start + self.key
    }

    fn value(&self) -> Range<usize> {
        let start = self.key().end;
        start..start + self.value
    }

    fn end(&self) -> usize {
        self.key().end + self.room
    }

    /// All that it takes.
    fn bytes(&self) -> usize {
        self.end() - self.place
    }
}

impl Ring {
    fn new(capacity: usize, hasher: FixedState) -> Self {
        Self {
            // Memory is taken as it is filled.
            bytes: Vec::with_capacity(capacity),
            capacity,
            next: 0,
            oldest: 0,
            end: 0,
            places: HashTable::new(),
            left: 0,
            refused: 0,
            commits: 0,
            hasher,
        }
    }

    fn place(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let is_it = |place: &u32| &self.bytes[self.row(to_usize(*place)).key()] == key;
        self.places.find(hash, is_it).copied().map(to_usize)
    }

    fn row(&self, place: usize) -> Row {
        let number = |at: usize| {
            let bytes = self.bytes[place + at..].first_chunk::<4>();
            u32::from_le_bytes(bytes.copied().unwrap_or_default())
        };
        Row {
            place,
            key: to_usize(number(0)),
            value: to_usize(number(4)),
            room: to_usize(number(8)),
        }
    }

    fn put(&mut self, hash: u64, key: &[u8], value: &[u8]) {
        let room = value.len().next_multiple_of(8);
        let size = HEADER + key.len() + room;
        if size > self.capacity / ROW_SHARE {
            self.remove(hash, key);
            return;
        }
        match self.place(hash, key) {
            None if !self.admits(size) => return,
            None => {}
            Some(place) => {
                let row = self.row(place);
                if value.len() <= row.room {
                    let start = row.key().end;
                    self.bytes[place + 4..][..4]
                        .copy_from_slice(&to_u32(value.len()).to_le_bytes());
                    self.bytes[start..][..value.len()].copy_from_slice(value);
                    return;
                }
                self.leave(hash, place);
            }
        }
        let place = self.make_room(size);
        let numbers = [key.len(), value.len(), room].map(to_u32);
        let row = &mut self.bytes[place..];
        for (at, number) in row.chunks_exact_mut(4).zip(numbers) {
            at.copy_from_slice(&number.to_le_bytes());
        }
        row[HEADER..][..key.len()].copy_from_slice(key);
        row[HEADER + key.len()..][..value.len()].copy_from_slice(value);
        insert(&mut self.places, hash, place, &self.bytes, &self.hasher);
    }

    /// Whether a row that is new and takes so many bytes is kept.
    fn admits(&mut self, size: usize) -> bool {
        let is_full = self.end > 0 || self.next + size > self.capacity;
        if !is_full || self.left > self.bytes.len() / LEFT_SHARE {
            return true;
        }
        self.refused = self.refused.wrapping_add(1);
        self.refused.is_multiple_of(ADMIT_EVERY)
    }

    fn remove(&mut self, hash: u64, key: &[u8]) {
        if let Some(place) = self.place(hash, key) {
            self.leave(hash, place);
        }
    }

    /// So many bytes for a row, where the oldest rows were.
    fn make_room(&mut self, size: usize) -> usize {
        if self.next + size > self.bytes.len() && self.left > self.bytes.len() / LEFT_SHARE {
            self.close_up();
        }
        if self.next + size > self.capacity {
            self.forget_oldest(self.end);
            self.end = self.next;
            (self.next, self.oldest) = (0, 0);
        }
        let (place, next) = (self.next, self.next + size);
        self.forget_oldest(next);
        if self.bytes.len() < next {
            self.bytes.resize(next, 0);
        }
        self.next = next;
        place
    }

    /// Forgets rows of the lap before until none of them begins before `until`.
    fn forget_oldest(&mut self, until: usize) {
        while self.oldest < self.end.min(until) {
            let row = self.row(self.oldest);
            let hash = self.hasher.hash_one(&self.bytes[row.key()]);
            if !self.forget(hash, row.place) {
                self.left -= row.bytes();
            }
            self.oldest = row.end();
        }
    }

    /// Closes up the places that rows have left. The order of the others stays.
    fn close_up(&mut self) {
        let mut bytes = Vec::with_capacity(self.capacity);
        let mut places = HashTable::with_capacity(self.places.len());
        for (mut place, end) in [(self.oldest, self.end), (0, self.next)] {
            while place < end {
                let row = self.row(place);
                let hash = self.hasher.hash_one(&self.bytes[row.key()]);
                if self.is_found(hash, place) {
                    let moved_to = bytes.len();
                    bytes.extend_from_slice(&self.bytes[place..row.end()]);
                    insert(&mut places, hash, moved_to, &bytes, &self.hasher);
                }
                place = row.end();
            }
        }
        (self.next, self.oldest, self.end) = (bytes.len(), 0, 0);
        (self.bytes, self.places, self.left) = (bytes, places, 0);
    }

    fn is_found(&self, hash: u64, place: usize) -> bool {
        let place = to_u32(place);
        self.places.find(hash, |other| *other == place).is_some()
    }

    /// Forgets the row at a place, before its turn.
    fn leave(&mut self, hash: u64, place: usize) {
        self.left += self.row(place).bytes();
        self.forget(hash, place);
    }

    /// Forgets the row at a place. False if it was not found there any more.
    fn forget(&mut self, hash: u64, place: usize) -> bool {
        let place = to_u32(place);
        let entry = self.places.find_entry(hash, |other| *other == place);
        entry.map(|entry| entry.remove()).is_ok()
    }
}

/// Notes where a row lies that is not in `places`; `bytes` are those of the ring.
fn insert(places: &mut HashTable<u32>, hash: u64, place: usize, bytes: &[u8], hasher: &FixedState) {
    let hash_of = |place: &u32| hasher.hash_one(key_at(bytes, to_usize(*place)));
    places.insert_unique(hash, to_u32(place), hash_of);
}

fn key_at(bytes: &[u8], place: usize) -> &[u8] {
    let row = &bytes[place..];
    let length = row.first_chunk::<4>().copied().unwrap_or_default();
    &row[HEADER..][..to_usize(u32::from_le_bytes(length))]
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What lies in a ring has 31 bits.
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A row is written in steps, and none of them panics.
fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use std::collections::BTreeMap;

    /// A row of this kind with this number and this many bytes.
    fn batch(rows: &[(u8, Option<usize>)]) -> Batch {
        let mut batch = Batch::new();
        for &(number, value) in rows {
            let key = [keys::PROFILE, number];
            match value {
                Some(bytes) => batch.put_meta(&key, &vec![number; bytes]),
                None => batch.delete_row(&key),
            }
        }
        batch
    }

    fn commit(recent: &Recent, batch: &Batch) {
        recent.committed(batch.operations());
    }

    #[track_caller]
    fn check(recent: &Recent, number: u8, expected: Option<usize>) {
        let found = recent.find(&[keys::PROFILE, number]);
        let value = found.as_ref().ok().map(Found::value);
        let expected = expected.map(|bytes| vec![number; bytes]);
        assert_eq!(value, expected.as_deref());
    }

    #[test]
    fn a_commit_replaces_what_is_known() {
        let recent = Recent::new(1 << 20);
        check(&recent, 7, None);
        commit(&recent, &batch(&[(7, Some(20)), (8, None)]));
        check(&recent, 7, Some(20));
        check(&recent, 8, None);
        for bytes in [21, 500, 3, 0] {
            commit(&recent, &batch(&[(7, Some(bytes))]));
            check(&recent, 7, Some(bytes));
        }
        commit(&recent, &batch(&[(7, None), (8, Some(1))]));
        check(&recent, 7, None);
        check(&recent, 8, Some(1));
    }

    #[test]
    fn a_row_that_is_too_large_is_not_known() {
        let recent = Recent::new(RINGS * 1024);
        commit(&recent, &batch(&[(7, Some(20))]));
        commit(&recent, &batch(&[(7, Some(2000))]));
        check(&recent, 7, None);
    }

    #[test]
    fn what_was_read_before_a_commit_is_not_kept() {
        let recent = Recent::new(1 << 20);
        let key = [keys::PROFILE, 7];
        let before = recent.find(&key).err().unwrap();
        commit(&recent, &Batch::new());
        recent.keep(before, &key, b"old");
        check(&recent, 7, None);
        let after = recent.find(&key).err().unwrap();
        recent.keep(after, &key, &[7; 3]);
        check(&recent, 7, Some(3));
    }

    #[test]
    fn rows_that_grow_take_little_more_than_they_need() {
        let recent = Recent::new(RINGS << 20);
        for bytes in 0..1_000 {
            commit(
                &recent,
                &batch(&[1, 2, 3, 4].map(|number| (number, Some(bytes)))),
            );
        }
        for number in 1..=4 {
            check(&recent, number, Some(999));
        }
        let used: usize = recent.rings.iter().map(|ring| lock(ring).bytes.len()).sum();
        assert!(used < 4 * 2 * 1_024, "{used}");
    }

    #[test]
    fn links_are_kept_once_they_were_read() {
        let recent = Recent::new(1 << 20);
        let key = [keys::LINK, 7];
        let write = |value| {
            let mut batch = Batch::new();
            batch.put_meta(&key, value);
            commit(&recent, &batch);
        };
        write(b"one");
        let before = recent.find(&key).err().unwrap();
        recent.keep(before, &key, b"one");
        write(b"two");
        assert_eq!(recent.find(&key).unwrap().value(), b"two");
    }

    #[test]
    fn rows_that_are_only_scanned_take_no_room() {
        let recent = Recent::new(1 << 20);
        let mut batch = Batch::new();
        batch.put_meta(b"m/head", b"7");
        commit(&recent, &batch);
        assert!(recent.find(b"m/head").is_err());
    }

    #[test]
    fn of_a_population_that_is_a_little_too_large_most_rows_are_found() {
        let recent = Recent::new(RINGS * 4096);
        // 128 bytes each, a quarter more than fit.
        let rows = RINGS * 4096 / 128 * 5 / 4;
        let mut found = 0;
        for visit in 0..20 * rows {
            let mut key = vec![keys::PROFILE; 16];
            key.extend((visit % rows).to_le_bytes());
            let stamp = recent.find(&key).map(|_| ()).err();
            match stamp {
                Some(stamp) => recent.keep(stamp, &key, &[0; 92]),
                None => found += 1,
            }
        }
        assert!(found > 20 * rows / 2, "{found} of {}", 20 * rows);
    }

    proptest! {
        /// Rows of many sizes in rings that go round often: what is found is what was written last, and
        /// memory is bounded.
        #[test]
        fn what_is_found_was_written_last(
            writes in proptest::collection::vec((0u8..60, proptest::option::of(0usize..60)), 1..400),
        ) {
            let recent = Recent::new(RINGS * 2048);
            let mut written = BTreeMap::new();
            for (number, value) in writes {
                commit(&recent, &batch(&[(number, value)]));
                written.insert(number, value);
                for (number, value) in &written {
                    if let Ok(found) = recent.find(&[keys::PROFILE, *number]) {
                        let expected = value.map(|bytes| vec![*number; bytes]);
                        prop_assert_eq!(Some(found.value()), expected.as_deref());
                    }
                }
            }
            for ring in &recent.rings {
                let ring = lock(ring);
                prop_assert!(ring.bytes.len() <= 2048 && ring.places.len() <= 2048 / HEADER);
            }
        }
    }
}
