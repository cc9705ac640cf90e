//! The working set of the engine: recently used rows, and all rows whose write is not durable yet.
//!
//! Two generations: what is used moves to the young one; when that is full, the old one is dropped
//! and the young one becomes old. A generation is dropped only once every commit that wrote a row
//! of it is durable, since until then the store would answer with an older row.
//!
//! Its rows are dropped a few at a time: freeing tens of thousands of profiles at once would stall
//! everything that waits for the engine.

use foldhash::fast::RandomState;
use hashbrown::{HashMap, hash_map};
use std::hash::Hash;
#[cfg(planted)]
use tidings_model::planted::{self, Planted};

#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    young: Generation<K, V>,
    old: Generation<K, V>,
    /// What is left of the generation before `old`; out of reach, and on its way out of memory.
    leaving: hash_map::IntoIter<K, V>,
    /// Rows of `young` at the end of the last commit.
    young_rows: usize,
    /// Rows per generation.
    rows_max: usize,
    /// The last commit that may have written a row of `old`.
    old_written: u64,
}

type Generation<K, V> = HashMap<K, V, RandomState>;

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// A cache of about `rows_max` rows.
    pub(crate) fn new(rows_max: usize) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            leaving: Generation::default().into_iter(),
            young_rows: 0,
            rows_max: (rows_max / 2).max(1),
            old_written: 0,
        }
    }

    /// The row, or what `load` says it is.
    pub(crate) fn get_or_load<E>(
        &mut self,
        key: &K,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<&mut V, E> {
        match self.young.entry_ref(key) {
            hash_map::EntryRef::Occupied(entry) => Ok(entry.into_mut()),
            hash_map::EntryRef::Vacant(entry) => {
                let value = match self.old.remove(key) {
                    Some(value) => value,
                    None => load()?,
                };
                Ok(entry.insert_entry_with_key(key.clone(), value).into_mut())
            }
        }
    }

    /// The row if it is here.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if let Some(value) = self.old.remove(key) {
            self.young.insert(key.clone(), value);
        }
        self.young.get_mut(key)
    }

    /// Ends a commit: `written` is the last sequence number handed out, `durable` the last one
    /// known to be on disk. Makes room if it may.
    pub(crate) fn turn(&mut self, written: u64, durable: u64) {
        // Twice as many leave as came, so all are gone before the next generation is full.
        let came = self.young.len().saturating_sub(self.young_rows);
        self.leaving.by_ref().take(2 * came).for_each(drop);
        #[cfg(planted)]
        let durable = if planted::is(Planted::DirtyEvicted) {
            u64::MAX
        } else {
            durable
        };
        if self.young.len() >= self.rows_max && durable >= self.old_written {
            let empty = Generation::with_capacity_and_hasher(self.rows_max, RandomState::default());
            let young = std::mem::replace(&mut self.young, empty);
            self.leaving = std::mem::replace(&mut self.old, young).into_iter();
            self.old_written = written;
        }
        self.young_rows = self.young.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, rc::Rc};

    /// Counts the rows that are dropped.
    #[derive(Debug)]
    struct Row(Rc<Cell<usize>>);

    impl Drop for Row {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn old_rows_are_dropped_a_few_at_a_time() {
        let dropped = Rc::new(Cell::new(0));
        let mut cache = Cache::new(2_000);
        let mut most = 0;
        for commit in 0..1_000u64 {
            for key in commit * 10..commit * 10 + 10 {
                let row = || Ok::<_, ()>(Row(Rc::clone(&dropped)));
                cache.get_or_load(&key, row).unwrap();
            }
            let before = dropped.get();
            cache.turn(commit, commit);
            most = most.max(dropped.get() - before);
        }
        assert_eq!(most, 20, "ten rows came in each commit");
        let kept = 10_000 - dropped.get();
        assert!(kept <= 3 * 1_000, "{kept} rows are kept");
    }

    #[test]
    fn a_row_is_kept_until_its_write_is_durable() {
        let mut cache = Cache::new(2);
        let load = |n: u32| move || Ok::<_, ()>(n);
        *cache.get_or_load(&"a", load(1)).unwrap() = 10;
        cache.turn(1, 0);
        *cache.get_or_load(&"b", load(2)).unwrap() = 20;
        cache.turn(2, 0);
        // Commit 1 wrote `a` and is not durable, so `a` must still be here.
        assert_eq!(cache.get_or_load(&"a", load(99)), Ok(&mut 10));
        cache.turn(2, 2);
        cache.get_or_load(&"c", load(3)).unwrap();
        cache.turn(2, 2);
        cache.get_or_load(&"d", load(4)).unwrap();
        cache.turn(2, 2);
        assert_eq!(cache.get_or_load(&"b", load(99)), Ok(&mut 99));
    }
}
