//! Properties: what is written is read, and damage is told.

use super::*;
use proptest::{collection::vec, option, prelude::*};
use tidings_model::{AuthState, DataSourceId, DeclaredId, DeviceUuid, RegionId, Signals, TraitId};

fn now() -> Timestamp {
    Timestamp(1_469_636_242)
}

/// Writes an event as a client would; the other direction of the parser.
fn to_json(event: &Event) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap();
    let mut members = Vec::new();
    if let Some(uuid) = &event.uuid {
        members.push(format!(r#""uuid":"{uuid}""#));
    }
    if let Some(time) = event.time {
        members.push(format!(r#""time":"{time}""#));
    }
    if let Some(region) = event.region {
        members.push(format!(r#""region":{region}"#));
    }
    let mut keys: Vec<&str> = event.signals.iter().map(|(key, _)| key).collect();
    keys.dedup();
    let signals: Vec<String> = keys
        .iter()
        .map(|key| {
            let values: Vec<String> = event.signals.values(key).map(text).collect();
            match values.as_slice() {
                [value] => format!("{}:{value}", text(key)),
                values => format!("{}: [{}]", text(key), values.join(" ,")),
            }
        })
        .collect();
    members.push(format!(r#""signals":{{{}}}"#, signals.join(",")));
    for (name, traits) in [
        ("traits", &event.traits),
        ("remove_traits", &event.remove_traits),
    ] {
        let traits: Vec<String> = traits.iter().map(TraitId::to_string).collect();
        members.push(format!(r#""{name}":[{}]"#, traits.join(",")));
    }
    let ids = event.ids.iter().map(|id| {
        let state = match id.state {
            AuthState::Unknown => ",\"state\":0",
            AuthState::Authenticated => "",
            AuthState::LoggedOut => ",\"state\":2",
        };
        format!(
            r#"{{"data_source":{},"id":{}{state}}}"#,
            id.data_source,
            text(&id.id)
        )
    });
    members.push(format!(r#""ids":[{}]"#, ids.collect::<Vec<_>>().join(", ")));
    if let Some(event_id) = &event.event_id {
        members.push(format!(r#""event_id":{}"#, text(event_id)));
    }
    format!("{{{}}}", members.join(","))
}

fn signals() -> impl Strategy<Value = Signals> {
    let pairs = vec(
        ("[a-z0-9._-]{0,3}[A-Za-z]", vec(any::<String>(), 1..3)),
        0..6,
    );
    pairs.prop_map(|mut pairs| {
        // Sorted, since the order of keys in a buffer is part of what `==` compares.
        pairs.sort();
        pairs.dedup_by(|a, b| a.0 == b.0);
        let mut signals = Signals::default();
        for (key, values) in pairs {
            for value in values {
                signals.push(&key, &value);
            }
        }
        signals
    })
}

fn declared_ids() -> impl Strategy<Value = Vec<DeclaredId>> {
    let state = prop_oneof![
        Just(AuthState::Unknown),
        Just(AuthState::Authenticated),
        Just(AuthState::LoggedOut)
    ];
    let id = ("[^:%\\p{Cc}]{1,20}", state);
    vec(id, 0..10).prop_map(|ids| {
        let with_source = ids
            .into_iter()
            .zip(100u32..)
            .map(|((id, state), n)| DeclaredId {
                data_source: DataSourceId(n / 3),
                id: id.into(),
                state,
            });
        with_source.collect()
    })
}

fn event() -> impl Strategy<Value = Event> {
    let traits = || vec((0..u32::MAX).prop_map(TraitId), 0..5);
    (
        option::of("[0-9]{1,64}"),
        option::of(-60_000_000_000i64..=1_469_636_242),
        option::of(0..u32::MAX),
        signals(),
        (traits(), traits()),
        declared_ids(),
        option::of("[^\\p{Cc}]{1,30}"),
    )
        .prop_map(
            |(uuid, time, region, signals, (traits, remove_traits), ids, event_id)| Event {
                uuid: uuid.map(|text| text.parse::<DeviceUuid>().unwrap()),
                time: time.map(Timestamp),
                region: region.map(RegionId),
                signals,
                traits,
                remove_traits,
                ids,
                event_id: event_id.map(Into::into),
            },
        )
}

proptest! {
    #[test]
    fn what_is_written_is_read(events in vec(event(), 1..4)) {
        let texts: Vec<String> = events.iter().map(to_json).collect();
        let expected: Vec<_> = events.into_iter().map(Entry::Event).map(Ok).collect();
        let array = format!("[{}]", texts.join(",\n"));
        let read = parse(array.as_bytes(), Format::Json, now()).unwrap();
        prop_assert_eq!(&read, &expected);
        let lines = texts.join("\n");
        prop_assert_eq!(parse(lines.as_bytes(), Format::JsonLines, now()).unwrap(), expected);
    }

    /// Whatever the bytes, reading them ends, and says the same of an array and of its element.
    #[test]
    fn damage_is_told(event in event(), position in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = to_json(&event).into_bytes();
        let position = position.index(body.len());
        body[position] = byte;
        let alone = parse(&body, Format::Json, now());
        if let Ok(text) = str::from_utf8(&body) {
            let read = parse_entry(text, now());
            prop_assert_eq!(read.is_ok(), matches!(alone.as_deref(), Ok([Ok(_)])));
        } else {
            prop_assert!(alone.is_err());
        }
        let mut array = b"[{},".to_vec();
        array.extend_from_slice(&body);
        array.push(b']');
        if let (Ok(alone), Ok(array)) = (&alone, parse(&array, Format::Json, now())) {
            prop_assert_eq!(array.len(), 2);
            let same = match (&alone[0], &array[1]) {
                (Ok(a), Ok(b)) => a == b,
                (Err(a), Err(b)) => a.code == b.code && a.message == b.message && a.line == b.line && a.column + 4 == b.column,
                _ => false,
            };
            prop_assert!(same, "{:?} {:?}", alone[0], array[1]);
        }
    }
}
