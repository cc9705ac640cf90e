//! The section `segments`: `- { id, name, rule, status }`.

use crate::context::Context;
use crate::known::Ids;
use crate::record::Record;
use crate::rule;
use crate::traits::KnownTrait;
use crate::value::{self, Value};
use tidings_model::{Segment, SegmentId, Status};

const KEYS: [&str; 4] = ["id", "name", "rule", "status"];

/// The words for a status, here and in destinations.
pub(crate) const STATUSES: [(&str, Status); 2] =
    [("active", Status::Active), ("paused", Status::Paused)];

/// Reads one segment.
pub(crate) fn read(
    value: Value<'_, '_>,
    traits: &Ids<KnownTrait>,
    known: &mut Ids<()>,
    ctx: &Context<'_>,
) -> Option<Segment> {
    let record = Record::open(value, &KEYS, ctx)?;
    let id = record.required("id", |value, ctx| {
        let id = value.id(ctx)?;
        known.claim(id, (), value, ctx);
        Some(SegmentId(id))
    });
    let name = record.required("name", value::name);
    let rule = record.required("rule", |value, ctx| rule::segment_rule(value, traits, ctx));
    let status = record.or("status", Status::Active, |value, ctx| {
        value.choice(&STATUSES, ctx)
    });
    Some(Segment {
        id: id?,
        name: name?,
        rule: rule?,
        status,
    })
}
