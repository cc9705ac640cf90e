//! The event API and the server shell over real sockets.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in the helpers that the lint does not know as tests"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests are the other end of connections"
)]

mod api;
mod server;
mod support;
