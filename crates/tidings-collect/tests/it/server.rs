//! The server shell: deadlines, caps and shutdown.

use crate::support::{Answer, Client, FakeSink, Running, post, soon, start};
use axum::{Router, routing};
use std::time::Duration;
use tidings_collect::{Drained, Server, ServerLimits};
use tokio::net::TcpStream;

const SHORT: Duration = Duration::from_millis(60);

async fn server(limits: ServerLimits) -> Running {
    start(FakeSink::new(Answer::Accept), limits).await
}

fn defaults() -> ServerLimits {
    ServerLimits::default()
}

#[tokio::test]
async fn slow_heads_are_cut() {
    let server = server(ServerLimits {
        header_timeout: SHORT,
        ..defaults()
    })
    .await;
    let mut silent = Client::connect(server.address).await;
    silent.closed().await;
    let mut partial = Client::connect(server.address).await;
    partial.send(b"POST /v1/events HTTP/1.1\r\nHost:").await;
    partial.closed().await;
    // The same on a connection that has served a request before.
    let mut second = Client::connect(server.address).await;
    assert_eq!(second.post("", b"{}").await.status, 200);
    second.send(b"POST ").await;
    second.closed().await;
    server.stop().await;
}

#[tokio::test]
async fn idle_connections_outlive_the_time_for_heads() {
    let server = server(ServerLimits {
        header_timeout: SHORT,
        ..defaults()
    })
    .await;
    let mut idle = Client::connect(server.address).await;
    assert_eq!(idle.post("", b"{}").await.status, 200);
    // Connected later and cut already: the idle one has waited longer than that.
    Client::connect(server.address).await.closed().await;
    assert_eq!(idle.post("", b"{}").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn idle_connections_are_closed_at_last() {
    let server = server(ServerLimits {
        idle_timeout: SHORT,
        ..defaults()
    })
    .await;
    let mut idle = Client::connect(server.address).await;
    assert_eq!(idle.post("", b"{}").await.status, 200);
    idle.closed().await;
    server.stop().await;
}

#[tokio::test]
async fn a_request_in_progress_is_not_idle() {
    let sink = FakeSink::gated();
    let limits = ServerLimits {
        idle_timeout: SHORT,
        header_timeout: SHORT,
        ..defaults()
    };
    let server = start(sink.clone(), limits).await;
    let mut waiting = Client::connect(server.address).await;
    waiting.send(&post("", b"{}")).await;
    soon(sink.begun.acquire()).await.unwrap().forget();
    // Connected later and cut already: the request has taken longer than both times.
    Client::connect(server.address).await.closed().await;
    sink.gate.add_permits(1);
    assert_eq!(waiting.reply().await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn slow_bodies_are_cut() {
    let limits = ServerLimits {
        body_grace: SHORT,
        ..defaults()
    };
    let server = server(limits).await;
    let mut client = Client::connect(server.address).await;
    client
        .send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        .await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.code().as_str()), (408, "body_timeout"));
    assert_eq!(reply.header("connection"), Some("close"));
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_body_has_an_end_at_any_rate() {
    let limits = ServerLimits {
        body_timeout: SHORT,
        body_bytes_per_second_min: 1,
        ..defaults()
    };
    let server = server(limits).await;
    let mut client = Client::connect(server.address).await;
    client
        .send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n")
        .await;
    client.send(&[b' '; 8000]).await;
    assert_eq!(client.reply().await.code(), "body_timeout");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_ends_the_connection() {
    let server = server(defaults()).await;
    let mut client = Client::connect(server.address).await;
    client
        .send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        .await;
    assert_eq!(client.reply().await.code(), "broken_body");
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn large_heads_are_refused() {
    let server = server(ServerLimits {
        head_bytes_max: 8192,
        headers_max: 20,
        ..defaults()
    })
    .await;
    let long = format!("X-Long: {}\r\n", "x".repeat(10_000));
    assert_eq!(head_status(&server, &long).await, 431);
    assert_eq!(head_status(&server, &"X-Many: x\r\n".repeat(30)).await, 431);
    assert_eq!(head_status(&server, &"X-Many: x\r\n".repeat(10)).await, 200);
    server.stop().await;
}

async fn head_status(server: &Running, headers: &str) -> u16 {
    Client::connect(server.address)
        .await
        .post(headers, b"{}")
        .await
        .status
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_room() {
    let server = server(ServerLimits {
        connections_max: 1,
        ..defaults()
    })
    .await;
    let mut first = Client::connect(server.address).await;
    assert_eq!(first.post("", b"{}").await.status, 200);
    let mut second = Client::connect(server.address).await;
    second.send(&post("", b"{}")).await;
    // The first is still served; the second is not even accepted.
    assert_eq!(first.post("", b"{}").await.status, 200);
    assert_eq!(server.counters.accepted(), 2);
    drop(first);
    assert_eq!(second.reply().await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn shutdown_finishes_requests_and_closes_the_rest() {
    let sink = FakeSink::gated();
    let server = start(sink.clone(), defaults()).await;
    let mut fresh = Client::connect(server.address).await;
    sink.gate.add_permits(1);
    let mut idle = Client::connect(server.address).await;
    assert_eq!(idle.post("", b"{}").await.status, 200);
    soon(sink.begun.acquire()).await.unwrap().forget();
    let mut busy = Client::connect(server.address).await;
    busy.send(&post("", b"{}")).await;
    soon(sink.begun.acquire()).await.unwrap().forget();

    server.stop.send(()).unwrap();
    idle.closed().await;
    fresh.closed().await;
    assert!(soon(TcpStream::connect(server.address)).await.is_err());
    assert!(!server.end.is_finished());
    sink.gate.add_permits(1);
    let reply = busy.reply().await;
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close"))
    );
    busy.closed().await;
    let drained = soon(server.end).await.unwrap();
    assert_eq!(
        drained,
        Drained {
            finished: 3,
            cut: 0
        }
    );
}

#[tokio::test]
async fn shutdown_cuts_what_does_not_end() {
    let sink = FakeSink::gated();
    let server = start(
        sink.clone(),
        ServerLimits {
            drain_timeout: SHORT,
            ..defaults()
        },
    )
    .await;
    let mut busy = Client::connect(server.address).await;
    busy.send(&post("", b"{}")).await;
    soon(sink.begun.acquire()).await.unwrap().forget();
    assert_eq!(
        server.stop().await,
        Drained {
            finished: 0,
            cut: 1
        }
    );
    busy.closed().await;
}

/// Serves any router, with room for one connection at a time.
async fn serve(router: Router, limits: ServerLimits) -> std::net::SocketAddr {
    let limits = ServerLimits {
        connections_max: 1,
        ..limits
    };
    let server = Server::bind(([127, 0, 0, 1], 0).into(), limits)
        .await
        .unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(router, std::future::pending()));
    address
}

#[tokio::test]
async fn clients_that_do_not_read_are_cut() {
    let large = routing::get(async || vec![b'x'; 64 * 1024 * 1024]);
    let small = routing::get(async || "y");
    let router = Router::new().route("/large", large).route("/small", small);
    let address = serve(
        router,
        ServerLimits {
            write_timeout: SHORT,
            ..defaults()
        },
    )
    .await;
    let mut deaf = Client::connect(address).await;
    deaf.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // There is room for one only, so an answer means that the other was cut.
    let mut next = Client::connect(address).await;
    next.send(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(next.reply().await.body, "y");
}

#[tokio::test]
async fn a_panic_ends_its_connection_only() {
    let panics = routing::get(async || -> String { panic!("on purpose") });
    let router = Router::new()
        .route("/panics", panics)
        .route("/", routing::get(async || "y"));
    let address = serve(router, defaults()).await;
    let mut first = Client::connect(address).await;
    first.send(b"GET /panics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    first.closed().await;
    let mut next = Client::connect(address).await;
    next.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(next.reply().await.body, "y");
}
