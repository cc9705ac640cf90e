//! Certificates that no sender should take, for faults of TLS.
//!
//! An expired certificate is only seen to be expired if all else is well, so it comes from the same
//! CA and has the same key as the good one: those are signed together, before the CA's key is
//! dropped, and are in `faulty.pem` beside the other files. A directory without that file can have
//! every fault but these three.

use super::{Leaf, Material, PUBLIC, TlsError, certificates, server, setup, sign};
use crate::fault::{Fault, Scripted};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use std::{path::Path, sync::Arc};

/// The order of the certificates in `faulty.pem`.
const SIGNED: [Scripted; 3] = [
    Scripted::TlsExpired,
    Scripted::TlsNotYetValid,
    Scripted::TlsWrongName,
];
/// A name that nobody has (RFC 2606 2).
const WRONG_NAME: &str = "someone-else.invalid";
const YEAR_DAYS: i64 = 365;

/// The bad certificates of one CA, in PEM and in the order of [`SIGNED`].
pub(super) fn make(
    names: &[String],
    key: &KeyPair,
    ca: &CertifiedIssuer<'static, KeyPair>,
) -> Result<String, TlsError> {
    let leaf = |names: &[String], days| {
        let leaf = Leaf { names, days };
        sign(&leaf, key, ca).map(|certificate| certificate.pem())
    };
    let wrong = [WRONG_NAME.to_owned()];
    Ok([
        leaf(names, (-2 * YEAR_DAYS, -YEAR_DAYS))?,
        leaf(names, (YEAR_DAYS, 2 * YEAR_DAYS))?,
        leaf(&wrong, PUBLIC)?,
    ]
    .concat())
}

/// What faults of TLS are served with.
pub(crate) struct FaultyTls {
    names: Vec<String>,
    /// As in [`SIGNED`]; empty when the directory has none.
    signed: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    ca: Vec<CertificateDer<'static>>,
}

impl FaultyTls {
    pub(super) fn new(
        material: &Material,
        names: &[String],
        place: &Path,
    ) -> Result<Self, TlsError> {
        let signed = match &material.faulty {
            Some(pem) => certificates(pem, place.join(super::FAULTY))?,
            None => Vec::new(),
        };
        Ok(Self {
            names: names.to_vec(),
            signed,
            key: PrivateKeyDer::from_pem_slice(material.key.as_bytes()).map_err(setup)?,
            chain: certificates(&material.cert, place.join("cert.pem"))?,
            ca: certificates(&material.ca, place.join("ca.pem"))?,
        })
    }

    /// Whether all of these faults can be carried out.
    ///
    /// # Errors
    /// Names the first that cannot.
    pub(crate) fn permit(&self, faults: &[Fault]) -> Result<(), TlsError> {
        faults
            .iter()
            .filter_map(|fault| match fault.behaviour {
                crate::Behaviour::Scripted(scripted) => Some(scripted),
                _ => None,
            })
            .filter(|scripted| SIGNED.contains(scripted))
            .try_for_each(|scripted| self.signed(scripted).map(|_certificate| ()))
    }

    fn signed(&self, scripted: Scripted) -> Result<&CertificateDer<'static>, TlsError> {
        let place = SIGNED.iter().position(|&other| other == scripted);
        place.and_then(|place| self.signed.get(place)).ok_or_else(|| {
            TlsError::Setup(format!(
                "the fault {scripted} needs {}, which is made together with the other files: take \
                 a directory that is empty",
                super::FAULTY
            ))
        })
    }

    /// The configuration that a fault is served with; a good one for what is no fault of
    /// certificates.
    pub(crate) fn config(&self, scripted: Scripted) -> Result<ServerConfig, TlsError> {
        match scripted {
            Scripted::TlsExpired | Scripted::TlsNotYetValid | Scripted::TlsWrongName => {
                let chain = vec![self.signed(scripted)?.clone()];
                server(chain, self.key.clone_key())
            }
            Scripted::TlsSelfSigned => self.self_signed(),
            Scripted::TlsUnknownCa => self.unknown_ca(),
            Scripted::TlsClientCertificate => self.demanding(),
            _ => {
                let mut config = server(self.chain.clone(), self.key.clone_key())?;
                if scripted == Scripted::TlsH2Only {
                    config.alpn_protocols = vec![b"h2".to_vec()];
                }
                Ok(config)
            }
        }
    }

    fn self_signed(&self) -> Result<ServerConfig, TlsError> {
        let key = KeyPair::generate().map_err(setup)?;
        let params = CertificateParams::new(self.names.clone()).map_err(setup)?;
        let certificate = params.self_signed(&key).map_err(setup)?;
        server(vec![certificate.der().clone()], private(&key))
    }

    fn unknown_ca(&self) -> Result<ServerConfig, TlsError> {
        let mut ca = CertificateParams::default();
        ca.distinguished_name
            .push(DnType::CommonName, "a CA that nobody trusts");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let ca =
            CertifiedIssuer::self_signed(ca, KeyPair::generate().map_err(setup)?).map_err(setup)?;
        let key = KeyPair::generate().map_err(setup)?;
        let leaf = Leaf {
            names: &self.names,
            days: PUBLIC,
        };
        let certificate = sign(&leaf, &key, &ca)?;
        server(vec![certificate.der().clone()], private(&key))
    }

    fn demanding(&self) -> Result<ServerConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.ca {
            roots.add(certificate.clone()).map_err(setup)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(setup)?;
        super::builder()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(setup)
    }
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}
