//! A dispatcher that packs devices into messages of ten, all of which succeed.

use divan::{Bencher, black_box, counter::ItemsCount};
use std::time::Duration;
use tidings_benches::{catalog::COOKIES, device};
use tidings_dispatch::{Action, Dispatcher, Hint, Outcome, Settings, Taken};
use tidings_model::{DataSourceId, FailurePolicy, Millis};

fn settings() -> Settings {
    Settings {
        namespaces: vec![DataSourceId(COOKIES)],
        users_max: 10,
        linger: Duration::from_secs(1),
        retries: 1,
        retry_delay: Duration::from_secs(1),
        after_failure: FailurePolicy::Hold,
        in_flight_max: 32,
        waiting_max: 20_000,
        paused: false,
    }
}

/// From the hints to the outcomes of so many devices: hint, take, send, settle.
#[divan::bench(args = [10, 1_000, 10_000])]
fn pack_and_settle(bencher: Bencher<'_, '_>, devices: u64) {
    let hints: Vec<_> = (0..devices)
        .map(|number| Hint {
            uuid: device::uuid(number),
            seq: 1,
            namespace: DataSourceId(COOKIES),
            objects: 1,
            removal: false,
        })
        .collect();
    let mut dispatcher = Dispatcher::new(settings());
    // It begins by reading the pending set, which is empty.
    assert_eq!(dispatcher.poll(Millis(0)), Some(Action::Rescan));
    dispatcher.rescanned(true);
    bencher.counter(ItemsCount::new(devices)).bench_local(|| {
        for hint in &hints {
            dispatcher.hint(Millis(1), black_box(hint));
        }
        let mut settled = 0;
        while let Some(action) = dispatcher.poll(Millis(1)) {
            settled += perform(&mut dispatcher, action);
        }
        assert_eq!(settled, hints.len(), "everybody is told");
    });
}

/// Does what the dispatcher asks for, without a network; returns the devices that were settled.
fn perform(dispatcher: &mut Dispatcher<u64>, action: Action<u64>) -> usize {
    match action {
        Action::Take {
            kind,
            namespace,
            users,
        } => {
            let taken = users.into_iter().map(|uuid| Taken {
                uuid,
                seq: 1,
                objects: [1].into(),
                removal: false,
            });
            dispatcher.taken(kind, namespace, taken.collect());
            0
        }
        Action::Send { message, .. } => {
            dispatcher.attempted(Millis(1), message, Outcome::Acknowledged);
            0
        }
        Action::Settle { users, .. } => users.len(),
        Action::Retry { .. } | Action::Rescan | Action::BatchPage { .. } | Action::BatchDone => 0,
    }
}
