//! What one destination is told about one device, and what the outcome means.
//!
//! A message is built at the moment it is sent: [`Engine::take`] reads the profile as it is then.
//! Between `take` and [`Engine::settle`] the caller keeps the [`Flight`], which says what was told.

use crate::{
    CompiledCatalog, CompiledDestination, Engine, Profile,
    apply::{insert_sorted, remove_sorted},
    compiled::same_text,
    profile::{IdKey, OwedZero, ProfileId, SegmentIds},
    send,
};
use smallvec::SmallVec;
#[cfg(planted)]
use tidings_model::planted::{self, Planted};
use tidings_model::{DataSourceId, DestinationId, SegmentId, Timestamp};

/// One user object of a message: one device under one of its ids.
#[derive(Clone, Copy, Debug)]
pub struct UserObject<'a> {
    /// The partner's id; empty when it has none.
    pub id: &'a str,
    /// Segment states, Status 1 first, then 0, each ascending by segment; never empty.
    pub segments: &'a [SegmentEntry<'a>],
}

/// One segment state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEntry<'a> {
    /// The segment.
    pub segment: SegmentId,
    /// Text to send instead of the segment's id.
    pub value: Option<&'a str>,
    /// True for Status 1, false for Status 0.
    pub active: bool,
}

/// The segment states of one user object.
pub(crate) type Entries<'a> = SmallVec<[SegmentEntry<'a>; 8]>;

/// What a message on its way tells about one device in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flight {
    /// The touch that it answers.
    pub seq: u64,
    /// Segments told with Status 1, under whatever id.
    pub ones: SegmentIds,
    /// One per user object, in order.
    pub objects: SmallVec<[FlightObject; 1]>,
}

/// What a message on its way tells under one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlightObject {
    /// The id.
    pub id: IdKey,
    /// Whether it holds the flight's ones.
    pub ones: bool,
    /// Segments told with Status 0.
    pub zeros: SegmentIds,
}

/// What an outcome did to the pending set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Nothing is left to tell: the pair leaves the pending set.
    Cleared,
    /// Something is left: a later touch, another namespace, or a failure that is held.
    Pending,
}

impl Engine {
    /// Builds the user objects of one device for one destination and namespace from the profile as
    /// it is now and hands each to `emit`, newest id first.
    ///
    /// `None` when there is nothing to tell, or the pair is not pending in this namespace.
    pub fn take(
        &mut self,
        now: Timestamp,
        destination: &CompiledDestination,
        profile: &Profile,
        namespace: DataSourceId,
        mut emit: impl FnMut(UserObject<'_>),
    ) -> Option<Flight> {
        let state = profile.destination(destination.id)?;
        let pending = state.pending.as_ref()?;
        pending.parts.binary_search(&namespace).ok()?;
        if !destination.tells_in(namespace) {
            return None;
        }
        let ones: SegmentIds = send::ones(destination, profile, now).collect();
        let mut objects: SmallVec<[FlightObject; 1]> = SmallVec::new();
        let mut entries = Entries::new();
        for id in newest_ids(profile, namespace) {
            let gets_ones = !ones.is_empty() && send::gets_ones(destination, profile, id);
            let zeros: SegmentIds = send::owes(&state.owed, id.key)
                .filter(|&zero| {
                    destination.supports_unsegment
                        && destination.delivers(zero, now)
                        && (gets_ones || send::zero_tells(destination, profile, zero, now))
                })
                .collect();
            if !gets_ones && zeros.is_empty() {
                continue;
            }
            entries.clear();
            if gets_ones || destination.shared_values {
                push_entries(&mut entries, destination, &ones, true, now);
            }
            push_entries(&mut entries, destination, &zeros, false, now);
            if destination.shared_values {
                merge_shared_values(&mut entries);
                entries.retain(|entry| gets_ones || !entry.active);
            }
            emit(UserObject {
                id: &id.id,
                segments: &entries,
            });
            objects.push(FlightObject {
                id: id.key,
                ones: gets_ones,
                zeros,
            });
        }
        if objects.is_empty() {
            return None;
        }
        let told = objects.iter().any(|object| object.ones);
        Some(Flight {
            seq: pending.seq,
            ones: if told { ones } else { SegmentIds::new() },
            objects,
        })
    }

    /// Records the outcome of a flight. `acknowledged(n)` says whether the message that held its
    /// `n`-th object was answered with success; each was attempted at least once.
    pub fn settle(
        &mut self,
        profile: &mut Profile,
        destination: DestinationId,
        namespace: DataSourceId,
        flight: &Flight,
        acknowledged: impl Fn(usize) -> bool,
    ) -> Settled {
        let told = record_told(profile, destination, flight, acknowledged);
        tidings_model::planted!(BatchBaselineByMessage, {
            let state = profile.destination_mut(destination);
            state.batch.told(namespace, flight);
        });
        match told {
            None => Settled::Cleared,
            Some(true) => self.clear_part(profile, destination, namespace, flight.seq),
            Some(false) => Settled::Pending,
        }
    }

    /// Takes one namespace of a pair out of the pending set, unless it was touched after `seq`.
    pub fn clear_part(
        &mut self,
        profile: &mut Profile,
        destination: DestinationId,
        namespace: DataSourceId,
        seq: u64,
    ) -> Settled {
        let Ok(at) = profile
            .destinations
            .binary_search_by_key(&destination, |state| state.id)
        else {
            return Settled::Cleared;
        };
        let Some(state) = profile.destinations.get_mut(at) else {
            return Settled::Cleared;
        };
        let Some(pending) = &mut state.pending else {
            return Settled::Cleared;
        };
        #[cfg(planted)]
        let seq = if planted::is(Planted::TouchCleared) {
            pending.seq
        } else {
            seq
        };
        if pending.seq != seq {
            return Settled::Pending;
        }
        remove_sorted(&mut pending.parts, &namespace);
        if !pending.parts.is_empty() {
            return Settled::Pending;
        }
        state.pending = None;
        profile.tidy();
        Settled::Cleared
    }
}

impl CompiledCatalog {
    /// The namespaces in which the pair (destination, profile) waits to be told, with the number of
    /// user objects in each and the touch's sequence number. Empty when it is not pending.
    pub fn waiting<'a>(
        &'a self,
        profile: &'a Profile,
        destination: DestinationId,
        now: Timestamp,
    ) -> impl Iterator<Item = crate::Part> + 'a {
        let compiled = self.destination(destination);
        let pending = profile
            .destination(destination)
            .and_then(|state| state.pending.as_ref());
        let parts = pending.map_or(&[][..], |pending| &pending.parts);
        parts.iter().filter_map(move |&namespace| {
            let objects = send::count_objects(compiled?, profile, namespace, now);
            // A pair with nothing left to tell must still be taken once to be cleared.
            Some(crate::Part {
                namespace,
                objects: objects.max(1),
            })
        })
    }
}

/// Notes what a flight told: its ones may have reached the partner, and zeros that were acknowledged
/// are not owed any more. True when all of it was acknowledged, `None` when nothing is known about
/// the destination any more.
pub(crate) fn record_told(
    profile: &mut Profile,
    destination: DestinationId,
    flight: &Flight,
    acknowledged: impl Fn(usize) -> bool,
) -> Option<bool> {
    let segments = &profile.segments;
    let is_in = |id: &SegmentId| segments.binary_search_by_key(id, |state| state.id).is_ok();
    let at = profile
        .destinations
        .binary_search_by_key(&destination, |state| state.id)
        .ok()?;
    let state = profile.destinations.get_mut(at)?;
    // An id may have made room for others in the meantime.
    let ids = &profile.ids;
    let exists = |key: IdKey| ids.binary_search_by_key(&key, |id| id.key).is_ok();
    for object in &flight.objects {
        if object.ones && exists(object.id) {
            insert_sorted(&mut state.told_ids, object.id);
        }
    }
    for &segment in &flight.ones {
        let owed = state.owed.iter().any(|zero| zero.segment == segment);
        if owed || is_in(&segment) {
            insert_sorted(&mut state.told, segment);
        }
    }
    let mut all = true;
    for (index, object) in flight.objects.iter().enumerate() {
        if !acknowledged(index) {
            all = false;
            #[cfg(planted)]
            if !planted::is(Planted::ZeroClearedOnFailure) {
                continue;
            }
            #[cfg(not(planted))]
            continue;
        }
        for &segment in &object.zeros {
            remove_sorted(
                &mut state.owed,
                &OwedZero {
                    segment,
                    id: object.id,
                },
            );
            if state.owed.iter().all(|zero| zero.segment != segment) && !is_in(&segment) {
                remove_sorted(&mut state.told, &segment);
            }
        }
    }
    Some(all)
}

/// The ids of a namespace, linked ones first, the newest first.
pub(crate) fn newest_ids(profile: &Profile, namespace: DataSourceId) -> SmallVec<[&ProfileId; 8]> {
    let mut ids: SmallVec<[_; 8]> = profile
        .ids
        .iter()
        .filter(|id| id.data_source == namespace)
        .collect();
    ids.sort_by_key(|id| std::cmp::Reverse((id.linked, id.linked_at, id.key)));
    ids
}

pub(crate) fn push_entries<'a>(
    entries: &mut Entries<'a>,
    destination: &'a CompiledDestination,
    segments: &[SegmentId],
    active: bool,
    now: Timestamp,
) {
    for &segment in segments {
        for mapping in destination.deliverable(segment, now) {
            entries.push(SegmentEntry {
                segment,
                value: mapping.value.as_deref(),
                active,
            });
        }
    }
}

/// A `Segment_ID` appears once per user object: of several mappings that share a text, one entry
/// is kept, with Status 1 if any has it. Ones come first, so that is the first one.
pub(crate) fn merge_shared_values(entries: &mut Entries<'_>) {
    let mut kept = 0;
    for index in 0..entries.len() {
        let Some(&entry) = entries.get(index) else {
            break;
        };
        let earlier = entries.get(..kept).unwrap_or_default();
        if !earlier.iter().any(|other| same_value(other, &entry)) {
            entries.swap(kept, index);
            kept += 1;
        }
    }
    entries.truncate(kept);
}

/// Whether both are sent as the same `Segment_ID`.
pub(crate) fn same_value(a: &SegmentEntry<'_>, b: &SegmentEntry<'_>) -> bool {
    same_text((a.segment, a.value), (b.segment, b.value))
}

#[cfg(test)]
mod tests;
