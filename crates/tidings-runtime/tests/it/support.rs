//! What the tests share: a catalog from text, a partner that remembers, a server, and a client of its
//! two sides.

use serde_json::Value;
use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tidings_catalog::Source;
use tidings_model::{Catalog, Timestamp};
use tidings_receiver::{ReceiverSettings, Running, Strictness};
use tidings_runtime::{CatalogFile, RecordSettings, Server, ServerSettings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// Longer than anything here takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The catalog that a file with this text holds.
#[track_caller]
pub(crate) fn catalog(text: &str) -> Catalog {
    let source = Source {
        name: "catalog.yaml",
        text,
        directory: Path::new("."),
    };
    match tidings_catalog::read(source, |_| None) {
        Ok(loaded) => loaded.catalog,
        Err(faults) => panic!("the catalog has faults: {faults:?}"),
    }
}

/// One destination, 7, which is told under data source 55 who is in segment 10, by trait 1; `extra` are more
/// lines of it.
#[track_caller]
pub(crate) fn partner_catalog(url: &str, extra: &str) -> Catalog {
    catalog(&format!(
        r#"
data_sources:
  - {{ id: 55, name: Cookies, kind: cookie }}
traits:
  - {{ id: 1, name: Cart }}
segments:
  - {{ id: 10, name: Cart, rule: "1T" }}
destinations:
  - id: 7
    name: Partner
    client_id: "1"
    url: {url}/segments
    id_data_sources: [55]
    mappings: [{{ segment: 10 }}]
    max_linger: 5ms
    retry_delay: 5ms
{extra}"#
    ))
}

/// Puts a new device into the segment of [`partner_catalog`].
pub(crate) async fn post(server: &Server, number: u32) {
    let body = format!(
        r#"{{"uuid":"{number:038}","ids":[{{"data_source":55,"id":"id{number}"}}],"traits":[1]}}"#
    );
    let answer = request(server.collect_addr(), "POST /v1/events", &body).await;
    assert_eq!(answer["accepted"], 1, "{answer}");
}

/// A message that a partner answered with success.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// When the sender says that it was built.
    pub(crate) built: Timestamp,
    /// Partner ids, each with `10=1 20=0`.
    pub(crate) users: Vec<(String, String)>,
}

/// A partner that remembers every message it took.
pub(crate) struct Partner {
    pub(crate) running: Running,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Partner {
    pub(crate) async fn start() -> Self {
        Self::with(ReceiverSettings::default()).await
    }

    /// A partner with these settings, which takes only what is valid to the letter.
    pub(crate) async fn with(settings: ReceiverSettings) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&heard);
        let observer = move |received: &tidings_receiver::Received| {
            let Some(message) = received.message.as_ref().filter(|_| received.status == 200) else {
                return;
            };
            let users = message.users.iter().map(|user| {
                let states = user.segments.iter().map(|segment| {
                    let one = segment.status == tidings_wire::Status::Active;
                    format!("{}={}", segment.segment_id, u8::from(one))
                });
                let states = states.collect::<Vec<_>>().join(" ");
                (user.data_partner_uuid.clone(), states)
            });
            let message = Heard {
                built: Timestamp(message.process_time),
                users: users.collect(),
            };
            remembered
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(message);
        };
        let settings = ReceiverSettings {
            strictness: Strictness::Strict,
            on_request: Some(Arc::new(observer)),
            ..settings
        };
        Self {
            running: tidings_receiver::start(settings).await.unwrap(),
            heard,
        }
    }

    pub(crate) fn set_faults(&self, faults: &[&str]) {
        let faults = faults.iter().map(|fault| fault.parse().unwrap());
        self.running.set_faults(faults.collect());
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// User objects in all messages.
    pub(crate) fn users(&self) -> usize {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().map(|message| message.users.len()).sum()
    }

    pub(crate) fn forget(&self) {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// A server with a virtual clock.
pub(crate) async fn serve(
    data_dir: &Path,
    catalog: Catalog,
    partner: &Partner,
    now: &str,
) -> anyhow::Result<Server> {
    serve_with(data_dir, catalog, partner, now, RecordSettings::default()).await
}

/// A server with a virtual clock that remembers this long what happened.
pub(crate) async fn serve_with(
    data_dir: &Path,
    catalog: Catalog,
    partner: &Partner,
    now: &str,
    records: RecordSettings,
) -> anyhow::Result<Server> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = ServerSettings {
        data_dir: data_dir.to_owned(),
        collect: any_port,
        admin: any_port,
        ca_pem: Some(partner.running.ca_pem().into()),
        dangerous_allow_private_addresses: true,
        virtual_now: Some(Timestamp::parse(now)?),
        profiles_in_memory_max: 1_000,
        records,
    };
    // There is no such file: the catalog is never replaced.
    let file = CatalogFile {
        path: data_dir.join("catalog.yaml"),
        text: String::new(),
        catalog,
        warnings: Vec::new(),
    };
    Server::start(settings, file).await
}

/// Looks again and again until it is so.
#[track_caller]
pub(crate) fn eventually<'a>(
    what: &'a str,
    mut is_so: impl FnMut() -> bool + 'a,
) -> impl Future<Output = ()> + 'a {
    let waited = timeout(PATIENCE, async move {
        while !is_so() {
            sleep(LOOK).await;
        }
    });
    async move {
        assert!(waited.await.is_ok(), "not within {PATIENCE:?}: {what}");
    }
}

/// One request on a connection of its own; the answer's body, which must come with 200.
pub(crate) async fn request(to: SocketAddr, head: &str, body: &str) -> Value {
    let (status, answer) = ask(to, head, body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// One request on a connection of its own; the answer's status and body.
pub(crate) async fn ask(to: SocketAddr, head: &str, body: &str) -> (u16, Value) {
    let mut socket = TcpStream::connect(to).await.unwrap();
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

/// The text that a GET is answered with, put together from its chunks.
pub(crate) async fn text(to: SocketAddr, head: &str) -> String {
    let mut socket = TcpStream::connect(to).await.unwrap();
    let request = format!("{head} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, mut body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let mut text = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return text;
        }
        text.push_str(&rest[..length]);
        body = &rest[length + 2..];
    }
}

pub(crate) async fn set_clock(server: &Server, now: &str) {
    let body = format!(r#"{{"set":"{now}"}}"#);
    request(server.admin_addr(), "POST /v1/dev/clock", &body).await;
}
