//! The committer thread: makes batches durable, one after the other, and lets out what depends on
//! them.
//!
//! While the disk is full it keeps the batch and tries again and again. The engine thread, which may
//! be two steps ahead, waits meanwhile, and collectors are told to come again: memory is bounded.

use super::{After, Inboxes, Step};
use crate::stats::ServiceStats;
use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};
use tidings_store::{Batch, ErrorKind, Store, StoreError};

/// How often to look whether a full disk has room again.
const FULL_DISK_LOOK: Duration = Duration::from_millis(250);

pub(super) fn commit_steps(
    store: &Store,
    inboxes: &ArcSwap<Inboxes>,
    durable: &AtomicU64,
    stats: &ServiceStats,
    stopping: &AtomicBool,
    steps: &Receiver<Step>,
    spare: &Sender<Step>,
) -> Result<(), StoreError> {
    for mut step in steps {
        let inboxes = inboxes.load();
        if step.writes {
            let seq = commit(store, stats, stopping, &step.batch)?;
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

/// Commits a batch, if need be once the disk has room for it; gives up when the server stops.
fn commit(
    store: &Store,
    stats: &ServiceStats,
    stopping: &AtomicBool,
    batch: &Batch,
) -> Result<u64, StoreError> {
    loop {
        let result = store.commit(batch);
        let is_full = matches!(&result, Err(error) if error.kind() == ErrorKind::Full);
        let was_full = *stats.disk_full.borrow();
        if is_full != was_full {
            stats.disk_full.send_replace(is_full);
        }
        match &result {
            Err(error) if is_full && !was_full => tracing::error!(%error, "nothing can be stored"),
            Ok(_) if was_full => tracing::warn!("the disk has room again"),
            _ => {}
        }
        if !is_full || stopping.load(Ordering::Acquire) {
            return result;
        }
        thread::sleep(FULL_DISK_LOOK);
    }
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
        After::Privacy { reply, answer } => drop(reply.send(answer)),
        After::Resent { reply, answer } => drop(reply.send(answer)),
        After::ResendBegun { reply, answer } => drop(reply.send(answer)),
        After::Flushed { reply } => drop(reply.send(())),
    }
}
