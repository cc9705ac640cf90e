//! What is true of every device, at each step of the writer: what partners may be told.
//!
//! The truth is read from the profiles that a step writes. A step that is lost in a crash takes its
//! truth with it.

use std::collections::{BTreeMap, BTreeSet};
use tidings_engine::Profile;
use tidings_model::{Catalog, DestinationId, DeviceUuid};

/// Segments of a destination, as partners are told them.
pub(crate) type Segments = BTreeSet<String>;

/// The states of a pair of destination and device, in order.
#[derive(Debug, Default)]
pub(crate) struct Truth(BTreeMap<(DestinationId, DeviceUuid), Vec<State>>);

#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The commit that it becomes durable with.
    pub(crate) seq: u64,
    /// The mapped segments that the device is in.
    pub(crate) segments: Segments,
}

/// The mapped segments of a destination that the device is in.
pub(crate) fn segments_of(catalog: &Catalog, to: DestinationId, profile: &Profile) -> Segments {
    let mapped = catalog.destinations.iter().find(|one| one.id == to);
    let mapped: Vec<_> = mapped
        .into_iter()
        .flat_map(|one| &one.mappings)
        .map(|mapping| mapping.segment)
        .collect();
    let segments = profile.segments.iter().map(|state| state.id);
    segments
        .filter(|segment| mapped.contains(segment))
        .map(|segment| segment.to_string())
        .collect()
}

impl Truth {
    /// A step with this number writes this profile.
    pub(crate) fn write(
        &mut self,
        catalog: &Catalog,
        seq: u64,
        uuid: &DeviceUuid,
        profile: &Profile,
    ) {
        for to in &catalog.destinations {
            let segments = segments_of(catalog, to.id, profile);
            let states = self.0.entry((to.id, uuid.clone())).or_default();
            if states.last().is_none_or(|last| last.segments != segments) {
                states.push(State { seq, segments });
            }
        }
    }

    /// Steps after this one were lost.
    pub(crate) fn forget_after(&mut self, seq: u64) {
        for states in self.0.values_mut() {
            states.retain(|state| state.seq <= seq);
        }
    }

    /// The states of a pair, in order.
    pub(crate) fn of(&self, to: DestinationId, uuid: &DeviceUuid) -> &[State] {
        self.0
            .get(&(to, uuid.clone()))
            .map_or(&[][..], Vec::as_slice)
    }
}
