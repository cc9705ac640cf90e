//! Readings of the pending set after the catalog changed.

use super::*;
use crate::{
    core::ActiveCatalog,
    memory::{MemoryChanges, MemoryRows},
};
use std::{path::Path, sync::Arc};
use tidings_catalog::Source;
use tidings_engine::{MappingChanges, PastMappings};
use tidings_model::{AuthState, Catalog, DeclaredId, Event, TraitId};

const PARTNER: DestinationId = DestinationId(7);

/// A partner that is told under ids of these data sources.
fn catalog(data_sources: &str) -> Catalog {
    let text = format!(
        r#"
data_sources: [{{ id: 55, name: Old, kind: cookie }}, {{ id: 66, name: New, kind: cookie }}]
traits: [{{ id: 1, name: Cart }}]
segments: [{{ id: 10, name: Cart, rule: 1T }}]
destinations:
  - id: 7
    name: Partner
    client_id: "1"
    url: https://partner.example/segments
    id_data_sources: {data_sources}
    mappings: [{{ segment: 10 }}]
"#
    );
    let source = Source {
        name: "catalog.yaml",
        text: &text,
        directory: Path::new("."),
    };
    tidings_catalog::read(source, |_| None).unwrap().catalog
}

/// What waits for the partner once it is told under other ids than when it began to wait, and its
/// pending set was read.
#[track_caller]
fn check(before: &str, ids: &[u32], after: &str, hinted: &[u32], pending: usize) {
    let active = ActiveCatalog::new(catalog(before), 1, MappingChanges::default()).unwrap();
    let now = Timestamp(1_469_577_600);
    let next = Arc::new(
        active
            .replaced_by(catalog(after), PastMappings::default(), now)
            .unwrap(),
    );
    let mut core = Core::new(Arc::new(active), 100);
    let (mut rows, mut changes) = (MemoryRows::default(), MemoryChanges::default());
    let id = |source: &u32| DeclaredId {
        data_source: DataSourceId(*source),
        id: "id".into(),
        state: AuthState::Authenticated,
    };
    let event = Event {
        traits: vec![TraitId(1)],
        ids: ids.iter().map(id).collect(),
        ..Event::default()
    };
    let moment = |seq| Moment { now, seq, epoch: 1 };
    let uuid = || "17".parse().unwrap();
    core.submit(moment(1), &event, &rows, &mut changes, uuid, |_| {})
        .unwrap();
    core.finish(moment(1), 0, &rows, &mut changes);
    rows.apply(&mut changes);
    assert_eq!(rows.pending.len(), 1);

    core.set_catalog(next);
    let scan = Ask::Scan { after: None };
    let pages = Pages::SERVER;
    let answer = answer(
        pages,
        &mut core,
        moment(2),
        PARTNER,
        scan,
        &rows,
        &mut changes,
    );
    core.finish(moment(2), 1, &rows, &mut changes);
    rows.apply(&mut changes);
    let Some(Answer::Scanned(scanned)) = answer.unwrap() else {
        panic!("a scan was asked for");
    };
    let namespaces: Vec<_> = scanned.hints.iter().map(|hint| hint.namespace.0).collect();
    assert_eq!(namespaces, hinted);
    assert_eq!(rows.pending.len(), pending);
}

#[test]
fn what_waits_in_a_namespace_that_is_gone_waits_no_more() {
    check("[55]", &[55], "[66]", &[], 0);
    check("[55, 66]", &[55, 66], "[66]", &[66], 1);
    check("[]", &[], "[66]", &[], 0);
}

#[test]
fn what_waits_in_a_namespace_that_stays_goes_on_waiting() {
    check("[55]", &[55], "[55, 66]", &[55], 1);
}
