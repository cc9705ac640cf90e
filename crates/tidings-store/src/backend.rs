//! The embedded database: fjall, one keyspace, and what is done about its weak points.
//!
//! - Its default is to leave a write in the page cache: every write here is synced before it returns.
//! - It applies a batch to memory row by row. Scans read from a snapshot, which holds whole commits only;
//!   single rows are read without one, since a row is whole or not there. In either case what is read has
//!   been synced: a batch is applied after its sync.
//! - After a failed write it refuses all others. The store says so with the first error.
//! - It begins a new memtable when its thread gets round to it, however large the old one has become, and
//!   waits for its thread in steps of 100 ms, for ever if that has died. So new memtables are begun here,
//!   after the commit that filled one, and a commit waits here for room, or for the error.
//! - It panics on some kinds of damage. A panic is caught here and becomes an error.
//! - It takes a damaged list of tables at its word, and deletes what is not in it ([`crate::table_list`]).
//! - It cuts what it cannot read off its journal ([`crate::journal`]).
//! - A directory whose creation was cut off cannot be opened again. So it is made under another name and
//!   renamed when it is complete.
//!
//! Not here: what rows mean ([`crate::keys`], [`crate::codec`]), the head ([`crate::head`]).

use crate::{
    batch::{Batch, Operation},
    error::{Cause, StoreError},
    head::sync_directory,
    settings::StoreSettings,
    table_list,
};
use fjall::{AbstractTree, Database, Keyspace, OwnedWriteBatch, PersistMode, Readable, Slice};
use std::{
    fs, io,
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

const KEYSPACE: &str = "tidings";

/// Memtables that wait to be written to a table while commits go on.
const SEALED_MAX: usize = 2;
/// Tables that wait to be merged while commits go on. The backend merges from 8 on, and slows commits
/// down by itself from 20 on.
const UNMERGED_MAX: usize = 16;
/// How often to look whether there is room.
const ROOM_POLL: Duration = Duration::from_millis(2);

/// The database, open.
pub(crate) struct Backend {
    keyspace: Keyspace,
    database: Database,
    memtable_bytes: u64,
    rows_read: AtomicU64,
    /// How writes fail from now on.
    #[cfg(test)]
    pub(crate) fault: std::sync::Mutex<Option<(FailAt, io::ErrorKind)>>,
}

/// Where a write fails on purpose.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailAt {
    /// Before any of it is in the journal.
    Write,
    /// When all of it is in the journal.
    Sync,
}

impl Backend {
    /// Where the database of a data directory is.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join("db")
    }

    /// Whether the data directory has a database.
    pub(crate) fn exists(dir: &Path) -> Result<bool, StoreError> {
        let path = Self::path(dir);
        path.try_exists()
            .map_err(StoreError::file("look for", &path))
    }

    /// Opens the database in `dir`, or makes one that holds the rows of `first`.
    pub(crate) fn open(
        dir: &Path,
        settings: &StoreSettings,
        first: &Batch,
    ) -> Result<Self, StoreError> {
        let path = Self::path(dir);
        if !Self::exists(dir)? {
            Self::create(dir, &path, settings, first)?;
        }
        table_list::check(&path)?;
        Self::open_at(&path, settings)
    }

    fn create(
        dir: &Path,
        path: &Path,
        settings: &StoreSettings,
        first: &Batch,
    ) -> Result<(), StoreError> {
        let unfinished = dir.join("db.new");
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::file("remove", &unfinished)(error));
            }
            _ => {}
        }
        Self::open_at(&unfinished, settings)?.write(first, &[])?;
        fs::rename(&unfinished, path).map_err(StoreError::file("rename", &unfinished))?;
        sync_directory(dir)
    }

    fn open_at(path: &Path, settings: &StoreSettings) -> Result<Self, StoreError> {
        attempt("open", || {
            let database = settings.database(path).open()?;
            let keyspace = database.keyspace(KEYSPACE, StoreSettings::keyspace)?;
            Ok(Self {
                keyspace,
                database,
                memtable_bytes: settings.memtable_bytes(),
                rows_read: AtomicU64::new(0),
                #[cfg(test)]
                fault: std::sync::Mutex::default(),
            })
        })
    }

    /// Writes all operations of the batch and these rows, all or none, and syncs them.
    pub(crate) fn write(&self, batch: &Batch, more: &[(&[u8], &[u8])]) -> Result<(), StoreError> {
        self.write_operations(batch.operations(), more)
    }

    /// As [`Backend::write`]; of several operations on a row the last one counts.
    pub(crate) fn write_operations<'a>(
        &self,
        operations: impl Iterator<Item = Operation<'a>>,
        more: &[(&[u8], &[u8])],
    ) -> Result<(), StoreError> {
        attempt("write to", || {
            self.wait_for_room()?;
            let operations = in_key_order(operations);
            let mut rows = OwnedWriteBatch::with_capacity(
                self.database.clone(),
                operations.len() + more.len(),
            )
            .durability(Some(PersistMode::SyncData));
            for operation in operations {
                match operation.value {
                    Some(value) => rows.insert(&self.keyspace, operation.key, value),
                    None => rows.remove(&self.keyspace, operation.key),
                }
            }
            for &(key, value) in more {
                rows.insert(&self.keyspace, key, value);
            }
            #[cfg(test)]
            if let Some((at, kind)) = *self.fault.lock().expect("no panic is left behind") {
                if at == FailAt::Sync {
                    rows.durability(None).commit()?;
                }
                return Err(io::Error::from(kind).into());
            }
            rows.commit()?;
            if self.keyspace.tree.active_memtable().size() > self.memtable_bytes {
                self.keyspace.rotate_memtable()?;
            }
            Ok(())
        })
    }

    /// Waits while the backend is behind with writing memtables to tables and merging these.
    fn wait_for_room(&self) -> fjall::Result<()> {
        while self.keyspace.sealed_memtable_count() > SEALED_MAX
            || self.keyspace.l0_table_count() > UNMERGED_MAX
        {
            // Fails once an error has stopped the backend's thread, which would make no more room.
            self.database.persist(PersistMode::Buffer)?;
            thread::sleep(ROOM_POLL);
        }
        Ok(())
    }

    /// The newest value of a row.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        self.rows_read.fetch_add(1, Ordering::Relaxed);
        attempt("read from", || self.keyspace.get(key))
    }

    /// Calls `visit` with up to `limit` rows from `start` to before `end`, in the order of their keys.
    pub(crate) fn scan(
        &self,
        start: Bound<&[u8]>,
        end: &[u8],
        limit: usize,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut visited = Ok(());
        attempt("read from", || {
            let range: (Bound<&[u8]>, Bound<&[u8]>) = (start, Bound::Excluded(end));
            let rows = self
                .database
                .snapshot()
                .range::<&[u8], _>(&self.keyspace, range);
            for row in rows.take(limit) {
                let (key, value) = row.into_inner()?;
                self.rows_read.fetch_add(1, Ordering::Relaxed);
                visited = visit(&key, &value);
                if visited.is_err() {
                    break;
                }
            }
            Ok(())
        })?;
        visited
    }

    /// Rows looked up and rows scanned.
    pub(crate) fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Relaxed)
    }

    /// As [`Backend::scan`], from the last row before `end` back to `start`.
    pub(crate) fn scan_back(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // The backend does not take a range that ends before it begins.
        if end <= start {
            return Ok(());
        }
        let mut visited = Ok(());
        attempt("read from", || {
            let rows = self
                .database
                .snapshot()
                .range::<&[u8], _>(&self.keyspace, start..end);
            for row in rows.rev().take(limit) {
                let (key, value) = row.into_inner()?;
                self.rows_read.fetch_add(1, Ordering::Relaxed);
                visited = visit(&key, &value);
                if visited.is_err() {
                    break;
                }
            }
            Ok(())
        })?;
        visited
    }

    /// Bytes on disk, the journal included.
    pub(crate) fn disk_bytes(&self) -> Result<u64, StoreError> {
        attempt("measure", || self.database.disk_space())
    }

    /// Number of rows, not exactly: rows that were written again may count more than once.
    pub(crate) fn rows_approximate(&self) -> usize {
        self.keyspace.approximate_len()
    }
}

/// What the rows of a batch become, each once, in the order of their keys: the backend finds the place of
/// a row in its memory from nearby when the row before is its neighbour.
fn in_key_order<'a>(operations: impl Iterator<Item = Operation<'a>>) -> Vec<Operation<'a>> {
    let mut operations: Vec<_> = operations.collect();
    // Stable, so the last operation on a row comes last.
    operations.sort_by(|a, b| a.key.cmp(b.key));
    operations.dedup_by(|later, kept| {
        let is_same = later.key == kept.key;
        if is_same {
            kept.value = later.value;
        }
        is_same
    });
    operations
}

/// Runs a call into the backend; an error or a panic of it becomes an error that names the action.
fn attempt<T>(
    action: &'static str,
    call: impl FnOnce() -> fjall::Result<T>,
) -> Result<T, StoreError> {
    // What a panic leaves behind is not looked at again: after one in a write the store refuses to
    // write, and reads take nothing from earlier ones.
    let source = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(result)) => return Ok(result),
        Ok(Err(error)) => Cause::new(error),
        Err(payload) => Cause::panic(&*payload),
    };
    Err(StoreError::Backend { action, source })
}
