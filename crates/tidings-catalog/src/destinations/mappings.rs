//! Mappings of a destination: `- { segment, value, start, end }`.

use super::Referred;
use crate::context::Context;
use crate::fault::Remark;
use crate::limits::MAPPINGS_MAX;
use crate::record::Record;
use crate::suggest::quote;
use crate::value::{self, Value};
use std::collections::HashMap;
use tidings_model::{ExportUses, Mapping, SegmentId, UtcDay};

const KEYS: [&str; 4] = ["segment", "value", "start", "end"];

/// Reads the list of mappings of a destination with these labels.
pub(crate) fn read(
    value: Value<'_, '_>,
    referred: &Referred<'_>,
    labels: ExportUses,
    ctx: &Context<'_>,
) -> Vec<Mapping> {
    let mut repeats = Repeats::default();
    value.list(MAPPINGS_MAX, ctx, |item| {
        let mapping = mapping(item, referred, ctx)?;
        if let Some(block) = referred.exports.block(mapping.segment, labels) {
            let segment = mapping.segment;
            let remark = Remark::new(format!(
                "nothing of segment {segment} is sent: blocked by {block}"
            ));
            let label = block.forbidden.label();
            ctx.warn(
                item,
                remark.hint(format!("the destination is labelled `{label}`")),
            );
        }
        repeats.check(&mapping, item, ctx);
        Some(mapping)
    })
}

fn mapping(value: Value<'_, '_>, referred: &Referred<'_>, ctx: &Context<'_>) -> Option<Mapping> {
    let segments = referred.segments;
    let record = Record::open(value, &KEYS, ctx)?;
    let segment = record.required("segment", |value, ctx| segments.reference(value, ctx));
    let text = record.optional("value", value::name);
    let start = record.optional("start", day);
    let end = record.optional("end", day);
    if let (Some(start), Some(end), Some(at)) = (start, end, record.field("end"))
        && end <= start
    {
        let message = format!("{end} is not after the start, {start}");
        ctx.fault(
            at,
            Remark::new(message).hint("delivery ends when the day `end` begins"),
        );
    }
    Some(Mapping {
        segment: SegmentId(segment?),
        value: text,
        start,
        end,
    })
}

/// Finds mappings that say the same twice: one segment under one text on the same days.
///
/// One segment under two texts, or for two stretches of time, is a use that partners have.
#[derive(Debug, Default)]
struct Repeats {
    seen: HashMap<SegmentId, Vec<(u32, Mapping)>>,
}

impl Repeats {
    fn check(&mut self, mapping: &Mapping, value: Value<'_, '_>, ctx: &Context<'_>) {
        let earlier = self.seen.entry(mapping.segment).or_default();
        let same = earlier
            .iter()
            .find(|(_, other)| other.value == mapping.value && overlap(other, mapping));
        if let Some((line, _)) = same {
            let segment = mapping.segment;
            ctx.fault(
                value,
                format!("segment {segment} is already mapped at line {line}, for the same days"),
            );
        } else {
            earlier.push((value.node.place().line, mapping.clone()));
        }
    }
}

fn overlap(left: &Mapping, right: &Mapping) -> bool {
    let before = |end: Option<UtcDay>, start: Option<UtcDay>| match (end, start) {
        (Some(end), Some(start)) => end <= start,
        _ => false,
    };
    !before(left.end, right.start) && !before(right.end, left.start)
}

/// Reads a day, `2016-07-01`.
fn day(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<UtcDay> {
    let text = value.text(ctx)?;
    let day = parse_day(text);
    if day.is_none() {
        let message = format!("{} is not a day", quote(text));
        ctx.fault(
            value,
            Remark::new(message).hint("write it as in 2016-07-01"),
        );
    }
    day
}

fn parse_day(text: &str) -> Option<UtcDay> {
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let part = parts.next()?;
        let sound = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        sound.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    if parts.next().is_some() {
        return None;
    }
    UtcDay::from_date(
        year.into(),
        u8::try_from(month).ok()?,
        u8::try_from(day).ok()?,
    )
}
