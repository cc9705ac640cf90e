//! Places: where in a body something is wrong, and how deep its nesting goes.
//!
//! Only the path of errors runs through here.

use super::EventError;
use crate::code;
use std::str::Utf8Error;

/// Translates places within elements of an array into places within the whole text.
///
/// Elements come in order, so each byte of the text is looked at once however many of them are bad.
#[derive(Debug)]
pub(super) struct Cursor<'t> {
    text: &'t str,
    offset: usize,
    line: usize,
    line_start: usize,
}

impl<'t> Cursor<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self {
            text,
            offset: 0,
            line: 1,
            line_start: 0,
        }
    }

    /// `error` was found in `element`, a part of the text that lies after those asked for before.
    pub(super) fn locate(&mut self, element: &str, error: EventError) -> EventError {
        let start = element
            .as_ptr()
            .addr()
            .saturating_sub(self.text.as_ptr().addr());
        let passed = self.text.as_bytes().get(self.offset..start);
        for (position, &byte) in passed.unwrap_or_default().iter().enumerate() {
            if byte == b'\n' {
                self.line += 1;
                self.line_start = self.offset + position + 1;
            }
        }
        self.offset = self.offset.max(start);
        let column = if error.line == 1 {
            start - self.line_start + error.column
        } else {
            error.column
        };
        EventError {
            line: self.line + error.line - 1,
            column,
            ..error
        }
    }
}

/// A refusal for text that is not JSON.
pub(super) fn not_json(error: &serde_json::Error) -> EventError {
    let mut message = format!("not valid JSON: {}", detail(error));
    if message.ends_with("trailing characters") {
        message.push_str(" (for one object per line, send Content-Type: application/x-ndjson)");
    }
    EventError {
        code: code::INVALID_JSON,
        message,
        line: error.line().max(1),
        column: error.column(),
    }
}

/// A refusal for bytes that are not text; `line` is the number of the first line of `bytes`.
pub(super) fn not_utf8(bytes: &[u8], error: Utf8Error, line: usize) -> EventError {
    let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
    let lines = before.iter().filter(|&&byte| byte == b'\n').count();
    let in_line = before.iter().rev().take_while(|&&byte| byte != b'\n');
    EventError {
        code: code::INVALID_JSON,
        message: "not valid JSON: a byte that is not UTF-8".to_owned(),
        line: line + lines,
        column: in_line.count() + 1,
    }
}

/// The error's text without its place.
pub(super) fn detail(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    if text.ends_with(&place) {
        text.truncate(text.len() - place.len());
    }
    text
}

/// How deep objects and arrays are nested in a valid JSON text.
pub(super) fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings() {
        for (text, expected) in [
            ("1", 0),
            ("{}", 1),
            (r#"{"a":[{"b":1},[]],"c":"[[[["}"#, 3),
            (r#"["\"[[", "\\", []]"#, 2),
        ] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }
}
