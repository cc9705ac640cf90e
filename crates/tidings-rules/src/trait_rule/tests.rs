//! Parsing, printing, errors and values of trait rules.

use super::*;
use crate::index::tests::{arbitrary_rule, arbitrary_signals};
use crate::{Place, RuleErrorKind};
use proptest::prelude::*;
use tidings_model::limits;

/// `"a=1&a=2&b="`
fn signals(text: &str) -> Signals {
    let mut signals = Signals::default();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap();
        assert!(signals.push(key, value));
    }
    signals
}

#[track_caller]
fn check(rule: &str, event: &str, expected: bool) {
    let rule = TraitRule::parse(rule).unwrap();
    assert_eq!(rule.matches(&signals(event)), expected, "{rule} on {event}");
}

#[track_caller]
fn check_printed(source: &str, expected: &str) {
    let rule = TraitRule::parse(source).unwrap();
    assert_eq!(rule.to_string(), expected);
    assert_eq!(TraitRule::parse(expected).unwrap(), rule);
}

#[track_caller]
fn check_refused(source: &str, names: &[&str]) {
    let errors = TraitRule::parse(source).unwrap_err();
    let found: Vec<_> = errors.iter().map(|error| error.kind().name()).collect();
    assert_eq!(found, names, "{source}");
}

fn rendered(source: &str) -> String {
    let errors = TraitRule::parse(source).unwrap_err();
    errors
        .iter()
        .map(RuleError::render)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn published_rules_parse() {
    check_printed(
        r#"(c_make=="A") AND (c_model=="B") AND
(c_search=="1")"#,
        r#"c_make == "A" AND c_model == "B" AND c_search == "1""#,
    );
    check_printed(
        r#"(a== "1" OR b=="1") AND (c=="new")"#,
        r#"(a == "1" OR b == "1") AND c == "new""#,
    );
    check_printed(
        "(price >= 1.00 AND price <= 100.00)",
        "price >= 1.00 AND price <= 100.00",
    );
    check_printed(r#"c_product == "phone""#, r#"c_product == "phone""#);
    check_printed("p_age < 25", "p_age < 25");
    check_printed(r#"ic == "123""#, r#"ic == "123""#);
}

#[test]
fn prints_canonically() {
    check_printed("a=>-1", "a >= -1");
    check_printed("a==1 not b!=2", "a == 1 AND NOT b != 2");
    check_printed(
        "a==1 And Not (b>2 oR c<3)",
        "a == 1 AND NOT (b > 2 OR c < 3)",
    );
    check_printed("(a==1 OR (b==2)) OR ((c==3))", "a == 1 OR b == 2 OR c == 3");
    check_printed("NOT (NOT (a==1))", "NOT (NOT a == 1)");
    check_printed("a==1 OR b==1 AND c==1", "a == 1 OR b == 1 AND c == 1");
    check_printed("x CONTAINS \"v\"", r#"x contains "v""#);
    check_printed("x MatchesWords \"v w\"", r#"x matcheswords "v w""#);
    check_printed(
        r#"x matchesregex "^\d+\.\\n\"$""#,
        r#"x matchesregex "^\d+\.\n\"$""#,
    );
    check_printed(r#"x == "a\\" OR y == """#, r#"x == "a\\" OR y == """#);
    check_printed(
        "c_contextData.a.CarrierName == \"x\"",
        "c_contextData.a.CarrierName == \"x\"",
    );
    check_printed(
        "123price == 1 OR price-123 == 1",
        "123price == 1 OR price-123 == 1",
    );
    check_printed("contains contains \"x\"", "contains contains \"x\"");
}

#[test]
fn absent_keys_make_every_comparison_false() {
    for test in [
        "== \"x\"",
        "!= \"x\"",
        "< 1",
        "> 1",
        ">= 1",
        "<= 1",
        "contains \"\"",
        "startswith \"\"",
        "endswith \"\"",
        "matcheswords \"\"",
        "matchesregex \"\"",
    ] {
        check(&format!("k {test}"), "other=x", false);
        check(&format!("NOT k {test}"), "other=x", true);
    }
}

#[test]
fn any_value_suffices() {
    check("k == \"b\"", "k=a&k=b", true);
    check("k != \"b\"", "k=a&k=b", true);
    check("k != \"b\"", "k=b&k=b", false);
    check("k > 5 AND k < 3", "k=1&k=9", true);
    check("k == \"\"", "k=", true);
}

#[test]
fn equality_is_exact_for_text_and_by_value_for_numbers() {
    check("k == \"Phone\"", "k=phone", false);
    check("K == \"phone\"", "k=phone", false);
    check("k == \"phone\"", "k=phone ", false);
    check("k == 1", "k=1.00", true);
    check("k == \"1.0\"", "k=01", true);
    check("k != 1", "k=1.00", false);
    check("k == 1", "k=1e0", false);
    check("k == 1", "k=one", false);
    check("k != 1", "k=one", true);
    check("k == 12345678901234567890", "k=12345678901234567891", false);
}

#[test]
fn ordering_takes_numbers_only() {
    check("price >= 1.00 AND price <= 100.00", "price=1", true);
    check("price >= 1.00 AND price <= 100.00", "price=100.01", false);
    check("k < 25", "k=9", true);
    check("k < 25", "k=", false);
    check("k < 25", "k=nine", false);
    check("k > -1.5", "k=-1", true);
    check("k > \"5\"", "k=10", true);
    check("k > \"five\"", "k=10", false);
    check("k => 5", "k=5", true);
    check("k > 5", "k=5", false);
}

#[test]
fn named_operators() {
    check("k contains \"row\"", "k=brown", true);
    check("k contains \"Row\"", "k=brown", false);
    check("k startswith \"bro\"", "k=brown", true);
    check("k startswith \"own\"", "k=brown", false);
    check("k endswith \"own\"", "k=brown", true);
    check("k endswith \"bro\"", "k=brown", false);
    check(
        "k matcheswords \"shoes red\"",
        "k=the red, running-shoes!",
        true,
    );
    check("k matcheswords \"shoe\"", "k=red shoes", false);
    check("k matcheswords \"red blue\"", "k=red&k=blue", false);
    check("k matcheswords \"été\"", "k=un été ici", true);
    check("k matchesregex \"r.w\"", "k=brown", true);
    check("k matchesregex \"^r.w$\"", "k=brown", false);
}

#[test]
fn faults_are_named() {
    check_refused("", &["empty"]);
    check_refused(" \n", &["empty"]);
    check_refused("a", &["unexpected"]);
    check_refused("a ==", &["unexpected"]);
    check_refused("== 1", &["unexpected"]);
    check_refused("a == 1 b == 2", &["unexpected"]);
    check_refused("a == 1 AND", &["unexpected"]);
    check_refused("NOT NOT a == 1", &["unexpected"]);
    check_refused("and == 1", &["unexpected"]);
    check_refused("a == 1 # b", &["unexpected"]);
    check_refused("a !! 1", &["unexpected"]);
    check_refused(
        "a == b AND b == 1.",
        &["value-not-quoted", "value-not-quoted"],
    );
    check_refused("(a == 1", &["parenthesis-not-closed"]);
    check_refused("(a == 1 b", &["unexpected"]);
    check_refused("a == 1)", &["parenthesis-not-opened"]);
    check_refused("a == \"x", &["text-not-closed"]);
    check_refused("a == \"x\\\"", &["text-not-closed"]);
    check_refused("a == 'x'", &["quotation-mark"]);
    check_refused("a == “x”", &["quotation-mark"]);
    check_refused("a = 1 && b <> 2 || !c == 3", &["operator-spelling"; 5]);
    check_refused("123 == 1", &["key-without-letter"]);
    check_refused("price!123 == 1", &["unexpected"]);
    check_refused("\"a\" == 1", &["key-quoted"]);
    check_refused("a includes \"x\"", &["unknown-operator"]);
    check_refused("a contains 5", &["operator-takes-text"]);
    check_refused("a matchesregex \"(\"", &["pattern-invalid"]);
    check_refused("a matchesregex \"(?=x)\"", &["pattern-unsupported"]);
    check_refused(
        "a matchesregex \"(?:[a-z]{1000}){1000}\"",
        &["pattern-too-big"],
    );
    check_refused(
        &format!("a == \"{}\"", "x".repeat(8193)),
        &["value-too-long"],
    );
    check_refused(&"a".repeat(limits::RULE_BYTES_MAX + 1), &["too-long"]);
}

#[test]
fn errors_show_the_place() {
    insta::assert_snapshot!(rendered("page = \"x\""), @r#"
    line 1, column 6: `=` is not an operator (operator-spelling)
    page = "x"
         ^
    hint: write `==`
    "#);
    insta::assert_snapshot!(rendered("page == \"x\" AND\n\t(area == home OR 12 > 1"), @r#"
    line 2, column 11: the value home is neither a number nor in quotes (value-not-quoted)
     (area == home OR 12 > 1
              ^^^^
    hint: write `"home"`

    line 2, column 19: the key `12` has no letter (key-without-letter)
     (area == home OR 12 > 1
                      ^^
    hint: a key has letters, digits, `-`, `_` and `.`, and at least one letter

    line 2, column 2: this parenthesis is never closed (parenthesis-not-closed)
     (area == home OR 12 > 1
     ^
    "#);
    insta::assert_snapshot!(rendered(r#"k matchesregex "\\d\"(?<=x)y""#), @r#"
    line 1, column 22: the regular expression has look-behind, which is not supported yet (pattern-unsupported)
    k matchesregex "\\d\"(?<=x)y"
                         ^
    "#);
    insta::assert_snapshot!(rendered(r#"k matchesregex "a{2,1}""#), @r#"
    line 1, column 16: not a regular expression: invalid repetition count range, the start must be <= the end (pattern-invalid)
    k matchesregex "a{2,1}"
                   ^^^^^^^^
    "#);
    insta::assert_snapshot!(rendered("été == \"x\""), @r#"
    line 1, column 1: expected a key, NOT or `(`, found `é` (unexpected)
    été == "x"
    ^
    "#);
    insta::assert_snapshot!(rendered("k == ‘x’"), @r#"
    line 1, column 6: ‘ is not a quotation mark of this language (quotation-mark)
    k == ‘x’
         ^
    hint: write `key == "text"`
    "#);
    insta::assert_snapshot!(rendered("k == \"\u{1b}[31m\" \u{7} x"), @r#"
    line 1, column 14: expected AND, OR, NOT or the end, found `\u{7}` (unexpected)
    k == " [31m"   x
                 ^
    "#);
    let long = format!(
        "{} AND k = 1 AND {}",
        ["k == 1"; 50].join(" OR "),
        ["k == 1"; 50].join(" OR ")
    );
    insta::assert_snapshot!(rendered(&long), @r#"
    line 1, column 504: `=` is not an operator (operator-spelling)
    ...= 1 OR k == 1 OR k == 1 OR k == 1 AND k = 1 AND k == 1 OR k == 1 OR k == 1 OR k == 1 OR k == 1 OR k ...
                                               ^
    hint: write `==`
    "#);
    let error = TraitRule::parse("é == 1").unwrap_err().remove(0);
    insta::assert_snapshot!(error, @r#"line 1, column 1: expected a key, NOT or `(`, found `é`"#);
    let error = TraitRule::parse("a == 1 OR\n b == \"é\" OR = 1")
        .unwrap_err()
        .remove(0);
    assert_eq!(
        error.place(),
        Place {
            offset: 24,
            line: 2,
            column: 14
        }
    );
}

#[test]
fn nesting_is_limited() {
    let nested = |depth| format!("{}a == 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(TraitRule::parse(&nested(limits::RULE_DEPTH_MAX)).is_ok());
    check_refused(&nested(limits::RULE_DEPTH_MAX + 1), &["too-deep"]);
    check_refused(&"(".repeat(100_000), &["too-deep"]);
    let negated = |depth| format!("{}a == 1{}", "NOT (".repeat(depth), ")".repeat(depth));
    let rule = TraitRule::parse(&negated(limits::RULE_DEPTH_MAX / 2)).unwrap();
    assert_eq!(TraitRule::parse(&rule.to_string()).unwrap(), rule);
    check_refused(&negated(limits::RULE_DEPTH_MAX / 2 + 1), &["too-deep"]);
}

#[test]
fn long_chains_are_one_level() {
    let source = ["a == 1"; 100_000].join(" OR ");
    let rule = TraitRule::parse(&source).unwrap();
    assert!(rule.matches(&signals("a=1")));
    assert_eq!(rule.to_string(), source);
}

#[test]
fn many_faults_are_cut() {
    let source = ["a = 1"; 1000].join(" OR ");
    let errors = TraitRule::parse(&source).unwrap_err();
    assert_eq!(errors.len(), crate::error::ERRORS_MAX);
    assert!(matches!(
        errors[0].kind(),
        RuleErrorKind::OperatorSpelling { .. }
    ));
}

proptest! {
    #[test]
    fn what_prints_parses_back(rule in arbitrary_rule()) {
        let printed = rule.to_string();
        let parsed = TraitRule::parse(&printed).unwrap();
        prop_assert_eq!(&parsed, &rule);
        prop_assert_eq!(parsed.to_string(), printed);
    }

    #[test]
    fn no_pair_of_parentheses_is_superfluous(rule in arbitrary_rule()) {
        let printed = rule.to_string();
        let quoted: Vec<bool> = in_text(&printed);
        for (open, _) in printed.match_indices('(').filter(|(at, _)| !quoted[*at]) {
            let close = closing(&printed, &quoted, open);
            let mut without = printed.clone();
            without.replace_range(close..=close, " ");
            without.replace_range(open..=open, " ");
            prop_assert_ne!(TraitRule::parse(&without).ok(), Some(rule.clone()), "{}", printed);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused_with_a_place(source in "[ab1 ()=<>!\"'\\\\AND.OR&|é\n\t-]{0,40}") {
        if let Err(errors) = TraitRule::parse(&source) {
            for error in errors {
                prop_assert!(source.is_char_boundary(error.place().offset));
                prop_assert!(error.render().ends_with('\n'));
            }
        }
    }

    #[test]
    fn the_tree_means_what_the_operators_say(rule in arbitrary_rule(), event in arbitrary_signals()) {
        prop_assert_eq!(rule.matches(&event), naive(rule.expr(), &event));
    }
}

/// For each byte, whether it stands between quotes.
fn in_text(printed: &str) -> Vec<bool> {
    let (mut inside, mut escaped) = (false, false);
    printed
        .bytes()
        .map(|byte| {
            let was = inside;
            match byte {
                _ if escaped => escaped = false,
                b'\\' if inside => escaped = true,
                b'"' => inside = !inside,
                _ => {}
            }
            was
        })
        .collect()
}

fn closing(printed: &str, quoted: &[bool], open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in printed.bytes().enumerate().skip(open) {
        match byte {
            b'(' if !quoted[at] => depth += 1,
            b')' if !quoted[at] => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    panic!("unbalanced: {printed}")
}

/// The semantics again, by other means: floating point and collected words.
fn naive(expr: &Expr<Comparison>, event: &Signals) -> bool {
    match expr {
        Expr::And(children) => !children.iter().any(|child| !naive(child, event)),
        Expr::Or(children) => children.iter().filter(|child| naive(child, event)).count() > 0,
        Expr::Not(child) => !naive(child, event),
        Expr::Term(Comparison { key, test }) => event
            .iter()
            .any(|(other, value)| other == &**key && naive_test(test, value)),
    }
}

fn naive_test(test: &Test, value: &str) -> bool {
    let number = |text: &str| {
        let plain = text.strip_prefix('-').unwrap_or(text);
        let digits = |c: char| c.is_ascii_digit();
        (plain.starts_with(digits) && plain.ends_with(digits))
            .then(|| text.parse::<f64>().ok())
            .flatten()
            .filter(|_| plain.chars().all(|c| digits(c) || c == '.'))
    };
    match test {
        Test::Compare(op, literal) => {
            let text = literal.as_str();
            let order = number(value)
                .zip(number(text))
                .map(|(value, operand)| value.partial_cmp(&operand).unwrap());
            match op {
                CompareOp::Equal => order.map_or(value == text, Ordering::is_eq),
                CompareOp::NotEqual => order.map_or(value != text, Ordering::is_ne),
                CompareOp::Less => order == Some(Ordering::Less),
                CompareOp::AtMost => order.is_some_and(|order| order != Ordering::Greater),
                CompareOp::Greater => order == Some(Ordering::Greater),
                CompareOp::AtLeast => order.is_some_and(|order| order != Ordering::Less),
            }
        }
        Test::Text(TextOp::Contains, text) => value.find(&**text).is_some(),
        Test::Text(TextOp::StartsWith, text) => value.find(&**text) == Some(0),
        Test::Text(TextOp::EndsWith, text) => value.strip_suffix(&**text).is_some(),
        Test::Text(TextOp::MatchesWords, text) => {
            let found: std::collections::BTreeSet<_> = words(value).collect();
            words(text).all(|word| found.contains(word))
        }
        Test::Pattern(pattern) => pattern.regex.find(value).is_some(),
    }
}
