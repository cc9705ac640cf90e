//! `tidings catalog`: work on catalog files without a server.

mod diff;

use crate::{catalog_file, failure::Failure};
use clap::{Args as ClapArgs, Subcommand};
use std::{
    io::{self, Write as _},
    path::PathBuf,
};
use tidings_egress::AddressPolicy;

#[derive(Debug, Subcommand)]
pub(crate) enum Catalog {
    /// Check a catalog: every mistake with its place
    Check(CheckArgs),
    /// Tell what replacing a catalog by another would change, and what follows for partners
    Diff(diff::Args),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CheckArgs {
    /// The catalog file
    catalog: PathBuf,
    /// Print one JSON object: {"faults":[...],"warnings":[...]}
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: Catalog) -> Result<(), Failure> {
    match command {
        Catalog::Check(args) => check(&args),
        Catalog::Diff(args) => diff::run(&args),
    }
}

fn check(args: &CheckArgs) -> Result<(), Failure> {
    let read = catalog_file::read(&args.catalog, AddressPolicy::default())?;
    let (catalog, faults, warnings) = match read {
        Ok(loaded) => (Some(loaded.catalog), Vec::new(), loaded.warnings),
        Err(faults) => (None, faults, Vec::new()),
    };
    let mut out = io::stdout().lock();
    if args.json {
        let list = |faults: &[tidings_catalog::Fault]| {
            let one = |fault: &tidings_catalog::Fault| {
                serde_json::json!({
                    "file": fault.file, "line": fault.line, "column": fault.column,
                    "path": fault.path, "message": fault.message, "hint": fault.hint,
                })
            };
            faults.iter().map(one).collect::<Vec<_>>()
        };
        let report = serde_json::json!({ "faults": list(&faults), "warnings": list(&warnings) });
        writeln!(out, "{report}")?;
    } else {
        for fault in &faults {
            writeln!(out, "{fault}")?;
        }
        for warning in &warnings {
            writeln!(out, "warning: {warning}")?;
        }
        if let Some(catalog) = &catalog {
            writeln!(
                out,
                "ok: {} traits, {} segments, {} destinations",
                catalog.traits.len(),
                catalog.segments.len(),
                catalog.destinations.len()
            )?;
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Failure::Faults)
    }
}
