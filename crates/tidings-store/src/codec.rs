//! Rows as bytes: profiles, links, pending and undelivered pairs, and what happened.
//!
//! Every row starts with its format version. Numbers are varints (`codec/bytes.rs`); the layout of each row
//! stands at the top of its module. A writer appends to a buffer that is used again; a reader allocates
//! nothing but the lists that it returns.
//!
//! Invariants:
//! - any profile comes back equal, even one whose lists are not in the order they should be in;
//! - no bytes whatever make a reader panic, or allocate more than in proportion to their length.

mod attempts;
pub(crate) mod bytes;
mod profile;
mod removals;
mod resend;
mod rows;
mod text;

pub use attempts::{ATTEMPT_PAGE_BYTES, AttemptPage, AttemptRecord, PhaseMicros};
pub use bytes::{DecodeError, Problem};
pub use profile::{decode_profile, encode_profile};
pub use removals::{REMOVALS_KEPT_MAX, Removal, RemovalCause, RemovalEnd, RemovalKey, Removals};
pub(crate) use removals::{decode_removals, encode_removals};
pub use resend::Resend;
pub use rows::{BatchRecord, Link, PendingRow, REASON_BYTES_MAX, Undelivered};
pub(crate) use rows::{decode_links, encode_links};
