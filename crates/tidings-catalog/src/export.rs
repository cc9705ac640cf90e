//! Export controls of data sources and export labels of destinations: lists of a few words.

use crate::context::Context;
use crate::fault::Remark;
use crate::value::Value;
use tidings_model::{ExportUse, ExportUses};

/// Reads `export_controls`, such as `[no_pii]`.
pub(crate) fn controls(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<ExportUses> {
    uses(value, ExportUse::control, ExportUse::label, ctx)
}

/// Reads `export_labels`, such as `[pii]`.
pub(crate) fn labels(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<ExportUses> {
    uses(value, ExportUse::label, ExportUse::control, ctx)
}

/// Reads a list of words; `other` names the same uses on the other side, where they may be meant.
fn uses(
    value: Value<'_, '_>,
    word: fn(ExportUse) -> &'static str,
    other: fn(ExportUse) -> &'static str,
    ctx: &Context<'_>,
) -> Option<ExportUses> {
    let choices = ExportUse::ALL.map(|one| (word(one), one));
    let mut seen: Vec<ExportUse> = Vec::new();
    let read = value.list(ExportUse::ALL.len(), ctx, |item| {
        let text = item.node.text().unwrap_or_default();
        if let Some(one) = ExportUse::ALL.into_iter().find(|one| other(*one) == text) {
            let words = choices.map(|(word, _)| word).join(", ");
            let remark = Remark::new(format!("`{text}` is not one of {words}"));
            ctx.fault(item, remark.hint(format!("did you mean `{}`?", word(one))));
            return None;
        }
        let one = item.choice(&choices, ctx)?;
        if seen.contains(&one) {
            ctx.fault(item, format!("`{}` is named twice", word(one)));
            return None;
        }
        seen.push(one);
        Some(one)
    });
    Some(read.into_iter().collect())
}
