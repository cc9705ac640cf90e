//! What is true of every device, at each step of the writer: what partners may be told.
//!
//! The truth is read from the profiles that a step writes, and from the catalog in use: a segment
//! counts for a destination while it is at work and mapped on that day. So the truth changes with a
//! profile, with the catalog, and at midnight. A step that is lost in a crash takes its truth with it.

use std::collections::{BTreeMap, BTreeSet};
use tidings_engine::Profile;
use tidings_model::{Catalog, DestinationId, DeviceUuid, SegmentId, Status, Timestamp, UtcDay};

/// Segments of a destination, as partners are told them.
pub(crate) type Segments = BTreeSet<String>;

/// The states of every pair of destination and device, in order.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    states: BTreeMap<(DestinationId, DeviceUuid), Vec<State>>,
    /// The segments that each device is in, and the commit that this becomes durable with.
    devices: BTreeMap<DeviceUuid, (u64, BTreeSet<SegmentId>)>,
    /// The segments that count for each destination now.
    counting: BTreeMap<DestinationId, BTreeSet<SegmentId>>,
    /// When a segment began or ceased to count for a destination last.
    turned: BTreeMap<(DestinationId, SegmentId), u64>,
    day: Option<UtcDay>,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The commit that it becomes durable with.
    pub(crate) seq: u64,
    /// Since when it is so, in milliseconds.
    pub(crate) since: u64,
    /// The segments that the device is in and that count for the destination.
    pub(crate) segments: Segments,
    /// All segments that the device is in.
    pub(crate) members: Segments,
}

impl Truth {
    /// This is the catalog in use from now on, and this the clock.
    pub(crate) fn follow(&mut self, millis: u64, catalog: &Catalog, now: Timestamp) {
        self.day = Some(now.day());
        let before = std::mem::take(&mut self.counting);
        self.counting = catalog
            .destinations
            .iter()
            .map(|one| (one.id, counting(catalog, one.id, now.day())))
            .collect();
        let none = BTreeSet::new();
        let ids: BTreeSet<_> = before.keys().chain(self.counting.keys()).copied().collect();
        for to in ids {
            let (old, new) = (before.get(&to), self.counting.get(&to));
            let (old, new) = (old.unwrap_or(&none), new.unwrap_or(&none));
            for &segment in old.symmetric_difference(new) {
                self.turned.insert((to, segment), millis);
            }
            if old != new || !before.contains_key(&to) {
                for (uuid, (seq, members)) in &self.devices {
                    note(&mut self.states, (to, uuid), *seq, millis, members, new);
                }
            }
        }
    }

    /// The clock goes on.
    pub(crate) fn look(&mut self, millis: u64, catalog: &Catalog, now: Timestamp) {
        if self.day != Some(now.day()) {
            self.follow(millis, catalog, now);
        }
    }

    /// A step with this number writes this profile.
    pub(crate) fn write(&mut self, millis: u64, seq: u64, uuid: &DeviceUuid, profile: &Profile) {
        let members = members(profile);
        for (&to, counting) in &self.counting {
            note(
                &mut self.states,
                (to, uuid),
                seq,
                millis,
                &members,
                counting,
            );
        }
        self.devices.insert(uuid.clone(), (seq, members));
    }

    /// Steps after this one were lost; these profiles are left, and what is true of them by the catalog
    /// in use.
    pub(crate) fn forget_after(
        &mut self,
        millis: u64,
        seq: u64,
        profiles: &BTreeMap<DeviceUuid, Profile>,
    ) {
        for states in self.states.values_mut() {
            states.retain(|state| state.seq <= seq);
        }
        let kept = |(uuid, profile): (&DeviceUuid, _)| (uuid.clone(), (seq, members(profile)));
        self.devices = profiles.iter().map(kept).collect();
        for (&to, counting) in &self.counting {
            for (uuid, (seq, members)) in &self.devices {
                note(
                    &mut self.states,
                    (to, uuid),
                    *seq,
                    millis,
                    members,
                    counting,
                );
            }
        }
    }

    /// The states of a pair, in order.
    pub(crate) fn of(&self, to: DestinationId, uuid: &DeviceUuid) -> &[State] {
        self.states
            .get(&(to, uuid.clone()))
            .map_or(&[][..], Vec::as_slice)
    }

    /// The segments of a destination that a device was in and that counted at this time.
    pub(crate) fn at(&self, to: DestinationId, uuid: &DeviceUuid, millis: u64) -> Segments {
        let states = self.of(to, uuid).iter();
        let mut until = states.rev().skip_while(|state| state.since > millis);
        let state = until.next();
        state.map_or_else(Segments::new, |state| state.segments.clone())
    }

    /// Whether a segment counts for a destination, and did so without a break since then: otherwise
    /// its members may have left without a word.
    pub(crate) fn counts_since(&self, to: DestinationId, segment: SegmentId, millis: u64) -> bool {
        let counts = self.counting.get(&to);
        let turned = self.turned.get(&(to, segment));
        counts.is_some_and(|counting| counting.contains(&segment))
            && turned.is_none_or(|turned| *turned <= millis)
    }

    /// Whether a destination is in the catalog in use.
    pub(crate) fn has(&self, to: DestinationId) -> bool {
        self.counting.contains_key(&to)
    }
}

fn note(
    states: &mut BTreeMap<(DestinationId, DeviceUuid), Vec<State>>,
    (to, uuid): (DestinationId, &DeviceUuid),
    seq: u64,
    since: u64,
    members: &BTreeSet<SegmentId>,
    counting: &BTreeSet<SegmentId>,
) {
    let state = State {
        seq,
        since,
        segments: members
            .intersection(counting)
            .map(ToString::to_string)
            .collect(),
        members: members.iter().map(ToString::to_string).collect(),
    };
    let states = states.entry((to, uuid.clone())).or_default();
    let is_news = |last: &State| last.segments != state.segments || last.members != state.members;
    if states.last().is_none_or(is_news) {
        states.push(state);
    }
}

/// The segments that a device is in.
pub(crate) fn members(profile: &Profile) -> BTreeSet<SegmentId> {
    profile.segments.iter().map(|state| state.id).collect()
}

/// The segments that count for a destination on a day.
fn counting(catalog: &Catalog, to: DestinationId, day: UtcDay) -> BTreeSet<SegmentId> {
    let mut destinations = catalog.destinations.iter();
    let destination = destinations.find(|one| one.id == to);
    let mappings = destination.into_iter().flat_map(|one| &one.mappings);
    let is_on = |start: Option<UtcDay>, end: Option<UtcDay>| {
        start.is_none_or(|start| start <= day) && end.is_none_or(|end| day < end)
    };
    let mapped = mappings.filter(|one| is_on(one.start, one.end));
    let is_active = |id: &SegmentId| {
        let mut segments = catalog.segments.iter();
        segments.any(|one| one.id == *id && one.status == Status::Active)
    };
    mapped.map(|one| one.segment).filter(is_active).collect()
}
