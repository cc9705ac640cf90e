//! Which traits had run out when a new version of the catalog would have let them live on.
//!
//! A trait that runs out is gone with its history. Nobody may notice at once: one that no rule reads
//! has no timer, and a new version may come before the timers of a midnight. So that nothing comes back
//! to life, a version that gives a trait a longer time-to-live says which realisations were over by
//! then; profiles that were evaluated with an earlier version drop them.

use std::collections::HashMap;
use tidings_model::{Catalog, Timestamp, TraitId, UtcDay};

/// Realisations that were over when versions of the catalog came, ascending by trait and generation.
/// Kept beside the profiles for as long as some of them may be behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lapses(pub Vec<Lapse>);

/// One trait that lives longer from one version of the catalog on, or had to begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapse {
    /// The trait.
    pub trait_id: TraitId,
    /// The version that lets it live longer.
    pub generation: u32,
    /// The trait had run out if it was realised last before this day.
    pub before: UtcDay,
}

impl Lapses {
    /// What is over when `new` takes the place of `old` as this generation, at `now`.
    #[must_use]
    pub fn after(mut self, old: &Catalog, new: &Catalog, generation: u32, now: Timestamp) -> Self {
        let lives: HashMap<_, _> = new
            .traits
            .iter()
            .map(|new| (new.id, new.ttl_days))
            .collect();
        for old in &old.traits {
            let before = match lives.get(&old.id) {
                // It goes with its realisations, should it ever come back.
                None => UtcDay(i32::MAX),
                Some(_) if old.ttl_days == 0 => continue,
                Some(&days) if days != 0 && days <= old.ttl_days => continue,
                Some(_) => {
                    let days = i32::try_from(old.ttl_days).unwrap_or(i32::MAX);
                    UtcDay(now.day().0.saturating_sub(days))
                }
            };
            self.0.push(Lapse {
                trait_id: old.id,
                generation,
                before,
            });
        }
        self.0
            .sort_unstable_by_key(|lapse| (lapse.trait_id, lapse.generation));
        self
    }

    /// Whether the trait, realised last at `last` as a profile evaluated with `generation` says, had
    /// run out before a later version came.
    pub(crate) fn had_run_out(&self, trait_id: TraitId, last: Timestamp, generation: u32) -> bool {
        let from = self.place(trait_id, generation);
        let later = self.0.get(from..).unwrap_or_default().iter();
        later
            .take_while(|lapse| lapse.trait_id == trait_id)
            .any(|lapse| last.day() < lapse.before)
    }

    /// Where the entries of the trait after this generation begin.
    fn place(&self, trait_id: TraitId, generation: u32) -> usize {
        let key = (trait_id, generation);
        self.0
            .partition_point(|lapse| (lapse.trait_id, lapse.generation) <= key)
    }
}
