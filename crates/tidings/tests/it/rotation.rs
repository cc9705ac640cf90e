//! Keys and tokens that change while messages flow: no message that its partner refuses twice.
//!
//! Signing keys follow each other by dates of a virtual clock, the partner turns to the next in the
//! middle of each overlap; tokens live for two seconds. The
//! ordinary run rotates three times; `TIDINGS_ROTATIONS=N` rotates N times, at most seven, since a
//! destination has at most eight keys.

use crate::support::{
    partner::{Partner, Seen},
    server::{Home, Options, Server},
};
use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use tidings_wire::{Hash, Key};
use tokio::time::MissedTickBehavior;

/// Virtual minutes from one key to the next, and how long both are in force.
const PERIOD_MINUTES: i64 = 20;
const OVERLAP_MINUTES: i64 = 10;
/// Real time between two moves of the clock.
const STEP: Duration = Duration::from_millis(100);
/// How long tokens live: a renewal every second.
const TOKEN_TTL: Duration = Duration::from_secs(2);

fn rotations() -> i64 {
    std::env::var("TIDINGS_ROTATIONS").map_or(3, |count| count.parse().unwrap())
}

fn at(minute: i64) -> String {
    format!("2016-07-27T{:02}:{:02}:00Z", minute / 60, minute % 60)
}

fn key(number: i64) -> String {
    format!("signing key {number}")
}

/// Key `n` is in force from the `n`-th period on, and over the overlap into the next.
fn catalog(partner: &Partner, keys: i64) -> String {
    let token_url = partner.url().replace("/segments", "/oauth2/token");
    let mut text = format!(
        "data_sources: [{{ id: 501, name: Cookies }}]
traits: [{{ id: 1, name: A }}]
segments: [{{ id: 101, name: S1, rule: '1T' }}]
destinations:
  - id: 1
    name: Partner
    client_id: acct
    url: {}
    id_data_sources: [501]
    mappings: [{{ segment: 101 }}]
    max_linger: 5ms
    max_users: 5
    retry_delay: 50ms
    oauth: {{ token_url: '{token_url}', client_id: us, client_secret: 'plain:hush' }}
    signing:
",
        partner.url()
    );
    for number in 0..keys {
        let from = number * PERIOD_MINUTES;
        let until = from + PERIOD_MINUTES + OVERLAP_MINUTES;
        writeln!(
            text,
            "      - {{ header: X-Signature, hash: sha256, secret: 'plain:{}', not_before: {}, not_after: {} }}",
            key(number),
            at(from),
            at(until)
        )
        .unwrap();
    }
    text
}

/// The key that the partner checks with: it turns to the next in the middle of an overlap.
fn key_at(minute: i64) -> String {
    key((minute - OVERLAP_MINUTES / 2).max(0) / PERIOD_MINUTES)
}

/// Posts events about ever new devices until told to stop; gives how many.
async fn load(server: &Server, stop: &AtomicBool, sent: &AtomicUsize) {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let from = sent.load(Ordering::Relaxed);
        let events: Vec<_> = (from + 1..=from + 10)
            .map(|n| {
                format!(
                    r#"{{"uuid":"{n}","traits":[1],"ids":[{{"data_source":501,"id":"p{n}"}}]}}"#
                )
            })
            .collect();
        server.events(&events.join("\n")).await;
        sent.fetch_add(10, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_tokens_change_under_load_without_a_second_refusal() {
    let partner = Partner::demanding_tokens("us:hush", TOKEN_TTL).await;
    let minutes = (rotations() + 1) * PERIOD_MINUTES - 1;
    let options = Options {
        virtual_now: Some("2016-07-27T00:00:00Z"),
        ..Options::default()
    };
    let home = Home::with(&catalog(&partner, rotations() + 1), &[&partner], options);
    let server = home.start().await;
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    // Since when which minute it is.
    let mut moves = vec![(Instant::now(), 0)];
    let turning = async {
        let mut pace = tokio::time::interval(STEP);
        // A slow machine gets more time, not minutes in a row.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for minute in 1..=minutes {
            pace.tick().await;
            server.set_clock(&at(minute)).await;
            moves.push((Instant::now(), minute));
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(turning, load(&server, &stop, &sent));
    let told = sent.load(Ordering::Relaxed);
    let seen = partner
        .wait_for("everybody", |seen| {
            let told_users = seen.iter().filter(|seen| seen.status == 200);
            let users: usize = told_users.map(|seen| seen.message.users.len()).sum();
            (users >= told).then(|| seen.to_vec())
        })
        .await;
    check(&seen, &moves);
    let stats = partner.stats();
    let status = server.destination(1).await;
    eprintln!(
        "{told} users in {} messages, {} keys, {} tokens, {} refused once, {} given up",
        seen.len(),
        rotations() + 1,
        stats.tokens,
        stats.unauthorized,
        status["messages_failed"]
    );
    assert_eq!(status["messages_failed"], 0);
    // Tokens ended under the messages' feet, and each was replaced before it did.
    assert!(
        stats.tokens > u64::try_from(rotations()).unwrap(),
        "{stats:?}"
    );
    assert_eq!(stats.unauthorized, 0, "{stats:?}");
    server.stop().await;
}

fn check(seen: &[Seen], moves: &[(Instant, i64)]) {
    let mut refused: HashMap<&[u8], usize> = HashMap::new();
    let (mut with_two, mut keys) = (0, std::collections::BTreeSet::new());
    for message in seen {
        let minute = moves.iter().rfind(|(since, _)| *since <= message.instant);
        let active = key_at(minute.map_or(0, |(_, minute)| *minute));
        let made = Key::new(Hash::Sha256, active.as_bytes()).sign(&message.body);
        let is_signed = message
            .signatures
            .iter()
            .any(|shown| *shown == made.as_str());
        if !is_signed || message.status == 401 {
            *refused.entry(&message.body).or_default() += 1;
        }
        assert!(
            is_signed,
            "{active} of minute {minute:?}: {:?}",
            message.signatures
        );
        with_two += usize::from(message.signatures.len() == 2);
        keys.insert(active);
    }
    let twice = refused.values().filter(|&&times| times > 1).count();
    assert_eq!(twice, 0, "messages refused twice");
    assert_eq!(
        keys.len(),
        usize::try_from(rotations() + 1).unwrap(),
        "keys in use"
    );
    assert!(with_two > 0, "no overlap was met");
}
