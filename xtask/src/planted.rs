//! `cargo xtask planted`: deliberate faults, each of which the tests must find.
//!
//! The faults are compiled in with `--cfg planted`, in a target directory of their own, so that no
//! other build ever holds one.

use crate::cargo;
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Crates with tests that look for planted faults.
const CRATES: &[&str] = &["tidings-sim", "tidings-oracle"];

pub(crate) fn run() -> Result<()> {
    let root = cargo::root()?;
    let target = root.join("target").join("planted");
    let mut command = Command::new(cargo::program());
    command
        .current_dir(&root)
        .env("RUSTFLAGS", "--cfg planted")
        .env("CARGO_TARGET_DIR", target)
        // Thousands of runs: the time to optimise is saved many times over.
        .env("CARGO_PROFILE_TEST_OPT_LEVEL", "1")
        .args(["test", "--locked", "--test", "it"]);
    for name in CRATES {
        command.args(["-p", name]);
    }
    let status = command
        .args(["planted", "--", "--nocapture"])
        .status()
        .context("cargo cannot be started")?;
    ensure!(status.success(), "a planted fault was not found");
    Ok(())
}
