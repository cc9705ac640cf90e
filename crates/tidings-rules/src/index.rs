//! Finds the trait rules that match an event without evaluating them all.
//!
//! Each rule is filed under conditions of which at least one holds whenever the rule does (`guard`):
//! a key with a certain value, or the presence of a key. An event looks up its own keys and values
//! and evaluates only the rules filed there, and those that can hold for an event without signals.
//! The lookup goes by hash alone; a collision costs an evaluation, never a wrong answer. The hash
//! has a fixed seed: events only look up, so nobody outside can fill the tables with collisions.
//!
//! Not here: an index inside values. A hundred thousand rules `url contains "..."` on one key are
//! all evaluated for an event that has the key.

mod guard;

use crate::trait_rule::TraitRule;
use crate::value::Canonical;
use foldhash::fast::FixedState;
use guard::{Census, Condition, Guard};
use std::{collections::HashMap, hash::BuildHasher, ops::Range};
use tidings_model::Signals;

/// Trait rules by number, 0 upwards in the order given, with an index over them.
#[derive(Debug)]
pub struct TraitRuleIndex {
    rules: Vec<TraitRule>,
    /// Rules that no lookup finds, ascending.
    always: Vec<u32>,
    /// By hash of the key.
    keys: HashMap<u64, KeyEntry, FixedState>,
    /// By hash of key and value.
    values: HashMap<u64, Range<u32>, FixedState>,
    /// The rule numbers that the ranges of the maps refer to.
    filed: Vec<u32>,
}

#[derive(Debug, Default)]
struct KeyEntry {
    /// Rules that need the key to be present.
    present: Range<u32>,
    /// Some rule needs a certain value of the key.
    has_values: bool,
}

/// Memory that [`TraitRuleIndex::for_each_match`] works in. Keep it from event to event: once it
/// has grown to what an event needs, nothing is allocated any more.
#[derive(Debug, Default)]
pub struct Scratch {
    candidates: Vec<u32>,
}

impl TraitRuleIndex {
    /// Files the rules; the first is number 0. Rules past 2^32 are not reached.
    ///
    /// Cost: one pass over all terms to count them and one to choose, then sorting.
    #[must_use]
    pub fn new(rules: Vec<TraitRule>) -> Self {
        let state = FixedState::default();
        let census = Census::of(&rules);
        let mut always = Vec::new();
        let mut by_key = Vec::new();
        let mut by_value = Vec::new();
        for (number, rule) in (0u32..).zip(&rules) {
            match Guard::of(rule.expr(), &census) {
                Guard::Always => always.push(number),
                Guard::AnyOf(conditions) => {
                    for condition in conditions {
                        match condition {
                            Condition::Key(key) => by_key.push((state.hash_one(key), number)),
                            Condition::Value(key, value) => {
                                let key_hash = state.hash_one(key);
                                by_value.push((
                                    key_hash,
                                    value_hash(&state, key_hash, value),
                                    number,
                                ));
                            }
                        }
                    }
                }
            }
        }
        let mut index = Self {
            rules,
            always,
            keys: HashMap::with_hasher(state.clone()),
            values: HashMap::with_hasher(state),
            filed: Vec::with_capacity(by_key.len() + by_value.len()),
        };
        index.file(by_key, by_value);
        index
    }

    fn file(&mut self, mut by_key: Vec<(u64, u32)>, by_value: Vec<(u64, u64, u32)>) {
        by_key.sort_unstable();
        by_key.dedup();
        for chunk in by_key.chunk_by(|a, b| a.0 == b.0) {
            let range = extend(&mut self.filed, chunk.iter().map(|(_, number)| *number));
            if let Some((hash, _)) = chunk.first() {
                self.keys.entry(*hash).or_default().present = range;
            }
        }
        let mut values: Vec<(u64, u32)> = Vec::with_capacity(by_value.len());
        for (key_hash, value_hash, number) in by_value {
            self.keys.entry(key_hash).or_default().has_values = true;
            values.push((value_hash, number));
        }
        values.sort_unstable();
        values.dedup();
        for chunk in values.chunk_by(|a, b| a.0 == b.0) {
            let range = extend(&mut self.filed, chunk.iter().map(|(_, number)| *number));
            if let Some((hash, _)) = chunk.first() {
                self.values.insert(*hash, range);
            }
        }
        self.filed.shrink_to_fit();
    }

    /// Calls `found` once with the number of every rule that matches, in ascending order.
    ///
    /// Cost: two hash lookups per signal, then one evaluation per rule found there.
    pub fn for_each_match(
        &self,
        signals: &Signals,
        scratch: &mut Scratch,
        mut found: impl FnMut(u32),
    ) {
        let candidates = &mut scratch.candidates;
        candidates.clear();
        candidates.extend_from_slice(&self.always);
        self.collect(signals, candidates);
        candidates.sort_unstable();
        candidates.dedup();
        for &number in candidates.iter() {
            if self.rule(number).is_some_and(|rule| rule.matches(signals)) {
                found(number);
            }
        }
    }

    /// Adds the rules filed under the signals; some come more than once.
    fn collect(&self, signals: &Signals, candidates: &mut Vec<u32>) {
        let state = self.values.hasher();
        let mut current = None;
        for (key, value) in signals.iter() {
            // Signals are sorted by key: the values of one key stand together.
            let (key_hash, entry) = match current {
                Some((last, hash, entry)) if last == key => (hash, entry),
                _ => {
                    let hash = state.hash_one(key);
                    let entry = self.keys.get(&hash);
                    candidates.extend_from_slice(self.filed(entry.map(|entry| &entry.present)));
                    current = Some((key, hash, entry));
                    (hash, entry)
                }
            };
            if entry.is_some_and(|entry| entry.has_values) {
                let hash = value_hash(state, key_hash, Canonical::of(value));
                candidates.extend_from_slice(self.filed(self.values.get(&hash)));
            }
        }
    }

    fn filed(&self, range: Option<&Range<u32>>) -> &[u32] {
        range
            .and_then(|range| self.filed.get(range.start as usize..range.end as usize))
            .unwrap_or_default()
    }

    /// The rule with this number.
    #[must_use]
    pub fn rule(&self, number: u32) -> Option<&TraitRule> {
        self.rules.get(number as usize)
    }

    /// All rules, by number.
    #[must_use]
    pub fn rules(&self) -> &[TraitRule] {
        &self.rules
    }

    /// How many rules would be evaluated for these signals: what the index could not rule out.
    #[must_use]
    pub fn candidate_count(&self, signals: &Signals, scratch: &mut Scratch) -> usize {
        self.for_each_match(signals, scratch, |_| {});
        scratch.candidates.len()
    }
}

fn value_hash(state: &FixedState, key_hash: u64, value: Canonical<'_>) -> u64 {
    state.hash_one((key_hash, value))
}

/// Appends the numbers and returns where they stand.
fn extend(filed: &mut Vec<u32>, numbers: impl Iterator<Item = u32>) -> Range<u32> {
    let position = |length: usize| u32::try_from(length).expect("fewer than 2^32 terms are filed");
    let start = position(filed.len());
    filed.extend(numbers);
    start..position(filed.len())
}

#[cfg(test)]
pub(crate) mod tests;
