//! Which segments a profile is in: only the rules that can have changed are evaluated.
//!
//! Every rule is false for a profile without traits (a restriction of the rule language), so a rule
//! can be true only if it reads a trait the profile has. Answers that time changes (time-to-live,
//! recency) change at midnight UTC, so within one day only rules that read a changed trait matter.

use crate::{
    CompiledCatalog, Engine, Profile,
    profile::SegmentState,
    realise::{self, LiveTraits},
    time,
};
use tidings_model::{SegmentId, Status, Timestamp, TraitId, planted};

/// Buffers of an evaluation, kept between events so that a steady state allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Evaluation {
    /// Traits realised, removed or expired since the last evaluation.
    pub(crate) changed: Vec<TraitId>,
    /// Evaluate every rule, whatever changed.
    pub(crate) everything: bool,
    candidates: Vec<u32>,
    /// Rules evaluated.
    evaluated: usize,
    /// Segments entered, ascending.
    pub(crate) entered: Vec<SegmentId>,
    /// Segments left, ascending.
    pub(crate) left: Vec<SegmentId>,
}

impl Evaluation {
    /// Forgets the last event.
    pub(crate) fn begin(&mut self) {
        self.changed.clear();
        self.everything = false;
        self.candidates.clear();
        self.evaluated = 0;
        self.entered.clear();
        self.left.clear();
    }

    /// Brings `profile.segments` up to `now`; `self.changed` names the traits that changed.
    /// Afterwards `self.entered` and `self.left` hold the difference.
    pub(crate) fn evaluate(
        &mut self,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        now: Timestamp,
    ) {
        if self.everything || is_out_of_date(catalog, profile, now) {
            // Readers are looked up before expiry takes the traits away.
            for state in &profile.traits {
                self.candidates.extend(catalog.readers(state.id));
            }
            let changed = &mut self.changed;
            let generation = profile.generation;
            realise::expire(&mut profile.traits, catalog, generation, now, |id| {
                changed.push(id);
            });
            forget_deleted_segments(catalog, profile);
            let members = profile.segments.iter();
            self.candidates
                .extend(members.filter_map(|state| catalog.segment_index(state.id)));
        }
        for &id in &self.changed {
            self.candidates.extend(catalog.readers(id));
        }
        // A device unseen for so long leaves everything, so it enters nothing.
        let enters = !time::is_unseen(catalog, profile, now);
        self.candidates.sort_unstable();
        self.candidates.dedup();
        for &index in &self.candidates {
            let Some(segment) = catalog.segment(index) else {
                continue;
            };
            if planted!(PausedTakesMembers, false, segment.status == Status::Paused) {
                // A paused segment keeps its members and takes no new ones.
                continue;
            }
            self.evaluated += 1;
            let is = segment.program.evaluate(
                now.day(),
                &LiveTraits {
                    traits: &profile.traits,
                    catalog,
                },
            );
            let place = profile
                .segments
                .binary_search_by_key(&segment.id, |state| state.id);
            match (place, is) {
                (Err(at), true) if enters => {
                    profile.segments.insert(
                        at,
                        SegmentState {
                            id: segment.id,
                            since: now,
                        },
                    );
                    self.entered.push(segment.id);
                }
                (Ok(at), false) => {
                    profile.segments.remove(at);
                    self.left.push(segment.id);
                }
                (Ok(_), true) | (Err(_), _) => {}
            }
        }
        profile.evaluated = now;
        profile.generation = catalog.generation();
    }
}

impl Evaluation {
    /// Takes the device out of every segment, whatever the rules say.
    pub(crate) fn leave_all(
        &mut self,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        now: Timestamp,
    ) {
        forget_deleted_segments(catalog, profile);
        realise::expire(
            &mut profile.traits,
            catalog,
            profile.generation,
            now,
            |_| {},
        );
        self.left
            .extend(profile.segments.drain(..).map(|state| state.id));
        profile.evaluated = now;
        profile.generation = catalog.generation();
    }
}

impl Engine {
    /// How many segments had their rule evaluated by the last event or wake-up: those that read what
    /// it changed, and on the first occasion of a day or of a catalog those that read any trait of the
    /// device.
    #[must_use]
    pub const fn segments_evaluated(&self) -> usize {
        self.evaluation.evaluated
    }
}

/// Whether time or another catalog may have changed any answer since the last evaluation.
pub(crate) fn is_out_of_date(catalog: &CompiledCatalog, profile: &Profile, now: Timestamp) -> bool {
    planted!(TtlFromTheHour, true, profile.evaluated.day() != now.day())
        || profile.generation != catalog.generation()
}

/// Members of a deleted segment leave it without a word to partners.
fn forget_deleted_segments(catalog: &CompiledCatalog, profile: &mut Profile) {
    if profile.generation == catalog.generation() {
        return;
    }
    let exists = |id: SegmentId| catalog.segment_index(id).is_some();
    profile.segments.retain(|state| exists(state.id));
    for destination in &mut profile.destinations {
        destination.told.retain(|&mut id| exists(id));
        destination.owed.retain(|zero| exists(zero.segment));
        for baseline in &mut destination.batch.baselines {
            baseline.segments.retain(|&mut id| exists(id));
        }
    }
    forget_refused_zeros(catalog, profile);
    // One that is in the set of changes of its batch is taken out of that first.
    profile
        .destinations
        .retain(|state| state.batch.marked.is_some() || catalog.destination(state.id).is_some());
}

/// What was owed to a partner before it was known that it takes no zeros is owed no more.
pub(crate) fn forget_refused_zeros(catalog: &CompiledCatalog, profile: &mut Profile) {
    for state in &mut profile.destinations {
        let compiled = catalog.destination(state.id);
        if compiled.is_some_and(|compiled| !compiled.supports_unsegment) {
            let owed = std::mem::take(&mut state.owed);
            let is_owed = |id| owed.iter().any(|zero| zero.segment == id);
            state.told.retain(|&mut id| !is_owed(id));
        }
    }
}
