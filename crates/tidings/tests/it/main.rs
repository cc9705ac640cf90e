//! The program as its users meet it: the real executable, real sockets, partners over TLS.
//!
//! Nothing here sleeps: whatever is waited for is watched for, up to a deadline.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails in a helper fails its test"
)]

mod command_line;
mod event_api;
mod failing_partners;
mod refused_addresses;
mod simulate;
mod support;
mod worked_example;
