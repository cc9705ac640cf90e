//! More devices to be told than a destination's task keeps in memory.

use crate::support::{partner::Partner, poll, server::Home};
use std::fmt::Write as _;
use tidings_model::limits::HINTS_PER_DESTINATION_MAX;

#[tokio::test(flavor = "multi_thread")]
async fn is_told_in_full_when_the_partner_is_back() {
    const REQUESTS: usize = 11;
    let devices = HINTS_PER_DESTINATION_MAX + 2_000;
    let partner = Partner::start().await;
    partner.set_faults(&["status=503"]);
    let catalog = format!(
        "data_sources: [{{ id: 501, name: Cookies, kind: cookie }}]
traits: [{{ id: 1, name: A }}]
segments: [{{ id: 101, name: S1, rule: '1T' }}]
destinations:
  - id: 1
    name: Partner
    client_id: \"74323\"
    url: {}
    id_data_sources: [501]
    mappings: [{{ segment: 101 }}]
    max_users: 100
    max_linger: 20ms
    retry_delay: 20ms\n",
        partner.url()
    );
    let home = Home::new(&catalog, &[&partner]);
    let server = home.start().await;
    for request in 0..REQUESTS {
        let mut events = String::new();
        for device in (request..devices).step_by(REQUESTS) {
            writeln!(
                events,
                r#"{{"uuid":"{device:038}","traits":[1],"ids":[{{"data_source":501,"id":"p{device}"}}]}}"#
            )
            .unwrap();
        }
        server.events(&events).await;
    }
    let status = server
        .wait_for_destination(1, "given up for now", |status| status["health"] == "open")
        .await;
    let kept = status["waiting"].as_u64().unwrap() + status["held"].as_u64().unwrap();
    assert!(kept <= HINTS_PER_DESTINATION_MAX as u64, "{status}");
    partner.set_faults(&[]);
    let told = |device: usize| partner.state(&format!("p{device}"), 101) == Some(true);
    poll("every device to be told", async || {
        (0..devices).all(told).then_some(())
    })
    .await;
    let is_done = |status: &serde_json::Value| {
        ["waiting", "held", "in_flight"]
            .iter()
            .all(|name| status[name] == 0)
    };
    server
        .wait_for_destination(1, "nothing left", is_done)
        .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_outage_is_a_row_per_user_told_once() {
    const USERS: usize = 300;
    let partner = Partner::start().await;
    let catalog = format!(
        "data_sources: [{{ id: 501, name: Cookies, kind: cookie }}]
traits: [{{ id: 1, name: A }}]
segments: [{{ id: 101, name: S1, rule: '1T' }}]
destinations:
  - id: 1
    name: Partner
    client_id: \"74323\"
    url: {}
    id_data_sources: [501]
    mappings: [{{ segment: 101 }}]
    max_linger: 20ms
    retry_delay: 20ms\n",
        partner.url()
    );
    let home = Home::new(&catalog, &[&partner]);
    let server = home.start().await;
    // Half of the users get the trait and half lose it, and the other way round in the next round.
    let round = |round: usize| {
        (0..USERS).fold(String::new(), |mut events, user| {
            let gets = (user + round).is_multiple_of(2);
            let member = if gets { "traits" } else { "remove_traits" };
            writeln!(
                events,
                r#"{{"uuid":"{user:038}","{member}":[1],"ids":[{{"data_source":501,"id":"p{user}"}}]}}"#
            )
            .unwrap();
            events
        })
    };
    let is_so = |round: usize| {
        let has = |user: usize| partner.state(&format!("p{user}"), 101) == Some(true);
        (0..USERS).all(|user| has(user) == (user + round).is_multiple_of(2))
    };
    for number in 0..2 {
        server.events(&round(number)).await;
        poll("every user to be told", async || {
            is_so(number).then_some(())
        })
        .await;
    }
    partner.set_faults(&["status=503"]);
    for number in 2..15 {
        server.events(&round(number)).await;
    }
    server
        .wait_for_destination(1, "given up for now", |status| status["health"] == "open")
        .await;
    let before = partner.seen().len();
    partner.set_faults(&[]);
    poll("every user to be told of the last round", async || {
        is_so(14).then_some(())
    })
    .await;
    server
        .wait_for_destination(1, "nothing left", |status| {
            status["health"] == "healthy" && status["in_flight"] == 0
        })
        .await;
    // What was tried before the partner was back has no success among it.
    let seen = partner.seen();
    let told = seen[before..].iter().filter(|seen| seen.status == 200);
    let mut users: Vec<_> = told.flat_map(|seen| seen.told()).collect();
    let count = users.len();
    users.sort_unstable();
    users.dedup();
    assert_eq!((count, users.len()), (USERS, USERS), "each once");
    server.stop().await;
}
