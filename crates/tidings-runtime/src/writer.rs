//! The writer: one thread that applies, one that makes durable.
//!
//! The *engine thread* owns the [`Core`]. In each step it takes what has arrived, requests of the
//! dispatchers first, applies it, and hands one batch of changes to the *committer thread*, which
//! writes and syncs it and only then lets out what depends on it: answers to collectors, hints and
//! user objects for dispatchers. While one batch is being synced, the next is being applied, and
//! all requests that arrived meanwhile share its sync.
//!
//! A failed commit ends both threads: nobody can say what is on disk until it is opened again. A full
//! disk does not: the commit is repeated until there is room, and events are refused meanwhile.

mod attempt_log;
mod batch;
mod committer;
mod engine_thread;
mod ledger_trim;
mod resends;
mod rows;

pub(crate) use batch::BatchHistory;

use crate::{
    background::Background,
    clock::Clock,
    core::{ActiveCatalog, Core, PrivacyReport, PrivacyRequest, Resent},
    errand::{Answer, Ask},
    inbox::Inbox,
    settings::RecordSettings,
    stats::ServiceStats,
};
use arc_swap::ArcSwap;
use attempt_log::AttemptLog;
use crossbeam_channel::{Sender, TrySendError, bounded, unbounded};
use engine_thread::EngineThread;
use hashbrown::HashMap;
use ledger_trim::LedgerTrim;
use resends::Resends;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};
use tidings_collect::{Entry, Subject, Submitted};
use tidings_dispatch::Hint;
use tidings_engine::Profile;
use tidings_model::{DestinationId, DeviceUuid, limits};
use tidings_store::{Batch, Resend, Store, StoreError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Devices that dispatchers' requests of one step may be about, so that events never wait long behind
/// them. Requests are in order of arrival, and each destination has a few at a time.
const DEVICES_PER_STEP: usize = 2_000;
/// Events applied in one step, so that dispatchers' requests never wait long behind a flood.
const EVENTS_PER_STEP: usize = 2_000;
/// Requests of collectors that may wait; the events in them are bounded separately.
const SUBMISSIONS_QUEUED_MAX: usize = 4_096;

/// Events and opt-outs to apply, in order.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) entries: Vec<Entry>,
    pub(crate) reply: oneshot::Sender<Vec<Submitted>>,
    /// The place in the queue of events; given back with the answer.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// What dispatchers and the service itself ask of the writer. The number under way is bounded by
/// the dispatchers: each has a few per message in flight.
#[derive(Debug)]
pub(crate) enum Control {
    /// What a courier asks.
    Ask {
        destination: DestinationId,
        ask: Ask,
    },
    /// Says what batches of the destination there were.
    BatchHistory {
        destination: DestinationId,
        reply: oneshot::Sender<BatchHistory>,
    },
    /// Answers with a copy of a profile and the catalog in use, once what it says is durable.
    Profile {
        uuid: DeviceUuid,
        reply: oneshot::Sender<(Arc<ActiveCatalog>, Box<Profile>)>,
    },
    /// Answers with the catalog in use.
    Catalog {
        reply: oneshot::Sender<Arc<ActiveCatalog>>,
    },
    /// Opts somebody out or deletes them, and answers once that is durable. A namespace that the
    /// catalog does not have is refused, with no change.
    Privacy {
        request: PrivacyRequest,
        subject: Subject,
        reply: oneshot::Sender<Option<PrivacyAnswer>>,
    },
    /// Sends an undelivered pair again.
    ResendOne {
        destination: DestinationId,
        uuid: DeviceUuid,
        reply: oneshot::Sender<Resent>,
    },
    /// Sends all undelivered pairs of a destination again; answers how far that is.
    ResendAll {
        destination: DestinationId,
        reply: oneshot::Sender<Resend>,
    },
    /// Answers once everything asked for before is durable and its hints are out.
    Flush {
        reply: oneshot::Sender<()>,
    },
    /// Answers once nothing is due by the clock any more, and that is durable and hinted.
    CatchUp {
        reply: oneshot::Sender<()>,
    },
    /// Goes on with another version of the catalog.
    Replace {
        catalog: Arc<ActiveCatalog>,
    },
    /// The task of a destination has ended. Of one that is gone from the catalog all rows are
    /// removed.
    Ended {
        destination: DestinationId,
    },
    /// Removes what is left of destinations that are not in the catalog.
    ForgetOthers,
    /// Brings every profile up to the catalog, in the background.
    Sweep {
        done: oneshot::Sender<()>,
    },
    Stop,
}

impl Control {
    /// Devices that it is about, as far as they are to be read.
    fn devices(&self) -> usize {
        match self {
            Self::Ask { ask, .. } => ask.devices(),
            Self::Privacy {
                request: PrivacyRequest::Delete,
                subject: Subject::Id { .. },
                ..
            } => limits::DEVICES_PER_ID_MAX,
            _ => 1,
        }
    }
}

/// What is let out once the changes of its step are durable.
#[derive(Debug)]
enum After {
    Answer {
        reply: oneshot::Sender<Vec<Submitted>>,
        answer: Vec<Submitted>,
        permit: OwnedSemaphorePermit,
    },
    Answered {
        destination: DestinationId,
        answer: Answer,
    },
    Profile {
        reply: oneshot::Sender<(Arc<ActiveCatalog>, Box<Profile>)>,
        answer: (Arc<ActiveCatalog>, Box<Profile>),
    },
    Privacy {
        reply: oneshot::Sender<Option<PrivacyAnswer>>,
        answer: Option<PrivacyAnswer>,
    },
    Resent {
        reply: oneshot::Sender<Resent>,
        answer: Resent,
    },
    ResendBegun {
        reply: oneshot::Sender<Resend>,
        answer: Resend,
    },
    Flushed {
        reply: oneshot::Sender<()>,
    },
}

/// What a request came to, and the catalog that it was carried out with.
pub(crate) type PrivacyAnswer = (Arc<ActiveCatalog>, PrivacyReport);

#[derive(Debug, Default)]
struct Step {
    batch: Batch,
    /// There is something to commit.
    writes: bool,
    seq: u64,
    after: Vec<After>,
    hints: Vec<(DestinationId, Vec<Hint>)>,
}

/// The writer's threads and the ways to reach them.
#[derive(Debug)]
pub(crate) struct Writer {
    handle: WriterHandle,
    /// A stop was asked for: room on a full disk is not waited for any longer.
    stopping: Arc<AtomicBool>,
    engine: thread::JoinHandle<()>,
    committer: thread::JoinHandle<Result<(), StoreError>>,
}

/// Reaches the writer; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct WriterHandle {
    submissions: Sender<Submission>,
    control: Sender<Control>,
}

/// Why events were not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too many requests wait.
    Full,
    /// The writer has ended.
    Gone,
}

/// Where each destination's mail goes.
pub(crate) type Inboxes = HashMap<DestinationId, Arc<Inbox>>;

impl WriterHandle {
    /// Queues events; refused when the queue is full or the writer is gone.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), Refused> {
        self.submissions
            .try_send(submission)
            .map_err(|refused| match refused {
                TrySendError::Full(_) => Refused::Full,
                TrySendError::Disconnected(_) => Refused::Gone,
            })
    }

    /// Asks for something; false when the writer is gone.
    pub(crate) fn control(&self, control: Control) -> bool {
        self.control.send(control).is_ok()
    }

    /// Waits until nothing is due by the clock any more. False when the writer is gone.
    pub(crate) async fn catch_up(&self) -> bool {
        let (reply, done) = oneshot::channel();
        self.control(Control::CatchUp { reply }) && done.await.is_ok()
    }

    /// Waits until everything asked for before is durable. False when the writer is gone.
    pub(crate) async fn flush(&self) -> bool {
        let (reply, done) = oneshot::channel();
        self.control(Control::Flush { reply }) && done.await.is_ok()
    }
}

impl Writer {
    /// Starts both threads. `stopped` is sent to when they end for any reason.
    #[expect(clippy::too_many_arguments, reason = "what it is made of, once")]
    pub(crate) fn start(
        store: Arc<Store>,
        catalog: Arc<ActiveCatalog>,
        clock: Arc<Clock>,
        inboxes: Arc<ArcSwap<Inboxes>>,
        stats: Arc<ServiceStats>,
        profiles_max: usize,
        records: RecordSettings,
        stopped: tokio::sync::mpsc::Sender<()>,
    ) -> anyhow::Result<Self> {
        let resends = Resends::load(&store)?;
        let mut core = Core::new(catalog, profiles_max);
        core.resume(&*store)?;
        let (submissions, submitted) = bounded(SUBMISSIONS_QUEUED_MAX);
        let (control, controls) = unbounded();
        let (steps, committing) = bounded(1);
        let (spare, spares) = unbounded();
        let durable = Arc::new(AtomicU64::new(store.head().seq));
        let stopping = Arc::new(AtomicBool::new(false));
        let committer = thread::Builder::new().name("committer".to_owned()).spawn({
            let (store, durable, stats) =
                (Arc::clone(&store), Arc::clone(&durable), Arc::clone(&stats));
            let stopping = Arc::clone(&stopping);
            move || {
                let result = committer::commit_steps(
                    &store,
                    &inboxes,
                    &durable,
                    &stats,
                    &stopping,
                    &committing,
                    &spare,
                );
                drop(stopped);
                result
            }
        })?;
        let engine = thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || {
                let seq = store.head().seq;
                EngineThread {
                    core,
                    store,
                    clock,
                    stats,
                    durable,
                    seq,
                    steps,
                    spares,
                    background: Background::default(),
                    attempts: AttemptLog::new(records),
                    ledger_trim: LedgerTrim::new(&records),
                    resends,
                }
                .run(&submitted, &controls);
            })?;
        Ok(Self {
            handle: WriterHandle {
                submissions,
                control,
            },
            stopping,
            engine,
            committer,
        })
    }

    pub(crate) fn handle(&self) -> WriterHandle {
        self.handle.clone()
    }

    /// Waits for both threads to finish what they have and end. Blocks.
    pub(crate) fn join(self) -> Result<(), StoreError> {
        self.stopping.store(true, Ordering::Release);
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

#[cfg(test)]
mod tests;
