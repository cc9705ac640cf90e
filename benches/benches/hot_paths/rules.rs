//! Trait rules against the signals of an event, segment programs against the traits of a profile.

use divan::{Bencher, black_box};
use std::collections::BTreeMap;
use tidings_benches::{
    catalog::{TOGGLES, segment_rules, trait_rules},
    device,
};
use tidings_model::{Signals, TraitId, UtcDay};
use tidings_rules::{
    Realizations, Scratch, SegmentProgram, SegmentRule, TraitRule, TraitRuleIndex,
};

fn signals() -> Signals {
    device::enters(7, TOGGLES[0]).signals
}

fn parsed(rule: &str) -> TraitRule {
    TraitRule::parse(rule).expect("the rule is right")
}

/// One rule of each cost: numbers are parsed, text is searched, a regular expression runs.
#[divan::bench(args = [
    r#"page == "checkout""#,
    r#"page == "checkout" AND price >= 10"#,
    r#"(area contains "ho" OR area startswith "x") AND NOT page == "home""#,
    r#"page matchesregex "^check(out|in)$""#,
])]
fn trait_rule(bencher: Bencher<'_, '_>, rule: &str) {
    let (rule, signals) = (parsed(rule), signals());
    bencher.bench_local(|| black_box(&rule).matches(black_box(&signals)));
}

/// All rules that match an event, among so many.
#[divan::bench(args = [500, 100_000])]
fn trait_rules_of_an_event(bencher: Bencher<'_, '_>, count: usize) {
    let shared = trait_rules().map(|(_, rule)| rule);
    let more = (0..).map(|n| format!(r#"page == "q{n}" AND area contains "x""#));
    let rules = shared.chain(more).take(count);
    let index = TraitRuleIndex::new(rules.map(|rule| parsed(&rule)).collect());
    let (signals, mut scratch) = (signals(), Scratch::default());
    bencher.bench_local(|| {
        let mut found = 0u32;
        index.for_each_match(black_box(&signals), &mut scratch, |number| {
            found += number + 1
        });
        found
    });
}

/// Realisations as a profile keeps them, without the profile.
struct Days(BTreeMap<TraitId, UtcDay>);

impl Realizations for Days {
    fn total(&self, trait_id: TraitId) -> u64 {
        u64::from(self.0.contains_key(&trait_id))
    }

    fn on_or_after(&self, trait_id: TraitId, day: UtcDay) -> u64 {
        u64::from(self.0.get(&trait_id).is_some_and(|&last| last >= day))
    }

    fn on_or_before(&self, trait_id: TraitId, day: UtcDay) -> u64 {
        u64::from(self.0.get(&trait_id).is_some_and(|&last| last <= day))
    }
}

/// All 127 segments of the catalog for one device; the engine evaluates only those that an event
/// concerns.
#[divan::bench]
fn segments_all(bencher: Bencher<'_, '_>) {
    let programs: Vec<_> = segment_rules()
        .map(|(_, rule)| SegmentProgram::new(&SegmentRule::parse(&rule).expect("it is right")))
        .collect();
    let today = super::fixture::NOW.day();
    let events = device::known(7, super::fixture::NOW);
    let days = events
        .flat_map(|event| event.traits)
        .map(|trait_id| (trait_id, today))
        .collect();
    let days = Days(days);
    bencher.bench_local(|| {
        let holds = |program: &&SegmentProgram| program.evaluate(today, black_box(&days));
        programs.iter().filter(holds).count()
    });
}
