//! The whole system under load: events over HTTP into a released server, which tells a released
//! reference receiver over TLS with signing on, all on this machine.
//!
//! `cargo xtask bench e2e` builds the released binary and runs this with it; `docs/benchmarks.md`
//! says what each figure means. To read the code, begin with `run` below, then `site` (what runs),
//! `load` (what is done to it) and `report` (what comes of it).
//!
//! A run is bounded in time and leaves nothing behind: no process, no file, whatever happens.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool speaks to the terminal"
)]
#![expect(
    clippy::cast_precision_loss,
    reason = "counts become figures with three digits"
)]

mod client;
mod load;
mod machine;
mod population;
mod process;
mod report;
mod site;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use load::{Receipt, SaturateSetup, TimeSetup};
use machine::Machine;
use report::Report;
use site::{DiskBytes, Site};
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tempfile::TempDir;
use tidings_model::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

/// As the server: its allocator is part of what is compared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a run may take on top of its two measured phases.
const OTHER_WORK_MAX: Duration = Duration::from_secs(75);
const SETTLE_MAX: Duration = Duration::from_secs(8);
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Measures the whole system on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench e2e")]
struct Args {
    /// The released binary
    #[arg(long)]
    tidings: PathBuf,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Devices, all of which are known before the measurement
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..=50_000_000))]
    devices: u64,
    /// Seconds of each measured phase
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
    /// Connections that send events
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Events per request of the closed loop
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(3..=5_000))]
    events_per_request: u64,
    /// Events per request of the open loop
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    timed_events_per_request: u64,
    /// Events of the closed loop whose user has not been told
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(5_000..=1_000_000))]
    untold_max: u64,
    /// Events per second of the open loop; half of what the closed loop reached unless given
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..))]
    timed_rate: Option<u32>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(bounded(&args)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("e2e: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The run, with an end on every path: dropping it ends what it started.
async fn bounded(args: &Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let most = OTHER_WORK_MAX + 2 * Duration::from_secs(args.seconds);
    tokio::select! {
        outcome = tokio::time::timeout(most, run(args)) => {
            outcome.with_context(|| format!("not done after {most:?}"))??;
        }
        _ = terminate.recv() => bail!("terminated"),
        _ = interrupt.recv() => bail!("interrupted"),
    }
    Ok(())
}

async fn run(args: &Args) -> Result<()> {
    ensure!(
        args.devices >= 2 * args.untold_max,
        "a device must not change again before its last change is told: --devices must be at least \
         twice --untold-max"
    );
    let directory = TempDir::with_prefix("tidings-e2e-")?;
    let machine = Machine::look(directory.path())?;
    eprintln!("e2e: {}", machine.line());
    let receipt = Arc::new(Receipt::new(args.devices)?);
    let observer = {
        let receipt = Arc::clone(&receipt);
        Arc::new(move |received: &tidings_receiver::Received| receipt.observe(received))
    };
    let mut site = Site::start(&args.tidings, directory, observer).await?;
    eprintln!(
        "e2e: server is process {}, receiver {}; making {} devices known",
        site.server.id(),
        site.receiver.id(),
        args.devices
    );
    let report = measure(args, &mut site, &receipt, machine)
        .await
        .with_context(|| format!("measuring{}", site.server.tail()))?;
    site.stop().await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    match report.failure() {
        Some(failure) => bail!("the run does not count: {failure}"),
        None => Ok(()),
    }
}

async fn measure(
    args: &Args,
    site: &mut Site,
    receipt: &Arc<Receipt>,
    machine: Machine,
) -> Result<Report> {
    let connections = usize::from(args.connections);
    let duration = Duration::from_secs(args.seconds);
    let preparation = load::prepare(
        site,
        args.devices,
        connections,
        args.events_per_request,
        now()?,
    )
    .await?;
    eprintln!("e2e: telling as many users as possible");
    let setup = SaturateSetup {
        devices: args.devices,
        connections,
        events_per_request: args.events_per_request,
        untold_max: args.untold_max,
        duration,
    };
    let saturation = load::saturate(site, setup).await?;
    let rate = saturation.users as f64 / saturation.elapsed.as_secs_f64();
    let events_per_second = args.timed_rate.map_or(rate / 2.0, f64::from);
    eprintln!("e2e: timing receipts at {events_per_second:.0} events/s");
    let setup = TimeSetup {
        devices: args.devices,
        connections,
        events_per_request: args.timed_events_per_request,
        events_per_second,
        duration,
    };
    let timing = load::time(site, receipt, setup).await?;
    let disk = settle(site).await?;
    Ok(Report::new(
        machine,
        args.devices,
        preparation,
        &saturation,
        &timing,
        site.server.memory_peak_bytes()?,
        disk,
    ))
}

/// Waits until the store has stopped tidying up its files, within reason; returns what they take.
async fn settle(site: &Site) -> Result<DiskBytes> {
    let started = Instant::now();
    let mut bytes = site.disk_bytes()?;
    let mut since = started;
    while since.elapsed() < SETTLED_AFTER && started.elapsed() < SETTLE_MAX {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = site.disk_bytes()?;
        if now != bytes {
            (bytes, since) = (now, Instant::now());
        }
    }
    Ok(bytes)
}

fn now() -> Result<Timestamp> {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed()?;
    Ok(Timestamp(i64::try_from(elapsed.as_secs())?))
}
