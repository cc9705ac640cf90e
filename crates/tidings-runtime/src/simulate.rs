//! The dry run: the real engine and dispatchers under virtual time, rows in memory, and partners
//! that accept everything at once.
//!
//! The same catalog, events and times give the same messages, byte for byte: nothing here reads a
//! clock, and new device ids come from a counter.

use crate::core::{
    ActiveCatalog, Change, Core, DestinationHint, PrivacyReport, PrivacyRequest, Rows, Scans,
};
use crate::memory::{MemoryChanges, MemoryRows};
use crate::schedule::{Lateness, Schedule};
use crate::settings::dispatch_settings;
use crate::why::{self, Unknown};
use std::{collections::BTreeMap, convert::Infallible, sync::Arc};
use tidings_collect::{Subject, Submitted};
use tidings_dispatch::{Action, Dispatcher, Kind, Outcome};
use tidings_engine::{CompileError, LastUse, Moment, PastMappings, why::Why};
use tidings_model::{
    Catalog, DataSourceId, DestinationId, DeviceUuid, Event, Method, Millis, SegmentId, Timestamp,
};

/// A message that would be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentMessage<'a> {
    /// When.
    pub time: Timestamp,
    /// To whom.
    pub destination: DestinationId,
    /// What it is part of.
    pub kind: Kind,
    /// How.
    pub method: Method,
    /// The exact bytes: the body of a POST, path and query of a GET.
    pub body: &'a [u8],
}

/// A dry run in progress.
#[derive(Debug)]
pub struct Simulation {
    core: Core,
    rows: MemoryRows,
    changes: MemoryChanges,
    dispatchers: Dispatchers,
    batches: Batches,
    now: Millis,
    seq: u64,
    /// Which run of the process this is.
    epoch: u32,
    /// The run in which the catalog came into use.
    came: u32,
    new_devices: u64,
}

impl Simulation {
    /// A dry run that begins at `start` with nothing known about any device.
    #[must_use]
    pub fn new(catalog: Arc<ActiveCatalog>, start: Timestamp) -> Self {
        let dispatchers = dispatchers(&catalog.catalog);
        let batches = schedules(&catalog.catalog, start);
        Self {
            core: Core::new(catalog, PROFILES_MAX),
            rows: MemoryRows::default(),
            changes: MemoryChanges::default(),
            dispatchers,
            batches,
            now: millis(start),
            seq: 0,
            epoch: 1,
            came: 1,
            new_devices: 0,
        }
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        timestamp(self.now)
    }

    /// The segments that a device is in, ascending.
    pub fn segments(&mut self, uuid: &DeviceUuid) -> Vec<SegmentId> {
        let profile = infallible(self.core.profile(uuid, &self.rows));
        profile.segments.iter().map(|state| state.id).collect()
    }

    /// Whether the catalog in use has this data source.
    #[must_use]
    pub fn has_data_source(&self, id: DataSourceId) -> bool {
        self.core.catalog().compiled.has_data_source(id)
    }

    /// Explains one device and one segment as things stand now.
    ///
    /// # Errors
    /// When the catalog in use has no such segment.
    pub fn why(&mut self, uuid: &DeviceUuid, segment: SegmentId) -> Result<Why, Unknown> {
        let now = self.now();
        let profile = infallible(self.core.profile(uuid, &self.rows));
        why::explain(self.core.catalog(), &profile, segment, None, now)
    }

    /// Lets time pass until `until`, handing every message that becomes due to `sent`, in order.
    pub fn run_until(&mut self, until: Timestamp, sent: &mut impl FnMut(SentMessage<'_>)) {
        let until = millis(until);
        self.drain(sent);
        while let Some(due) = self.next_wakeup().filter(|&due| due <= until) {
            self.now = due.max(self.now);
            // What is told now is the state now: what time changes at this instant comes first.
            self.wake();
            self.drain(sent);
            self.begin_batches(sent);
        }
        self.now = until.max(self.now);
    }

    fn next_wakeup(&self) -> Option<Millis> {
        let timer = self.rows.timers.first().map(|(at, _)| millis(*at));
        let dispatchers = self
            .dispatchers
            .values()
            .filter_map(|dispatcher| dispatcher.next_wakeup(self.now));
        let batches = self.batches.values().filter_map(Schedule::next).map(millis);
        dispatchers.chain(timer).chain(batches).min()
    }

    /// Wakes every profile whose timer is due.
    fn wake(&mut self) {
        while let Some((at, uuid)) = self.rows.timers.first().cloned() {
            if millis(at) > self.now {
                return;
            }
            self.rows.timers.pop_first();
            self.apply(Change::Wake, &uuid);
        }
    }

    /// Begins every batch that is due. What time changed at the same instant is in it.
    fn begin_batches(&mut self, sent: &mut impl FnMut(SentMessage<'_>)) {
        let moment = self.moment();
        let due = |(&id, schedule): (_, &Schedule)| Some((id, schedule.due(moment.now)?));
        let due: Vec<_> = self.batches.iter().filter_map(due).collect();
        for (id, at) in due {
            let (rows, changes) = (&self.rows, &mut self.changes);
            let record = infallible(self.core.begin_batch(moment, id, at, rows, changes));
            self.commit(moment);
            if let Some(schedule) = self.batches.get_mut(&id) {
                schedule.began(&record);
            }
            self.with(id, Dispatcher::begin_batch);
        }
        self.drain(sent);
    }

    /// Does something to one device now.
    pub fn change(
        &mut self,
        change: Change,
        uuid: &DeviceUuid,
        sent: &mut impl FnMut(SentMessage<'_>),
    ) {
        self.apply(change, uuid);
        self.drain(sent);
    }

    /// Does what somebody asks for now, by device or by declared id.
    pub fn privacy(
        &mut self,
        request: PrivacyRequest,
        subject: &Subject,
        sent: &mut impl FnMut(SentMessage<'_>),
    ) -> PrivacyReport {
        let moment = self.moment();
        let hint = hint_to(&mut self.dispatchers, self.now);
        let changes = &mut self.changes;
        let report = infallible(
            self.core
                .privacy(moment, request, subject, &self.rows, changes, hint),
        );
        self.commit(moment);
        self.drain(sent);
        report
    }

    fn apply(&mut self, change: Change, uuid: &DeviceUuid) {
        let moment = self.moment();
        let hint = hint_to(&mut self.dispatchers, self.now);
        let changes = &mut self.changes;
        infallible(
            self.core
                .change(moment, change, uuid, &self.rows, changes, hint),
        );
        self.commit(moment);
    }

    /// Replaces the catalog now: every profile follows at once, and what is mapped anew is told when
    /// the device is seen.
    ///
    /// # Errors
    /// When a rule of the new catalog is wrong; the old one stays.
    pub fn replace_catalog(
        &mut self,
        catalog: Catalog,
        sent: &mut impl FnMut(SentMessage<'_>),
    ) -> Result<(), CompileError> {
        let old = Arc::clone(self.core.catalog());
        let (run, until) = (self.epoch, self.now());
        let past = self.past_mappings();
        let past = past.after(&old.catalog, &catalog, LastUse { run, until });
        let active = Arc::new(old.replaced_by(catalog, past, self.now())?);
        self.came = self.epoch;
        let mut kept = std::mem::replace(&mut self.dispatchers, dispatchers(&active.catalog));
        for new in &active.catalog.destinations {
            if let (Some(place), Some(mut dispatcher)) =
                (self.dispatchers.get_mut(&new.id), kept.remove(&new.id))
            {
                // Whoever is told in a dry run takes everything, also at the end of a pause.
                dispatcher.forget_pace();
                dispatcher.reconfigure(self.now, dispatch_settings(new));
                *place = dispatcher;
            }
        }
        let schedules = schedules(&active.catalog, self.now());
        let mut kept = std::mem::replace(&mut self.batches, schedules);
        for (id, schedule) in &mut self.batches {
            if let Some(earlier) = kept.remove(id) {
                *schedule = schedule.after(earlier);
            }
        }
        self.core.set_catalog(active);
        self.sweep();
        self.drain(sent);
        Ok(())
    }

    /// Brings every profile up to the catalog.
    fn sweep(&mut self) {
        let devices: Vec<_> = self.rows.profiles.keys().cloned().collect();
        for uuid in devices {
            self.apply(Change::Wake, &uuid);
        }
    }

    /// The mappings by which earlier runs may have told something of which it is not known yet: every
    /// profile was brought up to the catalog when that came.
    fn past_mappings(&self) -> PastMappings {
        let mut past = self.core.catalog().compiled.past_mappings().clone();
        past.forget_before(self.came);
        past
    }

    /// Ends the process now and starts it again, perhaps with another catalog: what it wrote is all that
    /// is left of it. What waited to be sent is found in the rows, and its turn is counted from now.
    ///
    /// # Errors
    /// When a rule of the catalog is wrong; one that was in use before has none. Nothing happens then.
    pub fn restart(
        &mut self,
        edited: Option<Catalog>,
        sent: &mut impl FnMut(SentMessage<'_>),
    ) -> Result<(), CompileError> {
        let old = Arc::clone(self.core.catalog());
        let (run, until) = (self.epoch, self.now());
        let past = self
            .past_mappings()
            .found(&old.catalog, LastUse { run, until });
        let is_edited = edited.is_some();
        let active = Arc::new(match edited {
            Some(catalog) => old.replaced_by(catalog, past, self.now())?,
            None => old.reopened(past)?,
        });
        self.epoch += 1;
        if is_edited {
            self.came = self.epoch;
        }
        self.changes = MemoryChanges::default();
        self.dispatchers = dispatchers(&active.catalog);
        self.batches = schedules(&active.catalog, self.now());
        for (id, schedule) in &mut self.batches {
            let Some(record) = infallible(self.rows.last_batch(*id)) else {
                continue;
            };
            schedule.began(&record);
            if let Some(dispatcher) = self.dispatchers.get_mut(id)
                && record.ended.is_none()
            {
                dispatcher.begin_batch();
            }
        }
        self.core = Core::new(active, PROFILES_MAX);
        infallible(self.core.resume(&self.rows));
        if is_edited {
            self.sweep();
        }
        self.drain(sent);
        Ok(())
    }

    /// Applies one event now, handing every message that it makes due at once to `sent`.
    pub fn event(&mut self, event: &Event, sent: &mut impl FnMut(SentMessage<'_>)) -> Submitted {
        let moment = self.moment();
        let new_devices = &mut self.new_devices;
        let new_uuid = || {
            *new_devices += 1;
            let hash = xxhash_rust::xxh3::xxh3_128(&new_devices.to_le_bytes());
            DeviceUuid::from_random(hash.to_le_bytes())
        };
        let hint = hint_to(&mut self.dispatchers, self.now);
        let submitted = infallible(self.core.submit(
            moment,
            event,
            &self.rows,
            &mut self.changes,
            new_uuid,
            hint,
        ));
        self.commit(moment);
        self.drain(sent);
        submitted
    }

    /// Does everything that is due now.
    fn drain(&mut self, sent: &mut impl FnMut(SentMessage<'_>)) {
        let ids: Vec<_> = self.dispatchers.keys().copied().collect();
        for id in ids {
            while let Some(action) = self.dispatchers.get_mut(&id).and_then(|d| d.poll(self.now)) {
                self.perform(id, action, sent);
            }
        }
    }

    fn perform(
        &mut self,
        id: DestinationId,
        action: Action<Vec<u8>>,
        sent: &mut impl FnMut(SentMessage<'_>),
    ) {
        let moment = self.moment();
        match action {
            Action::Take {
                kind,
                namespace,
                users,
            } => {
                let taken = infallible(self.core.take(
                    moment,
                    kind,
                    id,
                    namespace,
                    users,
                    &self.rows,
                    &mut self.changes,
                ));
                self.commit(moment);
                self.with(id, |dispatcher| dispatcher.taken(kind, namespace, taken));
            }
            Action::Send {
                message,
                kind,
                namespace,
                users: _,
                objects,
            } => {
                let catalog = Arc::clone(self.core.catalog());
                if let Some(format) = catalog.format(id) {
                    let body =
                        format.message(moment.now, namespace, objects.iter().map(Vec::as_slice));
                    sent(SentMessage {
                        time: moment.now,
                        destination: id,
                        kind,
                        method: format.method(),
                        body: &body,
                    });
                }
                let now = self.now;
                self.with(id, |dispatcher| {
                    dispatcher.attempted(now, message, Outcome::Acknowledged)
                });
            }
            Action::Settle {
                kind: Kind::Batch,
                namespace,
                users,
                ..
            } => {
                let message = self.core.end_message(moment, id, Vec::new());
                infallible(self.core.settle_batch(
                    moment,
                    id,
                    namespace,
                    &users,
                    message,
                    &self.rows,
                    &mut self.changes,
                ));
                self.commit(moment);
            }
            Action::Settle {
                namespace, users, ..
            } => {
                let message = self.core.end_message(moment, id, Vec::new());
                infallible(self.core.settle(
                    moment,
                    id,
                    namespace,
                    &users,
                    "",
                    message,
                    &self.rows,
                    &mut self.changes,
                ));
                self.commit(moment);
            }
            Action::Rescan => {
                for uuid in infallible(self.rows.pending(id, None, usize::MAX)) {
                    let mut to_dispatcher = hint_to(&mut self.dispatchers, self.now);
                    let hint = |hint| {
                        let destination = id;
                        to_dispatcher(DestinationHint { destination, hint });
                    };
                    let (rows, changes) = (&self.rows, &mut self.changes);
                    let hinted = self.core.hints_of(moment, id, &uuid, rows, changes, hint);
                    infallible(hinted);
                }
                self.commit(moment);
                self.with(id, |dispatcher| dispatcher.rescanned(true));
            }
            Action::BatchPage { .. } => {
                let (rows, changes) = (&self.rows, &mut self.changes);
                let page =
                    infallible(
                        self.core
                            .batch_page(moment, id, None, usize::MAX, rows, changes),
                    );
                self.commit(moment);
                self.with(id, |dispatcher| dispatcher.batch_page(page.hints, true));
            }
            Action::BatchDone => {
                let (rows, changes) = (&self.rows, &mut self.changes);
                infallible(self.core.end_batch(moment, id, rows, changes));
                self.commit(moment);
            }
            // Nothing fails here, so nothing is tried again.
            Action::Retry { .. } => {}
        }
    }

    fn with(&mut self, id: DestinationId, change: impl FnOnce(&mut Dispatcher<Vec<u8>>)) {
        if let Some(dispatcher) = self.dispatchers.get_mut(&id) {
            change(dispatcher);
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            now: timestamp(self.now),
            seq: self.seq + 1,
            epoch: self.epoch,
        }
    }

    fn commit(&mut self, moment: Moment) {
        if self
            .core
            .finish(moment, self.seq, &self.rows, &mut self.changes)
        {
            self.seq = moment.seq;
        }
        self.rows.apply(&mut self.changes);
        // Timers that are due already are found with the others.
        self.core.take_due();
    }
}

/// Profiles in memory: all of them.
const PROFILES_MAX: usize = 1 << 20;

type Dispatchers = BTreeMap<DestinationId, Dispatcher<Vec<u8>>>;

fn dispatchers(catalog: &Catalog) -> Dispatchers {
    let destinations = catalog.destinations.iter();
    destinations
        .map(|d| (d.id, Dispatcher::new(dispatch_settings(d))))
        .collect()
}

type Batches = BTreeMap<DestinationId, Schedule>;

fn schedules(catalog: &Catalog, now: Timestamp) -> Batches {
    let destinations = catalog.destinations.iter();
    destinations
        .filter_map(|d| Some((d.id, Schedule::new(d, Lateness::Ignored, now)?)))
        .collect()
}

/// Hands hints to the dispatchers.
fn hint_to(dispatchers: &mut Dispatchers, now: Millis) -> impl FnMut(DestinationHint) {
    move |hint| {
        if let Some(dispatcher) = dispatchers.get_mut(&hint.destination) {
            dispatcher.hint(now, &hint.hint);
        }
    }
}

fn infallible<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

fn millis(time: Timestamp) -> Millis {
    // Virtual time is counted from a second far enough back to be positive for any date.
    Millis(u64::try_from(time.0.saturating_add(EPOCH_SHIFT)).unwrap_or(0) * 1000)
}

fn timestamp(now: Millis) -> Timestamp {
    Timestamp(
        i64::try_from(now.0 / 1000)
            .unwrap_or(i64::MAX)
            .saturating_sub(EPOCH_SHIFT),
    )
}

/// Seconds from year 0 or so to 1970.
const EPOCH_SHIFT: i64 = 62_200_000_000;
