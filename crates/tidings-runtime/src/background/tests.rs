//! Timers against a real store: which profiles are woken, and what that reads.

use super::*;
use crate::core::ActiveCatalog;
use std::{path::Path, sync::Arc};
use tidings_catalog::Source;
use tidings_engine::MappingChanges;
use tidings_model::{Event, SegmentId, TraitId};
use tidings_store::{Batch, Store, StoreSettings};

const CATALOG: &str = r#"
traits:
  - { id: 1, name: Visit, ttl_days: 30 }
segments:
  - { id: 10, name: Of late, rule: "FREQUENCY([1T] <= 2D) >= 1" }
  - { id: 11, name: Visitors, rule: 1T }
  - { id: 12, name: Not of late, rule: "FREQUENCY([1T] >= 9D) >= 1" }
"#;
/// 2016-07-27
const START: Timestamp = Timestamp(1_469_577_600);
const DAY: i64 = 86_400;

/// An engine thread and a committer, step by step.
struct World {
    store: Store,
    core: Core,
    background: Background,
    seq: u64,
    _dir: tempfile::TempDir,
}

impl World {
    /// With this many devices that visited at the start.
    fn new(devices: u32) -> Self {
        let source = Source {
            name: "catalog.yaml",
            text: CATALOG,
            directory: Path::new("."),
        };
        let catalog = tidings_catalog::read(source, |_| None).unwrap().catalog;
        let catalog = ActiveCatalog::new(catalog, 1, MappingChanges::default()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreSettings::default()).unwrap();
        let mut world = Self {
            core: Core::new(Arc::new(catalog), 100),
            background: Background::default(),
            seq: store.head().seq,
            store,
            _dir: dir,
        };
        let event = Event {
            traits: vec![TraitId(1)],
            ..Event::default()
        };
        let moment = world.moment(START);
        let mut batch = Batch::new();
        for number in 0..devices {
            let (core, store) = (&mut world.core, &world.store);
            let uuid = || number.to_string().parse().unwrap();
            core.submit(moment, &event, store, &mut batch, uuid, |_| {})
                .unwrap();
        }
        world.commit(&mut batch);
        world
    }

    fn moment(&self, now: Timestamp) -> Moment {
        Moment {
            now,
            seq: self.seq + 1,
            epoch: 1,
        }
    }

    fn commit(&mut self, batch: &mut Batch) {
        let moment = self.moment(START);
        self.core.finish(moment, self.seq, &self.store, batch);
        self.seq = self.store.commit(batch).unwrap();
    }

    /// Steps until nothing is due at this time; returns how many there were.
    fn catch_up(&mut self, now: Timestamp, is_virtual: bool) -> usize {
        let (reply, mut caught_up) = oneshot::channel();
        self.background.catch_up(reply);
        for steps in 1.. {
            let moment = self.moment(now);
            let mut batch = Batch::new();
            let (core, store) = (&mut self.core, &self.store);
            let done = self
                .background
                .wake(moment, is_virtual, core, store, &mut batch, &mut |_| {})
                .unwrap();
            // The page after a full one is read before what the full one changed is durable.
            let next = self.background.timers_after.is_some();
            assert_eq!(next, self.background.patience() == Duration::ZERO);
            self.commit(&mut batch);
            done.into_iter().for_each(|reply| reply.send(()).unwrap());
            if caught_up.try_recv().is_ok() {
                return steps;
            }
        }
        unreachable!("there is always a last step")
    }

    fn segments(&self, number: u32) -> Vec<SegmentId> {
        let uuid = number.to_string().parse().unwrap();
        let profile = self.store.profile(&uuid).unwrap().unwrap();
        profile.segments.iter().map(|state| state.id).collect()
    }
}

#[test]
fn a_clock_that_jumps_misses_none_of_a_profiles_wake_ups() {
    for is_virtual in [true, false] {
        let mut world = World::new(3);
        assert_eq!(world.segments(0), [10, 11].map(SegmentId));
        world.catch_up(START.plus_seconds(20 * DAY), is_virtual);
        assert_eq!(world.segments(1), [11, 12].map(SegmentId));
        // Over the end of the trait, and the first wake-up after it.
        world.catch_up(START.plus_seconds(60 * DAY), is_virtual);
        assert_eq!(world.segments(2), []);
        let end = START.plus_seconds(1_000 * DAY);
        let left = world.store.timers(Timestamp(0), end, 9);
        assert_eq!(left.unwrap(), []);
    }
}

#[test]
fn all_wake_ups_of_a_jump_happen_in_one_step() {
    let mut world = World::new(3);
    world.catch_up(START.plus_seconds(60 * DAY), true);
    assert_eq!(world.segments(2), []);
}

#[test]
fn what_is_not_due_is_not_read() {
    let mut read = Vec::new();
    for devices in [10, 1_300] {
        let mut world = World::new(devices);
        let before = world.store.rows_read();
        for hour in 1..=48 {
            world.catch_up(START.plus_seconds(hour * HOUR), false);
        }
        read.push(world.store.rows_read() - before);
    }
    assert_eq!(read, [0, 0]);
}

#[test]
fn every_timer_that_is_due_is_read_once() {
    const DEVICES: u32 = 1_300;
    let mut world = World::new(DEVICES);
    let before = world.store.rows_read();
    let steps = world.catch_up(START.plus_seconds(3 * DAY), false);
    assert_eq!(steps, 3, "pages of {}", Pages::SERVER.timers);
    // The timer and the profile, which does not stay in so small a cache.
    let read = world.store.rows_read() - before;
    assert!(read <= u64::from(2 * DEVICES), "{read}");
    for number in [0, 600, DEVICES - 1] {
        assert_eq!(world.segments(number), [11].map(SegmentId));
    }
}

/// What was written before a sweep began is to be on disk first, and no more than that: under steady
/// load something is always on its way there.
#[test]
fn a_sweep_waits_for_what_was_written_before_it() {
    let mut world = World::new(3);
    let (done, mut swept) = oneshot::channel();
    world.background.sweep(done);
    let written = world.seq;
    let mut read = |now: u64, seq: u64, durable: u64| {
        let moment = Moment {
            now: START,
            seq,
            epoch: 1,
        };
        let (core, store, mut batch) = (&mut world.core, &world.store, Batch::new());
        let (now, hint) = (Millis(now), &mut |_| {});
        let ended = world
            .background
            .read_pages(now, moment, durable, core, store, &mut batch, hint);
        ended.unwrap().is_some_and(|done| done.send(()).is_ok())
    };
    assert!(!read(0, written, written - 1), "it begins in this step");
    assert!(!read(1, written + 1, written - 1), "that is on its way");
    assert!(!read(2, written + 2, written - 1));
    assert!(read(3, written + 4, written), "what came later may be");
    assert!(swept.try_recv().is_ok());
}

#[test]
fn pages_of_a_sweep_are_paced() {
    let mut world = World::new(450);
    let (done, _swept) = oneshot::channel();
    world.background.sweep(done);
    let mut ended = Vec::new();
    for now in 0..200 {
        let moment = world.moment(START);
        let durable = world.seq;
        let (core, store, mut batch) = (&mut world.core, &world.store, Batch::new());
        let hint = &mut |_| {};
        let done = world.background.read_pages(
            Millis(now),
            moment,
            durable,
            core,
            store,
            &mut batch,
            hint,
        );
        ended.extend(done.unwrap().map(|_| now));
    }
    assert_eq!(ended, [101], "three pages of {}", Pages::SERVER.swept);
}
