//! The answer to a request: counts, rejected events and device ids, written into one buffer.

use crate::{parse::EventError, sink::Submitted};
use axum::{body::Body, response::Response};
use http::{HeaderValue, header};
use std::io::Write as _;
use tidings_model::DeviceUuid;

/// What became of one event of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    Accepted(DeviceUuid),
    Duplicate(DeviceUuid),
    OptedOut(Option<DeviceUuid>),
    Rejected { code: &'static str, message: String },
}

impl From<Submitted> for Outcome {
    fn from(submitted: Submitted) -> Self {
        match submitted {
            Submitted::Accepted(uuid) => Self::Accepted(uuid),
            Submitted::Duplicate(uuid) => Self::Duplicate(uuid),
            Submitted::OptedOut(uuid) => Self::OptedOut(uuid),
            Submitted::Rejected { code, message } => Self::Rejected { code, message },
        }
    }
}

impl From<EventError> for Outcome {
    fn from(error: EventError) -> Self {
        Self::Rejected {
            code: error.code,
            message: error.to_string(),
        }
    }
}

/// How many were accepted, duplicates, and rejected.
pub(super) fn tally(outcomes: &[Outcome]) -> [u64; 3] {
    let mut counts = [0; 3];
    for outcome in outcomes {
        let [accepted, duplicates, rejected] = &mut counts;
        *match outcome {
            Outcome::Accepted(_) | Outcome::OptedOut(_) => accepted,
            Outcome::Duplicate(_) => duplicates,
            Outcome::Rejected { .. } => rejected,
        } += 1;
    }
    counts
}

pub(super) fn response(outcomes: &[Outcome]) -> Response {
    let mut response = Response::new(Body::from(encode(outcomes)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn encode(outcomes: &[Outcome]) -> Vec<u8> {
    const WRITES: &str = "writing to memory succeeds";
    // 41 bytes for each id with its quotes and comma, and room for the counts.
    let mut out = Vec::with_capacity(96 + 41 * outcomes.len());
    let [accepted, duplicates, _] = tally(outcomes);
    write!(
        out,
        r#"{{"accepted":{accepted},"duplicates":{duplicates},"rejected":["#
    )
    .expect(WRITES);
    let mut comma: &[u8] = b"";
    for (index, outcome) in outcomes.iter().enumerate() {
        if let Outcome::Rejected { code, message } = outcome {
            out.extend_from_slice(comma);
            write!(out, r#"{{"index":{index},"code":"{code}","message":"#).expect(WRITES);
            serde_json::to_writer(&mut out, message).expect(WRITES);
            out.push(b'}');
            comma = b",";
        }
    }
    out.extend_from_slice(br#"],"uuids":["#);
    for (index, outcome) in outcomes.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match outcome {
            Outcome::Accepted(uuid) | Outcome::Duplicate(uuid) | Outcome::OptedOut(Some(uuid)) => {
                out.push(b'"');
                uuid.write_to(&mut out);
                out.push(b'"');
            }
            Outcome::OptedOut(None) | Outcome::Rejected { .. } => out.extend_from_slice(b"null"),
        }
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(outcomes: &[Outcome], expected: &str) {
        assert_eq!(String::from_utf8(encode(outcomes)).unwrap(), expected);
    }

    #[test]
    fn answers_in_the_order_of_events() {
        check(
            &[],
            r#"{"accepted":0,"duplicates":0,"rejected":[],"uuids":[]}"#,
        );
        let rejected = |message: &str| Outcome::Rejected {
            code: "invalid_uuid",
            message: message.to_owned(),
        };
        check(
            &[
                Outcome::Accepted("007".parse().unwrap()),
                rejected("a \"quoted\"\nline"),
                Outcome::Duplicate(DeviceUuid::from_number(5).unwrap()),
                rejected("b"),
                Outcome::OptedOut(None),
                Outcome::OptedOut(Some("7".parse().unwrap())),
            ],
            "{\"accepted\":3,\"duplicates\":1,\"rejected\":[\
             {\"index\":1,\"code\":\"invalid_uuid\",\"message\":\"a \\\"quoted\\\"\\nline\"},\
             {\"index\":3,\"code\":\"invalid_uuid\",\"message\":\"b\"}],\
             \"uuids\":[\"007\",null,\"00000000000000000000000000000000000005\",null,null,\"7\"]}",
        );
    }
}
