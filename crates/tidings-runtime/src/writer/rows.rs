//! The store, as the core reads and writes it.

use crate::core::{Changes, Rows, Scans};
use tidings_engine::Profile;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Timestamp};
use tidings_store::{
    Batch, BatchRecord, Link, OptOutMark, PendingRow, Removal, RemovalKey, Removals, Store,
    StoreError, Undelivered,
};

impl Rows for Store {
    type Error = StoreError;

    fn profile(&self, uuid: &DeviceUuid) -> Result<Option<Profile>, StoreError> {
        Self::profile(self, uuid)
    }

    fn links(&self, data_source: DataSourceId, id: &str) -> Result<Vec<Link>, StoreError> {
        Self::links(self, data_source, id)
    }

    fn opt_out_mark(&self, data_source: DataSourceId, id: &str) -> OptOutMark {
        Self::opt_out_mark(self, data_source, id)
    }

    fn device_mark(&self, uuid: &DeviceUuid) -> OptOutMark {
        Self::device_mark(self, uuid)
    }

    fn opted_out(&self, mark: OptOutMark) -> Result<bool, StoreError> {
        Self::opted_out(self, mark)
    }

    fn batch_changes(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<DeviceUuid>, StoreError> {
        Self::batch_changes(self, destination, after, limit)
    }

    fn last_batch(&self, destination: DestinationId) -> Result<Option<BatchRecord>, StoreError> {
        Ok(self.batch_records(destination)?.last().copied())
    }

    fn removals(&self, key: &RemovalKey) -> Result<Removals, StoreError> {
        self.removals_at(key)
    }
}

impl Scans for Store {
    fn pending(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<DeviceUuid>, StoreError> {
        let rows = Self::pending(self, destination, after, limit)?;
        Ok(rows.into_iter().map(|(uuid, _)| uuid).collect())
    }

    fn undelivered(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<DeviceUuid>, StoreError> {
        let rows = Self::undelivered(self, destination, after, limit)?;
        Ok(rows.into_iter().map(|(uuid, _)| uuid).collect())
    }

    fn batch_numbers(&self, destination: DestinationId) -> Result<Vec<u32>, StoreError> {
        let records = self.batch_records(destination)?;
        Ok(records.iter().map(|record| record.number).collect())
    }

    fn timers(
        &self,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, DeviceUuid)>, StoreError> {
        Self::timers(self, from, until, limit)
    }

    fn timers_after(
        &self,
        after: &(Timestamp, DeviceUuid),
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, DeviceUuid)>, StoreError> {
        Self::timers_after(self, after, until, limit)
    }

    fn generations(
        &self,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<(DeviceUuid, u32)>, StoreError> {
        let rows = Self::profiles(self, after, limit)?;
        let generation = |(uuid, profile): (_, Profile)| (uuid, profile.generation);
        Ok(rows.into_iter().map(generation).collect())
    }
}

impl Changes for Batch {
    fn put_profile(&mut self, uuid: &DeviceUuid, profile: &Profile) {
        Self::put_profile(self, uuid, profile);
    }

    fn replace_profile(&mut self, uuid: &DeviceUuid, profile: &Profile) {
        Self::replace_profile(self, uuid, profile);
    }

    fn delete_profile(&mut self, uuid: &DeviceUuid) {
        Self::delete_profile(self, uuid);
    }

    fn put_links(&mut self, data_source: DataSourceId, id: &str, links: &[Link]) {
        Self::put_links(self, data_source, id, links);
    }

    fn put_opt_out(&mut self, mark: OptOutMark) {
        Self::put_opt_out(self, mark);
    }

    fn put_pending(&mut self, destination: DestinationId, uuid: &DeviceUuid, row: &PendingRow) {
        Self::put_pending(self, destination, uuid, row);
    }

    fn delete_pending(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        Self::delete_pending(self, destination, uuid);
    }

    fn put_timer(&mut self, at: Timestamp, uuid: &DeviceUuid) {
        Self::put_timer(self, at, uuid);
    }

    fn delete_timer(&mut self, at: Timestamp, uuid: &DeviceUuid) {
        Self::delete_timer(self, at, uuid);
    }

    fn put_undelivered(
        &mut self,
        destination: DestinationId,
        uuid: &DeviceUuid,
        why: &Undelivered,
    ) {
        Self::put_undelivered(self, destination, uuid, why);
    }

    fn delete_undelivered(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        Self::delete_undelivered(self, destination, uuid);
    }

    fn put_batch_change(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        Self::put_batch_change(self, destination, uuid);
    }

    fn delete_batch_change(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        Self::delete_batch_change(self, destination, uuid);
    }

    fn put_batch_record(&mut self, destination: DestinationId, record: &BatchRecord) {
        Self::put_batch_record(self, destination, record);
    }

    fn delete_batch_record(&mut self, destination: DestinationId, number: u32) {
        Self::delete_batch_record(self, destination, number);
    }

    fn put_removals(&mut self, key: &RemovalKey, removals: &[Removal]) {
        Self::put_removals(self, key, removals);
    }

    fn delete_removals(&mut self, key: &RemovalKey) {
        Self::delete_removals(self, key);
    }
}
