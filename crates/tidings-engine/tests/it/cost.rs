//! What an event costs under a large catalog: which rules are evaluated, and that evaluating them
//! allocates nothing.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::Duration,
};
use tidings_engine::{Applied, CompiledCatalog, Engine, MappingChanges, Moment, Profile};
use tidings_model::{
    Catalog, Cleanup, DataSource, DataSourceId, DataSourceKind, DeclaredId, Destination,
    DestinationId, Event, ExportUses, FailurePolicy, Mapping, Segment, SegmentId, Signals, Status,
    Timestamp, Trait, TraitId, TraitKind, Unsegment, Unsynced, WireSettings,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain thread-local
// cell without a destructor, whose use allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the pointer came from `alloc` above with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const TRAITS: u32 = 500;
const SEGMENTS: u32 = 2_000;
/// 2016-07-27 16:00
const START: Timestamp = Timestamp(1_469_635_200);
const DAY: i64 = 86_400;

/// The traits that a segment's rule reads.
fn read_by(segment: u32) -> [u32; 3] {
    [segment * 7, segment * 13 + 5, segment * 29 + 11].map(|number| number % TRAITS + 1)
}

/// Every segment is mapped. Trait `n` is realised by `page == "n"`, too.
fn catalog() -> CompiledCatalog {
    let traits = (1..=TRAITS).map(|id| Trait {
        id: TraitId(id),
        name: String::new(),
        data_source: None,
        kind: TraitKind::RuleBased,
        folder: None,
        rule: Some(format!(r#"page == "{id}""#)),
        ttl_days: 30,
    });
    let segments = (1..=SEGMENTS).map(|id| {
        let [a, b, c] = read_by(id);
        Segment {
            id: SegmentId(id),
            name: String::new(),
            rule: format!("FREQUENCY([{a}T,{b}T] <= 7D) >= 1 AND NOT {c}T"),
            status: Status::Active,
        }
    });
    let mappings = (1..=SEGMENTS).map(|id| Mapping {
        segment: SegmentId(id),
        value: None,
        start: None,
        end: None,
    });
    let catalog = Catalog {
        cleanup: Cleanup::default(),
        data_sources: vec![DataSource {
            id: DataSourceId(5),
            name: String::new(),
            kind: DataSourceKind::Cookie,
            integration_code: None,
            export_controls: ExportUses::default(),
        }],
        traits: traits.collect(),
        segments: segments.collect(),
        destinations: vec![destination(mappings.collect())],
    };
    CompiledCatalog::compile(&catalog, 1, MappingChanges::default()).expect("the catalog compiles")
}

fn destination(mappings: Vec<Mapping>) -> Destination {
    Destination {
        id: DestinationId(1),
        name: String::new(),
        client_id: String::new(),
        url: String::new(),
        method: tidings_model::Method::Post,
        id_data_sources: vec![DataSourceId(5)],
        mappings,
        signing: Vec::new(),
        oauth: None,
        tls: tidings_model::TlsFiles::default(),
        max_users: 10,
        max_linger: Duration::from_secs(1),
        timeout: Duration::from_secs(3),
        retries: 1,
        retry_delay: Duration::from_secs(1),
        success_codes: vec![200],
        after_failure: FailurePolicy::Hold,
        unsynced: Unsynced::Skip,
        unsegment: Unsegment::Immediate,
        supports_unsegment: true,
        max_mappings: 1,
        batch: None,
        export_labels: ExportUses::default(),
        wire: WireSettings::default(),
        status: Status::Active,
    }
}

/// A device with 40 traits and an id, some of them in segments.
struct World {
    catalog: CompiledCatalog,
    engine: Engine,
    profile: Profile,
    seq: u64,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            catalog: catalog(),
            engine: Engine::new(),
            profile: Profile::default(),
            seq: 0,
        };
        let known = Event {
            traits: (1..=40).map(|number| TraitId(number * 11)).collect(),
            ids: vec![DeclaredId {
                data_source: DataSourceId(5),
                id: "x".into(),
                state: tidings_model::AuthState::Authenticated,
            }],
            ..Event::default()
        };
        world.apply(&known, START);
        assert!(world.profile.segments.len() > 50);
        world
    }

    fn apply(&mut self, event: &Event, now: Timestamp) {
        self.seq += 1;
        let moment = Moment {
            now,
            seq: self.seq,
            epoch: 1,
        };
        let (applied, _) =
            self.engine
                .apply(moment, &self.catalog, &mut self.profile, event, |_, _| {
                    false
                });
        assert_eq!(applied, Applied::Changed);
    }
}

/// How many segments read one of these traits.
fn readers(traits: &[u32]) -> usize {
    let reads = |segment: &u32| read_by(*segment).iter().any(|id| traits.contains(id));
    (1..=SEGMENTS).filter(reads).count()
}

fn realises(traits: [u32; 3]) -> Event {
    Event {
        traits: traits.map(TraitId).to_vec(),
        ..Event::default()
    }
}

fn pages(traits: [u32; 3]) -> Event {
    let mut signals = Signals::default();
    for id in traits {
        assert!(signals.push("page", &id.to_string()));
    }
    Event {
        signals,
        ..Event::default()
    }
}

#[test]
fn an_event_evaluates_the_segments_that_read_what_it_changes_and_no_others() {
    let mut world = World::new();
    for traits in [[1, 2, 3], [11, 22, 499], [7, 7, 7]] {
        for event in [realises(traits), pages(traits)] {
            world.apply(&event, START.plus_seconds(60));
            let evaluated = world.engine.segments_evaluated();
            assert_eq!(evaluated, readers(&traits), "{traits:?}");
            assert!(0 < evaluated && evaluated < 100, "of {SEGMENTS}");
        }
    }
    world.apply(&Event::default(), START.plus_seconds(120));
    assert_eq!(world.engine.segments_evaluated(), 0);
    // On another day windows have moved on: whatever reads a trait of the device is looked at once.
    for expected in [1, 0] {
        world.apply(&Event::default(), START.plus_seconds(DAY));
        let traits: Vec<_> = world
            .profile
            .traits
            .iter()
            .map(|state| state.id.0)
            .collect();
        let evaluated = world.engine.segments_evaluated();
        assert_eq!(evaluated, expected * readers(&traits));
        assert!(evaluated < SEGMENTS as usize / 2);
    }
}

/// Allocations of a round of events, after some rounds that filled all buffers.
#[track_caller]
fn check_allocations(events: &[Event], expected: u64) {
    let mut world = World::new();
    let mut evaluated = 0;
    let mut round = |world: &mut World| {
        for event in events {
            world.apply(event, START.plus_seconds(60));
            evaluated += world.engine.segments_evaluated();
        }
    };
    for _ in 0..3 {
        round(&mut world);
    }
    let before = ALLOCATIONS.get();
    round(&mut world);
    assert_eq!(ALLOCATIONS.get() - before, expected);
    assert!(evaluated > 50, "{evaluated}");
}

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn an_event_that_changes_no_segment_allocates_nothing() {
    let traits = [11, 22, 33];
    check_allocations(&[realises(traits)], 0);
    check_allocations(&[pages(traits)], 0);
}

#[test]
fn entering_and_leaving_segments_allocates_nothing() {
    // What the profile gains, and what the partner is to be told of it, fits where it is.
    for traits in [&[1][..], &[1, 2, 3]] {
        let traits: Vec<_> = traits.iter().copied().map(TraitId).collect();
        let enters = Event {
            traits: traits.clone(),
            ..Event::default()
        };
        let leaves = Event {
            remove_traits: traits,
            ..Event::default()
        };
        check_allocations(&[enters, leaves], 0);
    }
}
