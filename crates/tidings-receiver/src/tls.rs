//! TLS of the endpoint: takes the files of a directory or makes them, or keeps all in memory.
//!
//! Files: `ca.pem` is what senders trust; `cert.pem` the endpoint's certificate, with its chain;
//! `key.pem` its private key, readable by the owner alone; `faulty.pem`, which need not be there,
//! bad certificates for faults on purpose. They are made together; `ca.pem` appears last and whole,
//! so a program that waits for it finds all there is.
//! Invariant: the key of a CA made here is dropped once it has signed the one certificate, so
//! whoever trusts that CA trusts nothing else.

use crate::limits::TLS_FILE_BYTES_MAX;
mod faulty;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use faulty::FaultyTls;

const FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];
const FAULTY: &str = "faulty.pem";
/// Days from today that a good certificate is valid: the files may stay in a directory for long,
/// and an expired test certificate only costs its user an hour.
const PUBLIC: (i64, i64) = (-1, 3_652);

/// Why there is no TLS to serve with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Some of the three files are there, others not.
    #[error(
        "TLS directory {} lacks {missing}; add it, or remove {present} to have all three made",
        dir.display()
    )]
    Incomplete {
        /// The directory.
        dir: PathBuf,
        /// Names of the files that are not there.
        missing: String,
        /// Names of the files that are.
        present: String,
    },
    /// A file or the directory could not be read or written.
    #[error("could not {action} {}", path.display())]
    File {
        /// `read`, `write` or `create`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file holds something else than its name says.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The names for the certificate, or the certificate and its key, do not do.
    #[error("could not set up the TLS certificate: {0}")]
    Setup(String),
}

/// The PEM texts. Neither printed nor logged.
struct Material {
    ca: String,
    cert: String,
    key: String,
    faulty: Option<String>,
}

/// What the server needs of it.
pub(crate) struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) ca_pem: String,
    pub(crate) faulty: FaultyTls,
}

/// Loads the files of `dir`, making them for `names` when there are none; without a directory
/// nothing touches the disk.
pub(crate) fn prepare(dir: Option<&Path>, names: &[String]) -> Result<Tls, TlsError> {
    let material = match dir {
        Some(dir) => take_or_make(dir, names)?,
        None => make(names)?,
    };
    let place = |name| dir.map_or_else(|| PathBuf::from(name), |dir| dir.join(name));
    let chain = certificates(&material.cert, place("cert.pem"))?;
    certificates(&material.ca, place("ca.pem"))?;
    let key = PrivateKeyDer::from_pem_slice(material.key.as_bytes()).map_err(|error| {
        TlsError::Content {
            path: place("key.pem"),
            problem: format!("not a private key in PEM: {error}"),
        }
    })?;
    let faulty = FaultyTls::new(&material, names, &place(""))?;
    Ok(Tls {
        config: Arc::new(server(chain, key)?),
        ca_pem: material.ca,
        faulty,
    })
}

/// A configuration that serves HTTP/1.1 with this certificate.
fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, TlsError> {
    let mut config = builder()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(setup)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn builder() -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(setup)
}

fn certificates(pem: &str, path: PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let problem = match parsed {
        Ok(chain) if !chain.is_empty() => return Ok(chain),
        Ok(_) => "holds no certificate in PEM".to_owned(),
        Err(error) => format!("not a certificate in PEM: {error}"),
    };
    Err(TlsError::Content { path, problem })
}

fn take_or_make(dir: &Path, names: &[String]) -> Result<Material, TlsError> {
    let (present, missing): (Vec<_>, Vec<_>) =
        FILES.into_iter().partition(|name| dir.join(name).exists());
    if missing.is_empty() {
        return Ok(Material {
            ca: read(&dir.join("ca.pem"))?,
            cert: read(&dir.join("cert.pem"))?,
            key: read(&dir.join("key.pem"))?,
            faulty: match dir.join(FAULTY) {
                path if path.exists() => Some(read(&path)?),
                _ => None,
            },
        });
    }
    if !present.is_empty() {
        return Err(TlsError::Incomplete {
            dir: dir.to_owned(),
            missing: missing.join(" and "),
            present: present.join(" and "),
        });
    }
    let material = make(names)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .map_err(|source| TlsError::File {
            action: "create",
            path: dir.to_owned(),
            source,
        })?;
    // Whoever makes the key first goes on; a second program at the same moment fails here.
    write(&dir.join("key.pem"), &material.key, New::Only(0o600))?;
    write(&dir.join("cert.pem"), &material.cert, New::Only(0o644))?;
    if let Some(faulty) = &material.faulty {
        write(&dir.join(FAULTY), faulty, New::OrNot)?;
    }
    let passing = dir.join(".ca.pem");
    write(&passing, &material.ca, New::OrNot)?;
    let ca = dir.join("ca.pem");
    fs::rename(&passing, &ca).map_err(|source| TlsError::File {
        action: "write",
        path: ca,
        source,
    })?;
    Ok(material)
}

fn read(path: &Path) -> Result<String, TlsError> {
    let mut text = String::new();
    let result = fs::File::open(path)
        .and_then(|file| file.take(TLS_FILE_BYTES_MAX).read_to_string(&mut text));
    match result {
        Ok(_) => Ok(text),
        Err(source) => Err(TlsError::File {
            action: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether a file may be there before it is written.
#[derive(Clone, Copy)]
enum New {
    /// It must not; it is made with these permissions.
    Only(u32),
    /// It may, and is overwritten.
    OrNot,
}

fn write(path: &Path, text: &str, new: New) -> Result<(), TlsError> {
    let mut options = fs::OpenOptions::new();
    options.write(true);
    match new {
        New::Only(mode) => options.create_new(true).mode(mode),
        New::OrNot => options.create(true).truncate(true),
    };
    let result = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    result.map_err(|source| TlsError::File {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// Makes a CA, a certificate for `names`, and the bad ones for faults.
fn make(names: &[String]) -> Result<Material, TlsError> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name
        .push(DnType::CommonName, "tidings receiver CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_days(&mut ca, PUBLIC);
    let ca =
        CertifiedIssuer::self_signed(ca, KeyPair::generate().map_err(setup)?).map_err(setup)?;
    let key = KeyPair::generate().map_err(setup)?;
    let leaf = Leaf {
        names,
        days: PUBLIC,
    };
    Ok(Material {
        cert: sign(&leaf, &key, &ca)?.pem(),
        faulty: Some(faulty::make(names, &key, &ca)?),
        ca: ca.pem(),
        key: key.serialize_pem(),
    })
}

/// What a certificate is to say.
struct Leaf<'a> {
    names: &'a [String],
    /// First and last day, counted from today.
    days: (i64, i64),
}

fn sign(
    leaf: &Leaf<'_>,
    key: &KeyPair,
    ca: &CertifiedIssuer<'static, KeyPair>,
) -> Result<Certificate, TlsError> {
    let mut params = CertificateParams::new(leaf.names.to_vec()).map_err(setup)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "tidings receiver");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_days(&mut params, leaf.days);
    params.signed_by(key, ca).map_err(setup)
}

/// Sets from when to when a certificate is valid: midnights so many days from today.
fn set_days(params: &mut CertificateParams, (first, last): (i64, i64)) {
    let now = jiff::Timestamp::now();
    let midnight = |days: i64| {
        let instant = now.saturating_add(jiff::SignedDuration::from_hours(24 * days));
        let date = jiff::tz::Offset::UTC
            .to_datetime(instant.unwrap_or(now))
            .date();
        date_time_ymd(
            i32::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    (params.not_before, params.not_after) = (midnight(first), midnight(last));
}

fn setup(error: impl std::fmt::Display) -> TlsError {
    TlsError::Setup(error.to_string())
}
