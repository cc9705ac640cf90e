//! The send rules: which destinations must be told after a change, and which zeros they are owed.
//!
//! - R1, a segment was entered: every destination mapped to any segment the device is in;
//! - R2, a segment was left: those, and every destination that is owed a zero;
//! - R3, a mapping was changed of a segment that the device is in or that a zero is owed of: as R2,
//!   when the device is seen next;
//! - R4, an id was linked that the device did not have: the destinations of its namespace;
//! - R5, nothing was sent for three days: as R1, when the device is seen next.
//!
//! A destination is told only about its own segments, so one without anything to tell is not
//! touched. Being seen without a change sends nothing. A destination may want what time alone
//! changes to wait ([`Unsegment`]).

use crate::{
    CompiledCatalog, CompiledDestination, Effects, Engine, Moment, Part, Profile, Touched,
    apply::{insert_sorted, remove_sorted},
    batch,
    profile::{BatchState, DestinationState, IdKey, OwedZero, Pending, ProfileId},
    time,
};
use smallvec::SmallVec;
use tidings_model::{
    AuthState, DataSourceId, DestinationId, SegmentId, Status, Timestamp, Unsegment, Unsynced,
    limits, planted,
};

/// Seconds without any send after which a sighting sends everything again.
pub(crate) const REFRESH_SECONDS: i64 = 72 * 3600;

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
                state.owed.retain(|zero| {
                    let is_other = planted!(ZerosLostOnEntering, false, zero.segment != segment);
                    planted!(ZeroKeptOnRequalifying, true, is_other)
                });
            }
        }
        for &segment in self.left() {
            owe_zeros(catalog, profile, segment, &in_flight);
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

    /// Puts a pair back into the pending set because someone asked for it: its partner is told the
    /// whole state, in every namespace that has any.
    ///
    /// `in_flight` is as for [`Engine::apply`]. Everything it entails is in the returned effects until the
    /// next call; nothing when there is nothing to tell now, or the destination is not in the catalog.
    pub fn resend(
        &mut self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        destination: DestinationId,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) -> &Effects {
        self.clear();
        self.assume_told_by_earlier_run(moment, catalog, profile);
        if let Some(destination) = catalog.destination(destination) {
            let last_sent = profile.last_sent;
            self.touch(moment, destination, profile);
            // The other destinations are not told: their three days go on.
            profile.last_sent = last_sent;
        }
        self.mark_batches(moment, catalog, profile, in_flight);
        &self.effects
    }

    /// Fills `self.destinations` with the indices of the destinations that a send rule names.
    fn collect_destinations(
        &mut self,
        cause: Cause,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
    ) {
        self.destinations.clear();
        let changed = !self.entered().is_empty() || !self.left().is_empty();
        let seen = cause == Cause::Seen;
        let resend = seen && std::mem::take(&mut profile.resend);
        let refresh = seen
            && profile.last_sent.is_some_and(|sent| {
                let after = planted!(RefreshAt71Hours, 71 * 3600, REFRESH_SECONDS);
                moment.now.seconds_since(sent) >= after
            });
        let all = changed || resend || refresh;
        // Someone who asks to be forgotten is not seen again: what waits for that goes out now.
        let waits = |state: &DestinationState| match cause {
            Cause::Seen => state.when_seen,
            Cause::Asked => state.when_seen || !state.owed.is_empty(),
            Cause::Time => false,
        };
        let waiting = profile.destinations.iter().any(waits);
        if !all && !waiting && self.new_namespaces().is_empty() {
            return;
        }
        let mut indices = std::mem::take(&mut self.destinations);
        for state in &profile.segments {
            for &index in catalog.mapped(state.id) {
                let named = catalog.destination_at(index).is_some_and(|destination| {
                    let mut new = self.new_namespaces().iter();
                    (all || new.any(|&new| destination.tells_in(new)))
                        && destination.delivers(state.id, moment.now)
                });
                if named {
                    indices.push(index);
                }
            }
        }
        if !self.left().is_empty() || resend {
            // All zeros are told along, also those that a destination wanted to wait, or that waited
            // for their mapping.
            indices.extend(owed_now(catalog, profile, moment.now));
        }
        if waiting {
            for state in &mut profile.destinations {
                if waits(state) {
                    state.when_seen = false;
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
        let mut parts_pending: SmallVec<_> = profile
            .destination(destination.id)
            .and_then(|state| state.pending.as_ref())
            .map_or_else(SmallVec::new, |pending| pending.parts.clone());
        let first = self.effects.parts.len();
        let mut anything = false;
        // A part that was pending before may be on its way, so it ends only by being taken.
        let gone = parts_pending
            .iter()
            .filter(|&&namespace| !destination.tells_in(namespace));
        for &namespace in destination.namespaces.iter().chain(gone) {
            let objects = count_objects(destination, profile, namespace, moment.now);
            anything |= objects > 0;
            if objects > 0 || parts_pending.binary_search(&namespace).is_ok() {
                let objects = objects.max(1);
                self.effects.parts.push(Part { namespace, objects });
            }
        }
        if !anything {
            self.effects.parts.truncate(first);
            return;
        }
        let parts = first..self.effects.parts.len();
        for part in self.effects.parts.get(parts.clone()).unwrap_or_default() {
            insert_sorted(&mut parts_pending, part.namespace);
        }
        let state = profile.destination_mut(destination.id);
        let since = state
            .pending
            .as_ref()
            .map_or(moment.now, |pending| pending.since);
        let newly = state.pending.is_none();
        state.pending = Some(Pending {
            seq: moment.seq,
            since,
            epoch: moment.epoch,
            parts: parts_pending,
        });
        if destination.status == Status::Active {
            // What a paused destination will be told one day is no refresh of the others.
            profile.last_sent = Some(moment.now);
        }
        let touched = &mut self.effects.touched;
        match touched.binary_search_by_key(&destination.id, |touched| touched.destination) {
            // A device that comes back after too long leaves by time first; this is the newer state.
            Ok(at) => {
                if let Some(earlier) = touched.get_mut(at) {
                    earlier.parts = parts;
                }
            }
            Err(at) => {
                let new = Touched {
                    destination: destination.id,
                    parts,
                    since,
                    newly,
                };
                touched.insert(at, new);
            }
        }
    }
}

/// Indices of the destinations that are owed a zero of a segment that they may be told of now.
fn owed_now(
    catalog: &CompiledCatalog,
    profile: &Profile,
    now: Timestamp,
) -> impl Iterator<Item = u32> {
    profile.destinations.iter().filter_map(move |state| {
        let destination = catalog.destination(state.id)?;
        let mut owed = state.owed.iter();
        owed.any(|zero| destination.delivers(zero.segment, now))
            .then(|| catalog.destination_index(state.id))?
    })
}

impl Engine {
    /// A pair that an earlier run of the process left pending may have been sent by it without the
    /// outcome being recorded, so what it may have told is taken as told. Also to be called before an
    /// outcome is recorded or a pair is cleared: what a message tells now may be less than what the
    /// earlier run told.
    pub fn assume_told_by_earlier_run(
        &self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
    ) {
        #[cfg(planted)]
        if planted::is(planted::Planted::EarlierRunForgotten) {
            return;
        }
        for index in 0..profile.destinations.len() {
            let Some(state) = profile.destinations.get(index) else {
                return;
            };
            let Some(destination) = catalog.destination(state.id) else {
                continue;
            };
            batch::assume_told(moment, catalog, destination, profile);
            let Some(state) = profile.destinations.get(index) else {
                return;
            };
            let earlier = state.pending.as_ref();
            let Some(earlier) = earlier.filter(|pending| pending.epoch != moment.epoch) else {
                continue;
            };
            let told = once_ones(moment, catalog, destination, profile, earlier.epoch);
            let told: Vec<_> = told.collect();
            let ids: Vec<_> = if told.is_empty() {
                Vec::new()
            } else {
                // Where nothing waited, nothing was on its way.
                let waited = |id: &&ProfileId| earlier.parts.binary_search(&id.data_source).is_ok();
                let ids = told_under(destination, profile).filter(waited);
                ids.map(|id| id.key).collect()
            };
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
}

/// Before links change: a message on its way, whose outcome may never be known, was built from the
/// links as they are.
pub(crate) fn assume_told_by_earlier_links(
    catalog: &CompiledCatalog,
    profile: &mut Profile,
    in_flight: impl Fn(DestinationId, SegmentId) -> bool,
) {
    for index in 0..profile.destinations.len() {
        let Some(state) = profile.destinations.get(index) else {
            return;
        };
        if let Some(destination) = catalog.destination(state.id) {
            assume_told_by_flight(destination, profile, &in_flight);
        }
    }
}

/// Takes what is on its way to the destination as told, before it is forgotten what may have been.
pub(crate) fn assume_told_by_flight(
    destination: &CompiledDestination,
    profile: &mut Profile,
    in_flight: impl Fn(DestinationId, SegmentId) -> bool,
) {
    let known = profile.destination(destination.id);
    let owed = known.map_or(&[][..], |state| &state.owed);
    let left = owed.iter().map(|zero| zero.segment);
    let ones = profile.segments.iter().map(|segment| segment.id);
    let on_its_way = ones
        .chain(left)
        .filter(|&segment| in_flight(destination.id, segment));
    let told: Vec<_> = on_its_way.collect();
    if told.is_empty() {
        return;
    }
    let ids: Vec<_> = told_under(destination, profile).map(|id| id.key).collect();
    let state = profile.destination_mut(destination.id);
    for segment in told {
        insert_sorted(&mut state.told, segment);
    }
    for id in ids {
        insert_sorted(&mut state.told_ids, id);
    }
}

/// The ids that ones are told under now.
fn told_under<'a>(
    destination: &'a CompiledDestination,
    profile: &'a Profile,
) -> impl Iterator<Item = &'a ProfileId> {
    let ids = profile.ids.iter();
    ids.filter(|id| destination.tells_in(id.data_source) && gets_ones(destination, profile, id))
}

/// Owes a Status 0 of `segment` to every destination that may have been told a 1, under every id
/// that is linked now and every id that ever got a 1. A segment that is paused, or not mapped now,
/// is not told, not even the zero, which then waits for the mapping.
fn owe_zeros(
    catalog: &CompiledCatalog,
    profile: &mut Profile,
    segment: SegmentId,
    in_flight: impl Fn(DestinationId, SegmentId) -> bool,
) {
    let ids = &profile.ids;
    for state in &mut profile.destinations {
        let told = state.told.binary_search(&segment).is_ok();
        let on_its_way = in_flight(state.id, segment);
        if !told && !on_its_way {
            continue;
        }
        let Some(destination) = catalog.destination(state.id) else {
            remove_sorted(&mut state.told, &segment);
            continue;
        };
        if !destination.supports_unsegment {
            // It cannot be told: to it the device stays in.
            remove_sorted(&mut state.told, &segment);
            continue;
        }
        insert_sorted(&mut state.told, segment);
        // Nobody is linked to the blank id, but the 1 on its way may be under it.
        let blank_counts =
            on_its_way && destination.unsynced == Unsynced::Blank && !is_synced(destination, ids);
        for id in ids {
            let blank = blank_counts && is_blank_of(destination, id);
            let linked = id.linked && destination.tells_in(id.data_source);
            if blank || linked || state.told_ids.binary_search(&id.key).is_ok() {
                let id = id.key;
                insert_sorted(&mut state.owed, OwedZero { segment, id });
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

/// The segments that the device is in and the destination may have been told about since it entered
/// them, in this earlier run of the process or one after it, ascending. Of what the run under way told, the
/// outcomes are known or come yet.
pub(crate) fn once_ones(
    moment: Moment,
    catalog: &CompiledCatalog,
    destination: &CompiledDestination,
    profile: &Profile,
    run: u32,
) -> impl Iterator<Item = SegmentId> {
    let (runs, past) = (run..moment.epoch, catalog.past_mappings());
    let segments = profile.segments.iter();
    let told = segments.filter(move |state| {
        let pair = (destination.id, state.id);
        past.may_have_told(pair, state.since, &runs, moment.now)
    });
    told.map(|state| state.id)
}

/// Whether this id is told what the device is in: the newest links of its namespace are, and the
/// blank id while the device has no other.
pub(crate) fn gets_ones(
    destination: &CompiledDestination,
    profile: &Profile,
    id: &ProfileId,
) -> bool {
    if id.id.is_empty() {
        return destination.unsynced == Unsynced::Blank
            && is_blank_of(destination, id)
            && !is_synced(destination, &profile.ids);
    }
    // Of two links made at the same instant the one declared later has the higher key, as a rule.
    let newer = profile.ids.iter().filter(|other| {
        other.linked
            && other.data_source == id.data_source
            && planted!(
                OnesToTheOldest,
                (other.linked_at, other.key) < (id.linked_at, id.key),
                (other.linked_at, other.key) > (id.linked_at, id.key)
            )
    });
    id.linked && newer.count() < destination.max_mappings
}

/// Whether this is the entry that stands for "no id of the partner's" at this destination: the one
/// of its first namespace. Another destination may have put one into another namespace of this one.
pub(crate) fn is_blank_of(destination: &CompiledDestination, id: &ProfileId) -> bool {
    id.id.is_empty() && destination.namespaces.first() == Some(&id.data_source)
}

pub(crate) fn is_synced(destination: &CompiledDestination, ids: &[ProfileId]) -> bool {
    ids.iter()
        .any(|id| id.linked && destination.tells_in(id.data_source))
}

/// A destination that is told about devices it has no id for gets an entry with an empty id.
pub(crate) fn ensure_blank_id(
    destination: &CompiledDestination,
    profile: &mut Profile,
    now: Timestamp,
) {
    if destination.unsynced != Unsynced::Blank || is_synced(destination, &profile.ids) {
        return;
    }
    let Some(&namespace) = destination.namespaces.first() else {
        return;
    };
    // A profile full of links keeps them.
    let full = profile.ids.len() >= limits::PROFILE_IDS_MAX;
    let full_of_links = full && profile.ids.iter().all(|id| id.linked);
    if !full_of_links && profile.id_key(namespace, "").is_none() {
        let (state, unlinked) = (AuthState::Unknown, &mut Vec::new());
        profile.add_id(namespace, "", state, now, false, unlinked);
    }
}

/// User objects that the device would be in a message to the destination in this namespace.
pub(crate) fn count_objects(
    destination: &CompiledDestination,
    profile: &Profile,
    namespace: DataSourceId,
    now: Timestamp,
) -> u16 {
    if !destination.tells_in(namespace) {
        return 0;
    }
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
                || owes(owed, id.key).any(|zero| zero_tells(destination, profile, zero, now))
        })
        .count();
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Whether a Status 0 of the segment says anything to an id that is told no ones: a text that stands
/// for several segments stays 1 while the device is in any of them.
pub(crate) fn zero_tells(
    destination: &CompiledDestination,
    profile: &Profile,
    segment: SegmentId,
    now: Timestamp,
) -> bool {
    if !destination.shared_values {
        return destination.delivers(segment, now);
    }
    destination.deliverable(segment, now).any(|mapping| {
        let still_1 = ones(destination, profile, now)
            .flat_map(|one| destination.deliverable(one, now))
            .any(|other| other.has_text_of(mapping));
        !still_1
    })
}

/// The zeros owed under one id, ascending.
pub(crate) fn owes(owed: &[OwedZero], id: IdKey) -> impl Iterator<Item = SegmentId> {
    owed.iter()
        .filter(move |zero| zero.id == id)
        .map(|zero| zero.segment)
}

impl DestinationState {
    /// Whether the id must be kept for this destination: it was told something under it, owes it a
    /// zero, or may have a message on its way to it. The blank id waits for the batch as well.
    pub(crate) fn refers_to(&self, id: &ProfileId) -> bool {
        self.told_ids.binary_search(&id.key).is_ok()
            || self.owed.iter().any(|zero| zero.id == id.key)
            || id.id.is_empty() && self.batch.marked.is_some()
            || self
                .pending
                .as_ref()
                .is_some_and(|pending| pending.parts.binary_search(&id.data_source).is_ok())
    }
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

    /// Whether the device was unseen for so long that it is about to leave everything.
    #[must_use]
    pub fn is_idle(&self, catalog: &CompiledCatalog, now: Timestamp) -> bool {
        !self.segments.is_empty() && time::is_unseen(catalog, self, now)
    }

    /// Whether the destination is owed a Status 0 in this namespace.
    #[must_use]
    pub fn owes_in(&self, destination: DestinationId, namespace: DataSourceId) -> bool {
        let owed = self
            .destination(destination)
            .map_or(&[][..], |state| &state.owed);
        owed.iter().any(|zero| {
            let at = self.ids.binary_search_by_key(&zero.id, |id| id.key);
            let id = at.ok().and_then(|at| self.ids.get(at));
            id.is_some_and(|id| id.data_source == namespace)
        })
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
                    told: SmallVec::new(),
                    told_ids: SmallVec::new(),
                    owed: SmallVec::new(),
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

    /// Notes that a message of the touch `seq` was dropped in one of several namespaces.
    pub fn note_dropped(&mut self, id: DestinationId, seq: u64) {
        match self.dropped.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => {
                if let Some((_, last)) = self.dropped.get_mut(at) {
                    *last = seq.max(*last);
                }
            }
            Err(at) => self.dropped.insert(at, (id, seq)),
        }
    }

    /// Whether a message of the touch `seq`, or of a later one, was dropped.
    #[must_use]
    pub fn is_dropped_since(&self, id: DestinationId, seq: u64) -> bool {
        let mut dropped = self.dropped.iter();
        dropped.any(|&(other, last)| other == id && last >= seq)
    }

    /// Notes whether the pair is listed as undelivered; true if that changed.
    pub fn set_undelivered(&mut self, id: DestinationId, undelivered: bool) -> bool {
        let was = self.destination(id).is_some_and(|state| state.undelivered);
        if was != undelivered {
            self.destination_mut(id).undelivered = undelivered;
            self.tidy();
        }
        was != undelivered
    }

    /// Forgets all about a destination that is gone; true if there was anything.
    pub fn forget_destination(&mut self, id: DestinationId) -> bool {
        let before = self.destinations.len();
        self.destinations.retain(|state| state.id != id);
        let changed = self.destinations.len() != before;
        if changed {
            self.tidy();
        }
        changed
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
            // Under an id that is gone the partner knows of nothing that is still true, whatever the
            // next batch is going to tell it under others.
            let batched = &state.batch.baselines;
            if state.told.is_empty() && state.pending.is_none() && batched.is_empty() {
                state.told_ids.retain(|key| is_linked(key));
            }
        }
        let destinations = &self.destinations;
        self.dropped.retain(|&(id, _)| {
            let mut listed = destinations.iter().filter(|state| state.undelivered);
            listed.any(|state| state.id == id)
        });
        self.destinations.retain(|state| {
            state.pending.is_some()
                || state.undelivered
                || state.when_seen
                || !state.told.is_empty()
                || !state.told_ids.is_empty()
                || !state.owed.is_empty()
                || !state.batch.is_empty()
        });
        if self.ids.iter().all(|id| id.linked) {
            return;
        }
        let destinations = &self.destinations;
        self.ids
            .retain(|id| id.linked || destinations.iter().any(|state| state.refers_to(id)));
    }
}

#[cfg(test)]
mod export_tests;
#[cfg(test)]
mod past_tests;
#[cfg(test)]
mod tests;
