//! The service: the one writer, the dispatchers' tasks, and the order in which they start and stop.
//!
//! - [`core`]: the state of the writer, without I/O;
//! - [`simulate`]: the same core and the same dispatchers under virtual time;
//! - [`Server`]: the running service.

mod admin;
mod cache;
mod clock;
pub mod core;
mod deliveries;
mod destination;
mod inbox;
pub mod message;
pub mod reload;
mod schedule;
pub mod secret;
mod server;
pub mod settings;
mod signing;
pub mod simulate;
mod sink;
pub mod stats;
pub mod why;
mod writer;

pub use reload::{CatalogFile, CatalogFileError};
pub use server::{Server, Shared};
pub use settings::ServerSettings;
