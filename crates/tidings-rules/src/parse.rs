//! What the parsers of both languages share: AND, OR, NOT and parentheses by recursive descent.
//!
//! ```text
//! or-expr  = and-expr , { "OR" , and-expr } ;
//! and-expr = not-expr , { "AND" , not-expr | "NOT" , primary } ;
//! not-expr = [ "NOT" ] , primary ;
//! primary  = "(" , or-expr , ")" | term ;
//! ```
//!
//! Only parentheses and NOT deepen the recursion, and they are limited; chains are loops. A fault
//! whose meaning is plain (`=` for `==`) is reported and read as what was meant, so that one pass
//! shows several; anything else ends the parse, since guesses would only produce follow-up errors.

use crate::error::{ERRORS_MAX, RuleError, RuleErrorKind, quoted};
use crate::expr::Expr;
use crate::lex::{Lexer, Span, Token};
use tidings_model::limits;

/// The rule cannot be read any further; the parser has the reason.
#[derive(Debug)]
pub(crate) struct Stop;

pub(crate) type Parsed<T> = Result<T, Stop>;

/// What may follow a complete term.
const EXPECTED_AFTER_TERM: &str = "AND, OR, NOT or the end";

#[derive(Debug)]
pub(crate) struct Parser<'a> {
    source: &'a str,
    lexer: Lexer<'a>,
    token: Token<'a>,
    span: Span,
    depth: usize,
    errors: Vec<RuleError>,
}

/// Reads a whole rule; `term` reads one term of the language.
pub(crate) fn parse<'a, T>(
    source: &'a str,
    term: &mut impl FnMut(&mut Parser<'a>) -> Parsed<T>,
) -> Result<Expr<T>, Vec<RuleError>> {
    let whole = Span {
        start: 0,
        end: source.len(),
    };
    if source.len() > limits::RULE_BYTES_MAX {
        let kind = RuleErrorKind::TooLong {
            length: source.len(),
            max: limits::RULE_BYTES_MAX,
        };
        return Err(vec![RuleError::new(source, whole, kind)]);
    }
    let mut parser = Parser::new(source);
    if parser.token == Token::End {
        return Err(vec![RuleError::new(source, whole, RuleErrorKind::Empty)]);
    }
    match parser.rule(term) {
        Ok(expr) if parser.errors.is_empty() => Ok(expr),
        Ok(_) | Err(Stop) => Err(parser.errors),
    }
}

impl<'a> Parser<'a> {
    fn new(source: &'a str) -> Self {
        let mut lexer = Lexer::new(source);
        let (token, span) = lexer.next();
        Self {
            source,
            lexer,
            token,
            span,
            depth: 0,
            errors: Vec::new(),
        }
    }

    /// The token to be read next.
    pub(crate) const fn token(&self) -> Token<'a> {
        self.token
    }

    /// The place of [`Parser::token`].
    pub(crate) const fn span(&self) -> Span {
        self.span
    }

    /// Takes the token.
    pub(crate) fn advance(&mut self) {
        (self.token, self.span) = self.lexer.next();
    }

    /// Takes the token if it is this one.
    pub(crate) fn eat(&mut self, token: Token<'_>) -> bool {
        let found = self.token == token;
        if found {
            self.advance();
        }
        found
    }

    /// Reports a fault after which reading goes on.
    pub(crate) fn report(&mut self, span: Span, kind: RuleErrorKind) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(RuleError::new(self.source, span, kind));
        }
    }

    /// Reports a fault that ends the reading.
    pub(crate) fn stop<T>(&mut self, span: Span, kind: RuleErrorKind) -> Parsed<T> {
        self.report(span, kind);
        Err(Stop)
    }

    /// Reports the current token as misplaced.
    pub(crate) fn unexpected<T>(&mut self, expected: &'static str) -> Parsed<T> {
        let kind = match self.token {
            Token::LoneQuote => RuleErrorKind::TextNotClosed,
            Token::Other(mark @ ('\'' | '`' | '\u{2018}'..='\u{201f}' | '«' | '»')) => {
                RuleErrorKind::QuotationMark(mark)
            }
            token => RuleErrorKind::Unexpected {
                expected,
                found: describe(token, self.text()),
            },
        };
        self.stop(self.span, kind)
    }

    /// The source of the current token.
    fn text(&self) -> &'a str {
        self.source
            .get(self.span.start..self.span.end)
            .unwrap_or_default()
    }

    fn rule<T>(&mut self, term: &mut impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Expr<T>> {
        let expr = self.or_expr(term)?;
        match self.token {
            Token::End => Ok(expr),
            Token::Close => self.stop(self.span, RuleErrorKind::ParenthesisNotOpened),
            _ => self.unexpected(EXPECTED_AFTER_TERM),
        }
    }

    fn or_expr<T>(&mut self, term: &mut impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Expr<T>> {
        let mut children = vec![self.and_expr(term)?];
        while self.eat_keyword("OR", &["||", "|"]) {
            children.push(self.and_expr(term)?);
        }
        Ok(Expr::or(children))
    }

    fn and_expr<T>(&mut self, term: &mut impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Expr<T>> {
        let mut children = vec![self.not_expr(term)?];
        // "x NOT y" is short for "x AND NOT y".
        while self.eat_keyword("AND", &["&&", "&"]) || self.token.is_word("NOT") {
            children.push(self.not_expr(term)?);
        }
        Ok(Expr::and(children))
    }

    fn not_expr<T>(&mut self, term: &mut impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Expr<T>> {
        let span = self.span;
        if !self.eat_keyword("NOT", &["!"]) {
            return self.primary(term);
        }
        self.enter(span)?;
        let child = self.primary(term)?;
        self.depth -= 1;
        Ok(Expr::Not(Box::new(child)))
    }

    fn primary<T>(&mut self, term: &mut impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Expr<T>> {
        let open = self.span;
        if !self.eat(Token::Open) {
            return term(self).map(Expr::Term);
        }
        self.enter(open)?;
        let inner = self.or_expr(term)?;
        match self.token {
            Token::Close => self.advance(),
            Token::End => return self.stop(open, RuleErrorKind::ParenthesisNotClosed),
            _ => return self.unexpected("AND, OR, NOT or `)`"),
        }
        self.depth -= 1;
        Ok(inner)
    }

    fn enter(&mut self, span: Span) -> Parsed<()> {
        self.depth += 1;
        if self.depth > limits::RULE_DEPTH_MAX {
            return self.stop(
                span,
                RuleErrorKind::TooDeep {
                    max: limits::RULE_DEPTH_MAX,
                },
            );
        }
        Ok(())
    }

    /// Takes a keyword in any case, or a sign that stands for it elsewhere, which is reported.
    fn eat_keyword(&mut self, keyword: &'static str, signs: &[&str]) -> bool {
        let found = match self.token {
            Token::Sign(sign) if signs.contains(&sign) => {
                let kind = RuleErrorKind::OperatorSpelling {
                    found: sign.to_owned(),
                    instead: keyword,
                };
                self.report(self.span, kind);
                true
            }
            token => token.is_word(keyword),
        };
        if found {
            self.advance();
        }
        found
    }
}

fn describe(token: Token<'_>, text: &str) -> String {
    match token {
        Token::End => "the end".to_owned(),
        Token::Text(_) => format!("the text {}", quoted(text)),
        _ => quoted(text),
    }
}
