//! Programs agree with the meaning of the rules, and show what they read.

use super::*;
use crate::segment_rule::tests::arbitrary_rule;
use proptest::prelude::*;
use tidings_model::Timestamp;

/// A profile as a plain list of realisations.
#[derive(Clone, Debug, Default)]
pub(crate) struct History(Vec<(TraitId, UtcDay)>);

impl History {
    /// The published example: trait 1000 on 07-26 twice and on 07-28 three times, and trait 7.
    pub(crate) fn published() -> Self {
        let mut history = Vec::new();
        for (trait_id, text, times) in [
            (1000, "2016-07-26", 2),
            (1000, "2016-07-28", 3),
            (7, "2016-07-20", 1),
        ] {
            history.extend(vec![(TraitId(trait_id), day(text)); times]);
        }
        Self(history)
    }

    fn count(&self, trait_id: TraitId, counts: impl Fn(UtcDay) -> bool) -> u64 {
        self.0
            .iter()
            .filter(|(other, day)| *other == trait_id && counts(*day))
            .count() as u64
    }
}

impl Realizations for History {
    fn total(&self, trait_id: TraitId) -> u64 {
        self.count(trait_id, |_| true)
    }

    fn on_or_after(&self, trait_id: TraitId, day: UtcDay) -> u64 {
        self.count(trait_id, |other| other >= day)
    }

    fn on_or_before(&self, trait_id: TraitId, day: UtcDay) -> u64 {
        self.count(trait_id, |other| other <= day)
    }
}

pub(crate) fn day(text: &str) -> UtcDay {
    Timestamp::parse(&format!("{text}T00:00:00Z"))
        .unwrap()
        .day()
}

fn program(source: &str) -> SegmentProgram {
    SegmentProgram::new(&SegmentRule::parse(source).unwrap())
}

#[track_caller]
fn check_on(date: &str, source: &str, profile: &History, expected: bool) {
    let value = program(source).evaluate(day(date), profile);
    assert_eq!(value, expected, "{source} on {date}");
}

#[track_caller]
fn check(source: &str, expected: bool) {
    check_on("2016-07-29", source, &History::published(), expected);
}

#[test]
fn published_values() {
    check("frequency([1000T]) >= 5", true);
    check("frequency([1000T] <= 1D) >= 3", true);
    check("(frequency([1000T] <= 2D) >= 5)", false);
    check("frequency([1000T] <= 2D) == 3", true);
    check("frequency([1000T] >= 3D) == 2", true);
    check("frequency([1000T]) >= 1 AND frequency([1000T]) <= 5", true);
    check("7T AND NOT 1000T", false);
    check("7T AND 1000T", true);
    check("7T OR 5T", true);
    check("5T", false);
}

#[test]
fn a_sixth_realisation_exceeds_five() {
    let mut profile = History::published();
    profile.0.push((TraitId(1000), day("2016-07-29")));
    let rule = "frequency([1000T]) >= 1 AND frequency([1000T]) <= 5";
    check_on("2016-07-29", rule, &profile, false);
}

/// The published figure: which days count for a window of five days.
#[test]
fn the_boundary_day_counts_on_both_sides() {
    #[track_caller]
    fn check(today: &str, op: &str, realised: &str, expected: bool) {
        for trait_id in [4, 8, 55] {
            let profile = History(vec![(TraitId(trait_id), day(realised)); 3]);
            check_on(
                today,
                &format!("frequency([4T,8T,55T] {op} 5D) >= 3"),
                &profile,
                expected,
            );
        }
    }
    check("2016-10-01", "<=", "2016-09-25", false);
    check("2016-10-01", "<=", "2016-09-26", true);
    check("2016-10-01", "<=", "2016-10-01", true);
    check("2016-10-11", "<=", "2016-10-05", false);
    check("2016-10-11", "<=", "2016-10-06", true);
    check("2016-10-01", ">=", "2016-08-01", true);
    check("2016-10-01", ">=", "2016-09-26", true);
    check("2016-10-01", ">=", "2016-09-27", false);
    check("2016-10-11", ">=", "2016-10-06", true);
    check("2016-10-11", ">=", "2016-10-07", false);
}

#[test]
fn a_list_adds_up() {
    let profile = History(vec![
        (TraitId(4), day("2016-10-01")),
        (TraitId(8), day("2016-10-01")),
        (TraitId(55), day("2016-10-01")),
        (TraitId(56), day("2016-10-01")),
    ]);
    check_on("2016-10-01", "frequency([4T,8T,55T]) == 3", &profile, true);
    check_on("2016-10-01", "frequency([4T,4T,4T]) == 1", &profile, true);
    check_on("2016-10-01", "frequency([4T,8T,55T]) <= 2", &profile, false);
}

#[test]
fn counts_do_not_overflow() {
    struct Endless;
    impl Realizations for Endless {
        fn total(&self, _: TraitId) -> u64 {
            u64::MAX
        }
        fn on_or_after(&self, _: TraitId, _: UtcDay) -> u64 {
            u64::MAX
        }
        fn on_or_before(&self, _: TraitId, _: UtcDay) -> u64 {
            u64::MAX
        }
    }
    let rule = program("frequency([1T,2T] >= 2147483647D) >= 4294967295");
    assert!(rule.evaluate(UtcDay(i32::MIN), &Endless));
    assert!(!program("frequency([1T,2T]) <= 4294967295").evaluate(UtcDay(0), &Endless));
}

#[test]
fn shows_what_it_reads() {
    let program = program(
        "9T AND (frequency([4T,8T] <= 5D) >= 3 OR NOT frequency([8T] >= 2D) == 1) AND 4T AND 1T",
    );
    assert_eq!(program.traits(), [1, 4, 8, 9].map(TraitId));
    let mut windows: Vec<_> = program
        .windows()
        .map(|window| format!("{}T {}", window.trait_id, window.recency))
        .collect();
    windows.sort();
    assert_eq!(windows, ["4T <= 5D", "8T <= 5D", "8T >= 2D"]);
}

#[test]
fn tests_are_skipped_once_the_value_is_known() {
    /// Fails when it is asked about trait 0.
    struct Guarded;
    impl Realizations for Guarded {
        fn total(&self, trait_id: TraitId) -> u64 {
            assert_ne!(trait_id, TraitId(0), "read in vain");
            u64::from(trait_id.0 % 2)
        }
        fn on_or_after(&self, trait_id: TraitId, _: UtcDay) -> u64 {
            self.total(trait_id)
        }
        fn on_or_before(&self, trait_id: TraitId, _: UtcDay) -> u64 {
            self.total(trait_id)
        }
    }
    for (source, expected) in [
        ("2T AND 0T", false),
        ("1T OR 0T", true),
        ("NOT (1T OR 0T)", false),
        ("(2T AND 0T) OR (1T AND NOT (2T AND 0T))", true),
        ("frequency([1T,0T]) >= 1", true),
        ("frequency([1T,0T]) <= 0", false),
    ] {
        assert_eq!(
            program(source).evaluate(UtcDay(0), &Guarded),
            expected,
            "{source}"
        );
    }
}

#[test]
fn a_program_is_small() {
    assert!(size_of::<Node>() <= 32);
    assert_eq!(
        program("1T AND 2T AND NOT 3T").heap_bytes(),
        3 * (size_of::<Node>() + 8)
    );
}

/// The meaning of a rule straight from its definition: ages in days, every trait counted.
fn naive(expr: &Expr<SegmentTerm>, today: UtcDay, history: &History) -> bool {
    match expr {
        Expr::And(children) => !children.iter().any(|child| !naive(child, today, history)),
        Expr::Or(children) => {
            children
                .iter()
                .filter(|child| naive(child, today, history))
                .count()
                > 0
        }
        Expr::Not(child) => !naive(child, today, history),
        Expr::Term(SegmentTerm::Trait(trait_id)) => history.0.iter().any(|(id, _)| id == trait_id),
        Expr::Term(SegmentTerm::Frequency(frequency)) => {
            let counted = history.0.iter().filter(|(trait_id, day)| {
                let age = i64::from(today.0) - i64::from(day.0);
                frequency.traits.contains(trait_id)
                    && frequency.recency.is_none_or(|recency| match recency.op {
                        RecencyOp::AtMost => age <= i64::from(recency.days.get()),
                        RecencyOp::AtLeast => age >= i64::from(recency.days.get()),
                    })
            });
            let count = counted.count();
            let threshold = frequency.count as usize;
            match frequency.op {
                FrequencyOp::AtLeast => count >= threshold,
                FrequencyOp::AtMost => count <= threshold,
                FrequencyOp::Equal => count == threshold,
            }
        }
    }
}

const TODAY: UtcDay = UtcDay(17_000);

fn arbitrary_history() -> impl Strategy<Value = History> {
    let realisation =
        (0u32..7, 0i32..8).prop_map(|(trait_id, age)| (TraitId(trait_id), TODAY.plus_days(-age)));
    prop::collection::vec(realisation, 0..12).prop_map(History)
}

proptest! {
    #[test]
    fn a_program_means_what_its_rule_says(rule in arbitrary_rule(), history in arbitrary_history()) {
        let expected = naive(rule.expr(), TODAY, &history);
        prop_assert_eq!(SegmentProgram::new(&rule).evaluate(TODAY, &history), expected);
        let explained = rule.explain(TODAY, &history);
        prop_assert_eq!(explained.holds(&mut |term| term.holds), expected);
    }

    #[test]
    fn only_the_traits_it_names_matter(rule in arbitrary_rule(), history in arbitrary_history()) {
        let program = SegmentProgram::new(&rule);
        let mut relevant = history.clone();
        relevant.0.retain(|(trait_id, _)| program.traits().contains(trait_id));
        prop_assert_eq!(program.evaluate(TODAY, &history), program.evaluate(TODAY, &relevant));
    }

    /// Between the days that the windows name, time changes nothing.
    #[test]
    fn values_change_only_on_days_that_windows_name(
        rule in arbitrary_rule(),
        history in arbitrary_history(),
    ) {
        let program = SegmentProgram::new(&rule);
        let changes: Vec<UtcDay> = program
            .windows()
            .flat_map(|window| {
                let days = history.0.iter().filter(move |(id, _)| *id == window.trait_id);
                days.map(move |(_, day)| window.changes_on(*day))
            })
            .collect();
        for ahead in 1..20 {
            let (yesterday, today) = (TODAY.plus_days(ahead - 1), TODAY.plus_days(ahead));
            if program.evaluate(yesterday, &history) != program.evaluate(today, &history) {
                prop_assert!(changes.contains(&today));
            }
        }
    }
}
