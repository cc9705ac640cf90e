//! Catalogs as text.

use super::DAY_0;
use std::time::Duration;
use tidings_model::{
    Batch, Catalog, DataSource, DataSourceId, DataSourceKind, Destination, DestinationId,
    ExportUse, ExportUses, FailurePolicy, Mapping, Segment, SegmentId, Status, Trait, TraitId,
    TraitKind, Unsegment, Unsynced, UtcDay, WireSettings,
};

/// A line is one of
/// - `trait ID [onboarded] [folder] [ttl=DAYS] [in=FOLDER] [of=DATA SOURCE] [when=KEY]`, the last
///   with the rule `KEY == "1"`;
/// - `source ID CONTROL,..`: the uses that the data source forbids, by their labels;
/// - `cleanup DAYS`;
/// - `segment ID [paused] EXPRESSION`;
/// - `dest ID [ids=NAMESPACE,..] map=MAPPING,.. [max=MAPPINGS] [batch] [when_seen] [blank]
///   [paused] [labels=LABEL,..]`, where a mapping is `SEGMENT[:TEXT][@DAY..DAY]`.
///
/// The data sources 1 to 99 exist.
pub(crate) fn parse(text: &str) -> Catalog {
    let mut catalog = Catalog::default();
    for id in 1..100 {
        catalog.data_sources.push(DataSource {
            id: DataSourceId(id),
            name: String::new(),
            kind: DataSourceKind::Cookie,
            integration_code: None,
            export_controls: ExportUses::default(),
        });
    }
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (kind, rest) = line.split_once(' ').expect(line);
        let (id, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let id = id.parse().expect(line);
        match kind {
            "trait" => catalog.traits.push(trait_(id, rest)),
            "source" => {
                let mut sources = catalog.data_sources.iter_mut();
                let source = sources.find(|source| source.id == DataSourceId(id));
                source.expect(line).export_controls = uses(rest);
            }
            "cleanup" => catalog.cleanup.days = u8::try_from(id).unwrap(),
            "segment" => catalog.segments.push(segment(id, rest)),
            "dest" => catalog.destinations.push(destination(id, rest)),
            _ => panic!("{line}"),
        }
    }
    catalog
}

fn trait_(id: u32, rest: &str) -> Trait {
    let mut trait_ = Trait {
        id: TraitId(id),
        name: String::new(),
        data_source: None,
        kind: TraitKind::RuleBased,
        folder: None,
        rule: None,
        ttl_days: 120,
    };
    for word in rest.split_whitespace() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("onboarded", _) => trait_.kind = TraitKind::Onboarded,
            ("folder", _) => trait_.kind = TraitKind::Folder,
            ("ttl", days) => trait_.ttl_days = days.parse().unwrap(),
            ("of", source) => trait_.data_source = Some(DataSourceId(source.parse().unwrap())),
            ("in", folder) => trait_.folder = Some(TraitId(folder.parse().unwrap())),
            ("when", key) => trait_.rule = Some(format!("{key} == \"1\"")),
            _ => panic!("{word}"),
        }
    }
    trait_
}

fn segment(id: u32, rest: &str) -> Segment {
    let (status, rule) = match rest.strip_prefix("paused ") {
        Some(rule) => (Status::Paused, rule),
        None => (Status::Active, rest),
    };
    Segment {
        id: SegmentId(id),
        name: String::new(),
        rule: rule.to_owned(),
        status,
    }
}

fn destination(id: u32, rest: &str) -> Destination {
    let mut destination = Destination {
        id: DestinationId(id),
        name: String::new(),
        client_id: String::new(),
        url: String::new(),
        method: tidings_model::Method::Post,
        id_data_sources: Vec::new(),
        mappings: Vec::new(),
        signing: Vec::new(),
        oauth: None,
        tls: tidings_model::TlsFiles::default(),
        max_users: 10,
        max_linger: Duration::from_secs(1),
        timeout: Duration::from_secs(3),
        retries: 1,
        retry_delay: Duration::from_secs(1),
        success_codes: vec![200],
        after_failure: FailurePolicy::Hold,
        unsynced: Unsynced::Skip,
        unsegment: Unsegment::Immediate,
        supports_unsegment: true,
        max_mappings: 1,
        batch: None,
        export_labels: ExportUses::default(),
        wire: WireSettings::default(),
        status: Status::Active,
    };
    for word in rest.split_whitespace() {
        match word.split_once('=').unwrap_or((word, "")) {
            ("ids", ids) => {
                let ids = ids.split(',').map(|id| DataSourceId(id.parse().unwrap()));
                destination.id_data_sources = ids.collect();
            }
            ("map", mappings) => {
                destination.mappings = mappings.split(',').map(mapping).collect();
            }
            ("max", count) => destination.max_mappings = count.parse().unwrap(),
            ("labels", labels) => destination.export_labels = uses(labels),
            ("paused", _) => destination.status = Status::Paused,
            ("blank", _) => destination.unsynced = Unsynced::Blank,
            ("no_zeros", _) => destination.supports_unsegment = false,
            ("when_seen", _) => destination.unsegment = Unsegment::WhenSeen,
            ("batch", _) => {
                destination.unsegment = Unsegment::Batch;
                destination.batch = Some(Batch {
                    every: Duration::from_secs(86_400),
                    at_minute: 0,
                });
            }
            _ => panic!("{word}"),
        }
    }
    destination
}

fn uses(labels: &str) -> ExportUses {
    let one = |label: &str| {
        let mut all = ExportUse::ALL.into_iter();
        all.find(|one| one.label() == label).expect("a label")
    };
    labels.split(',').map(one).collect()
}

fn mapping(text: &str) -> Mapping {
    let (text, days) = text.split_once('@').unwrap_or((text, ".."));
    let (segment, value) = match text.split_once(':') {
        Some((segment, value)) => (segment, Some(value.to_owned())),
        None => (text, None),
    };
    let (start, end) = days.split_once("..").unwrap();
    Mapping {
        segment: SegmentId(segment.parse().unwrap()),
        value,
        start: day(start),
        end: day(end),
    }
}

fn day(text: &str) -> Option<UtcDay> {
    (!text.is_empty()).then(|| DAY_0.plus_days(text.parse().unwrap()))
}
