//! The HTTP server shell: accepts connections, and bounds them in number, size and time.
//!
//! - At most `connections_max` at once; further ones wait in the backlog of the system.
//! - A request's head must come within `header_timeout`, its body at a least rate and within
//!   `body_timeout`; an answer must be read without a pause longer than `write_timeout`.
//! - Accepting survives every error; when the system runs out of descriptors it pauses.
//! - At shutdown no connection is accepted any more, idle ones are closed, requests in progress
//!   are finished, and what is left after `drain_timeout` is cut.
//!
//! `axum::serve` gives hyper no timer, so none of hyper's timeouts would work there. Hyper's own
//! header timeout would also cut idle connections after the same time, which makes the pools of
//! clients race with it; so both are kept in `connection`, each with its own length.
//!
//! Not here: TLS, HTTP/2, routes.

mod body;
mod connection;

pub use body::BodyTimeout;

use axum::{body::Body, response::Response};
use connection::Connection;
use http::Request;
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet},
    time::Instant,
};
use tower::Service;

/// The bounds of a server's connections. `Default` is what a server on the internet needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections open at once. 16,384 of them, idle, take some 200 MiB.
    pub connections_max: usize,
    /// Bytes of a request's head; at least 8 KiB. More is answered 431.
    pub head_bytes_max: usize,
    /// Headers of a request. More is answered 431.
    pub headers_max: usize,
    /// How long a request's head may take, from its first byte or from the connection's beginning.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a body may take before its rate counts.
    pub body_grace: Duration,
    /// The least rate of a body after that.
    pub body_bytes_per_second_min: u32,
    /// How long a body may take at any rate.
    pub body_timeout: Duration,
    /// How long a client may pause in reading an answer.
    pub write_timeout: Duration,
    /// How long requests in progress may go on after shutdown.
    pub drain_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            head_bytes_max: 32 * 1024,
            headers_max: 100,
            header_timeout: Duration::from_secs(10),
            // Longer than the 60 s of common load balancers, which must be the ones to close.
            idle_timeout: Duration::from_secs(75),
            body_grace: Duration::from_secs(10),
            body_bytes_per_second_min: 16 * 1024,
            body_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// What became of the connections that were open at shutdown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Closed after their request, if they had one.
    pub finished: usize,
    /// Cut when the time was up.
    pub cut: usize,
}

/// A listening socket and its bounds.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: ServerLimits,
}

impl Server {
    /// Listens on `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// When the system refuses the address.
    pub async fn bind(address: SocketAddr, limits: ServerLimits) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, limits })
    }

    /// The address that it really listens on.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` completes and the connections are drained.
    ///
    /// **Cancel safety:** dropping this cuts all connections at once.
    pub async fn run<S>(self, service: S, shutdown: impl Future<Output = ()>) -> Drained
    where
        S: Service<Request<Body>, Response = Response, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
    {
        let Self { listener, limits } = self;
        let (stop, stopped) = watch::channel(());
        let mut acceptor = Acceptor::new(listener, limits.connections_max);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(ended) = connections.join_next() => report(ended),
                (stream, permit) = acceptor.accept() => {
                    let connection = Connection::new(stream, limits);
                    let (service, stopped) = (service.clone(), stopped.clone());
                    connections.spawn(async move {
                        connection.serve(service, stopped).await;
                        drop(permit);
                    });
                }
            }
        }
        // The socket closes first: whoever connects now is refused instead of left waiting.
        drop(acceptor);
        drop(stop);
        drain(connections, limits.drain_timeout).await
    }
}

async fn drain(mut connections: JoinSet<()>, timeout: Duration) -> Drained {
    let mut drained = Drained::default();
    let all = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
            drained.finished += 1;
        }
    };
    if tokio::time::timeout(timeout, all).await.is_err() {
        drained.cut = connections.len();
        tracing::warn!(
            connections = drained.cut,
            "cut connections that did not end in time"
        );
        connections.shutdown().await;
    }
    drained
}

/// A connection's task ends with a panic only through a fault in a handler.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

/// Accepts connections one at a time, as long as there is room for them.
struct Acceptor {
    listener: TcpListener,
    room: Arc<Semaphore>,
    /// Failures in a row that called for a pause.
    failures: u32,
    /// No attempt before this instant. It outlives a cancelled call of `accept`.
    not_before: Option<Instant>,
}

impl Acceptor {
    fn new(listener: TcpListener, connections_max: usize) -> Self {
        Self {
            listener,
            room: Arc::new(Semaphore::new(connections_max)),
            failures: 0,
            not_before: None,
        }
    }

    /// Cancel safe: a connection is either returned or still in the backlog.
    async fn accept(&mut self) -> (TcpStream, OwnedSemaphorePermit) {
        let room = Arc::clone(&self.room);
        let permit = room.acquire_owned().await.expect("nobody closes it");
        loop {
            if let Some(instant) = self.not_before {
                tokio::time::sleep_until(instant).await;
                self.not_before = None;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    self.failures = 0;
                    return (stream, permit);
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        let pause = pause_after(error, self.failures);
        if pause.is_zero() {
            return;
        }
        if self.failures == 0 {
            tracing::warn!(%error, "cannot accept connections for now");
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(Instant::now() + pause);
    }
}

/// How long to wait after accepting failed; zero when only that one connection was lost.
///
/// Everything else is a lack of descriptors or memory, which an immediate attempt would meet again
/// while it burns a processor.
fn pause_after(error: &io::Error, failures: u32) -> Duration {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    match error.kind() {
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted => Duration::ZERO,
        _ => Duration::from_millis(50 << failures.min(4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: io::Error, failures: u32, expected_ms: u64) {
        let pause = pause_after(&error, failures);
        assert_eq!(pause, Duration::from_millis(expected_ms));
    }

    #[test]
    fn accepting_pauses_when_the_system_lacks_something() {
        const EMFILE: i32 = 24;
        const ECONNABORTED: i32 = 103;
        check(io::Error::from_raw_os_error(EMFILE), 0, 50);
        check(io::Error::from_raw_os_error(EMFILE), 1, 100);
        check(io::Error::from_raw_os_error(EMFILE), 1000, 800);
        check(io::Error::from_raw_os_error(ECONNABORTED), 3, 0);
    }
}
