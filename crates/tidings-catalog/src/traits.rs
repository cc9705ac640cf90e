//! The section `traits`: `- { id, name, data_source, kind, folder, rule, ttl_days }`.
//!
//! A folder stands before what it holds, so that no folder can hold itself.

use crate::context::Context;
use crate::data_sources::KnownDataSources;
use crate::known::Ids;
use crate::limits::{TTL_DAYS_DEFAULT, TTL_DAYS_MAX};
use crate::record::Record;
use crate::rule;
use crate::usage_limits::{Limit, UsageLimits, size};
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

/// Traits that are read at most: as many as any limits would allow.
const TRAITS_MAX: usize = (KINDS.len() - 1) * size(TRAITS_PER_KIND_MAX) + size(FOLDERS_MAX);

/// Reads the section.
pub(crate) fn read_all(
    value: Value<'_, '_>,
    data_sources: &KnownDataSources,
    known: &mut Ids<KnownTrait>,
    limits: &UsageLimits,
    ctx: &Context<'_>,
) -> Vec<Trait> {
    let mut kinds = Vec::new();
    let traits = value.list(TRAITS_MAX, ctx, |item| {
        let record = Record::open(item, &KEYS, ctx);
        let kind = record.as_ref().map(kind);
        kinds.push(kind);
        read(&record?, kind?, data_sources, known)
    });
    for (name, kind) in KINDS {
        let limit = if kind == TraitKind::Folder {
            limits.folders
        } else {
            limits.traits_per_kind
        };
        check_count(value, name, limit, places(&kinds, kind), ctx);
    }
    traits
}

fn kind(record: &Record<'_, '_, '_, { KEYS.len() }>) -> TraitKind {
    record.or("kind", TraitKind::RuleBased, |value, ctx| {
        value.choice(&KINDS, ctx)
    })
}

/// Where in the section the traits of a kind stand.
fn places(kinds: &[Option<TraitKind>], kind: TraitKind) -> impl Iterator<Item = usize> + Clone {
    let of_kind =
        move |(place, one): (usize, &Option<TraitKind>)| (*one == Some(kind)).then_some(place);
    kinds.iter().enumerate().filter_map(of_kind)
}

/// Refuses traits of a kind that are too many, at the first of them.
fn check_count(
    section: Value<'_, '_>,
    kind: &str,
    limit: Limit,
    places: impl Iterator<Item = usize> + Clone,
    ctx: &Context<'_>,
) {
    let Some(place) = places.clone().nth(limit.max()) else {
        return;
    };
    let Some(node) = section.node.items().and_then(|mut items| items.nth(place)) else {
        return;
    };
    let first = Value {
        node,
        path: section.path.index(place),
    };
    let counted = format!("{} traits are of the kind {kind}", places.count());
    ctx.fault(first, limit.exceeded(&counted));
}

/// Reads one trait.
fn read(
    record: &Record<'_, '_, '_, { KEYS.len() }>,
    kind: TraitKind,
    data_sources: &KnownDataSources,
    known: &mut Ids<KnownTrait>,
) -> Option<Trait> {
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
