//! Trait rules and segment expressions: kept as text, but only after they have been parsed and
//! checked against the traits of the catalog. A fault of a rule is shown at its place in the file.

use crate::context::Context;
use crate::fault::{Excerpt, Remark};
use crate::known::Ids;
use crate::traits::KnownTrait;
use crate::value::Value;
use tidings_rules::{RuleError, SegmentRule, TraitRule};

/// Characters of a rule shown before the place of a fault, and from it on.
const SHOWN_BEFORE: usize = 40;
const SHOWN_AFTER: usize = 40;

/// Reads the rule of a trait.
pub(crate) fn trait_rule(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<String> {
    let text = value.text(ctx)?;
    accept(value, text, TraitRule::parse(text).map(drop), ctx)
}

/// Reads the expression of a segment, which may name any of `traits`.
pub(crate) fn segment_rule(
    value: Value<'_, '_>,
    traits: &Ids<KnownTrait>,
    ctx: &Context<'_>,
) -> Option<String> {
    let text = value.text(ctx)?;
    let checked = SegmentRule::parse(text)
        .and_then(|rule| rule.check(|trait_id| traits.get(trait_id.0).map(|known| known.kind)));
    accept(value, text, checked, ctx)
}

fn accept(
    value: Value<'_, '_>,
    text: &str,
    checked: Result<(), Vec<RuleError>>,
    ctx: &Context<'_>,
) -> Option<String> {
    let Err(errors) = checked else {
        return Some(text.to_owned());
    };
    for error in errors {
        let offset = error.place().offset;
        let mut remark = Remark::new(error.kind().to_string()).excerpt(excerpt(text, offset));
        if let Some(hint) = error.kind().hint() {
            remark = remark.hint(hint);
        }
        let place = value.node.place_of(offset);
        ctx.report.fault(place, value.path, remark);
    }
    None
}

/// The part of the line around `offset`. A rule may be a megabyte on one line.
fn excerpt(text: &str, offset: usize) -> Excerpt {
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let before = before.rsplit('\n').next().unwrap_or_default();
    let after = after.split('\n').next().unwrap_or_default();
    let skipped = before.chars().count().saturating_sub(SHOWN_BEFORE);
    let mut shown: String = before.chars().skip(skipped).map(printable).collect();
    if skipped > 0 {
        shown.insert(0, '…');
    }
    let caret = shown.chars().count();
    shown.extend(after.chars().take(SHOWN_AFTER).map(printable));
    if after.chars().nth(SHOWN_AFTER).is_some() {
        shown.push('…');
    }
    Excerpt {
        text: shown.trim_end().to_owned(),
        caret,
    }
}

/// One column for one character, so that the caret stays below its place.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}
