//! The decisions of tidings: who is in which segment, and which partner must be told.
//!
//! Everything here is pure. A profile, an event, the compiled catalog and the time go in; the
//! changed profile and what to persist beside it come out. No clock, no I/O, no async.
//!
//! - [`CompiledCatalog`]: rules as programs, and the indexes that keep an event from looking at what
//!   it cannot change;
//! - [`Engine::apply`]: one event of one device;
//! - [`Engine::wake`]: what time alone changes; [`Engine::opt_out`] and [`Engine::delete`]: what
//!   people ask for;
//! - [`Engine::resend`]: one destination is to be told everything again;
//! - [`Engine::take`]: what one destination is told about one device in one namespace, now;
//! - [`Engine::settle`]: what the outcome of that message means for the profile;
//! - [`Engine::take_batch`] and [`Engine::settle_batch`]: the same for the daily batch;
//! - [`diff::CatalogDiff`]: what another catalog would change;
//! - [`why::explain`]: what is behind one membership, and behind what a partner knows of it.
#![forbid(unsafe_code)]

mod apply;
mod batch;
mod compiled;
pub mod diff;
mod evaluate;
pub mod profile;
mod realise;
mod send;
mod tell;
mod time;
pub mod why;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod testing;

pub use apply::{Applied, Effects, Engine, Moment, Part, Touched, check_references};
pub use batch::BatchMark;
pub use compiled::{
    CompileError, CompiledCatalog, CompiledDestination, GLOBAL_DATA_SOURCES, Lapse, Lapses,
    LastUse, MappingChanges, PastMapping, PastMappings,
};
pub use profile::{
    Baseline, BatchState, DayCount, Days, DestinationState, IdKey, OwedZero, Pending, Profile,
    ProfileId, SegmentIds, SegmentState, TraitState,
};
pub use tell::{Flight, FlightObject, SegmentEntry, Settled, UserObject};
