//! `cargo xtask tidy`: house rules that no compiler checks. Each check takes data and returns
//! faults; this file gathers the data, prints the faults and the report of sizes.

mod layers;
mod purity;
mod records;
mod sizes;
mod text;
mod tree;

use crate::cargo;
use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use tree::SourceFile;

/// Something to be mended, with its place: `path:line: what is wrong and what to do`.
type Fault = String;

/// Runs all checks and prints every fault; an error unless there are none.
pub(crate) fn run() -> Result<()> {
    let root = cargo::root()?;
    let files = tree::read(&root)?;
    let packages = packages(&root)?;

    let mut faults = layers::check(&packages);
    faults.extend(purity::check(&files));
    faults.extend(text::check(&files));
    faults.extend(records::check(&files));

    println!("{}", sizes::report(&files));
    for fault in &faults {
        println!("{fault}");
    }
    ensure!(
        faults.is_empty(),
        "tidy found faults, {} in all",
        faults.len()
    );
    println!(
        "tidy: {} crates and {} files are in order",
        packages.len(),
        files.len()
    );
    Ok(())
}

/// The packages of the workspace with what their manifests name, nothing resolved or downloaded.
fn packages(root: &std::path::Path) -> Result<Vec<layers::Package>> {
    let metadata = MetadataCommand::new()
        .cargo_path(cargo::program())
        .current_dir(root)
        .no_deps()
        .exec()
        .context("cargo metadata failed")?;
    Ok(metadata.packages.iter().map(layers::Package::new).collect())
}
