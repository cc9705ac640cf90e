//! Tokens: what is asked, what is kept, and what happens when the token endpoint fails.

use crate::partner::{Partner, Step, send};
use std::{sync::Arc, time::Duration};
use tidings_egress::oauth::{BearerToken, Credentials, TokenError, TokenSettings, TokenSource};
use tidings_egress::{Egress, EgressSettings, FailureClass};
use tokio::time::{advance, pause, resume};

fn source(partner: &Partner) -> TokenSource {
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

fn token(name: &str, rest: &str) -> Vec<Step> {
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

fn status(status: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![
        Step::Read,
        send(&format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        )),
    ]
}

fn shown(token: &BearerToken) -> String {
    token.authorization().to_str().unwrap().to_owned()
}

/// Lets time pass for the source without waiting for it.
async fn pass(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

const fn seconds(seconds: u64) -> Duration {
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
async fn many_callers_share_one_fetch() {
    let mut gated = token("t1", "");
    gated.insert(1, Step::Gate);
    let partner = Partner::start(vec![gated, token("t2", "")]).await;
    let source = Arc::new(source(&partner));
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let source = Arc::clone(&source);
            tokio::spawn(async move { shown(&source.token().await.unwrap()) })
        })
        .collect();
    partner.requested(1).await;
    partner.gate.add_permits(1);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "Bearer t1");
    }
    assert_eq!(partner.requests().len(), 1);
}

#[tokio::test]
async fn a_token_is_kept_for_its_life_less_a_margin() {
    let partner = Partner::start(vec![
        token("t1", r#","expires_in":100"#),
        token("t2", r#","expires_in":3600"#),
        token("t3", ""),
        token("t4", ""),
    ])
    .await;
    let source = source(&partner);
    for (wait, expected) in [
        (0, "Bearer t1"),
        // Half of 100 s is less than 60 s.
        (48, "Bearer t1"),
        (3, "Bearer t2"),
        (3_530, "Bearer t2"),
        (15, "Bearer t3"),
        // Nothing said: an hour at most, with the same margin.
        (3_530, "Bearer t3"),
        (15, "Bearer t4"),
    ] {
        pass(seconds(wait)).await;
        assert_eq!(
            shown(&source.token().await.unwrap()),
            expected,
            "after {wait} s more"
        );
    }
}

#[tokio::test]
async fn an_endpoint_that_is_down_near_the_end_costs_nothing() {
    let down = status("503 Service Unavailable", "");
    let partner = Partner::start(vec![token("t1", r#","expires_in":3600"#), down]).await;
    let source = source(&partner);
    source.token().await.unwrap();
    pass(seconds(3_550)).await;
    for _ in 0..3 {
        assert_eq!(shown(&source.token().await.unwrap()), "Bearer t1");
    }
    assert_eq!(partner.requests().len(), 2, "the renewal backs off");
    pass(seconds(60)).await;
    assert_eq!(source.token().await.unwrap_err(), TokenError::Status(503));
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_then_with_pauses() {
    let scripts = (1..=9).map(|n| token(&format!("t{n}"), "")).collect();
    let partner = Partner::start(scripts).await;
    let source = source(&partner);
    let first = source.token().await.unwrap();
    source.invalidate(&first);
    let second = source.token().await.unwrap();
    assert_eq!(shown(&second), "Bearer t2");
    // A straggler that still had the first token.
    source.invalidate(&first);
    assert_eq!(shown(&source.token().await.unwrap()), "Bearer t2");
    source.invalidate(&second);
    assert_eq!(source.token().await.unwrap_err(), TokenError::Refused);
    pass(seconds(1)).await;
    let third = source.token().await.unwrap();
    source.invalidate(&third);
    pass(seconds(1)).await;
    assert_eq!(source.token().await.unwrap_err(), TokenError::Refused);
    pass(seconds(1)).await;
    let fourth = source.token().await.unwrap();
    // Refused after a long and useful life: revoked, not wrong.
    pass(seconds(600)).await;
    source.invalidate(&fourth);
    assert_eq!(shown(&source.token().await.unwrap()), "Bearer t5");
}

#[tokio::test]
async fn failed_fetches_back_off() {
    let down = status("500 Internal Server Error", "oops");
    let partner = Partner::start(vec![down.clone(), down.clone(), down, token("t1", "")]).await;
    let source = source(&partner);
    // Tries after 0, 1 and 1 + 2 s; the fourth, 4 s later, succeeds.
    for (wait, requests) in [(0, 1), (0, 1), (1, 2), (1, 2), (1, 3), (3, 3)] {
        pass(seconds(wait)).await;
        assert_eq!(source.token().await.unwrap_err(), TokenError::Status(500));
        assert_eq!(partner.requests().len(), requests, "after {wait} s more");
    }
    pass(seconds(1)).await;
    assert_eq!(shown(&source.token().await.unwrap()), "Bearer t1");
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
