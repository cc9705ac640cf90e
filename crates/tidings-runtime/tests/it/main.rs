//! The service as its users see it: dry runs, and servers that tell a partner over HTTPS.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test that meets what it does not expect should fail, also in helpers"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests are the other end of connections"
)]

mod attempts;
mod batches;
mod batches_simulated;
mod erasure;
mod get;
mod isolation;
mod masking;
mod removals;
mod support;
mod tokens;
mod undelivered;
