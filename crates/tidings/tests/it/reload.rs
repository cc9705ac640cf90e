//! A changed catalog under a running server: followed when it is right, refused whole when not.

use crate::support::{
    partner::Partner,
    poll,
    server::{Home, Server},
};

fn catalog(partner: &Partner, rule: &str, destination: &str) -> String {
    format!(
        "data_sources: [{{ id: 501, name: Cookies }}]
traits: [{{ id: 1, name: A }}, {{ id: 2, name: B }}]
segments: [{{ id: 101, name: S1, rule: '{rule}' }}]
destinations:
  - id: 1
    name: Partner
    client_id: acct
    url: {}
    id_data_sources: [501]
    mappings: [{{ segment: 101 }}]
    max_linger: 20ms
    timeout: 30s
{destination}",
        partner.url()
    )
}

/// Waits until the catalog with this generation is in use and nothing is refused.
async fn wait_for_generation(server: &Server, generation: u64) {
    poll("the catalog's turn", async || {
        let catalog = &server.status().await["catalog"];
        (catalog["generation"] == generation && catalog["refused"].is_null()).then_some(())
    })
    .await;
}

/// Waits until a catalog is refused and gives the reason.
async fn wait_for_refusal(server: &Server) -> String {
    poll("the refusal", async || {
        let catalog = &server.status().await["catalog"];
        catalog["refused"].as_str().map(str::to_owned)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_followed_without_being_told() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner, "1T", ""), &[&partner]);
    let server = home.start().await;
    let event = r#"{"uuid":"1","traits":[1],"ids":[{"data_source":501,"id":"p1"}]}"#;
    server.events(event).await;
    partner.wait_for_count(1).await;
    home.change_catalog(&catalog(&partner, "1T AND NOT 2T", ""));
    wait_for_generation(&server, 2).await;
    server.events(r#"{"uuid":"1","traits":[2]}"#).await;
    partner.wait_for_count(2).await;
    assert_eq!(partner.told(), [["p1 101=1"], ["p1 101=0"]]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_file_whatever_it_looks_like() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner, "1T", ""), &[&partner]);
    let server = home.start().await;
    // Its age says that nothing has changed, so only the signal can make the server read it.
    home.change_catalog_in_secret(&catalog(&partner, "2T", ""));
    server.hang_up();
    wait_for_generation(&server, 2).await;
    // The same file again changes nothing.
    server.hang_up();
    let event = r#"{"uuid":"1","traits":[2],"ids":[{"data_source":501,"id":"p1"}]}"#;
    server.events(event).await;
    partner.wait_for_count(1).await;
    assert_eq!(partner.told(), [["p1 101=1"]]);
    assert_eq!(server.status().await["catalog"]["generation"], 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_every_mistake_is_named() {
    let partner = Partner::start().await;
    let right = catalog(&partner, "1T", "");
    let home = Home::new(&right, &[&partner]);
    let server = home.start().await;
    // Three mistakes, and the destination would be paused if any of it were used.
    home.change_catalog(&catalog(
        &partner,
        "NOT 1T",
        "    status: paused\n    max_users: 0\n    colour: red\n",
    ));
    let places = [
        "catalog.yaml:3: segments[0].rule: ",
        "catalog.yaml:14: destinations[0].max_users: ",
        "catalog.yaml:15: destinations[0]: unknown key `colour`",
    ];
    let refused = wait_for_refusal(&server).await;
    let log = home.log();
    let logged = log
        .lines()
        .find(|line| line.contains("catalog not reloaded"));
    let logged: serde_json::Value = serde_json::from_str(logged.unwrap()).unwrap();
    for text in [&refused, logged["reason"].as_str().unwrap()] {
        for place in places {
            assert!(text.contains(place), "no {place:?} in:\n{text}");
        }
    }
    let event = r#"{"uuid":"1","traits":[1],"ids":[{"data_source":501,"id":"p1"}]}"#;
    server.events(event).await;
    partner.wait_for_count(1).await;
    // The file as it was is the catalog in use; nothing is refused any more.
    home.change_catalog(&right);
    wait_for_generation(&server, 1).await;
    assert_eq!(partner.told(), [["p1 101=1"]]);
    server.stop().await;
}
