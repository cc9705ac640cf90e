//! Destinations that take GET requests: one user each, in the query.

use crate::support::{Partner, catalog, eventually, request, serve};
use http::Method;
use std::{path::Path, time::Duration};
use tidings_receiver::{OAuthSettings, ReceiverSettings, SignatureCheck, VerifySpec};
use tidings_runtime::Server;
use tidings_wire::template::Template;

const START: &str = "2016-07-27T15:57:22Z";
const KEY: &str = "sample_partner_private_key";
const QUERY: &str = "sids=<SEGMENT_LIST>&gone=<REMOVED_SEGMENT_LIST>&uid=<DP_UUID>&ns=<DPID>&feed=<ORDER_ID>&at=<TIMESTAMP>";

async fn partner() -> Partner {
    let rule: VerifySpec = format!("X-Signature:sha256:plain:{KEY}").parse().unwrap();
    Partner::with(ReceiverSettings {
        verify: vec![rule.with_key(KEY.as_bytes())],
        oauth: OAuthSettings::parse("us:hush", Duration::from_secs(3_600)),
        get: Some(Template::parse(&format!("https://h/from-us?{QUERY}")).unwrap()),
        ..ReceiverSettings::default()
    })
    .await
}

/// A server with as many segments as there are traits of this value.
async fn start(dir: &Path, partner: &Partner, values: &[&str]) -> Server {
    let url = partner.running.url();
    let numbers = 1..=values.len();
    let traits: Vec<_> = numbers
        .clone()
        .map(|n| format!("  - {{ id: {n}, name: T{n} }}\n"))
        .collect();
    let segments: Vec<_> = numbers
        .clone()
        .map(|n| format!("  - {{ id: {n}, name: S{n}, rule: '{n}T' }}\n"))
        .collect();
    let mappings: Vec<_> = numbers
        .zip(values)
        .map(|(n, value)| format!("{{ segment: {n}, value: '{value}' }}"))
        .collect();
    let catalog = catalog(&format!(
        "data_sources: [{{ id: 55, name: Cookies }}]
traits:
{}segments:
{}destinations:
  - id: 7
    name: Partner
    client_id: acct
    method: GET
    url: '{url}/from-us?{QUERY}'
    id_data_sources: [55]
    mappings: [{}]
    max_linger: 0ms
    retry_delay: 5ms
    signing: [{{ header: X-Signature, hash: sha256, secret: 'plain:{KEY}' }}]
    oauth: {{ token_url: '{url}/oauth2/token', client_id: us, client_secret: 'plain:hush' }}
",
        traits.concat(),
        segments.concat(),
        mappings.join(", ")
    ));
    serve(dir, catalog, partner, START).await.unwrap()
}

async fn post(server: &Server, number: u32, members: &str) {
    let body = format!(
        r#"{{"uuid":"{number:038}","ids":[{{"data_source":55,"id":"id&{number}"}}],{members}}}"#
    );
    let answer = request(server.collect_addr(), "POST /v1/events", &body).await;
    assert_eq!(answer["accepted"], 1, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_told_in_the_query_signed_and_authorized() {
    let dir = tempfile::tempdir().unwrap();
    let partner = partner().await;
    let mut received = partner.running.subscribe();
    let server = start(dir.path(), &partner, &["10", "a,b", "30"]).await;
    post(&server, 1, r#""traits":[1,2,3]"#).await;
    eventually("the first is told", || partner.users() == 1).await;
    // The zero's first attempt fails; the retry has the same bytes.
    partner.set_faults(&["status=500,first=1"]);
    post(&server, 1, r#""remove_traits":[1]"#).await;
    eventually("the zero is told", || partner.users() == 2).await;
    server.stop().await.unwrap();

    let mut targets = Vec::new();
    while let Ok(message) = received.try_recv() {
        if message.is_token_request {
            continue;
        }
        assert_eq!(message.method, Method::GET);
        assert_eq!(message.signature, SignatureCheck::Ok);
        assert!(message.body.is_empty());
        for name in ["Content-Type", "Content-Length", "Transfer-Encoding"] {
            assert!(!message.headers.contains_key(name), "{name}");
        }
        targets.push(format!("{} {}", message.status, message.target));
    }
    let zero = "/from-us?sids=a%2Cb,30&gone=10&uid=id%261&ns=55&feed=7&at=1469635042";
    assert_eq!(
        targets,
        [
            "200 /from-us?sids=10,a%2Cb,30&gone=&uid=id%261&ns=55&feed=7&at=1469635042".to_owned(),
            format!("500 {zero}"),
            format!("200 {zero}"),
        ]
    );
    assert_eq!(partner.heard()[1].users[0].1, "a,b=1 30=1 10=0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_does_not_fit_is_named_and_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let partner = partner().await;
    let long: Vec<_> = (0..40).map(|n| format!("{n:0>220}")).collect();
    let long: Vec<_> = long.iter().map(String::as_str).collect();
    let server = start(dir.path(), &partner, &long).await;
    let all: Vec<_> = (1..=40).map(|n| n.to_string()).collect();
    post(&server, 1, &format!(r#""traits":[{}]"#, all.join(","))).await;
    let attempt = loop {
        let head = "GET /v1/destinations/7/attempts";
        let log = request(server.admin_addr(), head, "").await;
        if let Some(attempt) = log["attempts"].as_array().unwrap().first() {
            break attempt.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(attempt["outcome"], "url_refused", "{attempt}");
    let detail = attempt["detail"].as_str().unwrap();
    assert!(detail.ends_with("bytes, the limit is 8192"), "{detail}");
    post(&server, 2, r#""traits":[1]"#).await;
    eventually("the other is told", || partner.users() == 1).await;
    server.stop().await.unwrap();
}
