//! Removals: a Status 0 stays owed until the partner has acknowledged it.

use crate::support::{Partner, catalog, eventually, request, serve, set_clock, text};
use serde_json::Value;
use std::time::Duration;
use tidings_model::Catalog;
use tidings_runtime::Server;

const START: &str = "2016-07-27T16:00:00Z";

fn dropping_catalog(partner: &Partner) -> Catalog {
    catalog(&format!(
        r#"
data_sources:
  - {{ id: 55, name: Cookies, kind: cookie }}
traits:
  - {{ id: 1, name: Cart, ttl_days: 3 }}
segments:
  - {{ id: 10, name: Cart, rule: "1T" }}
destinations:
  - id: 7
    name: Partner
    client_id: "1"
    url: {}/segments
    id_data_sources: [55]
    mappings: [{{ segment: 10 }}]
    max_linger: 5ms
    retry_delay: 5ms
    after_failure: drop
"#,
        partner.running.url()
    ))
}

/// An event of the device with this number and partner id.
async fn post(server: &Server, number: u32, members: &str) {
    let body = format!(
        r#"{{"uuid":"{number:038}","ids":[{{"data_source":55,"id":"id{number}"}}],{members}}}"#
    );
    let answer = request(server.collect_addr(), "POST /v1/events", &body).await;
    assert_eq!(answer["accepted"], 1, "{answer}");
}

async fn messages_failed(server: &Server) -> u64 {
    let status = request(server.admin_addr(), "GET /v1/status", "").await;
    status["destinations"][0]["messages_failed"]
        .as_u64()
        .unwrap()
}

/// Whether the device was told these states.
fn told(partner: &Partner, number: u32, states: &str) -> bool {
    let heard = partner.heard();
    let mut users = heard.iter().flat_map(|message| &message.users);
    users.any(|(id, told)| *id == format!("id{number}") && told == states)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zero_outlives_a_message_that_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = serve(dir.path(), dropping_catalog(&partner), &partner, START);
    let server = server.await.unwrap();
    post(&server, 1, r#""traits":[1]"#).await;
    eventually("the device is told in", || told(&partner, 1, "10=1")).await;

    partner.set_faults(&["status=500"]);
    post(&server, 1, r#""remove_traits":[1]"#).await;
    while messages_failed(&server).await == 0 {
        tokio::task::yield_now().await;
    }
    // A device that only enters is dropped for good; it makes the partner heard to answer again.
    partner.set_faults(&[]);
    post(&server, 2, r#""traits":[1]"#).await;
    eventually("the zero is told", || told(&partner, 1, "10=0")).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zero_outlives_a_restart_after_its_message_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = serve(dir.path(), dropping_catalog(&partner), &partner, START);
    let server = server.await.unwrap();
    post(&server, 1, r#""traits":[1]"#).await;
    eventually("the device is told in", || told(&partner, 1, "10=1")).await;
    partner.set_faults(&["status=500"]);
    post(&server, 1, r#""remove_traits":[1]"#).await;
    while messages_failed(&server).await == 0 {
        tokio::task::yield_now().await;
    }
    server.stop().await.unwrap();

    partner.set_faults(&[]);
    let server = serve(dir.path(), dropping_catalog(&partner), &partner, START);
    let server = server.await.unwrap();
    eventually("the zero is told", || told(&partner, 1, "10=0")).await;
    server.stop().await.unwrap();
}

/// The ledger's rows that a query finds.
async fn ledger(server: &Server, query: &str) -> Vec<Value> {
    let text = text(server.admin_addr(), &format!("GET /v1/removals{query}")).await;
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Waits until the ledger's only row is like this, and gives it.
async fn only_removal(server: &Server, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let rows = ledger(server, "").await;
        if let [row] = &rows[..]
            && is_so(row)
        {
            return row.clone();
        }
        assert!(rows.len() < 2, "{rows:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_proves_a_removal() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = serve(dir.path(), dropping_catalog(&partner), &partner, START);
    let server = server.await.unwrap();
    post(&server, 1, r#""traits":[1]"#).await;
    eventually("the device is told in", || told(&partner, 1, "10=1")).await;
    assert_eq!(ledger(&server, "").await, [] as [Value; 0]);

    partner.set_faults(&["status=500"]);
    post(&server, 1, r#""remove_traits":[1]"#).await;
    let row = only_removal(&server, |row| row["tries"] == 1).await;
    assert_eq!(row["state"], "owed");
    assert_eq!(row["cause"], "rule");
    assert_eq!(row["destination"], 7);
    assert_eq!(row["device"], format!("{:038}", 1));
    assert_eq!(row["segment"], 10);
    assert_eq!(row["namespace"], 55);
    assert_eq!(row["partner_id"], "id1");
    assert_eq!(row["owed"], START);
    assert_eq!(row["first_tried"], START);
    assert!(row["ended"].is_null() && row["message"].is_null(), "{row}");
    assert_eq!(ledger(&server, "?state=owed").await.len(), 1);
    assert_eq!(ledger(&server, "?state=acknowledged").await.len(), 0);
    server.stop().await.unwrap();

    partner.set_faults(&[]);
    let server = serve(dir.path(), dropping_catalog(&partner), &partner, START);
    let server = server.await.unwrap();
    let row = only_removal(&server, |row| row["state"] == "acknowledged").await;
    assert_eq!(row["tries"], 2);
    assert_eq!(row["ended"], START);
    let device = format!("{:038}", 1);
    let query =
        format!("GET /v1/destinations/7/attempts?device={device}&outcome=delivered&limit=1");
    let attempts = request(server.admin_addr(), &query, "").await;
    assert_eq!(
        row["message"], attempts["attempts"][0]["message"],
        "{attempts}"
    );
    for (query, count) in [
        (format!("?device={device}"), 1),
        ("?device=2".to_owned(), 0),
        ("?destination=7&from=2016-07-27T16:00:00Z".to_owned(), 1),
        ("?destination=8".to_owned(), 0),
        ("?to=2016-07-27T16:00:00Z".to_owned(), 0),
    ] {
        assert_eq!(ledger(&server, &query).await.len(), count, "{query}");
    }
    let csv = text(server.admin_addr(), "GET /v1/removals?format=csv").await;
    let mut lines = csv.lines();
    assert!(
        lines.next().unwrap().starts_with("destination,device,"),
        "{csv}"
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with(&format!("7,{device},10,55,id1,acknowledged,rule,")),
        "{csv}"
    );
    assert_eq!(lines.next(), None);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entering_again_cancels_a_removal() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = serve(dir.path(), dropping_catalog(&partner), &partner, START);
    let server = server.await.unwrap();
    post(&server, 1, r#""traits":[1]"#).await;
    eventually("the device is told in", || told(&partner, 1, "10=1")).await;
    partner.set_faults(&["status=500"]);
    post(&server, 1, r#""remove_traits":[1]"#).await;
    only_removal(&server, |row| row["state"] == "owed" && row["tries"] == 1).await;
    post(&server, 1, r#""traits":[1]"#).await;
    let row = only_removal(&server, |row| row["state"] == "cancelled").await;
    assert_eq!(row["ended"], START);
    assert!(row["message"].is_null(), "{row}");

    // Another departure is another removal, and the ledger has both.
    partner.set_faults(&[]);
    post(&server, 1, r#""remove_traits":[1]"#).await;
    eventually("the device is told out", || told(&partner, 1, "10=0")).await;
    let states = async || {
        let rows = ledger(&server, "").await;
        let state = |row: &Value| row["state"].as_str().unwrap().to_owned();
        rows.iter().map(state).collect::<Vec<_>>()
    };
    while states().await != ["cancelled", "acknowledged"] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = serve(dir.path(), dropping_catalog(&partner), &partner, START);
    let server = server.await.unwrap();
    post(&server, 1, r#""traits":[1]"#).await;
    eventually("the device is told in", || told(&partner, 1, "10=1")).await;
    set_clock(&server, "2016-09-01T00:00:00Z").await;
    let row = only_removal(&server, |row| row["state"] == "acknowledged").await;
    assert_eq!(row["cause"], "expiry", "{row}");
    server.stop().await.unwrap();
}
