//! The part of a rule's source that an error shows, with the place marked.
//!
//! One line of the source, cut to a width that fits a terminal: rules come from other programs too,
//! and may be a megabyte on one line.

use crate::lex::Span;
use std::{fmt, iter};

/// Characters shown before the place, and from the place on.
const BEFORE: usize = 40;
const AFTER: usize = 60;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The line, cut, without control characters.
    line: String,
    /// Characters of `line` before the mark.
    indent: usize,
    /// Characters marked, at least one.
    width: usize,
}

impl Excerpt {
    pub(super) fn new(source: &str, span: Span) -> Self {
        let before = source.get(..span.start).unwrap_or(source);
        let after = source.get(span.start..).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let before = before.get(line_start..).unwrap_or_default();
        let after = after.split('\n').next().unwrap_or_default();

        let cut_before = before.chars().count().saturating_sub(BEFORE);
        let marked_bytes = span.end.saturating_sub(span.start).min(after.len());
        let marked = after.get(..marked_bytes).unwrap_or_default();
        let mut line = String::new();
        if cut_before > 0 {
            line.push_str("...");
        }
        line.extend(before.chars().skip(cut_before).map(printable));
        let indent = line.chars().count();
        line.extend(after.chars().take(AFTER).map(printable));
        if after.chars().nth(AFTER).is_some() {
            line.push_str("...");
        }
        Self {
            line: line.trim_end().to_owned(),
            indent,
            width: marked.chars().count().clamp(1, AFTER),
        }
    }
}

/// One column for one character, so that the mark stays below its place.
fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let marks: String = iter::repeat_n('^', self.width).collect();
        writeln!(
            f,
            "{}\n{:indent$}{marks}",
            self.line,
            "",
            indent = self.indent
        )
    }
}
