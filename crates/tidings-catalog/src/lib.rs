//! Reads the catalog file: YAML (or JSON, which is YAML) into [`tidings_model::Catalog`].
//!
//! The text becomes a tree of values that know their line and column; readers for each section
//! then check every field and report every mistake with its place, not only the first one. Text
//! that is not YAML at all has one fault, at the place where the parser gave up.
//!
//! Invariants: unknown keys are faults; a [`Loaded`] catalog keeps every limit, refers only to what
//! exists, and has rules that parse; nothing here ever shows the value of a secret. No I/O: the
//! caller reads the file, and says through a closure what the server would hold against a URL.
//!
//! Left out: reading secrets (delivery does, when it needs them), and compiling rules (the engine).
#![forbid(unsafe_code)]

mod built_in;
mod context;
mod data_sources;
mod destinations;
mod export;
mod fault;
mod known;
pub mod limits;
mod outside;
mod path;
mod record;
mod rule;
mod segments;
mod suggest;
mod traits;
mod tree;
mod units;
mod usage_limits;
mod value;

pub use built_in::{BUILT_IN_DATA_SOURCES, BUILT_IN_KIND, is_built_in};
pub use fault::{Excerpt, Fault};
pub use units::{UnitError, parse_duration, parse_size};

use context::Context;
use fault::{Remark, Report};
use known::Ids;
use record::Record;
use tidings_model::limits::{CATALOG_BYTES_MAX, CLEANUP_DAYS_MAX};
use tidings_model::{Catalog, Cleanup};
use tidings_rules::SegmentExports;
use tree::{Place, Tree};
use usage_limits::UsageLimits;
use value::Value;

const KEYS: [&str; 6] = [
    "data_sources",
    "traits",
    "segments",
    "destinations",
    "cleanup_days",
    "limits",
];

/// A catalog file that has been read into memory.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file as its faults should name it.
    pub name: &'a str,
    /// Its content.
    pub text: &'a str,
    /// The directory it lies in: `file:` paths are relative to it.
    pub directory: &'a std::path::Path,
}

/// A catalog without faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The catalog, defaults filled in.
    pub catalog: Catalog,
    /// What the operator should know, in the order of the file; bounded like the faults.
    pub warnings: Vec<Fault>,
}

/// Reads a catalog.
///
/// `judge_url` is asked about each partner URL that is sound as a URL; what it answers becomes a
/// warning at that place, as "the address is private and would be refused".
///
/// # Errors
/// Every fault of the file in its order; after [`limits::FAULTS_MAX`] of them a last entry, of line
/// 0, says how many more there are.
///
/// # Cost
/// Linear in the text, and about 20 bytes for each key and value while it reads.
pub fn read(
    source: Source<'_>,
    judge_url: impl Fn(&str) -> Option<String>,
) -> Result<Loaded, Vec<Fault>> {
    read_within(source, &judge_url, |limits| limits)
}

/// Reads a catalog that was accepted before. It may have as many entries as `limits` could allow at
/// most, whatever it says there and whatever the defaults are by now.
///
/// # Errors
/// As [`read`]: when what was accepted then has a fault by the rules of now.
///
/// # Cost
/// As [`read`].
pub fn read_accepted(source: Source<'_>) -> Result<Catalog, Vec<Fault>> {
    let loaded = read_within(source, &|_| None, UsageLimits::at_ceilings)?;
    Ok(loaded.catalog)
}

/// Reads a catalog within what `within` makes of the limits that it sets.
fn read_within(
    source: Source<'_>,
    judge_url: &dyn Fn(&str) -> Option<String>,
    within: fn(UsageLimits) -> UsageLimits,
) -> Result<Loaded, Vec<Fault>> {
    let ctx = Context {
        report: Report::new(source.name),
        directory: source.directory,
        judge_url,
    };
    let catalog = tree_of(source.text, &ctx).and_then(|tree| catalog(&tree, within, &ctx));
    let (faults, warnings) = ctx.report.finish();
    match catalog {
        Some(catalog) if faults.is_empty() => Ok(Loaded { catalog, warnings }),
        _ => Err(faults),
    }
}

fn tree_of(text: &str, ctx: &Context<'_>) -> Option<Tree> {
    let (place, remark) = if text.len() > CATALOG_BYTES_MAX {
        let message = format!("{} bytes, the limit is {CATALOG_BYTES_MAX}", text.len());
        (Place::default(), message.into())
    } else {
        match tree::build(text) {
            Ok(tree) => return Some(tree),
            Err(error) => {
                let remark = Remark::new(error.message);
                let remark = match error.hint {
                    Some(hint) => remark.hint(hint),
                    None => remark,
                };
                (error.place, remark)
            }
        }
    };
    ctx.report.fault(place, path::Path::ROOT, remark);
    None
}

fn catalog(
    tree: &Tree,
    within: fn(UsageLimits) -> UsageLimits,
    ctx: &Context<'_>,
) -> Option<Catalog> {
    let Some(node) = tree.root().filter(|root| !root.is_null()) else {
        // An editor that is about to write leaves a file empty for a moment. To read that as "no
        // destinations" would switch everything off.
        let remark = Remark::new("the catalog is empty").hint("write `{}` if that is meant");
        ctx.report.fault(Place::default(), path::Path::ROOT, remark);
        return None;
    };
    let root = Value {
        node,
        path: path::Path::ROOT,
    };
    let record = Record::open(root, &KEYS, ctx)?;
    let mut data_sources = data_sources::KnownDataSources::new();
    let mut traits = Ids::new("trait");
    let mut segments = Ids::new("segment");
    let mut destinations = Ids::new("destination");
    // Sections are read in the order in which they refer to each other, whatever that of the file.
    let cleanup = record
        .field("cleanup_days")
        .and_then(|value| value.number(1..=CLEANUP_DAYS_MAX.into(), ctx))
        .and_then(|days| u8::try_from(days).ok())
        .map_or_else(Cleanup::default, |days| Cleanup { days });
    let limits = within(record.or("limits", UsageLimits::default(), UsageLimits::read));
    let mut catalog = Catalog {
        cleanup,
        data_sources: section(&record, "data_sources", |value| {
            value.list(limits::DATA_SOURCES_MAX, ctx, |item| {
                data_sources::read(item, &mut data_sources, ctx)
            })
        }),
        traits: section(&record, "traits", |value| {
            traits::read_all(value, &data_sources, &mut traits, &limits, ctx)
        }),
        segments: section(&record, "segments", |value| {
            limits.segments.list(value, ctx, |item| {
                segments::read(item, &traits, &mut segments, ctx)
            })
        }),
        destinations: Vec::new(),
    };
    let referred = destinations::Referred {
        data_sources: &data_sources,
        segments: &segments,
        exports: &SegmentExports::new(&catalog.data_sources, &catalog.traits, &catalog.segments),
    };
    catalog.destinations = section(&record, "destinations", |value| {
        limits.destinations.list(value, ctx, |item| {
            destinations::read(item, &referred, &mut destinations, ctx)
        })
    });
    Some(catalog)
}

/// The entries of one section of the catalog; none when it is absent.
fn section<'t, T, const N: usize>(
    record: &Record<'_, 't, '_, N>,
    key: &'static str,
    read: impl FnOnce(Value<'t, '_>) -> Vec<T>,
) -> Vec<T> {
    record.field(key).map(read).unwrap_or_default()
}
