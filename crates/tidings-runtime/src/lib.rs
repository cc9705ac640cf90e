//! The service: the one writer, the dispatchers' tasks, and the order in which they start and stop.
//!
//! - [`core`]: the state of the writer, without I/O;
//! - [`courier`]: what the task of a destination decides, without I/O; [`errand`]: what it asks of
//!   the writer;
//! - [`background`]: what the writer does by itself; [`memory`]: rows in memory, for simulations;
//!   [`pages`]: how much is read in one go;
//! - [`simulate`]: the same core and the same dispatchers under virtual time;
//! - [`access`]: what is stored about a device, for the person who asks;
//! - [`Server`]: the running service.

pub mod access;
mod admin;
mod attempts;
pub mod background;
mod cache;
mod clock;
pub mod core;
pub mod courier;
mod deliveries;
mod destination;
mod durable;
pub mod errand;
pub mod forget;
pub mod inbox;
pub mod memory;
pub mod message;
mod opt_out;
mod outlet;
pub mod pages;
mod pauses;
mod redact;
pub mod reload;
pub mod schedule;
pub mod secret;
mod server;
pub mod settings;
pub mod signing;
pub mod simulate;
mod sink;
pub mod stats;
pub mod why;
mod writer;

pub use reload::{CatalogFile, CatalogFileError};
pub use server::{Server, Shared};
pub use settings::{RecordSettings, ServerSettings};
