//! Seeds under simulation.
//!
//! `TIDINGS_SIM_SEEDS` says how many, `TIDINGS_SIM_SEED` with which to begin. One seed again, with its
//! trace: `TIDINGS_SIM_SEED=7 TIDINGS_SIM_SEEDS=1 cargo test -p tidings-sim seeds`. A long run:
//! `TIDINGS_SIM_SEEDS=10000 cargo test --release -p tidings-sim seeds`.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests, which clippy takes for production code"
)]

#[cfg(planted)]
mod planted;

use std::{num::NonZeroUsize, thread};
use tidings_sim::{Counts, Plan, Run, network::Fate, run};

const SEEDS: u64 = 200;

#[test]
fn seeds_keep_what_is_promised() {
    let first = number("TIDINGS_SIM_SEED").unwrap_or(0);
    let seeds = number("TIDINGS_SIM_SEEDS").unwrap_or(SEEDS);
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let found = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|worker| {
                let seeds = (first..first + seeds).skip(worker).step_by(workers);
                scope.spawn(move || run_all(seeds))
            })
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join().unwrap());
        joined.collect::<Vec<_>>()
    });
    let failing = found.iter().filter_map(|(_, failing)| *failing).min();
    if let Some(seed) = failing {
        panic!("{}", report(seed));
    }
    let mut counts = Counts::default();
    for (of_worker, _) in &found {
        counts.merge(of_worker);
    }
    check_work(&counts, seeds);
}

fn run_all(seeds: impl Iterator<Item = u64>) -> (Counts, Option<u64>) {
    let mut counts = Counts::default();
    for seed in seeds {
        let run = run(&Plan::new(seed));
        counts.merge(&run.counts);
        if run.violation.is_some() {
            return (counts, Some(seed));
        }
        // A run in which nothing was told proves nothing.
        if run.counts.of("attempts") > 0 {
            counts.merge(&Counts::from_iter([("runs with work", 1)]));
        }
    }
    (counts, None)
}

/// Enough happened, and every fault did.
fn check_work(counts: &Counts, seeds: u64) {
    let lines: Vec<_> = counts
        .iter()
        .map(|(what, count)| format!("{count:>9} {what}"))
        .collect();
    println!("{}", lines.join("\n"));
    if seeds < SEEDS {
        return;
    }
    assert!(
        counts.of("runs with work") * 10 >= seeds * 9,
        "vacuous: {counts:?}"
    );
    let each_seed = [
        "events sent",
        "attempts",
        "messages processed",
        "users told",
    ];
    for what in each_seed {
        assert!(counts.of(what) >= seeds * 5, "vacuous: {what}: {counts:?}");
    }
    let some = [
        "crashes",
        "duplicates",
        "zeros told",
        "hints lost",
        "jumps of the clock",
        "commits made and not acknowledged",
        "changes of the catalog",
        "changes of the catalog while down",
        "destinations removed",
        "destinations added",
        "pauses and resumptions",
        "sweeps ended",
        "tokens fetched",
        "tokens refused",
        "tokens renewed",
        "tokens not to be had",
        "attempts without a token",
        "batches begun",
        "batches ended",
        "batches gone on with after a crash",
        "users told by batches",
        "sweeps gone on with after a crash",
    ];
    for what in some.into_iter().chain(Fate::FAULTS) {
        assert!(counts.of(what) >= seeds / 20, "vacuous: {what}: {counts:?}");
    }
}

/// Every seed that fails, one a line: for whoever wants to see whether failures have one reason.
#[test]
fn failing_seeds_are_listed() {
    if std::env::var_os("TIDINGS_SIM_LIST").is_none() {
        return;
    }
    let first = number("TIDINGS_SIM_SEED").unwrap_or(0);
    for seed in first..first + number("TIDINGS_SIM_SEEDS").unwrap_or(SEEDS) {
        if let Some(violation) = run(&Plan::new(seed)).violation {
            println!("seed {seed}: {violation}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..5 {
        let once = run(&Plan::new(seed));
        let again = run(&Plan::new(seed));
        assert_eq!(once.hash, again.hash, "seed {seed}");
        assert_eq!(once.counts, again.counts, "seed {seed}");
        assert_eq!(once.trace, again.trace, "seed {seed}");
    }
    let hashes: std::collections::BTreeSet<_> =
        (0..5).map(|seed| run(&Plan::new(seed)).hash).collect();
    assert_eq!(hashes.len(), 5, "different seeds differ");
}

fn report(seed: u64) -> String {
    let plan = Plan::new(seed);
    let Run {
        violation, trace, ..
    } = run(&plan);
    let violation = violation.map_or_else(String::new, |one| one.to_string());
    format!(
        "{}\n{}\nseed {seed}: {violation}\nagain: TIDINGS_SIM_SEED={seed} \
         TIDINGS_SIM_SEEDS=1 cargo test -p tidings-sim seeds",
        trace.join("\n"),
        plan.catalogs()
    )
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
    )
}
