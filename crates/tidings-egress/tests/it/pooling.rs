//! Connections are used again as long as that is safe.

use crate::partner::{AMPLE, Partner, Step, answer, ok_times, outcome, request, send};
use std::{sync::Arc, time::Duration};
use tidings_egress::{EndpointSettings, PoolSettings};

#[tokio::test]
async fn one_connection_serves_a_steady_sequence() {
    let partner = Partner::start(vec![ok_times(1_000)]).await;
    let endpoint = partner.endpoint(EndpointSettings::default());
    for number in 0..200 {
        let attempt = endpoint.post(&request(), AMPLE).await;
        assert_eq!(outcome(&attempt), "status_200 complete");
        assert_eq!(attempt.reused, number > 0);
        assert_eq!(attempt.timings.tls.is_some(), number == 0);
        assert!(attempt.timings.write.is_some() && attempt.timings.response.is_some());
    }
    assert_eq!((partner.connections(), partner.requests().len()), (1, 200));
}

#[tokio::test]
async fn as_many_connections_as_attempts_at_once() {
    let partner = Partner::start(vec![ok_times(1_000)]).await;
    let endpoint = Arc::new(partner.endpoint(EndpointSettings::default()));
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let endpoint = Arc::clone(&endpoint);
            tokio::spawn(async move {
                for _ in 0..50 {
                    let attempt = endpoint.post(&request(), AMPLE).await;
                    assert_eq!(outcome(&attempt), "status_200 complete");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(partner.requests().len(), 400);
    assert!(partner.connections() <= 8, "{}", partner.connections());
    assert!(endpoint.idle_connections() <= 8);
}

#[tokio::test]
async fn an_idle_connection_that_the_partner_closed_costs_nothing() {
    let partner = Partner::start(vec![ok_times(1)]).await;
    let endpoint = partner.endpoint(EndpointSettings::default());
    for number in 1..=20 {
        let attempt = endpoint.post(&request(), AMPLE).await;
        assert_eq!(outcome(&attempt), "status_200 complete");
        assert!(!attempt.reused);
        // The partner has closed; its goodbye has been received or is a moment away.
        partner.ended(number).await;
    }
    assert_eq!((partner.connections(), partner.requests().len()), (20, 20));
}

/// Two attempts; `expected` says whether the second one used the first one's connection.
async fn check(script: Vec<Step>, settings: EndpointSettings, expected: bool) {
    let mut scripts = vec![script];
    scripts.push(ok_times(1));
    let partner = Partner::start(scripts).await;
    let endpoint = partner.endpoint(settings);
    let first = endpoint.post(&request(), AMPLE).await;
    assert!(first.result.is_ok(), "{first:?}");
    let second = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&second), "status_200 complete");
    assert_eq!(second.reused, expected);
}

#[tokio::test]
async fn connections_that_cannot_be_trusted_are_not_used_again() {
    let default = EndpointSettings::default();
    let and_hang = |text: &str| vec![Step::Read, send(text), Step::Hang];
    check(
        and_hang("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
        default,
        false,
    )
    .await;
    check(
        and_hang("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        default,
        false,
    )
    .await;
    // A body that does not end, or is too long.
    check(
        and_hang("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        default,
        false,
    )
    .await;
    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n{}",
        "a".repeat(70_000)
    );
    check(and_hang(&long), default, false).await;
    // Bytes that nobody asked for: the start of a forged second response.
    check(
        and_hang("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        default,
        false,
    )
    .await;
    check(
        and_hang("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        default,
        false,
    )
    .await;
}

#[tokio::test]
async fn old_and_surplus_connections_are_closed() {
    let pool = |pool: PoolSettings| EndpointSettings {
        pool,
        ..EndpointSettings::default()
    };
    let default = PoolSettings::default();
    check(ok_times(2), pool(default), true).await;
    check(
        ok_times(2),
        pool(PoolSettings {
            idle_max: 0,
            ..default
        }),
        false,
    )
    .await;
    check(
        ok_times(2),
        pool(PoolSettings {
            idle_timeout: Duration::ZERO,
            ..default
        }),
        false,
    )
    .await;
    check(
        ok_times(2),
        pool(PoolSettings {
            age_max: Duration::ZERO,
            ..default
        }),
        false,
    )
    .await;
}

#[tokio::test]
async fn the_sweeper_closes_what_is_idle_for_too_long() {
    let partner = Partner::start(vec![vec![Step::Read, answer("200 OK"), Step::Hang]]).await;
    let endpoint = partner.endpoint(EndpointSettings {
        pool: PoolSettings {
            idle_timeout: Duration::from_millis(500),
            ..PoolSettings::default()
        },
        ..EndpointSettings::default()
    });
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&attempt), "status_200 complete");
    // No further attempt: the partner sees the close all the same.
    partner.ended(1).await;
    assert_eq!(endpoint.idle_connections(), 0);
}

#[tokio::test]
async fn idle_connections_close_on_demand_and_with_the_endpoint() {
    let partner = Partner::start(vec![vec![Step::Read, answer("200 OK"), Step::Hang]]).await;
    let endpoint = partner.endpoint(EndpointSettings::default());
    endpoint.post(&request(), AMPLE).await.result.unwrap();
    endpoint.close_idle();
    partner.ended(1).await;
    endpoint.post(&request(), AMPLE).await.result.unwrap();
    drop(endpoint);
    partner.ended(2).await;
}

#[tokio::test]
async fn a_connection_in_use_is_not_kept_after_close_idle() {
    let partner = Partner::start(vec![vec![
        Step::Read,
        Step::Gate,
        answer("200 OK"),
        Step::Hang,
    ]])
    .await;
    let endpoint = Arc::new(partner.endpoint(EndpointSettings::default()));
    let attempt = tokio::spawn({
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.post(&request(), AMPLE).await }
    });
    partner.requested(1).await;
    endpoint.close_idle();
    partner.gate.add_permits(1);
    assert_eq!(outcome(&attempt.await.unwrap()), "status_200 complete");
    assert_eq!(endpoint.idle_connections(), 0);
    partner.ended(1).await;
}

#[tokio::test]
async fn a_reset_on_a_used_connection_is_not_repeated() {
    // The second request is read, so the partner may have acted on it: one failed attempt.
    let mut script = ok_times(1);
    script.extend([Step::Read, Step::Reset]);
    let partner = Partner::start(vec![script, ok_times(1)]).await;
    let endpoint = partner.endpoint(EndpointSettings::default());
    endpoint.post(&request(), AMPLE).await.result.unwrap();
    let second = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&second), "reset_before_response");
    assert!(second.reused && second.result.unwrap_err().class.is_ambiguous());
    assert_eq!((partner.connections(), partner.requests().len()), (1, 2));
}
