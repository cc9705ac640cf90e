//! The catalog, compiled: rules as programs, and every question of the hot path as an index.
//!
//! Compiled once per catalog version. An event then looks only at the rules its signals can match,
//! at the segments that read a trait it changed, and at the destinations of those segments.

use hashbrown::HashMap;
use std::sync::Arc;
use tidings_model::{
    Catalog, DataSourceId, Destination, DestinationId, Mapping, SegmentId, Status, Timestamp,
    Trait, TraitId, TraitKind, Unsegment, Unsynced, UtcDay, limits,
};
use tidings_rules::{Recency, RuleError, SegmentProgram, SegmentRule, TraitRule, TraitRuleIndex};

type Map<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Why a catalog does not compile. Readers of catalog files report all mistakes with their place
/// beforehand; this is the last line of defence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The rule of a trait.
    #[error("the rule of trait {0}: {1}")]
    TraitRule(TraitId, String),
    /// The rule of a segment.
    #[error("the rule of segment {0}: {1}")]
    SegmentRule(SegmentId, String),
}

/// A catalog in the form the engine works with.
#[derive(Debug)]
pub struct CompiledCatalog {
    generation: u32,
    traits: Map<TraitId, CompiledTrait>,
    rule_index: TraitRuleIndex,
    rule_traits: Vec<TraitId>,
    /// Ascending by id.
    segments: Vec<CompiledSegment>,
    /// For trait `n` (its `index`), the segments that read it are `readers[ends[n-1]..ends[n]]`.
    readers: Vec<u32>,
    reader_ends: Vec<u32>,
    /// Ascending by id.
    destinations: Vec<CompiledDestination>,
    /// Indices of the destinations that get batches.
    batch_destinations: Vec<u32>,
    /// For the segment at index `n`, likewise the destinations it is mapped to.
    mapped: Vec<u32>,
    mapped_ends: Vec<u32>,
    data_sources: Vec<DataSourceId>,
    has_folders: bool,
    /// For every segment, the generation in which what is mapped of it changed last.
    mapping_changes: MappingChanges,
    /// Instants at which a mapping's dates begin or end, ascending, with its segment.
    date_changes: Vec<(Timestamp, SegmentId)>,
}

/// For every segment, ascending: the generation of the catalog in which a mapping of it was added,
/// changed or removed last, or it went back to work after a pause. Kept beside the profiles, since a
/// device may be seen again many versions later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappingChanges(pub Vec<(SegmentId, u32)>);

impl MappingChanges {
    /// What changes when `new` takes the place of `old` as this generation.
    #[must_use]
    pub fn after(mut self, old: &Catalog, new: &Catalog, generation: u32) -> Self {
        let (before, after) = (mapped_segments(old), mapped_segments(new));
        let mut changed: Vec<_> = before
            .iter()
            .filter(|entry| !after.contains(entry))
            .chain(after.iter().filter(|entry| !before.contains(entry)))
            .map(|(segment, ..)| *segment)
            .collect();
        changed.sort_unstable();
        changed.dedup();
        for segment in changed {
            match self.0.binary_search_by_key(&segment, |(id, _)| *id) {
                Ok(at) => {
                    if let Some(entry) = self.0.get_mut(at) {
                        entry.1 = generation;
                    }
                }
                Err(at) => self.0.insert(at, (segment, generation)),
            }
        }
        self
    }

    /// Whether what is mapped of the segment changed after this generation.
    pub(crate) fn since(&self, segment: SegmentId, generation: u32) -> bool {
        let at = self.0.binary_search_by_key(&segment, |(id, _)| *id);
        at.ok()
            .and_then(|at| self.0.get(at))
            .is_some_and(|(_, changed)| *changed > generation)
    }
}

/// Everything about mappings whose change is a mapping update: segment, destination, the segment's
/// status, and what the mapping says.
type MappedSegment<'a> = (SegmentId, DestinationId, Status, &'a Mapping);

fn mapped_segments(catalog: &Catalog) -> std::collections::HashSet<MappedSegment<'_>> {
    let status: std::collections::HashMap<_, _> = catalog
        .segments
        .iter()
        .map(|segment| (segment.id, segment.status))
        .collect();
    let mut mapped = std::collections::HashSet::new();
    for destination in &catalog.destinations {
        for mapping in &destination.mappings {
            let status = status
                .get(&mapping.segment)
                .copied()
                .unwrap_or(Status::Paused);
            mapped.insert((mapping.segment, destination.id, status, mapping));
        }
    }
    mapped
}

#[derive(Clone, Debug)]
pub(crate) struct CompiledTrait {
    index: u32,
    pub(crate) kind: TraitKind,
    pub(crate) ttl_days: u32,
    /// The longest recency window, in days, of any rule that reads the trait; `None`: there is none.
    pub(crate) window_days: Option<u32>,
    /// The distinct recency windows through which rules read the trait.
    pub(crate) windows: Vec<Recency>,
    /// The folder that holds it, and the folders that hold that, from the inside out.
    folders: Box<[TraitId]>,
    /// For a folder, the traits below it that are no folders, ascending.
    pub(crate) members: Box<[TraitId]>,
}

#[derive(Debug)]
pub(crate) struct CompiledSegment {
    pub(crate) id: SegmentId,
    pub(crate) program: SegmentProgram,
    pub(crate) status: Status,
}

/// What the engine needs of a destination.
#[derive(Debug)]
pub struct CompiledDestination {
    /// Its id.
    pub id: DestinationId,
    /// The namespaces it is told in: those of the catalog, or [`DataSourceId::NONE`] alone.
    pub namespaces: Vec<DataSourceId>,
    pub(crate) mappings: Vec<CompiledMapping>,
    pub(crate) shared_values: bool,
    pub(crate) max_mappings: usize,
    pub(crate) unsynced: Unsynced,
    pub(crate) unsegment: Unsegment,
    /// Whether it gets batches.
    pub batches: bool,
}

#[derive(Debug)]
pub(crate) struct CompiledMapping {
    pub(crate) segment: SegmentId,
    pub(crate) value: Option<Arc<str>>,
    pub(crate) segment_status: Status,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

/// Namespaces that every catalog has: advertising ids of device platforms.
pub const GLOBAL_DATA_SOURCES: [DataSourceId; 8] = [
    DataSourceId(20914),
    DataSourceId(20915),
    DataSourceId(121_963),
    DataSourceId(389_146),
    DataSourceId(488_258),
    DataSourceId(963_906),
    DataSourceId(1_171_485),
    DataSourceId(1_171_489),
];

impl CompiledCatalog {
    /// Compiles a catalog. `generation` names this version in profiles evaluated with it.
    ///
    /// # Errors
    /// The first rule that does not parse or breaks a restriction.
    pub fn compile(
        catalog: &Catalog,
        generation: u32,
        mapping_changes: MappingChanges,
    ) -> Result<Self, CompileError> {
        let mut traits = Map::default();
        let mut rules = Vec::new();
        let mut rule_traits = Vec::new();
        let parents: Map<_, _> = catalog
            .traits
            .iter()
            .filter_map(|t| Some((t.id, t.folder?)))
            .collect();
        for (index, trait_) in (0u32..).zip(&catalog.traits) {
            traits.insert(
                trait_.id,
                CompiledTrait {
                    index,
                    kind: trait_.kind,
                    ttl_days: trait_.ttl_days,
                    window_days: None,
                    windows: Vec::new(),
                    folders: folders_of(trait_, &parents),
                    members: Box::default(),
                },
            );
            if let Some(text) = &trait_.rule {
                let rule = TraitRule::parse(text)
                    .map_err(|errors| CompileError::TraitRule(trait_.id, join(&errors)))?;
                rules.push(rule);
                rule_traits.push(trait_.id);
            }
        }
        fill_folders(&mut traits);
        let segments = compile_segments(catalog, &mut traits)?;
        let (readers, reader_ends) = index_readers(&segments, &traits, catalog.traits.len());
        let mut destinations: Vec<_> = catalog
            .destinations
            .iter()
            .map(|d| compile_destination(d, &segments))
            .collect();
        destinations.sort_by_key(|destination| destination.id);
        let batch_destinations = (0u32..)
            .zip(&destinations)
            .filter_map(|(index, destination)| destination.batches.then_some(index))
            .collect();
        let (mapped, mapped_ends) = index_mapped(&segments, &destinations);
        let mut data_sources: Vec<_> = catalog
            .data_sources
            .iter()
            .map(|source| source.id)
            .collect();
        data_sources.extend(GLOBAL_DATA_SOURCES);
        data_sources.sort_unstable();
        Ok(Self {
            generation,
            traits,
            rule_index: TraitRuleIndex::new(rules),
            rule_traits,
            segments,
            readers,
            reader_ends,
            destinations,
            batch_destinations,
            mapped,
            mapped_ends,
            data_sources,
            has_folders: catalog
                .traits
                .iter()
                .any(|trait_| trait_.kind == TraitKind::Folder),
            mapping_changes,
            date_changes: date_changes(catalog),
        })
    }

    /// The version's number.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// What changed about mappings in this and earlier versions.
    #[must_use]
    pub const fn mapping_changes(&self) -> &MappingChanges {
        &self.mapping_changes
    }

    /// Whether the trait exists and may be realised by id.
    #[must_use]
    pub fn has_trait(&self, id: TraitId) -> bool {
        self.traits.contains_key(&id)
    }

    /// Whether the data source exists, built-in ones included.
    #[must_use]
    pub fn has_data_source(&self, id: DataSourceId) -> bool {
        self.data_sources.binary_search(&id).is_ok()
    }

    /// The destinations, ascending by id.
    #[must_use]
    pub fn destinations(&self) -> &[CompiledDestination] {
        &self.destinations
    }

    /// The destination with this id.
    #[must_use]
    pub fn destination(&self, id: DestinationId) -> Option<&CompiledDestination> {
        let index = self
            .destinations
            .binary_search_by_key(&id, |other| other.id)
            .ok()?;
        self.destinations.get(index)
    }

    pub(crate) fn destination_index(&self, id: DestinationId) -> Option<u32> {
        let index = self
            .destinations
            .binary_search_by_key(&id, |other| other.id)
            .ok()?;
        u32::try_from(index).ok()
    }

    pub(crate) fn trait_(&self, id: TraitId) -> Option<&CompiledTrait> {
        self.traits.get(&id)
    }

    /// The traits below a folder; none for any other trait.
    pub(crate) fn folder_members(&self, id: TraitId) -> &[TraitId] {
        if !self.has_folders {
            return &[];
        }
        self.traits.get(&id).map_or(&[], |trait_| &trait_.members)
    }

    /// Whether a mapping of one of these segments was changed after this generation, or its dates
    /// began or ended after `evaluated` and not after `now`.
    pub(crate) fn remapped(
        &self,
        mut segments: impl Iterator<Item = SegmentId>,
        generation: u32,
        evaluated: Timestamp,
        now: Timestamp,
    ) -> bool {
        let from = self
            .date_changes
            .partition_point(|(at, _)| *at <= evaluated);
        let to = self.date_changes.partition_point(|(at, _)| *at <= now);
        let dated = self.date_changes.get(from..to).unwrap_or_default();
        if dated.is_empty() && generation == self.generation {
            return false;
        }
        segments.any(|segment| {
            self.mapping_changes.since(segment, generation)
                || dated.iter().any(|(_, other)| *other == segment)
        })
    }

    pub(crate) const fn rules(&self) -> &TraitRuleIndex {
        &self.rule_index
    }

    /// The trait that the rule with this number realises.
    pub(crate) fn rule_trait(&self, rule: u32) -> Option<TraitId> {
        self.rule_traits.get(rule as usize).copied()
    }

    pub(crate) fn segment(&self, index: u32) -> Option<&CompiledSegment> {
        self.segments.get(index as usize)
    }

    pub(crate) fn segment_index(&self, id: SegmentId) -> Option<u32> {
        let index = self
            .segments
            .binary_search_by_key(&id, |segment| segment.id)
            .ok()?;
        u32::try_from(index).ok()
    }

    /// Indices of the segments whose rule reads the trait.
    pub(crate) fn readers(&self, id: TraitId) -> &[u32] {
        self.traits.get(&id).map_or(&[], |trait_| {
            slice(&self.readers, &self.reader_ends, trait_.index as usize)
        })
    }

    /// Indices of the destinations that the segment is mapped to.
    pub(crate) fn mapped(&self, segment: SegmentId) -> &[u32] {
        self.segment_index(segment).map_or(&[], |index| {
            slice(&self.mapped, &self.mapped_ends, index as usize)
        })
    }

    /// Indices of the destinations that get batches.
    pub(crate) fn batch_destinations(&self) -> &[u32] {
        &self.batch_destinations
    }

    pub(crate) fn destination_at(&self, index: u32) -> Option<&CompiledDestination> {
        self.destinations.get(index as usize)
    }
}

impl CompiledDestination {
    /// Whether messages hold ids of this namespace.
    pub(crate) fn tells_in(&self, data_source: DataSourceId) -> bool {
        self.namespaces.contains(&data_source)
    }

    /// The mappings of one segment.
    pub(crate) fn mappings_of(&self, segment: SegmentId) -> &[CompiledMapping] {
        let from = self
            .mappings
            .partition_point(|mapping| mapping.segment < segment);
        let rest = self.mappings.get(from..).unwrap_or_default();
        let count = rest.partition_point(|mapping| mapping.segment == segment);
        rest.get(..count).unwrap_or_default()
    }

    /// Whether anything about the segment may be sent now. A paused destination counts as one that
    /// is down: what it is owed adds up and is sent when it is at work again.
    pub(crate) fn delivers(&self, segment: SegmentId, now: Timestamp) -> bool {
        self.mappings_of(segment)
            .iter()
            .any(|mapping| mapping.deliverable(now))
    }

    /// Whether anything about the segment may be sent now or on a later day.
    pub(crate) fn will_deliver(&self, segment: SegmentId, now: Timestamp) -> bool {
        let mut mappings = self.mappings_of(segment).iter();
        mappings.any(|mapping| mapping.segment_status == Status::Active && !mapping.ended(now))
    }

    /// Whether nothing about the segment will ever be sent again by what is mapped now.
    pub(crate) fn ended(&self, segment: SegmentId, now: Timestamp) -> bool {
        let mut mappings = self.mappings_of(segment).iter();
        mappings.all(|mapping| mapping.ended(now))
    }
}

impl CompiledMapping {
    /// Active while start 00:00:00Z <= now < end 00:00:00Z, and its segment is not paused.
    pub(crate) fn deliverable(&self, now: Timestamp) -> bool {
        self.segment_status == Status::Active
            && self.start.is_none_or(|start| start <= now)
            && !self.ended(now)
    }

    fn ended(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| end <= now)
    }
}

impl CompiledTrait {
    fn look_through(&mut self, recency: Recency) {
        self.window_days = self.window_days.max(Some(recency.days.get()));
        if !self.windows.contains(&recency) {
            self.windows.push(recency);
        }
    }
}

/// The folders that hold a trait, from the inside out. A catalog that was checked has no circle; one
/// that was not must not hang.
fn folders_of(trait_: &Trait, parents: &Map<TraitId, TraitId>) -> Box<[TraitId]> {
    let next = |id: &TraitId| parents.get(id).copied();
    std::iter::successors(trait_.folder, next)
        .take(limits::FOLDER_DEPTH_MAX)
        .collect()
}

/// Lets every folder know the traits below it.
fn fill_folders(traits: &mut Map<TraitId, CompiledTrait>) {
    let mut members: Map<TraitId, Vec<TraitId>> = Map::default();
    let mut leaves: Vec<_> = traits
        .iter()
        .filter(|(_, trait_)| trait_.kind != TraitKind::Folder)
        .map(|(id, trait_)| (*id, trait_.folders.clone()))
        .collect();
    leaves.sort_unstable();
    for (leaf, folders) in leaves {
        for folder in folders {
            members.entry(folder).or_default().push(leaf);
        }
    }
    for (folder, trait_) in traits.iter_mut() {
        if let Some(members) = members.remove(folder) {
            trait_.members = members.into();
        }
    }
}

fn compile_segments(
    catalog: &Catalog,
    traits: &mut Map<TraitId, CompiledTrait>,
) -> Result<Vec<CompiledSegment>, CompileError> {
    let mut segments = Vec::with_capacity(catalog.segments.len());
    for segment in &catalog.segments {
        let wrong = |errors: Vec<RuleError>| CompileError::SegmentRule(segment.id, join(&errors));
        let rule = SegmentRule::parse(&segment.rule).map_err(wrong)?;
        rule.check(|id| traits.get(&id).map(|trait_| trait_.kind))
            .map_err(wrong)?;
        let program = SegmentProgram::new(&rule);
        for window in program.windows() {
            // A window on a folder looks at the realisations of every trait below it.
            let members = traits
                .get(&window.trait_id)
                .map(|trait_| trait_.members.clone());
            for id in members
                .unwrap_or_default()
                .into_iter()
                .chain([window.trait_id])
            {
                if let Some(trait_) = traits.get_mut(&id) {
                    trait_.look_through(window.recency);
                }
            }
        }
        segments.push(CompiledSegment {
            id: segment.id,
            program,
            status: segment.status,
        });
    }
    segments.sort_by_key(|segment| segment.id);
    Ok(segments)
}

fn compile_destination(
    destination: &Destination,
    segments: &[CompiledSegment],
) -> CompiledDestination {
    let mut mappings: Vec<_> = destination
        .mappings
        .iter()
        .map(|mapping| CompiledMapping {
            segment: mapping.segment,
            value: mapping.value.as_deref().map(Arc::from),
            segment_status: segments
                .binary_search_by_key(&mapping.segment, |segment| segment.id)
                .ok()
                .and_then(|index| segments.get(index))
                .map_or(Status::Paused, |segment| segment.status),
            start: mapping.start.map(UtcDay::start),
            end: mapping.end.map(UtcDay::start),
        })
        .collect();
    mappings.sort_by_key(|mapping| mapping.segment);
    let mut values: Vec<_> = mappings.iter().map(CompiledMapping::wire_id).collect();
    values.sort_unstable();
    let shared_values = values.windows(2).any(|pair| pair.first() == pair.last());
    let namespaces = if destination.id_data_sources.is_empty() {
        vec![DataSourceId::NONE]
    } else {
        destination.id_data_sources.clone()
    };
    CompiledDestination {
        id: destination.id,
        namespaces,
        mappings,
        shared_values,
        max_mappings: match destination.max_mappings {
            0 => usize::MAX,
            count => count as usize,
        },
        unsynced: destination.unsynced,
        unsegment: destination.unsegment,
        batches: destination.batch.is_some(),
    }
}

impl CompiledMapping {
    /// What is sent as `Segment_ID`, as text.
    fn wire_id(&self) -> String {
        self.value
            .as_deref()
            .map_or_else(|| self.segment.to_string(), str::to_owned)
    }
}

fn date_changes(catalog: &Catalog) -> Vec<(Timestamp, SegmentId)> {
    let mappings = catalog
        .destinations
        .iter()
        .flat_map(|destination| &destination.mappings);
    let mut changes: Vec<_> = mappings
        .flat_map(|mapping| {
            let days = [mapping.start, mapping.end].into_iter().flatten();
            days.map(|day| (day.start(), mapping.segment))
        })
        .collect();
    changes.sort_unstable();
    changes
}

fn join(errors: &[RuleError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Lists of numbers per position, laid end to end: `list(n)` is `items[ends[n-1]..ends[n]]`.
fn slice<'a>(items: &'a [u32], ends: &[u32], position: usize) -> &'a [u32] {
    let end = ends.get(position).map_or(0, |&end| end as usize);
    let start = position
        .checked_sub(1)
        .and_then(|before| ends.get(before))
        .map_or(0, |&end| end as usize);
    items.get(start..end).unwrap_or_default()
}

fn flatten(lists: Vec<Vec<u32>>) -> (Vec<u32>, Vec<u32>) {
    let mut items = Vec::with_capacity(lists.iter().map(Vec::len).sum());
    let mut ends = Vec::with_capacity(lists.len());
    for list in lists {
        items.extend(list);
        ends.push(u32::try_from(items.len()).unwrap_or(u32::MAX));
    }
    (items, ends)
}

fn index_readers(
    segments: &[CompiledSegment],
    traits: &Map<TraitId, CompiledTrait>,
    trait_count: usize,
) -> (Vec<u32>, Vec<u32>) {
    let mut lists = vec![Vec::new(); trait_count];
    for (index, segment) in (0u32..).zip(segments) {
        for trait_id in segment.program.traits() {
            let place = traits
                .get(trait_id)
                .and_then(|t| lists.get_mut(t.index as usize));
            if let Some(list) = place {
                list.push(index);
            }
        }
    }
    flatten(lists)
}

fn index_mapped(
    segments: &[CompiledSegment],
    destinations: &[CompiledDestination],
) -> (Vec<u32>, Vec<u32>) {
    let mut lists = vec![Vec::new(); segments.len()];
    for (index, destination) in (0u32..).zip(destinations) {
        for mapping in &destination.mappings {
            let place = segments.binary_search_by_key(&mapping.segment, |segment| segment.id);
            if let Some(list) = place.ok().and_then(|place| lists.get_mut(place))
                && list.last() != Some(&index)
            {
                list.push(index);
            }
        }
    }
    flatten(lists)
}
