//! Tests of the oracle: its tables, and the comparison of the real system with it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, which clippy takes for production code"
)]

mod compare;
mod coverage;
mod exports;
mod found;
mod given;
mod histories;
#[cfg(planted)]
mod planted;
mod real;
mod tables;
