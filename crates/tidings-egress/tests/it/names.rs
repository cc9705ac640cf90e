//! Names, addresses and the guard between them: refused addresses are never dialled.

use crate::partner::{AMPLE, Authority, HOST, Partner, ok_times, outcome, request, settings};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tidings_egress::{
    AddressPolicy, Egress, EgressSettings, Endpoint, EndpointSettings, FailureClass, HostsFile,
    NameServers,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
};

/// A name server on loopback that answers every A and AAAA query with what `answer` makes of the
/// name and type: a response code and addresses. `None` keeps it silent.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) type Answer = Option<(u8, Vec<std::net::IpAddr>)>;

impl NameServer {
    pub(crate) async fn start(answer: impl Fn(&str, bool) -> Answer + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut query = vec![0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut query).await.unwrap();
                if let Some(reply) = reply(&query[..length], &answer) {
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
        });
        Self { address, task }
    }
}

/// RFC 1035 4.1: header of 12 bytes, one question, answers that point to the question's name.
fn reply(query: &[u8], answer: impl Fn(&str, bool) -> Answer) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut name = String::new();
    while query[at] != 0 {
        let label = &query[at + 1..at + 1 + usize::from(query[at])];
        name.push_str(&String::from_utf8_lossy(label));
        name.push('.');
        at += label.len() + 1;
    }
    let question = &query[12..at + 5];
    let wants_v6 = query[at + 2] == 28;
    let (code, addresses) = answer(&name.to_lowercase(), wants_v6)?;
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter(|ip| ip.is_ipv6() == wants_v6)
        .map(|ip| match ip {
            std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
            std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
        })
        .collect();
    let mut out = vec![query[0], query[1], 0x81, 0x80 | code, 0, 1];
    out.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    out.extend([0, 0, 0, 0]);
    out.extend(question);
    for data in records {
        out.extend([
            0xc0,
            12,
            0,
            if wants_v6 { 28 } else { 1 },
            0,
            1,
            0,
            0,
            0,
            0,
            0,
        ]);
        out.push(u8::try_from(data.len()).unwrap());
        out.extend(data);
    }
    Some(out)
}

/// Posts to `https://host:port/`, the host unknown to the hosts file.
async fn post(
    server: SocketAddr,
    policy: AddressPolicy,
    host: &str,
    port: u16,
    timeout: Duration,
) -> tidings_egress::Attempt {
    let egress = Egress::new(EgressSettings {
        policy,
        name_servers: NameServers::Listed(vec![server]),
        hosts: HostsFile::Text(String::new()),
        ..settings(&Authority::new())
    })
    .unwrap();
    let url = format!("https://{host}:{port}/");
    let endpoint = Endpoint::new(egress, &url, EndpointSettings::default()).unwrap();
    endpoint.post(&request(), timeout).await
}

/// Listens on loopback and must never be connected to.
struct Canary(TcpListener);

impl Canary {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// A connection that was made is in the listener's queue, whether accepted or not. Our own
    /// comes out first only if there is no other before it.
    async fn assert_untouched(&self) {
        let own = tokio::net::TcpStream::connect(self.0.local_addr().unwrap())
            .await
            .unwrap();
        let (_, from) = self.0.accept().await.unwrap();
        assert_eq!(from, own.local_addr().unwrap(), "the canary was dialled");
    }
}

#[tokio::test]
async fn names_that_resolve_to_refused_addresses_are_not_dialled() {
    let canary = Canary::start().await;
    let name_server = NameServer::start(|name, _| {
        let text = match name {
            "loopback.test." => vec!["127.0.0.1"],
            "mixed.test." => vec!["1.1.1.1", "127.0.0.1", "2606:4700::1111"],
            "mapped.test." => vec!["::ffff:127.0.0.1"],
            "nat64.test." => vec!["64:ff9b::7f00:1"],
            "metadata.test." => vec!["169.254.169.254"],
            _ => vec![],
        };
        Some((0, text.iter().map(|ip| ip.parse().unwrap()).collect()))
    })
    .await;
    for host in [
        "loopback.test",
        "mixed.test",
        "mapped.test",
        "nat64.test",
        "metadata.test",
        "LOOPBACK.test.",
    ] {
        let attempt = post(
            name_server.address,
            AddressPolicy::default(),
            host,
            canary.port(),
            AMPLE,
        )
        .await;
        assert_eq!(outcome(&attempt), "address_refused", "{host} {attempt:?}");
    }
    canary.assert_untouched().await;
}

#[tokio::test]
async fn literal_and_local_hosts_are_not_dialled() {
    let canary = Canary::start().await;
    let name_server = NameServer::start(|_, _| Some((0, vec!["1.1.1.1".parse().unwrap()]))).await;
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:7f00:1]",
        "localhost",
        "localhost.",
        "a.localhost",
        "0",
        "[::]",
    ] {
        let attempt = post(
            name_server.address,
            AddressPolicy::default(),
            host,
            canary.port(),
            AMPLE,
        )
        .await;
        assert_eq!(outcome(&attempt), "address_refused", "{host} {attempt:?}");
    }
    canary.assert_untouched().await;
}

#[tokio::test]
async fn the_dangerous_switch_opens_loopback_but_not_everything() {
    let name_server = NameServer::start(|_, _| Some((3, vec![]))).await;
    let open = AddressPolicy {
        allow_private: true,
    };
    let canary = Canary::start().await;
    for host in [
        "0",
        "[::]",
        "169.254.169.254",
        "255.255.255.255",
        "[ff02::1]",
    ] {
        let attempt = post(name_server.address, open, host, canary.port(), AMPLE).await;
        assert_eq!(outcome(&attempt), "address_refused", "{host}");
    }
    canary.assert_untouched().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let attempt = post(name_server.address, open, "localhost", closed, AMPLE).await;
    assert_eq!(outcome(&attempt), "connect_refused", "{attempt:?}");
}

#[tokio::test]
async fn a_name_that_moves_is_judged_again() {
    // Rebinding: every other answer is the metadata service, which no switch opens.
    let partner = Partner::start(vec![ok_times(1)]).await;
    let asked = AtomicUsize::new(0);
    let name_server = NameServer::start(move |_, wants_v6| {
        let bad = !wants_v6 && asked.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        let address = if bad { "169.254.169.254" } else { "127.0.0.1" };
        Some((0, vec![address.parse().unwrap()]))
    })
    .await;
    let egress = Egress::new(EgressSettings {
        name_servers: NameServers::Listed(vec![name_server.address]),
        hosts: HostsFile::Text(String::new()),
        ..settings(&partner.authority)
    })
    .unwrap();
    let endpoint = Endpoint::new(egress, &partner.url("/"), EndpointSettings::default()).unwrap();
    for number in 0..10 {
        let attempt = endpoint.post(&request(), AMPLE).await;
        let expected = ["status_200 complete", "address_refused"][number % 2];
        assert_eq!(outcome(&attempt), expected, "{attempt:?}");
        endpoint.close_idle();
    }
    assert_eq!(partner.connections(), 5);
}

#[tokio::test]
async fn name_server_troubles_have_names() {
    let name_server = NameServer::start(|name, _| match name {
        "missing.test." => Some((3, vec![])),
        "broken.test." => Some((2, vec![])),
        "denied.test." => Some((5, vec![])),
        "empty.test." => Some((0, vec![])),
        _ => None,
    })
    .await;
    for (host, class) in [
        ("missing.test", FailureClass::DnsNotFound),
        ("broken.test", FailureClass::DnsServerFailure),
        ("denied.test", FailureClass::DnsServerFailure),
        ("empty.test", FailureClass::DnsNoAddress),
        ("silent.test", FailureClass::DeadlineDns),
    ] {
        let timeout = Duration::from_millis(900);
        let attempt = post(
            name_server.address,
            AddressPolicy::default(),
            host,
            443,
            timeout,
        )
        .await;
        assert_eq!(outcome(&attempt), class.as_str(), "{host} {attempt:?}");
        assert!(
            attempt.timings.total < Duration::from_secs(2),
            "{host} {attempt:?}"
        );
    }
    let silent = post(
        name_server.address,
        AddressPolicy::default(),
        "silent.test",
        443,
        AMPLE,
    )
    .await;
    assert_eq!(
        outcome(&silent),
        FailureClass::DnsTimeout.as_str(),
        "{silent:?}"
    );
}

#[tokio::test]
async fn without_name_servers_addresses_and_hosts_work() {
    let partner = Partner::start(vec![ok_times(1)]).await;
    let egress = partner.egress();
    let port = partner.address.port();
    for (host, expected) in [
        (HOST, "status_200 complete"),
        ("127.0.0.1", "status_200 complete"),
        ("nowhere.test", "dns_unavailable"),
    ] {
        let url = format!("https://{host}:{port}/");
        let endpoint =
            Endpoint::new(Arc::clone(&egress), &url, EndpointSettings::default()).unwrap();
        let attempt = endpoint.post(&request(), AMPLE).await;
        assert_eq!(outcome(&attempt), expected, "{host} {attempt:?}");
    }
}

#[tokio::test]
async fn a_dead_address_gives_way_to_a_live_one() {
    // Nothing listens on ::1 at the partner's port; 127.0.0.1 answers.
    let partner = Partner::start(vec![ok_times(1)]).await;
    let answer = ["::1", "127.0.0.1"].map(|ip| ip.parse().unwrap()).to_vec();
    let name_server = NameServer::start(move |_, _| Some((0, answer.clone()))).await;
    let egress = Egress::new(EgressSettings {
        name_servers: NameServers::Listed(vec![name_server.address]),
        hosts: HostsFile::Text(String::new()),
        ..settings(&partner.authority)
    })
    .unwrap();
    let endpoint = Endpoint::new(egress, &partner.url("/"), EndpointSettings::default()).unwrap();
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&attempt), "status_200 complete", "{attempt:?}");
    let timings = attempt.timings;
    assert!(timings.dns.is_some() && timings.connect.is_some() && timings.tls.is_some());
}
