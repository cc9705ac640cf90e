//! Which segments' mappings changed in which version of the catalog.
//!
//! A changed mapping is told when a device of its segment is seen next, and that may be many versions
//! later. So the list is carried from version to version instead of comparing two of them.

use tidings_model::{Catalog, DestinationId, Mapping, SegmentId, Status, planted};
use tidings_rules::SegmentExports;

/// For every segment, ascending: the generation of the catalog in which a mapping of it was added,
/// changed or removed last, or it went back to work after a pause or an export block. Kept beside the profiles, since a
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

/// Everything about mappings whose change is a mapping update: segment, destination, whether the
/// segment is at work and free of export blocks there, and what the mapping says.
type MappedSegment<'a> = (SegmentId, DestinationId, (Status, Export), &'a Mapping);

/// Whether an export control keeps a segment back. Which one does makes no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Export {
    Free,
    Blocked,
}

fn mapped_segments(catalog: &Catalog) -> std::collections::HashSet<MappedSegment<'_>> {
    let status: std::collections::HashMap<_, _> = catalog
        .segments
        .iter()
        .map(|segment| (segment.id, segment.status))
        .collect();
    let exports = SegmentExports::of_catalog(catalog);
    let mut mapped = std::collections::HashSet::new();
    for destination in &catalog.destinations {
        for mapping in &destination.mappings {
            let status = status
                .get(&mapping.segment)
                .copied()
                .unwrap_or(Status::Paused);
            let export = match exports.block(mapping.segment, destination.export_labels) {
                Some(_) => planted!(ExportBlockEndForgotten, Export::Free, Export::Blocked),
                None => Export::Free,
            };
            mapped.insert((mapping.segment, destination.id, (status, export), mapping));
        }
    }
    mapped
}
