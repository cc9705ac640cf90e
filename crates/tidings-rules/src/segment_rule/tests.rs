//! Parsing, printing, restrictions and explanations of segment expressions.

use super::*;
use crate::program::tests::{History, day};
use proptest::prelude::*;
use tidings_model::{TraitKind, limits};

#[track_caller]
fn check_printed(source: &str, expected: &str) {
    let rule = SegmentRule::parse(source).unwrap();
    assert_eq!(rule.to_string(), expected);
    assert_eq!(SegmentRule::parse(expected).unwrap(), rule);
}

fn names(errors: &[RuleError]) -> Vec<&'static str> {
    errors.iter().map(|error| error.kind().name()).collect()
}

#[track_caller]
fn check_refused(source: &str, expected: &[&str]) {
    let errors = SegmentRule::parse(source).unwrap_err();
    assert_eq!(names(&errors), expected, "{source}");
}

/// Trait 7 is onboarded, 8 third-party, 9 a folder, 404 missing, all others rule-based.
fn kind_of(trait_id: TraitId) -> Option<TraitKind> {
    match trait_id.0 {
        7 => Some(TraitKind::Onboarded),
        8 => Some(TraitKind::ThirdParty),
        9 => Some(TraitKind::Folder),
        404 => None,
        _ => Some(TraitKind::RuleBased),
    }
}

/// Checks the faults that [`SegmentRule::check`] finds in a rule that parses.
#[track_caller]
fn check(source: &str, expected: &[&str]) {
    let rule = SegmentRule::parse(source).unwrap();
    let errors = rule.check(kind_of).err().unwrap_or_default();
    assert_eq!(names(&errors), expected, "{source}");
}

fn rendered(source: &str) -> String {
    let errors = match SegmentRule::parse(source) {
        Ok(rule) => rule.check(kind_of).unwrap_err(),
        Err(errors) => errors,
    };
    errors
        .iter()
        .map(RuleError::render)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn published_rules_parse() {
    check_printed(
        "(1634962T) AND (1634961T OR 1634966T)",
        "1634962T AND (1634961T OR 1634966T)",
    );
    check_printed("1634962T", "1634962T");
    check_printed("frequency([4T,8T,55T]) >= 3", "FREQUENCY([4T,8T,55T]) >= 3");
    check_printed(
        "frequency([4T,8T,55T] <= 5D) >= 3",
        "FREQUENCY([4T,8T,55T] <= 5D) >= 3",
    );
    check_printed(
        "frequency([4T,8T,55T] >= 5D) >= 3",
        "FREQUENCY([4T,8T,55T] >= 5D) >= 3",
    );
    check_printed(
        "(frequency([1000T] <= 2D) >= 5)",
        "FREQUENCY([1000T] <= 2D) >= 5",
    );
}

#[test]
fn prints_canonically() {
    check_printed("5t", "5T");
    check_printed("005T", "5T");
    check_printed("5 T", "5T");
    check_printed(
        "Frequency ( [ 4t ,\n8T ]\t=> 5 d ) => 3",
        "FREQUENCY([4T,8T] >= 5D) >= 3",
    );
    check_printed("FREQUENCY([5T])==0", "FREQUENCY([5T]) == 0");
    check_printed("FREQUENCY([5T])<=0", "FREQUENCY([5T]) <= 0");
    check_printed("FREQUENCY([5T,6T,5T])>=2", "FREQUENCY([5T,6T]) >= 2");
    check_printed("1T NOT 2T", "1T AND NOT 2T");
    check_printed("1T and not (2T not 3T)", "1T AND NOT (2T AND NOT 3T)");
    check_printed("1T OR (2T AND (NOT 3T))", "1T OR 2T AND NOT 3T");
    check_printed("1T OR 2T AND NOT 3T", "1T OR 2T AND NOT 3T");
    check_printed("(1T OR 2T) AND NOT 3T", "(1T OR 2T) AND NOT 3T");
    check_printed("((1T AND 2T) AND (3T AND 4T))", "1T AND 2T AND 3T AND 4T");
    check_printed("4294967294T", "4294967294T");
}

#[test]
fn an_and_not_binds_before_an_or() {
    let rule = SegmentRule::parse("1T OR 2T AND NOT 3T").unwrap();
    let term = |id| Expr::Term(SegmentTerm::Trait(TraitId(id)));
    let right = Expr::And(vec![term(2), Expr::Not(Box::new(term(3)))]);
    assert_eq!(*rule.expr(), Expr::Or(vec![term(1), right]));
}

#[test]
fn restriction_1_operators() {
    for op in ["==", ">", "<", "!=", "="] {
        check_refused(
            &format!("frequency([5T] {op} 2D) >= 1"),
            &["recency-operator"],
        );
    }
    for op in [">", "<", "!=", "=", "<>"] {
        check_refused(&format!("frequency([5T]) {op} 1"), &["frequency-operator"]);
    }
}

#[test]
fn restriction_2_numbers() {
    for days in ["0D", "00D", "-1D", "1.5D", "D", "xD", "2T"] {
        check_refused(
            &format!("frequency([5T] <= {days}) >= 1"),
            &["recency-days"],
        );
    }
    check_refused("frequency([5T] <= 2) >= 1", &["days-without-d"]);
    check_refused("frequency([5T] <= ) >= 1", &["unexpected"]);
    check_refused("frequency([5T] <= 2147483648D) >= 1", &["number-too-large"]);
    for count in ["-1", "1.5", "x", "2D"] {
        check_refused(&format!("frequency([5T]) >= {count}"), &["count-not-whole"]);
    }
    check_refused("frequency([5T]) >= 4294967296", &["number-too-large"]);
    check_refused("frequency([5T]) >=", &["unexpected"]);
    assert!(SegmentRule::parse("frequency([5T] >= 1D) <= 0").is_ok());
}

#[test]
fn restriction_3_recency_is_optional() {
    check("frequency([5T]) >= 3", &[]);
}

#[test]
fn restriction_4_recency_needs_frequency() {
    check_refused("frequency([5T] <= 5D)", &["count-missing"]);
    check_refused("frequency([5T])", &["count-missing"]);
    check_refused("frequency([5T] <= 5D) AND 6T", &["count-missing"]);
    check_refused("[5T] <= 5D", &["frequency-missing"]);
    check_refused("5T <= 5D", &["frequency-missing"]);
    check_refused("5T >= 1", &["frequency-missing"]);
}

#[test]
fn restriction_5_only_rule_based_and_folder_traits_are_counted() {
    check("frequency([7T]) >= 1", &["trait-not-counted"]);
    check("frequency([5T,9T,7T]) >= 1", &["trait-not-counted"]);
    check("frequency([5T,9T]) >= 1", &[]);
    check("7T", &[]);
}

#[test]
fn restriction_6_no_third_party_trait_is_counted() {
    check("frequency([8T]) >= 1", &["third-party-counted"]);
    check("frequency([5T,8T]) >= 1", &["third-party-counted"]);
    check(
        "8T AND NOT frequency([7T,8T]) >= 1",
        &["trait-not-counted", "third-party-counted"],
    );
    check("8T", &[]);
}

#[test]
fn restrictions_7_to_9_the_empty_profile() {
    for source in [
        "frequency([1000T]) <= 5",
        "NOT 5T",
        "frequency([5T]) == 0",
        "frequency([5T]) <= 5 OR 6T",
        "frequency([5T]) >= 0",
        "NOT (1T AND 2T)",
        "NOT 5T AND NOT 6T",
        "frequency([5T] >= 3D) <= 0",
    ] {
        check(source, &["true-for-empty-profile"]);
    }
    check("frequency([1000T]) >= 1 AND frequency([1000T]) <= 5", &[]);
    check("frequency([1000T]) <= 5 AND 6T", &[]);
    check("(frequency([1000T] <= 2D) >= 5)", &[]);
    check("NOT (NOT 5T)", &[]);
    check("5T AND NOT 6T", &[]);
}

#[test]
fn restriction_10_number_of_traits() {
    let listed = |count: usize| (1..=count).map(|id| format!("{id}T")).collect::<Vec<_>>();
    let max = limits::SEGMENT_TRAITS_MAX;
    assert!(SegmentRule::parse(&listed(max).join(" OR ")).is_ok());
    check_refused(&listed(max + 1).join(" OR "), &["too-many-traits"]);
    check_refused(
        &format!("frequency([{}]) >= 1", listed(max + 1).join(",")),
        &["too-many-traits"],
    );
    // One trait named many times is one trait.
    assert!(SegmentRule::parse(&["1T"; 6_000].join(" OR ")).is_ok());
}

#[test]
fn unknown_traits_are_all_named() {
    check(
        "404T AND frequency([5T,404T]) >= 1",
        &["unknown-trait", "unknown-trait"],
    );
    check(
        &["404T"; 100].join(" OR "),
        &["unknown-trait"; crate::error::ERRORS_MAX],
    );
}

#[test]
fn other_faults_are_named() {
    check_refused("", &["empty"]);
    check_refused("5", &["trait-without-t"]);
    check_refused("5 AND 6", &["trait-without-t", "trait-without-t"]);
    check_refused("isSiteVisitorTrait AND 5T", &["trait-by-name"]);
    check_refused("-5T", &["trait-by-name"]);
    check_refused("T", &["trait-by-name"]);
    check_refused("NOT5T", &["trait-by-name"]);
    check_refused("4294967295T", &["number-too-large"]);
    check_refused("frequency(5T) >= 1", &["list-without-brackets"]);
    check_refused("frequency([]) >= 1", &["unexpected"]);
    check_refused("frequency([5T,]) >= 1", &["unexpected"]);
    check_refused("frequency([5T 6T]) >= 1", &["unexpected"]);
    check_refused("frequency [5T] >= 1", &["unexpected"]);
    check_refused("frequency([5T] <= 2D >= 1", &["unexpected"]);
    check_refused("5T 6T", &["unexpected"]);
    check_refused("5T AND", &["unexpected"]);
    check_refused("AND 5T", &["unexpected"]);
    check_refused("NOT NOT 5T", &["unexpected"]);
    check_refused("5T AND OR 6T", &["unexpected"]);
    check_refused("(5T", &["parenthesis-not-closed"]);
    check_refused("5T)", &["parenthesis-not-opened"]);
    check_refused("5T && !6T || 7T", &["operator-spelling"; 3]);
    check_refused("\"5T\"", &["unexpected"]);
    check_refused(&"(".repeat(300), &["too-deep"]);
    check_refused(&"5T OR ".repeat(200_000), &["too-long"]);
}

#[test]
fn errors_show_the_place_and_a_repair() {
    insta::assert_snapshot!(rendered("frequency([1000T]) <= 5"), @r#"
    line 1, column 12: the rule is true for a profile without any trait (true-for-empty-profile)
    frequency([1000T]) <= 5
               ^^^^^
    hint: add `AND FREQUENCY([1000T]) >= 1`, or AND with another trait that members must have
    "#);
    insta::assert_snapshot!(rendered("6T OR (7T AND 5T)\n  OR NOT 9T"), @r#"
    line 2, column 10: the rule is true for a profile without any trait (true-for-empty-profile)
      OR NOT 9T
             ^^
    hint: add `AND` and a trait that members must have
    "#);
    insta::assert_snapshot!(rendered("5T OR frequency([1000T,1T]) <= 5 AND NOT 5T"), @r#"
    line 1, column 18: the rule is true for a profile without any trait (true-for-empty-profile)
    5T OR frequency([1000T,1T]) <= 5 AND NOT 5T
                     ^^^^^
    hint: add `AND FREQUENCY([1000T,1T]) >= 1`, or AND with another trait that members must have
    "#);
    insta::assert_snapshot!(rendered("frequency([5T] = 1D) >= 00000000000000000000000000000000000000000000000000001"), @r#"
    line 1, column 16: recency takes `>=` or `<=`, not `=` (recency-operator)
    frequency([5T] = 1D) >= 000000000000000000000000000000000000000000000000000...
                   ^
    hint: `<= 5D` is within the last 5 days, `>= 5D` is 5 days ago or earlier
    "#);
    insta::assert_snapshot!(rendered("frequency([1000T,8T,7T] <= 2D) >= 5 AND 404T"), @r#"
    line 1, column 18: trait 8 is third-party and never allowed in FREQUENCY, alone or with others (third-party-counted)
    frequency([1000T,8T,7T] <= 2D) >= 5 AND 404T
                     ^^

    line 1, column 21: trait 7 is onboarded, FREQUENCY takes rule-based and folder traits only (trait-not-counted)
    frequency([1000T,8T,7T] <= 2D) >= 5 AND 404T
                        ^^

    line 1, column 41: there is no trait 404 (unknown-trait)
    frequency([1000T,8T,7T] <= 2D) >= 5 AND 404T
                                            ^^^^
    "#);
    insta::assert_snapshot!(rendered("frequency([5T] == 0D) > 5 AND 1000"), @r#"
    line 1, column 16: recency takes `>=` or `<=`, not `==` (recency-operator)
    frequency([5T] == 0D) > 5 AND 1000
                   ^^
    hint: `<= 5D` is within the last 5 days, `>= 5D` is 5 days ago or earlier

    line 1, column 19: recency is a whole number of days above 0, not `0D` (recency-days)
    frequency([5T] == 0D) > 5 AND 1000
                      ^^

    line 1, column 23: a frequency takes `>=`, `<=` or `==`, not `>` (frequency-operator)
    frequency([5T] == 0D) > 5 AND 1000
                          ^
    hint: for more than 5, write `>= 6`

    line 1, column 31: 1000 is a number, not a trait (trait-without-t)
    frequency([5T] == 0D) > 5 AND 1000
                                  ^^^^
    hint: write `1000T`
    "#);
    insta::assert_snapshot!(rendered("[1000T] <= 5D"), @r#"
    line 1, column 1: only FREQUENCY(...) can be compared (frequency-missing)
    [1000T] <= 5D
    ^
    hint: write `FREQUENCY([1000T]) >= 5` or `FREQUENCY([1000T] <= 2D) >= 5`
    "#);
    insta::assert_snapshot!(rendered("frequency([1000T] <= 5D)"), @r#"
    line 1, column 25: FREQUENCY(...) must be compared with a count (count-missing)
    frequency([1000T] <= 5D)
                            ^
    hint: add `>= 1` after the parenthesis
    "#);
    insta::assert_snapshot!(rendered("isSiteVisitorTrait AND 5T"), @r#"
    line 1, column 1: traits are named by number, not as `isSiteVisitorTrait` (trait-by-name)
    isSiteVisitorTrait AND 5T
    ^^^^^^^^^^^^^^^^^^
    hint: write the trait's id and `T`, as in `1000T`
    "#);
    insta::assert_snapshot!(rendered("(1T AND (2T OR 3T)"), @r#"
    line 1, column 1: this parenthesis is never closed (parenthesis-not-closed)
    (1T AND (2T OR 3T)
    ^
    "#);
    insta::assert_snapshot!(rendered("1T AND (2T OR 3T))"), @r#"
    line 1, column 18: this parenthesis closes nothing (parenthesis-not-opened)
    1T AND (2T OR 3T))
                     ^
    "#);
    insta::assert_snapshot!(rendered("1T AND 2T <= 5"), @r#"
    line 1, column 8: only FREQUENCY(...) can be compared (frequency-missing)
    1T AND 2T <= 5
           ^^
    hint: write `FREQUENCY([1000T]) >= 5` or `FREQUENCY([1000T] <= 2D) >= 5`
    "#);
}

#[test]
fn explains_each_term() {
    let rule = SegmentRule::parse("7T AND NOT (frequency([1000T,7T] <= 1D) >= 4 OR 5T)").unwrap();
    let profile = History::published();
    let explained = rule.explain(day("2016-07-29"), &profile);
    assert!(explained.holds(&mut |term| term.holds));
    let mut lines = Vec::new();
    explained.for_each_term(&mut |value| {
        lines.push(format!(
            "{} counts {}: {}",
            value.term, value.count, value.holds
        ));
    });
    insta::assert_snapshot!(lines.join("\n"), @r#"
    7T counts 1: true
    FREQUENCY([1000T,7T] <= 1D) >= 4 counts 3: false
    5T counts 0: false
    "#);
}

pub(crate) fn arbitrary_rule() -> impl Strategy<Value = SegmentRule> {
    let trait_id = (0u32..6).prop_map(TraitId);
    let recency_op = prop::sample::select(&[RecencyOp::AtMost, RecencyOp::AtLeast][..]);
    let recency = (recency_op, 1u32..6).prop_map(|(op, days)| Recency {
        op,
        days: NonZeroU32::new(days).unwrap(),
    });
    let op = prop::sample::select(
        &[
            FrequencyOp::AtLeast,
            FrequencyOp::AtMost,
            FrequencyOp::Equal,
        ][..],
    );
    let traits = prop::collection::btree_set(trait_id.clone(), 1..4)
        .prop_map(|traits| traits.into_iter().collect());
    let frequency = (traits, prop::option::of(recency), op, 0u32..6).prop_map(
        |(traits, recency, op, count)| {
            SegmentTerm::Frequency(Frequency {
                traits,
                recency,
                op,
                count,
            })
        },
    );
    let term = prop_oneof![trait_id.prop_map(SegmentTerm::Trait), frequency];
    crate::expr::tests::arbitrary(term.prop_map(Expr::Term)).prop_map(|expr| SegmentRule {
        expr,
        source: "".into(),
        places: Vec::new(),
    })
}

proptest! {
    #[test]
    fn what_prints_parses_back(rule in arbitrary_rule()) {
        let printed = rule.to_string();
        let parsed = SegmentRule::parse(&printed).unwrap();
        prop_assert_eq!(&parsed, &rule);
        prop_assert_eq!(parsed.to_string(), printed);
    }

    #[test]
    fn the_place_of_a_trait_is_where_it_is_named(rule in arbitrary_rule()) {
        let printed = rule.to_string();
        let parsed = SegmentRule::parse(&printed).unwrap();
        let errors = parsed.check(|_| None).unwrap_err();
        for error in errors {
            if let crate::RuleErrorKind::UnknownTrait(trait_id) = error.kind() {
                let expected = format!("{trait_id}T");
                let (_, named) = printed.split_at(error.place().offset);
                prop_assert!(named.starts_with(&expected));
            }
        }
    }

    #[test]
    fn check_refuses_exactly_what_is_true_for_an_empty_profile(rule in arbitrary_rule()) {
        let parsed = SegmentRule::parse(&rule.to_string()).unwrap();
        let empty = crate::SegmentProgram::new(&parsed).evaluate(UtcDay(17_000), &History::default());
        let checked = parsed.check(|_| Some(TraitKind::RuleBased));
        prop_assert_eq!(checked.is_err(), empty);
    }

    #[test]
    fn any_text_is_parsed_or_refused_with_a_place(
        source in "([1-9]T|[0-9DT]|AND|OR|NOT|FREQUENCY|[\\[\\]()<>=,]| |>=|<=|é){0,30}",
    ) {
        if let Err(errors) = SegmentRule::parse(&source) {
            for error in errors {
                prop_assert!(source.is_char_boundary(error.place().offset));
                prop_assert!(error.render().ends_with('\n'));
            }
        }
    }
}
