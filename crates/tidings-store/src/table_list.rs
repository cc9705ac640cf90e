//! The backend's lists of tables, checked before it trusts them.
//!
//! A keyspace `db/keyspaces/N` has a list of its tables for each of its versions, and a file that names the
//! current one. The backend writes a checksum of the list, but does not compare it: what a damaged list
//! does not name it takes for leftovers, and deletes; and a keyspace without a current list it deletes as a
//! whole. Here either is an error, and nothing is touched.
//!
//! ```text
//! file `current`:   version u64 LE | xxh3 of the list, u128 LE | 0
//! file `vVERSION`:  the list
//! ```
//! Source: version 3 of fjall's disk format.

use crate::{
    codec::{DecodeError, bytes::Reader},
    error::StoreError,
};
use std::{fs, path::Path};
use xxhash_rust::xxh3::xxh3_128;

/// The backend's own keyspace, which has the names of the others, and the one of the store.
const KEYSPACES: [&str; 2] = ["0", "1"];

/// Whether the lists of a database that was completely made are there and whole.
pub(crate) fn check(database: &Path) -> Result<(), StoreError> {
    KEYSPACES
        .iter()
        .try_for_each(|keyspace| check_keyspace(&database.join("keyspaces").join(keyspace)))
}

fn check_keyspace(keyspace: &Path) -> Result<(), StoreError> {
    let path = keyspace.join("current");
    let current = fs::read(&path).map_err(StoreError::file("read", &path))?;
    let Ok((version, sum)) = read_current(&current) else {
        return Err(StoreError::DamagedFile { path });
    };
    let path = keyspace.join(format!("v{version}"));
    let list = fs::read(&path).map_err(StoreError::file("read", &path))?;
    if xxh3_128(&list) != sum {
        return Err(StoreError::DamagedFile { path });
    }
    Ok(())
}

fn read_current(bytes: &[u8]) -> Result<(u64, u128), DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = u64::from_le_bytes(reader.array("version")?);
    let sum = u128::from_le_bytes(reader.array("checksum")?);
    reader.flags("kind of checksum", 0)?;
    reader.end("current version")?;
    Ok((version, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database whose second keyspace has these files.
    #[track_caller]
    fn check_files(current: Option<&[u8]>, list: Option<&[u8]>, expected: Result<(), &str>) {
        let dir = tempfile::tempdir().unwrap();
        for keyspace in KEYSPACES {
            let keyspace = dir.path().join("keyspaces").join(keyspace);
            fs::create_dir_all(&keyspace).unwrap();
            fs::write(keyspace.join("v3"), b"list").unwrap();
            fs::write(keyspace.join("current"), current_of(3, b"list")).unwrap();
        }
        for (name, contents) in [("current", current), ("v3", list)] {
            let path = dir.path().join("keyspaces/1").join(name);
            match contents {
                Some(contents) => fs::write(path, contents).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
        }
        let result = check(dir.path()).map_err(|error| error.to_string());
        let result = result.map_err(|text| text.replace(&dir.path().display().to_string(), "DB"));
        assert_eq!(result, expected.map_err(str::to_owned));
    }

    fn current_of(version: u64, list: &[u8]) -> Vec<u8> {
        let sum = xxh3_128(list).to_le_bytes();
        [&version.to_le_bytes()[..], &sum, &[0]].concat()
    }

    #[test]
    fn lists_must_be_there_and_whole() {
        let current = current_of(3, b"list");
        let damaged = "DB/keyspaces/1/v3 is damaged; restore a backup of the whole directory";
        check_files(Some(&current), Some(b"list"), Ok(()));
        check_files(Some(&current), Some(b"lisT"), Err(damaged));
        let damaged = "DB/keyspaces/1/current is damaged; restore a backup of the whole directory";
        check_files(Some(&current[..24]), Some(b"list"), Err(damaged));
        let absent = Err("could not read DB/keyspaces/1/current");
        check_files(None, Some(b"list"), absent);
        let absent = Err("could not read DB/keyspaces/1/v3");
        check_files(Some(&current), None, absent);
    }
}
