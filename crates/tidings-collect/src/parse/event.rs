//! The event object, read in one pass straight into [`Event`].
//!
//! A visitor cannot return more than a text as its error, so what is being read (`at`) and the code
//! that a failure there has (`code`) are kept in a [`Context`] beside it.

use super::{
    EventError, ids, place, signals,
    value::{Borrowed, Nullable, Number, Text, quoted},
};
use crate::code;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use tidings_model::{Event, IdError, RegionId, Timestamp, TraitId, limits};

/// Reads one event; places in the error are relative to `text`.
pub(super) fn read(text: &str, now: Timestamp) -> Result<Event, EventError> {
    let mut ctx = Context {
        now,
        code: code::INVALID_EVENT,
        at: At::Event,
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let event = EventObject(&mut ctx).deserialize(&mut json);
    match event.and_then(|event| json.end().map(|()| event)) {
        Ok(event) => Ok(event),
        Err(error) => Err(ctx.explain(text, &error)),
    }
}

/// What is being read, for messages.
#[derive(Debug)]
pub(super) struct Context {
    now: Timestamp,
    /// The code of a failure at this place.
    pub(super) code: &'static str,
    pub(super) at: At,
}

/// A place in the event object.
#[derive(Debug)]
pub(super) enum At {
    /// The object itself.
    Event,
    /// A member.
    Field(&'static str),
    /// An element of a member.
    Element(&'static str, usize),
    /// A member of an element.
    Member(&'static str, usize, &'static str),
    /// A path that was put together, since it has a name from outside in it.
    Path(String),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event => f.write_str("event"),
            Self::Field(name) => f.write_str(name),
            Self::Element(name, index) => write!(f, "{name}[{index}]"),
            Self::Member(name, index, member) => write!(f, "{name}[{index}].{member}"),
            Self::Path(path) => f.write_str(path),
        }
    }
}

impl Context {
    pub(super) fn enter(&mut self, at: At, code: &'static str) {
        self.at = at;
        self.code = code;
    }

    /// An error with another code than the place has.
    pub(super) fn fail<E: Error>(&mut self, code: &'static str, message: impl fmt::Display) -> E {
        self.code = code;
        E::custom(message)
    }

    pub(super) fn unknown_field<E: Error>(&mut self, name: &str, expected: &str) -> E {
        let message = format!("has no member {}, expected {expected}", quoted(name));
        self.fail(code::UNKNOWN_FIELD, message)
    }

    pub(super) fn duplicate_field<E: Error>(&mut self, name: &str) -> E {
        self.fail(
            code::DUPLICATE_FIELD,
            format_args!("member \"{name}\" is given twice"),
        )
    }

    fn time(&mut self, text: &str) -> Result<Timestamp, String> {
        let time = Timestamp::parse(text).map_err(|error| error.to_string())?;
        if time > self.now {
            self.code = code::TIME_IN_FUTURE;
            return Err(format!(
                "{time} is in the future, it is now {now}",
                now = self.now
            ));
        }
        Ok(time)
    }

    /// Tells what is wrong with `text`, given that reading it ended with `error`.
    ///
    /// Reading stops at the first bad member, so the rest has not been seen yet: text that is not
    /// JSON at all is called that, and text that is nested too deeply likewise.
    fn explain(&self, text: &str, error: &serde_json::Error) -> EventError {
        if let Err(error) = serde_json::from_str::<&RawValue>(text) {
            return place::not_json(&error);
        }
        let (code, message) = if place::depth(text) > limits::JSON_DEPTH_MAX {
            let max = limits::JSON_DEPTH_MAX;
            let message = format!("event: is nested deeper than {max} levels");
            (code::TOO_DEEP, message)
        } else if error.is_data() {
            (self.code, format!("{}: {}", self.at, place::detail(error)))
        } else {
            return place::not_json(error);
        };
        EventError {
            code,
            message,
            line: error.line().max(1),
            column: error.column().max(1),
        }
    }
}

const FIELDS: &str = "uuid, time, region, signals, traits, remove_traits, ids or event_id";

/// The members of an event; the number is the bit that marks it as seen.
#[derive(Clone, Copy)]
enum Field {
    Uuid,
    Time,
    Region,
    Signals,
    Traits,
    RemoveTraits,
    Ids,
    EventId,
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "uuid" => Self::Uuid,
            "time" => Self::Time,
            "region" => Self::Region,
            "signals" => Self::Signals,
            "traits" => Self::Traits,
            "remove_traits" => Self::RemoveTraits,
            "ids" => Self::Ids,
            "event_id" => Self::EventId,
            _ => return None,
        })
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

struct EventObject<'c>(&'c mut Context);

impl<'de> DeserializeSeed<'de> for EventObject<'_> {
    type Value = Event;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Event, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EventObject<'_> {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
        let mut event = Event::default();
        let mut seen = 0;
        while let Some(name) = map.next_key_seed(Borrowed)? {
            let Some(field) = Field::named(&name) else {
                return Err(self.0.unknown_field(&name, FIELDS));
            };
            if seen & field.bit() != 0 {
                return Err(self.0.duplicate_field(&name));
            }
            seen |= field.bit();
            read_field(self.0, field, &mut map, &mut event)?;
            self.0.enter(At::Event, code::INVALID_EVENT);
        }
        Ok(event)
    }
}

fn read_field<'de, A: MapAccess<'de>>(
    ctx: &mut Context,
    field: Field,
    map: &mut A,
    event: &mut Event,
) -> Result<(), A::Error> {
    match field {
        Field::Uuid => {
            ctx.enter(At::Field("uuid"), code::INVALID_UUID);
            event.uuid = map.next_value_seed(Nullable(Text {
                expecting: "a string of digits",
                take: |text: &str| text.parse().map_err(|error: IdError| error.to_string()),
            }))?;
        }
        Field::Time => {
            ctx.enter(At::Field("time"), code::INVALID_TIME);
            event.time = map.next_value_seed(Nullable(Text {
                expecting: "a string like 2016-07-27T16:17:22Z",
                take: |text: &str| ctx.time(text),
            }))?;
        }
        Field::Region => {
            ctx.enter(At::Field("region"), code::INVALID_REGION);
            let expecting = "a region id, a whole number";
            let region = map.next_value_seed(Nullable(Number { expecting }))?;
            event.region = region.map(RegionId);
        }
        Field::Signals => {
            ctx.enter(At::Field("signals"), code::INVALID_SIGNALS);
            let signals = map.next_value_seed(Nullable(signals::SignalsObject(ctx)))?;
            event.signals = signals.unwrap_or_default();
        }
        Field::Traits => event.traits = read_traits(ctx, "traits", map)?,
        Field::RemoveTraits => event.remove_traits = read_traits(ctx, "remove_traits", map)?,
        Field::Ids => {
            ctx.enter(At::Field("ids"), code::INVALID_ID);
            let ids = map.next_value_seed(Nullable(ids::IdList(ctx)))?;
            event.ids = ids.unwrap_or_default();
        }
        Field::EventId => {
            ctx.enter(At::Field("event_id"), code::INVALID_EVENT_ID);
            event.event_id = map.next_value_seed(Nullable(Text {
                expecting: "a string",
                take: event_id,
            }))?;
        }
    }
    Ok(())
}

fn event_id(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    if text.len() > limits::EVENT_ID_BYTES_MAX {
        let (length, max) = (text.len(), limits::EVENT_ID_BYTES_MAX);
        return Err(format!("has {length} bytes, the limit is {max}"));
    }
    if let Some(position) = text.find(char::is_control) {
        return Err(format!("has a control character at byte {position}"));
    }
    Ok(text.into())
}

fn read_traits<'de, A: MapAccess<'de>>(
    ctx: &mut Context,
    name: &'static str,
    map: &mut A,
) -> Result<Vec<TraitId>, A::Error> {
    ctx.enter(At::Field(name), code::INVALID_TRAIT);
    let traits = map.next_value_seed(Nullable(TraitList { ctx, name }))?;
    Ok(traits.unwrap_or_default())
}

struct TraitList<'c> {
    ctx: &'c mut Context,
    name: &'static str,
}

impl<'de> DeserializeSeed<'de> for TraitList<'_> {
    type Value = Vec<TraitId>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for TraitList<'_> {
    type Value = Vec<TraitId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of trait ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let expecting = "a trait id, a whole number";
        let mut traits = Vec::new();
        loop {
            self.ctx.at = At::Element(self.name, traits.len());
            let Some(number) = array.next_element_seed(Number { expecting })? else {
                return Ok(traits);
            };
            if traits.len() == limits::EVENT_TRAITS_MAX {
                let max = limits::EVENT_TRAITS_MAX;
                let message = format!("is one too many, the limit is {max}");
                return Err(self.ctx.fail(code::TOO_MANY_TRAITS, message));
            }
            traits.push(TraitId(number));
        }
    }
}
