//! Bodies of requests: received and decoded within a limit each, and a budget for all together.
//!
//! The budget is taken as bytes arrive, not as they are announced: announcing is free.

use crate::{code, problem::Problem, server::BodyTimeout};
use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::StatusCode;
use http_body_util::BodyExt as _;
use std::{
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidings_model::limits::EVENTS_BODY_BYTES_MAX;

/// Bytes of all bodies in memory at once, as received and as decoded.
pub(super) const BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes decoded in one step, and taken from the budget for it.
const DECODE_STEP_BYTES: usize = 64 * 1024;

/// How a body is encoded on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// Bytes that may still be held by bodies.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    free: Arc<AtomicUsize>,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            free: Arc::new(AtomicUsize::new(bytes)),
        }
    }
}

/// Bytes taken from a budget, given back on drop.
#[derive(Debug)]
struct Lease {
    budget: Budget,
    bytes: usize,
}

impl Lease {
    const fn new(budget: Budget) -> Self {
        Self { budget, bytes: 0 }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        let free = &self.budget.free;
        let taken = free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
            free.checked_sub(bytes)
        });
        if taken.is_err() {
            return Err(no_memory());
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// A body in memory, and its share of the budget.
#[derive(Debug)]
pub(super) struct ReceivedBody {
    bytes: Bytes,
    lease: Lease,
}

/// Receives a body, as long as it stays within its limit.
pub(super) async fn receive(mut body: Body, budget: &Budget) -> Result<ReceivedBody, Problem> {
    // What is announced to be too large is refused before a byte of it is read.
    if body.size_hint().lower() > EVENTS_BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut lease = Lease::new(budget.clone());
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        if first.len() + all.len() + data.len() > EVENTS_BODY_BYTES_MAX {
            return Err(too_large());
        }
        lease.take(data.len())?;
        if first.is_empty() && all.is_empty() {
            // Most bodies are one piece, which needs no copy.
            first = data;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&data);
        }
    }
    let bytes = if all.is_empty() { first } else { all.freeze() };
    Ok(ReceivedBody { bytes, lease })
}

impl ReceivedBody {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Undoes the encoding. This computes for as long as the body is large.
    pub(super) fn decode(self, encoding: Encoding) -> Result<Self, Problem> {
        match encoding {
            Encoding::Identity => Ok(self),
            Encoding::Gzip => self.decode_gzip(),
        }
    }

    fn decode_gzip(self) -> Result<Self, Problem> {
        let Self { bytes, mut lease } = self;
        let mut decoder = MultiGzDecoder::new(&*bytes);
        let mut decoded = Vec::new();
        loop {
            lease.take(DECODE_STEP_BYTES)?;
            let mut step = decoder.by_ref().take(DECODE_STEP_BYTES as u64);
            let read = step.read_to_end(&mut decoded).map_err(|_| not_gzip())?;
            if decoded.len() > EVENTS_BODY_BYTES_MAX {
                return Err(too_large());
            }
            if read < DECODE_STEP_BYTES {
                let bytes = decoded.into();
                return Ok(Self { bytes, lease });
            }
        }
    }
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        code::BODY_TOO_LARGE,
        format!("the body has more than {EVENTS_BODY_BYTES_MAX} bytes"),
    )
    .closing()
}

fn no_memory() -> Problem {
    let detail = "too many large requests at once";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code::UNAVAILABLE, detail)
        .with_retry_after(Duration::from_secs(1))
        .closing()
}

fn not_gzip() -> Problem {
    let detail = "the body is not the gzip stream that Content-Encoding announces";
    Problem::new(StatusCode::BAD_REQUEST, code::INVALID_ENCODING, detail)
}

fn broken(error: axum::Error) -> Problem {
    let error = error.into_inner();
    let (status, code) = if error.is::<BodyTimeout>() {
        (StatusCode::REQUEST_TIMEOUT, code::BODY_TIMEOUT)
    } else {
        (StatusCode::BAD_REQUEST, code::BROKEN_BODY)
    };
    Problem::new(status, code, format!("the body could not be read: {error}")).closing()
}
