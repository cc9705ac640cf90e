//! The ports of the core: where it reads rows, and where its writes are collected.

use tidings_engine::Profile;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Timestamp};
use tidings_store::{
    BatchRecord, Link, OptOutMark, PendingRow, Removal, RemovalKey, Removals, Undelivered,
};

/// Where rows are read.
pub trait Rows {
    /// What can go wrong; it ends the core.
    type Error;

    /// The profile of a device, if there is one.
    ///
    /// # Errors
    /// When the row cannot be read.
    fn profile(&self, uuid: &DeviceUuid) -> Result<Option<Profile>, Self::Error>;

    /// The devices that an id is linked to, the newest link last.
    ///
    /// # Errors
    /// When the row cannot be read.
    fn links(&self, data_source: DataSourceId, id: &str) -> Result<Vec<Link>, Self::Error>;

    /// The mark under which it is kept that an id opted out.
    fn opt_out_mark(&self, data_source: DataSourceId, id: &str) -> OptOutMark;

    /// The mark under which it is kept that a device opted out of which nothing else is stored.
    fn device_mark(&self, uuid: &DeviceUuid) -> OptOutMark;

    /// Whether the id or device with this mark opted out.
    ///
    /// # Errors
    /// When the row cannot be read.
    fn opted_out(&self, mark: OptOutMark) -> Result<bool, Self::Error>;

    /// Up to `limit` devices with changes since the destination's last batch, after the device
    /// `after` or from the first.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn batch_changes(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<DeviceUuid>, Self::Error>;

    /// The destination's latest batch, if there was one.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn last_batch(&self, destination: DestinationId) -> Result<Option<BatchRecord>, Self::Error>;

    /// A row of the removal ledger; none of a row that is not there.
    ///
    /// # Errors
    /// When the row cannot be read.
    fn removals(&self, key: &RemovalKey) -> Result<Removals, Self::Error>;
}

/// Rows that are read in pages, in the order of the store's keys.
pub trait Scans: Rows {
    /// Up to `limit` devices of the pending set of a destination, after the device `after` or from
    /// the first.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn pending(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<DeviceUuid>, Self::Error>;

    /// Up to `limit` devices listed as undelivered to a destination, after the device `after` or from
    /// the first.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn undelivered(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<DeviceUuid>, Self::Error>;

    /// The numbers of the destination's batches, ascending; whoever writes them keeps them few.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn batch_numbers(&self, destination: DestinationId) -> Result<Vec<u32>, Self::Error>;

    /// Up to `limit` timers of the hours from that of `from` to before that of `until`, by hour.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn timers(
        &self,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, DeviceUuid)>, Self::Error>;

    /// As [`Scans::timers`], from after this one, whether it is still there or not.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn timers_after(
        &self,
        after: &(Timestamp, DeviceUuid),
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, DeviceUuid)>, Self::Error> {
        let mut timers = self.timers(after.0, until, usize::MAX)?;
        timers.retain(|timer| timer > after);
        timers.truncate(limit);
        Ok(timers)
    }

    /// Up to `limit` devices with the catalog generation of their profiles, after the device `after`
    /// or from the first.
    ///
    /// # Errors
    /// When the rows cannot be read.
    fn generations(
        &self,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<(DeviceUuid, u32)>, Self::Error>;
}

/// Where writes are collected.
pub trait Changes {
    /// Writes a profile.
    fn put_profile(&mut self, uuid: &DeviceUuid, profile: &Profile);
    /// Writes a profile where there certainly is one, which may cost less.
    fn replace_profile(&mut self, uuid: &DeviceUuid, profile: &Profile) {
        self.put_profile(uuid, profile);
    }
    /// Removes a profile.
    fn delete_profile(&mut self, uuid: &DeviceUuid);
    /// Writes the devices that an id is linked to, the newest link last; without any, the id leads
    /// nowhere.
    fn put_links(&mut self, data_source: DataSourceId, id: &str, links: &[Link]);
    /// Keeps that a declared id or a device opted out.
    fn put_opt_out(&mut self, mark: OptOutMark);
    /// Puts a pair into the pending set.
    fn put_pending(&mut self, destination: DestinationId, uuid: &DeviceUuid, row: &PendingRow);
    /// Takes a pair out of the pending set.
    fn delete_pending(&mut self, destination: DestinationId, uuid: &DeviceUuid);
    /// Sets the profile's timer to the hour of `at`.
    fn put_timer(&mut self, at: Timestamp, uuid: &DeviceUuid);
    /// Removes the profile's timer of `at`.
    fn delete_timer(&mut self, at: Timestamp, uuid: &DeviceUuid);
    /// Lists a pair as undelivered.
    fn put_undelivered(&mut self, destination: DestinationId, uuid: &DeviceUuid, why: &Undelivered);
    /// Takes a pair off the list of undelivered ones.
    fn delete_undelivered(&mut self, destination: DestinationId, uuid: &DeviceUuid);
    /// Puts a pair into the set of changes since the destination's last batch.
    fn put_batch_change(&mut self, destination: DestinationId, uuid: &DeviceUuid);
    /// Takes a pair out of the set of changes since the destination's last batch.
    fn delete_batch_change(&mut self, destination: DestinationId, uuid: &DeviceUuid);
    /// Writes a batch of a destination.
    fn put_batch_record(&mut self, destination: DestinationId, record: &BatchRecord);
    /// Removes a batch of a destination.
    fn delete_batch_record(&mut self, destination: DestinationId, number: u32);
    /// Writes a row of the removal ledger.
    fn put_removals(&mut self, key: &RemovalKey, removals: &[Removal]);
    /// Removes a row of the removal ledger.
    fn delete_removals(&mut self, key: &RemovalKey);
}
