//! `cargo xtask faults`: the client meets every fault of the reference partner; one table.
//!
//! The table is a test of `tidings-egress`, so what it shows is what is checked.

use crate::cargo;
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// The test that prints the table.
const TEST: &str = "partner_faults::every_fault_ends_in_a_named_outcome";

pub(crate) fn run() -> Result<()> {
    let status = Command::new(cargo::program())
        .current_dir(cargo::root()?)
        .args(["test", "--locked", "--quiet"])
        .args(["-p", "tidings-egress", "--test", "it"])
        .args(["--", "--exact", "--nocapture", TEST])
        .status()
        .context("cargo cannot be started")?;
    ensure!(
        status.success(),
        "a fault ended in another way than it should"
    );
    Ok(())
}
