//! A server that is killed again and again, under load, at its start and while it stops: whatever it
//! acknowledged is told in the end, and nothing is told that was not true.
//!
//! `cargo xtask crash --kills 1000` kills more often than the ordinary run, and tells how soon a server
//! with many profiles is ready after a kill.

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
use std::{
    env,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Longest time that a start or a stop is let go on before the kill. Which part of it is hit is chance:
/// these are the only two waits here that are not for something.
const START_MICROS: u64 = 60_000;
const STOP_MICROS: u64 = 20_000;

/// A number from the environment.
fn setting(name: &str, usual: usize) -> usize {
    env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// Which load and which moments; another one can be had through the environment.
fn seed() -> u64 {
    env::var("TIDINGS_TEST_SEED").map_or(20_160_727, |seed| seed.parse().unwrap())
}

/// When the server is to be killed, counted from its start.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// As soon as it listens.
    Ready,
    /// Likewise, and its successor so long after its start.
    Starting(Duration),
    /// So long after it was asked to stop, if it has not stopped by then.
    Stopping(Duration),
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
        let mut micros = |max| Duration::from_micros(random.random_range(0..max));
        let (start, stop) = (micros(START_MICROS), micros(STOP_MICROS));
        match random.random_range(0..12) {
            0 | 10 => Self::Starting(start),
            11 => Self::Stopping(stop),
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
        Moment::Starting(_) | Moment::Stopping(_) | Moment::Ready => return,
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

/// Checks everything once all is told, and that another start tells nothing that is wrong.
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
        partner
            .wait_for("the bystander", |seen| {
                let mut new = seen[before..].iter();
                new.any(|seen| seen.told().iter().any(|told| told.starts_with("bystander")))
                    .then_some(())
            })
            .await;
        // A message that was answered while its server died is sent again: the same once more is
        // right, anything else is not.
        assert_eq!(ledger.wrong_states(partner), [""; 0]);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loses_nothing_and_invents_nothing() {
    let kills = setting("TIDINGS_TEST_KILLS", 50);
    let load = Load {
        seed: seed(),
        devices: 2_000,
        // A kill comes after 11 on average: most of them come under load.
        batches: 12 * kills,
        events_per_batch: 50,
    };
    eprintln!("{load:?}");
    let mut random = StdRng::seed_from_u64(load.seed);
    let partners = partners(load.seed).await;
    let partners = [&partners[0], &partners[1]];
    let home = Home::new(&catalog(&partners), &partners);
    let mut server = home.start().await;
    let senders = load.start(&server);
    let mut slowest = Duration::ZERO;
    for kill in 1..=kills {
        // The last time nothing comes after it that would touch devices once more.
        let moment = if kill == kills {
            Moment::Acknowledged(load.batches)
        } else {
            Moment::random(&mut random)
        };
        eprintln!("killed at {moment:?}");
        wait_for(moment, load, &senders, partners).await;
        if let Moment::Stopping(after) = moment {
            server.terminate();
            sleep(after).await;
            server.finish_off().await;
        } else {
            server.kill().await;
        }
        if let Moment::Starting(after) = moment {
            // A start over what a killed server left is cut short as well.
            let mut successor = home.spawn();
            sleep(after).await;
            successor.kill().await;
        }
        wait_for_silence(partners).await;
        let start = Instant::now();
        server = home.start().await;
        slowest = slowest.max(start.elapsed());
        senders.go_on_with(&server);
    }
    let ledger = senders.done(load).await;
    eprintln!("{kills} kills; the slowest start took {slowest:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_with_many_profiles_is_soon_ready() {
    const PER_REQUEST: usize = 10_000;
    let profiles = setting("TIDINGS_TEST_PROFILES", 20_000);
    // Building with optimisations is what users do, and what a bound can be kept by.
    let ready_max = if cfg!(debug_assertions) {
        Duration::from_secs(30)
    } else {
        Duration::from_secs(1)
    };
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&[&partner]), &[&partner]);
    let mut server = home.start().await;
    for first in (0..profiles).step_by(PER_REQUEST) {
        let mut events = String::new();
        for device in first..profiles.min(first + PER_REQUEST) {
            write_event(&mut events, device, 1, None);
        }
        server.events(&events).await;
    }
    server.kill().await;
    let start = Instant::now();
    let server = home.start().await;
    let listens = start.elapsed();
    poll("the server to be ready", async || {
        server.is_ready().await.then_some(())
    })
    .await;
    let ready = start.elapsed();
    eprintln!("with {profiles} profiles: listens after {listens:?}, is ready after {ready:?}");
    assert!(ready < ready_max, "{ready:?}");
    server.stop().await;
}
