//! Opening: what a new directory gets, who may open it, what is refused.

use crate::support::{commit, device, open, settings, verify};
use std::fs;
use tidings_engine::{IdKey, Profile, ProfileId};
use tidings_model::{AuthState, DataSourceId, DeviceUuid, RegionId, Timestamp};
use tidings_store::{Batch, ErrorKind, Head, Link, Recovery, Store, StoreError};

#[test]
fn a_new_directory_is_made_and_found_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a").join("b");
    let store = open(&dir).unwrap();
    assert_eq!((store.head(), store.epoch()), (Head::default(), 1));
    let found = Recovery {
        created: true,
        head_checked: false,
        ..Recovery::default()
    };
    assert_eq!(store.recovery(), found);
    commit(&store, 3);
    let head = store.head();
    assert_eq!(head.seq, 3);
    drop(store);

    let store = open(&dir).unwrap();
    assert_eq!((store.head(), store.epoch()), (head, 2));
    let found = Recovery {
        created: false,
        head_checked: true,
        ..Recovery::default()
    };
    assert_eq!(store.recovery(), found);
    verify(&store).unwrap();
}

#[test]
fn an_empty_batch_takes_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(store.commit(&Batch::new()).unwrap(), 1);
    assert_eq!(store.next_seq(), 2);
}

#[test]
fn a_second_opening_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    let own = std::process::id();
    assert!(matches!(error, StoreError::InUse { pid: Some(pid), .. } if pid == own));
    assert_eq!(error.kind(), ErrorKind::Conflict);
    drop(first);
    open(dir.path()).unwrap();
}

/// Rewrites rows of the store itself with the backend alone.
fn rewrite(dir: &std::path::Path, key: &str, value: Option<&[u8]>) {
    let database = fjall::Database::builder(dir.join("db")).open().unwrap();
    let keyspace = database.keyspace("tidings", || unreachable!()).unwrap();
    match value {
        Some(value) => keyspace.insert(key, value).unwrap(),
        None => keyspace.remove(key).unwrap(),
    }
}

#[track_caller]
fn check_refused(key: &str, value: Option<&[u8]>, kind: ErrorKind, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    rewrite(dir.path(), key, value);
    let error = open(dir.path()).unwrap_err();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    let text = text.replace(&dir.path().display().to_string(), "DIR");
    assert_eq!((error.kind(), text.as_str()), (kind, expected));
}

#[test]
fn what_cannot_be_read_is_refused() {
    check_refused(
        "m/format",
        Some(&6u32.to_le_bytes()),
        ErrorKind::Reject,
        "DIR has format 6, this version of tidings reads up to 5; run the version that wrote it, or a \
         newer one",
    );
    check_refused(
        "m/format",
        None,
        ErrorKind::Corrupt,
        "DIR has no row m/format: it is damaged, or not a store of tidings",
    );
    check_refused(
        "m/head",
        Some(&[1, 2, 3]),
        ErrorKind::Corrupt,
        "the row m/head is damaged: seq at byte 0 is cut short",
    );
}

/// The profiles of the first commit, in the log, which formats before 5 had not.
const FIRST_LOG_ROW: &str = "g\0\0\0\0\0\0\0\u{1}";

/// In format 3 each pending pair had a row of its own, as pairs that have waited for long still have.
#[test]
fn a_directory_of_format_3_keeps_its_pending_pairs() {
    let dir = tempfile::tempdir().unwrap();
    commit(&open(dir.path()).unwrap(), 200);
    rewrite(dir.path(), "m/format", Some(&3u32.to_le_bytes()));
    let store = open(dir.path()).unwrap();
    assert_eq!(store.recovery().upgraded_from, Some(3));
    verify(&store).unwrap();
}

/// In format 1 the row of an id held one device, and was never removed.
#[test]
fn a_directory_of_format_1_is_brought_up_to_the_present_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let (older, newer, deleted) = (device(1), device(2), device(3));
    let linked = |linked, at| {
        let id = ProfileId {
            key: IdKey(0),
            data_source: DataSourceId(7),
            id: "crm".into(),
            linked,
            state: AuthState::Unknown,
            linked_at: Timestamp(at),
        };
        Profile {
            ids: vec![id],
            ..Profile::default()
        }
    };
    let mut batch = Batch::new();
    batch.put_profile(&newer, &linked(true, 20));
    batch.put_profile(&older, &linked(true, 10));
    batch.put_profile(&deleted, &linked(false, 30));
    store.commit(&batch).unwrap();
    let head = store.head();
    drop(store);
    // version | device | time, as format 1 had it: folded, 30 is 60.
    let row = |uuid: &DeviceUuid| {
        let number = uuid.as_number().unwrap();
        [&[1][..], &number.to_be_bytes(), &[60]].concat()
    };
    rewrite(dir.path(), "i\u{1}\u{7}crm", Some(&row(&deleted)));
    rewrite(dir.path(), "i\u{1}\u{7}gone", Some(&row(&deleted)));
    rewrite(dir.path(), FIRST_LOG_ROW, None);
    rewrite(dir.path(), "m/format", Some(&1u32.to_le_bytes()));

    for upgraded_from in [Some(1), None] {
        let store = open(dir.path()).unwrap();
        assert_eq!(store.recovery().upgraded_from, upgraded_from);
        assert_eq!(store.head(), head);
        let links = store.links(DataSourceId(7), "crm").unwrap();
        let expected = [(&older, 10), (&newer, 20)].map(|(uuid, at)| Link {
            uuid: uuid.clone(),
            at: Timestamp(at),
        });
        assert_eq!(links, expected);
        assert_eq!(store.links(DataSourceId(7), "gone").unwrap(), []);
    }
}

/// In format 2 the profile of a deleted device stayed, with nothing in it but the flag.
#[test]
fn a_directory_of_format_2_gets_marks_for_deleted_devices() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let (deleted, opted_out, seen) = (device(0x1234_5678_9abc), device(2), device(3));
    let mut batch = Batch::new();
    let flagged = Profile {
        opted_out: true,
        last_seen: Timestamp(5),
        ..Profile::default()
    };
    let with_region = Profile {
        regions: vec![RegionId(9)],
        ..flagged.clone()
    };
    batch.put_profile(&deleted, &flagged);
    batch.put_profile(&opted_out, &with_region);
    batch.put_profile(&seen, &Profile::default());
    store.commit(&batch).unwrap();
    drop(store);
    rewrite(dir.path(), FIRST_LOG_ROW, None);
    rewrite(dir.path(), "m/format", Some(&2u32.to_le_bytes()));
    rewrite(dir.path(), "m/opt-out", None);

    for upgraded_from in [Some(2), None] {
        let store = open(dir.path()).unwrap();
        assert_eq!(store.recovery().upgraded_from, upgraded_from);
        assert_eq!(store.profile(&deleted).unwrap(), None);
        let bytes = deleted.as_number().unwrap().to_be_bytes();
        assert!(store.rows_with(&bytes, 1).unwrap().is_empty());
        assert_eq!(
            store.profile(&opted_out).unwrap(),
            Some(with_region.clone())
        );
        assert_eq!(store.profile(&seen).unwrap(), Some(Profile::default()));
        let marks = [&deleted, &opted_out, &seen].map(|uuid| store.device_mark(uuid));
        let marked = marks.map(|mark| store.opted_out(mark).unwrap());
        assert_eq!(marked, [true, false, false]);
    }
}

#[test]
fn a_directory_whose_making_was_cut_short_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let unfinished = dir.path().join("db.new");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("0.jnl"), "").unwrap();
    commit(&open(dir.path()).unwrap(), 1);
    assert!(!unfinished.exists());
}

#[test]
fn opt_outs_outlive_the_process_without_the_id() {
    let dir = tempfile::tempdir().unwrap();
    let data_source = DataSourceId(7);
    let mark = {
        let store = open(dir.path()).unwrap();
        let mark = store.opt_out_mark(data_source, "crm-of-a-person");
        assert!(!store.opted_out(mark).unwrap());
        let mut batch = Batch::new();
        batch.put_opt_out(mark);
        store.commit(&batch).unwrap();
        mark
    };
    let store = open(dir.path()).unwrap();
    assert_eq!(store.opt_out_mark(data_source, "crm-of-a-person"), mark);
    assert!(store.opted_out(mark).unwrap());
    let other = store.opt_out_mark(DataSourceId(8), "crm-of-a-person");
    assert!(!store.opted_out(other).unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = open(elsewhere.path()).unwrap();
    assert_ne!(elsewhere.opt_out_mark(data_source, "crm-of-a-person"), mark);
}

#[test]
fn a_file_in_the_way_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "").unwrap();
    let error = Store::open(&path, &settings()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.to_string(),
        format!("could not make {}", path.display())
    );
}
