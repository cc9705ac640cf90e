//! One HTTP/1.1 connection, driven by whoever uses it.
//!
//! hyper splits a connection into a handle and a driver that is usually spawned as a task. Here the
//! driver is polled by the very task that waits for the response: no task per connection, no
//! wake-ups across threads, and dropping the future of an attempt closes its connection and nothing
//! else. The price is that nobody watches an idle connection: the pool looks before it hands one
//! out, and sweeps now and then.
//!
//! **Invariant:** a link goes back to the pool only when the last response was read to its end and
//! the connection says that it is ready for another request. Of one exchange no more is read than
//! [`HEAD_BYTES_MAX`], interim responses included, and then [`BODY_BYTES_MAX`].

use crate::{
    attempt::{Body, BodyEnd, EXCERPT_BYTES_MAX, Phase, Trace},
    failure::{Failure, FailureClass, find},
    request::Message,
    tls,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, poll_fn},
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};
use tidings_model::limits::RESPONSE_BYTES_MAX;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::client::TlsStream;

/// Bytes of status line and headers, of all interim responses before them, and of what is buffered
/// of a body. The number of headers is
/// limited to 100 by hyper itself as long as it is not set (then the headers need no allocation).
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a body as it is framed; the framing of more than this much is not read.
const BODY_BYTES_MAX: usize = RESPONSE_BYTES_MAX + 1024;

type Driver = http1::Connection<TokioIo<Metered<TlsStream<TcpStream>>>, Full<Bytes>>;

pub(crate) struct Link {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Box<Driver>,
    /// The driver has ended and must not be polled again.
    ended: bool,
    meter: Arc<Meter>,
    opened: Instant,
    peer: IpAddr,
}

/// Why a message was not answered.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The connection was closed before any of it was written: here it is again.
    NotSent(Box<Message>, Failure),
    /// Some of it may have been written.
    Failed(Failure),
}

impl Link {
    pub(crate) async fn open(stream: TlsStream<TcpStream>, peer: IpAddr) -> Result<Self, Failure> {
        let meter = Arc::new(Meter::default());
        meter.reset();
        let io = TokioIo::new(Metered {
            inner: stream,
            meter: Arc::clone(&meter),
        });
        let (sender, driver) = http1::Builder::new()
            .title_case_headers(true)
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(io)
            .await
            .map_err(|error| Failure::of(FailureClass::ClosedBeforeRequest, &error))?;
        Ok(Self {
            sender,
            driver: Box::new(driver),
            ended: false,
            meter,
            opened: Instant::now(),
            peer,
        })
    }

    /// Where it goes.
    pub(crate) const fn peer(&self) -> IpAddr {
        self.peer
    }

    pub(crate) const fn opened(&self) -> Instant {
        self.opened
    }

    /// Moves the connection on as far as it goes without waiting.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            // The driver's own error is told to whoever waits for a response or its body.
            self.ended = Pin::new(&mut *self.driver).poll(cx).is_ready();
        }
    }

    /// Looks whether the connection could take a request now: an end or stray bytes from the peer
    /// that have arrived are noticed.
    pub(crate) fn is_ready(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        !self.ended && self.sender.is_ready()
    }

    /// Sends a message and waits for the head of its response.
    ///
    /// Cancel safe in this sense: a link whose `send` was dropped must be dropped too.
    pub(crate) async fn send(
        &mut self,
        message: Message,
        trace: &mut Trace,
    ) -> Result<http::Response<Incoming>, SendError> {
        self.meter.reset();
        let mut response = pin!(self.sender.try_send_request(message));
        let result = poll_fn(|cx| {
            self.drive(cx);
            trace.bytes_read = self.meter.bytes_read();
            if matches!(trace.phase, Phase::Write) && self.meter.all_written() {
                trace.enter(Phase::Response);
            }
            response.as_mut().poll(cx)
        })
        .await;
        trace.enter(Phase::Response);
        result.map_err(|mut error| match error.take_message() {
            Some(message) => {
                // An alert to the end of the handshake, which was over for us. Bytes that came before the
                // request cannot be its response.
                let class = match tls::class_in(error.error()) {
                    Some(class) => class,
                    None if self.meter.read_any() => FailureClass::ResponseMalformed,
                    None => FailureClass::ClosedBeforeRequest,
                };
                let failure = Failure::of(class, error.error());
                SendError::NotSent(Box::new(message), failure)
            }
            None => SendError::Failed(self.failure(error.error())),
        })
    }

    /// Reads a body into `sink` until it ends or more than `bytes_max` have come.
    pub(crate) async fn read(&mut self, mut body: Incoming, sink: &mut BodySink) {
        if body.is_end_stream() {
            sink.end = BodyEnd::Complete;
            return;
        }
        self.meter.permit(BODY_BYTES_MAX);
        sink.end = poll_fn(|cx| {
            loop {
                self.drive(cx);
                let mut polled = Pin::new(&mut body).poll_frame(cx);
                if polled.is_pending() {
                    // Only now does the driver know that the body is wanted.
                    self.drive(cx);
                    polled = Pin::new(&mut body).poll_frame(cx);
                }
                match ready!(polled) {
                    None => return Poll::Ready(BodyEnd::Complete),
                    Some(Err(error)) => return Poll::Ready(body_end(&error)),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data()
                            && !sink.take(data)
                        {
                            return Poll::Ready(BodyEnd::TooLarge);
                        }
                    }
                }
            }
        })
        .await;
    }

    /// Bytes read since the last message was sent, after decryption.
    pub(crate) fn bytes_read(&self) -> usize {
        self.meter.bytes_read()
    }

    /// Says goodbye (TLS close_notify, then the end of the stream) as far as that goes without
    /// waiting, and closes.
    pub(crate) fn close(self) {
        let Self {
            sender,
            mut driver,
            ended,
            ..
        } = self;
        // Without a sender there is no further request, so the driver shuts the stream down.
        drop(sender);
        if !ended {
            let _done = Pin::new(&mut *driver).poll(&mut Context::from_waker(Waker::noop()));
        }
    }

    fn failure(&self, error: &hyper::Error) -> Failure {
        let begun = self.meter.read_any();
        let pick = |before, within| if begun { within } else { before };
        let closed = pick(
            FailureClass::ClosedBeforeResponse,
            FailureClass::ClosedInHead,
        );
        let reset = pick(FailureClass::ResetBeforeResponse, FailureClass::ResetInHead);
        let class = if error.is_parse_too_large() || find::<TooMuch>(error).is_some() {
            FailureClass::ResponseTooLarge
        } else if error.is_parse() {
            FailureClass::ResponseMalformed
        } else if let Some(class) = tls::class_in(error) {
            class
        } else if let Some(error) = find::<io::Error>(error) {
            match error.kind() {
                io::ErrorKind::UnexpectedEof => closed,
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => reset,
                _ => FailureClass::ConnectionFailed,
            }
        } else if error.is_incomplete_message() {
            closed
        } else if error.is_canceled() || error.is_closed() {
            FailureClass::ClosedBeforeRequest
        } else {
            FailureClass::ConnectionFailed
        };
        Failure::of(class, error)
    }
}

fn body_end(error: &hyper::Error) -> BodyEnd {
    if error.is_incomplete_message() {
        return BodyEnd::Closed;
    }
    if find::<TooMuch>(error).is_some() {
        return BodyEnd::TooLarge;
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => BodyEnd::Closed,
        Some(
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe,
        ) => BodyEnd::Reset,
        _ => BodyEnd::Malformed,
    }
}

/// Takes what arrives of a body: counts all of it, keeps the beginning.
#[derive(Debug)]
pub(crate) struct BodySink {
    kept: Vec<u8>,
    kept_bytes_max: usize,
    bytes: usize,
    bytes_max: usize,
    end: BodyEnd,
}

impl BodySink {
    /// A sink for a body of at most `bytes_max` that keeps an excerpt.
    pub(crate) fn excerpt(bytes_max: usize) -> Self {
        Self::new(bytes_max, EXCERPT_BYTES_MAX, Vec::new())
    }

    /// A sink that keeps all of a body of at most `bytes_max`.
    pub(crate) fn whole(bytes_max: usize) -> Self {
        // Room for any usual answer: growing would leave copies of a secret behind.
        Self::new(bytes_max, bytes_max, Vec::with_capacity(EXCERPT_BYTES_MAX))
    }

    const fn new(bytes_max: usize, kept_bytes_max: usize, kept: Vec<u8>) -> Self {
        Self {
            kept,
            kept_bytes_max,
            bytes: 0,
            bytes_max,
            // Until the end is known, the body is one that did not end in time.
            end: BodyEnd::Late,
        }
    }

    /// Whether more may come.
    fn take(&mut self, data: Bytes) -> bool {
        let room = self.bytes_max.saturating_sub(self.bytes);
        let fits = data.len() <= room;
        self.bytes += data.len().min(room);
        let wanted = data.len().min(self.kept_bytes_max - self.kept.len());
        if let Some(wanted) = data.get(..wanted) {
            self.kept.extend_from_slice(wanted);
        }
        fits
    }

    pub(crate) const fn is_complete(&self) -> bool {
        matches!(self.end, BodyEnd::Complete)
    }

    /// What was kept, and how the body ended.
    pub(crate) fn into_kept(self) -> (Vec<u8>, BodyEnd) {
        (self.kept, self.end)
    }

    pub(crate) fn into_body(self) -> Body {
        Body {
            kept: self.kept.into(),
            bytes: self.bytes,
            end: self.end,
        }
    }
}

/// More came than is read.
#[derive(Debug, thiserror::Error)]
#[error("the response is too long")]
struct TooMuch;

/// Notes what passed between HTTP and TLS in the current exchange, and bounds it. One task at a
/// time uses it, so the atomics only satisfy the compiler.
#[derive(Debug, Default)]
struct Meter {
    written: AtomicBool,
    flushed: AtomicBool,
    bytes_read: AtomicUsize,
    bytes_read_max: AtomicUsize,
}

impl Meter {
    fn reset(&self) {
        for note in [&self.written, &self.flushed] {
            note.store(false, Ordering::Relaxed);
        }
        self.bytes_read.store(0, Ordering::Relaxed);
        self.permit(HEAD_BYTES_MAX);
    }

    /// Lets so many bytes more be read from here on.
    fn permit(&self, bytes: usize) {
        let max = self.bytes_read().saturating_add(bytes);
        self.bytes_read_max.store(max, Ordering::Relaxed);
    }

    fn bytes_read(&self) -> usize {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Bytes that may still be read.
    fn room(&self) -> usize {
        let max = self.bytes_read_max.load(Ordering::Relaxed);
        max.saturating_sub(self.bytes_read())
    }

    fn note_read(&self, bytes: usize) {
        let bytes = self.bytes_read().saturating_add(bytes);
        self.bytes_read.store(bytes, Ordering::Relaxed);
    }

    /// Everything that was written so far has been handed to the system. A request is flushed once,
    /// when it is complete, unless it is so large that it does not fit into the socket's buffer.
    fn all_written(&self) -> bool {
        self.flushed.load(Ordering::Relaxed)
    }

    fn read_any(&self) -> bool {
        self.bytes_read() > 0
    }

    fn note_written(&self) {
        self.written.store(true, Ordering::Relaxed);
        self.flushed.store(false, Ordering::Relaxed);
    }

    fn note_flushed(&self) {
        let any = self.written.load(Ordering::Relaxed);
        self.flushed.store(any, Ordering::Relaxed);
    }
}

/// The stream between HTTP and TLS, with its meter.
struct Metered<T> {
    inner: T,
    meter: Arc<Meter>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), self.meter.room());
        let polled = if buf.remaining() <= room {
            Pin::new(&mut self.inner).poll_read(cx, buf)
        } else if room == 0 {
            Poll::Ready(Err(io::Error::other(TooMuch)))
        } else {
            // Near the end, which is rare: a shorter buffer has to be cleared first.
            let mut shorter = ReadBuf::new(buf.initialize_unfilled_to(room));
            let polled = Pin::new(&mut self.inner).poll_read(cx, &mut shorter);
            let filled = shorter.filled().len();
            buf.advance(filled);
            polled
        };
        self.meter.note_read(buf.filled().len() - before);
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, data))?;
        self.meter.note_written();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, data))?;
        self.meter.note_written();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.meter.note_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
