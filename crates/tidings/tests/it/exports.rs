//! Export controls and labels: what the operator is told of them, and what partners are not.

use crate::support::{
    http::{get, send},
    partner::Partner,
    poll,
    program::{Files, tidings_in},
    server::{Home, Server},
};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// Trait 1 is data source 777's, with these controls. Destination 1 may combine with PII.
fn catalog(url: &str, controls: &str, batch: &str) -> String {
    format!(
        "data_sources:
  - {{ id: 501, name: Cookies }}
  - {{ id: 777, name: CRM, export_controls: [{controls}] }}
traits:
  - {{ id: 9, name: All of CRM, kind: folder }}
  - {{ id: 1, name: Customer, folder: 9, data_source: 777 }}
  - {{ id: 2, name: Visitor }}
segments:
  - {{ id: 101, name: Customers, rule: 9T }}
  - {{ id: 102, name: Visitors, rule: 2T }}
destinations:
  - id: 1
    name: Partner
    client_id: acct
    url: {url}
    id_data_sources: [501]
    mappings: [{{ segment: 101 }}, {{ segment: 102 }}]
    export_labels: [pii]
    max_linger: 20ms
    timeout: 30s
{batch}"
    )
}

fn files(batch: &str) -> Files {
    let url = "https://dsp.example/segments";
    let (free, blocked) = (catalog(url, "", batch), catalog(url, "no_pii", batch));
    Files::new(&[("free.yaml", &free), ("blocked.yaml", &blocked)])
}

#[test]
fn a_check_warns_of_what_is_blocked() {
    let files = files("");
    let check = |file: &str| tidings_in(files.path(), &format!("catalog check {file}")).shown();
    assert_snapshot!(check("free.yaml"), @r#"
    ok: 3 traits, 2 segments, 1 destinations
    exit 0
    "#);
    assert_snapshot!(check("blocked.yaml"), @r#"
    warning: blocked.yaml:17: destinations[0].mappings[0]: nothing of segment 101 is sent: blocked by export control no_pii of data source 777, through trait 1 (the destination is labelled `pii`)
    ok: 3 traits, 2 segments, 1 destinations
    exit 0
    "#);
}

#[test]
fn a_difference_tells_which_blocks_begin_and_end() {
    let files = files("");
    let diff = |args: &str| tidings_in(files.path(), &format!("catalog diff {args}"));
    assert_snapshot!(diff("free.yaml blocked.yaml").shown(), @r#"
    ~ data source 777 "CRM"
        export_controls: [] -> [no_pii]

    what follows:
      segment 101: what is mapped of it differs: members hear all their segments again when they are seen next
      destination 1: blocked for segment 101 by export control no_pii of data source 777, through trait 1: it hears neither 1 nor 0 of it
    exit 0
    "#);
    assert_snapshot!(diff("blocked.yaml free.yaml").shown(), @r#"
    ~ data source 777 "CRM"
        export_controls: [no_pii] -> []

    what follows:
      segment 101: what is mapped of it differs: members hear all their segments again when they are seen next
      destination 1: no export control blocks segment 101 any more: it is told of members, and of the 0 it is owed, when they are seen next
    exit 0
    "#);
    let json: Value = serde_json::from_str(&diff("free.yaml blocked.yaml --json").stdout).unwrap();
    let begins = &json["consequences"][1];
    let text = begins["text"].as_str().unwrap();
    assert!(text.contains("no_pii of data source 777"), "{text}");
    assert_eq!(
        *begins,
        json!({
            "code": "block_begins", "text": text, "destination": 1, "segment": 101,
            "control": "no_pii", "data_source": 777, "trait": 1,
        })
    );
    let json: Value = serde_json::from_str(&diff("blocked.yaml free.yaml --json").stdout).unwrap();
    let ends = &json["consequences"][1];
    assert_eq!(
        (&ends["code"], &ends["destination"], &ends["segment"]),
        (&json!("block_ends"), &json!(1), &json!(101))
    );
}

/// Every user object of a dry run: time, kind and states.
fn told(files: &Files, events: &str, until: &str) -> String {
    files.write("events.ndjson", events);
    let line = format!("simulate --catalog free.yaml --events events.ndjson --until {until}");
    let ended = tidings_in(files.path(), &line);
    assert_eq!(ended.status, 0, "{ended:?}");
    let mut out = Vec::new();
    for line in ended.stdout.lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        for user in message["body"]["Users"].as_array().unwrap() {
            let states = user["Segments"].as_array().unwrap().iter().map(|state| {
                let (id, status) = (&state["Segment_ID"], &state["Status"]);
                format!(" {}={}", id.as_str().unwrap(), status.as_str().unwrap())
            });
            let time = message["time"].as_str().unwrap();
            out.push(format!("{time}{}", states.collect::<String>()));
        }
    }
    out.join("\n")
}

#[test]
fn neither_real_time_nor_the_batch_tells_what_is_blocked() {
    let batch = "    batch: { at: \"02:00\" }\n";
    let events = r#"{"time":"2016-07-27T10:00:00Z","uuid":"1","traits":[1,2],"ids":[{"data_source":501,"id":"a"}]}
{"time":"2016-07-28T09:00:00Z","do":"catalog","file":"blocked.yaml"}
{"time":"2016-07-28T10:00:00Z","uuid":"1","remove_traits":[1]}
{"time":"2016-07-28T11:00:00Z","uuid":"2","traits":[1,2],"ids":[{"data_source":501,"id":"b"}]}
{"time":"2016-07-29T09:00:00Z","do":"catalog","file":"free.yaml"}
{"time":"2016-07-29T10:00:00Z","uuid":"1"}
"#;
    // Device 1 is seen after the block, device 2 is not: the batch tells its 1.
    assert_snapshot!(told(&files(batch), events, "2016-07-30T03:00:00Z"), @r#"
    2016-07-27T10:00:00Z 101=1 102=1
    2016-07-28T02:00:00Z 101=1 102=1
    2016-07-28T10:00:00Z 102=1
    2016-07-28T11:00:00Z 102=1
    2016-07-29T02:00:00Z 102=1
    2016-07-29T10:00:00Z 102=1 101=0
    2016-07-30T02:00:00Z 101=0
    2016-07-30T02:00:00Z 101=1
    "#);
}

pub(crate) async fn wait_for_generation(server: &Server, generation: u64) {
    poll("the catalog's turn", async || {
        (server.status().await["catalog"]["generation"] == generation).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_stops_a_running_mapping_until_it_is_taken_away() {
    let partner = Partner::start().await;
    let (free, blocked) = (
        catalog(&partner.url(), "", ""),
        catalog(&partner.url(), "no_pii", ""),
    );
    let home = Home::new(&free, &[&partner]);
    let server = home.start().await;
    let event = r#"{"uuid":"1","traits":[1,2],"ids":[{"data_source":501,"id":"p1"}]}"#;
    server.events(event).await;
    partner.wait_for_count(1).await;
    let none = json!({ "count": 0, "mappings": [] });
    assert_eq!(server.destination(1).await["export_blocks"], none);

    home.change_catalog(&blocked);
    wait_for_generation(&server, 2).await;
    let one = json!({ "segment": 101, "control": "no_pii", "data_source": 777, "trait": 1 });
    let blocks = &server.destination(1).await["export_blocks"];
    assert_eq!(*blocks, json!({ "count": 1, "mappings": [one] }));
    server.events(r#"{"uuid":"1","remove_traits":[1]}"#).await;
    partner.wait_for_count(2).await;
    let reply = send(server.admin, get("/v1/devices/1/why?segment=101")).await;
    let answer = &reply.json()["destinations"][0];
    assert_eq!(
        (&answer["answer"], &answer["explanation"]),
        (
            &json!("export_blocked"),
            &json!(
                "not told: blocked by export control no_pii of data source 777, through trait 1"
            )
        )
    );

    home.change_catalog(&free);
    wait_for_generation(&server, 3).await;
    assert_eq!(server.destination(1).await["export_blocks"], none);
    server.events(r#"{"uuid":"1"}"#).await;
    partner.wait_for_count(3).await;
    assert_eq!(
        partner.told(),
        [["p1 101=1 102=1"], ["p1 102=1"], ["p1 102=1 101=0"]]
    );
    server.stop().await;
}
