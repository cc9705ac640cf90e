//! The send rules: which destinations must be told after a change, and which zeros they are owed.
//!
//! - R1, a segment was entered: every destination mapped to any segment the device is in;
//! - R2, a segment was left: those, and every destination that was told about the lost segment;
//! - R3, a mapping of a segment the device is in was changed: as R1, when the device is seen next;
//! - R4, an id was linked that the device did not have: the destinations of its namespace;
//! - R5, nothing was sent for three days: as R1, when the device is seen next.
//!
//! A destination is told only about its own segments, so one without anything to tell is not
//! touched. Being seen without a change sends nothing. A destination may want what time alone
//! changes to wait ([`Unsegment`]).

use crate::{
    CompiledCatalog, CompiledDestination, Engine, Moment, Part, Profile, Touched,
    apply::{insert_sorted, remove_sorted},
    batch,
    profile::{BatchState, DestinationState, IdKey, OwedZero, Pending, ProfileId},
};
use tidings_model::{
    AuthState, DataSourceId, DestinationId, SegmentId, Timestamp, Unsegment, Unsynced, limits,
};

/// Seconds without any send after which a sighting sends everything again.
const REFRESH_SECONDS: i64 = 72 * 3600;

/// What made the engine look at a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The device was seen.
    Seen,
    /// Someone asked for the device to leave everything.
    Asked,
    /// Time passed, or the catalog changed.
    Time,
}

impl Engine {
    /// Applies the send rules to what the evaluation found.
    pub(crate) fn send(
        &mut self,
        cause: Cause,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) {
        self.report_changes();
        for &segment in self.entered() {
            // The device is in again: a zero would not be true any more.
            for state in &mut profile.destinations {
                state.owed.retain(|zero| zero.segment != segment);
            }
        }
        for &segment in self.left() {
            owe_zeros(catalog, profile, segment, moment.now, &in_flight);
        }
        self.collect_destinations(cause, moment, catalog, profile);
        let destinations = std::mem::take(&mut self.destinations);
        for &index in &destinations {
            let Some(destination) = catalog.destination_at(index) else {
                continue;
            };
            match (cause, destination.unsegment) {
                (Cause::Seen | Cause::Asked, _) | (Cause::Time, Unsegment::Immediate) => {
                    self.touch(moment, destination, profile);
                }
                // What is owed stays owed: it goes with whatever is told next.
                (Cause::Time, Unsegment::Batch) => {}
                (Cause::Time, Unsegment::WhenSeen) => {
                    profile.destination_mut(destination.id).when_seen = true;
                }
            }
        }
        self.destinations = destinations;
    }

    /// Fills `self.destinations` with the indices of the destinations that a send rule names.
    fn collect_destinations(
        &mut self,
        cause: Cause,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
    ) {
        let changed = !self.entered().is_empty() || !self.left().is_empty();
        let seen = cause == Cause::Seen;
        let resend = seen && std::mem::take(&mut profile.resend);
        let refresh = seen
            && profile
                .last_sent
                .is_some_and(|sent| moment.now.seconds_since(sent) >= REFRESH_SECONDS);
        let all = changed || resend || refresh;
        let waiting = seen && profile.destinations.iter().any(|state| state.when_seen);
        if !all && !waiting && self.new_namespaces().is_empty() {
            return;
        }
        let mut indices = std::mem::take(&mut self.destinations);
        for state in &profile.segments {
            for &index in catalog.mapped(state.id) {
                let named = all
                    || catalog.destination_at(index).is_some_and(|destination| {
                        self.new_namespaces()
                            .iter()
                            .any(|&new| destination.tells_in(new))
                    });
                if named {
                    indices.push(index);
                }
            }
        }
        for &segment in self.left() {
            indices.extend(catalog.mapped(segment));
        }
        if waiting {
            for state in &mut profile.destinations {
                if std::mem::take(&mut state.when_seen) {
                    indices.extend(catalog.destination_index(state.id));
                }
            }
        }
        indices.sort_unstable();
        indices.dedup();
        self.destinations = indices;
    }

    /// Puts the pair into the pending set if there is anything to tell.
    fn touch(&mut self, moment: Moment, destination: &CompiledDestination, profile: &mut Profile) {
        ensure_blank_id(destination, profile, moment.now);
        let first = self.effects.parts.len();
        for &namespace in &destination.namespaces {
            let objects = count_objects(destination, profile, namespace, moment.now);
            if objects > 0 {
                self.effects.parts.push(Part { namespace, objects });
            }
        }
        let parts = first..self.effects.parts.len();
        let Some(waiting) = self.effects.parts.get(parts.clone()) else {
            return;
        };
        if waiting.is_empty() {
            return;
        }
        let mut namespaces: Vec<_> = waiting.iter().map(|part| part.namespace).collect();
        namespaces.sort_unstable();
        let state = profile.destination_mut(destination.id);
        let since = state
            .pending
            .as_ref()
            .map_or(moment.now, |pending| pending.since);
        let newly = state.pending.is_none();
        let epoch = moment.epoch;
        state.pending = Some(Pending {
            seq: moment.seq,
            since,
            epoch,
            parts: namespaces,
        });
        profile.last_sent = Some(moment.now);
        self.effects.touched.push(Touched {
            destination: destination.id,
            parts,
            since,
            newly,
        });
    }
}

/// A pair that an earlier run of the process left pending may have been sent by it without the
/// outcome being recorded, so what it would have told is taken as told.
pub(crate) fn assume_told_by_earlier_run(
    moment: Moment,
    catalog: &CompiledCatalog,
    profile: &mut Profile,
) {
    for index in 0..profile.destinations.len() {
        let Some(state) = profile.destinations.get(index) else {
            return;
        };
        let earlier = state
            .pending
            .as_ref()
            .is_some_and(|pending| pending.epoch != moment.epoch);
        let marked = state.batch.marked.is_some_and(|run| run != moment.epoch);
        let Some(destination) = catalog.destination(state.id) else {
            continue;
        };
        if marked {
            batch::assume_told(moment, destination, profile);
        }
        if !earlier {
            continue;
        }
        let told: Vec<_> = ones(destination, profile, moment.now).collect();
        let ids: Vec<_> = destination
            .namespaces
            .iter()
            .flat_map(|&namespace| {
                profile
                    .ids
                    .iter()
                    .filter(move |id| id.data_source == namespace)
                    .filter(|id| gets_ones(destination, profile, id))
                    .map(|id| id.key)
            })
            .collect();
        let Some(state) = profile.destinations.get_mut(index) else {
            return;
        };
        for segment in told {
            insert_sorted(&mut state.told, segment);
        }
        for id in ids {
            insert_sorted(&mut state.told_ids, id);
        }
        if let Some(pending) = &mut state.pending {
            pending.epoch = moment.epoch;
        }
    }
}

/// Owes a Status 0 of `segment` to every destination that may have been told a 1, under every id
/// that is linked now and every id that ever got a 1.
fn owe_zeros(
    catalog: &CompiledCatalog,
    profile: &mut Profile,
    segment: SegmentId,
    now: Timestamp,
    in_flight: impl Fn(DestinationId, SegmentId) -> bool,
) {
    for &index in catalog.mapped(segment) {
        let Some(destination) = catalog.destination_at(index) else {
            continue;
        };
        let Ok(at) = profile
            .destinations
            .binary_search_by_key(&destination.id, |state| state.id)
        else {
            continue;
        };
        let blank_counts =
            destination.unsynced == Unsynced::Blank && !is_synced(destination, profile);
        let ids = &profile.ids;
        let Some(state) = profile.destinations.get_mut(at) else {
            continue;
        };
        let told = state.told.binary_search(&segment).is_ok();
        if !told && !in_flight(destination.id, segment) {
            continue;
        }
        if !destination.delivers(segment, now) {
            // Neither a paused segment nor a mapping outside its dates sends anything, not even
            // the zero.
            remove_sorted(&mut state.told, &segment);
            continue;
        }
        insert_sorted(&mut state.told, segment);
        for id in ids {
            let linked = id.linked && destination.tells_in(id.data_source);
            // The blank id counts as linked while there is no other.
            let blank = blank_counts && is_blank(id) && destination.tells_in(id.data_source);
            if linked || blank || state.told_ids.binary_search(&id.key).is_ok() {
                insert_sorted(
                    &mut state.owed,
                    OwedZero {
                        segment,
                        id: id.key,
                    },
                );
            }
        }
        if state.owed.iter().all(|zero| zero.segment != segment) {
            remove_sorted(&mut state.told, &segment);
        }
    }
}

/// The segments that the device is in and the destination is told about now, ascending.
pub(crate) fn ones(
    destination: &CompiledDestination,
    profile: &Profile,
    now: Timestamp,
) -> impl Iterator<Item = SegmentId> {
    let segments = profile.segments.iter().map(|state| state.id);
    segments.filter(move |&segment| destination.delivers(segment, now))
}

/// Whether this id is told what the device is in: the newest links of its namespace are, and the
/// blank id while the device has no other.
pub(crate) fn gets_ones(
    destination: &CompiledDestination,
    profile: &Profile,
    id: &ProfileId,
) -> bool {
    if is_blank(id) {
        return destination.unsynced == Unsynced::Blank && !is_synced(destination, profile);
    }
    // Of two links made at the same instant the one declared later has the higher key, as a rule.
    let newer = profile.ids.iter().filter(|other| {
        other.linked
            && other.data_source == id.data_source
            && (other.linked_at, other.key) > (id.linked_at, id.key)
    });
    id.linked && newer.count() < destination.max_mappings
}

/// The entry that stands for "no id of the partner's".
pub(crate) fn is_blank(id: &ProfileId) -> bool {
    id.id.is_empty()
}

pub(crate) fn is_synced(destination: &CompiledDestination, profile: &Profile) -> bool {
    profile
        .ids
        .iter()
        .any(|id| id.linked && destination.tells_in(id.data_source))
}

/// A destination that is told about devices it has no id for gets an entry with an empty id.
pub(crate) fn ensure_blank_id(
    destination: &CompiledDestination,
    profile: &mut Profile,
    now: Timestamp,
) {
    if destination.unsynced != Unsynced::Blank || is_synced(destination, profile) {
        return;
    }
    let Some(&namespace) = destination.namespaces.first() else {
        return;
    };
    if profile.id_key(namespace, "").is_none() {
        profile.add_id(namespace, "", AuthState::Unknown, now, false);
    }
}

/// User objects that the device would be in a message to the destination in this namespace.
pub(crate) fn count_objects(
    destination: &CompiledDestination,
    profile: &Profile,
    namespace: DataSourceId,
    now: Timestamp,
) -> u16 {
    let has_ones = ones(destination, profile, now).next().is_some();
    let owed = profile
        .destination(destination.id)
        .map_or(&[][..], |state| &state.owed);
    let count = profile
        .ids
        .iter()
        .filter(|id| id.data_source == namespace)
        .filter(|id| {
            has_ones && gets_ones(destination, profile, id)
                || owes(owed, id.key).any(|segment| destination.delivers(segment, now))
        })
        .count();
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// The zeros owed under one id, ascending.
pub(crate) fn owes(owed: &[OwedZero], id: IdKey) -> impl Iterator<Item = SegmentId> {
    owed.iter()
        .filter(move |zero| zero.id == id)
        .map(|zero| zero.segment)
}

impl Profile {
    /// What one destination was told and is owed.
    #[must_use]
    pub fn destination(&self, id: DestinationId) -> Option<&DestinationState> {
        let at = self
            .destinations
            .binary_search_by_key(&id, |state| state.id)
            .ok()?;
        self.destinations.get(at)
    }

    pub(crate) fn destination_mut(&mut self, id: DestinationId) -> &mut DestinationState {
        let at = match self
            .destinations
            .binary_search_by_key(&id, |state| state.id)
        {
            Ok(at) => at,
            Err(at) => {
                let empty = DestinationState {
                    id,
                    told: Vec::new(),
                    told_ids: Vec::new(),
                    owed: Vec::new(),
                    undelivered: false,
                    when_seen: false,
                    pending: None,
                    batch: BatchState::default(),
                };
                self.destinations.insert(at, empty);
                at
            }
        };
        #[expect(clippy::indexing_slicing, reason = "found or inserted just above")]
        &mut self.destinations[at]
    }

    /// Notes whether the pair is listed as undelivered; true if that changed.
    pub fn set_undelivered(&mut self, id: DestinationId, undelivered: bool) -> bool {
        match self
            .destinations
            .binary_search_by_key(&id, |state| state.id)
        {
            Err(_) if !undelivered => false,
            _ => {
                let state = self.destination_mut(id);
                std::mem::replace(&mut state.undelivered, undelivered) != undelivered
            }
        }
    }

    /// Drops ids that are neither linked nor referred to, and destinations without any state.
    pub(crate) fn tidy(&mut self) {
        let ids = &self.ids;
        let is_linked = |key: &IdKey| {
            ids.binary_search_by_key(key, |id| id.key)
                .ok()
                .and_then(|at| ids.get(at))
                .is_some_and(|id| id.linked)
        };
        for state in &mut self.destinations {
            // Under an id that is gone the partner knows of nothing that is still true.
            if state.told.is_empty() && state.pending.is_none() && state.batch.is_empty() {
                state.told_ids.retain(is_linked);
            }
        }
        self.destinations.retain(|state| {
            state.pending.is_some()
                || state.undelivered
                || state.when_seen
                || !state.told.is_empty()
                || !state.told_ids.is_empty()
                || !state.owed.is_empty()
                || !state.batch.is_empty()
        });
        if self.ids.iter().all(|id| id.linked) || self.ids.len() > limits::PROFILE_IDS_MAX {
            return;
        }
        let destinations = &self.destinations;
        self.ids.retain(|id| {
            id.linked
                || destinations.iter().any(|state| {
                    state.pending.is_some()
                        || is_blank(id) && state.batch.marked.is_some()
                        || state.told_ids.contains(&id.key)
                        || state.owed.iter().any(|zero| zero.id == id.key)
                })
        });
    }
}
