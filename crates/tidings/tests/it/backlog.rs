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
