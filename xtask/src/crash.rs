//! `cargo xtask crash`: the tests that kill the server, as long as one likes and built as it is released.
//!
//! They are tests of `tidings`; this only says how much.

use crate::cargo;
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::process::Command;

/// How much of it.
#[derive(Args)]
pub(crate) struct Crash {
    /// How often a server under load is killed
    #[arg(long, default_value_t = 1_000)]
    kills: usize,
    /// With how many profiles a killed server is to be ready within a second
    #[arg(long, default_value_t = 1_000_000)]
    profiles: usize,
    /// How often the disk is full
    #[arg(long, default_value_t = 100)]
    full_disks: usize,
    /// Which load, and which moments
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) fn run(crash: &Crash) -> Result<()> {
    let mut cargo = Command::new(cargo::program());
    cargo
        .current_dir(cargo::root()?)
        .args([
            "test",
            "--release",
            "--locked",
            "-p",
            "tidings",
            "--test",
            "it",
        ])
        .args([
            "--",
            "--nocapture",
            "--test-threads=1",
            "sudden_death",
            "full_disk",
        ])
        .env("TIDINGS_TEST_KILLS", crash.kills.to_string())
        .env("TIDINGS_TEST_PROFILES", crash.profiles.to_string())
        .env("TIDINGS_TEST_FULL_DISKS", crash.full_disks.to_string());
    if let Some(seed) = crash.seed {
        cargo.env("TIDINGS_TEST_SEED", seed.to_string());
    }
    let status = cargo.status().context("cargo cannot be started")?;
    ensure!(status.success(), "something was lost, or took too long");
    Ok(())
}
