//! Regular expressions of trait rules: Java's notation, run by an engine of linear time.
//!
//! An event must never be able to make a rule slow, so constructs that need backtracking are
//! refused: look-around, back-references, possessive quantifiers and atomic groups. What differs
//! only in notation is rewritten, so that a pattern means what it means in Java 7: `\d`, `\w` and
//! `\s` are ASCII, `\p{Alpha}` and its kin are POSIX classes, `\Q...\E` quotes.
//! Known differences: `$` holds at the very end only, not before a final line break as well; `(?i)`
//! folds case beyond ASCII.

use crate::error::RuleErrorKind;
use regex::{Regex, RegexBuilder};
use std::{iter::Peekable, str::CharIndices};
use tidings_model::limits;

/// Memory of one compiled pattern; its cache is limited to the same again.
pub(crate) const PATTERN_BYTES_MAX: usize = 1024 * 1024;

/// Why a pattern is refused.
#[derive(Debug)]
pub(crate) struct PatternError {
    /// The byte of the pattern at fault; `None` when it is the pattern as a whole.
    pub(crate) at: Option<usize>,
    pub(crate) kind: RuleErrorKind,
}

/// Compiles a pattern that is searched for anywhere in a value.
pub(crate) fn compile(pattern: &str) -> Result<Regex, PatternError> {
    let translated = Translator::new(pattern).run()?;
    RegexBuilder::new(&translated)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .nest_limit(u32::try_from(limits::RULE_DEPTH_MAX).unwrap_or(u32::MAX))
        .build()
        .map_err(|error| PatternError {
            at: None,
            kind: refusal(&error),
        })
}

fn refusal(error: &regex::Error) -> RuleErrorKind {
    match error {
        regex::Error::CompiledTooBig(max) => RuleErrorKind::PatternTooBig { max: *max },
        other => {
            // The engine's message repeats the pattern over several lines; the last is the point.
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            let point = last.trim_start_matches("error: ");
            RuleErrorKind::PatternInvalid(point.chars().filter(|c| !c.is_control()).collect())
        }
    }
}

struct Translator<'a> {
    pattern: &'a str,
    chars: Peekable<CharIndices<'a>>,
    out: String,
    /// Open `[`.
    class_depth: usize,
    /// The last thing read was a quantifier.
    quantified: bool,
}

impl<'a> Translator<'a> {
    fn new(pattern: &'a str) -> Self {
        Self {
            pattern,
            chars: pattern.char_indices().peekable(),
            out: String::with_capacity(pattern.len()),
            class_depth: 0,
            quantified: false,
        }
    }

    fn run(mut self) -> Result<String, PatternError> {
        while let Some((at, c)) = self.chars.next() {
            let after_quantifier = std::mem::take(&mut self.quantified);
            match c {
                '\\' => self.escape(at)?,
                '[' => self.open_class(),
                _ if self.class_depth > 0 => self.in_class(at, c)?,
                '(' => self.open_group(at)?,
                '+' if after_quantifier => return Err(unsupported(at, "a possessive quantifier")),
                '*' | '+' | '?' | '}' => {
                    self.quantified = true;
                    self.out.push(c);
                }
                _ => self.out.push(c),
            }
        }
        Ok(self.out)
    }

    fn rest(&mut self) -> &'a str {
        let at = self.chars.peek().map_or(self.pattern.len(), |(at, _)| *at);
        self.pattern.get(at..).unwrap_or_default()
    }

    fn skip(&mut self, bytes: usize) {
        let to = self.pattern.len() - self.rest().len() + bytes;
        while self.chars.next_if(|(at, _)| *at < to).is_some() {}
    }

    fn open_class(&mut self) {
        self.class_depth += 1;
        self.out.push('[');
        if self.chars.next_if(|(_, c)| *c == '^').is_some() {
            self.out.push('^');
        }
        // A bracket that comes first is an ordinary character.
        if self.chars.next_if(|(_, c)| *c == ']').is_some() {
            self.out.push_str("\\]");
        }
    }

    fn in_class(&mut self, at: usize, c: char) -> Result<(), PatternError> {
        match c {
            ']' => {
                self.class_depth -= 1;
                self.out.push(c);
            }
            // Doubled, these subtract sets here and are ordinary characters in Java.
            '-' if self.rest().starts_with('-') => {
                return Err(unsupported(at, "`--` in a character class"));
            }
            '~' => self.out.push_str("\\~"),
            _ => self.out.push(c),
        }
        Ok(())
    }

    fn open_group(&mut self, at: usize) -> Result<(), PatternError> {
        let rest = self.rest();
        let construct = if rest.starts_with("?=") || rest.starts_with("?!") {
            "look-ahead"
        } else if rest.starts_with("?<=") || rest.starts_with("?<!") {
            "look-behind"
        } else if rest.starts_with("?>") {
            "an atomic group"
        } else {
            self.out.push('(');
            // This `?` is no quantifier.
            if self.chars.next_if(|(_, c)| *c == '?').is_some() {
                self.out.push('?');
            }
            return Ok(());
        };
        Err(unsupported(at, construct))
    }

    fn escape(&mut self, at: usize) -> Result<(), PatternError> {
        let Some((_, c)) = self.chars.next() else {
            self.out.push('\\');
            return Ok(());
        };
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str(r"[ \t\n\x0B\f\r]"),
            'S' => self.out.push_str(r"[^ \t\n\x0B\f\r]"),
            'e' => self.out.push_str(r"\x1B"),
            'Q' => self.quotation(),
            'p' | 'P' => self.property(c),
            '1'..='9' | 'k' => return Err(unsupported(at, "a back-reference")),
            '0' => return Err(unsupported(at, "an octal escape")),
            'G' => return Err(unsupported(at, r"the anchor `\G`")),
            'Z' => return Err(unsupported(at, r"the anchor `\Z`")),
            _ if c.is_ascii_alphabetic() => self.out.extend(['\\', c]),
            // Any other character stands for itself; escaping it anew gives `\<` no new meaning.
            _ => self
                .out
                .push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
        Ok(())
    }

    fn quotation(&mut self) {
        let rest = self.rest();
        let (text, length) = match rest.split_once("\\E") {
            Some((text, _)) => (text, text.len() + 2),
            None => (rest, rest.len()),
        };
        self.out.push_str(&regex::escape(text));
        self.skip(length);
    }

    fn property(&mut self, p: char) {
        let posix = self
            .rest()
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
            .and_then(|(name, _)| Some((posix_class(name)?, name.len() + 2)));
        match posix {
            Some((class, length)) => {
                let not = if p == 'P' { "^" } else { "" };
                self.out.push_str(&format!("[[:{not}{class}:]]"));
                self.skip(length);
            }
            None => self.out.extend(['\\', p]),
        }
    }
}

fn posix_class(java: &str) -> Option<&'static str> {
    Some(match java {
        "Lower" => "lower",
        "Upper" => "upper",
        "ASCII" => "ascii",
        "Alpha" => "alpha",
        "Digit" => "digit",
        "Alnum" => "alnum",
        "Punct" => "punct",
        "Graph" => "graph",
        "Print" => "print",
        "Blank" => "blank",
        "Cntrl" => "cntrl",
        "XDigit" => "xdigit",
        "Space" => "space",
        _ => return None,
    })
}

fn unsupported(at: usize, construct: &'static str) -> PatternError {
    PatternError {
        at: Some(at),
        kind: RuleErrorKind::PatternUnsupported(construct),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let regex = compile(pattern).unwrap();
        for value in matching {
            assert!(regex.is_match(value), "{pattern} on {value}");
        }
        for value in other {
            assert!(!regex.is_match(value), "{pattern} on {value}");
        }
    }

    #[track_caller]
    fn check_refused(pattern: &str, at: usize, construct: &'static str) {
        let error = compile(pattern).unwrap_err();
        assert_eq!(
            error.kind,
            RuleErrorKind::PatternUnsupported(construct),
            "{pattern}"
        );
        assert_eq!(error.at, Some(at), "{pattern}");
    }

    #[test]
    fn patterns_mean_what_they_mean_in_java() {
        check("b+", &["abc", "b"], &["ac"]);
        check("^b+$", &["bb"], &["abb", "bba"]);
        check(r"^\d{3}$", &["123"], &["١٢٣", "12"]);
        check(r"^\w+$", &["a_1"], &["é", "a b"]);
        check(r"^[\w.-]+@[^\s@]+$", &["a.b-c@d"], &["a b@c", "a@"]);
        check(r"^[\D]$", &["a"], &["1"]);
        check(r"^\Qa.b[\E\.$", &["a.b[."], &["aXb[."]);
        check(r"^\Qa+", &["a+"], &["aa"]);
        check(r"^\p{Alpha}\P{Digit}$", &["aé"], &["a1", "éa"]);
        check(r"^\p{L}$", &["é"], &["1"]);
        check(r"^\<a\>$", &["<a>"], &["a"]);
        check(r"^[]a]+$", &["]a"], &["b"]);
        check(r"^[a-z&&[^aeiou]]$", &["b"], &["a"]);
        check(r"^[~~a]$", &["~", "a"], &["b"]);
        check(r"^(?<year>[0-9]+)(?:x|y)(?i)z$", &["16xZ"], &["16Z"]);
        check(r"^a+?b{1,2}?$", &["aab"], &["a"]);
        check(r"^[+*]+$", &["+*+"], &["a"]);
        check(r"\u0041\x42\e", &["AB\u{1b}"], &["AB"]);
    }

    #[test]
    fn backtracking_is_refused() {
        check_refused("a(?=b)", 1, "look-ahead");
        check_refused("(?!b)a", 0, "look-ahead");
        check_refused("x(y(?<=b))", 3, "look-behind");
        check_refused("(?<!b)a", 0, "look-behind");
        check_refused("(?>a)", 0, "an atomic group");
        check_refused(r"(a)\1", 3, "a back-reference");
        check_refused(r"(?<n>a)\k<n>", 7, "a back-reference");
        check_refused("a*+", 2, "a possessive quantifier");
        check_refused("a++", 2, "a possessive quantifier");
        check_refused("a{2}+", 4, "a possessive quantifier");
        check_refused("a?+", 2, "a possessive quantifier");
        check_refused("[a--z]", 2, "`--` in a character class");
        check_refused(r"a\Z", 1, r"the anchor `\Z`");
    }

    #[test]
    fn size_and_syntax_are_checked() {
        for pattern in [
            "(",
            "[a",
            "*",
            "a{2,1}",
            r"\y",
            "\\",
            r"\p{javaLowerCase}",
            r"\08",
        ] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
        let error = compile("(?:[a-z]{1000}){1000}").unwrap_err();
        assert_eq!(
            error.kind,
            RuleErrorKind::PatternTooBig {
                max: PATTERN_BYTES_MAX
            }
        );
    }
}
