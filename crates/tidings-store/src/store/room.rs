//! Room on the disk: how much must be left for a write to be begun.
//!
//! A write that fails in the midst is dealt with as well, but costs opening the database again. Most of
//! the time this prevents it: the backend's thread needs room too, for tables, and at some other time.

use crate::error::StoreError;
use std::{io, path::Path};

const MIB: u64 = 1024 * 1024;
/// Left alone on disks of 512 MiB and more; a sixteenth of smaller ones. Two memtables, in tables.
const RESERVE_BYTES: u64 = 32 * MIB;
const RESERVE_SHARE: u64 = 16;

/// How much is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enough {
    /// For going on: the reserve.
    GoingOn,
    /// For beginning again: twice that, so that it is not over at once.
    Resuming,
    /// For the backend to merge tables, which takes several of them at once.
    Merging,
}

/// Whether the disk of a directory has enough room for us.
pub(super) fn has(dir: &Path, enough: Enough) -> Result<bool, StoreError> {
    let disk = rustix::fs::statvfs(dir)
        .map_err(|error| StoreError::file("measure", dir)(io::Error::from(error)))?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Ok(bytes(disk.f_bavail) >= needed(bytes(disk.f_blocks), enough))
}

fn needed(disk_bytes: u64, enough: Enough) -> u64 {
    let reserve = RESERVE_BYTES.min(disk_bytes / RESERVE_SHARE);
    match enough {
        Enough::GoingOn => reserve,
        Enough::Resuming => 2 * reserve,
        Enough::Merging => 8 * reserve,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_a_part_of_small_disks_and_an_amount_of_large_ones() {
        let check = |disk, go_on, resume| {
            assert_eq!(needed(disk * MIB, Enough::GoingOn), go_on * MIB);
            assert_eq!(needed(disk * MIB, Enough::Resuming), resume * MIB);
        };
        check(64, 4, 8);
        check(512, 32, 64);
        check(1 << 20, 32, 64);
        // A system that does not say how large its disk is never looks full.
        check(0, 0, 0);
    }
}
