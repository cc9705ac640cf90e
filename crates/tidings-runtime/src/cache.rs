//! The working set of the engine: recently used rows, and all rows whose write is not durable yet.
//!
//! Two generations: what is used moves to the young one; when that is full, the old one is dropped
//! and the young one becomes old. A generation is dropped only once every commit that wrote a row
//! of it is durable, since until then the store would answer with an older row.

use hashbrown::HashMap;
use std::hash::Hash;

#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    young: Generation<K, V>,
    old: Generation<K, V>,
    /// Rows per generation.
    rows_max: usize,
    /// The last commit that may have written a row of `old`.
    old_written: u64,
}

type Generation<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

impl<K: Hash + Eq + Clone, V> Cache<K, V> {
    /// A cache of about `rows_max` rows.
    pub(crate) fn new(rows_max: usize) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
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
            hashbrown::hash_map::EntryRef::Occupied(entry) => Ok(entry.into_mut()),
            hashbrown::hash_map::EntryRef::Vacant(entry) => {
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
        if self.young.len() >= self.rows_max && durable >= self.old_written {
            // Keep the allocation: the next generation will be as large.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            self.old_written = written;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
