//! Address policy: which IP addresses an outgoing connection may go to.
//!
//! A destination's URL is entered by people and its name is resolved by strangers' name servers, so
//! either could point this process at the machine it runs on, its network, or the metadata service
//! of its cloud. Only addresses of the public internet pass; one switch opens the private ranges
//! for tests and installations whose partners are inside.
//!
//! **Invariant:** every address that is dialled was judged here first, in its canonical form: an
//! IPv4 address inside an IPv6 one (IPv4-mapped, NAT64, 6to4) is judged as that IPv4 address.
//!
//! Source: the IANA special-purpose address registries (RFC 6890 and updates), RFC 6052 and RFC
//! 8215 (NAT64), RFC 3056 (6to4), and the published metadata addresses of the large clouds.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What may be dialled. Cheap to copy; replaced by [`crate::Egress::set_policy`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    /// Also permit loopback, private, shared (carrier-grade NAT), link-local and unique local
    /// addresses, and those of this machine's interfaces. Where this server listens, metadata,
    /// unspecified, multicast, broadcast, documentation and reserved addresses stay refused.
    pub allow_private: bool,
}

/// An address that may not be dialled, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address} is refused: {kind}")]
pub struct AddressRefusal {
    /// The address as it was given or resolved.
    pub address: IpAddr,
    /// What it is.
    pub kind: AddressKind,
}

/// The kinds of addresses that are not plain public unicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressKind {
    /// This machine: `127.0.0.0/8`, `::1`.
    Loopback,
    /// Private networks: `10/8`, `172.16/12`, `192.168/16`, `fec0::/10`.
    Private,
    /// Carrier-grade NAT, `100.64.0.0/10`.
    Shared,
    /// One link: `169.254/16`, `fe80::/10`.
    LinkLocal,
    /// Unique local, `fc00::/7`.
    UniqueLocal,
    /// A cloud's metadata or host service, public or not.
    Metadata,
    /// No address: `0.0.0.0/8`, `::`.
    Unspecified,
    /// `224/4`, `ff00::/8`.
    Multicast,
    /// `255.255.255.255`.
    Broadcast,
    /// Set aside for examples: never a partner.
    Documentation,
    /// Set aside for protocols, benchmarks, translation or the future.
    Reserved,
    /// Of one of this machine's interfaces, and public.
    OwnInterface,
    /// Where this server listens.
    OwnListener,
}

impl AddressKind {
    /// Whether [`AddressPolicy::allow_private`] opens this kind.
    #[must_use]
    pub const fn is_private(self) -> bool {
        matches!(
            self,
            Self::Loopback
                | Self::Private
                | Self::Shared
                | Self::LinkLocal
                | Self::UniqueLocal
                | Self::OwnInterface
        )
    }

    const fn describe(self) -> &'static str {
        match self {
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Shared => "a carrier-grade NAT address",
            Self::LinkLocal => "a link-local address",
            Self::UniqueLocal => "a unique local address",
            Self::Metadata => "a cloud metadata address",
            Self::Unspecified => "an unspecified address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "a documentation address",
            Self::Reserved => "a reserved address",
            Self::OwnInterface => "an address of this machine",
            Self::OwnListener => "where this server itself listens",
        }
    }
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

impl AddressPolicy {
    /// Judges one address.
    ///
    /// # Errors
    /// When the address may not be dialled, with its kind.
    pub fn judge(self, address: IpAddr) -> Result<(), AddressRefusal> {
        match kind(address) {
            None => Ok(()),
            Some(kind) if self.allow_private && kind.is_private() => Ok(()),
            Some(kind) => Err(AddressRefusal { address, kind }),
        }
    }

    /// Judges every address of an answer; one refused address refuses the whole answer, since an
    /// answer that mixes public and private addresses is how rebinding attacks look.
    ///
    /// # Errors
    /// The first refusal.
    pub fn judge_all(self, addresses: &[IpAddr]) -> Result<(), AddressRefusal> {
        addresses.iter().try_for_each(|&ip| self.judge(ip))
    }
}

/// The IPv4 address that an IPv6 one stands for, else the address itself.
pub(crate) fn embedded_v4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let [.., b2, b3, b4, b5, _, _, _, _, _, _, c, d, e, f] = v6.octets();
    if within(v6, V4_MAPPED) || within(v6, NAT64) {
        Ipv4Addr::new(c, d, e, f).into()
    } else if within(v6, SIX_TO_FOUR) {
        Ipv4Addr::new(b2, b3, b4, b5).into()
    } else {
        address
    }
}

/// The special kind of `address`, `None` for plain public unicast.
fn kind(address: IpAddr) -> Option<AddressKind> {
    match address {
        IpAddr::V4(v4) => kind_v4(v4),
        IpAddr::V6(v6) => kind_v6(v6),
    }
}

/// First match wins, so metadata addresses come before the ranges they lie in.
const V4: &[([u8; 4], u32, AddressKind)] = &[
    ([169, 254, 169, 254], 32, AddressKind::Metadata), // most clouds
    ([169, 254, 169, 253], 32, AddressKind::Metadata), // AWS: name server
    ([169, 254, 169, 123], 32, AddressKind::Metadata), // AWS: time
    ([169, 254, 170, 2], 32, AddressKind::Metadata),   // AWS: container credentials
    ([169, 254, 170, 23], 32, AddressKind::Metadata),  // AWS: pod credentials
    ([168, 63, 129, 16], 32, AddressKind::Metadata),   // Azure: host service, a public address
    ([100, 100, 100, 200], 32, AddressKind::Metadata), // Alibaba
    ([192, 0, 0, 192], 32, AddressKind::Metadata),     // Oracle
    ([0, 0, 0, 0], 8, AddressKind::Unspecified),
    ([10, 0, 0, 0], 8, AddressKind::Private),
    ([100, 64, 0, 0], 10, AddressKind::Shared),
    ([127, 0, 0, 0], 8, AddressKind::Loopback),
    ([169, 254, 0, 0], 16, AddressKind::LinkLocal),
    ([172, 16, 0, 0], 12, AddressKind::Private),
    ([192, 0, 0, 0], 24, AddressKind::Reserved),
    ([192, 0, 2, 0], 24, AddressKind::Documentation),
    ([192, 88, 99, 0], 24, AddressKind::Reserved),
    ([192, 168, 0, 0], 16, AddressKind::Private),
    ([198, 18, 0, 0], 15, AddressKind::Reserved),
    ([198, 51, 100, 0], 24, AddressKind::Documentation),
    ([203, 0, 113, 0], 24, AddressKind::Documentation),
    ([224, 0, 0, 0], 4, AddressKind::Multicast),
    ([255, 255, 255, 255], 32, AddressKind::Broadcast),
    ([240, 0, 0, 0], 4, AddressKind::Reserved),
];

fn kind_v4(address: Ipv4Addr) -> Option<AddressKind> {
    let bits = address.to_bits();
    V4.iter()
        .find(|(network, prefix, _)| {
            (bits ^ u32::from_be_bytes(*network)).leading_zeros() >= *prefix
        })
        .map(|(_, _, kind)| *kind)
}

const V6: &[(Ipv6Addr, u32, AddressKind)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, AddressKind::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, AddressKind::Loopback),
    (v6(0xfd00, 0xec2, 0, 0x254), 128, AddressKind::Metadata), // AWS
    (v6(0xfd00, 0xec2, 0, 0x23), 128, AddressKind::Metadata),  // AWS: pod credentials
    (v6(0xfd00, 0xec2, 0, 0x253), 128, AddressKind::Metadata), // AWS: name server
    (v6(0xfd20, 0xce, 0, 0x254), 128, AddressKind::Metadata),  // Google
    (v6(0xfc00, 0, 0, 0), 7, AddressKind::UniqueLocal),
    (v6(0xfe80, 0, 0, 0), 10, AddressKind::LinkLocal),
    (v6(0xfec0, 0, 0, 0), 10, AddressKind::Private),
    (v6(0xff00, 0, 0, 0), 8, AddressKind::Multicast),
    (v6(0x2001, 0, 0, 0), 23, AddressKind::Reserved), // Teredo, ORCHID and other protocols
    (v6(0x2001, 0xdb8, 0, 0), 32, AddressKind::Documentation),
    (v6(0x3fff, 0, 0, 0), 20, AddressKind::Documentation),
];

/// Global unicast; whatever lies outside and is not listed above is reserved.
const V6_GLOBAL: (Ipv6Addr, u32) = (v6(0x2000, 0, 0, 0), 3);
const V4_MAPPED: (Ipv6Addr, u32) = (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);
const NAT64: (Ipv6Addr, u32) = (v6(0x64, 0xff9b, 0, 0), 96);
const NAT64_LOCAL: (Ipv6Addr, u32) = (v6(0x64, 0xff9b, 1, 0), 48);
const SIX_TO_FOUR: (Ipv6Addr, u32) = (v6(0x2002, 0, 0, 0), 16);

const fn v6(first: u16, second: u16, third: u16, last: u16) -> Ipv6Addr {
    Ipv6Addr::new(first, second, third, 0, 0, 0, 0, last)
}

const fn within(address: Ipv6Addr, (network, prefix): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ network.to_bits()).leading_zeros() >= prefix
}

fn kind_v6(address: Ipv6Addr) -> Option<AddressKind> {
    let [.., b2, b3, b4, b5, b6, b7, _, b9, b10, _, c, d, e, f] = address.octets();
    let last = Ipv4Addr::new(c, d, e, f);
    if within(address, V4_MAPPED) || within(address, NAT64) {
        return kind_v4(last);
    }
    if within(address, NAT64_LOCAL) {
        // The operator chose where the IPv4 address lies (RFC 6052 2.2): after a prefix of 96 or
        // of 48 bits are the usual places, and the prefix itself is for use inside a network.
        let after_48 = Ipv4Addr::new(b6, b7, b9, b10);
        return kind_v4(last)
            .or_else(|| kind_v4(after_48))
            .or(Some(AddressKind::Private));
    }
    if within(address, SIX_TO_FOUR) {
        return kind_v4(Ipv4Addr::new(b2, b3, b4, b5));
    }
    V6.iter()
        .find(|(network, prefix, _)| within(address, (*network, *prefix)))
        .map(|(_, _, kind)| *kind)
        .or_else(|| (!within(address, V6_GLOBAL)).then_some(AddressKind::Reserved))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is the kind by default, then with private addresses allowed; `-` is permitted.
    #[track_caller]
    fn check(address: &str, expected: &str) {
        let ip = address.parse().unwrap();
        let shown = |allow_private| match (AddressPolicy { allow_private }).judge(ip) {
            Ok(()) => "-".to_owned(),
            Err(refusal) => format!("{:?}", refusal.kind),
        };
        assert_eq!(
            format!("{} {}", shown(false), shown(true)),
            expected,
            "{address}"
        );
    }

    #[test]
    fn public_addresses_pass() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2a00::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            check(address, "- -");
        }
    }

    #[test]
    fn private_addresses_pass_only_when_allowed() {
        for (address, kind) in [
            ("127.0.0.1", "Loopback"),
            ("127.255.255.254", "Loopback"),
            ("::1", "Loopback"),
            ("10.0.0.1", "Private"),
            ("172.16.0.1", "Private"),
            ("172.31.255.255", "Private"),
            ("192.168.1.1", "Private"),
            ("fec0::1", "Private"),
            ("100.64.0.1", "Shared"),
            ("169.254.1.1", "LinkLocal"),
            ("fe80::1", "LinkLocal"),
            ("fc00::1", "UniqueLocal"),
            ("fdff::1", "UniqueLocal"),
            ("::ffff:127.0.0.1", "Loopback"),
            ("::ffff:10.1.2.3", "Private"),
            ("64:ff9b::7f00:1", "Loopback"),
            ("2002:7f00:1::", "Loopback"),
            ("2002:c0a8:101::1", "Private"),
            ("64:ff9b:1:7f00:0:100::", "Unspecified"),
            ("64:ff9b:1::10.0.0.1", "Private"),
            ("64:ff9b:1:101:1:100::", "Unspecified"),
        ] {
            let allowed = if kind == "Unspecified" { kind } else { "-" };
            check(address, &format!("{kind} {allowed}"));
        }
    }

    #[test]
    fn some_addresses_never_pass() {
        for (address, kind) in [
            ("0.0.0.0", "Unspecified"),
            ("0.1.2.3", "Unspecified"),
            ("::", "Unspecified"),
            ("169.254.169.254", "Metadata"),
            ("168.63.129.16", "Metadata"),
            ("100.100.100.200", "Metadata"),
            ("fd00:ec2::254", "Metadata"),
            ("::ffff:169.254.169.254", "Metadata"),
            ("64:ff9b::a9fe:a9fe", "Metadata"),
            ("2002:a9fe:a9fe::", "Metadata"),
            ("224.0.0.1", "Multicast"),
            ("239.255.255.255", "Multicast"),
            ("ff02::1", "Multicast"),
            ("255.255.255.255", "Broadcast"),
            ("240.0.0.1", "Reserved"),
            ("192.0.0.1", "Reserved"),
            ("192.88.99.1", "Reserved"),
            ("198.18.0.1", "Reserved"),
            ("192.0.2.1", "Documentation"),
            ("198.51.100.7", "Documentation"),
            ("203.0.113.7", "Documentation"),
            ("2001:db8::1", "Documentation"),
            ("3fff::1", "Documentation"),
            ("2001::1", "Reserved"),
            ("2001:1ff::1", "Reserved"),
            ("100::1", "Reserved"),
            ("5f00::1", "Reserved"),
            ("4000::1", "Reserved"),
            ("::7f00:1", "Reserved"),
            ("::ffff:0:7f00:1", "Reserved"),
        ] {
            check(address, &format!("{kind} {kind}"));
        }
    }

    #[test]
    fn one_refused_address_refuses_the_answer() {
        let policy = AddressPolicy::default();
        let answer = ["1.1.1.1", "10.0.0.1"].map(|text| text.parse().unwrap());
        let refusal = policy.judge_all(&answer).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "10.0.0.1 is refused: a private address"
        );
        assert_eq!(policy.judge_all(&answer[..1]), Ok(()));
    }

    proptest::proptest! {
        #[test]
        fn an_embedded_ipv4_address_is_judged_as_itself(bits: u32) {
            let inner = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = inner.octets();
            let expected = kind_v4(inner);
            proptest::prop_assert_eq!(kind(IpAddr::V6(inner.to_ipv6_mapped())), expected);
            let low = u128::from(bits);
            let nat64 = Ipv6Addr::from_bits(NAT64.0.to_bits() | low);
            proptest::prop_assert_eq!(kind(IpAddr::V6(nat64)), expected);
            let six = Ipv6Addr::new(0x2002, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]), 0, 0, 0, 0, 1);
            proptest::prop_assert_eq!(kind(IpAddr::V6(six)), expected);
        }
    }
}
