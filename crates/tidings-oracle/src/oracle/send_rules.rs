//! The send rules: who is told about a device, and the messages that leave.

use super::{Cause, Oracle, REFRESH_SECONDS};
use crate::{Kind, Message, tell::Content, version::namespaces};
use std::{collections::BTreeSet, sync::Arc};
use tidings_model::{
    DataSourceId, Destination, DestinationId, DeviceUuid, SegmentId, Status, Unsegment,
};

impl Oracle {
    /// R1 to R5, and first links.
    pub(super) fn apply_send_rules(
        &mut self,
        uuid: &DeviceUuid,
        cause: Cause,
        entered: &BTreeSet<SegmentId>,
        left: &BTreeSet<SegmentId>,
        new_namespaces: &BTreeSet<DataSourceId>,
    ) {
        let (version, now) = (Arc::clone(&self.version), self.now());
        let Some(device) = self.devices.get_mut(uuid) else {
            return;
        };
        for &segment in entered {
            device.owe_nothing_for(segment);
        }
        for &segment in left {
            device.owe_zeros_for(&version, segment, now, self.features.kept_zeros);
        }
        let r1 = !entered.is_empty();
        let r2 = !left.is_empty();
        let r3 = cause == Cause::Seen && std::mem::take(&mut device.remapped);
        let r5 = cause == Cause::Seen
            && self.features.refresh
            && device
                .last_send
                .is_some_and(|last| now.seconds_since(last) >= REFRESH_SECONDS);
        let mut told = Vec::new();
        for destination in &version.catalog.destinations {
            let is_mapped = |segment: &SegmentId| version.delivers(destination, *segment, now);
            let partner = device.partners.entry(destination.id).or_default();
            let owed: BTreeSet<SegmentId> = partner.owed.iter().map(|(one, _)| *one).collect();
            let in_one = device.members.iter().any(is_mapped);
            let lost_one = owed.iter().any(is_mapped);
            let first_link = new_namespaces
                .iter()
                .any(|namespace| destination.id_data_sources.contains(namespace));
            let to_members = (r1 || r2 || r3 || r5 || first_link) && in_one;
            let to_former_members = (r2 || r3 || cause == Cause::Asked) && lost_one;
            let when_seen = cause == Cause::Seen && std::mem::take(&mut partner.when_seen);
            if to_members || to_former_members || when_seen {
                told.push(destination);
            }
        }
        for destination in told {
            let unsegment = match cause {
                Cause::Unseen | Cause::Catalog => destination.unsegment,
                Cause::Seen | Cause::Asked => Unsegment::Immediate,
            };
            match unsegment {
                Unsegment::Immediate => self.mark(uuid, destination),
                Unsegment::WhenSeen => self.tell_when_seen(uuid, destination.id),
                Unsegment::Batch => {}
            }
        }
    }

    fn tell_when_seen(&mut self, uuid: &DeviceUuid, destination: DestinationId) {
        if let Some(device) = self.devices.get_mut(uuid) {
            device.partners.entry(destination).or_default().when_seen = true;
        }
    }

    /// The destination is to be told about the device, if there is anything to tell.
    fn mark(&mut self, uuid: &DeviceUuid, destination: &Destination) {
        let (version, now, now_ms) = (Arc::clone(&self.version), self.now(), self.now_ms);
        let Some(device) = self.devices.get_mut(uuid) else {
            return;
        };
        for namespace in namespaces(destination) {
            let objects =
                device.objects(&version, destination, namespace, now, Content::Everything);
            if !objects.is_empty() {
                let lane = self.lanes.entry((destination.id, namespace)).or_default();
                let removal = device.owes_in(destination.id, namespace);
                lane.touch(uuid, objects.len(), removal, now_ms);
                // What a paused destination will be told one day is no refresh of the others.
                if destination.status == Status::Active {
                    device.last_send = Some(now);
                }
            }
        }
    }

    pub(super) fn send_what_is_due(&mut self) {
        let version = Arc::clone(&self.version);
        let destinations = version.catalog.destinations.iter();
        for destination in destinations.filter(|one| one.status == Status::Active) {
            self.send_what_is_due_to(destination);
            if self.unread.remove(&destination.id) {
                self.read(destination);
                self.send_what_is_due_to(destination);
            }
        }
    }

    fn send_what_is_due_to(&mut self, destination: &Destination) {
        for namespace in namespaces(destination) {
            let now_ms = self.now_ms;
            let Some(lane) = self.lanes.get_mut(&(destination.id, namespace)) else {
                continue;
            };
            let users = lane.leave(destination, now_ms);
            if !users.is_empty() {
                self.send(destination, namespace, Kind::Realtime, &users);
                self.go_on_with_batch(destination, namespace);
            }
        }
    }

    /// Finds what waits for the destination, some of it since before the process began.
    fn read(&mut self, destination: &Destination) {
        let (version, now) = (Arc::clone(&self.version), self.now());
        for namespace in namespaces(destination) {
            let Some(lane) = self.lanes.get_mut(&(destination.id, namespace)) else {
                continue;
            };
            for uuid in lane.users() {
                let Some(device) = self.devices.get(&uuid) else {
                    continue;
                };
                let content = Content::Everything;
                let objects = device.objects(&version, destination, namespace, now, content);
                // One with nothing left to tell has its turn as well.
                let objects = objects.len().max(1);
                lane.touch(
                    &uuid,
                    objects,
                    device.owes_in(destination.id, namespace),
                    self.now_ms,
                );
            }
        }
    }

    pub(super) fn send(
        &mut self,
        destination: &Destination,
        namespace: DataSourceId,
        kind: Kind,
        users: &[DeviceUuid],
    ) {
        let (version, now) = (Arc::clone(&self.version), self.now());
        let mut written = Vec::new();
        for uuid in users {
            let content = match kind {
                Kind::Realtime => Content::Everything,
                Kind::Batch => self.batch_content(uuid, destination.id),
            };
            let Some(device) = self.devices.get_mut(uuid) else {
                continue;
            };
            let objects = device.objects(&version, destination, namespace, now, content);
            for told in &objects {
                written.push(device.write(uuid, &version, destination, told, now));
                device.accepted(destination.id, told);
            }
            if kind == Kind::Batch {
                device.batched(destination.id, namespace, &objects);
            }
            if objects.is_empty() && device.is_deleted() {
                // What there was to tell cannot be told any more.
                device.drop_zeros(&version, now);
            }
            self.forget(uuid);
        }
        for users in written.chunks(destination.max_users.max(1) as usize) {
            self.messages.push(Message {
                time: now,
                destination: destination.id,
                namespace,
                kind,
                users: users.to_vec(),
            });
        }
    }

    /// Forgets what can be of no consequence any more.
    pub(super) fn forget(&mut self, uuid: &DeviceUuid) {
        let (version, now) = (Arc::clone(&self.version), self.now());
        if let Some(device) = self.devices.get_mut(uuid) {
            device.forget_baselines(&version, now);
        }
        self.forget_ids(uuid);
    }

    /// Where a partner was told nothing that still stands, and nothing waits to be told in real time,
    /// an id that is not linked any more is of no concern to it, whatever it got earlier.
    fn forget_ids(&mut self, uuid: &DeviceUuid) {
        let lanes = &self.lanes;
        let Some(device) = self.devices.get_mut(uuid) else {
            return;
        };
        let linked = device.links.iter().filter(|link| link.linked);
        let linked: BTreeSet<_> = linked.map(|link| link.id.clone()).collect();
        for (destination, partner) in &mut device.partners {
            let mut own = lanes.iter().filter(|((to, _), _)| to == destination);
            if partner.told.is_empty()
                && partner.baselines.is_empty()
                && !own.any(|(_, lane)| lane.holds(uuid))
            {
                partner.told_ids.retain(|id| linked.contains(id));
            }
        }
    }
}
