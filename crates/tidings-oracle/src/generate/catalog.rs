//! Random catalogs: few of everything, so that things meet.

use super::{Random, export, rule};
use crate::Features;
use std::time::Duration;
use tidings_model::{
    Batch, Catalog, Cleanup, DataSource, DataSourceId, DataSourceKind, Destination, DestinationId,
    ExportUses, FailurePolicy, Mapping, Segment, SegmentId, Status, Timestamp, Trait, TraitId,
    TraitKind, Unsegment, Unsynced, WireSettings,
};

/// The namespaces of every generated catalog.
pub(super) const DATA_SOURCES: [DataSourceId; 3] =
    [DataSourceId(101), DataSourceId(102), DataSourceId(103)];

pub(super) fn catalog(random: &mut Random, features: Features, start: Timestamp) -> Catalog {
    let data_sources = DATA_SOURCES.map(|id| DataSource {
        id,
        name: format!("ids {id}"),
        kind: DataSourceKind::Cookie,
        integration_code: None,
        export_controls: ExportUses::default(),
    });
    let traits: Vec<Trait> = (1..=random.between(2, 5))
        .map(|id| trait_(random, number(id)))
        .collect();
    let traits = if features.folders && random.chance(30) {
        in_folders(random, traits)
    } else {
        traits
    };
    let segments: Vec<Segment> = (1..=random.between(1, 5))
        .map(|id| Segment {
            id: SegmentId(100 * number(id)),
            name: format!("segment {id}"),
            rule: rule::segment_rule(random, &traits),
            status: paused(random, 8),
        })
        .collect();
    let destinations = (1..=random.between(1, 3))
        .map(|id| destination(random, features, start, number(id), &segments))
        .collect();
    let mut catalog = Catalog {
        cleanup: Cleanup {
            days: if random.chance(25) { 7 } else { 1 },
        },
        data_sources: data_sources.into(),
        traits,
        segments,
        destinations,
    };
    if features.exports {
        export::equip(random, &mut catalog);
    }
    catalog
}

fn number(id: i64) -> u32 {
    u32::try_from(id).unwrap_or(0)
}

fn paused(random: &mut Random, percent: i64) -> Status {
    if random.chance(percent) {
        Status::Paused
    } else {
        Status::Active
    }
}

fn trait_(random: &mut Random, id: u32) -> Trait {
    let is_onboarded = random.chance(20);
    Trait {
        id: TraitId(id),
        name: format!("trait {id}"),
        data_source: None,
        kind: if is_onboarded {
            TraitKind::Onboarded
        } else {
            TraitKind::RuleBased
        },
        folder: None,
        rule: (!is_onboarded && random.chance(75)).then(|| rule::trait_rule(random)),
        ttl_days: *random.pick(&[0, 1, 1, 2, 3, 4, 5, 30, 120]),
    }
}

/// The traits, some of them in a folder, which may lie in another one.
fn in_folders(random: &mut Random, traits: Vec<Trait>) -> Vec<Trait> {
    let folder = |id, folder| Trait {
        id: TraitId(id),
        name: format!("folder {id}"),
        data_source: None,
        kind: TraitKind::Folder,
        folder,
        rule: None,
        ttl_days: 0,
    };
    // A folder stands before what it holds.
    let mut all = vec![folder(8, None), folder(9, Some(TraitId(8)))];
    for one in traits {
        let folder = *random.pick(&[None, Some(TraitId(8)), Some(TraitId(9))]);
        all.push(Trait { folder, ..one });
    }
    all
}

fn destination(
    random: &mut Random,
    features: Features,
    start: Timestamp,
    id: u32,
    segments: &[Segment],
) -> Destination {
    let mut id_data_sources: Vec<DataSourceId> = Vec::new();
    for _ in 0..*random.pick(&[0, 1, 1, 1, 2, 2]) {
        let one = *random.pick(&DATA_SOURCES);
        if !id_data_sources.contains(&one) {
            id_data_sources.push(one);
        }
    }
    let is_blank = id_data_sources.is_empty() || random.chance(15);
    Destination {
        id: DestinationId(10 + id),
        name: format!("destination {id}"),
        client_id: format!("client-{id}"),
        url: format!("https://partner-{id}.example/segments"),
        method: tidings_model::Method::Post,
        id_data_sources,
        mappings: mappings(random, features, start, segments),
        signing: Vec::new(),
        oauth: None,
        tls: tidings_model::TlsFiles::default(),
        max_users: *random.pick(&[1, 1, 2, 2, 3, 4, 10]),
        max_linger: Duration::from_millis(
            *random.pick(&[0, 0, 500, 1000, 1000, 1000, 1500, 2000, 30_000, 60_000]),
        ),
        timeout: Duration::from_secs(3),
        retries: 1,
        retry_delay: Duration::from_secs(1),
        success_codes: vec![200],
        after_failure: FailurePolicy::Hold,
        supports_unsegment: !(features.refused_zeros && random.chance(12)),
        unsynced: if is_blank {
            Unsynced::Blank
        } else {
            Unsynced::Skip
        },
        unsegment: if features.unsegment {
            *random.pick(&[
                Unsegment::Immediate,
                Unsegment::Immediate,
                Unsegment::WhenSeen,
                Unsegment::Batch,
            ])
        } else {
            Unsegment::Immediate
        },
        max_mappings: *random.pick(&[1, 1, 1, 0, 2]),
        batch: (features.batches && random.chance(40)).then(|| Batch {
            every: Duration::from_secs(86_400),
            at_minute: *random.pick(&[0, 0, 1, 120, 1439]),
        }),
        export_labels: ExportUses::default(),
        wire: WireSettings::default(),
        status: paused(random, 3),
    }
}

pub(super) fn mappings(
    random: &mut Random,
    features: Features,
    start: Timestamp,
    segments: &[Segment],
) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::new();
    for segment in segments {
        if !random.chance(70) {
            continue;
        }
        let count = if random.chance(10) { 2 } else { 1 };
        for place in 0..count {
            let mapping = mapping(random, start, segment.id, place);
            let same_text =
                |other: &Mapping| other.segment == mapping.segment && other.value == mapping.value;
            // The catalog's reader refuses to say the same twice; what it lets through are two
            // stretches of time, which are a feature of their own.
            if !mappings.iter().any(same_text) {
                mappings.push(mapping);
            }
        }
        if features.stretches
            && let Some(last) = mappings.last().cloned()
            && let Some(end) = last.end
        {
            mappings.push(Mapping {
                start: Some(end.plus_days(1)),
                end: None,
                ..last
            });
        }
    }
    mappings
}

fn mapping(random: &mut Random, start: Timestamp, segment: SegmentId, place: usize) -> Mapping {
    // Few texts, so that segments share them; one is the number of a segment.
    let value = (place > 0 || random.chance(20))
        .then(|| (*random.pick(&["shared", "shared", "vip", "200"])).to_owned());
    let today = start.day();
    let mut day = |percent| {
        random
            .chance(percent)
            .then(|| today.plus_days(i32::try_from(random.between(0, 5)).unwrap_or(0)))
    };
    let (start, end) = (day(12), day(12));
    let end = end.filter(|end| start.is_none_or(|start| start < *end));
    Mapping {
        segment,
        value,
        start,
        end,
    }
}
