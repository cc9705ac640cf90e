//! The running service: what starts in which order, and what stops in which.
//!
//! Start: store, writer, destinations, admin side, public side; `addresses.json` last, so that
//! whoever waits for it finds everything up. Stop: the public side (whatever it accepted is
//! durable), the destinations (attempts under way end and are recorded), the writer, the store.

use crate::{
    admin,
    clock::Clock,
    core::ActiveCatalog,
    destination::{DestinationTask, Outlet},
    inbox::Inbox,
    secret::read_secret,
    settings::{DRAIN_MAX, ServerSettings},
    signing::Signatures,
    sink::WriterSink,
    stats::{DestinationStats, NamedStats, ServiceStats},
    writer::{Inboxes, Writer, WriterHandle},
};
use anyhow::Context as _;
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tidings_collect::{Events, Server as HttpServer, ServerLimits};
use tidings_egress::{
    AddressPolicy, Egress, EgressSettings, Endpoint, EndpointSettings,
    oauth::{Credentials, TokenSettings, TokenSource},
};
use tidings_engine::MappingChanges;
use tidings_model::{Catalog, Destination, OAuthCredentials};
use tidings_store::{Store, StoreSettings};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

/// The service, running.
#[derive(Debug)]
pub struct Server {
    collect: SocketAddr,
    admin: SocketAddr,
    addresses: PathBuf,
    shared: Arc<Shared>,
    writer: Writer,
    /// Told when the writer ends by itself.
    writer_stopped: mpsc::Receiver<()>,
    stop_http: watch::Sender<bool>,
    stop_delivery: watch::Sender<bool>,
    http: JoinSet<()>,
    destinations: JoinSet<()>,
}

/// What the admin side and the live view may see.
#[derive(Debug)]
pub struct Shared {
    /// Figures of the whole service.
    pub stats: Arc<ServiceStats>,
    /// Figures of every destination.
    pub destinations: Vec<NamedStats>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) writer: WriterHandle,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Server {
    /// Starts the service.
    ///
    /// # Errors
    /// When the store cannot be opened, an address cannot be listened on, or the catalog does not
    /// compile. A destination that cannot be used does not keep the others from starting.
    pub async fn start(settings: ServerSettings, catalog: Catalog) -> anyhow::Result<Self> {
        anyhow::ensure!(
            settings.admin.ip().is_loopback(),
            "[admin] listen = \"{}\": the admin side has no authentication yet and listens on loopback only",
            settings.admin
        );
        let catalog = Arc::new(
            ActiveCatalog::new(catalog, 1, MappingChanges::default())
                .context("compiling the catalog")?,
        );
        let clock = Arc::new(match settings.virtual_now {
            Some(now) => Clock::standing_at(now),
            None => Clock::system(),
        });
        let egress = Egress::new(EgressSettings {
            ca_pem: settings.ca_pem,
            policy: AddressPolicy {
                allow_private: settings.dangerous_allow_private_addresses,
            },
            ..EgressSettings::default()
        })
        .context("preparing outgoing connections")?;
        let store = open_store(&settings.data_dir).await?;
        let addresses = settings.data_dir.join("addresses.json");
        remove_if_there(&addresses)?;
        let collect = bind(settings.collect, "collect").await?;
        let admin = bind(settings.admin, "admin").await?;

        let stats = Arc::new(ServiceStats::default());
        let inboxes: Arc<Inboxes> = Arc::new(
            catalog
                .catalog
                .destinations
                .iter()
                .map(|d| (d.id, Arc::new(Inbox::default())))
                .collect(),
        );
        let (alive, writer_stopped) = mpsc::channel(1);
        let writer = Writer::start(
            store,
            Arc::clone(&catalog),
            Arc::clone(&clock),
            Arc::clone(&inboxes),
            Arc::clone(&stats),
            settings.profiles_in_memory_max,
            alive,
        )
        .context("starting the writer's threads")?;
        let (stop_delivery, delivery_stopping) = watch::channel(false);
        let (destinations, named) = start_destinations(
            &catalog,
            &egress,
            &inboxes,
            &writer,
            &clock,
            &delivery_stopping,
        );

        let (stop_http, stopping) = watch::channel(false);
        let shared = Arc::new(Shared {
            stats: Arc::clone(&stats),
            destinations: named,
            clock: Arc::clone(&clock),
            writer: writer.handle(),
            stopping: stopping.clone(),
        });
        let events = {
            let clock = Arc::clone(&clock);
            Events::new(WriterSink::new(writer.handle(), stats), move || clock.now())
        };
        let mut http = JoinSet::new();
        let (collect_addr, admin_addr) = (collect.local_addr()?, admin.local_addr()?);
        http.spawn(serve(collect, events.router(), stopping.clone()));
        http.spawn(serve(admin, admin::router(Arc::clone(&shared)), stopping));
        write_addresses(&addresses, collect_addr, admin_addr)?;
        tracing::info!(collect = %collect_addr, admin = %admin_addr, "listening");
        Ok(Self {
            collect: collect_addr,
            admin: admin_addr,
            addresses,
            shared,
            writer,
            writer_stopped,
            stop_http,
            stop_delivery,
            http,
            destinations,
        })
    }

    /// Where the public side listens.
    #[must_use]
    pub const fn collect_addr(&self) -> SocketAddr {
        self.collect
    }

    /// Where the admin side listens.
    #[must_use]
    pub const fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Figures, for a live view.
    #[must_use]
    pub const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits until the service cannot go on, which is when the store fails. Cancel safe.
    pub async fn failed(&mut self) {
        // Nothing is ever sent: the channel closes when the writer ends.
        self.writer_stopped.recv().await;
    }

    /// Stops in order; see the module's description. Everything accepted stays durable.
    ///
    /// # Errors
    /// The failure of the store, if that is what ended the service.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        remove_if_there(&self.addresses)?;
        self.stop_http.send_replace(true);
        while self.http.join_next().await.is_some() {}
        self.stop_delivery.send_replace(true);
        let drained = tokio::time::timeout(DRAIN_MAX, async {
            while self.destinations.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(
                "cut attempts that did not end in time; they are made again at the next start"
            );
            self.destinations.shutdown().await;
        }
        let writer = self.writer;
        drop(self.shared);
        tokio::task::spawn_blocking(move || writer.join())
            .await
            .context("joining the writer")?
            .context("the store failed")
    }
}

async fn open_store(data_dir: &Path) -> anyhow::Result<Arc<Store>> {
    let directory = data_dir.to_owned();
    let opened =
        tokio::task::spawn_blocking(move || Store::open(&directory, &StoreSettings::default()));
    let store = opened.await.context("joining the opening of the store")?;
    Ok(Arc::new(store.with_context(|| {
        format!("opening the store in {}", data_dir.display())
    })?))
}

async fn bind(address: SocketAddr, side: &str) -> anyhow::Result<HttpServer> {
    HttpServer::bind(address, ServerLimits::default())
        .await
        .with_context(|| format!("[{side}] listen = \"{address}\""))
}

async fn serve(server: HttpServer, router: axum::Router, mut stopping: watch::Receiver<bool>) {
    let stop = async move {
        // An error means that the sender is gone, which is a stop as well.
        drop(stopping.wait_for(|&stop| stop).await);
    };
    server.run(router, stop).await;
}

fn start_destinations(
    catalog: &Arc<ActiveCatalog>,
    egress: &Arc<Egress>,
    inboxes: &Inboxes,
    writer: &Writer,
    clock: &Arc<Clock>,
    stopping: &watch::Receiver<bool>,
) -> (JoinSet<()>, Vec<NamedStats>) {
    let mut tasks = JoinSet::new();
    let mut named = Vec::new();
    for destination in &catalog.catalog.destinations {
        let stats = Arc::new(DestinationStats::default());
        named.push(NamedStats {
            id: destination.id,
            name: destination.name.clone(),
            stats: Arc::clone(&stats),
        });
        let outlet = match outlet(destination, egress) {
            Ok(outlet) => outlet,
            Err(error) => {
                let reason = format!("{error:#}");
                tracing::error!(
                    destination = destination.id.0,
                    reason,
                    "destination refused"
                );
                stats.update(|state| state.refused = Some(reason));
                continue;
            }
        };
        let Some(inbox) = inboxes.get(&destination.id) else {
            continue;
        };
        let task = DestinationTask::new(
            Arc::new(destination.clone()),
            Arc::clone(catalog),
            outlet,
            Arc::clone(inbox),
            writer.handle(),
            Arc::clone(clock),
            stats,
        );
        tasks.spawn(task.run(stopping.clone()));
    }
    (tasks, named)
}

/// Everything that a destination needs for sending; its secrets are read here.
fn outlet(destination: &Destination, egress: &Arc<Egress>) -> anyhow::Result<Outlet> {
    tidings_egress::check_url(&destination.url, egress.policy()).context("url")?;
    let endpoint = Endpoint::new(
        Arc::clone(egress),
        &destination.url,
        EndpointSettings::default(),
    )
    .context("url")?;
    let token = match &destination.oauth {
        None => None,
        Some(oauth) => {
            let credentials = match &oauth.credentials {
                OAuthCredentials::Client {
                    client_id,
                    client_secret,
                } => {
                    let secret = read_secret(client_secret).context("oauth.client_secret")?;
                    Credentials::client(client_id, &secret).context("oauth")?
                }
                OAuthCredentials::BasicRaw(secret) => {
                    let secret = read_secret(secret).context("oauth.basic_raw")?;
                    Credentials::basic_raw(&secret).context("oauth.basic_raw")?
                }
            };
            tidings_egress::check_url(&oauth.token_url, egress.policy())
                .context("oauth.token_url")?;
            let source = TokenSource::new(
                Arc::clone(egress),
                &oauth.token_url,
                credentials,
                TokenSettings::default(),
            );
            Some(Arc::new(source.context("oauth.token_url")?))
        }
    };
    let signatures = Signatures::new(&destination.signing)?;
    Ok(Outlet {
        endpoint: Arc::new(endpoint),
        token,
        signatures,
    })
}

fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Written beside its place and moved there, so that a reader never sees half of it.
fn write_addresses(path: &Path, collect: SocketAddr, admin: SocketAddr) -> anyhow::Result<()> {
    let text = serde_json::json!({ "collect": collect, "admin": admin }).to_string();
    let new = path.with_extension("json.new");
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("writing {}", path.display()))
}
