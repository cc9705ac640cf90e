//! Tokens are demanded, issued and refused over the wire.

use crate::client::{Client, SAMPLE, message, receiver, send};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use std::time::Duration;
use tidings_receiver::{OAuthSettings, ReceiverSettings, Running};

async fn guarded(token_ttl: Duration) -> Running {
    receiver(ReceiverSettings {
        oauth: OAuthSettings::parse("client:secret", token_ttl),
        ..ReceiverSettings::default()
    })
    .await
}

fn token_request(authorization: &str) -> Request<Full<Bytes>> {
    Request::post("/oauth2/token")
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, authorization)
        .header(
            header::CONTENT_TYPE,
            "application/x-www-form-urlencoded;charset=UTF-8",
        )
        .body(Full::from("grant_type=client_credentials"))
        .unwrap()
}

/// `client:secret` in Base64.
const BASIC: &str = "Basic Y2xpZW50OnNlY3JldA==";

#[tokio::test]
async fn issues_a_token_that_opens_the_door_until_it_is_revoked() {
    let running = guarded(Duration::from_secs(60)).await;
    let mut client = Client::connect(&running).await.unwrap();

    let refused = client.send(message(SAMPLE, &[])).await.unwrap();
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.headers[header::WWW_AUTHENTICATE],
        "Bearer error=\"invalid_token\""
    );

    let granted = client.send(token_request(BASIC)).await.unwrap();
    assert_eq!(granted.status, 200);
    assert_eq!(granted.headers[header::CACHE_CONTROL], "no-store");
    let answer = granted.json();
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 60);
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());

    let authorized = || message(SAMPLE, &[("authorization", &bearer)]);
    assert_eq!(client.send(authorized()).await.unwrap().text(), "200 ");
    running.revoke_tokens();
    assert_eq!(client.send(authorized()).await.unwrap().status, 401);

    let stats = running.stats();
    assert_eq!(
        (stats.tokens, stats.unauthorized, stats.messages),
        (1, 2, 1)
    );
}

#[tokio::test]
async fn a_token_without_time_to_live_is_never_valid() {
    let running = guarded(Duration::ZERO).await;
    let answer = send(&running, token_request(BASIC)).await.unwrap().json();
    assert_eq!(answer["expires_in"], 0);
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    let reply = send(&running, message(SAMPLE, &[("authorization", &bearer)])).await;
    assert_eq!(reply.unwrap().status, 401);
}

#[tokio::test]
async fn refuses_wrong_credentials_with_the_codes_of_the_standard() {
    let running = guarded(Duration::from_secs(60)).await;
    let reply = send(&running, token_request("Basic eDp5")).await.unwrap();
    assert_eq!(reply.status, 401);
    assert_eq!(reply.json()["error"], "invalid_client");
    assert!(reply.headers.contains_key(header::WWW_AUTHENTICATE));
}

#[tokio::test]
async fn without_clients_there_is_no_token_endpoint() {
    let running = receiver(ReceiverSettings::default()).await;
    let reply = send(&running, token_request(BASIC)).await.unwrap();
    assert_eq!(
        reply.text(),
        r#"404 {"errors":["no tokens are issued here"]}"#
    );
}
