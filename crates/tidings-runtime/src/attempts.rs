//! What the attempt log keeps of an attempt: made by the destination's task, written by the writer.
//!
//! The body's hash is taken only for messages that did not succeed at once: that is where one asks
//! whether the same bytes were sent again, and hashing every body would cost as much as all the rest
//! of the log.

use sha2::{Digest as _, Sha256};
use std::{sync::Arc, time::Duration};
use tidings_dispatch::Kind;
use tidings_egress::{Attempt, Timings};
use tidings_model::{DataSourceId, DeviceUuid, Timestamp};
use tidings_store::{AttemptRecord, PhaseMicros};

/// The outcome of an attempt that was not made, for want of an OAuth token.
const NO_TOKEN: &str = "no_token";

/// What all attempts at one message have in common, and what became of them so far.
#[derive(Debug)]
pub(crate) struct MessageLog {
    pub(crate) kind: Kind,
    namespace: DataSourceId,
    users: usize,
    devices: Arc<[DeviceUuid]>,
    /// When the attempt under way began.
    pub(crate) began: Timestamp,
    attempts: Vec<AttemptRecord>,
}

impl MessageLog {
    pub(crate) const fn new(
        kind: Kind,
        namespace: DataSourceId,
        users: usize,
        devices: Arc<[DeviceUuid]>,
        began: Timestamp,
    ) -> Self {
        Self {
            kind,
            namespace,
            users,
            devices,
            began,
            attempts: Vec::new(),
        }
    }

    /// The log's rows, when the message has come to its end.
    pub(crate) fn into_attempts(self) -> Vec<AttemptRecord> {
        self.attempts
    }

    /// Adds what an attempt came to. `attempt` is an error when there was no token to send.
    pub(crate) fn push(
        &mut self,
        body: &[u8],
        attempt: &Result<Attempt, String>,
        delivered: Delivered,
    ) {
        let first = self.attempts.is_empty();
        let hash = match self.attempts.first() {
            Some(first) => first.hash,
            None if delivered == Delivered::Yes => [0; 8],
            None => hash(body),
        };
        let mut record = AttemptRecord {
            number: u8::try_from(self.attempts.len() + 1).unwrap_or(u8::MAX),
            batch: self.kind == Kind::Batch,
            delivered: delivered == Delivered::Yes,
            began: self.began,
            namespace: self.namespace,
            users: u32::try_from(self.users).unwrap_or(u32::MAX),
            devices: Arc::clone(&self.devices),
            bytes: u32::try_from(body.len()).unwrap_or(u32::MAX),
            hash,
            ..AttemptRecord::default()
        };
        match attempt {
            Ok(attempt) => describe(attempt, &mut record),
            Err(no_token) => {
                record.outcome = NO_TOKEN.into();
                record.detail = no_token.as_str().into();
            }
        }
        if first {
            self.attempts.reserve_exact(1);
        }
        self.attempts.push(record);
    }
}

/// Whether an attempt was answered with success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    Yes,
    No,
}

fn describe(attempt: &Attempt, record: &mut AttemptRecord) {
    record.reused = attempt.reused;
    record.micros = micros(&attempt.timings);
    if !record.delivered {
        record.outcome = attempt.class().into();
    }
    match &attempt.result {
        Ok(response) => {
            record.status = Some(response.status);
            record.retry_after = response
                .retry_after
                .map(|wait| u32::try_from(wait.as_secs()).unwrap_or(u32::MAX));
            // Already printable and without secrets.
            record.excerpt = std::str::from_utf8(&response.body_excerpt)
                .unwrap_or_default()
                .into();
            let more = [&response.bearer_error, &response.location];
            let mut more = more.into_iter().flatten();
            record.detail = more.next().cloned().unwrap_or_default();
        }
        Err(failure) => {
            record.detail = failure.detail.as_str().into();
        }
    }
}

fn micros(timings: &Timings) -> PhaseMicros {
    let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let Timings {
        dns,
        connect,
        tls,
        write,
        response,
        total,
    } = *timings;
    PhaseMicros {
        dns: dns.map(micros),
        connect: connect.map(micros),
        tls: tls.map(micros),
        write: write.map(micros),
        response: response.map(micros),
        total: micros(total),
    }
}

fn hash(body: &[u8]) -> [u8; 8] {
    let hash: [u8; 32] = Sha256::digest(body).into();
    hash.first_chunk().copied().unwrap_or_default()
}
