//! Differences that random histories found, as small cases: the two agree now.

use crate::{
    compare::{difference, report},
    given::{at, case, version},
    histories::FEATURES,
};
use tidings_model::{DataSourceId, DestinationId};
use tidings_oracle::{Case, Happening, Message, What};

#[track_caller]
fn check_same(yaml: &str, lines: &str, until: &str) {
    let case = case(FEATURES, yaml, lines, until);
    if let Some(difference) = difference(&case) {
        panic!("{}", report(0, &case, &difference));
    }
}

/// The messages of a case, so that a test that nothing differs is not one that nothing happened.
fn messages(case: &Case) -> Vec<Message> {
    let mut real = crate::real::Real::new(&case.version.catalog, case.start);
    for happening in &case.happenings {
        real.happen(happening);
    }
    real.run_until(case.end);
    real.messages().to_vec()
}

/// Each destination had its own blank id, in its first namespace, but told under any it came across.
#[test]
fn the_blank_id_of_another_destination_is_not_told() {
    let yaml = r"
data_sources:
  - { id: 101, name: a, kind: cookie }
  - { id: 102, name: b, kind: cookie }
traits:
  - { id: 1, name: t, ttl_days: 0 }
  - { id: 2, name: u, ttl_days: 0 }
segments:
  - { id: 100, name: s, rule: 1T }
  - { id: 200, name: s, rule: 2T }
destinations:
  - { id: 11, name: d, client_id: c, url: https://a.example/, id_data_sources: [101, 102],
      unsynced: blank, mappings: [ { segment: 100 } ] }
  - { id: 12, name: d, client_id: c, url: https://b.example/, id_data_sources: [102],
      unsynced: blank, mappings: [ { segment: 100 } ] }
";
    let lines = r#"
        {"time":"2016-11-22T00:37:42Z","uuid":"DEVICE","traits":[1]}
        {"time":"2016-11-23T00:00:00Z","uuid":"DEVICE","traits":[2]}
        {"time":"2016-11-24T00:00:00Z","uuid":"DEVICE","remove_traits":[1]}
    "#;
    let until = "2016-11-25T00:00:00Z";
    check_same(yaml, lines, until);
    let messages = messages(&case(FEATURES, yaml, lines, until));
    let first = messages
        .iter()
        .filter(|one| one.destination == DestinationId(11));
    let namespaces: Vec<_> = first.map(|one| one.namespace).collect();
    assert_eq!(namespaces, [DataSourceId(101); 3]);
}

/// A message that left at midnight told what had been true before it.
#[test]
fn a_message_at_midnight_tells_the_state_after_it() {
    let yaml = r"
traits:
  - { id: 1, name: t, ttl_days: 1 }
  - { id: 2, name: u, ttl_days: 0 }
segments:
  - { id: 100, name: s, rule: 1T }
  - { id: 200, name: s, rule: 2T }
destinations:
  - { id: 11, name: d, client_id: c, url: https://a.example/, mappings: [ { segment: 100 }, { segment: 200 } ] }
";
    let lines = r#"
        {"time":"2016-11-22T12:00:00Z","uuid":"DEVICE","traits":[1]}
        {"time":"2016-11-23T23:59:59Z","uuid":"DEVICE","traits":[2]}
    "#;
    let until = "2016-11-25T00:00:00Z";
    check_same(yaml, lines, until);
    let messages = messages(&case(FEATURES, yaml, lines, until));
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1].time, at("2016-11-24T00:00:00Z"));
    let states = messages[1].users[0].segments.iter();
    let states: Vec<_> = states.map(|one| (one.id.as_str(), one.status)).collect();
    assert_eq!(states, [("200", 1), ("100", 0)]);
}

/// A blank id that waited to be told, but never was, was owed a zero once another id had come.
#[test]
fn an_id_that_was_never_told_is_owed_nothing() {
    let yaml = r#"
data_sources:
  - { id: 101, name: a, kind: cookie }
traits:
  - { id: 1, name: t, ttl_days: 0 }
segments:
  - { id: 100, name: s, rule: 1T }
destinations:
  - { id: 11, name: d, client_id: c, url: https://a.example/, id_data_sources: [101],
      unsynced: blank, mappings: [ { segment: 100 } ] }
"#;
    let lines = r#"
        {"time":"2016-11-22T12:00:00Z","uuid":"DEVICE","traits":[1]}
        {"time":"2016-11-22T12:00:00Z","uuid":"DEVICE","ids":[{"data_source":101,"id":"w"}]}
        {"time":"2016-11-23T12:00:00Z","uuid":"DEVICE","remove_traits":[1]}
    "#;
    let until = "2016-11-25T00:00:00Z";
    check_same(yaml, lines, until);
    let messages = messages(&case(FEATURES, yaml, lines, until));
    let ids = messages.iter().flat_map(|message| &message.users);
    let ids: Vec<_> = ids.map(|user| user.id.as_str()).collect();
    assert_eq!(ids, ["w", "w"]);
}

/// The ids of a device that was deleted led to it.
#[test]
fn deleted_devices_are_not_found_by_their_ids() {
    let yaml = "data_sources:\n  - { id: 101, name: a, kind: cookie }\n";
    let lines = r#"
        {"time":"2016-11-22T12:00:00Z","uuid":"DEVICE","ids":[{"data_source":101,"id":"p"}]}
        {"time":"2016-11-23T12:00:00Z","do":"delete","uuid":"DEVICE"}
        {"time":"2016-11-24T12:00:00Z","uuid":"2","ids":[{"data_source":101,"id":"q"}]}
        {"time":"2016-11-25T12:00:00Z","ids":[{"data_source":101,"id":"p"},{"data_source":101,"id":"q"}]}
    "#;
    check_same(yaml, lines, "2016-11-26T00:00:00Z");
}

/// An id that was linked to several devices leads to the one before when the newest is deleted.
#[test]
fn an_id_leads_to_the_device_before_the_deleted_one() {
    let yaml = "data_sources:\n  - { id: 101, name: a, kind: cookie }\n";
    let lines = r#"
        {"time":"2016-11-22T12:00:00Z","uuid":"1","ids":[{"data_source":101,"id":"p"}]}
        {"time":"2016-11-22T13:00:00Z","uuid":"2","ids":[{"data_source":101,"id":"p"}]}
        {"time":"2016-11-22T14:00:00Z","uuid":"3","ids":[{"data_source":101,"id":"p"}]}
        {"time":"2016-11-23T12:00:00Z","do":"delete","uuid":"3"}
        {"time":"2016-11-24T12:00:00Z","ids":[{"data_source":101,"id":"p"}]}
        {"time":"2016-11-24T13:00:00Z","do":"delete","uuid":"2"}
        {"time":"2016-11-25T12:00:00Z","ids":[{"data_source":101,"id":"p"}]}
        {"time":"2016-11-25T13:00:00Z","do":"delete","uuid":"1"}
        {"time":"2016-11-25T14:00:00Z","ids":[{"data_source":101,"id":"p"}]}
    "#;
    check_same(yaml, lines, "2016-11-26T00:00:00Z");
}

/// The days of realisations that no rule looked back over were not kept, so a rule that began to do so
/// took them for infinitely old.
#[test]
fn a_new_window_looks_back_over_30_days() {
    let yaml = |rule: &str| {
        format!(
            r#"
traits:
  - {{ id: 1, name: t, ttl_days: 0 }}
segments:
  - {{ id: 100, name: s, rule: "{rule}" }}
destinations:
  - {{ id: 11, name: d, client_id: c, url: https://a.example/, mappings: [ {{ segment: 100 }} ] }}
"#
        )
    };
    let lines = r#"
        {"time":"2016-10-22T12:00:00Z","uuid":"DEVICE","traits":[1]}
        {"time":"2016-10-23T12:00:00Z","uuid":"DEVICE","traits":[1]}
        {"time":"2016-11-22T12:00:00Z","uuid":"DEVICE","traits":[1]}
    "#;
    let before = yaml("frequency([1T]) >= 9");
    let mut case = case(FEATURES, &before, lines, "2016-11-24T00:00:00Z");
    case.happenings.push(Happening {
        at: at("2016-11-22T13:00:00Z"),
        what: What::Catalog(version(&yaml("frequency([1T] <= 30D) == 2"))),
    });
    assert_eq!(difference(&case), None);
    let messages = messages(&case);
    let times: Vec<_> = messages.iter().map(|one| one.time).collect();
    assert_eq!(
        times,
        [at("2016-11-22T13:00:01Z"), at("2016-11-23T00:00:01Z")]
    );
}

/// A zero was forgotten if its mapping was not at work at the moment the device left.
#[test]
fn a_zero_between_two_stretches_of_a_mapping_stays_owed() {
    let yaml = r"
traits:
  - { id: 1, name: t, ttl_days: 0 }
  - { id: 2, name: u, ttl_days: 0 }
segments:
  - { id: 100, name: s, rule: 1T }
  - { id: 200, name: s, rule: 2T }
destinations:
  - { id: 11, name: d, client_id: c, url: https://a.example/, mappings: [
      { segment: 100, end: 2016-11-23 }, { segment: 100, start: 2016-11-24 }, { segment: 200 } ] }
";
    let lines = r#"
        {"time":"2016-11-22T12:00:00Z","uuid":"DEVICE","traits":[1]}
        {"time":"2016-11-23T12:00:00Z","uuid":"DEVICE","remove_traits":[1]}
        {"time":"2016-11-24T12:00:00Z","uuid":"DEVICE"}
    "#;
    let until = "2016-11-26T00:00:00Z";
    check_same(yaml, lines, until);
    let messages = messages(&case(FEATURES, yaml, lines, until));
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1].time, at("2016-11-24T12:00:01Z"));
    assert_eq!(messages[1].users[0].segments[0].status, 0);
}

/// The ids of a device in no segment led to it after 120 days.
#[test]
fn forgotten_devices_are_not_found_by_their_ids() {
    let yaml = "data_sources:\n  - { id: 101, name: a, kind: cookie }\n";
    let lines = r#"
        {"time":"2016-09-20T00:00:01Z","uuid":"1","ids":[{"data_source":101,"id":"v"}]}
        {"time":"2017-01-18T18:19:25Z","uuid":"2","ids":[{"data_source":101,"id":"u"}]}
        {"time":"2017-01-22T18:19:26Z","ids":[{"data_source":101,"id":"v"},{"data_source":101,"id":"u"}]}
    "#;
    check_same(yaml, lines, "2017-01-23T00:00:00Z");
}

/// A mapping's dates that began while a zero was on its way were forgotten once that was told, unless
/// something else had the device looked at in between.
#[test]
fn dates_that_begin_while_a_zero_is_on_its_way_are_a_mapping_update() {
    let yaml = r"
traits:
  - { id: 1, name: t, ttl_days: 0 }
  - { id: 2, name: u, ttl_days: 0 }
segments:
  - { id: 100, name: s, rule: 1T }
  - { id: 200, name: s, rule: 2T }
destinations:
  - { id: 11, name: d, client_id: c, url: https://a.example/, mappings: [
      { segment: 100, end: 2016-10-13 }, { segment: 100, start: 2016-10-14 }, { segment: 200 } ] }
";
    let lines = r#"
        {"time":"2016-10-09T03:28:10Z","uuid":"DEVICE","traits":[1]}
        {"time":"2016-10-13T23:59:59Z","uuid":"DEVICE","traits":[2],"remove_traits":[1]}
        {"time":"2016-10-16T00:00:03Z","uuid":"DEVICE"}
        {"time":"2016-10-16T12:00:00Z","uuid":"DEVICE"}
    "#;
    let until = "2016-10-17T00:00:00Z";
    check_same(yaml, lines, until);
    let messages = messages(&case(FEATURES, yaml, lines, until));
    let times: Vec<_> = messages.iter().map(|one| one.time).collect();
    let expected = [
        "2016-10-09T03:28:11Z",
        "2016-10-14T00:00:00Z",
        "2016-10-16T00:00:04Z",
    ];
    assert_eq!(times, expected.map(at));
}

/// A batch told an older id that a text is 0 which stands for another segment as well, one that the
/// device is still in: what was left had a text of its own besides.
#[test]
fn a_batch_tells_an_older_id_no_zero_of_a_text_that_is_still_1() {
    let yaml = r#"
data_sources:
  - { id: 101, name: a, kind: cookie }
traits:
  - { id: 1, name: t, ttl_days: 0 }
  - { id: 2, name: u, ttl_days: 2 }
segments:
  - { id: 100, name: s, rule: 1T }
  - { id: 200, name: s, rule: 2T }
destinations:
  - { id: 11, name: d, client_id: c, url: https://a.example/, id_data_sources: [101],
      batch: { every: 24h, at: "02:00" },
      mappings: [ { segment: 100 }, { segment: 200 }, { segment: 200, value: "100" } ] }
"#;
    let lines = r#"
        {"time":"2016-11-09T12:00:00Z","uuid":"DEVICE","ids":[{"data_source":101,"id":"older"}]}
        {"time":"2016-11-11T12:00:00Z","uuid":"DEVICE","ids":[{"data_source":101,"id":"newer"}]}
        {"time":"2016-11-12T12:00:00Z","uuid":"DEVICE","traits":[1,2]}
    "#;
    let until = "2016-11-16T00:00:00Z";
    check_same(yaml, lines, until);
    let messages = messages(&case(FEATURES, yaml, lines, until));
    let last = messages.last().unwrap();
    assert_eq!(last.time, at("2016-11-15T02:00:00Z"));
    let users = last.users.iter().map(|user| {
        let states = user.segments.iter();
        let states: Vec<_> = states.map(|one| (one.id.as_str(), one.status)).collect();
        (user.id.as_str(), states)
    });
    let expected = [
        ("newer", vec![("100", 1), ("200", 0)]),
        ("older", vec![("200", 0)]),
    ];
    assert_eq!(users.collect::<Vec<_>>(), expected);
}

/// Under the blank id the partner knew of nothing that was still true, but it went on being told
/// zeros under it because the next batch had something to tell.
#[test]
fn an_id_that_is_gone_is_forgotten_whatever_waits_for_the_batch() {
    let yaml = r#"
data_sources:
  - { id: 101, name: a, kind: cookie }
traits:
  - { id: 1, name: t, ttl_days: 0 }
  - { id: 2, name: u, ttl_days: 0 }
segments:
  - { id: 100, name: s, rule: 1T }
  - { id: 200, name: s, rule: 2T }
destinations:
  - { id: 11, name: d, client_id: c, url: https://a.example/, id_data_sources: [101],
      unsynced: blank, batch: { every: 24h, at: "02:00" },
      mappings: [ { segment: 100 }, { segment: 200, start: 2016-09-18 } ] }
"#;
    let lines = r#"
        {"time":"2016-09-16T12:00:00Z","uuid":"DEVICE","traits":[1,2]}
        {"time":"2016-09-16T13:00:00Z","uuid":"DEVICE","remove_traits":[1]}
        {"time":"2016-09-16T14:00:00Z","uuid":"DEVICE","ids":[{"data_source":101,"id":"w"}]}
        {"time":"2016-09-18T12:00:00Z","uuid":"DEVICE"}
        {"time":"2016-09-18T13:00:00Z","uuid":"DEVICE","remove_traits":[2]}
    "#;
    let until = "2016-09-19T00:00:00Z";
    check_same(yaml, lines, until);
    let messages = messages(&case(FEATURES, yaml, lines, until));
    let ids = messages.iter().flat_map(|message| &message.users);
    let ids: Vec<_> = ids.map(|user| user.id.as_str()).collect();
    // 100 under the blank id; 200 in the batch, when its mapping is at work, and when it is left.
    assert_eq!(ids, ["", "", "w", "w", "w"]);
}

/// An id that is gone was forgotten with the next message only, if a partner knew of nothing that was
/// still true because the segment had been deleted.
#[test]
fn an_id_that_is_gone_is_forgotten_with_a_deleted_segment() {
    let yaml = |segment: u32, id: u32| {
        format!(
            "
data_sources:
  - {{ id: 101, name: a, kind: cookie }}
traits:
  - {{ id: 1, name: t, ttl_days: 0 }}
  - {{ id: 2, name: u, ttl_days: 0 }}
segments:
  - {{ id: {segment}, name: s, rule: {id}T }}
destinations:
  - {{ id: 11, name: d, client_id: c, url: https://a.example/, id_data_sources: [101],
      unsynced: blank, mappings: [ {{ segment: {segment} }} ] }}
"
        )
    };
    let lines = r#"
        {"time":"2016-07-13T12:00:00Z","uuid":"DEVICE","traits":[1]}
        {"time":"2016-07-23T12:00:00Z","uuid":"DEVICE","traits":[2],"ids":[{"data_source":101,"id":"w"}]}
        {"time":"2016-07-24T12:00:00Z","uuid":"DEVICE","remove_traits":[2]}
    "#;
    let mut case = case(FEATURES, &yaml(100, 1), lines, "2016-07-25T00:00:00Z");
    let deleted = Happening {
        at: at("2016-07-19T12:00:00Z"),
        what: What::Catalog(version(&yaml(200, 2))),
    };
    case.happenings.insert(1, deleted);
    assert_eq!(difference(&case), None);
    let messages = messages(&case);
    let ids = messages.iter().flat_map(|message| &message.users);
    let ids: Vec<_> = ids.map(|user| user.id.as_str()).collect();
    assert_eq!(ids, ["", "w", "w"]);
}

/// Once the links of a device had gone, its batch told the blank id a zero, under which the partner had
/// never heard of it.
#[test]
fn a_batch_tells_no_zero_under_a_blank_id_that_was_never_told() {
    let yaml = r#"
data_sources:
  - { id: 101, name: a, kind: cookie }
traits:
  - { id: 1, name: t, ttl_days: 0 }
segments:
  - { id: 100, name: s, rule: 1T }
destinations:
  - { id: 11, name: d, client_id: c, url: https://a.example/, id_data_sources: [101],
      max_linger: 60s, unsynced: blank, batch: { every: 24h, at: "02:00" },
      mappings: [ { segment: 100 } ] }
"#;
    let lines = r#"
        {"time":"2016-05-20T00:00:00Z","uuid":"DEVICE","traits":[1],"ids":[{"data_source":101,"id":"v"}]}
        {"time":"2016-05-20T12:00:00Z","uuid":"DEVICE","do":"delete"}
        {"time":"2016-05-20T12:00:01Z","uuid":"DEVICE","do":"opt_out"}
    "#;
    let until = "2016-05-22T00:00:00Z";
    check_same(yaml, lines, until);
    let messages = messages(&case(FEATURES, yaml, lines, until));
    let ids = messages.iter().flat_map(|message| &message.users);
    let ids: Vec<_> = ids.map(|user| user.id.as_str()).collect();
    assert_eq!(ids, ["v"; 4]);
}

/// A device that had come back without an id and opted out before anything was sent was told a zero under
/// the blank id as well, which nobody is linked to and which had got no 1.
#[test]
fn a_blank_id_that_was_about_to_be_told_is_owed_nothing() {
    let yaml = r"
data_sources:
  - { id: 101, name: a, kind: cookie }
traits:
  - { id: 1, name: t, ttl_days: 0 }
segments:
  - { id: 100, name: s, rule: 1T }
destinations:
  - { id: 11, name: d, client_id: c, url: https://a.example/, id_data_sources: [101],
      max_linger: 60s, unsynced: blank, unsegment: batch, mappings: [ { segment: 100 } ] }
";
    let lines = r#"
        {"time":"2016-05-10T12:00:00Z","uuid":"DEVICE","traits":[1],"ids":[{"data_source":101,"id":"w"}]}
        {"time":"2016-09-12T12:00:00Z","uuid":"DEVICE","traits":[1]}
        {"time":"2016-09-12T12:00:08Z","uuid":"DEVICE","do":"opt_out"}
    "#;
    let until = "2016-09-13T00:00:00Z";
    check_same(yaml, lines, until);
    let messages = messages(&case(FEATURES, yaml, lines, until));
    let told = messages.iter().flat_map(|message| &message.users);
    let told: Vec<_> = told
        .map(|user| (user.id.as_str(), user.segments[0].status))
        .collect();
    assert_eq!(told, [("w", 1), ("w", 0)]);
}

/// A device in no segment has no timer for its 120 days, so a batch after them still said where it had
/// been seen.
#[test]
fn a_batch_says_nothing_of_the_regions_of_a_forgotten_device() {
    let yaml = |days: u32| {
        format!(
            r#"
traits:
  - {{ id: 1, name: t, ttl_days: {days} }}
segments:
  - {{ id: 100, name: s, rule: 1T }}
destinations:
  - {{ id: 11, name: d, client_id: c, url: https://a.example/, unsegment: batch,
      batch: {{ every: 24h, at: "00:01" }}, mappings: [ {{ segment: 100 }} ] }}
"#
        )
    };
    let lines = r#"
        {"time":"2016-01-20T12:00:00Z","uuid":"DEVICE","traits":[1],"region":6}
    "#;
    let mut case = case(FEATURES, &yaml(0), lines, "2016-05-21T00:00:00Z");
    case.happenings.push(Happening {
        at: at("2016-05-19T23:59:58Z"),
        what: What::Catalog(version(&yaml(2))),
    });
    assert_eq!(difference(&case), None);
    let messages = messages(&case);
    let last = messages.last().unwrap();
    assert_eq!(last.time, at("2016-05-20T00:01:00Z"));
    assert_eq!(last.users[0].segments[0].status, 0);
    assert!(last.users[0].regions.is_empty());
    assert!(!messages[0].users[0].regions.is_empty());
}

/// To the oracle nothing waited for a destination that is paused, so that nothing left when it was put back
/// to work: what there is to tell is kept, and has waited long enough.
#[test]
fn what_waited_for_a_paused_destination_leaves_when_the_pause_ends() {
    let yaml = |status: &str| {
        format!(
            "
traits:
  - {{ id: 1, name: t, ttl_days: 0 }}
segments:
  - {{ id: 100, name: s, rule: 1T }}
destinations:
  - {{ id: 11, name: d, client_id: c, url: https://a.example/, max_linger: 60s, status: {status},
      mappings: [ {{ segment: 100 }} ] }}
"
        )
    };
    let lines = r#"
        {"time":"2016-07-24T12:00:00Z","uuid":"1","traits":[1]}
        {"time":"2016-08-04T11:59:59Z","uuid":"2","traits":[1]}
    "#;
    let mut case = case(FEATURES, &yaml("paused"), lines, "2016-08-05T00:00:00Z");
    case.happenings.push(Happening {
        at: at("2016-08-04T12:00:00Z"),
        what: What::Catalog(version(&yaml("active"))),
    });
    assert_eq!(difference(&case), None);
    let messages = messages(&case);
    let told: Vec<_> = messages
        .iter()
        .map(|one| (one.time, one.users.len()))
        .collect();
    assert_eq!(told, [(at("2016-08-04T12:00:00Z"), 2)]);
}

/// A process that begins again takes what waits as told, also to a destination that is paused. So a zero is
/// owed to it, and a mapping's dates that begin are a mapping update, which the other destination is told
/// of.
#[test]
fn what_waits_for_a_paused_destination_at_a_restart_is_taken_as_told() {
    let yaml = r"
traits:
  - { id: 1, name: t, ttl_days: 0 }
  - { id: 2, name: u, ttl_days: 0 }
segments:
  - { id: 100, name: s, rule: 1T }
  - { id: 200, name: s, rule: 2T }
destinations:
  - { id: 11, name: d, client_id: c, url: https://a.example/, status: paused, mappings: [
      { segment: 100, end: 2016-07-25 }, { segment: 100, start: 2016-07-28 } ] }
  - { id: 12, name: d, client_id: c, url: https://b.example/, mappings: [ { segment: 200 } ] }
";
    let lines = r#"
        {"time":"2016-07-24T12:00:00Z","uuid":"DEVICE","traits":[1,2]}
        {"time":"2016-07-24T14:00:00Z","uuid":"DEVICE"}
        {"time":"2016-07-27T12:00:00Z","uuid":"DEVICE","remove_traits":[1]}
        {"time":"2016-07-28T12:00:00Z","uuid":"DEVICE"}
    "#;
    let mut case = case(FEATURES, yaml, lines, "2016-07-29T00:00:00Z");
    let restart = Happening {
        at: at("2016-07-24T13:00:00Z"),
        what: What::Restart,
    };
    case.happenings.insert(1, restart);
    assert_eq!(difference(&case), None);
    let messages = messages(&case);
    let times: Vec<_> = messages.iter().map(|one| one.time).collect();
    let expected = [
        "2016-07-24T12:00:01Z",
        "2016-07-27T12:00:01Z",
        "2016-07-28T12:00:01Z",
    ];
    assert_eq!(times, expected.map(at));
}

/// What a process that had ended may have told was worked out when the device was touched next, by what
/// was told then: a mapping that had ended meanwhile left no zero to tell when its days began again.
#[test]
fn what_may_have_been_told_before_a_restart_outlives_the_mapping() {
    let yaml = |status: &str| {
        format!(
            "
traits:
  - {{ id: 1, name: t, ttl_days: 0 }}
segments:
  - {{ id: 100, name: s, rule: 1T }}
destinations:
  - {{ id: 11, name: d, client_id: c, url: https://a.example/, status: {status}, mappings: [
      {{ segment: 100, end: 2016-07-25 }}, {{ segment: 100, start: 2016-07-28 }} ] }}
"
        )
    };
    let lines = r#"
        {"time":"2016-07-24T12:00:00Z","uuid":"DEVICE","traits":[1]}
        {"time":"2016-07-26T12:00:00Z","uuid":"DEVICE","remove_traits":[1]}
        {"time":"2016-07-28T12:00:00Z","uuid":"DEVICE"}
    "#;
    for resumed in ["2016-07-25T12:00:00Z", "2016-07-27T12:00:00Z"] {
        let mut case = case(FEATURES, &yaml("paused"), lines, "2016-07-29T00:00:00Z");
        let restart = Happening {
            at: at("2016-07-24T13:00:00Z"),
            what: What::Restart,
        };
        let resumed = Happening {
            at: at(resumed),
            what: What::Catalog(version(&yaml("active"))),
        };
        case.happenings.extend([restart, resumed]);
        case.happenings.sort_by_key(|happening| happening.at);
        assert_eq!(difference(&case), None);
        let messages = messages(&case);
        let segments = messages.iter().flat_map(|message| &message.users);
        let segments = segments.flat_map(|user| &user.segments);
        let told: Vec<_> = segments.map(|one| one.status).collect();
        assert_eq!(
            (told, messages[0].time),
            (vec![0], at("2016-07-28T12:00:01Z"))
        );
    }
}

/// What a process that had ended may have told was worked out by the catalog in use when the device was
/// touched next: a mapping that was gone by then, whenever it went, left no zero to tell when it came back.
#[test]
fn what_may_have_been_told_before_a_restart_outlives_a_mapping_that_is_removed() {
    let yaml = |status: &str, mappings: &str| {
        format!(
            "
traits:
  - {{ id: 1, name: t, ttl_days: 0 }}
segments:
  - {{ id: 100, name: s, rule: 1T }}
destinations:
  - {{ id: 11, name: d, client_id: c, url: https://a.example/, status: {status},
      mappings: [ {mappings} ] }}
"
        )
    };
    let mapped = "{ segment: 100 }";
    let lines = r#"
        {"time":"2016-07-24T12:00:00Z","uuid":"DEVICE","traits":[1]}
        {"time":"2016-07-26T12:00:00Z","uuid":"DEVICE","remove_traits":[1]}
        {"time":"2016-07-28T12:00:00Z","uuid":"DEVICE"}
    "#;
    let unmapped = || version(&yaml("paused", ""));
    let (before, at_once, after) = (
        "2016-07-24T12:30:00Z",
        "2016-07-24T13:00:00Z",
        "2016-07-24T13:30:00Z",
    );
    for removed in [
        vec![(at_once, What::Restart), (after, What::Catalog(unmapped()))],
        vec![(at_once, What::RestartWith(unmapped()))],
        vec![
            (before, What::Catalog(unmapped())),
            (at_once, What::Restart),
        ],
        vec![
            (at_once, What::Restart),
            (at_once, What::Catalog(unmapped())),
            (after, What::Restart),
        ],
    ] {
        let mut case = case(
            FEATURES,
            &yaml("paused", mapped),
            lines,
            "2016-07-29T00:00:00Z",
        );
        let removed = removed
            .into_iter()
            .map(|(time, what)| Happening { at: at(time), what });
        case.happenings.extend(removed);
        case.happenings.push(Happening {
            at: at("2016-07-27T12:00:00Z"),
            what: What::Catalog(version(&yaml("active", mapped))),
        });
        case.happenings.sort_by_key(|happening| happening.at);
        assert_eq!(difference(&case), None);
        let messages = messages(&case);
        let segments = messages.iter().flat_map(|message| &message.users);
        let segments = segments.flat_map(|user| &user.segments);
        let told: Vec<_> = segments.map(|one| one.status).collect();
        assert_eq!(told, [0]);
    }
}

/// What a mapping told before a restart was worked out by the time until which it was in use after that, too:
/// one that began later was taken as told.
#[test]
fn a_mapping_that_begins_after_a_restart_was_not_told_before_it() {
    let yaml = |status: &str, rule: &str, mapping: &str| {
        format!(
            "
traits:
  - {{ id: 1, name: t, ttl_days: 0 }}
  - {{ id: 2, name: u, ttl_days: 0 }}
segments:
  - {{ id: 100, name: s, rule: 1T }}
  - {{ id: 200, name: s, rule: {rule} }}
destinations:
  - {{ id: 11, name: d, client_id: c, url: https://a.example/, status: {status}, mappings: [
      {{ segment: 100 }}, {{ segment: 200{mapping} }} ] }}
"
        )
    };
    let lines = r#"
        {"time":"2016-12-18T07:00:00Z","uuid":"DEVICE","traits":[1]}
    "#;
    let first = yaml("paused", "1T", ", start: 2016-12-19");
    let mut case = case(FEATURES, &first, lines, "2016-12-21T00:00:00Z");
    let then = yaml("active", "2T", "");
    for (time, what) in [
        ("2016-12-18T19:00:00Z", What::Restart),
        ("2016-12-20T19:00:00Z", What::Catalog(version(&then))),
    ] {
        case.happenings.push(Happening { at: at(time), what });
    }
    assert_eq!(difference(&case), None);
    let messages = messages(&case);
    let segments = messages.iter().flat_map(|message| &message.users);
    let segments = segments.flat_map(|user| &user.segments);
    let told: Vec<_> = segments.map(|one| (one.id.as_str(), one.status)).collect();
    assert_eq!(told, [("100", 1)]);
}

/// A device that was unseen for 120 days had its ids taken for told at the first sighting after a restart,
/// although it was in nothing that they can have been told: once it had left again, the one that had run out
/// was told the zero.
#[test]
fn an_id_that_ran_out_before_a_restart_is_not_told_what_comes_after() {
    let yaml = |status: &str, days: u32| {
        format!(
            "
data_sources:
  - {{ id: 103, name: a, kind: cookie }}
traits:
  - {{ id: 3, name: t, ttl_days: {days} }}
segments:
  - {{ id: 300, name: s, rule: 3T }}
destinations:
  - {{ id: 11, name: d, client_id: c, url: https://a.example/, id_data_sources: [103], status: {status},
      mappings: [ {{ segment: 300 }} ] }}
"
        )
    };
    let lines = r#"
        {"time":"2016-08-26T23:59:59Z","uuid":"DEVICE","traits":[3],"ids":[{"data_source":103,"id":"w"}]}
        {"time":"2016-12-29T18:46:57Z","uuid":"DEVICE","traits":[3]}
    "#;
    let mut case = case(FEATURES, &yaml("paused", 1), lines, "2017-01-01T00:01:31Z");
    for (time, what) in [
        ("2016-12-25T18:46:57Z", What::Restart),
        ("2016-12-29T18:47:07Z", What::Restart),
        (
            "2017-01-01T00:01:31Z",
            What::Catalog(version(&yaml("active", 0))),
        ),
    ] {
        case.happenings.push(Happening { at: at(time), what });
    }
    case.happenings.sort_by_key(|happening| happening.at);
    assert_eq!(difference(&case), None);
    assert_eq!(messages(&case), []);
}

/// An id was declared again by the device that it led to, which is written once a day; then an event came late
/// that another device had declared it in between, and it led to that one.
#[test]
fn a_late_link_is_older_than_one_that_was_made_again() {
    let yaml = "data_sources: [ { id: 102, name: a, kind: cookie } ]";
    let lines = r#"
        {"time":"2016-04-03T00:00:57Z","uuid":"DEVICE","ids":[{"data_source":102,"id":"y"}]}
        {"time":"2016-04-03T23:59:58Z","uuid":"DEVICE","ids":[{"data_source":102,"id":"y"}]}
        {"time":"2016-04-03T10:31:27Z","uuid":"7","ids":[{"data_source":102,"id":"y"}]}
        {"time":"2016-04-07T23:59:59Z","ids":[{"data_source":102,"id":"y"}]}
    "#;
    let mut case = case(FEATURES, yaml, lines, "2016-04-08T00:00:00Z");
    case.happenings[2].at = at("2016-04-04T01:11:54Z");
    if let Some(difference) = difference(&case) {
        panic!("{}", report(0, &case, &difference));
    }
}

/// A pair waited in one namespace; at the restart its device was known under no id, so it got the blank one of
/// the other namespace, and that was taken for told although nothing can have been on its way there.
#[test]
fn an_id_of_a_namespace_in_which_nothing_waited_is_not_told() {
    let yaml = |unsegment: &str, status: &str, rule: &str| {
        format!(
            "
data_sources:
  - {{ id: 101, name: a, kind: cookie }}
  - {{ id: 102, name: b, kind: cookie }}
traits:
  - {{ id: 1, name: t, ttl_days: 0 }}
  - {{ id: 2, name: u, ttl_days: 0 }}
  - {{ id: 3, name: v, ttl_days: 0 }}
segments:
  - {{ id: 300, name: s, rule: '{rule}' }}
destinations:
  - {{ id: 11, name: d, client_id: c, url: https://a.example/, id_data_sources: [101, 102],
      unsynced: blank, unsegment: {unsegment}, status: {status}, mappings: [ {{ segment: 300 }} ] }}
"
        )
    };
    let first = yaml(
        "when_seen",
        "paused",
        "3T OR 2T AND FREQUENCY([1T] >= 1D) >= 1",
    );
    let lines = r#"
        {"time":"2016-03-14T23:58:52Z","uuid":"DEVICE","ids":[{"data_source":102,"id":"w"}]}
        {"time":"2016-03-16T23:58:54Z","uuid":"DEVICE","traits":[3]}
        {"time":"2016-07-16T19:39:22Z","uuid":"DEVICE","traits":[2,1]}
        {"time":"2016-07-17T19:39:24Z","uuid":"DEVICE","remove_traits":[1]}
    "#;
    let mut case = case(FEATURES, &first, lines, "2016-07-17T19:40:25Z");
    let then = yaml("immediate", "active", "1T");
    for (time, what) in [
        ("2016-07-17T07:39:24Z", What::Restart),
        ("2016-07-17T19:39:24Z", What::Catalog(version(&then))),
    ] {
        case.happenings.push(Happening { at: at(time), what });
    }
    case.happenings.sort_by_key(|happening| happening.at);
    assert_eq!(difference(&case), None);
    assert_eq!(messages(&case), []);
}
