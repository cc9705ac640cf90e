//! Reads a request body within its limits of size and time.

use crate::limits::{BODY_BYTES_MAX, BODY_TIMEOUT};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It is longer than allowed.
    #[error("the body is larger than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// It took too long to come.
    #[error("the body did not come within {} s", BODY_TIMEOUT.as_secs())]
    TimedOut,
    /// The connection failed; nobody waits for an answer.
    #[error("the connection failed")]
    Failed(#[source] hyper::Error),
}

/// Reads the whole body. One that comes in one piece, as nearly all do, is not copied.
pub(crate) async fn read(mut body: Incoming) -> Result<Bytes, BodyError> {
    // The announced length is refused before anything is read or made room for.
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(BodyError::TooLarge);
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let deadline = tokio::time::Instant::now() + BODY_TIMEOUT;
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(Some(frame)) => frame.map_err(BodyError::Failed)?,
            Ok(None) => break,
            Err(_) => return Err(BodyError::TimedOut),
        };
        // Trailers say nothing about a message.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if rest.len().max(first.len()) + data.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        if first.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() {
        first
    } else {
        rest.freeze()
    })
}
