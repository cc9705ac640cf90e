//! The whole service on one thread, under virtual time, with a store that crashes and partners that
//! fail, all from one seed.
//!
//! What decides is the real thing: the engine, the writer's core with its background work, the
//! couriers with their dispatchers, the wire format, the judgement of addresses. What is simulated is
//! what those talk to: the disk ([`disk`]), partners and the network ([`network`]), clients, the
//! operator, the clock. Which tasks there are while the catalog changes is done here in the way of the
//! server's `deliveries.rs`, and what is remembered of a catalog in the way of its `reload.rs`.
//! Not here: sockets, TLS, threads and files, which the tests of the real program have.
//!
//! Of OAuth the real thing is what is decided about tokens: when one is used, renewed, fetched, given
//! up after a 401, and when none is to be had; and what an attempt without a token or with a 401 means
//! to the courier. Simulated are the token endpoint, the one fetch in flight and who waits for it, and
//! that every destination has a source of its own. Not here: requests for tokens and the reading of
//! their answers, tokens that destinations share, the lock around a fetch; `tidings-egress` tests them.
//!
//! Each seed draws the catalog and its later versions (segments and mappings that come, go, change,
//! are paused or have days; destinations that leave, come back, change), daily batches, pauses by the
//! operator, partners that want tokens and revoke them, token endpoints that fail, crashes, also while a
//! sweep or a batch is under way, and what goes wrong with disk, hints and network.
//!
//! A run checks, at every step and at its end, what tidings promises:
//! - an event that was acknowledged counts once, whatever crashed;
//! - nothing leaves before the state that caused it is durable;
//! - what a partner is told was true, and never older than what it was told before;
//! - a message is attempted at most `1 + retries` times, with the same bytes;
//! - no forbidden address is dialled;
//! - a destination that left the catalog is sent nothing new, and nothing is left of it;
//! - a sweep that has ended has brought every profile up to the catalog;
//! - a batch tells everyone, and nothing again that was acknowledged; its record has the counts of what
//!   was; it keeps nobody waiting who is to be told in real time;
//! - a token that was refused is not sent again: the retry has a fresh one or is not made without;
//! - once the faults end, every partner knows the newest state of every device under the last catalog
//!   or the pair is listed, no zero is owed, and no partner takes anyone for a member who is not.
//!
//! Whoever leaves a segment while it is paused, not mapped or outside its days leaves without a word:
//! of such a pair the partner may believe the old state.
//!
//! The same seed gives the same trace. A run in which nothing happened proves nothing: it fails as
//! vacuous.
#![forbid(unsafe_code)]

mod attempts;
mod batches;
mod checks;
mod configuration;
mod counts;
pub mod disk;
pub mod network;
mod partner;
mod plan;
mod queue;
mod service;
mod tokens;
mod trace;
mod truth;
mod waiting;
mod world;

pub use checks::Violation;
pub use counts::Counts;
pub use plan::Plan;
pub use world::{Run, run};
