//! What all outgoing connections share: TLS settings, resolver, address policy, product name.
//!
//! This is the only place of the system that opens TCP connections to other machines. The order is
//! fixed: resolve, judge every address, dial a judged one, compare the peer, TLS with the original
//! name, HTTP. No proxy is taken from the environment.

use crate::{
    attempt::{Phase, Trace},
    dial::{candidates, dial},
    failure::{Failure, FailureClass},
    link::Link,
    own::{OwnAddresses, OwnError},
    policy::AddressPolicy,
    resolve::{HostsFile, NameServers, Resolver, localhost},
    target::{Target, TargetHost, UrlError, check_url},
    tls::{self, RootsError, TlsProfile, TlsSettings, TlsSettingsError},
};
use http::HeaderValue;
use rustls::RootCertStore;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// Settings of everything that goes out.
#[derive(Clone, Debug)]
pub struct EgressSettings {
    /// Trust roots in PEM, in addition to the system's. Default none.
    pub ca_pem: Option<Vec<u8>>,
    /// Which addresses may be dialled. Default: public ones only.
    pub policy: AddressPolicy,
    /// Where this server listens, which is never dialled; an unspecified address stands for every one
    /// of this machine. Default none.
    pub own_listeners: Vec<SocketAddr>,
    /// Value of `User-Agent`, visible ASCII. Default `tidings/<version>`.
    pub user_agent: String,
    /// Which name servers are asked. Default: the system's.
    pub name_servers: NameServers,
    /// Which names are known without asking. Default: the system's hosts file.
    pub hosts: HostsFile,
}

impl Default for EgressSettings {
    fn default() -> Self {
        Self {
            ca_pem: None,
            policy: AddressPolicy::default(),
            own_listeners: Vec::new(),
            user_agent: concat!("tidings/", env!("CARGO_PKG_VERSION")).to_owned(),
            name_servers: NameServers::default(),
            hosts: HostsFile::default(),
        }
    }
}

/// Why outgoing connections cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// The trust roots cannot be used.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The user agent is not a header value.
    #[error("the user agent {0:?} cannot be sent as a header")]
    UserAgent(String),
}

/// Shared by all endpoints and token sources of a server. Only the policy can change. To change the
/// roots, make a new one and new endpoints: dropping the old endpoints closes their connections.
pub struct Egress {
    roots: Arc<RootCertStore>,
    tls: TlsProfile,
    resolver: Resolver,
    allow_private: AtomicBool,
    own: OwnAddresses,
    pub(crate) user_agent: HeaderValue,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress")
            .field("policy", &self.policy())
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

impl Egress {
    /// Reads the system's trust roots, name servers and hosts file (blocking, once, at start).
    ///
    /// Missing system roots are a warning as long as `ca_pem` has some; missing name servers are a
    /// warning: addresses and the hosts file still work.
    ///
    /// # Errors
    /// When `ca_pem` cannot be used, there are no roots at all, or the user agent is not a header.
    pub fn new(settings: EgressSettings) -> Result<Arc<Self>, EgressError> {
        let user_agent = HeaderValue::from_str(&settings.user_agent)
            .ok()
            .filter(|value| value.to_str().is_ok_and(|text| !text.trim().is_empty()))
            .ok_or(EgressError::UserAgent(settings.user_agent))?;
        let roots = Arc::new(tls::roots(settings.ca_pem.as_deref())?);
        Ok(Arc::new(Self {
            tls: TlsProfile::shared(&roots),
            roots,
            resolver: Resolver::new(&settings.name_servers, &settings.hosts),
            allow_private: AtomicBool::new(settings.policy.allow_private),
            own: OwnAddresses::new(settings.own_listeners),
            user_agent,
        }))
    }

    /// The policy that addresses are judged by.
    #[must_use]
    pub fn policy(&self) -> AddressPolicy {
        AddressPolicy {
            allow_private: self.allow_private.load(Ordering::Relaxed),
        }
    }

    /// Judges by this policy from now on: every address before it is dialled, and every connection at
    /// hand before it is used again. Attempts under way go on.
    pub fn set_policy(&self, policy: AddressPolicy) {
        let AddressPolicy { allow_private } = policy;
        self.allow_private.store(allow_private, Ordering::Relaxed);
    }

    /// Judges a URL as [`check_url`] does, and refuses addresses of this machine besides.
    ///
    /// # Errors
    /// The first thing wrong with the URL; [`UrlError::is_refusal`] tells refused hosts from mistakes.
    pub fn check_url(&self, url: &str) -> Result<(), UrlError> {
        let policy = self.policy();
        check_url(url, policy)?;
        let target = Target::parse(url)?;
        let known = match &target.host {
            TargetHost::Address(ip) => vec![*ip],
            TargetHost::Name(name) => localhost(name).unwrap_or_default(),
        };
        for ip in known {
            // Where it cannot be told whose it is, it will be asked again before it is dialled.
            if let Err(OwnError::Refused(refusal)) = self.own.judge(policy, ip, target.port) {
                return Err(refusal.into());
            }
        }
        Ok(())
    }

    /// Whether a connection to this address may be used again.
    pub(crate) fn may_reuse(&self, peer: IpAddr) -> bool {
        self.policy().judge(peer).is_ok()
    }

    /// TLS for a destination that has roots or a client certificate of its own.
    ///
    /// # Errors
    /// When they cannot be used; nothing of a key is shown.
    pub fn tls_profile(&self, settings: TlsSettings<'_>) -> Result<TlsProfile, TlsSettingsError> {
        TlsProfile::new(&self.roots, settings)
    }

    /// TLS as all destinations speak it that have nothing of their own.
    pub(crate) fn shared_tls(&self) -> TlsProfile {
        self.tls.clone()
    }

    /// Opens a connection to `target`; `connect_max` bounds the TCP part alone, so that a dead
    /// address leaves time to be told from a slow partner.
    pub(crate) async fn open(
        &self,
        target: &Target,
        tls: &TlsProfile,
        connect_max: Duration,
        trace: &mut Trace,
    ) -> Result<Link, Failure> {
        trace.skip_to(Phase::Dns);
        let addresses = self.addresses(target).await?;
        match target.host {
            TargetHost::Name(_) => trace.enter(Phase::Connect),
            TargetHost::Address(_) => trace.skip_to(Phase::Connect),
        }
        let (stream, peer) = timeout(connect_max, dial(&addresses, target.port))
            .await
            .unwrap_or_else(|_| Err(connect_timeout(&addresses, connect_max)))?;
        trace.enter(Phase::Tls);
        let stream = tls
            .0
            .connect(target.server_name.clone(), stream)
            .await
            .map_err(|error| tls::handshake_failure(&error))?;
        trace.enter(Phase::Write);
        Link::open(stream, peer).await
    }

    /// The addresses of the host that are dialled. All of its addresses are judged and permitted.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, Failure> {
        let addresses = match &target.host {
            TargetHost::Address(ip) => vec![*ip],
            TargetHost::Name(name) => self.resolver.lookup(name).await?,
        };
        let policy = self.policy();
        policy
            .judge_all(&addresses)
            .map_err(|refusal| Failure::new(FailureClass::AddressRefused, refusal))?;
        let candidates = candidates(&addresses);
        for &ip in &candidates {
            self.own.judge(policy, ip, target.port)?;
        }
        Ok(candidates)
    }
}

fn connect_timeout(addresses: &[IpAddr], after: Duration) -> Failure {
    Failure::new(
        FailureClass::ConnectTimeout,
        format_args!(
            "no answer from {addresses:?} within {} ms",
            after.as_millis()
        ),
    )
}
