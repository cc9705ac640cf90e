//! The working set of the engine: rows that were read last, and all rows whose write is not durable yet.
//!
//! A row stays until as many others were read after it as there is room for; that it is used meanwhile
//! does not keep it longer. So a profile that waits for its message is there when that is built, however
//! many others are told before. A row is dropped only once every commit that may have written it is
//! durable, since until then the store would answer with an older one.
//!
//! Invariant: there are no more rows than there is room for, and those of commits that are not durable.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hash},
};
#[cfg(planted)]
use tidings_model::planted::{self, Planted};

#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    /// Where rows are, by key.
    places: HashTable<usize>,
    rows: Vec<Row<K, V>>,
    /// Where the next row goes, once there is no room for more.
    next: usize,
    rows_max: usize,
    hasher: RandomState,
    /// Counts the commits, from 1.
    step: u64,
    /// All commits up to this one are durable.
    durable_step: u64,
    /// Those that are not, with their sequence numbers.
    steps: VecDeque<(u64, u64)>,
}

#[derive(Debug)]
struct Row<K, V> {
    key: K,
    value: V,
    /// The last commit that may have written it.
    step: u64,
}

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// A cache of about `rows_max` rows.
    pub(crate) fn new(rows_max: usize) -> Self {
        Self {
            places: HashTable::new(),
            rows: Vec::new(),
            next: 0,
            rows_max: rows_max.max(1),
            hasher: RandomState::default(),
            step: 1,
            durable_step: 0,
            steps: VecDeque::new(),
        }
    }

    /// The row, or what `load` says it is.
    pub(crate) fn get_or_load<E>(
        &mut self,
        key: &K,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<&mut V, E> {
        let hash = self.hasher.hash_one(key);
        let place = match self.find(hash, key) {
            Some(place) => place,
            None => {
                let row = Row {
                    key: key.clone(),
                    value: load()?,
                    step: self.step,
                };
                self.insert(hash, row)
            }
        };
        let step = self.step;
        #[expect(clippy::indexing_slicing, reason = "found or inserted just above")]
        let row = &mut self.rows[place];
        row.step = step;
        Ok(&mut row.value)
    }

    /// The row if it is here.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.find(self.hasher.hash_one(key), key)?;
        let row = self.rows.get_mut(place)?;
        row.step = self.step;
        Some(&mut row.value)
    }

    /// Ends a commit: `written` is the last sequence number handed out, `durable` the last one
    /// known to be on disk. Makes room if it may.
    pub(crate) fn turn(&mut self, written: u64, durable: u64) {
        #[cfg(planted)]
        let durable = if planted::is(Planted::DirtyEvicted) {
            u64::MAX
        } else {
            durable
        };
        self.steps.push_back((self.step, written));
        self.step += 1;
        while let Some((step, written)) = self.steps.front()
            && *written <= durable
        {
            self.durable_step = *step;
            self.steps.pop_front();
        }
        for _ in 0..LEAVING_PER_COMMIT {
            if self.rows.len() <= self.rows_max || !self.drop_next() {
                break;
            }
        }
    }

    fn find(&self, hash: u64, key: &K) -> Option<usize> {
        let is_it = |place: &usize| self.rows.get(*place).is_some_and(|row| row.key == *key);
        self.places.find(hash, is_it).copied()
    }

    /// Puts a row that is not here in the place of the oldest, or behind all others.
    fn insert(&mut self, hash: u64, row: Row<K, V>) -> usize {
        let durable_step = self.durable_step;
        self.next = if self.next < self.rows.len() {
            self.next
        } else {
            0
        };
        let full = self.rows.len() >= self.rows_max;
        let oldest = self.rows.get_mut(self.next);
        let place = match oldest.filter(|oldest| full && oldest.step <= durable_step) {
            Some(oldest) => {
                let left = std::mem::replace(oldest, row);
                let place = self.next;
                self.next += 1;
                self.forget(&left.key, place);
                place
            }
            None => {
                self.rows.push(row);
                self.rows.len() - 1
            }
        };
        let (rows, hasher) = (&self.rows, &self.hasher);
        let hash_of = |place: &usize| rows.get(*place).map_or(0, |row| hasher.hash_one(&row.key));
        self.places.insert_unique(hash, place, hash_of);
        place
    }

    /// Drops the oldest row if it may go; the last one takes its place.
    fn drop_next(&mut self) -> bool {
        self.next = if self.next < self.rows.len() {
            self.next
        } else {
            0
        };
        let place = self.next;
        let oldest = self.rows.get(place);
        if oldest.is_none_or(|oldest| oldest.step > self.durable_step) {
            return false;
        }
        let left = self.rows.swap_remove(place);
        self.forget(&left.key, place);
        if let Some(moved) = self.rows.get(place) {
            let (hash, from) = (self.hasher.hash_one(&moved.key), self.rows.len());
            if let Some(at) = self.places.find_mut(hash, |at| *at == from) {
                *at = place;
            }
        }
        true
    }

    /// The row of this key is in this place no more.
    fn forget(&mut self, key: &K, place: usize) {
        let hash = self.hasher.hash_one(key);
        if let Ok(entry) = self.places.find_entry(hash, |at| *at == place) {
            entry.remove();
        }
    }
}

/// Rows beyond the room that go after a commit, so that many at once do not stall everything that waits
/// for the engine.
const LEAVING_PER_COMMIT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_row_stays_until_there_is_no_room() {
        let mut cache = Cache::new(3);
        let load = |n: u32| move || Ok::<_, ()>(n);
        for (n, key) in (1..).zip(["a", "b", "c"]) {
            cache.get_or_load(&key, load(n)).unwrap();
            cache.turn(u64::from(n), u64::from(n));
        }
        // That it is used does not keep it.
        assert_eq!(cache.get_or_load(&"a", load(99)), Ok(&mut 1));
        cache.turn(4, 4);
        cache.get_or_load(&"d", load(4)).unwrap();
        assert_eq!(cache.get_or_load(&"b", load(99)), Ok(&mut 2));
        assert_eq!(cache.get_or_load(&"c", load(99)), Ok(&mut 3));
        assert_eq!(cache.get_mut(&"a"), None);
        assert_eq!(cache.rows.len(), 3);
    }

    #[test]
    fn a_row_is_kept_until_its_write_is_durable() {
        let mut cache = Cache::new(2);
        let load = |n: u32| move || Ok::<_, ()>(n);
        *cache.get_or_load(&"a", load(1)).unwrap() = 10;
        cache.turn(11, 10);
        *cache.get_or_load(&"b", load(2)).unwrap() = 20;
        cache.turn(12, 10);
        // Commit 11 wrote `a` and is not durable, so `a` must still be here.
        cache.get_or_load(&"c", load(3)).unwrap();
        assert_eq!(cache.get_or_load(&"a", load(99)), Ok(&mut 10));
        cache.turn(13, 11);
        // And commit 13 may have written it again.
        cache.get_or_load(&"d", load(4)).unwrap();
        assert_eq!(cache.get_or_load(&"a", load(99)), Ok(&mut 10));
        cache.turn(14, 14);
        cache.get_or_load(&"e", load(5)).unwrap();
        assert_eq!(cache.get_or_load(&"a", load(99)), Ok(&mut 99));
        cache.turn(14, 14);
        assert!(cache.rows.len() <= 2, "{}", cache.rows.len());
    }

    #[test]
    fn many_rows_beyond_the_room_go_a_few_at_a_time() {
        let mut cache = Cache::new(10);
        let mut values = BTreeMap::new();
        for n in 0..2_000 {
            *cache.get_or_load(&n, || Ok::<_, ()>(n)).unwrap() += 1;
            values.insert(n, n + 1);
        }
        cache.turn(1, 0);
        assert_eq!(cache.rows.len(), 2_000);
        for commit in 2..20 {
            let before = cache.rows.len();
            cache.turn(commit, commit);
            assert!(before - cache.rows.len() <= LEAVING_PER_COMMIT);
            for (key, value) in &values {
                let place = cache.find(cache.hasher.hash_one(key), key);
                let row = place.and_then(|place| cache.rows.get(place));
                assert!(row.is_none_or(|row| row.value == *value));
            }
        }
        assert_eq!((cache.rows.len(), cache.places.len()), (10, 10));
    }
}
