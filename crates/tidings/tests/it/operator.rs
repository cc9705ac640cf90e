//! What the operator does to destinations: pausing, resuming, and taking them out of the catalog.

use crate::support::{
    http::{get, post, send},
    partner::Partner,
    poll,
    server::{Home, Server},
};
use serde_json::Value;

fn catalog(partners: &[(u32, &Partner)]) -> String {
    let destinations: String = partners
        .iter()
        .map(|(id, partner)| {
            format!(
                "  - id: {id}
    name: Partner {id}
    client_id: \"74323\"
    url: {}
    id_data_sources: [501]
    mappings: [{{ segment: 101 }}, {{ segment: 102 }}]
    max_linger: 20ms
    retry_delay: 20ms\n",
                partner.url()
            )
        })
        .collect();
    format!(
        "data_sources: [{{ id: 501, name: Cookies, kind: cookie }}]
traits: [{{ id: 1, name: A }}, {{ id: 2, name: B }}]
segments: [{{ id: 101, name: S1, rule: '1T' }}, {{ id: 102, name: S2, rule: '2T' }}]
destinations:\n{destinations}"
    )
}

/// One of the calls on a destination; the answer's status and body.
async fn call(server: &Server, id: u32, order: &str) -> (u16, Value) {
    let path = format!("/v1/destinations/{id}{order}");
    let request = if order.is_empty() {
        get(&path)
    } else {
        post(&path, "application/json", String::new())
    };
    let reply = send(server.admin, request).await;
    (reply.status.into(), reply.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_a_destination_over_a_restart() {
    let (paused, other) = (Partner::start().await, Partner::start().await);
    let home = Home::new(&catalog(&[(1, &paused), (2, &other)]), &[&paused, &other]);
    let server = home.start().await;
    server
        .events(r#"{"uuid":"1","traits":[1],"ids":[{"data_source":501,"id":"p1"}]}"#)
        .await;
    paused.wait_for_count(1).await;
    let (status, figures) = call(&server, 1, "/pause").await;
    assert_eq!(
        (status, &figures["paused"]["by"]),
        (200, &"operator".into())
    );
    assert_eq!(call(&server, 7, "/pause").await.0, 404);

    server.events(r#"{"uuid":"1","traits":[2]}"#).await;
    server.events(r#"{"uuid":"1","remove_traits":[1]}"#).await;
    poll("the other one to be told", async || {
        (other.state("p1", 101) == Some(false)).then_some(())
    })
    .await;
    let (_, figures) = call(&server, 1, "").await;
    assert_eq!(figures["pending"]["users"], 1, "{figures}");
    assert_eq!(figures["attempts_by_outcome"]["acknowledged"], 1);
    server.stop().await;

    let server = home.start().await;
    let (_, figures) = call(&server, 1, "").await;
    assert_eq!(figures["paused"]["by"], "operator");
    assert_eq!(figures["pending"]["users"], 1, "{figures}");
    assert_eq!(paused.seen().len(), 1);
    let (status, figures) = call(&server, 1, "/resume").await;
    assert_eq!((status, &figures["paused"]), (200, &Value::Null));
    let seen = paused.wait_for_count(2).await;
    assert_eq!(seen[1].told(), ["p1 102=1 101=0"]);
    server
        .wait_for_destination(1, "nothing left", |status| status["in_flight"] == 0)
        .await;
    assert_eq!(paused.seen().len(), 2);
    let list = send(server.admin, get("/v1/destinations")).await.json();
    assert_eq!(list["destinations"].as_array().unwrap().len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_nothing_of_a_destination_that_is_gone() {
    let (gone, other) = (Partner::start().await, Partner::start().await);
    gone.set_faults(&["status=500"]);
    let both = catalog(&[(1, &gone), (2, &other)]);
    let home = Home::new(&both, &[&gone, &other]);
    let server = home.start().await;
    for device in 1..=3 {
        server
            .events(&format!(
                r#"{{"uuid":"{device}","traits":[1],"ids":[{{"data_source":501,"id":"p{device}"}}]}}"#
            ))
            .await;
    }
    server
        .wait_for_destination(1, "held", |status| status["held"] == 3)
        .await;
    home.change_catalog(&catalog(&[(2, &other)]));
    poll("the rows to be removed", async || {
        home.log()
            .contains("nothing is left of the destination")
            .then_some(())
    })
    .await;
    assert_eq!(call(&server, 1, "").await.0, 404);

    // When it comes back, it is told what happens from then on, and nothing else.
    gone.set_faults(&[]);
    let before = gone.seen().len();
    home.change_catalog(&both);
    poll("the destination to be back", async || {
        (call(&server, 1, "").await.0 == 200).then_some(())
    })
    .await;
    let (_, figures) = call(&server, 1, "").await;
    assert_eq!(figures["pending"]["users"], 0, "{figures}");
    server.events(r#"{"uuid":"2","traits":[2]}"#).await;
    let seen = gone.wait_for_count(before + 1).await;
    assert_eq!(seen[before].told(), ["p2 101=1 102=1"]);
    server.stop().await;
    // What it is owed outlives the server.
    let server = home.start().await;
    let (_, figures) = call(&server, 1, "").await;
    assert_eq!(figures["pending"]["users"], 0, "{figures}");
    server.stop().await;
}
