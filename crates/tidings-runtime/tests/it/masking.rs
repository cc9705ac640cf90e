//! A partner that repeats what it was sent, lately or just now: nothing of it is shown or stored.

use crate::support::{Partner, partner_catalog, post, request, serve};
use serde_json::Value;
use std::{fs, path::Path, sync::Arc, time::Duration};
use tidings_receiver::{OAuthSettings, Received, ReceiverSettings};
use tidings_runtime::Server;
use tidings_wire::{Hash, Key};
use tokio::sync::broadcast::Receiver;

const START: &str = "2016-07-27T16:00:00Z";
const FIRST_SECRET: &str = "canary/secret+1";
const SECRET: &str = "canary/secret+2";
const FIRST_KEY: &str = "canary-key-1";
const KEY: &str = "canary-key-2";

async fn start(dir: &Path, partner: &Partner) -> Server {
    let url = partner.running.url();
    let files = dir.display();
    let secrets = format!(
        "    signing: [{{ header: X-Signature, hash: sha256, secret: 'file:{files}/key' }}]
    oauth: {{ token_url: '{url}/oauth2/token', client_id: us, client_secret: 'file:{files}/secret' }}"
    );
    let catalog = partner_catalog(&url, &secrets);
    let data = dir.join("data");
    serve(&data, catalog, partner, START).await.unwrap()
}

/// Tells of a new device, and gives the last attempt at the message about it once that has ended.
async fn tell(server: &Server, number: u32) -> Value {
    post(server, number).await;
    let head = format!("GET /v1/destinations/7/attempts?device={number:038}");
    loop {
        let log = request(server.admin_addr(), &head, "").await;
        // The newest is first.
        if let Some(attempt) = log["attempts"].as_array().unwrap().first() {
            return attempt.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The token of the newest message that was taken, which was signed with this key.
fn newest_token(received: &mut Receiver<Arc<Received>>, key: &str) -> String {
    let mut newest = None;
    while let Ok(message) = received.try_recv() {
        if message.status == 200 && !message.is_token_request {
            newest = Some(message);
        }
    }
    let newest = newest.expect("a message was taken");
    assert!(is_signed(&newest, key));
    let value = newest.headers["Authorization"].to_str().unwrap();
    value.strip_prefix("Bearer ").unwrap().to_owned()
}

fn is_signed(received: &Received, key: &str) -> bool {
    let made = Key::new(Hash::Sha256, key.as_bytes()).sign(&received.body);
    received
        .headers
        .get("X-Signature")
        .is_some_and(|value| value.as_bytes() == made.as_bytes())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_partner_repeats_is_masked_also_when_it_is_of_yesterday() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let partner = Partner::with(ReceiverSettings {
        oauth: OAuthSettings::parse(&format!("us:{SECRET}"), Duration::from_secs(3_600)),
        ..ReceiverSettings::default()
    })
    .await;
    let mut received = partner.running.subscribe();
    // The secret of yesterday is not taken any more.
    write("secret", FIRST_SECRET);
    write("key", FIRST_KEY);
    let mut server = start(dir.path(), &partner).await;
    tell(&server, 1).await;
    write("secret", SECRET);
    // Looks at the files at once.
    server.reload().await;
    tell(&server, 2).await;
    let first_token = newest_token(&mut received, FIRST_KEY);

    // Its page for debugging shows the request.
    partner.set_faults(&["echo=400"]);
    let attempt = tell(&server, 3).await;
    let excerpt = attempt["response_excerpt"].as_str().unwrap();
    assert!(excerpt.contains("authorization: Bearer ***"), "{excerpt}");
    assert!(!excerpt.contains(&first_token), "{excerpt}");

    // Key and token are replaced.
    write("key", KEY);
    server.reload().await;
    partner.set_faults(&[]);
    partner.running.revoke_tokens();
    tell(&server, 4).await;
    let new_token = newest_token(&mut received, KEY);
    assert_ne!(new_token, first_token);
    let all = [
        FIRST_KEY,
        KEY,
        FIRST_SECRET,
        SECRET,
        first_token.as_str(),
        new_token.as_str(),
    ];
    partner.set_faults(&[&format!("redirect=https://debug.example/{}", all.join(":"))]);
    assert_eq!(
        tell(&server, 5).await["detail"],
        "https://debug.example/***:***:***:***:***:***"
    );

    let status = request(server.admin_addr(), "GET /v1/status", "").await;
    let log = request(server.admin_addr(), "GET /v1/destinations/7/attempts", "").await;
    let shown = format!("{log} {status}");
    server.stop().await.unwrap();
    for secret in all {
        assert!(!shown.contains(secret), "{secret}: {shown}");
        // The database is small enough not to be compressed.
        check_files(&dir.path().join("data"), secret);
    }
}

#[track_caller]
fn check_files(directory: &Path, secret: &str) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            check_files(&path, secret);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "{secret} in {}", path.display());
    }
}
