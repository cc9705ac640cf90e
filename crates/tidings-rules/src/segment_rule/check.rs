//! What the grammar of a segment expression cannot tell: kinds of traits, and the empty profile.

use super::{SegmentRule, SegmentTerm};
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
        if let Some((trait_id, place)) = self.true_for_empty() {
            report(place, RuleErrorKind::TrueForEmptyProfile { trait_id });
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// The first trait of the part that makes the rule true for an empty profile, and its place;
    /// `None` when the rule is false there.
    fn true_for_empty(&self) -> Option<(TraitId, Span)> {
        if !holds_for_empty(&self.expr) {
            return None;
        }
        let position = position_of_culprit(&self.expr);
        let mut traits = Vec::new();
        self.expr
            .for_each_term(&mut |term| traits.extend_from_slice(term.traits()));
        Some((*traits.get(position)?, *self.places.get(position)?))
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

/// How many traits are named before the first one of the part of an OR that is true on its own.
fn position_of_culprit(expr: &Expr<SegmentTerm>) -> usize {
    let Expr::Or(children) = expr else {
        return 0;
    };
    let mut before = 0;
    for child in children {
        if holds_for_empty(child) {
            return before + position_of_culprit(child);
        }
        child.for_each_term(&mut |term| before += term.traits().len());
    }
    0
}
