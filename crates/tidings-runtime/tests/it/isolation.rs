//! Destinations do not wait for each other.

use crate::support::{Partner, catalog, eventually, request, serve};
use std::fmt::Write as _;
use tokio::{net::TcpListener, sync::mpsc};

/// Messages that a destination can have on their way, and more that wait behind them.
const DEVICES: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_hangs_delays_no_other_destination() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    // It takes connections and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute_url = format!("https://{}/", mute.local_addr().unwrap());
    let (opened, mut handshakes) = mpsc::unbounded_channel();
    let muted = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(mute.accept().await.unwrap());
            opened.send(()).unwrap();
        }
    });
    let mut text = String::from(
        "data_sources: [{ id: 55, name: Cookies }]\ntraits: [{ id: 1, name: Cart }]\n\
         segments: [{ id: 10, name: Cart, rule: 1T }]\ndestinations:\n",
    );
    for (id, url) in [(7, &partner.running.url()), (8, &mute_url)] {
        writeln!(
            text,
            "  - {{ id: {id}, name: D{id}, client_id: c, url: \"{url}\", id_data_sources: [55], \
             mappings: [{{ segment: 10 }}], max_users: 1, max_linger: 0s, timeout: 60s, retries: 0 }}"
        )
        .unwrap();
    }
    let server = serve(dir.path(), catalog(&text), &partner, "2016-07-27T16:00:00Z");
    let server = server.await.unwrap();
    let post = async |numbers: std::ops::Range<usize>| {
        let events = numbers.map(|number| {
            format!(
                r#"{{"uuid":"{number:038}","ids":[{{"data_source":55,"id":"id{number}"}}],"traits":[1]}}"#
            )
        });
        let body = format!("[{}]", events.collect::<Vec<_>>().join(","));
        request(server.collect_addr(), "POST /v1/events", &body).await;
    };
    post(0..1).await;
    handshakes.recv().await.unwrap();
    post(1..DEVICES).await;
    eventually("the other is told all", || partner.users() == DEVICES).await;

    // The one that hangs has had no outcome: its first attempt is on its way still.
    let path = "GET /v1/destinations/8";
    let hanging = request(server.admin_addr(), path, "").await;
    assert_eq!(hanging["attempts_by_outcome"]["failed"], 0, "{hanging}");
    assert_eq!(hanging["pending"]["users"], DEVICES, "{hanging}");
    // Its connections end, so that the stop has nobody to wait for.
    muted.abort();
    server.stop().await.unwrap();
}
