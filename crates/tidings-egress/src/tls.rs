//! TLS policy: versions, roots and the names of what can go wrong.
//!
//! TLS 1.2 and 1.3 with the provider given explicitly (nothing depends on a process-wide default),
//! chain and host name always verified, `http/1.1` as the only protocol offered. There is no switch
//! that turns verification off. Trust is the system's roots plus the operator's own, or for one
//! destination the roots of its own file and no others; a destination may show a client certificate.
//!
//! Not here: revocation fetches, which would be requests to third parties on the delivery path.

use crate::failure::{Failure, FailureClass, causes, find};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ConfigBuilder, Error as TlsError,
    InvalidMessage, PeerIncompatible, RootCertStore, client::WantsClientCert, crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{error::Error, fmt, io, sync::Arc};
use tokio_rustls::TlsConnector;

/// Why the TLS settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The extra roots are not PEM.
    #[error("the file of extra trust roots is not valid PEM: {0}")]
    Pem(String),
    /// The extra roots hold no certificate.
    #[error("the file of extra trust roots holds no certificate")]
    Empty,
    /// A certificate of the extra roots cannot serve as a root.
    #[error("certificate {number} of the extra trust roots cannot be used")]
    Certificate {
        /// Position in the file, from 1.
        number: usize,
        /// What is wrong with it.
        #[source]
        source: TlsError,
    },
    /// Neither the system nor the settings have any root: no certificate could be verified.
    #[error("this system has no trust roots, and no file of extra ones is given")]
    NoRoots,
}

/// Why a destination's own TLS settings cannot be used. Shows no part of a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsSettingsError {
    /// Its trust roots cannot be used.
    #[error("ca_file")]
    Roots(#[from] RootsError),
    /// The client certificate is not a chain in PEM.
    #[error("client_cert: not a certificate in PEM")]
    Certificate,
    /// The client's key is not one in PEM.
    #[error("client_key: not a private key in PEM")]
    Key,
    /// Certificate and key do not belong together, or are of a kind that cannot be used.
    #[error("client_cert and client_key cannot be used together: {0}")]
    Pair(TlsError),
}

/// What a destination has of its own, as read from its files.
#[derive(Clone, Copy, Default)]
pub struct TlsSettings<'a> {
    /// Trust roots in PEM: these and no others. `None` trusts what all trust.
    pub ca_pem: Option<&'a [u8]>,
    /// Chain and private key in PEM, shown to a partner that asks.
    pub client: Option<(&'a [u8], &'a [u8])>,
}

impl fmt::Debug for TlsSettings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("own_roots", &self.ca_pem.is_some())
            .field("client_certificate", &self.client.is_some())
            .finish()
    }
}

/// TLS as one destination speaks it; sessions are resumed within one profile only. Cheap to clone.
#[derive(Clone)]
pub struct TlsProfile(pub(crate) TlsConnector);

impl fmt::Debug for TlsProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsProfile").finish_non_exhaustive()
    }
}

impl TlsProfile {
    /// `shared` are the roots that all destinations trust.
    pub(crate) fn new(
        shared: &Arc<RootCertStore>,
        settings: TlsSettings<'_>,
    ) -> Result<Self, TlsSettingsError> {
        let roots = match settings.ca_pem {
            None => Arc::clone(shared),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                add_extra(&mut roots, pem)?;
                Arc::new(roots)
            }
        };
        let config = builder(roots);
        Ok(Self::of(match settings.client {
            None => config.with_no_client_auth(),
            Some((chain, key)) => config
                .with_client_auth_cert(certificates(chain)?, private_key(key)?)
                .map_err(TlsSettingsError::Pair)?,
        }))
    }

    /// What destinations speak that have nothing of their own.
    pub(crate) fn shared(roots: &Arc<RootCertStore>) -> Self {
        Self::of(builder(Arc::clone(roots)).with_no_client_auth())
    }

    fn of(mut config: ClientConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(TlsConnector::from(Arc::new(config)))
    }
}

fn builder(roots: Arc<RootCertStore>) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has cipher suites of both versions")
        .with_root_certificates(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsSettingsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    chain
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or(TlsSettingsError::Certificate)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsSettingsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsSettingsError::Key)
}

/// The roots that all destinations trust unless they have their own: the system's and the operator's.
pub(crate) fn roots(ca_pem: Option<&[u8]>) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    // Real machines carry a few certificates that no parser likes: they are left out.
    let (added, ignored) = roots.add_parsable_certificates(system.certs);
    if added == 0 {
        let error = system.errors.first().map(ToString::to_string);
        tracing::warn!(ignored, error, "this system has no usable trust roots");
    }
    if let Some(pem) = ca_pem {
        add_extra(&mut roots, pem)?;
    }
    if roots.is_empty() {
        return Err(RootsError::NoRoots);
    }
    Ok(roots)
}

fn add_extra(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), RootsError> {
    let mut number = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| RootsError::Pem(error.to_string()))?;
        number += 1;
        roots
            .add(certificate)
            .map_err(|source| RootsError::Certificate { number, source })?;
    }
    if number == 0 {
        return Err(RootsError::Empty);
    }
    Ok(())
}

/// Names the failure of a handshake.
pub(crate) fn handshake_failure(error: &io::Error) -> Failure {
    let class = find::<TlsError>(error).map_or_else(
        || match error.kind() {
            io::ErrorKind::UnexpectedEof => FailureClass::TlsClosed,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => FailureClass::TlsReset,
            _ => FailureClass::TlsHandshake,
        },
        class_of,
    );
    Failure::of(class, error)
}

/// Names a TLS error anywhere in the chain of causes, such as an alert that comes after the
/// handshake (TLS 1.3 demands client certificates that late).
pub(crate) fn class_in(error: &(dyn Error + 'static)) -> Option<FailureClass> {
    causes(error).find_map(|cause| cause.downcast_ref::<TlsError>().map(class_of))
}

fn class_of(error: &TlsError) -> FailureClass {
    match error {
        TlsError::InvalidCertificate(error) => certificate_class(error),
        TlsError::AlertReceived(alert) => alert_class(*alert),
        TlsError::PeerIncompatible(error) => incompatible_class(error),
        // The first record has a type that TLS does not know: most often the "H" of HTTP.
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => FailureClass::TlsNotTls,
        TlsError::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => {
            FailureClass::TlsVersion
        }
        TlsError::NoApplicationProtocol => FailureClass::TlsNoSharedProtocol,
        TlsError::NoCertificatesPresented => FailureClass::TlsNoCertificate,
        TlsError::InvalidMessage(_)
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. }
        | TlsError::PeerMisbehaved(_)
        | TlsError::PeerSentOversizedRecord
        | TlsError::DecryptError => FailureClass::TlsProtocol,
        _ => FailureClass::TlsHandshake,
    }
}

fn certificate_class(error: &CertificateError) -> FailureClass {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            FailureClass::TlsExpired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            FailureClass::TlsNotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            FailureClass::TlsNameMismatch
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            FailureClass::TlsWrongPurpose
        }
        CertificateError::UnknownIssuer => FailureClass::TlsUnknownIssuer,
        CertificateError::Revoked => FailureClass::TlsRevoked,
        CertificateError::BadSignature => FailureClass::TlsBadSignature,
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            FailureClass::TlsWeakSignature
        }
        _ => FailureClass::TlsBadCertificate,
    }
}

const fn alert_class(alert: AlertDescription) -> FailureClass {
    match alert {
        AlertDescription::ProtocolVersion => FailureClass::TlsVersion,
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            FailureClass::TlsNoSharedCipher
        }
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            FailureClass::TlsClientCertificateRequired
        }
        AlertDescription::NoApplicationProtocol => FailureClass::TlsNoSharedProtocol,
        AlertDescription::UnrecognisedName => FailureClass::TlsUnrecognisedName,
        _ => FailureClass::TlsAlert,
    }
}

const fn incompatible_class(error: &PeerIncompatible) -> FailureClass {
    match error {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => FailureClass::TlsVersion,
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon => FailureClass::TlsNoSharedCipher,
        _ => FailureClass::TlsProtocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: TlsError, expected: FailureClass) {
        let wrapped = io::Error::new(io::ErrorKind::InvalidData, error);
        assert_eq!(handshake_failure(&wrapped).class, expected);
        assert_eq!(class_in(&wrapped), Some(expected));
    }

    #[test]
    fn names_handshake_errors() {
        use FailureClass as F;
        check(CertificateError::Revoked.into(), F::TlsRevoked);
        check(CertificateError::BadSignature.into(), F::TlsBadSignature);
        check(CertificateError::BadEncoding.into(), F::TlsBadCertificate);
        check(
            TlsError::AlertReceived(AlertDescription::ProtocolVersion),
            F::TlsVersion,
        );
        check(
            TlsError::AlertReceived(AlertDescription::HandshakeFailure),
            F::TlsNoSharedCipher,
        );
        check(
            TlsError::AlertReceived(AlertDescription::UnrecognisedName),
            F::TlsUnrecognisedName,
        );
        check(
            TlsError::AlertReceived(AlertDescription::InternalError),
            F::TlsAlert,
        );
        check(
            PeerIncompatible::ServerDoesNotSupportTls12Or13.into(),
            F::TlsVersion,
        );
        check(
            PeerIncompatible::NoCipherSuitesInCommon.into(),
            F::TlsNoSharedCipher,
        );
        check(TlsError::NoCertificatesPresented, F::TlsNoCertificate);
        check(TlsError::DecryptError, F::TlsProtocol);
        check(TlsError::FailedToGetCurrentTime, F::TlsHandshake);
    }

    #[test]
    fn refuses_useless_client_certificates() {
        let shared = Arc::new(RootCertStore::empty());
        let pair = |_: &str| {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(vec!["us.test".to_owned()]).unwrap();
            (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
        };
        let (chain, key) = pair("ours");
        let (_, other) = pair("another's");
        let check = |chain: &str, key: &str, expected: &str| {
            let settings = TlsSettings {
                ca_pem: None,
                client: Some((chain.as_bytes(), key.as_bytes())),
            };
            let got = TlsProfile::new(&shared, settings).map(drop);
            let got = got.map_or_else(|error| error.to_string(), |()| "fits".to_owned());
            assert!(got.starts_with(expected), "{got}");
            assert!(!got.contains("PRIVATE"), "{got}");
        };
        check(&chain, &key, "fits");
        check("", &key, "client_cert: not a certificate");
        check(&key, &key, "client_cert: not a certificate");
        check(&chain, "hello", "client_key: not a private key");
        check(&chain, &chain, "client_key: not a private key");
        check(&chain, &other, "client_cert and client_key cannot be used");
    }

    #[test]
    fn refuses_useless_roots() {
        let error = |pem: &str| roots(Some(pem.as_bytes())).unwrap_err().to_string();
        assert_eq!(
            error(""),
            "the file of extra trust roots holds no certificate"
        );
        assert_eq!(
            error("hello"),
            "the file of extra trust roots holds no certificate"
        );
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(
            error(damaged),
            "certificate 1 of the extra trust roots cannot be used"
        );
        let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(error(torn).starts_with("the file of extra trust roots is not valid PEM"));
    }
}
