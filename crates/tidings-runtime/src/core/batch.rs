//! Batches: what they read, what their outcomes mean, and the record that is kept of each.
//!
//! The record of the batch under way is written with every outcome, in the same commit as the
//! profiles that the outcome changed. A crash therefore loses neither: the batch goes on with the
//! devices that are still in the set of changes, under the same record.

use super::{
    Changes, Core, Rows, Scans,
    deliver::in_flight,
    load, mark_dirty,
    publish::write_mark,
    removals::{self, Outcome},
};
use std::sync::Arc;
use tidings_dispatch::{Hint, Kind, SettledUser};
use tidings_engine::{Moment, Profile};
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, FailurePolicy, Timestamp, planted};
use tidings_store::BatchRecord;

/// Batches of a destination whose records are kept.
pub const BATCHES_KEPT: u32 = 100;

/// Marks of an earlier run, of these destinations, are as good as marks of this one: no batch has told
/// anything whose outcome is not known.
pub(super) fn confirm_marks(moment: Moment, ended: &[DestinationId], profile: &mut Profile) {
    planted!(BatchTakenAsTold, {
        return;
    });
    for state in &mut profile.destinations {
        let is_old = state
            .batch
            .marked
            .is_some_and(|epoch| epoch != moment.epoch);
        if is_old && ended.binary_search(&state.id).is_ok() {
            state.batch.marked = Some(moment.epoch);
        }
    }
}

/// A page of the set of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPage {
    /// The devices with something to tell now, once per namespace.
    pub hints: Vec<Hint>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<DeviceUuid>,
}

impl Core {
    /// Goes on where an earlier run of the process ended. To be called before anything else.
    ///
    /// A batch of that run that had ended has the outcome of all that it told on record. Only of one
    /// that was under way may something have been told without it.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn resume<R: Rows>(&mut self, rows: &R) -> Result<(), R::Error> {
        let catalog = Arc::clone(&self.catalog);
        for destination in &catalog.catalog.destinations {
            let last = rows.last_batch(destination.id)?;
            if last.is_none_or(|record| record.ended.is_some()) {
                self.batches_ended.push(destination.id);
            }
        }
        self.batches_ended.sort_unstable();
        Ok(())
    }

    /// Begins the batch that was due at `due`, or goes on with it after a restart. An earlier one that
    /// is still under way ends here, and its devices go into the new one.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn begin_batch<R: Rows>(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        due: Timestamp,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<BatchRecord, R::Error> {
        let last = self.last_batch(destination, rows)?;
        let number = match last {
            None => 1,
            Some(running) if running.ended.is_none() && due <= running.due => return Ok(running),
            Some(mut last) => {
                if last.ended.is_none() {
                    last.ended = Some(moment.now);
                    last.cut_short = true;
                    changes.put_batch_record(destination, &last);
                }
                last.number.saturating_add(1)
            }
        };
        if let Some(old) = number.checked_sub(BATCHES_KEPT).filter(|&old| old > 0) {
            changes.delete_batch_record(destination, old);
        }
        let record = BatchRecord {
            number,
            due,
            started: moment.now,
            ..BatchRecord::default()
        };
        self.write_batch(destination, record, changes);
        Ok(record)
    }

    /// The destination's latest batch.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn last_batch<R: Rows>(
        &mut self,
        destination: DestinationId,
        rows: &R,
    ) -> Result<Option<BatchRecord>, R::Error> {
        match self.batches.get(&destination) {
            Some(last) => Ok(Some(*last)),
            None => rows.last_batch(destination),
        }
    }

    /// Ends the batch under way.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn end_batch<R: Rows>(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<Option<BatchRecord>, R::Error> {
        let running = self.last_batch(destination, rows)?;
        let Some(mut record) = running.filter(|record| record.ended.is_none()) else {
            return Ok(running);
        };
        record.ended = Some(moment.now);
        self.write_batch(destination, record, changes);
        Ok(Some(record))
    }

    /// Removes the records of all batches of a destination that is gone.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn forget_batches<R: Scans>(
        &mut self,
        destination: DestinationId,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        self.batches.remove(&destination);
        for number in rows.batch_numbers(destination)? {
            changes.delete_batch_record(destination, number);
        }
        Ok(())
    }

    fn write_batch(
        &mut self,
        destination: DestinationId,
        record: BatchRecord,
        changes: &mut impl Changes,
    ) {
        changes.put_batch_record(destination, &record);
        self.batches.insert(destination, record);
    }

    /// Reads a page of up to `limit` devices of the set of changes, after the device `after` or from
    /// the first.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn batch_page<R: Rows>(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        after: Option<&DeviceUuid>,
        limit: usize,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<BatchPage, R::Error> {
        if after.is_none() {
            self.begin_pass(destination, rows)?;
        }
        let devices = rows.batch_changes(destination, after, limit)?;
        let mut hints = Vec::with_capacity(devices.len());
        for uuid in &devices {
            self.batch_hints(moment, destination, uuid, rows, changes, &mut hints)?;
        }
        let next = if devices.len() < limit {
            None
        } else {
            devices.last().cloned()
        };
        Ok(BatchPage { hints, next })
    }

    /// What failed so far is read again, and counts again.
    fn begin_pass<R: Rows>(
        &mut self,
        destination: DestinationId,
        rows: &R,
    ) -> Result<(), R::Error> {
        if let Some(mut record) = self.last_batch(destination, rows)? {
            let failed = std::mem::take(&mut record.failed);
            record.received = record.received.saturating_sub(failed);
            record.attempted = record.attempted.saturating_sub(failed);
            self.batches.insert(destination, record);
        }
        Ok(())
    }

    fn batch_hints<R: Rows>(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        uuid: &DeviceUuid,
        rows: &R,
        changes: &mut impl Changes,
        hints: &mut Vec<Hint>,
    ) -> Result<(), R::Error> {
        let catalog = Arc::clone(&self.catalog);
        self.forget_unseen(moment, &catalog, uuid, rows, changes)?;
        let cached = load(&mut self.profiles, uuid, rows)?;
        let profile = &mut cached.profile;
        confirm_marks(moment, &self.batches_ended, profile);
        let in_flight = in_flight(&self.flights, uuid);
        let mark =
            self.engine
                .mark_batch(moment, &catalog.compiled, profile, destination, in_flight);
        write_mark(mark, uuid, changes);
        for part in catalog
            .compiled
            .batch_parts(profile, destination, moment.now)
        {
            hints.push(Hint {
                uuid: uuid.clone(),
                seq: 0,
                namespace: part.namespace,
                objects: part.objects,
                removal: profile.owes_in(destination, part.namespace),
            });
        }
        if mark.is_some() {
            mark_dirty(&mut self.dirty, cached, uuid);
        }
        Ok(())
    }

    /// Records the outcome of a message of a batch for its devices.
    ///
    /// # Errors
    /// As [`Core::submit`].
    #[expect(clippy::too_many_arguments, reason = "an outcome has this many sides")]
    pub fn settle_batch<R: Rows>(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        namespace: DataSourceId,
        users: &[SettledUser],
        message: u64,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        let catalog = Arc::clone(&self.catalog);
        let mut record = self.last_batch(destination, rows)?.unwrap_or_default();
        for user in users {
            for &acknowledged in &user.acknowledged {
                record.received += 1;
                record.attempted += 1;
                record.succeeded += u64::from(acknowledged);
                record.failed += u64::from(!acknowledged);
            }
            let Some(flight) = self.land(&user.uuid, (destination, namespace, Kind::Batch)) else {
                continue;
            };
            let cached = load(&mut self.profiles, &user.uuid, rows)?;
            let profile = &mut cached.profile;
            self.engine
                .note_remapping(&catalog.compiled, profile, moment.now);
            confirm_marks(moment, &self.batches_ended, profile);
            self.engine
                .assume_told_by_earlier_run(moment, &catalog.compiled, profile);
            let owed = removals::owed(profile);
            let mark = self.engine.settle_batch(
                moment,
                &catalog.compiled,
                profile,
                destination,
                namespace,
                &flight,
                |n| user.acknowledged.get(n) == Some(&true),
                in_flight(&self.flights, &user.uuid),
            );
            planted!(BatchOutcomeForgotten, {
                continue;
            });
            write_mark(mark, &user.uuid, changes);
            let outcome = Outcome {
                destination,
                message,
                flight: &flight,
            };
            self.ledger
                .told(moment, &user.uuid, outcome, &owed, profile, rows, changes)?;
            // The partner knows everything now, also what it was not told when it should have been. But
            // a batch tells what differs from the batch before it: it does not make up for a message
            // that was dropped, if that would have taken back what was told in real time meanwhile.
            let state = profile.destination(destination);
            let knows = user.after_failure == FailurePolicy::Hold
                && state.is_none_or(|state| {
                    state.batch.marked.is_none() && state.pending.is_none() && state.owed.is_empty()
                });
            if user.delivered() && knows && profile.set_undelivered(destination, false) {
                changes.delete_undelivered(destination, &user.uuid);
            }
            mark_dirty(&mut self.dirty, cached, &user.uuid);
        }
        if record.number > 0 {
            self.write_batch(destination, record, changes);
        }
        Ok(())
    }
}
