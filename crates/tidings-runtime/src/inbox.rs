//! What the writer tells one destination's task, without ever waiting for it.

use crate::{core::BatchPage, errand::Answer};
use std::sync::{Mutex, PoisonError};
use tidings_dispatch::Hint;
use tidings_model::{DeviceUuid, limits};
use tidings_store::BatchRecord;
use tokio::sync::Notify;

/// A mailbox of bounded size. Hints that do not fit are dropped, and the task is told that some
/// were: it reads the pending set instead, which is on disk.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

/// What arrived since the last time.
#[derive(Debug, Default)]
pub struct Mail {
    /// Devices with something to tell.
    pub hints: Vec<Hint>,
    /// Hints were dropped.
    pub lost: bool,
    /// As many as were asked for.
    pub answers: Vec<Answer>,
}

/// What the writer says about a destination's batch.
#[derive(Debug)]
pub enum BatchNews {
    /// The latest batch of all.
    Last(Option<BatchRecord>),
    /// A batch begins, or goes on after a restart.
    Began(BatchRecord),
    /// A page of the set of changes.
    Page(BatchPage),
    /// The batch has ended.
    Ended,
}

/// A page of the pending set.
#[derive(Debug)]
pub struct Scanned {
    /// Its devices, with what they have to tell.
    pub hints: Vec<Hint>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<DeviceUuid>,
}

impl Mail {
    /// Whether nothing arrived.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.hints.is_empty() && !self.lost && self.answers.is_empty()
    }
}

impl Inbox {
    pub(crate) fn hints(&self, hints: impl IntoIterator<Item = Hint>) {
        self.put(|mail| {
            for hint in hints {
                if mail.hints.len() < limits::HINTS_PER_DESTINATION_MAX {
                    mail.hints.push(hint);
                } else {
                    mail.lost = true;
                }
            }
        });
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.put(|mail| mail.answers.push(answer));
    }

    fn put(&self, put: impl FnOnce(&mut Mail)) {
        // Nothing panics while the lock is held, and mail is mail either way.
        put(&mut self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        self.arrived.notify_one();
    }

    /// Waits until something has arrived. Cancel safe.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Everything that arrived, leaving `empty` buffers behind.
    pub(crate) fn take(&self, empty: &mut Mail) {
        let mut mail = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *mail, empty);
    }
}
