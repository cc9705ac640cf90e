//! The dispatcher beside a naive twin, which keeps the pending set as a map and knows of every message
//! what it holds: random touches, answers, pages, outcomes and time, some of which nobody asked for.

use super::*;
use proptest::{
    collection::vec,
    prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest},
};
use smallvec::smallvec;
use std::collections::{BTreeMap, BTreeSet};

/// A device in a namespace.
type Pair = (u32, u32);

/// Rows in a page of the pending set.
const PAGE: usize = 3;

#[derive(Debug)]
struct Sent {
    attempts: u32,
    /// An attempt is under way, rather than the pause before a retry.
    attempted: bool,
}

#[derive(Debug)]
struct World {
    dispatcher: Dispatcher<Pair>,
    settings: Settings,
    now: Millis,
    seq: u64,
    /// The truth: what is to be told, by its newest touch.
    pending: BTreeMap<Pair, u64>,
    /// User objects that devices have.
    objects: usize,
    takes: VecDeque<(DataSourceId, Vec<DeviceUuid>)>,
    taking: BTreeSet<Pair>,
    messages: BTreeMap<MessageId, Sent>,
    in_flight: BTreeSet<Pair>,
    cursor: Option<Pair>,
    reading: bool,
    /// Instants of first attempts, and whom they were about.
    sent: Vec<(Millis, Vec<Pair>)>,
    dropped: BTreeSet<Pair>,
}

fn uuid(pair: Pair) -> DeviceUuid {
    DeviceUuid::from_number(pair.0.into()).unwrap()
}

fn settings() -> Settings {
    Settings {
        namespaces: vec![DataSourceId(0), DataSourceId(1)],
        users_max: 2,
        linger: Duration::from_secs(1),
        retries: 1,
        retry_delay: Duration::from_secs(1),
        after_failure: FailurePolicy::Hold,
        in_flight_max: 4,
        waiting_max: 20,
        paused: false,
    }
}

impl World {
    fn new(settings: Settings) -> Self {
        let mut world = Self {
            dispatcher: Dispatcher::new(settings.clone()),
            settings,
            now: Millis(1_000_000),
            seq: 0,
            pending: BTreeMap::new(),
            objects: 1,
            takes: VecDeque::new(),
            taking: BTreeSet::new(),
            messages: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            cursor: None,
            reading: false,
            sent: Vec::new(),
            dropped: BTreeSet::new(),
        };
        world.act();
        world
    }

    fn hint(&self, pair: Pair, seq: u64) -> Hint {
        Hint {
            uuid: uuid(pair),
            seq,
            namespace: DataSourceId(pair.1),
            objects: u16::try_from(self.objects).unwrap(),
            removal: (seq + u64::from(pair.0)).is_multiple_of(3),
        }
    }

    /// Something happens to a device. `lost`: the hint about it does not arrive.
    fn touch(&mut self, pair: Pair, lost: bool) {
        self.seq += 1;
        self.pending.insert(pair, self.seq);
        if lost {
            self.dispatcher.lost_hints();
        } else {
            let hint = self.hint(pair, self.seq);
            self.dispatcher.hint(self.now, &hint);
        }
        self.act();
    }

    /// Performs what there is to do now, and checks what must always hold.
    fn act(&mut self) {
        while let Some(action) = self.dispatcher.poll(self.now) {
            self.perform(action);
            let kept: usize = self.dispatcher.lanes.iter().map(Lane::len).sum();
            assert!(kept <= self.settings.waiting_max, "memory is bounded");
            assert!(self.dispatcher.in_flight() <= self.settings.in_flight_max);
            assert_eq!(self.dispatcher.in_flight(), self.messages.len());
        }
        self.check_wakeup();
    }

    /// Before the next wakeup there is nothing to do.
    fn check_wakeup(&self) {
        let day = self.now.plus(Duration::from_secs(86_400));
        let wakeup = self.dispatcher.next_wakeup(self.now).unwrap_or(day);
        assert!(wakeup > self.now, "an empty wakeup");
        for part in [2, 1] {
            let between = Millis(self.now.0 + (wakeup.0 - 1 - self.now.0) / part);
            let action = self.dispatcher.clone().poll(between);
            assert_eq!(action, None, "sleeps through work");
        }
    }

    fn perform(&mut self, action: Action<Pair>) {
        match action {
            Action::Take {
                namespace, users, ..
            } => {
                for user in &users {
                    let pair = self.pair(user, namespace);
                    assert!(self.taking.insert(pair), "{pair:?} is asked for twice");
                    assert!(!self.in_flight.contains(&pair), "{pair:?} is on its way");
                }
                self.takes.push_back((namespace, users));
            }
            Action::Send {
                message, objects, ..
            } => {
                assert!(objects.len() <= self.settings.users_max);
                self.sent.push((self.now, objects));
                let sent = Sent {
                    attempts: 1,
                    attempted: true,
                };
                assert!(self.messages.insert(message, sent).is_none());
            }
            Action::Retry { message } => {
                let sent = self.messages.get_mut(&message).expect("it was sent");
                assert!(!sent.attempted, "it is being attempted");
                sent.attempted = true;
                sent.attempts += 1;
                assert!(sent.attempts <= 1 + self.settings.retries);
            }
            Action::Settle {
                message,
                namespace,
                users,
                ..
            } => {
                let sent = self.messages.remove(&message).expect("it was sent");
                assert!(!sent.attempted, "its outcome is known");
                for user in users {
                    self.settle(namespace, &user);
                }
            }
            Action::Rescan => {
                assert!(!self.reading, "one page at a time");
                self.reading = true;
            }
            Action::BatchPage { .. } | Action::BatchDone => panic!("there is no batch"),
        }
    }

    fn pair(&self, uuid: &DeviceUuid, namespace: DataSourceId) -> Pair {
        (uuid.to_string().parse().unwrap(), namespace.0)
    }

    fn settle(&mut self, namespace: DataSourceId, user: &SettledUser) {
        let pair = self.pair(&user.uuid, namespace);
        assert!(self.in_flight.remove(&pair), "{pair:?} was on its way");
        let told = user.delivered() || user.after_failure == FailurePolicy::Drop;
        if told && self.pending.get(&pair) == Some(&user.seq) {
            self.pending.remove(&pair);
            if !user.delivered() {
                self.dropped.insert(pair);
            }
        }
    }

    /// The oldest take is answered; `nothing`: there is nothing to tell about its first device.
    fn answer_take(&mut self, nothing: bool) -> bool {
        let Some((namespace, users)) = self.takes.pop_front() else {
            return false;
        };
        let mut taken = Vec::new();
        for (index, user) in users.into_iter().enumerate() {
            let pair = self.pair(&user, namespace);
            self.taking.remove(&pair);
            let seq = self.pending.get(&pair).copied();
            let tells = seq.is_some() && !(nothing && index == 0);
            if tells {
                self.in_flight.insert(pair);
            } else {
                self.pending.remove(&pair);
            }
            taken.push(Taken {
                uuid: user,
                seq: seq.unwrap_or(0),
                objects: if tells {
                    smallvec![pair; self.objects]
                } else {
                    smallvec![]
                },
                removal: false,
            });
        }
        self.dispatcher.taken(Kind::Realtime, namespace, taken);
        self.act();
        true
    }

    /// A page of the pending set arrives.
    fn answer_scan(&mut self) -> bool {
        if !std::mem::take(&mut self.reading) {
            return false;
        }
        let after = self.cursor.take();
        let rows = self.pending.iter().filter(|(pair, _)| Some(**pair) > after);
        let page: Vec<_> = rows.take(PAGE).map(|(pair, seq)| (*pair, *seq)).collect();
        let complete = page.len() < PAGE;
        self.cursor = page.last().map(|(pair, _)| *pair).filter(|_| !complete);
        for (pair, seq) in page {
            let hint = self.hint(pair, seq);
            self.dispatcher.hint(self.now, &hint);
        }
        self.dispatcher.rescanned(complete);
        self.act();
        true
    }

    /// The `nth` message under way has this outcome.
    fn answer(&mut self, nth: usize, outcome: Outcome) -> bool {
        let attempted = self.messages.iter_mut().filter(|(_, sent)| sent.attempted);
        let ids: Vec<_> = attempted.map(|(id, _)| *id).collect();
        let Some(&id) = ids.get(nth % ids.len().max(1)) else {
            return false;
        };
        self.messages.get_mut(&id).expect("it is there").attempted = false;
        self.dispatcher.attempted(self.now, id, outcome);
        self.act();
        true
    }

    /// Outcomes, answers and pages that nobody asked for change nothing.
    fn stray(&mut self, number: u32) {
        let before = format!("{:?}", self.dispatcher);
        let busy = |sent: &Sent| sent.attempted;
        let unasked = (0..20).map(MessageId);
        for id in unasked.filter(|id| !self.messages.get(id).is_some_and(busy)) {
            self.dispatcher
                .attempted(self.now, id, Outcome::Acknowledged);
            self.dispatcher.attempted(self.now, id, Outcome::Refused);
        }
        let pair = (number % 12, number % 2);
        if !self.taking.contains(&pair) {
            let namespace = DataSourceId(pair.1);
            let taken = Taken {
                uuid: uuid(pair),
                seq: 1_000_000,
                objects: smallvec![pair],
                removal: false,
            };
            self.dispatcher
                .taken(Kind::Realtime, namespace, vec![taken]);
        }
        self.dispatcher.batch_page(Vec::new(), true);
        if !self.reading {
            self.dispatcher.rescanned(false);
        }
        assert_eq!(format!("{:?}", self.dispatcher), before);
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now.plus(duration);
        while let Some(at) = self
            .dispatcher
            .next_wakeup(self.now)
            .filter(|at| *at <= end)
        {
            self.now = at;
            self.act();
        }
        self.now = end;
        self.act();
    }

    /// Answers everything that is asked for, every attempt in the same way.
    fn answer_all(&mut self, outcome: Outcome) {
        while self.answer_scan() || self.answer_take(false) || self.answer(0, outcome) {}
    }

    /// The same for so long.
    fn run(&mut self, outcome: Outcome, duration: Duration) {
        let end = self.now.plus(duration);
        loop {
            self.answer_all(outcome);
            let wakeup = self.dispatcher.next_wakeup(self.now);
            let Some(at) = wakeup.filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = at;
            self.act();
        }
    }

    fn step(&mut self, (what, number, lost): (u8, u32, bool)) {
        let pair = (number % 12, number / 12 % 2);
        match what {
            0..3 => self.touch(pair, lost && number % 5 == 0),
            3 | 4 => drop(self.answer_take(number % 7 == 0)),
            5 => drop(self.answer_scan()),
            6 | 7 => drop(self.answer(number as usize, Outcome::Acknowledged)),
            8 => drop(self.answer(number as usize, Outcome::Failed)),
            9 => {
                let pause = Duration::from_secs(u64::from(number) * 3);
                let outcome = if lost {
                    Outcome::Busy { pause }
                } else {
                    Outcome::Refused
                };
                self.answer(number as usize, outcome);
            }
            10 => self.stray(number),
            11 => self.wait(Duration::from_millis(u64::from(number) * 150)),
            _ => {
                self.settings.paused = lost;
                let settings = self.settings.clone();
                self.dispatcher.reconfigure(self.now, settings);
                self.act();
            }
        }
    }

    fn unpause(&mut self) {
        self.settings.paused = false;
        self.dispatcher.reconfigure(self.now, self.settings.clone());
        self.act();
    }
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let numbers = (1..4usize, 1..5usize, 1..30usize, 0..3u32);
    (numbers, any::<bool>()).prop_map(|((users_max, in_flight_max, waiting_max, retries), hold)| {
        Settings {
            users_max,
            in_flight_max,
            waiting_max,
            retries,
            after_failure: if hold {
                FailurePolicy::Hold
            } else {
                FailurePolicy::Drop
            },
            ..settings()
        }
    })
}

/// Seconds between attempts of a destination that does not answer, from one message's end to the
/// next one's beginning.
fn longest_gap(sent: &[(Millis, Vec<Pair>)]) -> Duration {
    let gaps = sent.windows(2).map(|pair| pair[1].0.since(pair[0].0));
    gaps.max().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_forgotten(
        settings in any_settings(),
        objects in 1..3usize,
        steps in vec((0..13u8, 0..120u32, any::<bool>()), 0..250),
    ) {
        let mut world = World::new(settings);
        world.objects = objects;
        for step in steps {
            world.step(step);
        }
        world.unpause();
        // The destination answers from now on.
        world.run(Outcome::Acknowledged, Duration::from_secs(900));
        prop_assert_eq!(&world.pending, &BTreeMap::new());
        prop_assert!(world.dispatcher.is_idle(), "{:?}", world.dispatcher);
        prop_assert!(world.messages.is_empty() && world.in_flight.is_empty());
        let health = world.dispatcher.health();
        if world.settings.after_failure == FailurePolicy::Hold {
            prop_assert_eq!(health, Health::Healthy);
        }
        // Where the last message was dropped, nothing is left to see by that it answers.
        world.touch((0, 0), false);
        world.run(Outcome::Acknowledged, Duration::from_secs(60));
        prop_assert_eq!(&world.pending, &BTreeMap::new());
        prop_assert_eq!(world.dispatcher.health(), Health::Healthy, "it was {:?}", health);
    }

    #[test]
    fn what_is_held_is_probed_all_the_while(
        settings in any_settings(),
        refused in any::<bool>(),
        steps in vec((0..13u8, 0..120u32, any::<bool>()), 0..150),
    ) {
        let mut world = World::new(Settings { after_failure: FailurePolicy::Hold, ..settings });
        for step in steps {
            world.step(step);
        }
        world.unpause();
        let outcome = if refused { Outcome::Refused } else { Outcome::Failed };
        world.run(outcome, Duration::from_secs(300));
        if !world.pending.is_empty() {
            let pending: BTreeSet<_> = world.pending.keys().copied().collect();
            world.sent.clear();
            world.run(outcome, Duration::from_secs(3_600));
            prop_assert!(longest_gap(&world.sent) <= Duration::from_secs(60), "{:?}", world.sent);
            let probed: BTreeSet<_> = world.sent.iter().flat_map(|(_, pairs)| pairs).copied().collect();
            // What is not in memory is read when the destination answers again.
            let dispatcher = &world.dispatcher;
            let read = dispatcher.reading == Reading::Idle;
            if read && !dispatcher.overflowed && !dispatcher.forgotten {
                prop_assert_eq!(probed, pending);
            }
        }
        prop_assert!(world.dropped.is_empty());
    }
}

/// A world in which the destination has read the empty pending set.
fn ready(settings: Settings) -> World {
    let mut world = World::new(settings);
    world.answer_all(Outcome::Acknowledged);
    world
}

/// The destination fails until it is open, with devices 0 and 1 of both namespaces held.
fn open() -> World {
    let mut world = ready(Settings {
        users_max: 1,
        ..settings()
    });
    for pair in [(0, 0), (1, 0), (0, 1), (1, 1)] {
        world.touch(pair, false);
    }
    world.wait(Duration::from_secs(1));
    world.answer_all(Outcome::Failed);
    world.run(Outcome::Failed, Duration::from_secs(100));
    assert!(matches!(world.dispatcher.health(), Health::Open { .. }));
    world
}

#[test]
fn a_destination_fails_until_something_is_to_be_told() {
    let mut world = ready(Settings {
        users_max: 1,
        retries: 0,
        after_failure: FailurePolicy::Drop,
        ..settings()
    });
    world.touch((0, 0), false);
    world.answer_all(Outcome::Failed);
    assert!(world.pending.is_empty() && world.dropped.contains(&(0, 0)));
    world.run(Outcome::Acknowledged, Duration::from_secs(900));
    assert!(world.dispatcher.is_idle(), "{:?}", world.dispatcher);
    let failing = |health| matches!(health, Health::Failing { .. });
    assert!(failing(world.dispatcher.health()));
    world.touch((1, 0), false);
    world.answer_all(Outcome::Acknowledged);
    assert_eq!(world.dispatcher.health(), Health::Healthy);
}

#[test]
fn probes_go_round() {
    let mut world = open();
    world.sent.clear();
    world.run(Outcome::Failed, Duration::from_secs(31 * 4));
    let probed: BTreeSet<_> = world.sent.iter().flat_map(|(_, pairs)| pairs).collect();
    assert_eq!(probed.len(), 4, "{:?}", world.sent);
}

#[test]
fn probes_do_not_hang_on_devices_that_are_always_refused() {
    let mut world = open();
    world.touch((7, 0), false);
    world.run(Outcome::Failed, Duration::from_secs(70));
    let last = &world.sent[world.sent.len() - 3..];
    assert!(last.iter().any(|(_, pairs)| pairs == &[(7, 0)]), "{last:?}");
}

#[test]
fn a_success_of_one_message_releases_what_another_left_held() {
    // Two user objects, in a message each: the first is given up, the second is not.
    let mut world = ready(Settings {
        users_max: 1,
        retries: 0,
        ..settings()
    });
    world.objects = 2;
    world.touch((3, 0), false);
    world.wait(Duration::from_secs(1));
    world.answer_take(false);
    world.answer(0, Outcome::Failed);
    world.answer(0, Outcome::Acknowledged);
    world.run(Outcome::Acknowledged, Duration::from_secs(10));
    assert!(world.pending.is_empty(), "{:?}", world.dispatcher);
}

#[test]
fn held_devices_that_made_room_are_read_again() {
    let mut world = ready(Settings {
        waiting_max: 4,
        ..settings()
    });
    for number in 0..4 {
        world.touch((number, 0), false);
    }
    world.run(Outcome::Failed, Duration::from_secs(4));
    assert_eq!(world.dispatcher.held(), 4);
    // They give way to these, which are then told.
    for number in 4..8 {
        world.touch((number, 0), false);
    }
    assert_eq!(world.dispatcher.held(), 0);
    world.run(Outcome::Acknowledged, Duration::from_secs(10));
    assert!(world.pending.is_empty(), "{:?}", world.pending);
}

#[test]
fn reading_the_pending_set_does_not_release_what_is_held() {
    let mut world = ready(settings());
    world.touch((0, 0), false);
    world.run(Outcome::Failed, Duration::from_secs(4));
    assert_eq!(world.dispatcher.held(), 1);
    world.dispatcher.lost_hints();
    world.answer_all(Outcome::Failed);
    assert_eq!(world.dispatcher.held(), 1);
    assert_eq!(world.dispatcher.waiting(), 0);
}

#[test]
fn a_refusal_drops_nothing() {
    let mut world = ready(Settings {
        after_failure: FailurePolicy::Drop,
        ..settings()
    });
    world.touch((0, 0), false);
    world.run(Outcome::Refused, Duration::from_secs(4));
    assert_eq!(world.pending.len(), 1);
    assert_eq!(world.dispatcher.held(), 1);
    assert!(world.dispatcher.refused_since().is_some());
    // New changes wait.
    world.touch((1, 0), false);
    let sent = world.sent.len();
    world.wait(Duration::from_secs(2));
    assert_eq!((world.sent.len(), world.dispatcher.waiting()), (sent, 1));
    world.run(Outcome::Acknowledged, Duration::from_secs(20));
    assert!(world.pending.is_empty() && world.dropped.is_empty());
    assert_eq!(world.dispatcher.refused_since(), None);
    // What merely failed is dropped.
    world.touch((0, 0), false);
    world.run(Outcome::Failed, Duration::from_secs(4));
    assert_eq!(world.dropped.len(), 1);
}

/// A destination that asks for a pause, and when it is sent the next messages.
#[track_caller]
fn check_busy(pause: Duration, expected: Duration) {
    let mut world = ready(settings());
    world.touch((0, 0), false);
    world.wait(Duration::from_secs(1));
    world.answer_take(false);
    world.touch((1, 0), false);
    world.touch((2, 1), false);
    let asked = world.now;
    world.answer(0, Outcome::Busy { pause });
    world.wait(expected.saturating_sub(Duration::from_millis(1)));
    assert_eq!(world.sent.len(), 1);
    assert!(world.messages.values().all(|sent| !sent.attempted));
    world.wait(Duration::from_millis(1));
    assert_eq!(world.now.since(asked), expected);
    assert!(world.messages.values().all(|sent| sent.attempted));
    world.run(Outcome::Acknowledged, Duration::from_secs(10));
    assert!(world.pending.is_empty());
}

#[test]
fn a_destination_that_asks_for_time_gets_it() {
    check_busy(Duration::from_secs(7), Duration::from_secs(7));
    check_busy(Duration::from_secs(86_400), QUIET_MAX);
    check_busy(Duration::MAX, QUIET_MAX);
    check_busy(Duration::ZERO, Duration::from_secs(1));
}

#[test]
fn no_namespace_starves_another() {
    let mut world = ready(Settings {
        in_flight_max: 1,
        waiting_max: 1_000,
        ..settings()
    });
    for number in 0..20 {
        world.touch((number, 0), false);
    }
    // Of the other one, someone is always overdue.
    let mut number = 100;
    while world.pending.keys().any(|pair| pair.1 == 0) {
        world.touch((number, 1), false);
        world.wait(Duration::from_secs(2));
        world.answer_take(false);
        world.answer(0, Outcome::Acknowledged);
        number += 1;
        assert!(number < 150, "{:?}", world.pending);
    }
}

#[test]
fn what_waited_comes_back_slowly() {
    let mut world = ready(Settings {
        in_flight_max: 32,
        waiting_max: 5_000,
        ..settings()
    });
    // Ten messages a second for two minutes.
    for step in 0..1_200 {
        world.touch((step % 500, 0), false);
        world.touch((step % 500 + 1, 0), false);
        world.run(Outcome::Acknowledged, Duration::from_millis(100));
    }
    let began = world.now.0 - 60_000;
    let before = world.sent.iter().filter(|(at, _)| at.0 >= began).count() / 60;
    for number in 0..1_000 {
        world.touch((number, 0), false);
    }
    world.run(Outcome::Failed, Duration::from_secs(60));
    assert!(matches!(world.dispatcher.health(), Health::Open { .. }));
    world.sent.clear();
    world.run(Outcome::Acknowledged, Duration::from_secs(120));
    assert!(world.pending.is_empty(), "{}", world.pending.len());
    let in_second = |second: Millis| {
        let within = |at: Millis| at >= second && at < second.plus(Duration::from_secs(1));
        world.sent.iter().filter(|(at, _)| within(*at)).count()
    };
    let busiest = world
        .sent
        .iter()
        .map(|(at, _)| in_second(*at))
        .max()
        .unwrap();
    assert!(
        busiest * 10 <= before.max(10) * 11 + 10,
        "{busiest} after {before}"
    );
}
