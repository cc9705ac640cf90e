//! The end of a run: nothing fails any more, everything has come to rest, and what was promised is
//! compared with what is.

use super::World;
use crate::{
    Violation,
    partner::Partner,
    plan::COUNTER,
    truth::{self, Segments},
};
use tidings_engine::Profile;
use tidings_model::{Destination, DeviceUuid, FailurePolicy, TraitId};

impl World<'_> {
    /// Whether nothing is left to do.
    pub(super) fn is_at_rest(&self) -> bool {
        self.calm_since.is_some()
            && self.clients.are_done()
            && self.disk.rows.pending.is_empty()
            && self.service.as_ref().is_some_and(super::Service::is_idle)
    }

    /// What is still to be done, for whoever wonders why the end does not come.
    pub(super) fn unrest(&self) -> String {
        let pending: Vec<_> = self.disk.rows.pending.keys().collect();
        let service = self.service.as_ref().map(|one| {
            let stations = one.stations.iter();
            let idle = stations.map(|(to, station)| (to, station.courier.is_idle()));
            idle.collect::<Vec<_>>()
        });
        format!(
            "events answered: {}, pending: {pending:?}, idle couriers: {service:?}",
            self.clients.are_done()
        )
    }

    pub(super) fn check_end(&self) -> Result<(), Violation> {
        self.check_events()?;
        for (uuid, profile) in &self.disk.rows.profiles {
            for destination in &self.plan.catalog.destinations {
                if let Some(partner) = self.partners.get(&destination.id) {
                    self.check_pair(destination, partner, uuid, profile)?;
                }
            }
        }
        Ok(())
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
        let segments = truth::segments_of(&self.plan.catalog, to, profile);
        let is_listed = self.disk.rows.undelivered.contains_key(&(to, uuid.clone()));
        let given_up = is_listed && destination.after_failure == FailurePolicy::Drop;
        for (namespace, id, known) in partner.of(uuid) {
            let extra: Segments = known.difference(&segments).cloned().collect();
            if !extra.is_empty() && !given_up {
                let detail =
                    format!("destination {to}, device {uuid} as {id:?} in {namespace}: {extra:?}");
                return Err(Violation::new("who has left is told so", detail));
            }
        }
        let state = profile.destination(to);
        let owed = state.map_or(0, |state| state.owed.len());
        if owed > 0 && !given_up {
            let detail = format!("destination {to}, device {uuid}: {owed} zeros");
            return Err(Violation::new("no zero is owed at rest", detail));
        }
        for namespace in namespaces(destination) {
            // An id that is seen again becomes the newest without being told anything: it is the
            // namespace in which the partner knows the device.
            let mut ids = profile.ids.iter();
            let is_linked =
                ids.any(|id| id.linked && id.data_source.0 == namespace && !id.id.is_empty());
            if segments.is_empty() || !is_linked || is_listed {
                continue;
            }
            let mut known = partner.of(uuid);
            if !known.any(|(within, _, known)| within == namespace && *known == segments) {
                let detail =
                    format!("destination {to}, device {uuid} in {namespace}: is in {segments:?}");
                return Err(Violation::new("partners know the newest state", detail));
            }
        }
        Ok(())
    }
}

fn namespaces(destination: &Destination) -> impl Iterator<Item = u32> + '_ {
    destination.id_data_sources.iter().map(|one| one.0)
}
