//! `cargo xtask audit`: what needs tools or a network that a plain checkout does not have, and so
//! is no part of `ci`: licences, banned crates and advisories (`deny.toml`), spelling (`typos.toml`).

use crate::cargo;
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// A tool, how to call it, and how to get it.
struct Tool {
    name: &'static str,
    arguments: &'static [&'static str],
    install: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "cargo-deny",
        arguments: &["--locked", "check"],
        install: "cargo install --locked cargo-deny",
    },
    Tool {
        name: "typos",
        arguments: &[],
        install: "cargo install --locked typos-cli",
    },
];

/// Runs every tool, even after a failure; an error names those that failed.
pub(crate) fn run() -> Result<()> {
    let root = cargo::root()?;
    let mut failed = Vec::new();
    for tool in TOOLS {
        println!("audit: {} {}", tool.name, tool.arguments.join(" "));
        let status = Command::new(tool.name)
            .args(tool.arguments)
            .current_dir(&root)
            .status()
            .with_context(|| {
                format!(
                    "{} cannot be started, to install it: {}",
                    tool.name, tool.install
                )
            })?;
        if !status.success() {
            failed.push(tool.name);
        }
    }
    ensure!(
        failed.is_empty(),
        "audit found faults: {}",
        failed.join(", ")
    );
    println!("audit: all passed");
    Ok(())
}
