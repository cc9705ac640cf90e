//! Name resolution: from a host name to addresses, never through the blocking pool.
//!
//! In this order: `localhost` and names below it are this machine, whatever anybody says; the hosts
//! file, read once; DNS, with the system's name servers. Without a usable DNS configuration the
//! first two, and URLs with IP addresses, work all the same.
//!
//! A name with a dot is taken as fully qualified: an attempt with a deadline must not wait for a
//! search list to be tried. A name without a dot goes through the system's search list.
//!
//! Not here: the judgement of the answer ([`crate::policy`]), which sees all of it.

mod hosts;

use crate::{
    dial::is_local_limit,
    failure::{Failure, FailureClass},
    target::is_localhost,
};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, NoRecords, runtime::TokioRuntimeProvider},
    proto::{op::ResponseCode, rr::Name},
};
use hosts::Hosts;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// Answers kept.
const CACHE_ENTRIES_MAX: u64 = 1_024;
/// How long an answer is believed at most: as long as a connection lives, so a name that moves is
/// followed within minutes.
const POSITIVE_TTL_MAX: Duration = Duration::from_secs(300);
/// How long "there is no such name" is believed at most: a name that was just registered must not
/// stay dead for hours.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(10);
/// Wait for one name server before the next, or the same again; well below an attempt's deadline.
const SERVER_TIMEOUT_MAX: Duration = Duration::from_millis(1_000);

/// Which name servers are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NameServers {
    /// Those of the system's configuration, `/etc/resolv.conf` on Unix.
    #[default]
    System,
    /// These, by UDP and, for truncated answers, TCP. An empty list asks nobody.
    Listed(Vec<SocketAddr>),
}

/// Where the hosts file comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostsFile {
    /// `/etc/hosts`, if it is there.
    #[default]
    System,
    /// This text.
    Text(String),
}

/// The addresses of a name that is this machine whatever anybody says.
pub(crate) fn localhost(name: &str) -> Option<Vec<IpAddr>> {
    is_localhost(name).then(|| vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()])
}

pub(crate) struct Resolver {
    hosts: Hosts,
    dns: Option<TokioResolver>,
}

impl Resolver {
    pub(crate) fn new(servers: &NameServers, hosts: &HostsFile) -> Self {
        let hosts = match hosts {
            HostsFile::System => Hosts::read_system(),
            HostsFile::Text(text) => Hosts::parse(text),
        };
        let dns = dns(servers)
            .inspect_err(|error| {
                tracing::warn!(%error, "no name servers: only addresses and the hosts file work");
            })
            .ok();
        Self { hosts, dns }
    }

    /// All addresses of `name`, in no particular order, at least one.
    ///
    /// Cancel safe: a query under way is forgotten.
    pub(crate) async fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, Failure> {
        if let Some(addresses) = localhost(name) {
            return Ok(addresses);
        }
        if let Some(addresses) = self.hosts.get(name) {
            return Ok(addresses.to_vec());
        }
        let Some(dns) = &self.dns else {
            return Err(Failure::new(
                FailureClass::DnsUnavailable,
                format_args!("{name} is not in the hosts file and no name server is configured"),
            ));
        };
        let mut query =
            Name::from_ascii(name).map_err(|error| Failure::of(FailureClass::DnsFailed, &error))?;
        query.set_fqdn(name.contains('.'));
        let answer = dns
            .lookup_ip(query)
            .await
            .map_err(|error| dns_failure(name, &error))?;
        let addresses: Vec<_> = answer.iter().collect();
        if addresses.is_empty() {
            return Err(no_address(name));
        }
        Ok(addresses)
    }
}

fn dns(servers: &NameServers) -> Result<TokioResolver, NetError> {
    let mut builder = match servers {
        NameServers::System => TokioResolver::builder_tokio()?,
        NameServers::Listed(list) if list.is_empty() => return Err(NetError::NoConnections),
        NameServers::Listed(list) => TokioResolver::builder_with_config(
            ResolverConfig::from_name_servers(list.iter().map(name_server).collect()),
            TokioRuntimeProvider::default(),
        ),
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = CACHE_ENTRIES_MAX;
    options.positive_max_ttl = Some(POSITIVE_TTL_MAX);
    options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
    options.timeout = options.timeout.min(SERVER_TIMEOUT_MAX);
    builder.build()
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

fn no_address(name: &str) -> Failure {
    Failure::new(
        FailureClass::DnsNoAddress,
        format_args!("{name} has no address"),
    )
}

fn dns_failure(name: &str, error: &NetError) -> Failure {
    let class = match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => {
            match *response_code {
                ResponseCode::NXDomain => FailureClass::DnsNotFound,
                ResponseCode::NoError => return no_address(name),
                _ => FailureClass::DnsServerFailure,
            }
        }
        NetError::Dns(DnsError::ResponseCode(_)) => FailureClass::DnsServerFailure,
        NetError::Timeout => FailureClass::DnsTimeout,
        NetError::NoConnections => FailureClass::DnsUnavailable,
        NetError::Io(error) if is_local_limit(error) => FailureClass::ConnectLocalLimit,
        _ => FailureClass::DnsFailed,
    };
    match class {
        FailureClass::DnsNotFound => Failure::new(class, format_args!("{name} does not exist")),
        _ => Failure::new(class, format_args!("{name}: {error}")),
    }
}
