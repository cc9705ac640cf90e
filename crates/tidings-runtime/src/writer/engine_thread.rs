//! The engine thread: takes what has arrived, applies it, and hands the changes to the committer.

use super::{
    After, Control, DEVICES_PER_STEP, EVENTS_PER_STEP, Step, Submission, attempt_log::AttemptLog,
    batch, ledger_trim::LedgerTrim, resends::Resends,
};
use crate::{
    background::Background,
    clock::Clock,
    core::{Core, DestinationHint},
    errand,
    pages::Pages,
    stats::ServiceStats,
};
use crossbeam_channel::{Receiver, Sender, select};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tidings_collect::Entry;
use tidings_dispatch::Hint;
use tidings_engine::Moment;
use tidings_model::{DestinationId, DeviceUuid};
use tidings_store::{RecordKind, Store, StoreError};

/// What is removed in pages of a destination that is gone: what [`Forgetting`](crate::forget::Forgetting)
/// goes through.
const FORGOTTEN: [RecordKind; 4] = [
    RecordKind::Pending,
    RecordKind::Undelivered,
    RecordKind::BatchChanges,
    RecordKind::Batches,
];

/// How soon the next commit takes away more of what is left of deleted devices.
const DRAIN_PATIENCE: Duration = Duration::from_millis(10);

pub(super) struct EngineThread {
    pub(super) core: Core,
    pub(super) store: Arc<Store>,
    pub(super) clock: Arc<Clock>,
    pub(super) stats: Arc<ServiceStats>,
    pub(super) durable: Arc<AtomicU64>,
    /// Sequence number of the last batch handed to the committer.
    pub(super) seq: u64,
    pub(super) steps: Sender<Step>,
    pub(super) spares: Receiver<Step>,
    pub(super) background: Background,
    pub(super) attempts: AttemptLog,
    pub(super) ledger_trim: LedgerTrim,
    pub(super) resends: Resends,
}

/// Ends the engine thread.
enum Stop {
    Asked,
    Failed(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// What woke the engine thread up.
enum Arrival {
    Control(Control),
    Submission(Submission),
    /// Nothing: it is time for background work.
    Tick,
}

/// Waits for something to arrive, or for the time of background work.
fn arrival(
    submitted: &Receiver<Submission>,
    controls: &Receiver<Control>,
    patience: Duration,
) -> Result<Arrival, Stop> {
    select! {
        recv(controls) -> control => Ok(Arrival::Control(control.map_err(|_| Stop::Asked)?)),
        recv(submitted) -> submission => match submission {
            Ok(submission) => Ok(Arrival::Submission(submission)),
            // Whoever can submit can ask, so all are gone; what they asked for comes first.
            Err(_) => Ok(Arrival::Control(controls.recv().map_err(|_| Stop::Asked)?)),
        },
        default(patience) => Ok(Arrival::Tick),
    }
}

impl EngineThread {
    pub(super) fn run(mut self, submitted: &Receiver<Submission>, controls: &Receiver<Control>) {
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
        let mut patience = self.background.patience().min(self.resends.patience());
        if self.store.is_draining() {
            patience = patience.min(DRAIN_PATIENCE);
        }
        let arrival = arrival(submitted, controls, patience)?;
        let (first_control, first_submission) = match arrival {
            Arrival::Control(control) => (Some(control), None),
            Arrival::Submission(submission) => (None, Some(submission)),
            Arrival::Tick => (None, None),
        };
        let mut step = self.spares.try_recv().unwrap_or_default();
        let moment = Moment {
            now: self.clock.now(),
            seq: self.seq + 1,
            epoch: self.store.epoch(),
        };
        let (mut stop, mut devices) = (Ok(()), 0);
        for control in first_control.into_iter().chain(controls.try_iter()) {
            if matches!(control, Control::Stop) {
                stop = Err(Stop::Asked);
                continue;
            }
            devices += control.devices();
            self.control(moment, control, &mut step)?;
            if devices >= DEVICES_PER_STEP {
                break;
            }
        }
        // What is due by the clock comes before what is only now happening.
        self.read_pages(moment, &mut step)?;
        self.wake(moment, &mut step)?;
        let mut events = 0;
        let mut next = first_submission.or_else(|| submitted.try_recv().ok());
        while let Some(submission) = next {
            events += submission.entries.len();
            self.submit(moment, submission, &mut step)?;
            next = if events < EVENTS_PER_STEP {
                submitted.try_recv().ok()
            } else {
                None
            };
        }
        self.hand_over(moment, step)?;
        stop
    }

    /// Sweeps, and removes what is left of destinations that are gone.
    fn read_pages(&mut self, moment: Moment, step: &mut Step) -> Result<(), StoreError> {
        let (core, store, batch) = (&mut self.core, &*self.store, &mut step.batch);
        let (now, durable) = (self.clock.millis(), self.durable.load(Ordering::Acquire));
        let hints = &mut step.hints;
        let mut hint = |new| add_hint(hints, new);
        let swept = self
            .background
            .read_pages(now, moment, durable, core, store, batch, &mut hint)?;
        step.after
            .extend(swept.map(|reply| After::Flushed { reply }));
        Ok(())
    }

    /// Does what is due by the clock.
    fn wake(&mut self, moment: Moment, step: &mut Step) -> Result<(), StoreError> {
        let (core, store, batch) = (&mut self.core, &*self.store, &mut step.batch);
        let hints = &mut step.hints;
        let mut hint = |new| add_hint(hints, new);
        let is_virtual = self.clock.is_virtual();
        let caught_up = self
            .background
            .wake(moment, is_virtual, core, store, batch, &mut hint)?;
        step.after
            .extend(caught_up.into_iter().map(|reply| After::Flushed { reply }));
        let millis = self.clock.millis();
        self.resends
            .step(millis, moment, core, store, batch, &mut hint)
    }

    /// Ends the step: its changes go to the committer.
    fn hand_over(&mut self, moment: Moment, mut step: Step) -> Result<(), Stop> {
        for (destination, attempt) in self.core.take_attempts() {
            self.attempts.record(destination, &attempt);
        }
        let (core, store, batch) = (&mut self.core, &self.store, &mut step.batch);
        let millis = self.clock.millis();
        self.ledger_trim.visit(millis, moment, core, store, batch)?;
        self.attempts.write(moment, store, batch)?;
        self.attempts.visit(millis, moment, store, batch)?;
        let durable = self.durable.load(Ordering::Acquire);
        self.core
            .finish(moment, durable, &*self.store, &mut step.batch);
        // A commit without operations takes away what is left of devices that were deleted.
        step.writes = !step.batch.is_empty() || self.store.is_draining();
        if step.writes {
            self.seq = moment.seq;
            step.seq = moment.seq;
        }
        let tally = self.core.take_tally();
        let stats = &self.stats;
        stats
            .segments_entered
            .fetch_add(tally.entered, Ordering::Relaxed);
        stats.segments_left.fetch_add(tally.left, Ordering::Relaxed);
        // The committer is gone only after a failure, which it has reported.
        self.steps.send(step).map_err(|_| Stop::Asked)
    }

    fn submit(
        &mut self,
        moment: Moment,
        submission: Submission,
        step: &mut Step,
    ) -> Result<(), StoreError> {
        let Submission {
            entries,
            reply,
            permit,
        } = submission;
        let mut answer = Vec::with_capacity(entries.len());
        for entry in &entries {
            let (batch, hints) = (&mut step.batch, &mut step.hints);
            let (core, store, hint) = (&mut self.core, &*self.store, |new| add_hint(hints, new));
            answer.push(match entry {
                Entry::Event(event) => {
                    core.submit(moment, event, store, batch, random_uuid, hint)?
                }
                Entry::OptOut(subject) => {
                    core.submit_opt_out(moment, subject, store, batch, hint)?
                }
            });
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
            Control::Ask { destination, ask } => {
                let answer =
                    errand::answer(Pages::SERVER, core, moment, destination, ask, store, batch)?;
                step.after.extend(answer.map(|answer| After::Answered {
                    destination,
                    answer,
                }));
            }
            Control::BatchHistory { destination, reply } => {
                // Whoever asked and went away does not need the answer.
                drop(reply.send(batch::history(destination, store)?));
            }
            Control::Profile { uuid, reply } => {
                let profile = Box::new(core.profile(&uuid, store)?);
                let answer = (Arc::clone(core.catalog()), profile);
                step.after.push(After::Profile { reply, answer });
            }
            Control::Catalog { reply } => drop(reply.send(Arc::clone(core.catalog()))),
            Control::Privacy {
                request,
                subject,
                reply,
            } => {
                let catalog = Arc::clone(core.catalog());
                let hints = &mut step.hints;
                let hint = |new| add_hint(hints, new);
                let answer = if core.knows(&subject) {
                    let report = core.privacy(moment, request, &subject, store, batch, hint)?;
                    Some((catalog, report))
                } else {
                    None
                };
                step.after.push(After::Privacy { reply, answer });
            }
            Control::ResendOne {
                destination,
                uuid,
                reply,
            } => {
                let hints = &mut step.hints;
                let hint = |new| add_hint(hints, new);
                let answer = core.resend(moment, destination, &uuid, store, batch, hint)?;
                step.after.push(After::Resent { reply, answer });
            }
            Control::ResendAll { destination, reply } => {
                let answer = self.resends.begin(moment, destination, batch);
                step.after.push(After::ResendBegun { reply, answer });
            }
            Control::Flush { reply } => step.after.push(After::Flushed { reply }),
            Control::CatchUp { reply } => self.background.catch_up(reply),
            Control::Replace { catalog } => core.set_catalog(catalog),
            Control::Ended { destination } => {
                core.abandon(destination, store)?;
                if core.catalog().compiled.destination(destination).is_none() {
                    self.background.forget([destination]);
                    self.resends.forget(destination, batch);
                }
            }
            Control::ForgetOthers => {
                let gone = |kind| -> Result<_, StoreError> {
                    let mut left = store.destinations_with(kind)?;
                    left.retain(|id| core.catalog().compiled.destination(*id).is_none());
                    Ok(left)
                };
                for kind in FORGOTTEN {
                    self.background.forget(gone(kind)?);
                }
                for destination in gone(RecordKind::Resends)? {
                    self.resends.forget(destination, batch);
                }
            }
            Control::Sweep { done } => self.background.sweep(done),
            Control::Stop => {}
        }
        Ok(())
    }
}

fn add_hint(hints: &mut Vec<(DestinationId, Vec<Hint>)>, new: DestinationHint) {
    match hints.iter_mut().find(|(id, _)| *id == new.destination) {
        Some((_, hints)) => hints.push(new.hint),
        None => hints.push((new.destination, vec![new.hint])),
    }
}

/// A new device id. Randomness of the system does not fail on the platforms we run on; if it did,
/// going on with a predictable id would link unrelated devices.
fn random_uuid() -> DeviceUuid {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    DeviceUuid::from_random(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Control, arrival};
    use crossbeam_channel::unbounded;
    use std::time::Duration;

    #[test]
    fn what_was_asked_before_the_senders_went_is_done() {
        // Of two channels that are ready, any one is taken.
        for _ in 0..100 {
            let ((submissions, submitted), (control, controls)) = (unbounded(), unbounded());
            control.send(Control::ForgetOthers).unwrap();
            control.send(Control::Stop).unwrap();
            drop((submissions, control));
            let next = || arrival(&submitted, &controls, Duration::MAX).ok();
            assert!(matches!(
                next(),
                Some(Arrival::Control(Control::ForgetOthers))
            ));
            assert!(matches!(next(), Some(Arrival::Control(Control::Stop))));
            assert!(next().is_none());
        }
    }
}
