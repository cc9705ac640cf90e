//! Why a device is in a segment and what partners know: in a dry run and of a running server.

use crate::support::{
    http::{Reply, get, send},
    partner::Partner,
    program::{Ended, Files, tidings_in},
    server::{Home, Options, Server},
};
use insta::assert_snapshot;
use serde_json::{Value, json};

const CATALOG: &str = r#"data_sources: [{ id: 501, name: Cookies }]
traits:
  - { id: 1, name: Visited, rule: 'page == "home"', ttl_days: 30 }
  - { id: 2, name: Bought }
segments:
  - { id: 10, name: Visitors of the last two days, rule: 'FREQUENCY([1T] <= 2D) >= 1 AND NOT 2T' }
  - { id: 11, name: Buyers, rule: 2T }
destinations:
  - id: 1
    name: DSP
    client_id: acct
    url: https://dsp.example/segments
    id_data_sources: [501]
    mappings: [{ segment: 10, value: visitors }]
"#;

const EVENTS: &str = r#"{"time":"2016-07-27T16:00:00Z","uuid":"1","signals":{"page":"home"},"ids":[{"data_source":501,"id":"a"}]}
{"time":"2016-07-28T09:00:00Z","uuid":"1","signals":{"page":"home"}}
"#;

fn simulate(args: &str) -> Ended {
    let files = Files::new(&[("catalog.yaml", CATALOG), ("events.ndjson", EVENTS)]);
    let line = format!("simulate --catalog catalog.yaml --events events.ndjson {args}");
    tidings_in(files.path(), &line)
}

#[test]
fn a_dry_run_explains_its_end() {
    let ended = simulate("--why 1:10 --why 2:11");
    assert_snapshot!(ended.shown(), @r#"
    device 1, segment 10 "Visitors of the last two days", as of 2016-07-28T09:00:01Z
      in since 2016-07-27T16:00:00Z: the rule holds
      leaves by itself at 2016-07-31T00:00:00Z: the realisations of trait 1 on 2016-07-28 cross the window <= 2D
      device: last seen 2016-07-28T09:00:00Z, evaluated 2016-07-28T09:00:00Z; partners were last told 2016-07-27T16:00:00Z, a sighting from 2016-07-30T16:00:00Z on tells everything again
      rule:
        true   FREQUENCY([1T] <= 2D) >= 1 AND NOT 2T
               false at 2016-07-31T00:00:00Z: the realisations of trait 1 on 2016-07-28 cross the window <= 2D
          true   FREQUENCY([1T] <= 2D) >= 1    counts 2 in 2016-07-26..2016-07-28
                 false at 2016-07-31T00:00:00Z: the realisations of trait 1 on 2016-07-28 cross the window <= 2D
                   trait 1 "Visited" (rule-based): counts 2; last realised 2016-07-28T09:00:00Z, lives until 2016-08-28T00:00:00Z; by day: 2016-07-27 x1 2016-07-28 x1
          true   NOT 2T
            false  2T    counts 0 in all
                     trait 2 "Bought" (rule-based): the device does not have it
      destination 1 "DSP": told 1
        mapping as "visitors": at work
        id 501/"a" linked 2016-07-27T16:00:00Z, gets 1, was told

    device 2, segment 11 "Buyers", as of 2016-07-28T09:00:01Z
      not in: nothing is known of the device
      time alone does not change that
      rule:
        false  2T    counts 0 in all
                 trait 2 "Bought" (rule-based): the device does not have it
      no destination has a mapping of it
    exit 0
    "#);
}

#[test]
fn a_dry_run_explains_as_json() {
    let ended = simulate("--why 1:10 --json --until 2016-07-31T00:00:01Z");
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    let [line] = *ended.stdout.lines().collect::<Vec<_>>() else {
        panic!("{}", ended.stdout)
    };
    let why: Value = serde_json::from_str(line).unwrap();
    assert_eq!(why["member"], false);
    assert_eq!(why["reason"], "rule_fails");
    assert_eq!(
        why["rule"]["parts"][0]["text"],
        "FREQUENCY([1T] <= 2D) >= 1"
    );
    assert_eq!(why["rule"]["parts"][0]["count"], 0);
    let window = json!({ "from": "2016-07-29", "until": "2016-07-31" });
    assert_eq!(why["rule"]["parts"][0]["window"], window);
    assert_eq!(why["destinations"][0]["answer"], "nothing_to_tell");
}

#[test]
fn a_dry_run_refuses_what_is_not_there() {
    for (args, message) in [
        (
            "--why 1:9",
            "error: --why 1:9: there is no segment 9 in the catalog",
        ),
        (
            "--why x:10",
            "UUID: the id has a character that is not a digit at position 0",
        ),
        ("--why 1:x", "SEGMENT: the id has a character"),
        (
            "--why 1",
            "write a device's UUID, a colon and a segment's id",
        ),
        ("--json", "--why <UUID:SEGMENT>"),
    ] {
        let ended = simulate(args);
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{args}");
        assert!(ended.stderr.contains(message), "{}", ended.stderr);
    }
}

async fn ask(server: &Server, query: &str) -> Reply {
    send(server.admin, get(&format!("/v1/devices/{query}"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_explains_what_is_true_now() {
    let partner = Partner::start().await;
    let catalog = CATALOG.replace("https://dsp.example/segments", &partner.url())
        + "    max_linger: 20ms\n    timeout: 30s\n";
    let options = Options {
        virtual_now: Some("2016-07-27T16:00:00Z"),
        ..Options::default()
    };
    let home = Home::with(&catalog, &[&partner], options);
    let server = home.start().await;
    let never = ask(&server, "1/why?segment=10").await.json();
    assert_eq!(
        (&never["member"], &never["reason"]),
        (&json!(false), &json!("never_seen"))
    );
    assert_eq!(never["device"], Value::Null);

    server
        .events(r#"{"uuid":"1","signals":{"page":"home"}}"#)
        .await;
    let unknown = ask(&server, "1/why?segment=10").await.json();
    assert_eq!(unknown["since"], "2016-07-27T16:00:00Z");
    assert_eq!(unknown["next_change"]["at"], "2016-07-30T00:00:00Z");
    assert_eq!(unknown["destinations"][0]["answer"], "no_id");
    server
        .events(r#"{"uuid":"1","ids":[{"data_source":501,"id":"a"}]}"#)
        .await;
    partner.wait_for_count(1).await;
    // The answer of the partner is recorded a moment after it has come.
    let told = crate::support::poll("the record of the answer", async || {
        let told = ask(&server, "1/why?segment=10&destination=1").await.json();
        (told["destinations"][0]["answer"] == "told").then_some(told)
    })
    .await;
    assert_eq!(told["destinations"][0]["ids"][0]["id"], "a");
    server.set_clock("2016-07-30T00:00:00Z").await;
    let left = ask(&server, "1/why?segment=10").await.json();
    assert_eq!(
        (&left["member"], &left["reason"]),
        (&json!(false), &json!("rule_fails"))
    );
    let unmapped = ask(&server, "1/why?segment=11&destination=1").await.json();
    assert_eq!(unmapped["destinations"][0]["answer"], "not_mapped");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_refuses_what_cannot_be_explained() {
    let home = Home::new(CATALOG, &[]);
    let server = home.start().await;
    for (query, status, code) in [
        ("x/why?segment=10", 400, "invalid_uuid"),
        ("1/why", 400, "invalid_query"),
        ("1/why?segment=ten", 400, "invalid_query"),
        ("1/why?segment=10&destination=x", 400, "invalid_query"),
        ("1/why?segment=10&colour=red", 400, "invalid_query"),
        ("1/why?segment=9", 404, "unknown_segment"),
        ("1/why?segment=10&destination=9", 404, "unknown_destination"),
    ] {
        let reply = ask(&server, query).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json()["code"]),
            (status, &json!(code)),
            "{query}"
        );
        assert_eq!(reply.headers["content-type"], "application/problem+json");
    }
    server.stop().await;
}
