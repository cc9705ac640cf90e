//! Answers: a decided [`Answer`], and the body that carries it or a fault over the wire.

use crate::fault::Scripted;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Interval, MissedTickBehavior};

/// Bytes of a slow body; at one a second, longer than any sender should wait.
const SLOW_BODY_BYTES: u64 = 3_600;
/// A big body is sent in pieces of this size.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Ends the connection instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    /// With a reset.
    #[error("the connection is reset on purpose")]
    Reset,
    /// As a fault does it, byte by byte.
    #[error("the connection is taken over by {0}")]
    Scripted(Scripted),
    /// In the ordinary way: the receiver stops.
    #[error("the receiver stops")]
    Close,
}

/// What a request is answered with, before any fault.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Answer {
    /// An empty answer.
    pub(crate) const fn status(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// An answer with a JSON body.
    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json; charset=utf-8"),
            )],
            body: body.into(),
        }
    }

    /// An answer with a body of plain text.
    pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            )],
            body: body.into(),
        }
    }

    /// An answer that lists what is wrong, as `{"errors":[…]}`.
    pub(crate) fn errors(status: StatusCode, errors: &[String]) -> Self {
        Self::json(status, serde_json::json!({ "errors": errors }).to_string())
    }

    /// This answer with one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// This answer with its body gzip-encoded; an empty body becomes an empty JSON object, so that
    /// there is something to decode.
    pub(crate) fn gzipped(mut self) -> Self {
        if self.body.is_empty() {
            let headers = std::mem::take(&mut self.headers);
            self = Self::json(self.status, "{}");
            self.headers.extend(headers);
        }
        self.body = gzip(&self.body);
        self.with(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))
    }

    /// The response to send.
    pub(crate) fn into_response(self) -> Response<ReplyBody> {
        response(self.status, self.headers, ReplyBody::Whole(self.body))
    }
}

/// An answer whose body comes one byte per `interval`.
pub(crate) fn slow(status: StatusCode, interval: Duration) -> Response<ReplyBody> {
    // An interval of nothing is not one that tokio takes.
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let body = ReplyBody::Slow {
        left: SLOW_BODY_BYTES,
        ticks,
    };
    response(status, Vec::new(), body)
}

/// An answer with a body of `bytes` bytes.
pub(crate) fn big(status: StatusCode, bytes: u64) -> Response<ReplyBody> {
    response(status, Vec::new(), ReplyBody::Big { left: bytes })
}

fn response(
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: ReplyBody,
) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = flate2::bufread::GzEncoder::new(plain, flate2::Compression::default());
    let mut encoded = Vec::new();
    std::io::Read::read_to_end(&mut encoder, &mut encoded)
        .expect("reading from memory does not fail");
    encoded.into()
}

/// A response body. It never fails; its error type is there for faults in the midst of a body.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// In one piece; empty once it is sent.
    Whole(Bytes),
    /// One byte per tick.
    Slow {
        /// Bytes still to come.
        left: u64,
        /// When they come.
        ticks: Interval,
    },
    /// As fast as the peer reads.
    Big {
        /// Bytes still to come.
        left: u64,
    },
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let data = match self.get_mut() {
            Self::Whole(body) => std::mem::take(body),
            Self::Slow { left: 0, .. } => Bytes::new(),
            Self::Slow { left, ticks } => {
                std::task::ready!(ticks.poll_tick(cx));
                *left -= 1;
                Bytes::from_static(b" ")
            }
            Self::Big { left } => {
                let size = usize::try_from(*left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
                let piece = ZEROS.get(..size).unwrap_or_default();
                *left = left.saturating_sub(size as u64);
                Bytes::from_static(piece)
            }
        };
        Poll::Ready(if data.is_empty() {
            None
        } else {
            Some(Ok(Frame::data(data)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Whole(body) => body.len() as u64,
            Self::Slow { left, .. } | Self::Big { left } => *left,
        })
    }
}

/// The media type in `Content-Type`, without parameters and blanks.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    value.split(';').next().map(str::trim)
}
