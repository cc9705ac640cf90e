//! A batch: the operations of one commit, collected in one buffer.
//!
//! ```text
//! operation: kind u8 (1 put, 2 delete, 3 put where there is one) | key bytes u16 LE | value bytes u32 LE | key | value
//! ```
//!
//! The buffer is what the running hash of the store goes over, and it is kept when the batch is cleared:
//! filling a batch again allocates nothing. Later operations on the same row win.

mod records;

use crate::{
    codec::{BatchRecord, Link, PendingRow, Undelivered, encode_links, encode_profile},
    error::StoreError,
    keys,
    opt_out::OptOutMark,
};
use tidings_engine::Profile;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Timestamp};

const PUT: u8 = 1;
const DELETE: u8 = 2;
const REPLACE: u8 = 3;
const HEADER: usize = 7;

/// Bytes of a key; the longest are those of links, with a declared id of 512 bytes.
const KEY_BYTES_MAX: usize = 1024;
/// Bytes of a value; far more than a profile at all its limits.
const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of memory that a cleared batch keeps: 2,000 users with four rows of 1 KiB each.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The operations of one commit, in order.
#[derive(Debug, Default)]
pub struct Batch {
    operations: Vec<u8>,
    count: usize,
    /// Bytes of the largest row that is over a limit, with that limit.
    too_large: Option<(usize, usize)>,
}

/// One operation of a batch: what a row becomes, `None` for nothing.
pub(crate) struct Operation<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
    /// There certainly is such a row.
    pub(crate) replaces: bool,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the profile of a device.
    pub fn put_profile(&mut self, uuid: &DeviceUuid, profile: &Profile) {
        self.push(
            PUT,
            |out| keys::put_profile(out, uuid),
            |out| encode_profile(profile, out),
        );
    }

    /// As [`Batch::put_profile`], for a device that certainly has a profile by an earlier commit, which
    /// costs less. Were there none, [`crate::Store::profiles`] might not list the device.
    pub fn replace_profile(&mut self, uuid: &DeviceUuid, profile: &Profile) {
        self.push(
            REPLACE,
            |out| keys::put_profile(out, uuid),
            |out| encode_profile(profile, out),
        );
    }

    /// Removes the profile of a device.
    pub fn delete_profile(&mut self, uuid: &DeviceUuid) {
        self.push(DELETE, |out| keys::put_profile(out, uuid), |_| {});
    }

    /// Links a declared id to these devices, whatever it was linked to before; without any, the id
    /// leads nowhere. The newest link comes last.
    pub fn put_links(&mut self, data_source: DataSourceId, id: &str, links: &[Link]) {
        let kind = if links.is_empty() { DELETE } else { PUT };
        self.push(
            kind,
            |out| keys::put_link(out, data_source, id),
            |out| {
                if !links.is_empty() {
                    encode_links(links, out);
                }
            },
        );
    }

    /// Keeps that the declared id or device with this mark opted out.
    pub fn put_opt_out(&mut self, mark: OptOutMark) {
        self.push(PUT, |out| keys::put_opt_out(out, mark), |_| {});
    }

    /// Marks a pair as pending that is not, or that was removed by this batch before.
    pub fn put_pending(
        &mut self,
        destination: DestinationId,
        uuid: &DeviceUuid,
        pending: &PendingRow,
    ) {
        self.push(
            PUT,
            |out| keys::put_pair(out, keys::PENDING, destination, uuid),
            |out| pending.encode(out),
        );
    }

    /// Removes a pair from the pending set.
    pub fn delete_pending(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        self.push(
            DELETE,
            |out| keys::put_pair(out, keys::PENDING, destination, uuid),
            |_| {},
        );
    }

    /// Sets the timer of a profile, to the hour of `at`.
    pub fn put_timer(&mut self, at: Timestamp, uuid: &DeviceUuid) {
        self.push(PUT, |out| keys::put_timer(out, at, uuid), |_| {});
    }

    /// Removes the timer of a profile that was set to `at`.
    pub fn delete_timer(&mut self, at: Timestamp, uuid: &DeviceUuid) {
        self.push(DELETE, |out| keys::put_timer(out, at, uuid), |_| {});
    }

    /// Lists a pair as undelivered; what was listed for it before is replaced.
    pub fn put_undelivered(
        &mut self,
        destination: DestinationId,
        uuid: &DeviceUuid,
        undelivered: &Undelivered,
    ) {
        self.push(
            PUT,
            |out| keys::put_pair(out, keys::UNDELIVERED, destination, uuid),
            |out| undelivered.encode(out),
        );
    }

    /// Removes a pair from the undelivered list.
    pub fn delete_undelivered(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        self.push(
            DELETE,
            |out| keys::put_pair(out, keys::UNDELIVERED, destination, uuid),
            |_| {},
        );
    }

    /// Puts a pair into the set of changes since the destination's last batch.
    pub fn put_batch_change(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        let kind = keys::BATCH_CHANGE;
        self.push(
            PUT,
            |out| keys::put_pair(out, kind, destination, uuid),
            |_| {},
        );
    }

    /// Takes a pair out of the set of changes since the destination's last batch.
    pub fn delete_batch_change(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        let kind = keys::BATCH_CHANGE;
        self.push(
            DELETE,
            |out| keys::put_pair(out, kind, destination, uuid),
            |_| {},
        );
    }

    /// Writes a batch of a destination, which replaces the one with its number.
    pub fn put_batch_record(&mut self, destination: DestinationId, record: &BatchRecord) {
        self.push(
            PUT,
            |out| keys::put_batch_record(out, destination, record.number),
            |out| record.encode(out),
        );
    }

    /// Removes a batch of a destination.
    pub fn delete_batch_record(&mut self, destination: DestinationId, number: u32) {
        self.push(
            DELETE,
            |out| keys::put_batch_record(out, destination, number),
            |_| {},
        );
    }

    /// Number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when there is no operation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of all operations: what a commit of this batch adds to the journal, near enough.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.operations.len()
    }

    /// Removes all operations and keeps the memory, unless one batch needed far more than most do.
    pub fn clear(&mut self) {
        self.operations.clear();
        self.operations.shrink_to(KEPT_BYTES_MAX);
        self.count = 0;
        self.too_large = None;
    }

    /// Adds a row of the store itself.
    pub(crate) fn put_meta(&mut self, key: &[u8], value: &[u8]) {
        self.push(
            PUT,
            |out| out.extend_from_slice(key),
            |out| out.extend_from_slice(value),
        );
    }

    /// Adds a row where there is one.
    #[cfg(test)]
    pub(crate) fn replace_row(&mut self, key: &[u8], value: &[u8]) {
        self.push(
            REPLACE,
            |out| out.extend_from_slice(key),
            |out| out.extend_from_slice(value),
        );
    }

    /// Removes the row of this key.
    pub(crate) fn delete_row(&mut self, key: &[u8]) {
        self.push(DELETE, |out| out.extend_from_slice(key), |_| {});
    }

    /// All operations as bytes.
    pub(crate) fn operations_bytes(&self) -> &[u8] {
        &self.operations
    }

    /// All operations, in order.
    pub(crate) fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        let mut rest = &self.operations[..];
        std::iter::from_fn(move || {
            let (header, body) = rest.split_first_chunk::<HEADER>()?;
            let [kind, k0, k1, v0, v1, v2, v3] = *header;
            let key_length = usize::from(u16::from_le_bytes([k0, k1]));
            let value_length = usize::try_from(u32::from_le_bytes([v0, v1, v2, v3])).ok()?;
            let (key, body) = body.split_at_checked(key_length)?;
            let (value, after) = body.split_at_checked(value_length)?;
            rest = after;
            Some(Operation {
                key,
                value: (kind != DELETE).then_some(value),
                replaces: kind == REPLACE,
            })
        })
    }

    /// Whether every row is within its limits.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.too_large {
            None => Ok(()),
            Some((bytes, bytes_max)) => Err(StoreError::TooLarge { bytes, bytes_max }),
        }
    }

    fn push(&mut self, kind: u8, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) {
        let out = &mut self.operations;
        let start = out.len();
        out.extend([0; HEADER]);
        key(out);
        let key_length = out.len() - start - HEADER;
        value(out);
        let value_length = out.len() - start - HEADER - key_length;
        for (bytes, bytes_max) in [(key_length, KEY_BYTES_MAX), (value_length, VALUE_BYTES_MAX)] {
            if bytes > bytes_max {
                out.truncate(start);
                self.too_large = Some((bytes, bytes_max));
                return;
            }
        }
        // Both are within their limits, which fit.
        let key_length = u16::try_from(key_length).unwrap_or(u16::MAX).to_le_bytes();
        let value_length = u32::try_from(value_length)
            .unwrap_or(u32::MAX)
            .to_le_bytes();
        let header = out
            .get_mut(start..)
            .and_then(<[u8]>::first_chunk_mut::<HEADER>);
        if let Some(header) = header {
            header[0] = kind;
            header[1..3].copy_from_slice(&key_length);
            header[3..].copy_from_slice(&value_length);
        }
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_model::Timestamp;

    fn rows(batch: &Batch) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let rows = batch.operations();
        rows.map(|row| (row.key.to_vec(), row.value.map(<[u8]>::to_vec)))
            .collect()
    }

    #[test]
    fn operations_come_back_in_order() {
        let mut batch = Batch::new();
        batch.put_meta(b"m/one", b"");
        batch.delete_profile(&"7".parse().unwrap());
        batch.put_meta(b"m/two", &[7; 70_000]);
        let expected = [
            (b"m/one".to_vec(), Some(vec![])),
            (b"p\x817".to_vec(), None),
            (b"m/two".to_vec(), Some(vec![7; 70_000])),
        ];
        assert_eq!(rows(&batch), expected);
        assert_eq!(batch.len(), 3);

        batch.clear();
        assert!(batch.is_empty() && rows(&batch).is_empty());
    }

    #[test]
    fn a_row_over_the_limit_fails_the_batch() {
        let mut batch = Batch::new();
        let link = Link {
            uuid: "7".parse().unwrap(),
            at: Timestamp(0),
        };
        batch.put_links(DataSourceId(1), &"x".repeat(2_000), &[link]);
        let error = batch.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "a row of 2003 bytes was refused, the limit is 1024"
        );
        batch.clear();
        assert!(batch.check().is_ok());
    }
}
