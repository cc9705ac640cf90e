//! What the grammar of a segment expression cannot tell: kinds of traits, and the empty profile.

use super::{Frequency, FrequencyOp, SegmentRule, SegmentTerm};
use crate::error::{ERRORS_MAX, RuleError, RuleErrorKind};
use crate::expr::Expr;
use crate::lex::Span;
use tidings_model::{TraitId, TraitKind};

impl SegmentRule {
    /// Checks the rule against a catalog; `kind_of` gives the kind of a trait, `None` if there is no
    /// such trait.
    ///
    /// # Errors
    /// Every fault found, up to a limit: traits that do not exist, traits whose kind is not counted
    /// in a FREQUENCY, and a rule that is true for a profile without any trait.
    pub fn check(
        &self,
        kind_of: impl Fn(TraitId) -> Option<TraitKind>,
    ) -> Result<(), Vec<RuleError>> {
        let mut errors = Vec::new();
        let mut report = |span: Span, kind: RuleErrorKind| {
            if errors.len() < ERRORS_MAX {
                errors.push(RuleError::new(&self.source, span, kind));
            }
        };
        let mut places = self.places.iter();
        self.expr.for_each_term(&mut |term| {
            for (&trait_id, &place) in term.traits().iter().zip(places.by_ref()) {
                if let Some(kind) = fault(term, trait_id, kind_of(trait_id)) {
                    report(place, kind);
                }
            }
        });
        if let Some((place, kind)) = self.true_for_empty() {
            report(place, kind);
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// The fault of a rule that is true for an empty profile, marked at the first trait of the part
    /// that makes it so.
    fn true_for_empty(&self) -> Option<(Span, RuleErrorKind)> {
        if !holds_for_empty(&self.expr) {
            return None;
        }
        let (position, culprit) = culprit(&self.expr, 0);
        let repair = culprit.and_then(repair);
        let place = *self.places.get(position)?;
        Some((place, RuleErrorKind::TrueForEmptyProfile { repair }))
    }
}

fn fault(term: &SegmentTerm, trait_id: TraitId, kind: Option<TraitKind>) -> Option<RuleErrorKind> {
    let Some(kind) = kind else {
        return Some(RuleErrorKind::UnknownTrait(trait_id));
    };
    match (term, kind) {
        (SegmentTerm::Trait(_), _) | (_, TraitKind::RuleBased | TraitKind::Folder) => None,
        (SegmentTerm::Frequency(_), TraitKind::ThirdParty) => {
            Some(RuleErrorKind::ThirdPartyCounted(trait_id))
        }
        (SegmentTerm::Frequency(_), TraitKind::Onboarded) => {
            Some(RuleErrorKind::TraitNotCounted { trait_id, kind })
        }
    }
}

fn holds_for_empty(expr: &Expr<SegmentTerm>) -> bool {
    expr.holds(&mut |term| term.holds_for(0))
}

/// Of a part that is true for an empty profile after `position` traits, the first part that alone
/// makes it so: the position of its first trait, and its term unless that is below a NOT.
fn culprit(expr: &Expr<SegmentTerm>, mut position: usize) -> (usize, Option<&SegmentTerm>) {
    match expr {
        Expr::Term(term) => (position, Some(term)),
        Expr::Not(_) => (position, None),
        Expr::And(children) | Expr::Or(children) => {
            for child in children {
                if holds_for_empty(child) {
                    return culprit(child, position);
                }
                child.for_each_term(&mut |term| position += term.traits().len());
            }
            (position, None)
        }
    }
}

/// An upper limit on a frequency is repaired by a lower one; other faults need another trait.
fn repair(term: &SegmentTerm) -> Option<String> {
    let SegmentTerm::Frequency(frequency) = term else {
        return None;
    };
    if frequency.op != FrequencyOp::AtMost || frequency.count == 0 {
        return None;
    }
    let lower = Frequency {
        op: FrequencyOp::AtLeast,
        count: 1,
        recency: None,
        ..frequency.clone()
    };
    // A long list helps nobody.
    (frequency.traits.len() <= 5).then(|| lower.to_string())
}
