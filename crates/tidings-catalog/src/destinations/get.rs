//! The URL of a destination that takes GET requests: macros that say who, and what.

use crate::context::Context;
use crate::fault::Remark;
use crate::suggest::nearest;
use crate::value::Value;
use tidings_model::Mapping;
use tidings_model::limits::REQUEST_TARGET_BYTES_MAX;
use tidings_wire::template::{Macro, Template, TemplateError};

/// Bytes of a partner's id, and of everything else in a URL but the segments, that are reckoned with.
const OTHER_BYTES: usize = 1_024;

/// Reports what keeps the URL at `value` from telling about a user all that it has to.
pub(super) fn check(
    url: &str,
    value: Value<'_, '_>,
    supports_unsegment: bool,
    mappings: Option<&[Mapping]>,
    ctx: &Context<'_>,
) {
    let template = match Template::parse(url) {
        Ok(template) => template,
        Err(error) => {
            let remark = Remark::new(error.to_string());
            let TemplateError::Unknown(name) = error else {
                ctx.fault(value, remark);
                return;
            };
            let names: Vec<_> = Macro::names().collect();
            let hint = match nearest(&name, &names) {
                Some(near) => format!("did you mean `<{near}>`?"),
                None => format!("there are {}", names.join(", ")),
            };
            ctx.fault(value, remark.hint(hint));
            return;
        }
    };
    if !template.has(Macro::Segments) {
        let remark = Remark::new("with GET the URL says which segments a user is in");
        ctx.fault(value, remark.hint("add `<SEGMENT_LIST>` to its query"));
    }
    if supports_unsegment && !template.has(Macro::Removed) {
        let remark = Remark::new("no user could be told to have left a segment");
        let hint = "add `<REMOVED_SEGMENT_LIST>`, or write `supports_unsegment: false`";
        ctx.fault(value, remark.hint(hint));
    }
    if !template.has(Macro::PartnerId) && !template.has(Macro::Device) {
        let remark = Remark::new("the partner could not tell users apart");
        ctx.fault(value, remark.hint("add `<DP_UUID>`, or `<UUID>`"));
    }
    let segments: usize = mappings.unwrap_or_default().iter().map(bytes_of).sum();
    if url.len() + segments + OTHER_BYTES > REQUEST_TARGET_BYTES_MAX {
        ctx.warn(
            value,
            format!(
                "a user in all mapped segments may not fit into the {REQUEST_TARGET_BYTES_MAX} bytes of a URL"
            ),
        );
    }
}

/// What a segment takes in a list.
fn bytes_of(mapping: &Mapping) -> usize {
    let text = match &mapping.value {
        Some(text) => text.len(),
        None => mapping.segment.to_string().len(),
    };
    text + 1
}
