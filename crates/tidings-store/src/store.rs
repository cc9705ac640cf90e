//! The store: open, commit, and where the commits stand. Reads are in `store/read.rs`.
//!
//! Invariants:
//! - a commit is all or nothing, and durable when [`Store::commit`] returns its sequence number;
//! - sequence numbers rise by one from [`Head::seq`], also across restarts, and are not used twice even
//!   where acknowledged commits were lost;
//! - after a failed commit nothing is written until the database is opened again. Where the disk was full
//!   the store does that by itself, once there is room; after anything else, a failed sync above all, that
//!   is the caller's decision: what the system then believes to have written may not be there.

mod read;
mod records;
mod room;

pub use records::RecordKind;

use crate::{
    backend::Backend,
    batch::Batch,
    codec::{DecodeError, bytes::Reader},
    error::{Cause, Closed, Fullness, StoreError},
    head::{Head, HeadFile, Record},
    journal::{self, Journal},
    keys,
    lock::Lock,
    opt_out::OptOutKey,
    pending::{self, PendingLog},
    profile_log::{self, ProfileLog},
    recent::Recent,
    settings::StoreSettings,
    upgrade::upgrade,
};
use std::{
    fmt,
    fs::DirBuilder,
    ops::{Bound, Deref},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
    thread,
    time::Duration,
};

/// How often, and after which pause, the database is opened again after the disk was full: the backend's
/// files may be held for a moment by a thread that is about to end.
const REOPEN_TRIES: u32 = 20;
const REOPEN_PAUSE: Duration = Duration::from_millis(100);

/// The format of a data directory that this version writes, and the newest that it reads. Older ones are
/// brought up to it at opening.
pub const FORMAT: u32 = 5;

/// The durable state of one process.
///
/// One thread commits; any number read at the same time. A read sees what has been committed and synced,
/// never what is not.
pub struct Store {
    // Closed before the lock is given up: fields are dropped in this order.
    /// `None` while it is opened again, when nobody else gets at it, and after that has failed.
    backend: RwLock<Option<Backend>>,
    recent: Recent,
    pending: Mutex<PendingLog>,
    profile_log: RwLock<ProfileLog>,
    writer: Mutex<Writer>,
    /// Apart from the writer, which is locked for as long as a sync takes.
    head: Mutex<Head>,
    epoch: u32,
    opt_out_key: OptOutKey,
    recovery: Recovery,
    dir: PathBuf,
    settings: StoreSettings,
    _lock: Lock,
}

struct Writer {
    head_file: HeadFile,
    /// The first failure: what every later commit answers with.
    failed: Option<StoreError>,
    condition: Condition,
    /// What a commit was to write that has failed: when it is repeated the same is written, since all of it
    /// may be there already.
    planned: Option<Planned>,
}

/// What the logs make of a batch: what is written, and what is kept of it in memory.
struct Planned {
    /// What the commit leads to.
    head: Head,
    pending: pending::Plan,
    profiles: profile_log::Plan,
}

/// Whether there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// There is.
    Good,
    /// There was not. Then a write has failed, in a commit or in the backend's thread, or soon may: the
    /// backend is opened again before it is used.
    Full,
}

/// The backend, which is open.
struct Opened<'a>(RwLockReadGuard<'a, Option<Backend>>);

impl Deref for Opened<'_> {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        self.0
            .as_ref()
            .expect("it was open when the guard was made")
    }
}

/// What was found when a store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The directory held no store before.
    pub created: bool,
    /// Acknowledged commits that are missing, and were allowed to be.
    pub lost_commits: u64,
    /// The journal ended with a commit that was cut short before it was acknowledged, and was removed.
    pub torn: bool,
    /// The file `head` was there and whole, so that lost commits would have been noticed.
    pub head_checked: bool,
    /// The directory had this older format, and was brought up to the present one.
    pub upgraded_from: Option<u32>,
}

impl Store {
    /// Opens the store in `dir`, which is made if it is not there, and counts up its epoch.
    ///
    /// On return the new epoch is durable, and all commits that were acknowledged before are there.
    /// A process that was killed leaves nothing that is in the way.
    ///
    /// # Errors
    /// [`StoreError::InUse`], within a second, when another process has the directory open;
    /// [`StoreError::NewerFormat`], [`StoreError::Lost`], [`StoreError::Hole`] or [`StoreError::Diverged`]
    /// as they say; others when a file cannot be used or the database is damaged. A damaged journal is
    /// still as it was found then, or there is a copy of it in `journal.damaged`.
    ///
    /// # Cost
    /// Reads the backend's journal, up to some 128 MiB. A directory of an older format takes as long as
    /// reading all its profiles, once.
    pub fn open(dir: &Path, settings: &StoreSettings) -> Result<Self, StoreError> {
        // What is in there is personal data: for this user alone.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(StoreError::file("make", dir))?;
        let lock = Lock::take(dir)?;
        let (mut head_file, acknowledged) = HeadFile::open(dir)?;
        let mut recovery = Recovery {
            created: !Backend::exists(dir)? && acknowledged.is_none(),
            head_checked: acknowledged.is_some(),
            ..Recovery::default()
        };
        let acknowledged = acknowledged.unwrap_or_default();
        let (backend, found) = open_database(dir, settings, acknowledged.head, &mut recovery)?;
        let pending = read_pending_log(&backend, settings)?;
        let profile_log = read_profile_log(&backend, settings)?;
        let head = found.head;
        let epoch = found.epoch.max(acknowledged.epoch).saturating_add(1);

        let mut batch = Batch::new();
        batch.put_meta(keys::EPOCH, &epoch.to_le_bytes());
        let opt_out_key = opt_out_key(&backend, &mut batch)?;
        backend.write(&batch, &[(keys::HEAD, &head.encode())])?;
        head_file.write(Record { epoch, head })?;
        head_file.sync(dir)?;
        Ok(Self {
            backend: RwLock::new(Some(backend)),
            recent: Recent::new(settings.recent_bytes),
            pending: Mutex::new(pending),
            profile_log: RwLock::new(profile_log),
            writer: Mutex::new(Writer {
                head_file,
                failed: None,
                condition: Condition::Good,
                planned: None,
            }),
            head: Mutex::new(head),
            epoch,
            opt_out_key,
            recovery,
            dir: dir.to_owned(),
            settings: StoreSettings {
                // What was allowed to be missing is known by now.
                dangerous_allow_loss: false,
                ..settings.clone()
            },
            _lock: lock,
        })
    }

    /// Writes the batch, all of it or nothing, and returns its sequence number: one more than the last.
    ///
    /// When this returns a number, the batch survives `kill -9` and power loss. A batch without
    /// operations takes a number too. The batch is left as it is: clear it to fill it again.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`]: nothing was written, other batches can be. [`StoreError::Full`]: commit the
    /// same batch again, and no other before it; that succeeds once there is room. Any other: whether the
    /// batch is on disk is not known, and every commit from now on fails with the same error. Drop the
    /// store and open it again: its head says how far it got.
    ///
    /// # Cost
    /// One sync of the disk; more while the backend is behind with its tables, which slows commits down.
    /// After the disk was full as much as opening a store, during which reads wait.
    pub fn commit(&self, batch: &Batch) -> Result<u64, StoreError> {
        let mut writer = lock(&self.writer);
        if let Some(failed) = &writer.failed {
            return Err(failed.clone());
        }
        batch.check()?;
        let head = self.head().after(batch.operations_bytes());
        let record = Record {
            epoch: self.epoch,
            head,
        };
        let is_repeated = self.make_room(&mut writer, head)? == Some(head);
        let epoch = self.epoch.to_le_bytes();
        let rows = [(keys::HEAD, &head.encode()[..]), (keys::EPOCH, &epoch[..])];
        // The second row marks a batch that does not follow the one before it in the journal.
        let (alone, both) = (&rows[..1], &rows[..]);
        let rows = if is_repeated { both } else { alone };
        let planned = match writer.planned.take() {
            Some(planned) if planned.head == head => Ok(planned),
            _ => self.plan(head, batch),
        };
        let planned = planned.map_err(|error| self.failed(&mut writer, error))?;
        let Planned {
            pending, profiles, ..
        } = &planned;
        let written = self.backend().and_then(|open| {
            let others = profiles
                .rest(batch.operations())
                .filter(|operation| operation.key.first() != Some(&keys::PENDING));
            let of_logs = profiles.operations().chain(pending.operations());
            open.write_operations(others.chain(of_logs), rows)?;
            writer.head_file.write(record)
        });
        if let Err(error) = written {
            writer.planned = Some(planned);
            return Err(self.failed(&mut writer, error));
        }
        let Planned {
            pending, profiles, ..
        } = planned;
        lock(&self.pending).apply(pending);
        let after = profiles.rows_after(batch.operations());
        self.recent.committed(after);
        let log = self.profile_log.write();
        log.unwrap_or_else(PoisonError::into_inner).apply(profiles);
        *lock(&self.head) = head;
        Ok(head.seq)
    }

    /// What the logs make of the batch.
    fn plan(&self, head: Head, batch: &Batch) -> Result<Planned, StoreError> {
        let open = self.backend()?;
        let read = |key: &[u8]| Ok(open.get(key)?.map(|row| row.to_vec()));
        Ok(Planned {
            head,
            pending: lock(&self.pending).plan(head.seq, batch, read)?,
            profiles: self.profile_log().plan(head.seq, batch, read)?,
        })
    }

    /// Sees to it that a write can be begun. `head` is what the commit will lead to. Returns how far the
    /// database goes if it was opened again.
    fn make_room(&self, writer: &mut Writer, head: Head) -> Result<Option<Head>, StoreError> {
        let enough = match writer.condition {
            Condition::Good => room::Enough::GoingOn,
            Condition::Full => room::Enough::Resuming,
        };
        if !room::has(&self.dir, enough)? {
            writer.condition = Condition::Full;
            return Err(self.full());
        }
        let found = match writer.condition {
            Condition::Good => None,
            Condition::Full => {
                let reopened = self.reopen(head);
                Some(reopened.map_err(|error| self.failed(writer, error))?)
            }
        };
        writer.condition = Condition::Good;
        Ok(found)
    }

    /// Opens the database again after a write has failed. The batch of that write may be in it, all of it
    /// or nothing, and then it was never synced: it is written once more in any case, which changes nothing.
    fn reopen(&self, head: Head) -> Result<Head, StoreError> {
        let mut slot = self.backend.write().unwrap_or_else(PoisonError::into_inner);
        *slot = None;
        let (mut tries, acknowledged) = (0, self.head());
        let (backend, found) = loop {
            tries += 1;
            let mut recovery = Recovery {
                head_checked: true,
                ..Recovery::default()
            };
            match open_database(&self.dir, &self.settings, acknowledged, &mut recovery) {
                Ok(opened) => break opened,
                Err(StoreError::Backend { .. } | StoreError::File { .. })
                    if tries < REOPEN_TRIES =>
                {
                    thread::sleep(REOPEN_PAUSE);
                }
                Err(error) => return Err(error),
            }
        };
        if found.head != acknowledged && found.head != head {
            let (dir, seq) = (self.dir.clone(), found.head.seq);
            return Err(StoreError::Diverged { dir, seq });
        }
        *slot = Some(backend);
        Ok(found.head)
    }

    /// What a commit answers that has failed with this error.
    fn failed(&self, writer: &mut Writer, error: StoreError) -> StoreError {
        let fullness = match &error {
            StoreError::Backend { source, .. } | StoreError::File { source, .. } => {
                source.fullness()
            }
            _ => Fullness::Other,
        };
        let is_full = match fullness {
            Fullness::Full => true,
            // It was the backend's thread that failed. It needs room for merging and gives it back.
            Fullness::Unsaid => room::has(&self.dir, room::Enough::Merging).is_ok_and(|has| !has),
            Fullness::Other => false,
        };
        if is_full && self.backend().is_ok() {
            writer.condition = Condition::Full;
            return self.full();
        }
        writer.failed = Some(error.clone());
        error
    }

    fn full(&self) -> StoreError {
        StoreError::Full {
            dir: self.dir.clone(),
        }
    }

    fn backend(&self) -> Result<Opened<'_>, StoreError> {
        let slot = self.backend.read().unwrap_or_else(PoisonError::into_inner);
        if slot.is_some() {
            return Ok(Opened(slot));
        }
        Err(StoreError::Backend {
            action: "use",
            source: Cause::new(Closed),
        })
    }

    /// The log of profiles, to read.
    fn profile_log(&self) -> RwLockReadGuard<'_, ProfileLog> {
        self.profile_log
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is left of profiles that were deleted which further commits take away, be they
    /// empty ones.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.profile_log().is_draining()
    }

    /// The last commit. Does not wait for one that is being written.
    #[must_use]
    pub fn head(&self) -> Head {
        *lock(&self.head)
    }

    /// The sequence number that the next commit gets, if none is being written now. A caller that
    /// commits from one thread may count on from here by itself.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.head().seq + 1
    }

    /// How often the directory has been opened; higher than in any run before.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What was found when the store was opened.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        self.recovery
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.dir)
            .field("epoch", &self.epoch)
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}

/// Opens the database, from which nothing may be missing that was acknowledged, and says how far it goes.
fn open_database(
    dir: &Path,
    settings: &StoreSettings,
    acknowledged: Head,
    recovery: &mut Recovery,
) -> Result<(Backend, Record), StoreError> {
    let journal = journal::read(&Backend::path(dir))?;
    check_journal(dir, &journal, acknowledged, settings, recovery)?;
    let backend = Backend::open(dir, settings, &first_rows())?;
    let (format, mut found) = read_meta(dir, &backend)?;
    match check_head(dir, found.head, acknowledged) {
        Ok(()) => {}
        Err(StoreError::Lost { missing, .. }) if settings.dangerous_allow_loss => {
            recovery.lost_commits += missing;
            found.head.seq = acknowledged.seq;
        }
        Err(error) => return Err(error),
    }
    if format < FORMAT {
        upgrade(&backend, format)?;
        recovery.upgraded_from = Some(format);
    }
    Ok((backend, found))
}

/// The pairs that are pending by the log.
fn read_pending_log(backend: &Backend, settings: &StoreSettings) -> Result<PendingLog, StoreError> {
    let bounds = pending::Bounds::of_pairs(settings.pending_pairs());
    let mut log = PendingLog::new(bounds);
    scan_kind(backend, keys::PENDING_LOG, |key, value| {
        log.replay(key, value)
    })?;
    Ok(log)
}

/// The profiles that are newer in the log than in their rows.
fn read_profile_log(backend: &Backend, settings: &StoreSettings) -> Result<ProfileLog, StoreError> {
    let bounds = profile_log::Bounds::of_memory(settings.profile_log_bytes);
    let mut log = ProfileLog::new(bounds);
    scan_kind(backend, keys::PROFILE_LOG, |key, value| {
        log.replay(key, value)
    })?;
    Ok(log)
}

fn scan_kind(
    backend: &Backend,
    kind: u8,
    visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let start = [kind];
    let (start, end) = (Bound::Included(&start[..]), keys::prefix_end(&start));
    backend.scan(start, &end, usize::MAX, visit)
}

/// The rows of the store itself in a new directory.
fn first_rows() -> Batch {
    let mut batch = Batch::new();
    batch.put_meta(keys::FORMAT, &FORMAT.to_le_bytes());
    batch.put_meta(keys::EPOCH, &0u32.to_le_bytes());
    batch.put_meta(keys::HEAD, &Head::default().encode());
    batch
}

/// The key of `x` rows; a new one, which `batch` writes, where there is none yet.
pub(crate) fn opt_out_key(backend: &Backend, batch: &mut Batch) -> Result<OptOutKey, StoreError> {
    if let Some(bytes) = backend.get(keys::OPT_OUT_KEY)? {
        let damaged = StoreError::corrupt(format_args!("row m/opt-out"));
        return OptOutKey::decode(&bytes).map_err(damaged);
    }
    let key = OptOutKey::random();
    batch.put_meta(keys::OPT_OUT_KEY, key.bytes());
    Ok(key)
}

/// The format, if it can be read, and epoch and head in the database.
fn read_meta(dir: &Path, backend: &Backend) -> Result<(u32, Record), StoreError> {
    let format = read_row(dir, backend, keys::FORMAT, "m/format", read_u32)?;
    if format > FORMAT {
        return Err(StoreError::NewerFormat {
            dir: dir.to_owned(),
            found: format,
            supported: FORMAT,
        });
    }
    let record = Record {
        epoch: read_row(dir, backend, keys::EPOCH, "m/epoch", read_u32)?,
        head: read_row(dir, backend, keys::HEAD, "m/head", Head::decode)?,
    };
    Ok((format, record))
}

fn read_row<T>(
    dir: &Path,
    backend: &Backend,
    key: &[u8],
    row: &'static str,
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, StoreError> {
    let Some(value) = backend.get(key)? else {
        let dir = dir.to_owned();
        return Err(StoreError::Missing { dir, row });
    };
    decode(&value).map_err(StoreError::corrupt(format_args!("row {row}")))
}

fn read_u32(bytes: &[u8]) -> Result<u32, DecodeError> {
    let mut reader = Reader::new(bytes);
    let number = u32::from_le_bytes(reader.array("number")?);
    reader.end("number")?;
    Ok(number)
}

/// Whether the journal has a hole, or ends before what was acknowledged; cuts off an unfinished end.
fn check_journal(
    dir: &Path,
    journal: &Journal,
    acknowledged: Head,
    settings: &StoreSettings,
    recovery: &mut Recovery,
) -> Result<(), StoreError> {
    let allowed = settings.dangerous_allow_loss;
    if let Some((after, next)) = journal.hole {
        let missing = next.saturating_sub(after).saturating_sub(1);
        if !allowed {
            let dir = dir.to_owned();
            return Err(StoreError::Hole {
                dir,
                missing,
                after,
            });
        }
        recovery.lost_commits += missing;
    }
    let Some(torn) = &journal.torn else {
        return Ok(());
    };
    match journal.last {
        // Was being written when the process ended, or the power went.
        Some(last) if recovery.head_checked && last >= acknowledged.seq => {
            recovery.torn = true;
            torn.cut()
        }
        Some(last) if recovery.head_checked && !allowed => Err(lost(dir, last, acknowledged.seq)),
        // The backend cuts it or refuses it; without a commit in the journal, or without the file
        // `head`, only the tables can tell what is missing.
        _ => torn.set_aside(dir),
    }
}

fn lost(dir: &Path, found: u64, acknowledged: u64) -> StoreError {
    StoreError::Lost {
        dir: dir.to_owned(),
        missing: acknowledged.saturating_sub(found),
        found,
        acknowledged,
    }
}

/// Whether the database, which ends at `found`, has everything that was acknowledged.
fn check_head(dir: &Path, found: Head, acknowledged: Head) -> Result<(), StoreError> {
    if found.seq < acknowledged.seq {
        return Err(lost(dir, found.seq, acknowledged.seq));
    }
    if found.seq == acknowledged.seq && found.hash != acknowledged.hash {
        let (dir, seq) = (dir.to_owned(), found.seq);
        return Err(StoreError::Diverged { dir, seq });
    }
    Ok(())
}

/// What these locks guard is whole at any time, so a panic of another thread changes nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
