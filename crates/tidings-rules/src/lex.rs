//! Splits the text of a rule into tokens. Both languages use the same tokens.
//!
//! A word is a run of letters, digits, `_`, `-` and `.`: keys, keywords, numbers, `1000T` and `2D`
//! are all words, and the parser tells them apart. Signs are taken as the longest run too, so that
//! a misspelt operator such as `<>` is seen whole. Text between quotes may hold `\"` and `\\`; a
//! backslash before anything else stands for itself, as regular expressions need it.

/// Where something stands in the source, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A piece of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Letters, digits, `_`, `-` and `.`.
    Word(&'a str),
    /// What stands between two quotes, escapes not yet resolved.
    Text(&'a str),
    /// A run of `=`, `<`, `>`, `!`, `&` and `|`.
    Sign(&'a str),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`
    ListOpen,
    /// `]`
    ListClose,
    /// `,`
    Comma,
    /// A quote without its partner.
    LoneQuote,
    /// A character that no rule has outside of text.
    Other(char),
    /// The end of the source.
    End,
}

impl Token<'_> {
    /// True for this keyword in any case.
    pub(crate) fn is_word(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) const fn new(source: &'a str) -> Self {
        Self { source, at: 0 }
    }

    /// The next token and its place; [`Token::End`] for ever once the source is used up.
    pub(crate) fn next(&mut self) -> (Token<'a>, Span) {
        let rest = self.source.get(self.at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        let start = self.source.len() - trimmed.len();
        let (token, length) = token(trimmed);
        self.at = start + length;
        (
            token,
            Span {
                start,
                end: self.at,
            },
        )
    }
}

/// The token that `rest` begins with, and its length in bytes.
fn token(rest: &str) -> (Token<'_>, usize) {
    let Some(first) = rest.chars().next() else {
        return (Token::End, 0);
    };
    match first {
        '(' => (Token::Open, 1),
        ')' => (Token::Close, 1),
        '[' => (Token::ListOpen, 1),
        ']' => (Token::ListClose, 1),
        ',' => (Token::Comma, 1),
        '"' => text(rest),
        _ if is_sign(first) => {
            let run = leading(rest, is_sign);
            (Token::Sign(run), run.len())
        }
        _ if is_word(first) => {
            let run = leading(rest, is_word);
            (Token::Word(run), run.len())
        }
        other => (Token::Other(other), other.len_utf8()),
    }
}

fn text(rest: &str) -> (Token<'_>, usize) {
    let mut escaped = false;
    for (position, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                let inner = rest.get(1..position).unwrap_or_default();
                return (Token::Text(inner), position + 1);
            }
            _ => {}
        }
    }
    (Token::LoneQuote, 1)
}

fn leading(rest: &str, belongs: fn(char) -> bool) -> &str {
    let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

const fn is_sign(c: char) -> bool {
    matches!(c, '=' | '<' | '>' | '!' | '&' | '|')
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// What the inside of a text stands for.
pub(crate) fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(&next @ ('"' | '\\'))) => {
                out.push(next);
                chars.next();
            }
            _ => out.push(c),
        }
    }
    out
}

/// Writes `text` so that the lexer reads it back, quotes included.
///
/// A backslash is doubled only where it would otherwise escape something, which leaves regular
/// expressions as legible as they were typed.
pub(crate) fn write_text(text: &str, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    use std::fmt::Write;
    f.write_char('"')?;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('"', _) => f.write_str("\\\"")?,
            ('\\', None | Some('"' | '\\')) => f.write_str("\\\\")?,
            _ => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// The position in `raw` of the character at `position` of the unescaped text.
pub(crate) fn raw_position(raw: &str, position: usize) -> usize {
    let mut unescaped = 0;
    let mut chars = raw.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if unescaped >= position {
            return at;
        }
        unescaped += match (c, chars.peek()) {
            ('\\', Some(&(_, '"' | '\\'))) => {
                chars.next();
                1
            }
            _ => c.len_utf8(),
        };
    }
    raw.len()
}
