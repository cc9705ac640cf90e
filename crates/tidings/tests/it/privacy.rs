//! Opt-out and deletion by device and by declared id, in dry runs and of a running server.

use crate::simulate::{USUAL, brief, one_destination, simulate};
use crate::support::{
    http::{post, send},
    partner::Partner,
    poll,
    program::{Files, tidings_in},
    server::{Home, Server},
};
use serde_json::{Value, json};
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

pub(crate) fn catalog(partner: &Partner) -> String {
    one_destination(&format!(
        "{USUAL}\n    max_linger: 20ms\n    retry_delay: 20ms"
    ))
    .replace("https://dsp.example/segments", &partner.url())
}

/// A call on the admin side: status and body.
pub(crate) async fn ask(server: &Server, what: &str, body: &str) -> (u16, Value) {
    let path = format!("/v1/privacy/{what}");
    let reply = send(
        server.admin,
        post(&path, "application/json", body.to_owned()),
    )
    .await;
    (reply.status.into(), reply.json())
}

/// Two devices of one person, and that the partner was told.
pub(crate) async fn person(server: &Server, partner: &Partner) {
    for device in 1..=2 {
        let event = format!(
            r#"{{"uuid":"{device}","traits":[1],"ids":[{{"data_source":501,"id":"p{device}"}},{{"data_source":502,"id":"crm"}}]}}"#
        );
        server.events(&event).await;
        let id = format!("p{device}");
        poll("the device to be told in", async || {
            (partner.state(&id, 101) == Some(true)).then_some(())
        })
        .await;
    }
}

pub(crate) const CRM: &str = r#"{"id":{"data_source":502,"id":"crm"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_outlives_sudden_death_before_its_acknowledgement() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner), &[&partner]);
    let mut server = home.start().await;
    person(&server, &partner).await;
    let (status, held) = ask(&server, "access", CRM).await;
    let first = &held["devices"][0];
    let shown = (
        &first["uuid"],
        &first["traits"][0]["name"],
        &first["destinations"][0]["told"],
    );
    let expected = (&json!("1"), &json!("A"), &json!([101]));
    assert_eq!((status, shown), (200, expected), "{held}");
    assert_eq!(first["ids"][0]["id"], "p1", "{held}");

    partner.set_faults(&["status=500"]);
    let (status, report) = ask(&server, "delete", CRM).await;
    let destination = json!({
        "id": 423, "name": "DSP", "memberships": 2, "to_be_told": 2, "to_be_told_in_batch": 0,
        "not_told": 0, "not_told_segments": [], "held_back_by": null,
    });
    let expected = json!({ "devices": ["1", "2"], "destinations": [destination] });
    assert_eq!((status, report), (200, expected));
    // The answer is durable.
    server.kill().await;

    let server = home.start().await;
    assert_eq!(partner.state("p1", 101), Some(true));
    partner.set_faults(&[]);
    // The id is gone, and with it everything that comes under it.
    let crm = r#"{"data_source":502,"id":"crm"}"#;
    let events = format!(
        r#"{{"uuid":"3","traits":[1],"ids":[{{"data_source":501,"id":"p3"}},{crm}]}}
{{"uuid":"1","traits":[1],"ids":[{{"data_source":501,"id":"p1"}}]}}
{{"traits":[1],"ids":[{crm}]}}
{{"uuid":"4","traits":[1],"ids":[{{"data_source":501,"id":"p4"}}]}}"#
    );
    assert_eq!(server.events(&events).await["accepted"], 4);
    poll("both to be told out, and the next device in", async || {
        let told = ["p1", "p2", "p4"].map(|id| partner.state(id, 101));
        (told == [Some(false), Some(false), Some(true)]).then_some(())
    })
    .await;
    assert_eq!(partner.state("p3", 101), None);
    let (_, again) = ask(&server, "delete", CRM).await;
    assert_eq!(again, json!({ "devices": [], "destinations": [] }));
    let (_, held) = ask(&server, "access", CRM).await;
    assert_eq!(held, json!({ "id_opted_out": true, "devices": [] }));
    // Ids go with the acknowledgement of the last zero.
    poll("nothing to be left of a deleted device", async || {
        let (_, held) = ask(&server, "access", r#"{"uuid":"1"}"#).await;
        let device = &held["devices"][0];
        assert_eq!(device["opted_out"], true, "{held}");
        let members = ["ids", "traits", "segments", "regions"];
        let mut members = members.into_iter();
        members
            .all(|member| device[member] == json!([]))
            .then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_is_answered_with_who_hears_of_it() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner), &[&partner]);
    let server = home.start().await;
    person(&server, &partner).await;
    let pause = post("/v1/destinations/423/pause", "application/json", "");
    assert_eq!(send(server.admin, pause).await.status, 200);
    let (status, report) = ask(&server, "opt-out", CRM).await;
    assert_eq!(
        (status, &report["devices"]),
        (200, &json!(["2"])),
        "{report}"
    );
    let destination = &report["destinations"][0];
    assert_eq!(destination["to_be_told"], 1, "{report}");
    assert_eq!(destination["held_back_by"], "paused", "{report}");
    let resume = post("/v1/destinations/423/resume", "application/json", "");
    assert_eq!(send(server.admin, resume).await.status, 200);
    poll("the newest device to be told out", async || {
        (partner.state("p2", 101) == Some(false)).then_some(())
    })
    .await;
    assert_eq!(partner.state("p1", 101), Some(true));

    for (body, code) in [
        ("", "invalid_command"),
        ("{}", "invalid_uuid"),
        (r#"{"uuid":"x"}"#, "invalid_uuid"),
        (r#"{"uuid":"1","user":"2"}"#, "invalid_command"),
        (
            r#"{"id":{"data_source":9,"id":"a"}}"#,
            "unknown_data_source",
        ),
        (r#"{"id":{"data_source":502,"id":""}}"#, "invalid_id"),
    ] {
        let (status, problem) = ask(&server, "delete", body).await;
        assert_eq!((status, &problem["code"]), (400, &json!(code)), "{problem}");
    }
    server.stop().await;
}

/// People opt out on the public side, which tells nothing of what is stored and deletes nobody.
#[tokio::test(flavor = "multi_thread")]
async fn people_opt_out_on_the_public_side() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner), &[&partner]);
    let server = home.start().await;
    person(&server, &partner).await;
    let answers = [
        (CRM, 200, r#"{"opted_out":true}"#),
        (r#"{"uuid":"77"}"#, 200, r#"{"opted_out":true}"#),
        (r#"{"uuid":"x"}"#, 400, "invalid_uuid"),
        (
            r#"{"id":{"data_source":9,"id":"a"}}"#,
            400,
            "unknown_data_source",
        ),
    ];
    for (body, status, expected) in answers {
        let asked = post("/v1/opt-out", "application/json", body);
        let answer = send(server.collect, asked).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{text}");
        assert!(text.contains(expected), "{text}");
    }
    poll("the newest device to be told out", async || {
        (partner.state("p2", 101) == Some(false)).then_some(())
    })
    .await;
    assert_eq!(partner.state("p1", 101), Some(true));
    for path in ["/v1/privacy/delete", "/v1/privacy/access"] {
        let asked = post(path, "application/json", CRM);
        assert_eq!(send(server.collect, asked).await.status, 404, "{path}");
    }
    server.stop().await;
}
