//! Clients: each sends its event until it is answered, under the same event id.

use super::{Happening, World};
use crate::{configuration::DATA_SOURCES, plan::COUNTER};
use std::collections::BTreeMap;
use tidings_collect::Submitted;
use tidings_model::{
    AuthState, DataSourceId, DeclaredId, DeviceUuid, Event, RegionId, TraitId, time::DAY_SECONDS,
};

/// How long a client waits for an answer, in milliseconds.
const PATIENCE_MILLIS: u64 = 7_000;

/// All clients of a run.
#[derive(Debug, Default)]
pub(super) struct Clients {
    events: Vec<Event>,
    /// The device that each answered event was taken for.
    pub(super) answered: BTreeMap<usize, DeviceUuid>,
    /// Answers with success to one event under two devices.
    pub(super) moved: Option<usize>,
}

impl Clients {
    /// A client's event.
    pub(super) fn event(&self, number: usize) -> Event {
        self.events.get(number).cloned().unwrap_or_default()
    }

    /// Whether every event so far was answered.
    pub(super) fn are_done(&self) -> bool {
        self.answered.len() == self.events.len()
    }

    /// How many events each device was answered for.
    pub(super) fn counts(&self) -> BTreeMap<&DeviceUuid, u64> {
        let mut counts = BTreeMap::new();
        for uuid in self.answered.values() {
            *counts.entry(uuid).or_default() += 1;
        }
        counts
    }
}

impl World<'_> {
    /// Some events are made, and sent over a while. Before that the clock may jump by days.
    pub(super) fn begin_phase(&mut self, phase: usize) {
        if self.calm_since.is_some() {
            return;
        }
        let Some(&count) = self.plan.phases.get(phase) else {
            let pause = u64::try_from(self.random.below(60_000)).unwrap_or(0);
            self.queue.put(self.now + pause, Happening::Calm);
            return;
        };
        if phase > 0 && self.random.chance(70) {
            let jump = self.random.between(1, 3 * DAY_SECONDS);
            self.ahead += jump;
            self.counts.add("jumps of the clock");
            self.trace
                .line(self.now, &format!("the clock jumps {jump} s"));
        }
        let span = i64::try_from(self.plan.phase_millis).unwrap_or(1);
        let devices = i64::try_from(self.plan.devices).unwrap_or(1);
        for _ in 0..count {
            let device = self.random.below(devices);
            self.plan_event(device, span);
        }
    }

    /// Each device has an event soon.
    pub(super) fn see_every_device(&mut self) {
        for device in 0..i64::try_from(self.plan.devices).unwrap_or(1) {
            self.plan_event(device, 2_000);
        }
    }

    fn plan_event(&mut self, device: i64, span: i64) {
        let number = self.clients.events.len();
        let event = self.make_event(number, device);
        self.clients.events.push(event);
        let at = self.now + u64::try_from(self.random.below(span)).unwrap_or(0);
        self.queue.put(at, Happening::Send(number));
    }

    fn make_event(&mut self, number: usize, device: i64) -> Event {
        let random = &mut self.random;
        let mut traits = vec![TraitId(COUNTER)];
        let mut remove_traits = Vec::new();
        for id in 2..=5 {
            match random.below(6) {
                0 => traits.push(TraitId(id)),
                1 => remove_traits.push(TraitId(id)),
                _ => {}
            }
        }
        let mut ids = Vec::new();
        for source in DATA_SOURCES {
            if random.chance(25) {
                // An id leads to one device for good, so an event that is sent again finds it.
                let id = format!("d{device}-{}", random.below(3));
                ids.push(DeclaredId {
                    data_source: DataSourceId(source),
                    id: id.into(),
                    state: AuthState::Authenticated,
                });
            }
        }
        let named = DeviceUuid::from_number(u128::try_from(device + 1).unwrap_or(1));
        Event {
            uuid: named,
            region: random.chance(20).then_some(RegionId(9)),
            traits,
            remove_traits,
            ids,
            event_id: Some(format!("e-{number}").into()),
            ..Event::default()
        }
    }

    pub(super) fn send(&mut self, number: usize) {
        if self.clients.answered.contains_key(&number) {
            return;
        }
        self.counts.add("events sent");
        self.queue
            .put(self.now + PATIENCE_MILLIS, Happening::Send(number));
        if let Some(service) = &self.service {
            let there = u64::try_from(self.random.between(1, 50)).unwrap_or(1);
            let arrive = Happening::Arrive(number, service.epoch);
            self.queue.put(self.now + there, arrive);
        }
    }

    pub(super) fn answered(&mut self, number: usize, submitted: Submitted) {
        let uuid = match submitted {
            Submitted::Accepted(uuid) => uuid,
            Submitted::Duplicate(uuid) => {
                self.counts.add("duplicates");
                uuid
            }
            Submitted::OptedOut(_) | Submitted::Rejected { .. } => return,
        };
        self.trace
            .line(self.now, &format!("event {number} answered"));
        match self.clients.answered.insert(number, uuid.clone()) {
            Some(before) if before != uuid => self.clients.moved = Some(number),
            Some(_) => return,
            None => {}
        }
        if self.clients.are_done() {
            let phases = self.plan.phases.iter().scan(0, |sum, count| {
                *sum += count;
                Some(*sum)
            });
            let done = self.clients.answered.len();
            let next = phases.take_while(|sum| *sum <= done).count();
            self.queue.put(self.now + 1, Happening::Phase(next));
        }
    }
}
