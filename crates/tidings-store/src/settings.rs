//! Settings of the store, and the options of the backend with the reasons for them.
//!
//! Measured with `examples/commit_rate.rs`: 1,000,000 profiles of 192 bytes, batches of 1,000 users, each
//! of them read, written and marked, then written again and unmarked, so two synced commits. CPU per user
//! on two shared cores; figures of one option move by 2 us from run to run.
//!
//! | option | value | why |
//! | --- | --- | --- |
//! | worker threads | 1 | with more, one of them turns in a circle while another merges: 44-50 us of CPU per user instead of 40 |
//! | memtable | 12 MiB | 4 MiB: 51 us per user, 8 MiB: 43-47, 16 MiB: 39-40, 32 MiB: 40; 16 MiB takes some 25 MiB more memory |
//! | table | 16 MiB | the backend's 64 MiB merges so much at once that the disk held twice the data for seconds, and a flush had to wait for as long; as cheap |
//! | cache | 8 MiB | before the store kept rows of its own (`profile_log.rs`), 32 MiB: 41 us per user, 64 MiB: 39-41, 128 MiB: 35. Since then its rows do more for as much memory |
//! | data block | 4 KiB (the default) | 2 KiB and 8 KiB make no difference |
//! | compression | none | with LZ4 below the upper two levels, the default, a third of the time of the backend's thread, to save a twentieth of the disk |
//! | tables that are merged | from 8 on | from 4 on, the default, rows of the logs are merged that would soon be deleted |
//! | journal compression | off | at start the backend compresses again what it has read, to compare checksums: a new version of the compressor would not open what an old one wrote |
//! | filters | Bloom, on all levels (the default) | without them on the last level each new visitor costs a read of the disk, to save 1 MiB per million profiles |
//! | open files | 200 | the default of 900 is most of what a process is commonly allowed |

use fjall::{
    CompressionType, Database, DatabaseBuilder, KeyspaceCreateOptions, compaction::Leveled,
    config::CompressionPolicy,
};
use std::{path::Path, sync::Arc};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

const WORKER_THREADS: usize = 1;
const TABLE_BYTES: u64 = 16 * MIB;
/// Tables from which on they are merged.
const UNMERGED: u8 = 8;
const OPEN_FILES_MAX: usize = 200;
/// A new journal file is begun after 64 MB, and an old one is removed when all its rows are in tables.
const JOURNAL_BYTES_MAX: u64 = 128 * MIB;
/// The backend's own limit, which asks its thread to begin a new memtable and does not wait for that. The
/// store begins them itself, at [`StoreSettings::memtable_bytes`]; this one is never reached.
const BACKEND_MEMTABLE_BYTES: u64 = 1024 * MIB;

/// How a store is opened. All of it may change with every start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Bytes of memory for profiles that were written lately, of some 220 bytes each. Default 44 MiB. Up to
    /// twice as much of the disk is taken by them besides their own rows, which are written when they have not
    /// changed for so long that others need their place. More also means a longer start: up to a second for
    /// 256 MiB.
    pub profile_log_bytes: usize,
    /// Bytes of memory for other rows that were read or written lately, and their keys. Default 8 MiB.
    /// What is found there costs a tenth of what reading it from the tables costs.
    pub recent_bytes: usize,
    /// Bytes of memory for parts of tables that were read lately. Default 8 MiB.
    pub cache_bytes: u64,
    /// Bytes of rows that are collected in memory before they are written to a table, from 64 KiB to
    /// 256 MiB; other values count as the nearest. Default 12 MiB. Up to four times as much is in memory
    /// at once. Less means more merging, more means a longer start.
    pub memtable_bytes: u64,
    /// Pending pairs that are kept in memory, of 65 to 130 bytes each, at least 64. Default 25,000. Of more
    /// those that have waited for longest get a row each. More also means a longer start, by up to a
    /// microsecond for each.
    pub pending_pairs: usize,
    /// Go on where acknowledged commits are missing, see [`crate::StoreError::Lost`]. Default false. What
    /// is missing is lost: events of users whose senders were told that they are safe.
    pub dangerous_allow_loss: bool,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            profile_log_bytes: 44 * 1024 * 1024,
            recent_bytes: 8 * 1024 * 1024,
            cache_bytes: 8 * MIB,
            memtable_bytes: 12 * MIB,
            pending_pairs: 25_000,
            dangerous_allow_loss: false,
        }
    }
}

impl StoreSettings {
    /// At how many bytes a new memtable is begun.
    pub(crate) fn memtable_bytes(&self) -> u64 {
        self.memtable_bytes.clamp(64 * KIB, 256 * MIB)
    }

    /// How many pending pairs are kept in memory.
    pub(crate) fn pending_pairs(&self) -> usize {
        self.pending_pairs.max(64)
    }

    pub(crate) fn database(&self, path: &Path) -> DatabaseBuilder<Database> {
        Database::builder(path)
            .cache_size(self.cache_bytes)
            .worker_threads(WORKER_THREADS)
            .max_cached_files(Some(OPEN_FILES_MAX))
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .journal_compression(CompressionType::None)
    }

    /// Options that the backend stores when it makes the keyspace, and keeps from then on.
    pub(crate) fn keyspace() -> KeyspaceCreateOptions {
        let merging = Leveled::default()
            .with_table_target_size(TABLE_BYTES)
            .with_l0_threshold(UNMERGED);
        KeyspaceCreateOptions::default()
            .max_memtable_size(BACKEND_MEMTABLE_BYTES)
            .compaction_strategy(Arc::new(merging))
            .data_block_compression_policy(CompressionPolicy::disabled())
    }
}
