//! Refusals: values, shapes and sizes that no receiver takes.

use tidings_wire::{DecodeError, Decoder, Status, decode::Limits};

use super::{altered, check, listed, refuse, said, strict, tolerate};
use crate::vectors::{V1, V6};

#[test]
fn a_member_may_not_be_given_twice() {
    refuse(
        r#""Status":"0""#,
        r#""Status":"0","Status":"1""#,
        "Users[0].Segments[0].Status: must not be given twice",
    );
    check(
        r#""User_count""#,
        r#""AAM_Destination_ID":"1","User_count""#,
        "message is not valid: AAM_Destination_ID: must not be given twice",
        "message is not valid: AAM_Destination_ID: is not expected",
    );
    tolerate(
        r#""User_count""#,
        r#""x":1,"x":2,"User_count""#,
        "x: is not expected; x: is not expected",
    );
}

#[test]
fn status_is_0_or_1() {
    let expected =
        |found| format!(r#"Users[0].Segments[0].Status: must be "0" or "1", found {found}"#);
    let status = r#""Status":"0""#;
    refuse(status, r#""Status":"2""#, &expected(r#""2""#));
    refuse(status, r#""Status":"""#, &expected(r#""""#));
    refuse(status, r#""Status":"01""#, &expected(r#""01""#));
    refuse(status, r#""Status":2"#, &expected("the integer 2"));
    refuse(status, r#""Status":-1"#, &expected("a negative number"));
    refuse(status, r#""Status":true"#, &expected("true or false"));
    refuse(status, r#""Status":null"#, &expected("null"));
    tolerate(status, r#""Status":1"#, &expected("the integer 1"));
    let body = altered(status, r#""Status":1"#);
    let message = Decoder::tolerant().decode(body.as_bytes()).unwrap().message;
    assert_eq!(message.users[0].segments[0].status, Status::Active);
}

#[test]
fn dates_must_exist() {
    let published = "Sun Feb 28 23:59:59 UTC 2016";
    refuse(
        published,
        "Mon Feb 28 23:59:59 UTC 2016",
        r#"Users[0].Segments[0].DateTime: weekday does not agree with the date, found "Mon Feb 28 23:59:59 UTC 2016""#,
    );
    refuse(
        published,
        "2016-02-28T23:59:59Z",
        r#"Users[0].Segments[0].DateTime: must have the form "Wed Jul 27 16:17:42 UTC 2016", found "2016-02-28T23:59:59Z""#,
    );
    refuse(
        "Mon Feb 29 00:00:05 UTC 2016",
        "Tue Feb 30 00:00:05 UTC 2016",
        r#"ProcessTime: names no existing day and time, found "Tue Feb 30 00:00:05 UTC 2016""#,
    );
    refuse(
        r#""Mon Feb 29 00:00:05 UTC 2016""#,
        "1456704005",
        "ProcessTime: must be a string, found an integer",
    );
}

#[test]
fn numbers_must_be_plain_and_fit() {
    let dpid = r#""User_DPID":"45454""#;
    refuse(
        dpid,
        r#""User_DPID":"4294967296""#,
        "User_DPID: must be at most 4294967295",
    );
    check(
        dpid,
        r#""User_DPID":" 1""#,
        r#"message is not valid: User_DPID: must be a string of digits or an integer, found " 1""#,
        r#"message is not valid: User_DPID: must be a string of digits, found " 1""#,
    );
    check(
        dpid,
        r#""User_DPID":45454.0"#,
        "message is not valid: User_DPID: must be a string of digits or an integer, found a number that is not a plain integer",
        "message is not valid: User_DPID: must be a string of digits, found a number that is not a plain integer",
    );
    check(
        r#"["6","9"]"#,
        r#"["6","x"]"#,
        r#"message is not valid: Users[0].AAM_Regions[1]: must be a string of digits or an integer, found "x""#,
        r#"message is not valid: Users[0].AAM_Regions[1]: must be a string of digits, found "x""#,
    );
}

#[test]
fn ids_must_be_there_and_are_not_quoted() {
    let uuid = "07955261652886032950143702505894272138";
    refuse(
        uuid,
        "0x55",
        "Users[0].AAM_UUID: must be a string of digits, found another string",
    );
    refuse(
        uuid,
        "",
        "Users[0].AAM_UUID: must be a string of digits, found another string",
    );
    refuse(
        r#""07955261652886032950143702505894272138""#,
        "7955",
        "Users[0].AAM_UUID: must be a string of digits, found an integer",
    );
    refuse(
        r#""dfd215e4-8d6b-4fdb-90b9-fab4456f2c9d""#,
        "null",
        "Users[0].DataPartner_UUID: must be a string, found null",
    );
    refuse(
        r#""DataPartner_UUID":"dfd215e4-8d6b-4fdb-90b9-fab4456f2c9d","#,
        "",
        "Users[0].DataPartner_UUID: is missing",
    );
    refuse(
        "autumn_buyers",
        "",
        "Users[0].Segments[0].Segment_ID: must not be empty",
    );
    refuse(
        r#""4242""#,
        r#""""#,
        "AAM_Destination_Id: must not be empty",
    );
    refuse(
        r#""acct-7""#,
        "7",
        "Client_ID: must be a string, found an integer",
    );
}

#[test]
fn all_problems_are_named_up_to_a_limit() {
    let body = br#"{"User_DPID":[],"User_count":"x","Users":[7,{"Segments":{}},
        {"AAM_UUID":"1","DataPartner_UUID":"","Segments":[{"Segment_ID":"1"},null]}]}"#;
    let error = Decoder::tolerant().decode(body).unwrap_err();
    let problems = error.problems().unwrap();
    insta::assert_snapshot!(listed(&Decoder::tolerant(), body), @r#"
    ProcessTime: is missing
    User_DPID: must be a string of digits or an integer, found an array
    Client_ID: is missing
    AAM_Destination_Id: is missing
    User_count: must be a string of digits or an integer, found "x"
    Users[0]: must be an object, found an integer
    Users[1].AAM_UUID: is missing
    Users[1].DataPartner_UUID: is missing
    Users[1].Segments: must be an array, found an object
    Users[2].Segments[0].Status: is missing
    Users[2].Segments[0].DateTime: is missing
    Users[2].Segments[1]: must be an object, found null
    "#);

    let limits = Limits {
        problems: 2,
        ..Limits::default()
    };
    let limited = Decoder::tolerant()
        .with_limits(limits)
        .decode(body)
        .unwrap_err();
    let listed = limited.problems().unwrap();
    assert_eq!(listed.listed(), &problems.listed()[..2]);
    assert_eq!(listed.omitted(), problems.listed().len() - 2);
    insta::assert_snapshot!(limited.to_string(), @"message is not valid: ProcessTime: is missing; User_DPID: must be a string of digits or an integer, found an array; and 10 more");
    let none_listed = Limits {
        problems: 0,
        ..limits
    };
    insta::assert_snapshot!(said(&Decoder::tolerant().with_limits(none_listed), body), @"message is not valid: 12 problems");
}

#[test]
fn what_is_not_a_json_object_is_refused() {
    for body in ["[]", "null", "7", r#""text""#] {
        let error = Decoder::tolerant().decode(body.as_bytes()).unwrap_err();
        let problems = error.problems().unwrap().listed();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "message");
        assert!(problems[0].reason.starts_with("must be an object"));
    }
    let mut two_messages = V6.bytes.repeat(2);
    insta::assert_snapshot!(said(&Decoder::tolerant(), &two_messages), @"message is not JSON: trailing characters at line 1 column 310");
    two_messages.truncate(V6.length - 1);
    insta::assert_snapshot!(said(&Decoder::tolerant(), &two_messages), @"message is not JSON: EOF while parsing an object at line 1 column 308");
    insta::assert_snapshot!(said(&Decoder::tolerant(), b""), @"message is not JSON: EOF while parsing a value at line 1 column 0");
    insta::assert_snapshot!(said(&Decoder::tolerant(), b"\xef\xbb\xbf{}"), @"message is not JSON: expected value at line 1 column 1");
    insta::assert_snapshot!(said(&Decoder::tolerant(), b"{\"a\":\"\xff\"}"), @"message is not UTF-8 from byte 6 on");
    insta::assert_snapshot!(said(&Decoder::tolerant(), br#"{"a":"\ud800"}"#), @"message is not JSON: unexpected end of hex escape at line 1 column 13");
}

#[test]
fn limits_hold() {
    let limits = Limits {
        bytes: V1.length,
        depth: 5,
        values: 31,
        users: 2,
        problems: 1,
    };
    let decoder = Decoder::tolerant().with_limits(limits);
    assert_eq!(said(&decoder, V1.bytes), "ok");
    let lowered = |limits| Decoder::tolerant().with_limits(limits).decode(V1.bytes);
    assert_eq!(
        lowered(Limits {
            bytes: V1.length - 1,
            ..limits
        }),
        Err(DecodeError::TooLarge {
            bytes: V1.length,
            bytes_max: V1.length - 1
        })
    );
    assert_eq!(
        lowered(Limits { depth: 4, ..limits }),
        Err(DecodeError::TooDeep { depth_max: 4 })
    );
    assert_eq!(
        lowered(Limits {
            values: 30,
            ..limits
        }),
        Err(DecodeError::TooManyValues { values_max: 30 })
    );
    let error = lowered(Limits { users: 1, ..limits }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "message is not valid: Users: has 2 elements, more than 1"
    );
}

#[test]
fn hostile_shapes_are_refused_early() {
    let nested = "[".repeat(1_000_000);
    assert_eq!(
        Decoder::tolerant().decode(nested.as_bytes()),
        Err(DecodeError::TooDeep { depth_max: 32 })
    );
    let nested = "{\"a\":".repeat(100_000);
    assert_eq!(
        Decoder::tolerant().decode(nested.as_bytes()),
        Err(DecodeError::TooDeep { depth_max: 32 })
    );
    let wide = format!("[{}0]", "0,".repeat(1_000_000));
    assert_eq!(
        Decoder::tolerant().decode(wide.as_bytes()),
        Err(DecodeError::TooManyValues {
            values_max: 256 * 1024
        })
    );
    let long_name = format!(r#"{{"{}\u0007":1}}"#, "n".repeat(38));
    let error = strict()
        .decode(long_name.replace("n\\u", "nnnn\\u").as_bytes())
        .unwrap_err();
    insta::assert_snapshot!(error.problems().unwrap().listed()[0].path, @"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…");
}
