//! What the answer to a deletion says about partners that are not told.

use crate::exports::wait_for_generation;
use crate::privacy::ask;
use crate::support::{partner::Partner, poll, server::Home};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Segments 101 to 105 of traits 1 to 5, and destinations of these partners with these settings.
fn catalog(segments: &str, destinations: &[(&Partner, &str)]) -> String {
    let mut text = String::from(
        "data_sources:\n  - { id: 501, name: Cookies }\n  \
         - { id: 777, name: CRM, export_controls: [no_pii] }\ntraits:\n",
    );
    for number in 1..=5 {
        let data_source = if number == 3 { 777 } else { 501 };
        writeln!(
            text,
            "  - {{ id: {number}, name: T, data_source: {data_source} }}"
        )
        .unwrap();
    }
    text.push_str("segments:\n");
    for number in 1..=5 {
        let paused = if segments.contains(&format!("{number}p")) {
            ", status: paused"
        } else {
            ""
        };
        writeln!(
            text,
            "  - {{ id: 10{number}, name: S, rule: {number}T{paused} }}"
        )
        .unwrap();
    }
    text.push_str("destinations:\n");
    for (number, (partner, settings)) in (423..).zip(destinations) {
        let url = partner.url();
        writeln!(
            text,
            "  - id: {number}\n    name: D{number}\n    client_id: c\n    url: {url}\n    \
             id_data_sources: [501]\n    max_linger: 20ms\n    retry_delay: 20ms\n{settings}"
        )
        .unwrap();
    }
    text
}

const MAPPINGS: &str = "    mappings: [{ segment: 101 }, { segment: 102 }, { segment: 103 }, { segment: 104 }, { segment: 105 }]";
const EVENT: &str = r#"{"uuid":"1","traits":[1,2,3,4,5],"ids":[{"data_source":501,"id":"p1"}]}"#;
const DEVICE: &str = r#"{"uuid":"1"}"#;

/// A partner that takes no Status 0 gets no message, and the answer says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_that_takes_no_zeros_is_listed_as_not_told() {
    let (takes, takes_none) = (Partner::start().await, Partner::start().await);
    let deaf = format!("{MAPPINGS}\n    supports_unsegment: false");
    let catalog = catalog("", &[(&takes, MAPPINGS), (&takes_none, &deaf)]);
    let home = Home::new(&catalog, &[&takes, &takes_none]);
    let server = home.start().await;
    server.events(EVENT).await;
    takes.wait_for_count(1).await;
    takes_none.wait_for_count(1).await;

    let (status, report) = ask(&server, "delete", DEVICE).await;
    assert_eq!(status, 200, "{report}");
    let segment = |id: u32| json!({ "segment": id, "reason": "takes_no_zeros", "memberships": 1 });
    let expected = json!([
        { "id": 423, "name": "D423", "memberships": 5, "to_be_told": 5, "to_be_told_in_batch": 0,
          "not_told": 0, "not_told_segments": [], "held_back_by": null },
        { "id": 424, "name": "D424", "memberships": 5, "to_be_told": 0, "to_be_told_in_batch": 0,
          "not_told": 5, "not_told_segments": (101..=105).map(segment).collect::<Vec<_>>(),
          "held_back_by": null },
    ]);
    assert_eq!(report["destinations"], expected);
    poll("the other one to be told out", async || {
        (takes.state("p1", 105) == Some(false)).then_some(())
    })
    .await;
    // Whatever there was for it would have been sent by now; a next device proves that it hears.
    server
        .events(&EVENT.replace("\"1\"", "\"2\"").replace("p1", "p2"))
        .await;
    takes_none.wait_for_count(2).await;
    assert_eq!(
        takes_none.told(),
        [
            ["p1 101=1 102=1 103=1 104=1 105=1"],
            ["p2 101=1 102=1 103=1 104=1 105=1"]
        ]
    );
    // Nothing is remembered of it that it could be told one day.
    let (_, held) = ask(&server, "access", DEVICE).await;
    assert_eq!(held["devices"][0]["destinations"], json!([]), "{held}");
    server.stop().await;
}

/// What is blocked, paused, not mapped or outside its dates is not told, and listed with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sent_is_listed_with_the_reason() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog("", &[(&partner, MAPPINGS)]), &[&partner]);
    let server = home.start().await;
    server.events(EVENT).await;
    partner.wait_for_count(1).await;
    // 102 is paused, 103 blocked, 104 over, 105 mapped no more.
    let mappings = "    export_labels: [pii]\n    mappings: [{ segment: 101 }, { segment: 102 }, \
                    { segment: 103 }, { segment: 104, end: 2016-01-01 }]";
    home.change_catalog(&catalog("2p", &[(&partner, mappings)]));
    wait_for_generation(&server, 2).await;

    let (status, report) = ask(&server, "delete", DEVICE).await;
    assert_eq!(status, 200, "{report}");
    let destination = &report["destinations"][0];
    let counts = ["memberships", "to_be_told", "not_told"].map(|name| &destination[name]);
    assert_eq!(counts, [5, 1, 4], "{report}");
    let listed = destination["not_told_segments"].as_array().unwrap().iter();
    let listed: Vec<_> = listed
        .map(|one| {
            (
                one["segment"].as_u64().unwrap(),
                one["reason"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        (102, "segment_paused"),
        (103, "export_blocked"),
        (104, "mapping_ended"),
        (105, "not_mapped"),
    ];
    assert_eq!(listed, expected, "{report}");
    poll("the one that is sent to be told out", async || {
        (partner.state("p1", 101) == Some(false)).then_some(())
    })
    .await;
    assert_eq!(partner.state("p1", 103), Some(true));
    // It is owed no more: nothing of the device waits for another catalog.
    poll("nothing to be left of the device", async || {
        let (_, held) = ask(&server, "access", DEVICE).await;
        (held["devices"][0]["destinations"] == Value::Array(Vec::new())).then_some(())
    })
    .await;
    server.stop().await;
}
