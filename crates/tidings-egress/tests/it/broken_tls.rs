//! Servers whose TLS is broken, one row each: what they show, the class of the failure, and that
//! not one byte of a request reached them.
//!
//! `cargo test -p tidings-egress --test it -- broken_tls --nocapture` prints the table. An
//! application byte is one that the server could read as such: decrypted by its TLS library, or in
//! the clear in an application data record where the server is played by hand.

mod certificates;
mod hands;
mod peer;

use self::{certificates::Authority, peer::Peer};
use crate::partner::{HOST, request, settings};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tidings_egress::{Egress, EgressSettings, Endpoint, EndpointSettings};
use tokio::{net::TcpListener, sync::Semaphore};

/// Rows that the table must have at least.
const ROWS_MIN: usize = 40;
/// Deadline of attempts that end by themselves: ample on a busy machine.
const AMPLE: Duration = Duration::from_secs(20);
/// Deadline of attempts at servers that never come to an end: that of partners.
const TIMEOUT: Duration = Duration::from_millis(3_000);
/// What an attempt may take beyond its deadline on a busy machine.
const OVERRUN_MAX: Duration = Duration::from_millis(500);
/// Attempts that end by themselves at the same time: those at servers that do not, all at once, must
/// get as far as the handshake meanwhile.
const AT_ONCE: usize = 4;

/// A server and what must become of an attempt at it.
struct Row {
    name: &'static str,
    peer: Peer,
    expected: &'static str,
}

impl Row {
    const fn new(name: &'static str, peer: Peer, expected: &'static str) -> Self {
        Self {
            name,
            peer,
            expected,
        }
    }
}

/// What became of it.
struct Outcome {
    class: String,
    detail: String,
    took: Duration,
    timeout: Duration,
    application_bytes: usize,
}

/// One client for all rows. It trusts `root` and the authorities of the stored certificates.
fn client(root: &Authority) -> Arc<Egress> {
    let trusting = settings(&crate::partner::Authority::new());
    let ca_pem = Some(certificates::trusted(root));
    Egress::new(EgressSettings { ca_pem, ..trusting }).unwrap()
}

async fn attempt(egress: Arc<Egress>, peer: Peer, timeout: Duration) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(peer.serve(listener));
    let url = format!("https://{HOST}:{port}/segments/aam");
    let endpoint = Endpoint::new(egress, &url, EndpointSettings::default()).unwrap();
    let started = Instant::now();
    let attempt = endpoint.post(&request(), timeout).await;
    let took = started.elapsed();
    drop(endpoint);
    Outcome {
        class: attempt.outcome(),
        detail: attempt
            .result
            .map_or_else(|failure| failure.detail, |_| String::new()),
        took,
        timeout,
        application_bytes: server.await.unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_tls_gets_no_byte_of_a_request() {
    let root = certificates::root("Root");
    let mut rows = certificates::rows(&root);
    rows.extend(hands::rows(&root));
    let egress = client(&root);
    assert!(rows.len() >= ROWS_MIN, "{} rows", rows.len());
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let running: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let (egress, turns) = (Arc::clone(&egress), Arc::clone(&turns));
            let outcome = tokio::spawn(async move {
                if row.expected == "deadline_tls" {
                    return attempt(egress, row.peer, TIMEOUT).await;
                }
                let _turn = turns.acquire().await.unwrap();
                attempt(egress, row.peer, AMPLE).await
            });
            (row.name, row.expected, outcome)
        })
        .collect();
    let (mut faults, count) = (Vec::new(), running.len());
    println!(
        "{:<46} {:<32} {:>7} {:>5}",
        "server", "outcome", "ms", "bytes"
    );
    for (name, expected, outcome) in running {
        let got = outcome.await.unwrap();
        let (ms, bytes) = (got.took.as_millis(), got.application_bytes);
        println!("{name:<46} {:<32} {ms:>7} {bytes:>5}", got.class);
        if got.class != expected || bytes != 0 || got.took > got.timeout + OVERRUN_MAX {
            faults.push(format!(
                "{name}: {expected} expected, got {} ({}) after {ms} ms, {bytes} bytes",
                got.class, got.detail
            ));
        }
    }
    println!("{count} servers, {} faults", faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The table proves nothing if a good server, played in the same ways, would not be told anything.
#[tokio::test]
async fn good_tls_gets_the_request_in_the_same_harness() {
    let root = certificates::root("Root");
    let egress = client(&root);
    for peer in certificates::good(&root)
        .into_iter()
        .chain([hands::good(&root)])
    {
        let outcome = attempt(Arc::clone(&egress), peer, AMPLE).await;
        assert_eq!(outcome.class, "status_200", "{}", outcome.detail);
        assert!(
            outcome.application_bytes > 100,
            "{}",
            outcome.application_bytes
        );
    }
}
