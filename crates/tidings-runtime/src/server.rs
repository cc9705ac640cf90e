//! The running service: what starts in which order, and what stops in which.
//!
//! Start: store, writer, destinations, admin side, public side; `addresses.json` last, so that
//! whoever waits for it finds everything up. Stop: the public side (whatever it accepted is
//! durable), the destinations (attempts under way end and are recorded), the writer, the store.

use crate::{
    admin,
    clock::Clock,
    deliveries::Deliveries,
    opt_out,
    pauses::Pauses,
    reload::{CatalogFile, Remembered},
    settings::{DRAIN_MAX, ServerSettings},
    sink::WriterSink,
    stats::{NamedStats, ServiceStats},
    writer::{Control, Writer, WriterHandle},
};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tidings_collect::{Events, Server as HttpServer, ServerLimits};
use tidings_egress::{AddressPolicy, Egress, EgressSettings};
use tidings_store::{Store, StoreSettings};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

/// How often the catalog's file is looked at.
const CATALOG_POLL: Duration = Duration::from_secs(2);

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
    http: JoinSet<()>,
    destinations: JoinSet<()>,
    following: Following,
}

/// Follows the catalog's file.
#[derive(Debug)]
struct Following {
    data_dir: PathBuf,
    path: PathBuf,
    policy: AddressPolicy,
    remembered: Option<Remembered>,
    /// Of the file as it was last looked at.
    modified: Option<SystemTime>,
    /// Answers when the sweep of the catalog in use has ended.
    swept: Option<oneshot::Receiver<()>>,
}

/// What the admin side and the live view may see.
#[derive(Debug)]
pub struct Shared {
    /// Figures of the whole service.
    pub stats: Arc<ServiceStats>,
    pub(crate) deliveries: Deliveries,
    /// How the last reload of the catalog went.
    pub(crate) reload: Mutex<ReloadState>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) writer: WriterHandle,
    pub(crate) store: Arc<Store>,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// The catalog in use, and the last attempt to replace it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReloadState {
    pub(crate) generation: u32,
    /// The faults that kept a changed file from being used; `None` when it is in use.
    pub(crate) refused: Option<String>,
}

impl Shared {
    /// Figures of every destination, ascending by id.
    #[must_use]
    pub fn destinations(&self) -> Vec<NamedStats> {
        self.deliveries.stats()
    }

    pub(crate) fn reload_state(&self) -> ReloadState {
        self.reload
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Server {
    /// Starts the service.
    ///
    /// # Errors
    /// When the store cannot be opened, an address cannot be listened on, or the catalog does not
    /// compile. A destination that cannot be used does not keep the others from starting.
    pub async fn start(settings: ServerSettings, file: CatalogFile) -> anyhow::Result<Self> {
        anyhow::ensure!(
            settings.admin.ip().is_loopback(),
            "[admin] listen = \"{}\": the admin side has no authentication yet and listens on loopback only",
            settings.admin
        );
        let clock = Arc::new(match settings.virtual_now {
            Some(now) => Clock::standing_at(now),
            None => Clock::system(),
        });
        let store = open_store(&settings.data_dir).await?;
        let modified = modified(&file.path);
        let before = Remembered::read(&settings.data_dir)?;
        let (catalog, remembered) = Remembered::next(
            before,
            &settings.data_dir,
            &file,
            clock.now(),
            store.epoch(),
        )?;
        let addresses = settings.data_dir.join("addresses.json");
        remove_if_there(&addresses)?;
        let collect = bind(settings.collect, "collect").await?;
        let admin = bind(settings.admin, "admin").await?;
        let (collect_addr, admin_addr) = (collect.local_addr()?, admin.local_addr()?);
        let policy = AddressPolicy {
            allow_private: settings.dangerous_allow_private_addresses,
        };
        let egress = Egress::new(EgressSettings {
            ca_pem: settings.ca_pem,
            policy,
            own_listeners: vec![collect_addr, admin_addr],
            ..EgressSettings::default()
        })
        .context("preparing outgoing connections")?;

        let stats = Arc::new(ServiceStats::default());
        let inboxes = Arc::new(ArcSwap::default());
        let (alive, writer_stopped) = mpsc::channel(1);
        let writer = Writer::start(
            Arc::clone(&store),
            Arc::clone(&catalog),
            Arc::clone(&clock),
            Arc::clone(&inboxes),
            Arc::clone(&stats),
            settings.profiles_in_memory_max,
            settings.records,
            alive,
        )
        .context("starting the writer's threads")?;
        let mut destinations = JoinSet::new();
        let pauses = Pauses::read(&settings.data_dir)?;
        let deliveries =
            Deliveries::new(egress, writer.handle(), Arc::clone(&clock), inboxes, pauses);
        writer.handle().control(Control::ForgetOthers);
        deliveries.follow(&catalog, &mut destinations);
        let generation = remembered.generation();
        let mut following = Following {
            data_dir: settings.data_dir,
            path: file.path,
            policy,
            remembered: Some(remembered),
            modified,
            swept: None,
        };
        following.sweep(&writer.handle());

        let (stop_http, stopping) = watch::channel(false);
        let shared = Arc::new(Shared {
            stats: Arc::clone(&stats),
            deliveries,
            reload: Mutex::new(ReloadState {
                generation,
                refused: None,
            }),
            clock: Arc::clone(&clock),
            writer: writer.handle(),
            store,
            stopping: stopping.clone(),
        });
        let events = {
            let clock = Arc::clone(&clock);
            Events::new(WriterSink::new(writer.handle(), stats), move || clock.now())
        };
        let mut http = JoinSet::new();
        let public = events.router().merge(opt_out::router(Arc::clone(&shared)));
        http.spawn(serve(collect, public, stopping.clone()));
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
            http,
            destinations,
            following,
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

    /// Waits until the service cannot go on, which is when the store fails. Meanwhile it follows the
    /// catalog's file. Cancel safe.
    pub async fn run(&mut self) {
        loop {
            tokio::select! {
                // Nothing is ever sent: the channel closes when the writer ends.
                _ = self.writer_stopped.recv() => return,
                () = tokio::time::sleep(CATALOG_POLL) => {
                    if modified(&self.following.path) != self.following.modified {
                        self.reload().await;
                    } else {
                        self.look_at_files().await;
                    }
                }
                () = self.following.sweep_done() => self.following.mark_swept(),
            }
        }
    }

    /// Judges by this policy from now on: connections at hand that it refuses are closed when they
    /// would be used next, destinations that it refuses are, and those that it refuses no more begin.
    pub fn set_policy(&mut self, policy: AddressPolicy) {
        if std::mem::replace(&mut self.following.policy, policy) == policy {
            return;
        }
        tracing::info!(
            dangerous_allow_private_addresses = policy.allow_private,
            "addresses are judged by another policy"
        );
        let deliveries = &self.shared.deliveries;
        deliveries.set_policy(policy, &mut self.destinations);
    }

    /// Reads the catalog's file again, now. A file that is wrong changes nothing and is reported; one
    /// that says the same changes nothing either.
    pub async fn reload(&mut self) {
        self.following.modified = modified(&self.following.path);
        let (path, policy) = (self.following.path.clone(), self.following.policy);
        let read = tokio::task::spawn_blocking(move || CatalogFile::read(&path, policy)).await;
        let refused = match read {
            Ok(Ok(file)) => self.replace(file).err().map(|error| format!("{error:#}")),
            Ok(Err(error)) => Some(error.to_string()),
            Err(panicked) => Some(panicked.to_string()),
        };
        if let Some(reason) = &refused {
            tracing::error!(reason, "catalog not reloaded, the one in use stays");
        }
        let remembered = self.following.remembered.as_ref();
        let generation = remembered.map_or(0, Remembered::generation);
        let state = ReloadState {
            generation,
            refused,
        };
        *self
            .shared
            .reload
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = state;
        self.look_at_files().await;
    }

    /// Goes on with what changed in the destinations' secrets and certificates.
    async fn look_at_files(&mut self) {
        let shared = Arc::clone(&self.shared);
        let look = move || shared.deliveries.look_at_files();
        match tokio::task::spawn_blocking(look).await {
            Ok(refused) if refused.is_empty() => {}
            Ok(refused) => {
                let deliveries = &self.shared.deliveries;
                deliveries.renew(&refused, &mut self.destinations);
            }
            Err(error) => tracing::error!(%error, "could not look at the secrets' files"),
        }
    }

    fn replace(&mut self, file: CatalogFile) -> anyhow::Result<()> {
        let before = Remembered::read(&self.following.data_dir)?;
        if before.as_ref().is_some_and(|before| before.is(&file.text)) {
            return Ok(());
        }
        let (catalog, remembered) = Remembered::next(
            before,
            &self.following.data_dir,
            &file,
            self.shared.clock.now(),
            self.shared.store.epoch(),
        )?;
        let writer = &self.shared.writer;
        writer.control(Control::Replace {
            catalog: Arc::clone(&catalog),
        });
        self.shared
            .deliveries
            .follow(&catalog, &mut self.destinations);
        tracing::info!(generation = remembered.generation(), "catalog replaced");
        self.following.remembered = Some(remembered);
        self.following.sweep(writer);
        Ok(())
    }

    /// Stops in order; see the module's description. Everything accepted stays durable.
    ///
    /// # Errors
    /// The failure of the store, if that is what ended the service.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        remove_if_there(&self.addresses)?;
        self.stop_http.send_replace(true);
        while self.http.join_next().await.is_some() {}
        self.shared.deliveries.stop();
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

impl Following {
    /// Begins to bring every profile up to the catalog, if that is not done.
    fn sweep(&mut self, writer: &WriterHandle) {
        self.swept = None;
        if self
            .remembered
            .as_ref()
            .is_some_and(Remembered::needs_sweep)
        {
            let (done, swept) = oneshot::channel();
            if writer.control(Control::Sweep { done }) {
                self.swept = Some(swept);
            }
        }
    }

    /// Waits until the sweep has ended; for ever when there is none. Cancel safe.
    async fn sweep_done(&mut self) {
        if let Some(swept) = &mut self.swept {
            if swept.await.is_ok() {
                return;
            }
            // The writer is gone, which someone else reports.
            self.swept = None;
        }
        std::future::pending().await
    }

    fn mark_swept(&mut self) {
        self.swept = None;
        if let Some(remembered) = &mut self.remembered
            && let Err(error) = remembered.mark_swept()
        {
            // The next start sweeps once more.
            tracing::warn!(
                error = format!("{error:#}"),
                "could not note the end of the sweep"
            );
        }
        tracing::info!("every profile is up to the catalog");
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
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
