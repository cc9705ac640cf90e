//! An event as a line of JSON, the form in which `POST /v1/events` takes many at once.

use serde_json::{Map, Value, json};
use tidings_model::{AuthState, Event};

/// Appends the event and a line feed. A key with several values gets an array of them.
pub(crate) fn write(event: &Event, out: &mut Vec<u8>) {
    let mut line = Map::new();
    let mut put = |key: &str, value: Value| line.insert(key.to_owned(), value);
    if let Some(uuid) = &event.uuid {
        put("uuid", json!(uuid.to_string()));
    }
    if let Some(region) = event.region {
        put("region", json!(region.0));
    }
    if !event.signals.is_empty() {
        put("signals", signals(event));
    }
    for (key, traits) in [
        ("traits", &event.traits),
        ("remove_traits", &event.remove_traits),
    ] {
        if !traits.is_empty() {
            put(key, traits.iter().map(|id| id.0).collect());
        }
    }
    if !event.ids.is_empty() {
        let ids = event.ids.iter().map(|id| {
            let state = match id.state {
                AuthState::Unknown => 0,
                AuthState::Authenticated => 1,
                AuthState::LoggedOut => 2,
            };
            json!({ "data_source": id.data_source.0, "id": id.id, "state": state })
        });
        put("ids", ids.collect());
    }
    serde_json::to_writer(&mut *out, &line).expect("writing to memory succeeds");
    out.push(b'\n');
}

fn signals(event: &Event) -> Value {
    let mut signals = Map::new();
    for (key, value) in event.signals.iter() {
        let values = signals.entry(key).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(json!(value));
        }
    }
    Value::Object(signals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::demo::visitors::Visitors;
    use std::mem::take;
    use tidings_collect::parse_event;
    use tidings_model::Timestamp;

    #[test]
    fn the_server_reads_what_was_meant() {
        for visit in Visitors::new(11, 300).take(3_000) {
            let mut line = Vec::new();
            write(&visit.event, &mut line);
            let text = std::str::from_utf8(&line).unwrap();
            let mut read = parse_event(text.trim_end(), Timestamp(0)).unwrap();
            let mut meant = visit.event;
            // Signals are equal in their pairs; the order of arrival shows inside of them.
            let (said, heard) = (take(&mut meant.signals), take(&mut read.signals));
            assert!(said.iter().eq(heard.iter()), "{text}");
            assert_eq!(read, meant, "{text}");
        }
    }
}
