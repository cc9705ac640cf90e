//! Every fault, as a sender sees it.

use crate::client::{Client, SAMPLE, faulty, handshake, message, send};
use http::header;
use http_body_util::BodyExt;
use std::{
    error::Error,
    io::{self, Read},
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// The kind of I/O error that lies behind a failure.
fn io_kind(failure: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(failure);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = error.source();
    }
    None
}

#[tokio::test]
async fn answers_with_a_status_and_then_recovers() {
    let running = faulty(&["status=503,first=1"]).await;
    let mut client = Client::connect(&running).await.unwrap();
    assert_eq!(
        client.send(message(SAMPLE, &[])).await.unwrap().text(),
        "503 "
    );
    assert_eq!(
        client.send(message(SAMPLE, &[])).await.unwrap().text(),
        "200 "
    );
    let stats = running.stats();
    assert_eq!(
        (
            stats.requests,
            stats.messages,
            stats.faulted,
            stats.duplicates
        ),
        (2, 1, 1, 1)
    );
    assert_eq!((stats.faults[0].seen, stats.faults[0].fired), (2, 1));
}

#[tokio::test]
async fn delays_an_answer() {
    let running = faulty(&["delay=120ms"]).await;
    let start = Instant::now();
    let reply = send(&running, message(SAMPLE, &[])).await.unwrap();
    assert_eq!(reply.text(), "200 ");
    assert!(start.elapsed() >= Duration::from_millis(120));
}

#[tokio::test]
async fn hangs_until_it_is_stopped() {
    let running = faulty(&["hang"]).await;
    let mut requests = running.subscribe();
    let mut client = Client::connect(&running).await.unwrap();
    let answer = tokio::spawn(async move { client.send(message(SAMPLE, &[])).await });
    let received = requests.recv().await.unwrap();
    assert_eq!(
        (received.status, received.fault.as_deref()),
        (0, Some("hang"))
    );
    assert!(!answer.is_finished());
    running.shutdown().await;
    assert!(answer.await.unwrap().is_err());
}

#[tokio::test]
async fn a_hanging_request_ends_when_its_sender_gives_up() {
    let running = faulty(&["hang"]).await;
    let mut requests = running.subscribe();
    let mut client = Client::connect(&running).await.unwrap();
    tokio::select! {
        _ = client.send(message(SAMPLE, &[])) => panic!("it was answered"),
        received = requests.recv() => assert_eq!(received.unwrap().status, 0),
    }
    assert_eq!(running.stats().connections_open, 1);
    drop(client);
    while running.stats().connections_open > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn resets_after_the_request() {
    let running = faulty(&["reset,first=1"]).await;
    let mut requests = running.subscribe();
    let failure = send(&running, message(SAMPLE, &[])).await.unwrap_err();
    assert_eq!(
        io_kind(failure.as_ref()),
        Some(io::ErrorKind::ConnectionReset)
    );
    let received = requests.recv().await.unwrap();
    assert_eq!((received.status, received.valid), (0, true));
    assert_eq!(received.body, SAMPLE);
    assert_eq!(
        send(&running, message(SAMPLE, &[])).await.unwrap().text(),
        "200 "
    );
}

#[tokio::test]
async fn resets_a_connection_before_tls() {
    let running = faulty(&["accept-reset,first=1"]).await;
    let failure = handshake(&running, running.ca_pem(), "localhost").await;
    assert_eq!(failure.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(
        send(&running, message(SAMPLE, &[])).await.unwrap().text(),
        "200 "
    );
}

#[tokio::test]
async fn says_nothing_on_a_connection_until_it_is_stopped() {
    let running = faulty(&["accept-hang"]).await;
    let mut socket = TcpStream::connect(running.local_addr()).await.unwrap();
    let read = tokio::spawn(async move { socket.read(&mut [0; 1]).await });
    // The connection is taken, and yet nothing comes of it, before the stop.
    while running.stats().faults[0].fired == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!read.is_finished());
    running.shutdown().await;
    assert!(matches!(read.await.unwrap(), Ok(0) | Err(_)));
}

#[tokio::test]
async fn sends_a_body_slowly() {
    let running = faulty(&["slow-body=20ms"]).await;
    let mut client = Client::connect(&running).await.unwrap();
    let mut answer = client.head(message(SAMPLE, &[])).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[header::CONTENT_LENGTH], "3600");
    let start = Instant::now();
    for _ in 0..4 {
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap().len(), 1);
    }
    assert!(start.elapsed() >= Duration::from_millis(40));
}

#[tokio::test]
async fn sends_a_big_body() {
    let running = faulty(&["big-body=3MiB,first=1", "big-body=1TiB"]).await;
    let mut client = Client::connect(&running).await.unwrap();
    let reply = client.send(message(SAMPLE, &[])).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 3 << 20));
    // The next one need not be read: what is not asked for is not made.
    let answer = client.head(message(SAMPLE, &[])).await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_LENGTH], "1099511627776");
}

#[tokio::test]
async fn redirects() {
    let running = faulty(&["redirect=https://other.example/x"]).await;
    let reply = send(&running, message(SAMPLE, &[])).await.unwrap();
    assert_eq!(reply.text(), "307 ");
    assert_eq!(reply.headers[header::LOCATION], "https://other.example/x");
    assert_eq!(running.stats().messages, 0);
}

#[tokio::test]
async fn encodes_the_answer_with_gzip() {
    let running = faulty(&["gzip"]).await;
    let reply = send(&running, message(SAMPLE, &[])).await.unwrap();
    assert_eq!((reply.status.as_u16(), running.stats().messages), (200, 1));
    assert_eq!(reply.headers[header::CONTENT_ENCODING], "gzip");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&reply.body[..])
        .read_to_string(&mut plain)
        .unwrap();
    assert_eq!(plain, "{}");
}

#[tokio::test]
async fn faults_can_be_replaced_while_it_runs() {
    let running = faulty(&["status=500"]).await;
    let mut client = Client::connect(&running).await.unwrap();
    assert_eq!(client.send(message(SAMPLE, &[])).await.unwrap().status, 500);
    running.set_faults(vec!["status=410".parse().unwrap()]);
    assert_eq!(client.send(message(SAMPLE, &[])).await.unwrap().status, 410);
    running.set_faults(Vec::new());
    assert_eq!(client.send(message(SAMPLE, &[])).await.unwrap().status, 200);
}
