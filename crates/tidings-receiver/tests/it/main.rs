//! The receiver as a sender meets it: over TLS, on a loopback port.
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests are the other end of connections"
)]

mod client;
mod faults;
mod lifecycle;
mod messages;
mod oauth;
mod record;
mod tls;
