//! The receiver as a sender meets it: over TLS, on a loopback port.
#![expect(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod client;
mod faults;
mod lifecycle;
mod messages;
mod oauth;
mod record;
mod tls;
