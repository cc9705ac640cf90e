//! One destination: its URL, its connections, and the attempt.
//!
//! **Deadline.** One instant covers resolving, connecting, TLS, sending and the head of the
//! response: one that is read after it has come too late, however long it may have lain in the
//! system's buffer. The head decides the outcome. The body is read afterwards, up to its cap and as long
//! as both the deadline and [`EndpointSettings::body_wait`] allow, only to keep the connection and
//! to show the operator an excerpt: a body that does not end in time costs the connection, not the
//! outcome, for the partner has already said what it did with the request.
//!
//! **Never twice.** A request is written to at most one connection per attempt. Only when an idle
//! connection turns out to be closed and hyper hands the request back untouched is another
//! connection used. Anything else is a failed attempt, whose repetition is the caller's decision.

use crate::{
    attempt::{Attempt, Phase, Response, Trace},
    egress::Egress,
    failure::Failure,
    link::{BodySink, SendError},
    pool::{Lease, Pool, PoolSettings},
    request::{Message, Request},
    target::{Target, UrlError},
    tls::TlsProfile,
};
use http::response::Parts;
use hyper::body::{Body as _, Incoming};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tidings_model::limits::RESPONSE_BYTES_MAX;
use tokio::time::{Instant, timeout_at};

/// Settings of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointSettings {
    /// How connections are kept.
    pub pool: PoolSettings,
    /// How long the rest of a response may take once its head has arrived; never beyond the
    /// attempt's deadline. Default 500 ms.
    pub body_wait: Duration,
}

impl Default for EndpointSettings {
    fn default() -> Self {
        Self {
            pool: PoolSettings::default(),
            body_wait: Duration::from_millis(500),
        }
    }
}

/// One destination's URL with its own connections. Use it within one tokio runtime.
///
/// It opens as many connections as attempts run at once: the bound is the caller's concurrency.
/// Dropping it closes its idle connections.
pub struct Endpoint {
    egress: Arc<Egress>,
    target: Target,
    pool: Arc<Pool>,
    /// Of connections that are opened from now on.
    tls: Mutex<TlsProfile>,
    body_wait: Duration,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("host", &self.target.authority)
            .field("idle", &self.pool.idle_count())
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint without connections; nothing is resolved or dialled yet. A host that the address
    /// policy refuses is taken: every attempt then fails as `address_refused`. Use
    /// [`crate::check_url`] to tell beforehand.
    ///
    /// # Errors
    /// When the URL is not one that can be sent to.
    pub fn new(
        egress: Arc<Egress>,
        url: &str,
        settings: EndpointSettings,
    ) -> Result<Self, UrlError> {
        Ok(Self {
            tls: Mutex::new(egress.shared_tls()),
            egress,
            target: Target::parse(url)?,
            pool: Pool::new(settings.pool),
            body_wait: settings.body_wait,
        })
    }

    /// Makes one attempt at a request; always returns within `timeout`, give or take the scheduler.
    ///
    /// Any status is a response, redirects included. Cost beyond TLS and HTTP, when a connection is
    /// at hand: one header map, one timer, one short lock on either side.
    ///
    /// Cancel safe: dropping the future closes the connection it uses and no other; the partner may
    /// have seen the request.
    pub async fn post(&self, request: &Request, timeout: Duration) -> Attempt {
        let message = match request.message(&self.target, &self.egress.user_agent) {
            Ok(message) => message,
            Err(failure) => return Attempt::refused(failure),
        };
        let sink = BodySink::excerpt(RESPONSE_BYTES_MAX);
        let (result, trace) = self.exchange(message, timeout, sink).await;
        Attempt {
            result: result
                .map(|(head, sink)| Response::of(head.status, &head.headers, sink.into_body())),
            timings: trace.timings,
            reused: trace.reused,
            bytes_read: trace.bytes_read,
        }
    }

    /// Takes other trust roots or another client certificate. Attempts under way go on; idle
    /// connections are closed, and those in use when their attempt ends.
    pub fn set_tls(&self, profile: TlsProfile) {
        *self.tls.lock().unwrap_or_else(PoisonError::into_inner) = profile;
        self.pool.clear();
    }

    fn tls(&self) -> TlsProfile {
        self.tls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Closes the idle connections now and those in use when their attempt ends.
    pub fn close_idle(&self) {
        self.pool.clear();
    }

    /// Idle connections at hand.
    #[must_use]
    pub fn idle_connections(&self) -> usize {
        self.pool.idle_count()
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    /// One exchange: head of the response, and what `sink` took of its body.
    pub(crate) async fn exchange(
        &self,
        message: Message,
        timeout: Duration,
        mut sink: BodySink,
    ) -> (Result<(Parts, BodySink), Failure>, Trace) {
        let mut trace = Trace::start();
        let deadline = trace.started + timeout;
        // Half of the time for the TCP connection leaves room for one lost SYN, which is sent
        // again after a second, in the usual three.
        let answered = timeout_at(deadline, self.answer(message, timeout / 2, &mut trace)).await;
        let (result, ended) = match answered {
            // The response may win the race with the timer because this machine was busy.
            Ok(Ok(_)) if trace.since > deadline => {
                (Err(trace.missed_deadline(timeout)), trace.since)
            }
            Ok(Ok((lease, response))) => {
                let (head, body) = response.into_parts();
                let ended = self
                    .finish(lease, body, deadline, &mut trace, &mut sink)
                    .await;
                (Ok((head, sink)), ended)
            }
            Ok(Err(failure)) => (Err(failure), Instant::now()),
            Err(_elapsed) => (Err(trace.missed_deadline(timeout)), Instant::now()),
        };
        trace.timings.total = ended - trace.started;
        (result, trace)
    }

    /// Sends the message over a connection at hand, else a new one, and waits for the head.
    async fn answer(
        &self,
        mut message: Message,
        connect_max: Duration,
        trace: &mut Trace,
    ) -> Result<(Lease, http::Response<Incoming>), Failure> {
        while let Some(mut lease) = self.pool.take(&self.egress, trace.started).await {
            trace.reused = true;
            // Looking for a connection at hand takes no time worth reading the clock for.
            trace.phase = Phase::Write;
            match lease.link.send(message, trace).await {
                Ok(response) => return Ok((lease, response)),
                Err(SendError::NotSent(untouched, _)) => message = *untouched,
                Err(SendError::Failed(failure)) => return Err(failure),
            }
        }
        trace.reused = false;
        // The generation first: a connection made with a profile that is replaced meanwhile is not
        // kept.
        let generation = self.pool.generation();
        let tls = self.tls();
        // Its state is ten times that of an exchange, and hardly ever needed.
        let opening = Box::pin(self.egress.open(&self.target, &tls, connect_max, trace));
        let link = opening.await?;
        let mut lease = Lease { link, generation };
        match lease.link.send(message, trace).await {
            Ok(response) => Ok((lease, response)),
            Err(SendError::NotSent(_, failure) | SendError::Failed(failure)) => Err(failure),
        }
    }

    /// Reads the body as far as it may, and keeps the connection if that was all of it. Returns
    /// when that was.
    async fn finish(
        &self,
        mut lease: Lease,
        body: Incoming,
        deadline: Instant,
        trace: &mut Trace,
        sink: &mut BodySink,
    ) -> Instant {
        // The clock has been read with the head, and often that is all.
        let head = trace.since;
        let has_more = !body.is_end_stream();
        let until = deadline.min(head + self.body_wait);
        let in_time = timeout_at(until, lease.link.read(body, sink)).await.is_ok();
        trace.bytes_read = lease.link.bytes_read();
        let ended = if has_more { Instant::now() } else { head };
        if in_time && sink.is_complete() {
            self.pool.put(lease, ended).await;
        }
        ended
    }
}
