//! Batches of a running server, to a partner over HTTPS.

use crate::support::{Heard, PATIENCE, Partner, catalog, eventually, request, serve, set_clock};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    env,
    time::{Duration, Instant},
};
use tidings_model::{Catalog, Timestamp};
use tidings_runtime::Server;
use tokio::time::sleep;

const START: &str = "2016-07-27T16:00:00Z";
const BATCH: &str = "2016-07-28T02:00:00Z";
/// Events of one request.
const EVENTS: usize = 1_000;

fn partner_catalog(partner: &Partner, extra: &str) -> Catalog {
    catalog(&format!(
        r#"
data_sources:
  - {{ id: 55, name: Cookies, kind: cookie }}
traits:
  - {{ id: 1, name: Cart }}
  - {{ id: 2, name: Paid }}
segments:
  - {{ id: 10, name: Cart, rule: "1T" }}
  - {{ id: 20, name: Paid, rule: "2T" }}
destinations:
  - id: 7
    name: Partner
    client_id: "1"
    url: {}/segments
    id_data_sources: [55]
    mappings: [{{ segment: 10 }}, {{ segment: 20 }}]
    max_linger: 20ms
    batch: {{ every: 24h, at: "02:00" }}
{extra}"#,
        partner.running.url()
    ))
}

/// One event per device from `from` on, with these members besides its ids.
async fn post(server: &Server, from: usize, count: usize, members: &str) {
    let all: Vec<_> = (from..from + count).collect();
    for numbers in all.chunks(EVENTS) {
        let events = numbers.iter().map(|number| {
            format!(
                r#"{{"uuid":"{number:038}","ids":[{{"data_source":55,"id":"id{number}"}}],{members}}}"#
            )
        });
        let body = format!("[{}]", events.collect::<Vec<_>>().join(","));
        let answer = request(server.collect_addr(), "POST /v1/events", &body).await;
        assert_eq!(answer["accepted"], numbers.len());
    }
}

async fn batches(server: &Server) -> Value {
    request(server.admin_addr(), "GET /v1/destinations/7/batches", "").await
}

/// Waits until as many batches as this have ended, and returns what is known of them.
async fn ended(server: &Server, count: usize) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = batches(server).await;
        let batches = answer["batches"].as_array().unwrap();
        let over = |batch: &&Value| !batch["end_time"].is_null();
        if batches.iter().filter(over).count() >= count {
            return answer;
        }
        assert!(Instant::now() < until, "still running: {answer}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[track_caller]
fn check_record(record: &Value, number: usize, succeeded: usize) {
    assert_eq!(record["number"], number, "{record}");
    assert_eq!(record["received_records"], succeeded, "{record}");
    assert_eq!(record["attempted_records"], succeeded, "{record}");
    assert_eq!(record["success_records"], succeeded, "{record}");
    assert_eq!(record["failed_records"], 0, "{record}");
    assert_eq!(record["success"], true, "{record}");
}

/// How often every user was told which states.
fn told(heard: &[Heard]) -> BTreeMap<(&str, &str), usize> {
    let mut told = BTreeMap::new();
    for (id, states) in heard.iter().flat_map(|message| &message.users) {
        *told.entry((id.as_str(), states.as_str())).or_default() += 1;
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_runs_beside_real_time() {
    const USERS: usize = 2_000;
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = serve(dir.path(), partner_catalog(&partner, ""), &partner, START);
    let server = server.await.unwrap();
    post(&server, 1, USERS, r#""traits":[1]"#).await;
    eventually("all are told", || partner.users() >= USERS).await;
    let before = batches(&server).await;
    assert_eq!(before["next"], BATCH);
    assert!(before["batches"].as_array().unwrap().is_empty());
    // The first batch is slow, and someone enters a segment in the middle of it. It goes through the
    // devices in order, so this one is left for the next.
    partner.forget();
    partner.set_faults(&["delay=100ms"]);
    set_clock(&server, BATCH).await;
    eventually("the batch runs", || partner.users() >= 200).await;
    assert!(!batches(&server).await["running"].is_null());
    post(&server, 0, 1, r#""traits":[2]"#).await;
    let answer = ended(&server, 1).await;
    check_record(&answer["batches"][0], 1, USERS);
    assert_eq!(answer["batches"][0]["due_time"], BATCH);
    assert!(answer["running"].is_null());
    let heard = partner.heard();
    let is_newcomer = |message: &Heard| message.users.iter().any(|(id, _)| id == "id0");
    let at = heard.iter().position(is_newcomer).unwrap();
    let behind = heard.len() - at;
    assert!(behind > 20, "{behind} messages of the batch came after it");
    assert!(heard.iter().all(|message| message.users.len() <= 10));
    let told_first = told(&heard);
    assert_eq!(told_first.len(), USERS + 1);
    assert!(told_first.values().all(|times| *times == 1));
    // The next one tells what changed: the newcomer, and those who came and went. Not those who went
    // and came back.
    partner.set_faults(&[]);
    partner.forget();
    post(&server, 1, 3, r#""remove_traits":[1]"#).await;
    post(&server, 1, 1, r#""traits":[1]"#).await;
    eventually("they are told in real time", || {
        let heard = partner.heard();
        told(&heard).contains_key(&("id1", "10=1")) && told(&heard).contains_key(&("id3", "10=0"))
    })
    .await;
    let next = "2016-07-29T02:00:00Z";
    set_clock(&server, next).await;
    let answer = ended(&server, 2).await;
    check_record(&answer["batches"][0], 2, 3);
    check_record(&answer["batches"][1], 1, USERS);
    let heard = partner.heard();
    let batch = heard
        .iter()
        .filter(|message| message.built == Timestamp::parse(next).unwrap());
    let batch: Vec<_> = batch.flat_map(|message| message.users.clone()).collect();
    let expected = [("id0", "20=1"), ("id2", "10=0"), ("id3", "10=0")];
    let expected = expected.map(|(id, states)| (id.to_owned(), states.to_owned()));
    assert_eq!(batch, expected);
    server.stop().await.unwrap();
}

/// Users of the tests that restart: more with `TIDINGS_TEST_BATCH_USERS`.
fn users() -> usize {
    let users = env::var("TIDINGS_TEST_BATCH_USERS").ok();
    users.map_or(5_000, |users| users.parse().unwrap())
}

/// All users are told in real time, and a batch of them has been under way for a while.
async fn start_batch(dir: &std::path::Path, partner: &Partner, users: usize) -> Server {
    let server = serve(dir, partner_catalog(partner, ""), partner, START);
    let server = server.await.unwrap();
    post(&server, 0, users, r#""traits":[1]"#).await;
    eventually("all are told", || partner.users() >= users).await;
    partner.forget();
    partner.set_faults(&["delay=20ms"]);
    set_clock(&server, BATCH).await;
    eventually("the batch runs", || partner.users() >= users / 4).await;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_goes_on_after_a_restart() {
    let users = users();
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = start_batch(dir.path(), &partner, users).await;
    server.stop().await.unwrap();
    let before = partner.users();
    assert!(before < users, "the restart comes too late");
    partner.set_faults(&[]);
    let server = serve(dir.path(), partner_catalog(&partner, ""), &partner, BATCH);
    let server = server.await.unwrap();
    let answer = ended(&server, 1).await;
    check_record(&answer["batches"][0], 1, users);
    assert_eq!(answer["batches"].as_array().unwrap().len(), 1);
    assert_eq!(answer["devices_waiting"], 0);
    let heard = partner.heard();
    let told = told(&heard);
    assert_eq!(told.len(), users);
    let twice: Vec<_> = told.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "told twice: {twice:?}");
    server.stop().await.unwrap();
}

#[test]
fn a_batch_goes_on_after_outcomes_were_lost() {
    let users = users();
    let dir = tempfile::tempdir().unwrap();
    let outside = tokio::runtime::Runtime::new().unwrap();
    let partner = outside.block_on(Partner::start());
    // The tasks of the first server end wherever they are, attempts under way included.
    let inside = tokio::runtime::Runtime::new().unwrap();
    let server = inside.block_on(start_batch(dir.path(), &partner, users));
    inside.shutdown_background();
    drop(server);
    outside.block_on(async {
        partner.set_faults(&[]);
        let until = Instant::now() + PATIENCE;
        let server = loop {
            // The store is closed a little later, by a thread of its own.
            let catalog = partner_catalog(&partner, "");
            match serve(dir.path(), catalog, &partner, BATCH).await {
                Ok(server) => break server,
                Err(error) if Instant::now() > until => panic!("{error:#}"),
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        };
        let answer = ended(&server, 1).await;
        check_record(&answer["batches"][0], 1, users);
        let heard = partner.heard();
        let told = told(&heard);
        assert_eq!(told.len(), users);
        // No more than what was on its way is told again: 16 messages of 10 users.
        let again = told.values().filter(|times| **times > 1).count();
        assert!(again <= 160, "{again} were told again");
        server.stop().await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_batch_could_not_tell_is_in_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let catalog = || partner_catalog(&partner, "    after_failure: drop\n    retries: 0\n");
    let server = serve(dir.path(), catalog(), &partner, START).await.unwrap();
    post(&server, 0, 10, r#""traits":[1]"#).await;
    eventually("all are told", || partner.users() >= 10).await;
    partner.forget();
    partner.set_faults(&["status=500"]);
    set_clock(&server, BATCH).await;
    let answer = ended(&server, 1).await;
    let record = &answer["batches"][0];
    assert_eq!(
        (&record["success_records"], &record["failed_records"]),
        (&0.into(), &10.into())
    );
    assert_eq!(record["success"], false);
    assert_eq!(answer["devices_waiting"], 10);
    partner.set_faults(&[]);
    // The destination is still failing, so the batch waits for its probe.
    set_clock(&server, "2016-07-29T02:00:00Z").await;
    let answer = ended(&server, 2).await;
    check_record(&answer["batches"][0], 2, 10);
    assert_eq!(answer["devices_waiting"], 0);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_ends_when_the_next_is_due() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let catalog = || partner_catalog(&partner, "    retries: 0\n");
    let server = serve(dir.path(), catalog(), &partner, START).await.unwrap();
    post(&server, 0, 10, r#""traits":[1]"#).await;
    eventually("all are told", || partner.users() >= 10).await;
    partner.forget();
    partner.set_faults(&["status=500"]);
    set_clock(&server, BATCH).await;
    let refused = || partner.running.stats().faulted > 0;
    eventually("the batch is refused", refused).await;
    // Failures are held, so it is still under way when the next one is due.
    set_clock(&server, "2016-07-29T02:00:00Z").await;
    let answer = ended(&server, 1).await;
    let batches = answer["batches"].as_array().unwrap();
    let (new, old) = (&batches[0], &batches[1]);
    assert_eq!(
        (&old["number"], &old["cut_short"]),
        (&1.into(), &true.into())
    );
    assert_eq!(
        (&old["success"], &old["success_records"]),
        (&false.into(), &0.into())
    );
    assert_eq!(
        (&new["number"], &new["end_time"]),
        (&2.into(), &Value::Null)
    );
    partner.set_faults(&[]);
    let answer = ended(&server, 2).await;
    check_record(&answer["batches"][0], 2, 10);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_hundred_batches_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = serve(dir.path(), partner_catalog(&partner, ""), &partner, START);
    let server = server.await.unwrap();
    let mut now = Timestamp::parse(BATCH).unwrap();
    for number in 1..=103 {
        set_clock(&server, &now.to_string()).await;
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = batches(&server).await;
            let newest = &answer["batches"][0];
            if newest["number"] == number && !newest["end_time"].is_null() {
                break;
            }
            assert!(Instant::now() < until, "{answer}");
            sleep(Duration::from_millis(5)).await;
        }
        now = now.plus_seconds(86_400);
    }
    let answer = batches(&server).await;
    let batches = answer["batches"].as_array().unwrap();
    assert_eq!(batches.len(), 100);
    assert_eq!(batches[99]["number"], 4);
    check_record(&batches[0], 103, 0);
    assert_eq!(partner.running.stats().requests, 0);
    server.stop().await.unwrap();
}
