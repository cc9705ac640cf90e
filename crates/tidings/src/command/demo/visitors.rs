//! Synthetic visitors of the shop: who comes, what they look at, what they buy.
//!
//! Visitors are an endless iterator of events. Equal seeds give equal events; nothing here reads a
//! clock, so whoever takes the events decides how fast time passes. At the rate they were made for,
//! a visitor pauses 0.9 to 3.5 s between two events.
//!
//! Invariants: a visitor has one id per namespace, for good; no two visitors share one; there are
//! never more than [`VISITORS_MAX`] of them: later arrivals are all people who come back.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{cmp::Reverse, collections::BinaryHeap};
use tidings_model::{
    AuthState, DataSourceId, DeclaredId, DeviceUuid, Event, RegionId, Signals, TraitId,
};

/// Visitors remembered. Bounds what a demo that runs for days keeps in memory.
pub(crate) const VISITORS_MAX: usize = 60_000;
/// Events per second that visitors can be made for: [`VISITORS_MAX`] is more than are needed at a time.
pub(crate) const RATE_MAX: u32 = 20_000;

/// Cookie ids of the partner that knows browsers.
const COOKIES: DataSourceId = DataSourceId(31_003);
/// Android advertising ids.
const ANDROID: DataSourceId = DataSourceId(20_914);
/// The catalog's traits that events name by their ids; the others are realised by rules.
const IN_THE_CART: TraitId = TraitId(1007);
const BOUGHT: TraitId = TraitId(1008);
const REGULAR_CUSTOMER: TraitId = TraitId(1012);

/// Milliseconds between two events of a visitor, and their mean.
const PAUSE: std::ops::Range<u64> = 900..3_500;
const PAUSE_MEAN: u64 = 2_200;

/// One event, and which visitor it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    /// Counts from 0 in the order of the first visits.
    pub(crate) visitor: usize,
    pub(crate) event: Event,
}

/// The visitors; see the module's description.
#[derive(Debug)]
pub(crate) struct Visitors {
    rng: StdRng,
    visitors: Vec<Visitor>,
    visitors_max: usize,
    /// What happens next: when, in milliseconds of the visitors' time; in which order; and what.
    agenda: BinaryHeap<Reverse<(u64, u64, Next)>>,
    /// Entries made in the agenda, which orders those of one moment.
    planned: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    /// Somebody comes, for the first time or again.
    Arrive,
    /// This visitor goes on.
    Act(usize),
}

#[derive(Debug)]
struct Visitor {
    uuid: DeviceUuid,
    region: RegionId,
    platform: &'static str,
    favourite: &'static str,
    /// The id under which a partner can know the visitor, if any does.
    id: Option<(DataSourceId, Box<str>)>,
    /// That id has been declared.
    is_synced: bool,
    is_regular: bool,
    /// Something was bought and has not been delivered yet.
    is_order_open: bool,
    visit: Option<Stage>,
}

/// How far a visit has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Arriving,
    Strolling,
    Interested,
    CartFilled,
    Bought,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Home,
    Article,
    Search,
    Product,
    PutIntoCart,
    EmptyCart,
    Buy,
    Login,
    Leave,
}

const CATEGORIES: [&str; 4] = ["tents", "boots", "stoves", "lamps"];
const TOPICS: [&str; 4] = [
    "winter camping",
    "light packs",
    "first hikes",
    "repairing gear",
];
const QUERIES: [&str; 5] = [
    "light tent",
    "tent for two",
    "rain jacket",
    "warm boots",
    "head lamp",
];
const REGIONS: [u32; 4] = [6, 7, 9, 11];

impl Visitors {
    /// Visitors who together make about `rate` events per second.
    pub(crate) fn new(seed: u64, rate: u32) -> Self {
        let at_once = u64::from(rate.min(RATE_MAX)) * PAUSE_MEAN / 1000;
        let mut visitors = Self {
            rng: StdRng::seed_from_u64(seed),
            visitors: Vec::new(),
            visitors_max: VISITORS_MAX,
            agenda: BinaryHeap::new(),
            planned: 0,
        };
        for _ in 0..at_once.max(1) {
            let at = visitors.rng.random_range(0..PAUSE_MEAN);
            visitors.plan(at, Next::Arrive);
        }
        visitors
    }

    fn plan(&mut self, at: u64, next: Next) {
        self.planned += 1;
        self.agenda.push(Reverse((at, self.planned, next)));
    }

    /// Whoever comes next: every third is somebody who was here before.
    fn arrive(&mut self) -> usize {
        let is_full = self.visitors.len() >= self.visitors_max;
        if !self.visitors.is_empty() && (is_full || self.rng.random_ratio(1, 3)) {
            let start = self.rng.random_range(0..self.visitors.len());
            let is_away = |visitor: &Visitor| visitor.visit.is_none();
            // Once nobody new can come, look for somebody until one is found; there is one.
            let tries = if is_full { self.visitors.len() } else { 1 };
            let mut from_start = self.visitors.iter().enumerate().cycle().skip(start);
            let found = from_start.by_ref().take(tries).find(|(_, v)| is_away(v));
            if let Some((index, _)) = found {
                return index;
            }
        }
        let visitor = Visitor::new(&mut self.rng, self.visitors.len());
        self.visitors.push(visitor);
        self.visitors.len() - 1
    }
}

impl Iterator for Visitors {
    type Item = Visit;

    fn next(&mut self) -> Option<Visit> {
        loop {
            let Reverse((now, _, next)) = self.agenda.pop()?;
            let index = match next {
                Next::Arrive => self.arrive(),
                Next::Act(index) => index,
            };
            let pause = self.rng.random_range(PAUSE);
            let Some(visitor) = self.visitors.get_mut(index) else {
                continue;
            };
            match visitor.act(&mut self.rng) {
                Some(event) => {
                    self.plan(now + pause, Next::Act(index));
                    let visitor = index;
                    return Some(Visit { visitor, event });
                }
                // Who leaves makes room for the next, at once, so that the rate is kept.
                None => self.plan(now, Next::Arrive),
            }
        }
    }
}

impl Visitor {
    fn new(rng: &mut StdRng, index: usize) -> Self {
        let is_android = rng.random_ratio(2, 5);
        // Not everybody is known to a partner: some browsers refuse cookies, some devices tracking.
        let is_known = rng.random_ratio(4, 5);
        let id = is_known.then(|| {
            if is_android {
                (ANDROID, advertising_id(rng.random()).into())
            } else {
                (COOKIES, cookie_id(index).into())
            }
        });
        Self {
            uuid: DeviceUuid::from_random(rng.random()),
            region: RegionId(one_of(rng, &REGIONS)),
            platform: if is_android { "android" } else { "web" },
            favourite: one_of(rng, &CATEGORIES),
            id,
            is_synced: false,
            is_regular: rng.random_ratio(1, 8),
            is_order_open: false,
            visit: None,
        }
    }

    /// The next event of the visit, of a new one if there is none; `None` when the visit ends.
    fn act(&mut self, rng: &mut StdRng) -> Option<Event> {
        let stage = self.visit.unwrap_or(Stage::Arriving);
        let step = stage.step(rng);
        let mut event = Event {
            uuid: Some(self.uuid.clone()),
            region: Some(self.region),
            ..Event::default()
        };
        if stage == Stage::Arriving && std::mem::take(&mut self.is_order_open) {
            // The order was delivered since: the next cart counts again.
            event.remove_traits = vec![IN_THE_CART, BOUGHT];
        }
        self.describe(step, rng, &mut event)?;
        self.sync(stage, rng, &mut event);
        self.visit = Some(stage.after(step));
        Some(event)
    }

    /// Fills in the signals; `None`, and the visit is over, for [`Step::Leave`].
    fn describe(&mut self, step: Step, rng: &mut StdRng, event: &mut Event) -> Option<()> {
        let signals = &mut event.signals;
        say(signals, "platform", self.platform);
        match step {
            Step::Home => say(signals, "page", "home"),
            Step::Article => {
                say(signals, "page", "article");
                say(signals, "topic", one_of(rng, &TOPICS));
            }
            Step::Search => {
                say(signals, "page", "search");
                say(signals, "query", one_of(rng, &QUERIES));
            }
            Step::Product => {
                let strays = rng.random_ratio(1, 4);
                let category = if strays {
                    one_of(rng, &CATEGORIES)
                } else {
                    self.favourite
                };
                say(signals, "page", "product");
                say(signals, "category", category);
                let price = rng.random_range(15..400).to_string();
                say(signals, "price", &price);
            }
            Step::PutIntoCart => say(signals, "action", "cart"),
            Step::EmptyCart => {
                say(signals, "action", "empty-cart");
                event.remove_traits.push(IN_THE_CART);
            }
            Step::Buy => {
                say(signals, "action", "buy");
                self.is_order_open = true;
            }
            Step::Login => {
                say(signals, "action", "login");
                if self.is_regular {
                    event.traits.push(REGULAR_CUSTOMER);
                }
            }
            Step::Leave => {
                self.visit = None;
                return None;
            }
        }
        Some(())
    }

    /// Declares the partner's id: an app knows its device's at once, a browser's is often learned
    /// only when the partner's pixel has loaded.
    fn sync(&mut self, stage: Stage, rng: &mut StdRng, event: &mut Event) {
        let Some((data_source, id)) = &self.id else {
            return;
        };
        if self.is_synced {
            return;
        }
        let is_first = stage == Stage::Arriving;
        let chance = match (*data_source == ANDROID, is_first) {
            (true, _) => 100,
            (false, true) => 60,
            (false, false) => 20,
        };
        if rng.random_ratio(chance, 100) {
            self.is_synced = true;
            event.ids.push(DeclaredId {
                data_source: *data_source,
                id: id.clone(),
                state: AuthState::Unknown,
            });
        }
    }
}

impl Stage {
    fn step(self, rng: &mut StdRng) -> Step {
        // Parts of a hundred each.
        let steps: &[(u32, Step)] = match self {
            Self::Arriving => &[(65, Step::Home), (20, Step::Article), (15, Step::Search)],
            Self::Strolling => &[
                (46, Step::Product),
                (20, Step::Article),
                (10, Step::Search),
                (4, Step::Login),
                (20, Step::Leave),
            ],
            Self::Interested => &[
                (42, Step::Product),
                (9, Step::Article),
                (7, Step::Search),
                (20, Step::PutIntoCart),
                (4, Step::Login),
                (18, Step::Leave),
            ],
            Self::CartFilled => &[
                (30, Step::Buy),
                (12, Step::EmptyCart),
                (26, Step::Product),
                (12, Step::Login),
                (20, Step::Leave),
            ],
            Self::Bought => &[(30, Step::Article), (10, Step::Home), (60, Step::Leave)],
        };
        let mut roll = rng.random_range(0..100);
        for &(part, step) in steps {
            if roll < part {
                return step;
            }
            roll -= part;
        }
        Step::Leave
    }

    const fn after(self, step: Step) -> Self {
        match (self, step) {
            (Self::CartFilled, Step::Buy) => Self::Bought,
            (Self::CartFilled, Step::EmptyCart) => Self::Interested,
            (_, Step::PutIntoCart) => Self::CartFilled,
            (Self::Arriving, _) => Self::Strolling,
            (Self::Strolling, Step::Product) => Self::Interested,
            (stage, _) => stage,
        }
    }
}

fn say(signals: &mut Signals, key: &str, value: &str) {
    // Refused only past 4 GiB of text.
    signals.push(key, value);
}

fn one_of<T: Copy>(rng: &mut StdRng, choices: &[T]) -> T {
    choices
        .get(rng.random_range(0..choices.len()))
        .copied()
        .expect("the range is that of the choices")
}

/// Ids that look drawn at random and never repeat: steps around a circle of prime length.
fn cookie_id(index: usize) -> String {
    const CIRCLE: usize = 1_000_003;
    const { assert!(VISITORS_MAX < CIRCLE, "ids would repeat") };
    format!("uid-{:06}", (index * 386_117 + 8_831) % CIRCLE)
}

/// The usual form of an advertising id: 8, 4, 4, 4 and 12 hexadecimal digits.
fn advertising_id(number: u128) -> String {
    let part = |shift: u32, bits: u32| (number >> shift) & ((1 << bits) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 32),
        part(80, 16),
        part(64, 16),
        part(48, 16),
        part(0, 48)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn events(seed: u64, rate: u32, count: usize) -> Vec<Visit> {
        Visitors::new(seed, rate).take(count).collect()
    }

    #[test]
    fn a_seed_decides_everything() {
        assert_eq!(events(7, 500, 5_000), events(7, 500, 5_000));
        assert_ne!(events(7, 500, 5_000), events(8, 500, 5_000));
    }

    #[test]
    fn ids_are_one_persons_for_good() {
        let mut uuids = HashMap::new();
        let mut owners = HashMap::new();
        for Visit { visitor, event } in events(1, 800, 30_000) {
            let uuid = event.uuid.unwrap();
            let known = uuids.entry(visitor).or_insert_with(|| uuid.clone());
            assert_eq!(*known, uuid);
            for id in event.ids {
                tidings_collect::declared::check(id.data_source, &id.id).unwrap();
                let told_twice = owners.insert(id.id, visitor);
                assert_eq!(told_twice, None);
            }
        }
        let distinct: HashSet<_> = uuids.values().collect();
        assert_eq!(distinct.len(), uuids.len());
    }

    #[test]
    fn everything_happens() {
        let mut seen = HashSet::new();
        let (mut synced, mut removed, mut named) = (0, 0, 0);
        let all = events(3, 800, 20_000);
        for visit in &all {
            for key in ["page", "action"] {
                seen.extend(visit.event.signals.values(key));
            }
            synced += visit.event.ids.len();
            removed += visit.event.remove_traits.len();
            named += visit.event.traits.len();
        }
        let mut seen: Vec<_> = seen.into_iter().collect();
        seen.sort_unstable();
        let expected = "article buy cart empty-cart home login product search";
        assert_eq!(seen.join(" "), expected);
        assert!(synced > 1_000 && removed > 100 && named > 20);
    }

    #[test]
    fn the_crowd_is_as_large_as_the_rate_asks_for() {
        // Time passes as fast for visitors as for their audience: about `rate` events a second.
        let mut visitors = Visitors::new(5, 1_000);
        let count = visitors.by_ref().take(20_000).count();
        let Reverse((now, ..)) = visitors.agenda.peek().unwrap();
        assert_eq!(count, 20_000);
        assert!(
            (18_000..22_000).contains(now),
            "{now} ms for 20 s of events"
        );
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut visitors = Visitors::new(9, 100);
        visitors.visitors_max = 300;
        assert_eq!(visitors.by_ref().take(20_000).count(), 20_000);
        assert_eq!(visitors.visitors.len(), 300);
    }

    #[test]
    fn cookie_ids_do_not_repeat() {
        let all: HashSet<_> = (0..VISITORS_MAX).map(cookie_id).collect();
        assert_eq!(all.len(), VISITORS_MAX);
        assert_eq!(cookie_id(0), "uid-008831");
        assert_eq!(
            advertising_id(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
            "01234567-89ab-cdef-0011-223344556677"
        );
    }
}
