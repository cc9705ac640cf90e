//! Segment expressions: which counts of which traits make a device a member.
//!
//! ```text
//! trait-ref = digits , "T" ;                            the same as FREQUENCY([idT]) >= 1
//! freq-term = "FREQUENCY" , "(" , "[" , trait-ref , { "," , trait-ref } , "]" ,
//!             [ rec-op , digits , "D" ] , ")" , freq-op , digits ;
//! ```

use crate::{expr::Expr, token::Token, token::Tokens};
use std::collections::BTreeSet;
use tidings_model::{Timestamp, TraitId, UtcDay};

/// A parsed segment expression.
#[derive(Clone, Debug)]
pub(crate) struct SegmentRule(Expr<Count>);

/// How many realisations of the listed traits there are, and how many there must be.
#[derive(Clone, Debug)]
struct Count {
    /// A trait that is listed twice contributes once.
    traits: BTreeSet<TraitId>,
    /// Only realisations of this age in days count.
    age: Option<(Compare, i64)>,
    compare: Compare,
    count: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    AtLeast,
    AtMost,
    Exactly,
}

impl SegmentRule {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Expr::parse(text, term).map(Self)
    }

    /// Whether a device is a member on this day whose traits were realised at these times.
    pub(crate) fn holds(&self, today: UtcDay, times: &dyn Fn(TraitId) -> Vec<Timestamp>) -> bool {
        self.0.holds(&|term| term.holds(today, times))
    }
}

impl SegmentRule {
    /// The traits whose age in days matters, each with the days.
    pub(crate) fn windows(&self) -> Vec<(TraitId, i64)> {
        let terms = self.0.terms().into_iter();
        let windows = terms.filter_map(|term| Some((&term.traits, term.age?.1)));
        windows
            .flat_map(|(traits, days)| traits.iter().map(move |id| (*id, days)))
            .collect()
    }
}

impl SegmentRule {
    /// The traits that are named, wherever they stand.
    pub(crate) fn traits(&self) -> Vec<TraitId> {
        let terms = self.0.terms().into_iter();
        terms.flat_map(|term| term.traits.iter().copied()).collect()
    }
}

impl Count {
    fn holds(&self, today: UtcDay, times: &dyn Fn(TraitId) -> Vec<Timestamp>) -> bool {
        let mut count = 0;
        for id in &self.traits {
            for time in times(*id) {
                let age = i64::from(today.days_since(time.day()));
                if self
                    .age
                    .is_none_or(|(compare, days)| compare.holds(age, days))
                {
                    count += 1;
                }
            }
        }
        self.compare.holds(count, self.count)
    }
}

impl Compare {
    const fn holds(self, left: i64, right: i64) -> bool {
        match self {
            Self::AtLeast => left >= right,
            Self::AtMost => left <= right,
            Self::Exactly => left == right,
        }
    }

    fn read(tokens: &mut Tokens) -> Option<Self> {
        let compare = match tokens.peek() {
            Some(Token::Sign(">=" | "=>")) => Self::AtLeast,
            Some(Token::Sign("<=")) => Self::AtMost,
            Some(Token::Sign("==")) => Self::Exactly,
            _ => return None,
        };
        tokens.next();
        Some(compare)
    }
}

fn term(tokens: &mut Tokens) -> Result<Count, String> {
    if !tokens.keyword("FREQUENCY") {
        return Ok(Count {
            traits: BTreeSet::from([trait_ref(tokens)?]),
            age: None,
            compare: Compare::AtLeast,
            count: 1,
        });
    }
    tokens.expect("(")?;
    tokens.expect("[")?;
    let mut traits = BTreeSet::from([trait_ref(tokens)?]);
    while tokens.sign(",") {
        traits.insert(trait_ref(tokens)?);
    }
    tokens.expect("]")?;
    let age = match Compare::read(tokens) {
        Some(Compare::Exactly) => return Err("recency is >= or <=".to_owned()),
        Some(compare) => Some((compare, number(&tokens.word()?, "D")?)),
        None => None,
    };
    tokens.expect(")")?;
    let compare = Compare::read(tokens).ok_or("expected >=, <= or ==")?;
    let count = number(&tokens.word()?, "")?;
    Ok(Count {
        traits,
        age,
        compare,
        count,
    })
}

fn trait_ref(tokens: &mut Tokens) -> Result<TraitId, String> {
    let id = number(&tokens.word()?, "T")?;
    u32::try_from(id).map(TraitId).map_err(|e| e.to_string())
}

/// A number and the letter after it, in any case.
fn number(word: &str, unit: &str) -> Result<i64, String> {
    let upper = word.to_ascii_uppercase();
    let digits = upper.strip_suffix(unit);
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("expected a number with {unit:?}, found {word:?}"))
}
