//! The daily batch: what changed about a device since the last batch of a destination.
//!
//! The baseline is what the last batch told, not the last message: a change that was told in real
//! time is told again. Without a baseline every membership is a change. A batch also tells the zeros
//! that nothing else is about to tell, such as those that time made for a destination that wants them
//! with its batch.
//!
//! A pair of destination and device is *marked* while there is something of that to tell, so that a
//! batch reads the devices with changes and no others.
//!
//! Invariants:
//! - a baseline changes only by what was acknowledged in a batch, or by going away with the segment,
//!   the namespace or the last id that it was told under;
//! - what is not deliverable (a paused segment, a mapping outside its dates) is not sent, and stays in
//!   the baseline as it is.

use crate::{
    CompiledCatalog, CompiledDestination, Engine, Flight, FlightObject, Moment, Profile,
    UserObject,
    apply::{insert_sorted, remove_sorted},
    profile::{Baseline, BatchState, DestinationState, IdKey, OwedZero, ProfileId, SegmentIds},
    send,
    tell::{
        Entries, SegmentEntry, merge_shared_values, newest_ids, push_entries, record_told,
        same_value,
    },
};
use smallvec::SmallVec;
use tidings_model::{DataSourceId, DestinationId, SegmentId, Timestamp};

/// A pair of destination and device entered or left the set of changes since the last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMark {
    /// The destination.
    pub destination: DestinationId,
    /// Whether its next batch has something to tell about the device.
    pub marked: bool,
}

impl Engine {
    /// Marks every destination whose next batch has something to tell, and no other. `in_flight` is as
    /// for [`Engine::apply`].
    pub(crate) fn mark_batches(
        &mut self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) {
        let marks = &mut self.effects.batch_marks;
        for &index in catalog.batch_destinations() {
            if let Some(destination) = catalog.destination_at(index) {
                marks.extend(mark(moment, catalog, destination, profile, &in_flight));
            }
        }
        let batches = |id| catalog.destination(id).is_some_and(|d| d.batches);
        let states = profile.destinations.iter();
        let gone: SmallVec<[DestinationId; 1]> = states
            .filter(|state| !batches(state.id) && !state.batch.is_empty())
            .map(|state| state.id)
            .collect();
        for &id in &gone {
            if let Some(destination) = catalog.destination(id) {
                // The batch may be telling it.
                send::assume_told_by_flight(destination, profile, &in_flight);
            }
            let state = profile.destination_mut(id);
            if std::mem::take(&mut state.batch).marked.is_some() {
                marks.push(BatchMark {
                    destination: id,
                    marked: false,
                });
            }
        }
        if !gone.is_empty() {
            profile
                .destinations
                .retain(|state| catalog.destination(state.id).is_some());
        }
        profile.tidy();
    }

    /// Brings the mark of one destination up to date: something was settled, or a day has passed.
    /// Returns the mark if it changed. `in_flight` is as for [`Engine::apply`].
    pub fn mark_batch(
        &mut self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        destination: DestinationId,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) -> Option<BatchMark> {
        let destination = catalog.destination(destination).filter(|d| d.batches)?;
        let mark = mark(moment, catalog, destination, profile, in_flight);
        profile.tidy();
        mark
    }

    /// Builds the user objects that a batch tells about one device in one namespace, from the profile
    /// as it is now, and hands each to `emit`, newest id first.
    ///
    /// `None` when nothing that is deliverable now differs from the last batch.
    pub fn take_batch(
        &mut self,
        now: Timestamp,
        destination: &CompiledDestination,
        profile: &Profile,
        namespace: DataSourceId,
        mut emit: impl FnMut(UserObject<'_>),
    ) -> Option<Flight> {
        if !destination.tells_in(namespace) {
            return None;
        }
        let changes = Changes::new(destination, profile, namespace, Horizon::Now(now));
        let ones: SegmentIds = changes.entered().collect();
        let left: SegmentIds = changes.left().collect();
        let mut objects: SmallVec<[FlightObject; 1]> = SmallVec::new();
        let mut entries = Entries::new();
        for id in newest_ids(profile, namespace) {
            let newest = send::gets_ones(destination, profile, id);
            let gets_ones = newest && !ones.is_empty();
            let mut zeros = if changes.hears_zeros(id) {
                left.clone()
            } else {
                SegmentIds::new()
            };
            for segment in changes.owed(id) {
                insert_sorted(&mut zeros, segment);
            }
            zeros.retain(|&mut zero| newest || changes.zero_tells(zero));
            if !gets_ones && zeros.is_empty() {
                continue;
            }
            entries.clear();
            if gets_ones {
                push_entries(&mut entries, destination, &ones, true, now);
            }
            push_entries(&mut entries, destination, &zeros, false, now);
            if destination.shared_values {
                keep_shared_values(&mut entries, destination, profile, now);
                // An id that is told no ones hears nothing of what is still a 1.
                entries.retain(|entry| newest || !entry.active);
                merge_shared_values(&mut entries);
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
        let told = objects.iter().any(|object| object.ones);
        (!objects.is_empty()).then_some(Flight {
            // It answers no touch: any that comes meanwhile is still to be told.
            seq: 0,
            ones: if told { ones } else { SegmentIds::new() },
            objects,
        })
    }

    /// Records the outcome of a flight of [`Engine::take_batch`]; `acknowledged` is as for
    /// [`Engine::settle`]. What was told is the new baseline only if all of it was acknowledged.
    /// Returns the mark of the pair if it changed. `in_flight` is as for [`Engine::apply`], without this
    /// flight.
    #[expect(clippy::too_many_arguments, reason = "an outcome has this many sides")]
    pub fn settle_batch(
        &mut self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        destination: DestinationId,
        namespace: DataSourceId,
        flight: &Flight,
        acknowledged: impl Fn(usize) -> bool,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) -> Option<BatchMark> {
        if record_told(profile, destination, flight, acknowledged)? {
            let batches = catalog.destination(destination).is_some_and(|d| d.batches);
            let state = profile.destination_mut(destination);
            if batches {
                state.batch.told(namespace, flight);
            }
        }
        self.mark_batch(moment, catalog, profile, destination, in_flight)
    }
}

impl CompiledCatalog {
    /// The namespaces in which the next batch has something to tell about the device that is
    /// deliverable now, with the number of user objects in each.
    pub fn batch_parts<'a>(
        &'a self,
        profile: &'a Profile,
        destination: DestinationId,
        now: Timestamp,
    ) -> impl Iterator<Item = crate::Part> + 'a {
        let compiled = self.destination(destination).filter(|d| d.batches);
        let namespaces = compiled.map_or(&[][..], |d| &d.namespaces);
        namespaces.iter().filter_map(move |&namespace| {
            let changes = Changes::new(compiled?, profile, namespace, Horizon::Now(now));
            let objects = u16::try_from(changes.objects().count()).unwrap_or(u16::MAX);
            (objects > 0).then_some(crate::Part { namespace, objects })
        })
    }
}

impl BatchState {
    /// Nothing is known to the partner from batches, and there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.baselines.is_empty() && self.marked.is_none()
    }

    /// What the partner knows from batches under the ids of a namespace, ascending.
    #[must_use]
    pub fn baseline(&self, namespace: DataSourceId) -> &[SegmentId] {
        self.baselines
            .iter()
            .find(|baseline| baseline.namespace == namespace)
            .map_or(&[], |baseline| &baseline.segments)
    }

    /// Everything in the flight was acknowledged.
    pub(crate) fn told(&mut self, namespace: DataSourceId, flight: &Flight) {
        let at = match self
            .baselines
            .binary_search_by_key(&namespace, |baseline| baseline.namespace)
        {
            Ok(at) => at,
            Err(at) => {
                let segments = SegmentIds::new();
                self.baselines.insert(
                    at,
                    Baseline {
                        namespace,
                        segments,
                    },
                );
                at
            }
        };
        let Some(Baseline { segments, .. }) = self.baselines.get_mut(at) else {
            return;
        };
        for zero in flight.objects.iter().flat_map(|object| &object.zeros) {
            remove_sorted(segments, zero);
        }
        for &one in &flight.ones {
            insert_sorted(segments, one);
        }
        if segments.is_empty() {
            self.baselines.remove(at);
        }
    }
}

/// Which changes count.
#[derive(Clone, Copy)]
enum Horizon {
    /// What is deliverable at this instant.
    Now(Timestamp),
    /// That, and what will be on a later day.
    From(Timestamp),
}

/// What the next batch has to tell about one device in one namespace.
#[derive(Clone, Copy)]
struct Changes<'a> {
    destination: &'a CompiledDestination,
    profile: &'a Profile,
    namespace: DataSourceId,
    horizon: Horizon,
    baseline: &'a [SegmentId],
    /// Zeros that nothing but the batch is about to tell.
    owed: &'a [OwedZero],
    told_ids: &'a [IdKey],
}

impl<'a> Changes<'a> {
    fn new(
        destination: &'a CompiledDestination,
        profile: &'a Profile,
        namespace: DataSourceId,
        horizon: Horizon,
    ) -> Self {
        let state = profile.destination(destination.id);
        let telling = |state: &&DestinationState| state.pending.is_some() && !state.undelivered;
        Self {
            destination,
            profile,
            namespace,
            horizon,
            baseline: state.map_or(&[], |state| state.batch.baseline(namespace)),
            owed: state
                .filter(|state| !telling(state))
                .map_or(&[], |state| &state.owed),
            told_ids: state.map_or(&[], |state| &state.told_ids),
        }
    }

    fn counts(&self, segment: SegmentId) -> bool {
        match self.horizon {
            Horizon::Now(now) => self.destination.delivers(segment, now),
            Horizon::From(now) => self.destination.will_deliver(segment, now),
        }
    }

    /// Segments that the device is in and was not at the last batch, ascending.
    fn entered(self) -> impl Iterator<Item = SegmentId> + 'a {
        let segments = self.profile.segments.iter().map(|state| state.id);
        segments.filter(move |segment| {
            self.baseline.binary_search(segment).is_err() && self.counts(*segment)
        })
    }

    /// Segments that the device was in at the last batch and is not any more, ascending.
    fn left(self) -> impl Iterator<Item = SegmentId> + 'a {
        let segments = &self.profile.segments;
        let takes_zeros = self.destination.supports_unsegment;
        let baseline = self.baseline.iter().copied();
        baseline.filter(move |segment| {
            let is_in = segments.binary_search_by_key(segment, |state| state.id);
            is_in.is_err() && takes_zeros && self.counts(*segment)
        })
    }

    /// Zeros owed under an id, ascending.
    fn owed(self, id: &ProfileId) -> impl Iterator<Item = SegmentId> + 'a {
        send::owes(self.owed, id.key).filter(move |segment| self.counts(*segment))
    }

    /// Zeros go to every id that is linked and every id that ever got a 1: so does the blank id, but
    /// nobody is linked to that.
    fn hears_zeros(&self, id: &ProfileId) -> bool {
        id.linked || self.told_ids.binary_search(&id.key).is_ok()
    }

    /// Whether a zero says anything to an id that is told no ones: a text that stands for several
    /// segments stays 1 while the device is in any of them.
    fn zero_tells(&self, segment: SegmentId) -> bool {
        match self.horizon {
            Horizon::Now(now) => send::zero_tells(self.destination, self.profile, segment, now),
            Horizon::From(now) => {
                !self.destination.shared_values || self.zero_will_tell(segment, now)
            }
        }
    }

    fn zero_will_tell(&self, segment: SegmentId, now: Timestamp) -> bool {
        self.destination.upcoming(segment, now).any(|mapping| {
            let segments = self.profile.segments.iter();
            let mut ones = segments.flat_map(|state| self.destination.upcoming(state.id, now));
            !ones.any(|one| one.has_text_of(mapping) && one.covers(mapping, now))
        })
    }

    /// Whether a zero is to be told under this id.
    fn has_zeros(self, id: &ProfileId, newest: bool) -> bool {
        let tells = |segment| newest || self.zero_tells(segment);
        self.hears_zeros(id) && self.left().any(tells) || self.owed(id).any(tells)
    }

    /// The ids under which there is something to tell.
    fn objects(self) -> impl Iterator<Item = &'a ProfileId> {
        let entered = self.entered().next().is_some();
        let ids = self.profile.ids.iter();
        ids.filter(move |id| {
            let newest = || send::gets_ones(self.destination, self.profile, id);
            id.data_source == self.namespace
                && (entered && newest() || self.has_zeros(id, newest()))
        })
    }
}

/// Brings the mark of a pair up to date; returns it if it changed.
fn mark(
    moment: Moment,
    catalog: &CompiledCatalog,
    destination: &CompiledDestination,
    profile: &mut Profile,
    in_flight: impl Fn(DestinationId, SegmentId) -> bool,
) -> Option<BatchMark> {
    let now = moment.now;
    let mut segments = profile.segments.iter();
    if segments.any(|state| destination.will_deliver(state.id, now)) {
        send::ensure_blank_id(destination, profile, now);
    }
    forget_unmapped(destination, profile, now);
    forget_unheard(destination, profile);
    let waits = destination.namespaces.iter().any(|&namespace| {
        let changes = Changes::new(destination, profile, namespace, Horizon::From(now));
        changes.objects().next().is_some()
    });
    let known = profile.destination(destination.id);
    let was = known.is_some_and(|state| state.batch.marked.is_some());
    if waits == was {
        return None;
    }
    if was {
        // Nothing is left to tell, but the earlier run may have told it, or a batch is telling it now and
        // its outcome may never be known.
        assume_told(moment, catalog, destination, profile);
        send::assume_told_by_flight(destination, profile, in_flight);
    }
    let state = profile.destination_mut(destination.id);
    state.batch.marked = waits.then_some(moment.epoch);
    Some(BatchMark {
        destination: destination.id,
        marked: waits,
    })
}

/// What is not mapped any more is forgotten, for a device that opted out also a mapping that has ended,
/// and for a partner that takes no zeros also what the device has left. Otherwise the baseline waits until a segment is resumed or a mapping is prolonged.
fn forget_unmapped(destination: &CompiledDestination, profile: &mut Profile, now: Timestamp) {
    let batched = |state: &DestinationState| !state.batch.baselines.is_empty();
    if !profile.destination(destination.id).is_some_and(batched) {
        return;
    }
    let opted_out = profile.opted_out;
    let left: Vec<_> = if destination.supports_unsegment {
        Vec::new()
    } else {
        let known = profile.destination(destination.id);
        let baselines = known.map_or(&[][..], |state| &state.batch.baselines);
        let told = baselines.iter().flat_map(|baseline| &baseline.segments);
        let segments = &profile.segments;
        let is_in = |id: &SegmentId| segments.binary_search_by_key(id, |state| state.id).is_ok();
        told.filter(|segment| !is_in(segment)).copied().collect()
    };
    for baseline in &mut profile.destination_mut(destination.id).batch.baselines {
        baseline.segments.retain(|&mut segment| {
            let over = opted_out && destination.ended(segment, now);
            !over && !left.contains(&segment) && !destination.mappings_of(segment).is_empty()
        });
    }
}

/// With the last id that a partner knew the device by, and with a namespace that it is not told in
/// any more, what it was told is gone as well: an id that is linked later begins anew.
fn forget_unheard(destination: &CompiledDestination, profile: &mut Profile) {
    let heard = |namespace: DataSourceId| {
        let changes = Changes::new(destination, profile, namespace, Horizon::From(Timestamp(0)));
        let mut ids = profile.ids.iter();
        destination.tells_in(namespace)
            && ids.any(|id| id.data_source == namespace && changes.hears_zeros(id))
    };
    let known = profile.destination(destination.id);
    let baselines = known.map_or(&[][..], |state| &state.batch.baselines);
    let unheard = |baseline: &&Baseline| baseline.segments.is_empty() || !heard(baseline.namespace);
    let gone: Vec<_> = baselines
        .iter()
        .filter(unheard)
        .map(|baseline| baseline.namespace)
        .collect();
    if !gone.is_empty() {
        let state = profile.destination_mut(destination.id);
        let kept = |baseline: &Baseline| !gone.contains(&baseline.namespace);
        state.batch.baselines.retain(kept);
    }
}

/// A pair that an earlier run of the process left marked may have been told by a batch of it without
/// the outcome being recorded, so what that would have told is taken as told. Nothing happens to one that
/// this run marked.
pub(crate) fn assume_told(
    moment: Moment,
    catalog: &CompiledCatalog,
    destination: &CompiledDestination,
    profile: &mut Profile,
) {
    let known = profile.destination(destination.id);
    let marked = known.and_then(|state| state.batch.marked);
    let Some(run) = marked.filter(|&run| run != moment.epoch) else {
        return;
    };
    let mut told = Vec::new();
    let mut ids = Vec::new();
    for &namespace in &destination.namespaces {
        let known = profile.destination(destination.id);
        let baseline = known.map_or(&[][..], |state| state.batch.baseline(namespace));
        let before = told.len();
        let news = send::once_ones(moment, catalog, destination, profile, run);
        told.extend(news.filter(|segment| baseline.binary_search(segment).is_err()));
        if told.len() > before {
            // Ids that are not the newest any more may have been when the message was built.
            let heard = profile.ids.iter().filter(|id| {
                id.data_source == namespace
                    && (id.linked || send::gets_ones(destination, profile, id))
            });
            ids.extend(heard.map(|id| id.key));
        }
    }
    let state = profile.destination_mut(destination.id);
    state.batch.marked = Some(moment.epoch);
    if ids.is_empty() {
        return;
    }
    for segment in told {
        insert_sorted(&mut state.told, segment);
    }
    for id in ids {
        insert_sorted(&mut state.told_ids, id);
    }
}

/// A left segment that shares its text with one the device is still in is still a 1 to the partner.
fn keep_shared_values(
    entries: &mut [SegmentEntry<'_>],
    destination: &CompiledDestination,
    profile: &Profile,
    now: Timestamp,
) {
    let current: Vec<_> = send::ones(destination, profile, now).collect();
    let mut still = Entries::new();
    push_entries(&mut still, destination, &current, true, now);
    for entry in entries.iter_mut().filter(|entry| !entry.active) {
        entry.active = still.iter().any(|one| same_value(one, entry));
    }
    // Ones come first; the sort is stable.
    entries.sort_by_key(|entry| !entry.active);
}

#[cfg(test)]
mod tests;
