//! Servers that speak TLS well and show what must not be trusted.

use super::{Row, peer::Peer};
use crate::partner::HOST;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType, date_time_ymd,
};
use rustls::{
    CipherSuite, ServerConfig, SupportedProtocolVersion, crypto::CryptoProvider, crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use std::sync::Arc;

pub(super) type Authority = CertifiedIssuer<'static, KeyPair>;
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

const STORED: [&str; 4] = [
    include_str!("../fixtures/sha1.pem"),
    include_str!("../fixtures/md5.pem"),
    include_str!("../fixtures/rsa1024.pem"),
    include_str!("../fixtures/version1.pem"),
];

/// What the client trusts, in PEM: `root` and the authorities of [`STORED`].
pub(super) fn trusted(root: &Authority) -> Vec<u8> {
    let mut pem = root.pem().into_bytes();
    pem.extend(STORED.iter().flat_map(|text| stored(text).0));
    pem
}

pub(super) fn rows(root: &Authority) -> Vec<Row> {
    let mut rows = leaves(root);
    rows.extend(chains(root));
    rows.extend(weak());
    rows.extend(handshakes(root));
    rows
}

/// Servers that must be told everything: as a check of the harness.
pub(super) fn good(root: &Authority) -> Vec<Peer> {
    let through = intermediate(root, |_| {});
    let (mut chain, key) = leaf(&through, |_| {});
    chain.push(through.der().clone());
    let plain = leaf(root, |_| {});
    vec![
        Peer::Library(server(plain)),
        Peer::Library(server((chain, key))),
    ]
}

/// One certificate, signed by the trusted root itself.
fn leaves(root: &Authority) -> Vec<Row> {
    let row = |name, edit: fn(&mut CertificateParams), expected| {
        let identity = leaf(root, edit);
        Row::new(name, Peer::Library(server(identity)), expected)
    };
    let mismatch = "tls_name_mismatch";
    vec![
        row(
            "expired",
            |p| p.not_after = date_time_ymd(2020, 1, 1),
            "tls_expired",
        ),
        row(
            "not yet valid",
            |p| p.not_before = date_time_ymd(2999, 1, 1),
            "tls_not_yet_valid",
        ),
        row(
            "valid from after its end",
            |p| {
                p.not_before = date_time_ymd(2019, 1, 1);
                p.not_after = date_time_ymd(2018, 1, 1);
            },
            "tls_expired",
        ),
        row("another name", |p| names(p, &["other.test"]), mismatch),
        row(
            "a name that begins like ours",
            |p| names(p, &["api.partner.test.evil.test"]),
            mismatch,
        ),
        row(
            "our name's parent",
            |p| names(p, &["partner.test"]),
            mismatch,
        ),
        row("only the address", |p| names(p, &["127.0.0.1"]), mismatch),
        row(
            "wildcard too deep",
            |p| names(p, &["*.api.partner.test"]),
            mismatch,
        ),
        row("wildcard too high", |p| names(p, &["*.test"]), mismatch),
        row("wildcard alone", |p| names(p, &["*"]), mismatch),
        row(
            "wildcard within a label",
            |p| names(p, &["ap*.partner.test"]),
            mismatch,
        ),
        row(
            "NUL within the name",
            |p| names(p, &["api.partner.test\0.evil.test"]),
            mismatch,
        ),
        row(
            "only a common name",
            |p| {
                p.subject_alt_names.clear();
                p.distinguished_name.push(DnType::CommonName, HOST);
            },
            mismatch,
        ),
        row(
            "name as a URI",
            |p| {
                let uri = format!("https://{HOST}/").as_str().try_into().unwrap();
                p.subject_alt_names = vec![SanType::URI(uri)];
            },
            mismatch,
        ),
        row(
            "for clients only",
            |p| {
                p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            },
            "tls_wrong_purpose",
        ),
        row(
            "for signing code only",
            |p| {
                p.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
            },
            "tls_wrong_purpose",
        ),
        row(
            "an authority as the server",
            |p| {
                p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            },
            "tls_bad_certificate",
        ),
        row(
            "an unknown critical extension",
            |p| {
                let mut odd =
                    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![5, 0]);
                odd.set_criticality(true);
                p.custom_extensions = vec![odd];
            },
            "tls_bad_certificate",
        ),
    ]
}

/// What hangs together wrongly.
fn chains(root: &Authority) -> Vec<Row> {
    let row = |name, identity: Identity, expected| {
        Row::new(name, Peer::Library(server(identity)), expected)
    };
    let through = |name, edit: fn(&mut CertificateParams), expected| {
        let between = intermediate(root, edit);
        let (mut chain, key) = leaf(&between, |_| {});
        chain.push(between.der().clone());
        row(name, (chain, key), expected)
    };
    let own = {
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        identity(own.self_signed(&key).unwrap().der(), &key)
    };
    let deep = {
        let first = intermediate(root, |p| {
            p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))
        });
        let second = intermediate(&first, |_| {});
        let (mut chain, key) = leaf(&second, |_| {});
        chain.extend([second.der().clone(), first.der().clone()]);
        (chain, key)
    };
    let endless = {
        let mut over = intermediate(root, |_| {});
        let mut chain = vec![over.der().clone()];
        for _ in 0..12 {
            over = intermediate(&over, |_| {});
            chain.insert(0, over.der().clone());
        }
        let (own, key) = leaf(&over, |_| {});
        chain.insert(0, own[0].clone());
        (chain, key)
    };
    let huge = {
        let (mut chain, key) = leaf(root, |_| {});
        let padding = leaf(root, |p| {
            p.custom_extensions = vec![CustomExtension::from_oid_content(
                &[1, 3, 6, 1, 4, 1, 55555, 2],
                vec![4; 8_000],
            )];
        });
        chain.extend(vec![padding.0[0].clone(); 128]);
        (chain, key)
    };
    let missing = leaf(&intermediate(root, |_| {}), |_| {});
    let edited = |edit: fn(&mut Vec<u8>)| {
        let (chain, key) = leaf(root, |_| {});
        let mut der = chain[0].to_vec();
        edit(&mut der);
        (vec![der.into()], key)
    };
    vec![
        row("self-signed", own, "tls_unknown_issuer"),
        row(
            "an unknown authority",
            leaf(&self::root("Stranger"), |_| {}),
            "tls_unknown_issuer",
        ),
        row(
            "an authority of the same name",
            leaf(&self::root("Root"), |_| {}),
            "tls_bad_signature",
        ),
        row("missing intermediate", missing, "tls_unknown_issuer"),
        row("intermediates without end", endless, "tls_bad_certificate"),
        row("1 MiB of certificates", huge, "tls_protocol"),
        row("path longer than permitted", deep, "tls_bad_certificate"),
        through(
            "intermediate expired",
            |p| p.not_after = date_time_ymd(2020, 1, 1),
            "tls_expired",
        ),
        through(
            "intermediate not yet valid",
            |p| p.not_before = date_time_ymd(2999, 1, 1),
            "tls_not_yet_valid",
        ),
        through(
            "intermediate is no authority",
            |p| p.is_ca = IsCa::ExplicitNoCa,
            "tls_bad_certificate",
        ),
        through(
            "intermediate without basic constraints",
            |p| p.is_ca = IsCa::NoCa,
            "tls_bad_certificate",
        ),
        through(
            "intermediate for clients only",
            |p| {
                p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            },
            "tls_wrong_purpose",
        ),
        through(
            "name outside the permitted ones",
            |p| constrain(p, &["example.test"], &[]),
            "tls_bad_certificate",
        ),
        through(
            "name among the excluded ones",
            |p| constrain(p, &[], &["partner.test"]),
            "tls_bad_certificate",
        ),
        row(
            "one bit of the signature wrong",
            edited(|der| *der.last_mut().unwrap() ^= 1),
            "tls_bad_signature",
        ),
        row(
            "certificate cut short",
            edited(|der| der.truncate(der.len() - 40)),
            "tls_bad_certificate",
        ),
        row(
            "bytes after the certificate",
            edited(|der| der.extend([0; 16])),
            "tls_bad_certificate",
        ),
        row(
            "certificate of zeros",
            edited(|der| der.fill(0)),
            "tls_bad_certificate",
        ),
        row(
            "somebody else's certificate",
            (leaf(root, |_| {}).0, leaf(root, |_| {}).1),
            "tls_bad_signature",
        ),
    ]
}

/// Algorithms of another age, and one that the list of ours lacks.
fn weak() -> Vec<Row> {
    let fixture = |name, text: &str, expected| {
        let (_, chain, key) = stored(text);
        Row::new(name, Peer::Library(server((chain, key))), expected)
    };
    vec![
        fixture("signed with SHA-1", STORED[0], "tls_weak_signature"),
        fixture("signed with MD5", STORED[1], "tls_weak_signature"),
        fixture("authority of 1024 bits", STORED[2], "tls_bad_signature"),
        fixture("certificate of version 1", STORED[3], "tls_bad_certificate"),
    ]
}

/// Good certificates, but no way to agree.
fn handshakes(root: &Authority) -> Vec<Row> {
    let row = |name, config, expected| Row::new(name, Peer::Library(config), expected);
    let identity = || leaf(root, |_| {});
    let mut rsa_only = aws_lc_rs::default_provider();
    rsa_only
        .cipher_suites
        .retain(|suite| suite.suite() == CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
    let mut odd_group = aws_lc_rs::default_provider();
    odd_group.kx_groups = vec![aws_lc_rs::kx_group::MLKEM768];
    let mut h2 = server(identity());
    h2.alpn_protocols = vec![b"h2".to_vec()];
    let mut odd_alpn = server(identity());
    odd_alpn.alpn_protocols = vec![b"http/1.0".to_vec(), b"imap".to_vec()];
    let required = "tls_client_certificate_required";
    vec![
        row(
            "client certificate demanded, TLS 1.2",
            demanding(identity(), &rustls::version::TLS12),
            required,
        ),
        row(
            "client certificate demanded, TLS 1.3",
            demanding(identity(), &rustls::version::TLS13),
            required,
        ),
        row(
            "no shared cipher suite",
            with(rsa_only, &[&rustls::version::TLS12], identity()),
            "tls_no_shared_cipher",
        ),
        row(
            "no shared group, TLS 1.3",
            with(odd_group, &[&rustls::version::TLS13], identity()),
            "tls_no_shared_cipher",
        ),
        row("HTTP/2 and nothing else", h2, "tls_no_shared_protocol"),
        row(
            "protocols of other trades",
            odd_alpn,
            "tls_no_shared_protocol",
        ),
    ]
}

pub(super) fn root(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn intermediate(
    over: &Issuer<'_, KeyPair>,
    edit: impl FnOnce(&mut CertificateParams),
) -> Authority {
    let mut params = CertificateParams::default();
    let key = KeyPair::generate().unwrap();
    // A name of its own, or it would look as if it had signed itself.
    let name = format!("Intermediate {:?}", std::time::Instant::now());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    edit(&mut params);
    CertifiedIssuer::signed_by(params, key, over).unwrap()
}

pub(super) fn leaf(
    by: &Issuer<'_, KeyPair>,
    edit: impl FnOnce(&mut CertificateParams),
) -> Identity {
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    edit(&mut params);
    let key = KeyPair::generate().unwrap();
    identity(params.signed_by(&key, by).unwrap().der(), &key)
}

fn identity(der: &CertificateDer<'static>, key: &KeyPair) -> Identity {
    (
        vec![der.clone()],
        PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    )
}

fn names(params: &mut CertificateParams, names: &[&str]) {
    params.subject_alt_names = names
        .iter()
        .map(|name| match name.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
}

fn constrain(params: &mut CertificateParams, permitted: &[&str], excluded: &[&str]) {
    let subtrees = |names: &[&str]| {
        names
            .iter()
            .map(|name| GeneralSubtree::DnsName((*name).to_owned()))
            .collect()
    };
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: subtrees(permitted),
        excluded_subtrees: subtrees(excluded),
    });
}

/// Authority in PEM, chain and key of a file of `fixtures`.
fn stored(
    text: &str,
) -> (
    Vec<u8>,
    Vec<CertificateDer<'static>>,
    PrivateKeyDer<'static>,
) {
    let end = text.find("-----END CERTIFICATE-----\n").unwrap() + 26;
    let (authority, rest) = text.split_at(end);
    let chain = CertificateDer::pem_slice_iter(rest.as_bytes())
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_slice(rest.as_bytes()).unwrap();
    (authority.as_bytes().to_vec(), chain, key)
}

/// Not by the library's usual way, which refuses a key that is not the certificate's.
pub(super) fn server((chain, key): Identity) -> ServerConfig {
    let provider = aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let shown = rustls::sign::CertifiedKey::new(chain, key);
    ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)))
}

pub(super) fn with(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    (chain, key): Identity,
) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

fn demanding((chain, key): Identity, version: &'static SupportedProtocolVersion) -> ServerConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root("Clients").der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    )
    .build()
    .unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap()
}
