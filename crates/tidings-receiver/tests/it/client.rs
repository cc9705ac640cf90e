//! A small HTTPS client that trusts one CA, and what the tests send with it.

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::{error::Error, io, sync::Arc};
use tidings_receiver::{ReceiverSettings, Running, start};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The published sample with two users, three Status 1 and one Status 0, in compact form.
pub(crate) const SAMPLE: &str = r#"{"ProcessTime":"Wed Jul 27 16:17:42 UTC 2016","User_DPID":"12345","Client_ID":"74323","AAM_Destination_Id":"423","User_count":"2","Users":[{"AAM_UUID":"19393572368547369350319949416899715727","DataPartner_UUID":"4250948725049857","Segments":[{"Segment_ID":"14356","Status":"1","DateTime":"Wed Jul 27 16:17:22 UTC 2016"},{"Segment_ID":"12176","Status":"0","DateTime":"Wed Jul 27 16:17:22 UTC 2016"}]},{"AAM_UUID":"0578240750487542456854736923319946899715232","DataPartner_UUID":"848457757347734","Segments":[{"Segment_ID":"10329","Status":"1","DateTime":"Wed Jul 27 16:17:21 UTC 2016"},{"Segment_ID":"23954","Status":"1","DateTime":"Wed Jul 27 16:17:21 UTC 2016"}]}]}"#;

/// A receiver with these settings.
pub(crate) async fn receiver(settings: ReceiverSettings) -> Running {
    start(settings).await.unwrap()
}

/// A receiver with these faults.
pub(crate) async fn faulty(faults: &[&str]) -> Running {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    receiver(ReceiverSettings {
        faults,
        ..ReceiverSettings::default()
    })
    .await
}

/// One kept-alive connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// Status and body, for comparing.
    pub(crate) fn text(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        format!("{} {body}", self.status.as_u16())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) async fn connect(running: &Running) -> Result<Self, Failure> {
        let tls = handshake(running, running.ca_pem(), "localhost").await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, Failure> {
        self.sender.ready().await?;
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        Ok(Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// The head of the answer to a request; its body is left unread.
    pub(crate) async fn head(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<hyper::body::Incoming>, Failure> {
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}

/// Sends `request` on a connection of its own.
pub(crate) async fn send(
    running: &Running,
    request: Request<Full<Bytes>>,
) -> Result<Reply, Failure> {
    Client::connect(running).await?.send(request).await
}

/// A message to `/segments` with further headers.
pub(crate) fn message(body: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::post("/segments")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::from(body.to_owned())).unwrap()
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    let request = Request::get(path).header(header::HOST, "localhost");
    request.body(Full::default()).unwrap()
}

/// Shakes hands, trusting `ca_pem` and expecting a certificate for `name`.
pub(crate) async fn handshake(
    running: &Running,
    ca_pem: &str,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(running.local_addr()).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}
