//! Servers that break the protocol: records made by hand, and good ones tampered with.
//!
//! Record (RFC 8446 5.1): type u8 | version u16 | length u16 | bytes; handshake message within it
//! (4): type u8 | length u24 | bytes. Types: 21 alert, 22 handshake, 23 application data; 2 hello
//! of the server, 11 certificate.

use super::{
    Row,
    certificates::{Authority, leaf, server, with},
    peer::{
        Fate::{self, Close, Hang, Pass, Reset, Twice},
        Move, Peer,
    },
};
use rustls::{ServerConfig, crypto::aws_lc_rs};

/// What a server's hello says in its place to mean "choose another group" (RFC 8446 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
const AES_128_GCM_SHA256: u16 = 0x1301;
const ECDHE_ECDSA_AES_128_GCM_SHA256: u16 = 0xc02b;
const RSA_AES_128_CBC_SHA: u16 = 0x002f;

/// A good server whose records pass through a hand that leaves them alone.
pub(super) fn good(root: &Authority) -> Peer {
    Peer::Tampered(server(leaf(root, |_| {})), |_, _| Pass)
}

pub(super) fn rows(root: &Authority) -> Vec<Row> {
    let mut rows = silent();
    rows.extend(strange());
    rows.extend(alerts());
    rows.extend(hellos());
    rows.extend(tampered(root));
    rows
}

fn by_hand(name: &'static str, moves: Vec<Move>, expected: &'static str) -> Row {
    Row::new(name, Peer::ByHand(moves), expected)
}

/// Reads the client's hello, then sends.
fn sending(name: &'static str, bytes: Vec<u8>, expected: &'static str) -> Row {
    by_hand(
        name,
        vec![Move::Read, Move::Send(bytes), Move::Hang],
        expected,
    )
}

/// Silence, ends and slowness.
fn silent() -> Vec<Row> {
    let part = || record(22, &message(2, &[3; 70]))[..20].to_vec();
    vec![
        by_hand("silence", vec![Move::Hang], "deadline_tls"),
        by_hand(
            "silence after the hello",
            vec![Move::Read, Move::Hang],
            "deadline_tls",
        ),
        by_hand("closed at once", vec![], "tls_closed"),
        by_hand("closed after the hello", vec![Move::Read], "tls_closed"),
        by_hand(
            "reset after the hello",
            vec![Move::Read, Move::Reset],
            "tls_reset",
        ),
        by_hand(
            "closed within a record",
            vec![Move::Read, Move::Send(part())],
            "tls_closed",
        ),
        sending("silence within a record", part(), "deadline_tls"),
        sending(
            "silence within a record's head",
            vec![22, 3],
            "deadline_tls",
        ),
        by_hand(
            "one byte at a time",
            vec![
                Move::Read,
                Move::Drip(record(22, &message(2, &[3; 16_000]))),
            ],
            "deadline_tls",
        ),
        by_hand(
            "a hello of TLS 1.2, then silence",
            vec![
                Move::Read,
                Move::Reply(|_| {
                    hello(0x0303, [7; 32], ECDHE_ECDSA_AES_128_GCM_SHA256, 0, &[], &[])
                }),
                Move::Hang,
            ],
            "deadline_tls",
        ),
    ]
}

/// What is not TLS, or not in this place.
fn strange() -> Vec<Row> {
    let protocol = "tls_protocol";
    vec![
        sending(
            "plain HTTP",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            "tls_not_tls",
        ),
        sending("SSH", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "tls_not_tls"),
        sending(
            "SMTP",
            b"220 mail.partner.test ESMTP\r\n".to_vec(),
            "tls_not_tls",
        ),
        sending(
            "noise",
            (0..64 * 1024_u32)
                .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1] | 0x80)
                .collect(),
            "tls_not_tls",
        ),
        by_hand(
            "noise without end",
            vec![Move::Read, Move::Flood(vec![0xee; 16 * 1024])],
            "tls_not_tls",
        ),
        sending("zeros", vec![0; 4_096], "tls_not_tls"),
        sending(
            "a hello of SSL 2",
            vec![0x80, 0x2e, 4, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0],
            "tls_not_tls",
        ),
        sending(
            "a record longer than any may be",
            vec![22, 3, 3, 0xff, 0xff],
            protocol,
        ),
        sending(
            "a message longer than any may be",
            record(22, &[2, 0xff, 0xff, 0xff, 3, 3]),
            protocol,
        ),
        by_hand(
            "empty records without end",
            vec![Move::Read, Move::Flood(record(22, &[]))],
            protocol,
        ),
        sending("application data first", record(23, &[1; 100]), protocol),
        sending("heartbeat", record(24, &[1, 0x40, 0, 0]), "tls_not_tls"),
        sending(
            "a certificate first",
            record(22, &message(11, &[0, 0, 0])),
            protocol,
        ),
        sending(
            "finished first",
            record(22, &message(20, &[0; 12])),
            protocol,
        ),
        by_hand(
            "our own hello back",
            vec![Move::Read, Move::Reply(<[u8]>::to_vec), Move::Hang],
            protocol,
        ),
        by_hand(
            "changes of the cipher without end",
            vec![Move::Read, Move::Flood(record(20, &[1]))],
            protocol,
        ),
    ]
}

fn alerts() -> Vec<Row> {
    let fatal = |code| record(21, &[2, code]);
    vec![
        sending("alert: protocol version", fatal(70), "tls_version"),
        sending(
            "alert: handshake failure",
            fatal(40),
            "tls_no_shared_cipher",
        ),
        sending(
            "alert: insufficient security",
            fatal(71),
            "tls_no_shared_cipher",
        ),
        sending(
            "alert: unrecognized name",
            fatal(112),
            "tls_unrecognised_name",
        ),
        sending(
            "alert: no application protocol",
            fatal(120),
            "tls_no_shared_protocol",
        ),
        sending("alert: internal error", fatal(80), "tls_alert"),
        sending("alert: access denied", fatal(49), "tls_alert"),
        sending("alert: a code of its own", fatal(200), "tls_alert"),
        by_hand(
            "alert: close notify",
            vec![Move::Read, Move::Send(record(21, &[1, 0]))],
            "tls_closed",
        ),
        by_hand(
            "warnings without end",
            vec![Move::Read, Move::Flood(record(21, &[1, 110]))],
            "tls_protocol",
        ),
        sending("alert of one byte", record(21, &[2]), "tls_protocol"),
    ]
}

/// Hellos of the server that promise what must not be.
fn hellos() -> Vec<Row> {
    let hello_row = |name, reply: fn(&[u8]) -> Vec<u8>, expected| {
        by_hand(
            name,
            vec![Move::Read, Move::Reply(reply), Move::Hang],
            expected,
        )
    };
    let protocol = "tls_protocol";
    vec![
        hello_row(
            "SSL 3 only",
            |_| hello(0x0300, [7; 32], RSA_AES_128_CBC_SHA, 0, &[], &[]),
            "tls_version",
        ),
        hello_row(
            "TLS 1.0 only",
            |_| hello(0x0301, [7; 32], RSA_AES_128_CBC_SHA, 0, &[], &[]),
            "tls_version",
        ),
        hello_row(
            "TLS 1.1 only",
            |_| hello(0x0302, [7; 32], RSA_AES_128_CBC_SHA, 0, &[], &[]),
            "tls_version",
        ),
        hello_row(
            "a cipher suite that was not offered",
            |_| hello(0x0303, [7; 32], RSA_AES_128_CBC_SHA, 0, &[], &[]),
            protocol,
        ),
        hello_row(
            "the cipher suite without encryption",
            |_| hello(0x0303, [7; 32], 0, 0, &[], &[]),
            protocol,
        ),
        hello_row(
            "compression",
            |_| hello(0x0303, [7; 32], ECDHE_ECDSA_AES_128_GCM_SHA256, 1, &[], &[]),
            protocol,
        ),
        hello_row(
            "TLS 1.2 by a server that has 1.3",
            |_| {
                hello(
                    0x0303,
                    downgraded(),
                    ECDHE_ECDSA_AES_128_GCM_SHA256,
                    0,
                    &[],
                    &[],
                )
            },
            protocol,
        ),
        hello_row(
            "an extension that was not offered",
            |_| {
                hello(
                    0x0303,
                    [7; 32],
                    ECDHE_ECDSA_AES_128_GCM_SHA256,
                    0,
                    &[],
                    &extension(0x7777, &[]),
                )
            },
            protocol,
        ),
        hello_row(
            "HTTP/2 that was not offered",
            |_| {
                hello(
                    0x0303,
                    [7; 32],
                    ECDHE_ECDSA_AES_128_GCM_SHA256,
                    0,
                    &[],
                    &extension(16, &[0, 3, 2, b'h', b'2']),
                )
            },
            protocol,
        ),
        hello_row(
            "another session than ours",
            |_| {
                hello(
                    0x0303,
                    [7; 32],
                    AES_128_GCM_SHA256,
                    0,
                    &[9; 32],
                    &thirteen(),
                )
            },
            protocol,
        ),
        hello_row(
            "no share of the key",
            |seen| {
                hello(
                    0x0303,
                    [7; 32],
                    AES_128_GCM_SHA256,
                    0,
                    session(seen),
                    &thirteen(),
                )
            },
            protocol,
        ),
        hello_row(
            "a share of zeros",
            |seen| {
                hello(
                    0x0303,
                    [7; 32],
                    AES_128_GCM_SHA256,
                    0,
                    session(seen),
                    &[thirteen(), share(&[0; 32])].concat(),
                )
            },
            protocol,
        ),
        hello_row(
            "a share, then noise",
            |seen| {
                [
                    hello(
                        0x0303,
                        [7; 32],
                        AES_128_GCM_SHA256,
                        0,
                        session(seen),
                        &[thirteen(), share(&[9; 32])].concat(),
                    ),
                    record(23, &[5; 300]),
                ]
                .concat()
            },
            protocol,
        ),
        hello_row(
            "the group that we chose, again",
            |seen| {
                hello(
                    0x0303,
                    RETRY,
                    AES_128_GCM_SHA256,
                    0,
                    session(seen),
                    &[thirteen(), extension(51, &[0, 29])].concat(),
                )
            },
            protocol,
        ),
        hello_row(
            "a group that nobody has",
            |seen| {
                hello(
                    0x0303,
                    RETRY,
                    AES_128_GCM_SHA256,
                    0,
                    session(seen),
                    &[thirteen(), extension(51, &[0x7a, 0x7a])].concat(),
                )
            },
            protocol,
        ),
        hello_row(
            "no certificates at all, TLS 1.2",
            |_| {
                [
                    hello(0x0303, [7; 32], ECDHE_ECDSA_AES_128_GCM_SHA256, 0, &[], &[]),
                    record(22, &message(11, &[0, 0, 0])),
                    record(22, &signed_share()),
                    record(22, &message(14, &[])),
                ]
                .concat()
            },
            "tls_no_certificate",
        ),
        hello_row(
            "certificates without end",
            |_| {
                [
                    hello(0x0303, [7; 32], ECDHE_ECDSA_AES_128_GCM_SHA256, 0, &[], &[]),
                    record(22, &[11, 0x0f, 0xff, 0xff]),
                    vec![0; 64],
                ]
                .concat()
            },
            protocol,
        ),
    ]
}

/// Good servers behind a hand. TLS 1.3 sends its hello, a change of the cipher for old middle
/// boxes, and the rest; cut into small records, so that there are many places to break off at.
fn tampered(root: &Authority) -> Vec<Row> {
    let row = |name, version, tamper: fn(usize, &mut Vec<u8>) -> Fate, expected| {
        let config = in_small_records(with(
            aws_lc_rs::default_provider(),
            &[version],
            leaf(root, |_| {}),
        ));
        Row::new(name, Peer::Tampered(config, tamper), expected)
    };
    let (v2, v3) = (&rustls::version::TLS12, &rustls::version::TLS13);
    vec![
        row(
            "1.3: closed before the hello",
            v3,
            |_, _| Close,
            "tls_closed",
        ),
        row(
            "1.3: closed within the hello",
            v3,
            |n, _| if n == 1 { Close } else { Pass },
            "tls_closed",
        ),
        row(
            "1.3: closed within the certificate",
            v3,
            |n, _| if n == 6 { Close } else { Pass },
            "tls_closed",
        ),
        row(
            "1.3: closed before the last record",
            v3,
            |n, r| if last(n, r) { Close } else { Pass },
            "tls_closed",
        ),
        row(
            "1.3: reset within the certificate",
            v3,
            |n, _| if n == 6 { Reset } else { Pass },
            "tls_reset",
        ),
        row(
            "1.3: silent within the certificate",
            v3,
            |n, _| if n == 6 { Hang } else { Pass },
            "deadline_tls",
        ),
        row(
            "1.3: silent before the last record",
            v3,
            |n, r| if last(n, r) { Hang } else { Pass },
            "deadline_tls",
        ),
        row(
            "1.3: one bit of the certificate wrong",
            v3,
            |n, r| flip(n == 6, r),
            "tls_protocol",
        ),
        row(
            "1.3: one bit of the finish wrong",
            v3,
            |n, r| flip(last(n, r), r),
            "tls_protocol",
        ),
        row(
            "1.3: one bit of the hello's random wrong",
            v3,
            |n, r| flip_at(n == 0, r, 20),
            "tls_protocol",
        ),
        row(
            "1.3: a record twice",
            v3,
            |n, _| if n == 6 { Twice } else { Pass },
            "tls_protocol",
        ),
        row(
            "1.2: closed after the hello",
            v2,
            |n, _| if n == 2 { Close } else { Pass },
            "tls_closed",
        ),
        row(
            "1.2: closed within the certificate",
            v2,
            |n, _| if n == 4 { Close } else { Pass },
            "tls_closed",
        ),
        row(
            "1.2: closed before the finish",
            v2,
            |_, r| if r[0] == 20 { Close } else { Pass },
            "tls_closed",
        ),
        row(
            "1.2: silent before the finish",
            v2,
            |_, r| if r[0] == 20 { Hang } else { Pass },
            "deadline_tls",
        ),
        row(
            "1.2: one bit of the hello's random wrong",
            v2,
            |n, r| flip_at(n == 0, r, 20),
            "tls_bad_signature",
        ),
        row(
            "1.2: the finish in the clear",
            v2,
            |_, r| {
                if r[0] == 20 {
                    r.extend(record(22, &message(20, &[0; 12])));
                    Pass
                } else {
                    Pass
                }
            },
            "tls_protocol",
        ),
        row(
            "1.2: a record twice",
            v2,
            |n, _| if n == 3 { Twice } else { Pass },
            "tls_protocol",
        ),
    ]
}

fn in_small_records(mut config: ServerConfig) -> ServerConfig {
    config.max_fragment_size = Some(100);
    config
}

/// The last record of the server's handshake is shorter than those before it, which are full.
fn last(number: usize, record: &[u8]) -> bool {
    number > 3 && record[0] == 23 && record.len() < 100
}

fn flip(here: bool, record: &mut [u8]) -> Fate {
    let at = record.len() - 3;
    flip_at(here, record, at)
}

fn flip_at(here: bool, record: &mut [u8], at: usize) -> Fate {
    if here {
        record[at] ^= 1;
    }
    Pass
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3], &length[..], content].concat()
}

fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[kind], &length[..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&kind.to_be_bytes()[..], &length, content].concat()
}

/// Supported versions: TLS 1.3.
fn thirteen() -> Vec<u8> {
    extension(43, &[3, 4])
}

/// Key share: X25519.
fn share(key: &[u8; 32]) -> Vec<u8> {
    extension(51, &[&[0, 29, 0, 32], &key[..]].concat())
}

/// TLS 1.2's share of the key, X25519, with a signature by nobody (RFC 8422 5.4).
fn signed_share() -> Vec<u8> {
    let signed = [&[3, 0, 29, 32], &[9; 32][..], &[4, 3, 0, 8], &[1; 8]].concat();
    message(12, &signed)
}

fn downgraded() -> [u8; 32] {
    let mut random = [7; 32];
    random[24..].copy_from_slice(b"DOWNGRD\x01");
    random
}

/// The session that the client's hello names.
fn session(hello: &[u8]) -> &[u8] {
    let at = 5 + 4 + 2 + 32;
    let length = usize::from(hello[at]);
    &hello[at + 1..at + 1 + length]
}

/// A hello of the server (RFC 8446 4.1.3).
fn hello(
    version: u16,
    random: [u8; 32],
    suite: u16,
    compression: u8,
    session: &[u8],
    extensions: &[u8],
) -> Vec<u8> {
    let mut content = version.to_be_bytes().to_vec();
    content.extend(random);
    content.push(u8::try_from(session.len()).unwrap());
    content.extend(session);
    content.extend(suite.to_be_bytes());
    content.push(compression);
    if !extensions.is_empty() {
        content.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        content.extend(extensions);
    }
    record(22, &message(2, &content))
}
