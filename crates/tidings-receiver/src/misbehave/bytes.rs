//! What faulty HTTP partners put on the wire.

use super::step::Step;
use crate::fault::Scripted;
use flate2::{Compression, bufread::GzEncoder};
use std::{io::Read as _, time::Duration};

const A_SECOND: Duration = Duration::from_secs(1);
/// A good answer that keeps the connection.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
/// Plain bytes of one member of a gzip bomb, and how many there are: 1 GiB in about 1 MiB.
const BOMB_MEMBER_BYTES: usize = 1 << 20;
const BOMB_MEMBERS: usize = 1 << 10;

/// The steps of a fault; those of a TLS handshake are not here and do nothing.
pub(super) fn script(scripted: Scripted) -> Vec<Step> {
    use Scripted as S;
    match scripted {
        S::EarlyClose | S::EarlyReset | S::EarlyRefusal | S::EarlyOk | S::StopReading => {
            early(scripted)
        }
        S::Close => vec![],
        S::Cut => vec![Step::Cut],
        S::HalfClose => vec![Step::HalfClose],
        S::Status000 => hanging("HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n"),
        S::StatusLong => hanging("HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"),
        S::StatusNone => hanging("HTTP/1.1 \r\nContent-Length: 0\r\n\r\n"),
        S::SwitchingProtocols => {
            hanging("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        }
        S::ReasonControl => hanging("HTTP/1.1 200 \u{1b}[2J\u{7}\r\nContent-Length: 0\r\n\r\n"),
        S::ReasonUnknown => hanging("HTTP/1.1 200 Why Not\r\nContent-Length: 2\r\n\r\nok"),
        S::NotHttp => hanging("hello\r\n\r\n"),
        S::Http09 => closing("<html>ok</html>"),
        S::Http10 => closing("HTTP/1.0 200 OK\r\n\r\nuntil the end"),
        S::Http30 => hanging("HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
        _ => head(scripted)
            .or_else(|| http2(scripted))
            .or_else(|| interim(scripted))
            .or_else(|| length(scripted))
            .or_else(|| body(scripted))
            .unwrap_or_default(),
    }
}

fn send(text: impl AsRef<[u8]>) -> Step {
    Step::Send(text.as_ref().to_vec())
}

/// Sends, and leaves the connection open.
fn hanging(text: impl AsRef<[u8]>) -> Vec<Step> {
    vec![send(text), Step::Hang]
}

/// Sends, and closes.
fn closing(text: impl AsRef<[u8]>) -> Vec<Step> {
    vec![send(text)]
}

/// Sends, and goes on sending the other text for ever.
fn endless(first: impl AsRef<[u8]>, again: impl AsRef<[u8]>) -> Vec<Step> {
    vec![send(first), Step::Flood(again.as_ref().to_vec())]
}

fn early(scripted: Scripted) -> Vec<Step> {
    let answer = |text| vec![Step::ReadHead, send(text), Step::Freeze];
    match scripted {
        Scripted::EarlyReset => vec![Step::ReadByte, Step::Reset],
        Scripted::EarlyRefusal => answer("HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\n\r\n"),
        Scripted::EarlyOk => answer(OK),
        Scripted::StopReading => vec![Step::Freeze],
        _ => vec![],
    }
}

fn head(scripted: Scripted) -> Option<Vec<Step>> {
    const PART: &str = "HTTP/1.1 200 OK\r\nContent-";
    let with = |header: &str| {
        hanging(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{header}\r\n\r\n"
        ))
    };
    Some(match scripted {
        Scripted::HeadClose => closing(PART),
        Scripted::HeadReset => vec![send(PART), Step::Pause, Step::Reset],
        Scripted::HeadHang => hanging(PART),
        Scripted::SlowHead => vec![Step::Trickle(OK.into(), A_SECOND), Step::Hang],
        Scripted::EndlessHeaders => endless("HTTP/1.1 200 OK\r\n", "X-Again: and again\r\n"),
        Scripted::ManyHeaders => with(&"X-Again: 1\r\n".repeat(10_000)),
        Scripted::LongHeader => with(&format!("X-Long: {}", "a".repeat(1 << 20))),
        Scripted::HeaderNul => with("X-Odd: a\0b"),
        Scripted::HeaderCr => with("X-Odd: a\rb"),
        Scripted::HeaderFold => with("X-Odd: a\r\n b"),
        Scripted::HeaderName => with("X Odd: a"),
        _ => return None,
    })
}

/// A frame of HTTP/2 (RFC 9113 4.1): length, type, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let [_, high, middle, low] = length;
    let mut frame = vec![high, middle, low, kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

fn http2(scripted: Scripted) -> Option<Vec<Step>> {
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PUSH_PROMISE: u8 = 5;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const CONTINUATION: u8 = 9;
    let settings = |payload: &[u8]| frame(SETTINGS, 0, 0, payload);
    let greeting = settings(&[]);
    let flood = |frame: Vec<u8>| endless(&greeting, frame.repeat(100));
    Some(match scripted {
        Scripted::H2Preface => hanging("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Scripted::H2Settings => hanging(&greeting),
        Scripted::H2Goaway => closing([greeting.clone(), frame(GOAWAY, 0, 0, &[0; 8])].concat()),
        Scripted::H2RstStorm => flood(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        Scripted::H2SettingsFlood => flood(greeting.clone()),
        Scripted::H2PingFlood => flood(frame(PING, 0, 0, &[0; 8])),
        Scripted::H2ContinuationFlood => flood(frame(CONTINUATION, 0, 1, &[0; 1_024])),
        Scripted::H2Push => hanging(
            [
                greeting.clone(),
                frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x88]),
            ]
            .concat(),
        ),
        // SETTINGS_MAX_CONCURRENT_STREAMS, SETTINGS_INITIAL_WINDOW_SIZE.
        Scripted::H2NoStreams => hanging(settings(&[0, 3, 0, 0, 0, 0])),
        Scripted::H2ZeroWindow => hanging(settings(&[0, 4, 0, 0, 0, 0])),
        _ => return None,
    })
}

fn interim(scripted: Scripted) -> Option<Vec<Step>> {
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n";
    Some(match scripted {
        Scripted::ContinueHang => hanging(CONTINUE),
        Scripted::ContinueStorm => endless(CONTINUE, CONTINUE.repeat(100)),
        Scripted::EarlyHintsStorm => endless(HINTS, HINTS.repeat(100)),
        Scripted::ContinueOk => hanging([CONTINUE, OK].concat()),
        Scripted::EarlyHintsOk => hanging([HINTS, OK].concat()),
        _ => return None,
    })
}

fn length(scripted: Scripted) -> Option<Vec<Step>> {
    let said = |length: &str| {
        hanging(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nok"
        ))
    };
    let chunked = |chunks: &str| hanging([CHUNKED, chunks].concat());
    Some(match scripted {
        Scripted::LengthLong => closing("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"),
        Scripted::LengthHang => said("10"),
        Scripted::LengthShort => said("1"),
        Scripted::LengthTwice => said("2\r\nContent-Length: 3"),
        Scripted::LengthTwiceSame => said("2\r\nContent-Length: 2"),
        Scripted::LengthNegative => said("-1"),
        Scripted::LengthGarbage => said("two"),
        Scripted::LengthOverflow => said(&"9".repeat(30)),
        Scripted::LengthAndChunked => hanging(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nok\r\n0\r\n\r\n",
        ),
        Scripted::EncodingUnknown => {
            closing("HTTP/1.1 200 OK\r\nTransfer-Encoding: smoke\r\n\r\nok")
        }
        Scripted::ChunkedEndless => endless(CHUNKED, format!("1000\r\n{}\r\n", "a".repeat(0x1000))),
        Scripted::ChunkedTiny => endless(CHUNKED, "1\r\na\r\n".repeat(100)),
        Scripted::ChunkedBadSize => chunked("two\r\nok\r\n0\r\n\r\n"),
        Scripted::ChunkedOverflow => chunked(&format!("1{}\r\nok", "0".repeat(17))),
        Scripted::ChunkedClose => closing([CHUNKED, "a\r\nok"].concat()),
        Scripted::ChunkExtension => endless([CHUNKED, "2;x="].concat(), "a".repeat(1_024)),
        Scripted::Trailers => chunked("2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"),
        Scripted::TrailersEndless => endless(
            [CHUNKED, "2\r\nok\r\n0\r\n"].concat(),
            "X-Sum: 1\r\n".repeat(100),
        ),
        Scripted::NoContentBody => {
            hanging("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok")
        }
        Scripted::TwoAnswers => hanging([OK, "HTTP/1.1 500 Odd\r\n\r\n"].concat()),
        _ => return None,
    })
}

fn body(scripted: Scripted) -> Option<Vec<Step>> {
    const UNENDED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok";
    let after_next = |end: Vec<Step>| {
        let mut steps = vec![send(OK), Step::ReadHead];
        steps.extend(end);
        steps
    };
    Some(match scripted {
        Scripted::BodyReset => vec![send(UNENDED), Step::Pause, Step::Reset],
        Scripted::BodyCut => vec![send("HTTP/1.1 200 OK\r\n\r\nok"), Step::Cut],
        Scripted::GzipBomb => {
            let member = gzip(&vec![0; BOMB_MEMBER_BYTES]);
            zipped(member.len() * BOMB_MEMBERS, &member.repeat(BOMB_MEMBERS))
        }
        Scripted::GzipCut => {
            let whole = gzip(br#"{"a":"long enough to be cut"}"#);
            let half = whole.get(..whole.len() / 2).unwrap_or_default();
            zipped(half.len(), half)
        }
        Scripted::GzipFalse => zipped(2, b"ok"),
        Scripted::Charset => hanging(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-16\r\n\
              Content-Length: 3\r\n\r\n\xff\xc3\x28",
        ),
        Scripted::IdleClose => closing(OK),
        Scripted::IdleReset => vec![send(OK), Step::Pause, Step::Reset],
        Scripted::IdleUnasked => vec![send(OK), Step::Pause, send(OK), Step::Hang],
        Scripted::ReuseClose => after_next(vec![]),
        Scripted::ReuseReset => after_next(vec![Step::Reset]),
        _ => return None,
    })
}

/// An answer that says its body is compressed.
fn zipped(length: usize, body: &[u8]) -> Vec<Step> {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n");
    hanging([head.as_bytes(), body].concat())
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    GzEncoder::new(plain, Compression::best())
        .read_to_end(&mut encoded)
        .expect("reading from memory does not fail");
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_after_the_handshake_has_a_script() {
        use crate::fault::Stage;
        // These close, and do nothing else.
        let empty = [Scripted::Close, Scripted::EarlyClose];
        for &scripted in Scripted::ALL {
            let is_empty = script(scripted).is_empty();
            let expected = scripted.stage() == Stage::Accept || empty.contains(&scripted);
            assert_eq!(is_empty, expected, "{scripted}");
        }
    }

    #[test]
    fn what_is_said_to_answer_does() {
        for &scripted in Scripted::ALL {
            let text: Vec<u8> = script(scripted)
                .into_iter()
                .find_map(|step| match step {
                    Step::Send(bytes) => Some(bytes),
                    _ => None,
                })
                .unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let said = format!(" {} ", scripted.status());
            let head = text.rsplit("HTTP/1.").next().unwrap_or_default();
            let readable = scripted.status() == 0
                || text.contains(&said)
                || head.starts_with(&format!("1{said}"));
            assert!(readable, "{scripted}: {text}");
        }
    }

    #[test]
    fn frames_are_those_of_http2() {
        assert_eq!(frame(4, 0, 0, &[]), [0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(
            frame(3, 0, 1, &[0, 0, 0, 8])[..9],
            [0, 0, 4, 3, 0, 0, 0, 0, 1]
        );
    }
}
