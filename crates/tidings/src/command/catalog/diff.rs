//! `tidings catalog diff`: what replacing one catalog by another would change.

use crate::{catalog_file, failure::Failure};
use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};
use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use tidings_egress::AddressPolicy;
use tidings_engine::diff::{CatalogDiff, Change, Consequence, Entry, EntryChange, FieldChange};
use tidings_model::Catalog;

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The catalog in use
    old: PathBuf,
    /// The one to take its place
    new: PathBuf,
    /// Print one JSON object: {"changes":[...],"consequences":[...]}
    #[arg(long)]
    json: bool,
    /// End with exit status 1 if there are differences
    #[arg(long)]
    exit_code: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (old, new) = match (read(&args.old), read(&args.new)) {
        (Ok(old), Ok(new)) => (old, new),
        // The mistakes of both at once.
        (Err(Failure::Usage(old)), Err(Failure::Usage(new))) => {
            return Err(Failure::usage(format_args!("{old:#}\n{new:#}")));
        }
        (Err(failure), _) | (_, Err(failure)) => return Err(failure),
    };
    let diff = CatalogDiff::between(&old, &new);
    let mut out = io::stdout().lock();
    if args.json {
        let changes: Vec<_> = diff.changes.iter().map(change).collect();
        let consequences: Vec<_> = diff.consequences.iter().map(consequence).collect();
        let report = json!({ "changes": changes, "consequences": consequences });
        writeln!(out, "{report}")?;
    } else {
        write!(out, "{diff}")?;
    }
    if args.exit_code && !diff.is_empty() {
        return Err(Failure::Faults);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Catalog, Failure> {
    // Nothing is dialled, so no address is refused.
    let policy = AddressPolicy {
        allow_private: true,
    };
    match catalog_file::read(path, policy)? {
        Ok(file) => Ok(file.catalog),
        Err(faults) => {
            let lines = faults.iter().map(|fault| format!("\n{fault}"));
            let lines: String = lines.collect();
            // Both files may have the same name, and a fault names no more than that.
            let path = path.display();
            Err(Failure::usage(format_args!("{path} has faults{lines}")))
        }
    }
}

fn change(change: &EntryChange) -> Value {
    let EntryChange {
        entry,
        name,
        change,
    } = change;
    let (how, fields) = match change {
        Change::Added => ("added", None),
        Change::Removed => ("removed", None),
        Change::Changed(fields) => ("changed", Some(fields)),
    };
    let mut value = json!({ "kind": entry.kind(), "name": name, "change": how });
    let ids = match *entry {
        Entry::Settings => json!({}),
        Entry::DataSource(id) => json!({ "id": id.0 }),
        Entry::Trait(id) => json!({ "id": id.0 }),
        Entry::Segment(id) => json!({ "id": id.0 }),
        Entry::Destination(id) => json!({ "id": id.0 }),
        Entry::Mapping(destination, segment) => {
            json!({ "destination": destination.0, "segment": segment.0 })
        }
    };
    extend(&mut value, ids);
    if let Some(fields) = fields {
        let fields: Vec<_> = fields.iter().map(field).collect();
        extend(&mut value, json!({ "fields": fields }));
    }
    value
}

fn field(change: &FieldChange) -> Value {
    match &change.values {
        Some((old, new)) => json!({ "field": change.field, "old": old, "new": new }),
        None => json!({ "field": change.field, "hidden": true }),
    }
}

fn consequence(consequence: &Consequence) -> Value {
    let mut value = json!({ "code": consequence.code(), "text": consequence.to_string() });
    let subjects = match consequence {
        Consequence::CleanupDiffers(days) => json!({ "cleanup_days": days }),
        Consequence::DataSourceGone(id) => json!({ "data_source": id.0 }),
        Consequence::TraitGone(id) | Consequence::TraitRuleChanged(id) => json!({ "trait": id.0 }),
        Consequence::TraitsReadDiffer(id, traits) => {
            let traits: Vec<_> = traits.iter().map(|id| id.0).collect();
            json!({ "segment": id.0, "traits": traits })
        }
        Consequence::RuleChanged(id)
        | Consequence::SegmentBegins(id)
        | Consequence::SegmentPaused(id)
        | Consequence::SegmentResumed(id)
        | Consequence::SegmentGone(id)
        | Consequence::ToldAgain(id) => json!({ "segment": id.0 }),
        Consequence::BlockBegins(destination, segment, block) => json!({
            "destination": destination.0,
            "segment": segment.0,
            "control": block.forbidden.control(),
            "data_source": block.data_source.0,
            "trait": block.trait_id.0,
        }),
        Consequence::MappingGone(destination, segment)
        | Consequence::BlockEnds(destination, segment) => {
            json!({ "destination": destination.0, "segment": segment.0 })
        }
        Consequence::TextGone(destination, segment, text) => {
            json!({ "destination": destination.0, "segment": segment.0, "value": text })
        }
        Consequence::DestinationBegins(id)
        | Consequence::DestinationGone(id)
        | Consequence::DestinationPaused(id)
        | Consequence::DestinationResumed(id)
        | Consequence::BatchesBegin(id)
        | Consequence::BatchesEnd(id) => json!({ "destination": id.0 }),
        Consequence::NamespaceBegins(id, source) | Consequence::NamespaceGone(id, source) => {
            json!({ "destination": id.0, "data_source": source.0 })
        }
    };
    extend(&mut value, subjects);
    value
}

fn extend(value: &mut Value, more: Value) {
    if let (Value::Object(value), Value::Object(more)) = (value, more) {
        value.extend::<Map<_, _>>(more);
    }
}
