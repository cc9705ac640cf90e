//! Signatures: the published example, the values recomputed for it, and whole messages.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use tidings_wire::sign::{Hash, Key, Signer};

use crate::vectors::{self, KEY, V1_PUBLISHED, V1_PUBLISHED_SIGNATURE_SHA1};

const POST_BODY: &[u8] = b"POST message content";
const GET_TARGET: &[u8] = b"/from-aam-s2s?sids=1,2,3";
const POST_SHA1: &str = "+wFdR/afZNoVqtGl8/e1KJ4ykPU=";

#[track_caller]
fn check(hash: Hash, bytes: &[u8], expected: &str) {
    let key = Key::new(hash, KEY);
    assert_eq!(key.hash(), hash);
    assert_eq!(key.sign(bytes).as_str(), expected);
    // The prepared state is not used up.
    assert_eq!(key.sign(bytes).to_string(), expected);
    assert!(key.verify(bytes, expected));
    assert!(!key.verify(&bytes[1..], expected));
    assert!(!Key::new(hash, b"sample_partner_private_kez").verify(bytes, expected));
}

#[track_caller]
fn refuse(signature: &str) {
    assert!(
        !Key::new(Hash::Sha1, KEY).verify(POST_BODY, signature),
        "{signature:?}"
    );
}

#[test]
fn post_bodies() {
    check(Hash::Md5, POST_BODY, "BwA1u1xkb9MNnDgRkyLwlQ==");
    check(Hash::Sha1, POST_BODY, POST_SHA1);
    check(
        Hash::Sha256,
        POST_BODY,
        "WJzevEtYmeOolVtcXGrcA3KKiTQMTZUfKzCw/ZNz9YU=",
    );
}

#[test]
fn get_targets() {
    check(Hash::Md5, GET_TARGET, "U71hZODNVBnkJlQA/FsKGA==");
    check(Hash::Sha1, GET_TARGET, "EKanieP0BLD3/hlkM+ELPiKoZ2E=");
    check(
        Hash::Sha256,
        GET_TARGET,
        "cuLUFuSQ7fRWt9T5IsiAW+RCngDyj94E3mgmpEJJau0=",
    );
}

#[test]
fn whole_messages() {
    for vector in vectors::ALL {
        check(Hash::Md5, vector.bytes, vector.signatures.md5);
        check(Hash::Sha1, vector.bytes, vector.signatures.sha1);
        check(Hash::Sha256, vector.bytes, vector.signatures.sha256);
    }
    check(Hash::Sha1, V1_PUBLISHED, V1_PUBLISHED_SIGNATURE_SHA1);
}

#[test]
fn every_byte_counts() {
    check(
        Hash::Sha1,
        b"POST message content\n",
        "VRjILW4+Yn3BL11bL96OHublXqc=",
    );
    check(
        Hash::Sha1,
        b"/from-aam-s2ssids=1,2,3",
        "aZKKWB8cq9zpcCzEQZKuqN2Mx+4=",
    );
    refuse("VRjILW4+Yn3BL11bL96OHublXqc=");
    assert!(!Key::new(Hash::Sha1, KEY).verify(GET_TARGET, "aZKKWB8cq9zpcCzEQZKuqN2Mx+4="));
}

#[test]
fn refuses_what_is_not_the_signature() {
    // Once published for this key and body, and withdrawn as wrong.
    refuse("wxa2ByMWhhP328EvHQsVlOD5jTc=");
    refuse("");
    refuse("+wFdR/afZNoVqtGl8/e1KJ4ykPU");
    refuse(" +wFdR/afZNoVqtGl8/e1KJ4ykPU=");
    refuse("+wFdR/afZNoVqtGl8/e1KJ4ykPU=\n");
    refuse("-wFdR_afZNoVqtGl8_e1KJ4ykPU=");
    refuse("fb015d47f69f64da15aad1a5f3f7b5289e3290f5");
    refuse("sha1=+wFdR/afZNoVqtGl8/e1KJ4ykPU=");
    // The right code, cut short or followed by more.
    refuse("+wFdR/afZNoVqtGl8/e1KJ4y");
    refuse("+wFdR/afZNoVqtGl8/e1KJ4ykPUA");
    refuse(&"+wFd".repeat(100));
}

#[test]
fn a_key_of_any_length_is_taken_as_it_is() {
    // RFC 4231, cases 2 and 6: a key shorter than the hash's block and one longer.
    let short = Key::new(Hash::Sha256, b"Jefe").sign(b"what do ya want for nothing?");
    assert_eq!(
        short.as_str(),
        "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="
    );
    let long = Key::new(Hash::Sha256, &[0xaa; 131])
        .sign(b"Test Using Larger Than Block-Size Key - Hash Key First");
    assert_eq!(
        long.as_str(),
        "YOQxWR7gtn8Niiaqy/W3f44LxiE3KMUUBUYEDw7jf1Q="
    );
    // Nothing is trimmed from a key.
    assert_ne!(
        Key::new(Hash::Sha256, b"Jefe\n").sign(b"").as_str(),
        Key::new(Hash::Sha256, b"Jefe").sign(b"").as_str(),
    );
}

#[test]
fn rotation_gives_one_header_per_key() {
    let signer = Signer::new(vec![
        ("X-Signature".to_owned(), Key::new(Hash::Sha1, KEY)),
        (
            "X-Signature-2".to_owned(),
            Key::new(Hash::Sha1, b"new_partner_private_key"),
        ),
    ]);
    let mut headers = String::new();
    for (name, signature) in signer.sign(POST_BODY) {
        writeln!(headers, "{name}: {signature}").unwrap();
    }
    insta::assert_snapshot!(headers, @r"
    X-Signature: +wFdR/afZNoVqtGl8/e1KJ4ykPU=
    X-Signature-2: Y8QtdqaZvmmAk3+F5M0HMGh63u4=
    ");
    assert_eq!(Signer::default().sign(POST_BODY).len(), 0);
}

#[test]
fn the_vectors_are_the_published_bytes() {
    for vector in vectors::ALL {
        assert_eq!(vector.bytes.len(), vector.length, "{}", vector.name);
        assert_eq!(sha256_hex(vector.bytes), vector.sha256, "{}", vector.name);
    }
    assert_eq!(V1_PUBLISHED.len(), vectors::V1_PUBLISHED_LENGTH);
    assert_eq!(sha256_hex(V1_PUBLISHED), vectors::V1_PUBLISHED_SHA256);
}

fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
}
