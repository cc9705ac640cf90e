//! The table of export controls and labels: the oracle row by row, and the real system beside it.

use crate::{
    compare::difference,
    given::{at, case, seen, version},
    histories::FEATURES,
};
use std::sync::Arc;
use tidings_model::{DestinationId, DeviceUuid, ExportUse};
use tidings_oracle::{Case, Happening, Oracle, What};

const LINKED: &str = r#"{"time":"2016-07-27T10:00:00Z","uuid":"DEVICE","traits":[2],"ids":[{"data_source":101,"id":"u"}]}"#;

/// Trait 1 is data source 102's, alone in folder 9; trait 2 is nobody's.
fn yaml(controls: &str, labels: &str, rule: &str) -> String {
    format!(
        "data_sources:
  - {{ id: 101, name: ids }}
  - {{ id: 102, name: owner, export_controls: [{controls}] }}
traits:
  - {{ id: 9, name: folder, kind: folder }}
  - {{ id: 1, name: owned, data_source: 102, folder: 9 }}
  - {{ id: 2, name: free }}
segments: [{{ id: 5, name: one, rule: '{rule}' }}]
destinations:
  - {{ id: 11, name: labelled, client_id: c, url: 'https://a.example/', id_data_sources: [101],
      mappings: [{{ segment: 5 }}], export_labels: [{labels}] }}
  - {{ id: 12, name: plain, client_id: c, url: 'https://b.example/', id_data_sources: [101],
      mappings: [{{ segment: 5 }}] }}
"
    )
}

/// Statuses in the order in which the destination hears them. Both sides must say the same.
fn told(case: &Case, destination: u32) -> Vec<u8> {
    let found = difference(case);
    assert!(found.is_none(), "{found:?}");
    let mut oracle = Oracle::new(case.features, Arc::clone(&case.version), case.start);
    for happening in &case.happenings {
        oracle.happen(happening, || DeviceUuid::from_number(1).unwrap());
    }
    oracle.run_until(case.end);
    let messages = oracle.messages().iter();
    let mine = messages.filter(|message| message.destination == DestinationId(destination));
    let segments = mine.flat_map(|message| message.users.iter().flat_map(|user| &user.segments));
    segments.map(|one| one.status).collect()
}

#[test]
fn each_control_blocks_its_own_label_only() {
    for control in ExportUse::ALL {
        for label in ExportUse::ALL {
            let yaml = yaml(control.control(), label.label(), "2T AND NOT 1T");
            let case = case(FEATURES, &yaml, LINKED, "2016-07-27T11:00:00Z");
            let expected: &[u8] = if control == label { &[] } else { &[1] };
            assert_eq!(told(&case, 11), expected, "{control:?} {label:?}");
            assert_eq!(told(&case, 12), [1]);
        }
    }
}

#[test]
fn no_control_and_no_label_block_nothing() {
    for (controls, labels) in [
        ("", ""),
        (
            "",
            "pii, onsite_targeting, offsite_targeting, onsite_personalization",
        ),
        ("no_pii, no_onsite_targeting, no_offsite_targeting", ""),
        (
            "no_pii, no_onsite_targeting",
            "offsite_targeting, onsite_personalization",
        ),
    ] {
        let yaml = yaml(controls, labels, "2T AND NOT 1T");
        let case = case(FEATURES, &yaml, LINKED, "2016-07-27T11:00:00Z");
        assert_eq!(told(&case, 11), [1], "{controls} {labels}");
    }
}

#[test]
fn a_folder_is_blocked_by_what_lies_in_it() {
    for (rule, expected) in [("2T AND NOT 9T", &[][..]), ("2T", &[1])] {
        let yaml = yaml("no_pii", "pii", rule);
        let case = case(FEATURES, &yaml, LINKED, "2016-07-27T11:00:00Z");
        assert_eq!(told(&case, 11), expected, "{rule}");
    }
}

/// Told, blocked, left, free again, seen: the 0 comes then, and not before.
#[test]
fn a_zero_waits_for_the_end_of_the_block() {
    let free = yaml("", "pii", "2T AND NOT 1T");
    let mut case = case(FEATURES, &free, LINKED, "2016-07-27T16:00:00Z");
    let catalog = |when: &str, yaml: &str| Happening {
        at: at(when),
        what: What::Catalog(version(yaml)),
    };
    case.happenings.extend([
        catalog(
            "2016-07-27T11:00:00Z",
            &yaml("no_pii", "pii", "2T AND NOT 1T"),
        ),
        seen("2016-07-27T12:00:00Z", &[1]),
        seen("2016-07-27T13:00:00Z", &[]),
    ]);
    assert_eq!(told(&case, 11), [1]);
    case.happenings.push(catalog("2016-07-27T14:00:00Z", &free));
    assert_eq!(told(&case, 11), [1]);
    case.happenings.push(seen("2016-07-27T15:00:00Z", &[]));
    assert_eq!(told(&case, 11), [1, 0]);
    assert_eq!(told(&case, 12), [1, 0]);
}
