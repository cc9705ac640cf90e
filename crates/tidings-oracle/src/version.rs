//! One version of the catalog, with the questions that the protocol asks of it.

use crate::{segment_rule::SegmentRule, trait_rule::TraitRule};
use std::collections::{BTreeMap, BTreeSet};
use tidings_model::{
    Catalog, DataSourceId, Destination, DestinationId, Event, Mapping, SegmentId, Status,
    Timestamp, Trait, TraitId, TraitKind, UtcDay,
};

/// A catalog whose rules have been read.
#[derive(Clone, Debug)]
pub struct Version {
    /// As configured.
    pub catalog: Catalog,
    trait_rules: BTreeMap<TraitId, TraitRule>,
    segment_rules: BTreeMap<SegmentId, SegmentRule>,
}

/// The advertising ids of device platforms, which every catalog has as data sources.
const BUILT_IN: [u32; 8] = [
    20914, 20915, 121_963, 389_146, 488_258, 963_906, 1_171_485, 1_171_489,
];

impl Version {
    /// Reads the rules of a catalog.
    ///
    /// # Errors
    /// The first rule that cannot be read or that a device without traits would fulfil.
    pub fn new(catalog: Catalog) -> Result<Self, String> {
        let mut trait_rules = BTreeMap::new();
        for one in &catalog.traits {
            if let Some(rule) = &one.rule {
                let read = TraitRule::parse(rule).map_err(|e| format!("trait {}: {e}", one.id))?;
                trait_rules.insert(one.id, read);
            }
        }
        let mut segment_rules = BTreeMap::new();
        for one in &catalog.segments {
            let wrong = |e: String| format!("segment {}: {e}", one.id);
            let rule = SegmentRule::parse(&one.rule).map_err(wrong)?;
            if rule.holds(UtcDay(0), &|_| Vec::new()) {
                return Err(wrong("would hold for everyone".to_owned()));
            }
            segment_rules.insert(one.id, rule);
        }
        Ok(Self {
            catalog,
            trait_rules,
            segment_rules,
        })
    }

    fn trait_(&self, id: TraitId) -> Option<&Trait> {
        self.catalog.traits.iter().find(|one| one.id == id)
    }

    /// The traits whose realisations are those of this one: itself, or for a folder every trait
    /// below it that is no folder.
    pub(crate) fn counted(&self, id: TraitId) -> Vec<TraitId> {
        if self.kind(id) != Some(TraitKind::Folder) {
            return vec![id];
        }
        let traits = self.catalog.traits.iter();
        let inside = traits.filter(|one| one.folder == Some(id));
        inside.flat_map(|one| self.counted(one.id)).collect()
    }

    /// The longest window through which any rule looks at the trait, in days; 0 if there is none.
    pub(crate) fn window_days(&self, id: TraitId) -> i64 {
        let windows = self.segment_rules.values().flat_map(SegmentRule::windows);
        let of_this = windows.filter(|(read, _)| self.counted(*read).contains(&id));
        of_this.map(|(_, days)| days).max().unwrap_or(0)
    }

    pub(crate) fn ttl_days(&self, id: TraitId) -> Option<u32> {
        self.trait_(id).map(|one| one.ttl_days)
    }

    pub(crate) fn kind(&self, id: TraitId) -> Option<TraitKind> {
        self.trait_(id).map(|one| one.kind)
    }

    /// The event names only traits and data sources that exist.
    pub(crate) fn knows(&self, event: &Event) -> bool {
        let traits = event.traits.iter().chain(&event.remove_traits);
        traits.clone().all(|id| self.trait_(*id).is_some())
            && event.ids.iter().all(|id| {
                let sources = &self.catalog.data_sources;
                BUILT_IN.contains(&id.data_source.0)
                    || sources.iter().any(|source| source.id == id.data_source)
            })
    }

    /// The traits that the event realises, each once, by id or by rule.
    pub(crate) fn realised_by(&self, event: &Event) -> BTreeSet<TraitId> {
        let by_rule = self
            .trait_rules
            .iter()
            .filter(|(_, rule)| rule.holds(&event.signals))
            .map(|(id, _)| *id);
        by_rule.chain(event.traits.iter().copied()).collect()
    }

    /// Every segment, and its status.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (SegmentId, Status)> {
        let segments = self.catalog.segments.iter();
        segments.map(|segment| (segment.id, segment.status))
    }

    pub(crate) fn holds(&self, segment: SegmentId, today: UtcDay, live: &crate::Live) -> bool {
        let times = |id| {
            let counted = self.counted(id).into_iter();
            counted.flat_map(|id| live.realisations(id)).collect()
        };
        let rule = self.segment_rules.get(&segment);
        rule.is_some_and(|rule| rule.holds(today, &times))
    }

    /// The traits that the rule of the segment names.
    pub(crate) fn read_by(&self, segment: SegmentId) -> Vec<TraitId> {
        let rule = self.segment_rules.get(&segment);
        rule.map_or_else(Vec::new, SegmentRule::traits)
    }

    /// The mappings of the segment through which the destination may be told now, or once it is not
    /// paused any more: that keeps back what there is to tell and changes nothing about it.
    pub(crate) fn deliverable<'a>(
        &'a self,
        destination: &'a Destination,
        segment: SegmentId,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Mapping> {
        let at_work = self.segments().any(|one| one == (segment, Status::Active))
            && !self.is_blocked(destination, segment);
        destination
            .mappings
            .iter()
            .filter(move |one| at_work && one.segment == segment)
            .filter(move |one| one.start.is_none_or(|start| start.start() <= now))
            .filter(move |one| one.end.is_none_or(|end| now < end.start()))
    }

    /// Whether the destination is sent nothing for now.
    pub(crate) fn is_paused(&self, id: DestinationId) -> bool {
        let mut destinations = self.catalog.destinations.iter();
        destinations.any(|one| one.id == id && one.status == Status::Paused)
    }

    pub(crate) fn delivers(
        &self,
        destination: &Destination,
        segment: SegmentId,
        now: Timestamp,
    ) -> bool {
        self.deliverable(destination, segment, now).next().is_some()
    }
}

/// The namespaces of a destination's messages; one that has no ids gets messages without namespace.
pub(crate) fn namespaces(destination: &Destination) -> Vec<DataSourceId> {
    if destination.id_data_sources.is_empty() {
        vec![DataSourceId::NONE]
    } else {
        destination.id_data_sources.clone()
    }
}
