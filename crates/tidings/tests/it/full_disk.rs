//! A disk that is full: events are refused, everything else goes on, nothing acknowledged is lost, and
//! with room the server goes on by itself.
//!
//! The data directory is a small file system in memory, which only root may mount. Without that right
//! these tests say so and do nothing.

use crate::{
    load::{catalog, partner_id, write_event},
    support::{
        http::{Reply, get, send},
        partner::Partner,
        poll,
        server::{Home, Server},
    },
};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// How long an answer may take while the disk is full, and how long it may take to go on. Far more
/// than either takes on a machine that is not busy.
const ANSWER_MAX: Duration = Duration::from_secs(1);
const RESUME_MAX: Duration = Duration::from_secs(10);
const DEVICES_PER_REQUEST: usize = 100;

/// A file system in memory, until it is dropped.
struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one at `path`; `None` when this user may not.
    fn mount(path: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self {
                path: path.to_owned(),
            }),
            other => {
                eprintln!("NOT TESTED: a file system cannot be mounted here: {other:?}");
                None
            }
        }
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(&[1; 1 << 16]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }

    /// Gives it back.
    fn empty(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    /// Makes the file system larger.
    fn grow(&self, size: &str) {
        let grown = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(&self.path)
            .status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a server that a failed test leaves behind may still hold files.
        let unmounted = Command::new("umount").arg("-l").arg(&self.path).status();
        assert!(unmounted.unwrap().success());
    }
}

/// Sends events of new devices and remembers those that were acknowledged.
#[derive(Default)]
struct Sender {
    next: usize,
    acknowledged: Vec<usize>,
}

impl Sender {
    async fn send(&mut self, server: &Server) -> Reply {
        let devices = self.next..self.next + DEVICES_PER_REQUEST;
        self.next = devices.end;
        let mut events = String::new();
        for device in devices.clone() {
            write_event(&mut events, device, 1, None);
        }
        let sent = Instant::now();
        let reply = server.post_events(&events).await;
        match reply.status.as_u16() {
            200 => self.acknowledged.extend(devices),
            503 => {
                assert_eq!(reply.headers["retry-after"], "1");
                assert!(
                    reply.shown().contains("the disk is full"),
                    "{}",
                    reply.shown()
                );
            }
            _ => panic!("{}", reply.shown()),
        }
        assert!(
            sent.elapsed() < ANSWER_MAX + Duration::from_secs(1),
            "{:?}",
            sent.elapsed()
        );
        reply
    }

    async fn until(&mut self, server: &Server, status: u16) {
        poll(&format!("an answer with {status}"), async || {
            (self.send(server).await.status == status).then_some(())
        })
        .await;
    }

    /// Waits until the partner was told of every device that was acknowledged.
    async fn wait_until_told(&self, partner: &Partner) {
        assert!(self.acknowledged.len() >= DEVICES_PER_REQUEST);
        poll("everything acknowledged to be told", async || {
            let told = |device: &usize| partner.state(&partner_id(*device), 101) == Some(true);
            self.acknowledged.iter().all(told).then_some(())
        })
        .await;
    }
}

/// Reads and the private side stay up.
async fn check_admin(server: &Server, is_full: bool) {
    let ready = if is_full {
        "503 the disk is full\n"
    } else {
        "200 ready\n"
    };
    for (path, expected) in [("/healthz", "200 ok\n"), ("/readyz", ready)] {
        let asked = Instant::now();
        assert_eq!(send(server.admin, get(path)).await.shown(), expected);
        assert!(
            asked.elapsed() < ANSWER_MAX,
            "{path}: {:?}",
            asked.elapsed()
        );
    }
    assert_eq!(server.status().await["disk_full"], is_full);
}

#[tokio::test(flavor = "multi_thread")]
async fn is_survived_without_a_restart() {
    let cycles = std::env::var("TIDINGS_TEST_FULL_DISKS").map_or(5, |text| text.parse().unwrap());
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&[&partner]), &[&partner]);
    let Some(disk) = Disk::mount(&home.data(), "64m") else {
        return;
    };
    let mut server = home.start().await;
    let mut sender = Sender::default();
    let mut longest = Duration::ZERO;
    for cycle in 0..cycles {
        sender.until(&server, 200).await;
        check_admin(&server, false).await;
        disk.fill();
        sender.until(&server, 503).await;
        for _ in 0..10 {
            assert_eq!(sender.send(&server).await.status, 503);
        }
        check_admin(&server, true).await;
        if cycle == 1 {
            // Nobody has to wait for room to be able to stop.
            server.terminate();
            assert_eq!(server.ended().await.code(), Some(1));
            disk.empty();
            server = home.start().await;
            continue;
        }
        if cycle == 2 {
            server.kill().await;
            disk.empty();
            server = home.start().await;
            continue;
        }
        disk.empty();
        let emptied = Instant::now();
        sender.until(&server, 200).await;
        longest = longest.max(emptied.elapsed());
    }
    assert!(longest < RESUME_MAX, "{longest:?}");
    eprintln!("{cycles} full disks; went on {longest:?} after there was room, at the latest");
    sender.wait_until_told(&partner).await;
    check_admin(&server, false).await;
    server.stop().await;
    // Nor is anything missing on the disk.
    let server = home.start().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_the_server_fills_itself_is_survived_too() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&[&partner]), &[&partner]);
    let Some(disk) = Disk::mount(&home.data(), "4m") else {
        return;
    };
    let server = home.start().await;
    let mut sender = Sender::default();
    sender.until(&server, 503).await;
    check_admin(&server, true).await;
    disk.grow("64m");
    sender.until(&server, 200).await;
    sender.wait_until_told(&partner).await;
    check_admin(&server, false).await;
    server.stop().await;
    home.start().await.stop().await;
}
