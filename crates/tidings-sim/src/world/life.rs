//! The life of the process: it starts, takes steps, makes them durable, and is killed.

use super::{Happening, WIRE_MILLIS, World};
use crate::{
    disk::Disk,
    service::{Service, Step},
};
use tidings_model::DeviceUuid;
#[cfg(planted)]
use tidings_model::planted::{self, Planted};
use tidings_runtime::inbox::Mail;
#[cfg(planted)]
use tidings_runtime::memory::MemoryChanges;

impl World<'_> {
    pub(super) fn tick(&mut self) {
        let Some(service) = &self.service else {
            return;
        };
        let next = Happening::Tick(service.epoch);
        let can_step = service.has_room();
        if can_step {
            self.step();
        }
        let patience = self
            .service
            .as_ref()
            .map_or(1_000, Service::patience_millis);
        self.queue.put(self.now + patience, next);
    }

    pub(super) fn step(&mut self) {
        let now = self.time();
        let Some(service) = &mut self.service else {
            return;
        };
        let new_devices = &mut self.new_devices;
        let mut new_uuid = || {
            *new_devices += 1;
            DeviceUuid::from_number(1_000_000 + *new_devices).expect("a small number")
        };
        service.step(now, self.plan, &self.disk, &mut self.truth, &mut new_uuid);
    }

    pub(super) fn crash(&mut self) {
        if self.calm_since.is_some() {
            return;
        }
        let Some(mut service) = self.service.take() else {
            return;
        };
        // Nobody knows of the commit under way: it may have reached the disk.
        let torn = service.committing.take().filter(|_| self.random.chance(50));
        if let Some(mut step) = torn
            && step.seq > 0
        {
            self.counts.add("commits made and not acknowledged");
            self.disk.commit(step.seq, &mut step.changes);
            self.batches_settled(step.settled);
        }
        if self.batches_running() > 0 {
            self.counts.add("crashes in a batch");
        }
        self.batches.forget();
        self.waiting.clear();
        self.sources.clear();
        let profiles = &self.disk.rows.profiles;
        self.truth
            .forget_after(self.now, self.disk.durable, profiles);
        self.counts.add("crashes");
        self.trace
            .line(self.now, &format!("crash at commit {}", self.disk.durable));
        self.died = self.now;
        let pause = WIRE_MILLIS + u64::try_from(self.random.between(50, 10_000)).unwrap_or(50);
        self.queue.put(self.now + pause, Happening::Restart);
    }

    pub(super) fn restart(&mut self) {
        let now = self.time();
        if self.disk.needs_sweep() {
            self.counts.add("sweeps gone on with after a crash");
        }
        let service = Service::start(self.plan, self.version, &mut self.disk, now);
        let line = format!("start {}, version {}", service.epoch, self.version);
        self.trace.line(self.now, &line);
        if let Some(version) = self.plan.versions.get(self.version) {
            self.truth.follow(self.now, &version.catalog, now.time);
        }
        for _ in 0..self.batches_running() {
            self.counts.add("batches gone on with after a crash");
        }
        self.queue.put(self.now, Happening::Tick(service.epoch));
        self.wake_at = None;
        self.service = Some(service);
    }

    pub(super) fn committed(&mut self) {
        let Some(mut step) = self.service.as_mut().and_then(|one| one.committing.take()) else {
            return;
        };
        if step.seq > 0 {
            self.disk.commit(step.seq, &mut step.changes);
            let pending = &self.disk.rows.pending;
            self.waiting.keep(|pair| pending.contains_key(pair));
            self.counts.add("commits");
            self.batches_settled(std::mem::take(&mut step.settled));
        }
        self.let_out(step);
    }

    /// What depends on a durable step.
    fn let_out(&mut self, step: Step) {
        let Some(service) = &mut self.service else {
            return;
        };
        for (to, hint) in step.hints {
            let Some(station) = service.stations.get_mut(to) else {
                continue;
            };
            let task = station.task;
            let Mail { hints, lost, .. } = &mut station.mail;
            if self.random.chance(self.plan.lost_hints) {
                self.counts.add("hints lost");
                *lost = true;
            } else {
                self.waiting.hinted(self.now, to, task, &hint.uuid);
                hints.push(hint);
            }
        }
        for (to, answer) in step.answers {
            if let Some(station) = service.stations.get_mut(to) {
                station.mail.answers.push(answer);
            }
        }
        // Whoever waited for an earlier sweep has gone.
        let _told = step.swept.map(|swept| swept.send(()));
        if service.has_swept()
            && let Some((generation, run)) = self.disk.mark_swept()
        {
            self.swept(generation, run);
        }
        for (number, submitted) in step.replies {
            self.answered(number, submitted);
        }
    }

    pub(super) fn begin_commit(&mut self) -> bool {
        let Some(service) = &mut self.service else {
            return false;
        };
        if service.committing.is_some() {
            return false;
        }
        let Some(step) = service.queued.pop_front() else {
            return false;
        };
        #[cfg(planted)]
        if planted::is(Planted::AcknowledgedBeforeSync) {
            let out = Step {
                changes: MemoryChanges::default(),
                ..step
            };
            let (seq, changes) = (out.seq, step.changes);
            self.commit_later(Step {
                seq,
                changes,
                ..Step::default()
            });
            self.let_out(out);
            return true;
        }
        self.commit_later(step);
        true
    }

    fn commit_later(&mut self, step: Step) {
        let Some(service) = &mut self.service else {
            return;
        };
        let takes = if step.seq == 0 {
            0
        } else {
            Disk::sync_millis(&mut self.random, self.plan.stalls)
        };
        service.committing = Some(step);
        let committed = Happening::Committed(service.epoch);
        self.queue.put(self.now + takes, committed);
    }
}
