//! JSON text to a tree that keeps what the checks need: the order and repetition of members, and
//! strings and integers apart. The syntax itself is left to `serde_json`.
//!
//! Strings without escapes are borrowed from the text. Bounded: a tree never has more values or more
//! nesting than the limits say, however the bytes are made up.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{DecodeError, Limits};

/// One JSON value.
#[derive(Debug)]
pub(super) enum Node<'a> {
    Text(Cow<'a, str>),
    Integer(u64),
    Array(Vec<Node<'a>>),
    /// Members as they come, repeated ones included.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    /// A value that no member of a message ever holds; the text names its kind.
    Other(&'static str),
}

impl Node<'_> {
    /// The kind of value, for a person.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
            Self::Other(kind) => kind,
        }
    }
}

/// Parses one JSON value that takes up all of `body`.
pub(super) fn parse<'a>(body: &'a [u8], limits: &Limits) -> Result<Node<'a>, DecodeError> {
    if body.len() > limits.bytes {
        return Err(DecodeError::TooLarge {
            bytes: body.len(),
            bytes_max: limits.bytes,
        });
    }
    let text = str::from_utf8(body).map_err(|error| DecodeError::NotUtf8 {
        valid_bytes: error.valid_up_to(),
    })?;
    let mut budget = Budget {
        values_left: limits.values,
        exceeded: None,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Seed {
        budget: &mut budget,
        depth_left: limits.depth,
    };
    let parsed = seed
        .deserialize(&mut deserializer)
        .and_then(|node| deserializer.end().map(|()| node));
    parsed.map_err(|error| match budget.exceeded {
        Some(Exceeded::Depth) => DecodeError::TooDeep {
            depth_max: limits.depth,
        },
        Some(Exceeded::Values) => DecodeError::TooManyValues {
            values_max: limits.values,
        },
        None => DecodeError::NotJson(error.to_string()),
    })
}

/// What may still be read.
struct Budget {
    values_left: usize,
    /// Which limit ended the reading: the library's own error cannot tell.
    exceeded: Option<Exceeded>,
}

enum Exceeded {
    Depth,
    Values,
}

impl Budget {
    fn exceed<E: Error>(&mut self, limit: Exceeded) -> E {
        self.exceeded = Some(limit);
        E::custom("limit exceeded")
    }
}

struct Seed<'b> {
    budget: &'b mut Budget,
    depth_left: usize,
}

impl Seed<'_> {
    /// The seed for the values inside this one.
    fn inner<E: Error>(&mut self) -> Result<Seed<'_>, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Seed {
                budget: self.budget,
                depth_left,
            }),
            None => Err(self.budget.exceed(Exceeded::Depth)),
        }
    }

    fn reborrow(&mut self) -> Seed<'_> {
        Seed {
            budget: self.budget,
            depth_left: self.depth_left,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        match self.budget.values_left.checked_sub(1) {
            Some(left) => self.budget.values_left = left,
            None => return Err(self.budget.exceed(Exceeded::Values)),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node<'de>, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node<'de>, E> {
        Ok(Node::Integer(number))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Node<'de>, E> {
        Ok(Node::Other("a negative number"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Node<'de>, E> {
        Ok(Node::Other("a number that is not a plain integer"))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Node<'de>, E> {
        Ok(Node::Other("true or false"))
    }

    fn visit_unit<E: Error>(self) -> Result<Node<'de>, E> {
        Ok(Node::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Node<'de>, A::Error> {
        let mut inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner.reborrow())? {
            array.push(item);
        }
        Ok(Node::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Node<'de>, A::Error> {
        let mut inner = self.inner()?;
        let mut object = Vec::new();
        while let Some(name) = members.next_key_seed(Name)? {
            object.push((name, members.next_value_seed(inner.reborrow())?));
        }
        Ok(Node::Object(object))
    }
}

/// The name of a member.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
