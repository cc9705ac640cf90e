//! The public side of tidings: events over HTTP, and the HTTP server shell.
//!
//! - [`parse`] turns the bytes of a request, or a line of a file, into events. It is pure: no clock,
//!   no I/O, nothing but its arguments.
//! - [`sink`] is what the event API needs of the system behind it.
//!
//! Not here: what an event does to a profile, and where it is stored.
#![forbid(unsafe_code)]

pub mod code;
pub mod declared;
pub mod line;
pub mod parse;
pub mod sink;

pub use line::{Line, parse_line};
pub use parse::{BodyError, EventError, Format, parse, parse_event};
pub use sink::{EventSink, SubmitError, Submitted};
