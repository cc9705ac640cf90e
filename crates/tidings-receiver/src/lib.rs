//! The reference partner endpoint: takes segment messages over HTTPS, judges them as the protocol asks
//! of a partner, and does wrong on purpose when told to.
//!
//! A partner tests a sender with it, the whole system is tested against it, and it is fast enough to
//! be the far end of a benchmark: HTTP/1.1 with connections kept alive, over TLS 1.2 and 1.3.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST` to any other path | 200 with an empty body for an acceptable message; 401 without a valid token or matching signature; 400 otherwise, with `{"errors":[…]}` |
//! | `POST /oauth2/token` | a bearer token for the configured client |
//! | `GET /_stats` | the counts in [`Stats`] |
//!
//! [`start`] is the way in, [`ReceiverSettings`] says what there is to choose, [`Fault`] what can go
//! wrong. To read the code, follow a request: `connection`, `handle`, `check`, then `record`.
//! Not here: the command line (the `tidings` binary), the message format and signatures
//! (`tidings-wire`).
//!
//! # Example: a test of a sender
//!
//! The receiver checks signatures, fails once, and then takes the retry.
//!
//! ```
//! # use http_body_util::Full;
//! # use std::{error::Error, sync::Arc};
//! use tidings_receiver::{ReceiverSettings, VerifySpec, start};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
//! let check: VerifySpec = "X-Signature:sha256:env:PARTNER_KEY".parse()?;
//! let receiver = start(ReceiverSettings {
//!     verify: vec![check.with_key(b"sample_partner_private_key")],
//!     faults: vec!["status=503,first=1".parse()?],
//!     keep_states: true,
//!     ..ReceiverSettings::default()
//! })
//! .await?;
//!
//! // The sender under test posts to `url`, trusting `ca_pem`, and tries once more after an error.
//! let url = format!("{}/segments", receiver.url());
//! send_with_one_retry(&url, receiver.ca_pem()).await?;
//!
//! let stats = receiver.stats();
//! assert_eq!((stats.requests, stats.messages), (2, 1));
//! assert_eq!(stats.duplicates, 1, "a retry sends the same bytes");
//! assert_eq!(stats.bad_signatures, 0);
//! assert!(receiver.state("4250948725049857", "14356").is_some_and(|state| state.is_active));
//! receiver.shutdown().await;
//! # Ok(())
//! # }
//! #
//! # const BODY: &str = r#"{"ProcessTime":"Wed Jul 27 16:17:42 UTC 2016","Client_ID":"74323","AAM_Destination_Id":"423","User_count":"1","Users":[{"AAM_UUID":"19393572368547369350319949416899715727","DataPartner_UUID":"4250948725049857","Segments":[{"Segment_ID":"14356","Status":"1","DateTime":"Wed Jul 27 16:17:22 UTC 2016"}]}]}"#;
//! #
//! # async fn send_with_one_retry(url: &str, ca_pem: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
//! #     use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
//! #     let mut roots = rustls::RootCertStore::empty();
//! #     roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
//! #     let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
//! #     let config = rustls::ClientConfig::builder_with_provider(provider)
//! #         .with_safe_default_protocol_versions()?
//! #         .with_root_certificates(roots)
//! #         .with_no_client_auth();
//! #     let uri: http::Uri = url.parse()?;
//! #     let authority = uri.authority().expect("a whole URL");
//! #     let socket = tokio::net::TcpStream::connect(authority.as_str()).await?;
//! #     let tls = tokio_rustls::TlsConnector::from(Arc::new(config))
//! #         .connect(ServerName::try_from("127.0.0.1")?, socket)
//! #         .await?;
//! #     let io = hyper_util::rt::TokioIo::new(tls);
//! #     let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
//! #     tokio::spawn(connection);
//! #     let key = tidings_wire::Key::new(tidings_wire::Hash::Sha256, b"sample_partner_private_key");
//! #     for _attempt in 0..2 {
//! #         let request = http::Request::post(uri.path())
//! #             .header("host", authority.as_str())
//! #             .header("content-type", "application/json")
//! #             .header("x-signature", key.sign(BODY.as_bytes()).as_str())
//! #             .body(Full::new(bytes::Bytes::from_static(BODY.as_bytes())))?;
//! #         sender.ready().await?;
//! #         if sender.send_request(request).await?.status() == 200 {
//! #             return Ok(());
//! #         }
//! #     }
//! #     Err("two attempts failed".into())
//! # }
//! ```
#![forbid(unsafe_code)]

mod body;
mod check;
mod connection;
mod fault;
mod handle;
pub mod limits;
mod misbehave;
mod received;
mod record;
mod reply;
mod seen;
mod server;
mod settings;
mod shared;
mod states;
mod stats;
mod tls;
mod token;

pub use fault::{
    Behaviour, Fault, FaultCount, FaultError, Group, Listed, Scripted, Stage, When, list,
};
pub use handle::STATS_PATH;
pub use received::{Received, SignatureCheck};
pub use server::{Running, StartError, start};
pub use settings::{
    OAuthSettings, Observer, ReceiverSettings, Strictness, VerifyRule, VerifySpec, VerifySpecError,
};
pub use states::SegmentState;
pub use stats::Stats;
pub use tls::TlsError;
pub use token::TOKEN_PATH;
