//! Acknowledged commits that are missing are named, and nothing is missing that is not named.

use crate::support::{commit, copy, open, settings, verify};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tidings_store::{ErrorKind, Store, StoreError, StoreSettings};

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

    let allowed = StoreSettings {
        dangerous_allow_loss: true,
        ..settings()
    };
    let store = Store::open(dir.path(), &allowed).unwrap();
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

/// The journal that is written to, and how many bytes of it are.
fn journal(dir: &Path) -> (PathBuf, u64) {
    let entries = fs::read_dir(dir.join("db")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let journals = paths.filter(|path| path.extension().is_some_and(|ext| ext == "jnl"));
    let path = journals.max().unwrap();
    let bytes = fs::read(&path).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (path, u64::try_from(written).unwrap())
}

/// What comes after a cut.
#[derive(Clone, Copy)]
enum After {
    Nothing,
    Zeros,
}

/// Cuts the journal and expects the loss to be named.
#[track_caller]
fn check_cut(original: &Path, keep: u64, after: After) {
    let dir = tempfile::tempdir().unwrap();
    copy(original, dir.path());
    let (path, written) = journal(dir.path());
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(keep).unwrap();
    if let After::Zeros = after {
        file.set_len(written + 4096).unwrap();
    }
    drop(file);
    match (open(dir.path()), after) {
        (Ok(store), _) => panic!("cut at {keep}: opened at {:?}", store.head()),
        (
            Err(StoreError::Lost {
                missing,
                found,
                acknowledged,
                ..
            }),
            _,
        ) => {
            assert_eq!((found + missing, acknowledged), (12, 12));
        }
        // Cut within the very first rows.
        (Err(StoreError::Missing { .. }), _) => assert!(keep < 300, "cut at {keep}"),
        // Zeros within an entry are a broken entry, which the backend does not take for an end.
        (Err(StoreError::Backend { .. }), After::Zeros) => {}
        (Err(error), _) => panic!("cut at {keep}: {error:?}"),
    }
}

#[test]
fn a_journal_that_is_cut_anywhere_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    commit(&store, 12);
    drop(store);
    let (_, written) = journal(dir.path());
    // Each of the last bytes, where the newest commits are, and some of all others.
    let tail = written - 40..written;
    for keep in (0..written - 40).step_by(211).chain(tail) {
        check_cut(dir.path(), keep, After::Nothing);
        check_cut(dir.path(), keep, After::Zeros);
    }
}
