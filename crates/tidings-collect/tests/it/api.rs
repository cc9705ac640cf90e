//! `POST /v1/events`.

use crate::support::{Answer, Client, FakeSink, Reply, Running, soon, start};
use flate2::{Compression, write::GzEncoder};
use std::{io::Write as _, time::Duration};
use tidings_collect::{ServerLimits, SubmitError};

const LINES: &str = "Content-Type: application/x-ndjson\r\n";

async fn server(answer: Answer) -> Running {
    start(FakeSink::new(answer), ServerLimits::default()).await
}

async fn post(answer: Answer, headers: &str, body: &[u8]) -> Reply {
    let server = server(answer).await;
    let reply = Client::connect(server.address)
        .await
        .post(headers, body)
        .await;
    server.stop().await;
    reply
}

#[tokio::test]
async fn answers_for_each_event_in_order() {
    let server = server(Answer::Accept).await;
    let body = br#"[{"uuid":"1939"},{"uuid":"x"},{"uuid":"0712","event_id":"seen"},
        {"traits":[666]},{"page":1},{}]"#;
    let reply = Client::connect(server.address).await.post("", body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    insta::assert_snapshot!(reply.body, @r#"{"accepted":2,"duplicates":1,"rejected":[{"index":1,"code":"invalid_uuid","message":"uuid: the id has a character that is not a digit at position 0, at line 1 column 28"},{"index":3,"code":"unknown_trait","message":"there is no trait 666"},{"index":4,"code":"unknown_field","message":"event: has no member \"page\", expected uuid, time, region, signals, traits, remove_traits, ids or event_id, at line 2 column 32"}],"uuids":["1939",null,"0712",null,null,"00000000000000000000000000000000000042"]}"#);
    assert_eq!(
        [
            server.counters.accepted(),
            server.counters.duplicates(),
            server.counters.rejected()
        ],
        [2, 1, 3]
    );
    server.stop().await;
}

#[tokio::test]
async fn takes_every_form() {
    let one = r#"{"accepted":1,"duplicates":0,"rejected":[],"uuids":["7"]}"#;
    let two = r#"{"accepted":2,"duplicates":0,"rejected":[],"uuids":["7","8"]}"#;
    for (headers, body, expected) in [
        ("", r#"{"uuid":"7"}"#, one),
        ("Content-Type: application/json\r\n", r#"{"uuid":"7"}"#, one),
        (
            "Content-Type: Application/JSON; charset=utf-8\r\n",
            r#"[{"uuid":"7"},{"uuid":"8"}]"#,
            two,
        ),
        (LINES, "{\"uuid\":\"7\"}\n\n{\"uuid\":\"8\"}\n", two),
        ("Content-Encoding: identity\r\n", r#"{"uuid":"7"}"#, one),
        (
            "",
            "[]",
            r#"{"accepted":0,"duplicates":0,"rejected":[],"uuids":[]}"#,
        ),
    ] {
        let reply = post(Answer::Accept, headers, body.as_bytes()).await;
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (200, expected),
            "{headers}{body}"
        );
    }
}

#[tokio::test]
async fn large_bodies_are_read_like_small_ones() {
    let body = format!(
        "[{}]",
        vec![r#"{"uuid":"7","signals":{"page":"checkout"}}"#; 10_000].join(",")
    );
    let reply = post(Answer::Accept, "", body.as_bytes()).await;
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .body
            .starts_with(r#"{"accepted":10000,"duplicates":0,"rejected":[],"#)
    );
}

#[tokio::test]
async fn opt_outs_stand_among_events() {
    let body = "{\"uuid\":\"7\"}\n{\"do\":\"opt_out\",\"uuid\":\"7\"}\n\n\
                {\"do\":\"opt_out\",\"id\":{\"data_source\":3,\"id\":\"a\"}}\n\
                {\"do\":\"delete\",\"uuid\":\"7\"}";
    let headers = "Content-Type: application/x-ndjson\r\n";
    let reply = post(Answer::Accept, headers, body.as_bytes()).await;
    let expected = r#"{"accepted":3,"duplicates":0,"rejected":[{"index":3,"code":"not_allowed","message":"do: deletions are asked for on the admin side, by POST /v1/privacy/delete, at line 5 column 1"}],"uuids":["7","7",null,null]}"#;
    assert_eq!((reply.status, reply.body.as_str()), (200, expected));
    let array = br#"[{"do":"opt_out","uuid":"7"}]"#;
    let reply = post(Answer::Accept, "", array).await;
    let expected = r#"{"accepted":1,"duplicates":0,"rejected":[],"uuids":["7"]}"#;
    assert_eq!((reply.status, reply.body.as_str()), (200, expected));
}

#[tokio::test]
async fn sends_what_it_read() {
    let sink = FakeSink::new(Answer::Accept);
    let server = start(sink.clone(), ServerLimits::default()).await;
    let body = br#"{"uuid":"7","signals":{"page":"a"}}"#;
    Client::connect(server.address).await.post("", body).await;
    server.stop().await;
    let expected = tidings_collect::parse_entry(str::from_utf8(body).unwrap(), crate::support::NOW);
    assert_eq!(*sink.seen.lock().unwrap(), [expected.unwrap()]);
}

#[tokio::test]
async fn answers_only_when_the_sink_has() {
    let sink = FakeSink::gated();
    let server = start(sink.clone(), ServerLimits::default()).await;
    let address = server.address;
    let reply = tokio::spawn(async move { Client::connect(address).await.post("", b"{}").await });
    soon(sink.begun.acquire()).await.unwrap().forget();
    assert!(!reply.is_finished());
    assert!(sink.seen.lock().unwrap().is_empty());
    sink.gate.add_permits(1);
    assert_eq!(soon(reply).await.unwrap().status, 200);
    assert_eq!(sink.seen.lock().unwrap().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_sink_without_readable_events_is_left_alone() {
    let sink = FakeSink::new(Answer::Fail(SubmitError::Full {
        retry_after: Duration::ZERO,
    }));
    let server = start(sink.clone(), ServerLimits::default()).await;
    let reply = Client::connect(server.address)
        .await
        .post("", br#"[{"uuid":"x"}]"#)
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(sink.begun.available_permits(), 0);
    server.stop().await;
}

#[tokio::test]
async fn refuses_whole_requests() {
    let too_many = format!("[{}]", vec!["{}"; 10_001].join(","));
    let bomb = "[".repeat(10_000);
    let bomb_closed = format!("{}{}", bomb, "]".repeat(10_000));
    for (headers, body, status, code) in [
        ("", "", 400, "empty_body"),
        ("", "nope", 400, "invalid_json"),
        ("", bomb.as_str(), 400, "invalid_json"),
        ("", bomb_closed.as_str(), 400, "too_deep"),
        (LINES, "nope\n", 400, "invalid_json"),
        ("", too_many.as_str(), 413, "too_many_events"),
        (
            "Content-Type: text/csv\r\n",
            "a",
            415,
            "unsupported_media_type",
        ),
        ("Content-Encoding: br\r\n", "a", 415, "unsupported_encoding"),
        (
            "Content-Encoding: gzip, gzip\r\n",
            "a",
            415,
            "unsupported_encoding",
        ),
        ("Content-Encoding: gzip\r\n", "{}", 400, "invalid_encoding"),
    ] {
        let reply = post(Answer::Accept, headers, body.as_bytes()).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (status, code),
            "{headers}"
        );
    }
}

#[tokio::test]
async fn a_problem_says_where() {
    let server = server(Answer::Accept).await;
    let reply = Client::connect(server.address)
        .await
        .post("", b"{\n\"uuid\":}")
        .await;
    insta::assert_snapshot!(reply.body, @r#"{"title":"Bad Request","status":400,"code":"invalid_json","detail":"nothing in the body can be read: not valid JSON: expected value, at line 2 column 8","line":2,"column":8}"#);
    assert_eq!(server.counters.requests_refused(), 1);
    server.stop().await;
}

#[tokio::test]
async fn refuses_other_paths_and_methods() {
    let server = server(Answer::Accept).await;
    let mut client = Client::connect(server.address).await;
    client
        .send(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let reply = client.reply().await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (405, "method_not_allowed")
    );
    assert_eq!(reply.header("allow"), Some("POST"));
    client
        .send(b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"));
    server.stop().await;
}

#[tokio::test]
async fn passes_on_that_the_sink_is_full_or_unavailable() {
    let full = SubmitError::Full {
        retry_after: Duration::from_millis(2500),
    };
    let unavailable = SubmitError::Unavailable {
        retry_after: Duration::from_secs(5),
        reason: "the server stops".to_owned(),
    };
    for (answer, status, code, retry_after) in [
        (Answer::Fail(full), 429, "queue_full", Some("3")),
        (Answer::Fail(unavailable), 503, "unavailable", Some("5")),
        (Answer::Nonsense, 500, "internal", None),
    ] {
        let reply = post(answer, "", b"{}").await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code));
        assert_eq!(reply.header("retry-after"), retry_after);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn takes_gzip_up_to_the_limit() {
    const GZIP: &str = "Content-Encoding: gzip\r\n";
    let mut body = gzip(br#"[{"uuid":"7"},"#);
    body.extend(gzip(br#"{"uuid":"8"}]"#));
    let reply = post(Answer::Accept, GZIP, &body).await;
    assert_eq!(
        reply.body,
        r#"{"accepted":2,"duplicates":0,"rejected":[],"uuids":["7","8"]}"#
    );
    let at_limit = format!("{{}}{}", " ".repeat(8 * 1024 * 1024 - 2));
    let at_limit = gzip(at_limit.as_bytes());
    assert_eq!(post(Answer::Accept, GZIP, &at_limit).await.status, 200);
    let above = [at_limit, gzip(b" ")].concat();
    let reply = post(Answer::Accept, GZIP, &above).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (413, "body_too_large")
    );
    let cut = &body[..body.len() - 9];
    assert_eq!(
        post(Answer::Accept, GZIP, cut).await.code(),
        "invalid_encoding"
    );
}

#[tokio::test]
async fn an_announced_length_is_refused_before_it_is_sent() {
    let server = server(Answer::Accept).await;
    let mut client = Client::connect(server.address).await;
    client
        .send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n{")
        .await;
    let reply = client.reply().await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (413, "body_too_large")
    );
    assert_eq!(reply.header("connection"), Some("close"));
    drop(client);
    server.stop().await;
}

/// A client that sends all before it reads must still get the answer, not a reset.
#[tokio::test]
async fn a_body_above_the_limit_is_answered_though_it_is_sent_whole() {
    let body = vec![b' '; 20 * 1024 * 1024];
    let reply = post(Answer::Accept, "", &body).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (413, "body_too_large")
    );
}

#[tokio::test]
async fn endless_chunks_are_refused() {
    let server = server(Answer::Accept).await;
    let mut client = Client::connect(server.address).await;
    client
        .send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let chunk = [&b"100000\r\n"[..], &[b' '; 0x10_0000], b"\r\n"].concat();
    for _ in 0..9 {
        client.send(&chunk).await;
    }
    let reply = client.reply().await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (413, "body_too_large")
    );
    drop(client);
    server.stop().await;
}
