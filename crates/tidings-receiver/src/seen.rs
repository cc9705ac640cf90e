//! Bodies seen before: tells a repeated message from a new one by a hash of its bytes.
//!
//! Remembers the newest hashes only. 64 bits keyed at random: among a quarter of a million
//! remembered bodies, a new one is mistaken for a repeated one once in 7·10^13.

use crate::limits::BODIES_REMEMBERED_MAX;
use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

/// The bodies seen so far.
#[derive(Debug, Default)]
pub(crate) struct SeenBodies {
    hasher: RandomState,
    hashes: Mutex<Hashes>,
}

#[derive(Debug, Default)]
struct Hashes {
    set: HashSet<u64>,
    /// Oldest first.
    order: VecDeque<u64>,
}

impl SeenBodies {
    /// True if these bytes were there before; from now on they were.
    pub(crate) fn is_repeated(&self, body: &[u8]) -> bool {
        let hash = self.hasher.hash_one(body);
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if !hashes.set.insert(hash) {
            return true;
        }
        hashes.order.push_back(hash);
        if hashes.order.len() > BODIES_REMEMBERED_MAX
            && let Some(oldest) = hashes.order.pop_front()
        {
            hashes.set.remove(&oldest);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_repeated_bodies_and_forgets_the_oldest() {
        let seen = SeenBodies::default();
        assert!(!seen.is_repeated(b"a"));
        assert!(seen.is_repeated(b"a"));
        for number in 0..BODIES_REMEMBERED_MAX {
            assert!(!seen.is_repeated(&number.to_le_bytes()));
        }
        assert!(!seen.is_repeated(b"a"));
    }
}
