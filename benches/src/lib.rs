//! Made-up devices and the catalog that all benchmarks share.
//!
//! Everything follows from numbers, so two runs measure the same work and nothing has to be kept.
#![forbid(unsafe_code)]

pub mod catalog;
pub mod device;
