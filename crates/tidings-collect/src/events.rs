//! `POST /v1/events`: reads events, submits them, and answers when they are durable.
//!
//! A JSON object or array (`application/json`, or no `Content-Type`), or an object per line
//! (`application/x-ndjson`), plain or with `Content-Encoding: gzip`. The answer is
//! `{"accepted":2,"duplicates":0,"rejected":[{"index":1,"code":"…","message":"…"}],"uuids":["…",null,"…"]}`.
//! Errors of the whole request are [`Problem`]s: 400 nothing can be read, 408 too slow, 413 over a
//! limit, 415 another type or encoding, 429 the queue is full, 503 not now; the last two with
//! `Retry-After`.
//!
//! Invariant: the body in memory never exceeds its limit, and all bodies together not theirs.

mod answer;
mod body;

use crate::{
    code,
    entry::Entry,
    parse::{self, BodyError, EventError, Format},
    problem::{self, Problem},
    sink::{EventSink, SubmitError, Submitted},
};
use answer::Outcome;
use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing,
};
use body::{Budget, Encoding, ReceivedBody};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tidings_model::Timestamp;
use tokio::sync::Semaphore;

/// Bytes up to which a body is read where it arrives. Larger ones go to a thread that may block:
/// at about 8 µs per KiB they would delay other connections by more than half a millisecond.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Large bodies that are read at the same time; more wait.
const LARGE_BODIES_AT_ONCE: usize = 4;

/// The event API: what it needs and what it counts. Cheap to clone.
pub struct Events<S, C> {
    shared: Arc<Shared<S, C>>,
}

struct Shared<S, C> {
    sink: S,
    clock: C,
    budget: Budget,
    large_bodies: Arc<Semaphore>,
    counters: Arc<Counters>,
}

/// What became of events and requests since the start. Each is counted once.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    duplicates: AtomicU64,
    rejected: AtomicU64,
    requests_refused: AtomicU64,
}

impl Counters {
    /// Events that are durable.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Events that were seen before.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// Events that can never be taken.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// Requests refused as a whole; their events are in none of the other counts.
    #[must_use]
    pub fn requests_refused(&self) -> u64 {
        self.requests_refused.load(Ordering::Relaxed)
    }

    fn count(&self, outcomes: &[Outcome]) {
        let [accepted, duplicates, rejected] = answer::tally(outcomes);
        self.accepted.fetch_add(accepted, Ordering::Relaxed);
        self.duplicates.fetch_add(duplicates, Ordering::Relaxed);
        self.rejected.fetch_add(rejected, Ordering::Relaxed);
    }
}

impl<S, C> Clone for Events<S, C> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S, C> fmt::Debug for Events<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("counters", &self.shared.counters)
            .finish_non_exhaustive()
    }
}

impl<S: EventSink, C: Fn() -> Timestamp + Send + Sync + 'static> Events<S, C> {
    /// The API in front of `sink`; `clock` tells the time after which events lie in the future.
    pub fn new(sink: S, clock: C) -> Self {
        Self {
            shared: Arc::new(Shared {
                sink,
                clock,
                budget: Budget::new(body::BODIES_BYTES_MAX),
                large_bodies: Arc::new(Semaphore::new(LARGE_BODIES_AT_ONCE)),
                counters: Arc::default(),
            }),
        }
    }

    /// The counts, for metrics.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// The route alone, to be merged with others.
    pub fn routes(&self) -> Router {
        let refuse = async || problem::method_not_allowed("POST");
        let post = routing::post(accept::<S, C>).fallback(refuse);
        Router::new()
            .route("/v1/events", post)
            .with_state(self.clone())
    }

    /// The route, and 404 for everything else.
    pub fn router(&self) -> Router {
        self.routes().fallback(problem::not_found)
    }
}

async fn accept<S, C>(State(events): State<Events<S, C>>, request: Request) -> Response
where
    S: EventSink,
    C: Fn() -> Timestamp + Send + Sync + 'static,
{
    let counters = &events.shared.counters;
    match events.shared.handle(request).await {
        Ok(outcomes) => {
            counters.count(&outcomes);
            answer::response(&outcomes)
        }
        Err(problem) => {
            counters.requests_refused.fetch_add(1, Ordering::Relaxed);
            problem.into_response()
        }
    }
}

impl<S: EventSink, C: Fn() -> Timestamp + Send + Sync + 'static> Shared<S, C> {
    async fn handle(&self, request: Request) -> Result<Vec<Outcome>, Problem> {
        let format = format(request.headers())?;
        let encoding = encoding(request.headers())?;
        let body = body::receive(request.into_body(), &self.budget).await?;
        let events = self.read(body, encoding, format).await?;
        self.submit(events).await
    }

    async fn read(
        &self,
        body: ReceivedBody,
        encoding: Encoding,
        format: Format,
    ) -> Result<Vec<Result<Entry, EventError>>, Problem> {
        let now = (self.clock)();
        let small = encoding == Encoding::Identity && body.bytes().len() <= INLINE_BYTES_MAX;
        let read = move || {
            let body = body.decode(encoding)?;
            parse::parse(body.bytes(), format, now).map_err(refuse_body)
        };
        if small {
            return read();
        }
        let turns = Arc::clone(&self.large_bodies);
        let turn = turns.acquire_owned().await.expect("nobody closes it");
        // The turn ends with the work, even when the client leaves and nobody waits for it.
        let work = move || {
            let events = read();
            drop(turn);
            events
        };
        let result = tokio::task::spawn_blocking(work).await;
        result.unwrap_or_else(|error| {
            tracing::error!(%error, "reading a body failed");
            Err(Problem::internal())
        })
    }

    /// Submits the events that could be read, and puts the answers in order with the errors.
    async fn submit(
        &self,
        events: Vec<Result<Entry, EventError>>,
    ) -> Result<Vec<Outcome>, Problem> {
        let mut readable = Vec::with_capacity(events.len());
        let mut refused = Vec::new();
        let count = events.len();
        for (index, event) in events.into_iter().enumerate() {
            match event {
                Ok(event) => readable.push(event),
                Err(error) => refused.push((index, error)),
            }
        }
        let expected = readable.len();
        let submitted = if readable.is_empty() {
            Vec::new()
        } else {
            self.sink
                .submit(readable)
                .await
                .map_err(refuse_submission)?
        };
        if submitted.len() != expected {
            let got = submitted.len();
            tracing::error!(
                expected,
                got,
                "the sink answered for another number of events"
            );
            return Err(Problem::internal());
        }
        Ok(merge(count, submitted, refused))
    }
}

/// Puts the outcomes of submitted events between those of events that were refused before.
fn merge(
    count: usize,
    submitted: Vec<Submitted>,
    refused: Vec<(usize, EventError)>,
) -> Vec<Outcome> {
    let mut submitted = submitted.into_iter();
    let mut refused = refused.into_iter().peekable();
    let mut outcomes = Vec::with_capacity(count);
    for index in 0..count {
        let outcome = match refused.next_if(|&(at, _)| at == index) {
            Some((_, error)) => Some(error.into()),
            None => submitted.next().map(Outcome::from),
        };
        outcomes.extend(outcome);
    }
    outcomes
}

fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(Format::Json);
    };
    let essence = value.to_str().unwrap_or_default().split(';').next();
    let essence = essence.unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(Format::Json)
    } else if essence.eq_ignore_ascii_case("application/x-ndjson") {
        Ok(Format::JsonLines)
    } else {
        Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            code::UNSUPPORTED_MEDIA_TYPE,
            "send Content-Type: application/json, or application/x-ndjson for one event per line",
        ))
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let encoding = match (values.next(), values.next()) {
        (None, _) => Some(Encoding::Identity),
        (Some(value), None) => match value.as_bytes().trim_ascii() {
            name if name.eq_ignore_ascii_case(b"identity") => Some(Encoding::Identity),
            name if name.eq_ignore_ascii_case(b"gzip") => Some(Encoding::Gzip),
            _ => None,
        },
        (Some(_), Some(_)) => None,
    };
    encoding.ok_or_else(|| {
        let gzip = HeaderValue::from_static("gzip");
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            code::UNSUPPORTED_ENCODING,
            "send the body as it is, or once compressed with Content-Encoding: gzip",
        )
        .with_header(header::ACCEPT_ENCODING, gzip)
    })
}

fn refuse_body(error: BodyError) -> Problem {
    let status = match error {
        BodyError::TooLarge | BodyError::TooManyEvents => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Empty | BodyError::Unreadable(_) => StatusCode::BAD_REQUEST,
    };
    let problem = Problem::new(status, error.code(), error.to_string());
    match error {
        BodyError::Unreadable(error) => problem.at(error.line, error.column),
        _ => problem,
    }
}

fn refuse_submission(error: SubmitError) -> Problem {
    let (status, code, retry_after) = match error {
        SubmitError::Full { retry_after } => {
            (StatusCode::TOO_MANY_REQUESTS, code::QUEUE_FULL, retry_after)
        }
        SubmitError::Unavailable { retry_after, .. } => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            (status, code::UNAVAILABLE, retry_after)
        }
    };
    Problem::new(status, code, error.to_string()).with_retry_after(retry_after)
}
