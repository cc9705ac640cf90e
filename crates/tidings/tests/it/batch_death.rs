//! A server that is killed in the middle of a batch: all are told, and nobody again whose
//! acknowledgement was on disk.
//!
//! What "on disk" means can be read from outside: the record of a batch is written with the outcomes
//! that it counts. So after each kill the record says how many acknowledgements of the killed server
//! are known to the next one, and as many users as were acknowledged beyond that, and no more, have
//! to be told again.

use crate::support::{
    http::{get, send},
    partner::Partner,
    poll,
    server::{Home, Options, Server},
    within,
};
use serde_json::Value;
use std::{collections::BTreeMap, env, fmt::Write as _, time::Instant};

/// Users of the batch; another number can be had through the environment, best with `--release`.
fn users() -> usize {
    let users = env::var("TIDINGS_TEST_BATCH_USERS").ok();
    users.map_or(2_000, |users| users.parse().unwrap())
}

const START: &str = "2016-07-27T16:00:00Z";
const BATCH: &str = "2016-07-28T02:00:00Z";
const USERS_PER_MESSAGE: usize = 10;
/// Half of what a destination may have in flight is for batches.
const MESSAGES_IN_FLIGHT: usize = 16;

/// The mapping begins on the day of the batch, so that real time tells nobody before.
fn catalog(partner: &Partner) -> String {
    format!(
        "data_sources: [{{ id: 501, name: Cookies, kind: cookie }}]
traits: [{{ id: 1, name: A }}]
segments: [{{ id: 101, name: S1, rule: '1T' }}]
destinations:
  - id: 1
    name: Partner
    client_id: \"74323\"
    url: {}
    id_data_sources: [501]
    mappings: [{{ segment: 101, start: 2016-07-28 }}]
    max_users: {USERS_PER_MESSAGE}
    timeout: 3s
    batch: {{ every: 24h, at: \"02:00\" }}\n",
        partner.url()
    )
}

async fn post_users(server: &Server, users: usize) {
    let all: Vec<_> = (0..users).collect();
    for devices in all.chunks(5_000) {
        let mut events = String::new();
        for device in devices {
            writeln!(
                events,
                r#"{{"uuid":"{device:038}","traits":[1],"ids":[{{"data_source":501,"id":"p{device}"}}]}}"#
            )
            .unwrap();
        }
        let answer = server.events(&events).await;
        assert_eq!(answer["accepted"], devices.len());
    }
}

async fn batches(server: &Server) -> Value {
    let reply = send(server.admin, get("/v1/destinations/1/batches")).await;
    assert_eq!(reply.status, 200, "{}", reply.shown());
    reply.json()
}

/// Kills the server once this many messages have arrived, and starts another under a partner that
/// answers nothing until its record of the batch has been read. Gives the record.
async fn kill_at(home: &Home, server: &mut Server, partner: &Partner, messages: usize) -> Value {
    wait_for_messages(partner, messages).await;
    server.kill().await;
    poll("the end of all connections", async || {
        (partner.stats().connections_open == 0).then_some(())
    })
    .await;
    partner.set_faults(&["hang"]);
    *server = home.start().await;
    let record = poll("the batch to go on", async || {
        let running = batches(server).await["running"].clone();
        (!running.is_null()).then_some(running)
    })
    .await;
    partner.set_faults(&[]);
    record
}

/// Waits until this many messages have arrived; as long as some do, that may take its time.
async fn wait_for_messages(partner: &Partner, messages: usize) {
    let mut counts = partner.counts();
    while *counts.borrow_and_update() < messages {
        within("the next message of the batch", counts.changed())
            .await
            .unwrap();
    }
}

/// How often each user was acknowledged, in the messages from `from` on.
fn acknowledged(partner: &Partner, from: usize) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for told in partner.answered().iter().skip(from).flatten() {
        let id = told.strip_suffix(" 101=1").expect("nothing else is true");
        *times.entry(id.to_owned()).or_default() += 1;
    }
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_told_and_nobody_again_who_is_known_to_have_been() {
    let users = users();
    let partner = Partner::start().await;
    let options = Options {
        virtual_now: Some(START),
        ..Options::default()
    };
    let home = Home::with(&catalog(&partner), &[&partner], options);
    let mut server = home.start().await;
    let posted = Instant::now();
    post_users(&server, users).await;
    eprintln!("posted after {:?}", posted.elapsed());
    // A server that starts again goes on at the time of the batch.
    home.change_config(START, BATCH);
    let begun = Instant::now();
    server.set_clock(BATCH).await;
    let mut from = 0;
    let (mut known, mut again) = (0, 0);
    for part in [1, 2] {
        let messages = users / USERS_PER_MESSAGE * part / 3;
        let record = kill_at(&home, &mut server, &partner, messages).await;
        let in_life = acknowledged(&partner, from);
        assert!(in_life.values().all(|times| *times == 1), "told twice");
        from = partner.answered().len();
        let committed = record["success_records"].as_u64().unwrap();
        let lost = in_life.len() - usize::try_from(committed - known).unwrap();
        eprintln!("killed after {from} messages, {lost} acknowledgements not on disk");
        assert!(committed > known && known + committed < users as u64 * 2);
        // What was on its way, and what was being settled while it was.
        assert!(
            lost <= 2 * MESSAGES_IN_FLIGHT * USERS_PER_MESSAGE,
            "{lost} lost"
        );
        known = committed;
        again += lost;
    }
    let rest = users - usize::try_from(known).unwrap();
    wait_for_messages(&partner, from + rest / USERS_PER_MESSAGE).await;
    let answer = poll("the end of the batch", async || {
        let answer = batches(&server).await;
        answer["running"].is_null().then_some(answer)
    })
    .await;
    eprintln!("{users} users and two kills in {:?}", begun.elapsed());
    assert_eq!(answer["batches"].as_array().unwrap().len(), 1, "{answer}");
    let record = &answer["batches"][0];
    assert_eq!(
        (&record["number"], &record["due_time"]),
        (&1.into(), &BATCH.into())
    );
    for count in ["received_records", "attempted_records", "success_records"] {
        assert_eq!(record[count], users, "{record}");
    }
    assert_eq!(
        (&record["failed_records"], &record["success"]),
        (&0.into(), &true.into())
    );
    assert_eq!(answer["devices_waiting"], 0);
    let told = acknowledged(&partner, 0);
    assert_eq!(told.len(), users, "all are told");
    let more: usize = told.values().map(|times| times - 1).sum();
    assert_eq!(more, again, "told again though it was known, or never");
    server.stop().await;
}
