//! Rows of the attempt log. A row is a page: the attempts at one destination that became known in one
//! commit, so that a busy destination costs a row per commit and not one per POST.
//!
//! ```text
//! page      version 1 | attempts, each with its length before it
//! attempt   flags (1 batch, 2 delivered, 4 reused) | message, number: varints | began: folded varint |
//!           namespace, users: varints | devices: count, each as in a key | bytes: varint | hash: 8 bytes |
//!           status: varint, 0 for none | outcome, detail: lengths and UTF-8 |
//!           dns, connect, tls, write, response: varints, microseconds + 1, 0 for none | total: varint |
//!           retry-after: varint, seconds + 1, 0 for none | excerpt: UTF-8 to the end
//! ```

use super::bytes::{DecodeError, Problem, Reader, put_i64, put_len, put_u64};
use crate::keys;
use std::sync::Arc;
use tidings_model::{DataSourceId, DeviceUuid, Timestamp};

const VERSION: u8 = 1;
const BATCH: u8 = 1;
const DELIVERED: u8 = 2;
const REUSED: u8 = 4;

/// Bytes of a page from which on the next attempt begins another.
pub const ATTEMPT_PAGE_BYTES: usize = 64 * 1024;

/// One POST: what was sent, to whom, and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The message; it is the same for all attempts at it, and for no other message.
    pub message: u64,
    /// 1 for the first attempt at the message, 2 for its retry.
    pub number: u8,
    /// The message is part of a batch.
    pub batch: bool,
    /// The partner acknowledged it.
    pub delivered: bool,
    /// It went over a connection that was open already.
    pub reused: bool,
    /// When it began.
    pub began: Timestamp,
    /// The namespace of the message's ids.
    pub namespace: DataSourceId,
    /// User objects in the message.
    pub users: u32,
    /// The devices in it, each once, in their order there.
    pub devices: Arc<[DeviceUuid]>,
    /// Bytes of the body.
    pub bytes: u32,
    /// The first bytes of the body's SHA-256; zeros where it was not taken.
    pub hash: [u8; 8],
    /// Status of the response; `None` without one.
    pub status: Option<u16>,
    /// Stable name of what it came to. Empty stands for `status_` and the status.
    pub outcome: Box<str>,
    /// For people: more about a failure.
    pub detail: Box<str>,
    /// Where the time went.
    pub micros: PhaseMicros,
    /// Seconds that the partner asked to wait.
    pub retry_after: Option<u32>,
    /// The beginning of the response's body as text, without control characters and secrets.
    pub excerpt: Box<str>,
}

impl Default for AttemptRecord {
    /// An attempt at a message without users, of which nothing is known.
    fn default() -> Self {
        Self {
            message: 0,
            number: 1,
            batch: false,
            delivered: false,
            reused: false,
            began: Timestamp(0),
            namespace: DataSourceId::NONE,
            users: 0,
            devices: Arc::default(),
            bytes: 0,
            hash: [0; 8],
            status: None,
            outcome: Box::default(),
            detail: Box::default(),
            micros: PhaseMicros::default(),
            retry_after: None,
            excerpt: Box::default(),
        }
    }
}

/// Microseconds per phase of an attempt; `None` for a phase that was not reached or not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseMicros {
    /// Name resolution.
    pub dns: Option<u32>,
    /// TCP connection.
    pub connect: Option<u32>,
    /// TLS handshake.
    pub tls: Option<u32>,
    /// Until the request was written.
    pub write: Option<u32>,
    /// From then until the head of the response was there.
    pub response: Option<u32>,
    /// All of it.
    pub total: u32,
}

/// Attempts of one destination, on their way into one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptPage {
    bytes: Vec<u8>,
    attempt: Vec<u8>,
}

impl AttemptPage {
    /// Adds an attempt.
    pub fn push(&mut self, record: &AttemptRecord) {
        if self.bytes.is_empty() {
            self.bytes.push(VERSION);
        }
        self.attempt.clear();
        record.encode(&mut self.attempt);
        put_len(&mut self.bytes, self.attempt.len());
        self.bytes.extend_from_slice(&self.attempt);
    }

    /// True when the next attempt should begin another page.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= ATTEMPT_PAGE_BYTES
    }

    /// True when there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The row; empty when there is nothing in it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes it empty and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<AttemptRecord>, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let mut records = Vec::new();
        while reader.remaining() > 0 {
            let length = reader.count("attempt's length", 1)?;
            records.push(AttemptRecord::decode(reader.bytes("attempt", length)?)?);
        }
        Ok(records)
    }
}

impl AttemptRecord {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut flags = if self.batch { BATCH } else { 0 };
        flags |= if self.delivered { DELIVERED } else { 0 };
        flags |= if self.reused { REUSED } else { 0 };
        out.push(flags);
        put_u64(out, self.message);
        put_u64(out, self.number.into());
        put_i64(out, self.began.0);
        put_u64(out, self.namespace.0.into());
        put_u64(out, self.users.into());
        put_len(out, self.devices.len());
        for uuid in self.devices.iter() {
            keys::put_uuid(out, uuid);
        }
        put_u64(out, self.bytes.into());
        out.extend_from_slice(&self.hash);
        put_u64(out, self.status.unwrap_or(0).into());
        for text in [&self.outcome, &self.detail] {
            put_len(out, text.len());
            out.extend_from_slice(text.as_bytes());
        }
        let PhaseMicros {
            dns,
            connect,
            tls,
            write,
            response,
            total,
        } = self.micros;
        for micros in [dns, connect, tls, write, response] {
            put_optional(out, micros);
        }
        put_u64(out, total.into());
        put_optional(out, self.retry_after);
        out.extend_from_slice(self.excerpt.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let flags = reader.flags("attempt's flags", BATCH | DELIVERED | REUSED)?;
        let message = reader.u64("attempt's message")?;
        let number = reader.u64("attempt's number")?;
        let number = u8::try_from(number)
            .map_err(|_| reader.fail("attempt's number", Problem::OutOfRange))?;
        let began = Timestamp(reader.i64("attempt's time")?);
        let namespace = DataSourceId(reader.u32("attempt's namespace")?);
        let users = reader.u32("attempt's users")?;
        // A device takes at least a byte of length and, but for the empty one, a digit.
        let count = reader.count("attempt's devices", 1)?;
        let devices = (0..count).map(|_| keys::read_uuid(&mut reader));
        let devices = devices.collect::<Result<_, _>>()?;
        let bytes = reader.u32("attempt's bytes")?;
        let hash = reader.array("attempt's hash")?;
        let status = reader.u16("attempt's status")?;
        let outcome = text(&mut reader, "attempt's outcome")?;
        let detail = text(&mut reader, "attempt's detail")?;
        let mut micros = || optional(&mut reader, "attempt's time");
        let (dns, connect, tls) = (micros()?, micros()?, micros()?);
        let (write, response) = (micros()?, micros()?);
        let total = reader.u32("attempt's time")?;
        let retry_after = optional(&mut reader, "retry-after")?;
        let excerpt = std::str::from_utf8(reader.rest())
            .map_err(|_| reader.fail("attempt's excerpt", Problem::NotUtf8))?;
        Ok(Self {
            message,
            number,
            batch: flags & BATCH != 0,
            delivered: flags & DELIVERED != 0,
            reused: flags & REUSED != 0,
            began,
            namespace,
            users,
            devices,
            bytes,
            hash,
            status: (status != 0).then_some(status),
            outcome,
            detail,
            micros: PhaseMicros {
                dns,
                connect,
                tls,
                write,
                response,
                total,
            },
            retry_after,
            excerpt: excerpt.into(),
        })
    }
}

fn put_optional(out: &mut Vec<u8>, value: Option<u32>) {
    put_u64(out, value.map_or(0, |value| u64::from(value) + 1));
}

fn optional(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<u32>, DecodeError> {
    let value = reader.u64(field)?;
    let Some(value) = value.checked_sub(1) else {
        return Ok(None);
    };
    let value = u32::try_from(value).map_err(|_| reader.fail(field, Problem::OutOfRange))?;
    Ok(Some(value))
}

fn text(reader: &mut Reader<'_>, field: &'static str) -> Result<Box<str>, DecodeError> {
    let length = reader.count(field, 1)?;
    let bytes = reader.bytes(field, length)?;
    let text = std::str::from_utf8(bytes).map_err(|_| reader.fail(field, Problem::NotUtf8))?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn pages_come_back(
            uuids in proptest::collection::vec("[0-9]{1,64}|[0-9]{38}", 0..4),
            (message, number, flags) in any::<(u64, u8, [bool; 3])>(),
            (began, counts, hash) in any::<(i64, [u32; 4], [u8; 8])>(),
            status in proptest::option::of(1..600u16),
            (phases, retry_after) in any::<([Option<u32>; 5], Option<u32>)>(),
            (outcome, detail, excerpt) in ("[a-z_]{0,8}", "\\PC{0,20}", "\\PC{0,40}"),
        ) {
            let [batch, delivered, reused] = flags;
            let [namespace, users, bytes, total] = counts;
            let [dns, connect, tls, write, response] = phases;
            let record = AttemptRecord {
                message,
                number,
                batch,
                delivered,
                reused,
                began: Timestamp(began),
                namespace: DataSourceId(namespace),
                users,
                devices: uuids.iter().map(|uuid| uuid.parse().unwrap()).collect(),
                bytes,
                hash,
                status,
                outcome: outcome.into(),
                detail: detail.into(),
                micros: PhaseMicros { dns, connect, tls, write, response, total },
                retry_after,
                excerpt: excerpt.into(),
            };
            let mut page = AttemptPage::default();
            page.push(&record);
            page.push(&AttemptRecord::default());
            let expected = vec![record, AttemptRecord::default()];
            prop_assert_eq!(AttemptPage::decode(page.bytes()), Ok(expected));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            drop(AttemptPage::decode(&bytes));
        }
    }
}
