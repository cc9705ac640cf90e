//! The trace of a run: a hash over every line, and the last lines for whoever looks for the reason.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Lines kept.
const LINES_MAX: usize = 400;

/// What happened, in order.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    // Its keys are fixed, so equal lines give equal hashes.
    hasher: DefaultHasher,
    lines: VecDeque<String>,
}

impl Trace {
    pub(crate) fn line(&mut self, millis: u64, what: &str) {
        millis.hash(&mut self.hasher);
        what.hash(&mut self.hasher);
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        let (seconds, rest) = (millis / 1000, millis % 1000);
        self.lines
            .push_back(format!("{seconds:>7}.{rest:03} {what}"));
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
