//! What replacing one catalog by another would change: the entries that differ, and what that means
//! for devices and partners.
//!
//! For people who are about to do it. Which devices hear everything again is asked of
//! [`MappingChanges`], which decides it in the running engine too, so that both say the same.
//! Values of secrets are never shown, and neither are the queries of URLs, which often hold one.
//!
//! - `fields`: the fields of an entry that differ;
//! - [`Consequence`]: what follows;
//! - `text`: both for reading.

mod consequence;
mod fields;
mod text;

pub use consequence::Consequence;

use crate::MappingChanges;
use std::collections::BTreeMap;
use tidings_model::{
    Catalog, DataSourceId, Destination, DestinationId, Mapping, SegmentId, TraitId,
};

/// The differences between two catalogs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogDiff {
    /// Entries that differ: settings, data sources, traits, segments, destinations with their mappings, each
    /// ascending by id.
    pub changes: Vec<EntryChange>,
    /// What follows from them: for traits, then segments, then destinations.
    pub consequences: Vec<Consequence>,
}

/// One entry that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryChange {
    /// Which.
    pub entry: Entry,
    /// Its name: the new one, if there are two; of a mapping that of its segment.
    pub name: String,
    /// How.
    pub change: Change,
}

/// An entry of a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// What stands beside the entries.
    Settings,
    /// A data source.
    DataSource(DataSourceId),
    /// A trait.
    Trait(TraitId),
    /// A segment.
    Segment(SegmentId),
    /// A destination.
    Destination(DestinationId),
    /// A mapping of a segment to a destination.
    Mapping(DestinationId, SegmentId),
}

/// How an entry differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is only in the new catalog.
    Added,
    /// It is only in the old catalog.
    Removed,
    /// It is in both; at least one field differs.
    Changed(Vec<FieldChange>),
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Its key in the catalog's file.
    pub field: &'static str,
    /// The old and the new value; `None` for a value that is not shown.
    pub values: Option<(String, String)>,
}

impl CatalogDiff {
    /// Compares two catalogs. The order of entries means nothing.
    #[must_use]
    pub fn between(old: &Catalog, new: &Catalog) -> Self {
        let mut changes = Vec::new();
        let settings = fields::of_settings(old, new);
        if !settings.is_empty() {
            changes.push(EntryChange {
                entry: Entry::Settings,
                name: "catalog".to_owned(),
                change: Change::Changed(settings),
            });
        }
        compare(
            (&old.data_sources, &new.data_sources),
            |source| source.id,
            fields::of_data_source,
            |source, change| {
                let (entry, name) = (Entry::DataSource(source.id), source.name.clone());
                changes.push(EntryChange {
                    entry,
                    name,
                    change,
                });
            },
        );
        compare(
            (&old.traits, &new.traits),
            |trait_| trait_.id,
            fields::of_trait,
            |trait_, change| {
                let (entry, name) = (Entry::Trait(trait_.id), trait_.name.clone());
                changes.push(EntryChange {
                    entry,
                    name,
                    change,
                });
            },
        );
        compare(
            (&old.segments, &new.segments),
            |segment| segment.id,
            fields::of_segment,
            |segment, change| {
                let (entry, name) = (Entry::Segment(segment.id), segment.name.clone());
                changes.push(EntryChange {
                    entry,
                    name,
                    change,
                });
            },
        );
        destinations(old, new, &mut changes);
        let consequences = consequence::of(old, new, &changes);
        Self {
            changes,
            consequences,
        }
    }

    /// Whether the catalogs say the same.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl Entry {
    /// Its kind, for programs.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::DataSource(_) => "data_source",
            Self::Trait(_) => "trait",
            Self::Segment(_) => "segment",
            Self::Destination(_) => "destination",
            Self::Mapping(..) => "mapping",
        }
    }
}

/// Hands every entry that differs to `emit`, ascending by id.
fn compare<T, I: Ord + Copy>(
    (old, new): (&[T], &[T]),
    id: impl Fn(&T) -> I,
    fields: impl Fn(&T, &T) -> Vec<FieldChange>,
    mut emit: impl FnMut(&T, Change),
) {
    let mut pairs: BTreeMap<I, (Option<&T>, Option<&T>)> = BTreeMap::new();
    for entry in old {
        pairs.entry(id(entry)).or_default().0 = Some(entry);
    }
    for entry in new {
        pairs.entry(id(entry)).or_default().1 = Some(entry);
    }
    for pair in pairs.into_values() {
        match pair {
            (Some(old), Some(new)) => {
                let fields = fields(old, new);
                if !fields.is_empty() {
                    emit(new, Change::Changed(fields));
                }
            }
            (Some(old), None) => emit(old, Change::Removed),
            (None, Some(new)) => emit(new, Change::Added),
            (None, None) => {}
        }
    }
}

fn destinations(old: &Catalog, new: &Catalog, changes: &mut Vec<EntryChange>) {
    let by_id = |catalog: &'_ Catalog, id| {
        let mut destinations = catalog.destinations.iter();
        let found = destinations.find(|other: &&Destination| other.id == id);
        found.map_or_else(Vec::new, |destination| destination.mappings.clone())
    };
    let mut ids: Vec<_> = old.destinations.iter().chain(&new.destinations).collect();
    ids.sort_by_key(|destination| destination.id);
    ids.dedup_by_key(|destination| destination.id);
    compare(
        (&old.destinations, &new.destinations),
        |destination| destination.id,
        fields::of_destination,
        |destination, change| {
            let (entry, name) = (Entry::Destination(destination.id), destination.name.clone());
            changes.push(EntryChange {
                entry,
                name,
                change,
            });
        },
    );
    // A segment that is gone still has its name.
    let segments = old.segments.iter().chain(&new.segments);
    let names = segments.map(|s| (s.id, s.name.as_str())).collect();
    for destination in ids {
        let id = destination.id;
        mappings(id, by_id(old, id), by_id(new, id), &names, changes);
    }
}

/// Mappings have no id: what is the same on both sides goes, then those of one segment are paired,
/// by their texts first.
fn mappings(
    id: DestinationId,
    mut old: Vec<Mapping>,
    mut new: Vec<Mapping>,
    names: &BTreeMap<SegmentId, &str>,
    changes: &mut Vec<EntryChange>,
) {
    let same: std::collections::HashSet<_> = old.iter().cloned().collect();
    let kept: std::collections::HashSet<_> =
        new.iter().filter(|m| same.contains(m)).cloned().collect();
    old.retain(|mapping| !kept.contains(mapping));
    new.retain(|mapping| !kept.contains(mapping));
    let mut found: Vec<(SegmentId, Change)> = Vec::new();
    for alike in [
        |old: &Mapping, new: &Mapping| old.segment == new.segment && old.value == new.value,
        |old: &Mapping, new: &Mapping| old.segment == new.segment,
    ] {
        old.retain(|before| {
            let Some(at) = new.iter().position(|after| alike(before, after)) else {
                return true;
            };
            let after = new.remove(at);
            let change = Change::Changed(fields::of_mapping(before, &after));
            found.push((before.segment, change));
            false
        });
    }
    found.extend(old.iter().map(|mapping| (mapping.segment, Change::Removed)));
    found.extend(new.iter().map(|mapping| (mapping.segment, Change::Added)));
    found.sort_by_key(|(segment, _)| *segment);
    for (segment, change) in found {
        changes.push(EntryChange {
            entry: Entry::Mapping(id, segment),
            name: names
                .get(&segment)
                .map_or_else(String::new, |name| (*name).to_owned()),
            change,
        });
    }
}

/// The segments whose members hear everything again when they are seen next.
fn remapped(old: &Catalog, new: &Catalog) -> Vec<SegmentId> {
    let MappingChanges(changes) = MappingChanges::default().after(old, new, 1);
    changes.into_iter().map(|(segment, _)| segment).collect()
}

#[cfg(test)]
mod tests;
