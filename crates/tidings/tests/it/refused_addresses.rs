//! Destinations on this machine, without the switch that allows them: nobody is dialled, and what
//! is allowed goes on. With the switch, the server itself is still not dialled.

use crate::support::{
    http::{get, send},
    partner::Partner,
    poll,
    server::{Home, Options},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::net::TcpListener;

/// Takes connections and counts them.
async fn canary() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn are_never_dialled() {
    let (port, connections) = canary().await;
    let hosts = [
        "127.0.0.1",
        "localhost",
        "partner.localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
    ];
    let mut destinations = String::new();
    for (id, host) in (1..).zip(hosts) {
        destinations += &destination(id, &format!("https://{host}:{port}/segments"));
    }
    // A public name is not refused. It does not exist, which is not known before it is resolved.
    const PUBLIC: u32 = 90;
    destinations += &destination(PUBLIC, "https://partner.invalid/segments");
    let catalog = catalog(&destinations);
    let options = Options {
        only_public_addresses: true,
        ..Options::default()
    };
    let home = Home::with(&catalog, &[], options);
    let server = home.start().await;
    let answer = server
        .events(r#"{"uuid":"1","traits":[1],"ids":[{"data_source":501,"id":"p1"}]}"#)
        .await;
    assert_eq!(answer["accepted"], 1);
    // The public one was tried twice, in vain: whatever else would be dialled has been by then.
    let public = server
        .wait_for_destination(PUBLIC, "a message given up", |status| {
            status["messages_failed"] == 1 && status["health"] == "failing"
        })
        .await;
    assert!(public["attempts"].as_u64() >= Some(2), "{public}");
    assert!(public["refused"].is_null());
    for (id, host) in (1..).zip(hosts) {
        let status = server.destination(id).await;
        assert_eq!(status["health"], "refused", "{host}: {status}");
        assert!(
            status["refused"].as_str().unwrap().contains("url"),
            "{status}"
        );
        assert_eq!(status["attempts"], 0, "{host}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    assert_eq!(send(server.admin, get("/readyz")).await.status, 200);
    server.stop().await;
}

fn catalog(destinations: &str) -> String {
    format!(
        "data_sources: [{{ id: 501, name: Cookies, kind: cookie }}]
traits: [{{ id: 1, name: A }}]
segments: [{{ id: 101, name: S1, rule: '1T' }}]
destinations:\n{destinations}"
    )
}

fn event(user: u32) -> String {
    format!(r#"{{"uuid":"{user}","traits":[1],"ids":[{{"data_source":501,"id":"p{user}"}}]}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_does_not_send_to_itself() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&destination(1, &partner.url())), &[&partner]);
    let server = home.start().await;
    // The ports are known only now. This machine may be sent to, as the partner shows.
    let mut destinations = destination(1, &partner.url());
    for (id, side) in [(2, server.collect), (3, server.admin)] {
        destinations += &destination(id, &format!("https://{side}/v1/events"));
        let port = side.port();
        let by_name = format!("https://localhost:{port}/v1/events");
        destinations += &destination(id + 2, &by_name);
    }
    home.change_catalog(&catalog(&destinations));
    server.hang_up();
    for id in [2, 3, 4, 5] {
        let status = server
            .wait_for_destination(id, "refused", |status| status["health"] == "refused")
            .await;
        let reason = "url: 127.0.0.1 is refused: where this server itself listens";
        assert_eq!(status["refused"], reason, "{status}");
    }
    server.events(&event(1)).await;
    partner.wait_for_count(1).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn are_closed_and_opened_by_a_change_of_the_configuration() {
    const OPEN: &str = "dangerous_allow_private_addresses = true";
    const CLOSED: &str = "dangerous_allow_private_addresses = false";
    let (by_address, by_name) = (Partner::start().await, Partner::start().await);
    let destinations = destination(1, &by_address.url())
        + &destination(2, &by_name.url().replace("127.0.0.1", "localhost"));
    let home = Home::new(&catalog(&destinations), &[&by_address, &by_name]);
    let server = home.start().await;
    server.events(&event(1)).await;
    by_address.wait_for_count(1).await;
    by_name.wait_for_count(1).await;

    home.change_config(OPEN, CLOSED);
    server.hang_up();
    for (id, reason) in [
        (1, "url: 127.0.0.1 is refused: a loopback address"),
        (2, "url: localhost is this machine"),
    ] {
        let status = server
            .wait_for_destination(id, "refused", |status| status["health"] == "refused")
            .await;
        assert_eq!(status["refused"], reason);
    }
    server.events(&event(2)).await;

    // A mistake changes nothing.
    home.change_config(CLOSED, "dangerous_allow_private_addresses = 1");
    server.hang_up();
    poll("the refusal of the configuration", async || {
        let refused = home.log().contains("configuration not read again");
        refused.then_some(())
    })
    .await;
    for (id, partner) in [(1, &by_address), (2, &by_name)] {
        assert_eq!(server.destination(id).await["health"], "refused");
        let stats = partner.stats();
        assert_eq!((stats.connections, stats.requests), (1, 1));
    }

    home.change_config("dangerous_allow_private_addresses = 1", OPEN);
    server.hang_up();
    let seen = by_address.wait_for_count(2).await;
    assert_eq!(seen[1].told(), ["p2 101=1"]);
    let seen = by_name.wait_for_count(2).await;
    assert_eq!(seen[1].told(), ["p2 101=1"]);
    server.stop().await;
}

fn destination(id: u32, url: &str) -> String {
    format!(
        "  - {{ id: {id}, name: Partner {id}, client_id: c, url: \"{url}\", id_data_sources: [501], \
         mappings: [{{ segment: 101 }}], max_linger: 20ms, retry_delay: 20ms }}\n"
    )
}
