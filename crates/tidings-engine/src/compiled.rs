//! The catalog, compiled: rules as programs, and every question of the hot path as an index.
//!
//! Compiled once per catalog version. An event then looks only at the rules its signals can match,
//! at the segments that read a trait it changed, and at the destinations of those segments.

mod destinations;
mod index;
mod lapses;
mod mapping_changes;
mod past_mappings;
mod segments;
mod traits;

pub use destinations::CompiledDestination;
pub use lapses::{Lapse, Lapses};
pub use mapping_changes::MappingChanges;
pub use past_mappings::{LastUse, PastMapping, PastMappings};

pub(crate) use destinations::{CompiledMapping, same_text};
pub(crate) use traits::CompiledTrait;

use self::{
    destinations::{compile_destination, date_changes},
    index::Lists,
    segments::{CompiledSegment, compile_segments},
    traits::{fill_folders, folders_of},
};
use hashbrown::HashMap;
use tidings_model::{
    Catalog, Cleanup, DataSourceId, DestinationId, SegmentId, Timestamp, TraitId, TraitKind,
};
use tidings_rules::{RuleError, SegmentExports, TraitRule, TraitRuleIndex};

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
    /// For the trait with index `n`, the segments that read it.
    readers: Lists,
    /// Ascending by id.
    destinations: Vec<CompiledDestination>,
    /// Indices of the destinations that get batches.
    batch_destinations: Vec<u32>,
    /// For the segment at index `n`, the destinations it is mapped to.
    mapped: Lists,
    data_sources: Vec<DataSourceId>,
    has_folders: bool,
    pub(crate) cleanup: Cleanup,
    /// For every segment, the generation in which what is mapped of it changed last.
    mapping_changes: MappingChanges,
    lapses: Lapses,
    past_mappings: PastMappings,
    /// Instants at which a mapping's dates begin or end, ascending, with its segment.
    date_changes: Vec<(Timestamp, SegmentId)>,
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
        let readers = index::readers(&segments, &traits, catalog.traits.len());
        let exports = SegmentExports::of_catalog(catalog);
        let mut destinations: Vec<_> = catalog
            .destinations
            .iter()
            .map(|d| compile_destination(d, &segments, &exports))
            .collect();
        destinations.sort_by_key(|destination| destination.id);
        let batch_destinations = (0u32..)
            .zip(&destinations)
            .filter_map(|(index, destination)| destination.batches.then_some(index))
            .collect();
        let mapped = index::mapped(&segments, &destinations);
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
            destinations,
            batch_destinations,
            mapped,
            data_sources,
            has_folders: catalog
                .traits
                .iter()
                .any(|trait_| trait_.kind == TraitKind::Folder),
            cleanup: catalog.cleanup,
            mapping_changes,
            lapses: Lapses::default(),
            past_mappings: PastMappings::default(),
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

    /// The same version, which knows what was over when it and earlier ones came.
    #[must_use]
    pub fn with_lapses(self, lapses: Lapses) -> Self {
        Self { lapses, ..self }
    }

    /// What was over when this and earlier versions came.
    #[must_use]
    pub const fn lapses(&self) -> &Lapses {
        &self.lapses
    }

    /// The same version, which knows by which mappings earlier runs of the process told.
    #[must_use]
    pub fn with_past_mappings(self, past_mappings: PastMappings) -> Self {
        Self {
            past_mappings,
            ..self
        }
    }

    /// The mappings by which earlier runs of the process told.
    #[must_use]
    pub const fn past_mappings(&self) -> &PastMappings {
        &self.past_mappings
    }

    /// The kind of a trait; `None` when it does not exist.
    #[must_use]
    pub fn trait_kind(&self, id: TraitId) -> Option<TraitKind> {
        self.traits.get(&id).map(|trait_| trait_.kind)
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
        self.trait_(id)
            .map_or(&[], |trait_| self.readers_of(trait_))
    }

    /// As [`Self::readers`], of a trait that was looked up before.
    pub(crate) fn readers_of(&self, trait_: &CompiledTrait) -> &[u32] {
        self.readers.get(trait_.index as usize)
    }

    /// Indices of the destinations that the segment is mapped to.
    pub(crate) fn mapped(&self, segment: SegmentId) -> &[u32] {
        self.segment_index(segment)
            .map_or(&[], |index| self.mapped.get(index as usize))
    }

    /// Indices of the destinations that get batches.
    pub(crate) fn batch_destinations(&self) -> &[u32] {
        &self.batch_destinations
    }

    pub(crate) fn destination_at(&self, index: u32) -> Option<&CompiledDestination> {
        self.destinations.get(index as usize)
    }
}

fn join(errors: &[RuleError]) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
