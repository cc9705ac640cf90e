//! The removal ledger: every way in which a Status 0 becomes owed, and every way in which it ends.

use super::*;
use crate::forget::Forgetting;
use tidings_store::{RemovalEnd, RemovalKey};

const COOKIES: DataSourceId = DataSourceId(55);
const DAY: i64 = 86_400;
const CATALOG: &str = r#"
data_sources: [{ id: 55, name: Cookies }]
traits:
  - { id: 1, name: Cart, ttl_days: 3 }
  - { id: 2, name: Search, ttl_days: 0 }
segments: [{ id: 10, name: Cart, rule: 1T }, { id: 20, name: Search, rule: 2T }]
destinations:
  - id: 7
    name: Partner
    client_id: "1"
    url: https://partner.example/segments
    id_data_sources: [55]
    max_mappings: 0
    mappings: [{ segment: 10 }, { segment: 20 }]
"#;

impl World {
    /// The partner knows that the device, by these ids, is in the segments of these traits.
    fn told(ids: &[&str], traits: &[u32]) -> Self {
        let mut world = Self::of(CATALOG);
        world.namespace = COOKIES;
        world.ids = ids
            .iter()
            .map(|id| DeclaredId {
                data_source: COOKIES,
                id: (*id).into(),
                state: AuthState::default(),
            })
            .collect();
        world.see(traits, &[]);
        world.tell(Kind::Realtime, true);
        assert_eq!(world.ledger(), "");
        world
    }

    fn change(&mut self, change: Change) {
        let (moment, changes) = (self.moment(), &mut self.changes);
        let (core, rows, uuid) = (&mut self.core, &self.rows, Self::device());
        core.change(moment, change, &uuid, rows, changes, |_| {})
            .unwrap();
        self.finish();
    }

    /// Time goes on, and the device's timer comes if it is due.
    fn pass(&mut self, days: i64) {
        self.now = self.now.plus_seconds(days * DAY);
        while let Some(timer) = self.rows.timers.first().cloned() {
            if timer.0 > self.now {
                return;
            }
            let (moment, changes) = (self.moment(), &mut self.changes);
            let (core, rows) = (&mut self.core, &self.rows);
            core.wake(moment, self.now, &timer, rows, changes, |_| {})
                .unwrap();
            self.finish();
        }
    }

    /// Another catalog comes, and what is left of destinations that it does not have goes.
    fn replace(&mut self, text: &str) {
        let generation = self.core.catalog().compiled.generation() + 1;
        self.core.set_catalog(active(text, generation));
    }

    fn forget(&mut self) {
        self.core.abandon(PARTNER, &self.rows).unwrap();
        let mut forgetting = Forgetting::new(10);
        forgetting.add(PARTNER);
        while !forgetting.is_empty() {
            let (moment, changes) = (self.moment(), &mut self.changes);
            let (core, rows) = (&mut self.core, &self.rows);
            forgetting.step(moment, core, rows, changes).unwrap();
            self.finish();
        }
    }

    fn keys(&self) -> Vec<RemovalKey> {
        let mut keys: Vec<_> = self.rows.removals.keys().cloned().collect();
        keys.sort_by(|a, b| (a.segment, &a.id).cmp(&(b.segment, &b.id)));
        keys
    }

    /// Removals by segment and partner id, in order: cause, times tried, and how it stands.
    fn ledger(&self) -> String {
        let mut lines = Vec::new();
        for key in self.keys() {
            for removal in &self.rows.removals[&key] {
                let end = match removal.end {
                    RemovalEnd::Owed => "owed",
                    RemovalEnd::Acknowledged { .. } => "acknowledged",
                    RemovalEnd::Cancelled { .. } => "cancelled",
                };
                let (cause, tries) = (removal.cause.as_str(), removal.tries);
                lines.push(format!("{} {}: {cause} {tries} {end}", key.segment, key.id));
            }
        }
        lines.join(", ")
    }
}

/// The cause that the ledger has after this happened to a device in both segments.
#[track_caller]
fn check_cause(happens: impl FnOnce(&mut World), expected: &str) {
    let mut world = World::told(&["a"], &[1, 2]);
    happens(&mut world);
    assert_eq!(world.ledger(), expected);
    // It is told like any other.
    let acknowledged = expected.replace("0 owed", "1 acknowledged");
    world.tell(Kind::Realtime, true);
    assert_eq!(world.ledger(), acknowledged);
}

#[test]
fn every_cause_is_recorded() {
    check_cause(|world| world.see(&[], &[1]), "10 a: rule 0 owed");
    check_cause(|world| world.pass(4), "10 a: expiry 0 owed");
    check_cause(
        |world| world.change(Change::OptOut),
        "10 a: opt_out 0 owed, 20 a: opt_out 0 owed",
    );
    check_cause(
        |world| drop(world.delete()),
        "10 a: deletion 0 owed, 20 a: deletion 0 owed",
    );
    let paid = CATALOG.replace("rule: 2T", "rule: 1T AND 2T AND NOT 1T");
    check_cause(
        |world| {
            world.replace(&paid);
            world.change(Change::Wake);
        },
        "20 a: catalog 0 owed",
    );
    // A device that an event brings up to the catalog left by the event, as far as anybody can say.
    check_cause(
        |world| {
            world.replace(&paid);
            world.see(&[], &[]);
        },
        "20 a: rule 0 owed",
    );
}

#[test]
fn who_was_not_seen_for_long_leaves_as_idle() {
    let idle = "10 a: expiry 1 acknowledged, 20 a: idle 0 owed";
    for seen in [false, true] {
        let mut world = World::told(&["a"], &[1, 2]);
        world.pass(4);
        world.tell(Kind::Realtime, true);
        if seen {
            // The timer is late: the device comes first.
            world.now = world.now.plus_seconds(200 * DAY);
            world.see(&[], &[]);
        } else {
            world.pass(200);
        }
        assert_eq!(world.ledger(), idle, "seen: {seen}");
    }
}

#[test]
fn each_try_counts_until_one_is_acknowledged() {
    let mut world = World::told(&["a"], &[1]);
    world.see(&[], &[1]);
    world.tell(Kind::Realtime, false);
    assert_eq!(world.ledger(), "10 a: rule 1 owed");
    world.see(&[2], &[]);
    world.tell(Kind::Realtime, false);
    assert_eq!(world.ledger(), "10 a: rule 2 owed");
    world.see(&[2], &[]);
    world.tell(Kind::Realtime, true);
    assert_eq!(world.ledger(), "10 a: rule 3 acknowledged");
}

#[test]
fn each_partner_id_is_owed_its_own() {
    let mut world = World::told(&["a", "b"], &[1]);
    world.see(&[], &[1]);
    assert_eq!(world.ledger(), "10 a: rule 0 owed, 10 b: rule 0 owed");
    let taken = world.take(Kind::Realtime);
    assert_eq!(taken.objects.len(), 2);
    world.settle_each(Kind::Realtime, taken, vec![true, false]);
    let ledger = world.ledger();
    let halves = [
        "10 a: rule 1 acknowledged, 10 b: rule 1 owed",
        "10 a: rule 1 owed, 10 b: rule 1 acknowledged",
    ];
    assert!(halves.contains(&&*ledger), "{ledger}");
    world.see(&[2], &[]);
    world.tell(Kind::Realtime, true);
    let ledger = world.ledger();
    assert!(!ledger.contains("owed"), "{ledger}");
}

#[test]
fn entering_again_cancels_and_leaving_again_is_another() {
    let mut world = World::told(&["a"], &[1]);
    world.see(&[], &[1]);
    world.tell(Kind::Realtime, false);
    world.see(&[1], &[]);
    assert_eq!(world.ledger(), "10 a: rule 1 cancelled");
    world.tell(Kind::Realtime, true);
    world.see(&[], &[1]);
    let both = "10 a: rule 1 cancelled, 10 a: rule 0 owed";
    assert_eq!(world.ledger(), both);
}

/// It is told if the mapping comes back.
#[test]
fn a_mapping_that_is_gone_leaves_it_owed() {
    let mut world = World::told(&["a"], &[1, 2]);
    world.see(&[], &[1]);
    world.replace(&CATALOG.replace("{ segment: 10 }, ", ""));
    world.change(Change::Wake);
    assert_eq!(world.ledger(), "10 a: rule 0 owed");
    world.replace(CATALOG);
    world.see(&[], &[]);
    world.tell(Kind::Realtime, true);
    assert_eq!(world.ledger(), "10 a: rule 1 acknowledged");
}

/// It can never be told, whichever of both gets to the device first: the sweep for the new catalog, or the
/// removal of what is left of the destination.
#[test]
fn a_destination_that_is_gone_cancels() {
    let (without, _) = CATALOG.split_once("destinations:").unwrap();
    for forgotten_first in [false, true] {
        let mut world = World::told(&["a"], &[1]);
        world.see(&[], &[1]);
        world.replace(without);
        if forgotten_first {
            world.forget();
        }
        world.change(Change::Wake);
        assert_eq!(
            world.ledger(),
            "10 a: rule 0 cancelled",
            "forgotten first: {forgotten_first}"
        );
    }
}

#[test]
fn what_ended_long_ago_is_forgotten_and_what_is_owed_is_not() {
    let mut world = World::told(&["a"], &[1, 2]);
    world.see(&[], &[1]);
    world.tell(Kind::Realtime, true);
    world.see(&[], &[2]);
    let trim = |world: &mut World, days: i64| {
        let kept_from = world.now.plus_seconds(days * DAY);
        for key in world.keys() {
            let (core, rows) = (&mut world.core, &world.rows);
            core.trim_removals(&key, kept_from, rows, &mut world.changes)
                .unwrap();
        }
        world.finish();
        world.ledger()
    };
    let both = "10 a: rule 1 acknowledged, 20 a: rule 0 owed";
    assert_eq!(trim(&mut world, 0), both);
    assert_eq!(trim(&mut world, 1), "20 a: rule 0 owed");
}
