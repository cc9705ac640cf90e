//! What the oracle and the real system say about one case, and where they differ.

use crate::real::Real;
use std::sync::Arc;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, SegmentId, Timestamp};
use tidings_oracle::{Case, Happening, Kind, Message, Oracle, Outcome, UserObject, What, text};

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// An event was taken differently: its place in the history, and both outcomes.
    Outcome(usize, Option<Outcome>, Option<Outcome>),
    /// A device is in other segments at this instant: those by the oracle, and those by the real
    /// system.
    Members(Timestamp, DeviceUuid, Vec<SegmentId>, Vec<SegmentId>),
    /// Devices are told something else, or at another time: what only the oracle says, and what only
    /// the real system says.
    Told(Vec<Told>, Vec<Told>),
    /// The same is told, packed into messages differently.
    Packed(Vec<Message>, Vec<Message>),
}

/// One thing that one partner is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    destination: DestinationId,
    time: Timestamp,
    namespace: DataSourceId,
    kind: Kind,
    user: UserObject,
}

/// The first kind of difference that there is between what the two say.
pub(crate) fn difference(case: &Case) -> Option<Difference> {
    let mut real = Real::new(&case.version.catalog, case.start);
    let mut oracle = Oracle::new(case.features, Arc::clone(&case.version), case.start);
    for (index, happening) in case.happenings.iter().enumerate() {
        if let Some(member) = pass_midnights(&mut oracle, &mut real, happening.at) {
            return Some(member);
        }
        // A message that waits would leave later: its turn is counted from the restart.
        let without_it;
        let mut happening = happening;
        if happening.what.is_restart() && oracle.has_to_send() {
            let Some(version) = happening.what.catalog() else {
                continue;
            };
            let (at, what) = (happening.at, What::Catalog(Arc::clone(version)));
            without_it = Happening { at, what };
            happening = &without_it;
        }
        let outcome = real.happen(happening);
        // New devices get their ids by chance, so the oracle takes those of the real system.
        let new_uuid = || match &outcome {
            Some(Outcome::Accepted(uuid) | Outcome::Duplicate(uuid)) => uuid.clone(),
            _ => DeviceUuid::from_number(0).unwrap(),
        };
        let expected = oracle.happen(happening, new_uuid);
        if expected != outcome {
            return Some(Difference::Outcome(index, expected, outcome));
        }
        if let Some(member) = members(&oracle, &mut real) {
            return Some(member);
        }
    }
    if let Some(member) = pass_midnights(&mut oracle, &mut real, case.end) {
        return Some(member);
    }
    compare(oracle.messages(), real.messages())
}

/// Lets time pass until an instant, and compares who is in which segment at every midnight and then.
fn pass_midnights(oracle: &mut Oracle, real: &mut Real, until: Timestamp) -> Option<Difference> {
    loop {
        let midnight = oracle.now().day().plus_days(1).start();
        let at = midnight.min(until);
        real.run_until(at);
        oracle.run_until(at);
        let found = members(oracle, real);
        if found.is_some() || at == until {
            return found;
        }
    }
}

/// The first device that is in other segments than the oracle says.
fn members(oracle: &Oracle, real: &mut Real) -> Option<Difference> {
    oracle.devices().find_map(|(uuid, device)| {
        let expected: Vec<_> = device.members.iter().copied().collect();
        let found = real.segments(uuid);
        (expected != found)
            .then(|| Difference::Members(oracle.now(), uuid.clone(), expected, found))
    })
}

fn compare(oracle: &[Message], real: &[Message]) -> Option<Difference> {
    let (expected, found) = (told(oracle), told(real));
    let only_expected = only_in(&expected, &found, &Told::is_met_by);
    let only_found = only_in(&found, &expected, &|one, other| other.is_met_by(one));
    if !only_expected.is_empty() || !only_found.is_empty() {
        return Some(Difference::Told(only_expected, only_found));
    }
    // Messages of different namespaces that leave at the same time have no order, and neither have
    // the user objects of one device. What they hold has been compared.
    let lanes = |messages: &[Message]| {
        let mut messages = messages.to_vec();
        messages.sort_by_key(|one| (one.destination, one.namespace, one.kind));
        for user in messages.iter_mut().flat_map(|message| &mut message.users) {
            user.id.clear();
            user.segments.clear();
        }
        messages
    };
    let (expected, found) = (lanes(oracle), lanes(real));
    (expected != found).then_some(Difference::Packed(expected, found))
}

fn told(messages: &[Message]) -> Vec<Told> {
    let mut told: Vec<Told> = messages
        .iter()
        .flat_map(|message| {
            message.users.iter().map(|user| Told {
                destination: message.destination,
                time: message.time,
                namespace: message.namespace,
                kind: message.kind,
                user: user.clone(),
            })
        })
        .collect();
    told.sort();
    told
}

/// What is in the first list more often than in the second.
fn only_in(left: &[Told], right: &[Told], same: &dyn Fn(&Told, &Told) -> bool) -> Vec<Told> {
    let mut rest = right.to_vec();
    let mut only = Vec::new();
    for one in left {
        match rest.iter().position(|other| same(one, other)) {
            Some(place) => drop(rest.remove(place)),
            None => only.push(one.clone()),
        }
    }
    only
}

impl Told {
    /// The real system says the same. It may have looked at the device again at a midnight since and
    /// found nothing new, which the protocol leaves open whether to call an evaluation.
    fn is_met_by(&self, real: &Self) -> bool {
        let mut expected = self.clone();
        for (expected, real) in expected.user.segments.iter_mut().zip(&real.user.segments) {
            let midnight = real.date_time.day().start();
            if real.date_time == midnight && expected.date_time < midnight && midnight <= self.time
            {
                expected.date_time = midnight;
            }
        }
        expected == *real
    }
}

/// The report of a failure: the files to run it with, and what differs.
pub(crate) fn report(seed: u64, case: &Case, difference: &Difference) -> String {
    let mut out = vec![
        format!("seed {seed}: the real system differs from the oracle\n"),
        format!(
            "again: TIDINGS_ORACLE_SEED={seed} TIDINGS_ORACLE_HISTORIES=1 \
             cargo test -p tidings-oracle histories\n"
        ),
        format!("--- catalog.yaml\n{}", text::yaml(&case.version.catalog)),
    ];
    for (index, happening) in case.happenings.iter().enumerate() {
        if let Some(version) = happening.what.catalog() {
            let number = index + 1;
            let yaml = text::yaml(&version.catalog);
            out.push(format!("--- catalog-{number}.yaml\n{yaml}"));
        }
    }
    let (start, end) = (case.start, case.end);
    out.push(format!(
        "--- events.ndjson\n{}",
        text::lines(&case.happenings)
    ));
    out.push(format!(
        "--- tidings simulate --until {end}   (the clock starts at {start})"
    ));
    if !text::is_exact(case) {
        out.push("    events tell of the past: a dry run of the file is another case".to_owned());
    }
    out.extend(difference.lines());
    out.join("\n")
}

impl Difference {
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Outcome(index, oracle, real) => {
                vec![format!(
                    "\nline {}: oracle {oracle:?}, real {real:?}",
                    index + 1
                )]
            }
            Self::Members(at, uuid, oracle, real) => {
                vec![format!(
                    "\n{at}: {uuid} is in: oracle {oracle:?}, real {real:?}"
                )]
            }
            Self::Told(oracle, real) => {
                let line =
                    |who: &'static str| move |one: &Told| format!("\nonly {who}: {}", one.line());
                let (oracle, real) = (
                    oracle.iter().map(line("oracle")),
                    real.iter().map(line("real  ")),
                );
                oracle.chain(real).collect()
            }
            Self::Packed(oracle, real) => {
                let line =
                    |who: &'static str| move |one: &Message| format!("\n{who}: {}", packed(one));
                let (oracle, real) = (
                    oracle.iter().map(line("oracle")),
                    real.iter().map(line("real  ")),
                );
                oracle.chain(real).collect()
            }
        }
    }
}

fn packed(message: &Message) -> String {
    let users = message.users.iter();
    let users: Vec<_> = users
        .map(|user| format!("{}/{:?}", user.uuid, user.id))
        .collect();
    let (time, to, namespace) = (message.time, message.destination, message.namespace);
    format!("{time} to {to} in {namespace}: {}", users.join(", "))
}

impl Told {
    fn line(&self) -> String {
        let Self {
            destination,
            time,
            namespace,
            kind,
            user,
        } = self;
        let segments = user.segments.iter();
        let segments =
            segments.map(|one| format!("{}={} at {}", one.id, one.status, one.date_time));
        let segments: Vec<_> = segments.collect();
        format!(
            "{time} {kind:?} to {destination} in {namespace}: {}/{:?} regions {:?} {}",
            user.uuid,
            user.id,
            user.regions,
            segments.join(", ")
        )
    }
}
