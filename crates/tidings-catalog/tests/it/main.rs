//! Tests of the reader from outside: whole files in, catalogs or lists of faults out.

mod faults;
mod generated;
mod golden;
mod hostile;

use std::path::Path;
use tidings_catalog::{Fault, Loaded, Source};

/// Reads `text` as `/etc/tidings/catalog.yaml`, by a judge who dislikes addresses with `10.`.
fn read(text: &str) -> Result<Loaded, Vec<Fault>> {
    let source = Source {
        name: "catalog.yaml",
        text,
        directory: Path::new("/etc/tidings"),
    };
    tidings_catalog::read(source, |url| {
        url.contains("//10.")
            .then(|| "the address is private".to_owned())
    })
}

/// What an operator sees of `text`: faults, or else warnings, one after the other.
fn report(text: &str) -> String {
    let list = match read(text) {
        Ok(loaded) => loaded.warnings,
        Err(faults) => faults,
    };
    let lines: Vec<String> = list.iter().map(Fault::to_string).collect();
    lines.join("\n")
}
