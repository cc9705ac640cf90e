//! Writes that fail: a full disk is waited for, anything else ends the store until it is opened again.

use super::*;
use crate::{ErrorKind, PendingRow, backend::FailAt};
use std::io;
use tidings_engine::Profile;
use tidings_model::{DestinationId, DeviceUuid, Timestamp};

fn uuid(number: u128) -> DeviceUuid {
    DeviceUuid::from_number(number).unwrap()
}

fn batch(number: u128) -> Batch {
    let mut batch = Batch::new();
    batch.put_profile(&uuid(number), &Profile::default());
    batch
}

fn open(dir: &Path) -> Store {
    Store::open(dir, &StoreSettings::default()).unwrap()
}

/// Lets the writes of a store fail from now on.
fn fail(store: &Store, at: FailAt, kind: io::ErrorKind) {
    *store.backend().unwrap().fault.lock().unwrap() = Some((at, kind));
}

/// The profiles that are there, out of the first ten.
fn profiles(store: &Store) -> Vec<u128> {
    let is_there = |number: &u128| store.profile(&uuid(*number)).unwrap().is_some();
    (0..10).filter(is_there).collect()
}

#[track_caller]
fn check_full(at: FailAt, kind: io::ErrorKind) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.commit(&batch(1)).unwrap(), 1);
    fail(&store, at, kind);
    let error = store.commit(&batch(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    // Reads go on. (After a failed sync this fault, other than the backend, shows what it has written.)
    assert_eq!((profiles(&store)[0], store.head().seq), (1, 1));
    if at == FailAt::Write {
        assert_eq!(profiles(&store), [1]);
    }
    // There is room, and there is another backend, which has no fault.
    assert_eq!(store.commit(&batch(2)).unwrap(), 2);
    assert_eq!(store.commit(&batch(3)).unwrap(), 3);
    let head = store.head();
    drop(store);
    let store = open(dir.path());
    assert_eq!((profiles(&store), store.head()), (vec![1, 2, 3], head));
    assert_eq!(store.recovery().lost_commits, 0);
}

#[test]
fn a_full_disk_ends_nothing() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        check_full(FailAt::Write, kind);
        check_full(FailAt::Sync, kind);
    }
}

/// A commit that takes rows of a log away, repeated when all of it is on disk already.
#[test]
fn what_a_full_disk_has_taken_is_written_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let settings = StoreSettings {
        profile_log_bytes: 0,
        ..StoreSettings::default()
    };
    let store = Store::open(dir.path(), &settings).unwrap();
    let (destination, pending) = (
        DestinationId(7),
        PendingRow {
            seq: 2,
            since: Timestamp(0),
        },
    );
    store.commit(&batch(1)).unwrap();
    let mut logged = Batch::new();
    logged.replace_profile(&uuid(1), &Profile::default());
    logged.put_profile(&uuid(2), &Profile::default());
    logged.put_pending(destination, &uuid(1), &pending);
    store.commit(&logged).unwrap();
    fail(&store, FailAt::Sync, io::ErrorKind::StorageFull);
    let mut deleted = batch(3);
    deleted.delete_profile(&uuid(2));
    let error = store.commit(&deleted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert_eq!(store.commit(&deleted).unwrap(), 3);
    let check = |store: &Store| {
        assert_eq!(profiles(store), [1, 3]);
        let pairs = store.pending(destination, None, 10).unwrap();
        assert_eq!(pairs, [(uuid(1), pending)]);
    };
    check(&store);
    drop(store);
    check(&open(dir.path()));
}

#[test]
fn a_failed_sync_ends_the_store_until_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(&batch(1)).unwrap();
    // The system's own code for what a disk answers that is about to die.
    let eio = io::Error::from_raw_os_error(5).kind();
    fail(&store, FailAt::Sync, eio);
    let error = store.commit(&batch(2)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    // Even if the disk has come to itself: nothing is written any more.
    *store.backend().unwrap().fault.lock().unwrap() = None;
    let again = store.commit(&batch(3)).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    assert_eq!((profiles(&store)[0], store.head().seq), (1, 1));
    drop(store);
    // The commit that failed may be there or not; what came after it is not.
    let store = open(dir.path());
    let there = profiles(&store);
    assert!(there == [1] || there == [1, 2], "{there:?}");
    assert_eq!(store.head().seq, there.len() as u64);
    assert_eq!(store.commit(&batch(3)).unwrap(), there.len() as u64 + 1);
}
