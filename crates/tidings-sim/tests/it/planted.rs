//! Deliberate faults: each is found, and without one nothing is.

use std::{sync::Mutex, thread};
use tidings_model::planted::{Planted, select};
use tidings_sim::{Plan, run};

const FAULTS: &[Planted] = &[
    Planted::AcknowledgedBeforeSync,
    Planted::TouchedInFlightLost,
    Planted::ZeroClearedOnFailure,
    Planted::RetryRebuilt,
    Planted::AddressJudgedOnce,
    Planted::NoContentIsSuccess,
    Planted::RetryTooMany,
    Planted::DuplicatesCount,
    Planted::PendingNotWritten,
    Planted::EarlierRunForgotten,
    Planted::TouchCleared,
    Planted::LostHintsIgnored,
    Planted::HeldNotReleased,
    Planted::DirtyEvicted,
    Planted::BatchOutcomeForgotten,
    Planted::RefusedTokenKept,
    Planted::SweepEndsEarly,
    Planted::RemovedKeepsRows,
];
/// A fault must be found within so many seeds.
const SEEDS: u64 = 1_000;

#[test]
fn planted_faults_are_found() {
    let missed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for half in 0..2 {
            let missed = &missed;
            scope.spawn(move || {
                for &fault in FAULTS.iter().skip(half).step_by(2) {
                    let Some((seed, violation)) = find(fault) else {
                        missed.lock().unwrap().push(fault);
                        continue;
                    };
                    println!("{fault:?}: seed {seed}: {violation}");
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not found in {SEEDS} seeds: {missed:?}");
}

#[test]
fn without_a_planted_fault_nothing_is_found() {
    select(None);
    for seed in 0..50 {
        assert_eq!(run(&Plan::new(seed)).violation, None, "seed {seed}");
    }
}

/// The first seed that finds the fault, and what it says.
fn find(fault: Planted) -> Option<(u64, &'static str)> {
    select(Some(fault));
    let mut seeds = 0..SEEDS;
    seeds.find_map(|seed| Some((seed, run(&Plan::new(seed)).violation?.promise)))
}
