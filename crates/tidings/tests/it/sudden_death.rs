//! A server that is killed again and again under load: whatever it acknowledged is told in the end,
//! and nothing is told that was not true.

use crate::{
    load::{Ledger, Load, Senders, catalog, partner_id, write_event},
    support::{
        partner::Partner,
        poll,
        server::{Home, Server},
        within,
    },
};
use rand::{Rng, RngExt as _, SeedableRng as _, rngs::StdRng};
use std::env;

/// Which load and which moments; another one can be had through the environment.
fn seed() -> u64 {
    env::var("TIDINGS_TEST_SEED").map_or(20_160_727, |seed| seed.parse().unwrap())
}

/// When the server is to be killed, counted from its start.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// As soon as it listens.
    Ready,
    /// Likewise, and its successor before it listens.
    Starting,
    /// When this many more requests are being sent, before any of the last is answered.
    Sending(usize),
    /// When this many more requests are acknowledged.
    Acknowledged(usize),
    /// When the first or second partner has this many more messages, before the last is answered.
    Telling(usize, usize),
}

impl Moment {
    fn random(random: &mut impl Rng) -> Self {
        let count = random.random_range(1..=35);
        match random.random_range(0..10) {
            0 => Self::Starting,
            1 => Self::Ready,
            2..5 => Self::Sending(count),
            5..7 => Self::Acknowledged(count),
            _ => Self::Telling(random.random_range(0..2), count),
        }
    }
}

/// Waits for the moment, or for the end of the load if that is earlier.
async fn wait_for(moment: Moment, load: Load, senders: &Senders, partners: [&Partner; 2]) {
    let (mut count, more) = match moment {
        Moment::Starting | Moment::Ready => return,
        Moment::Sending(more) => (senders.progress.sent.subscribe(), more),
        Moment::Acknowledged(more) => (senders.progress.acknowledged.subscribe(), more),
        Moment::Telling(partner, more) => (partners[partner].counts(), more),
    };
    let wanted = *count.borrow() + more;
    let mut acknowledged = senders.progress.acknowledged.subscribe();
    within("the moment of death", async {
        tokio::select! {
            counted = count.wait_for(|&count| count >= wanted) => drop(counted.unwrap()),
            all = acknowledged.wait_for(|&count| count >= load.batches) => drop(all.unwrap()),
        }
    })
    .await;
}

/// Waits until everything that was sent to the partners has been read: what a dead server left on
/// its way must not arrive after what its successor tells.
async fn wait_for_silence(partners: [&Partner; 2]) {
    let is_silent = async || {
        let open = partners.map(|partner| partner.stats().connections_open);
        (open == [0, 0]).then_some(())
    };
    poll("the end of all connections", is_silent).await;
}

/// A partner that is well, and one that is not quite.
async fn partners(seed: u64) -> [Partner; 2] {
    let faults = [
        "delay=30ms,rate=0.2",
        "status=503,rate=0.04",
        "reset,rate=0.02",
    ];
    [
        Partner::start().await,
        Partner::faulty_with_seed(&faults, seed).await,
    ]
}

/// Checks everything once all is told, and that nothing is left for another start.
async fn check(ledger: &Ledger, home: &Home, server: Server, partners: [&Partner; 2]) {
    for (id, partner) in (1..).zip(partners) {
        ledger.wait_until_told(&server, id, partner).await;
    }
    server.stop().await;
    let before = partners.map(|partner| {
        let seen = partner.seen();
        assert_eq!(ledger.check_truth(&seen), Ok(()));
        assert_eq!(ledger.wrong_states(partner), [""; 0]);
        seen.len()
    });
    // What was left over would be told together with this one, or before.
    let server = home.start().await;
    server
        .events(r#"{"uuid":"1","traits":[1],"ids":[{"data_source":501,"id":"bystander"}]}"#)
        .await;
    for (partner, before) in partners.into_iter().zip(before) {
        partner.set_faults(&[]);
        let seen = partner
            .wait_for("the bystander", |seen| {
                let new = &seen[before..];
                new.iter()
                    .any(|seen| seen.told().iter().any(|told| told.starts_with("bystander")))
                    .then(|| new.to_vec())
            })
            .await;
        for seen in seen {
            assert_eq!(seen.told(), ["bystander 101=1"]);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loses_nothing_and_invents_nothing() {
    const KILLS: usize = 10;
    let load = Load {
        seed: seed(),
        devices: 2_000,
        batches: 400,
        events_per_batch: 50,
    };
    eprintln!("{load:?}");
    let mut random = StdRng::seed_from_u64(load.seed);
    let partners = partners(load.seed).await;
    let partners = [&partners[0], &partners[1]];
    let home = Home::new(&catalog(&partners), &partners);
    let mut server = home.start().await;
    let senders = load.start(&server);
    for kill in 1..=KILLS {
        // The last time nothing comes after it that would touch devices once more.
        let moment = if kill == KILLS {
            Moment::Acknowledged(load.batches)
        } else {
            Moment::random(&mut random)
        };
        eprintln!("killed at {moment:?}");
        wait_for(moment, load, &senders, partners).await;
        server.kill().await;
        if matches!(moment, Moment::Starting) {
            // A start over what a killed server left is cut short as well.
            home.spawn().kill().await;
        }
        wait_for_silence(partners).await;
        server = home.start().await;
        senders.go_on_with(&server);
    }
    let ledger = senders.done(load).await;
    assert_eq!(ledger.events(), load.batches * load.events_per_batch);
    check(&ledger, &home, server, partners).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_means_that_everything_in_the_request_is_on_disk() {
    const ROUNDS: usize = 5;
    /// So many that writing them takes longer than killing the server.
    const DEVICES: usize = 1_000;
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&[&partner]), &[&partner]);
    for round in 0..ROUNDS {
        let mut server = home.start().await;
        let mut events = String::new();
        for device in round * DEVICES..(round + 1) * DEVICES {
            write_event(&mut events, device, 1, None);
        }
        server.events(&events).await;
        server.kill().await;
    }
    let server = home.start().await;
    let untold = || {
        let told = |device: &usize| partner.state(&partner_id(*device), 101) == Some(true);
        (0..ROUNDS * DEVICES).find(|device| !told(device))
    };
    poll("every device to be told", async || {
        untold().is_none().then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_under_load_loses_nothing_either() {
    const STOPS: usize = 3;
    let load = Load {
        seed: seed() + 1,
        devices: 500,
        batches: 120,
        events_per_batch: 50,
    };
    eprintln!("{load:?}");
    let partners = partners(load.seed).await;
    let partners = [&partners[0], &partners[1]];
    let home = Home::new(&catalog(&partners), &partners);
    let mut server = home.start().await;
    let senders = load.start(&server);
    // Other than above, the load ends under a server that goes on: nothing that it forgets is healed
    // by a start.
    for stop in 0..STOPS {
        wait_for(Moment::Telling(stop % 2, 15), load, &senders, partners).await;
        server.stop().await;
        wait_for_silence(partners).await;
        server = home.start().await;
        senders.go_on_with(&server);
    }
    let ledger = senders.done(load).await;
    check(&ledger, &home, server, partners).await;
}
