//! Reads: single rows, and pages of rows in the order of their keys.

use super::{Store, lock};
use crate::{
    codec::{
        BatchRecord, Link, PendingRow, Undelivered, bytes::DecodeError, decode_links,
        decode_profile,
    },
    error::StoreError,
    keys,
    opt_out::OptOutMark,
    pending::PairKey,
};
use std::ops::Bound;
use tidings_engine::Profile;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Timestamp};

impl Store {
    /// The profile of a device, `None` when there is none.
    ///
    /// # Errors
    /// When the database cannot be read, or the profile is damaged.
    pub fn profile(&self, uuid: &DeviceUuid) -> Result<Option<Profile>, StoreError> {
        let mut key = Vec::with_capacity(KEY_BYTES_USUAL);
        keys::put_profile(&mut key, uuid);
        let decode = |value: &[u8]| decode_profile(value).map_err(damaged_profile(uuid));
        if let Some(value) = self.profile_log().get(&key) {
            return decode(value).map(Some);
        }
        self.row(&key, |row| row.map(decode).transpose())?
    }

    /// Appends the stored bytes of a device's profile to `out`, for [`crate::codec::decode_profile`];
    /// false when there is none.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn profile_bytes(&self, uuid: &DeviceUuid, out: &mut Vec<u8>) -> Result<bool, StoreError> {
        let mut key = Vec::with_capacity(KEY_BYTES_USUAL);
        keys::put_profile(&mut key, uuid);
        if let Some(value) = self.profile_log().get(&key) {
            out.extend_from_slice(value);
            return Ok(true);
        }
        self.row(&key, |row| {
            out.extend_from_slice(row.unwrap_or_default());
            row.is_some()
        })
    }

    /// Up to `limit` profiles after that of `after`, or from the first.
    ///
    /// # Errors
    /// When the database cannot be read, or one of the profiles is damaged.
    pub fn profiles(
        &self,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<(DeviceUuid, Profile)>, StoreError> {
        let prefix = [keys::PROFILE];
        // Until the end: a profile that leaves the log meanwhile would be found as its row was before.
        let log = self.profile_log();
        self.page(&prefix, after, limit, |key, value| {
            let value = log.get(key).unwrap_or(value);
            let uuid = keys::read_profile(key).map_err(StoreError::corrupt("key of a profile"))?;
            let profile = decode_profile(value).map_err(damaged_profile(&uuid))?;
            Ok((uuid, profile))
        })
    }

    /// The devices that a declared id is linked to, the newest link last; none when it is not.
    ///
    /// # Errors
    /// When the database cannot be read, or the links are damaged.
    pub fn links(&self, data_source: DataSourceId, id: &str) -> Result<Vec<Link>, StoreError> {
        let mut key = Vec::with_capacity(KEY_BYTES_USUAL + id.len());
        keys::put_link(&mut key, data_source, id);
        // The id itself is a person's: it does not go into errors.
        let name = format_args!("links of an id of data source {data_source}");
        self.row(&key, |row| {
            let links = row.map_or(Ok(Vec::new()), decode_links);
            links.map_err(StoreError::corrupt(name))
        })?
    }

    /// The mark under which it is kept that a declared id opted out.
    #[must_use]
    pub fn opt_out_mark(&self, data_source: DataSourceId, id: &str) -> OptOutMark {
        self.opt_out_key.mark(data_source, id)
    }

    /// The mark under which it is kept that a device opted out of which nothing else is stored.
    #[must_use]
    pub fn device_mark(&self, uuid: &DeviceUuid) -> OptOutMark {
        self.opt_out_key.device_mark(uuid)
    }

    /// Whether the declared id or device with this mark opted out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn opted_out(&self, mark: OptOutMark) -> Result<bool, StoreError> {
        let mut key = Vec::with_capacity(KEY_BYTES_USUAL);
        keys::put_opt_out(&mut key, mark);
        self.row(&key, |row| row.is_some())
    }

    /// The pending row of a pair, `None` when it is not pending.
    ///
    /// # Errors
    /// When the database cannot be read, or the row is damaged.
    pub fn pending_row(
        &self,
        destination: DestinationId,
        uuid: &DeviceUuid,
    ) -> Result<Option<PendingRow>, StoreError> {
        let mut key = Vec::with_capacity(KEY_BYTES_USUAL);
        keys::put_pair(&mut key, keys::PENDING, destination, uuid);
        if let Some(row) = lock(&self.pending).get(&key) {
            return Ok(Some(row));
        }
        self.pair(keys::PENDING, destination, uuid, PendingRow::decode)
    }

    /// The undelivered row of a pair, `None` when it is not listed.
    ///
    /// # Errors
    /// When the database cannot be read, or the row is damaged.
    pub fn undelivered_row(
        &self,
        destination: DestinationId,
        uuid: &DeviceUuid,
    ) -> Result<Option<Undelivered>, StoreError> {
        self.pair(keys::UNDELIVERED, destination, uuid, Undelivered::decode)
    }

    /// Up to `limit` pending pairs of a destination after that of the device `after`, or from the first,
    /// in the order of their keys.
    ///
    /// # Errors
    /// When the database cannot be read, or one of the rows is damaged.
    ///
    /// # Cost
    /// Each page looks at all pairs that are in memory. Pairs whose rows were deleted lately are passed over
    /// one by one, until the backend has merged them away: take pages from where the last one ended, not
    /// from the first again and again.
    pub fn pending(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<(DeviceUuid, PendingRow)>, StoreError> {
        // The log first: a pair that gets a row meanwhile is then found twice, not overlooked.
        let mut prefix = Vec::with_capacity(KEY_BYTES_USUAL);
        keys::put_destination(&mut prefix, keys::PENDING, destination);
        let (start, end) = (start_after(&prefix, after), keys::prefix_end(&prefix));
        let start = start.as_ref().map(|key| &key[..]);
        let log = lock(&self.pending).page(start, &end, limit);
        let mut pairs = Vec::with_capacity(log.len());
        for (key, row) in log {
            let pair = keys::read_pair(&key).map_err(StoreError::corrupt("key of a pair"))?;
            pairs.push((key, (pair.1, row)));
        }
        let rows = self.pairs(keys::PENDING, destination, after, limit, PendingRow::decode)?;
        if rows.is_empty() {
            return Ok(pairs.into_iter().map(|(_, pair)| pair).collect());
        }
        for (uuid, row) in rows {
            let mut key = Vec::with_capacity(KEY_BYTES_USUAL);
            keys::put_pair(&mut key, keys::PENDING, destination, &uuid);
            pairs.push((PairKey::from_slice(&key), (uuid, row)));
        }
        // Stable: of two the one of the log stays.
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        pairs.dedup_by(|(later, _), (kept, _)| later == kept);
        pairs.truncate(limit);
        Ok(pairs.into_iter().map(|(_, pair)| pair).collect())
    }

    /// Up to `limit` timers of hours that begin at or after `from` and before `until`, in order of
    /// their hours: the beginning of the hour, and the device.
    ///
    /// # Errors
    /// When the database cannot be read, or one of the keys is damaged.
    ///
    /// # Cost
    /// One seek and the timers found; how many others there are does not matter. Timers that were
    /// removed lately lie in the way until the backend has merged them: let `from` follow the clock,
    /// and take the pages after the first by [`Store::timers_after`].
    pub fn timers(
        &self,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, DeviceUuid)>, StoreError> {
        let mut start = Vec::new();
        keys::put_hour(&mut start, from);
        self.timers_in(Bound::Included(&start), until, limit)
    }

    /// As [`Store::timers`], from after the timer of this hour and device, whether there is one or
    /// not.
    ///
    /// # Errors
    /// As [`Store::timers`].
    pub fn timers_after(
        &self,
        (at, uuid): &(Timestamp, DeviceUuid),
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, DeviceUuid)>, StoreError> {
        let mut start = Vec::new();
        keys::put_timer(&mut start, *at, uuid);
        self.timers_in(Bound::Excluded(&start), until, limit)
    }

    fn timers_in(
        &self,
        start: Bound<&[u8]>,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, DeviceUuid)>, StoreError> {
        let (mut end, mut timers) = (Vec::new(), Vec::new());
        keys::put_hour(&mut end, until);
        self.backend()?.scan(start, &end, limit, |key, _| {
            timers.push(keys::read_timer(key).map_err(StoreError::corrupt("key of a timer"))?);
            Ok(())
        })?;
        Ok(timers)
    }

    /// Rows looked up and rows found by scans since the store was opened: what reading has cost.
    #[must_use]
    pub fn rows_read(&self) -> u64 {
        self.backend().map_or(0, |backend| backend.rows_read())
    }

    /// Up to `limit` undelivered pairs of a destination after that of the device `after`, or from the
    /// first, in the order of their keys.
    ///
    /// # Errors
    /// When the database cannot be read, or one of the rows is damaged.
    pub fn undelivered(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<(DeviceUuid, Undelivered)>, StoreError> {
        let kind = keys::UNDELIVERED;
        self.pairs(kind, destination, after, limit, Undelivered::decode)
    }

    /// Up to `limit` devices with changes since the destination's last batch after the device
    /// `after`, or from the first, in the order of their keys.
    ///
    /// # Errors
    /// When the database cannot be read, or one of the keys is damaged.
    ///
    /// # Cost
    /// As for [`Store::pending`].
    pub fn batch_changes(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<DeviceUuid>, StoreError> {
        let kind = keys::BATCH_CHANGE;
        let rows = self.pairs(kind, destination, after, limit, |_| Ok(()))?;
        Ok(rows.into_iter().map(|(uuid, ())| uuid).collect())
    }

    /// Number of devices with changes since the destination's last batch, counted up to `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    ///
    /// # Cost
    /// Reads the rows that it counts.
    pub fn batch_changes_count(
        &self,
        destination: DestinationId,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.count(keys::BATCH_CHANGE, destination, limit)
    }

    /// Batches of a destination, the newest last; whoever writes them keeps their number small.
    ///
    /// # Errors
    /// When the database cannot be read, or one of the rows is damaged.
    pub fn batch_records(
        &self,
        destination: DestinationId,
    ) -> Result<Vec<BatchRecord>, StoreError> {
        let mut start = Vec::with_capacity(KEY_BYTES_USUAL);
        keys::put_destination(&mut start, keys::BATCH_RECORD, destination);
        let end = keys::prefix_end(&start);
        let (start, mut records) = (Bound::Included(&start[..]), Vec::new());
        self.backend()?
            .scan(start, &end, usize::MAX, |key, value| {
                let record = keys::read_batch_record(key)
                    .and_then(|number| BatchRecord::decode(number, value));
                let row = format_args!("batch of destination {destination}");
                records.push(record.map_err(StoreError::corrupt(row))?);
                Ok(())
            })?;
        Ok(records)
    }

    /// Number of pending pairs of a destination, counted up to `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    ///
    /// # Cost
    /// Reads the rows that it counts.
    pub fn pending_count(
        &self,
        destination: DestinationId,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut prefix = Vec::with_capacity(KEY_BYTES_USUAL);
        keys::put_destination(&mut prefix, keys::PENDING, destination);
        let count = lock(&self.pending).count(&prefix).min(limit);
        Ok(count + self.count(keys::PENDING, destination, limit - count)?)
    }

    /// Number of undelivered pairs of a destination, counted up to `limit`.
    ///
    /// # Errors
    /// When the database cannot be read.
    ///
    /// # Cost
    /// Reads the rows that it counts.
    pub fn undelivered_count(
        &self,
        destination: DestinationId,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.count(keys::UNDELIVERED, destination, limit)
    }

    /// The keys of up to `limit` rows that hold these bytes in key or value: whether something is left of
    /// an id, for whoever has to know.
    ///
    /// # Errors
    /// When the database cannot be read.
    ///
    /// # Cost
    /// Reads every row.
    pub fn rows_with(&self, bytes: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        let holds = |text: &[u8]| text.windows(bytes.len().max(1)).any(|part| part == bytes);
        let (start, mut found) = (Bound::Included(&[][..]), Vec::new());
        // No kind of row is 0xff.
        self.backend()?
            .scan(start, &[u8::MAX], usize::MAX, |key, value| {
                if found.len() < limit && (holds(key) || holds(value)) {
                    found.push(key.to_vec());
                }
                Ok(())
            })?;
        Ok(found)
    }

    /// Bytes on disk, the journal included.
    ///
    /// # Errors
    /// When the journal cannot be measured.
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.backend()?.disk_bytes()
    }

    /// Number of rows of all kinds, more or less: rows that were written again count more than once
    /// until the backend has merged them.
    #[must_use]
    pub fn rows_approximate(&self) -> usize {
        self.backend()
            .map_or(0, |backend| backend.rows_approximate())
    }

    /// What `read` makes of a row of a kind that is read alone, where there is one.
    pub(super) fn row<T>(
        &self,
        key: &[u8],
        read: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Result<T, StoreError> {
        match self.recent.find(key) {
            Ok(found) => Ok(read(Some(found.value()))),
            Err(stamp) => {
                let row = self.backend()?.get(key)?;
                if let Some(row) = &row {
                    self.recent.keep(stamp, key, row);
                }
                Ok(read(row.as_deref()))
            }
        }
    }

    fn pair<T>(
        &self,
        kind: u8,
        destination: DestinationId,
        uuid: &DeviceUuid,
        decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, StoreError> {
        let mut key = Vec::with_capacity(KEY_BYTES_USUAL);
        keys::put_pair(&mut key, kind, destination, uuid);
        let row = self.backend()?.get(&key)?;
        row.map(|value| decode(&value).map_err(damaged_pair(kind, destination, uuid)))
            .transpose()
    }

    fn pairs<T>(
        &self,
        kind: u8,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
        decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<Vec<(DeviceUuid, T)>, StoreError> {
        let mut prefix = Vec::with_capacity(KEY_BYTES_USUAL);
        keys::put_destination(&mut prefix, kind, destination);
        self.page(&prefix, after, limit, |key, value| {
            let key = keys::read_pair(key).map_err(StoreError::corrupt("key of a pair"));
            let (_, uuid) = key?;
            let row = decode(value).map_err(damaged_pair(kind, destination, &uuid))?;
            Ok((uuid, row))
        })
    }

    /// Up to `limit` rows whose key is `prefix` and a device after `after`.
    fn page<T>(
        &self,
        prefix: &[u8],
        after: Option<&DeviceUuid>,
        limit: usize,
        decode: impl Fn(&[u8], &[u8]) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let (start, end) = (start_after(prefix, after), keys::prefix_end(prefix));
        let start = start.as_ref().map(|key| &key[..]);
        let mut rows = Vec::new();
        self.backend()?.scan(start, &end, limit, |key, value| {
            rows.push(decode(key, value)?);
            Ok(())
        })?;
        Ok(rows)
    }

    fn count(
        &self,
        kind: u8,
        destination: DestinationId,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut prefix = Vec::with_capacity(KEY_BYTES_USUAL);
        keys::put_destination(&mut prefix, kind, destination);
        let (start, end) = (Bound::Included(&prefix[..]), keys::prefix_end(&prefix));
        let mut count = 0;
        self.backend()?.scan(start, &end, limit, |_, _| {
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }
}

/// Where rows begin whose key is `prefix` and a device after `after`.
fn start_after(prefix: &[u8], after: Option<&DeviceUuid>) -> Bound<Vec<u8>> {
    let mut start = prefix.to_vec();
    let Some(uuid) = after else {
        return Bound::Included(start);
    };
    keys::put_uuid(&mut start, uuid);
    Bound::Excluded(start)
}

/// Bytes of a key of a device of 38 digits.
const KEY_BYTES_USUAL: usize = 24;

fn damaged_profile(uuid: &DeviceUuid) -> impl FnOnce(DecodeError) -> StoreError {
    // Written out only when there is an error: this is passed along with every read.
    move |error| StoreError::corrupt(format_args!("profile of device {uuid}"))(error)
}

fn damaged_pair(
    kind: u8,
    destination: DestinationId,
    uuid: &DeviceUuid,
) -> impl FnOnce(DecodeError) -> StoreError {
    let kind = match kind {
        keys::PENDING => "pending",
        keys::BATCH_CHANGE => "batch",
        _ => "undelivered",
    };
    move |error| {
        let row = format_args!("{kind} row of destination {destination} and device {uuid}");
        StoreError::corrupt(row)(error)
    }
}
