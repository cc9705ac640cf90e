//! The server as a process of its own, in a temporary directory that goes with it, and the receivers
//! that it tells.

use crate::{client::Connection, process::Process};
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;
use std::{fmt::Write as _, fs, net::SocketAddr, path::Path, process::Command, time::Duration};
use tempfile::TempDir;
use tidings_receiver::{Observer, ReceiverSettings, Running};

/// What runs. Dropping it ends the server, then removes the directory.
pub(crate) struct Site {
    pub(crate) server: Process,
    pub(crate) receivers: Vec<Running>,
    addresses: Addresses,
    _directory: TempDir,
}

/// `addresses.json`, which the server writes once it listens.
#[derive(Debug, Deserialize)]
struct Addresses {
    collect: SocketAddr,
    admin: SocketAddr,
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
[log]
level = "error"
"#;

impl Site {
    /// Starts a receiver per observer and a server that tells each of them about a segment of its own:
    /// destination n, from 1, about segment n, which trait n makes.
    pub(crate) async fn start(
        program: &Path,
        observers: Vec<Observer>,
        linger: &str,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let tls = directory.path().join("tls");
        let mut receivers = Vec::with_capacity(observers.len());
        for observer in observers {
            let settings = ReceiverSettings {
                tls_dir: Some(tls.clone()),
                on_request: Some(observer),
                ..ReceiverSettings::default()
            };
            receivers.push(tidings_receiver::start(settings).await?);
        }
        let config = directory.path().join("tidings.toml");
        fs::write(&config, CONFIG)?;
        let catalog = catalog(&receivers, linger)?;
        fs::write(directory.path().join("catalog.yaml"), catalog)?;
        let mut command = Command::new(program);
        command.args(["serve", "--config"]).arg(&config);
        let mut server = Process::start("server", &mut command)?;
        let path = directory.path().join("data").join("addresses.json");
        let addresses = server
            .wait_for("its addresses", |_| {
                serde_json::from_slice(&fs::read(&path).ok()?).ok()
            })
            .await?;
        Ok(Self {
            server,
            receivers,
            addresses,
            _directory: directory,
        })
    }

    /// A connection for events.
    pub(crate) async fn collect(&self) -> Result<Connection> {
        Connection::plain(self.addresses.collect).await
    }

    /// A page of the admin side.
    pub(crate) async fn admin(&self, path: &str) -> Result<Value> {
        let mut connection = Connection::plain(self.addresses.admin).await?;
        Ok(serde_json::from_slice(&connection.get(path).await?)?)
    }

    /// Waits until the figures of a destination are as wanted.
    pub(crate) async fn wait_for(
        &self,
        id: usize,
        most: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let path = format!("/v1/destinations/{id}");
        let wait = async {
            loop {
                let figures = self.admin(&path).await?;
                if wanted(&figures) {
                    return Ok(figures);
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let waited = tokio::time::timeout(most, wait).await;
        waited.with_context(|| format!("destination {id} is not as wanted after {most:?}"))?
    }

    /// Bytes that the server has resident.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.context("no VmRSS in /proc")?.parse()?;
        Ok(kib * 1024)
    }

    /// Stops everything in order.
    pub(crate) async fn stop(self) -> Result<()> {
        self.server.stop().await?;
        for receiver in self.receivers {
            receiver.shutdown().await;
        }
        Ok(())
    }
}

fn catalog(receivers: &[Running], linger: &str) -> Result<String> {
    let mut text =
        String::from("data_sources: [{ id: 501, name: Cookies, kind: cookie }]\ntraits:\n");
    for (index, _) in receivers.iter().enumerate() {
        writeln!(text, "  - {{ id: {0}, name: T{0} }}", index + 1)?;
    }
    text += "segments:\n";
    for (index, _) in receivers.iter().enumerate() {
        writeln!(
            text,
            "  - {{ id: {0}, name: S{0}, rule: '{0}T' }}",
            index + 1
        )?;
    }
    writeln!(text, "limits: {{ destinations: {} }}", receivers.len())?;
    text += "destinations:\n";
    for (index, receiver) in receivers.iter().enumerate() {
        writeln!(
            text,
            "  - {{ id: {0}, name: D{0}, client_id: \"7\", url: \"{1}\", id_data_sources: [501], \
             mappings: [{{ segment: {0} }}], max_linger: {linger} }}",
            index + 1,
            receiver.url(),
        )?;
    }
    Ok(text)
}

/// The line of one event: a device gets or loses a trait.
pub(crate) fn event(line: &mut String, device: usize, trait_id: usize, gets: Gets) {
    let member = match gets {
        Gets::Trait => "traits",
        Gets::Nothing => "remove_traits",
    };
    let written = writeln!(
        line,
        r#"{{"uuid":"{device:038}","{member}":[{trait_id}],"ids":[{{"data_source":501,"id":"p{device}"}}]}}"#
    );
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

/// Whether a device gets a trait or loses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gets {
    Trait,
    Nothing,
}

impl Gets {
    /// Every other round a device loses what it got.
    pub(crate) fn in_round(round: usize) -> Self {
        if round.is_multiple_of(2) {
            Self::Trait
        } else {
            Self::Nothing
        }
    }
}

/// The device that a partner id stands for.
pub(crate) fn device_of(id: &str) -> Option<usize> {
    id.strip_prefix('p')?.parse().ok()
}
