//! Sends visitors' events to the server as a shop's own backend would: small batches of JSON lines
//! over a connection that is kept alive, the next one after the answer to the one before.
//!
//! Several senders share the visitors, each always the same ones, so the events of a visitor arrive
//! in order. A server that is busy (429, 503) is given the time it asks for and then the same batch
//! again; it has taken nothing of it. Any other failure ends the sender: whether the batch was taken
//! is not known then, and sending it again would count events twice.

use super::{line, visitors::Visit, watch::Watch};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tidings_model::Event;
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

/// Senders, each with its own connection.
const SENDERS: usize = 4;
/// Events of one request. Small, as they would come from a website.
const BATCH_EVENTS_MAX: usize = 50;
/// Events that wait for one sender; when they are that many, visitors wait.
const QUEUED_MAX: usize = 4 * BATCH_EVENTS_MAX;
/// Time for one request, far more than it takes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes read of an answer, which has about 50 per event.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What became of events, over all senders.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Answered as taken.
    pub(crate) accepted: AtomicU64,
    /// Answered as refused, or never answered.
    pub(crate) failed: AtomicU64,
    /// Requests that had to wait because the server was busy.
    pub(crate) waits: AtomicU64,
}

/// The senders, running. Dropping them cuts them short.
#[derive(Debug)]
pub(crate) struct Senders {
    queues: Vec<mpsc::Sender<Event>>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Senders {
    /// Starts the senders. Each connects with its first batch.
    pub(crate) fn start(address: SocketAddr, watch: &Arc<Watch>, sent: &Arc<Sent>) -> Self {
        let mut tasks = JoinSet::new();
        let queues = (0..SENDERS).map(|_| {
            let (queue, visits) = mpsc::channel(QUEUED_MAX);
            let sender = Sender {
                address,
                watch: Arc::clone(watch),
                sent: Arc::clone(sent),
            };
            tasks.spawn(sender.run(visits));
            queue
        });
        Self {
            queues: queues.collect(),
            tasks,
        }
    }

    /// Hands over one event, waiting while its sender has enough; false when that has failed.
    /// Cancel safe, but the event is lost when cancelled.
    pub(crate) async fn send(&self, visit: Visit) -> bool {
        let Some(queue) = self.queues.get(visit.visitor % SENDERS) else {
            return false;
        };
        queue.send(visit.event).await.is_ok()
    }

    /// Waits until everything handed over is answered.
    ///
    /// # Errors
    /// What the first sender that failed has failed of.
    pub(crate) async fn finish(mut self) -> anyhow::Result<()> {
        self.queues.clear();
        let mut result = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            let ended = ended.context("a sender of events died").and_then(|r| r);
            result = result.and(ended);
        }
        result
    }
}

struct Sender {
    address: SocketAddr,
    watch: Arc<Watch>,
    sent: Arc<Sent>,
}

/// What is read of the answer.
#[derive(Debug, Deserialize)]
struct Answer {
    accepted: u64,
    duplicates: u64,
    rejected: Vec<Rejected>,
}

#[derive(Debug, Deserialize)]
struct Rejected {
    message: String,
}

impl Sender {
    async fn run(self, mut visits: mpsc::Receiver<Event>) -> anyhow::Result<()> {
        let mut connection = None;
        let mut batch = Vec::with_capacity(BATCH_EVENTS_MAX);
        while visits.recv_many(&mut batch, BATCH_EVENTS_MAX).await > 0 {
            if let Err(error) = self.send(&batch, &mut connection).await {
                let lost = (batch.len() + visits.len()) as u64;
                self.sent.failed.fetch_add(lost, Ordering::Relaxed);
                return Err(error);
            }
            batch.clear();
        }
        Ok(())
    }

    async fn send(
        &self,
        batch: &[Event],
        connection: &mut Option<Connection>,
    ) -> anyhow::Result<()> {
        let mut body = Vec::with_capacity(256 * batch.len());
        for event in batch {
            line::write(event, &mut body);
        }
        let body = Bytes::from(body);
        // Before it is sent: the news of it can be with a partner before the answer is here.
        self.watch.sent(batch, Instant::now());
        let answer = loop {
            let kept = connection.take().filter(|kept| !kept.requests.is_closed());
            let mut open = match kept {
                Some(kept) => kept,
                None => Connection::open(self.address).await?,
            };
            let posted = self.post(&mut open.requests, body.clone());
            let posted = tokio::time::timeout(REQUEST_TIMEOUT, posted).await;
            let posted = posted.context("no answer to events in time")??;
            *connection = Some(open);
            match posted {
                Posted::Answer(answer) => break answer,
                Posted::Busy(pause) => {
                    self.sent.waits.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                }
            }
        };
        let failed = answer.rejected.len() as u64 + answer.duplicates;
        self.sent
            .accepted
            .fetch_add(answer.accepted, Ordering::Relaxed);
        self.sent.failed.fetch_add(failed, Ordering::Relaxed);
        if let Some(rejected) = answer.rejected.first() {
            tracing::warn!(message = rejected.message, "the server refused an event");
        }
        Ok(())
    }

    async fn post(
        &self,
        requests: &mut SendRequest<Full<Bytes>>,
        body: Bytes,
    ) -> anyhow::Result<Posted> {
        let request = Request::post("/v1/events")
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(Full::new(body))?;
        requests.ready().await.context("sending events")?;
        let response = requests.send_request(request).await;
        let (head, body) = response.context("sending events")?.into_parts();
        let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => bail!("reading the answer to events: {error}"),
        };
        match head.status {
            StatusCode::OK => {
                let answer = serde_json::from_slice(&body);
                Ok(Posted::Answer(answer.context("the answer to events")?))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Ok(Posted::Busy(retry_after(&head.headers)))
            }
            status => bail!(
                "events were answered {status}: {}",
                String::from_utf8_lossy(&body)
            ),
        }
    }
}

enum Posted {
    Answer(Answer),
    /// Nothing was taken: send again after this time.
    Busy(Duration),
}

/// A connection, and the task that drives it.
struct Connection {
    requests: SendRequest<Full<Bytes>>,
    driver: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    #[expect(
        clippy::disallowed_methods,
        reason = "a visitor of this very process, not a partner"
    )]
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address)
            .await
            .and_then(|socket| socket.set_nodelay(true).map(|()| socket))
            .with_context(|| format!("connecting to {address}"))?;
        let (requests, connection) = http1::handshake(TokioIo::new(socket))
            .await
            .with_context(|| format!("connecting to {address}"))?;
        let driver = tokio::spawn(connection);
        Ok(Self { requests, driver })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn retry_after(headers: &hyper::HeaderMap) -> Duration {
    let seconds = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(1);
    Duration::from_secs(seconds).min(REQUEST_TIMEOUT)
}
