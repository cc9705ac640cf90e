//! One life of the process: the real core, couriers and background work, and the order in which the
//! engine thread, the committer and the shell around the destinations' tasks do things.

mod stations;

use crate::{Plan, disk::Disk, truth::Truth};
use stations::Stations;
use std::{collections::VecDeque, convert::Infallible, sync::Arc};
use tidings_collect::Submitted;
use tidings_dispatch::{Hint, Kind, SettledUser};
use tidings_engine::Moment;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Event};
use tidings_runtime::{
    background::Background,
    core::{ActiveCatalog, Core, DestinationHint},
    courier::Now,
    errand::{self, Answer, Ask},
    memory::MemoryChanges,
};
use tokio::sync::oneshot;

/// Events applied in one step.
const EVENTS_PER_STEP: usize = 5;

/// Steps between the one that is being made durable and the engine thread: that waits with one in its
/// hands while another waits before it.
const STEPS_QUEUED_MAX: usize = 2;

/// What is asked of the engine thread, in order.
#[derive(Debug)]
pub(crate) enum Control {
    /// By a courier.
    Ask(DestinationId, Ask),
    /// To go on with another catalog.
    Replace(Arc<ActiveCatalog>),
    /// To know that the task of a destination has ended.
    Ended(DestinationId),
    /// To remove what is left of destinations that are not in the catalog.
    ForgetOthers,
    /// To bring every profile up to the catalog.
    Sweep(oneshot::Sender<()>),
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
    /// A sweep has come to its end.
    pub(crate) swept: Option<oneshot::Sender<()>>,
    /// Outcomes of messages of batches.
    pub(crate) settled: Vec<Settled>,
}

/// The outcome of a message of a batch.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) to: DestinationId,
    /// Which batch it is counted for.
    pub(crate) number: u32,
    pub(crate) namespace: DataSourceId,
    pub(crate) users: Vec<SettledUser>,
}

/// The process.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) epoch: u32,
    core: Core,
    background: Background,
    pub(crate) stations: Stations,
    seq: u64,
    pub(crate) controls: VecDeque<Control>,
    pub(crate) submissions: VecDeque<(usize, Event)>,
    /// Steps that wait for the committer: one is handed over, the next is applied and not yet.
    pub(crate) queued: VecDeque<Step>,
    pub(crate) committing: Option<Step>,
    /// Told when the sweep under way is durable.
    sweeping: Option<oneshot::Receiver<()>>,
}

impl Service {
    /// The process starts with what is on disk, and with this version of the catalog.
    pub(crate) fn start(plan: &Plan, version: usize, disk: &mut Disk, now: Now) -> Self {
        disk.epoch += 1;
        let catalog = disk.next_catalog(&plan.versions, version, now.time);
        let mut core = Core::new(Arc::clone(&catalog), plan.profiles_max);
        infallible(core.resume(&disk.rows));
        let mut service = Self {
            epoch: disk.epoch,
            core,
            background: Background::new(plan.pages),
            stations: Stations::default(),
            seq: disk.durable,
            controls: VecDeque::from([Control::ForgetOthers]),
            submissions: VecDeque::new(),
            queued: VecDeque::new(),
            committing: None,
            sweeping: None,
        };
        service.stations.follow(now, &catalog, &disk.paused);
        service.sweep(disk);
        service
    }

    /// Another version of the catalog lies there.
    pub(crate) fn reload(&mut self, plan: &Plan, version: usize, disk: &mut Disk, now: Now) {
        let catalog = disk.next_catalog(&plan.versions, version, now.time);
        self.controls
            .push_back(Control::Replace(Arc::clone(&catalog)));
        self.stations.follow(now, &catalog, &disk.paused);
        self.sweep(disk);
    }

    fn sweep(&mut self, disk: &Disk) {
        self.sweeping = None;
        if disk.needs_sweep() {
            let (done, swept) = oneshot::channel();
            self.controls.push_back(Control::Sweep(done));
            self.sweeping = Some(swept);
        }
    }

    /// True once, when the sweep has ended and that is durable.
    pub(crate) fn has_swept(&mut self) -> bool {
        let swept = self.sweeping.as_mut().map(oneshot::Receiver::try_recv);
        let has_swept = swept.is_some_and(|swept| swept.is_ok());
        if has_swept {
            self.sweeping = None;
        }
        has_swept
    }

    /// Whether the engine thread may go on.
    pub(crate) fn has_room(&self) -> bool {
        self.queued.len() < STEPS_QUEUED_MAX
    }

    /// Whether the engine thread has something to do and may do it.
    pub(crate) fn may_step(&self) -> bool {
        self.has_room() && !(self.controls.is_empty() && self.submissions.is_empty())
    }

    /// How long the engine thread waits for something to arrive, in milliseconds.
    pub(crate) fn patience_millis(&self) -> u64 {
        let patience = self.background.patience().as_millis();
        u64::try_from(patience).unwrap_or(u64::MAX).clamp(1, 1_000)
    }

    /// One step of the engine thread: requests first, then what is due by the clock, then events.
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
        truth.look(now.millis.0, &self.core.catalog().catalog, now.time);
        let mut step = Step::default();
        for control in std::mem::take(&mut self.controls) {
            self.control(control, now, moment, plan, disk, truth, &mut step);
        }
        let (core, rows, changes) = (&mut self.core, &disk.rows, &mut step.changes);
        let hints = &mut step.hints;
        let mut hint = |new: DestinationHint| hints.push((new.destination, new.hint));
        let background = &mut self.background;
        let (millis, durable) = (now.millis, disk.durable);
        step.swept = infallible(
            background.read_pages(millis, moment, durable, core, rows, changes, &mut hint),
        );
        infallible(background.wake(moment, false, core, rows, changes, &mut hint));
        let events = self.submissions.len().min(EVENTS_PER_STEP);
        for (number, event) in self.submissions.drain(..events) {
            let submitted = core.submit(moment, &event, rows, changes, &mut *new_uuid, &mut hint);
            step.replies.push((number, infallible(submitted)));
        }
        core.finish(moment, disk.durable, rows, changes);
        if !changes.is_empty() {
            self.seq = moment.seq;
            step.seq = moment.seq;
            for (uuid, profile) in changes.profiles() {
                truth.write(now.millis.0, step.seq, uuid, profile);
            }
        }
        self.queued.push_back(step);
    }

    #[expect(clippy::too_many_arguments, reason = "the body of the loop of `step`")]
    fn control(
        &mut self,
        control: Control,
        now: Now,
        moment: Moment,
        plan: &Plan,
        disk: &Disk,
        truth: &mut Truth,
        step: &mut Step,
    ) {
        let (core, rows, changes) = (&mut self.core, &disk.rows, &mut step.changes);
        match control {
            Control::Ask(to, ask) => {
                if let Ask::Settle {
                    kind: Kind::Batch,
                    namespace,
                    users,
                    ..
                } = &ask
                    && let Some(record) = infallible(core.last_batch(to, rows))
                {
                    step.settled.push(Settled {
                        to,
                        number: record.number,
                        namespace: *namespace,
                        users: users.clone(),
                    });
                }
                let answer = errand::answer(plan.pages, core, moment, to, ask, rows, changes);
                let answer = infallible(answer);
                step.answers.extend(answer.map(|answer| (to, answer)));
            }
            Control::Replace(catalog) => {
                truth.follow(now.millis.0, &catalog.catalog, now.time);
                core.set_catalog(catalog);
            }
            Control::Ended(to) => {
                infallible(core.abandon(to, rows));
                if core.catalog().compiled.destination(to).is_none() {
                    self.background.forget([to]);
                }
            }
            Control::ForgetOthers => {
                let mut left = disk.destinations_with_rows();
                left.retain(|to| core.catalog().compiled.destination(*to).is_none());
                self.background.forget(left);
            }
            Control::Sweep(done) => self.background.sweep(done),
        }
    }

    /// True when nothing is waiting or under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.controls.is_empty()
            && self.submissions.is_empty()
            && self.queued.is_empty()
            && self.committing.is_none()
            && self.background.is_idle()
            && self.stations.are_idle()
    }
}

pub(crate) fn infallible<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
