//! Traits: their folders, and the windows through which rules look at them.

use super::Map;
use tidings_model::{Trait, TraitId, TraitKind, limits};
use tidings_rules::Recency;

#[derive(Clone, Debug)]
pub(crate) struct CompiledTrait {
    pub(super) index: u32,
    pub(crate) kind: TraitKind,
    pub(crate) ttl_days: u32,
    /// The longest recency window, in days, of any rule that reads the trait; `None`: there is none.
    pub(crate) window_days: Option<u32>,
    /// The distinct recency windows through which rules read the trait.
    pub(crate) windows: Vec<Recency>,
    /// The folder that holds it, and the folders that hold that, from the inside out.
    pub(super) folders: Box<[TraitId]>,
    /// For a folder, the traits below it that are no folders, ascending.
    pub(crate) members: Box<[TraitId]>,
}

impl CompiledTrait {
    pub(super) fn look_through(&mut self, recency: Recency) {
        self.window_days = self.window_days.max(Some(recency.days.get()));
        if !self.windows.contains(&recency) {
            self.windows.push(recency);
        }
    }
}

/// The folders that hold a trait, from the inside out. A catalog that was checked has no circle; one
/// that was not must not hang.
pub(super) fn folders_of(trait_: &Trait, parents: &Map<TraitId, TraitId>) -> Box<[TraitId]> {
    let next = |id: &TraitId| parents.get(id).copied();
    std::iter::successors(trait_.folder, next)
        .take(limits::FOLDER_DEPTH_MAX)
        .collect()
}

/// Lets every folder know the traits below it.
pub(super) fn fill_folders(traits: &mut Map<TraitId, CompiledTrait>) {
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
