//! One connection: its socket with deadlines, and the serving of its requests.
//!
//! Hyper reads the socket whenever it waits for a request, so the deadlines of waiting live in the
//! socket's reads: no [`Progress`] has a request, and bytes of the next one have come or not.

use super::{
    ServerLimits,
    body::{AnswerBody, PacedBody, RequestInProgress, poll_deadline},
};
use axum::{body::Body, response::Response};
use http::Request;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::{Instant, Sleep},
};
use tower::{Service, ServiceExt as _};

/// How long a closed connection is read on, when a request was answered before its end.
///
/// Closing a socket with unread bytes resets it, and a reset destroys the answer on its way to a
/// client that is still sending.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was accepted.
pub(super) struct Connection {
    socket: Socket<TcpStream>,
    limits: ServerLimits,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, limits: ServerLimits) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not switch off the delay of small packets");
        }
        let socket = Socket::new(stream, limits);
        Self { socket, limits }
    }

    /// Serves requests until the client leaves, a deadline passes, or `stopped` is closed; then the
    /// request in progress is finished.
    pub(super) async fn serve<S>(self, service: S, mut stopped: watch::Receiver<()>)
    where
        S: Service<Request<Body>, Response = Response, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
    {
        let Self { socket, limits } = self;
        let progress = Arc::clone(&socket.progress);
        let answer = move |request: Request<Incoming>| {
            let in_progress = RequestInProgress::begin(&progress);
            let progress = Arc::clone(&progress);
            let request = request.map(|body| {
                if body.is_end_stream() {
                    Body::empty()
                } else {
                    Body::new(PacedBody::new(body, limits, progress))
                }
            });
            let response = service.clone().oneshot(request);
            async move {
                let response = response.await?;
                Ok::<_, Infallible>(response.map(|body| AnswerBody {
                    body,
                    _request: in_progress,
                }))
            }
        };
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(limits.head_bytes_max.max(MIN_BUFFER_BYTES))
            .max_headers(limits.headers_max)
            .serve_connection(TokioIo::new(socket), hyper::service::service_fn(answer));
        let mut connection = pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            _ = stopped.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// The least buffer that hyper takes.
const MIN_BUFFER_BYTES: usize = 8192;

/// What a connection's requests are at, told by their bodies to their socket.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Requests begun so far.
    begun: AtomicU64,
    /// Requests ended so far, their answers handed over.
    ended: AtomicU64,
    /// A request was answered before its body was read.
    unread: AtomicBool,
}

// All of it happens in one task, one step after the other; the atomics only let it move between
// threads, so no order beyond that of each counter is needed.
impl Progress {
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.unread.store(false, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave_body_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    fn requests_begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    fn is_serving(&self) -> bool {
        self.begun.load(Ordering::Relaxed) != self.ended.load(Ordering::Relaxed)
    }
}

/// What a socket waits for while no request is in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// The first byte of a request, until an instant.
    Idle(Instant),
    /// The rest of a request's head, until an instant.
    Head(Instant),
}

/// A stream whose reads and writes have deadlines.
struct Socket<T> {
    stream: T,
    limits: ServerLimits,
    progress: Arc<Progress>,
    waiting: Waiting,
    /// Requests begun when `waiting` was set; another number means that it is out of date.
    waiting_since: u64,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_until: Option<Instant>,
    write_timer: Option<Pin<Box<Sleep>>>,
    linger_until: Option<Instant>,
}

impl<T> Socket<T> {
    fn new(stream: T, limits: ServerLimits) -> Self {
        Self {
            stream,
            limits,
            progress: Arc::default(),
            // Whoever connects has something to say, so there is no idle time before it.
            waiting: Waiting::Head(Instant::now() + limits.header_timeout),
            waiting_since: 0,
            read_timer: None,
            write_until: None,
            write_timer: None,
            linger_until: None,
        }
    }

    /// Takes note that bytes came.
    fn received(&mut self) {
        let begun = self.progress.requests_begun();
        if self.waiting_since != begun || matches!(self.waiting, Waiting::Idle(_)) {
            self.waiting_since = begun;
            self.waiting = Waiting::Head(Instant::now() + self.limits.header_timeout);
        }
    }

    /// The deadline of a read that has to wait.
    fn read_until(&mut self) -> Instant {
        let begun = self.progress.requests_begun();
        if self.waiting_since != begun {
            self.waiting_since = begun;
            self.waiting = Waiting::Idle(Instant::now() + self.limits.idle_timeout);
        }
        match self.waiting {
            Waiting::Idle(until) | Waiting::Head(until) => until,
        }
    }

    /// Gives a write that has to wait its deadline.
    fn watch_write<R>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.write_until = None;
            return written;
        }
        let timeout = self.limits.write_timeout;
        let until = *self
            .write_until
            .get_or_insert_with(|| Instant::now() + timeout);
        ready!(poll_deadline(&mut self.write_timer, until, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Socket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let result = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if this.progress.is_serving() {
            return result;
        }
        if result.is_ready() {
            this.received();
            return result;
        }
        let until = this.read_until();
        ready!(poll_deadline(&mut this.read_timer, until, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch_write(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch_write(cx, flushed)
    }

    /// Says goodbye; after a request that was answered before its end, reads on until the client
    /// says so too, so that the answer reaches it.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger_until.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.progress.unread.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let until = *this
            .linger_until
            .get_or_insert_with(|| Instant::now() + LINGER_TIMEOUT);
        let mut scratch = [0; 4096];
        loop {
            let mut discarded = ReadBuf::new(&mut scratch);
            match Pin::new(&mut this.stream).poll_read(cx, &mut discarded) {
                Poll::Ready(Ok(())) if !discarded.filled().is_empty() => {
                    if Instant::now() >= until {
                        return Poll::Ready(Ok(()));
                    }
                }
                // Gone, or broken: nothing is left to wait for.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(poll_deadline(&mut this.read_timer, until, cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}
