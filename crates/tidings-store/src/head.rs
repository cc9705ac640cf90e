//! The head: how far the commits go, kept in the database and again in a file beside it.
//!
//! The backend cuts what it takes for a torn end of its journal, and a damaged length in the middle looks
//! the same (`journal.rs` looks first). So every commit writes its sequence number and a hash over all commits so far, in its own
//! batch; and once the commit is synced, the same goes into the file `head`, before the commit is
//! acknowledged. When the directory is opened, a database that ends before its file has lost
//! acknowledged commits, and says how many.
//!
//! ```text
//! row `m/head`, 16 bytes:   seq u64 LE | hash u64 LE
//! file `head`, two slots of 32 bytes, written in turn:
//!     "TDH1" | epoch u32 LE | seq u64 LE | hash u64 LE | xxh3 of the 24 bytes before, u64 LE
//! ```
//!
//! Invariant: the file never runs ahead of a synced commit. It is not synced itself, so that a commit
//! costs one sync: after `kill -9` it is complete, after a power cut it may lag behind, which means no
//! more than that fewer lost commits would be noticed. A slot torn by a power cut is skipped.

use crate::{codec::bytes::Reader, error::StoreError};
use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// How far the commits of a store go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The sequence number of the last commit; 0 before the first.
    pub seq: u64,
    /// A hash over all commits, in order.
    pub hash: u64,
}

impl Head {
    /// Bytes of the row `m/head`.
    pub(crate) const LENGTH: usize = 16;

    /// The head after a commit of these operations.
    pub(crate) fn after(self, operations: &[u8]) -> Self {
        Self {
            seq: self.seq + 1,
            hash: xxh3_64_with_seed(operations, self.hash),
        }
    }

    pub(crate) fn encode(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        let (seq, hash) = bytes.split_at_mut(8);
        seq.copy_from_slice(&self.seq.to_le_bytes());
        hash.copy_from_slice(&self.hash.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, crate::codec::DecodeError> {
        let mut reader = Reader::new(bytes);
        let seq = u64::from_le_bytes(reader.array("seq")?);
        let hash = u64::from_le_bytes(reader.array("hash")?);
        reader.end("head")?;
        Ok(Self { seq, hash })
    }
}

/// What a slot of the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) epoch: u32,
    pub(crate) head: Head,
}

const MAGIC: [u8; 4] = *b"TDH1";
const SLOT: usize = 32;

impl Record {
    fn encode(self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        let parts = [&MAGIC[..], &self.epoch.to_le_bytes(), &self.head.encode()].concat();
        let (body, sum) = bytes.split_at_mut(SLOT - 8);
        body.copy_from_slice(&parts);
        sum.copy_from_slice(&xxh3_64(body).to_le_bytes());
        bytes
    }

    /// `None` for a slot that was never written, is torn or damaged.
    fn decode(bytes: &[u8; SLOT]) -> Option<Self> {
        let (body, sum) = bytes.split_at(SLOT - 8);
        if sum != xxh3_64(body).to_le_bytes() {
            return None;
        }
        let mut reader = Reader::new(body);
        let magic: [u8; 4] = reader.array("magic").ok()?;
        let epoch = u32::from_le_bytes(reader.array("epoch").ok()?);
        let head = Head::decode(reader.rest()).ok()?;
        (magic == MAGIC).then_some(Self { epoch, head })
    }
}

/// The file `head`, open for writing.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: File,
    path: PathBuf,
    /// Offset of the slot to write next: not that of the newest record.
    next: u64,
}

impl HeadFile {
    /// Opens or makes the file, and reads its newest record; `None` when it has none.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Option<Record>), StoreError> {
        let path = dir.join("head");
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options
            .open(&path)
            .map_err(StoreError::file("open", &path))?;
        let mut newest: Option<(Record, u64)> = None;
        let mut offset = 0;
        for _ in 0..2 {
            let mut slot = [0; SLOT];
            // A slot past the end of the file was never written.
            let read = file.read_exact_at(&mut slot, offset).ok();
            if let Some(record) = read.and_then(|()| Record::decode(&slot)) {
                let newer = |(other, _): (Record, u64)| {
                    (record.head.seq, record.epoch) > (other.head.seq, other.epoch)
                };
                if newest.is_none_or(newer) {
                    newest = Some((record, offset));
                }
            }
            offset += SLOT as u64;
        }
        let next = match newest {
            Some((_, 0)) => SLOT as u64,
            _ => 0,
        };
        let head_file = Self { file, path, next };
        Ok((head_file, newest.map(|(record, _)| record)))
    }

    /// Writes the record over the older of the two, without a sync.
    pub(crate) fn write(&mut self, record: Record) -> Result<(), StoreError> {
        self.file
            .write_all_at(&record.encode(), self.next)
            .map_err(StoreError::file("write", &self.path))?;
        self.next = SLOT as u64 - self.next;
        Ok(())
    }

    /// Makes what was written, and the file itself, survive a power cut.
    pub(crate) fn sync(&self, dir: &Path) -> Result<(), StoreError> {
        let synced = self.file.sync_all();
        synced.map_err(StoreError::file("sync", &self.path))?;
        sync_directory(dir)
    }
}

/// Makes the names in a directory survive a power cut.
pub(crate) fn sync_directory(dir: &Path) -> Result<(), StoreError> {
    let opened = File::open(dir).and_then(|file| file.sync_all());
    opened.map_err(StoreError::file("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(epoch: u32, seq: u64) -> Record {
        let hash = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Record {
            epoch,
            head: Head { seq, hash },
        }
    }

    /// Writes the records, damages the file, and expects `expected` to be found.
    #[track_caller]
    fn check(records: &[Record], damage: impl FnOnce(&mut Vec<u8>), expected: Option<Record>) {
        let dir = tempfile::tempdir().unwrap();
        for record in records {
            // Opening anew each time must not change whose turn it is.
            let (mut file, _) = HeadFile::open(dir.path()).unwrap();
            file.write(*record).unwrap();
        }
        let path = dir.path().join("head");
        let mut bytes = std::fs::read(&path).unwrap_or_default();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(HeadFile::open(dir.path()).unwrap().1, expected);
    }

    #[test]
    fn the_newest_record_that_is_whole_counts() {
        let records = [record(1, 0), record(1, 1), record(1, 2), record(2, 2)];
        check(&[], |_| {}, None);
        check(&records[..1], |_| {}, Some(records[0]));
        check(&records[..3], |_| {}, Some(records[2]));
        check(&records, |_| {}, Some(records[3]));
        check(&records[..3], |file| file.truncate(40), Some(records[2]));
        check(&records[..2], |file| file.truncate(40), Some(records[0]));
        check(&records[..3], |file| file[3] ^= 1, Some(records[1]));
        check(&records[..3], |file| file[31] ^= 1, Some(records[1]));
        check(&records[..1], |file| file.fill(0), None);
    }

    #[test]
    fn the_bytes_stay_as_they_are() {
        let hex: String = record(7, 513)
            .encode()
            .map(|byte| format!("{byte:02x}"))
            .concat();
        insta::assert_snapshot!(hex, @"5444483107000000010200000000000015a64214b8ec2a0d97f0b0924a5c3d23");
    }

    #[test]
    fn the_hash_depends_on_all_commits_and_their_order() {
        let head = |commits: &[&[u8]]| commits.iter().fold(Head::default(), |h, c| h.after(c));
        let heads = [
            head(&[b"a", b"b"]),
            head(&[b"b", b"a"]),
            head(&[b"", b"ab"]),
        ];
        assert!(heads[0] != heads[1] && heads[1] != heads[2] && heads[0] != heads[2]);
        assert_eq!(heads.map(|head| head.seq), [2, 2, 2]);
    }
}
