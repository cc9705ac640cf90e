//! Which uses of a segment are forbidden: those that a control forbids on the data source of any
//! trait that its rule reads, wherever in the rule it stands, also below a NOT. A folder stands for
//! itself and for everything in it. A segment has no data source of its own here, and it would not
//! count (delivery.md 6.4).
//!
//! Here, as reading a rule is what decides it: the reader of catalogs warns by it and the engine
//! keeps messages back by it.

use crate::SegmentRule;
use std::collections::HashMap;
use tidings_model::{
    Catalog, DataSource, DataSourceId, ExportBlock, ExportUse, ExportUses, Segment, SegmentId,
    Trait, TraitId, limits,
};

/// What is forbidden of every segment.
#[derive(Clone, Debug, Default)]
pub struct SegmentExports(HashMap<SegmentId, Forbidden>);

/// For every use, in the order of [`ExportUse::ALL`], the first that forbids it.
type Forbidden = [Option<(DataSourceId, TraitId)>; ExportUse::ALL.len()];

impl SegmentExports {
    /// What is forbidden of the segments of a catalog that any destination could be blocked for.
    ///
    /// # Cost
    /// Parses every rule, unless there is no control or no label at all.
    #[must_use]
    pub fn of_catalog(catalog: &Catalog) -> Self {
        let mut destinations = catalog.destinations.iter();
        if destinations.all(|destination| destination.export_labels.is_empty()) {
            return Self::default();
        }
        Self::new(&catalog.data_sources, &catalog.traits, &catalog.segments)
    }

    /// What is forbidden of these segments. A rule that does not parse reads nothing.
    ///
    /// # Cost
    /// Parses every rule, unless there is no control at all.
    #[must_use]
    pub fn new(data_sources: &[DataSource], traits: &[Trait], segments: &[Segment]) -> Self {
        let traits = forbidden_of_traits(data_sources, traits);
        if traits.is_empty() {
            return Self::default();
        }
        let mut found = HashMap::new();
        for segment in segments {
            let Ok(rule) = SegmentRule::parse(&segment.rule) else {
                continue;
            };
            let mut forbidden = Forbidden::default();
            rule.expr().for_each_term(&mut |term| {
                for read in term.traits().iter().filter_map(|id| traits.get(id)) {
                    join(&mut forbidden, read);
                }
            });
            if forbidden.iter().any(Option::is_some) {
                found.insert(segment.id, forbidden);
            }
        }
        Self(found)
    }

    /// Why a destination with these labels is told nothing of the segment; `None` if nothing is in
    /// the way. Of several reasons the first by control, data source and trait.
    #[must_use]
    pub fn block(&self, segment: SegmentId, labels: ExportUses) -> Option<ExportBlock> {
        let forbidden = self.0.get(&segment)?;
        let mut pairs = ExportUse::ALL.into_iter().zip(forbidden);
        pairs.find_map(|(one, first)| {
            let (data_source, trait_id) = (*first)?;
            labels.contains(one).then_some(ExportBlock {
                forbidden: one,
                data_source,
                trait_id,
            })
        })
    }
}

/// What is forbidden of a segment that reads this trait; nothing for one that is not named.
fn forbidden_of_traits(
    data_sources: &[DataSource],
    traits: &[Trait],
) -> HashMap<TraitId, Forbidden> {
    let controls: HashMap<_, _> = data_sources
        .iter()
        .filter(|source| !source.export_controls.is_empty())
        .map(|source| (source.id, source.export_controls))
        .collect();
    let mut found: HashMap<TraitId, Forbidden> = HashMap::new();
    if controls.is_empty() {
        return found;
    }
    let folders: HashMap<_, _> = traits
        .iter()
        .filter_map(|trait_| Some((trait_.id, trait_.folder?)))
        .collect();
    for trait_ in traits {
        let Some(source) = trait_.data_source else {
            continue;
        };
        let Some(controls) = controls.get(&source) else {
            continue;
        };
        let own = ExportUse::ALL.map(|one| controls.contains(one).then_some((source, trait_.id)));
        // A catalog that was not checked may have folders in a circle.
        let next = |id: &TraitId| folders.get(id).copied();
        let up = std::iter::successors(Some(trait_.id), next);
        for id in up.take(limits::FOLDER_DEPTH_MAX + 1) {
            join(found.entry(id).or_default(), &own);
        }
    }
    found
}

fn join(into: &mut Forbidden, other: &Forbidden) {
    for (into, other) in into.iter_mut().zip(other) {
        *into = into.iter().chain(other).min().copied();
    }
}

#[cfg(test)]
mod tests;
