//! User objects, messages and signatures.

use divan::{Bencher, black_box, counter::BytesCount};
use tidings_benches::{catalog::SIGNING_KEY, device};
use tidings_wire::{
    Hash, Head, Key, Options, Segment, SegmentRef, Status, User,
    encode::{encode_message, encode_user},
};

const HEAD: Head<'_> = Head {
    process_time: crate::fixture::NOW.0,
    user_dpid: Some(12345),
    client_id: "74323",
    destination_id: "423",
};

fn segments(count: u32) -> Vec<Segment<'static>> {
    (0..count)
        .map(|number| Segment {
            id: SegmentRef::Number(14_356 + number),
            status: Status::Active,
            date_time: crate::fixture::NOW.0,
        })
        .collect()
}

fn message(options: &Options, users: &[Vec<u8>], out: &mut Vec<u8>) {
    let users = users.iter().map(Vec::as_slice);
    encode_message(options, &HEAD, users, out).expect("there are users");
}

fn users(options: &Options, count: u64) -> Vec<Vec<u8>> {
    (0..count)
        .map(|device| {
            let (uuid, cookie) = (device::uuid(device).to_string(), device::cookie(device));
            let user = User {
                aam_uuid: &uuid,
                data_partner_uuid: &cookie,
                regions: &[9],
                segments: &segments(3),
            };
            let mut out = Vec::new();
            encode_user(options, &user, &mut out).expect("it has segments");
            out
        })
        .collect()
}

/// One user object with so many segments.
#[divan::bench(args = [1, 3, 30])]
fn user(bencher: Bencher<'_, '_>, count: u32) {
    let (options, mut out) = (Options::default(), Vec::new());
    let segments = segments(count);
    let (uuid, cookie) = (device::uuid(7).to_string(), device::cookie(7));
    let user = User {
        aam_uuid: &uuid,
        data_partner_uuid: &cookie,
        regions: &[9],
        segments: &segments,
    };
    bencher.bench_local(|| {
        out.clear();
        encode_user(&options, black_box(&user), &mut out)
    });
}

/// A message of ten user objects that are encoded already.
#[divan::bench]
fn message_of_ten(bencher: Bencher<'_, '_>) {
    let (options, mut out) = (Options::default(), Vec::new());
    let users = users(&options, 10);
    bencher.bench_local(|| {
        out.clear();
        message(&options, black_box(&users), &mut out);
        black_box(out.len())
    });
}

/// The signature of that message.
#[divan::bench(args = [Hash::Md5, Hash::Sha1, Hash::Sha256])]
fn sign_message_of_ten(bencher: Bencher<'_, '_>, hash: Hash) {
    let (options, mut body) = (Options::default(), Vec::new());
    message(&options, &users(&options, 10), &mut body);
    let key = Key::new(hash, SIGNING_KEY.as_bytes());
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| key.sign(black_box(&body)));
}
