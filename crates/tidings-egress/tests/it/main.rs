//! Attempts against partners on loopback that behave and misbehave on purpose.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test that meets what it does not expect should fail"
)]
#![allow(clippy::print_stdout, reason = "some tests print their table")]
#![expect(
    clippy::disallowed_methods,
    reason = "canaries are connected to by their own test"
)]

mod attempts;
mod broken_tls;
mod faults;
mod hostile;
mod isolation;
mod names;
mod oauth;
mod own;
mod own_tls;
mod partner;
mod partner_faults;
mod pooling;
mod tls;
mod token_life;
