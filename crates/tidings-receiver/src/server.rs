//! Starts a receiver and gives a handle on it.

use crate::{
    Fault, Received, ReceiverSettings,
    check::Checks,
    connection::accept_loop,
    fault::FaultSet,
    limits::SUBSCRIBER_QUEUE_MAX,
    record::Recorder,
    seen::SeenBodies,
    shared::{Shared, Subscribers},
    states::{SegmentState, States},
    stats::{Counters, Stats},
    tls::{self, TlsError},
    token::TokenIssuer,
};
use std::{
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, RwLock},
};
use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// Why a receiver did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on: it is in use, not this machine's, or not allowed.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no certificate to serve with.
    #[error("could not prepare TLS")]
    Tls(#[from] TlsError),
    /// The record file cannot be appended to.
    #[error("could not open the record {}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Starts a receiver on the current tokio runtime. Once this returns, connections are taken.
///
/// # Errors
/// See [`StartError`]; the TLS files may have been made.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn start(settings: ReceiverSettings) -> Result<Running, StartError> {
    let listen = settings.listen;
    let tls = tls::prepare(settings.tls_dir.as_deref(), &names(&settings))?;
    tls.faulty.permit(&settings.faults)?;
    let recorder = match settings.record {
        Some(path) => {
            Some(Recorder::open(&path).map_err(|source| StartError::Record { path, source })?)
        }
        None => None,
    };
    let cannot_listen = |source| StartError::Listen {
        address: listen,
        source,
    };
    let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
    let local_addr = listener.local_addr().map_err(cannot_listen)?;
    let shared = Arc::new(Shared {
        checks: Checks::new(
            settings.verify,
            settings.strictness,
            settings.destination_key,
        ),
        get: settings.get,
        tokens: settings.oauth.map(TokenIssuer::new),
        counters: Counters::default(),
        seen: SeenBodies::default(),
        states: settings.keep_states.then(States::default),
        recorder,
        observer: settings.on_request,
        subscribers: Subscribers::new(SUBSCRIBER_QUEUE_MAX),
        faults: RwLock::new(Arc::new(FaultSet::new(settings.faults, settings.seed))),
        seed: settings.seed,
        faulty: tls.faulty,
        stop: watch::Sender::new(false),
    });
    let acceptor = TlsAcceptor::from(tls.config);
    let task = tokio::spawn(accept_loop(listener, acceptor, Arc::clone(&shared)));
    Ok(Running {
        local_addr,
        ca_pem: tls.ca_pem,
        shared,
        task,
    })
}

/// The names a certificate made at the start is for.
fn names(settings: &ReceiverSettings) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        Ipv6Addr::LOCALHOST.to_string(),
    ];
    let address = settings.listen.ip();
    if !address.is_unspecified() {
        names.push(address.to_string());
    }
    names.extend(settings.tls_names.iter().cloned());
    names.sort_unstable();
    names.dedup();
    names
}

/// A receiver at work. Dropping it stops it without waiting; [`Running::shutdown`] waits.
pub struct Running {
    local_addr: SocketAddr,
    ca_pem: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Running {
    /// The address it listens on, with the real port.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Its base URL, `https://127.0.0.1:9443`, to which any path can be added.
    #[must_use]
    pub fn url(&self) -> String {
        match self.local_addr.ip() {
            IpAddr::V4(address) if address.is_unspecified() => {
                format!("https://127.0.0.1:{}", self.local_addr.port())
            }
            IpAddr::V6(address) if address.is_unspecified() => {
                format!("https://[::1]:{}", self.local_addr.port())
            }
            _ => format!("https://{}", self.local_addr),
        }
    }

    /// The certificate that senders have to trust, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The counts now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Every state the partner was told and has acknowledged, sorted by partner id and segment;
    /// empty unless [`ReceiverSettings::keep_states`] is set. Copies all of them.
    #[must_use]
    pub fn states(&self) -> Vec<SegmentState> {
        self.shared
            .states
            .as_ref()
            .map_or_else(Vec::new, States::all)
    }

    /// The state of one segment for one partner id, if it was told and is kept.
    #[must_use]
    pub fn state(&self, partner_id: &str, segment_id: &str) -> Option<SegmentState> {
        let states = self.shared.states.as_ref()?;
        states.get(partner_id, segment_id)
    }

    /// Follows the requests from now on. Whoever lags behind by more than
    /// [`SUBSCRIBER_QUEUE_MAX`](crate::limits::SUBSCRIBER_QUEUE_MAX) loses the oldest and is told.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Received>> {
        self.shared.subscribers.subscribe()
    }

    /// Replaces the faults for the requests and connections from now on; their counts begin anew.
    /// A fault that needs a certificate which is not there resets connections instead.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.shared.set_faults(faults);
    }

    /// Makes every access token issued so far invalid.
    pub fn revoke_tokens(&self) {
        if let Some(tokens) = &self.shared.tokens {
            tokens.revoke_all();
        }
    }

    /// Stops: takes no more connections, lets requests in progress finish for up to
    /// [`DRAIN_TIMEOUT`](crate::limits::DRAIN_TIMEOUT) (hanging and delayed ones are
    /// cut at once), and returns when all is closed.
    pub async fn shutdown(mut self) {
        self.stop();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the receiver's task failed");
        }
    }

    fn stop(&self) {
        self.shared.stop.send_replace(true);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("local_addr", &self.local_addr)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
