//! The comparison finds deliberate faults of the engine: `cargo xtask planted`.

use crate::{
    compare::difference,
    histories::{case, first_of},
};
use std::panic::catch_unwind;
use tidings_model::planted::{Planted, select};

const FAULTS: &[Planted] = &[
    Planted::DayBoundary,
    Planted::RecentEdge,
    Planted::AgedEdge,
    Planted::TtlFromTheHour,
    Planted::ZerosLostOnEntering,
    Planted::ZeroKeptOnRequalifying,
    Planted::RefreshAt71Hours,
    Planted::RemappingForgotten,
    Planted::FirstLinkForgotten,
    Planted::OnesToTheOldest,
    Planted::LinksDeletedBeforeTheZero,
    Planted::MappingEndInclusive,
    Planted::PausedTakesMembers,
    Planted::ExportBlockIgnored,
    Planted::ExportBlockEndForgotten,
    Planted::IdleAfter121Days,
    Planted::BatchBaselineByMessage,
    Planted::RefusedZerosSent,
    Planted::BatchTakenAsTold,
    Planted::LongerLifeRevives,
    Planted::TimerNotSet,
    Planted::EarlierRunForgotten,
];
/// A fault must be found within so many histories.
const HISTORIES: u64 = 20_000;
/// Histories that must be told alike when none is at work.
const HISTORIES_WITHOUT: u64 = 500;

#[test]
fn planted_faults_are_found() {
    let mut missed = Vec::new();
    for &fault in FAULTS {
        match first_found(Some(fault), HISTORIES) {
            Some(seed) => println!("{fault:?}: seed {seed}"),
            None => missed.push(fault),
        }
    }
    assert!(missed.is_empty(), "not found in {HISTORIES}: {missed:?}");
}

#[test]
fn without_a_planted_fault_nothing_is_found() {
    assert_eq!(first_found(None, HISTORIES_WITHOUT), None);
}

/// The first history that is told differently. A message that no partner can read counts as well.
fn first_found(fault: Option<Planted>, histories: u64) -> Option<u64> {
    first_of(0, histories, &|seed| {
        select(fault);
        catch_unwind(|| difference(&case(seed)).is_some()).unwrap_or(true)
    })
}
