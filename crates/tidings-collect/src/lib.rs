//! The public side of tidings: events over HTTP, and the HTTP server shell.
//!
//! - [`mod@parse`] turns the bytes of a request, or a line of a file, into events. It is pure: no clock,
//!   no I/O, nothing but its arguments.
//! - [`events`] is `POST /v1/events`; what happens to the events behind it is an [`EventSink`].
//! - [`server`] accepts connections and bounds them in number, size and time. It serves any
//!   [`tower::Service`], so the admin side runs on it too.
//!
//! Not here: what an event does to a profile, and where it is stored.
#![forbid(unsafe_code)]

pub mod code;
pub mod declared;
pub mod entry;
pub mod events;
pub mod line;
pub mod parse;
pub mod problem;
pub mod server;
pub mod sink;

pub use entry::{Entry, parse_entry};
pub use events::{Counters, Events};
pub use line::{Line, Subject, parse_line, parse_subject};
pub use parse::{BodyError, EventError, Format, parse, parse_event};
pub use problem::Problem;
pub use server::{Drained, Server, ServerLimits};
pub use sink::{EventSink, SubmitError, Submitted};
