//! The operator: replaces the catalog's file, also while the process is down, and pauses destinations.

use super::{Happening, World};
use crate::{Violation, plan::Operation};
use tidings_engine::{DestinationState, Profile};
use tidings_model::DestinationId;
use tidings_runtime::courier::Pause;

/// Between the last change and the last sighting of every device, in milliseconds.
const CLOSE_MILLIS: u64 = 2_000;

impl World<'_> {
    pub(super) fn operate(&mut self, operation: Operation) {
        if self.calm_since.is_some() {
            return;
        }
        match operation {
            Operation::ChangeCatalog => self.change_catalog(self.version + 1),
            Operation::Crash => self.crash(),
            Operation::Revoke(to) => self.revoke(to),
            Operation::PauseOrResume(to) => {
                let is_paused = self.disk.paused.contains(&to);
                self.set_pause(to, if is_paused { Pause::Off } else { Pause::On });
            }
        }
    }

    fn change_catalog(&mut self, version: usize) {
        if version >= self.plan.versions.len() || version == self.version {
            return;
        }
        self.version = version;
        self.begin_batches_anew();
        self.counts.add("changes of the catalog");
        self.trace
            .line(self.now, &format!("the catalog is version {version}"));
        let now = self.time();
        let Some(service) = &mut self.service else {
            self.counts.add("changes of the catalog while down");
            return;
        };
        let before = service.stations.ids();
        service.reload(self.plan, version, &mut self.disk, now);
        let after = service.stations.ids();
        for _ in before.difference(&after) {
            self.counts.add("destinations removed");
        }
        for _ in after.difference(&before) {
            self.counts.add("destinations added");
        }
    }

    /// As on the admin side: refused while there is no such destination or nobody to ask.
    fn set_pause(&mut self, to: DestinationId, pause: Pause) {
        let now = self.time();
        let service = self.service.as_mut();
        let Some(station) = service.and_then(|one| one.stations.get_mut(to)) else {
            return;
        };
        station.courier.set_paused(now, pause);
        self.waiting.forget(to);
        match pause {
            Pause::On => self.disk.paused.insert(to),
            Pause::Off => self.disk.paused.remove(&to),
        };
        self.counts.add("pauses and resumptions");
        self.trace.line(self.now, &format!("{to}: pause {pause:?}"));
    }

    /// From now on nothing fails, and the last version of the catalog stays. A changed mapping is told
    /// when its device is seen next: each is seen once more.
    pub(super) fn calm(&mut self) {
        if self.calm_since.is_some() {
            return;
        }
        self.trace.line(self.now, "calm");
        self.calm_since = Some(self.now);
        self.change_catalog(self.plan.versions.len() - 1);
        self.queue.put(self.now + CLOSE_MILLIS, Happening::Close);
    }

    pub(super) fn close(&mut self) {
        if self.service.is_none() {
            self.queue.put(self.now + CLOSE_MILLIS, Happening::Close);
            return;
        }
        for to in self.disk.paused.clone() {
            self.set_pause(to, Pause::Off);
        }
        self.closed_at = Some(self.now);
        self.see_every_device();
        self.queue
            .put(self.now + 2 * CLOSE_MILLIS, Happening::LastBatches);
    }

    /// The process says that every profile was brought up to this generation of the catalog, and that what
    /// is pending or marked for a batch is so by this run or a later one, if it knows of one.
    pub(super) fn swept(&mut self, generation: u32, run: Option<u32>) {
        self.counts.add("sweeps ended");
        self.trace
            .line(self.now, "every profile is up to the catalog");
        let mut profiles = self.disk.rows.profiles.iter();
        if let Some((uuid, _)) = profiles.find(|(_, profile)| profile.generation < generation) {
            let promise = "a sweep brings every profile up to the catalog";
            let detail = format!("device {uuid}, generation {generation}");
            self.broken = Some(Violation::new(promise, detail));
        }
        let is_older = |state: &DestinationState| {
            let pending = state.pending.as_ref().map(|pending| pending.epoch);
            let runs = pending.into_iter().chain(state.batch.marked);
            run.is_some_and(|run| runs.min().is_some_and(|oldest| oldest < run))
        };
        let mut profiles = self.disk.rows.profiles.iter();
        let is_left = |profile: &Profile| {
            !profile.segments.is_empty() && profile.destinations.iter().any(is_older)
        };
        if let Some((uuid, _)) = profiles.find(|(_, profile)| is_left(profile)) {
            let promise = "a sweep takes as told what earlier runs may have told";
            let detail = format!("device {uuid}, run {run:?}");
            self.broken = Some(Violation::new(promise, detail));
        }
    }
}
