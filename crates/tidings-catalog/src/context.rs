//! What every reader needs: where to report, and what the surroundings of the file are.

use crate::fault::{Remark, Report};
use crate::value::Value;
use std::path::Path;

/// Passed down to all readers.
pub(crate) struct Context<'s> {
    pub(crate) report: Report<'s>,
    /// The catalog's directory, to which `file:` paths are relative.
    pub(crate) directory: &'s Path,
    /// Says what the running server would hold against a URL.
    pub(crate) judge_url: &'s dyn Fn(&str) -> Option<String>,
}

impl Context<'_> {
    /// Reports a fault at `value`.
    pub(crate) fn fault(&self, value: Value<'_, '_>, remark: impl Into<Remark>) {
        self.report
            .fault(value.node.place(), value.path, remark.into());
    }

    /// Reports a warning at `value`.
    pub(crate) fn warn(&self, value: Value<'_, '_>, remark: impl Into<Remark>) {
        self.report
            .warn(value.node.place(), value.path, remark.into());
    }
}
