//! A running server: the program as a child process, with a configuration of its own.

use super::{
    http::{Reply, get, post, send},
    partner::Partner,
    poll,
    program::{Ended, Files, command},
    within,
};
use serde_json::Value;
use std::{
    fs::{self, File, OpenOptions},
    io,
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    thread,
};
use tokio::process::{Child, Command};

const SIGKILL: i32 = 9;

/// Where a server lives: its configuration, catalog and data. Outlives the server's processes.
#[derive(Debug)]
pub(crate) struct Home {
    files: Files,
}

/// How a server's configuration differs from the usual one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options<'a> {
    /// Where a virtual clock starts to stand.
    pub(crate) virtual_now: Option<&'a str>,
    /// Leaves private addresses refused.
    pub(crate) only_public_addresses: bool,
}

impl Home {
    /// A directory with a catalog in it, for servers on any free ports that trust these partners
    /// and may reach them on this machine.
    pub(crate) fn new(catalog: &str, partners: &[&Partner]) -> Self {
        Self::with(catalog, partners, Options::default())
    }

    /// Likewise with options.
    pub(crate) fn with(catalog: &str, partners: &[&Partner], options: Options<'_>) -> Self {
        let clock = options.virtual_now.map_or_else(String::new, |now| {
            format!("[clock]\ndangerous_virtual = \"{now}\"\n")
        });
        let ca_file = if partners.is_empty() {
            ""
        } else {
            "ca_file = \"ca.pem\"\n"
        };
        let allow_private = !options.only_public_addresses;
        let config = format!(
            "[collect]\nlisten = \"127.0.0.1:0\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n\
             [delivery]\n{ca_file}dangerous_allow_private_addresses = {allow_private}\n\
             {clock}"
        );
        let ca_pem: Vec<_> = partners.iter().map(|partner| partner.ca_pem()).collect();
        Self {
            files: Files::new(&[
                ("tidings.toml", &config),
                ("catalog.yaml", catalog),
                ("ca.pem", &ca_pem.join("\n")),
            ]),
        }
    }

    /// Starts a server and waits until it listens.
    pub(crate) async fn start(&self) -> Server {
        let mut server = self.spawn();
        server.ready().await;
        server
    }

    /// Starts a server without waiting for anything.
    pub(crate) fn spawn(&self) -> Server {
        // A killed server leaves its addresses behind; they must not be taken for the new one's.
        let addresses = self.files.join("data/addresses.json");
        if let Err(error) = fs::remove_file(&addresses) {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
        let log = self.files.join("log");
        let mut options = OpenOptions::new();
        let stderr: File = options.create(true).append(true).open(&log).unwrap();
        let mut command = Command::from(command(["serve", "--config"]));
        let child = command
            .arg(self.files.join("tidings.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Server {
            child,
            collect: nowhere,
            admin: nowhere,
            addresses,
            log,
        }
    }

    /// The data directory, which a server makes at its start.
    pub(crate) fn data(&self) -> PathBuf {
        self.files.join("data")
    }

    /// What `addresses.json` says, if it is there.
    pub(crate) fn addresses(&self) -> Option<String> {
        fs::read_to_string(self.files.join("data/addresses.json")).ok()
    }

    /// Replaces the catalog at once and whole.
    pub(crate) fn change_catalog(&self, catalog: &str) {
        self.files.write("catalog.new", catalog);
        fs::rename(
            self.files.join("catalog.new"),
            self.files.join("catalog.yaml"),
        )
        .unwrap();
    }

    /// Replaces the catalog by one that looks as old as the one before.
    pub(crate) fn change_catalog_in_secret(&self, catalog: &str) {
        let before = fs::metadata(self.files.join("catalog.yaml")).unwrap();
        self.files.write("catalog.new", catalog);
        let new = File::options()
            .write(true)
            .open(self.files.join("catalog.new"));
        new.unwrap()
            .set_modified(before.modified().unwrap())
            .unwrap();
        fs::rename(
            self.files.join("catalog.new"),
            self.files.join("catalog.yaml"),
        )
        .unwrap();
    }

    /// Writes a file beside the catalog, at once and whole.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = format!("{name}.new");
        self.files.write(&new, text);
        fs::rename(self.files.join(&new), self.files.join(name)).unwrap();
    }

    /// Removes a file beside the catalog.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.files.join(name)).unwrap();
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.files.join("log")).unwrap()
    }

    /// Replaces a part of the configuration.
    pub(crate) fn change_config(&self, from: &str, to: &str) {
        let config = fs::read_to_string(self.files.join("tidings.toml")).unwrap();
        assert!(config.contains(from), "{config}");
        self.files.write("tidings.toml", &config.replace(from, to));
    }

    /// Runs a server that is expected to end by itself.
    pub(crate) fn serve_to_its_end(&self) -> Ended {
        let mut command = command(["serve", "--config"]);
        command.arg(self.files.join("tidings.toml"));
        super::program::run(command, b"")
    }
}

/// A server at work. Dropping it kills it; a failing test then shows what it logged.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) collect: SocketAddr,
    pub(crate) admin: SocketAddr,
    addresses: PathBuf,
    log: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let last = lines.get(lines.len().saturating_sub(40)..);
            eprintln!(
                "the server's log ends:\n{}",
                last.unwrap_or_default().join("\n")
            );
        }
    }
}

impl Server {
    /// Waits until it listens.
    pub(crate) async fn ready(&mut self) {
        let (child, addresses) = (&mut self.child, &self.addresses);
        let text = poll("addresses.json", async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the server ended at its start: {status}");
            }
            fs::read_to_string(addresses).ok()
        })
        .await;
        let addresses: Value = serde_json::from_str(&text).unwrap();
        let address = |side: &str| addresses[side].as_str().unwrap().parse().unwrap();
        self.collect = address("collect");
        self.admin = address("admin");
    }

    /// Posts events, which must be answered with 200; gives the answer.
    pub(crate) async fn events(&self, events: &str) -> Value {
        let reply = self.post_events(events).await;
        assert_eq!(reply.status, 200, "{}", reply.shown());
        reply.json()
    }

    /// Posts events as lines of JSON and gives whatever is answered.
    pub(crate) async fn post_events(&self, events: &str) -> Reply {
        let request = post("/v1/events", "application/x-ndjson", events.to_owned());
        send(self.collect, request).await
    }

    /// Moves the virtual clock.
    pub(crate) async fn set_clock(&self, now: &str) {
        let body = serde_json::json!({ "set": now }).to_string();
        let request = post("/v1/dev/clock", "application/json", body);
        let reply = send(self.admin, request).await;
        assert_eq!(reply.status, 200, "{}", reply.shown());
        assert_eq!(reply.json()["now"], now);
    }

    /// The status page.
    pub(crate) async fn status(&self) -> Value {
        let reply = send(self.admin, get("/v1/status")).await;
        assert_eq!(reply.status, 200);
        reply.json()
    }

    /// What the status page says about one destination.
    pub(crate) async fn destination(&self, id: u32) -> Value {
        self.destination_if_known(id).await.unwrap()
    }

    /// `None` for one that has not come with a new catalog yet.
    async fn destination_if_known(&self, id: u32) -> Option<Value> {
        let status = self.status().await;
        let destinations = status["destinations"].as_array().unwrap();
        destinations.iter().find(|one| one["id"] == id).cloned()
    }

    /// Waits until the status of one destination is as wanted.
    pub(crate) async fn wait_for_destination(
        &self,
        id: u32,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let what = format!("destination {id}: {what}");
        poll(&what, async || {
            let status = self.destination_if_known(id).await;
            status.filter(|status| wanted(status))
        })
        .await
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it has not been waited for")
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Sends SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = self.pid();
        let pid = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within("the server's end", self.child.wait()).await.unwrap()
    }

    /// Sends SIGTERM and waits for the end, which must be a success.
    pub(crate) async fn stop(mut self) {
        self.terminate();
        let status = self.ended().await;
        assert!(status.success(), "the server stopped with {status}");
    }

    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        send(self.admin, get("/readyz")).await.status == 200
    }

    /// Sends SIGKILL to a server that may be about to end by itself, and waits for the end.
    pub(crate) async fn finish_off(&mut self) {
        self.child.start_kill().unwrap();
        let status = self.ended().await;
        assert!(
            status.success() || status.signal() == Some(SIGKILL),
            "{status}"
        );
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) async fn kill(&mut self) {
        self.child.start_kill().unwrap();
        assert_eq!(self.ended().await.signal(), Some(SIGKILL));
    }
}
