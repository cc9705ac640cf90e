//! `cargo xtask bench e2e`: the whole-system benchmark; `isolation` and `outage`: what failing partners
//! cost. This builds the released binary and the load
//! generator, then becomes the load generator; figures and what they mean are in
//! `docs/benchmarks.md`.
//!
//! The binary is built alone, with the very command that a release uses: built together with the
//! load generator, their common dependencies would get the features of both.

use crate::cargo;
use anyhow::{Context, Result, ensure};
use cargo_metadata::Message;
use clap::Subcommand;
use std::{
    ffi::OsString,
    io::BufReader,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Which benchmark.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Measure the whole system on this machine: throughput, processor time, latency, disk
    E2e {
        /// Passed on; `cargo xtask bench e2e -- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// A hundred destinations, ten of which hang at times: what the others notice
    Isolation {
        /// Passed on; `cargo xtask bench isolation -- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// A destination that is dead for a million events and comes back: memory, rows, pace
    Outage {
        /// Passed on; `cargo xtask bench outage -- --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// Runs the benchmark. Comes back only with an error: this process becomes the load generator, so
/// that a signal reaches what has to clean up.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    let (program, what, arguments) = match bench {
        Bench::E2e { arguments } => ("e2e", None, arguments),
        Bench::Isolation { arguments } => ("partners", Some("isolation"), arguments),
        Bench::Outage { arguments } => ("partners", Some("outage"), arguments),
    };
    let tidings = build("tidings", &["-p", "tidings"])?;
    let generator = build(program, &["-p", "tidings-benches", "--bin", program])?;
    let error = Command::new(&generator)
        .arg("--tidings")
        .arg(tidings)
        .args(what)
        .args(arguments)
        .exec();
    Err(error).with_context(|| format!("{} cannot be started", generator.display()))
}

/// Builds a package as it is released and returns the path of its program.
fn build(program: &str, selection: &[&str]) -> Result<PathBuf> {
    let mut cargo = Command::new(cargo::program())
        .current_dir(cargo::root()?)
        .args(["build", "--release", "--locked"])
        .arg("--message-format=json-render-diagnostics")
        .args(selection)
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo cannot be started")?;
    let messages = cargo.stdout.take().context("cargo's output is missing")?;
    // Read to the end even when the program was found, or cargo would be cut off.
    let built = executable(BufReader::new(messages), program);
    let status = cargo.wait()?;
    ensure!(status.success(), "building {program}: {status}");
    built?.with_context(|| format!("cargo did not say where it put {program}"))
}

/// The path of a program in cargo's messages.
fn executable(messages: impl std::io::BufRead, program: &str) -> Result<Option<PathBuf>> {
    let mut found = None;
    for message in Message::parse_stream(messages) {
        if let Message::CompilerArtifact(artifact) = message?
            && artifact.target.name == program
            && let Some(path) = artifact.executable
        {
            found = Some(path.into());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARTIFACT: &str = r#"{"reason":"compiler-artifact","package_id":"path+file:///a#e2e@0.0.0","manifest_path":"/a/Cargo.toml","target":{"kind":["bin"],"crate_types":["bin"],"name":"e2e","src_path":"/a/main.rs","edition":"2024","doc":true,"doctest":false,"test":true},"profile":{"opt_level":"3","debuginfo":0,"debug_assertions":false,"overflow_checks":false,"test":false},"features":[],"filenames":["/t/e2e"],"executable":"/t/e2e","fresh":true}"#;

    #[track_caller]
    fn check(program: &str, expected: Option<&str>) {
        let found = executable(ARTIFACT.as_bytes(), program).unwrap();
        assert_eq!(found, expected.map(PathBuf::from));
    }

    #[test]
    fn finds_the_program_that_was_built() {
        check("e2e", Some("/t/e2e"));
        check("tidings", None);
    }
}
