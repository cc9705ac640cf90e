//! The store as its users see it: what it answers, what survives, and what it refuses.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on fails"
)]

mod crash;
mod damage;
mod full_disk;
mod loss;
mod model;
mod open;
mod support;
