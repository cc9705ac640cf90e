//! Why a rule is refused: which rule of the language it breaks, where, and what to write instead.
//!
//! An error owns what it shows, so it outlives the source. Text quoted from the source is cut and
//! its control characters are escaped: a catalog must not be able to write to a terminal.

mod excerpt;

use crate::lex::Span;
use excerpt::Excerpt;
use std::fmt;
use tidings_model::{TraitId, TraitKind};

/// Errors kept of one rule; what follows is rarely news.
pub(crate) const ERRORS_MAX: usize = 20;

/// One fault of a rule, with its place.
///
/// `Display` is one line, `line 1, column 6: ...; write ...`; [`RuleError::render`] adds the source
/// with the place marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    kind: RuleErrorKind,
    place: Place,
    excerpt: Excerpt,
}

/// A place in the text of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes before it.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Characters, from 1, within the line.
    pub column: usize,
}

/// The rule of the language that was broken.
///
/// Nothing but the rule's author can repair any of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleErrorKind {
    /// There is nothing but white space.
    #[error("the rule is empty")]
    Empty,
    /// The text is longer than any rule may be.
    #[error("the rule has {length} bytes, the limit is {max}")]
    TooLong {
        /// Bytes found.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Parentheses and NOT are nested too deeply.
    #[error("parentheses and NOT are nested more than {max} deep")]
    TooDeep {
        /// Levels allowed.
        max: usize,
    },
    /// Something stands where something else must.
    #[error("expected {expected}, found {found}")]
    Unexpected {
        /// What may stand here.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A `(` without its `)`.
    #[error("this parenthesis is never closed")]
    ParenthesisNotClosed,
    /// A `)` without its `(`.
    #[error("this parenthesis closes nothing")]
    ParenthesisNotOpened,
    /// A quote without its partner.
    #[error("this text has no closing quote")]
    TextNotClosed,
    /// A quotation mark of another kind than `"`.
    #[error("{0} is not a quotation mark of this language")]
    QuotationMark(char),
    /// An operator of some other language.
    #[error("`{found}` is not an operator")]
    OperatorSpelling {
        /// As it is written.
        found: String,
        /// As it should be.
        instead: &'static str,
    },

    /// A signal's key has no letter.
    #[error("the key {0} has no letter")]
    KeyWithoutLetter(String),
    /// A signal's key is in quotes.
    #[error("a key stands without quotes")]
    KeyQuoted,
    /// A word where only operators may stand.
    #[error("{0} is not an operator")]
    UnknownOperator(String),
    /// A value that is neither a number nor in quotes.
    #[error("the value {0} is neither a number nor in quotes")]
    ValueNotQuoted(String),
    /// `contains` and the like before a number.
    #[error("{0} takes text")]
    OperatorTakesText(&'static str),
    /// A value longer than any signal's value.
    #[error("the text has {length} bytes, no value of a signal has more than {max}")]
    ValueTooLong {
        /// Bytes found.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A construct of Java's regular expressions that is not supported yet.
    #[error("the regular expression has {0}, which is not supported yet")]
    PatternUnsupported(&'static str),
    /// Not a regular expression.
    #[error("not a regular expression: {0}")]
    PatternInvalid(String),
    /// A regular expression that needs too much memory.
    #[error("the regular expression needs more than {max} bytes when compiled")]
    PatternTooBig {
        /// Bytes allowed.
        max: usize,
    },

    /// A number with no `T` after it where a trait is meant.
    #[error("{0} is a number, not a trait")]
    TraitWithoutT(String),
    /// A name where a trait is meant.
    #[error("traits are named by number, not as {0}")]
    TraitByName(String),
    /// `1000T >= 5` or `[1000T] <= 5D`.
    #[error("only FREQUENCY(...) can be compared")]
    FrequencyMissing,
    /// The traits of a FREQUENCY are not in brackets.
    #[error("the traits of FREQUENCY stand in brackets")]
    ListWithoutBrackets,
    /// Recency is compared with something else than `>=` or `<=`.
    #[error("recency takes `>=` or `<=`, not `{0}`")]
    RecencyOperator(String),
    /// A recency that is not a whole number of days above 0.
    #[error("recency is a whole number of days above 0, not {0}")]
    RecencyDays(String),
    /// A recency without its `D`.
    #[error("recency is in days")]
    DaysWithoutD(String),
    /// A FREQUENCY that is not compared with a count.
    #[error("FREQUENCY(...) must be compared with a count")]
    CountMissing,
    /// A frequency is compared with something else than `>=`, `<=` or `==`.
    #[error("a frequency takes `>=`, `<=` or `==`, not `{0}`")]
    FrequencyOperator(String),
    /// A frequency that is not a whole number.
    #[error("a frequency is a whole number from 0, not {0}")]
    CountNotWhole(String),
    /// A number beyond all use.
    #[error("{number} is out of range, the largest is {max}")]
    NumberTooLarge {
        /// As it is written.
        number: String,
        /// The largest accepted.
        max: u64,
    },
    /// More traits than a segment may read.
    #[error("the rule reads more than {max} traits")]
    TooManyTraits {
        /// Traits allowed.
        max: usize,
    },
    /// The trait is not in the catalog.
    #[error("there is no trait {0}")]
    UnknownTrait(TraitId),
    /// A trait that is not counted is in a FREQUENCY.
    #[error("trait {trait_id} is {}, FREQUENCY takes rule-based and folder traits only", kind_name(*kind))]
    TraitNotCounted {
        /// The trait.
        trait_id: TraitId,
        /// Its kind.
        kind: TraitKind,
    },
    /// A data provider's trait is in a FREQUENCY.
    #[error("trait {0} is third-party and never allowed in FREQUENCY, alone or with others")]
    ThirdPartyCounted(TraitId),
    /// The segment would hold everyone who never did anything.
    #[error("the rule is true for a profile without any trait")]
    TrueForEmptyProfile {
        /// A term to AND with that repairs the part at fault, where there is a plain one.
        repair: Option<String>,
    },
}

const fn kind_name(kind: TraitKind) -> &'static str {
    match kind {
        TraitKind::RuleBased => "rule-based",
        TraitKind::Onboarded => "onboarded",
        TraitKind::Folder => "a folder",
        TraitKind::ThirdParty => "third-party",
    }
}

impl RuleErrorKind {
    /// A stable name of the broken rule, for tools and documentation.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong { .. } => "too-long",
            Self::TooDeep { .. } => "too-deep",
            Self::Unexpected { .. } => "unexpected",
            Self::ParenthesisNotClosed => "parenthesis-not-closed",
            Self::ParenthesisNotOpened => "parenthesis-not-opened",
            Self::TextNotClosed => "text-not-closed",
            Self::QuotationMark(_) => "quotation-mark",
            Self::OperatorSpelling { .. } => "operator-spelling",
            Self::KeyWithoutLetter(_) => "key-without-letter",
            Self::KeyQuoted => "key-quoted",
            Self::UnknownOperator(_) => "unknown-operator",
            Self::ValueNotQuoted(_) => "value-not-quoted",
            Self::OperatorTakesText(_) => "operator-takes-text",
            Self::ValueTooLong { .. } => "value-too-long",
            Self::PatternUnsupported(_) => "pattern-unsupported",
            Self::PatternInvalid(_) => "pattern-invalid",
            Self::PatternTooBig { .. } => "pattern-too-big",
            Self::TraitWithoutT(_) => "trait-without-t",
            Self::TraitByName(_) => "trait-by-name",
            Self::FrequencyMissing => "frequency-missing",
            Self::ListWithoutBrackets => "list-without-brackets",
            Self::RecencyOperator(_) => "recency-operator",
            Self::RecencyDays(_) => "recency-days",
            Self::DaysWithoutD(_) => "days-without-d",
            Self::CountMissing => "count-missing",
            Self::FrequencyOperator(_) => "frequency-operator",
            Self::CountNotWhole(_) => "count-not-whole",
            Self::NumberTooLarge { .. } => "number-too-large",
            Self::TooManyTraits { .. } => "too-many-traits",
            Self::UnknownTrait(_) => "unknown-trait",
            Self::TraitNotCounted { .. } => "trait-not-counted",
            Self::ThirdPartyCounted(_) => "third-party-counted",
            Self::TrueForEmptyProfile { .. } => "true-for-empty-profile",
        }
    }

    /// What to write instead, where that is plain.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::OperatorSpelling { instead, .. } => format!("write `{instead}`"),
            Self::QuotationMark(_) | Self::KeyQuoted => "write `key == \"text\"`".to_owned(),
            Self::TextNotClosed => {
                "inside text, write `\\\"` for a quote and `\\\\` for a last backslash".to_owned()
            }
            Self::KeyWithoutLetter(_) => {
                "a key has letters, digits, `-`, `_` and `.`, and at least one letter".to_owned()
            }
            Self::UnknownOperator(_) => "the operators are `==`, `!=`, `<`, `<=`, `>`, `>=`, \
                 contains, startswith, endswith, matcheswords and matchesregex"
                .to_owned(),
            Self::ValueNotQuoted(value) => format!("write `\"{value}\"`"),
            Self::OperatorTakesText(_) => "put the value in quotes".to_owned(),
            Self::TraitWithoutT(number) => format!("write `{number}T`"),
            Self::TraitByName(_) => "write the trait's id and `T`, as in `1000T`".to_owned(),
            Self::FrequencyMissing => {
                "write `FREQUENCY([1000T]) >= 5` or `FREQUENCY([1000T] <= 2D) >= 5`".to_owned()
            }
            Self::ListWithoutBrackets => "write `FREQUENCY([1000T,1001T]) >= 5`".to_owned(),
            Self::RecencyOperator(_) => {
                "`<= 5D` is within the last 5 days, `>= 5D` is 5 days ago or earlier".to_owned()
            }
            Self::DaysWithoutD(number) => format!("write `{number}D`"),
            Self::CountMissing => "add `>= 1` after the parenthesis".to_owned(),
            Self::FrequencyOperator(found) => match found.as_str() {
                ">" => "for more than 5, write `>= 6`".to_owned(),
                "<" => "for fewer than 5, write `<= 4`".to_owned(),
                "=" => "write `==`".to_owned(),
                _ => return None,
            },
            Self::TrueForEmptyProfile { repair: Some(term) } => {
                format!("add `AND {term}`, or AND with another trait that members must have")
            }
            Self::TrueForEmptyProfile { repair: None } => {
                "add `AND` and a trait that members must have".to_owned()
            }
            _ => return None,
        };
        Some(hint)
    }
}

impl RuleError {
    pub(crate) fn new(source: &str, span: Span, kind: RuleErrorKind) -> Self {
        Self {
            kind,
            place: place(source, span.start),
            excerpt: Excerpt::new(source, span),
        }
    }

    /// Which rule was broken.
    #[must_use]
    pub const fn kind(&self) -> &RuleErrorKind {
        &self.kind
    }

    /// Where.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// The error over several lines: what, the line of the source, the place marked with `^`, a
    /// hint where there is one. Ends with a line break.
    #[must_use]
    pub fn render(&self) -> String {
        let Self {
            kind,
            place,
            excerpt,
        } = self;
        let mut out = format!("{place}: {kind} ({})\n{excerpt}", kind.name());
        if let Some(hint) = kind.hint() {
            out.push_str("hint: ");
            out.push_str(&hint);
            out.push('\n');
        }
        out
    }
}

fn place(source: &str, offset: usize) -> Place {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Place {
        offset,
        line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.kind)?;
        match self.kind.hint() {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RuleError {}

/// A piece of the source as an error may show it: cut, without control characters.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let mut shown: String = text
        .chars()
        .take(CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// [`shown`], in backquotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}
