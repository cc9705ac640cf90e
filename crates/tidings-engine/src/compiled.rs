//! The catalog, compiled: rules as programs, and every question of the hot path as an index.
//!
//! Compiled once per catalog version. An event then looks only at the rules its signals can match,
//! at the segments that read a trait it changed, and at the destinations of those segments.

use hashbrown::HashMap;
use std::sync::Arc;
use tidings_model::{
    Catalog, DataSourceId, Destination, DestinationId, SegmentId, Status, Timestamp, TraitId,
    TraitKind, Unsynced, UtcDay,
};
use tidings_rules::{RuleError, SegmentProgram, SegmentRule, TraitRule, TraitRuleIndex};

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
    /// For the segment at index `n`, likewise the destinations it is mapped to.
    mapped: Vec<u32>,
    mapped_ends: Vec<u32>,
    data_sources: Vec<DataSourceId>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct CompiledTrait {
    index: u32,
    pub(crate) kind: TraitKind,
    pub(crate) ttl_days: u32,
    /// The longest recency window, in days, of any rule that reads the trait; `None`: there is none.
    pub(crate) window_days: Option<u32>,
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
    pub(crate) status: Status,
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
    pub fn compile(catalog: &Catalog, generation: u32) -> Result<Self, CompileError> {
        let mut traits = Map::default();
        let mut rules = Vec::new();
        let mut rule_traits = Vec::new();
        for (index, trait_) in (0u32..).zip(&catalog.traits) {
            traits.insert(
                trait_.id,
                CompiledTrait {
                    index,
                    kind: trait_.kind,
                    ttl_days: trait_.ttl_days,
                    window_days: None,
                },
            );
            if let Some(text) = &trait_.rule {
                let rule = TraitRule::parse(text)
                    .map_err(|errors| CompileError::TraitRule(trait_.id, join(&errors)))?;
                rules.push(rule);
                rule_traits.push(trait_.id);
            }
        }
        let segments = compile_segments(catalog, &mut traits)?;
        let (readers, reader_ends) = index_readers(&segments, &traits, catalog.traits.len());
        let mut destinations: Vec<_> = catalog
            .destinations
            .iter()
            .map(|d| compile_destination(d, &segments))
            .collect();
        destinations.sort_by_key(|destination| destination.id);
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
            mapped,
            mapped_ends,
            data_sources,
        })
    }

    /// The version's number.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
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

    pub(crate) fn trait_(&self, id: TraitId) -> Option<&CompiledTrait> {
        self.traits.get(&id)
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

    /// Whether anything about the segment may be sent now.
    pub(crate) fn delivers(&self, segment: SegmentId, now: Timestamp) -> bool {
        self.status == Status::Active
            && self
                .mappings_of(segment)
                .iter()
                .any(|mapping| mapping.deliverable(now))
    }
}

impl CompiledMapping {
    /// Active while start 00:00:00Z <= now < end 00:00:00Z, and its segment is not paused.
    pub(crate) fn deliverable(&self, now: Timestamp) -> bool {
        self.segment_status == Status::Active
            && self.start.is_none_or(|start| start <= now)
            && self.end.is_none_or(|end| now < end)
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
            if let Some(trait_) = traits.get_mut(&window.trait_id) {
                trait_.window_days = trait_.window_days.max(Some(window.recency.days.get()));
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
        status: destination.status,
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
