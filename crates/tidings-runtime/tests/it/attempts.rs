//! The attempt log of a running server, as its operator reads it.

use crate::support::{
    Partner, eventually, partner_catalog, post, request, serve, serve_with, set_clock,
};
use serde_json::Value;
use std::{fs, path::Path, time::Duration};
use tidings_runtime::{RecordSettings, Server};

const START: &str = "2016-07-27T16:00:00Z";

async fn log(server: &Server, query: &str) -> Value {
    let head = format!("GET /v1/destinations/7/attempts{query}");
    request(server.admin_addr(), &head, "").await
}

/// Waits until the log has so many attempts.
async fn logged(server: &Server, count: usize) -> Vec<Value> {
    loop {
        let answer = log(server, "").await;
        let attempts = answer["attempts"].as_array().unwrap();
        if attempts.len() >= count {
            assert_eq!(attempts.len(), count, "{answer}");
            return attempts.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attempt_is_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let catalog = || partner_catalog(&partner.running.url(), "");
    let server = serve(dir.path(), catalog(), &partner, START).await.unwrap();
    post(&server, 1).await;
    let first = &logged(&server, 1).await[0];
    assert_eq!(first["outcome"], "status_200", "{first}");
    assert_eq!(first["delivered"], true, "{first}");
    assert_eq!(first["attempt"], 1, "{first}");
    assert_eq!(first["kind"], "realtime", "{first}");
    assert_eq!(first["namespace"], 55, "{first}");
    assert_eq!(first["users"], 1, "{first}");
    assert_eq!(first["devices"][0], format!("{:038}", 1), "{first}");
    assert_eq!(first["time"], START, "{first}");
    assert!(first["bytes"].as_u64().unwrap() > 100, "{first}");
    assert!(
        first["timings_ms"]["tls"].as_f64().unwrap() > 0.0,
        "{first}"
    );
    assert!(
        first["timings_ms"]["total"].as_f64().unwrap() > 0.0,
        "{first}"
    );
    assert!(first["body_sha256_prefix"].is_null(), "{first}");

    partner.set_faults(&["status=503"]);
    post(&server, 2).await;
    let attempts = logged(&server, 3).await;
    // The newest is first.
    assert_eq!(attempts[0]["attempt"], 2);
    assert_eq!(attempts[1]["attempt"], 1);
    assert_eq!(attempts[2], *first);
    let hash = attempts[0]["body_sha256_prefix"].as_str().unwrap();
    assert_eq!(hash.len(), 16);
    assert_eq!(attempts[1]["body_sha256_prefix"], hash);
    assert_eq!(attempts[1]["message"], attempts[0]["message"]);
    assert_ne!(attempts[2]["message"], attempts[0]["message"]);
    assert_eq!(attempts[0]["outcome"], "status_503");
    assert_eq!(attempts[0]["delivered"], false);

    let count = async |query: &str| {
        log(&server, query).await["attempts"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count("?outcome=failed").await, 2);
    assert_eq!(count("?outcome=delivered").await, 1);
    assert_eq!(count("?outcome=status_503").await, 2);
    assert_eq!(count(&format!("?device={:038}", 1)).await, 1);
    assert_eq!(count(&format!("?device={:038}", 3)).await, 0);
    assert_eq!(count("?from=2016-07-27T16:00:01Z").await, 0);
    assert_eq!(count("?to=2016-07-27T16:00:00Z").await, 0);
    assert_eq!(
        count("?from=2016-07-27T16:00:00Z&to=2016-07-27T16:00:01Z").await,
        3
    );

    // One by one, by cursor, also after a restart.
    server.stop().await.unwrap();
    let server = serve(dir.path(), catalog(), &partner, START).await.unwrap();
    let (mut all, mut query) = (
        Vec::new(),
        "?limit=1&to=2016-07-27T16:00:01Z&outcome=failed".to_owned(),
    );
    for _ in 0..2 {
        let page = log(&server, &query).await;
        all.extend(page["attempts"].as_array().unwrap().iter().cloned());
        let cursor = page["next_cursor"].as_str().unwrap();
        query = format!("?limit=1&outcome=failed&cursor={cursor}");
    }
    assert!(
        all.ends_with(&attempts[..2]) || all[..] == attempts[..2],
        "{all:?}"
    );
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_attempts_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let catalog = partner_catalog(&partner.running.url(), "");
    let records = RecordSettings {
        attempts_bytes_max: 1_000,
        attempts_keep: Duration::from_secs(3600),
        ..RecordSettings::default()
    };
    let server = serve_with(dir.path(), catalog, &partner, START, records);
    let server = server.await.unwrap();
    for number in 1..=40 {
        post(&server, number).await;
        eventually("it is told", || partner.users() >= number as usize).await;
    }
    // A page has one attempt here and takes about 120 bytes.
    let count = async || log(&server, "").await["attempts"].as_array().unwrap().len();
    while !(4..=12).contains(&count().await) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // And those that are left go with time, although nothing is written any more.
    set_clock(&server, "2016-07-27T18:00:00Z").await;
    while count().await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_that_a_partner_repeats_are_nowhere() {
    const CANARY: &str = "canary-key-5f2c";
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let signing = format!(
        r#"    signing: [{{ header: X-Signature, hash: sha1, secret: "plain:{CANARY}" }}]
"#
    );
    let catalog = partner_catalog(&partner.running.url(), &signing);
    let server = serve(dir.path(), catalog, &partner, START).await.unwrap();
    partner.set_faults(&[&format!("redirect=https://debug.example/key={CANARY}/seen")]);
    post(&server, 1).await;
    let attempts = logged(&server, 2).await;
    for attempt in &attempts {
        assert_eq!(
            attempt["detail"], "https://debug.example/key=***/seen",
            "{attempt}"
        );
        assert!(!attempt.to_string().contains(CANARY), "{attempt}");
    }
    let status = request(server.admin_addr(), "GET /v1/status", "").await;
    assert!(!status.to_string().contains(CANARY), "{status}");
    server.stop().await.unwrap();
    check_files(dir.path(), CANARY);
}

/// No file of the data directory has these bytes; the database is small enough not to be compressed.
#[track_caller]
fn check_files(directory: &Path, canary: &str) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check_files(&path, canary);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let found = bytes
            .windows(canary.len())
            .any(|bytes| bytes == canary.as_bytes());
        // The catalog is remembered word for word, and with it what stands there in plain.
        assert!(
            !found || path.ends_with("catalog.json"),
            "{}",
            path.display()
        );
    }
}
