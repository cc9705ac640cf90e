//! Tables of what batches tell, and a partner that is told by batches alone.

use crate::{
    CompiledCatalog, Engine, Flight, LastUse, MappingChanges, Moment, Profile, UserObject,
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, prop_assert_eq, prop_oneof, proptest},
    test_runner::TestCaseError,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};
use tidings_model::{
    AuthState, Batch, Catalog, Cleanup, DataSource, DataSourceId, DataSourceKind, DeclaredId,
    Destination, DestinationId, Event, ExportUse, ExportUses, FailurePolicy, Mapping, Segment,
    SegmentId, Status, Trait, TraitId, TraitKind, Unsegment, Unsynced, UtcDay, WireSettings,
};

const D: DestinationId = DestinationId(7);
const NAMESPACES: [DataSourceId; 2] = [DataSourceId(51), DataSourceId(52)];
const DAY: i64 = 86_400;

/// Trait n, of which 5 lives for one day, makes segment n0. All are mapped, 3 as `c` and 4 as `c`.
fn catalog() -> Catalog {
    let trait_ = |id: u32| Trait {
        id: TraitId(id),
        name: String::new(),
        data_source: None,
        kind: TraitKind::RuleBased,
        folder: None,
        rule: None,
        ttl_days: u32::from(id == 5),
    };
    let segment = |id: u32| Segment {
        id: SegmentId(id * 10),
        name: String::new(),
        rule: format!("{id}T"),
        status: Status::Active,
    };
    let mapping = |id: u32| Mapping {
        segment: SegmentId(id * 10),
        value: (id == 3 || id == 4).then(|| "c".to_owned()),
        start: None,
        end: None,
    };
    Catalog {
        cleanup: Cleanup::default(),
        data_sources: NAMESPACES
            .map(|id| DataSource {
                id,
                name: String::new(),
                kind: DataSourceKind::Cookie,
                integration_code: None,
                export_controls: ExportUses::default(),
            })
            .into(),
        traits: (1..6).map(trait_).collect(),
        segments: (1..6).map(segment).collect(),
        destinations: vec![Destination {
            id: D,
            name: String::new(),
            client_id: "c".to_owned(),
            url: "https://partner.example/".to_owned(),
            method: tidings_model::Method::Post,
            id_data_sources: vec![NAMESPACES[0]],
            mappings: (1..6).map(mapping).collect(),
            signing: Vec::new(),
            oauth: None,
            tls: tidings_model::TlsFiles::default(),
            max_users: 10,
            max_linger: std::time::Duration::ZERO,
            timeout: std::time::Duration::ZERO,
            retries: 0,
            retry_delay: std::time::Duration::ZERO,
            success_codes: vec![200],
            after_failure: FailurePolicy::Hold,
            unsynced: Unsynced::Skip,
            unsegment: Unsegment::Immediate,
            supports_unsegment: true,
            max_mappings: 1,
            batch: Some(Batch {
                every: std::time::Duration::from_secs(86_400),
                at_minute: 120,
            }),
            export_labels: ExportUses::default(),
            wire: WireSettings::default(),
            status: Status::Active,
        }],
    }
}

struct World {
    plain: Catalog,
    catalog: CompiledCatalog,
    engine: Engine,
    profile: Profile,
    moment: Moment,
    /// The row of the set of changes, as the marks would keep it.
    marked: bool,
    flight: Option<(DataSourceId, Flight, String)>,
    out: Vec<String>,
    /// Lines of batches that were acknowledged.
    acknowledged: Vec<String>,
}

impl World {
    fn new(plain: Catalog) -> Self {
        Self {
            catalog: CompiledCatalog::compile(&plain, 1, MappingChanges::default()).unwrap(),
            plain,
            engine: Engine::new(),
            profile: Profile::default(),
            moment: Moment {
                now: UtcDay::from_date(2016, 7, 1).unwrap().start(),
                seq: 1,
                epoch: 1,
            },
            marked: false,
            flight: None,
            out: Vec::new(),
            acknowledged: Vec::new(),
        }
    }

    fn marks(&mut self) {
        for mark in &self.engine.effects.batch_marks {
            assert_ne!(self.marked, mark.marked, "a mark tells a change");
            self.marked = mark.marked;
        }
        self.check_mark();
    }

    fn note(&mut self, mark: Option<crate::BatchMark>) {
        if let Some(mark) = mark {
            assert_ne!(self.marked, mark.marked, "a mark tells a change");
            self.marked = mark.marked;
        }
        self.check_mark();
    }

    /// A pair that is not marked has nothing to tell; one that is knows about it.
    fn check_mark(&self) {
        let state = self.profile.destination(D);
        let in_profile = state.is_some_and(|state| state.batch.marked.is_some());
        assert_eq!(in_profile, self.marked);
        let parts = self.catalog.batch_parts(&self.profile, D, self.moment.now);
        assert!(self.marked || parts.count() == 0);
    }

    fn event(&mut self, event: &Event) {
        self.moment.now = self.moment.now.plus_seconds(1);
        self.moment.seq += 1;
        let in_flight = self.in_flight();
        self.engine.apply(
            self.moment,
            &self.catalog,
            &mut self.profile,
            event,
            |_, segment| in_flight.contains(&segment),
        );
        self.marks();
    }

    fn in_flight(&self) -> Vec<SegmentId> {
        let flight = self.flight.as_ref();
        flight.map_or_else(Vec::new, |(_, flight, _)| flight.ones.to_vec())
    }

    fn ask(&mut self, what: &str) {
        self.moment.seq += 1;
        let in_flight = self.in_flight();
        let is_in_flight = |_, segment: SegmentId| in_flight.contains(&segment);
        let (engine, profile) = (&mut self.engine, &mut self.profile);
        match what {
            "opt-out" => engine.opt_out(self.moment, &self.catalog, profile, is_in_flight),
            "delete" => engine.delete(self.moment, &self.catalog, profile, is_in_flight),
            _ => engine.wake(self.moment, &self.catalog, profile, is_in_flight),
        };
        self.marks();
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Catalog)) {
        let mut new = self.plain.clone();
        edit(&mut new);
        let generation = self.catalog.generation() + 1;
        let changes = self.catalog.mapping_changes().clone();
        let changes = changes.after(&self.plain, &new, generation);
        let (run, until) = (self.moment.epoch, self.moment.now);
        let past = self.catalog.past_mappings().clone();
        let past = past.after(&self.plain, &new, LastUse { run, until });
        let compiled = CompiledCatalog::compile(&new, generation, changes).unwrap();
        self.catalog = compiled.with_past_mappings(past);
        self.plain = new;
        self.ask("wake");
    }

    fn object(line: &mut String, object: &UserObject<'_>) {
        write!(line, " {}:", object.id).unwrap();
        for entry in object.segments {
            let value = entry
                .value
                .map_or_else(|| entry.segment.to_string(), str::to_owned);
            write!(line, " {value}={}", u8::from(entry.active)).unwrap();
        }
    }

    /// Everything pending is told in real time.
    fn real(&mut self, success: bool) {
        for namespace in NAMESPACES {
            let Some(destination) = self.catalog.destination(D) else {
                return;
            };
            let now = self.moment.now;
            let mut line = "real".to_owned();
            let flight = self
                .engine
                .take(now, destination, &self.profile, namespace, |object| {
                    Self::object(&mut line, &object);
                });
            self.engine
                .assume_told_by_earlier_run(self.moment, &self.catalog, &mut self.profile);
            if let Some(flight) = flight {
                self.engine
                    .settle(&mut self.profile, D, namespace, &flight, |_| success);
                self.profile.set_undelivered(D, !success);
                self.out.push(line);
            } else {
                let state = self.profile.destination(D);
                let seq = state.and_then(|state| Some(state.pending.as_ref()?.seq));
                self.engine
                    .clear_part(&mut self.profile, D, namespace, seq.unwrap_or(0));
            }
            let in_flight = self.in_flight();
            let in_flight = |_, segment: SegmentId| in_flight.contains(&segment);
            let mark =
                self.engine
                    .mark_batch(self.moment, &self.catalog, &mut self.profile, D, in_flight);
            self.note(mark);
        }
    }

    fn take(&mut self, namespace: DataSourceId) {
        let Some(destination) = self.catalog.destination(D).filter(|_| self.marked) else {
            return;
        };
        let mut line = "batch".to_owned();
        let mut told = 0;
        let flight = self.engine.take_batch(
            self.moment.now,
            destination,
            &self.profile,
            namespace,
            |object| {
                assert!(!object.segments.is_empty());
                Self::object(&mut line, &object);
                told += 1;
            },
        );
        let parts = self.catalog.batch_parts(&self.profile, D, self.moment.now);
        let expected = parts
            .filter(|part| part.namespace == namespace)
            .map(|part| usize::from(part.objects))
            .sum::<usize>();
        assert_eq!(told, expected);
        if let Some(flight) = flight {
            assert_eq!(flight.objects.len(), told);
            self.out.push(line.clone());
            self.flight = Some((namespace, flight, line));
        }
    }

    fn land(&mut self, success: bool) {
        let Some((namespace, flight, line)) = self.flight.take() else {
            return;
        };
        let mark = self.engine.settle_batch(
            self.moment,
            &self.catalog,
            &mut self.profile,
            D,
            namespace,
            &flight,
            |_| success,
            |_, _| false,
        );
        self.note(mark);
        self.acknowledged.extend(success.then_some(line));
    }

    fn batch(&mut self, success: bool) {
        for namespace in NAMESPACES {
            self.take(namespace);
            self.land(success);
        }
        let in_flight = |_, _| false;
        let mark =
            self.engine
                .mark_batch(self.moment, &self.catalog, &mut self.profile, D, in_flight);
        self.note(mark);
    }

    fn step(&mut self, step: &str) {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        let number = || rest.parse::<u32>().unwrap();
        let segment = |catalog: &mut Catalog, status| {
            let id = SegmentId(number() * 10);
            let segments = &mut catalog.segments;
            segments.iter_mut().find(|s| s.id == id).unwrap().status = status;
        };
        let mapping = |catalog: &mut Catalog, start, end| {
            let id = SegmentId(number() * 10);
            let mappings = &mut catalog.destinations[0].mappings;
            let mapping = mappings.iter_mut().find(|m| m.segment == id).unwrap();
            (mapping.start, mapping.end) = (start, end);
        };
        match verb {
            "+" => self.event(&Event {
                traits: vec![TraitId(number())],
                ..Event::default()
            }),
            "-" => self.event(&Event {
                remove_traits: vec![TraitId(number())],
                ..Event::default()
            }),
            // An id that begins with `z` is of the second namespace.
            "link" => self.event(&Event {
                ids: vec![DeclaredId {
                    data_source: NAMESPACES[usize::from(rest.starts_with('z'))],
                    id: rest.into(),
                    state: AuthState::Authenticated,
                }],
                ..Event::default()
            }),
            "days" => {
                let seconds = i64::from(number()) * DAY;
                self.moment.now = self.moment.now.plus_seconds(seconds);
                self.ask("wake");
            }
            // Nobody looks at the profile.
            "later" => {
                let seconds = i64::from(number()) * DAY;
                self.moment.now = self.moment.now.plus_seconds(seconds);
            }
            "real" => self.real(true),
            "real-fails" => self.real(false),
            "batch" => self.batch(true),
            "batch-fails" => self.batch(false),
            "take" => self.take(NAMESPACES[0]),
            "land" => self.land(true),
            "restart" => {
                self.flight = None;
                let (run, until) = (self.moment.epoch, self.moment.now);
                let past = self.catalog.past_mappings().clone();
                let past = past.found(&self.plain, LastUse { run, until });
                let (generation, changes) =
                    (self.catalog.generation(), self.catalog.mapping_changes());
                let compiled = CompiledCatalog::compile(&self.plain, generation, changes.clone());
                self.catalog = compiled.unwrap().with_past_mappings(past);
                self.moment.epoch += 1;
            }
            "pause" => self.edit(|catalog| segment(catalog, Status::Paused)),
            "block" => self.edit(|catalog| catalog.traits[0].data_source = Some(NAMESPACES[1])),
            "unblock" => self.edit(|catalog| catalog.traits[0].data_source = None),
            "resume" => self.edit(|catalog| segment(catalog, Status::Active)),
            "end" => self.edit(|catalog| mapping(catalog, None, UtcDay::from_date(2016, 1, 1))),
            "start-10th" => {
                self.edit(|catalog| mapping(catalog, UtcDay::from_date(2016, 7, 10), None));
            }
            "no-end" => self.edit(|catalog| mapping(catalog, None, None)),
            "unmap" => self.edit(|catalog| {
                let id = SegmentId(number() * 10);
                catalog.destinations[0].mappings.retain(|m| m.segment != id);
            }),
            "map" => self.edit(|catalog| {
                let mappings = &mut catalog.destinations[0].mappings;
                mappings.clear();
                mappings.push(Mapping {
                    segment: SegmentId(number() * 10),
                    value: None,
                    start: None,
                    end: None,
                });
            }),
            "delete-segment" => self.edit(|catalog| {
                let id = SegmentId(number() * 10);
                catalog.destinations[0].mappings.retain(|m| m.segment != id);
                catalog.segments.retain(|s| s.id != id);
            }),
            "no-batch" => self.edit(|catalog| catalog.destinations[0].batch = None),
            "no-destination" => self.edit(|catalog| catalog.destinations.clear()),
            "marked" => {
                let text = if self.marked { "marked" } else { "not marked" };
                self.out.push(text.to_owned());
            }
            _ => self.ask(verb),
        }
    }
}

#[track_caller]
fn check_with(edit: impl FnOnce(&mut Catalog), steps: &str, expected: &str) {
    let mut plain = catalog();
    edit(&mut plain);
    let mut world = World::new(plain);
    for step in steps.split("; ") {
        world.step(step);
    }
    assert_eq!(world.out.join("; "), expected, "after {steps}");
}

#[track_caller]
fn check(steps: &str, expected: &str) {
    check_with(|_| {}, steps, expected);
}

#[test]
fn the_first_batch_tells_everything_and_the_next_what_changed() {
    check(
        "link a; + 1; + 2; real; batch; batch; - 1; + 3; real; batch; batch; marked",
        "real a: 10=1 20=1; batch a: 10=1 20=1; real a: 20=1 c=1 10=0; batch a: c=1 10=0; not marked",
    );
}

#[test]
fn a_device_that_entered_and_left_between_batches_is_not_sent() {
    check(
        "link a; + 1; real; - 1; real; marked; batch",
        "real a: 10=1; real a: 10=0; not marked",
    );
    check(
        "link a; + 1; real; batch; - 1; real; marked; + 1; real; marked; batch",
        "real a: 10=1; batch a: 10=1; real a: 10=0; marked; real a: 10=1; not marked",
    );
}

/// Trait 1 goes over to a data source with a control, and comes back.
#[test]
fn a_batch_tells_nothing_that_an_export_control_blocks() {
    let check = |steps: &str, expected: &str| {
        let controlled = |catalog: &mut Catalog| {
            let uses: ExportUses = [ExportUse::OffsiteTargeting].into_iter().collect();
            catalog.data_sources[1].export_controls = uses;
            catalog.destinations[0].export_labels = uses;
        };
        check_with(controlled, steps, expected);
    };
    check(
        "link a; block; + 1; + 2; real; batch; marked; unblock; + 6; real; batch; marked",
        "real a: 20=1; batch a: 20=1; not marked; real a: 10=1 20=1; batch a: 10=1; not marked",
    );
    // The zero waits for the end of the block, in real time and in the batch.
    check(
        "link a; + 1; real; batch; block; - 1; real; batch; unblock; + 6; real; batch; batch",
        "real a: 10=1; batch a: 10=1; real a: 10=0; batch a: 10=0",
    );
}

#[test]
fn a_batch_that_fails_changes_nothing() {
    check(
        "link a; + 1; real; batch-fails; marked; + 2; real; batch",
        "real a: 10=1; batch a: 10=1; marked; real a: 10=1 20=1; batch a: 10=1 20=1",
    );
    // The partner may have taken it all the same.
    check(
        "link a; + 1; batch-fails; - 1; real; batch",
        "batch a: 10=1; real a: 10=0",
    );
}

#[test]
fn what_time_changes_waits_for_the_batch_where_that_is_wanted() {
    let batch = |catalog: &mut Catalog| catalog.destinations[0].unsegment = Unsegment::Batch;
    check_with(
        batch,
        "link a; + 5; real; batch; days 2; real; batch; batch; marked",
        "real a: 50=1; batch a: 50=1; batch a: 50=0; not marked",
    );
    // Told in real time since the last batch, so the baseline does not have it, but the zero is owed.
    check_with(
        batch,
        "link a; + 5; real; days 2; real; marked; batch; marked",
        "real a: 50=1; marked; batch a: 50=0; not marked",
    );
    // A zero that was told in the batch is not told again with the next message.
    check_with(
        batch,
        "link a; + 5; real; days 2; batch; + 1; real",
        "real a: 50=1; batch a: 50=0; real a: 10=1",
    );
}

#[test]
fn a_one_of_a_batch_counts_as_told() {
    check(
        "link a; + 1; batch; real; - 1; real",
        "batch a: 10=1; real a: 10=1; real a: 10=0",
    );
    // Left while the 1 is on its way.
    check(
        "link a; + 1; take; - 1; land; marked; real; batch; marked",
        "batch a: 10=1; marked; real a: 10=0; batch a: 10=0; not marked",
    );
}

#[test]
fn zeros_reach_every_id_and_ones_the_newest() {
    check(
        "link a; + 1; batch; link b; + 2; batch; - 1; - 2; batch",
        "batch a: 10=1; batch b: 20=1; batch b: 10=0 20=0 a: 10=0 20=0",
    );
    check_with(
        |catalog| catalog.destinations[0].max_mappings = 0,
        "link a; link b; + 1; batch; - 1; batch",
        "batch b: 10=1 a: 10=1; batch b: 10=0 a: 10=0",
    );
}

#[test]
fn a_device_without_an_id_waits_for_one() {
    check(
        "+ 1; marked; batch; link a; marked; batch",
        "not marked; marked; batch a: 10=1",
    );
    check_with(
        |catalog| catalog.destinations[0].unsynced = Unsynced::Blank,
        "+ 1; batch; marked; - 1; batch; marked",
        "batch : 10=1; not marked; batch : 10=0; not marked",
    );
}

#[test]
fn a_partner_that_takes_no_zeros_hears_who_enters() {
    check_with(
        |catalog| catalog.destinations[0].supports_unsegment = false,
        "link a; + 1; batch; - 1; marked; batch; + 1; batch; opt-out; marked; batch",
        "batch a: 10=1; not marked; batch a: 10=1; not marked",
    );
    // It left while the batch that it is in was on its way.
    check_with(
        |catalog| catalog.destinations[0].supports_unsegment = false,
        "link a; + 1; take; - 1; land; marked; batch",
        "batch a: 10=1; not marked",
    );
}

#[test]
fn every_namespace_has_a_baseline_of_its_own() {
    let both = |catalog: &mut Catalog| catalog.destinations[0].id_data_sources = NAMESPACES.into();
    check_with(
        both,
        "link a; + 1; batch; link z; batch; - 1; batch; marked",
        "batch a: 10=1; batch z: 10=1; batch a: 10=0; batch z: 10=0; not marked",
    );
    check_with(
        both,
        "link a; link z; + 1; take; land; marked; batch; marked",
        "batch a: 10=1; marked; batch z: 10=1; not marked",
    );
}

#[test]
fn what_is_not_deliverable_stays_as_it_is() {
    check(
        "link a; + 1; + 2; batch; pause 1; - 1; - 2; batch; marked; resume 1; batch; marked",
        "batch a: 10=1 20=1; batch a: 20=0; not marked; batch a: 10=0; not marked",
    );
    check(
        "link a; + 1; batch; end 1; - 1; batch; marked",
        "batch a: 10=1; not marked",
    );
    check(
        "link a; start-10th 1; + 1; batch; marked; days 10; batch; marked",
        "marked; batch a: 10=1; not marked",
    );
    check("link a; pause 1; + 1; marked", "not marked");
}

#[test]
fn what_is_deleted_is_forgotten_without_a_word() {
    check(
        "link a; + 1; + 2; batch; delete-segment 1; marked; - 2; batch",
        "batch a: 10=1 20=1; not marked; batch a: 20=0",
    );
    check(
        "link a; + 1; batch; unmap 1; - 1; batch; marked",
        "batch a: 10=1; not marked",
    );
    check(
        "link a; + 1; marked; no-batch; marked",
        "marked; not marked",
    );
    check(
        "link a; + 1; marked; no-destination; marked",
        "marked; not marked",
    );
}

#[test]
fn people_who_leave_are_told_about_and_forgotten() {
    check(
        "link a; + 1; real; batch; opt-out; real; batch; marked",
        "real a: 10=1; batch a: 10=1; real a: 10=0; batch a: 10=0; not marked",
    );
    let mut world = World::new(catalog());
    for step in "link a; link b; + 1; real; batch; delete; real; batch".split("; ") {
        world.step(step);
    }
    assert_eq!(world.out.last().unwrap(), "batch b: 10=0");
    assert!(world.profile.ids.is_empty() && world.profile.destinations.is_empty());
    // Nothing that will not be told keeps the ids of someone who is deleted.
    let mut world = World::new(catalog());
    for step in "link a; + 1; real; batch; end 1; delete; real; batch".split("; ") {
        world.step(step);
    }
    assert!(world.profile.ids.is_empty() && world.profile.destinations.is_empty());
}

#[test]
fn a_blank_id_that_was_told_nothing_hears_no_zero() {
    let blank = |catalog: &mut Catalog| catalog.destinations[0].unsynced = Unsynced::Blank;
    check_with(
        blank,
        "link a; + 1; real; batch; delete; opt-out; batch; real",
        "real a: 10=1; batch a: 10=1; batch a: 10=0",
    );
    check_with(
        blank,
        "+ 1; batch; link a; batch; - 1; batch",
        "batch : 10=1; batch a: 10=0 : 10=0",
    );
}

#[test]
fn a_text_that_two_segments_share_is_left_when_both_are() {
    check(
        "link a; + 3; + 4; batch; - 3; batch; marked; - 4; batch",
        "batch a: c=1; batch a: c=1; not marked; batch a: c=0",
    );
    // An older id is told no zero of a text that is still a 1.
    check(
        "link a; + 3; + 4; batch; link b; - 3; batch; - 4; batch",
        "batch a: c=1; batch b: c=1; batch b: c=0 a: c=0",
    );
    check(
        "link a; + 3; batch; + 4; - 3; link b; real; batch; marked; end 4; marked; batch",
        "batch a: c=1; real b: c=1; batch b: c=1; not marked; marked; batch a: c=0",
    );
    // Nor if what was left has another text besides, which is a zero now.
    check_with(
        |catalog| {
            let mappings = &mut catalog.destinations[0].mappings;
            mappings.push(Mapping {
                segment: SegmentId(30),
                value: Some("d".to_owned()),
                start: None,
                end: None,
            });
        },
        "link a; + 3; + 4; batch; link b; - 3; batch; - 4; batch",
        "batch a: c=1 d=1; batch b: c=1 d=0 a: d=0; batch b: c=0 a: c=0",
    );
}

#[test]
fn an_outcome_that_was_lost_in_a_restart_counts_as_told() {
    check(
        "link a; + 1; take; restart; - 1; marked; real",
        "batch a: 10=1; not marked; real a: 10=0",
    );
}

/// What a batch was telling at a restart is worked out when the device is touched next, which may be when
/// nothing is told by that mapping any more.
#[test]
fn an_outcome_lost_in_a_restart_counts_as_told_when_its_mapping_has_ended() {
    let stretches = |days: &'static [[u8; 2]]| {
        move |catalog: &mut Catalog| {
            let mappings = &mut catalog.destinations[0].mappings;
            let mapping = mappings.remove(0);
            mappings.extend(days.iter().map(|days| {
                let [start, end] = days.map(|day| UtcDay::from_date(2016, 7, day));
                let mapping = mapping.clone();
                Mapping {
                    start,
                    end,
                    ..mapping
                }
            }));
        }
    };
    for before_it_is_seen in ["marked", "batch; marked"] {
        check_with(
            stretches(&[[2, 3], [5, 9]]),
            &format!(
                "link a; + 1; days 1; take; restart; days 2; {before_it_is_seen}; - 1; real; days 1; \
                 link a; real; batch"
            ),
            "batch a: 10=1; marked; real a: 10=0",
        );
    }
    // The next batch finds that nothing is left to tell.
    check_with(
        stretches(&[[2, 3]]),
        "link a; + 1; days 1; take; restart; later 2; batch; marked; no-end 1; - 1; real; batch",
        "batch a: 10=1; not marked; real a: 10=0",
    );
}

/// The mapping is gone when the device is looked at next, or goes while the batch is on its way.
#[test]
fn an_outcome_lost_in_a_restart_counts_as_told_when_its_mapping_is_gone() {
    for gone in [
        "take; restart; unmap 1",
        "take; unmap 1; restart",
        "take; end 1; restart",
        "take; no-batch; restart",
        "take; unmap 1; real; restart",
    ] {
        check_with(
            |catalog| catalog.destinations[0].mappings.truncate(1),
            &format!(
                "start-10th 1; link a; + 1; real; days 10; {gone}; - 1; map 1; link a; real; batch; \
                 marked"
            ),
            "batch a: 10=1; real a: 10=0; not marked",
        );
    }
    // A batch that told nothing of it.
    check_with(
        |catalog| catalog.destinations[0].mappings.truncate(1),
        "start-10th 1; link a; + 1; real; days 10; unmap 1; restart; - 1; map 1; link a; real; batch; marked",
        "not marked",
    );
}

#[test]
fn zeros_that_were_given_up_go_with_the_batch() {
    check(
        "link a; + 1; real; - 1; marked; real-fails; marked; batch; marked",
        "real a: 10=1; not marked; real a: 10=0; marked; batch a: 10=0; not marked",
    );
}

#[test]
fn an_id_that_becomes_the_newest_again_marks_what_is_left_for_it() {
    check(
        "+ 4; + 3; link a; link b; batch; - 3; real; batch; marked; link a; marked; batch; marked",
        "batch b: c=1; real b: c=1; batch b: c=1; not marked; marked; batch a: c=1; not marked",
    );
}

/// What a partner knows, per id and text.
#[derive(Debug, Default)]
struct Partner(BTreeMap<(String, String), bool>);

impl Partner {
    fn hear(&mut self, line: &str) {
        let mut id = String::new();
        for word in line.split(' ').skip(1) {
            match word.split_once('=') {
                None => id = word.trim_end_matches(':').to_owned(),
                Some((value, status)) => {
                    self.0.insert((id.clone(), value.to_owned()), status == "1");
                }
            }
        }
    }

    /// Under the linked ids of a namespace together it knows what the device is in, and nothing of
    /// a device without one.
    fn check(&self, world: &World) -> Result<(), TestCaseError> {
        let profile = &world.profile;
        let segments = profile.segments.iter();
        let truth: BTreeSet<_> = segments
            .map(|state| match state.id.0 {
                30 | 40 => "c".to_owned(),
                other => other.to_string(),
            })
            .collect();
        for &namespace in &world.catalog.destination(D).unwrap().namespaces {
            let prefix = if namespace == NAMESPACES[0] {
                ["a", "b"]
            } else {
                ["z", "z"]
            };
            let ones = self
                .0
                .iter()
                .filter(|((id, _), one)| **one && prefix.contains(&&**id));
            let known: BTreeSet<_> = ones.map(|((_, text), _)| text.clone()).collect();
            let mut ids = profile.ids.iter();
            if ids.any(|id| id.linked && id.data_source == namespace) {
                prop_assert_eq!(&known, &truth);
            } else {
                prop_assert_eq!(known.len(), 0);
            }
        }
        Ok(())
    }
}

/// Of two segments with one text, a paused one does not keep the other's zero back: those that share
/// theirs are not paused here.
fn any_step() -> impl Strategy<Value = String> {
    let pick = |verbs: &'static [&'static str]| (0..verbs.len()).prop_map(move |n| verbs[n]);
    prop_oneof![
        6 => (pick(&["+", "-"]), 1..6u32).prop_map(|(verb, n)| format!("{verb} {n}")),
        3 => pick(&["link a", "link b", "link z"]).prop_map(str::to_owned),
        4 => pick(&["batch", "batch-fails", "take", "land"]).prop_map(str::to_owned),
        3 => pick(&["real", "real-fails", "days 1", "restart"]).prop_map(str::to_owned),
        1 => (pick(&["pause", "resume"]), 1..3u32).prop_map(|(verb, n)| format!("{verb} {n}")),
        1 => Just("opt-out".to_owned()),
    ]
}

proptest! {
    #[test]
    fn a_partner_ends_with_the_truth(
        steps in vec(any_step(), 0..40),
        both in proptest::bool::ANY,
        all in proptest::bool::ANY,
        unsegment in 0..3usize,
    ) {
        let mut plain = catalog();
        let destination = &mut plain.destinations[0];
        destination.unsegment =
            [Unsegment::Immediate, Unsegment::Batch, Unsegment::WhenSeen][unsegment];
        destination.max_mappings = u32::from(!all);
        if both {
            destination.id_data_sources = NAMESPACES.into();
        }
        let mut world = World::new(plain);
        // One hears what is acknowledged in batches and nothing else, the other everything.
        let (mut batches, mut everything) = (Partner::default(), Partner::default());
        // What is left while it is paused is not told in real time, not even when it is resumed.
        let paused = steps.iter().any(|step| step.starts_with("pause"));
        let end = (1..6).map(|n| format!("resume {n}"));
        let end = end.chain(["real", "land", "batch", "batch"].map(str::to_owned));
        for step in steps.into_iter().chain(end) {
            // One message about a device at a time: whoever drives the engine sees to that.
            if step.starts_with("batch") || step == "take" || step.starts_with("real") {
                world.step("land");
            }
            world.step(&step);
            world.out.drain(..).for_each(|line| everything.hear(&line));
            world.acknowledged.drain(..).for_each(|line| batches.hear(&line));
        }
        prop_assert_eq!(world.marked, false);
        batches.check(&world)?;
        if !paused {
            everything.check(&world)?;
        }
    }
}
