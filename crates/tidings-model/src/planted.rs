//! Deliberate faults, to see whether the tests would find them. Compiled only with `--cfg planted`,
//! which no build for users has: `cargo xtask planted` runs the tests that look for them.
//!
//! One fault at a time is at work in a thread, by choice of the test. At its place in the code each
//! stands as `#[cfg(planted)]`, beside what is right.

use std::cell::Cell;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Planted {
    /// What depends on a commit is let out before it is durable.
    AcknowledgedBeforeSync,
    /// A device that is touched while its message is on the way is not told again.
    TouchedInFlightLost,
    /// A zero counts as told although its message failed.
    ZeroClearedOnFailure,
    /// A retry is built anew instead of sent again.
    RetryRebuilt,
    /// The address is judged for the first attempt only.
    AddressJudgedOnce,
    /// A 204 counts as success.
    NoContentIsSuccess,
    /// One retry too many.
    RetryTooMany,
    /// An event that is sent again counts again.
    DuplicatesCount,
    /// The pending set is not written.
    PendingNotWritten,
    /// What an earlier run may have told is not taken as told.
    EarlierRunForgotten,
    /// An outcome clears a pair that was touched since.
    TouchCleared,
    /// Hints that did not fit are not looked for in the pending set.
    LostHintsIgnored,
    /// What was held is not sent when the partner answers again.
    HeldNotReleased,
    /// A profile leaves memory before its write is durable.
    DirtyEvicted,
    /// A timer is not set.
    TimerNotSet,
    /// A day begins an hour early, as in another time zone.
    DayBoundary,
    /// The boundary day of a `<=` window does not count.
    RecentEdge,
    /// The boundary day of a `>=` window does not count.
    AgedEdge,
    /// A time-to-live runs from the hour of the realisation instead of the end of its day.
    TtlFromTheHour,
    /// Entering any segment cancels the zeros of all.
    ZerosLostOnEntering,
    /// Entering a segment again does not cancel its zero.
    ZeroKeptOnRequalifying,
    /// The three-day clock runs for 71 hours.
    RefreshAt71Hours,
    /// A changed mapping is not told again.
    RemappingForgotten,
    /// A first id in a namespace is not told.
    FirstLinkForgotten,
    /// Ones go to the oldest ids instead of the newest.
    OnesToTheOldest,
    /// A deleted device loses its links before it is worked out who is owed a zero.
    LinksDeletedBeforeTheZero,
    /// A mapping is at work on its end date.
    MappingEndInclusive,
    /// A paused segment takes new members.
    PausedTakesMembers,
    /// What an export control forbids is sent.
    ExportBlockIgnored,
    /// The end of an export block is no mapping update.
    ExportBlockEndForgotten,
    /// A device may be unseen for a day longer.
    IdleAfter121Days,
    /// A batch is compared with the last message instead of the last batch.
    BatchBaselineByMessage,
    /// A partner that takes no zeros is sent them.
    RefusedZerosSent,
    /// What the next batch is going to tell counts as told after any restart.
    BatchTakenAsTold,
    /// What a batch told is not on disk: after a restart it begins with everyone again.
    BatchOutcomeForgotten,
    /// A token that was refused is used on.
    RefusedTokenKept,
    /// A sweep ends with its first page.
    SweepEndsEarly,
    /// Rows of a destination that left the catalog are kept.
    RemovedKeepsRows,
    /// A longer time-to-live brings back what had run out.
    LongerLifeRevives,
}

thread_local! {
    static AT_WORK: Cell<Option<Planted>> = const { Cell::new(None) };
}

/// Puts a fault to work in this thread, instead of any other.
pub fn select(fault: Option<Planted>) {
    AT_WORK.set(fault);
}

/// Whether a fault is at work in this thread.
#[must_use]
pub fn is(fault: Planted) -> bool {
    AT_WORK.get() == Some(fault)
}
