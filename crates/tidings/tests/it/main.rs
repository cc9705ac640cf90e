//! The program as its users meet it: the real executable, real sockets, partners over TLS.
//!
//! Nothing here sleeps: whatever is waited for is watched for, up to a deadline.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "what fails in a helper fails its test"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests are the other end of connections"
)]

mod backlog;
mod batch_death;
mod command_line;
mod event_api;
mod exports;
mod failing_partners;
mod full_disk;
mod isolation;
mod load;
mod operator;
mod privacy;
mod privacy_report;
mod privacy_requests;
mod refused_addresses;
mod reload;
mod rotation;
mod secrets;
mod simulate;
mod start_and_stop;
mod sudden_death;
mod support;
mod tables;
mod why;
mod worked_example;
