//! The section `traits`: `- { id, name, data_source, kind, folder, rule, ttl_days }`.
//!
//! A folder stands before what it holds, so that no folder can hold itself.

use crate::context::Context;
use crate::data_sources::KnownDataSources;
use crate::known::Ids;
use crate::limits::{TTL_DAYS_DEFAULT, TTL_DAYS_MAX};
use crate::record::Record;
use crate::rule;
use crate::value::{self, Value};
use tidings_model::limits::{FOLDER_DEPTH_MAX, FOLDERS_MAX, TRAITS_PER_KIND_MAX};
use tidings_model::{Trait, TraitId, TraitKind};

const KEYS: [&str; 7] = [
    "id",
    "name",
    "data_source",
    "kind",
    "folder",
    "rule",
    "ttl_days",
];
const KINDS: [(&str, TraitKind); 4] = [
    ("rule_based", TraitKind::RuleBased),
    ("onboarded", TraitKind::Onboarded),
    ("folder", TraitKind::Folder),
    ("third_party", TraitKind::ThirdParty),
];

/// What others need to know about a trait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownTrait {
    pub(crate) kind: TraitKind,
    /// How many folders it lies in.
    depth: usize,
}

/// How many traits there are of each kind, in the order of [`KINDS`].
pub(crate) type Counts = [usize; KINDS.len()];

/// Reads one trait.
pub(crate) fn read(
    value: Value<'_, '_>,
    data_sources: &KnownDataSources,
    known: &mut Ids<KnownTrait>,
    counts: &mut Counts,
    ctx: &Context<'_>,
) -> Option<Trait> {
    let record = Record::open(value, &KEYS, ctx)?;
    let kind = record.or("kind", TraitKind::RuleBased, |value, ctx| {
        value.choice(&KINDS, ctx)
    });
    count(kind, value, counts, ctx);
    let folder = record.optional("folder", |value, ctx| folder(value, known, ctx));
    let depth = folder.map_or(0, |(_, depth)| depth + 1);
    let id = record.required("id", |value, ctx| {
        let id = value.id(ctx)?;
        known.claim(id, KnownTrait { kind, depth }, value, ctx);
        Some(TraitId(id))
    });
    let name = record.required("name", value::name);
    let data_source = record.optional("data_source", |value, ctx| {
        data_sources.reference(value, ctx)
    });
    let ttl_days = record.or("ttl_days", TTL_DAYS_DEFAULT, |value, ctx| {
        value.number(0..=TTL_DAYS_MAX, ctx)
    });
    let rule = record.optional("rule", |value, ctx| {
        if kind != TraitKind::RuleBased {
            ctx.fault(value, "only a rule_based trait has a rule");
        }
        rule::trait_rule(value, ctx)
    });
    Some(Trait {
        id: id?,
        name: name?,
        data_source,
        kind,
        folder: folder.map(|(id, _)| id),
        rule,
        ttl_days,
    })
}

/// Counts a trait, and refuses the first that is one too many of its kind.
fn count(kind: TraitKind, value: Value<'_, '_>, counts: &mut Counts, ctx: &Context<'_>) {
    let max = if kind == TraitKind::Folder {
        FOLDERS_MAX
    } else {
        TRAITS_PER_KIND_MAX
    };
    for ((name, one), count) in KINDS.iter().zip(counts) {
        if *one == kind {
            *count += 1;
            if *count == max + 1 {
                ctx.fault(
                    value,
                    format!("at most {max} traits are of the kind {name}"),
                );
            }
        }
    }
}

/// The folder that a trait lies in, and how many folders that lies in itself.
fn folder(
    value: Value<'_, '_>,
    known: &Ids<KnownTrait>,
    ctx: &Context<'_>,
) -> Option<(TraitId, usize)> {
    let id = value.id(ctx)?;
    let Some(folder) = known.get(id) else {
        ctx.fault(
            value,
            format!("there is no folder {id} above; a folder stands before what it holds"),
        );
        return None;
    };
    if folder.kind != TraitKind::Folder {
        ctx.fault(value, format!("trait {id} is not a folder"));
        return None;
    }
    if folder.depth + 1 >= FOLDER_DEPTH_MAX {
        ctx.fault(
            value,
            format!("folders lie in at most {FOLDER_DEPTH_MAX} folders"),
        );
        return None;
    }
    Some((TraitId(id), folder.depth))
}
