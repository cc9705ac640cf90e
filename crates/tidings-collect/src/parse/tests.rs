//! Tables of what is read and what is refused.

use super::*;
use tidings_model::{AuthState, DataSourceId, DeclaredId, RegionId, Signals, TraitId};

const NOW: &str = "2016-07-27T16:17:22Z";

fn now() -> Timestamp {
    Timestamp::parse(NOW).unwrap()
}

/// One line per event: `ok`, or the code, the message and the place.
fn outcome(body: &[u8], format: Format) -> String {
    let events = match parse(body, format, now()) {
        Ok(events) => events,
        Err(error) => return format!("{}: {error}", error.code()),
    };
    let lines = events.into_iter().map(|event| match event {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{}: {error}", error.code),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(body: &str, expected: &str) {
    assert_eq!(outcome(body.as_bytes(), Format::Json), expected, "{body}");
}

/// Checks a single event, whose error is given without its place.
#[track_caller]
fn check_event(text: &str, expected: &str) {
    let outcome = match parse_event(text, now()) {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{}: {}", error.code, error.message),
    };
    assert_eq!(outcome, expected, "{text}");
}

#[test]
fn reads_every_member() {
    let text = r#"{"uuid":"19393572368547369350319949416899715727","time":"2016-07-27T16:17:22Z","region":9,
        "signals":{"page":"checkout","price":["12","15",1.00,-2e3,true],"empty":[],"q\u0075ote":"\"\u00e9"},
        "traits":[1001],"remove_traits":[2001],
        "ids":[{"data_source":12345,"id":"4250948725049857","state":1},{"id":"a","data_source":6,"state":0}],
        "event_id":"e-1"}"#;
    let mut signals = Signals::default();
    for (key, value) in [
        ("page", "checkout"),
        ("price", "12"),
        ("price", "15"),
        ("price", "1.00"),
        ("price", "-2e3"),
        ("price", "true"),
        ("quote", "\"é"),
    ] {
        signals.push(key, value);
    }
    let id = |data_source, id: &str, state| DeclaredId {
        data_source: DataSourceId(data_source),
        id: id.into(),
        state,
    };
    let expected = Event {
        uuid: Some("19393572368547369350319949416899715727".parse().unwrap()),
        time: Some(now()),
        region: Some(RegionId(9)),
        signals,
        traits: vec![TraitId(1001)],
        remove_traits: vec![TraitId(2001)],
        ids: vec![
            id(12345, "4250948725049857", AuthState::Authenticated),
            id(6, "a", AuthState::Unknown),
        ],
        event_id: Some("e-1".into()),
    };
    assert_eq!(parse_event(text, now()), Ok(expected));
}

#[test]
fn every_member_is_optional() {
    assert_eq!(parse_event("{}", now()), Ok(Event::default()));
    let nulls = r#"{"uuid":null,"time":null,"region":null,"signals":null,"traits":null,"remove_traits":null,"ids":null,"event_id":null}"#;
    assert_eq!(parse_event(nulls, now()), Ok(Event::default()));
}

#[test]
fn refuses_wrong_members() {
    for (text, expected) in [
        (
            r#"[]"#,
            "invalid_event: event: invalid type: sequence, expected an object",
        ),
        (
            r#"{"page":1}"#,
            "unknown_field: event: has no member \"page\", expected uuid, time, region, signals, traits, remove_traits, ids or event_id",
        ),
        (
            r#"{"uuid":"1","uuid":"1"}"#,
            "duplicate_field: event: member \"uuid\" is given twice",
        ),
        (
            r#"{"uuid":"12a"}"#,
            "invalid_uuid: uuid: the id has a character that is not a digit at position 2",
        ),
        (r#"{"uuid":""}"#, "invalid_uuid: uuid: the id is empty"),
        (
            r#"{"uuid":19}"#,
            "invalid_uuid: uuid: invalid type: integer `19`, expected a string of digits",
        ),
        (
            r#"{"uuid":{"a":1}}"#,
            "invalid_uuid: uuid: invalid type: map, expected a string of digits",
        ),
        (
            r#"{"time":1469636242}"#,
            "invalid_time: time: invalid type: integer `1469636242`, expected a string like 2016-07-27T16:17:22Z",
        ),
        (
            r#"{"time":"2016-07-27T16:17:23Z"}"#,
            "time_in_future: time: 2016-07-27T16:17:23Z is in the future, it is now 2016-07-27T16:17:22Z",
        ),
        (r#"{"time":"2016-07-27T16:17:22.999Z"}"#, "ok"),
        (r#"{"time":"2016-07-27T18:17:22+02:00"}"#, "ok"),
        (
            r#"{"region":-1}"#,
            "invalid_region: region: -1 is out of range, ids go from 0 to 4294967294",
        ),
        (
            r#"{"region":4294967295}"#,
            "invalid_region: region: 4294967295 is out of range, ids go from 0 to 4294967294",
        ),
        (
            r#"{"region":1.5}"#,
            "invalid_region: region: invalid type: floating point `1.5`, expected a region id, a whole number",
        ),
        (
            r#"{"traits":7}"#,
            "invalid_trait: traits: invalid type: integer `7`, expected an array of trait ids",
        ),
        (
            r#"{"traits":[7,"8"]}"#,
            "invalid_trait: traits[1]: invalid type: string \"8\", expected a trait id, a whole number",
        ),
        (
            r#"{"remove_traits":[null]}"#,
            "invalid_trait: remove_traits[0]: invalid type: null, expected a trait id, a whole number",
        ),
        (r#"{"event_id":""}"#, "invalid_event_id: event_id: is empty"),
        (
            r#"{"event_id":"a\u0007"}"#,
            "invalid_event_id: event_id: has a control character at byte 1",
        ),
        (
            r#"{"event_id":5}"#,
            "invalid_event_id: event_id: invalid type: integer `5`, expected a string",
        ),
    ] {
        check_event(text, expected);
    }
}

#[test]
fn refuses_wrong_signals() {
    let scalar = "a value is a string, a number, a bool, or an array of those";
    let key = "a key has letters, digits, '-', '_' and '.', and at least one letter";
    for (text, expected) in [
        (
            r#"{"signals":[]}"#,
            "invalid_signals: signals: invalid type: sequence, expected an object of signals"
                .to_owned(),
        ),
        (
            r#"{"signals":{"a":null}}"#,
            format!("invalid_signals: signals.a: {scalar}"),
        ),
        (
            r#"{"signals":{"a":{"b":1}}}"#,
            format!("invalid_signals: signals.a: {scalar}"),
        ),
        (
            r#"{"signals":{"a":["x",["y"]]}}"#,
            format!("invalid_signals: signals.a: value 1: {scalar}"),
        ),
        (
            r#"{"signals":{"a":"1","b":"2","a":"3"}}"#,
            "invalid_signals: signals.a: is given twice; give several values as an array"
                .to_owned(),
        ),
        (
            r#"{"signals":{"price!123":"1"}}"#,
            format!("invalid_signals: signals.\"price!123\": {key}"),
        ),
        (
            r#"{"signals":{"123":"1"}}"#,
            format!("invalid_signals: signals.\"123\": {key}"),
        ),
        (
            r#"{"signals":{"":"1"}}"#,
            format!("invalid_signals: signals.\"\": {key}"),
        ),
        (
            r#"{"signals":{"price123":1,"123price":1,"price-123":1,"c_price123":1,"c_contextData.a":1}}"#,
            "ok".to_owned(),
        ),
        (r#"{"signals":{"a":"x,y"}}"#, "ok".to_owned()),
    ] {
        check_event(text, &expected);
    }
    let comma = parse_event(r#"{"signals":{"a":"x,y"}}"#, now()).unwrap();
    assert_eq!(comma.signals.values("a").collect::<Vec<_>>(), ["x,y"]);
}

#[test]
fn refuses_wrong_ids() {
    for (ids, expected) in [
        (
            r#"{}"#,
            "invalid_id: ids: invalid type: map, expected an array of declared ids",
        ),
        (
            r#"["x"]"#,
            "invalid_id: ids[0]: invalid type: string \"x\", expected an object with data_source and id",
        ),
        (
            r#"[{"id":"x"}]"#,
            "invalid_data_source: ids[0].data_source: is missing",
        ),
        (
            r#"[{"data_source":1}]"#,
            "invalid_id: ids[0].id: is missing",
        ),
        (
            r#"[{"data_source":"1","id":"x"}]"#,
            "invalid_data_source: ids[0].data_source: invalid type: string \"1\", expected a data source id, a whole number",
        ),
        (
            r#"[{"data_source":1,"id":5}]"#,
            "invalid_id: ids[0].id: invalid type: integer `5`, expected a string",
        ),
        (
            r#"[{"data_source":1,"id":"x"},{"data_source":1,"id":"a:b"}]"#,
            "invalid_id: ids[1].id: has a colon at byte 1, which declared ids may not contain",
        ),
        (
            r#"[{"data_source":20914,"id":"00000000-0000-0000-0000-000000000000"}]"#,
            "invalid_id: ids[0].id: is all zeros, which stands for a device that does not want to be tracked",
        ),
        (
            r#"[{"data_source":1,"id":"x","state":3}]"#,
            "invalid_state: ids[0].state: is 3, expected 0, 1 or 2",
        ),
        (r#"[{"data_source":1,"id":"x","state":null}]"#, "ok"),
        (
            r#"[{"data_source":1,"id":"x","name":1}]"#,
            "unknown_field: ids[0]: has no member \"name\", expected data_source, id or state",
        ),
        (
            r#"[{"data_source":1,"id":"x","id":"y"}]"#,
            "duplicate_field: ids[0]: member \"id\" is given twice",
        ),
    ] {
        check_event(&format!(r#"{{"ids":{ids}}}"#), expected);
    }
}

#[test]
fn limits_of_one_event() {
    let ids = |count: usize, per_source: usize| {
        let ids: Vec<_> = (0..count)
            .map(|n| format!(r#"{{"data_source":{},"id":"i{n}"}}"#, n / per_source))
            .collect();
        format!(r#"{{"ids":[{}]}}"#, ids.join(","))
    };
    let numbers = |count| vec!["1"; count].join(",");
    check_event(
        &ids(10, 3),
        "invalid_id: ids[0].id: is not an id of data source 0: expected 38 digits",
    );
    let ids = |count, per_source| ids(count, per_source).replace(":0,", ":99,");
    check_event(&ids(10, 3), "ok");
    check_event(
        &ids(11, 3),
        "too_many_ids: ids[10]: is one too many, the limit is 10",
    );
    check_event(
        &ids(4, 4),
        "too_many_ids: ids[3]: is one too many of data source 99, the limit is 3",
    );
    check_event(&format!(r#"{{"traits":[{}]}}"#, numbers(1000)), "ok");
    check_event(
        &format!(r#"{{"traits":[{}]}}"#, numbers(1001)),
        "too_many_traits: traits[1000]: is one too many, the limit is 1000",
    );
    check_event(
        &format!(r#"{{"signals":{{"a":[{}]}}}}"#, numbers(1000)),
        "ok",
    );
    check_event(
        &format!(r#"{{"signals":{{"a":[{}],"b":[]}}}}"#, numbers(1001)),
        "too_many_signals: signals.a: value 1000: is one too many, the limit is 1000 values",
    );
    let text = |bytes| "x".repeat(bytes);
    check_event(&format!(r#"{{"signals":{{"a":"{}"}}}}"#, text(8192)), "ok");
    check_event(
        &format!(r#"{{"signals":{{"a":"{}"}}}}"#, text(8193)),
        "invalid_signals: signals.a: the value has 8193 bytes, the limit is 8192",
    );
    check_event(&format!(r#"{{"signals":{{"{}":1}}}}"#, text(256)), "ok");
    check_event(
        &format!(r#"{{"signals":{{"{}":1}}}}"#, text(257)),
        &format!(
            "invalid_signals: signals.\"{}…\": the key has 257 bytes, the limit is 256",
            text(64)
        ),
    );
    check_event(&format!(r#"{{"event_id":"{}"}}"#, text(128)), "ok");
    check_event(
        &format!(r#"{{"event_id":"{}"}}"#, text(129)),
        "invalid_event_id: event_id: has 129 bytes, the limit is 128",
    );
    check_event(
        &format!(r#"{{"ids":[{{"data_source":1,"id":"{}"}}]}}"#, text(513)),
        "invalid_id: ids[0].id: has 513 bytes, the limit is 512",
    );
    check_event(
        &format!(r#"{{"uuid":"{}"}}"#, "1".repeat(65)),
        "invalid_uuid: uuid: the id has 65 characters, the limit is 64",
    );
}

#[test]
fn one_bad_event_does_not_spoil_the_others() {
    check(
        "[{\"uuid\":\"1\"},\n  {\"uuid\":\"x\"}, 7,\n\n{\n \"time\":\n 5}, {}]",
        "ok\n\
         invalid_uuid: uuid: the id has a character that is not a digit at position 0, at line 2 column 13\n\
         invalid_event: event: invalid type: integer `7`, expected an object, at line 2 column 17\n\
         invalid_time: time: invalid type: integer `5`, expected a string like 2016-07-27T16:17:22Z, at line 6 column 2\n\
         ok",
    );
    check("[]", "");
    check(" {} ", "ok");
}

#[test]
fn bodies_that_cannot_be_read() {
    check("", "empty_body: the body is empty");
    check(" \n ", "empty_body: the body is empty");
    check(
        "42",
        "invalid_json: nothing in the body can be read: expected an object or an array of objects, at line 1 column 1",
    );
    check(
        "nope",
        "invalid_json: nothing in the body can be read: not valid JSON: expected ident, at line 1 column 2",
    );
    check(
        "{\n\"uuid\":}",
        "invalid_json: nothing in the body can be read: not valid JSON: expected value, at line 2 column 8",
    );
    check(
        r#"{"uuid":"x", broken"#,
        "invalid_json: nothing in the body can be read: not valid JSON: key must be a string, at line 1 column 14",
    );
    check(
        "[{\"uuid\":\"1\"},\n{]",
        "invalid_json: nothing in the body can be read: not valid JSON: key must be a string, at line 2 column 2",
    );
    check(
        "[{}",
        "invalid_json: nothing in the body can be read: not valid JSON: EOF while parsing a list, at line 1 column 3",
    );
    check(
        "[{}]x",
        "invalid_json: nothing in the body can be read: not valid JSON: trailing characters (for one object per line, send Content-Type: application/x-ndjson), at line 1 column 5",
    );
    check(
        "{}\n{}",
        "invalid_json: nothing in the body can be read: not valid JSON: trailing characters (for one object per line, send Content-Type: application/x-ndjson), at line 2 column 1",
    );
    check(
        r#"{"uuid":"\ud800"}"#,
        "invalid_json: nothing in the body can be read: not valid JSON: unexpected end of hex escape, at line 1 column 16",
    );
    let not_utf8 = outcome(b"{\n\"a\xff\"}", Format::Json);
    assert_eq!(
        not_utf8,
        "invalid_json: nothing in the body can be read: not valid JSON: a byte that is not UTF-8, at line 2 column 3"
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        let inner = depth - 1;
        format!(r#"{{"x":{}{}}}"#, "[".repeat(inner), "]".repeat(inner))
    };
    check_event(
        &nested(64),
        "unknown_field: event: has no member \"x\", expected uuid, time, region, signals, traits, remove_traits, ids or event_id",
    );
    check_event(
        &nested(65),
        "too_deep: event: is nested deeper than 64 levels",
    );
    let bomb = nested(1_000_000);
    check_event(&bomb, "too_deep: event: is nested deeper than 64 levels");
    check(
        &format!("[{{}},{bomb}]"),
        &format!(
            "ok\ntoo_deep: event: is nested deeper than 64 levels, at line 1 column {}",
            8
        ),
    );
    let signals = format!(
        r#"{{"signals":{{"a":{}{}}}}}"#,
        "[".repeat(99),
        "]".repeat(99)
    );
    check_event(&signals, "too_deep: event: is nested deeper than 64 levels");
    check(
        &bomb,
        "too_deep: nothing in the body can be read: event: is nested deeper than 64 levels, at line 1 column 4",
    );
    let open = outcome("[".repeat(1_000_000).as_bytes(), Format::Json);
    assert!(
        open.starts_with("invalid_json: nothing in the body can be read"),
        "{open}"
    );
}

#[test]
fn lines_stand_alone() {
    let lines = |body: &[u8]| outcome(body, Format::JsonLines);
    assert_eq!(
        lines(b"{\"uuid\":\"1\"}\r\n\n  \nnope\n{}{}\n{\"a\xff\n{\"uuid\":\"x\"}\n{}"),
        "ok\n\
         invalid_json: not valid JSON: expected ident, at line 4 column 2\n\
         invalid_json: not valid JSON: trailing characters (for one object per line, send Content-Type: application/x-ndjson), at line 5 column 3\n\
         invalid_json: not valid JSON: a byte that is not UTF-8, at line 6 column 4\n\
         invalid_uuid: uuid: the id has a character that is not a digit at position 0, at line 7 column 11\n\
         ok"
    );
    assert_eq!(lines(b"\n \n"), "empty_body: the body is empty");
    assert_eq!(
        lines(b"nope\nneither"),
        "invalid_json: nothing in the body can be read: not valid JSON: expected ident, at line 1 column 2"
    );
}

#[test]
fn limits_of_one_body() {
    let array = |count| format!("[{}]", vec!["{}"; count].join(","));
    let lines = |count| "{}\n".repeat(count);
    let count =
        |body: String, format| parse(body.as_bytes(), format, now()).map(|events| events.len());
    assert_eq!(count(array(10_000), Format::Json), Ok(10_000));
    assert_eq!(
        count(array(10_001), Format::Json),
        Err(BodyError::TooManyEvents)
    );
    assert_eq!(count(lines(10_000), Format::JsonLines), Ok(10_000));
    assert_eq!(
        count(lines(10_001), Format::JsonLines),
        Err(BodyError::TooManyEvents)
    );
    let spaces = " ".repeat(limits::EVENTS_BODY_BYTES_MAX - 2);
    assert_eq!(count(format!("{{}}{spaces}"), Format::Json), Ok(1));
    assert_eq!(
        count(format!("{{}} {spaces}"), Format::Json),
        Err(BodyError::TooLarge)
    );
}
