//! Events from JSON: an object, an array of objects, or newline-delimited objects.
//!
//! One bad event does not spoil the others: each is read on its own and refused with a stable code,
//! the path of the field and its place in the body. Only a body in which nothing can be read is an
//! error as a whole. Every limit is checked before memory is spent on what lies beyond it, and
//! nothing here recurses with the nesting of the input.
//!
//! Decided here, beyond what the interface says: an unknown member is refused, `null` stands for an
//! absent optional member, and a body without a single event is an error unless it is `[]`.
//! Invariant: no clock; the caller brings `now`.

mod event;
mod ids;
mod place;
mod signals;
mod value;

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;

use crate::{
    code,
    entry::{Entry, parse_entry},
};
use place::Cursor;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use tidings_model::{Event, Timestamp, limits};

/// How events are laid out in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One object, or an array of objects.
    Json,
    /// One object per line; blank lines do not count.
    JsonLines,
}

/// Why one event is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at line {line} column {column}")]
pub struct EventError {
    /// Stable, one of [`code`].
    pub code: &'static str,
    /// What is wrong, beginning with the path of the field if one is to blame.
    pub message: String,
    /// Line in the body, from 1.
    pub line: usize,
    /// Column in the line, in bytes, from 1: where reading stopped.
    pub column: usize,
}

/// Why a whole body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// There is no event in it, not even an unreadable one.
    #[error("the body is empty")]
    Empty,
    /// Nothing in it can be read.
    #[error("nothing in the body can be read: {0}")]
    Unreadable(EventError),
    /// It has more bytes than a request may have.
    #[error("the body has more than {} bytes", limits::EVENTS_BODY_BYTES_MAX)]
    TooLarge,
    /// It has more events than a request may have.
    #[error("the body has more than {} events", limits::EVENTS_PER_REQUEST_MAX)]
    TooManyEvents,
}

impl BodyError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => code::EMPTY_BODY,
            Self::Unreadable(error) => error.code,
            Self::TooLarge => code::BODY_TOO_LARGE,
            Self::TooManyEvents => code::TOO_MANY_EVENTS,
        }
    }
}

/// Reads the entries of a body, in order.
///
/// `now` is the instant after which a `time` lies in the future.
///
/// # Errors
/// When nothing can be read, or a limit of whole bodies is passed.
pub fn parse(
    body: &[u8],
    format: Format,
    now: Timestamp,
) -> Result<Vec<Result<Entry, EventError>>, BodyError> {
    if body.len() > limits::EVENTS_BODY_BYTES_MAX {
        return Err(BodyError::TooLarge);
    }
    let events = match format {
        Format::Json => parse_json(body, now)?,
        Format::JsonLines => parse_lines(body, now)?,
    };
    match nothing_readable(&events) {
        Some(error) => Err(BodyError::Unreadable(error)),
        None => Ok(events),
    }
}

/// Reads one event from a JSON text; see [`parse`].
///
/// # Errors
/// When the text is not a valid event.
pub fn parse_event(text: &str, now: Timestamp) -> Result<Event, EventError> {
    event::read(text, now)
}

/// The first error, when no event could even be read as JSON within the limit of nesting.
fn nothing_readable(events: &[Result<Entry, EventError>]) -> Option<EventError> {
    let unreadable = |event: &Result<Entry, EventError>| matches!(event, Err(error) if [code::INVALID_JSON, code::TOO_DEEP].contains(&error.code));
    match events.first() {
        Some(Err(error)) if events.iter().all(unreadable) => Some(error.clone()),
        _ => None,
    }
}

fn parse_json(body: &[u8], now: Timestamp) -> Result<Vec<Result<Entry, EventError>>, BodyError> {
    let text = str::from_utf8(body)
        .map_err(|error| BodyError::Unreadable(place::not_utf8(body, error, 1)))?;
    match text.trim_ascii_start().as_bytes().first() {
        None => Err(BodyError::Empty),
        Some(b'[') => parse_array(text, now),
        Some(b'{') => Ok(vec![parse_entry(text, now)]),
        Some(_) => Err(BodyError::Unreadable(neither_object_nor_array(text))),
    }
}

fn neither_object_nor_array(text: &str) -> EventError {
    match serde_json::from_str::<&RawValue>(text) {
        Err(error) => place::not_json(&error),
        Ok(_) => EventError {
            code: code::INVALID_JSON,
            message: "expected an object or an array of objects".to_owned(),
            line: 1,
            column: 1,
        },
    }
}

fn parse_array(text: &str, now: Timestamp) -> Result<Vec<Result<Entry, EventError>>, BodyError> {
    let mut events = Vec::new();
    let mut too_many = false;
    let mut json = serde_json::Deserializer::from_str(text);
    let elements = Elements {
        events: &mut events,
        too_many: &mut too_many,
        cursor: Cursor::new(text),
        now,
    };
    let result = elements.deserialize(&mut json).and_then(|()| json.end());
    match result {
        Ok(()) => Ok(events),
        Err(_) if too_many => Err(BodyError::TooManyEvents),
        Err(error) => Err(BodyError::Unreadable(place::not_json(&error))),
    }
}

/// Reads the elements of an array, each first as raw text, so that a bad one ends where it ends.
struct Elements<'a, 't> {
    events: &'a mut Vec<Result<Entry, EventError>>,
    too_many: &'a mut bool,
    cursor: Cursor<'t>,
    now: Timestamp,
}

impl<'de> DeserializeSeed<'de> for Elements<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element::<&'de RawValue>()? {
            if self.events.len() == limits::EVENTS_PER_REQUEST_MAX {
                *self.too_many = true;
                return Err(A::Error::custom("too many events"));
            }
            let event = parse_entry(element.get(), self.now)
                .map_err(|error| self.cursor.locate(element.get(), error));
            self.events.push(event);
        }
        Ok(())
    }
}

fn parse_lines(body: &[u8], now: Timestamp) -> Result<Vec<Result<Entry, EventError>>, BodyError> {
    let mut events = Vec::new();
    for (index, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if events.len() == limits::EVENTS_PER_REQUEST_MAX {
            return Err(BodyError::TooManyEvents);
        }
        let number = index + 1;
        let event = match str::from_utf8(line) {
            Ok(text) => parse_entry(text, now).map_err(|error| EventError {
                line: number,
                ..error
            }),
            Err(error) => Err(place::not_utf8(line, error, number)),
        };
        events.push(event);
    }
    if events.is_empty() {
        return Err(BodyError::Empty);
    }
    Ok(events)
}
