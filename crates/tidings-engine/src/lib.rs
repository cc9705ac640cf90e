//! The decisions of tidings: who is in which segment, and which partner must be told.
//!
//! Everything here is pure. A profile, an event, the compiled catalog and the time go in; the
//! changed profile and what to persist beside it come out. No clock, no I/O, no async.
#![forbid(unsafe_code)]

pub mod profile;

pub use profile::{
    DayCount, DestinationState, IdKey, OwedZero, Pending, Profile, ProfileId, SegmentState,
    TraitState,
};
