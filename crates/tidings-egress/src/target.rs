//! Where a destination is: its URL, parsed once into everything a request needs.
//!
//! One parser (WHATWG, the `url` crate) serves the check when a destination is saved and the
//! request that is sent: host, port, SNI, `Host` header and request target are all built from its
//! result, never from the text, so there is no second reading that an attacker could aim at. The
//! parser knows every spelling of an IPv4 address (`0x7f.1`, `017700000001`, `2130706433`).
//!
//! Stricter than the parser: only `https://`, no user info, no fragment, no port 0, and no
//! characters that the parser would silently drop or turn into others.

use crate::policy::{AddressPolicy, AddressRefusal};
use http::{HeaderValue, Uri};
use rustls_pki_types::ServerName;
use std::net::IpAddr;
use url::{Host, Url};

/// Longest URL that is taken.
pub const URL_BYTES_MAX: usize = 4 * 1024;

/// Why a URL cannot be a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Longer than [`URL_BYTES_MAX`].
    #[error("the URL has {0} bytes, the limit is {URL_BYTES_MAX}")]
    TooLong(usize),
    /// A blank, control character or backslash, which parsers disagree about.
    #[error("the URL has a blank, control character or backslash at byte {0}")]
    Character(usize),
    /// Not a URL.
    #[error("not a URL: {0}")]
    Unparsable(String),
    /// Another scheme than https.
    #[error("only https:// is allowed")]
    NotHttps,
    /// `user@` or `user:password@`.
    #[error("user name and password are not allowed in the URL")]
    UserInfo,
    /// `#...`
    #[error("a fragment is not allowed in the URL")]
    Fragment,
    /// Port 0.
    #[error("port 0 is not allowed")]
    PortZero,
    /// The host is not a DNS name or IP address.
    #[error("not a host name: {0}")]
    HostName(String),
    /// Path and query cannot stand in a request line.
    #[error("path and query cannot be sent: {0}")]
    RequestTarget(String),
    /// The host is `localhost` or below it.
    #[error("{0} is this machine")]
    Localhost(String),
    /// The host is an IP address that may not be dialled.
    #[error(transparent)]
    Address(#[from] AddressRefusal),
}

impl UrlError {
    /// Whether the URL is well formed and only its host is refused by the address policy.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Localhost(_) | Self::Address(_))
    }
}

/// Judges a URL when it is saved: its form, and its host as far as that needs no name server.
///
/// What passes can still be refused when it is used, because a name may resolve to anything.
///
/// # Errors
/// The first thing wrong with the URL; [`UrlError::is_refusal`] tells refused hosts from mistakes.
pub fn check_url(url: &str, policy: AddressPolicy) -> Result<(), UrlError> {
    let target = Target::parse(url)?;
    match &target.host {
        TargetHost::Address(ip) => Ok(policy.judge(*ip)?),
        TargetHost::Name(name) if is_localhost(name) && !policy.allow_private => {
            Err(UrlError::Localhost(name.clone()))
        }
        TargetHost::Name(_) => Ok(()),
    }
}

/// Whether a name is this machine whatever a name server says (RFC 6761 6.3).
pub(crate) fn is_localhost(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

/// A destination's URL, ready for use.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) host: TargetHost,
    pub(crate) port: u16,
    /// The name that the certificate must be for; sent as SNI when it is not an IP address.
    pub(crate) server_name: ServerName<'static>,
    /// Value of the `Host` header.
    pub(crate) authority: HeaderValue,
    /// Path and query, as they stand in the request line.
    pub(crate) uri: Uri,
}

/// Host of a [`Target`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TargetHost {
    /// A DNS name in ASCII, lower case, without the root's dot.
    Name(String),
    /// An IP address.
    Address(IpAddr),
}

impl Target {
    /// Parses a URL; the address policy is not asked.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong(text.len()));
        }
        if let Some(at) = text.find(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(UrlError::Character(at));
        }
        let url = Url::parse(text).map_err(|error| UrlError::Unparsable(error.to_string()))?;
        // The parser would also take `https:host` and `https:/host`.
        let has_scheme = text
            .get(..8)
            .is_some_and(|start| start.eq_ignore_ascii_case("https://"));
        if url.scheme() != "https" || !has_scheme {
            return Err(UrlError::NotHttps);
        }
        // An empty user name is dropped by the parser, but it is a mistake all the same.
        let authority_text = text
            .get(8..)
            .and_then(|rest| rest.split(['/', '?', '#']).next());
        if authority_text.is_some_and(|authority| authority.contains('@')) {
            return Err(UrlError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        let port = url.port_or_known_default().unwrap_or(443);
        if port == 0 {
            return Err(UrlError::PortZero);
        }
        let (host, server_name) = host_of(&url)?;
        Ok(Self {
            server_name,
            port,
            authority: authority_of(&host, url.port())?,
            uri: request_target(&url)?,
            host,
        })
    }
}

fn host_of(url: &Url) -> Result<(TargetHost, ServerName<'static>), UrlError> {
    let name = match url.host() {
        Some(Host::Ipv4(ip)) => {
            let ip = IpAddr::V4(ip);
            return Ok((TargetHost::Address(ip), ServerName::IpAddress(ip.into())));
        }
        Some(Host::Ipv6(ip)) => {
            let ip = IpAddr::V6(ip);
            return Ok((TargetHost::Address(ip), ServerName::IpAddress(ip.into())));
        }
        Some(Host::Domain(name)) => name,
        None => return Err(UrlError::HostName(String::new())),
    };
    let bare = name.strip_suffix('.').unwrap_or(name);
    let server_name = ServerName::try_from(bare.to_owned())
        .ok()
        // The conversion would drop a second root dot, which stands for an empty label.
        .filter(|_| !bare.ends_with('.'))
        .ok_or_else(|| UrlError::HostName(name.to_owned()))?;
    Ok((TargetHost::Name(bare.to_owned()), server_name))
}

/// Host and, unless it is 443, port. The root's dot is left out, as in the certificate.
fn authority_of(host: &TargetHost, port: Option<u16>) -> Result<HeaderValue, UrlError> {
    let mut text = match host {
        TargetHost::Name(name) => name.clone(),
        TargetHost::Address(IpAddr::V4(ip)) => ip.to_string(),
        TargetHost::Address(IpAddr::V6(ip)) => format!("[{ip}]"),
    };
    if let Some(port) = port {
        text.push_str(&format!(":{port}"));
    }
    HeaderValue::try_from(&text).map_err(|_| UrlError::HostName(text))
}

fn request_target(url: &Url) -> Result<Uri, UrlError> {
    let text = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Uri::try_from(&text).map_err(|error| UrlError::RequestTarget(error.to_string()))
}

#[cfg(test)]
mod tests;
