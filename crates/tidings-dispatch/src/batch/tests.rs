//! A destination with a set of changes on disk, a pending set, and a partner that answers as told.

use crate::{Action, Dispatcher, Health, Hint, Kind, MessageId, Outcome, Settings, Taken};
use proptest::{
    collection::vec,
    prelude::{any, prop_assert, prop_assert_eq, proptest},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};
use tidings_model::{DataSourceId, DeviceUuid, FailurePolicy, Millis};

const NAMESPACE: DataSourceId = DataSourceId(5);
const PAGE: usize = 7;

fn device(number: u64) -> DeviceUuid {
    DeviceUuid::from_number(number.into()).unwrap()
}

fn settings(after_failure: FailurePolicy) -> Settings {
    Settings {
        namespaces: vec![NAMESPACE],
        users_max: 3,
        linger: Duration::from_secs(1),
        retries: 0,
        retry_delay: Duration::ZERO,
        after_failure,
        in_flight_max: 4,
        waiting_max: 100,
        paused: false,
    }
}

fn outcome(success: bool) -> Outcome {
    if success {
        Outcome::Acknowledged
    } else {
        Outcome::Failed
    }
}

/// A message on its way, with its devices.
#[derive(Debug)]
struct OnItsWay {
    message: MessageId,
    kind: Kind,
    devices: Vec<DeviceUuid>,
}

struct World {
    dispatcher: Dispatcher<DeviceUuid>,
    now: Millis,
    seq: u64,
    /// The set of changes.
    changes: BTreeSet<DeviceUuid>,
    cursor: Option<DeviceUuid>,
    pending: BTreeMap<DeviceUuid, u64>,
    on_its_way: VecDeque<OnItsWay>,
    /// Takes, answered one step after they are asked for.
    takes: VecDeque<(Kind, Vec<DeviceUuid>)>,
    /// How often each device was acknowledged in the batch.
    acknowledged: BTreeMap<DeviceUuid, usize>,
    passes: usize,
    done: bool,
}

impl World {
    fn new(after_failure: FailurePolicy, changes: u64) -> Self {
        let mut world = Self {
            dispatcher: Dispatcher::new(settings(after_failure)),
            now: Millis(1_000_000),
            seq: 0,
            changes: (0..changes).map(device).collect(),
            cursor: None,
            pending: BTreeMap::new(),
            on_its_way: VecDeque::new(),
            takes: VecDeque::new(),
            acknowledged: BTreeMap::new(),
            passes: 0,
            done: false,
        };
        world.dispatcher.begin_batch();
        world
    }

    fn touch(&mut self, number: u64) {
        self.seq += 1;
        self.pending.insert(device(number), self.seq);
        self.dispatcher.hint(
            self.now,
            &Hint {
                uuid: device(number),
                seq: self.seq,
                namespace: NAMESPACE,
                objects: 1,
                removal: false,
            },
        );
    }

    fn hint(&self, uuid: &DeviceUuid) -> Hint {
        Hint {
            uuid: uuid.clone(),
            seq: self.pending.get(uuid).copied().unwrap_or(0),
            namespace: NAMESPACE,
            objects: 1,
            removal: false,
        }
    }

    /// Performs what there is to do now; answers to takes come after.
    fn act(&mut self) {
        loop {
            while let Some(action) = self.dispatcher.poll(self.now) {
                self.perform(action);
            }
            let Some((kind, users)) = self.takes.pop_front() else {
                return;
            };
            let taken = users.into_iter().map(|uuid| {
                let tells = match kind {
                    Kind::Realtime => self.pending.contains_key(&uuid),
                    Kind::Batch => self.changes.contains(&uuid),
                };
                let seq = match kind {
                    Kind::Realtime => self.pending.get(&uuid).copied().unwrap_or(0),
                    Kind::Batch => 0,
                };
                let objects = tells.then(|| uuid.clone()).into_iter().collect();
                Taken {
                    uuid,
                    seq,
                    objects,
                    removal: false,
                }
            });
            let taken: Vec<_> = taken.collect();
            self.dispatcher.taken(kind, NAMESPACE, taken);
        }
    }

    fn perform(&mut self, action: Action<DeviceUuid>) {
        match action {
            Action::Take { kind, users, .. } => self.takes.push_back((kind, users)),
            Action::Send {
                message,
                kind,
                objects,
                ..
            } => {
                for other in &self.on_its_way {
                    let both = other.devices.iter().find(|uuid| objects.contains(uuid));
                    assert_eq!(both, None, "a device is in two messages");
                }
                self.on_its_way.push_back(OnItsWay {
                    message,
                    kind,
                    devices: objects,
                });
                assert!(self.count(Kind::Batch) <= 2, "half of the places");
                assert!(self.on_its_way.len() <= 4);
            }
            Action::Settle { kind, users, .. } => {
                for user in users {
                    let delivered = user.delivered();
                    match kind {
                        Kind::Batch if delivered => {
                            self.changes.remove(&user.uuid);
                            *self.acknowledged.entry(user.uuid).or_default() += 1;
                        }
                        Kind::Realtime if delivered => {
                            if self.pending.get(&user.uuid) == Some(&user.seq) {
                                self.pending.remove(&user.uuid);
                            }
                        }
                        Kind::Batch | Kind::Realtime => {}
                    }
                }
            }
            Action::Rescan => {
                let hints: Vec<_> = self.pending.keys().map(|uuid| self.hint(uuid)).collect();
                for hint in hints {
                    self.dispatcher.hint(self.now, &hint);
                }
                self.dispatcher.rescanned(true);
            }
            Action::BatchPage { first } => {
                if first {
                    self.cursor = None;
                    self.passes += 1;
                }
                let after = self.cursor.clone();
                let rows = self
                    .changes
                    .iter()
                    .filter(|uuid| after.as_ref() < Some(uuid));
                let page: Vec<_> = rows.take(PAGE).map(|uuid| self.hint(uuid)).collect();
                self.cursor = page.last().map(|hint| hint.uuid.clone()).or(after);
                let complete = page.len() < PAGE;
                self.dispatcher.batch_page(page, complete);
            }
            Action::BatchDone => {
                assert_eq!(self.count(Kind::Batch), 0);
                self.done = true;
            }
            Action::Retry { .. } => unreachable!("there are no retries"),
        }
    }

    fn count(&self, kind: Kind) -> usize {
        let of_kind = |message: &&OnItsWay| message.kind == kind;
        self.on_its_way.iter().filter(of_kind).count()
    }

    /// The oldest message of this kind is answered.
    fn answer(&mut self, kind: Kind, success: bool) -> bool {
        let at = self
            .on_its_way
            .iter()
            .position(|message| message.kind == kind);
        let Some(message) = at.and_then(|at| self.on_its_way.remove(at)) else {
            return false;
        };
        self.dispatcher
            .attempted(self.now, message.message, outcome(success));
        self.act();
        true
    }

    fn answer_all(&mut self, success: bool) {
        while self.answer(Kind::Realtime, success) || self.answer(Kind::Batch, success) {}
    }

    /// Lets time pass until something is due.
    fn wait(&mut self) -> bool {
        let Some(at) = self.dispatcher.next_wakeup(self.now) else {
            return false;
        };
        self.now = self.now.max(at);
        self.act();
        true
    }

    fn seconds(&mut self, seconds: u64) {
        let end = self.now.plus(Duration::from_secs(seconds));
        while let Some(at) = self
            .dispatcher
            .next_wakeup(self.now)
            .filter(|at| *at <= end)
        {
            self.now = at;
            self.act();
        }
        self.now = end;
    }
}

#[test]
fn every_device_is_told_once() {
    let mut world = World::new(FailurePolicy::Hold, 50);
    world.act();
    assert_eq!(world.count(Kind::Batch), 2, "half of four places");
    world.answer_all(true);
    assert!(world.done && !world.dispatcher.is_batch_running());
    assert_eq!(world.acknowledged.len(), 50);
    assert!(world.acknowledged.values().all(|times| *times == 1));
    assert_eq!(world.passes, 1);
}

#[test]
fn an_empty_batch_ends_at_once() {
    let mut world = World::new(FailurePolicy::Drop, 0);
    world.act();
    assert!(world.done);
}

#[test]
fn real_time_does_not_wait_for_the_batch() {
    let mut world = World::new(FailurePolicy::Hold, 50);
    world.act();
    // More than fits into the places that the batch leaves.
    for number in 100..109 {
        world.touch(number);
    }
    world.act();
    assert_eq!(world.count(Kind::Realtime), 2);
    // Real time takes the places of the batch when they become free.
    world.answer(Kind::Batch, true);
    assert_eq!(
        (world.count(Kind::Realtime), world.count(Kind::Batch)),
        (3, 1)
    );
    world.answer(Kind::Realtime, true);
    assert_eq!(
        (world.count(Kind::Realtime), world.count(Kind::Batch)),
        (2, 2)
    );
    world.answer_all(true);
    assert!(world.done && world.pending.is_empty());
}

#[test]
fn a_device_of_the_batch_that_is_touched_is_told_after_the_outcome() {
    let mut world = World::new(FailurePolicy::Hold, 3);
    world.act();
    world.touch(1);
    world.seconds(2);
    assert_eq!(world.count(Kind::Realtime), 0);
    world.answer(Kind::Batch, true);
    assert_eq!(world.count(Kind::Realtime), 1);
    world.answer_all(true);
    assert!(world.done && world.pending.is_empty());
}

#[test]
fn a_device_that_is_being_told_is_put_off() {
    let mut world = World::new(FailurePolicy::Hold, 3);
    world.touch(1);
    world.act();
    assert_eq!(world.on_its_way[0].devices, [device(0), device(2)]);
    world.answer_all(true);
    assert!(!world.done);
    world.seconds(1);
    world.answer(Kind::Realtime, true);
    assert_eq!(world.on_its_way[0].devices, [device(1)]);
    world.answer_all(true);
    assert!(world.done);
}

#[test]
fn a_failing_destination_pauses_its_batch() {
    let mut world = World::new(FailurePolicy::Hold, 20);
    world.act();
    world.answer(Kind::Batch, false);
    world.answer(Kind::Batch, false);
    assert_eq!(world.on_its_way.len(), 0);
    assert!(matches!(world.dispatcher.health(), Health::Failing { .. }));
    world.seconds(4);
    assert_eq!(world.on_its_way.len(), 0);
    world.seconds(1);
    assert_eq!(world.count(Kind::Batch), 1, "a probe");
    world.answer(Kind::Batch, false);
    world.seconds(9);
    assert_eq!(world.on_its_way.len(), 0);
    world.seconds(1);
    world.answer_all(true);
    assert_eq!(world.dispatcher.health(), Health::Healthy);
    // What was given up follows in another pass.
    assert!(!world.done);
    assert_eq!(world.changes.len(), 9);
    world.seconds(5);
    world.answer_all(true);
    assert!(world.done && world.changes.is_empty());
    assert_eq!(world.passes, 2);
}

#[test]
fn what_is_dropped_waits_for_the_next_batch() {
    let mut world = World::new(FailurePolicy::Drop, 20);
    world.act();
    world.answer(Kind::Batch, false);
    world.answer(Kind::Batch, true);
    world.answer_all(true);
    assert!(world.done);
    assert_eq!((world.passes, world.changes.len()), (1, 3));
}

#[test]
fn failures_of_the_batch_do_not_hold_up_real_time() {
    let mut world = World::new(FailurePolicy::Drop, 100);
    world.act();
    for number in 0..15 {
        world.answer(Kind::Batch, false);
        world.touch(1_000 + number);
        world.seconds(1);
        assert_eq!(world.count(Kind::Realtime), 1, "after {number} failures");
        world.answer(Kind::Realtime, true);
    }
}

#[test]
fn a_batch_begun_anew_reads_from_the_first_page() {
    let mut world = World::new(FailurePolicy::Hold, 20);
    world.act();
    world.answer(Kind::Batch, true);
    world.dispatcher.begin_batch();
    world.act();
    world.answer_all(true);
    assert!(world.done && world.changes.is_empty());
    assert!(world.acknowledged.values().all(|times| *times == 1));
}

#[test]
fn a_paused_destination_is_sent_no_batch() {
    let mut world = World::new(FailurePolicy::Hold, 20);
    let paused = settings(FailurePolicy::Hold);
    world.dispatcher.reconfigure(
        world.now,
        Settings {
            paused: true,
            ..paused
        },
    );
    world.act();
    assert_eq!(world.on_its_way.len(), 0);
    world
        .dispatcher
        .reconfigure(world.now, settings(FailurePolicy::Hold));
    world.act();
    world.answer_all(true);
    assert!(world.done);
}

proptest! {
    #[test]
    fn a_batch_ends_whatever_happens(
        changes in 0..60u64,
        hold in any::<bool>(),
        steps in vec((0..8u8, 0..80u64, any::<bool>()), 0..200),
    ) {
        let policy = if hold { FailurePolicy::Hold } else { FailurePolicy::Drop };
        let mut world = World::new(policy, changes);
        world.act();
        for (step, number, success) in steps {
            match step {
                0 | 1 => {
                    world.touch(number);
                    world.act();
                }
                2 => {
                    world.answer(Kind::Realtime, success);
                }
                3..6 => {
                    world.answer(Kind::Batch, success);
                }
                6 => world.seconds(number / 8),
                _ => {
                    // A device that is acknowledged changes again.
                    world.changes.insert(device(number));
                }
            }
        }
        // The partner has recovered.
        for _ in 0..1_000 {
            world.answer_all(true);
            if !world.wait() {
                break;
            }
        }
        prop_assert!(world.done);
        prop_assert!(world.dispatcher.is_idle());
        prop_assert_eq!(world.on_its_way.len(), 0);
        if hold {
            prop_assert!(world.pending.is_empty());
        }
    }
}
