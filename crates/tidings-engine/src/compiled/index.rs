//! Indexes: which segments read a trait, and which destinations a segment is mapped to.

use super::{
    Map, destinations::CompiledDestination, segments::CompiledSegment, traits::CompiledTrait,
};
use tidings_model::TraitId;

/// Lists of numbers per position, laid end to end: list `n` is `items[ends[n-1]..ends[n]]`.
#[derive(Debug)]
pub(super) struct Lists {
    items: Vec<u32>,
    ends: Vec<u32>,
}

impl Lists {
    fn new(lists: Vec<Vec<u32>>) -> Self {
        let mut items = Vec::with_capacity(lists.iter().map(Vec::len).sum());
        let mut ends = Vec::with_capacity(lists.len());
        for list in lists {
            items.extend(list);
            ends.push(u32::try_from(items.len()).unwrap_or(u32::MAX));
        }
        Self { items, ends }
    }

    /// The list at this position.
    pub(super) fn get(&self, position: usize) -> &[u32] {
        let end = self.ends.get(position).map_or(0, |&end| end as usize);
        let start = position
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |&end| end as usize);
        self.items.get(start..end).unwrap_or_default()
    }
}

/// For the trait with index `n`, the segments that read it, by itself or through a folder.
pub(super) fn readers(
    segments: &[CompiledSegment],
    traits: &Map<TraitId, CompiledTrait>,
    trait_count: usize,
) -> Lists {
    let mut lists = vec![Vec::new(); trait_count];
    for (index, segment) in (0u32..).zip(segments) {
        for trait_id in segment.program.traits() {
            let Some(read) = traits.get(trait_id) else {
                continue;
            };
            let members = read.members.iter().filter_map(|id| traits.get(id));
            for trait_ in members.chain([read]) {
                if let Some(list) = lists.get_mut(trait_.index as usize)
                    && list.last() != Some(&index)
                {
                    list.push(index);
                }
            }
        }
    }
    Lists::new(lists)
}

/// For the segment at index `n`, the destinations it is mapped to.
pub(super) fn mapped(segments: &[CompiledSegment], destinations: &[CompiledDestination]) -> Lists {
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
    Lists::new(lists)
}
