//! Attempts: how many a message had, and whether each had the same bytes.

use crate::Violation;
use bytes::Bytes;
use std::collections::BTreeMap;
use tidings_dispatch::MessageId;
use tidings_model::DestinationId;

/// A message of one task of a destination, in one life of the process.
pub(crate) type MessageKey = (u32, u64, DestinationId, MessageId);

/// What was attempted.
#[derive(Debug, Default)]
pub(crate) struct Attempts(BTreeMap<MessageKey, (Bytes, u32)>);

impl Attempts {
    /// The bytes of a message that was attempted.
    pub(crate) fn body(&self, key: &MessageKey) -> Option<&Bytes> {
        self.0.get(key).map(|(body, _)| body)
    }

    /// One more attempt. Returns its number, from 1.
    pub(crate) fn note(
        &mut self,
        key: MessageKey,
        body: &Bytes,
        retries: u32,
    ) -> Result<u32, Violation> {
        let (first, count) = self.0.entry(key).or_insert_with(|| (body.clone(), 0));
        *count += 1;
        let (.., to, message) = key;
        if first != body {
            let detail = format!("destination {to}, message {}", message.0);
            return Err(Violation::new(
                "a retry has the bytes of the first attempt",
                detail,
            ));
        }
        if *count > 1 + retries {
            let detail = format!("destination {to}, message {}: attempt {count}", message.0);
            return Err(Violation::new("a message has 1 + retries attempts", detail));
        }
        Ok(*count)
    }
}
