//! Secrets and certificates in files: followed when they change, without a failed message.

use crate::support::{
    partner::{Partner, Seen},
    server::{Home, Server},
};
use std::time::{Duration, Instant};
use tidings_wire::{Hash, Key};

/// Within this time a changed file is in use, by promise.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(5);
/// What a busy machine adds to it.
const SLACK: Duration = Duration::from_secs(10);

fn catalog(partner: &Partner, more: &str) -> String {
    format!(
        "data_sources: [{{ id: 501, name: Cookies }}]
traits: [{{ id: 1, name: A }}]
segments: [{{ id: 101, name: S1, rule: '1T' }}]
destinations:
  - id: 1
    name: Partner
    client_id: acct
    url: {}
    id_data_sources: [501]
    mappings: [{{ segment: 101 }}]
    max_linger: 0ms
{more}",
        partner.url()
    )
}

fn signed_with(seen: &Seen, key: &str) -> bool {
    let made = Key::new(Hash::Sha1, key.as_bytes()).sign(&seen.body);
    seen.signature_header.as_deref() == Some(made.as_str())
}

/// Sends events about one new device after the other until a message about one is as wanted.
async fn send_until(
    server: &Server,
    partner: &Partner,
    next: &mut usize,
    wanted: impl Fn(&Seen) -> bool,
) -> Duration {
    let started = Instant::now();
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    loop {
        pace.tick().await;
        *next += 1;
        let event = format!(
            r#"{{"uuid":"{next}","traits":[1],"ids":[{{"data_source":501,"id":"p{next}"}}]}}"#
        );
        server.events(&event).await;
        let seen = partner.wait_for_count(*next).await;
        if wanted(seen.last().unwrap()) {
            return started.elapsed();
        }
        assert!(started.elapsed() < FOLLOWED_WITHIN + SLACK, "not followed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_signs_and_one_that_is_gone_leaves_the_old() {
    let partner = Partner::start().await;
    let signing = "    signing: [{ header: X-Signature, hash: sha1, secret: 'file:key' }]\n";
    let home = Home::new(&catalog(&partner, signing), &[&partner]);
    home.write("key", "first key\n");
    let server = home.start().await;
    let mut next = 0;
    send_until(&server, &partner, &mut next, |seen| {
        signed_with(seen, "first key")
    })
    .await;
    // As long as before, and from then on at once with the new one.
    home.write("key", "other key\n");
    send_until(&server, &partner, &mut next, |seen| {
        signed_with(seen, "other key")
    })
    .await;
    home.remove("key");
    let status = server
        .wait_for_destination(1, "refused", |status| !status["secrets_refused"].is_null())
        .await;
    let reason = status["secrets_refused"].as_str().unwrap();
    assert!(reason.contains("X-Signature"), "{reason}");
    assert_eq!(status["refused"], serde_json::Value::Null);
    send_until(&server, &partner, &mut next, |seen| {
        signed_with(seen, "other key")
    })
    .await;
    home.write("key", "third key");
    send_until(&server, &partner, &mut next, |seen| {
        signed_with(seen, "third key")
    })
    .await;
    server
        .wait_for_destination(1, "in use", |status| status["secrets_refused"].is_null())
        .await;
    let status = server.destination(1).await;
    assert_eq!(
        (&status["messages_failed"], &status["attempts"]),
        (&0.into(), &next.into())
    );
    // No message was lost, none came twice, and no key was shown.
    assert_eq!(partner.told().len(), next);
    let log = home.log();
    assert!(log.contains("changed secrets refused"), "{log}");
    for key in ["first key", "other key", "third key"] {
        assert!(!log.contains(key), "{log}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_once_its_file_is_there() {
    let partner = Partner::start().await;
    let tls = "    tls: { ca_file: partner-ca.pem }\n";
    // The server itself does not trust the partner.
    let home = Home::new(&catalog(&partner, tls), &[]);
    let server = home.start().await;
    let status = server
        .wait_for_destination(1, "refused", |status| !status["refused"].is_null())
        .await;
    let reason = status["refused"].as_str().unwrap();
    assert!(
        reason.starts_with("tls: ca_file: could not read"),
        "{reason}"
    );
    let event = r#"{"uuid":"1","traits":[1],"ids":[{"data_source":501,"id":"p1"}]}"#;
    server.events(event).await;
    home.write("partner-ca.pem", partner.ca_pem());
    partner.wait_for_count(1).await;
    assert_eq!(partner.told(), [["p1 101=1"]]);
    // A file without a certificate changes nothing.
    home.write("partner-ca.pem", "");
    let status = server
        .wait_for_destination(1, "refused", |status| !status["secrets_refused"].is_null())
        .await;
    assert_eq!(
        status["secrets_refused"],
        "tls: ca_file: the file of extra trust roots holds no certificate"
    );
    server
        .events(&event.replace("\"1\"", "\"2\"").replace("p1", "p2"))
        .await;
    partner.wait_for_count(2).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_shown_and_nothing_goes_out_without_a_token() {
    let partner = Partner::demanding_tokens("us:right", Duration::from_secs(60)).await;
    let token_url = partner.url().replace("/segments", "/oauth2/token");
    let oauth = format!(
        "    oauth: {{ token_url: '{token_url}', client_id: us, client_secret: 'file:secret' }}\n"
    );
    let home = Home::new(&catalog(&partner, &oauth), &[&partner]);
    home.write("secret", "wrong\n");
    let server = home.start().await;
    let event = r#"{"uuid":"1","traits":[1],"ids":[{"data_source":501,"id":"p1"}]}"#;
    server.events(event).await;
    let status = server
        .wait_for_destination(1, "credentials refused", |status| {
            !status["oauth_refused"].is_null()
        })
        .await;
    assert_eq!(
        status["oauth_refused"],
        "the token endpoint answered 401 with the error invalid_client"
    );
    assert_eq!(partner.seen().len(), 0);
    home.write("secret", "right\n");
    let seen = partner.wait_for_count(1).await;
    assert_eq!(
        seen.iter().map(|seen| seen.status).collect::<Vec<_>>(),
        [200]
    );
    server
        .wait_for_destination(1, "credentials taken", |status| {
            status["oauth_refused"].is_null()
        })
        .await;
    assert!(!home.log().contains("right"), "{}", home.log());
    server.stop().await;
}
