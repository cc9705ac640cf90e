//! Deletion down to the rows: nothing of a device's ids is left in the store, and it collects nothing.

use crate::support::{Partner, catalog, eventually, request, serve, set_clock};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};
use tidings_engine::{MappingChanges, Moment};
use tidings_model::{Catalog, DeviceUuid, Event, Timestamp, TraitId};
use tidings_runtime::{
    Server,
    core::{ActiveCatalog, Core},
};
use tidings_store::{Batch, Store, StoreSettings};

const START: &str = "2016-07-27T16:00:00Z";
/// When the next day's batch has begun.
const AFTER_BATCH: &str = "2016-07-28T03:00:00Z";
/// When the terms of the attempt log and of the removal ledger are over.
const YEARS_LATER: &str = "2018-07-27T16:00:00Z";
const DEVICE: &str = "12345678901234567890123456789012345678";
const PARTNER_ID: &str = "id-of-a-person";

/// No row at all.
const NOTHING: (String, String) = (String::new(), String::new());

/// Partners told at once, with a daily batch as well, and one that takes no zeros.
fn three_destinations(partner: &Partner) -> Catalog {
    let destination = |id: u32, more: &str| {
        format!(
            r#"
  - id: {id}
    name: Partner {id}
    client_id: "{id}"
    url: {}/segments
    id_data_sources: [55]
    mappings: [{{ segment: 10 }}, {{ segment: 20 }}]
    max_linger: 5ms
    retry_delay: 5ms
{more}"#,
            partner.running.url()
        )
    };
    let destinations = [
        destination(7, ""),
        destination(8, "    batch: { every: 24h, at: \"02:00\" }"),
        destination(9, "    supports_unsegment: false"),
    ];
    catalog(&format!(
        r#"
data_sources:
  - {{ id: 55, name: Cookies, kind: cookie }}
traits:
  - {{ id: 1, name: Cart, ttl_days: 30 }}
  - {{ id: 2, name: Shop }}
segments:
  - {{ id: 10, name: Cart, rule: "1T" }}
  - {{ id: 20, name: Shop, rule: "2T" }}
destinations:{}
"#,
        destinations.concat()
    ))
}

async fn post(server: &Server, event_id: &str) -> Value {
    let body = format!(
        r#"{{"uuid":"{DEVICE}","ids":[{{"data_source":55,"id":"{PARTNER_ID}"}}],"traits":[1,2],"region":9,"event_id":"{event_id}"}}"#
    );
    request(server.collect_addr(), "POST /v1/events", &body).await
}

fn times_heard(partner: &Partner, states: &str) -> usize {
    let heard = partner.heard();
    let users = heard.iter().flat_map(|message| &message.users);
    users.filter(|(_, told)| told == states).count()
}

/// The kinds of rows that hold the device's id, as bytes or as digits, and of those with the partner's.
fn kinds_left(data_dir: &Path) -> (String, String) {
    let store = Store::open(data_dir, &StoreSettings::default()).unwrap();
    let uuid: DeviceUuid = DEVICE.parse().unwrap();
    let kinds = |needles: &[&[u8]]| {
        let rows = needles
            .iter()
            .flat_map(|one| store.rows_with(one, 100).unwrap());
        let kinds = rows.map(|key| char::from(key[0]));
        kinds
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect()
    };
    let number = uuid.as_number().unwrap().to_be_bytes();
    (
        kinds(&[&number, DEVICE.as_bytes()]),
        kinds(&[PARTNER_ID.as_bytes()]),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_deleted_device_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let serve = |now| serve(dir.path(), three_destinations(&partner), &partner, now);
    let server = serve(START).await.unwrap();
    assert_eq!(post(&server, "e-1").await["accepted"], 1);
    eventually("all are told in", || {
        times_heard(&partner, "10=1 20=1") == 3
    })
    .await;
    set_clock(&server, AFTER_BATCH).await;
    eventually("the batch tells it", || {
        times_heard(&partner, "10=1 20=1") == 4
    })
    .await;
    server.stop().await.unwrap();
    // Otherwise nothing would be proved below: attempts, the log of profiles, a link, a profile, a timer.
    assert_eq!(
        kinds_left(dir.path()),
        ("agipt".to_owned(), "gip".to_owned())
    );

    let server = serve(AFTER_BATCH).await.unwrap();
    let body = format!(r#"{{"uuid":"{DEVICE}"}}"#);
    request(server.admin_addr(), "POST /v1/privacy/delete", &body).await;
    eventually("both that take zeros are told", || {
        times_heard(&partner, "10=0 20=0") == 2
    })
    .await;
    // The batch ends what batches told.
    set_clock(&server, "2016-07-29T03:00:00Z").await;
    eventually("the batch tells it", || {
        times_heard(&partner, "10=0 20=0") == 3
    })
    .await;
    server.stop().await.unwrap();
    // The proof of what was told, for its terms.
    assert_eq!(kinds_left(dir.path()), ("ar".to_owned(), "r".to_owned()));

    // A start trims one log; the rest would follow within minutes.
    while kinds_left(dir.path()) != NOTHING {
        let server = serve(YEARS_LATER).await.unwrap();
        server.stop().await.unwrap();
    }

    partner.forget();
    let server = serve(YEARS_LATER).await.unwrap();
    let answer = post(&server, "e-2").await;
    assert_eq!(
        (&answer["accepted"], &answer["uuids"][0]),
        (&json!(1), &json!(DEVICE))
    );
    let held = request(server.admin_addr(), "POST /v1/privacy/access", &body).await;
    let device = &held["devices"][0];
    assert_eq!(device["opted_out"], true, "{held}");
    for member in ["ids", "traits", "segments", "regions", "destinations"] {
        assert_eq!(device[member], json!([]), "{held}");
    }
    assert_eq!(device["last_seen"], Value::Null, "{held}");
    server.stop().await.unwrap();
    assert_eq!(partner.users(), 0);
    assert_eq!(kinds_left(dir.path()), NOTHING);
}

/// A device that opts out before anything is known of it leaves a mark and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_device_that_opts_out_leaves_a_mark() {
    let dir = tempfile::tempdir().unwrap();
    let partner = Partner::start().await;
    let serve = || serve(dir.path(), three_destinations(&partner), &partner, START);
    let server = serve().await.unwrap();
    let body = format!(r#"{{"uuid":"{DEVICE}"}}"#);
    request(server.collect_addr(), "POST /v1/opt-out", &body).await;
    assert_eq!(post(&server, "e-1").await["accepted"], 1);
    server.stop().await.unwrap();
    let server = serve().await.unwrap();
    assert_eq!(post(&server, "e-2").await["accepted"], 1);
    server.stop().await.unwrap();
    assert_eq!(kinds_left(dir.path()), NOTHING);
    assert_eq!(partner.users(), 0);
}

/// Rows that one event costs to read.
#[test]
fn only_a_device_without_a_profile_costs_a_second_read() {
    let dir = tempfile::tempdir().unwrap();
    let settings = StoreSettings {
        profile_log_bytes: 0,
        ..StoreSettings::default()
    };
    let open = || Store::open(dir.path(), &settings).unwrap();
    let text = "traits: [{ id: 1, name: A }]\nsegments: [{ id: 10, name: A, rule: 1T }]";
    let active = ActiveCatalog::new(catalog(text), 1, MappingChanges::default());
    let active = Arc::new(active.unwrap());
    let event = Event {
        uuid: Some(DEVICE.parse().unwrap()),
        traits: vec![TraitId(1)],
        ..Event::default()
    };
    let submit = |store: &Store, core: &mut Core| {
        let before = store.rows_read();
        let (mut batch, durable) = (Batch::new(), store.head().seq);
        let moment = Moment {
            now: Timestamp::parse(START).unwrap(),
            seq: durable + 1,
            epoch: 1,
        };
        let new = || unreachable!("it has a uuid");
        core.submit(moment, &event, store, &mut batch, new, |_| {})
            .unwrap();
        core.finish(moment, durable, store, &mut batch);
        let read = store.rows_read() - before;
        store.commit(&batch).unwrap();
        read
    };
    let mut core = Core::new(Arc::clone(&active), 100);
    let store = open();
    let read = [submit(&store, &mut core), submit(&store, &mut core)];
    assert_eq!(read, [2, 0]);
    // The profile gets a row of its own.
    store.commit(&Batch::new()).unwrap();
    // Another run: neither the core nor the store remembers it.
    drop(store);
    let mut core = Core::new(active, 100);
    let store = open();
    let read = [submit(&store, &mut core), submit(&store, &mut core)];
    assert_eq!(read, [1, 0]);
}
