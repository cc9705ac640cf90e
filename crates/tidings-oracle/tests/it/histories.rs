//! The real system against the oracle on random histories.
//!
//! `TIDINGS_ORACLE_HISTORIES` says how many, `TIDINGS_ORACLE_SEED` with which seed to begin. A long
//! run: `TIDINGS_ORACLE_HISTORIES=1000000 cargo test --release -p tidings-oracle histories`.

use crate::compare::{Difference, difference, report};
use std::{num::NonZeroUsize, thread};
use tidings_oracle::{Case, Features, Version, generate, shrink::shrink};

/// What the real system has.
pub(crate) const FEATURES: Features = Features::ALL;
const HISTORIES: u64 = 2_000;

#[test]
fn histories_are_told_as_the_oracle_says() {
    let first = number("TIDINGS_ORACLE_SEED").unwrap_or(0);
    let count = number("TIDINGS_ORACLE_HISTORIES").unwrap_or(HISTORIES);
    if let Some(seed) = first_of(first, count, &|seed| fails(&case(seed)).is_some()) {
        let case = case(seed);
        let found = fails(&case).unwrap();
        let same_kind = |candidate: &Case| {
            if !keeps_what_there_is(candidate) {
                return false;
            }
            let found_now = fails(candidate);
            found_now
                .is_some_and(|now| std::mem::discriminant(&now) == std::mem::discriminant(&found))
        };
        let smallest = shrink(case, same_kind);
        let difference = fails(&smallest).unwrap();
        panic!("{}", report(seed, &smallest, &difference));
    }
}

/// The first seed of so many for which this holds.
pub(crate) fn first_of(
    first: u64,
    count: u64,
    holds: &(impl Fn(u64) -> bool + Sync),
) -> Option<u64> {
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    // The lowest failing seed of each worker, so that a failure is the same whatever the machine.
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|worker| {
                let mut seeds = (first..first + count).skip(worker).step_by(workers);
                scope.spawn(move || seeds.find(|seed| holds(*seed)))
            })
            .collect();
        let found = workers.into_iter().map(|worker| worker.join().unwrap());
        found.flatten().min()
    })
}

/// Whether no change of the catalog adds or removes segments, destinations or namespaces: no generated one
/// does.
fn keeps_what_there_is(case: &Case) -> bool {
    let what = |version: &Version| {
        let segments = version.catalog.segments.iter().map(|one| one.id);
        let destinations = version.catalog.destinations.iter();
        let destinations = destinations.map(|one| (one.id, one.id_data_sources.clone()));
        (
            segments.collect::<Vec<_>>(),
            destinations.collect::<Vec<_>>(),
        )
    };
    let first = what(&case.version);
    let mut later = case.happenings.iter();
    later.all(|happening| {
        let version = happening.what.catalog();
        version.is_none_or(|version| what(version) == first)
    })
}

pub(crate) fn case(seed: u64) -> Case {
    generate::case(seed, FEATURES)
}

fn fails(case: &Case) -> Option<Difference> {
    difference(case)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}
