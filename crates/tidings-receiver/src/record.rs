//! The record: one JSON line per request, appended to a file before the request is answered.
//!
//! ```text
//! {"at":"2016-07-27T16:17:42.123456Z","method":"POST","path":"/x?y=z","status":200,
//!  "headers":{"content-type":"application/json",…},"body":{…},"valid":true,"signature":"ok",
//!  "errors":[],"fault":"delay=5s"}
//! ```
//!
//! `status` is 0 when the request is not answered on purpose. Header names are lower case; several
//! fields of one name are joined by `, `; `Authorization` shows its scheme alone. `body` is the JSON
//! that was received, members in their order, white space between them dropped if it holds line
//! breaks; what is not JSON is a string. `fault` is there only when one happened.
//! Invariant: a line is written by one call to the system, whole or not at all as far as readers of
//! the file can see. It is not synced: it survives a crash of the program, not of the machine.

use crate::received::Received;
use http::{HeaderMap, header};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

/// The open file.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: Mutex<File>,
}

impl Recorder {
    /// Opens `path` for appending, making it if need be.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    /// Appends the line of one request. Blocks for as long as a write to the page cache takes.
    pub(crate) fn write(&self, received: &Received) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line(received))?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&line)
    }
}

/// A request in the form of the record.
struct Line<'a>(&'a Received);

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let received = self.0;
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("at", &format_args!("{:.6}", received.at))?;
        line.serialize_entry("method", received.method.as_str())?;
        line.serialize_entry("path", &received.target)?;
        line.serialize_entry("status", &received.status)?;
        line.serialize_entry("headers", &Headers(&received.headers))?;
        match json_text(&received.body) {
            Some(text) => {
                let raw = RawValue::from_string(text.into_owned());
                line.serialize_entry("body", &raw.map_err(serde::ser::Error::custom)?)?;
            }
            None => line.serialize_entry("body", &other_text(received))?,
        }
        line.serialize_entry("valid", &received.valid)?;
        line.serialize_entry("signature", received.signature.as_str())?;
        line.serialize_entry("errors", &received.errors)?;
        if let Some(fault) = &received.fault {
            line.serialize_entry("fault", fault)?;
        }
        line.end()
    }
}

/// Header fields by name, in the order of their first appearance.
struct Headers<'a>(&'a HeaderMap);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for name in self.0.keys() {
            let values: Vec<_> = self.0.get_all(name).iter().collect();
            let values: Vec<_> = values
                .into_iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .map(|value| match name {
                    &header::AUTHORIZATION | &header::PROXY_AUTHORIZATION => redacted(&value),
                    _ => value,
                })
                .collect();
            map.serialize_entry(name.as_str(), &values.join(", "))?;
        }
        map.end()
    }
}

/// `Bearer ***` of `Bearer abc`.
fn redacted(value: &str) -> Cow<'static, str> {
    match value.split_once(' ') {
        Some((scheme, _)) => format!("{scheme} ***").into(),
        None => "***".into(),
    }
}

/// The body as one line of JSON, or `None` if it is not JSON.
fn json_text(body: &[u8]) -> Option<Cow<'_, str>> {
    let raw: &RawValue = serde_json::from_slice(body).ok()?;
    let text = raw.get();
    if text.contains(['\n', '\r']) {
        Some(compact(text).into())
    } else {
        Some(text.into())
    }
}

/// Valid JSON without the white space between its tokens.
fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let mut in_string = false;
    let mut escaped = false;
    for character in json.chars() {
        if in_string {
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if matches!(character, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            in_string = character == '"';
        }
        compact.push(character);
    }
    compact
}

fn other_text(received: &Received) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(&received.body);
    if received.is_token_request {
        crate::token::redact_form(&text).into()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_order_and_strings_and_drops_white_space() {
        let json = "{\"b\": [1,\r\n \"a \\\" \\\\\"],\n\t\"a\" : \"x y\"}";
        assert_eq!(
            json_text(json.as_bytes()).unwrap(),
            r#"{"b":[1,"a \" \\"],"a":"x y"}"#
        );
        assert_eq!(json_text(b"{ \"a\": 1 }").unwrap(), r#"{ "a": 1 }"#);
        assert_eq!(json_text(b"grant_type=x"), None);
        assert_eq!(json_text(b""), None);
        assert_eq!(json_text(b"{} {}"), None);
    }

    #[test]
    fn shows_no_credentials() {
        assert_eq!(redacted("Bearer abc def"), "Bearer ***");
        assert_eq!(redacted("abc"), "***");
    }

    proptest! {
        #[test]
        fn compacting_changes_no_value(strings in proptest::collection::vec(".{0,12}", 0..6)) {
            let value = serde_json::json!({ "list": strings });
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(compact(&pretty), value.to_string());
        }
    }
}
