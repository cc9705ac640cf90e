//! `tidings simulate`: the messages that events lead to, as they would go over the wire.

use crate::support::program::{Files, tidings_in};
use insta::assert_snapshot;
use serde_json::Value;
use std::fmt::Write as _;

/// Runs a simulation, which must succeed, and gives its standard output.
#[track_caller]
pub(crate) fn simulate(catalog: &str, events: &str) -> String {
    simulate_until(catalog, events, "")
}

/// Likewise with further arguments.
#[track_caller]
fn simulate_until(catalog: &str, events: &str, args: &str) -> String {
    let files = Files::new(&[("catalog.yaml", catalog), ("events.ndjson", events)]);
    let line = format!("simulate --catalog catalog.yaml --events events.ndjson {args}");
    let ended = tidings_in(files.path(), &line);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{ended:?}");
    ended.stdout
}

/// The lines of a simulation as JSON.
pub(crate) fn messages(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A line per user object, `16:17:23 423/12345 id 101=1 102=0`, for what does not need the bytes.
pub(crate) fn brief(stdout: &str) -> String {
    let mut text = String::new();
    for message in messages(stdout) {
        let body = &message["body"];
        let time = message["time"].as_str().unwrap();
        let clock = time.split_at(11).1.trim_end_matches('Z');
        let namespace = body["User_DPID"].as_str().unwrap_or("-");
        for user in body["Users"].as_array().unwrap() {
            let id = user["DataPartner_UUID"].as_str().unwrap();
            let destination = &message["destination"];
            write!(text, "{clock} {destination}/{namespace} {id:?}").unwrap();
            for segment in user["Segments"].as_array().unwrap() {
                let (id, status) = (&segment["Segment_ID"], &segment["Status"]);
                let (id, status) = (id.as_str().unwrap(), status.as_str().unwrap());
                write!(text, " {id}={status}").unwrap();
            }
            text.push('\n');
        }
    }
    text
}

/// A catalog of one destination with these settings beside the usual ones.
pub(crate) fn one_destination(settings: &str) -> String {
    format!(
        r#"data_sources:
  - {{ id: 501, name: Cookies, kind: cookie }}
  - {{ id: 502, name: Other cookies, kind: cookie }}
traits: [{{ id: 1, name: A }}, {{ id: 2, name: B }}, {{ id: 3, name: C }}]
segments:
  - {{ id: 101, name: A, rule: '1T' }}
  - {{ id: 102, name: B, rule: '2T' }}
  - {{ id: 103, name: C, rule: '3T' }}
destinations:
  - id: 423
    name: DSP
    client_id: "74323"
    url: https://dsp.example/segments
{settings}
"#
    )
}

pub(crate) const USUAL: &str = "    id_data_sources: [501]
    mappings: [{ segment: 101 }, { segment: 102 }]";

/// Events from lines of `seconds after 10:00:00 | device | members of the event`.
fn events(lines: &str) -> String {
    let mut text = String::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let mut parts = line.splitn(3, '|').map(str::trim);
        let mut part = || parts.next().unwrap();
        let (second, device, members) = (part(), part(), part());
        let time = format!("2016-07-27T10:00:{second:0>2}Z");
        writeln!(text, r#"{{"time":"{time}","uuid":"{device}",{members}}}"#).unwrap();
    }
    text
}

#[track_caller]
fn check(settings: &str, lines: &str, expected: &str) {
    let shown = brief(&simulate(&one_destination(settings), &events(lines)));
    let expected: Vec<_> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "{lines}");
}

#[test]
fn gives_the_same_bytes_every_time() {
    // Devices without an id get new ones, which must be the same ones every time.
    let mut lines = String::new();
    for n in 0..300 {
        let (second, device, trait_) = (n / 20, n % 37, n % 3 + 1);
        let verb = if n % 5 == 0 {
            "remove_traits"
        } else {
            "traits"
        };
        writeln!(
            lines,
            r#"{{"time":"2016-07-27T10:00:{second:02}Z","{verb}":[{trait_}],"ids":[{{"data_source":501,"id":"p{device}"}}]}}"#
        )
        .unwrap();
    }
    let catalog = one_destination(USUAL);
    let first = simulate(&catalog, &lines);
    assert!(first.lines().count() > 10, "{first}");
    assert_eq!(first, simulate(&catalog, &lines));
}

#[test]
fn writes_bodies_as_they_go_over_the_wire() {
    let settings = "    id_data_sources: [501]
    mappings: [{ segment: 101 }, { segment: 102, value: buyers }, { segment: 103, value: '77' }]";
    let lines = r#"0 | 07955261652886032950143702505894272138 | "traits":[1,2,3],"region":6,"ids":[{"data_source":501,"id":"a|b\"é"}]
                   9 | 07955261652886032950143702505894272138 | "remove_traits":[1],"region":9"#;
    assert_snapshot!(simulate(&one_destination(settings), &events(lines)), @r#"
    {"time":"2016-07-27T10:00:01Z","destination":423,"kind":"realtime","body":{"ProcessTime":"Wed Jul 27 10:00:01 UTC 2016","User_DPID":"501","Client_ID":"74323","AAM_Destination_Id":"423","User_count":"1","Users":[{"AAM_UUID":"07955261652886032950143702505894272138","DataPartner_UUID":"a|b\"é","AAM_Regions":["6"],"Segments":[{"Segment_ID":"101","Status":"1","DateTime":"Wed Jul 27 10:00:00 UTC 2016"},{"Segment_ID":"buyers","Status":"1","DateTime":"Wed Jul 27 10:00:00 UTC 2016"},{"Segment_ID":"77","Status":"1","DateTime":"Wed Jul 27 10:00:00 UTC 2016"}]}]}}
    {"time":"2016-07-27T10:00:10Z","destination":423,"kind":"realtime","body":{"ProcessTime":"Wed Jul 27 10:00:10 UTC 2016","User_DPID":"501","Client_ID":"74323","AAM_Destination_Id":"423","User_count":"1","Users":[{"AAM_UUID":"07955261652886032950143702505894272138","DataPartner_UUID":"a|b\"é","AAM_Regions":["9","6"],"Segments":[{"Segment_ID":"buyers","Status":"1","DateTime":"Wed Jul 27 10:00:09 UTC 2016"},{"Segment_ID":"77","Status":"1","DateTime":"Wed Jul 27 10:00:09 UTC 2016"},{"Segment_ID":"101","Status":"0","DateTime":"Wed Jul 27 10:00:09 UTC 2016"}]}]}}
    "#);
    let integers = format!(
        "{settings}\n    wire: {{ numbers: integer, destination_key: AAM_Destination_ID, \
         destination_id: '9001', user_dpid: false, regions: false }}"
    );
    assert_snapshot!(simulate(&one_destination(&integers), &events(lines)), @r#"
    {"time":"2016-07-27T10:00:01Z","destination":423,"kind":"realtime","body":{"ProcessTime":"Wed Jul 27 10:00:01 UTC 2016","Client_ID":"74323","AAM_Destination_ID":9001,"User_count":1,"Users":[{"AAM_UUID":"07955261652886032950143702505894272138","DataPartner_UUID":"a|b\"é","Segments":[{"Segment_ID":101,"Status":1,"DateTime":"Wed Jul 27 10:00:00 UTC 2016"},{"Segment_ID":"buyers","Status":1,"DateTime":"Wed Jul 27 10:00:00 UTC 2016"},{"Segment_ID":"77","Status":1,"DateTime":"Wed Jul 27 10:00:00 UTC 2016"}]}]}}
    {"time":"2016-07-27T10:00:10Z","destination":423,"kind":"realtime","body":{"ProcessTime":"Wed Jul 27 10:00:10 UTC 2016","Client_ID":"74323","AAM_Destination_ID":9001,"User_count":1,"Users":[{"AAM_UUID":"07955261652886032950143702505894272138","DataPartner_UUID":"a|b\"é","Segments":[{"Segment_ID":"buyers","Status":1,"DateTime":"Wed Jul 27 10:00:09 UTC 2016"},{"Segment_ID":"77","Status":1,"DateTime":"Wed Jul 27 10:00:09 UTC 2016"},{"Segment_ID":101,"Status":0,"DateTime":"Wed Jul 27 10:00:09 UTC 2016"}]}]}}
    "#);
}

#[test]
fn packs_by_number_and_by_linger() {
    let mut lines = String::new();
    for n in 0..25 {
        writeln!(
            lines,
            r#"0 | {n} | "traits":[1],"ids":[{{"data_source":501,"id":"p{n}"}}]"#
        )
        .unwrap();
    }
    let sizes = |settings: &str| {
        let stdout = simulate(&one_destination(settings), &events(&lines));
        let messages = messages(&stdout);
        let one = |message: &Value| {
            let time = message["time"].as_str().unwrap();
            let users = message["body"]["Users"].as_array().unwrap().len();
            assert_eq!(message["body"]["User_count"], users.to_string());
            format!("{time} {users}")
        };
        messages.iter().map(one).collect::<Vec<_>>().join("\n")
    };
    // What is full goes at once, the rest when the first of it has waited long enough.
    assert_snapshot!(sizes(USUAL), @r"
    2016-07-27T10:00:00Z 10
    2016-07-27T10:00:00Z 10
    2016-07-27T10:00:01Z 5
    ");
    let settings = format!("{USUAL}\n    max_users: 7\n    max_linger: 30s");
    assert_snapshot!(sizes(&settings), @r"
    2016-07-27T10:00:00Z 7
    2016-07-27T10:00:00Z 7
    2016-07-27T10:00:00Z 7
    2016-07-27T10:00:30Z 4
    ");
}

#[test]
fn a_linger_begins_with_the_first_user() {
    let settings = format!("{USUAL}\n    max_linger: 10s");
    let lines = r#"0 | 1 | "traits":[1],"ids":[{"data_source":501,"id":"p1"}]
                   6 | 2 | "traits":[1],"ids":[{"data_source":501,"id":"p2"}]
                  12 | 3 | "traits":[1],"ids":[{"data_source":501,"id":"p3"}]"#;
    check(
        &settings,
        lines,
        r#"10:00:10 423/501 "p1" 101=1
           10:00:10 423/501 "p2" 101=1
           10:00:22 423/501 "p3" 101=1"#,
    );
    let until = simulate_until(
        &one_destination(&settings),
        &events(lines),
        "--until 2016-07-27T10:00:21Z",
    );
    assert_eq!(until.lines().count(), 1, "{until}");
}

#[test]
fn a_user_touched_while_it_waits_is_told_once() {
    check(
        &format!("{USUAL}\n    max_linger: 10s"),
        r#"0 | 1 | "traits":[1],"ids":[{"data_source":501,"id":"p1"}]
           5 | 1 | "traits":[2]
           6 | 1 | "remove_traits":[1]"#,
        r#"10:00:10 423/501 "p1" 102=1"#,
    );
}

#[test]
fn keeps_namespaces_apart() {
    check(
        "    id_data_sources: [501, 502]\n    mappings: [{ segment: 101 }]",
        r#"0 | 1 | "traits":[1],"ids":[{"data_source":501,"id":"a1"},{"data_source":502,"id":"b1"}]
           0 | 2 | "traits":[1],"ids":[{"data_source":502,"id":"b2"}]"#,
        r#"10:00:01 423/501 "a1" 101=1
           10:00:01 423/502 "b1" 101=1
           10:00:01 423/502 "b2" 101=1"#,
    );
}

#[test]
fn the_newest_id_is_told_ones_and_every_id_zeros() {
    let lines = r#"0 | 1 | "traits":[1],"ids":[{"data_source":501,"id":"old"}]
                  10 | 1 | "traits":[2],"ids":[{"data_source":501,"id":"new"}]
                  20 | 1 | "remove_traits":[1]"#;
    check(
        USUAL,
        lines,
        r#"10:00:01 423/501 "old" 101=1
           10:00:11 423/501 "new" 101=1 102=1
           10:00:21 423/501 "new" 102=1 101=0
           10:00:21 423/501 "old" 101=0"#,
    );
    check(
        &format!("{USUAL}\n    max_mappings: 0"),
        lines,
        r#"10:00:01 423/501 "old" 101=1
           10:00:11 423/501 "new" 101=1 102=1
           10:00:11 423/501 "old" 101=1 102=1
           10:00:21 423/501 "new" 102=1 101=0
           10:00:21 423/501 "old" 102=1 101=0"#,
    );
}

#[test]
fn an_id_linked_for_the_first_time_is_told_the_state() {
    check(
        USUAL,
        r#"0 | 1 | "traits":[1]
          10 | 1 | "ids":[{"data_source":501,"id":"p1"}]
          20 | 1 | "ids":[{"data_source":501,"id":"p1"}]
          30 | 1 | "ids":[{"data_source":502,"id":"not-of-this-partner"}]"#,
        r#"10:00:11 423/501 "p1" 101=1"#,
    );
}

#[test]
fn what_was_entered_and_left_before_sending_is_not_reported() {
    check(
        &format!("{USUAL}\n    max_linger: 10s"),
        r#"0 | 1 | "traits":[1],"ids":[{"data_source":501,"id":"p1"}]
           5 | 1 | "remove_traits":[1]
          20 | 2 | "traits":[1],"ids":[{"data_source":501,"id":"p2"}]"#,
        r#"10:00:30 423/501 "p2" 101=1"#,
    );
}

#[test]
fn tells_removals_and_returns() {
    check(
        USUAL,
        r#"0 | 1 | "traits":[1],"ids":[{"data_source":501,"id":"p1"}]
          10 | 1 | "remove_traits":[1]
          20 | 1 | "traits":[1]
          30 | 1 | "remove_traits":[1]
          30 | 1 | "traits":[1]
          40 | 1 | "remove_traits":[1],"traits":[1]"#,
        r#"10:00:01 423/501 "p1" 101=1
           10:00:11 423/501 "p1" 101=0
           10:00:21 423/501 "p1" 101=1
           10:00:31 423/501 "p1" 101=1"#,
    );
}

#[test]
fn devices_without_an_id_are_skipped_or_told_blank() {
    let lines = r#"0 | 1 | "traits":[1]
                  10 | 1 | "remove_traits":[1],"traits":[2]"#;
    check(USUAL, lines, "");
    check(
        &format!("{USUAL}\n    unsynced: blank"),
        lines,
        r#"10:00:01 423/501 "" 101=1
           10:00:11 423/501 "" 102=1 101=0"#,
    );
    // A destination without namespaces has nothing else to go by.
    check(
        "    mappings: [{ segment: 101 }, { segment: 102 }]",
        lines,
        r#"10:00:01 423/- "" 101=1
           10:00:11 423/- "" 102=1 101=0"#,
    );
}

#[test]
fn sends_the_values_of_mappings() {
    check(
        "    id_data_sources: [501]
    mappings: [{ segment: 101, value: cart }, { segment: 102, value: shared }, { segment: 103, value: shared }]",
        r#"0 | 1 | "traits":[1,2,3],"ids":[{"data_source":501,"id":"p1"}]
          10 | 1 | "remove_traits":[1,2]
          20 | 1 | "remove_traits":[3]"#,
        r#"10:00:01 423/501 "p1" cart=1 shared=1
           10:00:11 423/501 "p1" shared=1 cart=0
           10:00:21 423/501 "p1" shared=0"#,
    );
}

#[test]
fn mappings_deliver_between_their_dates() {
    // Both ends are midnight UTC: the start is the first day, the end is the day after the last.
    let day = |start: &str, end: &str, expected: &str| {
        check(
            &format!(
                "    id_data_sources: [501]\n    mappings: [{{ segment: 101, start: {start}, end: {end} }}]"
            ),
            r#"0 | 1 | "traits":[1],"ids":[{"data_source":501,"id":"p1"}]
              10 | 1 | "remove_traits":[1]"#,
            expected,
        );
    };
    let both = r#"10:00:01 423/501 "p1" 101=1
                  10:00:11 423/501 "p1" 101=0"#;
    day("2016-07-27", "2016-07-28", both);
    day("2016-07-01", "2016-08-01", both);
    day("2016-07-28", "2016-08-01", "");
    day("2016-07-01", "2016-07-27", "");
}

#[test]
fn paused_segments_and_destinations_send_nothing() {
    let lines = r#"0 | 1 | "traits":[1,2],"ids":[{"data_source":501,"id":"p1"}]"#;
    check(&format!("{USUAL}\n    status: paused"), lines, "");
    let paused = one_destination(USUAL).replace("rule: '1T'", "rule: '1T', status: paused");
    let shown = brief(&simulate(&paused, &events(lines)));
    assert_eq!(shown, "10:00:01 423/501 \"p1\" 102=1\n");
}

#[test]
fn until_ends_a_simulation_whatever_comes_after_it() {
    let settings = format!("{USUAL}\n    max_users: 1");
    let lines = r#"0 | 1 | "traits":[1],"ids":[{"data_source":501,"id":"p1"}]
                  10 | 2 | "traits":[1],"ids":[{"data_source":501,"id":"p2"}]
                  11 | 3 | "traits":[1],"ids":[{"data_source":501,"id":"p3"}]"#;
    let until = |time: &str| {
        let args = format!("--until 2016-07-27T{time}Z");
        brief(&simulate_until(
            &one_destination(&settings),
            &events(lines),
            &args,
        ))
    };
    assert_eq!(
        until("10:00:10"),
        "10:00:00 423/501 \"p1\" 101=1\n10:00:10 423/501 \"p2\" 101=1\n"
    );
    assert_eq!(until("09:59:59"), "");
    assert_eq!(until("10:00:59").lines().count(), 3);
}
