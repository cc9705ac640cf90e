//! Trust roots and client certificates of one destination, and what happens when they change.

use crate::partner::{
    AMPLE, Authority, HOST, Identity, Partner, Step, answer, ok_times, outcome, request, send,
};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use std::sync::Arc;
use tidings_egress::{
    Endpoint, EndpointSettings, TlsProfile, TlsSettings,
    oauth::{Credentials, TokenSettings, TokenSource},
};

/// Who may show client certificates, and one of them: chain and key in PEM.
struct Clients {
    roots: RootCertStore,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Clients {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        Self { roots, issuer }
    }

    fn certificate(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["tidings.test".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server that demands one of them.
    fn demanded_by(&self, identity: Identity) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(self.roots.clone());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .unwrap();
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(identity.chain, identity.key)
            .unwrap()
    }
}

fn client(endpoint_of: &Partner, (chain, key): &(String, String)) -> TlsProfile {
    let settings = TlsSettings {
        ca_pem: None,
        client: Some((chain.as_bytes(), key.as_bytes())),
    };
    endpoint_of.egress().tls_profile(settings).unwrap()
}

fn trusting(partner: &Partner, authority: &Authority) -> TlsProfile {
    let pem = authority.pem();
    let settings = TlsSettings {
        ca_pem: Some(&pem),
        client: None,
    };
    partner.egress().tls_profile(settings).unwrap()
}

#[tokio::test]
async fn a_partner_that_demands_a_certificate_gets_it() {
    let (authority, clients) = (Arc::new(Authority::new()), Clients::new());
    let server = clients.demanded_by(authority.identity(|_| {}));
    let partner = Partner::start_with(authority, Some(server), vec![ok_times(9)]).await;
    let endpoint = partner.endpoint(EndpointSettings::default());
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&attempt), "tls_client_certificate_required");
    // Somebody else's certificate does not help.
    endpoint.set_tls(client(&partner, &Clients::new().certificate()));
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&attempt), "tls_alert", "{attempt:?}");
    assert_eq!(partner.requests(), [""; 0]);
    endpoint.set_tls(client(&partner, &clients.certificate()));
    for reused in [false, true] {
        let attempt = endpoint.post(&request(), AMPLE).await;
        assert_eq!(outcome(&attempt), "status_200 complete", "{attempt:?}");
        assert_eq!(attempt.reused, reused);
    }
    // Another of the same: the open connections are of the old one and are not used again.
    endpoint.set_tls(client(&partner, &clients.certificate()));
    assert_eq!(endpoint.idle_connections(), 0);
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert_eq!(
        (outcome(&attempt).as_str(), attempt.reused),
        ("status_200 complete", false)
    );
}

#[tokio::test]
async fn roots_of_its_own_are_the_only_ones() {
    let private = Arc::new(Authority::named("Private"));
    let server = private.identity(|_| {}).server();
    let partner =
        Partner::start_with(Arc::new(Authority::new()), Some(server), vec![ok_times(1)]).await;
    let endpoint = partner.endpoint(EndpointSettings::default());
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&attempt), "tls_unknown_issuer");
    endpoint.set_tls(trusting(&partner, &private));
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&attempt), "status_200 complete", "{attempt:?}");
    // What all trust is not trusted for a destination that has its own.
    let common = Partner::start(vec![ok_times(1)]).await;
    let endpoint = common.endpoint(EndpointSettings::default());
    endpoint.set_tls(trusting(&common, &private));
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&attempt), "tls_unknown_issuer");
    assert_eq!(common.requests(), [""; 0]);
}

#[tokio::test]
async fn an_attempt_under_way_keeps_its_connection() {
    let script = vec![
        Step::Read,
        Step::Gate,
        answer("200 OK"),
        Step::Read,
        answer("200 OK"),
    ];
    let partner = Partner::start(vec![script]).await;
    let endpoint = Arc::new(partner.endpoint(EndpointSettings::default()));
    let under_way = {
        let endpoint = Arc::clone(&endpoint);
        tokio::spawn(async move { endpoint.post(&request(), AMPLE).await })
    };
    partner.requested(1).await;
    endpoint.set_tls(client(&partner, &Clients::new().certificate()));
    partner.gate.add_permits(1);
    assert_eq!(outcome(&under_way.await.unwrap()), "status_200 complete");
    // But it is not used again.
    assert_eq!(endpoint.idle_connections(), 0);
    partner.ended(1).await;
}

#[tokio::test]
async fn the_token_endpoint_sees_the_same() {
    let (authority, clients) = (Arc::new(Authority::new()), Clients::new());
    let server = clients.demanded_by(authority.identity(|_| {}));
    let body = r#"{"token_type":"Bearer","access_token":"abc"}"#;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let script = vec![Step::Read, send(&head), send(body)];
    let partner = Partner::start_with(authority, Some(server), vec![script]).await;
    let credentials = Credentials::client("a", "b").unwrap();
    let url = format!("https://{HOST}:{}/token", partner.address.port());
    let source = TokenSource::new(
        partner.egress(),
        &url,
        credentials,
        TokenSettings::default(),
    )
    .unwrap();
    source.set_tls(client(&partner, &clients.certificate()));
    let token = source.token().await.unwrap();
    assert_eq!(token.authorization().to_str().unwrap(), "Bearer abc");
    let endpoint = Endpoint::new(partner.egress(), &url, EndpointSettings::default()).unwrap();
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&attempt), "tls_client_certificate_required");
}
