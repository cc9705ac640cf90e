//! The outbound message: the JSON that tells a partner which users entered and left which segments.
//!
//! Stands alone: a sender encodes and signs with it, a partner verifies and decodes.
//!
//! - [`encode`]: compact bytes in wire order, for a sender
//! - [`sign`]: HMAC signatures of the exact bytes, for both sides
//! - [`date`]: the format of dates
//! - [`options`]: what differs between destinations
#![forbid(unsafe_code)]

pub mod date;
pub mod encode;
mod number;
pub mod options;
pub mod sign;

pub use encode::{Head, Segment, SegmentRef, Status, User};
pub use options::{Numbers, Options};
pub use sign::{Hash, Key, Signature, Signer};
