//! The fields of an entry that differ between two catalogs.
//!
//! Entries are taken apart whole, so that a new field cannot be forgotten here.

use super::FieldChange;
use std::{fmt::Display, time::Duration};
use tidings_model::{
    Batch, Catalog, Cleanup, DataSource, DataSourceKind, Destination, FailurePolicy, HashName,
    Mapping, Method, Numbers, OAuth, OAuthCredentials, Segment, Signing, Status, TlsFiles, Trait,
    TraitKind, Unsegment, Unsynced, WireSettings,
};

/// Collects fields that differ.
#[derive(Default)]
struct Fields(Vec<FieldChange>);

impl Fields {
    /// A field, shown by `show`.
    fn add<T: PartialEq>(
        &mut self,
        field: &'static str,
        old: &T,
        new: &T,
        show: impl Fn(&T) -> String,
    ) {
        if old != new {
            let (old, new) = (show(old), show(new));
            // What looks the same differs in something that is not shown.
            let values = (old != new).then_some((old, new));
            self.0.push(FieldChange { field, values });
        }
    }

    /// A field that is shown as it is.
    fn plain<T: PartialEq + Display>(&mut self, field: &'static str, old: &T, new: &T) {
        self.add(field, old, new, T::to_string);
    }
}

pub(super) fn of_data_source(old: &DataSource, new: &DataSource) -> Vec<FieldChange> {
    let DataSource {
        id: _,
        name,
        kind,
        integration_code,
        export_controls,
    } = old;
    let mut fields = Fields::default();
    fields.plain("name", name, &new.name);
    fields.add("kind", kind, &new.kind, |kind| {
        word(match kind {
            DataSourceKind::Cookie => "cookie",
            DataSourceKind::Device => "device",
            DataSourceKind::CrossDevice => "cross_device",
        })
    });
    fields.add(
        "integration_code",
        integration_code,
        &new.integration_code,
        optional,
    );
    fields.add(
        "export_controls",
        export_controls,
        &new.export_controls,
        |uses| list_of(uses.iter().map(|one| word(one.control()))),
    );
    fields.0
}

/// What stands beside the entries.
pub(super) fn of_settings(old: &Catalog, new: &Catalog) -> Vec<FieldChange> {
    let Catalog {
        cleanup: Cleanup { days },
        data_sources: _,
        traits: _,
        segments: _,
        destinations: _,
    } = old;
    let mut fields = Fields::default();
    fields.plain("cleanup_days", days, &new.cleanup.days);
    fields.0
}

pub(super) fn of_trait(old: &Trait, new: &Trait) -> Vec<FieldChange> {
    let Trait {
        id: _,
        name,
        data_source,
        kind,
        folder,
        rule,
        ttl_days,
    } = old;
    let mut fields = Fields::default();
    fields.plain("name", name, &new.name);
    fields.add("data_source", data_source, &new.data_source, optional);
    fields.add("kind", kind, &new.kind, |kind| {
        word(match kind {
            TraitKind::RuleBased => "rule_based",
            TraitKind::Onboarded => "onboarded",
            TraitKind::Folder => "folder",
            TraitKind::ThirdParty => "third_party",
        })
    });
    fields.add("folder", folder, &new.folder, optional);
    fields.add("rule", rule, &new.rule, optional);
    fields.plain("ttl_days", ttl_days, &new.ttl_days);
    fields.0
}

pub(super) fn of_segment(old: &Segment, new: &Segment) -> Vec<FieldChange> {
    let Segment {
        id: _,
        name,
        rule,
        status,
    } = old;
    let mut fields = Fields::default();
    fields.plain("name", name, &new.name);
    fields.plain("rule", rule, &new.rule);
    fields.add("status", status, &new.status, show_status);
    fields.0
}

pub(super) fn of_mapping(old: &Mapping, new: &Mapping) -> Vec<FieldChange> {
    let Mapping {
        segment: _,
        value,
        start,
        end,
    } = old;
    let mut fields = Fields::default();
    fields.add("value", value, &new.value, optional);
    fields.add("start", start, &new.start, optional);
    fields.add("end", end, &new.end, optional);
    fields.0
}

pub(super) fn of_destination(old: &Destination, new: &Destination) -> Vec<FieldChange> {
    let Destination {
        id: _,
        name,
        client_id,
        url,
        method,
        id_data_sources,
        // Entries of their own.
        mappings: _,
        signing,
        oauth,
        tls,
        max_users,
        max_linger,
        timeout,
        retries,
        retry_delay,
        success_codes,
        after_failure,
        unsynced,
        unsegment,
        supports_unsegment,
        max_mappings,
        batch,
        export_labels,
        wire,
        status,
    } = old;
    let mut fields = Fields::default();
    fields.plain("name", name, &new.name);
    fields.plain("client_id", client_id, &new.client_id);
    fields.add("url", url, &new.url, |url| show_url(url));
    fields.add("method", method, &new.method, |method| {
        let name = match method {
            Method::Post => "POST",
            Method::Get => "GET",
        };
        name.to_owned()
    });
    fields.add(
        "id_data_sources",
        id_data_sources,
        &new.id_data_sources,
        |l| list(l),
    );
    fields.add("signing", signing, &new.signing, |signing| {
        list_of(signing.iter().map(show_signing))
    });
    fields.add("oauth", oauth, &new.oauth, |oauth| {
        oauth.as_ref().map_or_else(none, show_oauth)
    });
    fields.add("tls", tls, &new.tls, show_tls);
    fields.plain("max_users", max_users, &new.max_users);
    fields.add("max_linger", max_linger, &new.max_linger, duration);
    fields.add("timeout", timeout, &new.timeout, duration);
    fields.plain("retries", retries, &new.retries);
    fields.add("retry_delay", retry_delay, &new.retry_delay, duration);
    fields.add("success_codes", success_codes, &new.success_codes, |l| {
        list(l)
    });
    fields.add(
        "after_failure",
        after_failure,
        &new.after_failure,
        |policy| {
            word(match policy {
                FailurePolicy::Hold => "hold",
                FailurePolicy::Drop => "drop",
            })
        },
    );
    fields.add("unsynced", unsynced, &new.unsynced, |unsynced| {
        word(match unsynced {
            Unsynced::Skip => "skip",
            Unsynced::Blank => "blank",
        })
    });
    fields.add("unsegment", unsegment, &new.unsegment, |unsegment| {
        word(match unsegment {
            Unsegment::Immediate => "immediate",
            Unsegment::Batch => "batch",
            Unsegment::WhenSeen => "when_seen",
        })
    });
    fields.plain(
        "supports_unsegment",
        supports_unsegment,
        &new.supports_unsegment,
    );
    fields.plain("max_mappings", max_mappings, &new.max_mappings);
    fields.add("batch", batch, &new.batch, |batch| {
        batch.as_ref().map_or_else(none, show_batch)
    });
    fields.add("export_labels", export_labels, &new.export_labels, |uses| {
        list_of(uses.iter().map(|one| word(one.label())))
    });
    of_wire(&mut fields, wire, &new.wire);
    fields.add("status", status, &new.status, show_status);
    fields.0
}

fn of_wire(fields: &mut Fields, old: &WireSettings, new: &WireSettings) {
    let WireSettings {
        numbers,
        destination_key,
        destination_id,
        user_dpid,
        regions,
    } = old;
    fields.add("wire.numbers", numbers, &new.numbers, |numbers| {
        word(match numbers {
            Numbers::String => "string",
            Numbers::Integer => "integer",
        })
    });
    fields.plain(
        "wire.destination_key",
        destination_key,
        &new.destination_key,
    );
    fields.add(
        "wire.destination_id",
        destination_id,
        &new.destination_id,
        optional,
    );
    fields.plain("wire.user_dpid", user_dpid, &new.user_dpid);
    fields.plain("wire.regions", regions, &new.regions);
}

fn word(word: &str) -> String {
    word.to_owned()
}

fn none() -> String {
    word("none")
}

fn optional<T: Display>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(none, T::to_string)
}

fn list<T: Display>(values: &[T]) -> String {
    list_of(values.iter().map(T::to_string))
}

fn list_of(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(", "))
}

fn show_tls(tls: &TlsFiles) -> String {
    let roots = tls
        .ca_file
        .iter()
        .map(|file| format!("ca_file {}", file.display()));
    let client = tls.client.iter();
    let client =
        client.map(|client| format!("client_cert {:?} client_key {:?}", client.chain, client.key));
    let parts: Vec<_> = roots.chain(client).collect();
    if parts.is_empty() {
        return none();
    }
    parts.join(" ")
}

fn show_status(status: &Status) -> String {
    word(match status {
        Status::Active => "active",
        Status::Paused => "paused",
    })
}

fn duration(duration: &Duration) -> String {
    let millis = duration.as_millis();
    for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1000, "s")] {
        if millis > 0 && millis.is_multiple_of(unit) {
            return format!("{}{name}", millis / unit);
        }
    }
    format!("{millis}ms")
}

/// A query may hold a token of the partner's.
fn show_url(url: &str) -> String {
    let (shown, query) = url
        .split_once('?')
        .map_or((url, ""), |(url, _)| (url, "?***"));
    format!("{shown}{query}")
}

fn show_signing(signing: &Signing) -> String {
    let Signing {
        header,
        hash,
        secret: _,
        not_before,
        not_after,
    } = signing;
    let hash = match hash {
        HashName::Md5 => "md5",
        HashName::Sha1 => "sha1",
        HashName::Sha256 => "sha256",
    };
    let mut text = format!("{header} {hash}");
    if let Some(from) = not_before {
        text += &format!(" from {from}");
    }
    if let Some(until) = not_after {
        text += &format!(" until {until}");
    }
    text
}

fn show_oauth(oauth: &OAuth) -> String {
    let OAuth {
        token_url,
        credentials,
    } = oauth;
    let who = match credentials {
        OAuthCredentials::Client { client_id, .. } => format!("client {client_id}"),
        OAuthCredentials::BasicRaw(_) => word("basic_raw"),
    };
    format!("{} {who}", show_url(token_url))
}

fn show_batch(batch: &Batch) -> String {
    let Batch { every, at_minute } = batch;
    let (hours, minutes) = (at_minute / 60, at_minute % 60);
    format!("every {} at {hours:02}:{minutes:02}", duration(every))
}
