//! Large catalogs: 20,000 segments over 100,000 traits are what one account may have.
//!
//! With `TIDINGS_LARGE=1` the full size is read and the time is printed; a debug build is slow
//! enough at a tenth of it.

use crate::read;
use std::fmt::Write;
use std::time::Instant;

fn yaml(traits: u32, segments: u32) -> String {
    let mut text = "data_sources:\n  - { id: 7, name: Cookies }\ntraits:\n".to_owned();
    for id in 1..=traits {
        writeln!(
            text,
            "  - {{ id: {id}, name: Trait number {id}, data_source: 7, rule: 'page == \"p{id}\" AND price >= {}', ttl_days: 30 }}",
            id % 100
        )
        .expect("a string takes all text");
    }
    text.push_str("segments:\n");
    for id in 1..=segments {
        let trait_id = |n: u32| (id * 7 + n * 13) % traits + 1;
        let (a, b, c, d) = (trait_id(1), trait_id(2), trait_id(3), trait_id(4));
        writeln!(
            text,
            "  - id: {id}\n    name: Segment number {id}\n    rule: ({a}T OR {b}T) AND FREQUENCY([{c}T] <= 7D) >= 2 AND NOT {d}T"
        )
        .expect("a string takes all text");
    }
    text.push_str("destinations:\n  - id: 1\n    name: D\n    client_id: c\n    url: https://d.example/\n    id_data_sources: [7]\n    mappings:\n");
    for id in 1..=segments {
        writeln!(text, "      - {{ segment: {id} }}").expect("a string takes all text");
    }
    text
}

/// The same catalog as JSON on one line, which a parser of YAML likes least.
fn json(traits: u32, segments: u32) -> String {
    let traits: Vec<_> = (1..=traits)
        .map(|id| format!(r#"{{"id":{id},"name":"Trait number {id}","rule":"page == \"p{id}\"","ttl_days":30}}"#))
        .collect();
    let segments: Vec<_> = (1..=segments)
        .map(|id| format!(r#"{{"id":{id},"name":"Segment number {id}","rule":"{id}T"}}"#))
        .collect();
    format!(
        r#"{{"traits":[{}],"segments":[{}]}}"#,
        traits.join(","),
        segments.join(",")
    )
}

/// Traits and segments.
fn size() -> (u32, u32) {
    match std::env::var_os("TIDINGS_LARGE") {
        Some(_) => (100_000, 20_000),
        None => (10_000, 2_000),
    }
}

#[track_caller]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "prints how long it took"
)]
fn check(form: &str, text: &str) {
    let (traits, segments) = size();
    let started = Instant::now();
    let loaded = read(text).expect("a sound catalog");
    eprintln!(
        "{form}: {traits} traits, {segments} segments, {} bytes: {:?}",
        text.len(),
        started.elapsed()
    );
    assert_eq!(loaded.catalog.traits.len(), traits as usize);
    assert_eq!(loaded.catalog.segments.len(), segments as usize);
    assert!(loaded.warnings.is_empty());
}

#[test]
fn a_large_catalog_is_read_from_yaml() {
    let (traits, segments) = size();
    check("yaml", &yaml(traits, segments));
}

#[test]
fn a_large_catalog_is_read_from_json() {
    let (traits, segments) = size();
    check("json", &json(traits, segments));
}
