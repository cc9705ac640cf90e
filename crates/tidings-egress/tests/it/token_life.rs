//! The life of a token, one test for each row of the table of situations:
//!
//! | situation | test |
//! | --- | --- |
//! | `expires_in` present | [`expires_in_is_kept_to_less_a_margin`], [`a_renewal_that_fails_costs_nothing_while_the_token_lives`] |
//! | `expires_in` missing | [`without_expires_in_a_token_is_kept_an_hour_at_most`] |
//! | 401 to a request | [`a_401_drops_the_token_only_if_it_is_still_the_one_in_use`], [`a_401_to_a_fresh_token_is_followed_by_pauses`], [`a_token_that_was_taken_is_replaced_at_once`] |
//! | 401 with `invalid_token`, 403 | the sender's, with the retry: `tokens` in the tests of `tidings-runtime` |
//! | token endpoint: another status, no JSON, no answer | [`failed_fetches_are_spaced`], [`every_kind_of_failed_fetch_is_spaced`] |
//! | `invalid_client` | [`a_refused_client_is_an_alert_until_a_token_comes`] |
//! | many need a token | [`a_thousand_callers_share_one_fetch`], [`a_thousand_callers_share_one_failure`], [`one_renews_while_the_others_go_on`], [`a_token_that_was_refused_during_its_renewal_is_not_used_on`] |
//! | fetches are not attempts | the sender's, as above |
//!
//! Answers are as in the table of responses: [`gzip_answers_and_unknown_members_are_read`].

use crate::{
    oauth::{pass, seconds, shown, source, status, token},
    partner::{Partner, Step, send},
};
use std::{io::Write as _, sync::Arc};
use tidings_egress::oauth::{TokenError, TokenSource};

/// Asks at each of these moments (seconds after the one before); a text is the token that is
/// given, and a number how many requests the endpoint has seen by then.
async fn check(scripts: Vec<Vec<Step>>, looks: &[(u64, &str, usize)]) {
    let partner = Partner::start(scripts).await;
    let source = source(&partner);
    for (wait, expected, requests) in looks {
        pass(seconds(*wait)).await;
        let given = match source.token().await {
            Ok(token) => shown(&token),
            Err(error) => error.as_str().to_owned(),
        };
        let seen = (given.as_str(), partner.requests().len());
        assert_eq!(seen, (*expected, *requests), "after {wait} s more");
    }
}

#[tokio::test]
async fn expires_in_is_kept_to_less_a_margin() {
    let scripts = vec![
        token("t1", r#","expires_in":100"#),
        token("t2", r#","expires_in":3600"#),
        token("t3", r#","expires_in":3600"#),
    ];
    let looks = [
        (0, "Bearer t1", 1),
        // Half of 100 s is less than 60 s.
        (48, "Bearer t1", 1),
        (3, "Bearer t2", 2),
        (3_530, "Bearer t2", 2),
        (15, "Bearer t3", 3),
    ];
    check(scripts, &looks).await;
}

#[tokio::test]
async fn without_expires_in_a_token_is_kept_an_hour_at_most() {
    let scripts = vec![token("t1", ""), token("t2", "")];
    let looks = [
        (0, "Bearer t1", 1),
        // With the same margin.
        (3_530, "Bearer t1", 1),
        (15, "Bearer t2", 2),
    ];
    check(scripts, &looks).await;
}

#[tokio::test]
async fn a_renewal_that_fails_costs_nothing_while_the_token_lives() {
    let down = status("503 Service Unavailable", "");
    let scripts = vec![token("t1", r#","expires_in":3600"#), down];
    let looks = [
        (0, "Bearer t1", 1),
        (3_550, "Bearer t1", 2),
        // The renewal backs off.
        (0, "Bearer t1", 2),
        (2, "Bearer t1", 3),
        (60, "token_status", 4),
    ];
    check(scripts, &looks).await;
}

#[tokio::test]
async fn failed_fetches_are_spaced() {
    let down = status("500 Internal Server Error", "oops");
    let mut scripts = vec![down; 8];
    scripts.push(token("t1", ""));
    scripts.push(status("500 Internal Server Error", "oops"));
    let mut looks = vec![(0, "token_status", 1)];
    // 1 s, doubling to 60 s.
    for (requests, pause) in (1..).zip([1, 2, 4, 8, 16, 32, 60]) {
        looks.push((pause - 1, "token_status", requests));
        looks.push((1, "token_status", requests + 1));
    }
    looks.push((59, "token_status", 8));
    looks.push((1, "Bearer t1", 9));
    // And from the beginning after a success: an hour later one fails, and a second one follows.
    looks.push((3_600, "token_status", 10));
    looks.push((0, "token_status", 10));
    looks.push((1, "token_status", 11));
    check(scripts, &looks).await;
}

#[tokio::test]
async fn every_kind_of_failed_fetch_is_spaced() {
    let cases = [
        (status("404 Not Found", "<html>"), "token_status"),
        (status("200 OK", "<html>"), "token_malformed"),
        (
            status("200 OK", r#"{"access_token":"t","token_type":"mac"}"#),
            "token_type",
        ),
        (
            status("200 OK", &format!("{{\"a\":\"{}\"}}", "t".repeat(1 << 20))),
            "token_incomplete",
        ),
        (
            status("400 Bad Request", r#"{"error":"invalid_request"}"#),
            "token_denied",
        ),
        (vec![Step::Read, Step::Reset], "token_unreachable"),
    ];
    for (script, name) in cases {
        let looks = [(0, name, 1), (0, name, 1), (1, "Bearer t1", 2)];
        check(vec![script, token("t1", "")], &looks).await;
    }
}

#[tokio::test]
async fn a_refused_client_is_an_alert_until_a_token_comes() {
    let refused = status("401 Unauthorized", r#"{"error":"invalid_client"}"#);
    let partner = Partner::start(vec![refused.clone(), refused, token("t1", "")]).await;
    let source = source(&partner);
    assert_eq!(source.configuration_error(), None);
    for (wait, requests) in [(0, 1), (0, 1), (1, 2), (1, 2)] {
        pass(seconds(wait)).await;
        let error = source.token().await.unwrap_err();
        assert_eq!(source.configuration_error(), Some(error));
        assert_eq!(partner.requests().len(), requests, "after {wait} s more");
    }
    pass(seconds(1)).await;
    assert_eq!(shown(&source.token().await.unwrap()), "Bearer t1");
    assert_eq!(source.configuration_error(), None);
}

#[tokio::test]
async fn a_401_drops_the_token_only_if_it_is_still_the_one_in_use() {
    let partner = Partner::start(vec![token("t1", ""), token("t2", "")]).await;
    let source = source(&partner);
    let first = source.token().await.unwrap();
    source.invalidate(&first);
    assert_eq!(shown(&source.token().await.unwrap()), "Bearer t2");
    // A straggler that still had the first token.
    source.invalidate(&first);
    assert_eq!(shown(&source.token().await.unwrap()), "Bearer t2");
    assert_eq!(partner.requests().len(), 2);
}

#[tokio::test]
async fn a_401_to_a_fresh_token_is_followed_by_pauses() {
    let scripts = (1..=9).map(|n| token(&format!("t{n}"), "")).collect();
    let partner = Partner::start(scripts).await;
    let source = source(&partner);
    source.invalidate(&source.token().await.unwrap());
    source.invalidate(&source.token().await.unwrap());
    assert_eq!(source.token().await.unwrap_err(), TokenError::Refused);
    pass(seconds(1)).await;
    source.invalidate(&source.token().await.unwrap());
    pass(seconds(1)).await;
    assert_eq!(source.token().await.unwrap_err(), TokenError::Refused);
    pass(seconds(1)).await;
    let fourth = source.token().await.unwrap();
    assert_eq!(shown(&fourth), "Bearer t4");
    // Refused after a long life: revoked, not wrong.
    pass(seconds(600)).await;
    source.invalidate(&fourth);
    assert_eq!(shown(&source.token().await.unwrap()), "Bearer t5");
}

/// A partner whose tokens live for 20 s, without saying so.
#[tokio::test]
async fn a_token_that_was_taken_is_replaced_at_once() {
    let scripts = (1..=9).map(|n| token(&format!("t{n}"), "")).collect();
    let partner = Partner::start(scripts).await;
    let source = source(&partner);
    for number in 1..=9 {
        let token = source.token().await.unwrap();
        assert_eq!(shown(&token), format!("Bearer t{number}"));
        source.taken(&token);
        pass(seconds(20)).await;
        source.invalidate(&token);
    }
}

/// What a thousand callers at once are given, while the endpoint answers only when they all wait.
async fn ask_together(partner: &Partner, source: &Arc<TokenSource>) -> Vec<String> {
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let source = Arc::clone(source);
            tokio::spawn(async move {
                match source.token().await {
                    Ok(token) => shown(&token),
                    Err(error) => error.to_string(),
                }
            })
        })
        .collect();
    partner.requested(1).await;
    partner.gate.add_permits(1);
    let mut given = Vec::new();
    for caller in callers {
        given.push(caller.await.unwrap());
    }
    assert_eq!(partner.requests().len(), 1);
    given.dedup();
    given
}

fn gated(mut script: Vec<Step>) -> Vec<Step> {
    script.insert(1, Step::Gate);
    script
}

#[tokio::test]
async fn a_thousand_callers_share_one_fetch() {
    let partner = Partner::start(vec![gated(token("t1", "")), token("t2", "")]).await;
    let source = Arc::new(source(&partner));
    assert_eq!(ask_together(&partner, &source).await, ["Bearer t1"]);
}

#[tokio::test]
async fn a_thousand_callers_share_one_failure() {
    let down = status("500 Internal Server Error", "");
    let partner = Partner::start(vec![gated(down), token("t2", "")]).await;
    let source = Arc::new(source(&partner));
    assert_eq!(
        ask_together(&partner, &source).await,
        ["the token endpoint answered 500"]
    );
}

#[tokio::test]
async fn one_renews_while_the_others_go_on() {
    let partner = Partner::start(vec![
        token("t1", r#","expires_in":3600"#),
        gated(token("t2", "")),
    ])
    .await;
    let source = Arc::new(source(&partner));
    source.token().await.unwrap();
    pass(seconds(3_550)).await;
    let renewing = tokio::spawn({
        let source = Arc::clone(&source);
        async move { shown(&source.token().await.unwrap()) }
    });
    partner.requested(2).await;
    for _ in 0..100 {
        assert_eq!(shown(&source.token().await.unwrap()), "Bearer t1");
    }
    partner.gate.add_permits(1);
    assert_eq!(renewing.await.unwrap(), "Bearer t2");
    assert_eq!(shown(&source.token().await.unwrap()), "Bearer t2");
    assert_eq!(partner.requests().len(), 2);
}

/// The renewal fails, and meanwhile the token that was to be renewed is refused.
#[tokio::test]
async fn a_token_that_was_refused_during_its_renewal_is_not_used_on() {
    let partner = Partner::start(vec![
        token("t1", r#","expires_in":3600"#),
        gated(status("500 Internal Server Error", "")),
    ])
    .await;
    let source = Arc::new(source(&partner));
    let first = source.token().await.unwrap();
    pass(seconds(3_550)).await;
    let renewing = tokio::spawn({
        let source = Arc::clone(&source);
        async move { source.token().await.map(|token| shown(&token)) }
    });
    partner.requested(2).await;
    source.invalidate(&first);
    partner.gate.add_permits(1);
    assert_eq!(renewing.await.unwrap(), Err(TokenError::Status(500)));
}

#[tokio::test]
async fn gzip_answers_and_unknown_members_are_read() {
    let text = r#"{"token_type":"bearer","access_token":"t1","expires_in":100,"refresh_token":"r","scope":"s","x":[{}]}"#;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let compressed = vec![Step::Read, send(&head), Step::Send(body)];
    let looks = [
        (0, "Bearer t1", 1),
        (48, "Bearer t1", 1),
        (3, "Bearer t2", 2),
    ];
    check(vec![compressed, token("t2", "")], &looks).await;
}
