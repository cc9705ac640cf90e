//! Removals: a Status 0 stays owed until the partner has acknowledged it.

use crate::support::{Partner, catalog, eventually, request, serve};
use tidings_model::Catalog;
use tidings_runtime::Server;

const START: &str = "2016-07-27T16:00:00Z";

fn dropping_catalog(partner: &Partner) -> Catalog {
    catalog(&format!(
        r#"
data_sources:
  - {{ id: 55, name: Cookies, kind: cookie }}
traits:
  - {{ id: 1, name: Cart }}
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
