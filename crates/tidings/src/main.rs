//! The one binary of tidings. Each command is a file under `command/`; this one only matches.

mod allocator;
mod catalog_file;
mod command;
mod config;
mod failure;
mod progress;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Tells advertising partners in real time which users entered and left which audience segments.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system on this machine and watch it: server, partner, visitors
    Demo(command::demo::Args),
    /// Run the server
    Serve(command::serve::Args),
    /// Print every message that a catalog and a file of events would lead to; sends nothing
    Simulate(command::simulate::Args),
    /// Work on catalogs
    Catalog {
        #[command(subcommand)]
        command: command::catalog::Catalog,
    },
    /// Run a reference partner endpoint over HTTPS
    Receiver(command::receiver::Args),
    /// Print the signature of a message
    Sign(command::sign::Args),
    /// Check the signature of a message
    Verify(command::verify::Args),
}

fn main() -> ExitCode {
    allocator::configure();
    let result = match Cli::parse().command {
        Command::Demo(args) => command::demo::run(args),
        Command::Serve(args) => command::serve::run(&args),
        Command::Simulate(args) => command::simulate::run(&args),
        Command::Catalog { command } => command::catalog::run(command),
        Command::Receiver(args) => command::receiver::run(args),
        Command::Sign(args) => command::sign::run(&args),
        Command::Verify(args) => command::verify::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
