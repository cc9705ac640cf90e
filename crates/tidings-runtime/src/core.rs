//! The one writer: applies events in one total order, keeps the working set of profiles, and says
//! what is to be written.
//!
//! A `Core` does no I/O of its own. It reads rows through [`Rows`], collects writes in [`Changes`]
//! and is told the time, so the same code runs in a server, in a dry run and under simulation.
//!
//! Its callers keep one promise for it: nothing it returns leaves the process before the changes of
//! the same step, and of all steps before, are durable.
//!
//! Here: events, and what happens to one device at a time of its own. What a destination is told and
//! what becomes of it is in `core/deliver.rs`, what a change entails beside the profile in
//! `core/publish.rs`.

mod batch;
mod catalog;
mod deliver;
mod links;
mod ports;
mod privacy;
mod publish;
mod removals;
mod resend;

pub use batch::{BATCHES_KEPT, BatchPage};
pub use catalog::ActiveCatalog;
pub(crate) use deliver::message_name;
pub use ports::{Changes, Rows, Scans};
pub use privacy::{PrivacyReport, PrivacyRequest, Told};
pub use resend::Resent;

use crate::cache::Cache;
use deliver::{Flights, RUN_SHIFT, in_flight};
use hashbrown::HashMap;
use privacy::Declined;
use publish::publish;
use removals::Ledger;
use std::sync::Arc;
use tidings_collect::Submitted;
use tidings_dispatch::Hint;
use tidings_engine::{Applied, Engine, Moment, Profile};
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Event, Timestamp};
use tidings_store::{AttemptRecord, BatchRecord, RemovalCause, RemovalKey};

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

#[derive(Debug, Default)]
struct Cached {
    profile: Profile,
    /// It has a row, or gets one in a step before.
    stored: bool,
    /// Written at the end of the step.
    dirty: bool,
}

/// Profiles in memory per row of the ledger in memory.
const LEDGER_SHARE: usize = 8;

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
    /// Destinations none of whose batches was under way when an earlier run ended, ascending.
    batches_ended: Vec<DestinationId>,
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
            batches_ended: Vec::new(),
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
        batch::confirm_marks(moment, &self.batches_ended, &mut cached.profile);
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
        batch::confirm_marks(moment, &self.batches_ended, &mut cached.profile);
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

    /// Ends a step: hands every changed profile to `changes`, and a mark in the place of one in which
    /// nothing is left but that its device opted out. True if there was anything to write. `durable` is
    /// the last sequence number known to be on disk.
    pub fn finish<R: Rows>(
        &mut self,
        moment: Moment,
        durable: u64,
        rows: &R,
        changes: &mut impl Changes,
    ) -> bool {
        let any = !self.dirty.is_empty();
        self.attempts.clear();
        for uuid in self.dirty.drain(..) {
            if let Some(cached) = self.profiles.get_mut(&uuid) {
                cached.dirty = false;
                write_profile(&uuid, cached, rows, changes);
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

fn mark_dirty(dirty: &mut Vec<DeviceUuid>, cached: &mut Cached, uuid: &DeviceUuid) {
    if !cached.dirty {
        cached.dirty = true;
        dirty.push(uuid.clone());
    }
}

fn write_profile<R: Rows>(
    uuid: &DeviceUuid,
    Cached {
        profile, stored, ..
    }: &mut Cached,
    rows: &R,
    changes: &mut impl Changes,
) {
    if profile.is_deleted() {
        for destination in profile.forget_undelivered() {
            changes.delete_undelivered(destination, uuid);
        }
    }
    if profile.is_tombstone() {
        changes.delete_profile(uuid);
        changes.put_opt_out(rows.device_mark(uuid));
        *stored = false;
    } else if *stored {
        changes.replace_profile(uuid, profile);
    } else {
        changes.put_profile(uuid, profile);
        *stored = true;
    }
}

/// The profile of a device. Only one that is not stored costs a second look: whether there is a mark.
fn load<'a, R: Rows>(
    profiles: &'a mut Cache<DeviceUuid, Box<Cached>>,
    uuid: &DeviceUuid,
    rows: &R,
) -> Result<&'a mut Cached, R::Error> {
    let cached = profiles.get_or_load(uuid, || {
        let stored = rows.profile(uuid)?;
        let is_stored = stored.is_some();
        let profile = match stored {
            Some(profile) => profile,
            None => Profile {
                opted_out: rows.opted_out(rows.device_mark(uuid))?,
                ..Profile::default()
            },
        };
        Ok(Box::new(Cached {
            profile,
            stored: is_stored,
            dirty: false,
        }))
    })?;
    Ok(cached)
}

#[cfg(test)]
mod tests;
