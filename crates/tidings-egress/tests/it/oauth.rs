//! Tokens: what is asked, and the names of what the token endpoint does wrong. How long a token is kept
//! and when another is fetched: `token_life`.

use crate::partner::{Partner, Step, send};
use std::{sync::Arc, time::Duration};
use tidings_egress::oauth::{BearerToken, Credentials, TokenError, TokenSettings, TokenSource};
use tidings_egress::{Egress, EgressSettings, FailureClass};
use tokio::time::{advance, pause, resume};

pub(crate) fn source(partner: &Partner) -> TokenSource {
    let credentials = Credentials::client("id", "hush").unwrap();
    let settings = TokenSettings::default();
    TokenSource::new(
        partner.egress(),
        &partner.url("/oauth2/token"),
        credentials,
        settings,
    )
    .unwrap()
}

pub(crate) fn token(name: &str, rest: &str) -> Vec<Step> {
    let body = format!(r#"{{"token_type":"Bearer","access_token":"{name}"{rest}}}"#);
    vec![
        Step::Read,
        send(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )),
    ]
}

pub(crate) fn status(status: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![
        Step::Read,
        send(&format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        )),
    ]
}

pub(crate) fn shown(token: &BearerToken) -> String {
    token.authorization().to_str().unwrap().to_owned()
}

/// Lets time pass for the source without waiting for it.
pub(crate) async fn pass(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn asks_exactly_as_published() {
    let partner = Partner::start(vec![token("t1", "")]).await;
    let raw = "zq2LOO1CcYGrODS5nXiNHpEz97eCpVHAoMF8pAgCntXAzxp5uRV7DTAE2qtPLjhMQwrEX3O6MHV4S";
    let source = TokenSource::new(
        partner.egress(),
        &partner.url("/oauth2/token"),
        Credentials::basic_raw(raw).unwrap(),
        TokenSettings::default(),
    )
    .unwrap();
    let token = source.token().await.unwrap();
    assert_eq!(shown(&token), "Bearer t1");
    assert!(!format!("{token:?} {source:?} {:?}", token.authorization()).contains("t1"));
    let host = format!("api.partner.test:{}", partner.address.port());
    let got = partner
        .requests()
        .concat()
        .replace(&host, "HOST")
        .replace("\r\n", "\n");
    insta::assert_snapshot!(got, @r"
    POST /oauth2/token HTTP/1.1
    Host: HOST
    User-Agent: Adobe Audience Manager Iris
    Authorization: Basic zq2LOO1CcYGrODS5nXiNHpEz97eCpVHAoMF8pAgCntXAzxp5uRV7DTAE2qtPLjhMQwrEX3O6MHV4S
    Content-Type: application/x-www-form-urlencoded;charset=UTF-8
    Content-Length: 29
    Accept-Encoding: gzip

    grant_type=client_credentials
    ");
}

#[tokio::test]
async fn a_dropped_fetch_leaves_the_way_free() {
    let mut gated = token("t1", "");
    gated.insert(1, Step::Gate);
    let partner = Partner::start(vec![gated, token("t2", "")]).await;
    let source = Arc::new(source(&partner));
    let first = tokio::spawn({
        let source = Arc::clone(&source);
        async move { source.token().await.map(drop) }
    });
    partner.requested(1).await;
    first.abort();
    assert_eq!(shown(&source.token().await.unwrap()), "Bearer t2");
}

#[track_caller]
fn check(script: Vec<Step>, expected: &str) -> TokenError {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(async {
        let partner = Partner::start(vec![script]).await;
        let settings = TokenSettings {
            timeout: Duration::from_secs(1),
            ..TokenSettings::default()
        };
        let credentials = Credentials::client("id", "hush").unwrap();
        let source =
            TokenSource::new(partner.egress(), &partner.url("/"), credentials, settings).unwrap();
        source.token().await.unwrap_err()
    });
    assert_eq!(error.to_string(), expected);
    error
}

#[test]
fn failures_have_names() {
    let error = check(
        status(
            "401 Unauthorized",
            r#"{"error":"invalid_client","error_description":"x"}"#,
        ),
        "the token endpoint answered 401 with the error invalid_client",
    );
    assert!(error.is_configuration());
    check(
        status("400 Bad Request", r#"{"error":"slow_down\u001b[2J"}"#),
        "the token endpoint answered 400 with the error slow_down\u{fffd}[2J",
    );
    check(
        status("404 Not Found", "<html>"),
        "the token endpoint answered 404",
    );
    check(
        status(
            "201 Created",
            r#"{"token_type":"Bearer","access_token":"t"}"#,
        ),
        "the token endpoint answered 201",
    );
    check(
        vec![
            Step::Read,
            send("HTTP/1.1 302 Found\r\nLocation: https://x.test/\r\nContent-Length: 0\r\n\r\n"),
        ],
        "the token endpoint answered 302",
    );
    check(
        status("200 OK", "<html>"),
        "the token endpoint's answer cannot be used: not JSON",
    );
    check(
        vec![
            Step::Read,
            send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
            Step::Hang,
        ],
        "the token endpoint's answer is incomplete: deadline_body",
    );
    check(
        vec![
            Step::Read,
            send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"),
        ],
        "the token endpoint's answer is incomplete: closed_in_body",
    );
    let huge = format!(
        r#"{{"token_type":"Bearer","access_token":"{}"}}"#,
        "t".repeat(1 << 20)
    );
    check(
        status("200 OK", &huge),
        "the token endpoint's answer is incomplete: body_too_large",
    );
    let error = check(
        vec![Step::Read, Step::Hang],
        "no answer from the token endpoint: deadline_response: the 1000 ms were over while waiting for the response",
    );
    assert_eq!(error.as_str(), "token_unreachable");
}

#[tokio::test]
async fn the_guard_holds_for_token_urls_too() {
    let partner = Partner::start(vec![token("t1", "")]).await;
    let egress = Egress::new(EgressSettings {
        policy: tidings_egress::AddressPolicy::default(),
        ..crate::partner::settings(&partner.authority)
    })
    .unwrap();
    let source = |url: &str| {
        let credentials = Credentials::client("id", "hush").unwrap();
        TokenSource::new(
            Arc::clone(&egress),
            url,
            credentials,
            TokenSettings::default(),
        )
    };
    assert!(source("http://partner.test/").is_err());
    let refused = source(&partner.url("/"))
        .unwrap()
        .token()
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, TokenError::Unreachable(failure) if failure.class == FailureClass::AddressRefused),
        "{refused:?}"
    );
    assert_eq!(partner.connections(), 0);
}
