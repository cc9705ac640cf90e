//! One synced commit: profiles and pending pairs of so many users, in a temporary directory.
//!
//! The time is that of the disk as much as of the code. Each sample commits other users than the
//! last one, so rows are overwritten only after the whole population was.

use crate::fixture::{NOW, compiled, profile};
use divan::{Bencher, black_box, counter::ItemsCount};
use tempfile::TempDir;
use tidings_benches::device;
use tidings_engine::Engine;
use tidings_model::DestinationId;
use tidings_store::{Batch, PendingRow, Store, StoreSettings};

/// Devices whose rows are written in turn.
const DEVICES: u64 = 20_000;

/// Applying is done by then: what is timed is the commit alone.
#[divan::bench(args = [200, 2_000], sample_count = 50, sample_size = 1)]
fn commit(bencher: Bencher<'_, '_>, users: u64) {
    let directory = TempDir::new().expect("a temporary directory");
    let store = Store::open(directory.path(), &StoreSettings::default()).expect("it is empty");
    let mut batches = batches(users).into_iter().cycle();
    bencher
        .counter(ItemsCount::new(users))
        .with_inputs(|| batches.next().expect("it never ends"))
        .bench_local_values(|batch| store.commit(black_box(&batch)).expect("the disk works"));
}

/// Filling a batch: mostly encoding profiles.
#[divan::bench(args = [200, 2_000])]
fn fill_batch(bencher: Bencher<'_, '_>, users: u64) {
    let (catalog, mut engine) = (compiled(), Engine::new());
    let profiles: Vec<_> = (0..users)
        .map(|number| (device::uuid(number), profile(&mut engine, &catalog, number)))
        .collect();
    let mut batch = Batch::new();
    bencher.counter(ItemsCount::new(users)).bench_local(|| {
        batch.clear();
        for (uuid, profile) in &profiles {
            batch.put_profile(uuid, black_box(profile));
        }
        black_box(batch.bytes())
    });
}

/// A profile that was written long ago, read back at random.
#[divan::bench]
fn read_profile(bencher: Bencher<'_, '_>) {
    let directory = TempDir::new().expect("a temporary directory");
    let store = Store::open(directory.path(), &StoreSettings::default()).expect("it is empty");
    for batch in batches(2_000) {
        store.commit(&batch).expect("the disk works");
    }
    let mut number = 0;
    bencher
        .with_inputs(|| {
            number += 1;
            device::uuid(device::mix(number) % DEVICES)
        })
        .bench_local_refs(|uuid| store.profile(uuid).expect("the disk works"));
}

/// The rows of all devices, so many users in each batch.
fn batches(users: u64) -> Vec<std::rc::Rc<Batch>> {
    let (catalog, mut engine) = (compiled(), Engine::new());
    let pending = PendingRow { seq: 1, since: NOW };
    (0..DEVICES / users)
        .map(|number| {
            let mut batch = Batch::new();
            for number in number * users..(number + 1) * users {
                let uuid = device::uuid(number);
                batch.put_profile(&uuid, &profile(&mut engine, &catalog, number));
                batch.put_pending(DestinationId(1), &uuid, &pending);
            }
            batch.into()
        })
        .collect()
}
