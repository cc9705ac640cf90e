//! The small values of an event: texts, numbers, and values that may be `null`.

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};
use std::{borrow::Cow, fmt};

/// Reads a string and hands it to `take`, which makes a value of it or says what is wrong.
pub(super) struct Text<F> {
    pub(super) expecting: &'static str,
    pub(super) take: F,
}

impl<'de, T, F: FnOnce(&str) -> Result<T, String>> DeserializeSeed<'de> for Text<F> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T, D::Error> {
        json.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> Result<T, String>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.take)(text).map_err(E::custom)
    }
}

/// Reads the number of an id: 0 to 4294967294, since the last number is kept for "none".
pub(super) struct Number {
    pub(super) expecting: &'static str,
}

impl<'de> DeserializeSeed<'de> for Number {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<u32, D::Error> {
        json.deserialize_u32(self)
    }
}

impl Visitor<'_> for Number {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u32, E> {
        match u32::try_from(number) {
            Ok(u32::MAX) | Err(_) => Err(out_of_range(number)),
            Ok(number) => Ok(number),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u32, E> {
        u64::try_from(number).map_or_else(|_| Err(out_of_range(number)), |n| self.visit_u64(n))
    }
}

fn out_of_range<E: Error>(number: impl fmt::Display) -> E {
    E::custom(format_args!(
        "{number} is out of range, ids go from 0 to 4294967294"
    ))
}

/// Reads what `0` reads, or `null`, which is `None`.
pub(super) struct Nullable<S>(pub(super) S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(json).map(Some)
    }
}

/// Reads a string without copying it, unless it has escapes.
pub(super) struct Borrowed;

impl<'de> DeserializeSeed<'de> for Borrowed {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Borrowed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A name from outside as it may appear in a message: quoted, escaped, and not longer than a line.
pub(super) fn quoted(name: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    let shown: String = name
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    let more = if name.chars().nth(SHOWN_CHARS_MAX).is_some() {
        "…"
    } else {
        ""
    };
    format!("\"{shown}{more}\"")
}
