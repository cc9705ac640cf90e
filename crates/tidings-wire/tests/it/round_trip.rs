//! Properties that tie encoder and decoder together, for any message and any options.

use proptest::{collection::vec, prelude::*};
use tidings_wire::{
    Decoder, Message, MessageSegment, MessageUser, Numbers, Options, Status, date,
    encode::{EncodeError, Head, Segment, SegmentRef, User, encode, encode_message, encode_user},
    options::{DESTINATION_KEY, DESTINATION_KEY_OF_TABLES},
};

use crate::vectors;

fn options() -> impl Strategy<Value = Options> {
    let key = prop_oneof![
        Just(DESTINATION_KEY.to_owned()),
        Just(DESTINATION_KEY_OF_TABLES.to_owned()),
        any::<String>(),
    ];
    let numbers = prop_oneof![Just(Numbers::Strings), Just(Numbers::Integers)];
    (numbers, key, any::<bool>(), any::<bool>())
        .prop_map(|(numbers, destination_key, user_dpid, regions)| Options {
            numbers,
            destination_key,
            user_dpid,
            regions,
        })
        .prop_filter("a usable key", |options| options.check().is_ok())
}

/// Digits of ordinary and extraordinary size, with leading zeros or not, and any other text.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u32>().prop_map(|id| id.to_string()),
        any::<u64>().prop_map(|id| id.to_string()),
        "[0-9]{1,24}",
        any::<String>().prop_filter("not empty", |text| !text.is_empty()),
    ]
}

fn instant() -> impl Strategy<Value = i64> {
    date::FIRST..=date::LAST
}

fn segment() -> impl Strategy<Value = MessageSegment> {
    let status = prop_oneof![Just(Status::Active), Just(Status::Inactive)];
    (id(), status, instant()).prop_map(|(segment_id, status, date_time)| MessageSegment {
        segment_id,
        status,
        date_time,
    })
}

fn user() -> impl Strategy<Value = MessageUser> {
    (
        "[0-9]{1,64}",
        any::<String>(),
        vec(any::<u32>(), 0..4),
        vec(segment(), 1..5),
    )
        .prop_map(
            |(aam_uuid, data_partner_uuid, regions, segments)| MessageUser {
                aam_uuid,
                data_partner_uuid,
                regions,
                segments,
            },
        )
}

fn message() -> impl Strategy<Value = Message> {
    let users = vec(user(), 1..5);
    (
        instant(),
        any::<Option<u32>>(),
        any::<String>(),
        id(),
        users,
    )
        .prop_map(
            |(process_time, user_dpid, client_id, destination_id, users)| Message {
                process_time,
                user_dpid,
                client_id,
                destination_id,
                users,
            },
        )
}

/// What is left of a message that was sent with these options.
fn as_sent(mut message: Message, options: &Options) -> Message {
    if !options.user_dpid {
        message.user_dpid = None;
    }
    if !options.regions {
        message
            .users
            .iter_mut()
            .for_each(|user| user.regions.clear());
    }
    message
}

proptest! {
    #[test]
    fn decoding_inverts_encoding(message in message(), options in options()) {
        let mut bytes = Vec::new();
        message.encode(&options, &mut bytes).unwrap();
        let expected = as_sent(message, &options);

        let strict = Decoder::strict(options.clone()).decode(&bytes).unwrap();
        prop_assert_eq!(&strict.message, &expected);
        let tolerant = Decoder::tolerant_with_key(options.destination_key).decode(&bytes).unwrap();
        prop_assert_eq!(tolerant, strict);
    }

    #[test]
    fn the_bytes_are_those_of_serde_json(message in message(), options in options()) {
        let mut bytes = Vec::new();
        message.encode(&options, &mut bytes).unwrap();
        // Compact, escaped alike, nothing lost: parsed and printed again it has the same length. The
        // order of members differs, as serde_json sorts them.
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(value.to_string().len(), bytes.len());
    }

    #[test]
    fn assembling_gives_the_bytes_of_one_step(message in message(), options in options()) {
        let mut expected = Vec::new();
        message.encode(&options, &mut expected).unwrap();
        // All user objects in one buffer, cut by their ends.
        let mut objects = Vec::new();
        let mut ends = vec![0];
        for user in &message.users {
            let segments: Vec<Segment<'_>> = user.segments.iter().map(|segment| Segment {
                id: match segment.segment_id.parse::<u32>() {
                    Ok(id) if id.to_string() == segment.segment_id => SegmentRef::Number(id),
                    _ => SegmentRef::Text(&segment.segment_id),
                },
                status: segment.status,
                date_time: segment.date_time,
            }).collect();
            let user = User {
                aam_uuid: &user.aam_uuid,
                data_partner_uuid: &user.data_partner_uuid,
                regions: &user.regions,
                segments: &segments,
            };
            encode_user(&options, &user, &mut objects).unwrap();
            ends.push(objects.len());
        }
        let mut assembled = Vec::new();
        let slices = ends.windows(2).map(|ends| &objects[ends[0]..ends[1]]);
        encode_message(&options, &message.head(), slices, &mut assembled).unwrap();
        prop_assert_eq!(assembled, expected);
    }

    #[test]
    fn damaged_messages_do_no_harm(
        vector in 0..vectors::ALL.len(),
        edits in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let mut bytes = vectors::ALL[vector].bytes.to_vec();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at + 1),
            }
        }
        let strict = Decoder::strict(Options::default()).decode(&bytes);
        let tolerant = Decoder::tolerant().decode(&bytes);
        // The tolerant decoder takes all that the strict one takes, as the same message; and what is
        // taken can be sent again.
        if let Ok(decoded) = &strict {
            prop_assert_eq!(&tolerant, &strict);
            let mut again = Vec::new();
            decoded.message.encode(&Options::default(), &mut again).unwrap();
            let read_again = Decoder::strict(Options::default()).decode(&again);
            prop_assert_eq!(&read_again, &strict);
        }
        if let Err(error) = tolerant {
            prop_assert!(error.to_string().len() < 10_000);
        }
    }
}

const HEAD: Head<'_> = Head {
    process_time: 0,
    user_dpid: None,
    client_id: "c",
    destination_id: "042",
};
const ENTERED: Segment<'_> = Segment {
    id: SegmentRef::Text("7"),
    status: Status::Active,
    date_time: 0,
};
const USER: User<'_> = User {
    aam_uuid: "1",
    data_partner_uuid: "a\"b",
    regions: &[6],
    segments: &[ENTERED],
};

#[test]
fn integers_leave_texts_alone() {
    let options = Options {
        numbers: Numbers::Integers,
        ..Options::default()
    };
    let head = Head {
        user_dpid: Some(20914),
        ..HEAD
    };
    let numbered = Segment {
        id: SegmentRef::Number(7),
        status: Status::Inactive,
        ..ENTERED
    };
    let user = User {
        segments: &[ENTERED, numbered],
        ..USER
    };
    let mut out = Vec::new();
    encode(&options, &head, &[user], &mut out).unwrap();
    insta::assert_snapshot!(str::from_utf8(&out).unwrap(), @r#"{"ProcessTime":"Thu Jan 01 00:00:00 UTC 1970","User_DPID":20914,"Client_ID":"c","AAM_Destination_Id":"042","User_count":1,"Users":[{"AAM_UUID":"1","DataPartner_UUID":"a\"b","AAM_Regions":[6],"Segments":[{"Segment_ID":"7","Status":1,"DateTime":"Thu Jan 01 00:00:00 UTC 1970"},{"Segment_ID":7,"Status":0,"DateTime":"Thu Jan 01 00:00:00 UTC 1970"}]}]}"#);
}

#[test]
fn nothing_is_written_for_what_is_never_sent() {
    let options = Options::default();
    let empty = User {
        segments: &[],
        ..USER
    };
    let mut out = b"kept".to_vec();
    assert_eq!(
        encode(&options, &HEAD, &[], &mut out),
        Err(EncodeError::NoUsers)
    );
    assert_eq!(
        encode_message(&options, &HEAD, [], &mut out),
        Err(EncodeError::NoUsers)
    );
    assert_eq!(
        encode(&options, &HEAD, &[USER, empty], &mut out),
        Err(EncodeError::NoSegments)
    );
    assert_eq!(
        encode_user(&options, &empty, &mut out),
        Err(EncodeError::NoSegments)
    );
    assert_eq!(out, b"kept");
}

#[test]
fn a_buffer_that_is_reused_does_not_grow() {
    let options = Options::default();
    let mut objects = Vec::new();
    let mut whole = Vec::new();
    let mut round = || {
        objects.clear();
        encode_user(&options, &USER, &mut objects).unwrap();
        whole.clear();
        encode_message(&options, &HEAD, [&*objects, &*objects], &mut whole).unwrap();
        (
            objects.capacity(),
            objects.as_ptr(),
            whole.capacity(),
            whole.as_ptr(),
        )
    };
    assert_eq!(round(), round());
}
