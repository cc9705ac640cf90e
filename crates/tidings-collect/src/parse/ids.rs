//! Declared ids: an array of objects `{"data_source":12345,"id":"…","state":1}`.
//!
//! A missing state means authenticated. An id is always a string: as a number it would lose leading
//! zeros and digits.

use super::{
    event::{At, Context},
    value::{Borrowed, Nullable, Number, Text},
};
use crate::{code, declared};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;
use tidings_model::{AuthState, DataSourceId, DeclaredId, limits};

pub(super) struct IdList<'c>(pub(super) &'c mut Context);

impl<'de> DeserializeSeed<'de> for IdList<'_> {
    type Value = Vec<DeclaredId>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for IdList<'_> {
    type Value = Vec<DeclaredId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of declared ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut ids: Vec<DeclaredId> = Vec::new();
        loop {
            let ctx = &mut *self.0;
            let index = ids.len();
            ctx.enter(At::Element("ids", index), code::INVALID_ID);
            let Some(id) = array.next_element_seed(IdObject { ctx, index })? else {
                return Ok(ids);
            };
            self.0.at = At::Element("ids", index);
            if index == limits::EVENT_IDS_MAX {
                let max = limits::EVENT_IDS_MAX;
                let message = format!("is one too many, the limit is {max}");
                return Err(self.0.fail(code::TOO_MANY_IDS, message));
            }
            let of_namespace = ids
                .iter()
                .filter(|other| other.data_source == id.data_source);
            if of_namespace.count() == limits::EVENT_IDS_PER_DATA_SOURCE_MAX {
                let max = limits::EVENT_IDS_PER_DATA_SOURCE_MAX;
                let message = format!(
                    "is one too many of data source {}, the limit is {max}",
                    id.data_source
                );
                return Err(self.0.fail(code::TOO_MANY_IDS, message));
            }
            ids.push(id);
        }
    }
}

const FIELDS: &str = "data_source, id or state";

struct IdObject<'c> {
    ctx: &'c mut Context,
    index: usize,
}

impl IdObject<'_> {
    fn enter(&mut self, member: &'static str, code: &'static str) {
        self.ctx.enter(At::Member("ids", self.index, member), code);
    }

    fn missing<E: Error>(mut self, member: &'static str, code: &'static str) -> E {
        self.enter(member, code);
        E::custom("is missing")
    }
}

impl<'de> DeserializeSeed<'de> for IdObject<'_> {
    type Value = DeclaredId;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<DeclaredId, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IdObject<'_> {
    type Value = DeclaredId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with data_source and id")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<DeclaredId, A::Error> {
        let mut data_source: Option<u32> = None;
        let mut id: Option<Box<str>> = None;
        let mut state: Option<Option<u32>> = None;
        while let Some(name) = map.next_key_seed(Borrowed)? {
            let given_twice = match name.as_ref() {
                "data_source" => {
                    self.enter("data_source", code::INVALID_DATA_SOURCE);
                    let expecting = "a data source id, a whole number";
                    let number = map.next_value_seed(Number { expecting })?;
                    data_source.replace(number).is_some()
                }
                "id" => {
                    self.enter("id", code::INVALID_ID);
                    let text = map.next_value_seed(Text {
                        expecting: "a string",
                        take: boxed,
                    })?;
                    id.replace(text).is_some()
                }
                "state" => {
                    self.enter("state", code::INVALID_STATE);
                    let expecting = "0, 1 or 2";
                    let number = map.next_value_seed(Nullable(Number { expecting }))?;
                    state.replace(number).is_some()
                }
                other => return Err(self.ctx.unknown_field(other, FIELDS)),
            };
            self.ctx
                .enter(At::Element("ids", self.index), code::INVALID_ID);
            if given_twice {
                return Err(self.ctx.duplicate_field(&name));
            }
        }
        let Some(data_source) = data_source.map(DataSourceId) else {
            return Err(self.missing("data_source", code::INVALID_DATA_SOURCE));
        };
        let Some(id) = id else {
            return Err(self.missing("id", code::INVALID_ID));
        };
        self.enter("id", code::INVALID_ID);
        declared::check(data_source, &id).map_err(A::Error::custom)?;
        self.enter("state", code::INVALID_STATE);
        let state = auth_state(state.flatten()).map_err(A::Error::custom)?;
        Ok(DeclaredId {
            data_source,
            id,
            state,
        })
    }
}

/// Copies the text only when it is short enough to be kept.
fn boxed(text: &str) -> Result<Box<str>, String> {
    if text.len() > limits::DECLARED_ID_BYTES_MAX {
        let (length, max) = (text.len(), limits::DECLARED_ID_BYTES_MAX);
        return Err(declared::DeclaredIdError::TooLong { length, max }.to_string());
    }
    Ok(text.into())
}

fn auth_state(number: Option<u32>) -> Result<AuthState, String> {
    match number {
        None | Some(1) => Ok(AuthState::Authenticated),
        Some(0) => Ok(AuthState::Unknown),
        Some(2) => Ok(AuthState::LoggedOut),
        Some(other) => Err(format!("is {other}, expected 0, 1 or 2")),
    }
}
