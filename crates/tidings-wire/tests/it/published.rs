//! The encoder gives the published samples byte for byte.

use tidings_wire::{
    Options,
    encode::{Head, Segment, SegmentRef, Status, User, encode, encode_message, encode_user},
};

use crate::vectors::{self, Vector};

/// 2016-07-27T16:17:42Z, when V1 was built.
const BUILT: i64 = 1_469_636_262;
const HEAD: Head<'_> = Head {
    process_time: BUILT,
    user_dpid: Some(12345),
    client_id: "74323",
    destination_id: "423",
};
const FIRST_SEGMENTS: &[Segment<'_>] = &[
    segment(14356, Status::Active, BUILT - 20),
    segment(12176, Status::Inactive, BUILT - 20),
];
const SECOND_SEGMENTS: &[Segment<'_>] = &[
    segment(10329, Status::Active, BUILT - 21),
    segment(23954, Status::Active, BUILT - 21),
];

const fn segment(id: u32, status: Status, date_time: i64) -> Segment<'static> {
    Segment {
        id: SegmentRef::Number(id),
        status,
        date_time,
    }
}

/// The users of V1 (no regions) and V2.
const fn users(regions: &[u32]) -> [User<'_>; 2] {
    [
        User {
            aam_uuid: "19393572368547369350319949416899715727",
            data_partner_uuid: "4250948725049857",
            regions,
            segments: FIRST_SEGMENTS,
        },
        User {
            aam_uuid: "0578240750487542456854736923319946899715232",
            data_partner_uuid: "848457757347734",
            regions,
            segments: SECOND_SEGMENTS,
        },
    ]
}

/// Both ways to a message, in one step and by way of user objects, give these very bytes.
#[track_caller]
fn check(head: &Head<'_>, users: &[User<'_>], expected: &[u8]) {
    let options = Options::default();
    let mut whole = Vec::new();
    encode(&options, head, users, &mut whole).unwrap();
    assert_eq!(str::from_utf8(&whole), str::from_utf8(expected));

    let objects: Vec<Vec<u8>> = users
        .iter()
        .map(|user| {
            let mut object = Vec::new();
            encode_user(&options, user, &mut object).unwrap();
            object
        })
        .collect();
    let mut assembled = b"before".to_vec();
    encode_message(
        &options,
        head,
        objects.iter().map(Vec::as_slice),
        &mut assembled,
    )
    .unwrap();
    assert_eq!(assembled.strip_prefix(b"before"), Some(expected));
}

#[test]
fn v1_two_users() {
    check(&HEAD, &users(&[]), vectors::V1.bytes);
}

#[test]
fn v2_regions() {
    check(&HEAD, &users(&[9]), vectors::V2.bytes);
}

#[test]
fn v3_with_an_honest_count() {
    let published = str::from_utf8(vectors::V3.bytes).unwrap();
    let honest = published.replace(r#""User_count":"2""#, r#""User_count":"1""#);
    let [mut user, _] = users(&[]);
    user.segments = &FIRST_SEGMENTS[..1];
    check(&HEAD, &[user], honest.as_bytes());
}

#[test]
fn v4_no_namespace() {
    /// 2015-07-21T19:12:45Z.
    const BUILT: i64 = 1_437_505_965;
    let segments = [
        [segment(1_200_598, Status::Active, BUILT - 33)],
        [segment(1_306_742, Status::Active, BUILT - 30)],
        [segment(1_306_742, Status::Active, BUILT - 12)],
        [segment(1_306_742, Status::Active, BUILT - 9)],
        [segment(1_306_742, Status::Active, BUILT - 3)],
    ];
    let ids = [
        (
            "28272096202945091600036434734793744071",
            "CAESEFdv5pk-Lurd8vL9Yfb3qFg",
        ),
        (
            "35183292386788708387827965829455926157",
            "CAESEF_d8blvZjchQ2WTzdB65yk",
        ),
        (
            "28012470144260632050402316345856327572",
            "CAESEEPfHBiRjhkzvBPXQ-0MFRE|UzCESAAABOnFeHJy",
        ),
        (
            "18981483751565214534184221210627150539",
            "CAK4NDH0ESEE6NBEhoWDkB7s7ZY|VPYFQQAAASXPElL0",
        ),
        (
            "04761851136483019318109155624251711702",
            "CAESEDkM5aSaKMV8MfaBhgSspmE|VYnTNwAAASzvVhxy",
        ),
    ];
    let users: Vec<User<'_>> = ids
        .iter()
        .zip(&segments)
        .map(|(&(aam_uuid, data_partner_uuid), segments)| User {
            aam_uuid,
            data_partner_uuid,
            regions: &[],
            segments,
        })
        .collect();
    let head = Head {
        process_time: BUILT,
        user_dpid: None,
        client_id: "111111",
        destination_id: "22222",
    };
    check(&head, &users, vectors::V4.bytes);
    // The same with a namespace that this destination does not want to be sent.
    let options = Options {
        user_dpid: false,
        ..Options::default()
    };
    let mut out = Vec::new();
    let head = Head {
        user_dpid: Some(12345),
        ..head
    };
    encode(&options, &head, &users, &mut out).unwrap();
    assert_eq!(out, vectors::V4.bytes);
}

/// The constructed vectors share account, destination and device.
fn check_constructed(
    process_time: i64,
    ids: &[&str],
    regions: &[u32],
    segment: Segment<'_>,
    expected: &Vector,
) {
    let head = Head {
        process_time,
        user_dpid: Some(45454),
        client_id: "acct-7",
        destination_id: "4242",
    };
    let users: Vec<User<'_>> = ids
        .iter()
        .map(|data_partner_uuid| User {
            aam_uuid: "07955261652886032950143702505894272138",
            data_partner_uuid,
            regions,
            segments: std::slice::from_ref(&segment),
        })
        .collect();
    check(&head, &users, expected.bytes);
}

#[test]
fn v5_two_ids_and_a_custom_text() {
    let left = Segment {
        id: SegmentRef::Text("autumn_buyers"),
        status: Status::Inactive,
        date_time: 1_456_703_999,
    };
    let ids = [
        "dfd215e4-8d6b-4fdb-90b9-fab4456f2c9d",
        "CAESEPfHBi|UzCESAAABOnFeHJy",
    ];
    check_constructed(1_456_704_005, &ids, &[6, 9], left, &vectors::V5);
}

#[test]
fn v6_blank_partner_id() {
    let entered = segment(14356, Status::Active, 1_456_823_279);
    check_constructed(1_456_823_287, &[""], &[], entered, &vectors::V6);
}
