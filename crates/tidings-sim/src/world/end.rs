//! The end of a run: nothing fails any more, everything has come to rest, and what was promised is
//! compared with what is.

use super::{Service, World};
use crate::{
    Violation,
    partner::{Known, Partner},
    plan::COUNTER,
    truth::{self, Segments},
};
use std::collections::BTreeSet;
use tidings_engine::{IdKey, Profile};
use tidings_model::{DataSourceId, Destination, DeviceUuid, FailurePolicy, SegmentId, TraitId};

impl World<'_> {
    /// Whether nothing is left to do.
    pub(super) fn is_at_rest(&self) -> bool {
        let pending = &self.disk.rows.pending;
        self.closed_at.is_some()
            && self.clients.are_done()
            && pending.keys().all(|(to, _)| !self.truth.has(*to))
            && self.service.as_ref().is_some_and(Service::is_idle)
            && !self.disk.needs_sweep()
            && self.is_batched()
    }

    /// What is still to be done, for whoever wonders why the end does not come.
    pub(super) fn unrest(&self) -> String {
        let pending: Vec<_> = self.disk.rows.pending.keys().collect();
        let busy = self.service.as_ref().map(|one| one.stations.busy());
        format!(
            "events answered: {}, pending: {pending:?}, busy couriers: {busy:?}, to sweep: {}, \
             batches: {:?}",
            self.clients.are_done(),
            self.disk.needs_sweep(),
            self.disk.rows.batches
        )
    }

    pub(super) fn check_end(&self) -> Result<(), Violation> {
        self.check_events()?;
        self.check_gone()?;
        self.batches.check_end(&self.counts)?;
        let Some(version) = self.plan.versions.get(self.version) else {
            return Ok(());
        };
        for (uuid, profile) in &self.disk.rows.profiles {
            for destination in &version.catalog.destinations {
                if let Some(partner) = self.partners.get(&destination.id) {
                    self.check_pair(destination, partner, uuid, profile)?;
                }
            }
        }
        Ok(())
    }

    /// Nothing is left of destinations that left the catalog.
    fn check_gone(&self) -> Result<(), Violation> {
        let rows = &self.disk.rows;
        let pending = rows.pending.keys();
        let pairs = pending.chain(rows.undelivered.keys());
        let changes = rows.batch_changes.iter();
        let mut left = pairs.chain(changes).filter(|(to, _)| !self.truth.has(*to));
        let mut batches = rows.batches.keys().filter(|to| !self.truth.has(**to));
        let detail = match (left.next(), batches.next()) {
            (Some((to, uuid)), _) => format!("destination {to}, device {uuid}"),
            (None, Some(to)) => format!("destination {to}, a batch"),
            (None, None) => return Ok(()),
        };
        let promise = "nothing is left of a removed destination";
        Err(Violation::new(promise, detail))
    }

    /// Every event that was answered with success counts once.
    fn check_events(&self) -> Result<(), Violation> {
        let promise = "an acknowledged event counts once";
        if let Some(number) = self.clients.moved {
            let detail = format!("event {number} was taken for two devices");
            return Err(Violation::new(promise, detail));
        }
        for (uuid, expected) in self.clients.counts() {
            let profile = self.disk.rows.profiles.get(uuid);
            let counter = profile.and_then(|profile| {
                let mut traits = profile.traits.iter();
                traits.find(|state| state.id == TraitId(COUNTER))
            });
            let found = counter.map_or(0, |state| {
                let days = state.days.iter().map(|day| u64::from(day.count));
                u64::from(state.older) + days.sum::<u64>()
            });
            if found != expected {
                let detail = format!("device {uuid}: {expected} were answered, {found} count");
                return Err(Violation::new(promise, detail));
            }
        }
        Ok(())
    }

    fn check_pair(
        &self,
        destination: &Destination,
        partner: &Partner,
        uuid: &DeviceUuid,
        profile: &Profile,
    ) -> Result<(), Violation> {
        let to = destination.id;
        let members = truth::members(profile);
        let is_listed = self.disk.rows.undelivered.contains_key(&(to, uuid.clone()));
        let given_up = is_listed && destination.after_failure == FailurePolicy::Drop;
        for (namespace, id, known) in partner.of(uuid) {
            let is_extra = |(segment, since): (&String, &u64)| {
                let id = segment.parse().map(SegmentId).ok()?;
                let extra = !members.contains(&id) && self.truth.counts_since(to, id, *since);
                extra.then_some(id)
            };
            let extra: BTreeSet<SegmentId> = known.iter().filter_map(is_extra).collect();
            if !extra.is_empty() && !given_up {
                let detail =
                    format!("destination {to}, device {uuid} as {id:?} in {namespace}: {extra:?}");
                return Err(Violation::new("who has left is told so", detail));
            }
        }
        // What turned after the last sighting of the device is told when it is seen next.
        let seen = self.closed_at.unwrap_or(0);
        let is_told = |segment: &SegmentId| self.truth.counts_since(to, *segment, seen);
        let state = profile.destination(to);
        // A destination that left and came back with other namespaces is not told in those of before.
        let is_heard = |key: IdKey| {
            let mut ids = profile.ids.iter().filter(|id| id.key == key);
            ids.any(|id| hears(destination, id.data_source))
        };
        let owed = state.map_or(0, |state| {
            let owed = state.owed.iter();
            let owed = owed.filter(|zero| is_told(&zero.segment) && is_heard(zero.id));
            owed.count()
        });
        if owed > 0 && !given_up {
            let detail = format!("destination {to}, device {uuid}: {owed} zeros");
            return Err(Violation::new("no zero is owed at rest", detail));
        }
        let told = members.into_iter().filter(is_told);
        let told: Segments = told.map(|segment| segment.to_string()).collect();
        for namespace in namespaces(destination) {
            // An id that is seen again becomes the newest without being told anything: it is the
            // namespace in which the partner knows the device.
            let mut ids = profile.ids.iter();
            let is_linked =
                ids.any(|id| id.linked && id.data_source.0 == namespace && !id.id.is_empty());
            if told.is_empty() || !is_linked {
                continue;
            }
            // What begins while the last batch runs is for the next one.
            let jumped = self.last_since.map_or(0, |(_, millis)| millis);
            let before = &self.truth.at(to, uuid, jumped) & &told;
            // What it could not tell, as for want of a token, is for the next one as well.
            let record = self.disk.rows.batches.get(&to);
            let is_whole = record.is_some_and(|record| record.failed == 0);
            if destination.batch.is_some()
                && is_whole
                && !before.is_empty()
                && !partner.was_batched(namespace, uuid, &before)
            {
                let detail = format!("destination {to}, device {uuid} in {namespace}: {told:?}");
                return Err(Violation::new("a batch tells everyone", detail));
            }
            if is_listed {
                continue;
            }
            let mut known = partner.of(uuid);
            let knows = |known: &Known| told.iter().all(|segment| known.contains_key(segment));
            if !known.any(|(within, _, known)| within == namespace && knows(known)) {
                let detail =
                    format!("destination {to}, device {uuid} in {namespace}: is in {told:?}");
                return Err(Violation::new("partners know the newest state", detail));
            }
        }
        Ok(())
    }
}

/// Whether a destination is told anything in a namespace.
fn hears(destination: &Destination, namespace: DataSourceId) -> bool {
    match &*destination.id_data_sources {
        [] => namespace == DataSourceId::NONE,
        namespaces => namespaces.contains(&namespace),
    }
}

fn namespaces(destination: &Destination) -> impl Iterator<Item = u32> + '_ {
    destination.id_data_sources.iter().map(|one| one.0)
}
