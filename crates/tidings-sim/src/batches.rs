//! Daily batches, seen from both ends: what partners were told by which batch, what of it was
//! acknowledged, and what the record of the batch says.

use crate::{Counts, Violation, truth::Truth};
use std::collections::{BTreeMap, BTreeSet};
use tidings_dispatch::SettledUser;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, SegmentId};
use tidings_store::BatchRecord;
use tidings_wire::{Decoded, Status};

/// A destination and the number of a batch of it.
type Batch = (DestinationId, u32);
/// A destination, a namespace and a device.
type Lane = (DestinationId, DataSourceId, DeviceUuid);
/// A partner's id and a segment.
type Entry = (String, String);

/// All batches of a run.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    /// What was told about a device since its last outcome, by the batch with this number.
    told: BTreeMap<Lane, BTreeMap<Entry, Status>>,
    /// What was acknowledged, and when that was durable.
    acknowledged: BTreeMap<(Batch, Lane), BTreeMap<Entry, (Status, u64)>>,
    /// User objects that were answered with success.
    answered: BTreeMap<DestinationId, u64>,
    /// User objects whose acknowledgement is durable.
    recorded: BTreeMap<Batch, u64>,
}

impl Batches {
    /// A message of a batch leaves for the first time.
    pub(crate) fn leaves(
        &mut self,
        batch: Batch,
        message: &Decoded,
        truth: &Truth,
    ) -> Result<(), Violation> {
        let namespace = message
            .message
            .user_dpid
            .map_or(DataSourceId::NONE, DataSourceId);
        for user in &message.message.users {
            let Ok(uuid) = user.aam_uuid.parse::<DeviceUuid>() else {
                continue;
            };
            let lane = (batch.0, namespace, uuid);
            let before = self.acknowledged.get(&(batch, lane.clone()));
            for segment in &user.segments {
                let id = segment.segment_id.parse().map(SegmentId).ok();
                let entry = (user.data_partner_uuid.clone(), segment.segment_id.clone());
                let known = before.and_then(|before| before.get(&entry));
                // What went away with its mapping begins anew.
                let again = known.is_some_and(|&(status, at)| {
                    status == segment.status
                        && id.is_some_and(|id| truth.counts_since(batch.0, id, at))
                });
                if again {
                    let (to, number) = batch;
                    let detail = format!("destination {to}, batch {number}, {lane:?}, {entry:?}");
                    let promise = "a batch tells nothing again that was acknowledged";
                    return Err(Violation::new(promise, detail));
                }
                let told = self.told.entry(lane.clone()).or_default();
                told.insert(entry, segment.status);
            }
        }
        Ok(())
    }

    /// So many user objects of a batch's message were answered with success.
    pub(crate) fn answered(&mut self, to: DestinationId, users: usize) {
        *self.answered.entry(to).or_default() += users as u64;
    }

    /// The outcome of a batch's message is durable.
    pub(crate) fn settled(
        &mut self,
        now: u64,
        batch: Batch,
        namespace: DataSourceId,
        users: &[SettledUser],
    ) {
        for user in users {
            let count = user.acknowledged.iter().filter(|yes| **yes).count();
            *self.recorded.entry(batch).or_default() += count as u64;
            let lane = (batch.0, namespace, user.uuid.clone());
            let told = self.told.remove(&lane).unwrap_or_default();
            if user.delivered() {
                let acknowledged = self.acknowledged.entry((batch, lane)).or_default();
                // What changed under one id is told again under those that heard the opposite.
                acknowledged.retain(|(_, segment), (before, _)| {
                    let mut now = told.iter().filter(|((_, one), _)| one == segment);
                    now.all(|(_, status)| status == before)
                });
                let told = told.into_iter();
                acknowledged.extend(told.map(|(entry, status)| (entry, (status, now))));
            }
        }
    }

    /// The process died: what was on its way has no outcome.
    pub(crate) fn forget(&mut self) {
        self.told.clear();
    }

    /// A destination has no batches any more: should it have some again, they tell everything.
    pub(crate) fn begin_anew(&mut self, to: DestinationId) {
        self.acknowledged.retain(|((one, _), _), _| *one != to);
    }

    /// The records of a destination's batches are gone with it: should it come back, they count from 1.
    pub(crate) fn gone(&mut self, to: DestinationId) {
        self.begin_anew(to);
        self.recorded.retain(|(one, _), _| *one != to);
    }

    /// The record of a batch is durable.
    pub(crate) fn check_record(
        &self,
        to: DestinationId,
        record: &BatchRecord,
    ) -> Result<(), Violation> {
        let recorded = self.recorded.get(&(to, record.number));
        let recorded = recorded.copied().unwrap_or(0);
        let sums = record.received == record.attempted
            && record.attempted == record.succeeded + record.failed;
        if record.succeeded == recorded && sums {
            return Ok(());
        }
        let promise = "a batch's counters agree with what was acknowledged";
        let detail = format!("destination {to}: {recorded} acknowledged, {record:?}");
        Err(Violation::new(promise, detail))
    }

    /// No more was recorded than partners acknowledged; and no less, if nothing was lost.
    pub(crate) fn check_end(&self, counts: &Counts) -> Result<(), Violation> {
        let loses = counts.of("crashes") + counts.of("changes of the catalog") > 0;
        let ids: BTreeSet<_> = self.recorded.keys().map(|(to, _)| *to).collect();
        for to in ids {
            let of = self.recorded.iter().filter(|((one, _), _)| *one == to);
            let recorded: u64 = of.map(|(_, count)| count).sum();
            let answered = self.answered.get(&to).copied().unwrap_or(0);
            if recorded > answered || (!loses && recorded < answered) {
                let promise = "a batch's counters agree with what the partner acknowledged";
                let detail = format!("destination {to}: {answered} answered, {recorded} recorded");
                return Err(Violation::new(promise, detail));
            }
        }
        Ok(())
    }
}
