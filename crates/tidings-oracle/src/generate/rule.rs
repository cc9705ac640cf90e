//! Random rules, written in the many ways in which the same may be said.

use super::Random;
use crate::segment_rule::SegmentRule;
use tidings_model::{Trait, TraitKind, UtcDay};

/// A trait rule over a handful of keys and values.
pub(super) fn trait_rule(random: &mut Random) -> String {
    joined(random, 2, &comparison)
}

fn comparison(random: &mut Random) -> String {
    let rule = match random.below(8) {
        0..3 => format!("page == \"{}\"", random.pick(&["a", "b", "c"])),
        3 => format!("page != \"{}\"", random.pick(&["a", "b"])),
        4 => {
            let operator = random.pick(&["<", "<=", ">", ">=", "=>", "==", "!="]);
            format!(
                "price {operator} {}",
                random.pick(&["5", "10", "10.0", "-1"])
            )
        }
        5 => {
            let operator = random.pick(&["contains", "startswith", "endsWith"]);
            format!("c_area {operator} \"{}\"", random.pick(&["sho", "p", "s"]))
        }
        6 => "c_area == \"shop\"".to_owned(),
        _ => format!("price=={}", random.pick(&["5", "10"])),
    };
    if random.chance(20) {
        rule.replace(' ', "  ").replace("price", "price ")
    } else {
        rule
    }
}

/// A segment expression over these traits that does not hold for everyone.
pub(super) fn segment_rule(random: &mut Random, traits: &[Trait]) -> String {
    for _ in 0..8 {
        let text = joined(random, 3, &|random| segment_term(random, traits));
        let parsed = SegmentRule::parse(&text);
        if parsed.is_ok_and(|rule| !rule.holds(UtcDay(0), &|_| Vec::new())) {
            return text;
        }
    }
    // Repairs whatever it was: nobody is in it without this trait.
    let only = random.pick(traits).id;
    let other = segment_term(random, traits);
    format!("{only}T AND ({only}T OR {other})")
}

fn segment_term(random: &mut Random, traits: &[Trait]) -> String {
    let counted: Vec<_> = traits
        .iter()
        .filter(|one| one.kind != TraitKind::Onboarded)
        .map(|one| one.id)
        .collect();
    if counted.is_empty() || random.chance(45) {
        return format!(
            "{}{}",
            random.pick(traits).id,
            random.pick(&["T", "T", "t"])
        );
    }
    let mut list = format!("{}T", random.pick(&counted));
    if random.chance(30) {
        list += &format!(", {}T", random.pick(&counted));
    }
    let recency = if random.chance(60) {
        let operator = random.pick(&["<=", "<=", ">=", "=>"]);
        let days = if random.chance(6) {
            *random.pick(&[29, 30, 31, 40])
        } else {
            random.between(1, 4)
        };
        format!(" {operator} {days}D")
    } else {
        String::new()
    };
    let operator = random.pick(&[">=", ">=", "=>", "<=", "=="]);
    let count = random.between(0, 3);
    let word = random.pick(&["FREQUENCY", "frequency"]);
    format!("{word}([{list}]{recency}) {operator} {count}")
}

/// Terms joined by AND, OR, NOT and parentheses, up to this depth.
fn joined(random: &mut Random, depth: i64, term: &dyn Fn(&mut Random) -> String) -> String {
    if depth == 0 || random.chance(40) {
        return term(random);
    }
    let left = joined(random, depth - 1, term);
    let right = joined(random, depth - 1, term);
    match random.below(7) {
        0 | 1 => format!("{left} AND {right}"),
        2 => format!("{left} OR {right}"),
        3 => format!("({left} or {right})"),
        4 => format!("{left} AND NOT ({right})"),
        5 => format!("{left} NOT ({right})"),
        _ => format!("NOT ({left}) AND {right}"),
    }
}
