//! Why a device is in a segment, and what partners know of it: the engine's explanation, asked for by
//! number and written as JSON. The one shape that the admin side and the dry run show.

use crate::core::ActiveCatalog;
use serde_json::{Value, json};
use tidings_engine::{
    Profile,
    why::{
        self, ChangeCause, DestinationWhy, DeviceWhy, IdWhy, MappingState, MappingWhy, NextChange,
        Realised, RulePart, RuleWhy, TermWhy, TraitWhy, Why,
    },
};
use tidings_model::{
    DestinationId, DeviceUuid, SegmentId, Status, Timestamp, TraitKind, Unsegment, UtcDay,
};

/// Something was asked for that the catalog does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The segment.
    #[error("there is no segment {0} in the catalog")]
    Segment(SegmentId),
    /// The destination.
    #[error("there is no destination {0} in the catalog")]
    Destination(DestinationId),
}

/// Explains one device and one segment under a catalog: with every destination that it concerns, or
/// with the one that is asked for. May take some milliseconds for a rule of thousands of traits.
///
/// # Errors
/// When the catalog has no such segment or destination.
pub fn explain(
    active: &ActiveCatalog,
    profile: &Profile,
    segment: SegmentId,
    destination: Option<DestinationId>,
    now: Timestamp,
) -> Result<Why, Unknown> {
    let (catalog, compiled) = (&active.catalog, &active.compiled);
    let mut why =
        why::explain(catalog, compiled, profile, segment, now).ok_or(Unknown::Segment(segment))?;
    if let Some(id) = destination {
        let one = why::explain_destination(catalog, compiled, profile, segment, id, now);
        why.destinations = vec![one.ok_or(Unknown::Destination(id))?];
    }
    Ok(why)
}

/// An explanation as JSON; the members are described in `docs/operating.md`.
#[must_use]
pub fn to_json(uuid: &DeviceUuid, why: &Why) -> Value {
    json!({
        "uuid": uuid.to_string(),
        "now": why.now.to_string(),
        "segment": {
            "id": why.segment.0,
            "name": why.name,
            "status": status(why.status),
        },
        "member": why.since.is_some(),
        "since": why.since.map(text),
        "reason": why.reason.code(),
        "explanation": why.reason.to_string(),
        "next_change": why.next.as_ref().map(change),
        "rule": rule(&why.rule),
        "device": why.device.map(device),
        "destinations": why.destinations.iter().map(destination).collect::<Vec<_>>(),
    })
}

fn text(time: impl ToString) -> String {
    time.to_string()
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Paused => "paused",
    }
}

fn device(device: DeviceWhy) -> Value {
    let DeviceWhy {
        last_seen,
        evaluated,
        wake_at,
        last_sent,
        refresh_from,
        opted_out,
    } = device;
    json!({
        "last_seen": text(last_seen),
        "evaluated": text(evaluated),
        "wake_at": wake_at.map(text),
        "last_sent": last_sent.map(text),
        "refresh_from": refresh_from.map(text),
        "opted_out": opted_out,
    })
}

fn change(next: &NextChange) -> Value {
    let causes: Vec<_> = next.causes.iter().map(cause).collect();
    json!({ "at": text(next.at), "to": next.to, "causes": causes })
}

fn cause(cause: &ChangeCause) -> Value {
    match cause {
        ChangeCause::TimeToLive(id) => json!({ "cause": "ttl", "trait": id.0 }),
        ChangeCause::Window {
            trait_id,
            day,
            recency,
        } => json!({
            "cause": "window",
            "trait": trait_id.0,
            "day": text(day),
            "window": text(recency),
        }),
        ChangeCause::Unseen => json!({ "cause": "unseen" }),
    }
}

fn rule(why: &RuleWhy) -> Value {
    let mut value = json!({
        "text": why.text,
        "value": why.holds,
        "next_change": why.next.as_ref().map(change),
    });
    let rest = match &why.part {
        RulePart::And(parts) => json!({ "kind": "and", "parts": rules(parts) }),
        RulePart::Or(parts) => json!({ "kind": "or", "parts": rules(parts) }),
        RulePart::Not(part) => json!({ "kind": "not", "parts": [rule(part)] }),
        RulePart::Term(one) => term(one),
    };
    if let (Some(value), Value::Object(rest)) = (value.as_object_mut(), rest) {
        value.extend(rest);
    }
    value
}

fn rules(parts: &[RuleWhy]) -> Vec<Value> {
    parts.iter().map(rule).collect()
}

fn term(term: &TermWhy) -> Value {
    let window = term.window.map(|(from, until)| days(from, until));
    json!({
        "kind": "term",
        "count": term.count,
        "condition": term.condition,
        "window": window,
        "traits": term.traits.iter().map(trait_).collect::<Vec<_>>(),
        "absent_traits_left_out": term.absent,
    })
}

fn days(from: Option<UtcDay>, until: Option<UtcDay>) -> Value {
    json!({ "from": from.map(text), "until": until.map(text) })
}

fn trait_(why: &TraitWhy) -> Value {
    let kind = match why.kind {
        TraitKind::RuleBased => "rule_based",
        TraitKind::Onboarded => "onboarded",
        TraitKind::Folder => "folder",
        TraitKind::ThirdParty => "third_party",
    };
    let counted_days = why.counted_days;
    json!({
        "id": why.id.0,
        "name": why.name,
        "kind": kind,
        "ttl_days": why.ttl_days,
        "counted": why.counted,
        "counted_days": counted_days.map(|(from, until)| days(from, Some(until))),
        "realised": why.realised.as_ref().map(realised),
        "members": why.members.iter().map(trait_).collect::<Vec<_>>(),
    })
}

fn realised(realised: &Realised) -> Value {
    let days = realised
        .days
        .iter()
        .map(|day| json!({ "day": text(day.day), "count": day.count, "counts": day.counts }));
    json!({
        "last": text(realised.last),
        "live_until": realised.live_until.map(text),
        "live": realised.live,
        "earlier": { "count": realised.older, "counts": realised.older_counts },
        "days": days.collect::<Vec<_>>(),
    })
}

fn destination(why: &DestinationWhy) -> Value {
    let unsegment = match why.unsegment {
        Unsegment::Immediate => "immediate",
        Unsegment::Batch => "batch",
        Unsegment::WhenSeen => "when_seen",
    };
    let batch = why
        .batch_marked
        .map(|marked| json!({ "next_tells_something": marked, "told": why.batch_told }));
    json!({
        "id": why.id.0,
        "name": why.name,
        "status": status(why.status),
        "answer": why.answer.code(),
        "explanation": why.answer.to_string(),
        "mappings": why.mappings.iter().map(mapping).collect::<Vec<_>>(),
        "ids": why.ids.iter().map(id).collect::<Vec<_>>(),
        "told": why.told,
        "pending_since": why.pending_since.map(text),
        "undelivered": why.undelivered,
        "waits_until_seen": why.when_seen,
        "unsegment": unsegment,
        "batch": batch,
    })
}

fn mapping(mapping: &MappingWhy) -> Value {
    json!({
        "value": mapping.value,
        "at_work": mapping.state == MappingState::Deliverable,
        "explanation": mapping.state.to_string(),
    })
}

fn id(id: &IdWhy) -> Value {
    json!({
        "data_source": id.data_source.map(|source| source.0),
        "id": id.id,
        "linked": id.linked,
        "linked_at": text(id.linked_at),
        "gets_1": id.gets_ones,
        "told": id.told,
        "owed_0": id.owed,
    })
}
