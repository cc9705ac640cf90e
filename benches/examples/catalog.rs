//! How long the largest catalog takes until the server can work with it, and how much memory: from
//! a file of YAML to compiled rules.
//!
//! `cargo run --release -p tidings-benches --example catalog [traits] [segments]`
#![expect(clippy::print_stdout, reason = "what it measures is its output")]

use anyhow::{Context as _, Result, anyhow};
use std::{env, fmt::Write as _, fs, path::Path, time::Instant};
use tidings_catalog::Source;
use tidings_engine::MappingChanges;
use tidings_runtime::core::ActiveCatalog;

/// As the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let argument = |place: usize, default: u32| match env::args().nth(place) {
        None => Ok(default),
        Some(text) => text.parse(),
    };
    let (traits, segments) = (argument(1, 100_000)?, argument(2, 20_000)?);
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("catalog.yaml");
    fs::write(&path, yaml(traits, segments)?)?;
    let begun = Instant::now();
    let text = fs::read_to_string(&path)?;
    let source = Source {
        name: "catalog.yaml",
        text: &text,
        directory: Path::new("."),
    };
    let read = tidings_catalog::read(source, |_| None);
    let loaded = read.map_err(|faults| anyhow!("{faults:?}"))?;
    let read = begun.elapsed();
    let compiled = ActiveCatalog::new(loaded.catalog, 1, MappingChanges::default())?;
    let all = begun.elapsed();
    println!(
        "{traits} traits, {segments} segments, {} bytes of YAML",
        text.len()
    );
    println!("read and checked: {read:.2?}");
    println!("compiled: {:.2?}", all - read);
    println!("together: {all:.2?}");
    println!(
        "memory: {} now, {} at most",
        memory("VmRSS:")?,
        memory("VmHWM:")?
    );
    drop(compiled);
    Ok(())
}

/// Traits with rules over signals, segments of four traits with a window each, all of them mapped.
fn yaml(traits: u32, segments: u32) -> Result<String> {
    let mut text = "data_sources:\n  - { id: 7, name: Cookies }\ntraits:\n".to_owned();
    for id in 1..=traits {
        writeln!(
            text,
            "  - {{ id: {id}, name: Trait number {id}, data_source: 7, rule: 'page == \"p{id}\" AND price >= {}', ttl_days: 30 }}",
            id % 100
        )?;
    }
    writeln!(
        text,
        "limits: {{ traits_per_kind: {traits}, segments: {segments} }}\nsegments:"
    )?;
    for id in 1..=segments {
        let trait_id = |n: u32| (id * 7 + n * 13) % traits + 1;
        let (a, b, c, d) = (trait_id(1), trait_id(2), trait_id(3), trait_id(4));
        writeln!(
            text,
            "  - id: {id}\n    name: Segment number {id}\n    rule: ({a}T OR {b}T) AND FREQUENCY([{c}T] <= 7D) >= 2 AND NOT {d}T"
        )?;
    }
    text.push_str("destinations:\n  - id: 1\n    name: D\n    client_id: c\n    url: https://d.example/\n    id_data_sources: [7]\n    mappings:\n");
    for id in 1..=segments {
        writeln!(text, "      - {{ segment: {id} }}")?;
    }
    Ok(text)
}

/// One line of what the system says about the memory of this process.
fn memory(name: &str) -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.context("not in /proc/self/status")?.trim().to_owned())
}
