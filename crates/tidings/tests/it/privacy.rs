//! Opt-out and deletion by device and by declared id, in dry runs.

use crate::simulate::{USUAL, brief, one_destination, simulate};
use crate::support::program::{Files, tidings_in};
use std::fmt::Write as _;

/// Lines of `second | uuid | members` are events, with `-` for an event without a uuid, and those of
/// `second | opt_out` or `second | delete` and members are requests.
fn lines(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.splitn(3, '|').map(str::trim);
        let mut part = || parts.next().unwrap();
        let (second, who, members) = (part(), part(), part());
        let time = format!("2016-07-27T10:00:{second:0>2}Z");
        let who = match who {
            "-" => String::new(),
            "opt_out" | "delete" => format!(r#""do":"{who}","#),
            uuid => format!(r#""uuid":"{uuid}","#),
        };
        writeln!(out, r#"{{"time":"{time}",{who}{members}}}"#).unwrap();
    }
    // `CRM` and the like stand for ids, to keep the tables readable.
    for (name, data_source) in [("CRM", 502), ("NEW", 502), ("P1", 501), ("P2", 501)] {
        let id = format!(r#"{{"data_source":{data_source},"id":"{name}"}}"#);
        out = out.replace(&format!("<{name}>"), &id);
    }
    out
}

#[track_caller]
fn check(settings: &str, input: &str, expected: &str) {
    let stdout = simulate(&one_destination(settings), &lines(input));
    let expected = expected.lines().map(str::trim);
    let expected: Vec<_> = expected.filter(|line| !line.is_empty()).collect();
    assert_eq!(
        brief(&stdout).lines().collect::<Vec<_>>(),
        expected,
        "{input}"
    );
    // No message has a member that says why.
    assert!(!stdout.contains("gdpr"), "{stdout}");
}

/// Two devices of a person: 1 is linked to the CRM id first, 2 later.
const PERSON: &str = r#"
    0 | 1 | "traits":[1],"ids":[<P1>,<CRM>]
    2 | 2 | "traits":[1,2],"ids":[<P2>,<CRM>]
"#;
const PERSON_TOLD: &str = r#"
    10:00:01 423/501 "P1" 101=1
    10:00:03 423/501 "P2" 101=1 102=1
"#;

#[track_caller]
fn check_person(input: &str, expected: &str) {
    check(
        USUAL,
        &format!("{PERSON}{input}"),
        &format!("{PERSON_TOLD}{expected}"),
    );
}

#[test]
fn a_device_that_opts_out_leaves_everything_under_every_id() {
    check(
        &format!("{USUAL}\n    max_mappings: 0"),
        r#"0 | 1 | "traits":[1,2],"ids":[<P1>,<P2>]
          10 | opt_out | "uuid":"1"
          20 | 1 | "traits":[1]"#,
        r#"10:00:01 423/501 "P2" 101=1 102=1
           10:00:01 423/501 "P1" 101=1 102=1
           10:00:11 423/501 "P2" 101=0 102=0
           10:00:11 423/501 "P1" 101=0 102=0"#,
    );
}

#[test]
fn an_opt_out_by_id_is_about_the_newest_device() {
    check_person(
        r#"10 | opt_out | "id":<CRM>
           20 | 1 | "traits":[2]
           30 | 2 | "traits":[1]"#,
        r#"10:00:11 423/501 "P2" 101=0 102=0
           10:00:21 423/501 "P1" 101=1 102=1"#,
    );
}

#[test]
fn nothing_is_collected_under_an_id_that_opted_out() {
    check_person(
        r#"10 | opt_out | "id":<CRM>
           20 | - | "traits":[1],"ids":[<CRM>]
           30 | 1 | "traits":[2],"ids":[<CRM>]
           40 | - | "traits":[2],"ids":[<P1>]"#,
        r#"10:00:11 423/501 "P2" 101=0 102=0
           10:00:41 423/501 "P1" 101=1 102=1"#,
    );
}

#[test]
fn a_device_that_comes_with_an_id_that_opted_out_inherits_it() {
    // The id was never seen before.
    check(
        USUAL,
        r#"0 | opt_out | "id":<NEW>
           1 | 3 | "traits":[1],"ids":[<P1>]
           5 | 3 | "traits":[2],"ids":[<NEW>]
          10 | 3 | "traits":[2]"#,
        r#"10:00:02 423/501 "P1" 101=1
           10:00:06 423/501 "P1" 101=0"#,
    );
}

#[test]
fn a_deletion_by_id_is_about_all_its_devices() {
    check_person(
        r#"10 | delete | "id":<CRM>
           20 | 1 | "traits":[1]
           21 | 2 | "traits":[1]
           22 | - | "traits":[1],"ids":[<P1>,<CRM>]
           23 | 3 | "traits":[1],"ids":[<P1>,<CRM>]
           24 | 3 | "traits":[1]"#,
        r#"10:00:11 423/501 "P1" 101=0
           10:00:11 423/501 "P2" 101=0 102=0"#,
    );
}

#[test]
fn a_deleted_device_leaves_the_id_to_the_others() {
    check_person(
        r#"10 | delete | "uuid":"2"
           20 | - | "traits":[2],"ids":[<CRM>]"#,
        r#"10:00:11 423/501 "P2" 101=0 102=0
           10:00:21 423/501 "P1" 101=1 102=1"#,
    );
}

#[test]
fn an_id_of_no_data_source_is_refused() {
    let line = r#"{"time":"2016-07-27T10:00:00Z","do":"delete","id":{"data_source":9,"id":"a"}}"#;
    let catalog = one_destination(USUAL);
    let files = Files::new(&[("catalog.yaml", catalog.as_str()), ("events.ndjson", line)]);
    let command = "simulate --catalog catalog.yaml --events events.ndjson";
    let ended = tidings_in(files.path(), command);
    let expected = "error: events.ndjson:1: id.data_source: there is no data source 9 \
                    (unknown_data_source)\n";
    assert_eq!((ended.status, ended.stderr.as_str()), (2, expected));
}
