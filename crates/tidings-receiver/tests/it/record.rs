//! The record: a line per request, there before the answer.

use crate::client::{Client, SAMPLE, get, message, receiver};
use serde_json::Value;
use std::{fs, path::Path};
use tidings_receiver::{OAuthSettings, ReceiverSettings};

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn tells_every_request_before_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("record.jsonl");
    fs::write(&path, "{\"earlier\":true}\n").unwrap();
    let running = receiver(ReceiverSettings {
        record: Some(path.clone()),
        faults: vec!["status=500,after=2,first=1".parse().unwrap()],
        ..ReceiverSettings::default()
    })
    .await;
    let mut client = Client::connect(&running).await.unwrap();

    let mut request = message(
        SAMPLE,
        &[("authorization", "Bearer hush"), ("x-a", "1"), ("x-a", "2")],
    );
    *request.uri_mut() = "/a?b=c".parse().unwrap();
    client.send(request).await.unwrap();
    let pretty = SAMPLE.replace(',', ",\r\n  ");
    client.send(message(&pretty, &[])).await.unwrap();
    client
        .send(message("not \u{1f980} json", &[]))
        .await
        .unwrap();
    client.send(get("/_stats")).await.unwrap();

    let lines = lines(&path);
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["earlier"], true);
    let first = &lines[1];
    let at: jiff::Timestamp = first["at"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(at).as_secs() < 60);
    assert_eq!(first["method"], "POST");
    assert_eq!(first["path"], "/a?b=c");
    assert_eq!(first["status"], 200);
    assert_eq!(first["headers"]["content-type"], "application/json");
    assert_eq!(first["headers"]["authorization"], "Bearer ***");
    assert_eq!(first["headers"]["x-a"], "1, 2");
    assert_eq!(first["valid"], true);
    assert_eq!(first["signature"], "none");
    assert_eq!(first["errors"], serde_json::json!([]));
    assert_eq!(first.get("fault"), None);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(&format!("\"body\":{SAMPLE},")));

    assert_eq!(lines[2]["body"], first["body"]);
    assert_eq!(lines[3]["body"], "not \u{1f980} json");
    assert_eq!(lines[3]["valid"], false);
    assert_eq!(lines[3]["status"], 500);
    assert_eq!(lines[3]["fault"], "status=500");
    assert_eq!(lines[3]["errors"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn tells_token_requests_without_their_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("record.jsonl");
    let running = receiver(ReceiverSettings {
        record: Some(path.clone()),
        oauth: OAuthSettings::parse("client:secret", OAuthSettings::TOKEN_TTL),
        ..ReceiverSettings::default()
    })
    .await;
    let mut request = message(
        "grant_type=client_credentials&client_secret=secret",
        &[("authorization", "Basic Y2xpZW50OnNlY3JldA==")],
    );
    *request.uri_mut() = "/oauth2/token".parse().unwrap();
    request.headers_mut().insert(
        "content-type",
        "application/x-www-form-urlencoded".parse().unwrap(),
    );
    let mut client = Client::connect(&running).await.unwrap();
    let answer = client.send(request).await.unwrap().json();
    let token = answer["access_token"].as_str().unwrap();

    let text = fs::read_to_string(&path).unwrap();
    for secret in ["=secret", "Y2xpZW50", token] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let line = &lines(&path)[0];
    assert_eq!(
        line["body"],
        "grant_type=client_credentials&client_secret=***"
    );
    assert_eq!(
        (&line["valid"], &line["status"]),
        (&true.into(), &200.into())
    );
}

#[tokio::test]
async fn unanswered_requests_have_status_0() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("record.jsonl");
    let running = receiver(ReceiverSettings {
        record: Some(path.clone()),
        faults: vec!["reset".parse().unwrap()],
        ..ReceiverSettings::default()
    })
    .await;
    let mut client = Client::connect(&running).await.unwrap();
    client.send(message(SAMPLE, &[])).await.unwrap_err();
    let line = &lines(&path)[0];
    assert_eq!(
        (&line["status"], &line["fault"]),
        (&0.into(), &"reset".into())
    );
}

#[tokio::test]
async fn does_not_acknowledge_what_it_cannot_record() {
    let running = receiver(ReceiverSettings {
        record: Some("/dev/full".into()),
        ..ReceiverSettings::default()
    })
    .await;
    let mut client = Client::connect(&running).await.unwrap();
    let reply = client.send(message(SAMPLE, &[])).await.unwrap();
    assert_eq!(reply.status, 500);
    let stats = running.stats();
    assert_eq!((stats.requests, stats.messages), (1, 0));
}
