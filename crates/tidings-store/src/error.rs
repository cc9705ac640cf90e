//! What can go wrong with a store, and what to do about it.

use crate::codec::DecodeError;
use std::{
    any::Any,
    error::Error,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why a store could not be opened, read or written.
///
/// Cheap to clone: a store that has failed to write answers every later commit with the same error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file of the store's own could not be used.
    #[error("could not {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: Cause,
    },
    /// Another process has the directory open.
    #[error(
        "{} is in use by {}; stop it first, or give this one another data directory",
        dir.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process, if it left its id in the lock file.
        pid: Option<u32>,
    },
    /// The directory was written by a newer version.
    #[error(
        "{} has format {found}, this version of tidings reads up to {supported}; run the version that \
         wrote it, or a newer one",
        dir.display()
    )]
    NewerFormat {
        /// The directory.
        dir: PathBuf,
        /// The format of the directory.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// Commits that were acknowledged are missing from the database.
    #[error(
        "{} has lost {missing} acknowledged commits: it ends at commit {found}, the last one acknowledged \
         was {acknowledged}; restore a backup, or go on without them by opening it with loss allowed",
        dir.display()
    )]
    Lost {
        /// The directory.
        dir: PathBuf,
        /// How many are missing.
        missing: u64,
        /// The sequence number of the last commit that is there.
        found: u64,
        /// The sequence number of the last commit that was acknowledged.
        acknowledged: u64,
    },
    /// Commits that were acknowledged are missing from the middle of the database.
    #[error(
        "{} has lost {missing} acknowledged commits after commit {after}: part of its journal is damaged; \
         restore a backup, or go on without them by opening it with loss allowed",
        dir.display()
    )]
    Hole {
        /// The directory.
        dir: PathBuf,
        /// How many are missing.
        missing: u64,
        /// The sequence number of the last commit before them.
        after: u64,
    },
    /// The database and the file beside it end at the same commit but disagree about what led there.
    #[error(
        "{} and its file `head` do not belong together: both end at commit {seq}, with different \
         contents; restore a backup of the whole directory",
        dir.display()
    )]
    Diverged {
        /// The directory.
        dir: PathBuf,
        /// The commit at which both end.
        seq: u64,
    },
    /// A row cannot be read.
    #[error("the {row} is damaged")]
    Corrupt {
        /// Which row.
        row: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A row that every store has is not there.
    #[error("{} has no row {row}: it is damaged, or not a store of tidings", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
        /// Which row.
        row: &'static str,
    },
    /// A file of the database is damaged in a way that would lose rows.
    #[error("{} is damaged; restore a backup of the whole directory", path.display())]
    DamagedFile {
        /// Which file.
        path: PathBuf,
    },
    /// A row is larger than the store takes. Nothing of its batch was written.
    #[error("a row of {bytes} bytes was refused, the limit is {bytes_max}")]
    TooLarge {
        /// Bytes of its key or its value.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// There is too little room on the disk. Nothing of the batch counts as written.
    #[error(
        "the disk of {} is full; nothing is lost: make room, and writing goes on by itself",
        dir.display()
    )]
    Full {
        /// The directory.
        dir: PathBuf,
    },
    /// The backend failed.
    #[error("could not {action} the database")]
    Backend {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: Cause,
    },
}

/// What a caller does about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The directory, or the disk below it, cannot be used now: ask an operator, then open it again.
    Unavailable,
    /// There is no room now: commit the same batch again later. Reads go on.
    Full,
    /// Another process has it: do not retry until that has stopped.
    Conflict,
    /// What is stored is damaged or incomplete: an operator decides.
    Corrupt,
    /// This version cannot read it: run a newer one.
    Reject,
    /// The caller broke a rule.
    Bug,
}

impl StoreError {
    /// What to do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::File { .. } | Self::Backend { .. } => ErrorKind::Unavailable,
            Self::Full { .. } => ErrorKind::Full,
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::NewerFormat { .. } => ErrorKind::Reject,
            Self::Lost { .. }
            | Self::Hole { .. }
            | Self::Diverged { .. }
            | Self::Corrupt { .. }
            | Self::Missing { .. }
            | Self::DamagedFile { .. } => ErrorKind::Corrupt,
            Self::TooLarge { .. } => ErrorKind::Bug,
        }
    }

    /// For `map_err`: the file at `path` could not be used.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File {
            action,
            path,
            source: Cause::new(error),
        }
    }

    /// For `map_err`: a row cannot be read.
    pub(crate) fn corrupt(row: impl fmt::Display) -> impl FnOnce(DecodeError) -> Self {
        move |source| Self::Corrupt {
            row: row.to_string(),
            source,
        }
    }
}

/// The error below a [`StoreError`], of whatever the store is built on.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

impl Cause {
    pub(crate) fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }

    /// What stands behind it, as far as the reaction to a full disk goes.
    pub(crate) fn fullness(&self) -> Fullness {
        let mut next: Option<&(dyn Error + 'static)> = Some(&*self.0);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
                return if full.contains(&error.kind()) {
                    Fullness::Full
                } else {
                    Fullness::Other
                };
            }
            if matches!(error.downcast_ref(), Some(fjall::Error::Poisoned)) {
                return Fullness::Unsaid;
            }
            next = error.source();
        }
        Fullness::Other
    }

    /// A panic, from the value it was raised with.
    pub(crate) fn panic(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::new(Panicked(text.unwrap_or("no message").to_owned()))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Whether an error says that the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fullness {
    /// It does.
    Full,
    /// It comes from an earlier one, in a thread of the backend, which was not told.
    Unsaid,
    /// It says something else.
    Other,
}

/// The database was closed and could not be opened again.
#[derive(Debug, thiserror::Error)]
#[error("it is closed")]
pub(crate) struct Closed;

/// The backend panicked, which it does on some kinds of damage.
#[derive(Debug, thiserror::Error)]
#[error("it panicked, which points to damaged files: {0}")]
struct Panicked(String);
