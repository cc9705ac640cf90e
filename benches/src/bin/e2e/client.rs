//! One kept-alive HTTP/1.1 connection of the load generator, plain or over TLS.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde::Deserialize;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// How long to wait after the server said that its queue is full.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// The part of an answer to events that says whether all were taken.
#[derive(Deserialize)]
struct Answer {
    accepted: u64,
}

/// An open connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Connects without TLS.
    #[expect(
        clippy::disallowed_methods,
        reason = "the load comes from outside, as a visitor's does"
    )]
    pub(crate) async fn plain(address: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Self::over(socket, address).await
    }

    /// Connects with TLS, trusting the certificate in `ca_pem` alone.
    #[expect(
        clippy::disallowed_methods,
        reason = "the load comes from outside, as a visitor's does"
    )]
    pub(crate) async fn tls(address: SocketAddr, ca_pem: &[u8]) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem)?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = TcpStream::connect(address).await?;
        let socket = TlsConnector::from(Arc::new(config))
            .connect(ServerName::from(address.ip()), socket)
            .await?;
        Self::over(socket, address).await
    }

    async fn over<S>(socket: S, address: SocketAddr) -> Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        // Ends when the sender is dropped; what goes wrong, the sender reports.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            host: address.to_string(),
        })
    }

    /// Sends lines of events, again and again while the server says that its queue is full. An error
    /// unless all `count` are accepted.
    pub(crate) async fn post_events(&mut self, body: &Bytes, count: u64) -> Result<()> {
        loop {
            let request = Request::post("/v1/events")
                .header(header::HOST, &self.host)
                .header(header::CONTENT_TYPE, "application/x-ndjson")
                .body(Full::new(body.clone()))?;
            let (status, answer) = self.send(request).await.context("sending events")?;
            if status == StatusCode::TOO_MANY_REQUESTS {
                tokio::time::sleep(FULL_PAUSE).await;
                continue;
            }
            let text = || {
                String::from_utf8_lossy(&answer)
                    .chars()
                    .take(300)
                    .collect::<String>()
            };
            ensure!(
                status.is_success(),
                "events were answered {status}: {}",
                text()
            );
            let Answer { accepted } = serde_json::from_slice(&answer)?;
            ensure!(
                accepted == count,
                "{accepted} of {count} events accepted: {}",
                text()
            );
            return Ok(());
        }
    }

    /// Fetches a page.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes> {
        let request = Request::get(path)
            .header(header::HOST, &self.host)
            .body(Full::default())?;
        match self.send(request).await {
            Ok((StatusCode::OK, body)) => Ok(body),
            Ok((status, _)) => bail!("{path} was answered {status}"),
            Err(error) => Err(error.context(format!("fetching {path}"))),
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, body))
    }
}
