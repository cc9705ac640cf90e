//! Tests of the public API against the published samples, against each other and against garbage.
#![expect(
    clippy::unwrap_used,
    reason = "helpers outside of test functions may unwrap as well"
)]

mod decoding;
mod published;
mod round_trip;
mod signatures;
mod vectors;
