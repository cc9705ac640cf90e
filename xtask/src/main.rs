//! Automation of this workspace: `cargo xtask <command>`, one module per command.
//!
//! Invariant: no tidings crate is a dependency, so the checks build in seconds and work on a tree
//! that does not compile. Output of the tools that are run goes straight to the terminal.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool speaks to the terminal"
)]

mod audit;
mod bench;
mod cargo;
mod ci;
mod crash;
mod faults;
mod planted;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Checks and chores of the tidings workspace.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything a change must pass: fmt, tidy, clippy, test, doc.
    Ci,
    /// Check layers, file headers and house rules; report the largest files.
    Tidy,
    /// Check licences, bans, advisories (cargo-deny) and spelling (typos).
    Audit,
    /// Kill a server again and again, and fill it and start it: nothing acknowledged is lost.
    Crash(crash::Crash),
    /// Meet every fault that a partner can show, and print what comes of it.
    Faults,
    /// Plant deliberate faults, one at a time, and see that tests find each.
    Planted,
    /// Measure speed on this machine.
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Ci => ci::run(),
        Command::Tidy => tidy::run(),
        Command::Audit => audit::run(),
        Command::Crash(crash) => crash::run(&crash),
        Command::Faults => faults::run(),
        Command::Planted => planted::run(),
        Command::Bench(bench) => bench::run(&bench),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
