//! Batches in dry runs: what they tell, and when.

use crate::support::catalog;
use serde_json::Value;
use std::{fmt::Write as _, sync::Arc};
use tidings_collect::{Line, Submitted, parse_line};
use tidings_dispatch::Kind;
use tidings_engine::MappingChanges;
use tidings_model::Timestamp;
use tidings_runtime::{
    core::{ActiveCatalog, PrivacyRequest},
    simulate::{SentMessage, Simulation},
};

const CATALOG: &str = r#"
data_sources:
  - { id: 55, name: Cookies, kind: cookie }
traits:
  - { id: 1, name: Cart }
  - { id: 2, name: Visit, ttl_days: 1 }
segments:
  - { id: 10, name: Cart, rule: "1T" }
  - { id: 20, name: Visitors, rule: "2T" }
  - { id: 30, name: Absent, rule: "1T AND NOT 2T" }
destinations:
  - id: 7
    name: Partner
    client_id: "1"
    url: https://partner.example/
    id_data_sources: [55]
    mappings: [{ segment: 10 }, { segment: 20 }, { segment: 30 }]
    batch: { every: 24h, at: "02:00" }
"#;

/// An input line: day of July 2016 and time, then what happens to which device.
fn line(text: &str) -> String {
    let mut words = text.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let (day, time, device, what) = (word(), word(), word(), word());
    let time = format!("2016-07-{day}T{time}:00Z");
    let number = what.get(1..).unwrap_or_default();
    match what.get(..1) {
        Some("+") => format!(
            r#"{{"time":"{time}","uuid":"{device}","ids":[{{"data_source":55,"id":"id{device}"}}],"traits":[{number}]}}"#
        ),
        Some("-") => {
            format!(r#"{{"time":"{time}","uuid":"{device}","remove_traits":[{number}]}}"#)
        }
        _ => format!(r#"{{"time":"{time}","do":"{what}","uuid":"{device}"}}"#),
    }
}

/// `27 16:00:01 batch idA: 10=1 20=0`
fn print(out: &mut Vec<String>, sent: SentMessage<'_>) {
    let body: Value = serde_json::from_slice(sent.body).unwrap();
    let time = sent.time.to_string();
    let kind = match sent.kind {
        Kind::Realtime => "real",
        Kind::Batch => "batch",
    };
    let mut text = format!("{} {} {kind}", &time[8..10], &time[11..19]);
    for user in body["Users"].as_array().unwrap() {
        write!(text, " {}:", user["DataPartner_UUID"].as_str().unwrap()).unwrap();
        for segment in user["Segments"].as_array().unwrap() {
            let id = segment["Segment_ID"].as_str().unwrap();
            write!(text, " {id}={}", segment["Status"].as_str().unwrap()).unwrap();
        }
    }
    out.push(text);
}

#[track_caller]
fn check(extra: &str, input: &str, until: &str, expected: &[&str]) {
    let text = CATALOG.trim_end().to_owned() + extra;
    check_catalog(&text, input, until, expected);
}

#[track_caller]
fn check_catalog(text: &str, input: &str, until: &str, expected: &[&str]) {
    let catalog = ActiveCatalog::new(catalog(text), 1, MappingChanges::default()).unwrap();
    let catalog = Arc::new(catalog);
    let mut out = Vec::new();
    let mut simulation: Option<Simulation> = None;
    for input in input.split("; ") {
        if input == "restart" {
            let simulation = simulation.as_mut().unwrap();
            let sent = &mut |sent: SentMessage<'_>| print(&mut out, sent);
            simulation.restart(None, sent).unwrap();
            continue;
        }
        let line = parse_line(&line(input)).unwrap();
        let simulation =
            simulation.get_or_insert_with(|| Simulation::new(Arc::clone(&catalog), line.time()));
        simulation.run_until(line.time(), &mut |sent| print(&mut out, sent));
        let sent = &mut |sent: SentMessage<'_>| print(&mut out, sent);
        match line {
            Line::Event(event) => {
                let submitted = simulation.event(&event, sent);
                assert!(matches!(submitted, Submitted::Accepted(_)), "{submitted:?}");
            }
            Line::Delete { who, .. } => {
                simulation.privacy(PrivacyRequest::Delete, &who, sent);
            }
            Line::OptOut { who, .. } => {
                simulation.privacy(PrivacyRequest::OptOut, &who, sent);
            }
            Line::Catalog { .. } => unreachable!("not written by `line`"),
        }
    }
    let until = format!("2016-07-{}Z", until.replace(' ', "T"));
    let until = Timestamp::parse(&until).unwrap();
    simulation
        .unwrap()
        .run_until(until, &mut |sent| print(&mut out, sent));
    assert_eq!(out, expected);
}

#[test]
fn the_first_batch_tells_everything_and_the_next_what_changed() {
    check(
        "",
        "10 12:00 1 +1; 10 13:00 2 +1; 11 12:00 1 -1",
        "14 00:00:00",
        &[
            "10 12:00:01 real id1: 10=1 30=1",
            "10 13:00:01 real id2: 10=1 30=1",
            "11 02:00:00 batch id1: 10=1 30=1 id2: 10=1 30=1",
            "11 12:00:01 real id1: 10=0 30=0",
            "12 02:00:00 batch id1: 10=0 30=0",
        ],
    );
}

/// Every batch had ended, but what the next one was to tell counted as told.
#[test]
fn a_restart_between_batches_changes_nothing() {
    for restart in ["", "restart; "] {
        check(
            "\n    unsegment: batch\n",
            &format!("10 12:00 1 +2; 10 12:01 1 +1; 12 01:00 2 +1; {restart}12 01:30 1 -1"),
            "13 00:00:00",
            &[
                "10 12:00:01 real id1: 20=1",
                "10 12:01:01 real id1: 10=1 20=1",
                "11 02:00:00 batch id1: 10=1 20=1",
                "12 01:00:01 real id2: 10=1 30=1",
                // Segment 30 was entered at midnight, and left before its batch.
                "12 01:30:01 real id1: 10=0 20=0",
                "12 02:00:00 batch id1: 10=0 20=0 id2: 10=1 30=1",
            ],
        );
    }
}

#[test]
fn entered_and_left_between_batches_is_not_told() {
    check(
        "",
        "10 12:00 1 +1; 10 13:00 1 -1",
        "13 00:00:00",
        &[
            "10 12:00:01 real id1: 10=1 30=1",
            "10 13:00:01 real id1: 10=0 30=0",
        ],
    );
}

#[test]
fn what_time_changes_waits_for_the_batch() {
    let events = "10 12:00 1 +1; 10 12:01 1 +2";
    check(
        "\n    unsegment: batch\n",
        events,
        "14 00:00:00",
        &[
            "10 12:00:01 real id1: 10=1 30=1",
            "10 12:01:01 real id1: 10=1 20=1 30=0",
            "11 02:00:00 batch id1: 10=1 20=1",
            "12 02:00:00 batch id1: 30=1 20=0",
        ],
    );
    check(
        "\n    unsegment: immediate\n",
        events,
        "14 00:00:00",
        &[
            "10 12:00:01 real id1: 10=1 30=1",
            "10 12:01:01 real id1: 10=1 20=1 30=0",
            "11 02:00:00 batch id1: 10=1 20=1",
            "12 00:00:01 real id1: 10=1 30=1 20=0",
            "12 02:00:00 batch id1: 30=1 20=0",
        ],
    );
}

#[test]
fn people_who_leave_are_in_the_batch_once() {
    check(
        "",
        "10 12:00 1 +1; 11 12:00 1 delete",
        "15 00:00:00",
        &[
            "10 12:00:01 real id1: 10=1 30=1",
            "11 02:00:00 batch id1: 10=1 30=1",
            "11 12:00:01 real id1: 10=0 30=0",
            "12 02:00:00 batch id1: 10=0 30=0",
        ],
    );
}

#[test]
fn messages_hold_as_many_users_as_in_real_time() {
    check(
        "\n    max_users: 2\n",
        "10 12:00 1 +1; 10 12:00 2 +1; 10 12:00 3 +1",
        "12 00:00:00",
        &[
            "10 12:00:00 real id1: 10=1 30=1 id2: 10=1 30=1",
            "10 12:00:01 real id3: 10=1 30=1",
            "11 02:00:00 batch id1: 10=1 30=1 id2: 10=1 30=1",
            "11 02:00:00 batch id3: 10=1 30=1",
        ],
    );
}

#[test]
fn a_device_that_lingers_in_real_time_is_told_after_that() {
    check(
        "\n    max_linger: 60s\n",
        "10 12:00 2 +1; 11 01:59 1 +1",
        "12 00:00:00",
        &[
            "10 12:01:00 real id2: 10=1 30=1",
            // Its real-time message is due at the same instant, and goes first.
            "11 02:00:00 real id1: 10=1 30=1",
            "11 02:00:00 batch id1: 10=1 30=1 id2: 10=1 30=1",
        ],
    );
}

#[test]
fn a_mapping_whose_days_begin_is_told_in_the_batch_though_nobody_is_seen() {
    // Device 1 is never seen again; device 2 is, and hears of it in real time too.
    let dated = CATALOG.replace("{ segment: 10 }", "{ segment: 10, start: 2016-07-13 }");
    let input = "10 12:00 1 +1; 10 13:00 2 +1; 14 12:00 2 +1";
    check_catalog(
        &dated,
        input,
        "16 00:00:00",
        &[
            "10 12:00:01 real id1: 30=1",
            "10 13:00:01 real id2: 30=1",
            "11 02:00:00 batch id1: 30=1 id2: 30=1",
            "13 02:00:00 batch id1: 10=1 id2: 10=1",
            "14 12:00:01 real id2: 10=1 30=1",
        ],
    );
    // Without batches nobody hears of it but who is seen.
    let without = dated.replace("    batch: { every: 24h, at: \"02:00\" }\n", "");
    assert_ne!(without, dated);
    check_catalog(
        &without,
        input,
        "16 00:00:00",
        &[
            "10 12:00:01 real id1: 30=1",
            "10 13:00:01 real id2: 30=1",
            "14 12:00:01 real id2: 10=1 30=1",
        ],
    );
}

#[test]
fn a_mapping_whose_days_have_ended_is_told_of_no_more() {
    // Its last day is the 11th; who leaves after that is not told, neither at once nor in a batch.
    let dated = CATALOG.replace("{ segment: 10 }", "{ segment: 10, end: 2016-07-12 }");
    check_catalog(
        &dated,
        "10 12:00 1 +1; 12 12:00 1 -1",
        "15 00:00:00",
        &[
            "10 12:00:01 real id1: 10=1 30=1",
            "11 02:00:00 batch id1: 10=1 30=1",
            "12 12:00:01 real id1: 30=0",
            "13 02:00:00 batch id1: 30=0",
        ],
    );
}
