//! Compiled catalog, profiles and moments for the benchmarks.

use std::path::Path;
use tidings_benches::{catalog, device};
use tidings_catalog::Source;
use tidings_engine::{CompiledCatalog, Engine, Moment, Profile};
use tidings_model::{Catalog, Event, Timestamp};

/// The time of all benchmarks: 2026-11-23T12:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_795_435_200);

/// The moment of the commit with this sequence number.
pub(crate) const fn moment(seq: u64) -> Moment {
    Moment {
        now: NOW,
        seq,
        epoch: 1,
    }
}

/// The shared catalog.
pub(crate) fn catalog() -> Catalog {
    let text = catalog::text(&["https://a.example".into(), "https://b.example".into()]);
    let source = Source {
        name: "catalog.yaml",
        text: &text,
        directory: Path::new("."),
    };
    let loaded = tidings_catalog::read(source, |_| None);
    loaded.expect("the catalog has no faults").catalog
}

/// The shared catalog, compiled.
pub(crate) fn compiled() -> CompiledCatalog {
    CompiledCatalog::compile(&catalog(), 1, tidings_engine::MappingChanges::default())
        .expect("the catalog compiles")
}

/// Applies an event when nothing is on its way.
pub(crate) fn apply(
    engine: &mut Engine,
    catalog: &CompiledCatalog,
    profile: &mut Profile,
    event: &Event,
    seq: u64,
) {
    engine.apply(moment(seq), catalog, profile, event, |_, _| false);
}

/// The profile of a device that is known: 20 traits, five segments, two ids.
pub(crate) fn profile(engine: &mut Engine, catalog: &CompiledCatalog, device: u64) -> Profile {
    let mut profile = Profile::default();
    for event in device::known(device, NOW) {
        apply(engine, catalog, &mut profile, &event, 1);
    }
    profile
}
