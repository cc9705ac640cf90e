//! The batches of one destination: begun when the clock has passed their time, gone on with after a
//! restart.

use super::Courier;
use crate::{
    errand::{Ask, BatchOrder},
    inbox::BatchNews,
    schedule::{Lateness, Schedule},
};
use std::time::Duration;
use tidings_model::{DeviceUuid, Timestamp};

/// How often the time is looked at, in real time.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where a destination with batches stands.
#[derive(Debug)]
pub(super) struct BatchState {
    schedule: Schedule,
    /// The answer to what the latest batch was has come. Before it, news are for an earlier task of
    /// the destination.
    started: bool,
    /// The writer was asked something that decides what is next.
    asked: bool,
    /// The last device of the page before.
    cursor: Option<DeviceUuid>,
}

impl BatchState {
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.schedule.next()
    }
}

impl Courier {
    /// Asks what the latest batch was: it may have to go on.
    pub(super) fn start_batches(&mut self, lateness: Lateness, now: Timestamp) {
        let schedule = Schedule::new(&self.destination, lateness, now);
        self.batch = schedule.map(|schedule| BatchState {
            schedule,
            started: false,
            asked: true,
            cursor: None,
        });
        if self.batch.is_some() {
            self.ask(Ask::Batch(BatchOrder::Last));
        }
    }

    pub(super) fn begin_batch_if_due(&mut self, now: Timestamp) {
        let Some(batch) = self.batch.as_mut().filter(|batch| !batch.asked) else {
            return;
        };
        if let Some(due) = batch.schedule.due(now) {
            batch.asked = true;
            self.ask(Ask::Batch(BatchOrder::Begin { due }));
        }
    }

    pub(super) fn batch_news(&mut self, now: Timestamp, news: BatchNews) {
        let Some(batch) = &mut self.batch else {
            return;
        };
        if !batch.started && !matches!(news, BatchNews::Last(_)) {
            return;
        }
        match news {
            BatchNews::Last(last) => {
                batch.started = true;
                batch.asked = false;
                let Some(record) = last else { return };
                batch.schedule.began(&record);
                if record.ended.is_none() {
                    batch.asked = true;
                    let due = batch.schedule.due(now).unwrap_or(record.due);
                    self.ask(Ask::Batch(BatchOrder::Begin { due }));
                }
            }
            BatchNews::Began(record) => {
                batch.asked = false;
                batch.schedule.began(&record);
                tracing::info!(
                    destination = self.destination.id.0,
                    batch = record.number,
                    "batch running"
                );
                self.dispatcher.begin_batch();
            }
            BatchNews::Page(page) => {
                let complete = page.next.is_none();
                batch.cursor = page.next;
                self.dispatcher.batch_page(page.hints, complete);
            }
            BatchNews::Ended => batch.asked = false,
        }
    }

    pub(super) fn read_batch_page(&mut self, first: bool) {
        let cursor = self.batch.as_mut().and_then(|batch| batch.cursor.take());
        let after = cursor.filter(|_| !first);
        self.ask(Ask::Batch(BatchOrder::Page { after }));
    }

    pub(super) fn end_batch(&mut self) {
        if let Some(batch) = &mut self.batch {
            batch.asked = true;
        }
        self.ask(Ask::Batch(BatchOrder::End));
    }
}
