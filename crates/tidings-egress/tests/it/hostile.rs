//! URLs and DNS answers that have slipped past other people's guards, one line each in
//! `hostile/table.tsv`: refused by name, and canaries on loopback that nobody ever connects to.
//!
//! `cargo test -p tidings-egress --test it -- hostile --nocapture` prints the table. Every URL goes
//! both ways: through the check when it is saved and through an attempt, which begins at a parser
//! or a guard that lets nothing through; that no connection was begun is also read off the
//! attempt's timings.

mod dns;

use self::dns::NameServer;
use crate::partner::{Authority, outcome, request, settings};
use std::{sync::Arc, time::Duration};
use tidings_egress::{
    AddressPolicy, Attempt, Egress, EgressSettings, Endpoint, EndpointSettings, HostsFile,
    NameServers, UrlError, check_url,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// Lines that the table must have at least.
const ROWS_MIN: usize = 300;
const TABLE: &str = include_str!("hostile/table.tsv");
/// Deadline of attempts that wait for a name server in vain.
const SHORT: Duration = Duration::from_millis(700);
const AMPLE: Duration = Duration::from_secs(20);
/// Names that are asked for at the same time: each takes a client of its own to be made, and on a busy
/// machine no deadline should run out while all others are.
const AT_ONCE: usize = 4;

struct Row {
    kind: &'static str,
    input: &'static str,
    expected: &'static str,
    reason: &'static str,
}

fn rows() -> Vec<Row> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<_> = line.split('\t').collect();
            let [kind, input, expected, reason] = fields[..] else {
                panic!("not four fields: {line}");
            };
            Row {
                kind,
                input,
                expected,
                reason,
            }
        })
        .collect()
}

/// Listens on one port of several addresses of loopback, and must never be connected to.
struct Canaries(Vec<TcpListener>);

impl Canaries {
    async fn start() -> Self {
        loop {
            let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = first.local_addr().unwrap().port();
            let mut all = vec![first];
            for host in ["127.0.0.2", "127.255.255.254", "::1"] {
                // Somebody else may have this port there; a machine may have no IPv6.
                match TcpListener::bind((host, port)).await {
                    Ok(listener) => all.push(listener),
                    Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => break,
                    Err(_) => {}
                }
            }
            if all.len() >= 3 {
                return Self(all);
            }
        }
    }

    fn port(&self) -> u16 {
        self.0[0].local_addr().unwrap().port()
    }

    /// A connection that was made waits in its listener's queue. Ours comes out first only if there
    /// is no other before it.
    async fn assert_untouched(&self) {
        for canary in &self.0 {
            let address = canary.local_addr().unwrap();
            let own = TcpStream::connect(address).await.unwrap();
            let (_, from) = canary.accept().await.unwrap();
            assert_eq!(from, own.local_addr().unwrap(), "{address} was dialled");
        }
    }
}

fn egress(server: &NameServer, policy: AddressPolicy) -> Arc<Egress> {
    Egress::new(EgressSettings {
        policy,
        name_servers: NameServers::Listed(vec![server.address]),
        hosts: HostsFile::Text(String::new()),
        ..settings(&Authority::new())
    })
    .unwrap()
}

async fn attempt(egress: &Arc<Egress>, url: &str, timeout: Duration) -> Result<Attempt, UrlError> {
    let endpoint = Endpoint::new(Arc::clone(egress), url, EndpointSettings::default())?;
    Ok(endpoint.post(&request(), timeout).await)
}

/// The table's name of what is wrong with a URL.
const fn fault(error: &UrlError) -> &'static str {
    match error {
        UrlError::TooLong(_) => "too_long",
        UrlError::Character(_) => "character",
        UrlError::Unparsable(_) => "unparsable",
        UrlError::NotHttps => "not_https",
        UrlError::UserInfo => "user_info",
        UrlError::Fragment => "fragment",
        UrlError::PortZero => "port_zero",
        UrlError::HostName(_) => "host_name",
        UrlError::RequestTarget(_) => "request_target",
        UrlError::Localhost(_) | UrlError::Address(_) => "address_refused",
        _ => "another",
    }
}

/// The text that the table writes with escapes.
fn unescape(text: &str, port: u16) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next().unwrap() {
            't' => out.push('\t'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            '0' => out.push('\0'),
            'u' => {
                let code: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                out.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
            }
            other => out.push(other),
        }
    }
    match out.as_str() {
        "TOO_LONG" => format!("https://127.0.0.1:{port}/{}", "a".repeat(5_000)),
        _ => out.replace("{port}", &port.to_string()),
    }
}

fn print(row: &Row, got: &str) -> Option<String> {
    let Row {
        kind,
        input,
        expected,
        reason,
    } = row;
    println!("{kind:<10} {got:<32} {input:<56} {reason}");
    // Where no answer can be used, our deadline and the resolver's own tries run out at about the same
    // time; which is first depends on the machine, so such a row names both.
    let is_expected = expected.split('|').any(|one| one == got);
    (!is_expected).then(|| format!("{input} ({reason}): {expected} expected, got {got}"))
}

#[tokio::test]
async fn hostile_urls_and_answers_lead_nowhere() {
    let canaries = Canaries::start().await;
    let rows = rows();
    let count = rows.len();
    assert!(count >= ROWS_MIN, "{count} rows");
    // Whatever name comes through leads to a canary.
    let names = NameServer::start("127.0.0.1 ::1").await;
    let guarded = egress(&names, AddressPolicy::default());
    let mut faults = Vec::new();
    for row in rows.iter().filter(|row| row.kind == "url") {
        let url = unescape(row.input, canaries.port());
        let saved = check_url(&url, AddressPolicy::default());
        let got = match attempt(&guarded, &url, AMPLE).await {
            Err(error) => {
                assert_eq!(
                    saved.as_ref().err(),
                    Some(&error),
                    "{url}: one parser for both"
                );
                fault(&error).to_owned()
            }
            Ok(attempt) => {
                assert_eq!(attempt.timings.connect, None, "{url}");
                outcome(&attempt)
            }
        };
        faults.extend(print(row, &got));
    }
    let answers = rows.into_iter().filter(|row| row.kind != "url");
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let running: Vec<_> = answers
        .map(|row| {
            let (port, turns) = (canaries.port(), Arc::clone(&turns));
            tokio::spawn(async move {
                let _turn = turns.acquire().await.unwrap();
                (answered(&row, port).await, row)
            })
        })
        .collect();
    for row in running {
        let (got, row) = row.await.unwrap();
        faults.extend(print(&row, &got));
    }
    println!("{count} rows, {} faults", faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    canaries.assert_untouched().await;
}

/// The outcomes of attempts at a name with the answers of `row`.
async fn answered(row: &Row, canary: u16) -> String {
    let server = NameServer::start(row.input).await;
    let open = row.kind == "dns-open";
    let policy = AddressPolicy {
        allow_private: open,
    };
    let egress = egress(&server, policy);
    let port = if open { nobody().await } else { canary };
    let url = format!("https://partner.test:{port}/");
    let timeout = if row.expected.starts_with("deadline") {
        SHORT
    } else {
        AMPLE
    };
    let turns = row.expected.split(',').count();
    let mut seen = Vec::new();
    for turn in 0..turns {
        server.answer_with(turn);
        let attempt = attempt(&egress, &url, timeout).await.unwrap();
        if !open || outcome(&attempt) == "address_refused" {
            assert_eq!(attempt.timings.connect, None, "{}", row.input);
        }
        seen.push(outcome(&attempt));
    }
    seen.join(",")
}

/// A port of loopback where nobody listens.
async fn nobody() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}
