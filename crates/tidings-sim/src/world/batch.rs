//! Batches in the world: what leaves and what becomes of it is compared with what the records say, and
//! at the end every destination with batches has one more, with nothing in its way.

use super::{Happening, Try, World};
use crate::{Violation, service::Settled};
use bytes::Bytes;
use std::collections::BTreeSet;
use tidings_dispatch::Kind;
use tidings_model::{DestinationId, time::DAY_SECONDS};
use tidings_wire::{Decoder, Options};

/// Between the last sighting of every device and the last batches, in milliseconds.
const LAST_MILLIS: u64 = 5_000;

impl World<'_> {
    /// A message leaves for the first time.
    pub(super) fn leaves(&mut self, which: Try, body: &Bytes) -> Result<(), Violation> {
        let decoder = Decoder::strict(Options::default());
        let decoded = decoder.decode(body);
        let decoded = decoded.map_err(|error| Violation::new("messages are valid", error))?;
        let to = which.to;
        if which.kind == Kind::Realtime {
            for user in &decoded.message.users {
                if let Ok(uuid) = user.aam_uuid.parse() {
                    self.waiting.told(to, &uuid);
                }
            }
            return Ok(());
        }
        self.counts.add("messages of batches");
        let pending = &self.disk.rows.pending;
        if self.is_healthy(to) {
            let is_pending = |uuid: &_| pending.contains_key(&(to, Clone::clone(uuid)));
            self.waiting.check(self.now, to, which.task, is_pending)?;
        }
        let record = self.disk.rows.batches.get(&to);
        let number = record.map_or(0, |record| record.number);
        self.batches.leaves((to, number), &decoded, &self.truth)
    }

    /// Whether nothing keeps a destination from taking everything at once.
    fn is_healthy(&self, to: DestinationId) -> bool {
        let plan = self.plan;
        let fails = plan
            .failing
            .iter()
            .any(|(one, percent)| *one == to && *percent > 0);
        let is_out = plan.outages.iter().any(|(one, ..)| *one == to);
        let wants_token = plan.oauth.contains(&to);
        !fails && !is_out && !wants_token && !self.disk.paused.contains(&to)
    }

    /// An attempt at a message of a batch was answered with success.
    pub(super) fn batch_answered(&mut self, which: Try) {
        let decoder = Decoder::strict(Options::default());
        let body = self.attempts.body(&which.key());
        let decoded = body.and_then(|body| decoder.decode(body).ok());
        let users = decoded.map_or(0, |decoded| decoded.message.users.len());
        self.batches.answered(which.to, users);
    }

    /// A commit is durable in which these outcomes of batches are.
    pub(super) fn batches_settled(&mut self, settled: Vec<Settled>) {
        for Settled {
            to,
            number,
            namespace,
            users,
        } in settled
        {
            self.batches
                .settled(self.now, (to, number), namespace, &users);
        }
        self.begin_batches_anew();
        let records = &self.disk.rows.batches;
        for (to, _) in self
            .batch_seen
            .extract_if(.., |to, _| !records.contains_key(to))
        {
            self.batches.gone(to);
        }
        for (&to, record) in records {
            let seen = self.batch_seen.entry(to).or_default();
            if seen.0 != record.number {
                self.counts.add("batches begun");
            } else if !seen.1 && record.ended.is_some() {
                self.counts.add("batches ended");
                let line = format!("batch {} of {to} ended: {record:?}", record.number);
                self.trace.line(self.now, &line);
            }
            *seen = (record.number, record.ended.is_some());
            if let Err(violation) = self.batches.check_record(to, record) {
                self.broken = Some(violation);
            }
        }
    }

    /// Batches of the catalog in use that have begun and not ended.
    pub(super) fn batches_running(&self) -> usize {
        let mut running = 0;
        for (to, record) in &self.disk.rows.batches {
            running += usize::from(record.ended.is_none() && self.truth.has(*to));
        }
        running
    }

    /// Every destination with batches has another one, if there is one.
    pub(super) fn last_batches(&mut self) {
        if self.service.is_none() || !self.clients.are_done() {
            self.queue
                .put(self.now + LAST_MILLIS, Happening::LastBatches);
            return;
        }
        if self.batch_destinations().next().is_some() {
            self.ahead += 2 * DAY_SECONDS + 60;
            self.trace
                .line(self.now, "the clock goes on to the last batches");
        }
        self.last_since = Some((self.time().time, self.now));
    }

    /// What destinations without batches were told by one does not matter any more.
    pub(super) fn begin_batches_anew(&mut self) {
        let with: BTreeSet<_> = self.batch_destinations().collect();
        for (to, _) in &self.plan.failing {
            if !with.contains(to) {
                self.batches.begin_anew(*to);
            }
        }
    }

    fn batch_destinations(&self) -> impl Iterator<Item = DestinationId> {
        let version = self.plan.versions.get(self.version);
        let destinations = version
            .into_iter()
            .flat_map(|one| &one.catalog.destinations);
        let with = destinations.filter(|one| one.batch.is_some());
        with.map(|one| one.id)
    }

    /// Whether the last batches have ended.
    pub(super) fn is_batched(&self) -> bool {
        self.last_since.is_some_and(|(since, _)| {
            self.batch_destinations().all(|to| {
                let record = self.disk.rows.batches.get(&to);
                record.is_some_and(|one| one.started >= since && one.ended.is_some())
            })
        })
    }
}
