//! Keys and tokens that change while messages flow: no message that its partner refuses twice.
//!
//! Signing keys follow each other by dates of a virtual clock, the partner turns to the next in the
//! middle of each overlap; tokens live for two seconds, or until the partner revokes them without a word.
//! Some attempts fail on purpose, so that retries cross the changes. The
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
/// Retries often enough for a test to be in time between two of them.
const PATIENT: &str = "retries: 10\n    retry_delay: 500ms";
const QUICK: &str = "retry_delay: 50ms";
/// How often tokens are revoked under load.
const REVOCATIONS: u64 = 5;

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
fn catalog(partner: &Partner, keys: i64, retries: &str) -> String {
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
    {retries}
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
    let text = catalog(&partner, rotations() + 1, QUICK);
    let home = Home::with(&text, &[&partner], options);
    let server = home.start().await;
    // A failed attempt in twenty, whose retry may meet another key or token. Nothing is in flight for
    // longer than an overlap.
    partner.set_faults(&["status=503,rate=0.05"]);
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
    // A message may meet the fault twice; what was not refused for its signature or token is none of
    // this test's business.
    assert!(stats.faulted > 0, "{stats:?}");
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
        let is_first = !refused.contains_key(&message.body[..]);
        let times = refused.entry(&message.body).or_default();
        *times += usize::from(!is_signed || message.status == 401);
        // A retry that a busy machine makes late may come after its keys' time.
        assert!(
            is_signed || !is_first,
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

/// Sends while `first` is the minute, lets the attempt fail until it is `retry`, and gives the numbers of
/// the keys that each attempt was signed with.
async fn cross(server: &Server, partner: &Partner, user: i64, first: i64, retry: i64) -> Vec<i64> {
    server.set_clock(&at(first)).await;
    partner.set_faults(&["status=503"]);
    let before = partner.seen().len();
    let event =
        format!(r#"{{"uuid":"{user}","traits":[1],"ids":[{{"data_source":501,"id":"p{user}"}}]}}"#);
    server.events(&event).await;
    partner.wait_for_count(before + 1).await;
    server.set_clock(&at(retry)).await;
    partner.set_faults(&[]);
    let attempts = partner
        .wait_for("success", |seen| {
            let attempts = &seen[before..];
            let succeeded = attempts.last().is_some_and(|last| last.status == 200);
            succeeded.then(|| attempts.to_vec())
        })
        .await;
    let (head, tail) = attempts.split_first().unwrap();
    assert!(!tail.is_empty(), "it failed first");
    for retry in tail {
        assert_eq!(retry.body, head.body);
        assert_eq!(retry.signatures, head.signatures);
    }
    // The partner takes one of them by its own dates, at the time of the retry as well.
    let made = |text: String| Key::new(Hash::Sha256, text.as_bytes()).sign(&head.body);
    for minute in [first, retry] {
        let active = made(key_at(minute));
        assert!(
            head.signatures
                .iter()
                .any(|shown| *shown == active.as_str())
        );
    }
    let number = |shown: &String| (0..3).find(|&number| *shown == made(key(number)).as_str());
    head.signatures.iter().filter_map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_crosses_a_change_of_keys_is_not_signed_anew() {
    let partner = Partner::demanding_tokens("us:hush", Duration::from_secs(3_600)).await;
    let options = Options {
        virtual_now: Some("2016-07-27T00:00:00Z"),
        ..Options::default()
    };
    let home = Home::with(&catalog(&partner, 2, PATIENT), &[&partner], options);
    let server = home.start().await;
    // The overlap begins between the two: the new key is not used yet, and the partner does not ask
    // for it yet.
    assert_eq!(cross(&server, &partner, 1, 19, 21).await, [0]);
    // The partner turns from the one to the other.
    assert_eq!(cross(&server, &partner, 2, 23, 27).await, [0, 1]);
    // The overlap ends: the old key's signature is sent once more, beside the new one's.
    assert_eq!(cross(&server, &partner, 3, 29, 31).await, [0, 1]);
    assert_eq!(cross(&server, &partner, 4, 32, 33).await, [1]);
    let status = server.destination(1).await;
    assert_eq!(status["messages_failed"], 0, "{status}");
    server.stop().await;
}

/// Tokens that end without notice, again and again within a minute.
#[tokio::test(flavor = "multi_thread")]
async fn revoked_tokens_cost_a_message_one_refusal_at_most() {
    let partner = Partner::demanding_tokens("us:hush", Duration::from_secs(3_600)).await;
    let options = Options {
        virtual_now: Some("2016-07-27T00:00:00Z"),
        ..Options::default()
    };
    let home = Home::with(&catalog(&partner, 1, QUICK), &[&partner], options);
    let server = home.start().await;
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let revoking = async {
        for _ in 0..REVOCATIONS {
            // Between two: everything that was refused was told again, and more than can be on its way at
            // once was told at first.
            let from = partner.seen().len();
            partner
                .wait_for("quiet", |seen| {
                    let recent = &seen[from..];
                    let told = recent.iter().filter(|seen| seen.status == 200).count();
                    (told > 64 && refusals(seen).values().all(|&(_, told)| told)).then_some(())
                })
                .await;
            partner.revoke_tokens();
        }
        let from = partner.seen().len();
        partner.wait_for_count(from + 64).await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(revoking, load(&server, &stop, &sent));
    let told = sent.load(Ordering::Relaxed);
    let seen = partner
        .wait_for("everybody", |seen| {
            let told_users = seen.iter().filter(|seen| seen.status == 200);
            let users: usize = told_users.map(|seen| seen.message.users.len()).sum();
            (users >= told).then(|| seen.to_vec())
        })
        .await;
    let refusals = refusals(&seen);
    let refused: Vec<_> = refusals.values().filter(|(times, _)| *times > 0).collect();
    assert!(
        refused.iter().all(|(times, told)| *times == 1 && *told),
        "{refused:?}"
    );
    assert!(refused.len() as u64 >= REVOCATIONS, "{refused:?}");
    // One token after each revocation, however many messages were refused.
    assert_eq!(partner.stats().tokens, REVOCATIONS + 1);
    let status = server.destination(1).await;
    assert_eq!(status["messages_failed"], 0, "{status}");
    server.stop().await;
}

/// For each message how often it was answered 401, and whether it was taken.
fn refusals(seen: &[Seen]) -> HashMap<&[u8], (usize, bool)> {
    let mut refusals: HashMap<&[u8], (usize, bool)> = HashMap::new();
    for message in seen {
        let (times, told) = refusals.entry(&message.body).or_default();
        *times += usize::from(message.status == 401);
        *told |= message.status == 200;
    }
    refusals
}
