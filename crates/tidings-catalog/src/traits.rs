//! The section `traits`: `- { id, name, data_source, kind, rule, ttl_days }`.

use crate::context::Context;
use crate::data_sources::KnownDataSources;
use crate::known::Ids;
use crate::limits::{TTL_DAYS_DEFAULT, TTL_DAYS_MAX};
use crate::record::Record;
use crate::rule;
use crate::value::{self, Value};
use tidings_model::{Trait, TraitId, TraitKind};

const KEYS: [&str; 6] = ["id", "name", "data_source", "kind", "rule", "ttl_days"];
const KINDS: [(&str, TraitKind); 3] = [
    ("rule_based", TraitKind::RuleBased),
    ("onboarded", TraitKind::Onboarded),
    ("third_party", TraitKind::ThirdParty),
];

/// Reads one trait.
pub(crate) fn read(
    value: Value<'_, '_>,
    data_sources: &KnownDataSources,
    known: &mut Ids<TraitKind>,
    ctx: &Context<'_>,
) -> Option<Trait> {
    let record = Record::open(value, &KEYS, ctx)?;
    let kind = record.or("kind", TraitKind::RuleBased, |value, ctx| {
        value.choice(&KINDS, ctx)
    });
    let id = record.required("id", |value, ctx| {
        let id = value.id(ctx)?;
        known.claim(id, kind, value, ctx);
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
        rule,
        ttl_days,
    })
}
