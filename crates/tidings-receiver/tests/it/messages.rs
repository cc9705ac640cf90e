//! Messages: taken, refused, counted, remembered.

use crate::client::{Client, SAMPLE, get, message, receiver, send};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use tidings_receiver::{ReceiverSettings, Running, Strictness, VerifyRule, VerifySpec, limits};

/// The key of the published examples.
const KEY: &str = "sample_partner_private_key";
/// Signatures of [`SAMPLE`] made with it.
const SHA1: &str = "9H+EWubo2VnmMF4LH+YI0X/aVWo=";
const SHA256: &str = "uaFd2BKtZd9TUZX0DTNMW6MMRuc71OHLzNJ1jH79QD0=";

fn rule(text: &str) -> VerifyRule {
    let spec: VerifySpec = text.parse().unwrap();
    spec.with_key(KEY.as_bytes())
}

async fn verifying(rules: &[&str]) -> Running {
    receiver(ReceiverSettings {
        verify: rules.iter().map(|text| rule(text)).collect(),
        ..ReceiverSettings::default()
    })
    .await
}

/// Sends a body with these headers and shows the answer.
#[track_caller]
fn check(reply: &crate::client::Reply, expected: &str) {
    assert_eq!(reply.text(), expected);
}

#[tokio::test]
async fn takes_messages_on_any_path_of_one_connection_and_counts_them() {
    let running = receiver(ReceiverSettings {
        keep_states: true,
        ..ReceiverSettings::default()
    })
    .await;
    let mut client = Client::connect(&running).await.unwrap();
    for path in ["/", "/segments/aam?x=%20y", "/oauth2/token2", "/_stats/"] {
        let mut request = message(SAMPLE, &[]);
        *request.uri_mut() = path.parse().unwrap();
        check(&client.send(request).await.unwrap(), "200 ");
    }
    let stats = client.send(get("/_stats")).await.unwrap().json();
    for (name, count) in [
        ("requests", 4),
        ("messages", 4),
        ("users", 8),
        ("ones", 12),
        ("zeros", 4),
        ("duplicates", 3),
        ("invalid", 0),
        ("bad_signatures", 0),
        ("unauthorized", 0),
        ("states", 4),
        ("states_out_of_order", 0),
        ("connections", 1),
    ] {
        assert_eq!(stats[name], count, "{name}");
    }
    assert_eq!(stats, serde_json::to_value(running.stats()).unwrap());

    let state = running.state("4250948725049857", "12176").unwrap();
    assert!(!state.is_active);
    assert_eq!(state.date_time, 1_469_636_242);
    assert_eq!(running.state("4250948725049857", "10329"), None);
    assert_eq!(running.states().len(), 4);
}

#[tokio::test]
async fn takes_numbers_and_lists_everything_wrong() {
    let running = receiver(ReceiverSettings::default()).await;
    let mut client = Client::connect(&running).await.unwrap();
    let numbers = SAMPLE
        .replace(r#""423""#, "423")
        .replace(r#""Status":"1""#, r#""Status":1"#);
    check(&client.send(message(&numbers, &[])).await.unwrap(), "200 ");

    let wrong = SAMPLE
        .replacen(r#""Status":"1""#, r#""Status":"2""#, 1)
        .replacen("Wed Jul 27 16:17:21", "Thu Jul 27 16:17:21", 1);
    let reply = client.send(message(&wrong, &[])).await.unwrap();
    assert_eq!(reply.status, 400);
    let errors = reply.json()["errors"].clone();
    let errors: Vec<String> = serde_json::from_value(errors).unwrap();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors[0].starts_with("Users[0].Segments[0].Status: "),
        "{errors:?}"
    );
    assert!(
        errors[1].starts_with("Users[1].Segments[0].DateTime: "),
        "{errors:?}"
    );

    for body in ["", "[]", "{}", "nonsense", "{\"Users\":[]}"] {
        assert_eq!(client.send(message(body, &[])).await.unwrap().status, 400);
    }
    let stats = running.stats();
    assert_eq!((stats.messages, stats.invalid), (1, 6));
}

#[tokio::test]
async fn reports_what_is_odd_and_refuses_it_when_strict() {
    let odd = SAMPLE.replace(r#""User_count":"2""#, r#""User_count":"3""#);
    let tolerant = receiver(ReceiverSettings::default()).await;
    let mut requests = tolerant.subscribe();
    check(&send(&tolerant, message(&odd, &[])).await.unwrap(), "200 ");
    let received = requests.recv().await.unwrap();
    assert!(received.valid && received.message.is_some());
    assert!(
        received.errors[0].starts_with("User_count: "),
        "{received:?}"
    );

    let strict = receiver(ReceiverSettings {
        strictness: Strictness::Strict,
        ..ReceiverSettings::default()
    })
    .await;
    assert_eq!(send(&strict, message(&odd, &[])).await.unwrap().status, 400);
    check(&send(&strict, message(SAMPLE, &[])).await.unwrap(), "200 ");
    let mut plain = message(SAMPLE, &[]);
    plain
        .headers_mut()
        .insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    let reply = send(&strict, plain).await.unwrap();
    check(
        &reply,
        r#"400 {"errors":["Content-Type: not application/json"]}"#,
    );

    let exact = receiver(ReceiverSettings {
        strictness: Strictness::Exact(tidings_wire::Options::default()),
        ..ReceiverSettings::default()
    })
    .await;
    check(&send(&exact, message(SAMPLE, &[])).await.unwrap(), "200 ");
    let number = SAMPLE.replace(r#""423""#, "423");
    assert_eq!(
        send(&exact, message(&number, &[])).await.unwrap().status,
        400
    );
}

#[tokio::test]
async fn takes_the_key_that_the_destination_is_configured_with() {
    let body = SAMPLE.replace("AAM_Destination_Id", "account");
    let running = receiver(ReceiverSettings {
        destination_key: Some("account".to_owned()),
        ..ReceiverSettings::default()
    })
    .await;
    check(&send(&running, message(&body, &[])).await.unwrap(), "200 ");
    check(&send(&running, message(SAMPLE, &[])).await.unwrap(), "200 ");
}

#[tokio::test]
async fn checks_the_signature_of_the_exact_bytes() {
    let running = verifying(&["X-Signature:sha1:k"]).await;
    let mut client = Client::connect(&running).await.unwrap();
    let mut requests = running.subscribe();
    let signed = message(SAMPLE, &[("x-signature", SHA1)]);
    check(&client.send(signed).await.unwrap(), "200 ");
    assert_eq!(requests.recv().await.unwrap().signature.as_str(), "ok");

    let longer = format!("{SAMPLE}\n");
    let altered = message(&longer, &[("x-signature", SHA1)]);
    let reply = client.send(altered).await.unwrap();
    check(
        &reply,
        r#"401 {"errors":["x-signature: the signature does not match the body"]}"#,
    );
    let received = requests.recv().await.unwrap();
    assert_eq!((received.signature.as_str(), received.valid), ("bad", true));

    let reply = client.send(message(SAMPLE, &[])).await.unwrap();
    check(
        &reply,
        r#"401 {"errors":["x-signature: the signature is missing"]}"#,
    );
    assert_eq!(requests.recv().await.unwrap().signature.as_str(), "none");
    let stats = running.stats();
    assert_eq!((stats.messages, stats.bad_signatures), (1, 2));
}

/// Sends [`SAMPLE`] with these signatures to a receiver with these rules.
async fn signature(rules: &[&str], headers: &[(&str, &str)]) -> (u16, &'static str) {
    let running = verifying(rules).await;
    let mut requests = running.subscribe();
    let reply = send(&running, message(SAMPLE, headers)).await.unwrap();
    let signature = requests.recv().await.unwrap().signature;
    (reply.status.as_u16(), signature.as_str())
}

#[tokio::test]
async fn one_match_suffices_per_header_and_every_header_needs_one() {
    let (a1, a256) = ("X-A:sha1:k", "X-A:sha256:k");
    assert_eq!(
        signature(&[a1, a256], &[("x-a", SHA256)]).await,
        (200, "ok")
    );
    assert_eq!(
        signature(&[a1], &[("x-a", "AAAA"), ("x-a", SHA1)]).await,
        (200, "ok")
    );
    assert_eq!(signature(&[a1], &[("X-A", SHA256)]).await, (401, "bad"));

    let two = [a1, "X-B:sha256:k"];
    let both = [("x-a", SHA1), ("x-b", SHA256)];
    assert_eq!(signature(&two, &both).await, (200, "ok"));
    assert_eq!(signature(&two, &[("x-a", SHA1)]).await, (401, "none"));
    assert_eq!(
        signature(&two, &[("x-a", SHA1), ("x-b", SHA1)]).await,
        (401, "bad")
    );
    assert_eq!(signature(&[], &[("x-a", SHA1)]).await, (200, "none"));
}

#[tokio::test]
async fn takes_nothing_but_posts() {
    let running = receiver(ReceiverSettings::default()).await;
    let reply = send(&running, get("/segments")).await.unwrap();
    assert_eq!(
        (reply.text().as_str(), &reply.headers[header::ALLOW]),
        ("405 ", &"POST".parse().unwrap())
    );
    let mut posted = message("", &[]);
    *posted.uri_mut() = "/_stats".parse().unwrap();
    assert_eq!(send(&running, posted).await.unwrap().status, 405);
    assert_eq!(running.stats().requests, 1);
}

#[tokio::test]
async fn refuses_what_is_too_large() {
    let running = receiver(ReceiverSettings::default()).await;
    let body = "x".repeat(limits::BODY_BYTES_MAX + 1);
    // The answer may come, or be lost because the body is still being sent; nothing else may happen.
    if let Ok(reply) = send(&running, message(&body, &[])).await {
        assert_eq!(reply.status, 413);
    }
    assert_eq!(running.stats().invalid, 1);

    let value = "x".repeat(limits::HEADER_BYTES_MAX);
    let reply = send(&running, message(SAMPLE, &[("x-long", &value)])).await;
    assert_eq!(reply.unwrap().status, 431);
    let mut many = message(SAMPLE, &[]);
    for number in 0..limits::HEADERS_MAX {
        let name: header::HeaderName = format!("x-{number}").parse().unwrap();
        many.headers_mut().insert(name, "1".parse().unwrap());
    }
    assert_eq!(send(&running, many).await.unwrap().status, 431);
    assert_eq!(running.stats().requests, 1);
}

#[tokio::test]
async fn takes_a_message_of_many_pieces() {
    let running = receiver(ReceiverSettings::default()).await;
    let padded = format!("{}{SAMPLE}", " ".repeat(1 << 20));
    let mut requests = running.subscribe();
    check(
        &send(&running, message(&padded, &[])).await.unwrap(),
        "200 ",
    );
    assert_eq!(requests.recv().await.unwrap().body, padded);
    let empty: Request<Full<Bytes>> = message("", &[]);
    assert_eq!(send(&running, empty).await.unwrap().status, 400);
}
