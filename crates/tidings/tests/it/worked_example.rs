//! The worked example of the send rules, up to its first evening: once as a dry run, and once by the
//! server under a virtual clock, with partners over TLS. Both must tell the same.
//!
//! Segments A and B (101, 102) are mapped to the first partner, B and C (102, 103) to the second. A
//! device in A and C, known to both, enters B at 10:00, is seen without a change at 11:00, and
//! leaves A at 12:00.

use crate::{
    simulate::{messages, simulate},
    support::{
        partner::{Partner, Seen},
        server::{Home, Options},
    },
};
use insta::assert_snapshot;
use serde_json::Value;

const UUID: &str = "19393572368547369350319949416899715727";

/// Hours of the first day, and what the event of that hour has beside the device.
const EVENTS: [(&str, &str); 4] = [
    (
        "09:00:00",
        r#""traits":[1,3],"region":9,"ids":[{"data_source":501,"id":"d-at-1"},{"data_source":502,"id":"d-at-2"}]"#,
    ),
    ("10:00:00", r#""traits":[2]"#),
    ("11:00:00", r#""region":9"#),
    ("12:00:00", r#""remove_traits":[1]"#),
];

fn catalog(urls: [&str; 2]) -> String {
    let [first, second] = urls;
    format!(
        r#"data_sources:
  - {{ id: 501, name: Cookies of the first, kind: cookie }}
  - {{ id: 502, name: Cookies of the second, kind: cookie }}
traits: [{{ id: 1, name: A }}, {{ id: 2, name: B }}, {{ id: 3, name: C }}]
segments:
  - {{ id: 101, name: A, rule: '1T' }}
  - {{ id: 102, name: B, rule: '2T' }}
  - {{ id: 103, name: C, rule: '3T' }}
destinations:
  - id: 1
    name: The first
    client_id: "74323"
    url: {first}
    id_data_sources: [501]
    mappings: [{{ segment: 101 }}, {{ segment: 102 }}]
    max_linger: 50ms
    timeout: 30s
  - id: 2
    name: The second
    client_id: "74324"
    url: {second}
    id_data_sources: [502]
    mappings: [{{ segment: 102 }}, {{ segment: 103 }}]
    max_linger: 50ms
    timeout: 30s
"#
    )
}

fn event(hour: &str, members: &str) -> String {
    format!("{{\"time\":\"2016-07-27T{hour}Z\",\"uuid\":\"{UUID}\",{members}}}\n")
}

fn simulated() -> String {
    let events: String = EVENTS
        .iter()
        .map(|(hour, members)| event(hour, members))
        .collect();
    let urls = ["https://first.example/s", "https://second.example/s"];
    simulate(&catalog(urls), &events)
}

#[test]
fn is_simulated() {
    assert_snapshot!(simulated(), @r#"
    {"time":"2016-07-27T09:00:00Z","destination":1,"kind":"realtime","body":{"ProcessTime":"Wed Jul 27 09:00:00 UTC 2016","User_DPID":"501","Client_ID":"74323","AAM_Destination_Id":"1","User_count":"1","Users":[{"AAM_UUID":"19393572368547369350319949416899715727","DataPartner_UUID":"d-at-1","AAM_Regions":["9"],"Segments":[{"Segment_ID":"101","Status":"1","DateTime":"Wed Jul 27 09:00:00 UTC 2016"}]}]}}
    {"time":"2016-07-27T09:00:00Z","destination":2,"kind":"realtime","body":{"ProcessTime":"Wed Jul 27 09:00:00 UTC 2016","User_DPID":"502","Client_ID":"74324","AAM_Destination_Id":"2","User_count":"1","Users":[{"AAM_UUID":"19393572368547369350319949416899715727","DataPartner_UUID":"d-at-2","AAM_Regions":["9"],"Segments":[{"Segment_ID":"103","Status":"1","DateTime":"Wed Jul 27 09:00:00 UTC 2016"}]}]}}
    {"time":"2016-07-27T10:00:00Z","destination":1,"kind":"realtime","body":{"ProcessTime":"Wed Jul 27 10:00:00 UTC 2016","User_DPID":"501","Client_ID":"74323","AAM_Destination_Id":"1","User_count":"1","Users":[{"AAM_UUID":"19393572368547369350319949416899715727","DataPartner_UUID":"d-at-1","AAM_Regions":["9"],"Segments":[{"Segment_ID":"101","Status":"1","DateTime":"Wed Jul 27 10:00:00 UTC 2016"},{"Segment_ID":"102","Status":"1","DateTime":"Wed Jul 27 10:00:00 UTC 2016"}]}]}}
    {"time":"2016-07-27T10:00:00Z","destination":2,"kind":"realtime","body":{"ProcessTime":"Wed Jul 27 10:00:00 UTC 2016","User_DPID":"502","Client_ID":"74324","AAM_Destination_Id":"2","User_count":"1","Users":[{"AAM_UUID":"19393572368547369350319949416899715727","DataPartner_UUID":"d-at-2","AAM_Regions":["9"],"Segments":[{"Segment_ID":"102","Status":"1","DateTime":"Wed Jul 27 10:00:00 UTC 2016"},{"Segment_ID":"103","Status":"1","DateTime":"Wed Jul 27 10:00:00 UTC 2016"}]}]}}
    {"time":"2016-07-27T12:00:00Z","destination":1,"kind":"realtime","body":{"ProcessTime":"Wed Jul 27 12:00:00 UTC 2016","User_DPID":"501","Client_ID":"74323","AAM_Destination_Id":"1","User_count":"1","Users":[{"AAM_UUID":"19393572368547369350319949416899715727","DataPartner_UUID":"d-at-1","AAM_Regions":["9"],"Segments":[{"Segment_ID":"102","Status":"1","DateTime":"Wed Jul 27 12:00:00 UTC 2016"},{"Segment_ID":"101","Status":"0","DateTime":"Wed Jul 27 12:00:00 UTC 2016"}]}]}}
    {"time":"2016-07-27T12:00:00Z","destination":2,"kind":"realtime","body":{"ProcessTime":"Wed Jul 27 12:00:00 UTC 2016","User_DPID":"502","Client_ID":"74324","AAM_Destination_Id":"2","User_count":"1","Users":[{"AAM_UUID":"19393572368547369350319949416899715727","DataPartner_UUID":"d-at-2","AAM_Regions":["9"],"Segments":[{"Segment_ID":"102","Status":"1","DateTime":"Wed Jul 27 12:00:00 UTC 2016"},{"Segment_ID":"103","Status":"1","DateTime":"Wed Jul 27 12:00:00 UTC 2016"}]}]}}
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn is_served() {
    let partners = [Partner::start().await, Partner::start().await];
    let [first, second] = &partners;
    let options = Options {
        virtual_now: Some("2016-07-27T08:00:00Z"),
        ..Options::default()
    };
    let catalog = catalog([&first.url(), &second.url()]);
    let home = Home::with(&catalog, &[first, second], options);
    let server = home.start().await;
    let mut messages_expected = 0;
    for (hour, members) in EVENTS {
        server.set_clock(&format!("2016-07-27T{hour}Z")).await;
        let answer = server.events(&event(hour, members)).await;
        assert_eq!(answer["uuids"], serde_json::json!([UUID]));
        if hour == "11:00:00" {
            // Nothing is told. A bystander is told after it: had there been something to tell, it
            // would be in a message before that or in the same one.
            server.events(BYSTANDER).await;
        }
        messages_expected += 1;
        first.wait_for_count(messages_expected).await;
        second.wait_for_count(messages_expected).await;
    }
    let simulated = messages(&simulated());
    for (id, partner) in [(1, first), (2, second)] {
        let bodies = simulated
            .iter()
            .filter(|message| message["destination"] == id)
            .map(|message| message["body"].clone());
        // Lingering is in real time, so the virtual clock stands where the event left it, and not
        // even the `ProcessTime` differs.
        assert_eq!(told(partner.seen().iter().map(body)), told(bodies));
    }
    server.stop().await;
}

/// Another device that enters B, known to both partners.
const BYSTANDER: &str = r#"{"uuid":"7","traits":[2],"ids":[{"data_source":501,"id":"bystander"},{"data_source":502,"id":"bystander"}]}"#;

/// What is told about the device, as user objects, each with the `ProcessTime` of its message.
fn told(bodies: impl Iterator<Item = Value>) -> Vec<(Value, Value)> {
    let mut told = Vec::new();
    for body in bodies {
        for user in body["Users"].as_array().unwrap() {
            if user["AAM_UUID"] == UUID {
                told.push((body["ProcessTime"].clone(), user.clone()));
            }
        }
    }
    told
}

fn body(seen: &Seen) -> Value {
    assert_eq!(seen.errors, [""; 0]);
    serde_json::from_slice(&seen.body).unwrap()
}
