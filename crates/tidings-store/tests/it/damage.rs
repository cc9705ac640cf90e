//! Flipped bits and files cut short: opening or reading fails with an error, or the data is what it was.
//! Never other data.
//!
//! Each damaged directory is opened by a process of its own, this test binary run again with [`child`]
//! alone, so that one that would end its process is seen too.

use crate::support::{commit, copy, open, verify};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Bits to flip in each file; 12 unless set.
const FLIPS: &str = "TIDINGS_STORE_TEST_FLIPS";
const CHILD_DIR: &str = "TIDINGS_STORE_TEST_DAMAGED_DIR";

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

/// What came of a flip.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// The data is as it was.
    Intact,
    /// There is an error.
    Named,
}

const INTACT: i32 = 40;
const NAMED: i32 = 41;

/// Not a test by itself: opens and verifies a damaged directory. Other data than there was fails it.
#[test]
fn child() {
    let Some(dir) = env::var_os(CHILD_DIR) else {
        return;
    };
    let result = open(Path::new(&dir)).and_then(|store| verify(&store));
    std::process::exit(if result.is_ok() { INTACT } else { NAMED });
}

fn open_and_verify(dir: &Path) -> Result<Outcome, String> {
    let child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "damage::child",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD_DIR, dir)
        .output()
        .unwrap();
    match child.status.code() {
        Some(INTACT) => Ok(Outcome::Intact),
        Some(NAMED) => Ok(Outcome::Named),
        _ => Err(String::from_utf8_lossy(&child.stderr).into_owned()),
    }
}

/// A store with all kinds of files.
fn store_with_tables() -> tempfile::TempDir {
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
    assert_eq!(open_and_verify(original.path()), Ok(Outcome::Intact));
    original
}

#[test]
fn files_cut_short_are_named_or_do_no_harm() {
    let original = store_with_tables();
    let (mut intact, mut named) = (0, 0);
    for file in files(original.path()) {
        let bytes = fs::read(original.path().join(&file)).unwrap_or_default();
        let length = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for cut in [0, length / 3, length * 2 / 3, length.saturating_sub(1)] {
            let dir = tempfile::tempdir().unwrap();
            copy(original.path(), dir.path());
            fs::write(dir.path().join(&file), &bytes[..cut]).unwrap();
            match open_and_verify(dir.path()) {
                Ok(Outcome::Intact) => intact += 1,
                Ok(Outcome::Named) => named += 1,
                Err(other) => panic!("{} cut to {cut} bytes: {other}", file.display()),
            }
        }
    }
    assert!(named > intact / 4, "{named} named, {intact} intact");
}

#[test]
fn flipped_bits_are_named_or_do_no_harm() {
    let flips: usize = env::var(FLIPS).map_or(12, |text| text.parse().unwrap());
    let original = store_with_tables();
    let files = files(original.path());
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
            match open_and_verify(dir.path()) {
                Ok(Outcome::Intact) => intact += 1,
                Ok(Outcome::Named) => named += 1,
                Err(other) => panic!("bit {bit} of byte {place} of {}: {other}", file.display()),
            }
        }
    }
    assert!(
        named > intact / 4,
        "{named} named, {intact} intact: hardly any flip was seen"
    );
}
