//! What the tests share.

use std::path::Path;
use tidings_catalog::Source;
use tidings_model::Catalog;

/// The catalog that a file with this text holds.
#[track_caller]
pub(crate) fn catalog(text: &str) -> Catalog {
    let source = Source {
        name: "catalog.yaml",
        text,
        directory: Path::new("."),
    };
    match tidings_catalog::read(source, |_| None) {
        Ok(loaded) => loaded.catalog,
        Err(faults) => panic!("the catalog has faults: {faults:?}"),
    }
}
