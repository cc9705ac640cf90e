//! Why an attempt got no response: one name per thing that can happen.
//!
//! The names are stable: they are stored with attempts, counted in metrics and shown to operators.
//! **Invariant:** there is no "unknown"; what no row describes falls to the row of its phase
//! (`connect_failed`, `tls_handshake`, `connection_failed`), with the error's text as detail.
//!
//! Typed errors are found through the chain of causes, because the interesting one is wrapped: a
//! `rustls::Error` inside an `io::Error` inside a `hyper::Error`.

use std::{error::Error, fmt, io};

/// Longest detail kept, in characters: errors may quote what a peer sent.
const DETAIL_CHARS_MAX: usize = 300;

/// An attempt that ended without a response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", class.as_str())]
pub struct Failure {
    /// What happened.
    pub class: FailureClass,
    /// For people: the error's text, printable, at most 300 characters, without secrets.
    pub detail: String,
}

impl Failure {
    pub(crate) fn new(class: FailureClass, detail: impl fmt::Display) -> Self {
        Self {
            class,
            detail: printable(&detail.to_string(), DETAIL_CHARS_MAX),
        }
    }

    /// A failure whose detail is the error and its causes.
    pub(crate) fn of(class: FailureClass, error: &(dyn Error + 'static)) -> Self {
        Self::new(class, Chain(error))
    }
}

/// At most `chars_max` characters of `text`, control characters replaced, so that nothing a peer
/// sent can move a terminal's cursor or break a log line.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    text.chars()
        .take(chars_max)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Shows an error and its causes, leaving out a cause that its wrapper already quotes.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        for cause in causes(self.0).skip(1) {
            let text = cause.to_string();
            if !last.contains(&text) {
                write!(f, ": {text}")?;
            }
            last = text;
        }
        Ok(())
    }
}

/// The error and its causes, outermost first. An `io::Error` names as its source the source of the
/// error it wraps and so hides that error: here the wrapped error comes next.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| next_cause(*error))
}

fn next_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// The first cause of type `E`.
pub(crate) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref::<E>())
}

macro_rules! classes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What ended an attempt before a response arrived.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum FailureClass {
            $($(#[$doc])* $variant,)*
        }

        impl FailureClass {
            /// Every class, in the order of an attempt's phases.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name, `snake_case`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

classes! {
    /// The URL of a GET request is longer than partners take, or cannot stand in a request line.
    UrlRefused = "url_refused",
    /// The host, or an address it resolves to, may not be dialled.
    AddressRefused = "address_refused",
    /// The host, or an address it resolves to, is this machine's own, or where this server listens.
    AddressOwn = "address_own",
    /// The name does not exist.
    DnsNotFound = "dns_not_found",
    /// The name exists but has no address.
    DnsNoAddress = "dns_no_address",
    /// The name servers answered with an error (SERVFAIL, REFUSED, ...).
    DnsServerFailure = "dns_server_failure",
    /// The name servers did not answer.
    DnsTimeout = "dns_timeout",
    /// No name server is configured on this machine.
    DnsUnavailable = "dns_unavailable",
    /// Resolution failed in another way, such as an answer that cannot be read.
    DnsFailed = "dns_failed",
    /// The time was over before the name was resolved.
    DeadlineDns = "deadline_dns",
    /// No address took the connection within the part of the time that is set aside for it.
    ConnectTimeout = "connect_timeout",
    /// The port is closed.
    ConnectRefused = "connect_refused",
    /// There is no route to host or network.
    ConnectUnreachable = "connect_unreachable",
    /// The connection was reset while it was made.
    ConnectReset = "connect_reset",
    /// This machine is out of sockets, ports or memory, for the connection or for asking a name
    /// server: not the partner's fault.
    ConnectLocalLimit = "connect_local_limit",
    /// The connection could not be made for another reason.
    ConnectFailed = "connect_failed",
    /// The connection ended at an address other than the one dialled.
    PeerMismatch = "peer_mismatch",
    /// The time was over before the connection was made.
    DeadlineConnect = "deadline_connect",
    /// A certificate of the chain has expired.
    TlsExpired = "tls_expired",
    /// A certificate of the chain is not valid yet.
    TlsNotYetValid = "tls_not_yet_valid",
    /// The certificate is for another host.
    TlsNameMismatch = "tls_name_mismatch",
    /// The chain ends at no trusted root: private or unknown CA, self-signed, missing intermediate.
    TlsUnknownIssuer = "tls_unknown_issuer",
    /// The certificate is revoked.
    TlsRevoked = "tls_revoked",
    /// A signature of the chain or the handshake is wrong.
    TlsBadSignature = "tls_bad_signature",
    /// The chain uses a signature algorithm or key that is too weak or not known.
    TlsWeakSignature = "tls_weak_signature",
    /// A certificate of the chain is for another purpose than serving TLS.
    TlsWrongPurpose = "tls_wrong_purpose",
    /// The certificate cannot be used: damaged, unknown critical extension, beyond what its
    /// authority may sign, ...
    TlsBadCertificate = "tls_bad_certificate",
    /// The partner showed no certificate.
    TlsNoCertificate = "tls_no_certificate",
    /// Whatever answered does not speak TLS (plain HTTP, most often).
    TlsNotTls = "tls_not_tls",
    /// The partner offers neither TLS 1.2 nor 1.3.
    TlsVersion = "tls_version",
    /// The partner shares no cipher suite, key exchange or signature scheme with us.
    TlsNoSharedCipher = "tls_no_shared_cipher",
    /// The partner speaks no HTTP/1.1 over this connection (ALPN).
    TlsNoSharedProtocol = "tls_no_shared_protocol",
    /// The partner asks for a client certificate.
    TlsClientCertificateRequired = "tls_client_certificate_required",
    /// The partner does not know the host name (SNI).
    TlsUnrecognisedName = "tls_unrecognised_name",
    /// The partner aborted with another TLS alert.
    TlsAlert = "tls_alert",
    /// The partner broke the TLS protocol.
    TlsProtocol = "tls_protocol",
    /// The connection was closed during the handshake.
    TlsClosed = "tls_closed",
    /// The connection was reset during the handshake.
    TlsReset = "tls_reset",
    /// The handshake failed for another reason.
    TlsHandshake = "tls_handshake",
    /// The time was over before the handshake was.
    DeadlineTls = "deadline_tls",
    /// The time was over before the request was written.
    DeadlineWrite = "deadline_write",
    /// The connection was closed before the request was written.
    ClosedBeforeRequest = "closed_before_request",
    /// The connection was closed before the first byte of a response.
    ClosedBeforeResponse = "closed_before_response",
    /// The connection was reset before the first byte of a response.
    ResetBeforeResponse = "reset_before_response",
    /// The connection was closed within the status line or the headers.
    ClosedInHead = "closed_in_head",
    /// The connection was reset within the status line or the headers.
    ResetInHead = "reset_in_head",
    /// What came back is not an HTTP/1 response.
    ResponseMalformed = "response_malformed",
    /// The response has too many headers, or too long ones.
    ResponseTooLarge = "response_too_large",
    /// The connection failed in another way, such as a TCP timeout.
    ConnectionFailed = "connection_failed",
    /// The time was over before the head of a response was read: the partner may have processed
    /// the request.
    DeadlineResponse = "deadline_response",
}

impl FailureClass {
    /// Whether the partner may have seen the whole request although no response arrived: the
    /// outcome is then not known, only that it is not a success.
    #[must_use]
    pub const fn is_ambiguous(self) -> bool {
        matches!(
            self,
            Self::DeadlineResponse
                | Self::ClosedBeforeResponse
                | Self::ResetBeforeResponse
                | Self::ClosedInHead
                | Self::ResetInHead
                | Self::ResponseMalformed
                | Self::ResponseTooLarge
                | Self::ConnectionFailed
        )
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_snake_case_and_unique() {
        let names: std::collections::BTreeSet<_> = FailureClass::ALL
            .iter()
            .map(|class| class.as_str())
            .collect();
        assert_eq!(names.len(), FailureClass::ALL.len());
        for name in names {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
        }
    }

    #[test]
    fn finds_what_an_io_error_hides() {
        let error = io::Error::other(rustls::Error::DecryptError);
        assert_eq!(
            find::<rustls::Error>(&error),
            Some(&rustls::Error::DecryptError)
        );
        let failure = Failure::of(FailureClass::TlsProtocol, &error);
        assert_eq!(
            failure.to_string(),
            "tls_protocol: cannot decrypt peer's message"
        );
    }

    #[test]
    fn details_are_printable_and_short() {
        let failure = Failure::new(FailureClass::ConnectFailed, "\u{1b}[2J".repeat(200));
        assert!(failure.detail.starts_with("\u{fffd}[2J"));
        assert_eq!(failure.detail.chars().count(), 300);
    }
}
