//! Reads one term of a segment expression.
//!
//! ```text
//! trait-ref = digits , "T" ;
//! freq-term = "FREQUENCY" , "(" , list , [ rec-op , digits , "D" ] , ")" , freq-op , digits ;
//! list      = "[" , trait-ref , { "," , trait-ref } , "]" ;
//! rec-op    = ">=" | "=>" | "<=" ;
//! freq-op   = ">=" | "=>" | "<=" | "==" ;
//! ```
//!
//! Where a fault leaves no value, reading goes on with any value: the errors refuse the rule anyway.

use super::{Frequency, FrequencyOp, Recency, RecencyOp, SegmentTerm};
use crate::error::{RuleError, RuleErrorKind, quoted, shown};
use crate::expr::Expr;
use crate::lex::{Span, Token};
use crate::parse::{Parsed, Parser};
use std::{collections::BTreeSet, num::NonZeroU32};
use tidings_model::{TraitId, limits};

const EXPECTED_TERM: &str = "a trait, FREQUENCY, NOT or `(`";
const EXPECTED_TRAIT: &str = "a trait";

/// The largest id of a trait; the model keeps the one above for itself.
const TRAIT_ID_MAX: u32 = u32::MAX - 1;
/// The largest age in days, as days are counted in 32 bits with a sign.
const DAYS_MAX: u32 = i32::MAX.unsigned_abs();

pub(super) fn parse(source: &str) -> Result<(Expr<SegmentTerm>, Vec<Span>), Vec<RuleError>> {
    let mut reader = Reader::default();
    let expr = crate::parse::parse(source, &mut |parser| reader.term(parser))?;
    Ok((expr, reader.places))
}

/// What is gathered over the terms of a rule.
#[derive(Default)]
struct Reader {
    places: Vec<Span>,
    distinct: BTreeSet<TraitId>,
}

impl Reader {
    fn term(&mut self, parser: &mut Parser<'_>) -> Parsed<SegmentTerm> {
        match parser.token() {
            Token::Word(word) if word.eq_ignore_ascii_case("FREQUENCY") => {
                parser.advance();
                self.frequency(parser).map(SegmentTerm::Frequency)
            }
            Token::Word(word) if !is_keyword(word) => {
                let (trait_id, span) = trait_ref(parser)?;
                self.note(parser, trait_id, span)?;
                if let Token::Sign("<" | "<=" | "=" | "==" | "=>" | ">" | ">=") = parser.token() {
                    return parser.stop(span, RuleErrorKind::FrequencyMissing);
                }
                Ok(SegmentTerm::Trait(trait_id))
            }
            Token::ListOpen => parser.stop(parser.span(), RuleErrorKind::FrequencyMissing),
            _ => parser.unexpected(EXPECTED_TERM),
        }
    }

    fn note(&mut self, parser: &mut Parser<'_>, trait_id: TraitId, span: Span) -> Parsed<()> {
        self.places.push(span);
        self.distinct.insert(trait_id);
        let max = limits::SEGMENT_TRAITS_MAX;
        if self.distinct.len() > max {
            return parser.stop(span, RuleErrorKind::TooManyTraits { max });
        }
        Ok(())
    }

    fn frequency(&mut self, parser: &mut Parser<'_>) -> Parsed<Frequency> {
        if !parser.eat(Token::Open) {
            return parser.unexpected("`(`");
        }
        let traits = self.list(parser)?;
        let recency = recency(parser)?;
        if !parser.eat(Token::Close) {
            return parser.unexpected("`)`");
        }
        let (op, count) = comparison(parser)?;
        Ok(Frequency {
            traits,
            recency,
            op,
            count,
        })
    }

    fn list(&mut self, parser: &mut Parser<'_>) -> Parsed<Box<[TraitId]>> {
        if !parser.eat(Token::ListOpen) {
            return match parser.token() {
                Token::Word(_) => parser.stop(parser.span(), RuleErrorKind::ListWithoutBrackets),
                _ => parser.unexpected("`[`"),
            };
        }
        let mut traits = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            let (trait_id, span) = match parser.token() {
                Token::Word(_) => trait_ref(parser)?,
                _ => return parser.unexpected(EXPECTED_TRAIT),
            };
            if seen.insert(trait_id) {
                traits.push(trait_id);
                self.note(parser, trait_id, span)?;
            }
            if parser.eat(Token::ListClose) {
                return Ok(traits.into());
            }
            if !parser.eat(Token::Comma) {
                return parser.unexpected("`,` or `]`");
            }
        }
    }
}

fn is_keyword(word: &str) -> bool {
    ["AND", "OR", "NOT"]
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// Reads `5T`; the parser stands at a word.
fn trait_ref(parser: &mut Parser<'_>) -> Parsed<(TraitId, Span)> {
    let Unit {
        digits,
        span,
        found,
    } = unit(parser, "T");
    if !found {
        let kind = if is_digits(digits) {
            RuleErrorKind::TraitWithoutT(shown(digits))
        } else {
            RuleErrorKind::TraitByName(quoted(digits))
        };
        parser.report(span, kind);
        return Ok((TraitId(0), span));
    }
    Ok((TraitId(number(parser, digits, span, TRAIT_ID_MAX)), span))
}

fn recency(parser: &mut Parser<'_>) -> Parsed<Option<Recency>> {
    let Token::Sign(sign) = parser.token() else {
        return Ok(None);
    };
    let op = match sign {
        "<=" => RecencyOp::AtMost,
        ">=" | "=>" => RecencyOp::AtLeast,
        _ => {
            parser.report(parser.span(), RuleErrorKind::RecencyOperator(shown(sign)));
            RecencyOp::AtLeast
        }
    };
    parser.advance();
    Ok(Some(Recency {
        op,
        days: days(parser)?,
    }))
}

fn days(parser: &mut Parser<'_>) -> Parsed<NonZeroU32> {
    let Token::Word(word) = parser.token() else {
        return parser.unexpected("a number of days");
    };
    let Unit {
        digits,
        span,
        found,
    } = unit(parser, "D");
    if !found {
        let kind = if is_digits(digits) {
            RuleErrorKind::DaysWithoutD(shown(digits))
        } else {
            RuleErrorKind::RecencyDays(quoted(word))
        };
        parser.report(span, kind);
        return Ok(NonZeroU32::MIN);
    }
    let days = NonZeroU32::new(number(parser, digits, span, DAYS_MAX));
    if days.is_none() {
        parser.report(span, RuleErrorKind::RecencyDays(quoted(word)));
    }
    Ok(days.unwrap_or(NonZeroU32::MIN))
}

fn comparison(parser: &mut Parser<'_>) -> Parsed<(FrequencyOp, u32)> {
    let Token::Sign(sign) = parser.token() else {
        return parser.stop(parser.span(), RuleErrorKind::CountMissing);
    };
    let op = match sign {
        ">=" | "=>" => FrequencyOp::AtLeast,
        "<=" => FrequencyOp::AtMost,
        "==" => FrequencyOp::Equal,
        _ => {
            parser.report(parser.span(), RuleErrorKind::FrequencyOperator(shown(sign)));
            FrequencyOp::AtLeast
        }
    };
    parser.advance();
    let span = parser.span();
    let Token::Word(word) = parser.token() else {
        return parser.unexpected("a count");
    };
    parser.advance();
    if !is_digits(word) {
        parser.report(span, RuleErrorKind::CountNotWhole(quoted(word)));
        return Ok((op, 0));
    }
    Ok((op, number(parser, word, span, u32::MAX)))
}

/// Digits with the letter of their unit.
struct Unit<'a> {
    /// What stands before the letter, or all of it when there is none.
    digits: &'a str,
    /// The place, letter included.
    span: Span,
    /// The letter follows digits only.
    found: bool,
}

/// Takes a word, and the letter after it if that stands apart; white space between tokens is free.
fn unit<'a>(parser: &mut Parser<'a>, letter: &str) -> Unit<'a> {
    let (Token::Word(word), mut span) = (parser.token(), parser.span()) else {
        return Unit {
            digits: "",
            span: parser.span(),
            found: false,
        };
    };
    parser.advance();
    if is_digits(word) {
        let found = parser.token().is_word(letter);
        if found {
            span.end = parser.span().end;
            parser.advance();
        }
        return Unit {
            digits: word,
            span,
            found,
        };
    }
    let digits = word
        .get(..word.len() - 1)
        .filter(|digits| is_digits(digits));
    match (digits, word.get(word.len() - 1..)) {
        (Some(digits), Some(last)) if last.eq_ignore_ascii_case(letter) => Unit {
            digits,
            span,
            found: true,
        },
        _ => Unit {
            digits: word,
            span,
            found: false,
        },
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(parser: &mut Parser<'_>, digits: &str, span: Span, max: u32) -> u32 {
    match digits.parse::<u32>() {
        Ok(number) if number <= max => number,
        _ => {
            let kind = RuleErrorKind::NumberTooLarge {
                number: quoted(digits),
                max: max.into(),
            };
            parser.report(span, kind);
            max
        }
    }
}
