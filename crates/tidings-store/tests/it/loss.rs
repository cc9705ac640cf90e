//! Acknowledged commits that are missing are named, and nothing is missing that is not named.

use crate::support::{commit, copy, open, settings, verify};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tidings_store::{ErrorKind, Store, StoreError, StoreSettings};

fn loss_allowed() -> StoreSettings {
    StoreSettings {
        dangerous_allow_loss: true,
        ..settings()
    }
}

fn replace(dir: &Path, older: &Path) {
    let database = dir.join("db");
    fs::remove_dir_all(&database).unwrap();
    copy(older, &database);
}

#[test]
fn an_older_database_under_a_newer_head_is_refused_until_loss_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let older = tempfile::tempdir().unwrap();
    commit(&open(dir.path()).unwrap(), 3);
    copy(&dir.path().join("db"), older.path());
    let store = open(dir.path()).unwrap();
    commit(&store, 5);
    let epoch = store.epoch();
    drop(store);
    replace(dir.path(), older.path());

    let error = open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    insta::assert_snapshot!(
        error.to_string().replace(&dir.path().display().to_string(), "DIR"),
        @"DIR has lost 5 acknowledged commits: it ends at commit 3, the last one acknowledged was 8; restore a backup, or go on without them by opening it with loss allowed"
    );

    let store = Store::open(dir.path(), &loss_allowed()).unwrap();
    assert_eq!(store.recovery().lost_commits, 5);
    assert!(store.epoch() > epoch);
    // The numbers of the lost commits were seen outside, so they are not given again.
    assert_eq!(store.next_seq(), 9);
    commit(&store, 1);
    drop(store);

    let store = open(dir.path()).unwrap();
    assert_eq!((store.head().seq, store.recovery().lost_commits), (9, 0));
}

#[test]
fn a_missing_database_under_a_head_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    commit(&open(dir.path()).unwrap(), 2);
    fs::remove_dir_all(dir.path().join("db")).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Lost {
                missing: 2,
                found: 0,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_database_with_another_past_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    commit(&open(dir.path()).unwrap(), 2);
    copy(dir.path(), other.path());
    commit(&open(dir.path()).unwrap(), 1);
    open(other.path())
        .unwrap()
        .commit(&tidings_store::Batch::new())
        .unwrap();
    replace(dir.path(), &other.path().join("db"));
    let error = open(dir.path()).unwrap_err();
    assert!(
        matches!(error, StoreError::Diverged { seq: 3, .. }),
        "{error}"
    );
}

#[test]
fn a_database_ahead_of_its_head_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    commit(&open(dir.path()).unwrap(), 2);
    let head = fs::read(dir.path().join("head")).unwrap();
    commit(&open(dir.path()).unwrap(), 2);
    fs::write(dir.path().join("head"), head).unwrap();
    verify(&open(dir.path()).unwrap()).unwrap();

    fs::remove_file(dir.path().join("head")).unwrap();
    let store = open(dir.path()).unwrap();
    assert!(!store.recovery().head_checked);
    verify(&store).unwrap();
}

/// The journal that is written to, and the bytes of it that are.
fn journal(dir: &Path) -> (PathBuf, Vec<u8>) {
    let entries = fs::read_dir(dir.join("db")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let journals = paths.filter(|path| path.extension().is_some_and(|ext| ext == "jnl"));
    let path = journals.max().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(written);
    (path, bytes)
}

/// Where the batches of a journal end.
fn ends(journal: &[u8]) -> Vec<usize> {
    let windows = journal.windows(4).enumerate();
    let ends = windows.filter(|(_, window)| window == b"FJL\x03");
    ends.map(|(place, _)| place + 4).collect()
}

/// Makes the journal these bytes, and expects the loss to be named and the journal left as it is.
#[track_caller]
fn check_lost(original: &Path, bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    copy(original, dir.path());
    let (path, _) = journal(dir.path());
    fs::write(&path, bytes).unwrap();
    match open(dir.path()).map(|store| store.head()) {
        Err(StoreError::Lost {
            missing,
            found,
            acknowledged,
            ..
        }) => {
            assert_eq!((found + missing, acknowledged), (12, 12));
        }
        // The very first rows are damaged: the backend has cut off everything.
        Err(StoreError::Missing { .. } | StoreError::Backend { .. }) => {
            let copied = fs::read(dir.path().join("journal.damaged")).unwrap_or_default();
            let nothing = bytes.iter().all(|byte| *byte == 0);
            assert!(nothing || copied == bytes, "{} bytes: no copy", bytes.len());
            return;
        }
        other => panic!("{} bytes: {other:?}", bytes.len()),
    }
    assert!(fs::read(&path).unwrap() == bytes, "the journal was changed");
}

#[test]
fn a_journal_that_is_cut_anywhere_is_named() {
    let dir = tempfile::tempdir().unwrap();
    commit(&open(dir.path()).unwrap(), 12);
    let (_, bytes) = journal(dir.path());
    // Each of the last bytes, where the newest commits are, and some of all others.
    let tail = bytes.len() - 40..bytes.len();
    for keep in (0..bytes.len() - 40).step_by(211).chain(tail) {
        let kept = &bytes[..keep];
        check_lost(dir.path(), kept);
        check_lost(dir.path(), &[kept, &[0; 4096]].concat());
        check_lost(
            dir.path(),
            &[kept, &[0; 40], &bytes[(keep + 40).min(bytes.len())..]].concat(),
        );
    }
}

#[test]
fn a_hole_in_an_older_journal_is_refused_until_loss_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    commit(&open(dir.path()).unwrap(), 12);
    let (path, bytes) = journal(dir.path());
    // Ends of the first rows, of the opening, and of 12 commits. Two files, as if the first was full
    // after 8 commits; and the sixth damaged.
    let ends = ends(&bytes);
    assert_eq!(ends.len(), 14);
    let mut older = bytes[..ends[9]].to_vec();
    // What makes the backend take it for the end, as in the place of a batch's first byte.
    older[ends[6]] ^= 4;
    fs::write(&path, older).unwrap();
    fs::write(path.with_file_name("1.jnl"), &bytes[ends[9]..]).unwrap();

    let error = open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    insta::assert_snapshot!(
        error.to_string().replace(&dir.path().display().to_string(), "DIR"),
        @"DIR has lost 3 acknowledged commits after commit 5: part of its journal is damaged; restore a backup, or go on without them by opening it with loss allowed"
    );
}

#[test]
fn a_hole_can_be_allowed() {
    let dir = tempfile::tempdir().unwrap();
    commit(&open(dir.path()).unwrap(), 12);
    let (path, bytes) = journal(dir.path());
    let ends = ends(&bytes);
    fs::write(&path, &bytes[..ends[6]]).unwrap();
    fs::write(path.with_file_name("1.jnl"), &bytes[ends[9]..]).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Hole {
                missing: 3,
                after: 5,
                ..
            }
        ),
        "{error}"
    );

    let store = Store::open(dir.path(), &loss_allowed()).unwrap();
    assert_eq!((store.recovery().lost_commits, store.head().seq), (3, 12));
    assert_eq!(
        store
            .pending(crate::support::DESTINATION, None, 20)
            .unwrap()
            .len(),
        9
    );
}

/// Appends bytes to the journal and expects the store to open as if they were not there.
#[track_caller]
fn check_torn(original: &Path, tail: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    copy(original, dir.path());
    let (path, bytes) = journal(dir.path());
    fs::write(&path, [&bytes, tail].concat()).unwrap();
    let store = open(dir.path()).unwrap();
    assert!(store.recovery().torn);
    verify(&store).unwrap();
    commit(&store, 1);
    drop(store);
    let store = open(dir.path()).unwrap();
    assert!(!store.recovery().torn);
    verify(&store).unwrap();
}

#[test]
fn a_commit_that_was_cut_short_is_no_loss() {
    let dir = tempfile::tempdir().unwrap();
    commit(&open(dir.path()).unwrap(), 3);
    let (_, bytes) = journal(dir.path());
    let ends = ends(&bytes);
    let batch = &bytes[ends[ends.len() - 2]..];
    for length in [1, 5, 13, 40, batch.len() / 2, batch.len() - 1] {
        check_torn(dir.path(), &batch[..length]);
    }
    // The end of it is there, but not all before: its pages were written in another order.
    for start in [20, 60, batch.len() / 2] {
        let mut torn = batch.to_vec();
        torn[start..start + 30].fill(0);
        check_torn(dir.path(), &torn);
    }
}
