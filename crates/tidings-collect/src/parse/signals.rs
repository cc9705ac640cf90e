//! Signals: an object whose values are a string, a number, a bool, or an array of those.
//!
//! A number keeps its source text (`1.00` stays `1.00`), so values are looked at as raw JSON.
//! Values are not split at commas; that belongs to the query form of other calls.
//! A key has letters, digits, `-`, `_` and `.`, and at least one letter; a rule cannot name others.

use super::{
    event::{At, Context},
    value::{Borrowed, quoted},
};
use crate::code;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};
use tidings_model::{Signals, limits};

pub(super) struct SignalsObject<'c>(pub(super) &'c mut Context);

impl<'de> DeserializeSeed<'de> for SignalsObject<'_> {
    type Value = Signals;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Signals, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for SignalsObject<'_> {
    type Value = Signals;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of signals")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Signals, A::Error> {
        let mut signals = Signals::default();
        while let Some(key) = map.next_key_seed(Borrowed)? {
            let raw = map.next_value::<&'de RawValue>()?;
            let added = check_key(&signals, &key).and_then(|()| add(&mut signals, &key, raw.get()));
            if let Err(Refusal { code, message }) = added {
                self.0.at = At::Path(format!("signals.{}", shown(&key)));
                return Err(self.0.fail(code, message));
            }
        }
        Ok(signals)
    }
}

/// Why a signal is refused.
struct Refusal {
    code: &'static str,
    message: String,
}

fn invalid(message: impl fmt::Display) -> Refusal {
    Refusal {
        code: code::INVALID_SIGNALS,
        message: message.to_string(),
    }
}

/// The key as part of a path: plain if it is a proper one, quoted otherwise.
fn shown(key: &str) -> Cow<'_, str> {
    if is_key(key) && key.len() <= 64 {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(quoted(key))
    }
}

fn check_key(signals: &Signals, key: &str) -> Result<(), Refusal> {
    if key.len() > limits::SIGNAL_KEY_BYTES_MAX {
        let (length, max) = (key.len(), limits::SIGNAL_KEY_BYTES_MAX);
        let message = format!("the key has {length} bytes, the limit is {max}");
        return Err(invalid(message));
    }
    if !is_key(key) {
        return Err(invalid(
            "a key has letters, digits, '-', '_' and '.', and at least one letter",
        ));
    }
    if signals.values(key).next().is_some() {
        return Err(invalid("is given twice; give several values as an array"));
    }
    Ok(())
}

fn is_key(key: &str) -> bool {
    let proper = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    key.bytes().all(proper) && key.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Adds the values of one key from their raw JSON, which is known to be valid.
fn add(signals: &mut Signals, key: &str, raw: &str) -> Result<(), Refusal> {
    if !raw.starts_with('[') {
        return add_value(signals, key, raw);
    }
    let mut refusal = None;
    let values = Values {
        signals,
        key,
        refusal: &mut refusal,
    };
    let result = serde_json::Deserializer::from_str(raw).deserialize_seq(values);
    match (refusal, result) {
        (Some(refusal), _) => Err(refusal),
        (None, result) => result.map_err(invalid),
    }
}

/// Adds one value from its raw JSON.
fn add_value(signals: &mut Signals, key: &str, raw: &str) -> Result<(), Refusal> {
    let value = scalar(raw)?;
    if value.len() > limits::SIGNAL_VALUE_BYTES_MAX {
        let (length, max) = (value.len(), limits::SIGNAL_VALUE_BYTES_MAX);
        let message = format!("the value has {length} bytes, the limit is {max}");
        return Err(invalid(message));
    }
    if signals.len() == limits::EVENT_SIGNALS_MAX || !signals.push(key, &value) {
        let max = limits::EVENT_SIGNALS_MAX;
        return Err(Refusal {
            code: code::TOO_MANY_SIGNALS,
            message: format!("is one too many, the limit is {max} values"),
        });
    }
    Ok(())
}

/// The text of a string, number or bool.
fn scalar(raw: &str) -> Result<Cow<'_, str>, Refusal> {
    match raw.as_bytes() {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => {
            Ok(Cow::Borrowed(raw.get(1..raw.len() - 1).unwrap_or_default()))
        }
        [b'"', ..] => serde_json::from_str(raw).map(Cow::Owned).map_err(invalid),
        [b'-' | b'0'..=b'9' | b't' | b'f', ..] => Ok(Cow::Borrowed(raw)),
        _ => Err(invalid(
            "a value is a string, a number, a bool, or an array of those",
        )),
    }
}

/// Adds the elements of an array.
struct Values<'s> {
    signals: &'s mut Signals,
    key: &'s str,
    refusal: &'s mut Option<Refusal>,
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let mut index = 0usize;
        while let Some(raw) = array.next_element::<&'de RawValue>()? {
            if let Err(Refusal { code, message }) = add_value(self.signals, self.key, raw.get()) {
                let message = format!("value {index}: {message}");
                *self.refusal = Some(Refusal { code, message });
                return Err(A::Error::custom("refused"));
            }
            index += 1;
        }
        Ok(())
    }
}
