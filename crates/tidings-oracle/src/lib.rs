//! The oracle: a second implementation of what partners must be told, to judge the first one by.
//!
//! Slow and obvious on purpose. It keeps every realisation a device ever had and works out from all
//! of them, at each instant that matters, which segments the device is in. What it remembers besides
//! is what the protocol itself is made of: what each partner was told under which id, the zeros it
//! is owed, the three-day clock, who waits in which order.
//!
//! - [`Oracle`]: happenings in, messages out;
//! - [`Version`]: a catalog with its rules read by a reader of its own;
//! - [`generate`]: random catalogs and histories from a seed; [`shrink`]: the same, smaller;
//! - [`text`]: a case as the files that `tidings simulate` reads.
//!
//! Invariant: this library shares nothing with the engine, its rule languages, the dispatchers or
//! the runtime but the vocabulary of `tidings-model`, or a mistake could hide on both sides. Only the
//! tests know both.
#![forbid(unsafe_code)]

mod device;
mod export;
mod expr;
mod features;
pub mod generate;
mod happening;
mod history;
mod lane;
mod oracle;
mod segment_rule;
pub mod shrink;
mod tell;
pub mod text;
mod token;
mod trait_rule;
mod version;

pub use device::{Device, Partner, PartnerId};
pub use features::Features;
pub use happening::{Case, Happening, What};
pub use history::{History, Live, expires_at};
pub use oracle::{Oracle, Outcome};
pub use tell::{Kind, Message, ToldSegment, UserObject};
pub use version::Version;
