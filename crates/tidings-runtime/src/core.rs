//! The one writer: applies events in one total order, keeps the working set of profiles, and says
//! what is to be written.
//!
//! A `Core` does no I/O of its own. It reads rows through [`Rows`], collects writes in [`Changes`]
//! and is told the time, so the same code runs in a server, in a dry run and under simulation.
//!
//! Its callers keep one promise for it: nothing it returns leaves the process before the changes of
//! the same step, and of all steps before, are durable.

mod batch;
mod links;
mod privacy;
mod removals;
mod resend;

pub use batch::{BATCHES_KEPT, BatchPage};
pub use privacy::{PrivacyReport, PrivacyRequest, Told};
pub use resend::Resent;

use crate::{cache::Cache, message::MessageFormat};
use hashbrown::HashMap;
use privacy::Declined;
use removals::{Ledger, Outcome};
use std::sync::Arc;
use tidings_collect::Submitted;
use tidings_dispatch::{Hint, Kind, SettledUser, Taken};
use tidings_engine::{
    Applied, BatchMark, CompiledCatalog, Effects, Engine, Flight, MappingChanges, Moment, Profile,
    Settled, UserObject,
};
#[cfg(planted)]
use tidings_model::planted::{self, Planted};
use tidings_model::{
    Catalog, DataSourceId, DestinationId, DeviceUuid, Event, FailurePolicy, SegmentId, Timestamp,
};
use tidings_store::{
    AttemptRecord, BatchRecord, Link, OptOutMark, PendingRow, Removal, RemovalCause, RemovalKey,
    Removals, Undelivered,
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

    /// Whether the id with this mark opted out.
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
    /// Writes the devices that an id is linked to, the newest link last; without any, the id leads
    /// nowhere.
    fn put_links(&mut self, data_source: DataSourceId, id: &str, links: &[Link]);
    /// Keeps that a declared id opted out.
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

/// A hint for one destination's dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationHint {
    /// The destination.
    pub destination: DestinationId,
    /// The hint.
    pub hint: Hint,
}

/// Something that happens to one device without an event of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its timer came, or the catalog changed.
    Wake,
    /// It opts out.
    OptOut,
    /// It is deleted.
    Delete,
}

/// Segment changes since the last time they were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Segments entered, over all devices.
    pub entered: u64,
    /// Segments left, over all devices.
    pub left: u64,
}

/// One catalog version with everything derived from it.
#[derive(Debug)]
pub struct ActiveCatalog {
    /// For the engine.
    pub compiled: CompiledCatalog,
    /// As it was read.
    pub catalog: Catalog,
    formats: HashMap<DestinationId, MessageFormat, foldhash::fast::FixedState>,
}

impl ActiveCatalog {
    /// Compiles a catalog.
    ///
    /// # Errors
    /// When a rule is wrong.
    pub fn new(
        catalog: Catalog,
        generation: u32,
        mapping_changes: MappingChanges,
    ) -> Result<Self, tidings_engine::CompileError> {
        let compiled = CompiledCatalog::compile(&catalog, generation, mapping_changes)?;
        let formats = catalog
            .destinations
            .iter()
            .map(|d| (d.id, MessageFormat::new(d)))
            .collect();
        Ok(Self {
            compiled,
            catalog,
            formats,
        })
    }

    /// The version that takes this one's place.
    ///
    /// # Errors
    /// When a rule is wrong.
    pub fn replaced_by(&self, catalog: Catalog) -> Result<Self, tidings_engine::CompileError> {
        let generation = self.compiled.generation().saturating_add(1);
        let changes = self.compiled.mapping_changes().clone();
        Self::new(
            catalog.clone(),
            generation,
            changes.after(&self.catalog, &catalog, generation),
        )
    }

    /// How messages of a destination are written.
    #[must_use]
    pub fn format(&self, destination: DestinationId) -> Option<&MessageFormat> {
        self.formats.get(&destination)
    }
}

#[derive(Debug, Default)]
struct Cached {
    profile: Profile,
    /// Written at the end of the step.
    dirty: bool,
}

/// Profiles in memory per row of the ledger in memory.
const LEDGER_SHARE: usize = 8;

/// Bits of a message's number that count within one run of the process; those above hold the run.
const RUN_SHIFT: u32 = 40;

/// The number of a message as people see it: the run of the process, and the number within it.
pub(crate) fn message_name(message: u64) -> String {
    format!(
        "{}-{}",
        message >> RUN_SHIFT,
        message & ((1 << RUN_SHIFT) - 1)
    )
}

type FlightKey = (DestinationId, DataSourceId, Kind);
type Flights = HashMap<DeviceUuid, Vec<(FlightKey, Flight)>, foldhash::fast::RandomState>;

/// The state of the one writer.
#[derive(Debug)]
pub struct Core {
    catalog: Arc<ActiveCatalog>,
    engine: Engine,
    profiles: Cache<DeviceUuid, Box<Cached>>,
    links: links::Links,
    /// Links that ended in the change under way.
    unlinked: Vec<(DataSourceId, Box<str>)>,
    ledger: Ledger,
    flights: Flights,
    dirty: Vec<DeviceUuid>,
    due: Vec<(Timestamp, DeviceUuid)>,
    tally: Tally,
    /// Messages of this run that have come to their end.
    messages: u64,
    /// Attempts at messages that came to their end in this step.
    attempts: Vec<(DestinationId, AttemptRecord)>,
    /// The latest batch of every destination that was asked about.
    batches: HashMap<DestinationId, BatchRecord, foldhash::fast::FixedState>,
}

impl Core {
    /// A core that keeps about `profiles_max` profiles in memory.
    #[must_use]
    pub fn new(catalog: Arc<ActiveCatalog>, profiles_max: usize) -> Self {
        Self {
            catalog,
            engine: Engine::new(),
            profiles: Cache::new(profiles_max),
            links: Cache::new(profiles_max),
            ledger: Ledger::new(profiles_max / LEDGER_SHARE),
            flights: HashMap::default(),
            unlinked: Vec::new(),
            dirty: Vec::new(),
            due: Vec::new(),
            tally: Tally::default(),
            messages: 0,
            attempts: Vec::new(),
            batches: HashMap::default(),
        }
    }

    /// The catalog in use.
    #[must_use]
    pub const fn catalog(&self) -> &Arc<ActiveCatalog> {
        &self.catalog
    }

    /// Goes on with another version of the catalog. Profiles are brought up to it when they are seen
    /// or woken.
    pub fn set_catalog(&mut self, catalog: Arc<ActiveCatalog>) {
        self.catalog = catalog;
    }

    /// Segment changes since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Numbers a message that has come to its end, and keeps the attempts at it until the end of the
    /// step. The number is that of no other message, also after a restart.
    pub fn end_message(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        attempts: Vec<AttemptRecord>,
    ) -> u64 {
        self.messages += 1;
        let message = u64::from(moment.epoch) << RUN_SHIFT | self.messages;
        self.attempts.extend(attempts.into_iter().map(|attempt| {
            let attempt = AttemptRecord { message, ..attempt };
            (destination, attempt)
        }));
        message
    }

    /// The attempts at messages that came to their end in this step, for the attempt log. Those
    /// that are not asked for are forgotten with [`Core::finish`].
    pub fn take_attempts(&mut self) -> std::vec::Drain<'_, (DestinationId, AttemptRecord)> {
        self.attempts.drain(..)
    }

    /// Applies one event. `new_uuid` brings an id for a device that is not known yet.
    ///
    /// # Errors
    /// When a row cannot be read. The core must not be used any more.
    pub fn submit<R: Rows>(
        &mut self,
        moment: Moment,
        event: &Event,
        rows: &R,
        changes: &mut impl Changes,
        new_uuid: impl FnOnce() -> DeviceUuid,
        mut hint: impl FnMut(DestinationHint),
    ) -> Result<Submitted, R::Error> {
        let catalog = Arc::clone(&self.catalog);
        if let Err((code, message)) = tidings_engine::check_references(&catalog.compiled, event) {
            return Ok(Submitted::Rejected { code, message });
        }
        let known = match &event.uuid {
            Some(uuid) => Some(uuid.clone()),
            None => self.resolve(moment, event, rows)?,
        };
        let declined = self.declined(event, known.as_ref(), rows)?;
        let uuid = known.unwrap_or_else(new_uuid);
        if let Some(declined) = declined {
            if declined == Declined::Inherited && !self.has_opted_out(&uuid, rows)? {
                self.change(moment, Change::OptOut, &uuid, rows, changes, hint)?;
            }
            return Ok(Submitted::Accepted(uuid));
        }
        let cached = load(&mut self.profiles, &uuid, rows)?;
        let owed = removals::owed(&cached.profile);
        let cause = removals::cause_of_time(moment.now, &catalog.compiled, &cached.profile);
        let in_flight = in_flight(&self.flights, &uuid);
        let (applied, effects) = self.engine.apply(
            moment,
            &catalog.compiled,
            &mut cached.profile,
            event,
            in_flight,
        );
        match applied {
            Applied::Duplicate => return Ok(Submitted::Duplicate(uuid)),
            Applied::OptedOut => return Ok(Submitted::Accepted(uuid)),
            Applied::Changed => {}
        }
        mark_dirty(&mut self.dirty, cached, &uuid);
        publish(
            effects,
            &cached.profile,
            &mut self.tally,
            &mut self.due,
            &mut self.unlinked,
            moment,
            &uuid,
            changes,
            &mut hint,
        );
        let cause = match cause {
            RemovalCause::Idle => cause,
            _ => RemovalCause::Rule,
        };
        let profile = &cached.profile;
        self.ledger
            .changed(moment, cause, &uuid, &owed, profile, rows, changes)?;
        self.link(moment, event, &uuid, rows, changes)?;
        self.unlink(&uuid, rows, changes)?;
        Ok(Submitted::Accepted(uuid))
    }

    /// The profile's timer row came, the clock standing at `clock`: later than `moment` where time is
    /// made up for step by step.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn wake<R: Rows>(
        &mut self,
        moment: Moment,
        clock: Timestamp,
        (at, uuid): &(Timestamp, DeviceUuid),
        rows: &R,
        changes: &mut impl Changes,
        hint: impl FnMut(DestinationHint),
    ) -> Result<(), R::Error> {
        let profile = &load(&mut self.profiles, uuid, rows)?.profile;
        if profile.wake_at != Some(*at) {
            // Left behind, or handled in a step that is not durable yet: either way it may go.
            changes.delete_timer(*at, uuid);
            return Ok(());
        }
        self.change(moment, Change::Wake, uuid, rows, changes, hint)?;
        let profile = &load(&mut self.profiles, uuid, rows)?.profile;
        // Up to the moment itself it is among those that are due already.
        if let Some(next) = profile.wake_at.filter(|&at| moment.now < at && at <= clock) {
            self.due.push((next, uuid.clone()));
        }
        Ok(())
    }

    /// Timers that were set to a time that has come already.
    pub fn take_due(&mut self) -> Vec<(Timestamp, DeviceUuid)> {
        std::mem::take(&mut self.due)
    }

    /// Does something to one device at a time of its own: its timer came, or someone asked.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn change<R: Rows>(
        &mut self,
        moment: Moment,
        change: Change,
        uuid: &DeviceUuid,
        rows: &R,
        changes: &mut impl Changes,
        mut hint: impl FnMut(DestinationHint),
    ) -> Result<(), R::Error> {
        let catalog = Arc::clone(&self.catalog);
        let cached = load(&mut self.profiles, uuid, rows)?;
        let owed = removals::owed(&cached.profile);
        let cause = match change {
            Change::Wake => removals::cause_of_time(moment.now, &catalog.compiled, &cached.profile),
            Change::OptOut => RemovalCause::OptOut,
            Change::Delete => RemovalCause::Deletion,
        };
        let in_flight = in_flight(&self.flights, uuid);
        let (engine, profile) = (&mut self.engine, &mut cached.profile);
        let effects = match change {
            Change::Wake => engine.wake(moment, &catalog.compiled, profile, in_flight),
            Change::OptOut => engine.opt_out(moment, &catalog.compiled, profile, in_flight),
            Change::Delete => engine.delete(moment, &catalog.compiled, profile, in_flight),
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
            &mut hint,
        );
        let profile = &cached.profile;
        self.ledger
            .changed(moment, cause, uuid, &owed, profile, rows, changes)?;
        self.unlink(uuid, rows, changes)
    }

    /// Forgets what ended before `kept_from` in one row of the removal ledger.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn trim_removals<R: Rows>(
        &mut self,
        key: &RemovalKey,
        kept_from: Timestamp,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        self.ledger.trim(key, kept_from, rows, changes)
    }

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
        let cached = load(&mut self.profiles, uuid, rows)?;
        let profile = &cached.profile;
        let seq = match kind {
            Kind::Batch => 0,
            Kind::Realtime => profile
                .destination(destination)
                .and_then(|state| state.pending.as_ref())
                .map_or(moment.seq, |pending| pending.seq),
        };
        let compiled = catalog.compiled.destination(destination);
        let (Some(compiled), Some(format)) = (compiled, catalog.format(destination)) else {
            return Ok(Taken {
                uuid: uuid.clone(),
                seq,
                objects: Vec::new(),
                removal: false,
            });
        };
        let mut objects = Vec::new();
        let regions: Vec<u32> = profile.regions.iter().map(|region| region.0).collect();
        let emit = |object: UserObject<'_>| {
            objects.extend(format.user(uuid, &regions, profile.evaluated, &object));
        };
        let engine = &mut self.engine;
        let flight = match kind {
            Kind::Realtime => engine.take(moment.now, compiled, profile, namespace, emit),
            Kind::Batch => engine.take_batch(moment.now, compiled, profile, namespace, emit),
        };
        let mut removal = false;
        match flight {
            Some(flight) => {
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
                let settled = self.engine.clear_part(profile, destination, namespace, seq);
                let mark = self
                    .engine
                    .mark_batch(moment, &catalog.compiled, profile, destination);
                write_mark(mark, uuid, changes);
                if was_pending || mark.is_some() {
                    mark_dirty(&mut self.dirty, cached, uuid);
                }
                if settled == Settled::Cleared {
                    changes.delete_pending(destination, uuid);
                }
            }
        }
        Ok(Taken {
            uuid: uuid.clone(),
            seq,
            objects,
            removal,
        })
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
            let mark = self
                .engine
                .mark_batch(moment, &catalog.compiled, profile, destination);
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

    /// Removes what is known of a pair whose destination is gone from the catalog.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn forget_pair<R: Rows>(
        &mut self,
        destination: DestinationId,
        uuid: &DeviceUuid,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        let cached = load(&mut self.profiles, uuid, rows)?;
        if cached.profile.forget_destination(destination) {
            mark_dirty(&mut self.dirty, cached, uuid);
        }
        changes.delete_pending(destination, uuid);
        changes.delete_undelivered(destination, uuid);
        changes.delete_batch_change(destination, uuid);
        Ok(())
    }

    fn land(&mut self, uuid: &DeviceUuid, key: FlightKey) -> Option<Flight> {
        let flights = self.flights.get_mut(uuid)?;
        let at = flights.iter().position(|(other, _)| *other == key)?;
        let (_, flight) = flights.swap_remove(at);
        if flights.is_empty() {
            self.flights.remove(uuid);
        }
        Some(flight)
    }

    /// The hints of one row of the pending set.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn hints_of<R: Rows>(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        uuid: &DeviceUuid,
        rows: &R,
        mut hint: impl FnMut(Hint),
    ) -> Result<(), R::Error> {
        let catalog = Arc::clone(&self.catalog);
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

    /// Ends a step: hands every changed profile to `changes`. True if there was anything to write.
    /// `durable` is the last sequence number known to be on disk.
    pub fn finish(&mut self, moment: Moment, durable: u64, changes: &mut impl Changes) -> bool {
        let any = !self.dirty.is_empty();
        self.attempts.clear();
        for uuid in self.dirty.drain(..) {
            if let Some(cached) = self.profiles.get_mut(&uuid) {
                cached.dirty = false;
                changes.put_profile(&uuid, &cached.profile);
            }
        }
        self.profiles.turn(moment.seq, durable);
        self.links.turn(moment.seq, durable);
        self.ledger.turn(moment.seq, durable);
        any
    }

    /// A copy of a profile, for people who ask.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn profile<R: Rows>(&mut self, uuid: &DeviceUuid, rows: &R) -> Result<Profile, R::Error> {
        Ok(load(&mut self.profiles, uuid, rows)?.profile.clone())
    }
}

/// Whether a message with a Status 1 of a segment is on its way to a destination for this device.
fn in_flight(flights: &Flights, uuid: &DeviceUuid) -> impl Fn(DestinationId, SegmentId) -> bool {
    let flights = flights.get(uuid);
    move |destination, segment| {
        flights.is_some_and(|flights| {
            flights.iter().any(|((other, ..), flight)| {
                *other == destination && flight.ones.binary_search(&segment).is_ok()
            })
        })
    }
}

/// Writes what an event or a change entails beside the profile, but for ids that lead elsewhere now.
#[expect(
    clippy::too_many_arguments,
    reason = "parts of the core, apart because the effects borrow another one"
)]
fn publish(
    effects: &Effects,
    profile: &Profile,
    tally: &mut Tally,
    due: &mut Vec<(Timestamp, DeviceUuid)>,
    unlinked: &mut Vec<(DataSourceId, Box<str>)>,
    moment: Moment,
    uuid: &DeviceUuid,
    changes: &mut impl Changes,
    hint: &mut impl FnMut(DestinationHint),
) {
    tally.entered += effects.entered.len() as u64;
    tally.left += effects.left.len() as u64;
    unlinked.extend_from_slice(&effects.unlinked);
    if let Some((old, new)) = effects.timer {
        if let Some(old) = old {
            changes.delete_timer(old, uuid);
        }
        #[cfg(planted)]
        let new = new.filter(|_| !planted::is(Planted::TimerNotSet));
        if let Some(new) = new {
            changes.put_timer(new, uuid);
            if new <= moment.now {
                due.push((new, uuid.clone()));
            }
        }
    }
    for &mark in &effects.batch_marks {
        write_mark(Some(mark), uuid, changes);
    }
    for touched in &effects.touched {
        #[cfg(planted)]
        if planted::is(Planted::PendingNotWritten) {
            continue;
        }
        if touched.newly {
            let row = PendingRow {
                seq: moment.seq,
                since: touched.since,
            };
            changes.put_pending(touched.destination, uuid, &row);
        }
        for part in effects.parts.get(touched.parts.clone()).unwrap_or_default() {
            let (namespace, objects) = (part.namespace, part.objects);
            let new = Hint {
                uuid: uuid.clone(),
                seq: moment.seq,
                namespace,
                objects,
                removal: profile.owes_in(touched.destination, namespace),
            };
            hint(DestinationHint {
                destination: touched.destination,
                hint: new,
            });
        }
    }
}

/// Keeps the set of changes since the last batch as the marks in the profiles are.
fn write_mark(mark: Option<BatchMark>, uuid: &DeviceUuid, changes: &mut impl Changes) {
    match mark {
        Some(BatchMark {
            destination,
            marked: true,
        }) => changes.put_batch_change(destination, uuid),
        Some(BatchMark { destination, .. }) => changes.delete_batch_change(destination, uuid),
        None => {}
    }
}

fn mark_dirty(dirty: &mut Vec<DeviceUuid>, cached: &mut Cached, uuid: &DeviceUuid) {
    if !cached.dirty {
        cached.dirty = true;
        dirty.push(uuid.clone());
    }
}

fn load<'a, R: Rows>(
    profiles: &'a mut Cache<DeviceUuid, Box<Cached>>,
    uuid: &DeviceUuid,
    rows: &R,
) -> Result<&'a mut Cached, R::Error> {
    let cached = profiles.get_or_load(uuid, || {
        let profile = rows.profile(uuid)?.unwrap_or_default();
        Ok(Box::new(Cached {
            profile,
            dirty: false,
        }))
    })?;
    Ok(cached)
}
