//! The working set of the engine: rows that were read last, and all rows whose write is not durable yet.
//!
//! A row stays until as many others were read after it as there is room for; that it is used meanwhile
//! does not keep it longer, but for one that is written in that very moment. So a profile that waits for its message is there when that is built, however
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
    /// The number of each row, by its key.
    numbers: HashTable<u64>,
    /// The one that was read first comes first; their numbers follow each other.
    rows: VecDeque<Row<K, V>>,
    /// The number of the first row.
    first: u64,
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

/// Rows that are looked at for each one that comes: more than one, so that rows beyond the room go.
const LEAVING_PER_ROW: usize = 2;

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// A cache of about `rows_max` rows.
    pub(crate) fn new(rows_max: usize) -> Self {
        Self {
            numbers: HashTable::new(),
            rows: VecDeque::new(),
            first: 0,
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
        let at = match self.find(hash, key) {
            Some(at) => at,
            None => {
                let value = load()?;
                self.make_room(LEAVING_PER_ROW);
                let (key, step) = (key.clone(), self.step);
                self.push(hash, Row { key, value, step });
                self.rows.len() - 1
            }
        };
        let step = self.step;
        #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
        let row = &mut self.rows[at];
        row.step = step;
        Ok(&mut row.value)
    }

    /// The row if it is here.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(self.hasher.hash_one(key), key)?;
        let row = self.rows.get_mut(at)?;
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
        self.make_room(LEAVING_PER_COMMIT);
    }

    /// Looks at up to so many of the first rows while there are more than there is room for: drops those
    /// that may go, and puts the others behind all, since one that is always in use must not keep all the
    /// rest.
    fn make_room(&mut self, rows: usize) {
        for _ in 0..rows {
            if self.rows.len() <= self.rows_max {
                return;
            }
            let Some(row) = self.rows.pop_front() else {
                return;
            };
            let (hash, number) = (self.hasher.hash_one(&row.key), self.first);
            self.first += 1;
            if let Ok(entry) = self.numbers.find_entry(hash, |other| *other == number) {
                entry.remove();
            }
            if row.step > self.durable_step {
                self.push(hash, row);
            }
        }
    }

    fn push(&mut self, hash: u64, row: Row<K, V>) {
        self.rows.push_back(row);
        let (rows, first, hasher) = (&self.rows, self.first, &self.hasher);
        let number = first + rows.len() as u64 - 1;
        let hash_of = |number: &u64| {
            let row = rows.get(index(first, *number));
            row.map_or(0, |row| hasher.hash_one(&row.key))
        };
        self.numbers.insert_unique(hash, number, hash_of);
    }

    /// Where the row is among all.
    fn find(&self, hash: u64, key: &K) -> Option<usize> {
        let is_it = |number: &u64| {
            let row = self.rows.get(index(self.first, *number));
            row.is_some_and(|row| row.key == *key)
        };
        let number = self.numbers.find(hash, is_it)?;
        Some(index(self.first, *number))
    }
}

fn index(first: u64, number: u64) -> usize {
    usize::try_from(number.wrapping_sub(first)).unwrap_or(usize::MAX)
}

/// Rows beyond the room that go after a commit, so that many at once do not stall everything that waits
/// for the engine.
const LEAVING_PER_COMMIT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn load(n: u32) -> impl FnOnce() -> Result<u32, ()> {
        move || Ok(n)
    }

    #[test]
    fn a_row_stays_until_there_is_no_room() {
        let mut cache = Cache::new(3);
        for (n, key) in (1..).zip(["a", "b", "c"]) {
            cache.get_or_load(&key, load(n)).unwrap();
            cache.turn(u64::from(n), u64::from(n));
        }
        // That it is used does not keep it.
        assert_eq!(cache.get_or_load(&"a", load(99)), Ok(&mut 1));
        cache.turn(4, 4);
        cache.get_or_load(&"d", load(4)).unwrap();
        cache.turn(5, 5);
        assert_eq!(cache.get_mut(&"a"), None);
        for (n, key) in (2..).zip(["b", "c", "d"]) {
            assert_eq!(cache.get_or_load(&key, load(99)), Ok(&mut n.clone()));
        }
        assert_eq!(cache.rows.len(), 3);
    }

    #[test]
    fn a_row_is_kept_until_its_write_is_durable() {
        let mut cache = Cache::new(2);
        *cache.get_or_load(&"a", load(1)).unwrap() = 10;
        cache.turn(11, 10);
        *cache.get_or_load(&"b", load(2)).unwrap() = 20;
        cache.turn(12, 10);
        // Commit 11 wrote `a` and is not durable, so `a` must still be here.
        cache.get_or_load(&"c", load(3)).unwrap();
        cache.turn(13, 10);
        assert_eq!(cache.get_or_load(&"a", load(99)), Ok(&mut 10));
        cache.turn(14, 13);
        // And commit 14 may have written it again. The others go.
        cache.get_or_load(&"d", load(4)).unwrap();
        cache.turn(15, 13);
        assert_eq!(cache.get_or_load(&"a", load(99)), Ok(&mut 10));
        cache.turn(16, 16);
        for (key, n) in [("e", 5), ("f", 6), ("g", 7)] {
            cache.get_or_load(&key, load(n)).unwrap();
            cache.turn(16, 16);
        }
        assert_eq!(cache.get_or_load(&"a", load(99)), Ok(&mut 99));
        assert!(cache.rows.len() <= 3, "{}", cache.rows.len());
    }

    #[test]
    fn a_row_that_is_always_in_use_keeps_no_other() {
        let mut cache = Cache::new(10);
        for n in 0..1_000 {
            cache.get_or_load(&0, load(0)).unwrap();
            cache.get_or_load(&n, load(n)).unwrap();
            cache.turn(u64::from(n), u64::from(n).saturating_sub(2));
            assert!(cache.rows.len() <= 10 + 4, "{}", cache.rows.len());
            // Those that came last are there.
            assert!(
                (n.saturating_sub(5)..=n)
                    .all(|n| cache.find(cache.hasher.hash_one(n), &n).is_some())
            );
        }
        assert_eq!(cache.rows.len(), cache.numbers.len());
    }

    #[test]
    fn many_rows_beyond_the_room_go_a_few_at_a_time() {
        let mut cache = Cache::new(10);
        let mut values = BTreeMap::new();
        for n in 0..2_000 {
            *cache.get_or_load(&n, load(n)).unwrap() += 1;
            values.insert(n, n + 1);
        }
        cache.turn(1, 0);
        assert_eq!(cache.rows.len(), 2_000);
        for commit in 2..20 {
            let before = cache.rows.len();
            cache.turn(commit, commit);
            assert!(before - cache.rows.len() <= LEAVING_PER_COMMIT);
            for (key, value) in &values {
                let at = cache.find(cache.hasher.hash_one(key), key);
                let row = at.and_then(|at| cache.rows.get(at));
                assert!(row.is_none_or(|row| row.value == *value));
            }
        }
        assert_eq!((cache.rows.len(), cache.numbers.len()), (10, 10));
    }
}
