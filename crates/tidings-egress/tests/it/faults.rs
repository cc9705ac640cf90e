//! Partners that give no proper response: each has its own name, and none outlasts the deadline.

use crate::partner::{
    AMPLE, Authority, HOST, Partner, Step, breathe, check_reset, outcome, request, send, settings,
};
use std::{net::TcpListener, sync::Arc, time::Duration};
use tidings_egress::{Attempt, Egress, Endpoint, EndpointSettings, FailureClass, Request};
use tokio::net::TcpStream;

/// The deadline of partners.
const TIMEOUT: Duration = Duration::from_millis(3_000);

#[track_caller]
fn check(script: Vec<Step>, expected: FailureClass) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (attempt, idle) = runtime.block_on(async {
        let partner = Partner::start(vec![script]).await;
        let endpoint = partner.endpoint(EndpointSettings::default());
        let attempt = endpoint.post(&request(), AMPLE).await;
        (attempt, endpoint.idle_connections())
    });
    assert_eq!(outcome(&attempt), expected.as_str(), "{attempt:?}");
    assert_eq!(idle, 0, "a failed connection is not used again");
    assert!(!attempt.reused);
}

#[test]
fn closed_or_reset_before_a_response() {
    check(vec![Step::Read], FailureClass::ClosedBeforeResponse);
    check(
        vec![Step::Read, Step::Reset],
        FailureClass::ResetBeforeResponse,
    );
}

#[tokio::test]
async fn closed_at_once() {
    let partner = Partner::start(vec![vec![]]).await;
    let endpoint = partner.endpoint(EndpointSettings::default());
    for _ in 0..20 {
        // The goodbye may arrive before the request is written or after.
        let attempt = endpoint.post(&request(), AMPLE).await;
        let class = attempt.result.unwrap_err().class;
        assert!(
            matches!(
                class,
                FailureClass::ClosedBeforeRequest
                    | FailureClass::ClosedBeforeResponse
                    | FailureClass::ResetBeforeResponse
            ),
            "{class}"
        );
    }
}

#[test]
fn closed_or_reset_in_the_head() {
    let part = send("HTTP/1.1 200 OK\r\nContent-");
    check(vec![Step::Read, part.clone()], FailureClass::ClosedInHead);
    check_reset(
        vec![Step::Read, part],
        "reset_before_response",
        "reset_in_head",
    );
}

#[test]
fn not_http() {
    for response in [
        "hello\r\n\r\n",
        "<html>HTTP/0.9</html>",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/3.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        check(
            vec![Step::Read, send(response), Step::Hang],
            FailureClass::ResponseMalformed,
        );
    }
}

#[test]
fn a_response_without_a_request_is_no_response() {
    // It may arrive before or after the request is written: then it is an answer to it.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hasty = send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    runtime.block_on(async {
        let partner = Partner::start(vec![vec![hasty, Step::Hang]]).await;
        let endpoint = partner.endpoint(EndpointSettings::default());
        for _ in 0..20 {
            let got = outcome(&endpoint.post(&request(), AMPLE).await);
            assert!(
                got == "response_malformed" || got == "status_200 complete",
                "{got}"
            );
            endpoint.close_idle();
        }
    });
}

#[test]
fn heads_are_bounded() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(1 << 20));
    check(
        vec![Step::Read, send(&long), Step::Hang],
        FailureClass::ResponseTooLarge,
    );
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: 1\r\n".repeat(101));
    check(
        vec![Step::Read, send(&many), Step::Hang],
        FailureClass::ResponseTooLarge,
    );
    check(
        vec![
            Step::Read,
            send("HTTP/1.1 200 OK\r\n"),
            Step::Flood(b"X: 1\r\n".to_vec()),
        ],
        FailureClass::ResponseTooLarge,
    );
    // Interim responses without end: none of them is too long, but all together are.
    check(
        vec![
            Step::Read,
            Step::Flood(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        ],
        FailureClass::ResponseTooLarge,
    );
}

/// Makes an attempt of `TIMEOUT` by a clock that stands still, save for so many milliseconds once
/// `reached` is over: so no deadline runs out before, however busy the machine.
async fn attempt_by_still_clock(
    partner: &Partner,
    request: Request,
    reached: impl Future<Output = ()>,
    millis: u64,
) -> Attempt {
    // A paused clock goes on by itself as soon as all tasks wait, unless a thread is at work.
    let (free, held) = std::sync::mpsc::channel::<()>();
    let thread = tokio::task::spawn_blocking(move || held.recv());
    tokio::time::pause();
    let endpoint = Arc::new(partner.endpoint(EndpointSettings::default()));
    let attempt = tokio::spawn({
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.post(&request, TIMEOUT).await }
    });
    reached.await;
    tokio::time::advance(Duration::from_millis(millis)).await;
    let attempt = attempt.await.unwrap();
    if attempt.result.is_err() {
        assert_eq!(
            endpoint.idle_connections(),
            0,
            "a failed connection is not used again"
        );
    }
    drop(free);
    assert!(thread.await.unwrap().is_err());
    tokio::time::resume();
    attempt
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let part = "HTTP/1.1 200 OK\r\nX-";
    for (script, bytes_read) in [
        (vec![Step::Read, Step::Hang], 0),
        (vec![Step::Read, send(part), Step::Hang], part.len()),
    ] {
        let partner = Partner::start(vec![script]).await;
        let reached = async {
            partner.requested(1).await;
            // All on one thread: what was sent is read meanwhile.
            for _ in 0..10 {
                breathe().await;
            }
        };
        let attempt = attempt_by_still_clock(&partner, request(), reached, 3_001).await;
        assert_eq!(outcome(&attempt), FailureClass::DeadlineResponse.as_str());
        assert_eq!(attempt.bytes_read, bytes_read);
        assert!(!attempt.reused);
    }
}

#[tokio::test]
async fn a_partner_that_reads_nothing_misses_the_write_deadline() {
    let partner = Partner::start(vec![vec![Step::ReadSome, Step::Gate]]).await;
    let large = Request::json(vec![b' '; 64 << 20].into());
    let attempt = attempt_by_still_clock(&partner, large, partner.begun(1), 3_001).await;
    assert_eq!(outcome(&attempt), FailureClass::DeadlineWrite.as_str());
}

#[tokio::test]
async fn a_closed_port_refuses() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let egress = Egress::new(settings(&Authority::new())).unwrap();
    let url = format!("https://{HOST}:{port}/");
    let endpoint = Endpoint::new(egress, &url, EndpointSettings::default()).unwrap();
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&attempt), FailureClass::ConnectRefused.as_str());
}

#[tokio::test]
async fn deadlines_are_kept() {
    let partner = Partner::start(vec![vec![Step::Read, Step::Hang]]).await;
    let endpoint = Arc::new(partner.endpoint(EndpointSettings::default()));
    let attempts: Vec<_> = (0..32)
        .map(|_| {
            let endpoint = Arc::clone(&endpoint);
            tokio::spawn(async move { endpoint.post(&request(), TIMEOUT).await })
        })
        .collect();
    for attempt in attempts {
        let attempt = attempt.await.unwrap();
        let total = attempt.timings.total;
        assert!(attempt.result.is_err());
        assert!(
            total >= TIMEOUT && total < TIMEOUT + Duration::from_secs(1),
            "{total:?}"
        );
    }
}

/// Runs an attempt whose answer comes after so many milliseconds.
async fn answered_after(millis: u64) -> Attempt {
    let partner = Partner::start(vec![vec![
        Step::Read,
        Step::Gate,
        crate::partner::answer("200 OK"),
        Step::Hang,
    ]])
    .await;
    let reached = async {
        partner.requested(1).await;
        // All at once: the answer is there when the attempt next looks, and so is the time.
        partner.gate.add_permits(1);
    };
    attempt_by_still_clock(&partner, request(), reached, millis).await
}

#[tokio::test]
async fn an_answer_counts_up_to_the_deadline_and_no_millisecond_longer() {
    for millis in [2_999, 3_000] {
        let attempt = answered_after(millis).await;
        assert_eq!(outcome(&attempt), "status_200 complete", "{millis}");
        assert_eq!(attempt.timings.total, Duration::from_millis(millis));
    }
    let late = answered_after(3_001).await;
    assert_eq!(outcome(&late), FailureClass::DeadlineResponse.as_str());
}

#[tokio::test]
async fn dropping_an_attempt_closes_its_connection_only() {
    let partner = Partner::start(vec![
        vec![
            Step::Read,
            Step::Gate,
            crate::partner::answer("200 OK"),
            Step::Hang,
        ],
        vec![Step::Read, Step::Hang],
    ])
    .await;
    let endpoint = Arc::new(partner.endpoint(EndpointSettings::default()));
    let first = tokio::spawn({
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.post(&request(), AMPLE).await }
    });
    partner.requested(1).await;
    let second = tokio::spawn({
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.post(&request(), AMPLE).await }
    });
    partner.requested(2).await;
    second.abort();
    partner.ended(1).await;
    partner.gate.add_permits(1);
    assert_eq!(outcome(&first.await.unwrap()), "status_200 complete");
    assert_eq!(endpoint.idle_connections(), 1);
}

#[tokio::test]
async fn a_dropped_syn_is_a_connect_timeout() {
    // A listener that accepts nothing: once its queue is full, the system drops further SYNs.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    let short = Duration::from_millis(500);
    while let Ok(stream) = tokio::time::timeout(short, TcpStream::connect(address)).await {
        queued.push(stream.unwrap());
        assert!(queued.len() < 100, "the queue has no end");
    }
    let egress = Egress::new(settings(&Authority::new())).unwrap();
    let url = format!("https://{HOST}:{}/", address.port());
    let endpoint = Endpoint::new(egress, &url, EndpointSettings::default()).unwrap();
    let attempt = endpoint.post(&request(), short).await;
    assert_eq!(
        outcome(&attempt),
        FailureClass::ConnectTimeout.as_str(),
        "{attempt:?}"
    );
}
