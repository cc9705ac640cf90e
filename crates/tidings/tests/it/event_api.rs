//! Events over HTTP: what is accepted, what is refused and how, and which device they are of.

use crate::support::{
    http::{Reply, get, post, send},
    partner::Partner,
    server::{Home, Options, Server},
};
use serde_json::{Value, json};

const CATALOG: &str = r#"data_sources: [{ id: 501, name: Cookies, kind: cookie }, { id: 502, name: Others, kind: cookie }]
traits: [{ id: 1, name: A }, { id: 2, name: B, rule: 'page == "checkout"' }]
segments: [{ id: 101, name: S1, rule: '1T' }, { id: 102, name: S2, rule: '2T' }]
"#;

async fn start() -> (Partner, Home, Server) {
    let partner = Partner::start().await;
    let catalog = format!(
        "{CATALOG}destinations:
  - id: 1
    name: Partner
    client_id: \"74323\"
    url: {}
    id_data_sources: [501]
    mappings: [{{ segment: 101 }}, {{ segment: 102 }}]
    max_linger: 20ms
    timeout: 30s\n",
        partner.url()
    );
    let options = Options {
        virtual_now: Some("2016-07-27T16:17:22Z"),
        ..Options::default()
    };
    let home = Home::with(&catalog, &[&partner], options);
    let server = home.start().await;
    (partner, home, server)
}

/// Posts JSON to the event API.
async fn post_json(server: &Server, body: impl Into<bytes::Bytes>) -> Reply {
    send(server.collect, post("/v1/events", "application/json", body)).await
}

/// Accepted, duplicates, and the codes of the rejected.
fn tally(answer: &Value) -> (u64, u64, Vec<&str>) {
    let rejected = answer["rejected"].as_array().unwrap();
    let codes = rejected.iter().map(|one| one["code"].as_str().unwrap());
    let count = |name: &str| answer[name].as_u64().unwrap();
    (count("accepted"), count("duplicates"), codes.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn drops_duplicates_for_a_day() {
    let (partner, home, server) = start().await;
    let enter =
        r#"{"uuid":"1","event_id":"e-1","traits":[1],"ids":[{"data_source":501,"id":"p1"}]}"#;
    let leave = r#"{"uuid":"1","event_id":"e-2","remove_traits":[1]}"#;
    let answer = server.events(&format!("{enter}\n{leave}\n{enter}\n")).await;
    assert_eq!(tally(&answer), (2, 1, vec![]));
    assert_eq!(answer["uuids"], json!(["1", "1", "1"]));
    // The id is remembered per device, and over a restart.
    let other = enter
        .replace(r#""uuid":"1""#, r#""uuid":"2""#)
        .replace("p1", "p2");
    assert_eq!(tally(&server.events(&other).await), (1, 0, vec![]));
    partner.wait_for_count(1).await;
    server.stop().await;
    let server = home.start().await;
    server.set_clock("2016-07-28T16:17:21Z").await;
    assert_eq!(tally(&server.events(enter).await), (0, 1, vec![]));
    server.set_clock("2016-07-28T16:17:22Z").await;
    assert_eq!(tally(&server.events(enter).await), (1, 0, vec![]));
    partner.wait_for_count(2).await;
    // The first device entered and left before anything was sent, so only its return was told.
    assert_eq!(partner.told(), [["p2 101=1"], ["p1 101=1"]]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_the_past_and_refuses_the_future() {
    let (partner, _home, server) = start().await;
    let events = r#"{"uuid":"1","time":"2016-07-27T16:17:23Z","traits":[1]}
{"uuid":"1","time":"2016-07-27T16:17:22Z","traits":[1],"ids":[{"data_source":501,"id":"p1"}]}
{"uuid":"2","time":"2016-07-01T00:00:00Z","traits":[1],"ids":[{"data_source":501,"id":"p2"}]}
"#;
    let answer = server.events(events).await;
    assert_eq!(tally(&answer), (2, 0, vec!["time_in_future"]));
    assert_eq!(answer["uuids"], json!([null, "1", "2"]));
    assert_eq!(answer["rejected"][0]["index"], 0);
    // What is told is when the state was evaluated, not when the event happened.
    let seen = partner.wait_for_count(1).await;
    assert_eq!(seen[0].told(), ["p1 101=1", "p2 101=1"]);
    let evaluated = tidings_model::Timestamp::parse("2016-07-27T16:17:22Z").unwrap();
    for user in &seen[0].message.users {
        assert_eq!(user.segments[0].date_time, evaluated.0);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_devices_by_their_ids() {
    let (partner, _home, server) = start().await;
    let answer = server
        .events(r#"{"ids":[{"data_source":501,"id":"p1"}],"signals":{"page":"checkout"}}"#)
        .await;
    let uuid = answer["uuids"][0].as_str().unwrap().to_owned();
    assert_eq!(uuid.len(), 38);
    partner.wait_for_count(1).await;
    // The same device again, known by one id and declaring another.
    let events = r#"{"ids":[{"data_source":501,"id":"p1"},{"data_source":502,"id":"q1"}],"traits":[1]}
{"ids":[{"data_source":502,"id":"q1"}],"signals":{"page":["cart","checkout"]}}
{"ids":[{"data_source":502,"id":"q2"}]}
{"signals":{"page":"home"}}
"#;
    let answer = server.events(events).await;
    let uuids = answer["uuids"].as_array().unwrap();
    assert_eq!((&uuids[0], &uuids[1]), (&json!(uuid), &json!(uuid)));
    assert!(uuids[2] != uuid && uuids[3] != uuid && uuids[2] != uuids[3]);
    let seen = partner.wait_for_count(2).await;
    assert_eq!(seen[0].told(), ["p1 102=1"]);
    assert_eq!(seen[1].told(), ["p1 101=1 102=1"]);
    assert_eq!(seen[1].message.users[0].aam_uuid, uuid);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_the_state_at_the_first_sighting_of_an_id() {
    let (partner, _home, server) = start().await;
    server.events(r#"{"uuid":"1","traits":[1]}"#).await;
    server
        .events(r#"{"uuid":"1","ids":[{"data_source":501,"id":"p1"}]}"#)
        .await;
    partner.wait_for_count(1).await;
    // Seen again, nothing is told; another id of the device is.
    server
        .events(r#"{"uuid":"1","ids":[{"data_source":501,"id":"p1"}]}"#)
        .await;
    server
        .events(r#"{"uuid":"2","traits":[1],"ids":[{"data_source":501,"id":"bystander"}]}"#)
        .await;
    partner.wait_for_count(2).await;
    server
        .events(r#"{"uuid":"1","ids":[{"data_source":501,"id":"p9"}]}"#)
        .await;
    partner.wait_for_count(3).await;
    assert_eq!(
        partner.told(),
        [["p1 101=1"], ["bystander 101=1"], ["p9 101=1"]]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_what_cannot_be_taken() {
    let (_partner, _home, server) = start().await;
    let problem = async |reply: Reply, status: u16, code: &str| {
        assert_eq!(reply.status, status, "{}", reply.shown());
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        let body = reply.json();
        assert_eq!(
            (&body["status"], &body["code"]),
            (&json!(status), &json!(code))
        );
    };
    problem(post_json(&server, "").await, 400, "empty_body").await;
    problem(post_json(&server, "[{").await, 400, "invalid_json").await;
    let large = " ".repeat(tidings_model::limits::EVENTS_BODY_BYTES_MAX + 1);
    problem(post_json(&server, large).await, 413, "body_too_large").await;
    let many = format!(
        "[{}{{}}]",
        "{},".repeat(tidings_model::limits::EVENTS_PER_REQUEST_MAX)
    );
    problem(post_json(&server, many).await, 413, "too_many_events").await;
    let text = send(server.collect, post("/v1/events", "text/plain", "{}")).await;
    problem(text, 415, "unsupported_media_type").await;
    problem(
        send(server.collect, get("/v1/events")).await,
        405,
        "method_not_allowed",
    )
    .await;
    problem(
        send(server.collect, get("/nowhere")).await,
        404,
        "not_found",
    )
    .await;

    // A bad event does not spoil its neighbours.
    let events = r#"[{"uuid":"x"},{"uuid":"1","traits":[9]},{"uuid":"1"},{"uuid":"1","ids":[{"data_source":9,"id":"a"}]},{"color":"red"}]"#;
    let reply = post_json(&server, events).await;
    let answer = reply.json();
    assert_eq!(reply.status, 200);
    let codes = [
        "invalid_uuid",
        "unknown_trait",
        "unknown_data_source",
        "unknown_field",
    ];
    assert_eq!(tally(&answer), (1, 0, codes.to_vec()));
    assert_eq!(answer["uuids"], json!([null, null, "1", null, null]));
    let indices: Vec<_> = answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["index"])
        .collect();
    assert_eq!(indices, [0, 1, 3, 4]);
    let status = server.status().await;
    assert_eq!(status["events"]["accepted"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moves_a_virtual_clock_forward_only() {
    let (_partner, _home, server) = start().await;
    let clock = async |body: &'static str| {
        send(
            server.admin,
            post("/v1/dev/clock", "application/json", body),
        )
        .await
    };
    let reply = clock(r#"{"advance":"48h"}"#).await;
    assert_eq!(reply.shown(), r#"200 {"now":"2016-07-29T16:17:22Z"}"#);
    assert_eq!(clock(r#"{"set":"2016-07-28T00:00:00Z"}"#).await.status, 409);
    assert_eq!(clock(r#"{"set":"noon"}"#).await.status, 400);
    assert_eq!(clock(r#"{"advance":"48"}"#).await.status, 400);
    assert_eq!(server.status().await["now"], "2016-07-29T16:17:22Z");
    server.stop().await;
}
