//! One request as it was received and judged: what observers see and the record tells.

use bytes::Bytes;
use http::{HeaderMap, Method};
use std::{fmt, time::Instant};
use tidings_wire::Message;

/// A request and what became of it.
///
/// The value of `Authorization` is in `headers`, marked as sensitive: it is not printed.
#[non_exhaustive]
pub struct Received {
    /// When it had been read in full.
    pub at: jiff::Timestamp,
    /// The same moment on the clock that measures intervals.
    pub instant: Instant,
    /// Its method.
    pub method: Method,
    /// Path and query, as sent.
    pub target: String,
    /// Its header fields.
    pub headers: HeaderMap,
    /// The bytes of its body; empty when it was refused unread.
    pub body: Bytes,
    /// True for a request to the token endpoint, false for a message.
    pub is_token_request: bool,
    /// The message, if the body is one.
    pub message: Option<Message>,
    /// Whether the body is an acceptable message, or the token request one that is granted.
    pub valid: bool,
    /// What the signature check found.
    pub signature: SignatureCheck,
    /// Everything wrong with it, also what is only reported.
    pub errors: Vec<String>,
    /// The status it is answered with; 0 when it is not answered on purpose.
    pub status: u16,
    /// The fault that happened to it.
    pub fault: Option<String>,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("at", &self.at)
            .field("method", &self.method)
            .field("target", &self.target)
            .field("body_bytes", &self.body.len())
            .field("valid", &self.valid)
            .field("signature", &self.signature)
            .field("errors", &self.errors)
            .field("status", &self.status)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

/// What the signature check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureCheck {
    /// No signature is demanded, or a header that should carry one is missing.
    #[default]
    None,
    /// Every header demanded carries a signature that matches.
    Ok,
    /// A header demanded carries no signature that matches.
    Bad,
}

impl SignatureCheck {
    /// `none`, `ok` or `bad`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ok => "ok",
            Self::Bad => "bad",
        }
    }
}
