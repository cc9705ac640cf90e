//! Signature headers of one destination: keys resolved once and replaced when their files change,
//! entries chosen by date per message.

use crate::{
    message,
    secret::{SecretError, read_secret},
};
use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};
use tidings_egress::Request;
use tidings_model::{Signing, Timestamp};
use tidings_wire::Key;

/// The signing entries of a destination, in configured order.
#[derive(Debug, Default)]
pub struct Signatures(ArcSwap<Vec<Entry>>);

#[derive(Debug)]
struct Entry {
    header: HeaderName,
    key: Key,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

/// Why a destination cannot be signed for.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A header name that cannot be used.
    #[error("the signing header {0:?} is not a header name that can be used")]
    Header(String),
    /// A secret that cannot be read.
    #[error("the signing secret for header {header}")]
    Secret {
        /// The header it is for.
        header: String,
        /// Why not.
        source: SecretError,
    },
}

impl Signatures {
    /// Reads the secrets of all entries.
    ///
    /// # Errors
    /// When a header cannot be used or a secret cannot be read.
    pub fn new(entries: &[Signing]) -> Result<Self, SigningError> {
        let read = |entry: &Signing| {
            let name = HeaderName::try_from(entry.header.as_str())
                .ok()
                .filter(|name| !tidings_egress::is_reserved_header(name))
                .ok_or_else(|| SigningError::Header(entry.header.clone()))?;
            let secret = read_secret(&entry.secret).map_err(|source| SigningError::Secret {
                header: entry.header.clone(),
                source,
            })?;
            Ok(Entry {
                header: name,
                key: Key::new(message::hash(entry.hash), secret.as_bytes()),
                not_before: entry.not_before,
                not_after: entry.not_after,
            })
        };
        let read: Result<Vec<_>, _> = entries.iter().map(read).collect();
        Ok(Self(ArcSwap::from_pointee(read?)))
    }

    /// Messages signed from now on are signed as by `newer`; those that were signed stay as they are.
    pub(crate) fn replace(&self, newer: Self) {
        self.0.store(newer.0.into_inner());
    }

    /// The request with one header for every entry in force at `now`.
    pub(crate) fn sign(&self, now: Timestamp, unsigned: Request) -> Request {
        let content = unsigned.content().clone();
        let mut request = unsigned.clone();
        for entry in self.0.load().iter() {
            if entry.not_before.is_some_and(|from| now < from)
                || entry.not_after.is_some_and(|until| now >= until)
            {
                continue;
            }
            let signature = entry.key.sign(&content);
            let Ok(value) = HeaderValue::from_bytes(signature.as_bytes()) else {
                continue;
            };
            request = match request.with_header(entry.header.clone(), value) {
                Ok(signed) => signed,
                // The name was checked when the entry was made.
                Err(_reserved) => return unsigned,
            };
        }
        request
    }
}
