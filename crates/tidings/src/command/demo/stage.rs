//! Everything that runs during the demo, and the order in which it starts and stops.
//!
//! Start: partners, server, senders. Stop: senders (everything handed over is answered), the server
//! (messages under way end), partners; then what they know is compared with the store.

use super::{
    figures::{Figures, Reader},
    reconcile::{Reconciled, reconcile},
    sender::{Senders, Sent},
    shop,
    watch::Watch,
};
use crate::failure::Failure;
use anyhow::Context as _;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tidings_model::Catalog;
use tidings_receiver::Running;
use tidings_runtime::{
    CatalogFile, RecordSettings, Server, ServerSettings, Shared, settings::PROFILES_IN_MEMORY,
};

/// The running parts.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) watch: Arc<Watch>,
    pub(crate) sent: Arc<Sent>,
    reader: Reader,
    catalog: Catalog,
    partners: Vec<Running>,
    /// Dropped last: it takes everything on disk with it.
    dir: TempDir,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) figures: Figures,
    pub(crate) reconciled: Reconciled,
    /// Requests that partners refused.
    pub(crate) refused: u64,
}

impl Stage {
    /// Starts partners and server.
    pub(crate) async fn set(duration: Option<Duration>) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("tidings-demo-")
            .tempdir()
            .context("making a temporary directory")?;
        let mut catalog = shop::catalog()?;
        let watch = Arc::new(Watch::new(&catalog)?);
        let mut partners = Vec::new();
        let mut ca_pem = String::new();
        for (index, destination) in catalog.destinations.iter_mut().enumerate() {
            let mut settings = shop::partner(destination)?;
            let watch = Arc::clone(&watch);
            settings.on_request = Some(Arc::new(move |received| watch.received(index, received)));
            let partner = tidings_receiver::start(settings).await;
            let partner = partner.with_context(|| format!("starting {}", destination.name))?;
            shop::connect(destination, &partner);
            ca_pem.push_str(partner.ca_pem());
            partners.push(partner);
        }
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let settings = ServerSettings {
            data_dir: data_dir(&dir),
            collect: any_port,
            admin: any_port,
            ca_pem: Some(ca_pem.into_bytes()),
            // The partners are on this machine.
            dangerous_allow_private_addresses: true,
            virtual_now: None,
            profiles_in_memory_max: PROFILES_IN_MEMORY,
            records: RecordSettings::default(),
        };
        // There is no such file: the catalog lives in the program and is never replaced.
        let file = CatalogFile {
            path: dir.path().join("catalog.yaml"),
            text: String::new(),
            catalog: catalog.clone(),
            warnings: Vec::new(),
        };
        let server = Server::start(settings, file).await?;
        Ok(Self {
            server,
            watch,
            sent: Arc::default(),
            reader: Reader::new(Instant::now(), duration),
            catalog,
            partners,
            dir,
        })
    }

    /// Starts the senders of events.
    pub(crate) fn senders(&self) -> Senders {
        Senders::start(self.server.collect_addr(), &self.watch, &self.sent)
    }

    /// The figures now.
    pub(crate) fn figures(&mut self, is_ending: bool) -> Figures {
        let server: &Shared = self.server.shared();
        self.reader
            .read(Instant::now(), is_ending, server, &self.watch, &self.sent)
    }

    /// Stops everything and compares what partners know with what is true.
    ///
    /// # Errors
    /// When the server did not stop as it should, or its store cannot be read.
    pub(crate) async fn strike(mut self) -> anyhow::Result<Ended> {
        let shared = Arc::clone(self.server.shared());
        self.server.stop().await.context("stopping the server")?;
        let now = Instant::now();
        let figures = self
            .reader
            .read(now, true, &shared, &self.watch, &self.sent);
        let (mut states, mut refused) = (Vec::new(), 0);
        for partner in self.partners {
            let stats = partner.stats();
            refused += stats.invalid + stats.unauthorized + stats.bad_signatures;
            anyhow::ensure!(
                stats.states_dropped == 0,
                "a partner was told more states than it can remember, so there is nothing to compare"
            );
            states.push(partner.states());
            partner.shutdown().await;
        }
        let (dir, catalog) = (self.dir, self.catalog);
        let compare = move || reconcile(&data_dir(&dir), &catalog, states);
        let reconciled = tokio::task::spawn_blocking(compare).await;
        let reconciled = reconciled
            .context("comparing")?
            .context("comparing what partners know with the store")?;
        Ok(Ended {
            figures,
            reconciled,
            refused,
        })
    }
}

fn data_dir(dir: &TempDir) -> PathBuf {
    dir.path().join("data")
}
