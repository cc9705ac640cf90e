//! What a partner is told and what its answers mean, where a device changes meanwhile.

mod ledger;

use super::{
    privacy::{PrivacyReport, PrivacyRequest, Told},
    *,
};
use crate::memory::{MemoryChanges, MemoryRows};
use std::{collections::BTreeMap, path::Path};
use tidings_catalog::Source;
use tidings_collect::Subject;
use tidings_dispatch::{Kind, SettledUser, Taken};
use tidings_engine::{LastUse, MappingChanges};
use tidings_model::{AuthState, DeclaredId, FailurePolicy, RegionId, SegmentId, TraitId, limits};

const CATALOG: &str = r#"
traits: [{ id: 1, name: Cart }, { id: 2, name: Search }]
segments: [{ id: 10, name: Cart, rule: 1T }, { id: 20, name: Search, rule: 2T }]
destinations:
  - id: 7
    name: Partner
    client_id: "1"
    url: https://partner.example/segments
    after_failure: drop
    batch: { every: 24h, at: "02:00" }
    mappings: [{ segment: 10 }, { segment: 20 }]
"#;
const PARTNER: DestinationId = DestinationId(7);
const NOW: Timestamp = Timestamp(1_469_577_600);

/// The catalog of a file with this text, as a version of it.
fn active(text: &str, generation: u32) -> Arc<ActiveCatalog> {
    let source = Source {
        name: "catalog.yaml",
        text,
        directory: Path::new("."),
    };
    let catalog = tidings_catalog::read(source, |_| None).unwrap().catalog;
    Arc::new(ActiveCatalog::new(catalog, generation, MappingChanges::default()).unwrap())
}

/// One device, and a partner that it is told to.
struct World {
    core: Core,
    rows: MemoryRows,
    changes: MemoryChanges,
    now: Timestamp,
    seq: u64,
    /// The namespace in which the partner is told.
    namespace: DataSourceId,
    /// The ids with which the device is seen.
    ids: Vec<DeclaredId>,
    epoch: u32,
}

impl World {
    fn new() -> Self {
        Self::of(CATALOG)
    }

    fn of(text: &str) -> Self {
        Self {
            core: Core::new(active(text, 1), 100),
            rows: MemoryRows::default(),
            changes: MemoryChanges::default(),
            now: NOW,
            seq: 0,
            namespace: DataSourceId::NONE,
            ids: Vec::new(),
            epoch: 1,
        }
    }

    fn device() -> DeviceUuid {
        "17".parse().unwrap()
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            seq: self.seq + 1,
            epoch: self.epoch,
        }
    }

    fn finish(&mut self) {
        let (moment, changes) = (self.moment(), &mut self.changes);
        self.core.finish(moment, self.seq, &self.rows, changes);
        self.rows.apply(changes);
        self.seq += 1;
    }

    /// The process ends and begins again: the rows are what is left.
    fn restart(&mut self) {
        let old = Arc::clone(self.core.catalog());
        let (run, until) = (self.epoch, self.now);
        let past = old.compiled.past_mappings().clone();
        let past = past.found(&old.catalog, LastUse { run, until });
        self.core = Core::new(Arc::new(old.reopened(past).unwrap()), 100);
        self.changes = MemoryChanges::default();
        self.core.resume(&self.rows).unwrap();
        self.epoch += 1;
    }

    /// The catalog is replaced, and the device is brought up to it.
    fn reload(&mut self, text: &str) {
        let (old, new) = (Arc::clone(self.core.catalog()), active(text, 0));
        let (run, until) = (self.epoch, self.now);
        let past = old.compiled.past_mappings().clone();
        let past = past.after(&old.catalog, &new.catalog, LastUse { run, until });
        let new = old
            .replaced_by(new.catalog.clone(), past, self.now)
            .unwrap();
        self.core.set_catalog(Arc::new(new));
        let (moment, changes) = (self.moment(), &mut self.changes);
        let (core, rows, uuid) = (&mut self.core, &self.rows, Self::device());
        let woken = core.change(moment, Change::Wake, &uuid, rows, changes, |_| {});
        woken.unwrap();
        self.finish();
    }

    fn see(&mut self, traits: &[u32], remove_traits: &[u32]) {
        self.submit(traits, remove_traits);
        self.finish();
    }

    /// An event, in a step that goes on.
    fn submit(&mut self, traits: &[u32], remove_traits: &[u32]) {
        let ids = |ids: &[u32]| ids.iter().copied().map(TraitId).collect();
        self.submit_event(&Event {
            uuid: Some(Self::device()),
            traits: ids(traits),
            remove_traits: ids(remove_traits),
            ids: self.ids.clone(),
            ..Event::default()
        });
    }

    fn submit_event(&mut self, event: &Event) {
        let (moment, changes) = (self.moment(), &mut self.changes);
        let known = || unreachable!("it has a uuid");
        let submitted = self
            .core
            .submit(moment, event, &self.rows, changes, known, |_| {});
        submitted.unwrap();
    }

    fn delete(&mut self) -> PrivacyReport {
        let (moment, changes) = (self.moment(), &mut self.changes);
        let (request, subject) = (PrivacyRequest::Delete, Subject::Device(Self::device()));
        let (core, rows) = (&mut self.core, &self.rows);
        let report = core.privacy(moment, request, &subject, rows, changes, |_| {});
        self.finish();
        report.unwrap()
    }

    fn take(&mut self, kind: Kind) -> Taken<Vec<u8>> {
        let (moment, changes) = (self.moment(), &mut self.changes);
        let (core, rows) = (&mut self.core, &self.rows);
        let (namespace, users) = (self.namespace, vec![Self::device()]);
        let taken = core.take(moment, kind, PARTNER, namespace, users, rows, changes);
        taken.unwrap().remove(0)
    }

    fn settle(&mut self, kind: Kind, taken: Taken<Vec<u8>>, success: bool) {
        let acknowledged = vec![success; taken.objects.len()];
        self.settle_each(kind, taken, acknowledged);
    }

    /// As `settle`, with a verdict for each object.
    fn settle_each(&mut self, kind: Kind, taken: Taken<Vec<u8>>, acknowledged: Vec<bool>) {
        let (moment, changes) = (self.moment(), &mut self.changes);
        let (core, rows) = (&mut self.core, &self.rows);
        let (to, namespace) = (PARTNER, self.namespace);
        let users = [SettledUser {
            uuid: taken.uuid,
            seq: taken.seq,
            acknowledged: acknowledged.into(),
            after_failure: FailurePolicy::Drop,
        }];
        match kind {
            Kind::Realtime => core.settle(
                moment,
                to,
                namespace,
                &users,
                "status_500",
                1,
                rows,
                changes,
            ),
            Kind::Batch => core.settle_batch(moment, to, namespace, &users, 1, rows, changes),
        }
        .unwrap();
        self.finish();
    }

    /// Tells the partner what there is to tell; it answers with success or not.
    fn tell(&mut self, kind: Kind, success: bool) {
        let taken = self.take(kind);
        assert!(!taken.objects.is_empty(), "there is something to tell");
        self.settle(kind, taken, success);
    }

    /// The step whose touch of the pair is to be told.
    fn pending(&self) -> Option<u64> {
        let row = self.rows.pending.get(&(PARTNER, Self::device()));
        row.map(|row| row.seq)
    }

    fn is_listed(&self) -> bool {
        let listed = &self.rows.undelivered;
        listed.contains_key(&(PARTNER, Self::device()))
    }
}

/// A batch tells what differs from the batch before. What was told in real time between the two and
/// then taken back by a message that was dropped does not.
#[test]
fn a_batch_does_not_make_up_for_a_message_that_was_dropped() {
    let mut world = World::new();
    world.see(&[1], &[]);
    world.tell(Kind::Realtime, true);
    world.tell(Kind::Batch, true);
    world.see(&[], &[1]);
    world.tell(Kind::Realtime, true);
    // The partner believes that the device is not in segment 10.
    world.see(&[1, 2], &[]);
    world.tell(Kind::Realtime, false);
    assert!(world.is_listed());
    world.tell(Kind::Batch, true);
    assert!(world.is_listed(), "the batch told segment 20 alone");
    world.see(&[1], &[2]);
    world.tell(Kind::Realtime, true);
    assert!(!world.is_listed());
}

/// The courier asks for a device of which there is nothing to tell any more. Later in the same step
/// the device changes: the answer must not count as being about that.
#[test]
fn nothing_taken_is_older_than_a_change_in_the_same_step() {
    let mut world = World::new();
    world.see(&[1], &[]);
    world.tell(Kind::Realtime, true);
    let taken = world.take(Kind::Realtime);
    assert!(taken.objects.is_empty());
    world.submit(&[2], &[]);
    world.finish();
    let touched = world.pending().unwrap();
    assert!(taken.seq < touched, "{} {touched}", taken.seq);
}

/// Something else in a step, as a request of the operator, changes a device before it is taken, and an
/// event changes it after that.
#[test]
fn what_changes_in_the_step_in_which_it_is_taken_stays_to_be_told() {
    let mut world = World::new();
    world.submit(&[1], &[]);
    let taken = world.take(Kind::Realtime);
    assert!(!taken.objects.is_empty());
    world.submit(&[2], &[]);
    world.finish();
    let touched = world.pending().unwrap();
    assert!(taken.seq < touched, "{} {touched}", taken.seq);
    world.settle(Kind::Realtime, taken, true);
    assert_eq!(world.pending(), Some(touched));
    world.tell(Kind::Realtime, true);
    assert_eq!(world.pending(), None);
}

/// A device is deleted while a message that puts it into a segment is on its way to a partner that takes
/// no Status 0. The answer tells of the partner, which may know by now; nothing of the device stays.
#[test]
fn what_is_on_its_way_to_a_partner_without_zeros_is_listed_as_not_told() {
    let mut world = World::of(&CATALOG.replace(
        "    after_failure: drop",
        "    after_failure: drop\n    supports_unsegment: false",
    ));
    world.see(&[1], &[]);
    let taken = world.take(Kind::Realtime);
    assert!(!taken.objects.is_empty());
    let report = world.delete();
    let told = Told {
        known: 1,
        not_told: [((SegmentId(10), "takes_no_zeros"), 1)].into(),
        ..Told::default()
    };
    assert_eq!(report.destinations, [(PARTNER, told)].into());
    world.settle(Kind::Realtime, taken, true);
    assert_eq!(world.rows.profiles.len(), 0);
    assert_eq!(world.delete().destinations, BTreeMap::new());
}

/// A device that is in no segment has no timer for the 120 days. What is told about it after them says
/// no more where it was seen.
#[test]
fn what_is_told_of_a_forgotten_device_says_nothing_of_its_regions() {
    for kind in [Kind::Realtime, Kind::Batch] {
        let mut world = World::new();
        let seen = Event {
            uuid: Some(World::device()),
            time: Some(NOW),
            region: Some(RegionId(6)),
            traits: vec![TraitId(1)],
            ..Event::default()
        };
        world.submit_event(&seen);
        world.finish();
        world.tell(kind, true);
        // What came late tells of a day long ago: the device was not seen since.
        world.now = NOW.plus_seconds(119 * 86_400);
        world.submit_event(&Event {
            time: Some(NOW),
            region: None,
            traits: Vec::new(),
            remove_traits: vec![TraitId(1)],
            ..seen
        });
        world.finish();
        world.now = NOW.plus_seconds(121 * 86_400);
        let taken = world.take(kind);
        let text = String::from_utf8(taken.objects.concat()).unwrap();
        assert!(text.contains(r#""Status":"0""#), "{text}");
        assert!(!text.contains("Regions"), "{kind:?}: {text}");
    }
}

/// When the process that began again comes to tell about the device, a mapping has ended: what is told is
/// not all that the earlier one may have told.
#[test]
fn what_an_earlier_run_told_is_owed_whatever_is_told_now() {
    let catalog = CATALOG.replace(
        "mappings: [",
        "mappings: [{ segment: 10, start: 2016-07-31 }, ",
    );
    let catalog = catalog.replace("{ segment: 10 }, {", "{ segment: 10, end: 2016-07-29 }, {");
    for in_both in [false, true] {
        let mut world = World::of(&catalog);
        world.see(if in_both { &[1, 2] } else { &[1] }, &[]);
        assert!(!world.take(Kind::Realtime).objects.is_empty());
        world.restart();
        world.now = NOW.plus_seconds(3 * 86_400);
        let taken = world.take(Kind::Realtime);
        assert_eq!(!taken.objects.is_empty(), in_both);
        world.settle(Kind::Realtime, taken, true);
        assert_eq!(world.pending(), None);
        world.see(&[], &[1]);
        world.now = NOW.plus_seconds(5 * 86_400);
        world.see(&[], &[]);
        let text = String::from_utf8(world.take(Kind::Realtime).objects.concat()).unwrap();
        assert!(text.contains(r#""Segment_ID":"10","Status":"0""#), "{text}");
    }
}

/// The mapping goes while the message is on its way, and the process ends before its outcome is known.
#[test]
fn what_was_on_its_way_by_a_mapping_that_is_gone_is_owed() {
    let unmapped = CATALOG.replace("mappings: [{ segment: 10 }, {", "mappings: [{");
    let later = CATALOG.replace("[{ segment: 10 }", "[{ segment: 10, start: 2016-07-28 }");
    for kind in [Kind::Realtime, Kind::Batch] {
        let mut world = World::of(if kind == Kind::Batch { &later } else { CATALOG });
        world.see(&[1], &[]);
        if kind == Kind::Batch {
            // Nothing is told yet, and nothing waits in real time when the mapping's day comes.
            assert!(world.take(Kind::Realtime).objects.is_empty());
            world.finish();
        }
        world.now = NOW.plus_seconds(2 * 86_400);
        assert!(!world.take(kind).objects.is_empty());
        world.reload(&unmapped);
        world.restart();
        world.see(&[], &[1]);
        world.reload(CATALOG);
        world.see(&[], &[]);
        let text = String::from_utf8(world.take(Kind::Realtime).objects.concat()).unwrap();
        assert!(
            text.contains(r#""Segment_ID":"10","Status":"0""#),
            "{kind:?}: {text}"
        );
    }
}

/// An id was on its way to the partner when the process ended. Before the device is touched again, others
/// push it out from under the id.
#[test]
fn an_id_that_gave_way_after_a_restart_is_told_the_zero() {
    let cookies = DataSourceId(5);
    let catalog = CATALOG.replace(
        "    after_failure: drop",
        "    after_failure: drop\n    id_data_sources: [5]",
    );
    let mut world = World::of(&format!(
        "data_sources: [{{ id: 5, name: Cookies, kind: cookie }}]\n{catalog}"
    ));
    world.namespace = cookies;
    world.ids.push(DeclaredId {
        data_source: cookies,
        id: "x".into(),
        state: AuthState::default(),
    });
    world.see(&[1], &[]);
    assert!(!world.take(Kind::Realtime).objects.is_empty());
    world.restart();
    for number in 0..limits::DEVICES_PER_ID_MAX {
        world.submit_event(&Event {
            uuid: Some((1000 + number).to_string().parse().unwrap()),
            ids: world.ids.clone(),
            ..Event::default()
        });
    }
    world.finish();
    world.ids.clear();
    world.see(&[], &[1]);
    let text = String::from_utf8(world.take(Kind::Realtime).objects.concat()).unwrap();
    assert!(text.contains(r#""DataPartner_UUID":"x""#), "{text}");
    assert!(text.contains(r#""Segment_ID":"10","Status":"0""#), "{text}");
}
