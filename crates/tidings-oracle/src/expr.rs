//! AND, OR and NOT, with which both rule languages join their terms.
//!
//! ```text
//! or-expr  = and-expr , { "OR" , and-expr } ;
//! and-expr = not-expr , { "AND" , not-expr | "NOT" , primary } ;     x NOT y = x AND NOT y
//! not-expr = [ "NOT" ] , primary ;
//! primary  = "(" , or-expr , ")" | term ;
//! ```

use crate::token::Tokens;

/// A rule.
#[derive(Clone, Debug)]
pub(crate) enum Expr<T> {
    /// Both hold.
    And(Box<Self>, Box<Self>),
    /// Either holds.
    Or(Box<Self>, Box<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// A leaf.
    Term(T),
}

impl<T> Expr<T> {
    /// Reads a whole rule; `term` reads one term.
    pub(crate) fn parse(
        text: &str,
        term: fn(&mut Tokens) -> Result<T, String>,
    ) -> Result<Self, String> {
        let mut tokens = Tokens::of(text)?;
        let expr = or_expr(&mut tokens, term)?;
        match tokens.next() {
            None => Ok(expr),
            Some(token) => Err(format!("unexpected {token:?}")),
        }
    }

    /// The truth of the rule, given that of its terms.
    pub(crate) fn holds(&self, term: &dyn Fn(&T) -> bool) -> bool {
        match self {
            Self::And(left, right) => left.holds(term) && right.holds(term),
            Self::Or(left, right) => left.holds(term) || right.holds(term),
            Self::Not(inner) => !inner.holds(term),
            Self::Term(leaf) => term(leaf),
        }
    }
}

impl<T> Expr<T> {
    /// All terms.
    pub(crate) fn terms(&self) -> Vec<&T> {
        match self {
            Self::And(left, right) | Self::Or(left, right) => {
                left.terms().into_iter().chain(right.terms()).collect()
            }
            Self::Not(inner) => inner.terms(),
            Self::Term(leaf) => vec![leaf],
        }
    }
}

type Term<T> = fn(&mut Tokens) -> Result<T, String>;

fn or_expr<T>(tokens: &mut Tokens, term: Term<T>) -> Result<Expr<T>, String> {
    let mut left = and_expr(tokens, term)?;
    while tokens.keyword("OR") {
        left = Expr::Or(Box::new(left), Box::new(and_expr(tokens, term)?));
    }
    Ok(left)
}

fn and_expr<T>(tokens: &mut Tokens, term: Term<T>) -> Result<Expr<T>, String> {
    let mut left = not_expr(tokens, term)?;
    loop {
        let right = if tokens.keyword("AND") {
            not_expr(tokens, term)?
        } else if tokens.keyword("NOT") {
            Expr::Not(Box::new(primary(tokens, term)?))
        } else {
            return Ok(left);
        };
        left = Expr::And(Box::new(left), Box::new(right));
    }
}

fn not_expr<T>(tokens: &mut Tokens, term: Term<T>) -> Result<Expr<T>, String> {
    if tokens.keyword("NOT") {
        return Ok(Expr::Not(Box::new(primary(tokens, term)?)));
    }
    primary(tokens, term)
}

fn primary<T>(tokens: &mut Tokens, term: Term<T>) -> Result<Expr<T>, String> {
    if tokens.sign("(") {
        let inner = or_expr(tokens, term)?;
        tokens.expect(")")?;
        return Ok(inner);
    }
    term(tokens).map(Expr::Term)
}
