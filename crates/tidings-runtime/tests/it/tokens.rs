//! What a sender does about tokens that are refused or cannot be had. The life of a token by itself is
//! in the tests of `tidings-egress`, `token_life`.

use crate::support::{Partner, partner_catalog, post, request, serve};
use serde_json::Value;
use std::{path::Path, time::Duration};
use tidings_receiver::{OAuthSettings, ReceiverSettings};
use tidings_runtime::Server;

const START: &str = "2016-07-27T16:00:00Z";
/// Long enough to play no part.
const LONG: Duration = Duration::from_secs(3_600);

async fn partner() -> Partner {
    Partner::with(ReceiverSettings {
        oauth: OAuthSettings::parse("us:hush", LONG),
        ..ReceiverSettings::default()
    })
    .await
}

async fn start(dir: &Path, partner: &Partner) -> Server {
    let url = partner.running.url();
    let oauth = format!(
        "    oauth: {{ token_url: '{url}/oauth2/token', client_id: us, client_secret: 'plain:hush' }}"
    );
    let catalog = partner_catalog(&url, &oauth);
    serve(dir, catalog, partner, START).await.unwrap()
}

/// The outcomes in the attempt log, oldest first, once there are so many.
async fn logged(server: &Server, count: usize) -> Vec<String> {
    loop {
        let head = "GET /v1/destinations/7/attempts";
        let answer = request(server.admin_addr(), head, "").await;
        let attempts = answer["attempts"].as_array().unwrap();
        if attempts.len() >= count {
            let shown = attempts.iter().rev().map(|attempt| {
                let detail = attempt["detail"].as_str().unwrap_or_default();
                format!("{} {detail}", attempt["outcome"].as_str().unwrap())
            });
            return shown.map(|text| text.trim().to_owned()).collect();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn status(server: &Server) -> Value {
    let status = request(server.admin_addr(), "GET /v1/status", "").await;
    status["destinations"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_401_spends_the_retry_on_a_fresh_token() {
    let dir = tempfile::tempdir().unwrap();
    let partner = partner().await;
    let server = start(dir.path(), &partner).await;
    post(&server, 1).await;
    logged(&server, 1).await;
    // With the challenge of an invalid token.
    partner.running.revoke_tokens();
    post(&server, 2).await;
    assert_eq!(
        logged(&server, 3).await,
        ["status_200", "status_401 invalid_token", "status_200"]
    );
    // Without any.
    partner.set_faults(&["status=401,first=1"]);
    post(&server, 3).await;
    assert_eq!(logged(&server, 5).await[3..], ["status_401", "status_200"]);
    let stats = partner.running.stats();
    assert_eq!((stats.tokens, partner.users()), (3, 3), "{stats:?}");
    let status = status(&server).await;
    // Fetching a token is no attempt.
    assert_eq!(status["attempts"], 5, "{status}");
    assert_eq!(status["messages_failed"], 0, "{status}");
    assert_eq!(status["alert"], Value::Null, "{status}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_401_is_the_last_attempt_pauses_and_alerts() {
    let dir = tempfile::tempdir().unwrap();
    let partner = partner().await;
    let server = start(dir.path(), &partner).await;
    partner.set_faults(&["status=401"]);
    post(&server, 1).await;
    assert_eq!(logged(&server, 2).await, ["status_401", "status_401"]);
    let now = status(&server).await;
    assert_eq!(now["messages_failed"], 1, "{now}");
    assert_eq!(now["attempts"], 2, "{now}");
    assert_eq!(now["health"], "open", "{now}");
    assert_ne!(now["alert"], Value::Null, "{now}");
    assert_eq!(partner.running.stats().tokens, 2);
    // Nothing was lost: the user is told by a probe, with a token that is fetched for it.
    partner.set_faults(&[]);
    assert_eq!(logged(&server, 3).await[2..], ["status_200"]);
    assert_eq!(partner.running.stats().tokens, 3);
    let now = status(&server).await;
    assert_eq!(now["alert"], Value::Null, "{now}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_403_leaves_the_token_alone() {
    let dir = tempfile::tempdir().unwrap();
    let partner = partner().await;
    let server = start(dir.path(), &partner).await;
    partner.set_faults(&["status=403,first=1"]);
    post(&server, 1).await;
    assert_eq!(logged(&server, 2).await, ["status_403", "status_200"]);
    assert_eq!(partner.running.stats().tokens, 1);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_an_attempt_fails_and_nothing_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let partner = partner().await;
    let server = start(dir.path(), &partner).await;
    partner.set_faults(&["status=500,path=/oauth2/token"]);
    post(&server, 1).await;
    let why = "no_token the token endpoint answered 500";
    assert_eq!(logged(&server, 2).await, [why, why]);
    let stats = partner.running.stats();
    assert_eq!((partner.users(), stats.messages), (0, 0), "{stats:?}");
    // The retry came before the endpoint was to be asked again.
    assert_eq!(stats.requests, 1, "{stats:?}");
    partner.set_faults(&[]);
    assert_eq!(logged(&server, 3).await[2..], ["status_200"]);
    assert_eq!(partner.users(), 1);
    server.stop().await.unwrap();
}
