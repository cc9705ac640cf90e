//! A sink that does as it is told, and a client that sends exact bytes.

use std::{
    io::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidings_collect::{
    Counters, Drained, Entry, EventSink, Events, Server, ServerLimits, Subject, SubmitError,
    Submitted,
};
use tidings_model::{DeviceUuid, Timestamp};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Semaphore, oneshot},
    task::JoinHandle,
};

/// 2016-07-27T16:17:22Z
pub(crate) const NOW: Timestamp = Timestamp(1_469_636_242);

/// Fails instead of hanging when something never happens.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, future)
        .await
        .expect("it takes too long")
}

/// What a [`FakeSink`] answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Accepts all; an event id of "seen" is a duplicate, trait 666 is rejected.
    Accept,
    /// Fails with this.
    Fail(SubmitError),
    /// Answers for no event at all.
    Nonsense,
}

#[derive(Clone, Debug)]
pub(crate) struct FakeSink {
    pub(crate) answer: Answer,
    pub(crate) seen: Arc<Mutex<Vec<Entry>>>,
    /// One permit is added when a submission begins.
    pub(crate) begun: Arc<Semaphore>,
    /// One permit is needed to end a submission.
    pub(crate) gate: Arc<Semaphore>,
}

impl FakeSink {
    pub(crate) fn new(answer: Answer) -> Self {
        Self {
            answer,
            seen: Arc::default(),
            begun: Arc::new(Semaphore::new(0)),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        }
    }

    /// A sink whose submissions wait for permits of `gate`.
    pub(crate) fn gated() -> Self {
        let gate = Arc::new(Semaphore::new(0));
        Self {
            gate,
            ..Self::new(Answer::Accept)
        }
    }
}

impl EventSink for FakeSink {
    async fn submit(&self, entries: Vec<Entry>) -> Result<Vec<Submitted>, SubmitError> {
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        let answers = match &self.answer {
            Answer::Accept => entries.iter().map(accept).collect(),
            Answer::Fail(error) => return Err(error.clone()),
            Answer::Nonsense => Vec::new(),
        };
        self.seen.lock().unwrap().extend(entries);
        Ok(answers)
    }
}

fn accept(entry: &Entry) -> Submitted {
    let event = match entry {
        Entry::Event(event) => event,
        Entry::OptOut(Subject::Device(uuid)) => return Submitted::OptedOut(Some(uuid.clone())),
        Entry::OptOut(Subject::Id { .. }) => return Submitted::OptedOut(None),
    };
    let uuid = event
        .uuid
        .clone()
        .unwrap_or_else(|| DeviceUuid::from_number(42).unwrap());
    if event.event_id.as_deref() == Some("seen") {
        Submitted::Duplicate(uuid)
    } else if event.traits.iter().any(|id| id.0 == 666) {
        let message = "there is no trait 666".to_owned();
        Submitted::Rejected {
            code: "unknown_trait",
            message,
        }
    } else {
        Submitted::Accepted(uuid)
    }
}

/// A server in the background.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) end: JoinHandle<Drained>,
    pub(crate) counters: Arc<Counters>,
}

impl Running {
    pub(crate) async fn stop(self) -> Drained {
        self.stop.send(()).unwrap();
        soon(self.end).await.unwrap()
    }
}

pub(crate) async fn start(sink: FakeSink, limits: ServerLimits) -> Running {
    let events = Events::new(sink, || NOW);
    let counters = events.counters();
    let server = Server::bind(([127, 0, 0, 1], 0).into(), limits)
        .await
        .unwrap();
    let address = server.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        stopped.await.ok();
    };
    let end = tokio::spawn(server.run(events.router(), shutdown));
    Running {
        address,
        stop,
        end,
        counters,
    }
}

/// A connection that reads answers one by one.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The member `code` of a problem.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status);
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        body["code"].as_str().unwrap().to_owned()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = soon(TcpStream::connect(address)).await.unwrap();
        Self {
            stream,
            received: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    /// Posts a body with its length and these header lines, and reads the answer.
    pub(crate) async fn post(&mut self, headers: &str, body: &[u8]) -> Reply {
        self.send(&post(headers, body)).await;
        self.reply().await
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        soon(async {
            let head_end = loop {
                if let Some(end) = find(&self.received, b"\r\n\r\n") {
                    break end;
                }
                self.more().await;
            };
            let head = String::from_utf8(self.received[..head_end].to_vec()).unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let mut reply = Reply {
                status,
                head,
                body: String::new(),
            };
            let length: usize = reply.header("content-length").unwrap().parse().unwrap();
            let end = head_end + 4 + length;
            while self.received.len() < end {
                self.more().await;
            }
            reply.body = String::from_utf8(self.received[head_end + 4..end].to_vec()).unwrap();
            self.received.drain(..end);
            reply
        })
        .await
    }

    async fn more(&mut self) {
        let count = self.stream.read_buf(&mut self.received).await.unwrap();
        let received = String::from_utf8_lossy(&self.received);
        assert!(
            count > 0,
            "the connection ended within an answer: {received}"
        );
    }

    /// Waits for the server to close the connection without another word.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end as well.
        let end = soon(self.stream.read_to_end(&mut rest)).await;
        assert!(
            rest.is_empty(),
            "{end:?} {}",
            String::from_utf8_lossy(&rest)
        );
    }
}

pub(crate) fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    let length = body.len();
    write!(
        request,
        "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n"
    )
    .unwrap();
    request.extend_from_slice(body);
    request
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
