//! When the value of a rule changes by itself, and what changes it.
//!
//! Every such instant is a midnight at which a trait that the rule reads runs out, or a realisation
//! of it leaves or enters a window of the rule. The rule is evaluated at each of them, so what is
//! found is the next change, and not only the next instant at which one could be.

use crate::{
    CompiledCatalog, Profile,
    profile::TraitState,
    realise::{self, LiveTraits},
    time,
    why::rule::RuleWhy,
};
use tidings_model::{Catalog, Status, Timestamp, Trait, TraitId, UtcDay};
use tidings_rules::{Expr, Recency, SegmentRule, SegmentTerm, TermValue, Window};

/// A change that time alone makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextChange {
    /// When.
    pub at: Timestamp,
    /// The value from then on.
    pub to: bool,
    /// What makes it, at least one.
    pub causes: Vec<ChangeCause>,
}

/// What changes a value as time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeCause {
    /// The time-to-live of a trait ends.
    TimeToLive(TraitId),
    /// The realisations of a day leave a `<=` window, or enter a `>=` window.
    Window {
        /// The trait.
        trait_id: TraitId,
        /// The day of the realisations.
        day: UtcDay,
        /// The window.
        recency: Recency,
    },
    /// The device has been unseen for 120 days.
    Unseen,
}

/// The traits of a profile that a rule reads, now and at every instant at which time changes what
/// the rule sees of them.
pub(super) struct View<'a> {
    pub(super) compiled: &'a CompiledCatalog,
    pub(super) rule: &'a SegmentRule,
    /// What the catalog says about the traits that the rule reads, ascending.
    described: Vec<&'a Trait>,
    pub(super) now: Timestamp,
    /// The version that the profile was evaluated with.
    generation: u32,
    /// Those that the rule reads, itself or through a folder, ascending; some may have run out.
    pub(super) traits: Vec<TraitState>,
    /// Now, and then every instant, ascending.
    pub(super) instants: Vec<Timestamp>,
    /// Per term, in order: its value at each instant.
    pub(super) values: Vec<Vec<bool>>,
}

impl<'a> View<'a> {
    pub(super) fn new(
        catalog: &'a Catalog,
        compiled: &'a CompiledCatalog,
        profile: &Profile,
        rule: &'a SegmentRule,
        now: Timestamp,
    ) -> Self {
        let ids = traits_read(compiled, rule);
        let states = ids.iter().filter_map(|&id| state_of(&profile.traits, id));
        let traits = states.cloned().collect();
        let mut described: Vec<_> = catalog
            .traits
            .iter()
            .filter(|trait_| ids.binary_search(&trait_.id).is_ok())
            .collect();
        described.sort_unstable_by_key(|trait_| trait_.id);
        let mut view = Self {
            compiled,
            rule,
            described,
            now,
            generation: profile.generation,
            traits,
            instants: vec![now],
            values: Vec::new(),
        };
        let mut later = Vec::new();
        rule.expr().for_each_term(&mut |term| {
            view.changes_of(term, |at, _| later.push(at));
            view.values.push(Vec::new());
        });
        later.retain(|at| *at > now);
        later.sort_unstable();
        later.dedup();
        view.instants.extend(later);
        let mut values = std::mem::take(&mut view.values);
        for &at in &view.instants {
            let mut rows = values.iter_mut();
            view.terms_at(at).for_each_term(&mut |term| {
                if let Some(row) = rows.next() {
                    row.push(term.holds);
                }
            });
        }
        view.values = values;
        view
    }

    /// What the catalog says about a trait that the rule reads.
    pub(super) fn described(&self, id: TraitId) -> Option<&'a Trait> {
        let at = self.described.binary_search_by_key(&id, |trait_| trait_.id);
        self.described.get(at.ok()?).copied()
    }

    /// The states that are live at an instant.
    pub(super) fn live_at(&self, at: Timestamp) -> Vec<TraitState> {
        let mut traits = self.traits.clone();
        realise::expire(&mut traits, self.compiled, self.generation, at, |_| {});
        traits
    }

    /// The values of all terms at an instant.
    pub(super) fn terms_at(&self, at: Timestamp) -> Expr<TermValue<'_>> {
        let traits = &self.live_at(at);
        let catalog = self.compiled;
        self.rule.explain(at.day(), &LiveTraits { traits, catalog })
    }

    /// The states that a term counts: those of its traits, and of the traits below its folders.
    pub(super) fn states_of(&self, term: &SegmentTerm) -> impl Iterator<Item = &TraitState> {
        let ids = term.traits().iter().flat_map(|&id| {
            let members = self.compiled.folder_members(id).iter().copied();
            std::iter::once(id).chain(members)
        });
        ids.filter_map(|id| state_of(&self.traits, id))
    }

    /// Every instant at which time changes what a term counts.
    fn changes_of(&self, term: &SegmentTerm, mut each: impl FnMut(Timestamp, ChangeCause)) {
        for state in self.states_of(term) {
            let trait_id = state.id;
            let ttl_days = self.compiled.trait_(trait_id).map_or(0, |t| t.ttl_days);
            let end = realise::expiry(state.last, ttl_days);
            if let Some(end) = end {
                each(end, ChangeCause::TimeToLive(trait_id));
            }
            let Some(recency) = term.recency() else {
                continue;
            };
            for count in &state.days {
                let at = Window { trait_id, recency }.changes_on(count.day).start();
                if end.is_none_or(|end| at < end) {
                    let day = count.day;
                    let cause = ChangeCause::Window {
                        trait_id,
                        day,
                        recency,
                    };
                    each(at, cause);
                }
            }
        }
    }

    /// The first change of a value that is `values` at the instants, made by the terms with these
    /// positions.
    pub(super) fn first_change(
        &self,
        values: &[bool],
        terms: std::ops::Range<usize>,
    ) -> Option<NextChange> {
        let first = values.first()?;
        let index = values.iter().position(|value| value != first)?;
        let (at, to) = (*self.instants.get(index)?, !first);
        let mut causes = Vec::new();
        let mut position = 0;
        self.rule.expr().for_each_term(&mut |term| {
            let row = self.values.get(position);
            let changed = row.is_some_and(|row| row.get(index) != row.get(index - 1));
            if terms.contains(&position) && changed {
                self.changes_of(term, |when, cause| {
                    if when == at && !causes.contains(&cause) {
                        causes.push(cause);
                    }
                });
            }
            position += 1;
        });
        Some(NextChange { at, to, causes })
    }
}

/// The state of a trait, live or not.
pub(super) fn state_of(traits: &[TraitState], id: TraitId) -> Option<&TraitState> {
    let at = traits.binary_search_by_key(&id, |state| state.id);
    traits.get(at.ok()?)
}

/// The traits that a rule reads, and those below its folders, ascending.
fn traits_read(compiled: &CompiledCatalog, rule: &SegmentRule) -> Vec<TraitId> {
    let mut ids = Vec::new();
    rule.expr().for_each_term(&mut |term| {
        for &id in term.traits() {
            ids.push(id);
            ids.extend(compiled.folder_members(id));
        }
    });
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// When time alone changes the membership next.
pub(super) fn of_membership(
    view: &View<'_>,
    rule: &RuleWhy,
    profile: &Profile,
    status: Status,
    since: Option<Timestamp>,
) -> Option<NextChange> {
    let unseen = time::idle_at(view.compiled, profile);
    if profile.opted_out || unseen <= view.now {
        return None;
    }
    let by_rule = rule.next.clone().filter(|_| status == Status::Active);
    match since {
        Some(_) if rule.holds || status == Status::Paused => {
            let by_rule = by_rule.filter(|change| change.at < unseen);
            Some(by_rule.unwrap_or_else(|| NextChange {
                at: unseen,
                to: false,
                causes: vec![ChangeCause::Unseen],
            }))
        }
        // What is behind is brought up to date before anything else happens to it.
        Some(_) => None,
        None if rule.holds => None,
        // A device that is unseen enters nothing.
        None => by_rule.filter(|change| change.at < unseen),
    }
}
