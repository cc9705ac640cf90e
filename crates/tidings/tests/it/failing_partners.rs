//! Partners that fail: one retry with the same bytes, and then the policy of the destination.
//!
//! One server and one partner per way to fail, all at once, since most of the time is spent waiting
//! for the deadlines of attempts.

use crate::support::{
    partner::{Partner, Seen},
    server::{Home, Server},
};
use std::{fmt::Write as _, time::Duration};
use tidings_receiver::SignatureCheck;

const KEY: &str = "sample_partner_private_key";
/// Pause before a retry, which is the default. The server counts whole milliseconds.
const RETRY_DELAY: Duration = Duration::from_millis(999);
/// Pause between giving up a message and the first probe with a held pair.
const PROBE_DELAY: Duration = Duration::from_secs(5);

/// A partner, and the destination that leads to it.
struct Told {
    destination: u32,
    what: &'static str,
    partner: Partner,
}

impl Told {
    async fn new(destination: u32, fault: &'static str) -> Self {
        let partner = Partner::faulty_and_signed(&[fault], KEY).await;
        Self {
            destination,
            what: fault,
            partner,
        }
    }

    /// Its entry in the catalog.
    fn entry(&self, policy: &str, segments: &[u32]) -> String {
        let mappings: Vec<_> = segments
            .iter()
            .map(|segment| format!("{{ segment: {segment} }}"))
            .collect();
        format!(
            "  - id: {id}
    name: Partner {id}
    client_id: \"74323\"
    url: {url}
    id_data_sources: [501]
    mappings: [{mappings}]
    max_linger: 20ms
    after_failure: {policy}
    signing: [{{ header: X-Signature, hash: sha1, secret: \"plain:{KEY}\" }}]\n",
            id = self.destination,
            url = self.partner.url(),
            mappings = mappings.join(", "),
        )
    }

    /// Waits until a message to it has been given up.
    async fn given_up(&self, server: &Server) {
        server
            .wait_for_destination(self.destination, "a message given up", |status| {
                status["messages_failed"] == 1 && status["in_flight"] == 0
            })
            .await;
    }

    /// Checks that it got two attempts at this and nothing else, and gives them.
    #[track_caller]
    fn check_two_attempts(&self, told: &str) -> [Seen; 2] {
        let what = self.what;
        let seen = self.partner.seen();
        let Ok([first, second]) = <[Seen; 2]>::try_from(seen) else {
            panic!("{what}: {:?}", self.partner.told());
        };
        assert_eq!(first.told(), [told], "{what}");
        assert_eq!(first.body, second.body, "{what}");
        assert_eq!(first.signature, SignatureCheck::Ok, "{what}");
        assert!(first.signature_header.is_some());
        assert_eq!(first.signature_header, second.signature_header, "{what}");
        let pause = second.instant - first.instant;
        assert!(pause >= RETRY_DELAY, "{what}: retried after {pause:?}");
        [first, second]
    }
}

fn catalog(destinations: &str) -> String {
    let mut text = String::from(
        "data_sources: [{ id: 501, name: Cookies, kind: cookie }]
traits: [{ id: 1, name: A }, { id: 2, name: B }, { id: 3, name: C }, { id: 4, name: D }]
segments:\n",
    );
    for n in 1..=4 {
        writeln!(text, "  - {{ id: 10{n}, name: S{n}, rule: '{n}T' }}").unwrap();
    }
    text + "destinations:\n" + destinations
}

#[tokio::test(flavor = "multi_thread")]
async fn are_tried_twice_and_then_dropped_or_held() {
    let bait = Partner::start().await;
    let redirect = format!("redirect={}", bait.url()).leak();
    let mut dropping = Vec::new();
    let faults = [
        "status=204",
        "status=301",
        "status=500",
        "reset",
        "hang",
        // Accepted, but after the sender has given up waiting: 3000 ms by default.
        "delay=3200ms",
        redirect,
    ];
    for (destination, fault) in (1..).zip(faults) {
        dropping.push(Told::new(destination, fault).await);
    }
    let good = Told::new(20, "status=200").await;
    let probed = Told::new(21, "status=503").await;
    let triggered = Told::new(22, "status=503").await;
    let mut entries: String = dropping
        .iter()
        .map(|told| told.entry("drop", &[101, 102]))
        .collect();
    entries += &good.entry("drop", &[101, 102]);
    // Told of other segments, so that the two can be made to fail later than the others.
    entries += &probed.entry("hold", &[103]);
    entries += &triggered.entry("hold", &[103, 104]);
    let mut partners: Vec<_> = dropping.iter().map(|told| &told.partner).collect();
    partners.extend([&good.partner, &probed.partner, &triggered.partner]);
    let home = Home::new(&catalog(&entries), &partners);
    let server = home.start().await;

    server
        .events(r#"{"uuid":"1","traits":[1],"ids":[{"data_source":501,"id":"p1"}]}"#)
        .await;
    for told in &dropping {
        told.given_up(&server).await;
        told.check_two_attempts("p1 101=1");
    }
    assert_eq!(good.partner.told(), [["p1 101=1"]]);

    server
        .events(r#"{"uuid":"2","traits":[3],"ids":[{"data_source":501,"id":"p2"}]}"#)
        .await;
    let mut attempts = Vec::new();
    for told in [&probed, &triggered] {
        told.given_up(&server).await;
        let status = server.destination(told.destination).await;
        assert_eq!(
            (&status["health"], &status["held"]),
            (&"failing".into(), &1.into())
        );
        attempts.push(told.check_two_attempts("p2 103=1"));
        told.partner.set_faults(&[]);
    }
    // The next trigger sends a held pair, with what is true by then, and does not wait for a probe.
    server.events(r#"{"uuid":"2","traits":[4]}"#).await;
    let seen = triggered.partner.wait_for_count(3).await;
    assert_eq!(seen[2].told(), ["p2 103=1 104=1"]);
    let pause = seen[2].instant - attempts[1][1].instant;
    assert!(pause < PROBE_DELAY, "told after {pause:?}, so by a probe");
    // A probe finds that the other one has recovered.
    let seen = probed.partner.wait_for_count(3).await;
    assert_eq!(seen[2].told(), ["p2 103=1"]);
    for told in [&probed, &triggered] {
        server
            .wait_for_destination(told.destination, "recovered", |status| {
                status["health"] == "healthy" && status["held"] == 0
            })
            .await;
    }

    // By now the dropping destinations would have been probed too, had they kept anything.
    for told in &dropping {
        told.check_two_attempts("p1 101=1");
        told.partner.set_faults(&[]);
    }
    server.events(r#"{"uuid":"1","traits":[2]}"#).await;
    for told in &dropping {
        let seen = told.partner.wait_for_count(3).await;
        assert_eq!(seen[2].told(), ["p1 101=1 102=1"], "{}", told.what);
    }
    // That a message was given up does not mean that the partner did not get it: the zero is owed.
    server.events(r#"{"uuid":"1","remove_traits":[1]}"#).await;
    for told in &dropping {
        let seen = told.partner.wait_for_count(4).await;
        assert_eq!(seen[3].told(), ["p1 102=1 101=0"], "{}", told.what);
        assert_eq!(told.partner.state("p1", 101), Some(false));
        let status = server
            .wait_for_destination(told.destination, "two messages delivered", |status| {
                status["messages_delivered"] == 2
            })
            .await;
        assert_eq!(
            (&status["messages_failed"], &status["attempts"]),
            (&1.into(), &4.into())
        );
    }
    good.partner.wait_for_count(3).await;
    assert_eq!(
        good.partner.told(),
        [["p1 101=1"], ["p1 101=1 102=1"], ["p1 102=1 101=0"]]
    );
    assert!(bait.seen().is_empty(), "a redirect was followed");
    server.stop().await;
}
