//! The index agrees with evaluating every rule, and evaluates few.

use super::*;
use crate::expr::Expr;
use crate::trait_rule::{CompareOp, Comparison, Literal, Test, TextOp};
use proptest::prelude::*;

const TEXTS: &[&str] = &[
    "", "a", "b", "ab", "a b", "A", "\"", "\\", "a\\", "\\\"b", "é(", "1.0",
];
const NUMBERS: &[&str] = &["0", "1", "1.00", "-1", "01", "2.5", "10", "-0"];

fn arbitrary_test() -> impl Strategy<Value = Test> {
    use CompareOp::{AtLeast, AtMost, Equal, Greater, Less, NotEqual};
    let text = prop::sample::select(TEXTS);
    let number = prop::sample::select(NUMBERS);
    let literal = prop_oneof![
        text.clone().prop_map(|text| Literal::Text(text.into())),
        number.clone().prop_map(|text| Literal::Text(text.into())),
        number.prop_map(|text| Literal::Number(text.into())),
    ];
    let op = prop::sample::select(&[Equal, Equal, NotEqual, Less, AtMost, Greater, AtLeast][..]);
    let text_op = prop::sample::select(
        &[
            TextOp::Contains,
            TextOp::StartsWith,
            TextOp::EndsWith,
            TextOp::MatchesWords,
        ][..],
    );
    // Compiling a pattern is slow without optimisation, so there are few different ones.
    let pattern =
        prop::sample::select(&["k matchesregex \"^a\"", "k matchesregex \"\\d+\\.\""][..])
            .prop_map(|source| match TraitRule::parse(source).unwrap().expr() {
                Expr::Term(comparison) => comparison.test.clone(),
                other => panic!("{other}"),
            });
    prop_oneof![
        6 => (op, literal).prop_map(|(op, literal)| Test::Compare(op, literal)),
        3 => (text_op, text).prop_map(|(op, text)| Test::Text(op, text.into())),
        1 => pattern,
    ]
}

pub(crate) fn arbitrary_rule() -> impl Strategy<Value = TraitRule> {
    let key = prop::sample::select(&["k", "l", "m-1", "n.n"][..]);
    let term = (key, arbitrary_test()).prop_map(|(key, test)| {
        Expr::Term(Comparison {
            key: key.into(),
            test,
        })
    });
    crate::expr::tests::arbitrary(term).prop_map(TraitRule::from_expr)
}

pub(crate) fn arbitrary_signals() -> impl Strategy<Value = Signals> {
    let key = prop::sample::select(&["k", "l", "m-1", "n.n", "other"][..]);
    let value = prop_oneof![prop::sample::select(TEXTS), prop::sample::select(NUMBERS)];
    prop::collection::vec((key, value), 0..6).prop_map(|pairs| {
        let mut signals = Signals::default();
        for (key, value) in pairs {
            assert!(signals.push(key, value));
        }
        signals
    })
}

fn index(rules: &[&str]) -> TraitRuleIndex {
    TraitRuleIndex::new(
        rules
            .iter()
            .map(|rule| TraitRule::parse(rule).unwrap())
            .collect(),
    )
}

fn signals(pairs: &[(&str, &str)]) -> Signals {
    let mut signals = Signals::default();
    for (key, value) in pairs {
        assert!(signals.push(key, value));
    }
    signals
}

/// Checks which rules are evaluated for an event.
#[track_caller]
fn check(rules: &[&str], event: &[(&str, &str)], evaluated: usize, matching: &[u32]) {
    let index = index(rules);
    let mut found = Vec::new();
    let mut scratch = Scratch::default();
    index.for_each_match(&signals(event), &mut scratch, |number| found.push(number));
    assert_eq!(found, matching);
    assert_eq!(scratch.candidates.len(), evaluated, "evaluated");
}

#[test]
fn an_equality_is_found_by_its_value() {
    let rules = ["a == \"x\"", "a == \"y\"", "a == 1", "b == \"x\""];
    check(&rules, &[("a", "x")], 1, &[0]);
    check(&rules, &[("a", "1.0")], 1, &[2]);
    check(&rules, &[("a", "y"), ("a", "x"), ("b", "x")], 3, &[0, 1, 3]);
    check(&rules, &[("c", "x")], 0, &[]);
}

#[test]
fn other_comparisons_are_found_by_their_key() {
    let rules = ["a != \"x\"", "a > 1", "a contains \"x\"", "b < 1"];
    check(&rules, &[("a", "x")], 3, &[2]);
    check(&rules, &[], 0, &[]);
    check(&["a > \"never\""], &[("a", "1")], 0, &[]);
}

#[test]
fn an_or_is_found_by_each_side_and_once() {
    let rules = ["a == \"x\" OR b == \"y\" OR a contains \"x\""];
    check(&rules, &[("b", "y")], 1, &[0]);
    check(&rules, &[("a", "x"), ("b", "y")], 1, &[0]);
}

#[test]
fn an_and_goes_by_its_rarest_side() {
    let rules = [
        "country == \"US\" AND page == \"p1\"",
        "country == \"US\" AND page == \"p2\"",
        "country == \"US\" AND page contains \"p\" AND NOT x == 1",
    ];
    check(&rules, &[("country", "US"), ("page", "p1")], 2, &[0, 2]);
    check(&rules, &[("country", "US")], 1, &[]);
}

#[test]
fn what_can_hold_without_signals_is_always_evaluated() {
    check(&["NOT a == 1", "a == 1"], &[], 1, &[0]);
    check(&["NOT (NOT a == 1)"], &[], 0, &[]);
    check(&["NOT (a == 1 OR NOT b == 1)"], &[("b", "1")], 1, &[0]);
    check(&["NOT (a == 1 OR NOT b == 1)"], &[("a", "1")], 0, &[]);
    check(&["a == 1 OR NOT b == 1"], &[], 1, &[0]);
}

#[test]
fn a_hundred_thousand_rules_cost_few_evaluations() {
    let rules = (0..100_000)
        .map(|n| {
            let rule = format!(
                "country == \"US\" AND page == \"page-{n}\" AND price >= {}",
                n % 7
            );
            TraitRule::parse(&rule).unwrap()
        })
        .collect();
    let index = TraitRuleIndex::new(rules);
    let event = signals(&[("country", "US"), ("page", "page-77777"), ("price", "6.5")]);
    let mut scratch = Scratch::default();
    let mut found = Vec::new();
    index.for_each_match(&event, &mut scratch, |number| found.push(number));
    assert_eq!(found, [77_777]);
    assert_eq!(scratch.candidates, [77_777]);
}

proptest! {
    #[test]
    fn finds_what_evaluating_every_rule_finds(
        rules in prop::collection::vec(arbitrary_rule(), 0..20),
        events in prop::collection::vec(arbitrary_signals(), 1..10),
    ) {
        let index = TraitRuleIndex::new(rules);
        let mut scratch = Scratch::default();
        for event in events {
            let mut found = Vec::new();
            index.for_each_match(&event, &mut scratch, |number| found.push(number));
            let expected: Vec<u32> = (0u32..)
                .zip(index.rules())
                .filter(|(_, rule)| rule.matches(&event))
                .map(|(number, _)| number)
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
