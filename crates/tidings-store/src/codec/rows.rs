//! The small rows: links, pending pairs, undelivered pairs, batches.
//!
//! ```text
//! links         version 2 | count: varint | per device, ascending by time: device as in a key | at: folded varint
//! pending       version 1 | seq: varint | since: folded varint
//! undelivered   version 1 | flags (1 held) | at: folded varint | reason: UTF-8 to the end
//! batch         version 1 | flags (1 ended, 2 cut short) | due, started, ended if it has: folded varints |
//!               received, attempted, succeeded, failed: varints. Its number is in its key
//! ```

use super::bytes::{DecodeError, Problem, Reader, put_i64, put_len, put_u64};
use crate::keys;
use tidings_model::{DeviceUuid, Timestamp};

const VERSION: u8 = 1;
/// Version 1 held the newest device alone; an upgrade of the directory replaces it.
const LINKS_VERSION: u8 = 2;
const HELD: u8 = 1;
const ENDED: u8 = 1;
const CUT_SHORT: u8 = 2;

/// Bytes of an undelivered pair's reason; longer ones are cut.
pub const REASON_BYTES_MAX: usize = 200;

/// A device that a declared id is linked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The device.
    pub uuid: DeviceUuid,
    /// When it was linked.
    pub at: Timestamp,
}

/// A partner has not been told the newest state of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingRow {
    /// Sequence number of the commit that touched the pair last.
    pub seq: u64,
    /// When it was first touched since the partner was last told.
    pub since: Timestamp,
}

/// A partner could not be told the state of a device, and attempts have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// When the last attempt failed.
    pub at: Timestamp,
    /// Why, in at most [`REASON_BYTES_MAX`] bytes; the rest is cut when it is stored.
    pub reason: Box<str>,
    /// It is sent again when the destination recovers, on the next trigger or on request. Otherwise it
    /// was dropped and is only listed.
    pub held: bool,
}

/// One batch of a destination. A *record* is one user object: a device under one id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchRecord {
    /// Counts the destination's batches, from 1.
    pub number: u32,
    /// The time of day it was due at.
    pub due: Timestamp,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while it runs.
    pub ended: Option<Timestamp>,
    /// It ended because the next one was due.
    pub cut_short: bool,
    /// Records generated and brought to an end.
    pub received: u64,
    /// Of these, the ones that were attempted.
    pub attempted: u64,
    /// Of these, the ones that the partner acknowledged.
    pub succeeded: u64,
    /// Of these, the ones that were given up. Their devices go into the next batch.
    pub failed: u64,
}

/// Appends the devices that an id is linked to.
pub(crate) fn encode_links(links: &[Link], out: &mut Vec<u8>) {
    out.push(LINKS_VERSION);
    put_len(out, links.len());
    for link in links {
        keys::put_uuid(out, &link.uuid);
        put_i64(out, link.at.0);
    }
}

/// Reads the devices that an id is linked to.
pub(crate) fn decode_links(bytes: &[u8]) -> Result<Vec<Link>, DecodeError> {
    /// A device of no digits would take a byte, and a time another.
    const LINK_BYTES_MIN: usize = 2;
    let mut reader = Reader::new(bytes);
    reader.version(LINKS_VERSION)?;
    let count = reader.count("linked devices", LINK_BYTES_MIN)?;
    let mut links = Vec::with_capacity(count);
    for _ in 0..count {
        let uuid = keys::read_uuid(&mut reader)?;
        let at = Timestamp(reader.i64("link's time")?);
        links.push(Link { uuid, at });
    }
    reader.end("links")?;
    Ok(links)
}

impl PendingRow {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_u64(out, self.seq);
        put_i64(out, self.since.0);
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let row = Self::read(&mut reader)?;
        reader.end("pending pair")?;
        Ok(row)
    }

    /// Reads it where it is part of another row.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            seq: reader.u64("pending seq")?,
            since: Timestamp(reader.i64("pending since")?),
        })
    }
}

impl Undelivered {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.push(if self.held { HELD } else { 0 });
        put_i64(out, self.at.0);
        let length = self.reason.floor_char_boundary(REASON_BYTES_MAX);
        out.extend(self.reason.bytes().take(length));
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let held = reader.flags("undelivered flags", HELD)? & HELD != 0;
        let at = Timestamp(reader.i64("undelivered time")?);
        let reason = std::str::from_utf8(reader.rest())
            .map_err(|_| reader.fail("reason", Problem::NotUtf8))?;
        Ok(Self {
            at,
            reason: reason.into(),
            held,
        })
    }
}

impl BatchRecord {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let ended = if self.ended.is_some() { ENDED } else { 0 };
        let cut_short = if self.cut_short { CUT_SHORT } else { 0 };
        out.push(ended | cut_short);
        put_i64(out, self.due.0);
        put_i64(out, self.started.0);
        if let Some(ended) = self.ended {
            put_i64(out, ended.0);
        }
        for count in [self.received, self.attempted, self.succeeded, self.failed] {
            put_u64(out, count);
        }
    }

    pub(crate) fn decode(number: u32, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let flags = reader.flags("batch flags", ENDED | CUT_SHORT)?;
        let due = Timestamp(reader.i64("batch's time")?);
        let started = Timestamp(reader.i64("batch's start")?);
        let ended = match flags & ENDED {
            0 => None,
            _ => Some(Timestamp(reader.i64("batch's end")?)),
        };
        let record = Self {
            number,
            due,
            started,
            ended,
            cut_short: flags & CUT_SHORT != 0,
            received: reader.u64("received records")?,
            attempted: reader.u64("attempted records")?,
            succeeded: reader.u64("successful records")?,
            failed: reader.u64("failed records")?,
        };
        reader.end("batch")?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[test]
    fn a_reason_is_cut_between_characters() {
        let long = Undelivered {
            at: Timestamp(1),
            reason: "é".repeat(150).into(),
            held: true,
        };
        let mut out = Vec::new();
        long.encode(&mut out);
        let stored = Undelivered::decode(&out).unwrap();
        assert_eq!(&*stored.reason, "é".repeat(100));

        out.clear();
        let reason = format!("a{}", "é".repeat(150)).into();
        Undelivered { reason, ..long }.encode(&mut out);
        assert_eq!(Undelivered::decode(&out).unwrap().reason.len(), 199);
    }

    proptest! {
        #[test]
        fn rows_come_back(
            uuid in "[0-9]{1,64}|[0-9]{38}",
            (at, seq) in any::<(i64, u64)>(),
            reason in "\\PC{0,40}",
            held in any::<bool>(),
            (number, ended, counts) in any::<(u32, Option<i64>, [u64; 4])>(),
        ) {
            let (at, mut out) = (Timestamp(at), Vec::new());
            let link = Link { uuid: uuid.parse().unwrap(), at };
            let links = vec![link; usize::from(held) * 3];
            encode_links(&links, &mut out);
            prop_assert_eq!(decode_links(&out), Ok(links));

            out.clear();
            let pending = PendingRow { seq, since: at };
            pending.encode(&mut out);
            prop_assert_eq!(PendingRow::decode(&out), Ok(pending));

            out.clear();
            let undelivered = Undelivered { at, reason: reason.into(), held };
            undelivered.encode(&mut out);
            prop_assert_eq!(Undelivered::decode(&out), Ok(undelivered));

            out.clear();
            let [received, attempted, succeeded, failed] = counts;
            let batch = BatchRecord {
                number,
                due: at,
                started: at,
                ended: ended.map(Timestamp),
                cut_short: held,
                received,
                attempted,
                succeeded,
                failed,
            };
            batch.encode(&mut out);
            prop_assert_eq!(BatchRecord::decode(number, &out), Ok(batch));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            drop((PendingRow::decode(&bytes), Undelivered::decode(&bytes)));
            drop(BatchRecord::decode(1, &bytes));
            if let Some(first) = bytes.first_mut() {
                *first = LINKS_VERSION;
            }
            drop(decode_links(&bytes));
        }
    }
}
