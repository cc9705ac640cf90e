//! The rule of a segment as a tree, with the value of every part for one device.

use super::{
    change::{NextChange, View, state_of},
    trait_::{self, TraitWhy},
};
use crate::profile::TraitState;
use tidings_model::UtcDay;
use tidings_rules::{Expr, RecencyOp, SegmentTerm, TermValue};

/// Traits of one term that are shown though the device does not have them.
const ABSENT_SHOWN_MAX: usize = 20;

/// A part of a rule, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleWhy {
    /// As it is printed.
    pub text: String,
    /// Its value.
    pub holds: bool,
    /// When time alone changes the value next; `None`: never.
    pub next: Option<NextChange>,
    /// What it consists of.
    pub part: RulePart,
}

/// What a part of a rule consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulePart {
    /// True when every child is.
    And(Vec<RuleWhy>),
    /// True when any child is.
    Or(Vec<RuleWhy>),
    /// True when the child is not.
    Not(Box<RuleWhy>),
    /// A term.
    Term(TermWhy),
}

/// A term of a rule: a count and what it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TermWhy {
    /// Realisations that count.
    pub count: u64,
    /// What the count is compared with, `>= 3`.
    pub condition: String,
    /// The days whose realisations count, both included; `None` at an end is without one.
    pub window: Option<(Option<UtcDay>, Option<UtcDay>)>,
    /// The traits that it reads: those that the device has, and the first of the others.
    pub traits: Vec<TraitWhy>,
    /// How many others there are beyond those shown.
    pub absent: usize,
}

/// The tree of the view's rule with its values.
pub(super) fn explain(view: &View<'_>) -> RuleWhy {
    let values = view.terms_at(view.now);
    let explainer = Explainer {
        view,
        live: view.live_at(view.now),
    };
    explainer.part(view.rule.expr(), &values, &mut 0).0
}

struct Explainer<'a> {
    view: &'a View<'a>,
    live: Vec<TraitState>,
}

impl Explainer<'_> {
    /// One part, and its value at every instant of the view. `position` is that of its first term,
    /// and afterwards that of the term after it.
    fn part(
        &self,
        expr: &Expr<SegmentTerm>,
        values: &Expr<TermValue<'_>>,
        position: &mut usize,
    ) -> (RuleWhy, Vec<bool>) {
        let first = *position;
        let (part, holds) = match (expr, values) {
            (Expr::And(children), Expr::And(values)) => {
                let (parts, rows) = self.parts(children, values, position);
                (RulePart::And(parts), self.join(&rows, |a, b| a && b))
            }
            (Expr::Or(children), Expr::Or(values)) => {
                let (parts, rows) = self.parts(children, values, position);
                (RulePart::Or(parts), self.join(&rows, |a, b| a || b))
            }
            (Expr::Not(child), Expr::Not(value)) => {
                let (part, row) = self.part(child, value, position);
                let row = row.into_iter().map(|holds| !holds).collect();
                (RulePart::Not(Box::new(part)), row)
            }
            (Expr::Term(term), Expr::Term(value)) => {
                let row = self.view.values.get(*position).cloned();
                *position += 1;
                let part = RulePart::Term(self.term(term, value.count));
                (part, row.unwrap_or_default())
            }
            _ => unreachable!("both are trees of one rule"),
        };
        let why = RuleWhy {
            text: expr.to_string(),
            holds: holds.first() == Some(&true),
            next: self.view.first_change(&holds, first..*position),
            part,
        };
        (why, holds)
    }

    fn parts(
        &self,
        children: &[Expr<SegmentTerm>],
        values: &[Expr<TermValue<'_>>],
        position: &mut usize,
    ) -> (Vec<RuleWhy>, Vec<Vec<bool>>) {
        let children = children.iter().zip(values);
        children
            .map(|(child, value)| self.part(child, value, position))
            .unzip()
    }

    fn join(&self, rows: &[Vec<bool>], join: fn(bool, bool) -> bool) -> Vec<bool> {
        let at = |index: usize| {
            let values = rows.iter().filter_map(|row| row.get(index).copied());
            values.reduce(join) == Some(true)
        };
        (0..self.view.instants.len()).map(at).collect()
    }

    fn term(&self, term: &SegmentTerm, count: u64) -> TermWhy {
        let has = |id| {
            let members = self.view.compiled.folder_members(id).iter();
            let mut ids = members.chain([&id]);
            ids.any(|&id| state_of(&self.view.traits, id).is_some())
        };
        let mut absent = 0;
        let mut traits = Vec::new();
        for &id in term.traits() {
            if !has(id) {
                absent += 1;
                if absent > ABSENT_SHOWN_MAX {
                    continue;
                }
            }
            traits.push(trait_::explain(self.view, &self.live, term, id));
        }
        let today = self.view.now.day();
        let window = term.recency().map(|recency| match recency.op {
            RecencyOp::AtMost => (Some(recency.boundary(today)), Some(today)),
            RecencyOp::AtLeast => (None, Some(recency.boundary(today))),
        });
        TermWhy {
            count,
            condition: term.condition(),
            window,
            traits,
            absent: absent.saturating_sub(ABSENT_SHOWN_MAX),
        }
    }
}
