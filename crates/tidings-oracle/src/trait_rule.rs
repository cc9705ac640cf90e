//! Trait rules: comparisons of an event's signals.
//!
//! A key that is absent makes every comparison on it false, `!=` included; of several values any one
//! suffices. `==` and `!=` compare text exactly, but two numbers by value; the order signs are false
//! unless both sides are numbers. Left out: `matcheswords` and `matchesregex`, whose engines have
//! tests of their own.

use crate::{expr::Expr, token::Token, token::Tokens};
use std::cmp::Ordering;
use tidings_model::Signals;

/// A parsed trait rule.
#[derive(Clone, Debug)]
pub(crate) struct TraitRule(Expr<Comparison>);

#[derive(Clone, Debug)]
struct Comparison {
    key: String,
    operator: String,
    value: String,
}

impl TraitRule {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Expr::parse(text, term).map(Self)
    }

    /// Whether an event with these signals realises the trait.
    pub(crate) fn holds(&self, signals: &Signals) -> bool {
        self.0.holds(&|term| {
            let mut pairs = signals.iter();
            pairs.any(|(key, value)| key == term.key && term.holds(value))
        })
    }
}

impl Comparison {
    fn holds(&self, value: &str) -> bool {
        let operand = self.value.as_str();
        let numbers = Option::zip(number(value), number(operand));
        let order = numbers.and_then(|(left, right)| left.partial_cmp(&right));
        let equal = order.map_or(value == operand, |order| order == Ordering::Equal);
        match self.operator.as_str() {
            "==" => equal,
            "!=" => !equal,
            "<" => order.is_some_and(Ordering::is_lt),
            "<=" => order.is_some_and(Ordering::is_le),
            ">" => order.is_some_and(Ordering::is_gt),
            ">=" | "=>" => order.is_some_and(Ordering::is_ge),
            "contains" => value.contains(operand),
            "startswith" => value.starts_with(operand),
            "endswith" => value.ends_with(operand),
            // The parser lets no other through.
            _ => false,
        }
    }
}

/// `-?[0-9]+(\.[0-9]+)?`. Generated numbers are short, so floating point is exact enough here.
fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let parts: Vec<&str> = digits.split('.').collect();
    let is_digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (parts.len() <= 2 && parts.iter().all(is_digits))
        .then(|| text.parse().ok())
        .flatten()
}

fn term(tokens: &mut Tokens) -> Result<Comparison, String> {
    const NAMED: [&str; 3] = ["contains", "startswith", "endswith"];
    let key = tokens.word()?;
    let operator = match tokens.next() {
        Some(Token::Sign(sign @ ("==" | "!=" | "<" | "<=" | ">" | ">=" | "=>"))) => sign.to_owned(),
        Some(Token::Word(word)) if NAMED.contains(&word.to_ascii_lowercase().as_str()) => {
            word.to_ascii_lowercase()
        }
        other => return Err(format!("expected an operator, found {other:?}")),
    };
    let value = match tokens.next() {
        Some(Token::Text(text) | Token::Word(text)) => text,
        other => return Err(format!("expected a value, found {other:?}")),
    };
    Ok(Comparison {
        key,
        operator,
        value,
    })
}
