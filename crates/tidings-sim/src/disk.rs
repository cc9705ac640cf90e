//! The disk: rows that survive a crash, and commits that take their time.

use tidings_oracle::generate::Random;
use tidings_runtime::memory::{MemoryChanges, MemoryRows};

/// What is durable.
#[derive(Debug, Default)]
pub struct Disk {
    /// Rows of every commit that has ended.
    pub rows: MemoryRows,
    /// The last commit that has ended.
    pub durable: u64,
    /// How often the store was opened.
    pub epoch: u32,
}

impl Disk {
    /// A commit ends: all of it, or none.
    pub fn commit(&mut self, seq: u64, changes: &mut MemoryChanges) {
        self.rows.apply(changes);
        self.durable = seq;
    }

    /// How long a commit takes, in milliseconds; now and then seconds.
    pub(crate) fn sync_millis(random: &mut Random, stalls_percent: i64) -> u64 {
        let millis = if random.chance(stalls_percent) {
            random.between(500, 5_000)
        } else {
            random.between(1, 20)
        };
        u64::try_from(millis).unwrap_or(1)
    }
}
