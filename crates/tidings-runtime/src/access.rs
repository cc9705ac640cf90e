//! What is stored about a device, as JSON for the person who asks.
//!
//! Names are those of the catalog in use; what is gone from it has none. Not here: hashes of event ids
//! and how the service keeps its own order, which say nothing about a person.

use crate::core::ActiveCatalog;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tidings_engine::{DestinationState, Profile, TraitState};
use tidings_model::{DeviceUuid, SegmentId, Timestamp};

/// Everything that is known about a device.
#[must_use]
pub fn to_json(uuid: &DeviceUuid, catalog: &ActiveCatalog, profile: &Profile) -> Value {
    let catalog = &catalog.catalog;
    let traits = catalog.traits.iter().map(|t| (t.id, t.name.as_str()));
    let traits: BTreeMap<_, _> = traits.collect();
    let segments = catalog.segments.iter().map(|s| (s.id, s.name.as_str()));
    let segments: BTreeMap<_, _> = segments.collect();
    let partners = catalog.destinations.iter().map(|d| (d.id, d.name.as_str()));
    let partners: BTreeMap<_, _> = partners.collect();
    let ids = profile.ids.iter().map(|id| {
        json!({
            "data_source": id.data_source.0,
            "id": id.id,
            "linked": id.linked,
            "linked_at": id.linked_at.to_string(),
        })
    });
    let held = profile.traits.iter();
    let held = held.map(|state| trait_(state, traits.get(&state.id).copied()));
    let member = profile.segments.iter().map(|state| {
        let name = segments.get(&state.id);
        json!({ "id": state.id.0, "name": name, "since": state.since.to_string() })
    });
    let told = profile.destinations.iter();
    let told = told.map(|state| destination(state, partners.get(&state.id).copied()));
    let regions: Vec<_> = profile.regions.iter().map(|region| region.0).collect();
    json!({
        "uuid": uuid.to_string(),
        "opted_out": profile.opted_out,
        "last_seen": (profile.last_seen != Timestamp::default())
            .then(|| profile.last_seen.to_string()),
        "regions": regions,
        "ids": ids.collect::<Vec<_>>(),
        "traits": held.collect::<Vec<_>>(),
        "segments": member.collect::<Vec<_>>(),
        "destinations": told.collect::<Vec<_>>(),
    })
}

fn trait_(state: &TraitState, name: Option<&str>) -> Value {
    let days = state.days.iter();
    let recent: u64 = days.map(|day| u64::from(day.count)).sum();
    let days = state.days.iter();
    let days = days.map(|day| json!({ "day": day.day.to_string(), "count": day.count }));
    json!({
        "id": state.id.0,
        "name": name,
        "last_realised": state.last.to_string(),
        "count": u64::from(state.older) + recent,
        "days": days.collect::<Vec<_>>(),
    })
}

fn destination(state: &DestinationState, name: Option<&str>) -> Value {
    let numbers = |segments: &mut dyn Iterator<Item = SegmentId>| {
        let mut numbers: Vec<_> = segments.map(|segment| segment.0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    let in_batches = state.batch.baselines.iter();
    let in_batches = in_batches.flat_map(|baseline| &baseline.segments);
    json!({
        "id": state.id.0,
        "name": name,
        "told": numbers(&mut state.told.iter().copied()),
        "zeros_owed": numbers(&mut state.owed.iter().map(|zero| zero.segment)),
        "told_in_batches": numbers(&mut in_batches.copied()),
    })
}
