//! Flipped bits: opening or reading fails with an error, or the data is what it was. Never a panic, never
//! other data.

use crate::support::{commit, copy, open, verify};
use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// Bits to flip in each file; 12 unless set.
const FLIPS: &str = "TIDINGS_STORE_TEST_FLIPS";

/// All files below `dir`, relative to it, in a fixed order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path().strip_prefix(dir).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

fn is_table(file: &Path) -> bool {
    file.starts_with("db/keyspaces/1/tables")
}

/// What came of a flip: the data is as it was, or there is an error.
#[derive(Debug, PartialEq)]
enum Outcome {
    Intact,
    Named(String),
}

fn open_and_verify(dir: &Path) -> Outcome {
    match open(dir).and_then(|store| verify(&store)) {
        Ok(()) => Outcome::Intact,
        Err(error) => Outcome::Named(format!("{error:?}")),
    }
}

#[test]
fn flipped_bits_are_named_or_do_no_harm() {
    let flips: usize = env::var(FLIPS).map_or(12, |text| text.parse().unwrap());
    let original = tempfile::tempdir().unwrap();
    let store = open(original.path()).unwrap();
    // Tables are written in the background, after this many commits of some 350 bytes or soon after.
    for _ in 0..100 {
        commit(&store, 100);
        if files(original.path()).iter().any(|file| is_table(file)) {
            break;
        }
    }
    commit(&store, 20);
    drop(store);
    let files = files(original.path());
    assert!(files.iter().any(|file| is_table(file)), "{files:?}");
    assert_eq!(open_and_verify(original.path()), Outcome::Intact);

    let (mut intact, mut named) = (0, 0);
    for file in files {
        let bytes = fs::read(original.path().join(&file)).unwrap_or_default();
        let length = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for flip in 0..flips.min(length * 8) {
            // Evenly over the file, and another bit each time.
            let (place, bit) = (flip * length / flips.min(length * 8), flip * 5 % 8);
            let dir = tempfile::tempdir().unwrap();
            copy(original.path(), dir.path());
            let mut bytes = bytes.clone();
            bytes[place] ^= 1 << bit;
            fs::write(dir.path().join(&file), bytes).unwrap();
            match catch_unwind(AssertUnwindSafe(|| open_and_verify(dir.path()))) {
                Ok(Outcome::Intact) => intact += 1,
                Ok(Outcome::Named(_)) => named += 1,
                Err(_) => panic!("bit {bit} of byte {place} of {}", file.display()),
            }
        }
    }
    assert!(
        named > intact / 4,
        "{named} named, {intact} intact: hardly any flip was seen"
    );
}
