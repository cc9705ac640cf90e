//! Reading a catalog file from disk, with its faults told in full.

use crate::failure::Failure;
use std::path::Path;
use tidings_catalog::Fault;
use tidings_egress::AddressPolicy;
use tidings_runtime::{CatalogFile, CatalogFileError};

/// Reads and checks a catalog. A file that cannot be read is a usage failure; faults are given back.
pub(crate) fn read(
    path: &Path,
    policy: AddressPolicy,
) -> Result<Result<CatalogFile, Vec<Fault>>, Failure> {
    match CatalogFile::read(path, policy) {
        Ok(file) => Ok(Ok(file)),
        Err(CatalogFileError::Faults(faults)) => Ok(Err(faults)),
        Err(error) => Err(Failure::usage(error)),
    }
}

/// Reads a catalog that is needed for the work: one with faults is a usage failure, all named.
pub(crate) fn require(path: &Path, policy: AddressPolicy) -> Result<CatalogFile, Failure> {
    CatalogFile::read(path, policy).map_err(Failure::usage)
}
