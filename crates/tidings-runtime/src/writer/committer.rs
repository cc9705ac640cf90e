//! The committer thread: makes batches durable, one after the other, and lets out what depends on
//! them.

use super::{After, Inboxes, Step};
use crate::stats::ServiceStats;
use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender};
use std::sync::atomic::{AtomicU64, Ordering};
use tidings_store::{Store, StoreError};

pub(super) fn commit_steps(
    store: &Store,
    inboxes: &ArcSwap<Inboxes>,
    durable: &AtomicU64,
    stats: &ServiceStats,
    steps: &Receiver<Step>,
    spare: &Sender<Step>,
) -> Result<(), StoreError> {
    for mut step in steps {
        let inboxes = inboxes.load();
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
            let_out(after, &inboxes);
        }
        // Kept for its buffers. When the engine thread is gone nobody needs them, but what it left in
        // the queue is still to be committed.
        drop(spare.send(step));
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
        After::Answered {
            destination,
            answer,
        } => {
            if let Some(inbox) = inboxes.get(&destination) {
                inbox.answer(answer);
            }
        }
        After::Profile { reply, answer } => drop(reply.send(answer)),
        After::Flushed { reply } => drop(reply.send(())),
    }
}
