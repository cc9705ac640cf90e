//! The list of undelivered users, and sending them again.

use crate::support::{Partner, ask, catalog, eventually, request, serve};
use serde_json::Value;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tidings_model::{Catalog, DestinationId, Timestamp};
use tidings_runtime::Server;
use tidings_store::{Batch, RecordKind, Resend, Store, StoreSettings};

const START: &str = "2016-07-27T16:00:00Z";

fn partner_catalog(partner: &Partner, after_failure: &str) -> Catalog {
    catalog(&format!(
        r#"
data_sources:
  - {{ id: 55, name: Cookies, kind: cookie }}
traits:
  - {{ id: 1, name: Cart }}
  - {{ id: 2, name: Sale }}
segments:
  - {{ id: 10, name: Cart, rule: "1T" }}
  - {{ id: 20, name: Sale, rule: "2T" }}
destinations:
  - id: 7
    name: Partner
    client_id: "1"
    url: {}/segments
    id_data_sources: [55]
    mappings: [{{ segment: 10 }}, {{ segment: 20 }}]
    max_linger: 5ms
    retry_delay: 5ms
    after_failure: {after_failure}
"#,
        partner.running.url()
    ))
}

fn device(number: u32) -> String {
    format!("{number:038}")
}

/// An event of the device with this number and partner id.
async fn post(server: &Server, number: u32, members: &str) {
    let uuid = device(number);
    let body =
        format!(r#"{{"uuid":"{uuid}","ids":[{{"data_source":55,"id":"id{number}"}}],{members}}}"#);
    let answer = request(server.collect_addr(), "POST /v1/events", &body).await;
    assert_eq!(answer["accepted"], 1, "{answer}");
}

/// What the admin side answers about the destination.
async fn admin(server: &Server, method: &str, path: &str) -> (u16, Value) {
    let head = format!("{method} /v1/destinations/7{path}");
    ask(server.admin_addr(), &head, "").await
}

/// The devices that are listed, once there are so many, each with its state.
async fn listed(server: &Server, count: usize) -> Vec<(String, String)> {
    loop {
        let (status, answer) = admin(server, "GET", "/undelivered").await;
        assert_eq!(status, 200, "{answer}");
        let rows = answer["undelivered"].as_array().unwrap();
        if rows.len() == count {
            let text = |row: &Value, member: &str| row[member].as_str().unwrap().to_owned();
            let rows = rows.iter();
            return rows
                .map(|row| (text(row, "device"), text(row, "state")))
                .collect();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server that could not tell the partner of the devices from 1 to `count`.
async fn failed(dir: &Path, partner: &Partner, after_failure: &str, count: u32) -> Server {
    let catalog = partner_catalog(partner, after_failure);
    let server = serve(dir, catalog, partner, START).await.unwrap();
    partner.set_faults(&["status=500"]);
    for number in 1..=count {
        post(&server, number, r#""traits":[1]"#).await;
    }
    let state = if after_failure == "drop" {
        "dropped"
    } else {
        "held"
    };
    let rows = listed(&server, count.try_into().unwrap()).await;
    let expected = (1..=count).map(|number| (device(number), state.to_owned()));
    assert_eq!(rows, expected.collect::<Vec<_>>());
    server
}

/// The partner ids and states of all user objects that the partner took, in order.
fn told(partner: &Partner) -> Vec<(String, String)> {
    let heard = partner.heard().into_iter();
    heard.flat_map(|message| message.users).collect()
}

/// Waits until the resend has ended.
async fn resent(server: &Server) -> Value {
    loop {
        let (_, answer) = admin(server, "GET", "").await;
        if !answer["resend"]["ended"].is_null() {
            return answer["resend"].clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_user_is_told_what_is_true_now() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = failed(dir.path(), &partner, "drop", 2).await;
    let (_, answer) = admin(&server, "GET", "/undelivered?limit=1").await;
    let row = &answer["undelivered"][0];
    assert_eq!(row["since"], START, "{row}");
    assert_eq!(row["last_failed"], START, "{row}");
    assert_eq!(row["waiting"], false, "{row}");
    assert!(row["why"].as_str().unwrap().contains("500"), "{row}");
    let cursor = answer["next_cursor"].as_str().unwrap();
    let (_, answer) = admin(&server, "GET", &format!("/undelivered?cursor={cursor}")).await;
    assert_eq!(answer["undelivered"][0]["device"], device(2), "{answer}");
    assert_eq!(answer["undelivered"].as_array().unwrap().len(), 1);
    assert!(answer["next_cursor"].is_null(), "{answer}");
    let (_, figures) = admin(&server, "GET", "").await;
    assert_eq!(figures["undelivered"]["users"], 2, "{figures}");
    assert!(figures["resend"].is_null(), "{figures}");

    partner.set_faults(&[]);
    let path = format!("/undelivered/{}/resend", device(1));
    let (status, answer) = admin(&server, "POST", &path).await;
    assert_eq!((status, &answer["result"]), (202, &"waiting".into()));
    eventually("the user is told", || partner.users() > 0).await;
    assert_eq!(told(&partner), [("id1".to_owned(), "10=1".to_owned())]);
    assert_eq!(listed(&server, 1).await[0].0, device(2));

    // What was told is not listed any more, so it is not told again.
    let (status, answer) = admin(&server, "POST", &path).await;
    assert_eq!(
        (status, &answer["code"]),
        (404, &"not_undelivered".into()),
        "{answer}"
    );
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_user_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let begun = Instant::now();
    let server = failed(dir.path(), &partner, "hold", 2).await;
    partner.set_faults(&[]);
    let path = format!("/undelivered/{}/resend", device(2));
    let (status, answer) = admin(&server, "POST", &path).await;
    assert_eq!((status, &answer["result"]), (202, &"waiting".into()));
    // The partner answers again, so the other one follows.
    listed(&server, 0).await;
    let told = told(&partner);
    // After 5 s one of them is tried anyway.
    if begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(told[0].0, "id2", "{told:?}");
    }
    assert!(told.iter().any(|(id, _)| id == "id1"), "{told:?}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_told_again() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = failed(dir.path(), &partner, "drop", 3).await;
    partner.set_faults(&[]);
    let (status, answer) = admin(&server, "POST", "/undelivered/resend").await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["undelivered"]["users"], 3, "{answer}");
    assert_eq!(answer["resend"]["asked"], START, "{answer}");
    let resend = resent(&server).await;
    assert_eq!(resend["put_back"], 3, "{resend}");
    assert_eq!(resend["nothing_to_tell"], 0, "{resend}");
    listed(&server, 0).await;
    let mut users = told(&partner);
    users.sort();
    users.dedup();
    let user = |id: &str| (id.to_owned(), "10=1".to_owned());
    assert_eq!(users, [user("id1"), user("id2"), user("id3")]);

    // Nobody is left: asking again sends nothing.
    let heard = partner.users();
    let (status, answer) = admin(&server, "POST", "/undelivered/resend").await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["undelivered"]["users"], 0, "{answer}");
    assert_eq!(resent(&server).await["put_back"], 0);
    assert_eq!(partner.users(), heard);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = failed(dir.path(), &partner, "drop", 4).await;
    server.stop().await.unwrap();
    partner.set_faults(&[]);
    // As it is left when the process ends after the page of the first two.
    let store = Store::open(dir.path(), &StoreSettings::default()).unwrap();
    let mut batch = Batch::new();
    let under_way = Resend {
        asked: Timestamp::parse(START).unwrap(),
        ended: None,
        resent: 2,
        healed: 0,
        after: Some(device(2).parse().unwrap()),
    };
    batch.put_resend(DestinationId(7), &under_way);
    store.commit(&batch).unwrap();
    drop(store);

    let catalog = partner_catalog(&partner, "drop");
    let server = serve(dir.path(), catalog, &partner, START).await.unwrap();
    assert_eq!(resent(&server).await["put_back"], 4);
    let left = listed(&server, 2).await;
    assert_eq!([&left[0].0, &left[1].0], [&device(1), &device(2)]);
    let mut users: Vec<_> = told(&partner).into_iter().map(|(id, _)| id).collect();
    users.sort();
    assert_eq!(users, ["id3", "id4"]);
    server.stop().await.unwrap();
}

/// The destinations that the store has a resend of.
fn resends_on_disk(dir: &Path) -> Vec<DestinationId> {
    let store = Store::open(dir, &StoreSettings::default()).unwrap();
    store.destinations_with(RecordKind::Resends).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resend_goes_with_its_destination() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let server = failed(dir.path(), &partner, "drop", 1).await;
    partner.set_faults(&[]);
    admin(&server, "POST", "/undelivered/resend").await;
    resent(&server).await;
    server.stop().await.unwrap();
    assert_eq!(resends_on_disk(dir.path()), [DestinationId(7)]);

    let mut other = partner_catalog(&partner, "drop");
    other.destinations[0].id = DestinationId(8);
    let server = serve(dir.path(), other, &partner, START).await.unwrap();
    server.stop().await.unwrap();
    assert_eq!(resends_on_disk(dir.path()), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let catalog = partner_catalog(&partner, "hold");
    let server = serve(dir.path(), catalog, &partner, START).await.unwrap();
    let one = device(1);
    for (head, status, code) in [
        (
            "GET /v1/destinations/8/undelivered",
            404,
            "unknown_destination",
        ),
        (
            "GET /v1/destinations/x/undelivered",
            404,
            "unknown_destination",
        ),
        (
            "GET /v1/destinations/7/undelivered?limit=1001",
            400,
            "invalid_query",
        ),
        (
            "GET /v1/destinations/7/undelivered?cursor=x",
            400,
            "invalid_query",
        ),
        (
            "POST /v1/destinations/8/undelivered/resend",
            404,
            "unknown_destination",
        ),
        (
            &format!("POST /v1/destinations/8/undelivered/{one}/resend"),
            404,
            "unknown_destination",
        ),
        (
            "POST /v1/destinations/7/undelivered/x/resend",
            400,
            "invalid_uuid",
        ),
        (
            &format!("POST /v1/destinations/7/undelivered/{one}/resend"),
            404,
            "not_undelivered",
        ),
    ] {
        let (got, answer) = ask(server.admin_addr(), head, "").await;
        assert_eq!((got, &answer["code"]), (status, &code.into()), "{head}");
    }
    server.stop().await.unwrap();
}
