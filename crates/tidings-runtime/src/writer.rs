//! The writer: one thread that applies, one that makes durable.
//!
//! The *engine thread* owns the [`Core`]. In each step it takes what has arrived, requests of the
//! dispatchers first, applies it, and hands one batch of changes to the *committer thread*, which
//! writes and syncs it and only then lets out what depends on it: answers to collectors, hints and
//! user objects for dispatchers. While one batch is being synced, the next is being applied, and
//! all requests that arrived meanwhile share its sync.
//!
//! A failed commit ends both threads: nobody can say what is on disk until it is opened again.

mod batch;

pub(crate) use batch::{BatchHistory, BatchOrder};

use crate::{
    clock::Clock,
    core::{ActiveCatalog, Changes, Core, Rows},
    inbox::{BatchNews, Inbox, Scanned},
    stats::ServiceStats,
};
use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use hashbrown::HashMap;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};
use tidings_collect::Submitted;
use tidings_dispatch::{Hint, Kind, SettledUser, Taken};
use tidings_engine::{Moment, Profile};
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Event, FailurePolicy, Timestamp};
use tidings_store::{Batch, BatchRecord, Link, PendingRow, Store, StoreError, Undelivered};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Events applied in one step, so that dispatchers' requests never wait long behind a flood.
const EVENTS_PER_STEP: usize = 2_000;
/// Requests of collectors that may wait; the events in them are bounded separately.
const SUBMISSIONS_QUEUED_MAX: usize = 4_096;
/// Rows of the pending set read in one go.
pub(crate) const SCAN_PAGE: usize = 500;

/// Events to apply, in order.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) events: Vec<Event>,
    pub(crate) reply: oneshot::Sender<Vec<Submitted>>,
    /// The place in the queue of events; given back with the answer.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// What dispatchers and the service itself ask of the writer. The number under way is bounded by
/// the dispatchers: each has a few per message in flight.
#[derive(Debug)]
pub(crate) enum Control {
    Take {
        kind: Kind,
        destination: DestinationId,
        namespace: DataSourceId,
        users: Vec<DeviceUuid>,
    },
    Settle {
        kind: Kind,
        destination: DestinationId,
        namespace: DataSourceId,
        users: Vec<SettledUser>,
        policy: FailurePolicy,
        reason: String,
    },
    Scan {
        destination: DestinationId,
        after: Option<DeviceUuid>,
    },
    Batch {
        destination: DestinationId,
        order: BatchOrder,
    },
    /// Answers once everything asked for before is durable and its hints are out.
    Flush {
        reply: oneshot::Sender<()>,
    },
    Stop,
}

/// What is let out once the changes of its step are durable.
#[derive(Debug)]
enum After {
    Answer {
        reply: oneshot::Sender<Vec<Submitted>>,
        answer: Vec<Submitted>,
        permit: OwnedSemaphorePermit,
    },
    Taken {
        kind: Kind,
        destination: DestinationId,
        namespace: DataSourceId,
        users: Vec<Taken<Vec<u8>>>,
    },
    Scanned {
        destination: DestinationId,
        scanned: Scanned,
    },
    Batch {
        destination: DestinationId,
        news: BatchNews,
    },
    Flushed {
        reply: oneshot::Sender<()>,
    },
}

#[derive(Debug, Default)]
struct Step {
    batch: Batch,
    seq: u64,
    after: Vec<After>,
    hints: Vec<(DestinationId, Vec<Hint>)>,
}

/// The writer's threads and the ways to reach them.
#[derive(Debug)]
pub(crate) struct Writer {
    handle: WriterHandle,
    engine: thread::JoinHandle<()>,
    committer: thread::JoinHandle<Result<(), StoreError>>,
}

/// Reaches the writer; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct WriterHandle {
    submissions: Sender<Submission>,
    control: Sender<Control>,
}

/// Where each destination's mail goes.
pub(crate) type Inboxes = HashMap<DestinationId, Arc<Inbox>>;

impl WriterHandle {
    /// Queues events; gives them back when the queue is full or the writer is gone.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), Submission> {
        self.submissions
            .try_send(submission)
            .map_err(crossbeam_channel::TrySendError::into_inner)
    }

    /// Asks for something; false when the writer is gone.
    pub(crate) fn control(&self, control: Control) -> bool {
        self.control.send(control).is_ok()
    }

    /// Waits until everything asked for before is durable. False when the writer is gone.
    pub(crate) async fn flush(&self) -> bool {
        let (reply, done) = oneshot::channel();
        self.control(Control::Flush { reply }) && done.await.is_ok()
    }
}

impl Writer {
    /// Starts both threads. `stopped` is sent to when they end for any reason.
    pub(crate) fn start(
        store: Arc<Store>,
        catalog: Arc<ActiveCatalog>,
        clock: Arc<Clock>,
        inboxes: Arc<Inboxes>,
        stats: Arc<ServiceStats>,
        profiles_max: usize,
        stopped: tokio::sync::mpsc::Sender<()>,
    ) -> std::io::Result<Self> {
        let (submissions, submitted) = bounded(SUBMISSIONS_QUEUED_MAX);
        let (control, controls) = unbounded();
        let (steps, committing) = bounded(1);
        let (spare, spares) = unbounded();
        let durable = Arc::new(AtomicU64::new(store.head().seq));
        let committer = thread::Builder::new().name("committer".to_owned()).spawn({
            let (store, durable, stats) =
                (Arc::clone(&store), Arc::clone(&durable), Arc::clone(&stats));
            move || {
                let result = commit_steps(&store, &inboxes, &durable, &stats, &committing, &spare);
                drop(stopped);
                result
            }
        })?;
        let engine = thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                let seq = store.head().seq;
                let core = Core::new(catalog, profiles_max);
                EngineThread {
                    core,
                    store,
                    clock,
                    stats,
                    durable,
                    seq,
                    steps,
                    spares,
                }
                .run(&submitted, &controls);
            })?;
        Ok(Self {
            handle: WriterHandle {
                submissions,
                control,
            },
            engine,
            committer,
        })
    }

    pub(crate) fn handle(&self) -> WriterHandle {
        self.handle.clone()
    }

    /// Waits for both threads to finish what they have and end. Blocks.
    pub(crate) fn join(self) -> Result<(), StoreError> {
        // A writer that is already gone needs no telling.
        self.handle.control(Control::Stop);
        drop(self.handle);
        let engine = self.engine.join();
        let committed = self.committer.join();
        match (engine, committed) {
            (Ok(()), Ok(result)) => result,
            (Err(panic), _) | (_, Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

struct EngineThread {
    core: Core,
    store: Arc<Store>,
    clock: Arc<Clock>,
    stats: Arc<ServiceStats>,
    durable: Arc<AtomicU64>,
    /// Sequence number of the last batch handed to the committer.
    seq: u64,
    steps: Sender<Step>,
    spares: Receiver<Step>,
}

/// Ends the engine thread.
enum Stop {
    Asked,
    Failed(StoreError),
}

impl EngineThread {
    fn run(mut self, submitted: &Receiver<Submission>, controls: &Receiver<Control>) {
        loop {
            match self.step(submitted, controls) {
                Ok(()) => {}
                Err(Stop::Asked) => return,
                Err(Stop::Failed(error)) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
                    return;
                }
            }
        }
    }

    fn step(
        &mut self,
        submitted: &Receiver<Submission>,
        controls: &Receiver<Control>,
    ) -> Result<(), Stop> {
        let mut step = self.spares.try_recv().unwrap_or_default();
        let (mut first_control, mut first_submission) = (None, None);
        select! {
            recv(controls) -> control => first_control = control.ok(),
            recv(submitted) -> submission => first_submission = submission.ok(),
        }
        if first_control.is_none() && first_submission.is_none() {
            return Err(Stop::Asked);
        }
        let now = self.clock.now();
        let moment = Moment {
            now,
            seq: self.seq + 1,
            epoch: self.store.epoch(),
        };
        let mut stop = Ok(());
        for control in first_control.into_iter().chain(controls.try_iter()) {
            if matches!(control, Control::Stop) {
                stop = Err(Stop::Asked);
                continue;
            }
            self.control(moment, control, &mut step)
                .map_err(Stop::Failed)?;
        }
        let mut events = 0;
        let mut next = first_submission.or_else(|| submitted.try_recv().ok());
        while let Some(submission) = next {
            events += submission.events.len();
            self.submit(moment, submission, &mut step)
                .map_err(Stop::Failed)?;
            next = if events < EVENTS_PER_STEP {
                submitted.try_recv().ok()
            } else {
                None
            };
        }
        let durable = self.durable.load(Ordering::Acquire);
        self.core.finish(moment, durable, &mut step.batch);
        if !step.batch.is_empty() {
            self.seq = moment.seq;
            step.seq = moment.seq;
        }
        let tally = self.core.take_tally();
        self.stats
            .segments_entered
            .fetch_add(tally.entered, Ordering::Relaxed);
        self.stats
            .segments_left
            .fetch_add(tally.left, Ordering::Relaxed);
        // The committer is gone only after a failure, which it has reported.
        self.steps.send(step).map_err(|_| Stop::Asked)?;
        stop
    }

    fn submit(
        &mut self,
        moment: Moment,
        submission: Submission,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let Submission {
            events,
            reply,
            permit,
        } = submission;
        let mut answer = Vec::with_capacity(events.len());
        for event in &events {
            let (batch, hints) = (&mut step.batch, &mut step.hints);
            let submitted = self.core.submit(
                moment,
                event,
                &*self.store,
                batch,
                random_uuid,
                |new| match hints.iter_mut().find(|(id, _)| *id == new.destination) {
                    Some((_, hints)) => hints.push(new.hint),
                    None => hints.push((new.destination, vec![new.hint])),
                },
            )?;
            answer.push(submitted);
        }
        step.after.push(After::Answer {
            reply,
            answer,
            permit,
        });
        Ok(())
    }

    fn control(
        &mut self,
        moment: Moment,
        control: Control,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let (core, store, batch) = (&mut self.core, &*self.store, &mut step.batch);
        match control {
            Control::Take {
                kind,
                destination,
                namespace,
                users,
            } => {
                let users = core.take(moment, kind, destination, namespace, users, store, batch)?;
                step.after.push(After::Taken {
                    kind,
                    destination,
                    namespace,
                    users,
                });
            }
            Control::Settle {
                kind: Kind::Batch,
                destination,
                namespace,
                users,
                ..
            } => core.settle_batch(moment, destination, namespace, &users, store, batch)?,
            Control::Settle {
                kind: Kind::Realtime,
                destination,
                namespace,
                users,
                policy,
                reason,
            } => {
                core.settle(
                    moment,
                    destination,
                    namespace,
                    &users,
                    policy,
                    &reason,
                    store,
                    batch,
                )?;
            }
            Control::Scan { destination, after } => {
                let rows = store.pending(destination, after.as_ref(), SCAN_PAGE)?;
                let next = if rows.len() < SCAN_PAGE {
                    None
                } else {
                    rows.last().map(|(uuid, _)| uuid.clone())
                };
                let mut hints = Vec::with_capacity(rows.len());
                for (uuid, _) in &rows {
                    core.hints_of(moment, destination, uuid, store, |hint| hints.push(hint))?;
                }
                let scanned = Scanned { hints, next };
                step.after.push(After::Scanned {
                    destination,
                    scanned,
                });
            }
            Control::Batch { destination, order } => {
                let news = batch::obey(core, moment, destination, order, store, batch)?;
                step.after
                    .extend(news.map(|news| After::Batch { destination, news }));
            }
            Control::Flush { reply } => step.after.push(After::Flushed { reply }),
            Control::Stop => {}
        }
        Ok(())
    }
}

/// A new device id. Randomness of the system does not fail on the platforms we run on; if it did,
/// going on with a predictable id would link unrelated devices.
fn random_uuid() -> DeviceUuid {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    DeviceUuid::from_random(bytes)
}

fn commit_steps(
    store: &Store,
    inboxes: &Inboxes,
    durable: &AtomicU64,
    stats: &ServiceStats,
    steps: &Receiver<Step>,
    spare: &Sender<Step>,
) -> Result<(), StoreError> {
    for mut step in steps {
        if !step.batch.is_empty() {
            let seq = store.commit(&step.batch)?;
            debug_assert_eq!(seq, step.seq, "the engine thread numbers the commits");
            durable.store(seq, Ordering::Release);
            stats.commits.fetch_add(1, Ordering::Relaxed);
            step.batch.clear();
        }
        for (destination, hints) in &mut step.hints {
            if let Some(inbox) = inboxes.get(destination).filter(|_| !hints.is_empty()) {
                inbox.hints(hints.drain(..));
            }
        }
        for after in step.after.drain(..) {
            let_out(after, inboxes);
        }
        // Kept for its buffers; if the engine thread is gone, nobody needs them.
        if spare.send(step).is_err() {
            break;
        }
    }
    Ok(())
}

fn let_out(after: After, inboxes: &Inboxes) {
    match after {
        After::Answer {
            reply,
            answer,
            permit,
        } => {
            drop(permit);
            // A collector that went away does not need the answer.
            drop(reply.send(answer));
        }
        After::Taken {
            kind,
            destination,
            namespace,
            users,
        } => {
            if let Some(inbox) = inboxes.get(&destination) {
                inbox.taken(kind, namespace, users);
            }
        }
        After::Batch { destination, news } => {
            if let Some(inbox) = inboxes.get(&destination) {
                inbox.batch(news);
            }
        }
        After::Scanned {
            destination,
            scanned,
        } => {
            if let Some(inbox) = inboxes.get(&destination) {
                inbox.scanned(scanned);
            }
        }
        After::Flushed { reply } => drop(reply.send(())),
    }
}

impl Rows for Store {
    type Error = StoreError;

    fn profile(&self, uuid: &DeviceUuid) -> Result<Option<Profile>, StoreError> {
        Self::profile(self, uuid)
    }

    fn link(&self, data_source: DataSourceId, id: &str) -> Result<Option<Link>, StoreError> {
        Self::link(self, data_source, id)
    }

    fn batch_changes(
        &self,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
    ) -> Result<Vec<DeviceUuid>, StoreError> {
        Self::batch_changes(self, destination, after, limit)
    }

    fn last_batch(&self, destination: DestinationId) -> Result<Option<BatchRecord>, StoreError> {
        Ok(self.batch_records(destination)?.last().copied())
    }
}

impl Changes for Batch {
    fn put_profile(&mut self, uuid: &DeviceUuid, profile: &Profile) {
        Self::put_profile(self, uuid, profile);
    }

    fn put_link(&mut self, data_source: DataSourceId, id: &str, link: &Link) {
        Self::put_link(self, data_source, id, link);
    }

    fn put_pending(&mut self, destination: DestinationId, uuid: &DeviceUuid, row: &PendingRow) {
        Self::put_pending(self, destination, uuid, row);
    }

    fn delete_pending(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        Self::delete_pending(self, destination, uuid);
    }

    fn put_timer(&mut self, at: Timestamp, uuid: &DeviceUuid) {
        Self::put_timer(self, at, uuid);
    }

    fn delete_timer(&mut self, at: Timestamp, uuid: &DeviceUuid) {
        Self::delete_timer(self, at, uuid);
    }

    fn put_undelivered(
        &mut self,
        destination: DestinationId,
        uuid: &DeviceUuid,
        why: &Undelivered,
    ) {
        Self::put_undelivered(self, destination, uuid, why);
    }

    fn delete_undelivered(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        Self::delete_undelivered(self, destination, uuid);
    }

    fn put_batch_change(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        Self::put_batch_change(self, destination, uuid);
    }

    fn delete_batch_change(&mut self, destination: DestinationId, uuid: &DeviceUuid) {
        Self::delete_batch_change(self, destination, uuid);
    }

    fn put_batch_record(&mut self, destination: DestinationId, record: &BatchRecord) {
        Self::put_batch_record(self, destination, record);
    }

    fn delete_batch_record(&mut self, destination: DestinationId, number: u32) {
        Self::delete_batch_record(self, destination, number);
    }
}
