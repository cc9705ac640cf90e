//! Reads of the rows that say what happened: attempt log, removal ledger, resends.

use super::{Store, lock};
use crate::{
    codec::{
        AttemptPage, AttemptRecord, RemovalKey, Removals, Resend, bytes::Reader, decode_removals,
    },
    error::StoreError,
    keys::{self, AttemptKey, records},
};
use std::ops::Bound;
use tidings_model::{DestinationId, DeviceUuid, Timestamp};

impl Store {
    /// The newest page of a destination's attempt log, and the bytes of its row.
    ///
    /// # Errors
    /// When the database cannot be read, or the key is damaged.
    pub fn last_attempts(
        &self,
        destination: DestinationId,
    ) -> Result<Option<(AttemptKey, u64)>, StoreError> {
        let (start, end) = attempts_range(destination);
        let mut last = None;
        self.backend()?.scan_back(&start, &end, 1, |key, value| {
            let page = records::read_attempts(key).map_err(damaged_attempts(destination))?;
            last = Some((page, (key.len() + value.len()) as u64));
            Ok(())
        })?;
        Ok(last)
    }

    /// Up to `limit` pages of a destination's attempt log after `after`, or from the oldest.
    ///
    /// # Errors
    /// When the database cannot be read, or one of the keys is damaged.
    ///
    /// # Cost
    /// Pages that were deleted lately are passed over one by one, as for [`Store::pending`].
    pub fn oldest_attempts(
        &self,
        destination: DestinationId,
        after: Option<AttemptKey>,
        limit: usize,
    ) -> Result<Vec<AttemptKey>, StoreError> {
        let (mut start, end) = attempts_range(destination);
        let mut from = Bound::Included(&start[..]);
        if let Some(after) = after {
            start.clear();
            records::put_attempts(&mut start, destination, after);
            from = Bound::Excluded(&start[..]);
        }
        let mut pages = Vec::new();
        self.backend()?.scan(from, &end, limit, |key, _| {
            pages.push(records::read_attempts(key).map_err(damaged_attempts(destination))?);
            Ok(())
        })?;
        Ok(pages)
    }

    /// Up to `limit` pages of a destination's attempt log, the newest first: those before `before`
    /// and not older than `from`. The attempts in a page are in the order of their ends.
    ///
    /// # Errors
    /// When the database cannot be read, or one of the rows is damaged.
    pub fn attempts(
        &self,
        destination: DestinationId,
        before: AttemptKey,
        from: Timestamp,
        limit: usize,
    ) -> Result<Vec<(AttemptKey, Vec<AttemptRecord>)>, StoreError> {
        let (mut start, mut end) = (Vec::new(), Vec::new());
        records::put_attempts_from(&mut start, destination, from);
        records::put_attempts(&mut end, destination, before);
        let mut pages = Vec::new();
        self.backend()?
            .scan_back(&start, &end, limit, |key, value| {
                let page = records::read_attempts(key).map_err(damaged_attempts(destination))?;
                let attempts = AttemptPage::decode(value).map_err(damaged_attempts(destination))?;
                pages.push((page, attempts));
                Ok(())
            })?;
        Ok(pages)
    }

    /// The removals under one key, the newest last; none when there were none.
    ///
    /// # Errors
    /// When the database cannot be read, or the row is damaged.
    pub fn removals_at(&self, key: &RemovalKey) -> Result<Removals, StoreError> {
        let mut bytes = Vec::with_capacity(64);
        records::put_removal(&mut bytes, key);
        self.row(&bytes, |row| {
            let removals = row.map_or(Ok(Vec::new()), decode_removals);
            removals.map_err(damaged_removals(key.destination))
        })?
    }

    /// Up to `limit` rows of the removal ledger of a destination, or of one of its devices, after the
    /// row `after` or from the first.
    ///
    /// # Errors
    /// When the database cannot be read, or one of the rows is damaged.
    pub fn removals(
        &self,
        destination: DestinationId,
        device: Option<&DeviceUuid>,
        after: Option<&RemovalKey>,
        limit: usize,
    ) -> Result<Vec<(RemovalKey, Removals)>, StoreError> {
        let mut prefix = Vec::new();
        match device {
            Some(uuid) => records::put_removals_of(&mut prefix, destination, uuid),
            None => keys::put_destination(&mut prefix, keys::REMOVAL, destination),
        }
        let end = keys::prefix_end(&prefix);
        let mut start = Bound::Included(&prefix[..]);
        let mut last = Vec::new();
        if let Some(after) = after {
            records::put_removal(&mut last, after);
            start = Bound::Excluded(&last[..]);
        }
        let mut rows = Vec::new();
        self.backend()?.scan(start, &end, limit, |key, value| {
            let key = records::read_removal(key).map_err(damaged_removals(destination))?;
            let removals = decode_removals(value).map_err(damaged_removals(destination))?;
            rows.push((key, removals));
            Ok(())
        })?;
        Ok(rows)
    }

    /// The last resend of a destination, `None` when there was none.
    ///
    /// # Errors
    /// When the database cannot be read, or the row is damaged.
    pub fn resend(&self, destination: DestinationId) -> Result<Option<Resend>, StoreError> {
        let mut key = Vec::new();
        records::put_resend(&mut key, destination);
        let row = self.backend()?.get(&key)?;
        let damaged = format_args!("resend of destination {destination}");
        row.map(|value| Resend::decode(&value).map_err(StoreError::corrupt(damaged)))
            .transpose()
    }

    /// Destinations with rows of a kind, ascending; also ones that are in no catalog any more.
    ///
    /// # Errors
    /// When the database cannot be read, or a key is damaged.
    ///
    /// # Cost
    /// One seek per destination, and the deleted rows before its first.
    pub fn destinations_with(&self, kind: RecordKind) -> Result<Vec<DestinationId>, StoreError> {
        let kind = match kind {
            RecordKind::Pending => keys::PENDING,
            RecordKind::Undelivered => keys::UNDELIVERED,
            RecordKind::BatchChanges => keys::BATCH_CHANGE,
            RecordKind::Batches => keys::BATCH_RECORD,
            RecordKind::Attempts => keys::ATTEMPT,
            RecordKind::Removals => keys::REMOVAL,
            RecordKind::Resends => keys::RESEND,
        };
        let (mut start, end) = (vec![kind], keys::prefix_end(&[kind]));
        let mut destinations = Vec::new();
        let read = |key: &[u8]| {
            let found = records::read_destination(&mut Reader::new(key));
            found.map_err(StoreError::corrupt("key of a record"))
        };
        loop {
            let (mut next, from) = (None, Bound::Included(&start[..]));
            self.backend()?.scan(from, &end, 1, |key, _| {
                next = Some(read(key)?);
                Ok(())
            })?;
            if kind == keys::PENDING
                && let Some((key, _)) = lock(&self.pending).page(from, &end, 1).pop()
            {
                let in_log = read(&key)?;
                next = Some(next.map_or(in_log, |next| next.min(in_log)));
            }
            let Some(destination) = next else {
                return Ok(destinations);
            };
            destinations.push(destination);
            start.clear();
            keys::put_destination(&mut start, kind, destination);
            start = keys::prefix_end(&start);
        }
    }
}

/// A kind of row that is kept by destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Pending pairs.
    Pending,
    /// Undelivered pairs.
    Undelivered,
    /// Pairs with changes since the last batch.
    BatchChanges,
    /// Batches.
    Batches,
    /// Pages of the attempt log.
    Attempts,
    /// Rows of the removal ledger.
    Removals,
    /// Resends.
    Resends,
}

fn attempts_range(destination: DestinationId) -> (Vec<u8>, Vec<u8>) {
    let mut start = Vec::new();
    keys::put_destination(&mut start, keys::ATTEMPT, destination);
    let end = keys::prefix_end(&start);
    (start, end)
}

fn damaged_attempts(
    destination: DestinationId,
) -> impl FnOnce(crate::codec::DecodeError) -> StoreError {
    move |error| {
        let row = format_args!("attempt log of destination {destination}");
        StoreError::corrupt(row)(error)
    }
}

/// The key holds a person's id: it does not go into errors.
fn damaged_removals(
    destination: DestinationId,
) -> impl FnOnce(crate::codec::DecodeError) -> StoreError {
    move |error| {
        let row = format_args!("removal ledger of destination {destination}");
        StoreError::corrupt(row)(error)
    }
}
