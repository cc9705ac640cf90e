//! The writer's threads under steady load.

use super::*;
use std::{
    collections::VecDeque,
    path::Path,
    time::{Duration, Instant},
};
use tidings_catalog::Source;
use tidings_engine::MappingChanges;
use tidings_model::{Event, TraitId};
use tidings_store::StoreSettings;
use tokio::sync::Semaphore;

const CATALOG: &str = "traits: [{ id: 1, name: A }]\nsegments: [{ id: 10, name: A, rule: 1T }]";
/// Requests that wait or are being made durable, so that something always arrives.
const UNDER_WAY: usize = 64;
/// Longer than it takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Devices, more than a page of a sweep.
const DEVICES: u128 = 300;

/// Sends one event after the other, of one device after the other.
struct Load {
    writer: WriterHandle,
    permits: Arc<Semaphore>,
    answers: VecDeque<oneshot::Receiver<Vec<Submitted>>>,
    events: u128,
}

impl Load {
    fn send(&mut self) {
        if self.answers.len() == UNDER_WAY {
            let oldest = self.answers.pop_front().unwrap();
            assert_eq!(oldest.blocking_recv().unwrap().len(), 1);
        }
        self.events += 1;
        let event = Event {
            uuid: DeviceUuid::from_number(1 + self.events % DEVICES),
            traits: vec![TraitId(1)],
            ..Event::default()
        };
        let (reply, answer) = oneshot::channel();
        let permit = Arc::clone(&self.permits).try_acquire_owned().unwrap();
        let submission = Submission {
            entries: vec![Entry::Event(event)],
            reply,
            permit,
        };
        self.writer.submit(submission).unwrap();
        self.answers.push_back(answer);
    }
}

#[test]
fn a_sweep_ends_although_something_always_arrives() {
    let source = Source {
        name: "catalog.yaml",
        text: CATALOG,
        directory: Path::new("."),
    };
    let catalog = tidings_catalog::read(source, |_| None).unwrap().catalog;
    let catalog = ActiveCatalog::new(catalog, 1, MappingChanges::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &StoreSettings::default()).unwrap();
    let (stopped, _stops) = tokio::sync::mpsc::channel(1);
    let writer = Writer::start(
        Arc::new(store),
        Arc::new(catalog),
        Arc::new(Clock::system()),
        Arc::new(ArcSwap::from_pointee(Inboxes::new())),
        Arc::new(ServiceStats::default()),
        10_000,
        RecordSettings::default(),
        stopped,
    )
    .unwrap();
    let mut load = Load {
        writer: writer.handle(),
        permits: Arc::new(Semaphore::new(2 * UNDER_WAY)),
        answers: VecDeque::new(),
        events: 0,
    };
    for _ in 0..DEVICES {
        load.send();
    }
    let (done, mut swept) = oneshot::channel();
    assert!(load.writer.control(Control::Sweep { done }));
    let begun = Instant::now();
    while swept.try_recv().is_err() {
        assert!(begun.elapsed() < PATIENCE, "the sweep has not ended");
        load.send();
    }
    drop(load);
    writer.join().unwrap();
}
