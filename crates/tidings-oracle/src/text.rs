//! A case as the files that `tidings simulate` reads: the catalog as YAML, the happenings as lines
//! of JSON.
//!
//! A dry run takes an event's `time` for the clock, so an event that tells of the past cannot be
//! written, and it knows no restarts; [`is_exact`] says whether there is one of either, and the seed
//! must do.

use crate::{Case, Happening, What};
use tidings_model::{
    Catalog, Destination, Event, ExportUse, Mapping, Status, TraitKind, Unsegment, Unsynced,
};

/// Whether the files say everything.
#[must_use]
pub fn is_exact(case: &Case) -> bool {
    case.happenings
        .iter()
        .all(|happening| match &happening.what {
            What::Event(event) => event.time == Some(happening.at),
            What::Restart | What::RestartWith(_) => false,
            What::OptOut(_) | What::Delete(_) | What::Catalog(_) => true,
        })
}

/// The lines of the event file. The catalog that replaces another at line `n` is `catalog-n.yaml`.
#[must_use]
pub fn lines(happenings: &[Happening]) -> String {
    let mut out = String::new();
    for (number, happening) in happenings.iter().enumerate() {
        let at = happening.at;
        let line = match &happening.what {
            What::Event(one) => event(one),
            What::OptOut(uuid) => format!(r#"{{"time":"{at}","do":"opt_out","uuid":"{uuid}"}}"#),
            What::Delete(uuid) => format!(r#"{{"time":"{at}","do":"delete","uuid":"{uuid}"}}"#),
            What::Catalog(_) => {
                let number = number + 1;
                format!(r#"{{"time":"{at}","do":"catalog","file":"catalog-{number}.yaml"}}"#)
            }
            // Not JSON: there is no such line.
            What::Restart => format!("   <- a restart at {at}"),
            What::RestartWith(_) => {
                let number = number + 1;
                format!("   <- a restart at {at} with catalog-{number}.yaml")
            }
        };
        out.push_str(&line);
        if let What::Event(event) = &happening.what
            && event.time != Some(at)
        {
            // Not JSON any more: it must not be taken for what happened.
            out.push_str(&format!("   <- told at {at}"));
        }
        out.push('\n');
    }
    out
}

fn event(event: &Event) -> String {
    let mut members = Vec::new();
    members.extend(event.time.map(|time| format!(r#""time":"{time}""#)));
    members.extend(
        event
            .uuid
            .as_ref()
            .map(|uuid| format!(r#""uuid":"{uuid}""#)),
    );
    members.extend(event.region.map(|region| format!(r#""region":{region}"#)));
    let mut signals: Vec<(&str, Vec<String>)> = Vec::new();
    for (key, value) in event.signals.iter() {
        match signals.last_mut() {
            Some((last, values)) if *last == key => values.push(quote(value)),
            _ => signals.push((key, vec![quote(value)])),
        }
    }
    if !signals.is_empty() {
        let pairs = signals.iter();
        let pairs = pairs.map(|(key, values)| format!("{}:[{}]", quote(key), values.join(",")));
        members.push(format!(r#""signals":{{{}}}"#, list(pairs)));
    }
    for (name, traits) in [
        ("traits", &event.traits),
        ("remove_traits", &event.remove_traits),
    ] {
        if !traits.is_empty() {
            members.push(format!(r#""{name}":[{}]"#, list(traits.iter())));
        }
    }
    if !event.ids.is_empty() {
        let ids = event.ids.iter().map(|id| {
            let (source, id) = (id.data_source, quote(&id.id));
            format!(r#"{{"data_source":{source},"id":{id}}}"#)
        });
        members.push(format!(r#""ids":[{}]"#, list(ids)));
    }
    let event_id = event.event_id.as_deref().map(quote);
    members.extend(event_id.map(|id| format!(r#""event_id":{id}"#)));
    format!("{{{}}}", members.join(","))
}

/// The catalog file.
#[must_use]
pub fn yaml(catalog: &Catalog) -> String {
    let mut out = format!("cleanup_days: {}\ndata_sources:\n", catalog.cleanup.days);
    for one in &catalog.data_sources {
        let (id, name) = (one.id, quote(&one.name));
        let controls = list(one.export_controls.iter().map(ExportUse::control));
        let rest = format!("kind: cookie, export_controls: [{controls}]");
        line(
            &mut out,
            &format!("  - {{ id: {id}, name: {name}, {rest} }}"),
        );
    }
    out.push_str("traits:\n");
    for one in &catalog.traits {
        let (id, name, ttl) = (one.id, quote(&one.name), one.ttl_days);
        let kind = match one.kind {
            TraitKind::RuleBased => "rule_based",
            TraitKind::Onboarded => "onboarded",
            TraitKind::Folder => "folder",
            TraitKind::ThirdParty => "third_party",
        };
        let rule = one.rule.as_deref();
        let rule = rule.map_or_else(String::new, |rule| format!(", rule: {}", quote(rule)));
        let folder = one.folder.map(|folder| format!(", folder: {folder}"));
        let source = one.data_source;
        let source = source.map(|source| format!(", data_source: {source}"));
        let rest = folder.unwrap_or_default() + &source.unwrap_or_default() + &rule;
        let text = format!("  - {{ id: {id}, name: {name}, kind: {kind}, ttl_days: {ttl}{rest} }}");
        line(&mut out, &text);
    }
    out.push_str("segments:\n");
    for one in &catalog.segments {
        let (id, name, rule) = (one.id, quote(&one.name), quote(&one.rule));
        let status = status(one.status);
        let text = format!("  - {{ id: {id}, name: {name}, status: {status}, rule: {rule} }}");
        line(&mut out, &text);
    }
    out.push_str("destinations:\n");
    for one in &catalog.destinations {
        destination(&mut out, one);
    }
    out
}

fn destination(out: &mut String, one: &Destination) {
    line(out, &format!("  - id: {}", one.id));
    line(out, &format!("    name: {}", quote(&one.name)));
    line(out, &format!("    client_id: {}", quote(&one.client_id)));
    line(out, &format!("    url: {}", one.url));
    line(
        out,
        &format!(
            "    id_data_sources: [{}]",
            list(one.id_data_sources.iter())
        ),
    );
    line(out, &format!("    max_users: {}", one.max_users));
    line(
        out,
        &format!("    max_linger: {}ms", one.max_linger.as_millis()),
    );
    let unsynced = match one.unsynced {
        Unsynced::Skip => "skip",
        Unsynced::Blank => "blank",
    };
    line(out, &format!("    unsynced: {unsynced}"));
    let unsegment = match one.unsegment {
        Unsegment::Immediate => "immediate",
        Unsegment::Batch => "batch",
        Unsegment::WhenSeen => "when_seen",
    };
    line(out, &format!("    unsegment: {unsegment}"));
    let takes_zeros = one.supports_unsegment;
    line(out, &format!("    supports_unsegment: {takes_zeros}"));
    line(out, &format!("    max_mappings: {}", one.max_mappings));
    line(out, &format!("    status: {}", status(one.status)));
    if let Some(batch) = one.batch {
        let (hours, minute) = (batch.every.as_secs() / 3600, batch.at_minute);
        let at = format!("{:02}:{:02}", minute / 60, minute % 60);
        line(
            out,
            &format!("    batch: {{ every: {hours}h, at: \"{at}\" }}"),
        );
    }
    let labels = list(one.export_labels.iter().map(ExportUse::label));
    line(out, &format!("    export_labels: [{labels}]"));
    if one.mappings.is_empty() {
        line(out, "    mappings: []");
    } else {
        line(out, "    mappings:");
    }
    for mapping in &one.mappings {
        line(out, &format!("      - {{ {} }}", self::mapping(mapping)));
    }
}

fn mapping(one: &Mapping) -> String {
    let mut members = vec![format!("segment: {}", one.segment)];
    members.extend(
        one.value
            .as_deref()
            .map(|value| format!("value: {}", quote(value))),
    );
    members.extend(one.start.map(|day| format!("start: {day}")));
    members.extend(one.end.map(|day| format!("end: {day}")));
    members.join(", ")
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Paused => "paused",
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    items.join(", ")
}

/// A text in quotes, for JSON and YAML alike. Generated texts hold no control characters.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
