//! What is wrong with a message, place by place, in bounded number and size.

use std::fmt;

/// Characters quoted from a message in one problem.
const QUOTED_CHARS_MAX: usize = 40;

/// One thing that is wrong, or odd, with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where, like `Users[1].Segments[0].Status`; `message` for the whole.
    pub path: String,
    /// What, like `must be "0" or "1", found "2"`. Quotes no ids of users.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// The problems of one message in the order they were found; past a limit they are only counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    listed: Vec<Problem>,
    omitted: usize,
    listed_max: usize,
}

impl Problems {
    pub(super) const fn new(listed_max: usize) -> Self {
        Self {
            listed: Vec::new(),
            omitted: 0,
            listed_max,
        }
    }

    /// Adds a problem; nothing is formatted once the list is full.
    pub(super) fn add(&mut self, path: impl fmt::Display, reason: impl fmt::Display) {
        if self.listed.len() < self.listed_max {
            self.listed.push(Problem {
                path: path.to_string(),
                reason: reason.to_string(),
            });
        } else {
            self.omitted += 1;
        }
    }

    /// The problems that are listed.
    #[must_use]
    pub fn listed(&self) -> &[Problem] {
        &self.listed
    }

    /// How many more there are.
    #[must_use]
    pub const fn omitted(&self) -> usize {
        self.omitted
    }

    /// Whether there is none at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.omitted == 0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.listed.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{problem}")?;
        }
        match (self.listed.len(), self.omitted) {
            (_, 0) => Ok(()),
            (0, omitted) => write!(f, "{omitted} problems"),
            (_, omitted) => write!(f, "; and {omitted} more"),
        }
    }
}

/// Text of the message in a problem: its beginning, with escapes instead of what would not print.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Shortened(self.0))
    }
}

/// [`Quoted`] without the quotes, for names in a path.
pub(super) struct Shortened<'a>(pub(super) &'a str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chars = self.0.chars();
        for char in chars.by_ref().take(QUOTED_CHARS_MAX) {
            write!(f, "{}", char.escape_debug())?;
        }
        if chars.next().is_some() {
            f.write_str("…")?;
        }
        Ok(())
    }
}
