//! A process that is killed in the middle of its commits.
//!
//! The killed process is this test binary itself, run again with [`child`] alone.

use crate::support::{commit, device, fill, open, verify};
use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tidings_store::{Batch, StoreError};

const CHILD_DIR: &str = "TIDINGS_STORE_TEST_CHILD_DIR";
/// How often a process is killed; 10 unless set.
const KILLS: &str = "TIDINGS_STORE_TEST_KILLS";

/// Not a test by itself: commits until it is killed, and prints each number once it is acknowledged.
#[test]
fn child() {
    let Some(dir) = env::var_os(CHILD_DIR) else {
        return;
    };
    let store = open(Path::new(&dir)).unwrap();
    let mut out = std::io::stdout();
    let mut batch = Batch::new();
    loop {
        fill(&mut batch, store.next_seq());
        let seq = store.commit(&batch).unwrap();
        writeln!(out, "\nacknowledged {seq}").unwrap();
        out.flush().unwrap();
    }
}

fn spawn(dir: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Numbers that a child acknowledges, as they come.
fn acknowledged(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.filter_map(|line| line.unwrap().strip_prefix("acknowledged ")?.parse().ok())
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let kills = env::var(KILLS).map_or(10, |text| text.parse().unwrap());
    let mut last = 0;
    for round in 0..kills {
        let mut child = spawn(dir.path());
        let mut numbers = acknowledged(&mut child);
        // Another moment every time, from the first commit to after a few memtables.
        let commits = 1 + round * 37 % 200;
        last = numbers.nth(commits).unwrap();
        child.kill().unwrap();
        // What it still had acknowledged when it was hit counts too.
        last = numbers.last().unwrap_or(last);
        child.wait().unwrap();

        let store = open(dir.path()).unwrap();
        assert!(store.head().seq >= last, "{:?} after {last}", store.head());
        assert!(store.recovery().head_checked);
        assert_eq!(
            u64::from(store.epoch()),
            2 * u64::try_from(round).unwrap() + 2
        );
        verify(&store).unwrap();
        commit(&store, 1);
    }
    assert!(last > u64::try_from(kills).unwrap());
}

#[test]
fn a_second_process_is_refused_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn(dir.path());
    // Kept: a child that cannot print any more would end.
    let mut numbers = acknowledged(&mut child);
    numbers.next().unwrap();
    let start = Instant::now();
    let error = open(dir.path()).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(1));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        matches!(error, StoreError::InUse { pid, .. } if pid == Some(child.id())),
        "{error}"
    );
    let text = format!("is in use by process {}; stop it first", child.id());
    assert!(error.to_string().contains(&text), "{error}");
    open(dir.path()).unwrap().profile(&device(1)).unwrap();
}
