//! One life of the process: the real core, couriers and background work, and the order in which the
//! engine thread and the committer do things.

use crate::{Plan, disk::Disk, truth::Truth};
use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::Arc,
};
use tidings_collect::Submitted;
use tidings_dispatch::Hint;
use tidings_engine::{MappingChanges, Moment};
use tidings_model::{DestinationId, DeviceUuid, Event};
use tidings_runtime::{
    background::Background,
    core::{ActiveCatalog, Core, DestinationHint},
    courier::{Courier, Now},
    errand::{self, Answer, Ask},
    inbox::Mail,
    memory::MemoryChanges,
    schedule::Lateness,
};

/// Events applied in one step.
const EVENTS_PER_STEP: usize = 5;

/// A courier with its mailbox.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) courier: Courier,
    pub(crate) mail: Mail,
}

/// One batch of changes, and what is let out once it is durable.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// 0 when nothing was changed.
    pub(crate) seq: u64,
    pub(crate) changes: MemoryChanges,
    pub(crate) hints: Vec<(DestinationId, Hint)>,
    pub(crate) answers: Vec<(DestinationId, Answer)>,
    /// What became of which of the clients' events.
    pub(crate) replies: Vec<(usize, Submitted)>,
}

/// The process.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) epoch: u32,
    core: Core,
    background: Background,
    pub(crate) stations: BTreeMap<DestinationId, Station>,
    seq: u64,
    pub(crate) asks: VecDeque<(DestinationId, Ask)>,
    pub(crate) submissions: VecDeque<(usize, Event)>,
    /// Handed over to the committer, which is busy.
    pub(crate) queued: Option<Step>,
    pub(crate) committing: Option<Step>,
}

impl Service {
    /// The process starts with what is on disk.
    pub(crate) fn start(plan: &Plan, disk: &mut Disk, now: Now) -> Self {
        disk.epoch += 1;
        let active = ActiveCatalog::new(plan.catalog.clone(), 1, MappingChanges::default());
        let catalog = Arc::new(active.expect("the catalog was read"));
        let station = |destination: &tidings_model::Destination| {
            let courier = Courier::new(
                Arc::new(destination.clone()),
                Arc::clone(&catalog),
                Arc::default(),
                Arc::default(),
                Lateness::Counts,
                now,
            );
            let mail = Mail::default();
            (destination.id, Station { courier, mail })
        };
        let mut core = Core::new(Arc::clone(&catalog), plan.profiles_max);
        infallible(core.resume(&disk.rows));
        Self {
            epoch: disk.epoch,
            core,
            background: Background::default(),
            stations: plan.catalog.destinations.iter().map(station).collect(),
            seq: disk.durable,
            asks: VecDeque::new(),
            submissions: VecDeque::new(),
            queued: None,
            committing: None,
        }
    }

    /// Whether the engine thread has something to do and may do it.
    pub(crate) fn may_step(&self) -> bool {
        self.queued.is_none() && !(self.asks.is_empty() && self.submissions.is_empty())
    }

    /// One step of the engine thread: requests of couriers first, then what is due by the clock, then
    /// events.
    pub(crate) fn step(
        &mut self,
        now: Now,
        plan: &Plan,
        disk: &Disk,
        truth: &mut Truth,
        new_uuid: &mut impl FnMut() -> DeviceUuid,
    ) {
        let moment = Moment {
            now: now.time,
            seq: self.seq + 1,
            epoch: self.epoch,
        };
        let Step {
            mut seq,
            mut changes,
            mut hints,
            mut answers,
            mut replies,
        } = Step::default();
        let (core, rows) = (&mut self.core, &disk.rows);
        for (to, ask) in self.asks.drain(..) {
            let answer = errand::answer(core, moment, to, ask, rows, &mut changes);
            answers.extend(infallible(answer).map(|answer| (to, answer)));
        }
        let mut hint = |new: DestinationHint| hints.push((new.destination, new.hint));
        let woken = self
            .background
            .wake(moment, false, core, rows, &mut changes, &mut hint);
        infallible(woken);
        let events = self.submissions.len().min(EVENTS_PER_STEP);
        for (number, event) in self.submissions.drain(..events) {
            let submitted = core.submit(
                moment,
                &event,
                rows,
                &mut changes,
                &mut *new_uuid,
                &mut hint,
            );
            replies.push((number, infallible(submitted)));
        }
        core.finish(moment, disk.durable, rows, &mut changes);
        if !changes.is_empty() {
            self.seq = moment.seq;
            seq = moment.seq;
            for (uuid, profile) in changes.profiles() {
                truth.write(&plan.catalog, seq, uuid, profile);
            }
        }
        self.queued = Some(Step {
            seq,
            changes,
            hints,
            answers,
            replies,
        });
    }

    /// True when nothing is waiting or under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.asks.is_empty()
            && self.submissions.is_empty()
            && self.queued.is_none()
            && self.committing.is_none()
            && self
                .stations
                .values()
                .all(|station| station.mail.is_empty() && station.courier.is_idle())
    }
}

pub(crate) fn infallible<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
