//! The two languages of a catalog: trait rules over the signals of an event, and segment
//! expressions over the traits of a profile.
//!
//! Text becomes a tree ([`Expr`]) and the tree a form that is evaluated without allocating:
//!
//! - [`TraitRule`] reads `page == "checkout" AND price >= 10`; [`TraitRuleIndex`] finds the rules
//!   that match an event among very many without evaluating them all.
//! - [`SegmentRule`] reads `1001T AND NOT frequency([4T,8T] <= 5D) >= 3`; [`SegmentProgram`] is its
//!   evaluated form.
//!
//! [`SegmentExports`] says which uses of a segment the owners of its traits forbid.
//!
//! Every refusal is a [`RuleError`] that marks the place and names the rule that was broken.
//! What prints parses back to the same tree. Nothing here knows a clock: `today` is an argument.
#![forbid(unsafe_code)]

mod error;
mod export;
mod expr;
mod index;
mod lex;
mod parse;
mod pattern;
mod program;
mod segment_rule;
mod trait_rule;
mod value;

pub use error::{Place, RuleError, RuleErrorKind};
pub use export::SegmentExports;
pub use expr::Expr;
pub use index::{Scratch, TraitRuleIndex};
pub use program::{Realizations, SegmentProgram, Window};
pub use segment_rule::{
    Frequency, FrequencyOp, Recency, RecencyOp, SegmentRule, SegmentTerm, TermValue,
};
pub use trait_rule::{CompareOp, Comparison, Literal, Pattern, Test, TextOp, TraitRule};
