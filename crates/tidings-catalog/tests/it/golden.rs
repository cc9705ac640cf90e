//! Sound catalogs, and what they say.

use crate::{read, report};

const FULL: &str = include_str!("full.yaml");

#[test]
fn a_full_catalog_is_read_as_written() {
    let loaded = read(FULL).unwrap_or_else(|faults| panic!("{faults:#?}"));
    insta::assert_debug_snapshot!(loaded.catalog);
    let warning = "catalog.yaml:49: destinations[1].url: the address is private";
    assert_eq!(report(FULL), warning);
}

#[test]
fn nothing_is_a_catalog_when_it_is_meant() {
    for text in [
        "{}",
        "destinations: []",
        "limits: { destinations: 5 }",
        "traits:\nsegments: ~\n",
        "---\n{}\n...\n",
    ] {
        let loaded = read(text).unwrap();
        assert_eq!(loaded.catalog, tidings_model::Catalog::default(), "{text}");
    }
}

#[test]
fn json_is_read_too() {
    let json = r#"{
        "data_sources": [{"id": 12345, "name": "Cookies"}],
        "traits": [{"id": 1, "name": "Caf\u00e9", "rule": "page == \"a/b\"", "data_source": null}],
        "segments": [{"id": 2, "name": "S", "rule": "1T"}],
        "destinations": [{"id": 3, "name": "D", "client_id": "c", "url": "https:\/\/d.example\/",
            "id_data_sources": [12345], "mappings": [{"segment": 2, "end": null}],
            "wire": {"user_dpid": false}}]
    }"#;
    let yaml = r"
data_sources: [{ id: 12345, name: Cookies }]
traits: [{ id: 1, name: Café, rule: 'page == ''a/b''' }]
segments: [{ id: 2, name: S, rule: 1T }]
destinations:
  - id: 3
    name: D
    client_id: c
    url: https://d.example/
    id_data_sources: [12345]
    mappings:
    - segment: 2
    wire: { user_dpid: false }
"
    .replace("'page == ''a/b'''", "page == \"a/b\"");
    assert_eq!(read(json).unwrap(), read(&yaml).unwrap());
}

#[test]
fn sections_refer_to_each_other_in_any_order() {
    let text = "
segments: [{ id: 2, name: S, rule: 1T }]
destinations:
  - { id: 3, name: D, client_id: c, url: 'https://d.example/', mappings: [{ segment: 2 }] }
traits: [{ id: 1, name: T, data_source: 9 }]
data_sources: [{ id: 9, name: N }]
";
    assert_eq!(report(text), "");
}

#[test]
fn the_quickstart_is_sound() {
    let text = include_str!("../../../../examples/quickstart/catalog.yaml");
    let catalog = read(text).expect("a sound catalog").catalog;
    assert_eq!(report(text), "");
    let destination = catalog.destinations.first().expect("one destination");
    assert_eq!(destination.mappings.len(), catalog.segments.len());
    assert_eq!(destination.max_linger.as_secs(), 21);
}
