//! The table of controls and labels, and through which traits a control reaches a segment.

use super::SegmentExports;
use tidings_model::{
    DataSource, DataSourceId, DataSourceKind, ExportUse, ExportUses, Segment, SegmentId, Status,
    Trait, TraitId, TraitKind,
};

const ALL: &str = "pii onsite_targeting offsite_targeting onsite_personalization";

/// The uses whose labels are named.
fn uses(labels: &str) -> ExportUses {
    let one = |label: &str| {
        let mut all = ExportUse::ALL.into_iter();
        all.find(|one| one.label() == label).expect("a label")
    };
    labels.split_whitespace().map(one).collect()
}

fn data_source(id: u32, controls: &str) -> DataSource {
    DataSource {
        id: DataSourceId(id),
        name: String::new(),
        kind: DataSourceKind::Cookie,
        integration_code: None,
        export_controls: uses(controls),
    }
}

/// The trait of this data source, if it is not 0, in this folder, if that is not 0.
fn trait_((id, data_source, folder): (u32, u32, u32)) -> Trait {
    Trait {
        id: TraitId(id),
        name: String::new(),
        data_source: (data_source > 0).then_some(DataSourceId(data_source)),
        kind: if id > 90 {
            TraitKind::Folder
        } else {
            TraitKind::RuleBased
        },
        folder: (folder > 0).then_some(TraitId(folder)),
        rule: None,
        ttl_days: 0,
    }
}

/// Data sources 10 to 14 forbid nothing, PII, off-site targeting, all, PII. Traits 1 to 5 are
/// theirs, 6 is nobody's; 91 holds 2 and 92, which holds 3; 93 is data source 13's and empty, and 94
/// holds it.
#[track_caller]
fn check(rule: &str, labels: &str, expected: &str) {
    let data_sources = [
        data_source(14, "pii"),
        data_source(10, ""),
        data_source(11, "pii"),
        data_source(12, "offsite_targeting"),
        data_source(13, ALL),
    ];
    let traits = [
        (91, 0, 0),
        (92, 10, 91),
        (94, 0, 0),
        (93, 13, 94),
        (1, 10, 0),
        (2, 11, 91),
        (3, 12, 92),
        (4, 13, 0),
        (5, 14, 0),
        (6, 0, 0),
    ]
    .map(trait_);
    let segment = Segment {
        id: SegmentId(1),
        name: String::new(),
        rule: rule.to_owned(),
        status: Status::Active,
    };
    let exports = SegmentExports::new(&data_sources, &traits, &[segment]);
    let block = exports.block(SegmentId(1), uses(labels));
    let shown = block.map_or_else(String::new, |block| {
        let control = block.forbidden.control();
        format!("{control} {} {}", block.data_source, block.trait_id)
    });
    assert_eq!(shown, expected, "{rule} with {labels}");
}

#[test]
fn only_a_pair_that_matches_blocks() {
    for control in ExportUse::ALL {
        for label in ExportUse::ALL {
            let sources = [data_source(7, control.label())];
            let traits = [trait_((1, 7, 0))];
            let segments = [Segment {
                id: SegmentId(5),
                name: String::new(),
                rule: "1T".to_owned(),
                status: Status::Active,
            }];
            let exports = SegmentExports::new(&sources, &traits, &segments);
            let block = exports.block(SegmentId(5), [label].into_iter().collect());
            assert_eq!(block.is_some(), control == label, "{control:?} {label:?}");
            assert_eq!(exports.block(SegmentId(5), uses("")), None);
            assert_eq!(exports.block(SegmentId(6), uses(ALL)), None);
        }
    }
    check("1T", ALL, "");
    check("6T", ALL, "");
    check(
        "4T",
        "onsite_personalization",
        "no_onsite_personalization 13 4",
    );
}

#[test]
fn every_trait_that_the_rule_reads_counts() {
    check("1T AND 2T", "pii", "no_pii 11 2");
    check("1T OR 2T", "pii", "no_pii 11 2");
    check("1T AND NOT 2T", "pii", "no_pii 11 2");
    check("1T AND FREQUENCY([6T,2T] <= 3D) >= 2", "pii", "no_pii 11 2");
    check("1T AND 2T", "offsite_targeting onsite_targeting", "");
    // A rule names a trait that is not there.
    check("1T OR 7T", ALL, "");
}

#[test]
fn a_folder_counts_with_everything_in_it() {
    check("91T", "pii", "no_pii 11 2");
    check("91T", "offsite_targeting", "no_offsite_targeting 12 3");
    check("92T", "pii", "");
    check("92T", "offsite_targeting", "no_offsite_targeting 12 3");
    check("91T", "onsite_targeting", "");
    // The folders above a trait are not read with it.
    check("1T OR 3T", "pii", "");
    check("93T", "pii", "no_pii 13 93");
    check("94T", "pii", "no_pii 13 93");
}

#[test]
fn of_several_reasons_the_first_is_told() {
    check("5T OR 4T OR 2T", ALL, "no_pii 11 2");
    check("3T OR 5T", ALL, "no_pii 14 5");
    check("3T OR 4T", "offsite_targeting", "no_offsite_targeting 12 3");
}

#[test]
fn folders_in_a_circle_end() {
    let traits = [(91, 0, 92), (92, 0, 91), (1, 7, 91)].map(trait_);
    let exports = SegmentExports::new(&[data_source(7, "pii")], &traits, &[]);
    assert_eq!(exports.block(SegmentId(1), uses("pii")), None);
}
