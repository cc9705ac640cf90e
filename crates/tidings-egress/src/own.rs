//! This machine's own addresses, which no partner can have.
//!
//! Where this server listens is refused whatever the policy says: a message that comes back to its
//! sender is a mistake or an attack, for the admin side trusts who reaches it. A public address of one
//! of this machine's interfaces is refused unless the policy opens private addresses, since what
//! listens there may believe that the firewall stands before it.
//!
//! Whether an address is the machine's own is asked of the kernel each time, not of a list read at the
//! start, so that interfaces may come and go: a UDP socket that is connected, which sends nothing, to
//! an address of the machine itself takes that very address as its source.

use crate::{
    failure::{Failure, FailureClass},
    policy::{AddressKind, AddressPolicy, AddressRefusal, embedded_v4},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// Where this server listens.
#[derive(Debug, Default)]
pub(crate) struct OwnAddresses(Vec<SocketAddr>);

impl OwnAddresses {
    pub(crate) const fn new(listeners: Vec<SocketAddr>) -> Self {
        Self(listeners)
    }

    /// Judges an address that the policy permits, and the port there.
    pub(crate) fn judge(
        &self,
        policy: AddressPolicy,
        address: IpAddr,
        port: u16,
    ) -> Result<(), OwnError> {
        self.judge_by(policy, SocketAddr::new(address, port), is_own)
    }

    fn judge_by(
        &self,
        policy: AddressPolicy,
        address: SocketAddr,
        is_own: impl Fn(SocketAddr) -> io::Result<bool>,
    ) -> Result<(), OwnError> {
        let canonical = SocketAddr::new(embedded_v4(address.ip()), address.port());
        let listens = |listener: &&SocketAddr| {
            let wildcard = listener.ip().is_unspecified();
            listener.port() == address.port() && (wildcard || listener.ip() == canonical.ip())
        };
        let listener = self.0.iter().find(listens);
        let exact = listener.is_some_and(|listener| !listener.ip().is_unspecified());
        if listener.is_none() && policy.allow_private {
            return Ok(());
        }
        let is_own = exact || is_own(canonical).map_err(OwnError::Unknown)?;
        let kind = match listener {
            _ if !is_own => return Ok(()),
            Some(_) => AddressKind::OwnListener,
            None => AddressKind::OwnInterface,
        };
        Err(OwnError::Refused(AddressRefusal {
            address: address.ip(),
            kind,
        }))
    }
}

/// Why an address is not dialled.
#[derive(Debug)]
pub(crate) enum OwnError {
    Refused(AddressRefusal),
    /// It cannot be told whose the address is.
    Unknown(io::Error),
}

impl From<OwnError> for Failure {
    fn from(error: OwnError) -> Self {
        match error {
            OwnError::Refused(refusal) => Self::new(FailureClass::AddressOwn, refusal),
            OwnError::Unknown(error) => Self::of(FailureClass::ConnectLocalLimit, &error),
        }
    }
}

/// Whether the address is this machine's. An error only when the machine is out of sockets or memory:
/// an address without a route is nobody's, and dialling it fails by itself.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing is sent: the kernel is asked for a route"
)]
fn is_own(address: SocketAddr) -> io::Result<bool> {
    if address.ip().is_loopback() {
        return Ok(true);
    }
    let any: IpAddr = match address.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let routed = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    match routed {
        Ok(source) => Ok(source.ip() == address.ip()),
        Err(error) if is_exhausted(&error) => Err(error),
        Err(_no_route) => Ok(false),
    }
}

/// ENFILE, EMFILE, ENOBUFS or no memory.
fn is_exhausted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
        || matches!(error.raw_os_error(), Some(23 | 24 | 105))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Judges on a machine whose only address besides loopback is 11.22.33.44, with private addresses
    /// refused and then allowed; `-` is permitted.
    #[track_caller]
    fn check(listeners: &[&str], address: &str, expected: &str) {
        let listeners = listeners.iter().map(|text| text.parse().unwrap());
        let own = OwnAddresses::new(listeners.collect());
        let machine: IpAddr = "11.22.33.44".parse().unwrap();
        let judged = |allow_private| {
            let policy = AddressPolicy { allow_private };
            let judged = own.judge_by(policy, address.parse().unwrap(), |asked| {
                Ok(asked.ip() == machine || asked.ip().is_loopback())
            });
            match judged {
                Ok(()) => "-".to_owned(),
                Err(OwnError::Refused(refusal)) => format!("{:?}", refusal.kind),
                Err(OwnError::Unknown(error)) => error.to_string(),
            }
        };
        assert_eq!(
            format!("{} {}", judged(false), judged(true)),
            expected,
            "{address}"
        );
    }

    #[test]
    fn addresses_of_the_machine_are_private() {
        for address in [
            "11.22.33.44:443",
            "[::ffff:11.22.33.44]:443",
            "[64:ff9b::11.22.33.44]:443",
            "[2002:b16:212c::1]:443",
        ] {
            check(&["127.0.0.1:8080"], address, "OwnInterface -");
        }
        check(&["127.0.0.1:8080"], "11.22.33.45:443", "- -");
    }

    #[test]
    fn where_the_server_listens_is_never_permitted() {
        let both = "OwnListener OwnListener";
        check(&["127.0.0.1:8080"], "127.0.0.1:8080", both);
        check(&["127.0.0.1:8080"], "[::ffff:127.0.0.1]:8080", both);
        check(&["127.0.0.1:1", "[::1]:8080"], "[::1]:8080", both);
        check(&["0.0.0.0:8080"], "11.22.33.44:8080", both);
        check(&["[::]:8080"], "11.22.33.44:8080", both);
        check(&["0.0.0.0:8080"], "127.0.0.1:8080", both);
        check(&["11.22.33.44:8080"], "11.22.33.44:8080", both);
        // Another port, or somebody else's machine.
        check(&["0.0.0.0:8080"], "11.22.33.44:8081", "OwnInterface -");
        check(&["0.0.0.0:8080"], "11.22.33.45:8080", "- -");
    }

    #[test]
    fn the_kernel_knows_its_own() {
        let own = |address: &str| is_own(address.parse().unwrap()).unwrap();
        assert!(own("127.0.0.1:9") && own("127.1.2.3:9") && own("[::1]:9"));
        // Nobody's: without a route, or by whatever route there is.
        assert!(!own("11.22.33.44:9") && !own("[2600::44]:9"));
    }

    #[test]
    fn what_cannot_be_told_is_not_dialled() {
        let address = "11.22.33.44:443".parse().unwrap();
        let own = OwnAddresses::default();
        let failed = own.judge_by(AddressPolicy::default(), address, |_| {
            Err(io::Error::from_raw_os_error(24))
        });
        assert_eq!(
            Failure::from(failed.unwrap_err()).class,
            FailureClass::ConnectLocalLimit
        );
    }
}
