//! The system under measurement: a released server, a released reference receiver, each a process of
//! its own, and a second receiver inside this process whose receipts can be timed.
//!
//! The server's two destinations differ in nothing but the receiver and the segment they are told
//! about. Everything lies in one temporary directory that goes with the site.

use crate::{client::Connection, process::Process};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;
use tidings_benches::catalog::{self, SIGNING_KEY};
use tidings_receiver::{Observer, ReceiverSettings, Running, VerifySpec};

/// What receivers check, without the key.
const SIGNATURE: &str = "X-Signature:sha256:plain:";

/// Everything that runs. Dropping it ends the processes, then removes the directory.
pub(crate) struct Site {
    pub(crate) server: Process,
    pub(crate) receiver: Process,
    /// Takes what the server tells the timed destination.
    pub(crate) timed: Running,
    /// The counts of `receiver`.
    stats: Connection,
    collect: SocketAddr,
    directory: TempDir,
}

/// The counts of a receiver that matter here.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Receipts {
    /// Messages taken.
    pub(crate) messages: u64,
    /// User objects in them.
    pub(crate) users: u64,
    /// Messages that came before: an answer was lost or late, and the server tried again.
    pub(crate) duplicates: u64,
    bad_signatures: u64,
    invalid: u64,
}

impl Receipts {
    /// What came that should not have; a retry is no fault.
    pub(crate) fn faults(&self) -> Option<String> {
        (self.bad_signatures + self.invalid > 0).then(|| format!("{self:?}"))
    }
}

/// Bytes that the data directory takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DiskBytes {
    /// All of it.
    pub(crate) all: u64,
    /// The part of it in journals, whose size is bounded however many profiles there are.
    pub(crate) journals: u64,
}

impl Site {
    /// Starts everything; `observer` is shown what the timed destination is told.
    pub(crate) async fn start(
        program: &Path,
        directory: TempDir,
        observer: Observer,
    ) -> Result<Self> {
        let tls = directory.path().join("tls");
        let timed = tidings_receiver::start(ReceiverSettings {
            tls_dir: Some(tls.clone()),
            verify: vec![
                format!("{SIGNATURE}{SIGNING_KEY}")
                    .parse::<VerifySpec>()?
                    .with_key(SIGNING_KEY.as_bytes()),
            ],
            on_request: Some(observer),
            ..ReceiverSettings::default()
        })
        .await?;
        let (receiver, address) = start_receiver(program, &tls).await?;
        let stats = Connection::tls(address, timed.ca_pem().as_bytes()).await?;
        let urls = [format!("https://{address}"), timed.url()];
        let (server, collect) = start_server(program, directory.path(), &urls).await?;
        Ok(Self {
            server,
            receiver,
            timed,
            stats,
            collect,
            directory,
        })
    }

    /// Opens connections for events.
    pub(crate) async fn connect(&self, count: usize) -> Result<Vec<Connection>> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(Connection::plain(self.collect).await?);
        }
        Ok(connections)
    }

    /// What the receiver that is a process of its own has taken.
    pub(crate) async fn receipts(&mut self) -> Result<Receipts> {
        let counts = self.stats.get(tidings_receiver::STATS_PATH).await?;
        serde_json::from_slice(&counts).context("reading the receiver's counts")
    }

    /// What the timed receiver has taken.
    pub(crate) fn timed_receipts(&self) -> Receipts {
        let stats = self.timed.stats();
        Receipts {
            messages: stats.messages,
            users: stats.users,
            bad_signatures: stats.bad_signatures,
            invalid: stats.invalid,
            duplicates: stats.duplicates,
        }
    }

    /// What the server's data takes on disk now.
    pub(crate) fn disk_bytes(&self) -> Result<DiskBytes> {
        let mut bytes = DiskBytes::default();
        add_disk_bytes(&self.directory.path().join("data"), &mut bytes)?;
        Ok(bytes)
    }

    /// Stops everything in order; an error when a program does not stop as it should.
    pub(crate) async fn stop(self) -> Result<()> {
        self.server.stop().await?;
        self.receiver.stop().await?;
        self.timed.shutdown().await;
        self.directory
            .close()
            .context("removing the temporary directory")
    }
}

async fn start_receiver(program: &Path, tls: &Path) -> Result<(Process, SocketAddr)> {
    let mut command = Command::new(program);
    command
        .args(["receiver", "--listen", "127.0.0.1:0", "--tls-dir"])
        .arg(tls)
        .args(["--verify", &format!("{SIGNATURE}{SIGNING_KEY}")]);
    let mut receiver = Process::start("receiver", &mut command)?;
    let address = receiver
        .wait_for("its address", |log| {
            log.iter().find_map(|line| {
                let line: LogLine = serde_json::from_str(line).ok()?;
                line.address?.parse().ok()
            })
        })
        .await?;
    Ok((receiver, address))
}

/// A line of the log of a tidings program.
#[derive(Deserialize)]
struct LogLine {
    address: Option<String>,
}

/// `addresses.json`, which the server writes once it listens.
#[derive(Deserialize)]
struct Addresses {
    collect: SocketAddr,
}

async fn start_server(
    program: &Path,
    directory: &Path,
    urls: &[String; 2],
) -> Result<(Process, SocketAddr)> {
    let config = directory.join("tidings.toml");
    fs::write(&config, CONFIG)?;
    fs::write(directory.join("catalog.yaml"), catalog::text(urls))?;
    let mut command = Command::new(program);
    command.args(["serve", "--config"]).arg(&config);
    let mut server = Process::start("server", &mut command)?;
    let addresses = directory.join("data").join("addresses.json");
    let addresses: Addresses = server
        .wait_for("its addresses", |_| {
            serde_json::from_slice(&fs::read(&addresses).ok()?).ok()
        })
        .await?;
    let ip: IpAddr = addresses.collect.ip();
    Ok((server, SocketAddr::new(ip, addresses.collect.port())))
}

const CONFIG: &str = r#"data_dir = "data"
catalog = "catalog.yaml"
[collect]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[delivery]
ca_file = "tls/ca.pem"
dangerous_allow_private_addresses = true
"#;

fn add_disk_bytes(path: &PathBuf, bytes: &mut DiskBytes) -> Result<()> {
    let facts = match fs::symlink_metadata(path) {
        Ok(facts) => facts,
        // The server removes old files while we look.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    if facts.is_dir() {
        for entry in fs::read_dir(path)? {
            add_disk_bytes(&entry?.path(), bytes)?;
        }
    }
    // Blocks of /proc and stat are of 512 bytes, whatever the file system's are.
    let taken = facts.blocks() * 512;
    bytes.all += taken;
    if path.extension().is_some_and(|extension| extension == "jnl") {
        bytes.journals += taken;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_files_and_names_journals() {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("db")).unwrap();
        fs::write(directory.path().join("db/0.jnl"), [1; 9_000]).unwrap();
        fs::write(directory.path().join("db/1"), [1; 5_000]).unwrap();
        let mut bytes = DiskBytes::default();
        add_disk_bytes(&directory.path().to_owned(), &mut bytes).unwrap();
        assert!(bytes.journals >= 9_000);
        assert!(bytes.all >= bytes.journals + 5_000);
    }

    #[test]
    fn bad_receipts_are_faults() {
        let good = Receipts {
            users: 5,
            duplicates: 1,
            ..Receipts::default()
        };
        assert_eq!(good.faults(), None);
        let bad = Receipts { invalid: 1, ..good };
        assert!(bad.faults().is_some());
    }
}
