//! A disk that runs full in the midst of a commit: all of it is written once there is room, or nothing.
//!
//! The disk is a file system in memory, which only root may mount. Without that right this test says so
//! and does nothing.

use crate::support::open;
use std::{path::Path, process::Command};
use tidings_engine::Profile;
use tidings_model::DeviceUuid;
use tidings_store::{Batch, ErrorKind, Store};

/// Makes a commit larger than what the store leaves alone of a small disk.
const PROFILES_PER_COMMIT: u128 = 4_000;

struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", options, "tmpfs"], dir.path()).then(|| Self(dir))
    }

    fn grow(&self, size: &str) {
        assert!(mount(
            &["-o", &format!("remount,size={size}")],
            self.0.path()
        ));
    }
}

fn mount(args: &[&str], path: &Path) -> bool {
    let output = Command::new("mount").args(args).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.unwrap().success());
    }
}

fn batch(number: u128) -> Batch {
    let mut batch = Batch::new();
    for device in number * PROFILES_PER_COMMIT..(number + 1) * PROFILES_PER_COMMIT {
        let uuid = DeviceUuid::from_number(device).unwrap();
        batch.put_profile(&uuid, &Profile::default());
    }
    batch
}

fn profiles(store: &Store) -> usize {
    store.profiles(None, usize::MAX).unwrap().len()
}

#[test]
fn a_commit_that_does_not_fit_is_made_when_there_is_room() {
    let Some(disk) = Disk::mount("size=2m") else {
        eprintln!("NOT TESTED: a file system cannot be mounted here");
        return;
    };
    let dir = disk.0.path().join("data");
    let store = open(&dir).unwrap();
    let mut done = 0;
    let full = loop {
        match store.commit(&batch(done)) {
            Ok(seq) => {
                done += 1;
                assert_eq!(u128::from(seq), done);
            }
            Err(error) => break error,
        }
        assert!(done < 1_000, "the disk has no end");
    };
    assert_eq!(full.kind(), ErrorKind::Full, "{full}");
    let per_commit = usize::try_from(PROFILES_PER_COMMIT).unwrap();
    let whole = |done: u128| usize::try_from(done).unwrap() * per_commit;
    // Nothing of it is seen, what was there is, and it stays so for as long as it is tried.
    for _ in 0..3 {
        assert_eq!(profiles(&store), whole(done));
        assert_eq!(
            store.commit(&batch(done)).unwrap_err().kind(),
            ErrorKind::Full
        );
    }
    disk.grow("256m");
    for _ in 0..3 {
        assert_eq!(u128::from(store.commit(&batch(done)).unwrap()), done + 1);
        done += 1;
        assert_eq!(profiles(&store), whole(done));
    }
    let head = store.head();
    drop(store);
    let store = open(&dir).unwrap();
    assert_eq!((store.head(), profiles(&store)), (head, whole(done)));
    assert_eq!(store.recovery().lost_commits, 0);
}
