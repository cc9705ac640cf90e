//! The table: faults, and the names of the outcomes they may have.
//!
//! A response's outcome is its class and how its body ended. Several names are given where the
//! outcome depends on which of two packets is read first.

use tidings_receiver::{Fault, Stage};

/// Who misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Partner {
    /// The reference partner.
    Receiver,
    /// A port that nobody listens at.
    Closed,
    /// A listener that takes no connection and whose queue is full.
    Deaf,
    /// An address that may not be dialled.
    Forbidden,
}

/// What ends an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndedBy {
    /// The attempt's deadline.
    Deadline,
    /// The end of what is set aside for the rest of a response.
    BodyWait,
    /// The partner, or the client of its own accord.
    Itself,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) partner: Partner,
    pub(super) fault: String,
    pub(super) expected: Vec<String>,
    /// A request that does not fit into the buffers of sockets.
    pub(super) is_large: bool,
    /// The message in question is the second one over its connection.
    pub(super) is_second: bool,
}

impl Row {
    fn new(fault: impl Into<String>, expected: &[&str]) -> Self {
        Self {
            partner: Partner::Receiver,
            fault: fault.into(),
            expected: expected.iter().map(|&name| name.to_owned()).collect(),
            is_large: false,
            is_second: false,
        }
    }

    /// The name of the receiver's fault.
    pub(super) fn name(&self) -> &str {
        self.fault.split('=').next().unwrap_or_default()
    }

    /// What the row is called in the table.
    pub(super) fn label(&self) -> String {
        let more = match (self.is_large, self.is_second) {
            (true, _) => " (large request)",
            (_, true) => " (second message)",
            _ => "",
        };
        format!("{}{more}", self.fault)
    }

    /// When the receiver's fault takes hold.
    pub(super) fn stage(&self) -> Option<Stage> {
        let fault: Fault = self.fault.parse().ok()?;
        Some(fault.behaviour.stage())
    }

    /// What ends its attempts.
    pub(super) fn ended_by(&self) -> EndedBy {
        let any = |named: fn(&str) -> bool| self.expected.iter().any(|name| named(name));
        if any(|name| name.starts_with("deadline") || name == "connect_timeout") {
            EndedBy::Deadline
        } else if any(|name| name.ends_with("deadline_body")) {
            EndedBy::BodyWait
        } else {
            EndedBy::Itself
        }
    }

    /// Whether its attempts take long and do nothing meanwhile.
    pub(super) fn is_slow(&self) -> bool {
        self.ended_by() == EndedBy::Deadline || self.fault.starts_with("delay")
    }
}

pub(super) fn all() -> Vec<Row> {
    let mut rows = vec![
        own(Partner::Closed, "(port closed)", "connect_refused"),
        own(Partner::Deaf, "(SYN dropped)", "connect_timeout"),
        own(Partner::Forbidden, "(private address)", "address_refused"),
    ];
    rows.extend(
        SIMPLE
            .iter()
            .map(|(fault, expected)| Row::new(*fault, expected)),
    );
    for status in STATUSES {
        let class = format!("status_{status} complete");
        rows.push(Row::new(format!("status={status}"), &[&class]));
    }
    for (status, location) in REDIRECTS {
        let class = format!("status_{status}_redirect_refused complete");
        rows.push(Row::new(format!("redirect={status}:{location}"), &[&class]));
    }
    for when in WHENS {
        rows.push(Row::new(
            format!("retry-after=429:{when}"),
            &["status_429 complete"],
        ));
    }
    for (fault, expected) in LARGE {
        rows.push(Row {
            is_large: true,
            ..Row::new(*fault, expected)
        });
    }
    for (fault, expected) in SECOND {
        rows.push(Row {
            is_second: true,
            ..Row::new(*fault, expected)
        });
    }
    rows
}

fn own(partner: Partner, fault: &str, expected: &str) -> Row {
    Row {
        partner,
        ..Row::new(fault, &[expected])
    }
}

const OK: &str = "status_200 complete";
const TOO_LARGE: &str = "status_200 body_too_large";
const MALFORMED: &str = "response_malformed";

const SIMPLE: &[(&str, &[&str])] = &[
    ("accept-reset", &["tls_reset", "connect_reset"]),
    ("accept-hang", &["deadline_tls"]),
    ("accept-close", &["tls_closed"]),
    ("plain-http", &["tls_not_tls"]),
    ("tls-garbage", &["tls_not_tls", "tls_protocol"]),
    ("tls-hello-hang", &["deadline_tls"]),
    ("tls-hello-close", &["tls_closed"]),
    ("tls-hello-reset", &["tls_reset"]),
    ("tls-trickle", &["deadline_tls"]),
    ("tls-flood", &["tls_protocol"]),
    ("tls-expired", &["tls_expired"]),
    ("tls-not-yet-valid", &["tls_not_yet_valid"]),
    ("tls-wrong-name", &["tls_name_mismatch"]),
    ("tls-self-signed", &["tls_unknown_issuer"]),
    ("tls-unknown-ca", &["tls_unknown_issuer"]),
    ("tls-1.1", &["tls_version"]),
    ("tls-no-shared-cipher", &["tls_no_shared_cipher"]),
    ("tls-unrecognised-name", &["tls_unrecognised_name"]),
    ("tls-internal-error", &["tls_alert"]),
    (
        "tls-client-certificate",
        &["tls_client_certificate_required"],
    ),
    ("tls-h2-only", &["tls_alert", "tls_no_shared_protocol"]),
    (
        "early-close",
        &[
            "closed_before_request",
            "closed_before_response",
            "reset_before_response",
        ],
    ),
    ("early-reset", &["reset_before_response"]),
    ("stop-reading", &["deadline_response"]),
    ("hang", &["deadline_response"]),
    ("reset", &["reset_before_response"]),
    ("close", &["closed_before_response"]),
    ("cut", &["closed_before_response"]),
    ("half-close", &["closed_before_response"]),
    // The partner's clock starts after ours: this is always late.
    ("delay=3001ms", &["deadline_response"]),
    ("delay=2s", &[OK]),
    ("status-000", &[MALFORMED]),
    ("status-2000", &[MALFORMED]),
    ("status-none", &[MALFORMED]),
    ("switching-protocols", &["status_101 complete"]),
    ("reason-control", &[MALFORMED]),
    ("reason-unknown", &[OK]),
    ("head-close", &["closed_in_head"]),
    ("head-reset", &["reset_in_head", "reset_before_response"]),
    ("head-hang", &["deadline_response"]),
    ("slow-head", &["deadline_response"]),
    ("endless-headers", &["response_too_large"]),
    ("many-headers", &["response_too_large"]),
    ("long-header", &["response_too_large"]),
    ("header-nul", &[MALFORMED]),
    ("header-cr", &[MALFORMED]),
    ("header-fold", &[MALFORMED]),
    ("header-name", &[MALFORMED]),
    ("not-http", &[MALFORMED]),
    ("http-0.9", &[MALFORMED]),
    ("http-1.0", &[OK]),
    ("http-3.0", &[MALFORMED]),
    ("h2-preface", &[MALFORMED]),
    ("h2-settings", &[MALFORMED]),
    ("h2-goaway", &[MALFORMED]),
    ("h2-rst-storm", &[MALFORMED]),
    ("h2-settings-flood", &[MALFORMED]),
    ("h2-ping-flood", &[MALFORMED]),
    ("h2-continuation-flood", &[MALFORMED]),
    ("h2-push", &[MALFORMED]),
    ("h2-no-streams", &[MALFORMED]),
    ("h2-zero-window", &[MALFORMED]),
    ("continue-hang", &["deadline_response"]),
    ("continue-storm", &["response_too_large"]),
    ("early-hints-storm", &["response_too_large"]),
    ("continue-ok", &[OK]),
    ("early-hints-ok", &[OK]),
    ("length-long", &["status_200 closed_in_body"]),
    ("length-hang", &["status_200 deadline_body"]),
    ("length-short", &[OK]),
    ("length-twice", &[MALFORMED]),
    ("length-twice-same", &[OK]),
    ("length-negative", &[MALFORMED]),
    ("length-garbage", &[MALFORMED]),
    ("length-overflow", &[MALFORMED]),
    ("length-and-chunked", &[OK]),
    ("encoding-unknown", &[OK]),
    ("chunked-endless", &[TOO_LARGE]),
    ("chunked-tiny", &[TOO_LARGE]),
    ("chunked-bad-size", &["status_200 body_malformed"]),
    ("chunked-overflow", &["status_200 body_malformed"]),
    ("chunked-close", &["status_200 closed_in_body"]),
    ("chunk-extension", &["status_200 body_malformed"]),
    ("trailers", &[OK]),
    ("trailers-endless", &["status_200 body_malformed"]),
    ("no-content-body", &["status_204 complete"]),
    ("two-answers", &[OK]),
    (
        "body-reset",
        &["status_200 reset_in_body", "reset_before_response"],
    ),
    ("body-cut", &["status_200 closed_in_body"]),
    ("slow-body=1s", &["status_200 deadline_body"]),
    ("big-body=1GiB", &[TOO_LARGE]),
    ("gzip", &[OK]),
    ("echo=400", &["status_400 complete"]),
    ("gzip-bomb", &[TOO_LARGE]),
    ("gzip-cut", &[OK]),
    ("gzip-false", &[OK]),
    ("charset", &[OK]),
    ("idle-close", &[OK]),
    ("idle-reset", &[OK]),
    ("idle-unasked", &[OK]),
];

const STATUSES: &[u16] = &[
    201, 202, 203, 204, 206, 300, 304, 400, 401, 403, 404, 408, 409, 410, 413, 415, 418, 422, 425,
    429, 451, 500, 502, 503, 504, 599, 600, 999,
];

/// To a public place, a private one, a file, and the partner itself.
const REDIRECTS: &[(u16, &str)] = &[
    (301, "https://partner.example/"),
    (302, "https://127.0.0.1/"),
    (303, "file:///etc/passwd"),
    (307, "/segments"),
    (308, "https://169.254.169.254/latest/meta-data"),
];

/// Seconds, none, a date to come, one that is past, too many, and nonsense.
const WHENS: &[&str] = &[
    "2",
    "0",
    "Tue%2C 31 Dec 2999 23:59:59 GMT",
    "Sun%2C 06 Nov 1994 08:49:37 GMT",
    "1000000000000",
    "-1",
    "soon",
];

const LARGE: &[(&str, &[&str])] = &[
    ("early-refusal", &["status_413 complete"]),
    ("early-ok", &[OK]),
    ("stop-reading", &["deadline_write"]),
];

/// What the second message over a connection meets first. When the end of the connection is noticed
/// in time, another is opened and the message counts one attempt; else it is the retry that gets
/// through.
const SECOND: &[(&str, &[&str])] = &[
    (
        "idle-close",
        &[OK, "closed_before_request", "closed_before_response"],
    ),
    ("idle-reset", &[OK, "reset_before_response"]),
    ("idle-unasked", &[OK, MALFORMED]),
    ("reuse-close", &["closed_before_response"]),
    ("reuse-reset", &["reset_before_response"]),
];
