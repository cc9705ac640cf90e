//! One value of the file, with the way to it, read as what it should be.
//!
//! A reader of a value returns `None` after it has reported why. Faults never show the text of a
//! value that may hold a secret: [`Value::text`] does not quote it, its callers may.

use crate::context::Context;
use crate::fault::Remark;
use crate::path::Path;
use crate::suggest::{nearest, quote};
use crate::tree::{Kind, Node};
use crate::units::{UnitError, parse_duration, show_duration};
use std::ops::RangeInclusive;
use std::time::Duration;
use tidings_model::limits::NAME_CHARS_MAX;

/// A value and the way to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'t, 'p> {
    pub(crate) node: Node<'t>,
    pub(crate) path: Path<'p>,
}

impl<'t> Value<'t, '_> {
    /// Text, as it is written: a number or `true` without quotes is text too where text is wanted.
    pub(crate) fn text(self, ctx: &Context<'_>) -> Option<&'t str> {
        let text = self.node.text().filter(|_| !self.node.is_null());
        if text.is_none() {
            ctx.fault(self, format!("expected text, found {}", self.found()));
        }
        text
    }

    /// A whole number in `range`.
    pub(crate) fn number(self, range: RangeInclusive<u32>, ctx: &Context<'_>) -> Option<u32> {
        let remark = match self.node.text() {
            Some(text) if self.node.kind() == Kind::Plain => match plain_number(text) {
                Some(number) if range.contains(&number) => return Some(number),
                _ if !is_digits(text) => not_a_number(text),
                Some(_) | None if has_leading_zero(text) => {
                    Remark::new(format!("{} begins with a zero", quote(text)))
                }
                Some(_) | None => Remark::new(format!(
                    "{} is not between {} and {}",
                    quote(text),
                    range.start(),
                    range.end()
                )),
            },
            Some(text) if is_digits(text) => {
                Remark::new("expected a whole number, found text").hint("remove the quotes")
            }
            _ => Remark::new(format!("expected a whole number, found {}", self.found())),
        };
        ctx.fault(self, remark);
        None
    }

    /// An id of a trait, segment, destination or data source.
    pub(crate) fn id(self, ctx: &Context<'_>) -> Option<u32> {
        // The largest number is reserved for "none".
        self.number(0..=u32::MAX - 1, ctx)
    }

    /// One of a few words, each with its meaning.
    pub(crate) fn choice<T: Copy>(self, choices: &[(&str, T)], ctx: &Context<'_>) -> Option<T> {
        let text = self.text(ctx)?;
        let known: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        if let Some((_, meaning)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let mut remark = Remark::new(format!(
            "{} is not one of {}",
            quote(text),
            known.join(", ")
        ));
        if let Some(word) = nearest(text, &known) {
            remark = remark.hint(format!("did you mean `{word}`?"));
        }
        ctx.fault(self, remark);
        None
    }

    /// A duration in `range`, such as `500ms` or `24h`.
    pub(crate) fn duration(
        self,
        range: RangeInclusive<Duration>,
        ctx: &Context<'_>,
    ) -> Option<Duration> {
        let text = self.text(ctx)?;
        let remark = match parse_duration(text) {
            Ok(duration) if range.contains(&duration) => return Some(duration),
            Ok(_) | Err(UnitError::TooLarge) => Remark::new(format!(
                "{} is not between {} and {}",
                quote(text),
                show_duration(*range.start()),
                show_duration(*range.end())
            )),
            Err(error) => Remark::new(format!("{} is not a duration: {error}", quote(text)))
                .hint("write a whole number and ms, s, m, h or d, as in `500ms`"),
        };
        ctx.fault(self, remark);
        None
    }

    /// The items of a list that are sound, each read by `read`; nothing, if it is no list.
    pub(crate) fn list<T>(
        self,
        max: usize,
        ctx: &Context<'_>,
        read: impl FnMut(Value<'t, '_>) -> Option<T>,
    ) -> Vec<T> {
        let count = self.node.items().map_or(0, |items| items.len());
        if count > max {
            ctx.fault(self, format!("{count} entries, the limit is {max}"));
        }
        self.items(max, ctx, read)
    }

    /// As [`list`](Self::list), without a word about items after the first `max`.
    pub(crate) fn items<T>(
        self,
        max: usize,
        ctx: &Context<'_>,
        mut read: impl FnMut(Value<'t, '_>) -> Option<T>,
    ) -> Vec<T> {
        let Some(items) = self.node.items() else {
            ctx.fault(self, format!("expected a list, found {}", self.found()));
            return Vec::new();
        };
        items
            .take(max)
            .enumerate()
            .filter_map(|(index, node)| {
                read(Value {
                    node,
                    path: self.path.index(index),
                })
            })
            .collect()
    }

    /// What the value is, for "expected …, found …".
    pub(crate) fn found(self) -> &'static str {
        match self.node.kind() {
            Kind::Sequence => "a list",
            Kind::Mapping => "a mapping",
            _ if self.node.is_null() => "nothing",
            Kind::Plain if self.node.text().is_some_and(is_digits) => "a number",
            Kind::Plain | Kind::Quoted | Kind::Literal | Kind::Folded => "text",
        }
    }
}

/// Text for people or for a message: not empty, without control characters, at most 255 characters.
pub(crate) fn name(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<String> {
    let text = value.text(ctx)?;
    let fault = if text.is_empty() {
        "it is empty".to_owned()
    } else if text.chars().nth(NAME_CHARS_MAX).is_some() {
        format!("longer than {NAME_CHARS_MAX} characters")
    } else if text.chars().any(char::is_control) {
        "it holds a control character, such as a line break".to_owned()
    } else {
        return Some(text.to_owned());
    };
    ctx.fault(value, fault);
    None
}

/// `true` or `false`.
pub(crate) fn flag(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<bool> {
    match value.node.text() {
        Some("true") if value.node.kind() == Kind::Plain => Some(true),
        Some("false") if value.node.kind() == Kind::Plain => Some(false),
        _ => {
            let found = value.found();
            ctx.fault(value, format!("expected true or false, found {found}"));
            None
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_leading_zero(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0')
}

/// A number as every YAML and JSON reader sees it: a leading zero would mean octal to some.
fn plain_number(text: &str) -> Option<u32> {
    if !is_digits(text) || has_leading_zero(text) {
        return None;
    }
    text.parse().ok()
}

fn not_a_number(text: &str) -> Remark {
    Remark::new(if text.is_empty() {
        "expected a whole number, found nothing".to_owned()
    } else {
        format!("{} is not a whole number", quote(text))
    })
}
