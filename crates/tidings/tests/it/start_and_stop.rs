//! How servers start, refuse to start, and stop.

use crate::support::{
    http::{get, send},
    partner::Partner,
    server::Home,
};
use serde_json::{Value, json};

fn catalog(partner: &Partner) -> String {
    format!(
        "data_sources: [{{ id: 501, name: Cookies, kind: cookie }}]
traits: [{{ id: 1, name: A }}, {{ id: 2, name: B }}]
segments: [{{ id: 101, name: S1, rule: '1T' }}, {{ id: 102, name: S2, rule: '2T' }}]
destinations:
  - id: 1
    name: Partner
    client_id: \"74323\"
    url: {}
    id_data_sources: [501]
    mappings: [{{ segment: 101 }}, {{ segment: 102 }}]
    max_linger: 20ms
    retry_delay: 20ms\n",
        partner.url()
    )
}

const ENTER: &str = r#"{"uuid":"1","traits":[1],"ids":[{"data_source":501,"id":"p1"}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn says_where_it_listens_for_as_long_as_it_does() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner), &[&partner]);
    let server = home.start().await;
    let addresses: Value = serde_json::from_str(&home.addresses().unwrap()).unwrap();
    let (collect, admin) = (server.collect, server.admin);
    assert_eq!(addresses, json!({ "collect": collect, "admin": admin }));
    for (path, expected) in [("/healthz", "200 ok\n"), ("/readyz", "200 ready\n")] {
        assert_eq!(send(admin, get(path)).await.shown(), expected);
    }
    // The public side has nothing of the private one.
    assert_eq!(send(collect, get("/v1/status")).await.status, 404);
    server.stop().await;
    assert_eq!(home.addresses(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn has_its_data_directory_to_itself() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner), &[&partner]);
    let server = home.start().await;
    let second = home.serve_to_its_end();
    assert_eq!(
        (second.status, second.stdout.as_str()),
        (1, ""),
        "{second:?}"
    );
    let pid = format!("in use by process {}", server.pid());
    assert!(second.stderr.contains(&pid), "{second:?}");
    // The first one does not notice.
    assert!(home.addresses().is_some());
    server.events(ENTER).await;
    partner.wait_for_count(1).await;
    server.stop().await;
    home.start().await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_start_on_a_port_that_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner), &[&partner]);
    home.change_config(
        "[collect]\nlisten = \"127.0.0.1:0\"",
        &format!("[collect]\nlisten = \"{address}\""),
    );
    let ended = home.serve_to_its_end();
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(
        ended
            .stderr
            .contains(&format!("[collect] listen = \"{address}\"")),
        "{ended:?}"
    );
    assert_eq!(home.addresses(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_what_is_on_its_way_and_keeps_the_rest() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner), &[&partner]);
    let server = home.start().await;
    partner.set_faults(&["hang"]);
    server.events(ENTER).await;
    partner.wait_for_count(1).await;
    // Touched while its message is on its way, so there is more to tell afterwards.
    server.events(r#"{"uuid":"1","traits":[2]}"#).await;
    server.stop().await;
    // One request, unless the machine was so busy that there was time for the retry.
    let before = partner.told();
    assert!(
        before.iter().all(|told| *told == ["p1 101=1"]),
        "{before:?}"
    );
    let before = before.len();
    partner.set_faults(&[]);
    let server = home.start().await;
    partner.wait_for_count(before + 1).await;
    assert_eq!(partner.told()[before], ["p1 101=1 102=1"]);
    server
        .wait_for_destination(1, "a message delivered", |status| {
            status["messages_delivered"] == 1 && status["in_flight"] == 0
        })
        .await;
    // What was told is not told again by the next one: whatever is, is told before or together with
    // another device.
    server.stop().await;
    let server = home.start().await;
    server
        .events(&ENTER.replace(r#""1""#, r#""2""#).replace("p1", "p2"))
        .await;
    partner.wait_for_count(before + 2).await;
    assert_eq!(partner.told()[before + 1], ["p2 101=1"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_tells_what_it_accepted_after_its_next_start() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner), &[&partner]);
    let mut server = home.start().await;
    partner.set_faults(&["hang"]);
    server.events(ENTER).await;
    partner.wait_for_count(1).await;
    // The message on its way may have been taken, so the zero is owed although nobody knows.
    server.kill().await;
    partner.set_faults(&["status=503"]);
    let server = home.start().await;
    server.events(r#"{"uuid":"1","remove_traits":[1]}"#).await;
    partner.set_faults(&[]);
    partner
        .wait_for("the zero", |seen| {
            (seen.last()?.told() == ["p1 101=0"]).then_some(())
        })
        .await;
    server
        .wait_for_destination(1, "everything told", |status| {
            status["held"] == 0 && status["waiting"] == 0 && status["in_flight"] == 0
        })
        .await;
    assert_eq!(partner.state("p1", 101), Some(false));
    server.stop().await;
}
