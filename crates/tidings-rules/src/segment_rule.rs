//! Segment expressions: traits of a profile and their frequencies, joined by AND, OR and NOT.
//!
//! `FREQUENCY([4T,8T] <= 5D) >= 3` counts the realisations of all listed traits together, those that
//! are at most 5 days old: the age of a realisation is the day of evaluation minus its own day, both
//! in UTC, and the boundary day counts on both sides. `5T` alone is short for `FREQUENCY([5T]) >= 1`
//! and takes a trait of any kind.
//!
//! [`SegmentRule::parse`] refuses what the grammar can tell, [`SegmentRule::check`] what needs the
//! catalog, and rules that are true for an empty profile: such a segment would hold everyone who
//! never did anything. The traits of one list are a set; naming one twice counts it once.

mod check;
mod parse;

use crate::error::RuleError;
use crate::expr::Expr;
use crate::lex::Span;
use crate::program::Realizations;
use std::{fmt, num::NonZeroU32};
use tidings_model::{TraitId, UtcDay, planted};

/// A parsed segment expression. Equal when the trees are, however they were written.
///
/// `Display` prints the canonical form with the fewest parentheses; it parses to an equal rule.
#[derive(Clone, Debug)]
pub struct SegmentRule {
    expr: Expr<SegmentTerm>,
    source: Box<str>,
    /// Where each trait is named, in the order of the terms.
    places: Vec<Span>,
}

/// A term of a segment expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentTerm {
    /// `5T`: the profile has the trait.
    Trait(TraitId),
    /// A frequency, with or without recency.
    Frequency(Frequency),
}

/// `FREQUENCY([<traits>] <recency>) <op> <count>`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frequency {
    /// The traits whose realisations are added up: at least one, distinct, in the order written.
    pub traits: Box<[TraitId]>,
    /// Which realisations count; `None` counts all.
    pub recency: Option<Recency>,
    /// How the sum is compared.
    pub op: FrequencyOp,
    /// What it is compared with.
    pub count: u32,
}

/// A condition on the age of realisations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Recency {
    /// Which side of the boundary counts.
    pub op: RecencyOp,
    /// The boundary: an age in days, at most `i32::MAX`.
    pub days: NonZeroU32,
}

/// How an age is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecencyOp {
    /// `<=`: that old or younger. Members drop out as time passes.
    AtMost,
    /// `>=`: that old or older. Members come in as time passes.
    AtLeast,
}

/// How a frequency is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrequencyOp {
    /// `>=`
    AtLeast,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
}

/// A term with what a profile made of it, for explaining a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermValue<'a> {
    /// The term.
    pub term: &'a SegmentTerm,
    /// Realisations that count towards it.
    pub count: u64,
    /// Whether the term is true.
    pub holds: bool,
}

impl SegmentRule {
    /// Parses an expression such as `1001T AND NOT (FREQUENCY([4T,8T] <= 5D) >= 3)`.
    ///
    /// # Errors
    /// Every fault found, at least one and at most 20, in the order they were met.
    pub fn parse(source: &str) -> Result<Self, Vec<RuleError>> {
        let (expr, places) = parse::parse(source)?;
        Ok(Self {
            expr,
            source: source.into(),
            places,
        })
    }

    /// The expression as a tree.
    #[must_use]
    pub const fn expr(&self) -> &Expr<SegmentTerm> {
        &self.expr
    }

    /// The tree with the value of every term for one profile on one day. The value of the whole is
    /// `explanation.holds(&mut |term| term.holds)`. Allocates; for people, not for every event.
    pub fn explain(&self, today: UtcDay, profile: &impl Realizations) -> Expr<TermValue<'_>> {
        self.expr.map(&mut |term| {
            let count = term.count(today, profile);
            TermValue {
                term,
                count,
                holds: term.holds_for(count),
            }
        })
    }
}

impl PartialEq for SegmentRule {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

impl Eq for SegmentRule {}

impl SegmentTerm {
    /// The traits it reads.
    #[must_use]
    pub fn traits(&self) -> &[TraitId] {
        match self {
            Self::Trait(trait_id) => std::slice::from_ref(trait_id),
            Self::Frequency(frequency) => &frequency.traits,
        }
    }

    /// Its condition on age.
    #[must_use]
    pub const fn recency(&self) -> Option<Recency> {
        match self {
            Self::Trait(_) => None,
            Self::Frequency(frequency) => frequency.recency,
        }
    }

    /// The comparison of its count.
    pub(crate) const fn comparison(&self) -> (FrequencyOp, u32) {
        match self {
            Self::Trait(_) => (FrequencyOp::AtLeast, 1),
            Self::Frequency(frequency) => (frequency.op, frequency.count),
        }
    }

    /// Realisations of one of its traits that count towards it on this day.
    pub fn counted(&self, trait_id: TraitId, today: UtcDay, profile: &impl Realizations) -> u64 {
        Recency::count(self.recency(), today, profile, trait_id)
    }

    /// The comparison of its count, `>= 1`.
    #[must_use]
    pub fn condition(&self) -> String {
        let (op, threshold) = self.comparison();
        format!("{op} {threshold}")
    }

    fn count(&self, today: UtcDay, profile: &impl Realizations) -> u64 {
        self.traits()
            .iter()
            .map(|&trait_id| self.counted(trait_id, today, profile))
            .fold(0, u64::saturating_add)
    }

    fn holds_for(&self, count: u64) -> bool {
        let (op, threshold) = self.comparison();
        op.holds(count, threshold)
    }
}

impl Recency {
    /// The last day that counts for `>=`, and the first for `<=`.
    #[must_use]
    pub fn boundary(self, today: UtcDay) -> UtcDay {
        today.plus_days(-days_i32(self.days))
    }

    /// The realisations of a trait that count under a condition on age, or without one.
    pub(crate) fn count(
        recency: Option<Self>,
        today: UtcDay,
        profile: &impl Realizations,
        trait_id: TraitId,
    ) -> u64 {
        let Some(recency) = recency else {
            return profile.total(trait_id);
        };
        let boundary = recency.boundary(today);
        match recency.op {
            RecencyOp::AtMost => {
                let first = planted!(RecentEdge, boundary.plus_days(1), boundary);
                profile.on_or_after(trait_id, first)
            }
            RecencyOp::AtLeast => {
                let last = planted!(AgedEdge, boundary.plus_days(-1), boundary);
                profile.on_or_before(trait_id, last)
            }
        }
    }
}

/// Parsed recencies fit; a larger one made by hand is as good as the largest.
pub(crate) fn days_i32(days: NonZeroU32) -> i32 {
    i32::try_from(days.get()).unwrap_or(i32::MAX)
}

impl FrequencyOp {
    pub(crate) fn holds(self, count: u64, threshold: u32) -> bool {
        let threshold = u64::from(threshold);
        match self {
            Self::AtLeast => count >= threshold,
            Self::AtMost => count <= threshold,
            Self::Equal => count == threshold,
        }
    }
}

impl fmt::Display for SegmentRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.expr, f)
    }
}

impl fmt::Display for SegmentTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trait(trait_id) => write!(f, "{trait_id}T"),
            Self::Frequency(frequency) => fmt::Display::fmt(frequency, f),
        }
    }
}

impl fmt::Display for Frequency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FREQUENCY([")?;
        for (position, trait_id) in self.traits.iter().enumerate() {
            let comma = if position > 0 { "," } else { "" };
            write!(f, "{comma}{trait_id}T")?;
        }
        f.write_str("]")?;
        if let Some(recency) = self.recency {
            write!(f, " {recency}")?;
        }
        write!(f, ") {} {}", self.op, self.count)
    }
}

impl fmt::Display for Recency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}D", self.op, self.days)
    }
}

impl fmt::Display for RecencyOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
        })
    }
}

impl fmt::Display for FrequencyOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Equal => "==",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
