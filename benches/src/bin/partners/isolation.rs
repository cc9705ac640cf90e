//! A hundred destinations, ten of which hang in every other phase: what the ninety notice of it.
//!
//! Open loop: events fall due at a fixed rate, by turns for every destination. The time until a user is
//! told is counted from there, by the receiver. Phases follow each other in one run, so that whatever
//! else the machine does falls on both kinds.

use crate::site::{Gets, Site, device_of, event};
use anyhow::{Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use serde_json::json;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tidings_receiver::{Observer, Received};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Destinations
    #[arg(long, default_value_t = 100)]
    destinations: usize,
    /// Of them those that hang
    #[arg(long, default_value_t = 10)]
    hanging: usize,
    /// Events per second
    #[arg(long, default_value_t = 2_000)]
    rate: usize,
    /// Seconds of a phase
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Pairs of phases
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Seconds between a change of the partners and what is measured of it.
const SETTLE: Duration = Duration::from_secs(9);
const TICK: Duration = Duration::from_millis(20);
/// A device is touched again after so many seconds, so that the answer is known to be to the last touch.
const CYCLE_SECONDS: usize = 10;

/// What is known of one kind of phase.
struct Measured {
    told: u64,
    until_told: Histogram<u64>,
    until_answered: Histogram<u64>,
}

impl Measured {
    fn new() -> Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, 60_000_000, 3);
        Ok(Self {
            told: 0,
            until_told: histogram()?,
            until_answered: histogram()?,
        })
    }
}

/// What receivers and the generator share.
struct Board {
    started: Instant,
    /// When the last event of each device fell due, in microseconds; 0 when its receipt was noted.
    due: Vec<u64>,
    /// Destinations from this one on count: those before it hang at times.
    from: usize,
    /// Of what is measured now: healthy, or with some hanging.
    measured: [Measured; 2],
    /// What is measured now, if anything.
    now: Option<usize>,
}

type Shared = Arc<Mutex<Board>>;

fn lock(board: &Shared) -> std::sync::MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn observer(board: Shared, index: usize) -> Observer {
    Arc::new(move |received: &Received| {
        let Some(message) = received.message.as_ref().filter(|_| received.status == 200) else {
            return;
        };
        let mut board = lock(&board);
        let now = micros(board.started);
        for user in &message.users {
            let Some(device) = device_of(&user.data_partner_uuid) else {
                continue;
            };
            let due = board.due.get_mut(device).map_or(0, std::mem::take);
            let counts = due > 0 && index >= board.from;
            let kind = board.now.filter(|_| counts);
            if let Some(measured) = kind.and_then(|kind| board.measured.get_mut(kind)) {
                measured.told += 1;
                measured
                    .until_told
                    .saturating_record(now.saturating_sub(due).max(1));
            }
        }
    })
}

pub(crate) async fn run(tidings: &Path, args: &Args) -> Result<()> {
    ensure!(
        args.hanging < args.destinations,
        "nobody is left to be measured"
    );
    let devices = args.rate * CYCLE_SECONDS / args.destinations * args.destinations;
    let board = Arc::new(Mutex::new(Board {
        started: Instant::now(),
        due: vec![0; devices],
        from: args.hanging,
        measured: [Measured::new()?, Measured::new()?],
        now: None,
    }));
    let observers = (0..args.destinations).map(|index| observer(Arc::clone(&board), index));
    let site = Site::start(tidings, observers.collect(), "100ms").await?;
    let generator = tokio::spawn(generate(
        site.collect().await?,
        Arc::clone(&board),
        args.destinations,
        args.rate,
    ));
    // Everybody is made known, and told once.
    tokio::time::sleep(Duration::from_secs(CYCLE_SECONDS as u64 + 2)).await;
    for round in 0..2 * args.rounds {
        let kind = round % 2;
        for receiver in site.receivers.iter().take(args.hanging) {
            let faults = if kind == 1 {
                vec!["hang".parse()?]
            } else {
                vec![]
            };
            receiver.set_faults(faults);
        }
        tokio::time::sleep(SETTLE).await;
        lock(&board).now = Some(kind);
        tokio::time::sleep(Duration::from_secs(args.seconds)).await;
        lock(&board).now = None;
        ensure!(!generator.is_finished(), "the generator has ended");
    }
    generator.abort();
    site.stop().await?;
    report(args, &lock(&board))
}

/// Sends events as they fall due, for ever.
async fn generate(
    mut connection: crate::client::Connection,
    board: Shared,
    destinations: usize,
    rate: usize,
) -> Result<()> {
    let (started, devices) = {
        let board = lock(&board);
        (board.started, board.due.len())
    };
    let (mut next, mut ticks) = (0, tokio::time::interval(TICK));
    let begun = started.elapsed();
    loop {
        ticks.tick().await;
        let passed = started.elapsed() - begun;
        let until =
            usize::try_from(passed.as_micros()).unwrap_or(usize::MAX) / 1_000 * rate / 1_000;
        let count = until.saturating_sub(next).min(2_000);
        if count == 0 {
            continue;
        }
        let mut body = String::new();
        let due_first = begun + Duration::from_micros((next * 1_000_000 / rate) as u64);
        {
            let mut board = lock(&board);
            for number in next..next + count {
                let due = begun + Duration::from_micros((number * 1_000_000 / rate) as u64);
                let device = number % devices;
                let due = u64::try_from(due.as_micros()).unwrap_or(u64::MAX).max(1);
                if let Some(place) = board.due.get_mut(device) {
                    *place = due;
                }
                let gets = Gets::in_round(number / devices);
                event(&mut body, device, device % destinations + 1, gets);
            }
        }
        next += count;
        connection
            .post_events(&Bytes::from(body), count as u64)
            .await?;
        let answered = started.elapsed().saturating_sub(due_first);
        let mut board = lock(&board);
        if let Some(kind) = board.now
            && let Some(measured) = board.measured.get_mut(kind)
        {
            let micros = u64::try_from(answered.as_micros()).unwrap_or(u64::MAX);
            measured.until_answered.saturating_record(micros.max(1));
        }
    }
}

fn report(args: &Args, board: &Board) -> Result<()> {
    let seconds = (args.seconds * args.rounds as u64).max(1) as f64;
    let rate = |measured: &Measured| measured.told as f64 / seconds;
    let ms = |histogram: &Histogram<u64>, quantile| {
        histogram.value_at_quantile(quantile) as f64 / 1_000.0
    };
    let figures = |measured: &Measured| {
        json!({
            "users_told_per_second": rate(measured),
            "ms_until_told": { "p50": ms(&measured.until_told, 0.5), "p99": ms(&measured.until_told, 0.99) },
            "ms_until_answered": { "p50": ms(&measured.until_answered, 0.5), "p99": ms(&measured.until_answered, 0.99) },
        })
    };
    let [healthy, hanging] = &board.measured;
    let throughput = rate(hanging) / rate(healthy).max(1.0);
    let told = ms(&hanging.until_told, 0.99) / ms(&healthy.until_told, 0.99).max(0.001);
    let answered = ms(&hanging.until_answered, 0.99) / ms(&healthy.until_answered, 0.99).max(0.001);
    let all = json!({
        "destinations": args.destinations,
        "hanging": args.hanging,
        "events_per_second": args.rate,
        "healthy": figures(healthy),
        "with_some_hanging": figures(hanging),
        "throughput_ratio": throughput,
        "p99_until_told_ratio": told,
        "p99_until_answered_ratio": answered,
    });
    if args.json {
        println!("{all}");
    } else {
        println!("{all:#}");
    }
    ensure!(
        throughput >= 0.95,
        "the others were told {throughput:.3} times as much"
    );
    ensure!(told <= 1.2, "the others waited {told:.2} times as long");
    ensure!(
        answered <= 1.2,
        "collecting took {answered:.2} times as long"
    );
    Ok(())
}
