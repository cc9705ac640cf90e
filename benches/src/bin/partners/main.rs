//! What partners that fail cost the others: the real server, and receivers in this process that note
//! when each user was told.
//!
//! `isolation`: a hundred destinations, ten of which hang at times. `outage`: one destination that is
//! dead for a million events and comes back. `cargo xtask bench isolation` and `… outage` build and run
//! them; `docs/benchmarks.md` says what each figure means. The exit status is 1 when a bound is missed.
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

#[path = "../e2e/client.rs"]
#[expect(dead_code, reason = "shared with the whole-system benchmark")]
mod client;
mod isolation;
mod outage;
#[path = "../e2e/process.rs"]
#[expect(dead_code, reason = "shared with the whole-system benchmark")]
mod process;
mod site;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

/// As the server: its allocator is part of what is compared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures what failing partners cost the others.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Args {
    /// The released binary
    #[arg(long)]
    tidings: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A hundred destinations, ten of which hang at times
    Isolation(isolation::Args),
    /// A destination that is dead for many events and comes back
    Outage(outage::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(bounded(args)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("partners: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The run; a signal drops it, which ends what it started.
async fn bounded(args: Args) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let run = async {
        match args.what {
            What::Isolation(of) => isolation::run(&args.tidings, &of).await,
            What::Outage(of) => outage::run(&args.tidings, &of).await,
        }
    };
    tokio::select! {
        outcome = run => outcome,
        _ = terminate.recv() => bail!("terminated"),
        _ = interrupt.recv() => bail!("interrupted"),
    }
}
