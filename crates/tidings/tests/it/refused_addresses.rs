//! Destinations on this machine, without the switch that allows them: nobody is dialled, and what
//! is allowed goes on.

use crate::support::{
    http::{get, send},
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
    let catalog = format!(
        "data_sources: [{{ id: 501, name: Cookies, kind: cookie }}]
traits: [{{ id: 1, name: A }}]
segments: [{{ id: 101, name: S1, rule: '1T' }}]
destinations:\n{destinations}"
    );
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

fn destination(id: u32, url: &str) -> String {
    format!(
        "  - {{ id: {id}, name: Partner {id}, client_id: c, url: \"{url}\", id_data_sources: [501], \
         mappings: [{{ segment: 101 }}], max_linger: 20ms, retry_delay: 20ms }}\n"
    )
}
