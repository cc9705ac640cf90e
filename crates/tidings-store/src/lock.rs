//! One process per data directory: an exclusive lock on its file `lock`.
//!
//! The lock is the operating system's (`flock`), so a killed process leaves none behind. The file holds
//! the process id of whoever has the lock, for the error that the second one gets.

use crate::error::StoreError;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    thread,
    time::Duration,
};

const TRIES: u32 = 25;
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or fails when another process keeps it for half a second: one that has just been
    /// stopped, or is about to start another program, gives it up by then.
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("lock");
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options
            .open(&path)
            .map_err(StoreError::file("open", &path))?;
        let mut tries = TRIES;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != Errno::WOULDBLOCK {
                return Err(StoreError::file("lock", &path)(error.into()));
            }
            tries -= 1;
            if tries == 0 {
                return Err(StoreError::InUse {
                    dir: dir.to_owned(),
                    pid: read_pid(&mut file),
                });
            }
            thread::sleep(RETRY_AFTER);
        }
        write_pid(&mut file).map_err(StoreError::file("write", &path))?;
        Ok(Self { _file: file })
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

/// The process id in the file, if it holds one.
fn read_pid(file: &mut File) -> Option<u32> {
    const PID_BYTES_MAX: u64 = 20;
    let mut text = String::new();
    file.take(PID_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
