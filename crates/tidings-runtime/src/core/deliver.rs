//! Delivery: what a destination is told about a device, what is on its way, and what its outcome
//! means for the profile.

use super::{
    ActiveCatalog, Change, Changes, Core, Rows, batch, load, mark_dirty,
    publish::{publish, write_mark},
    removals::{self, Outcome},
};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::sync::Arc;
use tidings_dispatch::{Hint, Kind, SettledUser, Taken};
use tidings_engine::{Flight, Moment, Settled, UserObject};
use tidings_model::{
    DataSourceId, DestinationId, DeviceUuid, FailurePolicy, SegmentId, limits::PROFILE_REGIONS_MAX,
};
use tidings_store::{RemovalCause, Undelivered};

/// Bits of a message's number that count within one run of the process; those above hold the run.
pub(super) const RUN_SHIFT: u32 = 40;

/// The number of a message as people see it: the run of the process, and the number within it.
pub(crate) fn message_name(message: u64) -> String {
    format!(
        "{}-{}",
        message >> RUN_SHIFT,
        message & ((1 << RUN_SHIFT) - 1)
    )
}

pub(super) type FlightKey = (DestinationId, DataSourceId, Kind);
pub(super) type Flights =
    HashMap<DeviceUuid, Vec<(FlightKey, Flight)>, foldhash::fast::RandomState>;

impl Core {
    /// Builds what a destination is told about some devices, in one namespace.
    ///
    /// # Errors
    /// As [`Core::submit`].
    #[expect(
        clippy::too_many_arguments,
        reason = "what is taken has this many sides"
    )]
    pub fn take<R: Rows>(
        &mut self,
        moment: Moment,
        kind: Kind,
        destination: DestinationId,
        namespace: DataSourceId,
        users: Vec<DeviceUuid>,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<Vec<Taken<Vec<u8>>>, R::Error> {
        let catalog = Arc::clone(&self.catalog);
        let mut taken = Vec::with_capacity(users.len());
        for uuid in users {
            let user = self.take_one(
                moment,
                &catalog,
                kind,
                destination,
                namespace,
                &uuid,
                rows,
                changes,
            );
            taken.push(user?);
        }
        Ok(taken)
    }

    #[expect(clippy::too_many_arguments, reason = "the body of the loop of `take`")]
    fn take_one<R: Rows>(
        &mut self,
        moment: Moment,
        catalog: &ActiveCatalog,
        kind: Kind,
        destination: DestinationId,
        namespace: DataSourceId,
        uuid: &DeviceUuid,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<Taken<Vec<u8>>, R::Error> {
        let mut cached = load(&mut self.profiles, uuid, rows)?;
        if cached.profile.has_run_out(&catalog.compiled, moment.now) {
            self.forget_unseen(moment, catalog, uuid, rows, changes)?;
            cached = load(&mut self.profiles, uuid, rows)?;
        }
        let profile = &cached.profile;
        let touch = match kind {
            Kind::Batch => 0,
            Kind::Realtime => profile
                .destination(destination)
                .and_then(|state| state.pending.as_ref())
                .map_or(moment.seq, |pending| pending.seq),
        };
        // An event of this step may still touch it, after it was taken and with this step's number.
        let seq = touch.min(moment.seq.saturating_sub(1));
        let compiled = catalog.compiled.destination(destination);
        let (Some(compiled), Some(format)) = (compiled, catalog.format(destination)) else {
            return Ok(Taken {
                uuid: uuid.clone(),
                seq,
                objects: SmallVec::new(),
                removal: false,
            });
        };
        let mut objects = SmallVec::new();
        let regions: SmallVec<[u32; PROFILE_REGIONS_MAX]> =
            profile.regions.iter().map(|region| region.0).collect();
        let emit = |object: UserObject<'_>| {
            objects.extend(format.user(uuid, namespace, &regions, profile.evaluated, &object));
        };
        let engine = &mut self.engine;
        let flight = match kind {
            Kind::Realtime => engine.take(moment.now, compiled, profile, namespace, emit),
            Kind::Batch => engine.take_batch(moment.now, compiled, profile, namespace, emit),
        };
        let mut removal = false;
        let is_empty = flight.is_none();
        match flight {
            Some(flight) => {
                let flight = Flight { seq, ..flight };
                removal = flight.objects.iter().any(|object| !object.zeros.is_empty());
                self.flights
                    .entry_ref(uuid)
                    .or_default()
                    .push(((destination, namespace, kind), flight));
            }
            None if kind == Kind::Batch => {}
            None => {
                let profile = &mut cached.profile;
                let was_pending = profile
                    .destination(destination)
                    .is_some_and(|state| state.pending.is_some());
                let in_flight = in_flight(&self.flights, uuid);
                batch::confirm_marks(moment, &self.batches_ended, profile);
                self.engine
                    .assume_told_by_earlier_run(moment, &catalog.compiled, profile);
                let settled = self
                    .engine
                    .clear_part(profile, destination, namespace, touch);
                let mark = self.engine.mark_batch(
                    moment,
                    &catalog.compiled,
                    profile,
                    destination,
                    in_flight,
                );
                write_mark(mark, uuid, changes);
                if was_pending || mark.is_some() {
                    mark_dirty(&mut self.dirty, cached, uuid);
                }
                if settled == Settled::Cleared {
                    changes.delete_pending(destination, uuid);
                }
            }
        }
        if is_empty && cached.profile.is_deleted() {
            // What it is owed and cannot be told any more goes now: nothing else looks at it again.
            self.change(moment, Change::Wake, uuid, rows, changes, |_| {})?;
        }
        Ok(Taken {
            uuid: uuid.clone(),
            seq,
            objects,
            removal,
        })
    }

    /// A partner is about to be told of a device that was unseen for too long, but that nothing has
    /// looked at since: what is told says nothing of what has run out. Nothing happens to another device.
    pub(super) fn forget_unseen<R: Rows>(
        &mut self,
        moment: Moment,
        catalog: &ActiveCatalog,
        uuid: &DeviceUuid,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        let cached = load(&mut self.profiles, uuid, rows)?;
        batch::confirm_marks(moment, &self.batches_ended, &mut cached.profile);
        let in_flight = in_flight(&self.flights, uuid);
        let (engine, profile) = (&mut self.engine, &mut cached.profile);
        let Some(effects) = engine.forget_unseen(moment, &catalog.compiled, profile, in_flight)
        else {
            return Ok(());
        };
        mark_dirty(&mut self.dirty, cached, uuid);
        publish(
            effects,
            &cached.profile,
            &mut self.tally,
            &mut self.due,
            &mut self.unlinked,
            moment,
            uuid,
            changes,
            // It has left everything before: nobody is to be told anything new.
            &mut |_| {},
        );
        self.unlink(uuid, rows, changes)
    }

    /// Records the outcome of a message in real time for its devices.
    ///
    /// # Errors
    /// As [`Core::submit`].
    #[expect(clippy::too_many_arguments, reason = "an outcome has this many sides")]
    pub fn settle<R: Rows>(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        namespace: DataSourceId,
        users: &[SettledUser],
        reason: &str,
        message: u64,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        let catalog = Arc::clone(&self.catalog);
        for user in users {
            let key = (destination, namespace, Kind::Realtime);
            let Some(flight) = self.land(&user.uuid, key) else {
                continue;
            };
            let cached = load(&mut self.profiles, &user.uuid, rows)?;
            let profile = &mut cached.profile;
            self.engine
                .note_remapping(&catalog.compiled, profile, moment.now);
            batch::confirm_marks(moment, &self.batches_ended, profile);
            self.engine
                .assume_told_by_earlier_run(moment, &catalog.compiled, profile);
            let owed = removals::owed(profile);
            let acknowledged = |n: usize| user.acknowledged.get(n) == Some(&true);
            let mut settled =
                self.engine
                    .settle(profile, destination, namespace, &flight, acknowledged);
            if user.delivered() {
                let dropped = profile.is_dropped_since(destination, flight.seq);
                if !dropped && profile.set_undelivered(destination, false) {
                    changes.delete_undelivered(destination, &user.uuid);
                }
            } else {
                // A zero is owed until it was acknowledged, whatever becomes of the ones.
                let zeros = flight.objects.iter().any(|object| !object.zeros.is_empty());
                let held = zeros || user.after_failure == FailurePolicy::Hold;
                if !held {
                    settled = self
                        .engine
                        .clear_part(profile, destination, namespace, flight.seq);
                }
                profile.set_undelivered(destination, true);
                let compiled = catalog.compiled.destination(destination);
                if !held && compiled.is_some_and(|compiled| compiled.namespaces.len() > 1) {
                    profile.note_dropped(destination, flight.seq);
                }
                let why = Undelivered {
                    at: moment.now,
                    reason: reason.into(),
                    held,
                };
                changes.put_undelivered(destination, &user.uuid, &why);
            }
            if settled == Settled::Cleared {
                changes.delete_pending(destination, &user.uuid);
            }
            let in_flight = in_flight(&self.flights, &user.uuid);
            let mark =
                self.engine
                    .mark_batch(moment, &catalog.compiled, profile, destination, in_flight);
            write_mark(mark, &user.uuid, changes);
            let outcome = Outcome {
                destination,
                message,
                flight: &flight,
            };
            self.ledger
                .told(moment, &user.uuid, outcome, &owed, profile, rows, changes)?;
            mark_dirty(&mut self.dirty, cached, &user.uuid);
        }
        Ok(())
    }

    /// The task of a destination has ended: what it left on its way has no outcome, so it counts as
    /// not acknowledged.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn abandon<R: Rows>(
        &mut self,
        destination: DestinationId,
        rows: &R,
    ) -> Result<(), R::Error> {
        let of =
            |flights: &[(FlightKey, Flight)]| flights.iter().any(|(key, _)| key.0 == destination);
        let devices = self.flights.iter().filter(|(_, flights)| of(flights));
        let mut devices: Vec<_> = devices.map(|(uuid, _)| uuid.clone()).collect();
        devices.sort_unstable();
        for uuid in devices {
            let cached = load(&mut self.profiles, &uuid, rows)?;
            let Some(flights) = self.flights.get_mut(&uuid) else {
                continue;
            };
            for ((_, namespace, _), flight) in
                flights.extract_if(.., |(key, _)| key.0 == destination)
            {
                let nothing = |_| false;
                let profile = &mut cached.profile;
                self.engine
                    .settle(profile, destination, namespace, &flight, nothing);
            }
            if flights.is_empty() {
                self.flights.remove(&uuid);
            }
            mark_dirty(&mut self.dirty, cached, &uuid);
        }
        Ok(())
    }

    /// Removes what is known of a pair whose destination is gone from the catalog. A Status 0 that was owed
    /// is owed no more, which the ledger notes.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn forget_pair<R: Rows>(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        uuid: &DeviceUuid,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        let cached = load(&mut self.profiles, uuid, rows)?;
        let owed = removals::owed(&cached.profile);
        if cached.profile.forget_destination(destination) {
            let profile = &cached.profile;
            let cause = RemovalCause::Catalog;
            self.ledger
                .changed(moment, cause, uuid, &owed, profile, rows, changes)?;
            mark_dirty(&mut self.dirty, cached, uuid);
        }
        changes.delete_pending(destination, uuid);
        changes.delete_undelivered(destination, uuid);
        changes.delete_batch_change(destination, uuid);
        Ok(())
    }

    /// The namespaces in which a pair waits although its destination is not told in them any more, but
    /// for those in which something is on its way.
    fn untold<R: Rows>(
        &mut self,
        catalog: &ActiveCatalog,
        destination: DestinationId,
        uuid: &DeviceUuid,
        rows: &R,
    ) -> Result<Vec<DataSourceId>, R::Error> {
        let Some(compiled) = catalog.compiled.destination(destination) else {
            return Ok(Vec::new());
        };
        let profile = &load(&mut self.profiles, uuid, rows)?.profile;
        let state = profile.destination(destination);
        let pending = state.and_then(|state| state.pending.as_ref());
        let mut untold = pending.map_or_else(Vec::new, |pending| pending.parts.to_vec());
        let flights = self.flights.get(uuid).map_or(&[][..], Vec::as_slice);
        untold.retain(|&namespace| {
            let key = (destination, namespace, Kind::Realtime);
            !compiled.namespaces.contains(&namespace)
                && flights.iter().all(|(other, _)| *other != key)
        });
        Ok(untold)
    }

    pub(super) fn land(&mut self, uuid: &DeviceUuid, key: FlightKey) -> Option<Flight> {
        let flights = self.flights.get_mut(uuid)?;
        let at = flights.iter().position(|(other, _)| *other == key)?;
        let (_, flight) = flights.swap_remove(at);
        if flights.is_empty() {
            self.flights.remove(uuid);
        }
        Some(flight)
    }

    /// The hints of one row of the pending set. What waits in a namespace that the destination is not
    /// told in any more ends here: nobody would ever take it.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn hints_of<R: Rows>(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        uuid: &DeviceUuid,
        rows: &R,
        changes: &mut impl Changes,
        mut hint: impl FnMut(Hint),
    ) -> Result<(), R::Error> {
        let catalog = Arc::clone(&self.catalog);
        for namespace in self.untold(&catalog, destination, uuid, rows)? {
            let (kind, to) = (Kind::Realtime, destination);
            self.take_one(moment, &catalog, kind, to, namespace, uuid, rows, changes)?;
        }
        let cached = load(&mut self.profiles, uuid, rows)?;
        let seq = cached
            .profile
            .destination(destination)
            .and_then(|state| state.pending.as_ref())
            .map_or(0, |pending| pending.seq);
        for part in catalog
            .compiled
            .waiting(&cached.profile, destination, moment.now)
        {
            let (namespace, objects) = (part.namespace, part.objects);
            hint(Hint {
                uuid: uuid.clone(),
                seq,
                namespace,
                objects,
                removal: cached.profile.owes_in(destination, namespace),
            });
        }
        Ok(())
    }
}

/// Whether a message with a Status 1 of a segment is on its way to a destination for this device.
pub(super) fn in_flight(
    flights: &Flights,
    uuid: &DeviceUuid,
) -> impl Fn(DestinationId, SegmentId) -> bool {
    let flights = flights.get(uuid);
    move |destination, segment| {
        flights.is_some_and(|flights| {
            flights.iter().any(|((other, ..), flight)| {
                *other == destination && flight.ones.binary_search(&segment).is_ok()
            })
        })
    }
}
