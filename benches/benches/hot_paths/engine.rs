//! One event of a known device, and what a destination is told about it.

use crate::fixture::{NOW, apply, compiled, moment, profile};
use divan::{Bencher, black_box};
use tidings_benches::{
    catalog::{COOKIES, TOGGLES},
    device,
};
use tidings_engine::Engine;
use tidings_model::{DataSourceId, DestinationId, Event, Signals};

/// The event leads to nothing: no rule matches.
#[divan::bench]
fn apply_nothing_changes(bencher: Bencher<'_, '_>) {
    let (catalog, mut engine) = (compiled(), Engine::new());
    let mut profile = profile(&mut engine, &catalog, 7);
    let mut signals = Signals::default();
    for (key, value) in [("page", "home"), ("area", "shop"), ("price", "12.50")] {
        signals.push(key, value);
    }
    let event = Event {
        signals,
        ..Event::default()
    };
    bencher.bench_local(|| apply(&mut engine, &catalog, &mut profile, black_box(&event), 2));
}

/// The device enters a segment in one event and leaves it in the next: the time of both.
#[divan::bench]
fn apply_enter_and_leave(bencher: Bencher<'_, '_>) {
    let (catalog, mut engine) = (compiled(), Engine::new());
    let mut profile = profile(&mut engine, &catalog, 7);
    let (enters, leaves) = (device::enters(7, TOGGLES[0]), device::leaves(7, TOGGLES[0]));
    bencher.bench_local(|| {
        apply(&mut engine, &catalog, &mut profile, black_box(&enters), 2);
        apply(&mut engine, &catalog, &mut profile, black_box(&leaves), 3);
    });
}

/// The way of an event and its message: enter, take, settle, leave, take, settle.
#[divan::bench]
fn enter_and_leave_with_outcomes(bencher: Bencher<'_, '_>) {
    let (catalog, mut engine) = (compiled(), Engine::new());
    let mut profile = profile(&mut engine, &catalog, 7);
    let events = [device::enters(7, TOGGLES[0]), device::leaves(7, TOGGLES[0])];
    let (id, namespace) = (DestinationId(TOGGLES[0].id), DataSourceId(COOKIES));
    let destination = catalog.destination(id).expect("the catalog has it");
    let mut seq = 1;
    bencher.bench_local(|| {
        for event in &events {
            seq += 1;
            let (_, effects) = engine.apply(
                moment(seq),
                &catalog,
                &mut profile,
                black_box(event),
                |_, _| false,
            );
            assert_eq!(effects.touched.len(), 1, "the destination is to be told");
            let flight = engine.take(NOW, destination, &profile, namespace, |object| {
                black_box(object);
            });
            let flight = flight.expect("there is something to tell");
            engine.settle(&mut profile, id, namespace, &flight, |_| true);
        }
    });
}
