//! Hands events from the collectors to the writer, and refuses them when too many wait.

use crate::{
    stats::{ServiceStats, add},
    writer::{Refused, Submission, WriterHandle},
};
use std::{sync::Arc, time::Duration};
use tidings_collect::{Entry, EventSink, SubmitError, Submitted};
use tidings_model::limits;
use tokio::sync::{Semaphore, oneshot};

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The writer, as collectors see it.
pub(crate) struct WriterSink {
    writer: WriterHandle,
    room: Arc<Semaphore>,
    stats: Arc<ServiceStats>,
}

impl WriterSink {
    pub(crate) fn new(writer: WriterHandle, stats: Arc<ServiceStats>) -> Self {
        Self {
            writer,
            room: Arc::new(Semaphore::new(limits::EVENTS_QUEUED_MAX)),
            stats,
        }
    }
}

impl EventSink for WriterSink {
    async fn submit(&self, entries: Vec<Entry>) -> Result<Vec<Submitted>, SubmitError> {
        let mut disk_full = self.stats.disk_full.subscribe();
        if *disk_full.borrow() {
            return Err(no_room());
        }
        let full = || SubmitError::Full {
            retry_after: RETRY_AFTER,
        };
        let gone = || SubmitError::Unavailable {
            retry_after: RETRY_AFTER,
            reason: "the store has failed or the server is stopping".to_owned(),
        };
        let count = u32::try_from(entries.len()).map_err(|_| full())?;
        let permit = Arc::clone(&self.room)
            .try_acquire_many_owned(count)
            .map_err(|_| full())?;
        let (reply, answer) = oneshot::channel();
        self.writer
            .submit(Submission {
                entries,
                reply,
                permit,
            })
            .map_err(|refused| match refused {
                Refused::Full => full(),
                Refused::Gone => gone(),
            })?;
        let answer = tokio::select! {
            biased;
            answer = answer => answer.map_err(|_| gone())?,
            // What was applied is stored once there is room; whoever sends it again does no harm.
            Ok(_) = disk_full.wait_for(|&full| full) => return Err(no_room()),
        };
        let accepted = answer
            .iter()
            .filter(|one| matches!(one, Submitted::Accepted(_) | Submitted::OptedOut(_)))
            .count();
        let duplicate = answer
            .iter()
            .filter(|one| matches!(one, Submitted::Duplicate(_)))
            .count();
        add(&self.stats.events_accepted, accepted);
        add(&self.stats.events_duplicate, duplicate);
        add(
            &self.stats.events_rejected,
            answer.len() - accepted - duplicate,
        );
        Ok(answer)
    }
}

fn no_room() -> SubmitError {
    SubmitError::Unavailable {
        retry_after: RETRY_AFTER,
        reason: "the disk is full".to_owned(),
    }
}
