//! Reads one comparison of a trait rule.
//!
//! ```text
//! signal  = key , compare , value | key , named , string ;
//! compare = "==" | "!=" | ">" | "<" | ">=" | "=>" | "<=" ;
//! named   = "contains" | "matcheswords" | "startswith" | "endswith" | "matchesregex" ;
//! value   = string | number ;
//! number  = [ "-" ] , digit , { digit } , [ "." , digit , { digit } ] ;
//! key     = key-char , { key-char } ;            (* at least one letter *)
//! ```

use super::{CompareOp, Comparison, Literal, Pattern, Test, TextOp};
use crate::error::{RuleError, RuleErrorKind, quoted, shown};
use crate::expr::Expr;
use crate::lex::{Span, Token, raw_position, unescape};
use crate::parse::{Parsed, Parser};
use crate::pattern;
use crate::value::Decimal;
use tidings_model::limits;

const EXPECTED_TERM: &str = "a key, NOT or `(`";
const EXPECTED_OPERATOR: &str = "an operator";
const EXPECTED_VALUE: &str = "a number or text in quotes";
const EXPECTED_TEXT: &str = "text in quotes";

enum Operator {
    Compare(CompareOp),
    Text(TextOp),
    Pattern,
}

pub(super) fn parse(source: &str) -> Result<Expr<Comparison>, Vec<RuleError>> {
    crate::parse::parse(source, &mut comparison)
}

fn comparison(parser: &mut Parser<'_>) -> Parsed<Comparison> {
    let key = key(parser)?;
    let test = match operator(parser)? {
        Operator::Compare(op) => Test::Compare(op, literal(parser)?),
        Operator::Text(op) => Test::Text(op, text(parser, op.as_str())?),
        Operator::Pattern => Test::Pattern(pattern(parser)?),
    };
    Ok(Comparison { key, test })
}

fn key(parser: &mut Parser<'_>) -> Parsed<Box<str>> {
    let span = parser.span();
    let key = match parser.token() {
        Token::Word(word) if !is_keyword(word) => {
            if !word.bytes().any(|byte| byte.is_ascii_alphabetic()) {
                parser.report(span, RuleErrorKind::KeyWithoutLetter(quoted(word)));
            }
            word
        }
        Token::Text(raw) => {
            parser.report(span, RuleErrorKind::KeyQuoted);
            raw
        }
        _ => return parser.unexpected(EXPECTED_TERM),
    };
    parser.advance();
    Ok(key.into())
}

fn is_keyword(word: &str) -> bool {
    ["AND", "OR", "NOT"]
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}

fn operator(parser: &mut Parser<'_>) -> Parsed<Operator> {
    let operator = match parser.token() {
        Token::Sign(sign) => sign_operator(parser, sign).map(Operator::Compare),
        Token::Word(word) => {
            let operator = named_operator(word);
            if operator.is_none() {
                return parser.stop(parser.span(), RuleErrorKind::UnknownOperator(quoted(word)));
            }
            operator
        }
        _ => None,
    };
    match operator {
        Some(operator) => {
            parser.advance();
            Ok(operator)
        }
        None => parser.unexpected(EXPECTED_OPERATOR),
    }
}

fn sign_operator(parser: &mut Parser<'_>, sign: &str) -> Option<CompareOp> {
    let op = match sign {
        "==" | "=" | "===" => CompareOp::Equal,
        "!=" | "<>" | "!==" => CompareOp::NotEqual,
        "<" => CompareOp::Less,
        "<=" | "=<" => CompareOp::AtMost,
        ">" => CompareOp::Greater,
        ">=" | "=>" => CompareOp::AtLeast,
        _ => return None,
    };
    if sign != op.as_str() && sign != "=>" {
        let kind = RuleErrorKind::OperatorSpelling {
            found: sign.to_owned(),
            instead: op.as_str(),
        };
        parser.report(parser.span(), kind);
    }
    Some(op)
}

fn named_operator(word: &str) -> Option<Operator> {
    let text_op = [
        TextOp::Contains,
        TextOp::StartsWith,
        TextOp::EndsWith,
        TextOp::MatchesWords,
    ]
    .into_iter()
    .find(|op| word.eq_ignore_ascii_case(op.as_str()));
    match text_op {
        Some(op) => Some(Operator::Text(op)),
        None => word
            .eq_ignore_ascii_case("matchesregex")
            .then_some(Operator::Pattern),
    }
}

fn literal(parser: &mut Parser<'_>) -> Parsed<Literal> {
    let span = parser.span();
    let literal = match parser.token() {
        Token::Text(raw) => Literal::Text(unescape(raw).into()),
        Token::Word(word) if is_keyword(word) => return parser.unexpected(EXPECTED_VALUE),
        Token::Word(word) => {
            if Decimal::parse(word).is_none() {
                parser.report(span, RuleErrorKind::ValueNotQuoted(shown(word)));
            }
            Literal::Number(word.into())
        }
        _ => return parser.unexpected(EXPECTED_VALUE),
    };
    limit(parser, span, literal.as_str());
    parser.advance();
    Ok(literal)
}

fn text(parser: &mut Parser<'_>, operator: &'static str) -> Parsed<Box<str>> {
    let span = parser.span();
    let text = raw_text(parser, operator)?;
    let text = unescape(text);
    limit(parser, span, &text);
    Ok(text.into())
}

fn raw_text<'a>(parser: &mut Parser<'a>, operator: &'static str) -> Parsed<&'a str> {
    let raw = match parser.token() {
        Token::Text(raw) => raw,
        Token::Word(word) if !is_keyword(word) => {
            parser.report(parser.span(), RuleErrorKind::OperatorTakesText(operator));
            word
        }
        _ => return parser.unexpected(EXPECTED_TEXT),
    };
    parser.advance();
    Ok(raw)
}

/// A longer text could never be met; refusing it also bounds the work of one comparison.
fn limit(parser: &mut Parser<'_>, span: Span, text: &str) {
    if text.len() > limits::SIGNAL_VALUE_BYTES_MAX {
        let kind = RuleErrorKind::ValueTooLong {
            length: text.len(),
            max: limits::SIGNAL_VALUE_BYTES_MAX,
        };
        parser.report(span, kind);
    }
}

fn pattern(parser: &mut Parser<'_>) -> Parsed<Pattern> {
    let span = parser.span();
    let raw = raw_text(parser, "matchesregex")?;
    let text = unescape(raw);
    match pattern::compile(&text) {
        Ok(regex) => Ok(Pattern {
            text: text.into(),
            regex,
        }),
        Err(error) => {
            let place = error.at.map_or(span, |at| {
                // The text begins after the quote.
                let start = span.start + 1 + raw_position(raw, at);
                Span {
                    start,
                    end: start + 1,
                }
            });
            // There is no pattern to go on with; faults after it show once it is repaired.
            parser.stop(place, error.kind)
        }
    }
}
