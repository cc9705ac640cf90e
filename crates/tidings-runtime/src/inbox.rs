//! What the writer tells one destination's task, without ever waiting for it.

use crate::core::BatchPage;
use std::sync::{Mutex, PoisonError};
use tidings_dispatch::{Hint, Kind, Taken};
use tidings_model::{DataSourceId, DeviceUuid, limits};
use tidings_store::BatchRecord;
use tokio::sync::Notify;

/// A mailbox of bounded size. Hints that do not fit are dropped, and the task is told that some
/// were: it reads the pending set instead, which is on disk.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

/// Devices with their user objects, encoded.
type TakenUsers = Vec<Taken<Vec<u8>>>;

/// What arrived since the last time.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) hints: Vec<Hint>,
    /// Hints were dropped.
    pub(crate) lost: bool,
    /// Answers to takes: as many as were asked for.
    pub(crate) taken: Vec<(Kind, DataSourceId, TakenUsers)>,
    /// Answers to scans: at most one is asked for at a time.
    pub(crate) scanned: Option<Scanned>,
    /// Answers about the batch: as many as were asked for.
    pub(crate) batch: Vec<BatchNews>,
}

/// What the writer says about a destination's batch.
#[derive(Debug)]
pub(crate) enum BatchNews {
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
pub(crate) struct Scanned {
    pub(crate) hints: Vec<Hint>,
    /// Where the next page begins; `None` after the last one.
    pub(crate) next: Option<DeviceUuid>,
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

    pub(crate) fn taken(&self, kind: Kind, namespace: DataSourceId, users: TakenUsers) {
        self.put(|mail| mail.taken.push((kind, namespace, users)));
    }

    pub(crate) fn batch(&self, news: BatchNews) {
        self.put(|mail| mail.batch.push(news));
    }

    pub(crate) fn scanned(&self, scanned: Scanned) {
        self.put(|mail| mail.scanned = Some(scanned));
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
