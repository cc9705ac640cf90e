//! One device, its partners, and everything that happens to them.
//!
//! A world does what the server does around the engine: it numbers commits, keeps flights, remembers
//! hints until they are taken, holds what failed, and forgets all but the profile in a crash.

use super::{event, invariants, parse_time, partner::Partners, show_time};
use crate::{
    Applied, CompiledCatalog, Effects, Engine, Flight, LastUse, MappingChanges, Moment,
    PastMappings, Profile, Settled,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};
use tidings_model::{Catalog, DataSourceId, DestinationId, Event, SegmentId, Timestamp};

/// A destination and a namespace.
pub(crate) type Lane = (DestinationId, DataSourceId);
type Flights = BTreeMap<Lane, (Flight, Message)>;
/// Per user object: the id, and the text and status of each segment.
pub(crate) type Message = Vec<(String, Vec<(String, bool)>)>;

pub(crate) struct World {
    catalogs: Vec<Catalog>,
    current: usize,
    pub(crate) compiled: CompiledCatalog,
    engine: Engine,
    pub(crate) profile: Profile,
    pub(crate) flights: Flights,
    /// Lanes to be taken.
    hinted: BTreeSet<Lane>,
    /// Lanes whose last message was given up.
    held: BTreeSet<Lane>,
    pub(crate) partners: Partners,
    pub(crate) now: Timestamp,
    seq: u64,
    epoch: u32,
    forgetful: bool,
}

/// What makes an engine look at a profile.
enum Cause<'a> {
    Event(&'a Event),
    Wake,
    OptOut,
    Delete,
    Resend(DestinationId),
}

impl World {
    /// A device nobody has seen, at `d0`, under the first catalog.
    #[track_caller]
    pub(crate) fn new(catalogs: &[&str]) -> Self {
        let catalogs: Vec<_> = catalogs.iter().map(|text| super::catalog(text)).collect();
        let compiled = CompiledCatalog::compile(&catalogs[0], 1, MappingChanges::default());
        Self {
            catalogs,
            current: 0,
            compiled: compiled.unwrap(),
            engine: Engine::new(),
            profile: Profile::default(),
            flights: BTreeMap::new(),
            hinted: BTreeSet::new(),
            held: BTreeSet::new(),
            partners: Partners::default(),
            now: parse_time("d0").unwrap(),
            seq: 0,
            epoch: 1,
            forgetful: false,
        }
    }

    /// The catalog in use.
    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalogs[self.current]
    }

    /// From now on every step begins with a new engine.
    pub(crate) fn forget_engine_after_every_step(&mut self) {
        self.forgetful = true;
    }

    /// Whether the lane waits to be taken and nothing of it is on its way.
    pub(crate) fn can_take(&self, text: &str) -> bool {
        let lane = lane(text);
        self.hinted.contains(&lane) && !self.flights.contains_key(&lane)
    }

    /// The first lane with a message on its way.
    pub(crate) fn first_flight(&self) -> Option<String> {
        self.flights.keys().next().map(|&lane| show_lane(lane))
    }

    /// Takes one step and says what it showed:
    /// - `see EVENT`: the device is seen; `wake`, `optout`, `delete`: what the engine offers;
    /// - `resend DESTINATION`: it is to be told everything again;
    /// - `pass`: every timer that is due fires, each at its own time;
    /// - `catalog N`: another catalog; `crash`: only the profile is left; `crash N`: and another catalog
    ///   lies there when the process begins again;
    /// - `take LANE`: a message is built; `ack LANE`, `fail LANE`, `lost LANE`, `drop LANE`: it
    ///   succeeds, or is given up without reaching the partner, after reaching it, or for good;
    ///   with `+-` the first object succeeds and the second does not;
    /// - `send`: everything waiting is taken and succeeds; `recover`: what was held waits again;
    /// - `timer`, `show DESTINATION`, `traits`, `ids`: a look at the profile.
    #[track_caller]
    pub(crate) fn step(&mut self, step: &str) -> String {
        let mut words = step.split_whitespace().peekable();
        if let Some(time) = words.peek().and_then(|word| parse_time(word)) {
            self.now = time;
            words.next();
        }
        let verb = words.next().unwrap_or("send");
        let mut argument = || words.next().unwrap_or_default();
        let facts = match verb {
            "see" => self.change(&Cause::Event(&event::parse(words))),
            "wake" => self.change(&Cause::Wake),
            "optout" => self.change(&Cause::OptOut),
            "delete" => self.change(&Cause::Delete),
            "resend" => {
                let destination = DestinationId(argument().parse().unwrap());
                self.change(&Cause::Resend(destination))
            }
            "pass" => self.pass(),
            "catalog" => self.replace_catalog(argument().parse().unwrap()),
            "crash" => {
                let index = words.next().map(|index| index.parse().unwrap());
                self.crash(index.unwrap_or(self.current))
            }
            "take" => self.take(lane(argument())),
            "send" => self.send(),
            "recover" => {
                self.hinted.append(&mut self.held);
                String::new()
            }
            "ack" | "fail" | "lost" | "drop" => {
                let lane = lane(argument());
                self.settle(lane, verb, argument())
            }
            "timer" => self
                .profile
                .wake_at
                .map_or_else(|| "none".to_owned(), show_time),
            "show" => self.show(DestinationId(argument().parse().unwrap())),
            "traits" => self.show_traits(),
            "ids" => self.show_ids(),
            "regions" => format!("{:?}", self.profile.regions),
            _ => panic!("{step}"),
        };
        if self.forgetful {
            self.engine = Engine::new();
        }
        invariants::check(&self.compiled, &self.profile);
        self.check_waiting();
        facts
    }

    fn moment(&mut self) -> Moment {
        self.seq += 1;
        Moment {
            now: self.now,
            seq: self.seq,
            epoch: self.epoch,
        }
    }

    fn change(&mut self, cause: &Cause<'_>) -> String {
        let moment = self.moment();
        let flights = &self.flights;
        let in_flight = |destination: DestinationId, segment: SegmentId| {
            flights.iter().any(|((other, _), (flight, _))| {
                *other == destination && flight.ones.contains(&segment)
            })
        };
        let timer = self.profile.wake_at;
        let (engine, profile, catalog) = (&mut self.engine, &mut self.profile, &self.compiled);
        let effects = match cause {
            Cause::Event(event) => {
                let (applied, effects) = engine.apply(moment, catalog, profile, event, in_flight);
                match applied {
                    Applied::Changed => effects,
                    Applied::Duplicate => return "duplicate".to_owned(),
                    Applied::OptedOut => return "opted out".to_owned(),
                }
            }
            Cause::Wake => engine.wake(moment, catalog, profile, in_flight),
            Cause::OptOut => engine.opt_out(moment, catalog, profile, in_flight),
            Cause::Delete => engine.delete(moment, catalog, profile, in_flight),
            Cause::Resend(to) => engine.resend(moment, catalog, profile, *to, in_flight),
        };
        match effects.timer {
            Some((old, new)) => assert_eq!((old, new), (timer, profile.wake_at)),
            None => assert_eq!(timer, profile.wake_at),
        }
        let mut facts = String::new();
        note_changes(&mut facts, effects);
        let touched = &effects.touched;
        assert!(
            touched.is_sorted_by(|a, b| a.destination < b.destination),
            "{touched:?}"
        );
        for touched in touched {
            for part in &effects.parts[touched.parts.clone()] {
                let lane = (touched.destination, part.namespace);
                _ = write!(facts, " >{}", show_lane(lane));
                if part.objects != 1 {
                    _ = write!(facts, "x{}", part.objects);
                }
                self.held.remove(&lane);
                self.hinted.insert(lane);
            }
        }
        facts.trim_start().to_owned()
    }

    fn pass(&mut self) -> String {
        let until = self.now;
        let mut facts = Vec::new();
        while let Some(at) = self.profile.wake_at.filter(|&at| at <= until) {
            self.now = at;
            facts.push(format!("{}: {}", show_time(at), self.change(&Cause::Wake)));
            assert!(self.profile.wake_at.is_none_or(|next| next > at));
        }
        self.now = until;
        facts.join(" | ")
    }

    fn replace_catalog(&mut self, index: usize) -> String {
        let (old, new) = (&self.catalogs[self.current], &self.catalogs[index]);
        let (run, until) = (self.epoch, self.now);
        let past = self.compiled.past_mappings().clone();
        let past = past.after(old, new, LastUse { run, until });
        self.follow(index, past);
        String::new()
    }

    /// Goes over to another catalog.
    fn follow(&mut self, index: usize, past: PastMappings) {
        let generation = self.compiled.generation() + 1;
        let changes = self.compiled.mapping_changes().clone();
        let (old, new) = (&self.catalogs[self.current], &self.catalogs[index]);
        let changes = changes.after(old, new, generation);
        let lapses = self.compiled.lapses().clone();
        let lapses = lapses.after(old, new, generation, self.now);
        let compiled = CompiledCatalog::compile(new, generation, changes).unwrap();
        self.compiled = compiled.with_lapses(lapses).with_past_mappings(past);
        self.current = index;
    }

    /// What is on its way may or may not have arrived. The process begins again with this catalog, and
    /// reads the pending set.
    fn crash(&mut self, index: usize) -> String {
        let flights = std::mem::take(&mut self.flights);
        for ((destination, namespace), (_, message)) in flights {
            self.partners.may_have(destination, namespace, &message);
        }
        self.held.clear();
        self.hinted.clear();
        let (run, until) = (self.epoch, self.now);
        let past = self.compiled.past_mappings().clone();
        let past = past.found(&self.catalogs[self.current], LastUse { run, until });
        self.epoch += 1;
        if index == self.current {
            let (generation, changes) =
                (self.compiled.generation(), self.compiled.mapping_changes());
            let compiled =
                CompiledCatalog::compile(&self.catalogs[index], generation, changes.clone())
                    .unwrap();
            let lapses = self.compiled.lapses().clone();
            self.compiled = compiled.with_lapses(lapses).with_past_mappings(past);
        } else {
            self.follow(index, past);
        }
        for state in &self.profile.destinations {
            for part in self.compiled.waiting(&self.profile, state.id, self.now) {
                self.hinted.insert((state.id, part.namespace));
            }
        }
        String::new()
    }

    fn take(&mut self, lane: Lane) -> String {
        assert!(!self.flights.contains_key(&lane), "in flight already");
        self.hinted.remove(&lane);
        let pending = self
            .profile
            .destination(lane.0)
            .and_then(|state| state.pending.as_ref());
        let seq = pending.map_or(self.seq + 1, |pending| pending.seq);
        let mut message = Message::new();
        let flight = self.compiled.destination(lane.0).and_then(|destination| {
            self.engine
                .take(self.now, destination, &self.profile, lane.1, |object| {
                    let segments = object.segments.iter().map(|entry| {
                        let id = entry.segment.to_string();
                        (entry.value.map_or(id, str::to_owned), entry.active)
                    });
                    message.push((object.id.to_owned(), segments.collect()));
                })
        });
        if let Some(flight) = flight {
            assert_eq!(flight.objects.len(), message.len());
            self.partners.note_sent(lane.0, lane.1, &message);
            let shown = show_message(lane, &message);
            self.flights.insert(lane, (flight, message));
            return shown;
        }
        let moment = self.moment();
        self.engine
            .assume_told_by_earlier_run(moment, &self.compiled, &mut self.profile);
        self.engine
            .clear_part(&mut self.profile, lane.0, lane.1, seq);
        String::new()
    }

    fn send(&mut self) -> String {
        let mut messages = Vec::new();
        while let Some(&lane) = self
            .hinted
            .iter()
            .find(|lane| !self.flights.contains_key(lane))
        {
            let message = self.take(lane);
            if !message.is_empty() {
                messages.push(message);
                self.settle(lane, "ack", "");
            }
        }
        messages.join(" ")
    }

    fn settle(&mut self, lane: Lane, outcome: &str, objects: &str) -> String {
        let (flight, message) = self.flights.remove(&lane).expect("in flight");
        let (destination, namespace) = lane;
        let acknowledged: Vec<bool> = (0..message.len())
            .map(|n| match objects.chars().nth(n) {
                Some(sign) => sign == '+',
                None => outcome == "ack",
            })
            .collect();
        for (object, acknowledged) in message.iter().zip(&acknowledged) {
            if *acknowledged {
                self.partners.has(destination, namespace, object);
            } else if outcome == "lost" {
                let message = std::slice::from_ref(object);
                self.partners.may_have(destination, namespace, message);
            }
        }
        let moment = self.moment();
        let (engine, profile) = (&mut self.engine, &mut self.profile);
        engine.assume_told_by_earlier_run(moment, &self.compiled, profile);
        let mut settled = engine.settle(profile, destination, namespace, &flight, |n| {
            acknowledged[n]
        });
        let delivered = acknowledged.iter().all(|&acknowledged| acknowledged);
        if outcome == "drop" {
            settled = engine.clear_part(profile, destination, namespace, flight.seq);
        } else if !delivered && !self.hinted.contains(&lane) {
            self.held.insert(lane);
        }
        profile.set_undelivered(destination, !delivered);
        match settled {
            Settled::Cleared => "cleared".to_owned(),
            Settled::Pending => "pending".to_owned(),
        }
    }

    /// Every part of a pending pair is waiting for its turn, on its way or held: none is forgotten.
    fn check_waiting(&self) {
        for state in &self.profile.destinations {
            let parts = state.pending.iter().flat_map(|pending| &pending.parts);
            for &namespace in parts {
                let lane = (state.id, namespace);
                assert!(
                    self.hinted.contains(&lane)
                        || self.held.contains(&lane)
                        || self.flights.contains_key(&lane),
                    "nobody will take {}",
                    show_lane(lane)
                );
            }
        }
    }

    fn show(&self, id: DestinationId) -> String {
        let Some(state) = self.profile.destination(id) else {
            return "nothing".to_owned();
        };
        let name = |key| {
            let id = self.profile.ids.iter().find(|id| id.key == key);
            id.map_or_else(|| "?".to_owned(), |id| show_id(&id.id).to_owned())
        };
        let mut facts = Vec::new();
        facts.extend(state.told.iter().map(|id| format!("told {id}")));
        facts.extend(
            state
                .told_ids
                .iter()
                .map(|&key| format!("to {}", name(key))),
        );
        let owed = state.owed.iter();
        facts.extend(owed.map(|zero| format!("owed {} {}", zero.segment, name(zero.id))));
        facts.extend(state.undelivered.then(|| "undelivered".to_owned()));
        facts.extend(state.when_seen.then(|| "when seen".to_owned()));
        facts.extend(state.pending.as_ref().map(|_| "pending".to_owned()));
        facts.join(", ")
    }

    fn show_traits(&self) -> String {
        let mut facts = Vec::new();
        for state in &self.profile.traits {
            let mut fact = format!("{}: {}", state.id, state.older);
            for count in &state.days {
                _ = write!(fact, " {}*{}", show_time(count.day.start()), count.count);
            }
            facts.push(fact);
        }
        facts.join(", ")
    }

    fn show_ids(&self) -> String {
        let mut facts = Vec::new();
        for id in &self.profile.ids {
            let state = if id.linked { "" } else { " unlinked" };
            facts.push(format!("{}={}{state}", id.data_source, show_id(&id.id)));
        }
        facts.join(", ")
    }
}

fn note_changes(facts: &mut String, effects: &Effects) {
    assert!(effects.entered.is_sorted() && effects.left.is_sorted());
    for id in &effects.entered {
        _ = write!(facts, " +{id}");
    }
    for id in &effects.left {
        _ = write!(facts, " -{id}");
    }
}

/// `100.5`
fn lane(text: &str) -> Lane {
    let (destination, namespace) = text.split_once('.').expect("a lane");
    (
        DestinationId(destination.parse().unwrap()),
        match namespace {
            "_" => DataSourceId::NONE,
            namespace => DataSourceId(namespace.parse().unwrap()),
        },
    )
}

fn show_lane((destination, namespace): Lane) -> String {
    if namespace == DataSourceId::NONE {
        format!("{destination}._")
    } else {
        format!("{destination}.{namespace}")
    }
}

fn show_id(id: &str) -> &str {
    if id.is_empty() { "_" } else { id }
}

/// `100.5[x 10=1 11=0; y 11=0]`
fn show_message(lane: Lane, message: &Message) -> String {
    let objects: Vec<_> = message
        .iter()
        .map(|(id, segments)| {
            let segments = segments
                .iter()
                .map(|(text, active)| format!(" {text}={}", u8::from(*active)));
            format!("{}{}", show_id(id), segments.collect::<String>())
        })
        .collect();
    format!("{}[{}]", show_lane(lane), objects.join("; "))
}
