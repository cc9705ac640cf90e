//! Reading a catalog file from disk, with its faults told in full.

use crate::failure::Failure;
use anyhow::anyhow;
use std::{fs, path::Path};
use tidings_catalog::{Fault, Loaded, Source};
use tidings_egress::AddressPolicy;

/// Reads and checks a catalog. A file that cannot be read is a usage failure; faults are given back.
pub(crate) fn read(
    path: &Path,
    policy: AddressPolicy,
) -> Result<Result<Loaded, Vec<Fault>>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::usage(format_args!("could not read {}: {error}", path.display()))
    })?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    let source = Source {
        name: &name,
        text: &text,
        directory: directory.unwrap_or_else(|| Path::new(".")),
    };
    let judge = |url: &str| {
        tidings_egress::check_url(url, policy)
            .err()
            .map(|refusal| refusal.to_string())
    };
    Ok(tidings_catalog::read(source, judge))
}

/// Reads a catalog that is needed for the work: one with faults is a usage failure, all named.
pub(crate) fn require(path: &Path, policy: AddressPolicy) -> Result<Loaded, Failure> {
    read(path, policy)?.map_err(|faults| {
        let list: Vec<_> = faults.iter().map(ToString::to_string).collect();
        Failure::Usage(anyhow!("the catalog has faults\n{}", list.join("\n")))
    })
}
