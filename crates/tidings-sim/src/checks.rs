//! A broken promise.

use std::fmt;

/// What was promised and does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise, in a few words.
    pub promise: &'static str,
    /// What happened instead.
    pub detail: String,
}

impl Violation {
    pub(crate) fn new(promise: &'static str, detail: impl fmt::Display) -> Self {
        let detail = detail.to_string();
        Self { promise, detail }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.detail)
    }
}
