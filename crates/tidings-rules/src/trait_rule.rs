//! Trait rules: comparisons of signals joined by AND, OR and NOT.
//!
//! Semantics: a key that is absent makes every comparison on it false, `!=` included; of several
//! values any one suffices. `==` and `!=` compare as text, exactly and with case, except that two
//! numbers are compared by value, quoted or not: `"1.0"` equals 1, and `zip == "01234"` holds for
//! 1234. `<`, `<=`, `>` and `>=` are false unless both sides are numbers. See `value` for numbers.
//!
//! AND, OR and NOT are keywords in any case and cannot be keys. Evaluation walks the tree and
//! allocates nothing; a regular expression keeps a cache of bounded size that grows at first use.

mod parse;

use crate::error::RuleError;
use crate::expr::Expr;
use crate::lex::write_text;
use crate::value::{Canonical, Decimal};
use std::{cmp::Ordering, fmt};
use tidings_model::Signals;

/// A parsed trait rule, ready to be evaluated.
///
/// `Display` prints it with the fewest parentheses; what is printed parses to an equal rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraitRule {
    expr: Expr<Comparison>,
}

/// A comparison of the values of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The signal's key, prefix included.
    pub key: Box<str>,
    /// What a value must fulfil.
    pub test: Test,
}

/// What a value must fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// One of the comparison signs.
    Compare(CompareOp, Literal),
    /// One of the named operators.
    Text(TextOp, Box<str>),
    /// `matchesregex`
    Pattern(Pattern),
}

/// A comparison sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// A value as the rule writes it. Both forms compare alike; the form is kept for printing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// In quotes.
    Text(Box<str>),
    /// A number without quotes.
    Number(Box<str>),
}

/// A named operator that takes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextOp {
    /// The value contains the text.
    Contains,
    /// The value begins with the text.
    StartsWith,
    /// The value ends with the text.
    EndsWith,
    /// The words of the text all occur in the value as whole words, in any order. A word is a run
    /// of letters, digits and `_`.
    MatchesWords,
}

/// A regular expression, searched for anywhere in a value.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    regex: regex::Regex,
}

impl TraitRule {
    /// Parses a rule such as `(price >= 1.00 AND price <= 100.00) OR page contains "sale"`.
    ///
    /// # Errors
    /// Every fault found, at least one and at most 20, in the order they were met.
    pub fn parse(source: &str) -> Result<Self, Vec<RuleError>> {
        parse::parse(source).map(|expr| Self { expr })
    }

    /// True when the signals fulfil the rule. Allocates nothing.
    #[must_use]
    pub fn matches(&self, signals: &Signals) -> bool {
        self.expr
            .holds(&mut |comparison| comparison.matches(signals))
    }

    #[cfg(test)]
    pub(crate) const fn from_expr(expr: Expr<Comparison>) -> Self {
        Self { expr }
    }

    /// The rule as a tree.
    #[must_use]
    pub const fn expr(&self) -> &Expr<Comparison> {
        &self.expr
    }
}

impl Comparison {
    /// True when any value of the key fulfils the test.
    #[must_use]
    pub fn matches(&self, signals: &Signals) -> bool {
        let mut values = signals.values(&self.key);
        match &self.test {
            Test::Compare(op, literal) => {
                let operand = literal.as_str();
                values.any(|value| op.holds(value, operand))
            }
            Test::Text(op, operand) => values.any(|value| op.holds(value, operand)),
            Test::Pattern(pattern) => values.any(|value| pattern.regex.is_match(value)),
        }
    }
}

impl CompareOp {
    fn holds(self, value: &str, operand: &str) -> bool {
        match self {
            Self::Equal => equal(value, operand),
            Self::NotEqual => !equal(value, operand),
            Self::Less | Self::AtMost | Self::Greater | Self::AtLeast => {
                let order = Decimal::parse(value)
                    .zip(Decimal::parse(operand))
                    .map(|(value, operand)| value.cmp(&operand));
                match self {
                    Self::Less => order.is_some_and(Ordering::is_lt),
                    Self::AtMost => order.is_some_and(Ordering::is_le),
                    Self::Greater => order.is_some_and(Ordering::is_gt),
                    _ => order.is_some_and(Ordering::is_ge),
                }
            }
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

fn equal(value: &str, operand: &str) -> bool {
    value == operand || Canonical::of(value) == Canonical::of(operand)
}

impl TextOp {
    fn holds(self, value: &str, operand: &str) -> bool {
        match self {
            Self::Contains => value.contains(operand),
            Self::StartsWith => value.starts_with(operand),
            Self::EndsWith => value.ends_with(operand),
            Self::MatchesWords => {
                words(operand).all(|wanted| words(value).any(|word| word == wanted))
            }
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::StartsWith => "startswith",
            Self::EndsWith => "endswith",
            Self::MatchesWords => "matcheswords",
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

impl Literal {
    /// The value's text, without quotes.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(text) => text,
        }
    }
}

impl Pattern {
    /// The expression as the rule has it.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for TraitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.expr, f)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.key)?;
        match &self.test {
            Test::Compare(op, literal) => write!(f, "{} {literal}", op.as_str()),
            Test::Text(op, text) => {
                write!(f, "{} ", op.as_str())?;
                write_text(text, f)
            }
            Test::Pattern(pattern) => {
                f.write_str("matchesregex ")?;
                write_text(&pattern.text, f)
            }
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write_text(text, f),
            Self::Number(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests;
