//! What must be true of an event for a rule to hold: the condition the rule is filed under.
//!
//! A comparison needs its key, and an `==` needs the value too. An OR needs what any child needs, an
//! AND may choose the child that fewest events are likely to fulfil. A negated comparison needs
//! nothing, since it holds when the key is absent.

use crate::expr::Expr;
use crate::trait_rule::{CompareOp, Comparison, Test, TraitRule};
use crate::value::{Canonical, Decimal};
use std::{collections::HashMap, hash::Hash};

/// Something an event fulfils or not, found by one lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Condition<'a> {
    /// The key is present.
    Key(&'a str),
    /// The key has this value.
    Value(&'a str, Canonical<'a>),
}

/// What a rule needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Guard<'a> {
    /// Nothing: it may hold for any event.
    Always,
    /// One of these; when there is none, the rule holds for no event.
    AnyOf(Vec<Condition<'a>>),
}

/// How often each condition occurs in the rules, which is how many rules could end up under it.
///
/// Among `country == "US" AND page == "p1"`, one of thousands like it, the page is the one to go by.
#[derive(Debug, Default)]
pub(super) struct Census<'a> {
    uses: HashMap<Condition<'a>, u64, foldhash::fast::FixedState>,
}

impl<'a> Census<'a> {
    pub(super) fn of(rules: &'a [TraitRule]) -> Self {
        let mut census = Self::default();
        for rule in rules {
            rule.expr().for_each_term(&mut |comparison| {
                *census
                    .uses
                    .entry(Condition::Key(&comparison.key))
                    .or_default() += 1;
                if let Some(value @ Condition::Value(..)) = condition(comparison) {
                    *census.uses.entry(value).or_default() += 1;
                }
            });
        }
        census
    }

    /// Lower is better. A value is never more common than its key, and of a value and a key that
    /// occur equally often the value is met by fewer events.
    fn cost(&self, guard: &Guard<'_>) -> u64 {
        let Guard::AnyOf(conditions) = guard else {
            return u64::MAX;
        };
        conditions
            .iter()
            .map(|condition| {
                let uses = self.uses.get(condition).copied().unwrap_or(1);
                match condition {
                    Condition::Key(_) => uses.saturating_mul(16),
                    Condition::Value(..) => uses,
                }
            })
            .fold(0, u64::saturating_add)
    }
}

impl<'a> Guard<'a> {
    pub(super) fn of(expr: &'a Expr<Comparison>, census: &Census<'a>) -> Self {
        Self::signed(expr, false, census)
    }

    /// The guard of the expression or, if `negated`, of its opposite.
    fn signed(expr: &'a Expr<Comparison>, negated: bool, census: &Census<'a>) -> Self {
        let children = |children: &'a [Expr<Comparison>]| {
            children
                .iter()
                .map(move |child| Self::signed(child, negated, census))
        };
        // De Morgan: a negated OR needs all its children negated, so it may choose among them too.
        match (expr, negated) {
            (Expr::And(all), false) | (Expr::Or(all), true) => children(all)
                .min_by_key(|guard| census.cost(guard))
                .unwrap_or(Self::Always),
            (Expr::Or(any), false) | (Expr::And(any), true) => {
                children(any).reduce(Self::union).unwrap_or(Self::Always)
            }
            (Expr::Not(inner), negated) => Self::signed(inner, !negated, census),
            (Expr::Term(_), true) => Self::Always,
            (Expr::Term(comparison), false) => {
                Self::AnyOf(condition(comparison).into_iter().collect())
            }
        }
    }

    fn union(self, other: Self) -> Self {
        match (self, other) {
            (Self::AnyOf(mut conditions), Self::AnyOf(more)) => {
                conditions.extend(more);
                Self::AnyOf(conditions)
            }
            _ => Self::Always,
        }
    }
}

/// What a comparison needs, or `None` when it holds for no event.
fn condition(comparison: &Comparison) -> Option<Condition<'_>> {
    let key = &comparison.key;
    match &comparison.test {
        Test::Compare(CompareOp::Equal, literal) => {
            Some(Condition::Value(key, Canonical::of(literal.as_str())))
        }
        Test::Compare(CompareOp::NotEqual, _) | Test::Text(..) | Test::Pattern(_) => {
            Some(Condition::Key(key))
        }
        Test::Compare(_, literal) => Decimal::parse(literal.as_str()).map(|_| Condition::Key(key)),
    }
}
