//! Bodies on their way in and out: requests that must keep a pace, answers that keep a connection
//! from counting as idle.

use super::{ServerLimits, connection::Progress};
use bytes::{Buf as _, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// A request's body came more slowly than the server allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it came too slowly")]
pub struct BodyTimeout;

/// A request's body that fails when it comes too slowly.
///
/// Time counts from the first attempt to read, so a handler should read its body at once.
pub(super) struct PacedBody {
    body: Incoming,
    limits: ServerLimits,
    started: Option<Instant>,
    received: u64,
    timer: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
    ended: bool,
}

impl PacedBody {
    pub(super) const fn new(body: Incoming, limits: ServerLimits, progress: Arc<Progress>) -> Self {
        Self {
            body,
            limits,
            started: None,
            received: 0,
            timer: None,
            progress,
            ended: false,
        }
    }

    fn deadline(&self, started: Instant) -> Instant {
        let rate = u64::from(self.limits.body_bytes_per_second_min.max(1));
        let earned = Duration::from_millis(self.received.saturating_mul(1000) / rate);
        started + (self.limits.body_grace + earned).min(self.limits.body_timeout)
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let started = *this.started.get_or_insert_with(Instant::now);
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            match &frame {
                Some(Ok(frame)) => {
                    let bytes = frame.data_ref().map_or(0, Bytes::remaining);
                    this.received = this.received.saturating_add(bytes as u64);
                }
                Some(Err(_)) | None => this.ended = true,
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = this.deadline(started);
        ready!(poll_deadline(&mut this.timer, deadline, cx));
        Poll::Ready(Some(Err(BodyTimeout.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for PacedBody {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.progress.leave_body_unread();
        }
    }
}

/// Ready when `deadline` has passed. The timer is made, or set anew, only when somebody waits.
pub(super) fn poll_deadline(
    timer: &mut Option<Pin<Box<Sleep>>>,
    deadline: Instant,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
    if timer.deadline() != deadline {
        timer.as_mut().reset(deadline);
    }
    timer.as_mut().poll(cx)
}

/// An answer's body; the request is in progress as long as it exists.
pub(super) struct AnswerBody {
    pub(super) body: axum::body::Body,
    pub(super) _request: RequestInProgress,
}

/// Marks a request as in progress.
pub(super) struct RequestInProgress(Arc<Progress>);

impl RequestInProgress {
    pub(super) fn begin(progress: &Arc<Progress>) -> Self {
        progress.begin();
        Self(Arc::clone(progress))
    }
}

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
