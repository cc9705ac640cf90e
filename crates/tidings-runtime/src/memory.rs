//! Rows in memory: the store of dry runs and of simulations.
//!
//! Changes are collected as the store's batch collects them and applied all at once, so whoever keeps
//! a copy of the rows between two steps has what a crash would leave.
//!
//! Not here: bytes. What rows look like on disk is the store's.

use crate::core::{Changes, Rows, Scans};
use hashbrown::HashMap;
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};
use tidings_engine::Profile;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Timestamp};
use tidings_store::{
    BatchRecord, Link, OptOutKey, OptOutMark, PendingRow, Removal, RemovalKey, Removals,
    Undelivered,
};

/// These rows end with the process: a key that is known serves.
const KEY: OptOutKey = OptOutKey::new([0; 32]);

/// Rows, each kind in the order of its keys.
#[derive(Clone, Debug, Default)]
pub struct MemoryRows {
    /// Profiles.
    pub profiles: BTreeMap<DeviceUuid, Profile>,
    /// Declared ids and the devices they lead to.
    pub links: HashMap<(DataSourceId, Box<str>), Vec<Link>>,
    /// Declared ids that opted out, and devices of which nothing else is stored.
    pub opt_outs: BTreeSet<OptOutMark>,
    /// When profiles are to be woken.
    pub timers: BTreeSet<(Timestamp, DeviceUuid)>,
    /// Pairs whose partner does not know the newest state.
    pub pending: BTreeMap<(DestinationId, DeviceUuid), PendingRow>,
    /// Pairs that were given up.
    pub undelivered: BTreeMap<(DestinationId, DeviceUuid), Undelivered>,
    /// Pairs with changes since the last batch.
    pub batch_changes: BTreeSet<(DestinationId, DeviceUuid)>,
    /// The latest batch of each destination.
    pub batches: BTreeMap<DestinationId, BatchRecord>,
    /// The removal ledger.
    pub removals: HashMap<RemovalKey, Removals>,
}

/// Changes in the order they were made: a row is often removed before it is set anew.
#[derive(Debug, Default)]
pub struct MemoryChanges(Vec<Change>);

#[derive(Debug)]
enum Change {
    Profile(DeviceUuid, Box<Profile>),
    NoProfile(DeviceUuid),
    Links((DataSourceId, Box<str>), Vec<Link>),
    OptOut(OptOutMark),
    Timer(Timestamp, DeviceUuid),
    NoTimer(Timestamp, DeviceUuid),
    Pending((DestinationId, DeviceUuid), Option<PendingRow>),
    Undelivered((DestinationId, DeviceUuid), Option<Undelivered>),
    Marked(DestinationId, DeviceUuid),
    Unmarked(DestinationId, DeviceUuid),
    Batch(DestinationId, BatchRecord),
    NoBatch(DestinationId, u32),
    Removals(RemovalKey, Removals),
}

impl MemoryRows {
    /// Applies all changes and leaves none behind.
    pub fn apply(&mut self, changes: &mut MemoryChanges) {
        for change in changes.0.drain(..) {
            self.change(change);
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Profile(uuid, profile) => drop(self.profiles.insert(uuid, *profile)),
            Change::NoProfile(uuid) => drop(self.profiles.remove(&uuid)),
            Change::Links(id, links) => drop(self.links.insert(id, links)),
            Change::OptOut(mark) => drop(self.opt_outs.insert(mark)),
            Change::Timer(at, uuid) => drop(self.timers.insert((at, uuid))),
            Change::NoTimer(at, uuid) => drop(self.timers.remove(&(at, uuid))),
            Change::Pending(pair, Some(row)) => drop(self.pending.insert(pair, row)),
            Change::Pending(pair, None) => drop(self.pending.remove(&pair)),
            Change::Undelivered(pair, Some(why)) => drop(self.undelivered.insert(pair, why)),
            Change::Undelivered(pair, None) => drop(self.undelivered.remove(&pair)),
            Change::Marked(to, uuid) => drop(self.batch_changes.insert((to, uuid))),
            Change::Unmarked(to, uuid) => drop(self.batch_changes.remove(&(to, uuid))),
            Change::Batch(to, record) => drop(self.batches.insert(to, record)),
            // Those before the last are not here.
            Change::NoBatch(to, number) => {
                if self
                    .batches
                    .get(&to)
                    .is_some_and(|last| last.number == number)
                {
                    self.batches.remove(&to);
                }
            }
            Change::Removals(key, removals) => drop(self.removals.insert(key, removals)),
        }
    }
}

impl MemoryChanges {
    /// The profiles that are written, in order.
    pub fn profiles(&self) -> impl Iterator<Item = (&DeviceUuid, &Profile)> {
        self.0.iter().filter_map(|change| match change {
            Change::Profile(uuid, profile) => Some((uuid, &**profile)),
            _ => None,
        })
    }

    /// Whether there is nothing to apply.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Rows for MemoryRows {
    type Error = Infallible;

    fn profile(&self, uuid: &DeviceUuid) -> Result<Option<Profile>, Infallible> {
        Ok(self.profiles.get(uuid).cloned())
    }

    fn links(&self, data_source: DataSourceId, id: &str) -> Result<Vec<Link>, Infallible> {
        let links = self.links.get(&(data_source, id.into()));
        Ok(links.cloned().unwrap_or_default())
    }

    fn opt_out_mark(&self, data_source: DataSourceId, id: &str) -> OptOutMark {
        KEY.mark(data_source, id)
    }

    fn device_mark(&self, uuid: &DeviceUuid) -> OptOutMark {
        KEY.device_mark(uuid)
    }

    fn opted_out(&self, mark: OptOutMark) -> Result<bool, Infallible> {
        Ok(self.opt_outs.contains(&mark))
    }

    fn batch_changes(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<DeviceUuid>, Infallible> {
        let rows = self.batch_changes.iter();
        let rows = rows.filter(|(of, uuid)| *of == destination && after.is_none_or(|a| uuid > a));
        Ok(rows.take(limit).map(|(_, uuid)| uuid.clone()).collect())
    }

    fn last_batch(&self, destination: DestinationId) -> Result<Option<BatchRecord>, Infallible> {
        Ok(self.batches.get(&destination).copied())
    }

    fn removals(&self, key: &RemovalKey) -> Result<Removals, Infallible> {
        Ok(self.removals.get(key).cloned().unwrap_or_default())
    }
}

impl Scans for MemoryRows {
    fn pending(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<DeviceUuid>, Infallible> {
        let rows = self.pending.keys();
        let rows = rows.filter(|(of, uuid)| *of == destination && after.is_none_or(|a| uuid > a));
        Ok(rows.take(limit).map(|(_, uuid)| uuid.clone()).collect())
    }

    fn undelivered(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<DeviceUuid>, Infallible> {
        let rows = self.undelivered.keys();
        let rows = rows.filter(|(of, uuid)| *of == destination && after.is_none_or(|a| uuid > a));
        Ok(rows.take(limit).map(|(_, uuid)| uuid.clone()).collect())
    }

    fn batch_numbers(&self, destination: DestinationId) -> Result<Vec<u32>, Infallible> {
        let last = self.batches.get(&destination);
        Ok(last.map(|record| record.number).into_iter().collect())
    }

    fn timers(
        &self,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, DeviceUuid)>, Infallible> {
        let due = self.timers.iter().filter(|(at, _)| *at >= from);
        let due = due.take_while(|(at, _)| *at < until);
        Ok(due.take(limit).cloned().collect())
    }

    fn generations(
        &self,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<(DeviceUuid, u32)>, Infallible> {
        let rows = self.profiles.iter();
        let rows = rows.filter(|(uuid, _)| after.is_none_or(|a| *uuid > a));
        let rows = rows.map(|(uuid, profile)| (uuid.clone(), profile.generation));
        Ok(rows.take(limit).collect())
    }
}

impl Changes for MemoryChanges {
    fn put_profile(&mut self, uuid: &DeviceUuid, profile: &Profile) {
        self.0
            .push(Change::Profile(uuid.clone(), Box::new(profile.clone())));
    }

    fn delete_profile(&mut self, uuid: &DeviceUuid) {
        self.0.push(Change::NoProfile(uuid.clone()));
    }

    fn put_links(&mut self, data_source: DataSourceId, id: &str, links: &[Link]) {
        self.0
            .push(Change::Links((data_source, id.into()), links.to_vec()));
    }

    fn put_opt_out(&mut self, mark: OptOutMark) {
        self.0.push(Change::OptOut(mark));
    }

    fn put_pending(&mut self, destination: DestinationId, uuid: &DeviceUuid, row: &PendingRow) {
        self.0
            .push(Change::Pending((destination, uuid.clone()), Some(*row)));
    }

    fn delete_pending(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        self.0
            .push(Change::Pending((destination, uuid.clone()), None));
    }

    fn put_timer(&mut self, at: Timestamp, uuid: &DeviceUuid) {
        self.0.push(Change::Timer(at, uuid.clone()));
    }

    fn delete_timer(&mut self, at: Timestamp, uuid: &DeviceUuid) {
        self.0.push(Change::NoTimer(at, uuid.clone()));
    }

    fn put_undelivered(
        &mut self,
        destination: DestinationId,
        uuid: &DeviceUuid,
        why: &Undelivered,
    ) {
        let pair = (destination, uuid.clone());
        self.0.push(Change::Undelivered(pair, Some(why.clone())));
    }

    fn delete_undelivered(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        self.0
            .push(Change::Undelivered((destination, uuid.clone()), None));
    }

    fn put_batch_change(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        self.0.push(Change::Marked(destination, uuid.clone()));
    }

    fn delete_batch_change(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        self.0.push(Change::Unmarked(destination, uuid.clone()));
    }

    fn put_batch_record(&mut self, destination: DestinationId, record: &BatchRecord) {
        self.0.push(Change::Batch(destination, *record));
    }

    fn put_removals(&mut self, key: &RemovalKey, removals: &[Removal]) {
        self.0
            .push(Change::Removals(key.clone(), removals.to_vec()));
    }

    fn delete_removals(&mut self, key: &RemovalKey) {
        self.0.push(Change::Removals(key.clone(), Vec::new()));
    }

    fn delete_batch_record(&mut self, destination: DestinationId, number: u32) {
        self.0.push(Change::NoBatch(destination, number));
    }
}
