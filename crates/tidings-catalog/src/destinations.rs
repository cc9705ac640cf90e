//! The section `destinations`: one partner endpoint each, with its mappings and settings.

mod details;
mod get;
mod mappings;

use crate::context::Context;
use crate::data_sources::KnownDataSources;
use crate::export;
use crate::known::Ids;
use crate::limits::{
    ID_DATA_SOURCES_MAX, RETRIES_MAX, RETRY_DELAY_MAX, SIGNING_MAX, SUCCESS_CODES_MAX, TIMEOUT_MAX,
};
use crate::outside;
use crate::record::Record;
use crate::segments::STATUSES;
use crate::value::{self, Value};
use std::time::Duration;
use tidings_model::limits::{LINGER_MAX, PROFILE_IDS_MAX, USERS_PER_MESSAGE_MAX};
use tidings_model::{
    DataSourceId, Destination, DestinationId, ExportUses, FailurePolicy, Method, Status, TlsFiles,
    Unsegment, Unsynced, WireSettings,
};
use tidings_rules::SegmentExports;

const KEYS: [&str; 25] = [
    "id",
    "name",
    "client_id",
    "url",
    "method",
    "id_data_sources",
    "mappings",
    "signing",
    "oauth",
    "tls",
    "max_users",
    "max_linger",
    "timeout",
    "retries",
    "retry_delay",
    "success_codes",
    "after_failure",
    "unsynced",
    "unsegment",
    "supports_unsegment",
    "max_mappings",
    "batch",
    "export_labels",
    "wire",
    "status",
];
const FAILURE_POLICIES: [(&str, FailurePolicy); 2] =
    [("hold", FailurePolicy::Hold), ("drop", FailurePolicy::Drop)];
const UNSEGMENT: [(&str, Unsegment); 3] = [
    ("immediate", Unsegment::Immediate),
    ("batch", Unsegment::Batch),
    ("when_seen", Unsegment::WhenSeen),
];
const METHODS: [(&str, Method); 2] = [("POST", Method::Post), ("GET", Method::Get)];
const UNSYNCED: [(&str, Unsynced); 2] = [("skip", Unsynced::Skip), ("blank", Unsynced::Blank)];

/// No more ids of one device are ever known; as a setting it is the same as "all".
#[expect(clippy::cast_possible_truncation, reason = "a thousand")]
const MAX_MAPPINGS_MAX: u32 = PROFILE_IDS_MAX as u32;

/// What the entries of a destination refer to.
pub(crate) struct Referred<'k> {
    pub(crate) data_sources: &'k KnownDataSources,
    pub(crate) segments: &'k Ids<()>,
    /// What is forbidden of the segments.
    pub(crate) exports: &'k SegmentExports,
}

/// Reads one destination.
pub(crate) fn read(
    value: Value<'_, '_>,
    referred: &Referred<'_>,
    known: &mut Ids<()>,
    ctx: &Context<'_>,
) -> Option<Destination> {
    let record = Record::open(value, &KEYS, ctx)?;
    let id = record.required("id", |value, ctx| {
        let id = value.id(ctx)?;
        known.claim(id, (), value, ctx);
        Some(DestinationId(id))
    });
    let name = record.required("name", value::name);
    let client_id = record.required("client_id", value::name);
    let url = record.required("url", outside::url);
    let method = record.or("method", Method::Post, |value, ctx| {
        value.choice(&METHODS, ctx)
    });
    let id_data_sources = record.or("id_data_sources", Vec::new(), |value, ctx| {
        Some(id_data_sources(value, referred.data_sources, ctx))
    });
    let export_labels = record.or("export_labels", ExportUses::default(), export::labels);
    let mappings = record.required("mappings", |value, ctx| {
        Some(mappings::read(value, referred, export_labels, ctx))
    });
    let signing = record.or("signing", Vec::new(), |value, ctx| {
        Some(value.list(SIGNING_MAX, ctx, |item| details::signing(item, ctx)))
    });
    let oauth = record.optional("oauth", details::oauth);
    let tls = record.or("tls", TlsFiles::default(), details::tls);
    let unsynced = unsynced(&record, &id_data_sources, ctx);
    let number = |key, default, range| {
        record.or(key, default, |value: Value<'_, '_>, ctx: &Context<'_>| {
            value.number(range, ctx)
        })
    };
    let duration = |key, default, range| {
        record.or(key, default, |value: Value<'_, '_>, ctx: &Context<'_>| {
            value.duration(range, ctx)
        })
    };
    let supports_unsegment = record.or("supports_unsegment", true, value::flag);
    let (users_default, users_max) = match method {
        Method::Post => (10, USERS_PER_MESSAGE_MAX),
        Method::Get => (1, 1),
    };
    if method == Method::Get
        && let (Some(text), Some(value)) = (&url, record.field("url"))
    {
        get::check(text, value, supports_unsegment, mappings.as_deref(), ctx);
    }
    let second = Duration::from_secs(1);
    let millisecond = Duration::from_millis(1);
    Some(Destination {
        method,
        max_users: number("max_users", users_default, 1..=users_max),
        max_linger: duration("max_linger", second, Duration::ZERO..=LINGER_MAX),
        timeout: duration("timeout", 3 * second, millisecond..=TIMEOUT_MAX),
        retries: number("retries", 1, 0..=RETRIES_MAX),
        retry_delay: duration("retry_delay", second, Duration::ZERO..=RETRY_DELAY_MAX),
        success_codes: record.or("success_codes", vec![200], success_codes),
        after_failure: record.or("after_failure", FailurePolicy::Hold, |value, ctx| {
            value.choice(&FAILURE_POLICIES, ctx)
        }),
        unsynced,
        unsegment: record.or("unsegment", Unsegment::Immediate, |value, ctx| {
            value.choice(&UNSEGMENT, ctx)
        }),
        supports_unsegment,
        max_mappings: number("max_mappings", 1, 0..=MAX_MAPPINGS_MAX),
        batch: record.optional("batch", details::batch),
        export_labels,
        wire: record.or("wire", WireSettings::default(), details::wire),
        status: record.or("status", Status::Active, |value, ctx| {
            value.choice(&STATUSES, ctx)
        }),
        // Last, so that a missing one does not keep the other keys from being checked.
        id: id?,
        name: name?,
        client_id: client_id?,
        url: url?,
        id_data_sources,
        mappings: mappings?,
        signing,
        oauth,
        tls,
    })
}

fn id_data_sources(
    value: Value<'_, '_>,
    known: &KnownDataSources,
    ctx: &Context<'_>,
) -> Vec<DataSourceId> {
    let mut seen = Vec::new();
    value.list(ID_DATA_SOURCES_MAX, ctx, |item| {
        let id = known.reference(item, ctx)?;
        if seen.contains(&id) {
            ctx.fault(item, format!("data source {id} is named twice"));
            return None;
        }
        seen.push(id);
        Some(id)
    })
}

/// A device without an id is left out where the partner has ids, and sent with an empty one where it
/// has none: there every device would be left out.
fn unsynced<const N: usize>(
    record: &Record<'_, '_, '_, N>,
    id_data_sources: &[DataSourceId],
    ctx: &Context<'_>,
) -> Unsynced {
    let has_ids = record.field("id_data_sources").is_some() && !id_data_sources.is_empty();
    let default = if has_ids {
        Unsynced::Skip
    } else {
        Unsynced::Blank
    };
    let unsynced = record.or("unsynced", default, |value, ctx| {
        value.choice(&UNSYNCED, ctx)
    });
    if let Some(value) = record.field("unsynced")
        && unsynced == Unsynced::Skip
        && record
            .field("id_data_sources")
            .is_none_or(|list| list.node.items().is_some_and(|items| items.len() == 0))
    {
        ctx.warn(
            value,
            "skip without id_data_sources leaves out every device: nothing will be sent",
        );
    }
    unsynced
}

fn success_codes(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<Vec<u16>> {
    let codes = value.list(SUCCESS_CODES_MAX, ctx, |item| {
        let code = item.number(100..=599, ctx)?;
        u16::try_from(code).ok()
    });
    if value.node.items().is_some_and(|items| items.len() == 0) {
        ctx.fault(value, "no code means success: every message would fail");
    }
    Some(codes)
}
