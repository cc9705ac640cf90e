//! Tests from outside the crate: evaluation allocates nothing.

mod allocations;
