//! The published tables and examples, row by row, against the oracle alone.

use crate::given::{DEVICE, at, case, seen, version};
use std::sync::Arc;
use tidings_model::{DestinationId, DeviceUuid, Mapping, SegmentId, UtcDay};
use tidings_oracle::{Case, Features, Happening, Oracle, Version, What, expires_at};

fn device() -> DeviceUuid {
    DEVICE.parse().unwrap()
}

/// Lets everything happen and time pass to the end.
fn run(case: &Case) -> Oracle {
    let mut oracle = Oracle::new(case.features, Arc::clone(&case.version), case.start);
    for happening in &case.happenings {
        oracle.happen(happening, device);
    }
    oracle.run_until(case.end);
    oracle
}

/// What was told, a user object a line: time, destination, id, states.
fn told(oracle: &Oracle) -> String {
    let mut out = Vec::new();
    for message in oracle.messages() {
        for user in &message.users {
            let states = user.segments.iter();
            let states: Vec<_> = states
                .map(|one| format!("{}={}", one.id, one.status))
                .collect();
            let (time, to, id) = (message.time, message.destination, &user.id);
            out.push(format!("{time} {to} {id:?} {}", states.join(" ")));
        }
    }
    out.join("\n")
}

#[track_caller]
fn check_told(case: &Case, expected: &str) {
    let trimmed = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.trim().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    };
    assert_eq!(trimmed(&told(&run(case))), trimmed(expected));
}

#[test]
fn traits_expire_at_the_midnights_of_the_table() {
    for (realised, ttl_days, expires) in [
        ("2016-07-27T01:00:00Z", 1, "2016-07-29T00:00:00Z"),
        ("2016-07-27T23:00:00Z", 1, "2016-07-29T00:00:00Z"),
        ("2016-07-27T00:00:00Z", 1, "2016-07-29T00:00:00Z"),
        ("2016-07-27T16:17:22Z", 1, "2016-07-29T00:00:00Z"),
        ("2016-07-27T16:17:22Z", 30, "2016-08-27T00:00:00Z"),
        ("2016-07-27T16:17:22Z", 120, "2016-11-25T00:00:00Z"),
        // Day 10 of a month and 15 days: until the end of day 25.
        ("2016-07-10T12:00:00Z", 15, "2016-07-26T00:00:00Z"),
    ] {
        assert_eq!(
            expires_at(at(realised), ttl_days),
            Some(at(expires)),
            "{realised}"
        );
    }
    assert_eq!(expires_at(at("2016-07-27T16:17:22Z"), 0), None);
}

#[test]
fn the_one_day_formula_holds_for_every_hour() {
    for hour in 0..24 {
        let realised = at("2016-07-27T00:00:00Z").plus_seconds(hour * 3600);
        let expires = expires_at(realised, 1).unwrap();
        assert_eq!(expires.seconds_since(realised), (24 + (24 - hour)) * 3600);
    }
}

/// Whether the device, after these realisations, fulfils the rule of segment 1 at an instant.
#[track_caller]
fn check_rule(traits: &str, rule: &str, happenings: &[Happening], when: &str, expected: bool) {
    let yaml =
        format!("traits:\n{traits}\nsegments:\n  - {{ id: 1, name: s, rule: \"{rule}\" }}\n");
    let start = happenings.first().unwrap().at;
    let mut oracle = Oracle::new(Features::EVENTS, version(&yaml), start);
    for happening in happenings {
        oracle.happen(happening, device);
    }
    let fulfilled = oracle.fulfils(&device(), at(when));
    assert_eq!(
        fulfilled.contains(&SegmentId(1)),
        expected,
        "{rule} at {when}"
    );
}

#[test]
fn a_trait_lives_until_its_midnight_and_every_realisation_starts_it_again() {
    let traits = "  - { id: 1, name: a, ttl_days: 1 }";
    let once = [seen("2016-07-27T16:17:22Z", &[1])];
    check_rule(traits, "1T", &once, "2016-07-28T23:59:59Z", true);
    check_rule(traits, "1T", &once, "2016-07-29T00:00:00Z", false);
    let again = [
        seen("2016-07-27T16:17:22Z", &[1]),
        seen("2016-07-28T23:59:59Z", &[1]),
    ];
    check_rule(
        traits,
        "frequency([1T]) == 2",
        &again,
        "2016-07-29T23:59:59Z",
        true,
    );
    check_rule(traits, "1T", &again, "2016-07-30T00:00:00Z", false);
    // Expiry takes the whole history: a later realisation begins at 1.
    let later = [
        seen("2016-07-27T16:17:22Z", &[1]),
        seen("2016-07-29T00:00:00Z", &[1]),
    ];
    check_rule(
        traits,
        "frequency([1T]) == 1",
        &later,
        "2016-07-29T12:00:00Z",
        true,
    );
}

#[test]
fn traits_of_a_segment_expire_one_by_one() {
    let traits = "  - { id: 1, name: a, ttl_days: 30 }\n  - { id: 2, name: b, ttl_days: 15 }";
    let both = [
        seen("2016-07-01T12:00:00Z", &[1]),
        seen("2016-07-10T12:00:00Z", &[2]),
    ];
    for (rule, last, first_not) in [
        ("1T AND 2T", "2016-07-25T23:59:59Z", "2016-07-26T00:00:00Z"),
        ("1T OR 2T", "2016-07-31T23:59:59Z", "2016-08-01T00:00:00Z"),
    ] {
        check_rule(traits, rule, &both, last, true);
        check_rule(traits, rule, &both, first_not, false);
    }
}

#[test]
fn recency_windows_hold_the_days_of_the_table() {
    let traits = "  - { id: 4, name: a, ttl_days: 0 }\n  - { id: 8, name: b, ttl_days: 0 }";
    // One realisation on each day from September 20 to October 11, by either trait.
    let days: Vec<UtcDay> = (0..22)
        .map(|day| UtcDay::from_date(2016, 9, 20).unwrap().plus_days(day))
        .collect();
    let mut happenings = Vec::new();
    for (index, day) in days.iter().enumerate() {
        let id = if index % 2 == 0 { 4 } else { 8 };
        let noon = day.start().plus_seconds(43_200).to_string();
        happenings.push(seen(&noon, &[id]));
        let now = day.start().plus_seconds(80_000).to_string();
        let so_far = index + 1;
        // Age 0 to 5 is six days, both ends included.
        let recent = so_far.min(6);
        // Age 5 and more: from the first sighting to the boundary day.
        let old = so_far.saturating_sub(5);
        for (recency, count) in [(" <= 5D", recent), (" >= 5D", old), ("", so_far)] {
            let more = count + 1;
            if count > 0 {
                let rule = format!("frequency([4T,8T]{recency}) >= {count}");
                check_rule(traits, &rule, &happenings, &now, true);
            }
            let rule = format!("frequency([4T,8T]{recency}) >= {more}");
            check_rule(traits, &rule, &happenings, &now, false);
        }
    }
}

#[test]
fn the_published_examples_of_expressions_have_their_values() {
    let traits =
        "  - { id: 1000, name: a, ttl_days: 120 }\n  - { id: 7, name: b, kind: onboarded }";
    let mut profile = vec![
        seen("2016-07-26T08:00:00Z", &[1000, 7]),
        seen("2016-07-26T09:00:00Z", &[1000]),
        seen("2016-07-28T08:00:00Z", &[1000]),
        seen("2016-07-28T09:00:00Z", &[1000]),
        seen("2016-07-28T10:00:00Z", &[1000]),
    ];
    let now = "2016-07-29T12:00:00Z";
    let up_to_five = "frequency([1000T]) >= 1 AND frequency([1000T]) <= 5";
    for (rule, expected) in [
        ("frequency([1000T]) >= 5", true),
        ("frequency([1000T] <= 1D) >= 3", true),
        ("(frequency([1000T] <= 2D) >= 5)", false),
        ("frequency([1000T] >= 3D) == 2", true),
        (up_to_five, true),
        ("7T AND NOT 1000T", false),
        ("7T NOT frequency([1000T]) => 6", true),
    ] {
        check_rule(traits, rule, &profile, now, expected);
    }
    profile.push(seen("2016-07-29T08:00:00Z", &[1000]));
    check_rule(traits, up_to_five, &profile, now, false);
}

#[test]
fn rules_that_hold_for_everyone_are_refused() {
    for rule in [
        "NOT 5T",
        "frequency([5T]) == 0",
        "frequency([5T]) <= 5 OR 6T",
        "frequency([5T]) >= 0",
        "frequency([1000T]) <= 5",
    ] {
        let mut catalog = version("{}").catalog.clone();
        catalog.segments.push(tidings_model::Segment {
            id: SegmentId(1),
            name: "s".to_owned(),
            rule: rule.to_owned(),
            status: tidings_model::Status::Active,
        });
        assert!(Version::new(catalog).is_err(), "{rule}");
    }
}

#[test]
fn not_binds_tighter_than_and_and_and_tighter_than_or() {
    let traits = "  - { id: 1, name: a }\n  - { id: 2, name: b }\n  - { id: 3, name: c }";
    for (realised, expected) in [
        (&[1][..], true),
        (&[1, 2, 3], true),
        (&[2], true),
        (&[2, 3], false),
    ] {
        let profile = [seen("2016-07-26T08:00:00Z", realised)];
        check_rule(
            traits,
            "1T OR 2T AND NOT 3T",
            &profile,
            "2016-07-26T09:00:00Z",
            expected,
        );
    }
}

const WORKED_EXAMPLE: &str = r"
data_sources:
  - { id: 5, name: ids, kind: cookie }
traits:
  - { id: 1, name: a, ttl_days: 0 }
  - { id: 2, name: b, ttl_days: 0 }
  - { id: 3, name: c, ttl_days: 0 }
segments:
  - { id: 10, name: A, rule: 1T }
  - { id: 20, name: B, rule: 2T }
  - { id: 30, name: C, rule: 3T }
destinations:
  - { id: 1, name: D1, client_id: x, url: https://a.example/, id_data_sources: [5], max_linger: 0s,
      mappings: [ { segment: 10 }, { segment: 20 } ] }
  - { id: 2, name: D2, client_id: x, url: https://b.example/, id_data_sources: [5], max_linger: 0s,
      mappings: [ { segment: 20 }, { segment: 30 } ] }
";

#[test]
fn the_send_rules_give_the_worked_example() {
    let mut case = case(
        Features::ALL,
        WORKED_EXAMPLE,
        r#"
        {"time":"2016-07-01T09:00:00Z","uuid":"DEVICE","traits":[1,3],"ids":[{"data_source":5,"id":"p"}]}
        {"time":"2016-07-01T10:00:00Z","uuid":"DEVICE","traits":[2]}
        {"time":"2016-07-01T11:00:00Z","uuid":"DEVICE"}
        {"time":"2016-07-01T12:00:00Z","uuid":"DEVICE","remove_traits":[1]}
        {"time":"2016-07-02T09:30:00Z","uuid":"DEVICE"}
        {"time":"2016-07-05T09:29:00Z","uuid":"DEVICE"}
        {"time":"2016-07-05T09:30:00Z","uuid":"DEVICE"}
        "#,
        "2016-07-06T00:00:00Z",
    );
    // On day 2 at 09:00 the operator maps C to D1.
    let mut catalog = case.version.catalog.clone();
    let first = &mut catalog.destinations[0];
    assert_eq!(first.id, DestinationId(1));
    first.mappings.push(Mapping {
        segment: SegmentId(30),
        value: None,
        start: None,
        end: None,
    });
    let mapped = Happening {
        at: at("2016-07-02T09:00:00Z"),
        what: What::Catalog(Arc::new(Version::new(catalog).unwrap())),
    };
    case.happenings.insert(4, mapped);
    check_told(
        &case,
        r#"
        2016-07-01T09:00:00Z 1 "p" 10=1
        2016-07-01T09:00:00Z 2 "p" 30=1
        2016-07-01T10:00:00Z 1 "p" 10=1 20=1
        2016-07-01T10:00:00Z 2 "p" 20=1 30=1
        2016-07-01T12:00:00Z 1 "p" 20=1 10=0
        2016-07-01T12:00:00Z 2 "p" 20=1 30=1
        2016-07-02T09:30:00Z 1 "p" 20=1 30=1
        2016-07-02T09:30:00Z 2 "p" 20=1 30=1
        2016-07-05T09:30:00Z 1 "p" 20=1 30=1
        2016-07-05T09:30:00Z 2 "p" 20=1 30=1
        "#,
    );
}

/// One destination that is told of two segments under all ids in one namespace.
const OPT_OUT: &str = r"
data_sources:
  - { id: 5, name: ids, kind: cookie }
traits:
  - { id: 1, name: a, ttl_days: 1 }
  - { id: 2, name: b, ttl_days: 0 }
segments:
  - { id: 10, name: A, rule: 1T }
  - { id: 20, name: B, rule: 2T }
destinations:
  - { id: 1, name: D, client_id: x, url: https://a.example/, id_data_sources: [5], max_linger: 0s,
      mappings: [ { segment: 10 }, { segment: 20, value: vip } ], batch: { every: 24h, at: '02:00' } }
";

#[test]
fn an_opt_out_is_told_under_every_id_and_is_the_last_word() {
    let features = Features {
        batches: false,
        ..Features::ALL
    };
    for verb in ["opt_out", "delete"] {
        let lines = r#"
            {"time":"2016-07-01T09:00:00Z","uuid":"DEVICE","traits":[1,2],"ids":[{"data_source":5,"id":"p"},{"data_source":5,"id":"q"}]}
            {"time":"2016-07-01T10:00:00Z","do":"VERB","uuid":"DEVICE"}
            {"time":"2016-07-01T11:00:00Z","uuid":"DEVICE","traits":[1,2],"ids":[{"data_source":5,"id":"r"}]}
        "#;
        check_told(
            &case(
                features,
                OPT_OUT,
                &lines.replace("VERB", verb),
                "2016-12-31T00:00:00Z",
            ),
            r#"
            2016-07-01T09:00:00Z 1 "q" 10=1 vip=1
            2016-07-01T10:00:00Z 1 "q" 10=0 vip=0
            2016-07-01T10:00:00Z 1 "p" 10=0 vip=0
            "#,
        );
    }
}

#[test]
fn time_alone_tells_of_expiry_and_of_120_idle_days() {
    let features = Features {
        batches: false,
        ..Features::ALL
    };
    check_told(
        &case(
            features,
            OPT_OUT,
            r#"{"time":"2016-07-01T09:00:00Z","uuid":"DEVICE","traits":[1,2],"ids":[{"data_source":5,"id":"p"}]}"#,
            "2016-12-31T00:00:00Z",
        ),
        r#"
        2016-07-01T09:00:00Z 1 "p" 10=1 vip=1
        2016-07-03T00:00:00Z 1 "p" vip=1 10=0
        2016-10-30T00:00:00Z 1 "p" vip=0
        "#,
    );
}

#[test]
fn a_batch_tells_what_changed_since_the_last_one() {
    let mut case = case(
        Features::ALL,
        OPT_OUT,
        r#"
        {"time":"2016-07-01T09:00:00Z","uuid":"DEVICE","traits":[1,2],"ids":[{"data_source":5,"id":"p"}]}
        {"time":"2016-07-02T09:00:00Z","uuid":"DEVICE","remove_traits":[2]}
        "#,
        "2016-07-05T00:00:00Z",
    );
    case.happenings[0].at = at("2016-07-01T09:00:00Z");
    check_told(
        &case,
        r#"
        2016-07-01T09:00:00Z 1 "p" 10=1 vip=1
        2016-07-02T02:00:00Z 1 "p" 10=1 vip=1
        2016-07-02T09:00:00Z 1 "p" 10=1 vip=0
        2016-07-03T00:00:00Z 1 "p" 10=0
        2016-07-03T02:00:00Z 1 "p" 10=0 vip=0
        "#,
    );
}
