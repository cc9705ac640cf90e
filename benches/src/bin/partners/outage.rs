//! A destination that is dead for many events over few users, and comes back: what the server keeps of
//! them meanwhile, and how it tells them then.

use crate::site::{Gets, Site, device_of, event};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::json;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tidings_receiver::{Observer, Received};
use tidings_wire::Status;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Users
    #[arg(long, default_value_t = 50_000)]
    users: usize,
    /// Events while the destination is dead, by turns for each user; a round more if it takes that for
    /// everybody to be in another state than before
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// How it is dead, as `tidings receiver --fault` says
    #[arg(long, default_value = "status=503")]
    fault: String,
    /// Longest time that telling everybody may take, in seconds
    #[arg(long, default_value_t = 600)]
    seconds: u64,
}

const EVENTS_PER_REQUEST: usize = 1_000;
/// Rounds over all users before the outage: after them the server's caches are as large as they get.
const ROUNDS_BEFORE: usize = 7;
const SETTLE: Duration = Duration::from_secs(3);

/// What the destination was told.
#[derive(Default)]
struct Told {
    /// What is true: set before the events are sent.
    truth: Vec<Option<Gets>>,
    /// Messages to each user since the outage ended.
    times: Vec<u32>,
    /// Users who were told something else than what was true.
    stale: usize,
    /// When each message came, since the outage ended.
    messages: Vec<Instant>,
    users: usize,
    is_back: bool,
}

type Shared = Arc<Mutex<Told>>;

fn lock(told: &Shared) -> std::sync::MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

fn observer(told: Shared) -> Observer {
    Arc::new(move |received: &Received| {
        let Some(message) = received.message.as_ref().filter(|_| received.status == 200) else {
            return;
        };
        let mut told = lock(&told);
        told.users += message.users.len();
        if !told.is_back {
            return;
        }
        told.messages.push(Instant::now());
        for user in &message.users {
            let Some(device) = device_of(&user.data_partner_uuid) else {
                continue;
            };
            let active = user
                .segments
                .iter()
                .any(|segment| segment.status == Status::Active);
            let truth = told.truth.get(device).copied().flatten();
            told.stale +=
                usize::from(truth != Some(if active { Gets::Trait } else { Gets::Nothing }));
            if let Some(times) = told.times.get_mut(device) {
                *times += 1;
            }
        }
    })
}

pub(crate) async fn run(tidings: &Path, args: &Args) -> Result<()> {
    let told = Shared::default();
    {
        let mut told = lock(&told);
        told.truth = vec![None; args.users];
        told.times = vec![0; args.users];
    }
    let site = Site::start(tidings, vec![observer(Arc::clone(&told))], "1s").await?;
    let receiver = site.receivers.first().context("there is a receiver")?;
    let mut connection = site.collect().await?;
    let most = Duration::from_secs(args.seconds);

    let before = Instant::now();
    for round in 0..ROUNDS_BEFORE {
        send_round(&mut connection, &told, round, args.users).await?;
    }
    site.wait_for(1, most, |figures| figures["pending"]["users"] == 0)
        .await?;
    let rate_before = receiver.stats().messages as f64 / before.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let memory_before = site.resident_bytes()?;

    receiver.set_faults(vec![args.fault.parse()?]);
    // An odd number: everybody is in another state then than the destination was told.
    let rounds = args.events.div_ceil(args.users) | 1;
    let mut peak = 0;
    for round in ROUNDS_BEFORE..ROUNDS_BEFORE + rounds {
        send_round(&mut connection, &told, round, args.users).await?;
        peak = peak.max(site.resident_bytes()?);
    }
    // By now it has noticed.
    let dead = site
        .wait_for(1, most, |figures| figures["health"] == "open")
        .await?;
    tokio::time::sleep(SETTLE).await;
    let memory_dead = site.resident_bytes()?;
    let pending = site.admin("/v1/destinations/1").await?["pending"]["users_at_least"].clone();

    lock(&told).is_back = true;
    receiver.set_faults(Vec::new());
    let back = Instant::now();
    site.wait_for(1, most, |figures| {
        figures["pending"]["users"] == 0 && figures["in_flight"] == 0
    })
    .await?;
    let recovery = back.elapsed();
    let told = std::mem::take(&mut *lock(&told));
    site.stop().await?;

    let growth = memory_dead.saturating_sub(memory_before) as f64 / 1_048_576.0;
    let missed = told.times.iter().filter(|times| **times == 0).count();
    let twice = told.times.iter().filter(|times| **times > 1).count();
    let busiest = busiest_second(&told.messages);
    let all = json!({
        "users": args.users,
        "events": rounds * args.users,
        "memory_before_mib": memory_before as f64 / 1_048_576.0,
        "memory_growth_mib": growth,
        "memory_growth_peak_mib": peak.saturating_sub(memory_before) as f64 / 1_048_576.0,
        "health": dead["health"],
        "pending_users": pending,
        "recovery_seconds": recovery.as_secs_f64(),
        "messages_per_second_before": rate_before,
        "messages_in_busiest_second": busiest,
        "users_told_twice": twice,
        "users_not_told": missed,
        "users_told_stale": told.stale,
    });
    if args.json {
        println!("{all}");
    } else {
        println!("{all:#}");
    }
    ensure!(growth < 20.0, "memory grew by {growth:.1} MiB");
    ensure!(pending == args.users, "{pending} users wait");
    ensure!(
        missed == 0 && twice == 0 && told.stale == 0,
        "not each user was told once, and the newest"
    );
    Ok(())
}

/// Messages in the busiest second.
fn busiest_second(messages: &[Instant]) -> usize {
    let within = |begin: &Instant| {
        let end = *begin + Duration::from_secs(1);
        messages.partition_point(|at| *at < end) - messages.partition_point(|at| at < begin)
    };
    messages.iter().map(within).max().unwrap_or(0)
}

/// Every user gets the trait, or loses it: half of them the one, half the other.
async fn send_round(
    connection: &mut crate::client::Connection,
    told: &Shared,
    round: usize,
    users: usize,
) -> Result<()> {
    for first in (0..users).step_by(EVENTS_PER_REQUEST) {
        let mut body = String::new();
        let last = (first + EVENTS_PER_REQUEST).min(users);
        for device in first..last {
            let gets = Gets::in_round(round + device);
            event(&mut body, device, 1, gets);
            if let Some(truth) = lock(told).truth.get_mut(device) {
                *truth = Some(gets);
            }
        }
        connection
            .post_events(&Bytes::from(body), (last - first) as u64)
            .await?;
    }
    Ok(())
}
