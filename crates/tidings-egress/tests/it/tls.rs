//! Certificates and servers that must not be trusted: refused by name, before any request byte.

use crate::partner::{
    AMPLE, Authority, HOST, Identity, Partner, ok_times, outcome, request, settings,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::PrivatePkcs8KeyDer;
use std::{sync::Arc, time::Duration};
use tidings_egress::{Egress, EgressSettings, Endpoint, EndpointSettings, FailureClass};
use tokio::{io::AsyncReadExt, net::TcpListener};

async fn check(authority: Arc<Authority>, server: ServerConfig, expected: &str) {
    let partner = Partner::start_with(authority, Some(server), vec![ok_times(1)]).await;
    let endpoint = partner.endpoint(EndpointSettings::default());
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&attempt), expected, "{attempt:?}");
    if attempt.result.is_err() {
        partner.ended(1).await;
        assert_eq!(partner.requests(), [""; 0], "nothing may be sent");
    }
}

async fn check_certificate(edit: impl FnOnce(&mut CertificateParams), expected: &str) {
    let authority = Arc::new(Authority::new());
    let server = authority.identity(edit).server();
    check(authority, server, expected).await;
}

#[tokio::test]
async fn good_certificates_pass() {
    check_certificate(|_| {}, "status_200 complete").await;
    let wildcard = |params: &mut CertificateParams| names(params, &["*.partner.test"]);
    check_certificate(wildcard, "status_200 complete").await;
}

fn names(params: &mut CertificateParams, names: &[&str]) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
}

#[tokio::test]
async fn bad_certificates_are_refused() {
    check_certificate(
        |params| params.not_after = date_time_ymd(2020, 1, 1),
        "tls_expired",
    )
    .await;
    check_certificate(
        |params| params.not_before = date_time_ymd(2999, 1, 1),
        "tls_not_yet_valid",
    )
    .await;
    check_certificate(|params| names(params, &["other.test"]), "tls_name_mismatch").await;
    check_certificate(
        |params| names(params, &["*.api.partner.test"]),
        "tls_name_mismatch",
    )
    .await;
    check_certificate(|params| names(params, &["127.0.0.1"]), "tls_name_mismatch").await;
    // Only a common name, no alternative names.
    let common_name = |params: &mut CertificateParams| {
        params.subject_alt_names.clear();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, HOST);
    };
    check_certificate(common_name, "tls_name_mismatch").await;
    let client_only = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    check_certificate(client_only, "tls_wrong_purpose").await;
}

#[tokio::test]
async fn unknown_issuers_are_refused() {
    let stranger = Authority::named("Somebody else").identity(|_| {}).server();
    check(Arc::new(Authority::new()), stranger, "tls_unknown_issuer").await;
    // Somebody who uses the name of the one we trust.
    let impostor = Authority::new().identity(|_| {}).server();
    check(Arc::new(Authority::new()), impostor, "tls_bad_signature").await;
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![HOST.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let self_signed = Identity {
        chain: vec![own.der().clone()],
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    };
    check(
        Arc::new(Authority::new()),
        self_signed.server(),
        "tls_unknown_issuer",
    )
    .await;
}

#[tokio::test]
async fn versions_ciphers_and_client_certificates() {
    let authority = Arc::new(Authority::new());
    let provider = Arc::new(aws_lc_rs::default_provider());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let identity = authority.identity(|_| {});
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key)
            .unwrap();
        check(Arc::clone(&authority), server, "status_200 complete").await;
        // A partner that wants to know us: with TLS 1.3 it says so after its handshake is done.
        let mut roots = rustls::RootCertStore::empty();
        let identity = authority.identity(|_| {});
        roots
            .add(Authority::new().identity(|_| {}).chain.remove(0))
            .unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            Arc::clone(&provider),
        )
        .build()
        .unwrap();
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(identity.chain, identity.key)
            .unwrap();
        let expected = "tls_client_certificate_required";
        check(Arc::clone(&authority), server, expected).await;
    }
    let mut odd = aws_lc_rs::default_provider();
    odd.cipher_suites.retain(|suite| {
        suite.suite() == rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    });
    let identity = authority.identity(|_| {});
    let server = ServerConfig::builder_with_provider(Arc::new(odd))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .unwrap();
    check(Arc::clone(&authority), server, "tls_no_shared_cipher").await;
    let mut server = authority.identity(|_| {}).server();
    server.alpn_protocols = vec![b"h2".to_vec()];
    check(authority, server, "tls_no_shared_protocol").await;
}

/// A listener that reads what comes and answers with `reply`, then closes or waits.
async fn check_raw(reply: &'static [u8], closes: bool, timeout: Duration, expected: FailureClass) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 4096];
        let _read = stream.read(&mut hello).await;
        let _sent = tokio::io::AsyncWriteExt::write_all(&mut stream, reply).await;
        if !closes {
            let _end = stream.read_to_end(&mut hello).await;
        }
    });
    let egress = Egress::new(settings(&Authority::new())).unwrap();
    let url = format!("https://{HOST}:{port}/");
    let endpoint = Endpoint::new(egress, &url, EndpointSettings::default()).unwrap();
    let attempt = endpoint.post(&request(), timeout).await;
    assert_eq!(outcome(&attempt), expected.as_str(), "{attempt:?}");
    server.await.unwrap();
}

#[tokio::test]
async fn peers_that_do_not_speak_tls() {
    let short = Duration::from_millis(500);
    check_raw(
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        false,
        AMPLE,
        FailureClass::TlsNotTls,
    )
    .await;
    check_raw(
        b"SSH-2.0-OpenSSH_9.2\r\n",
        false,
        AMPLE,
        FailureClass::TlsNotTls,
    )
    .await;
    check_raw(b"", true, AMPLE, FailureClass::TlsClosed).await;
    check_raw(b"", false, short, FailureClass::DeadlineTls).await;
    // Alert: protocol_version.
    check_raw(
        b"\x15\x03\x01\x00\x02\x02\x46",
        false,
        AMPLE,
        FailureClass::TlsVersion,
    )
    .await;
    // Alert: unrecognized_name.
    check_raw(
        b"\x15\x03\x03\x00\x02\x02\x70",
        false,
        AMPLE,
        FailureClass::TlsUnrecognisedName,
    )
    .await;
    // A record that says it is longer than any may be.
    check_raw(
        b"\x16\x03\x03\xff\xff",
        false,
        AMPLE,
        FailureClass::TlsProtocol,
    )
    .await;
}

#[test]
fn settings_are_checked() {
    let error = |settings| Egress::new(settings).unwrap_err().to_string();
    let user_agent = "a\nb".to_owned();
    assert_eq!(
        error(EgressSettings {
            user_agent,
            ..settings(&Authority::new())
        }),
        "the user agent \"a\\nb\" cannot be sent as a header"
    );
    assert_eq!(
        error(EgressSettings {
            ca_pem: Some(Vec::new()),
            ..EgressSettings::default()
        }),
        "the file of extra trust roots holds no certificate"
    );
}
