//! What happens to the oracle while time passes, and when the catalog is replaced.

use super::{Cause, Oracle, is_idle};
use crate::{Version, lane::Lane, version::namespaces};
use std::{collections::BTreeSet, sync::Arc};
use tidings_model::{SegmentId, Status, Timestamp, UtcDay};

impl Oracle {
    /// Lets time pass.
    pub fn run_until(&mut self, until: Timestamp) {
        let until_ms = until.0 * 1000;
        while let Some(next_ms) = self.next_ms().filter(|next| *next <= until_ms) {
            self.now_ms = self.now_ms.max(next_ms);
            // What is told at midnight is the state after midnight.
            let next_midnight = self.midnight.plus_days(1);
            if next_midnight.start() <= self.now() {
                self.midnight = next_midnight;
                self.pass_midnight();
            }
            self.send_what_is_due();
            self.send_batches();
        }
        self.now_ms = self.now_ms.max(until_ms);
    }

    /// The next instant at which something happens by itself.
    fn next_ms(&self) -> Option<i64> {
        let lanes = self
            .version
            .catalog
            .destinations
            .iter()
            .filter(|destination| destination.status == Status::Active)
            .flat_map(|destination| {
                let lane = |namespace| self.lanes.get(&(destination.id, namespace));
                let namespaces = namespaces(destination).into_iter();
                namespaces.filter_map(move |namespace| lane(namespace)?.due_ms(destination))
            });
        let midnight = self
            .features
            .at_midnight()
            .then(|| self.midnight.plus_days(1).start().0 * 1000);
        let destinations = self.version.catalog.destinations.iter();
        let batches = destinations.filter_map(|one| Some(self.next_batch(one)?.0 * 1000));
        lanes.chain(midnight).chain(batches).min()
    }

    /// A day begins.
    fn pass_midnight(&mut self) {
        let now = self.midnight.start();
        let version = Arc::clone(&self.version);
        let dated = self.dated_mappings(self.midnight);
        for uuid in self.devices.keys().cloned().collect::<Vec<_>>() {
            let Some(device) = self.devices.get_mut(&uuid) else {
                continue;
            };
            if device.opted_out {
                continue;
            }
            device.remapped |= self.features.remapped && device.is_concerned_by(&dated);
            let is_idle = self.features.idle && is_idle(&version, device.last_seen, now);
            if is_idle && !device.is_erased {
                self.leave_everything(&uuid, Cause::Unseen);
                self.erase(&uuid);
            } else if self.features.by_time {
                self.evaluate(&uuid, Cause::Unseen, &BTreeSet::new());
            }
        }
    }

    /// Segments of which a mapping begins or ends on this day.
    fn dated_mappings(&self, day: UtcDay) -> BTreeSet<SegmentId> {
        let destinations = self.version.catalog.destinations.iter();
        destinations
            .flat_map(|destination| &destination.mappings)
            .filter(|mapping| mapping.start == Some(day) || mapping.end == Some(day))
            .map(|mapping| mapping.segment)
            .collect()
    }

    pub(super) fn catalog(&mut self, version: &Arc<Version>) {
        let old = std::mem::replace(&mut self.version, Arc::clone(version));
        let now = self.now();
        self.replaced.push((Arc::clone(&old), now));
        self.reschedule();
        let changed = changed_mappings(&old, version);
        let exists = |segment: &SegmentId| version.segments().any(|(id, _)| id == *segment);
        for uuid in self.devices.keys().cloned().collect::<Vec<_>>() {
            let Some(device) = self.devices.get_mut(&uuid) else {
                continue;
            };
            device.history.new_catalog(now, Arc::clone(version));
            device.members.retain(exists);
            for partner in device.partners.values_mut() {
                // A deleted segment is not reported, not even its zeros.
                partner.told.retain(exists);
                partner.owed.retain(|(segment, _)| exists(segment));
                for baseline in partner.baselines.values_mut() {
                    baseline.retain(exists);
                }
            }
            device.remapped |= self.features.remapped && device.is_concerned_by(&changed);
            device.drop_refused_zeros(version);
            if device.is_deleted() {
                device.drop_zeros(version, now);
            }
            if !device.opted_out {
                self.evaluate(&uuid, Cause::Catalog, &BTreeSet::new());
            }
            self.forget(&uuid);
        }
    }
}

impl Oracle {
    /// The process ends and begins again. It does not know what it had sent without an answer, so what
    /// waits is taken as told by every catalog that was in use since it began, also to a destination that
    /// is paused now: its zeros are owed from then on. What waited before it began was taken as told then.
    pub(super) fn restart(&mut self) {
        let version = Arc::clone(&self.version);
        let mut in_use = std::mem::take(&mut self.replaced);
        in_use.push((Arc::clone(&version), self.now()));
        for destination in &version.catalog.destinations {
            for (uuid, device) in &mut self.devices {
                let waiting = self
                    .lanes
                    .iter()
                    .filter(|((to, _), lane)| *to == destination.id && lane.holds(uuid));
                let waited_in: BTreeSet<_> = waiting.map(|((_, one), _)| *one).collect();
                if !waited_in.is_empty() {
                    device.take_as_told(destination, &waited_in, &in_use);
                }
            }
            self.unread.insert(destination.id);
        }
        self.lanes.values_mut().for_each(Lane::restart);
        self.restart_batches();
    }
}

/// Segments of which a mapping was added, changed or removed, or that were paused or put back to
/// work, or from which an export block was put on a destination or taken.
fn changed_mappings(old: &Version, new: &Version) -> BTreeSet<SegmentId> {
    let all = |version: &Version| -> Vec<_> {
        let destinations = version.catalog.destinations.iter();
        destinations
            .flat_map(|destination| {
                let mappings = destination.mappings.iter();
                mappings.map(|mapping| {
                    let mut segments = version.segments();
                    let status = segments.find(|(id, _)| *id == mapping.segment);
                    let blocked = version.is_blocked(destination, mapping.segment);
                    (destination.id, mapping.clone(), status, blocked)
                })
            })
            .collect()
    };
    let (old, new) = (all(old), all(new));
    let gone = old.iter().filter(|one| !new.contains(one));
    let come = new.iter().filter(|one| !old.contains(one));
    gone.chain(come)
        .map(|(_, mapping, ..)| mapping.segment)
        .collect()
}
