//! Decoding: what both kinds of receivers take, what they mention, what they refuse and how they say so.

mod refused;

use tidings_wire::{Decoder, Numbers, Options, options::DESTINATION_KEY_OF_TABLES};

use crate::vectors::{V1, V1_PUBLISHED, V2, V3, V4, V5, V6};

fn strict() -> Decoder {
    Decoder::strict(Options::default())
}

/// The text of V5 with one part replaced.
#[track_caller]
fn altered(from: &str, to: &str) -> String {
    let text = str::from_utf8(V5.bytes).unwrap();
    assert!(text.contains(from), "nothing to replace");
    text.replacen(from, to, 1)
}

/// What a decoder says about a message: `ok`, its warnings, or why it refuses it.
fn said(decoder: &Decoder, body: &[u8]) -> String {
    match decoder.decode(body) {
        Ok(decoded) if decoded.warnings.is_empty() => "ok".to_owned(),
        Ok(decoded) => format!("ok, but {}", decoded.warnings),
        Err(error) => error.to_string(),
    }
}

/// The problems for which a decoder refuses a message, a line each.
#[track_caller]
fn listed(decoder: &Decoder, body: &[u8]) -> String {
    let error = decoder.decode(body).unwrap_err();
    let problems = error.problems().unwrap().listed().iter();
    problems.map(|problem| format!("{problem}\n")).collect()
}

/// Alters V5 and checks what the tolerant and the strict decoder say about it.
#[track_caller]
fn check(from: &str, to: &str, expected_tolerant: &str, expected_strict: &str) {
    let body = altered(from, to);
    let tolerant = said(&Decoder::tolerant(), body.as_bytes());
    assert_eq!(tolerant, expected_tolerant, "tolerant");
    assert_eq!(said(&strict(), body.as_bytes()), expected_strict, "strict");
}

/// Alters V5 in a way that both decoders refuse with the same words.
#[track_caller]
fn refuse(from: &str, to: &str, expected: &str) {
    let expected = format!("message is not valid: {expected}");
    check(from, to, &expected, &expected);
}

/// Alters V5 in a way that is taken by the tolerant decoder only.
#[track_caller]
fn tolerate(from: &str, to: &str, expected_strict: &str) {
    check(
        from,
        to,
        "ok",
        &format!("message is not valid: {expected_strict}"),
    );
}

/// Alters V5 in a way that the tolerant decoder mentions and the strict one refuses.
#[track_caller]
fn mention(from: &str, to: &str, expected: &str) {
    let tolerant = format!("ok, but {expected}");
    check(
        from,
        to,
        &tolerant,
        &format!("message is not valid: {expected}"),
    );
}

#[test]
fn published_messages_are_taken() {
    for vector in [V1, V2, V4, V5, V6] {
        assert_eq!(
            said(&Decoder::tolerant(), vector.bytes),
            "ok",
            "{}",
            vector.name
        );
        assert_eq!(said(&strict(), vector.bytes), "ok", "{}", vector.name);
    }
}

#[test]
fn published_white_space_changes_nothing() {
    let published = strict().decode(V1_PUBLISHED).unwrap();
    assert_eq!(published, strict().decode(V1.bytes).unwrap());
    insta::assert_debug_snapshot!(published.message.users[1], @r#"
    MessageUser {
        aam_uuid: "0578240750487542456854736923319946899715232",
        data_partner_uuid: "848457757347734",
        regions: [],
        segments: [
            MessageSegment {
                segment_id: "10329",
                status: Active,
                date_time: 1469636241,
            },
            MessageSegment {
                segment_id: "23954",
                status: Active,
                date_time: 1469636241,
            },
        ],
    }
    "#);
}

#[test]
fn published_wrong_count_is_mentioned_or_refused() {
    let reason = "User_count: is 2, but Users has 1";
    assert_eq!(
        said(&Decoder::tolerant(), V3.bytes),
        format!("ok, but {reason}")
    );
    assert_eq!(
        said(&strict(), V3.bytes),
        format!("message is not valid: {reason}")
    );
    assert_eq!(
        Decoder::tolerant()
            .decode(V3.bytes)
            .unwrap()
            .message
            .users
            .len(),
        1
    );
}

#[test]
fn every_part_is_read() {
    insta::assert_debug_snapshot!(strict().decode(V5.bytes).unwrap().message, @r#"
    Message {
        process_time: 1456704005,
        user_dpid: Some(
            45454,
        ),
        client_id: "acct-7",
        destination_id: "4242",
        users: [
            MessageUser {
                aam_uuid: "07955261652886032950143702505894272138",
                data_partner_uuid: "dfd215e4-8d6b-4fdb-90b9-fab4456f2c9d",
                regions: [
                    6,
                    9,
                ],
                segments: [
                    MessageSegment {
                        segment_id: "autumn_buyers",
                        status: Inactive,
                        date_time: 1456703999,
                    },
                ],
            },
            MessageUser {
                aam_uuid: "07955261652886032950143702505894272138",
                data_partner_uuid: "CAESEPfHBi|UzCESAAABOnFeHJy",
                regions: [
                    6,
                    9,
                ],
                segments: [
                    MessageSegment {
                        segment_id: "autumn_buyers",
                        status: Inactive,
                        date_time: 1456703999,
                    },
                ],
            },
        ],
    }
    "#);
}

#[test]
fn numbers_may_be_integers() {
    let text = str::from_utf8(V2.bytes).unwrap();
    let mut integers = text.to_owned();
    for number in [
        "12345", "423", "2", "9", "14356", "12176", "10329", "23954", "1", "0",
    ] {
        integers = integers
            .replace(&format!(":\"{number}\""), &format!(":{number}"))
            .replace(&format!("[\"{number}\"]"), &format!("[{number}]"));
    }
    assert!(integers.contains(r#""User_DPID":12345,"#) && integers.contains("[9]"));
    let expected = strict().decode(V2.bytes).unwrap();
    assert_eq!(
        Decoder::tolerant().decode(integers.as_bytes()),
        Ok(expected.clone())
    );
    let options = Options {
        numbers: Numbers::Integers,
        ..Options::default()
    };
    let strict_integers = Decoder::strict(options);
    assert_eq!(strict_integers.decode(integers.as_bytes()), Ok(expected));
    insta::assert_snapshot!(listed(&strict(), integers.as_bytes()), @r#"
    User_DPID: must be a string of digits, found the integer 12345
    AAM_Destination_Id: must be a string, found the integer 423
    User_count: must be a string of digits, found the integer 2
    Users[0].AAM_Regions[0]: must be a string of digits, found the integer 9
    Users[0].Segments[0].Segment_ID: must be a string, found the integer 14356
    Users[0].Segments[0].Status: must be "0" or "1", found the integer 1
    Users[0].Segments[1].Segment_ID: must be a string, found the integer 12176
    Users[0].Segments[1].Status: must be "0" or "1", found the integer 0
    Users[1].AAM_Regions[0]: must be a string of digits, found the integer 9
    Users[1].Segments[0].Segment_ID: must be a string, found the integer 10329
    Users[1].Segments[0].Status: must be "0" or "1", found the integer 1
    Users[1].Segments[1].Segment_ID: must be a string, found the integer 23954
    Users[1].Segments[1].Status: must be "0" or "1", found the integer 1
    "#);
    insta::assert_snapshot!(listed(&strict_integers, V2.bytes), @r#"
    User_DPID: must be an integer, found "12345"
    User_count: must be an integer, found "2"
    Users[0].AAM_Regions[0]: must be an integer, found "9"
    Users[0].Segments[0].Status: must be 0 or 1, found "1"
    Users[0].Segments[1].Status: must be 0 or 1, found "0"
    Users[1].AAM_Regions[0]: must be an integer, found "9"
    Users[1].Segments[0].Status: must be 0 or 1, found "1"
    Users[1].Segments[1].Status: must be 0 or 1, found "1"
    "#);
    // Custom texts and texts for the destination stay strings.
    let custom = integers
        .replace(":14356", r#":"autumn""#)
        .replace(":423", r#":"us-east""#);
    assert_eq!(said(&strict_integers, custom.as_bytes()), "ok");
}

#[test]
fn the_destination_key_may_be_another() {
    let key = "AAM_Destination_Id";
    tolerate(
        key,
        DESTINATION_KEY_OF_TABLES,
        "AAM_Destination_ID: is not expected; AAM_Destination_Id: is missing",
    );
    let own = altered(key, "dest");
    assert_eq!(
        said(&Decoder::tolerant_with_key("dest"), own.as_bytes()),
        "ok"
    );
    assert_eq!(said(&Decoder::tolerant_with_key("dest"), V5.bytes), "ok");
    let options = Options {
        destination_key: "dest".to_owned(),
        ..Options::default()
    };
    assert_eq!(
        said(&Decoder::strict(options.clone()), own.as_bytes()),
        "ok"
    );
    assert_eq!(
        said(&Decoder::strict(options), V5.bytes),
        "message is not valid: AAM_Destination_Id: is not expected; dest: is missing"
    );
    check(
        key,
        "dest",
        "message is not valid: AAM_Destination_Id: is missing",
        "message is not valid: dest: is not expected; AAM_Destination_Id: is missing",
    );
}

#[test]
fn optional_members_may_be_missing_or_switched_off() {
    check(r#""User_DPID":"45454","#, "", "ok", "ok");
    check(r#""AAM_Regions":["6","9"],"#, "", "ok", "ok");
    let options = Options {
        user_dpid: false,
        regions: false,
        ..Options::default()
    };
    insta::assert_snapshot!(listed(&Decoder::strict(options), V5.bytes), @r"
    User_DPID: is not expected
    Users[0].AAM_Regions: is not expected
    Users[1].AAM_Regions: is not expected
    ");
}

#[test]
fn unknown_members_are_ignored() {
    tolerate(
        r#"{"Segment_ID""#,
        r#"{"note":{"a":[1,-2,3.5,null,true]},"Segment_ID""#,
        "Users[0].Segments[0].note: is not expected",
    );
    tolerate(
        r#"{"ProcessTime""#,
        r#"{"Process\nTime":1,"ProcessTime""#,
        r"Process\nTime: is not expected",
    );
}

#[test]
fn order_of_members_is_free() {
    let text = altered(r#""User_DPID":"45454","#, "");
    let text = text.replace(r#"]}]}"#, r#"]}],"User_DPID":"45454"}"#);
    assert_eq!(strict().decode(text.as_bytes()), strict().decode(V5.bytes));
}

#[test]
fn oddities_are_mentioned() {
    mention(
        r#""User_count":"2""#,
        r#""User_count":"3""#,
        "User_count: is 3, but Users has 2",
    );
    mention(r#"["6","9"]"#, "[]", "Users[0].AAM_Regions: is empty");
    tolerate(
        r#""User_count":"2""#,
        r#""User_count":"02""#,
        "User_count: must have no leading zeros",
    );
    let twice = r#"[{"Segment_ID":"autumn_buyers","Status":"1","DateTime":"Sun Feb 28 23:59:59 UTC 2016"},{"#;
    let expected =
        r#"ok, but Users[0].Segments: Segment_ID "autumn_buyers" appears more than once"#;
    check(
        "[{\"Segment_ID\"",
        &format!("{twice}\"Segment_ID\""),
        expected,
        expected,
    );
    let empty = r#"{"ProcessTime":"Mon Feb 29 00:00:05 UTC 2016","Client_ID":"","AAM_Destination_Id":"1","User_count":"1","Users":[{"AAM_UUID":"1","DataPartner_UUID":"","Segments":[]}]}"#;
    assert_eq!(
        said(&Decoder::tolerant(), empty.as_bytes()),
        "ok, but Users[0].Segments: is empty"
    );
}

#[test]
fn large_ids_keep_every_digit() {
    // 43 digits, the first a zero.
    let message = strict().decode(V1.bytes).unwrap().message;
    assert_eq!(
        message.users[1].aam_uuid,
        "0578240750487542456854736923319946899715232"
    );
    let large = altered(r#""4242""#, "18446744073709551615");
    let message = Decoder::tolerant()
        .decode(large.as_bytes())
        .unwrap()
        .message;
    assert_eq!(message.destination_id, "18446744073709551615");
}
