//! What an attempt sends and what it makes of proper responses.

use crate::partner::{AMPLE, Partner, Step, answer, check_reset, ok_times, outcome, request, send};
use std::time::Duration;
use tidings_egress::{BodyEnd, EndpointSettings, Request};

#[tokio::test]
async fn sends_the_published_head() {
    let partner = Partner::start(vec![ok_times(1)]).await;
    let mut token = http::HeaderValue::from_static("Bearer glIbBVohK8d86alDEnllPWi6");
    token.set_sensitive(true);
    let request = Request::json("POST message content".into())
        .with_authorization(token)
        .with_header(
            http::HeaderName::from_static("x-signature"),
            http::HeaderValue::from_static("+wFdR/afZNoVqtGl8/e1KJ4ykPU="),
        )
        .and_then(|request| {
            request.with_header(
                http::HeaderName::from_static("x-signature-2"),
                http::HeaderValue::from_static("Y8QtdqaZvmmAk3+F5M0HMGh63u4="),
            )
        })
        .unwrap();
    let attempt = partner
        .endpoint(EndpointSettings::default())
        .post(&request, AMPLE)
        .await;
    assert_eq!(outcome(&attempt), "status_200 complete");
    let host = format!("api.partner.test:{}", partner.address.port());
    let got = partner
        .requests()
        .concat()
        .replace(&host, "HOST")
        .replace("\r\n", "\n");
    insta::assert_snapshot!(got, @r"
    POST /segments/aam HTTP/1.1
    Host: HOST
    User-Agent: Adobe Audience Manager Iris
    Accept: */*
    Accept-Encoding: gzip
    Authorization: Bearer glIbBVohK8d86alDEnllPWi6
    Content-Type: application/json
    Content-Length: 20
    X-Signature: +wFdR/afZNoVqtGl8/e1KJ4ykPU=
    X-Signature-2: Y8QtdqaZvmmAk3+F5M0HMGh63u4=

    POST message content
    ");
}

#[tokio::test]
async fn one_header_name_may_be_sent_twice() {
    let partner = Partner::start(vec![ok_times(1)]).await;
    let name = http::HeaderName::from_static("x-signature");
    let request = ["old", "new"].iter().fold(request(), |request, value| {
        request
            .with_header(name.clone(), http::HeaderValue::from_static(value))
            .unwrap()
    });
    let attempt = partner
        .endpoint(EndpointSettings::default())
        .post(&request, AMPLE)
        .await;
    assert_eq!(outcome(&attempt), "status_200 complete");
    assert!(
        partner
            .requests()
            .concat()
            .contains("\r\nX-Signature: old\r\nX-Signature: new\r\n")
    );
}

#[track_caller]
fn check(script: Vec<Step>, expected: &str) -> tidings_egress::Attempt {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let attempt = runtime.block_on(async {
        let partner = Partner::start(vec![script]).await;
        let endpoint = partner.endpoint(EndpointSettings::default());
        endpoint.post(&request(), AMPLE).await
    });
    assert_eq!(outcome(&attempt), expected, "{attempt:?}");
    attempt
}

#[test]
fn every_status_is_a_response() {
    for (status, expected) in [
        ("200 OK", "status_200 complete"),
        ("201 Created", "status_201 complete"),
        ("202 Accepted", "status_202 complete"),
        ("400 Bad Request", "status_400 complete"),
        ("410 Gone", "status_410 complete"),
        ("500 Internal Server Error", "status_500 complete"),
        ("999 Odd", "status_999 complete"),
    ] {
        check(vec![Step::Read, answer(status)], expected);
    }
    check(
        vec![Step::Read, send("HTTP/1.1 204 No Content\r\n\r\n")],
        "status_204 complete",
    );
    check(
        vec![Step::Read, send("HTTP/1.1 304 Not Modified\r\n\r\n")],
        "status_304 complete",
    );
    check(
        vec![Step::Read, send("HTTP/1.0 200 OK\r\n\r\nuntil the end")],
        "status_200 complete",
    );
}

#[test]
fn redirects_are_not_followed() {
    for target in [
        "https://elsewhere.test/x?token=1",
        "http://127.0.0.1/",
        "file:///etc/passwd",
    ] {
        for status in [
            "301 Moved",
            "302 Found",
            "303 See Other",
            "307 Temporary",
            "308 Permanent",
        ] {
            let response =
                format!("HTTP/1.1 {status}\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
            let code = status.split(' ').next().unwrap();
            let attempt = check(
                vec![Step::Read, send(&response)],
                &format!("status_{code}_redirect_refused complete"),
            );
            let location = attempt.result.unwrap().location.unwrap();
            assert_eq!(location.as_ref(), target.split('?').next().unwrap());
        }
    }
}

#[test]
fn reads_what_a_troubled_partner_says() {
    let attempt = check(
        vec![
            Step::Read,
            send(
                "HTTP/1.1 401 Unauthorized\r\nRetry-After: 7\r\n\
                 WWW-Authenticate: Bearer realm=\"x\", error=\"invalid_token\"\r\n\
                 Content-Length: 5\r\n\r\nsorry",
            ),
        ],
        "status_401 complete",
    );
    let response = attempt.result.unwrap();
    assert_eq!(response.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(response.bearer_error.as_deref(), Some("invalid_token"));
    assert_eq!(response.body_excerpt.as_ref(), b"sorry");
    assert_eq!(
        (response.body_bytes, response.body_end),
        (5, BodyEnd::Complete)
    );
}

#[test]
fn takes_responses_in_odd_but_proper_forms() {
    for response in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=nonsense\r\nContent-Length: 2\r\n\r\n\u{fffd}",
    ] {
        check(vec![Step::Read, send(response)], "status_200 complete");
    }
}

#[test]
fn a_body_that_goes_wrong_does_not_change_the_outcome() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.";
    check_reset(
        vec![Step::Read, send(head)],
        "reset_before_response",
        "status_200 reset_in_body",
    );
    check(vec![Step::Read, send(head)], "status_200 closed_in_body");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nbad";
    check(
        vec![Step::Read, send(chunked), Step::Hang],
        "status_200 body_malformed",
    );
    let attempt = check(
        vec![Step::Read, send(head), Step::Hang],
        "status_200 deadline_body",
    );
    let response = attempt.result.unwrap();
    assert_eq!(response.body_excerpt.as_ref(), b"ten bytes.");
    assert!(attempt.timings.total < AMPLE / 2, "{:?}", attempt.timings);
}

#[test]
fn a_huge_body_is_read_to_the_cap() {
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(0x1000));
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let attempt = check(
        vec![Step::Read, send(head), Step::Flood(chunk.into_bytes())],
        "status_200 body_too_large",
    );
    let response = attempt.result.unwrap();
    assert_eq!(
        (response.body_bytes, response.body_excerpt.len()),
        (65_536, 4_096)
    );
    let exact = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n{}",
        "a".repeat(65_536)
    );
    check(vec![Step::Read, send(&exact)], "status_200 complete");
    let more = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n{}",
        "a".repeat(65_537)
    );
    check(vec![Step::Read, send(&more)], "status_200 body_too_large");
}

#[test]
fn an_early_response_counts() {
    // The partner answers before it has read all, and the request is larger than any buffer.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let early = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let partner = Partner::start(vec![vec![Step::ReadSome, send(early), Step::Hang]]).await;
        let endpoint = partner.endpoint(EndpointSettings::default());
        let attempt = endpoint
            .post(&Request::json(vec![b' '; 8 << 20].into()), AMPLE)
            .await;
        assert_eq!(outcome(&attempt), "status_413 complete");
    });
}
