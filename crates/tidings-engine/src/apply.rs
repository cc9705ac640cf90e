//! One event of one device: what it changes, and who must be told.

use crate::{
    BatchMark, CompiledCatalog, Profile,
    evaluate::{self, Evaluation},
    profile::IdKey,
    realise,
    send::{self, Cause},
    time,
};
use smallvec::{Array, SmallVec};
use tidings_model::{
    DataSourceId, DeclaredId, DestinationId, Event, RegionId, SegmentId, Timestamp, TraitKind,
    limits, planted,
};
use tidings_rules::Scratch;

/// When something is applied, and as part of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The clock.
    pub now: Timestamp,
    /// Sequence number of the commit that will hold the change.
    pub seq: u64,
    /// Which run of the process this is; rises with every start.
    pub epoch: u32,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It changed the profile, which must be stored.
    Changed,
    /// Its event id was seen for this device within the last 24 hours; nothing changed.
    Duplicate,
    /// The device has opted out; nothing is collected.
    OptedOut,
}

/// A destination to be told about the device that was just changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The destination.
    pub destination: DestinationId,
    /// What waits per namespace: a range of [`Effects::parts`].
    pub parts: std::ops::Range<usize>,
    /// When the pair was first touched since the partner was last told.
    pub since: Timestamp,
    /// The pair was not in the pending set before.
    pub newly: bool,
}

/// User objects waiting for one destination in one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The namespace.
    pub namespace: DataSourceId,
    /// How many user objects the device will be in a message.
    pub objects: u16,
}

/// What an event entails beside the changed profile. The buffers are reused between events.
#[derive(Debug, Default)]
pub struct Effects {
    /// Segments entered, ascending.
    pub entered: Vec<SegmentId>,
    /// Segments left, ascending.
    pub left: Vec<SegmentId>,
    /// Destinations to be told, ascending.
    pub touched: Vec<Touched>,
    /// The parts that `touched` refers to.
    pub parts: Vec<Part>,
    /// The timer row of the profile is to be moved: from where, and to where.
    pub timer: Option<(Option<Timestamp>, Option<Timestamp>)>,
    /// Ids that the device lost, if it did not get them back: the caller makes them lead elsewhere.
    pub unlinked: Vec<(DataSourceId, Box<str>)>,
    /// Destinations whose next batch has something to tell now, or nothing any more; in order.
    pub batch_marks: Vec<BatchMark>,
}

/// The engine: it has no state of its own but buffers.
#[derive(Debug, Default)]
pub struct Engine {
    scratch: Scratch,
    pub(crate) evaluation: Evaluation,
    /// Namespaces in which the event linked an id that the device did not have.
    new_namespaces: Vec<DataSourceId>,
    /// An id was linked again after others of its namespace: which of them are the newest changed.
    reordered: bool,
    pub(crate) destinations: Vec<u32>,
    pub(crate) effects: Effects,
}

/// Checks that the traits and data sources an event names exist, and that the traits can be realised
/// by id.
///
/// # Errors
/// A stable code and a message that names the field.
pub fn check_references(
    catalog: &CompiledCatalog,
    event: &Event,
) -> Result<(), (&'static str, String)> {
    for (field, traits) in [
        ("traits", &event.traits),
        ("remove_traits", &event.remove_traits),
    ] {
        for (index, &id) in traits.iter().enumerate() {
            let fault = match catalog.trait_kind(id) {
                None => format!("there is no trait {id}"),
                Some(TraitKind::Folder) => {
                    format!("trait {id} is a folder, realised by the traits in it")
                }
                Some(TraitKind::RuleBased | TraitKind::Onboarded | TraitKind::ThirdParty) => {
                    continue;
                }
            };
            return Err(("unknown_trait", format!("{field}[{index}]: {fault}")));
        }
    }
    for (index, declared) in event.ids.iter().enumerate() {
        let id = declared.data_source;
        if !catalog.has_data_source(id) {
            let message = format!("ids[{index}].data_source: there is no data source {id}");
            return Err(("unknown_data_source", message));
        }
    }
    Ok(())
}

impl Engine {
    /// An engine with empty buffers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies one event to its device's profile.
    ///
    /// `in_flight` answers whether a message with a Status 1 of the segment is on its way to the
    /// destination for this device: a segment that was left before any 1 was sent is not reported.
    ///
    /// The event's references must have been checked with [`check_references`]; unknown traits are
    /// ignored. Everything the event entails is in the returned effects until the next call.
    pub fn apply(
        &mut self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        event: &Event,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) -> (Applied, &Effects) {
        let Moment { now, .. } = moment;
        self.clear();
        if profile.opted_out {
            return (Applied::OptedOut, &self.effects);
        }
        if let Some(id) = &event.event_id
            && !remember_event_id(profile, id, now)
        {
            return (Applied::Duplicate, &self.effects);
        }
        let time = event.time.unwrap_or(now).min(now);
        self.assume_told_by_earlier_run(moment, catalog, profile);
        let renewed = profile.generation != catalog.generation();
        if time::is_unseen(catalog, profile, now) {
            // Its timer has not come round yet, or it is in nothing and has none.
            self.forget(moment, catalog, profile, &in_flight);
        }
        if let Some(region) = event.region {
            see_region(&mut profile.regions, region);
        }
        profile.last_seen = profile.last_seen.max(time);
        if !event.ids.is_empty() {
            send::assume_told_by_earlier_links(catalog, profile, &in_flight);
            self.link_ids(profile, &event.ids, time);
        }
        self.note_remapping(catalog, profile, now);
        self.expire_first(catalog, profile, now);
        self.change_traits(catalog, profile, event, time, now);
        self.evaluation.evaluate(catalog, profile, now);
        self.send(Cause::Seen, moment, catalog, profile, &in_flight);
        if time::is_unseen(catalog, profile, now) {
            // The event tells of a sighting so long ago that it has run out already.
            profile.erase(catalog, &in_flight, &mut self.effects.unlinked);
        }
        if renewed {
            self.plan(catalog, profile);
        } else {
            self.plan_seen(catalog, profile);
        }
        let Effects { entered, left, .. } = &self.effects;
        let ids_changed = self.reordered || !self.new_namespaces.is_empty();
        if renewed || ids_changed || !entered.is_empty() || !left.is_empty() {
            self.mark_batches(moment, catalog, profile, &in_flight);
        }
        (Applied::Changed, &self.effects)
    }

    /// A change of what is mapped of a segment that the device is in, or that a zero is owed of, is
    /// told when it is seen next. Also to be called before an outcome is recorded: with it a zero may
    /// be owed no more, of which a mapping's dates began while it was owed.
    pub fn note_remapping(&self, catalog: &CompiledCatalog, profile: &mut Profile, now: Timestamp) {
        if profile.opted_out {
            return;
        }
        let owed = profile.destinations.iter().flat_map(|state| &state.owed);
        let segments = profile.segments.iter().map(|state| state.id);
        let segments = segments.chain(owed.map(|zero| zero.segment));
        if catalog.remapped(segments, profile.generation, profile.evaluated, now) {
            profile.resend = planted!(RemappingForgotten, false, true);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.evaluation.begin();
        self.new_namespaces.clear();
        self.reordered = false;
        self.destinations.clear();
        self.effects.entered.clear();
        self.effects.left.clear();
        self.effects.touched.clear();
        self.effects.parts.clear();
        self.effects.timer = None;
        self.effects.unlinked.clear();
        self.effects.batch_marks.clear();
    }

    /// A trait whose time ran out before this event starts again at count 1, so it goes first.
    fn expire_first(&mut self, catalog: &CompiledCatalog, profile: &mut Profile, now: Timestamp) {
        if evaluate::is_out_of_date(catalog, profile, now) {
            let changed = &mut self.evaluation.changed;
            let generation = profile.generation;
            realise::expire(&mut profile.traits, catalog, generation, now, |id| {
                changed.push(id);
            });
        }
    }

    fn change_traits(
        &mut self,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        event: &Event,
        time: Timestamp,
        now: Timestamp,
    ) {
        for &id in &event.remove_traits {
            if let Ok(at) = profile.traits.binary_search_by_key(&id, |state| state.id) {
                profile.traits.remove(at);
                self.evaluation.changed.push(id);
            }
        }
        // One event realises a trait at most once, whether by id, by rule or by both.
        let changed = &mut self.evaluation.changed;
        let first = changed.len();
        changed.extend(&event.traits);
        catalog
            .rules()
            .for_each_match(&event.signals, &mut self.scratch, |rule| {
                changed.extend(catalog.rule_trait(rule));
            });
        if let Some(realised) = changed.get_mut(first..) {
            realised.sort_unstable();
        }
        let mut last = None;
        for &id in changed.get(first..).unwrap_or_default() {
            if last != Some(id) {
                realise::realise(&mut profile.traits, catalog, id, time, now);
            }
            last = Some(id);
        }
        while profile.traits.len() > limits::PROFILE_TRAITS_MAX {
            let oldest = profile
                .traits
                .iter()
                .enumerate()
                .min_by_key(|(_, state)| state.last);
            let Some((at, _)) = oldest else { break };
            changed.push(profile.traits.remove(at).id);
        }
    }

    /// Links the event's ids to the device, remembering namespaces that gained an id.
    fn link_ids(&mut self, profile: &mut Profile, ids: &[DeclaredId], time: Timestamp) {
        for declared in ids {
            self.reordered |= passes_another(profile, declared, time);
            let known = profile
                .ids
                .iter_mut()
                .find(|other| other.data_source == declared.data_source && other.id == declared.id);
            match known {
                Some(known) => {
                    if !known.linked {
                        self.new_namespaces.push(declared.data_source);
                    }
                    known.linked = true;
                    known.state = declared.state;
                    known.linked_at = known.linked_at.max(time);
                }
                None => {
                    profile.add_id(
                        declared.data_source,
                        &declared.id,
                        declared.state,
                        time,
                        true,
                        &mut self.effects.unlinked,
                    );
                    self.new_namespaces.push(declared.data_source);
                }
            }
            profile.unlink_overflow(declared.data_source, &mut self.effects.unlinked);
        }
    }

    pub(crate) fn entered(&self) -> &[SegmentId] {
        &self.evaluation.entered
    }

    pub(crate) fn left(&self) -> &[SegmentId] {
        &self.evaluation.left
    }

    pub(crate) fn new_namespaces(&self) -> &[DataSourceId] {
        planted!(FirstLinkForgotten, &[], &self.new_namespaces)
    }

    /// Publishes what changed to the effects.
    pub(crate) fn report_changes(&mut self) {
        self.effects
            .entered
            .extend_from_slice(&self.evaluation.entered);
        self.effects.left.extend_from_slice(&self.evaluation.left);
    }
}

impl Profile {
    /// The entry of this id, linked or not.
    pub(crate) fn id_key(&self, data_source: DataSourceId, id: &str) -> Option<IdKey> {
        let mut ids = self.ids.iter();
        ids.find(|other| other.data_source == data_source && &*other.id == id)
            .map(|id| id.key)
    }

    /// Adds an id under the smallest key not in use; ids stay ascending by key. In a full profile the
    /// id linked longest ago gives way, one that is not linked any more first. A link that ends so is
    /// added to `unlinked`.
    pub(crate) fn add_id(
        &mut self,
        data_source: DataSourceId,
        id: &str,
        state: tidings_model::AuthState,
        time: Timestamp,
        linked: bool,
        unlinked: &mut Vec<(DataSourceId, Box<str>)>,
    ) -> IdKey {
        while self.ids.len() >= limits::PROFILE_IDS_MAX {
            self.forget_oldest_id(unlinked);
        }
        let place = self
            .ids
            .iter()
            .zip(0u16..)
            .position(|(other, key)| other.key.0 != key);
        let place = place.unwrap_or(self.ids.len());
        let key = IdKey(u16::try_from(place).unwrap_or(u16::MAX));
        let entry = crate::ProfileId {
            key,
            data_source,
            id: id.into(),
            linked,
            state,
            linked_at: time,
        };
        self.ids.insert(place, entry);
        key
    }

    /// Forgets an id, and with it what partners are still to be told under it.
    fn forget_oldest_id(&mut self, unlinked: &mut Vec<(DataSourceId, Box<str>)>) {
        let oldest = (0..self.ids.len()).min_by_key(|&at| {
            let id = self.ids.get(at);
            id.map(|id| (id.linked, id.linked_at))
        });
        let Some(at) = oldest else { return };
        let id = self.ids.remove(at);
        let key = id.key;
        if id.linked {
            unlinked.push((id.data_source, id.id));
        }
        for state in &mut self.destinations {
            remove_sorted(&mut state.told_ids, &key);
            state.owed.retain(|zero| zero.id != key);
            let (segments, owed) = (&self.segments, &state.owed);
            state.told.retain(|told| {
                segments.binary_search_by_key(told, |s| s.id).is_ok()
                    || owed.iter().any(|zero| zero.segment == *told)
            });
        }
    }

    /// Unlinks the oldest link of a namespace beyond the limit. An entry stays while a destination
    /// refers to it.
    fn unlink_overflow(
        &mut self,
        data_source: DataSourceId,
        unlinked: &mut Vec<(DataSourceId, Box<str>)>,
    ) {
        let linked = |other: &&crate::ProfileId| other.linked && other.data_source == data_source;
        while self.ids.iter().filter(linked).count() > limits::LINKS_PER_DATA_SOURCE_MAX {
            let oldest = self
                .ids
                .iter()
                .filter(linked)
                .min_by_key(|other| other.linked_at);
            let Some(key) = oldest.map(|other| other.key) else {
                return;
            };
            self.unlink(key, unlinked);
        }
    }

    /// Ends a link, and adds its id to `unlinked`; the entry stays while a destination refers to it.
    pub(crate) fn unlink(&mut self, key: IdKey, unlinked: &mut Vec<(DataSourceId, Box<str>)>) {
        let Ok(at) = self.ids.binary_search_by_key(&key, |id| id.key) else {
            return;
        };
        let Some(id) = self.ids.get_mut(at) else {
            return;
        };
        unlinked.push((id.data_source, id.id.clone()));
        if self.destinations.iter().any(|state| state.refers_to(id)) {
            id.linked = false;
        } else {
            self.ids.remove(at);
        }
    }
}

/// Whether linking this id at `time` makes it newer than another link of its namespace that was newer.
fn passes_another(profile: &Profile, declared: &DeclaredId, time: Timestamp) -> bool {
    let mut ids = profile.ids.iter();
    let Some(old) = ids.find(|id| {
        id.linked_at < time && id.data_source == declared.data_source && id.id == declared.id
    }) else {
        return false;
    };
    let (before, after) = ((old.linked_at, old.key), (time, old.key));
    profile.ids.iter().any(|other| {
        let at = (other.linked_at, other.key);
        other.linked && other.data_source == old.data_source && before < at && at < after
    })
}

/// Remembers an event id; false when it was already seen within the window.
fn remember_event_id(profile: &mut Profile, id: &str, now: Timestamp) -> bool {
    let ids = &mut profile.event_ids;
    forget_event_ids(ids, now);
    #[cfg(planted)]
    if planted::is(planted::Planted::DuplicatesCount) {
        return true;
    }
    let hash = xxhash_rust::xxh3::xxh3_64(id.as_bytes());
    if ids.iter().any(|(other, _)| *other == hash) {
        return false;
    }
    if ids.len() >= limits::PROFILE_EVENT_IDS_MAX {
        ids.remove(0);
    }
    ids.push((hash, now));
    true
}

/// Drops the event ids whose window is over; they are ordered by age.
pub(crate) fn forget_event_ids(ids: &mut Vec<(u64, Timestamp)>, now: Timestamp) {
    let is_over = |at: Timestamp| now.seconds_since(at) >= limits::EVENT_ID_WINDOW_SECONDS;
    let expired = ids.iter().take_while(|(_, at)| is_over(*at)).count();
    ids.drain(..expired);
}

/// Puts the region in front.
fn see_region(regions: &mut Vec<RegionId>, region: RegionId) {
    if regions.first() == Some(&region) {
        return;
    }
    regions.retain(|other| *other != region);
    regions.insert(0, region);
    regions.truncate(limits::PROFILE_REGIONS_MAX);
}

/// Removes `id` from an ascending list; true if it was there.
pub(crate) fn remove_sorted<A: Array<Item: Ord>>(list: &mut SmallVec<A>, id: &A::Item) -> bool {
    match list.binary_search(id) {
        Ok(at) => {
            list.remove(at);
            true
        }
        Err(_) => false,
    }
}

/// Inserts `id` into an ascending list of distinct elements.
pub(crate) fn insert_sorted<A: Array<Item: Ord>>(list: &mut SmallVec<A>, id: A::Item) {
    if let Err(at) = list.binary_search(&id) {
        list.insert(at, id);
    }
}

#[cfg(test)]
mod tests;
