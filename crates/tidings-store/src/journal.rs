//! The backend's journal, read before the backend does, so that a loss is named before anything is cut.
//!
//! At start the backend replays its journal files, the oldest first. What it cannot read in one of them
//! it takes for the end of that file, cuts it off for good, and goes on with the next file; some kinds
//! of damage it refuses. Three things follow, and are dealt with here:
//! - damage in an older file leaves a hole, which the newest head does not show: the heads of all commits
//!   in the journal must follow each other;
//! - intact commits behind a damaged one would be cut off before anyone knew: the loss is named first,
//!   and the files are left as they are;
//! - a commit that was being written when the power went may look damaged: it was not acknowledged, so
//!   it is cut off here, and does not keep the store from opening.
//!
//! ```text
//! file `db/N.jnl`: batches, then zeros.      batch: start, items, end
//! start  1 | items u32 LE | seqno u64 LE
//! item   2 | value type u8 | compression u8 | keyspace u64 LE | key bytes u16 LE | value bytes u32 LE |
//!        stored bytes u32 LE | key | stored value
//! clear  4 | keyspace u64 LE                 counts as an item
//! end    3 | xxh3 of the bytes of all items, u64 LE | "FJL" 3
//! ```
//! Source: version 3 of fjall's disk format. A file in another format has no batch that can be read here,
//! and is left to the backend.

use crate::{
    codec::{DecodeError, Problem, bytes::Reader},
    error::StoreError,
    head::Head,
    keys,
};
use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: [u8; 4] = *b"FJL\x03";

/// What the journal holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Journal {
    /// The sequence number of the last commit in it, if it has any.
    pub(crate) last: Option<u64>,
    /// The first commit that does not follow the one before it: that one, and itself.
    pub(crate) hole: Option<(u64, u64)>,
    /// The newest file has bytes behind its last whole batch.
    pub(crate) torn: Option<Torn>,
}

/// A journal file that does not end with a whole batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    path: PathBuf,
    /// Bytes up to the end of its last whole batch.
    whole: usize,
}

/// Reads all journal files of a database; nothing if there is no database.
///
/// # Cost
/// Reads each file into memory: the backend begins a new one after 64 MB and the memtable that is full
/// by then.
pub(crate) fn read(database: &Path) -> Result<Journal, StoreError> {
    let mut journal = Journal::default();
    let mut files = files(database)?;
    files.sort();
    for (_, path) in files {
        let bytes = fs::read(&path).map_err(StoreError::file("read", &path))?;
        let whole = journal.read_file(&bytes);
        let rest = bytes.get(whole..).unwrap_or_default();
        let torn = rest.iter().any(|byte| *byte != 0);
        journal.torn = torn.then_some(Torn { path, whole });
    }
    Ok(journal)
}

/// Journal files with their numbers.
fn files(database: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let entries = match fs::read_dir(database) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(StoreError::file("list", database))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(StoreError::file("list", database))?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| is_journal) {
            files.push((number, path));
        }
    }
    Ok(files)
}

impl Journal {
    /// Reads the batches of one file; returns how many bytes they have.
    fn read_file(&mut self, bytes: &[u8]) -> usize {
        let mut reader = Reader::new(bytes);
        let mut whole = 0;
        while let Ok(batch) = read_batch(&mut reader) {
            whole = reader.offset();
            let Some(head) = batch.head else {
                continue;
            };
            // A batch that opens the store repeats the head, or jumps where a loss was allowed.
            let follows = batch.opens || self.last.is_none_or(|last| head.seq == last + 1);
            if let (false, None, Some(last)) = (follows, self.hole, self.last) {
                self.hole = Some((last, head.seq));
            }
            self.last = Some(head.seq);
        }
        whole
    }
}

impl Torn {
    /// Copies the file to `journal.damaged` in the data directory, unless an earlier copy is there: for
    /// whoever tries to save what is behind the damage.
    pub(crate) fn set_aside(&self, dir: &Path) -> Result<(), StoreError> {
        let copy = dir.join("journal.damaged");
        if copy
            .try_exists()
            .map_err(StoreError::file("look for", &copy))?
        {
            return Ok(());
        }
        let copied = fs::copy(&self.path, &copy);
        copied.map(drop).map_err(StoreError::file("write", &copy))
    }

    /// Cuts off what is behind the last whole batch.
    pub(crate) fn cut(&self) -> Result<(), StoreError> {
        let whole = u64::try_from(self.whole).unwrap_or(u64::MAX);
        let file = OpenOptions::new().write(true).open(&self.path);
        file.and_then(|file| {
            file.set_len(whole)?;
            file.sync_all()
        })
        .map_err(StoreError::file("cut", &self.path))
    }
}

/// What a batch says about the store.
struct BatchSeen {
    head: Option<Head>,
    /// It is the one with which the store was opened.
    opens: bool,
}

fn read_batch(reader: &mut Reader<'_>) -> Result<BatchSeen, DecodeError> {
    const FIELD: &str = "batch";
    let fail = |reader: &Reader<'_>| Err(reader.fail(FIELD, Problem::OutOfRange));
    let mut seen = BatchSeen {
        head: None,
        opens: false,
    };
    if reader.u8(FIELD)? != START {
        return fail(reader);
    }
    let count = u32::from_le_bytes(reader.array(FIELD)?);
    reader.array::<8>(FIELD)?;
    let start = reader.offset();
    for _ in 0..count {
        match reader.u8(FIELD)? {
            ITEM => {
                let (key, value) = read_item(reader)?;
                if key == keys::HEAD {
                    // One that cannot be read is found when the database is open.
                    seen.head = Head::decode(value).ok();
                }
                seen.opens |= key == keys::EPOCH;
            }
            CLEAR => drop(reader.array::<8>(FIELD)?),
            _ => return fail(reader),
        }
    }
    let sum = xxh3_64(reader.since(start));
    if reader.u8(FIELD)? != END
        || reader.array(FIELD)? != sum.to_le_bytes()
        || reader.array(FIELD)? != MAGIC
    {
        return fail(reader);
    }
    Ok(seen)
}

/// Key and stored value of an item.
fn read_item<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    const FIELD: &str = "item";
    // Value type, compression and keyspace. The rows that are looked at are small ones, which are not
    // compressed, and there is one keyspace.
    reader.array::<10>(FIELD)?;
    let key_length = u16::from_le_bytes(reader.array(FIELD)?);
    reader.array::<4>(FIELD)?;
    let stored_length = u32::from_le_bytes(reader.array(FIELD)?);
    let stored_length = usize::try_from(stored_length).unwrap_or(usize::MAX);
    let key = reader.bytes(FIELD, key_length.into())?;
    Ok((key, reader.bytes(FIELD, stored_length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch as the backend writes it.
    fn batch(rows: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut items = Vec::new();
        for (key, value) in rows {
            let length = u32::try_from(value.len()).unwrap().to_le_bytes();
            items.extend([ITEM, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
            items.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
            items.extend([length, length].concat());
            items.extend([*key, value].concat());
        }
        let mut batch = vec![START];
        batch.extend(u32::try_from(rows.len()).unwrap().to_le_bytes());
        batch.extend([7; 8]);
        batch.extend(&items);
        batch.push(END);
        batch.extend(xxh3_64(&items).to_le_bytes());
        batch.extend(MAGIC);
        batch
    }

    fn commit(seq: u64) -> Vec<u8> {
        let head = Head { seq, hash: 0 }.encode();
        batch(&[(b"p\x817", &[0; 300]), (keys::HEAD, &head)])
    }

    fn opening(seq: u64) -> Vec<u8> {
        let head = Head { seq, hash: 0 }.encode();
        batch(&[(keys::EPOCH, &[1, 0, 0, 0]), (keys::HEAD, &head)])
    }

    /// Reads files of these contents; `torn` is the number of whole bytes.
    #[track_caller]
    fn check(files: &[&[Vec<u8>]], last: u64, hole: Option<(u64, u64)>, torn: Option<usize>) {
        let dir = tempfile::tempdir().unwrap();
        for (number, batches) in files.iter().enumerate() {
            // Numbers of two digits: the order of their texts is another.
            fs::write(
                dir.path().join(format!("{}.jnl", number + 9)),
                batches.concat(),
            )
            .unwrap();
        }
        let journal = read(dir.path()).unwrap();
        assert_eq!((journal.last, journal.hole), (Some(last), hole));
        assert_eq!(journal.torn.map(|torn| torn.whole), torn);
    }

    #[test]
    fn commits_follow_each_other_through_all_files() {
        let zeros = vec![0; 5_000];
        check(&[&[opening(0), commit(1)]], 1, None, None);
        check(
            &[
                &[commit(1), commit(2), zeros.clone()],
                &[commit(3), opening(3)],
            ],
            3,
            None,
            None,
        );
        check(
            &[&[commit(1)], &[opening(8), commit(9)], &[zeros]],
            9,
            None,
            None,
        );
    }

    #[test]
    fn a_hole_is_found() {
        let damaged = |seq| {
            let mut batch = commit(seq);
            batch[100] ^= 1;
            batch
        };
        check(
            &[&[commit(1), damaged(2), commit(3)], &[commit(4)]],
            4,
            Some((1, 4)),
            None,
        );
        check(
            &[&[commit(1)], &[commit(3)], &[commit(6)]],
            6,
            Some((1, 3)),
            None,
        );
        let whole = commit(1).len();
        check(&[&[commit(1), damaged(2), commit(3)]], 1, None, Some(whole));
    }

    #[test]
    fn a_torn_end_is_cut() {
        let (dir, whole) = (tempfile::tempdir().unwrap(), commit(1).len());
        let path = dir.path().join("0.jnl");
        let next = commit(2);
        for length in 1..next.len() {
            for zeros in [0, 40] {
                let bytes = [&commit(1)[..], &next[..length], &vec![0; zeros]].concat();
                fs::write(&path, bytes).unwrap();
                let journal = read(dir.path()).unwrap();
                assert_eq!((journal.last, journal.hole), (Some(1), None));
                let torn = journal.torn.expect("there is something behind the batch");
                assert_eq!(torn.whole, whole);
                torn.cut().unwrap();
                assert_eq!(fs::read(&path).unwrap(), commit(1));
            }
        }
    }

    #[test]
    fn no_database_has_no_journal() {
        let dir = tempfile::tempdir().unwrap();
        let journal = read(&dir.path().join("db")).unwrap();
        assert_eq!(journal, Journal::default());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
            place in 0..600usize,
        ) {
            Journal::default().read_file(&bytes);
            let mut file = [commit(1), commit(2)].concat();
            let tail = file.split_off(place.min(file.len()));
            bytes.extend(tail);
            file.extend(bytes);
            Journal::default().read_file(&file);
        }
    }
}
