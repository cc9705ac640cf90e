//! Daily batches: when they are, and the devices that are in them.
//!
//! A batch is due at a time of day, the first one after the clock began, and then whenever the period
//! has passed since the last was due. A device about which something waits to be told in real time is
//! put off until that has left.

use super::Oracle;
use crate::{Kind, Version, tell::Content, version::namespaces};
use std::collections::BTreeMap;
use tidings_model::{DataSourceId, Destination, DestinationId, DeviceUuid, Status, Timestamp};

const DAY: i64 = 86_400;

/// The batches of one destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batches {
    since: Timestamp,
    /// When the last one was due.
    last: Option<Timestamp>,
}

/// Those of all destinations that get batches from this time on.
pub(super) fn from(version: &Version, since: Timestamp) -> BTreeMap<DestinationId, Batches> {
    let destinations = version.catalog.destinations.iter();
    destinations
        .filter(|destination| destination.batch.is_some())
        .map(|destination| (destination.id, Batches { since, last: None }))
        .collect()
}

impl Oracle {
    /// The catalog was replaced.
    pub(super) fn reschedule(&mut self) {
        let before = std::mem::take(&mut self.batches);
        self.batches = from(&self.version, self.now());
        for (id, batches) in &mut self.batches {
            if let Some(earlier) = before.get(id) {
                *batches = *earlier;
            }
        }
    }

    /// The process begins again: where there was no batch yet, the first one is after that.
    pub(super) fn restart_batches(&mut self) {
        let now = self.now();
        let batches = self.batches.values_mut();
        for batches in batches.filter(|batches| batches.last.is_none()) {
            batches.since = now;
        }
    }

    /// When the destination's next batch is, if it gets batches.
    pub(super) fn next_batch(&self, destination: &Destination) -> Option<Timestamp> {
        if !self.features.batches || destination.status == Status::Paused {
            return None;
        }
        let every = i64::try_from(destination.batch?.every.as_secs()).unwrap_or(i64::MAX);
        let batches = self.batches.get(&destination.id)?;
        let from = batches.last.map(|last| last.plus_seconds(every));
        let from = from.unwrap_or_else(|| batches.since.plus_seconds(1));
        at_or_after(destination, from)
    }

    pub(super) fn send_batches(&mut self) {
        let (version, now) = (self.version.clone(), self.now());
        for destination in &version.catalog.destinations {
            let Some(due) = self.next_batch(destination).filter(|due| *due <= now) else {
                continue;
            };
            // Of several that were missed only the latest counts.
            let latest = at_or_after(destination, now.plus_seconds(1 - DAY));
            if let Some(batches) = self.batches.get_mut(&destination.id) {
                batches.last = Some(due).max(latest);
            }
            let users: Vec<DeviceUuid> = self.devices.keys().cloned().collect();
            for namespace in namespaces(destination) {
                let count = |uuid: &DeviceUuid| self.count(uuid, destination, namespace);
                let found = users.iter().filter(|uuid| count(uuid) > 0);
                let found = found.cloned().collect();
                self.put_off.insert((destination.id, namespace), found);
            }
            for namespace in namespaces(destination) {
                self.go_on_with_batch(destination, namespace);
            }
        }
    }

    /// Sends what the batch has of devices about which nothing waits any more.
    pub(super) fn go_on_with_batch(&mut self, destination: &Destination, namespace: DataSourceId) {
        let key = (destination.id, namespace);
        let found = self.put_off.remove(&key).unwrap_or_default();
        let lane = self.lanes.get(&key);
        let waits = |uuid: &DeviceUuid| lane.is_some_and(|lane| lane.holds(uuid));
        let (put_off, ready): (Vec<_>, Vec<_>) = found.into_iter().partition(waits);
        self.put_off.insert(key, put_off);
        self.send(destination, namespace, Kind::Batch, &ready);
    }

    /// Zeros that are about to be told in real time are not the batch's.
    pub(super) fn batch_content(&self, uuid: &DeviceUuid, destination: DestinationId) -> Content {
        let mut own = self.lanes.iter().filter(|((to, _), _)| *to == destination);
        if own.any(|(_, lane)| lane.holds(uuid)) {
            Content::ChangesOnly
        } else {
            Content::SinceLastBatch
        }
    }

    fn count(
        &self,
        uuid: &DeviceUuid,
        destination: &Destination,
        namespace: DataSourceId,
    ) -> usize {
        let content = self.batch_content(uuid, destination.id);
        let objects = self.devices.get(uuid).map(|device| {
            device.objects(&self.version, destination, namespace, self.now(), content)
        });
        objects.map_or(0, |objects| objects.len())
    }
}

/// The first instant at the time of day of the destination's batches that is not before `from`.
fn at_or_after(destination: &Destination, from: Timestamp) -> Option<Timestamp> {
    let minute = i64::from(destination.batch?.at_minute);
    let at = from.day().start().plus_seconds(minute * 60);
    Some(if at >= from { at } else { at.plus_seconds(DAY) })
}
