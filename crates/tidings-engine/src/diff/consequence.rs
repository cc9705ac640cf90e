//! What follows for devices and partners when one catalog takes the place of another.

use super::{Change, Entry, EntryChange, remapped};
use crate::GLOBAL_DATA_SOURCES;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use tidings_model::{
    Catalog, DataSourceId, Destination, DestinationId, ExportBlock, Mapping, SegmentId, Status,
    Trait, TraitId, TraitKind,
};
use tidings_rules::{SegmentExports, SegmentRule};

/// One consequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Devices that were not seen for 120 days leave with a cleanup every so many days.
    CleanupDiffers(u8),
    /// Events that name the data source are refused from now on.
    DataSourceGone(DataSourceId),
    /// The trait leaves all profiles with its history.
    TraitGone(TraitId),
    /// Other events realise the trait from now on; what was realised before stays.
    TraitRuleChanged(TraitId),
    /// What the segment reads of profiles changes, without a change of its rule: these traits.
    TraitsReadDiffer(SegmentId, Vec<TraitId>),
    /// Devices may enter and leave the segment, as its rule is another.
    RuleChanged(SegmentId),
    /// Devices whose traits fulfil its rule already enter the segment.
    SegmentBegins(SegmentId),
    /// Partners hear nothing of the segment; its members stay, nobody enters.
    SegmentPaused(SegmentId),
    /// The segment's members are evaluated again, and partners hear of it again.
    SegmentResumed(SegmentId),
    /// Members leave without a word to partners: those that were told 1 are not told 0.
    SegmentGone(SegmentId),
    /// What is mapped of the segment differs: its members hear all their segments again when they
    /// are seen next.
    ToldAgain(SegmentId),
    /// The destination is not told of the segment any more, not even the 0 of members that leave.
    MappingGone(DestinationId, SegmentId),
    /// The segment is sent under other texts: under this one the partner hears no 0.
    TextGone(DestinationId, SegmentId, String),
    /// An export control keeps the segment from the destination: it hears neither 1 nor 0.
    BlockBegins(DestinationId, SegmentId, ExportBlock),
    /// No export control keeps the segment from the destination any more.
    BlockEnds(DestinationId, SegmentId),
    /// The destination is told of devices as they change or are seen.
    DestinationBegins(DestinationId),
    /// Nothing is sent to the destination any more; what it was still to be told is dropped.
    DestinationGone(DestinationId),
    /// Nothing is sent to the destination; what there is to tell it waits.
    DestinationPaused(DestinationId),
    /// The destination is told what has waited.
    DestinationResumed(DestinationId),
    /// The destination is told under ids of the namespace with the next message about a device.
    NamespaceBegins(DestinationId, DataSourceId),
    /// Nothing is told under ids of the namespace any more, not even a 0.
    NamespaceGone(DestinationId, DataSourceId),
    /// The first batch tells every membership.
    BatchesBegin(DestinationId),
    /// There are no batches any more, and what they told is forgotten.
    BatchesEnd(DestinationId),
}

impl Consequence {
    /// A stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CleanupDiffers(_) => "cleanup_differs",
            Self::DataSourceGone(_) => "data_source_gone",
            Self::TraitGone(_) => "trait_gone",
            Self::TraitRuleChanged(_) => "trait_rule_changed",
            Self::TraitsReadDiffer(..) => "traits_read_differ",
            Self::RuleChanged(_) => "rule_changed",
            Self::SegmentBegins(_) => "segment_begins",
            Self::SegmentPaused(_) => "segment_paused",
            Self::SegmentResumed(_) => "segment_resumed",
            Self::SegmentGone(_) => "segment_gone",
            Self::ToldAgain(_) => "told_again",
            Self::MappingGone(..) => "mapping_gone",
            Self::TextGone(..) => "text_gone",
            Self::BlockBegins(..) => "block_begins",
            Self::BlockEnds(..) => "block_ends",
            Self::DestinationBegins(_) => "destination_begins",
            Self::DestinationGone(_) => "destination_gone",
            Self::DestinationPaused(_) => "destination_paused",
            Self::DestinationResumed(_) => "destination_resumed",
            Self::NamespaceBegins(..) => "namespace_begins",
            Self::NamespaceGone(..) => "namespace_gone",
            Self::BatchesBegin(_) => "batches_begin",
            Self::BatchesEnd(_) => "batches_end",
        }
    }
}

pub(super) fn of(old: &Catalog, new: &Catalog, changes: &[EntryChange]) -> Vec<Consequence> {
    let mut found = Vec::new();
    for EntryChange { entry, change, .. } in changes {
        match (*entry, change) {
            (Entry::Settings, _) => found.push(Consequence::CleanupDiffers(new.cleanup.days)),
            // A built-in one that loses its entry, and its export controls with it, still exists.
            (Entry::DataSource(id), Change::Removed) if !GLOBAL_DATA_SOURCES.contains(&id) => {
                found.push(Consequence::DataSourceGone(id));
            }
            (Entry::Trait(id), Change::Removed) => found.push(Consequence::TraitGone(id)),
            (Entry::Trait(id), Change::Changed(fields))
                if fields.iter().any(|field| field.field == "rule") =>
            {
                found.push(Consequence::TraitRuleChanged(id));
            }
            _ => {}
        }
    }
    segments(old, new, &mut found);
    let existed: BTreeSet<_> = old.segments.iter().map(|segment| segment.id).collect();
    let again = remapped(old, new).into_iter();
    found.extend(
        again
            .filter(|id| existed.contains(id))
            .map(Consequence::ToldAgain),
    );
    let before = by_id(&old.destinations);
    let after = by_id(&new.destinations);
    let (forbidden, forbids) = (
        SegmentExports::of_catalog(old),
        SegmentExports::of_catalog(new),
    );
    for (id, destination) in &after {
        let earlier = before.get(id);
        match earlier {
            None => begins(destination, &mut found),
            Some(old) => destination_changes(old, destination, &mut found),
        }
        let earlier = earlier.map_or_else(BTreeMap::new, |old| blocks(old, &forbidden));
        block_changes(
            destination,
            &earlier,
            &blocks(destination, &forbids),
            &mut found,
        );
    }
    let gone = before.keys().filter(|id| !after.contains_key(id));
    found.extend(gone.map(|id| Consequence::DestinationGone(*id)));
    found
}

fn by_id(destinations: &[Destination]) -> BTreeMap<DestinationId, &Destination> {
    destinations.iter().map(|d| (d.id, d)).collect()
}

fn segments(old: &Catalog, new: &Catalog, found: &mut Vec<Consequence>) {
    let differing = traits_differing(old, new);
    let before: BTreeMap<_, _> = old.segments.iter().map(|s| (s.id, s)).collect();
    let after: BTreeMap<_, _> = new.segments.iter().map(|s| (s.id, s)).collect();
    let folders = (folders_of(old), folders_of(new));
    for (&id, segment) in &after {
        let Some(old) = before.get(&id) else {
            if segment.status == Status::Active {
                found.push(Consequence::SegmentBegins(id));
            }
            continue;
        };
        match (old.status, segment.status) {
            (Status::Active, Status::Paused) => found.push(Consequence::SegmentPaused(id)),
            (Status::Paused, Status::Active) => found.push(Consequence::SegmentResumed(id)),
            (Status::Active, Status::Active) | (Status::Paused, Status::Paused) => {}
        }
        if segment.status == Status::Paused {
            continue;
        }
        let parsed = SegmentRule::parse(&segment.rule);
        if old.rule != segment.rule && SegmentRule::parse(&old.rule) != parsed {
            found.push(Consequence::RuleChanged(id));
        } else if let (Ok(rule), false) = (parsed, differing.is_empty()) {
            let mut read: BTreeSet<TraitId> = BTreeSet::new();
            rule.expr()
                .for_each_term(&mut |term| read.extend(term.traits().iter().copied()));
            let through_folder = |id: &TraitId| {
                let lies_in = |folders: &BTreeMap<TraitId, TraitId>| {
                    let next = |id: &TraitId| folders.get(id).copied();
                    let depth = tidings_model::limits::FOLDER_DEPTH_MAX + 1;
                    let mut up = std::iter::successors(Some(*id), next).take(depth);
                    up.any(|id| read.contains(&id))
                };
                lies_in(&folders.0) || lies_in(&folders.1)
            };
            let traits: Vec<_> = differing.iter().copied().filter(through_folder).collect();
            if !traits.is_empty() {
                found.push(Consequence::TraitsReadDiffer(id, traits));
            }
        }
    }
    let gone = before.keys().filter(|id| !after.contains_key(id));
    found.extend(gone.map(|id| Consequence::SegmentGone(*id)));
}

/// The traits whose realisations are kept or counted otherwise: they live longer or shorter, count
/// otherwise, lie elsewhere, or are gone. A new one was never realised.
fn traits_differing(old: &Catalog, new: &Catalog) -> Vec<TraitId> {
    let after: BTreeMap<_, _> = new.traits.iter().map(|t| (t.id, t)).collect();
    let counted = |trait_: &Trait| (trait_.ttl_days, trait_.kind, trait_.folder);
    let differs = |trait_: &&Trait| {
        let other = after.get(&trait_.id);
        other.is_none_or(|other| counted(other) != counted(trait_))
    };
    let mut ids: Vec<_> = old.traits.iter().filter(differs).map(|t| t.id).collect();
    ids.sort_unstable();
    ids
}

fn folders_of(catalog: &Catalog) -> BTreeMap<TraitId, TraitId> {
    let traits = catalog.traits.iter();
    let known: BTreeSet<_> = traits
        .clone()
        .filter(|trait_| trait_.kind == TraitKind::Folder)
        .map(|trait_| trait_.id)
        .collect();
    traits
        .filter_map(|trait_| Some((trait_.id, trait_.folder.filter(|id| known.contains(id))?)))
        .collect()
}

fn begins(destination: &Destination, found: &mut Vec<Consequence>) {
    let id = destination.id;
    found.push(match destination.status {
        Status::Active => Consequence::DestinationBegins(id),
        Status::Paused => Consequence::DestinationPaused(id),
    });
    if destination.batch.is_some() {
        found.push(Consequence::BatchesBegin(id));
    }
}

fn destination_changes(old: &Destination, new: &Destination, found: &mut Vec<Consequence>) {
    let id = new.id;
    match (old.status, new.status) {
        (Status::Active, Status::Paused) => found.push(Consequence::DestinationPaused(id)),
        (Status::Paused, Status::Active) => found.push(Consequence::DestinationResumed(id)),
        (Status::Active, Status::Active) | (Status::Paused, Status::Paused) => {}
    }
    let mapped: BTreeSet<_> = new.mappings.iter().map(|m| m.segment).collect();
    let gone: BTreeSet<_> = old.mappings.iter().map(|m| m.segment).collect();
    let gone = gone.difference(&mapped);
    found.extend(gone.map(|segment| Consequence::MappingGone(id, *segment)));
    texts_gone(old, new, &mapped, found);
    let has = |destination: &Destination, source| destination.id_data_sources.contains(source);
    let added = new
        .id_data_sources
        .iter()
        .filter(|source| !has(old, source));
    found.extend(added.map(|source| Consequence::NamespaceBegins(id, *source)));
    let gone = old
        .id_data_sources
        .iter()
        .filter(|source| !has(new, source));
    found.extend(gone.map(|source| Consequence::NamespaceGone(id, *source)));
    match (&old.batch, &new.batch) {
        (None, Some(_)) => found.push(Consequence::BatchesBegin(id)),
        (Some(_), None) => found.push(Consequence::BatchesEnd(id)),
        (Some(_), Some(_)) | (None, None) => {}
    }
}

/// The mapped segments that an export control keeps from the destination.
fn blocks(destination: &Destination, exports: &SegmentExports) -> BTreeMap<SegmentId, ExportBlock> {
    let mapped = destination.mappings.iter().map(|mapping| mapping.segment);
    mapped
        .filter_map(|segment| Some((segment, exports.block(segment, destination.export_labels)?)))
        .collect()
}

/// Blocks that begin, with the mapping or under it, and blocks that end while the mapping goes on.
fn block_changes(
    destination: &Destination,
    before: &BTreeMap<SegmentId, ExportBlock>,
    after: &BTreeMap<SegmentId, ExportBlock>,
    found: &mut Vec<Consequence>,
) {
    let id = destination.id;
    let begun = after
        .iter()
        .filter(|(segment, _)| !before.contains_key(*segment));
    found.extend(begun.map(|(segment, block)| Consequence::BlockBegins(id, *segment, *block)));
    let mapped: BTreeSet<_> = destination.mappings.iter().map(|m| m.segment).collect();
    let ended = before
        .keys()
        .filter(|segment| !after.contains_key(*segment));
    let ended = ended.filter(|segment| mapped.contains(*segment));
    found.extend(ended.map(|segment| Consequence::BlockEnds(id, *segment)));
}

/// Texts that were sent and are not any more, of segments that still are.
fn texts_gone(
    old: &Destination,
    new: &Destination,
    mapped: &BTreeSet<SegmentId>,
    found: &mut Vec<Consequence>,
) {
    let text = |mapping: &Mapping| {
        let id = mapping.segment.to_string();
        mapping.value.clone().unwrap_or(id)
    };
    let sent: HashSet<_> = new.mappings.iter().map(text).collect();
    let mut gone = BTreeSet::new();
    for mapping in old.mappings.iter().filter(|m| mapped.contains(&m.segment)) {
        let text = text(mapping);
        if !sent.contains(&text) {
            gone.insert((mapping.segment, text));
        }
    }
    let gone = gone.into_iter();
    found.extend(gone.map(|(segment, text)| Consequence::TextGone(new.id, segment, text)));
}
