//! The destinations' tasks: started with the catalog, replaced when it changes, stopped at the end.
//!
//! A destination whose configuration changed gets a new task once its old one has ended, so that
//! there are never two of one destination. The new task begins by reading the pending set, which has
//! everything that the old one left behind.

use crate::{
    clock::Clock,
    core::ActiveCatalog,
    courier::Pause,
    destination::{DestinationTask, Outlet},
    inbox::Inbox,
    pauses::Pauses,
    redact::Redactor,
    secret::read_secret,
    signing::Signatures,
    stats::{DestinationStats, NamedStats, Paused},
    writer::{Control, Inboxes, WriterHandle},
};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tidings_egress::{
    Egress, Endpoint, EndpointSettings,
    oauth::{Credentials, TokenSettings, TokenSource},
};
use tidings_model::{Destination, DestinationId, OAuthCredentials, Status};
use tokio::{sync::watch, task::JoinSet};

/// All destinations at work.
#[derive(Debug)]
pub(crate) struct Deliveries {
    egress: Arc<Egress>,
    writer: WriterHandle,
    clock: Arc<Clock>,
    inboxes: Arc<ArcSwap<Inboxes>>,
    running: Mutex<BTreeMap<DestinationId, Running>>,
    pauses: Mutex<Pauses>,
}

#[derive(Debug)]
struct Running {
    destination: Arc<Destination>,
    inbox: Arc<Inbox>,
    stats: Arc<DestinationStats>,
    stop: watch::Sender<bool>,
    pause: watch::Sender<Pause>,
    /// Set when the task has ended.
    ended: watch::Receiver<bool>,
}

impl Deliveries {
    pub(crate) fn new(
        egress: Arc<Egress>,
        writer: WriterHandle,
        clock: Arc<Clock>,
        inboxes: Arc<ArcSwap<Inboxes>>,
        pauses: Pauses,
    ) -> Self {
        let running = Mutex::default();
        Self {
            egress,
            writer,
            clock,
            inboxes,
            running,
            pauses: Mutex::new(pauses),
        }
    }

    /// Pauses or resumes a destination; durable when this returns. False when there is none with this
    /// id.
    ///
    /// # Errors
    /// When it cannot be made durable: then nothing has changed.
    pub(crate) fn set_pause(&self, id: DestinationId, pause: Pause) -> anyhow::Result<bool> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = running.get(&id) else {
            return Ok(false);
        };
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        match pause {
            Pause::On => pauses.pause(id, self.clock.now())?,
            Pause::Off => pauses.resume(id)?,
        }
        running.pause.send_replace(pause);
        tracing::info!(
            destination = id.0,
            ?pause,
            "paused or resumed by the operator"
        );
        Ok(true)
    }

    fn paused(&self, destination: &Destination) -> Option<Paused> {
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        match pauses.since(destination.id) {
            Some(since) => Some(Paused::Operator { since }),
            None if destination.status == Status::Paused => Some(Paused::Catalog),
            None => None,
        }
    }

    /// Figures of every destination, ascending by id.
    pub(crate) fn stats(&self) -> Vec<NamedStats> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |running: &Running| NamedStats {
            id: running.destination.id,
            name: running.destination.name.clone(),
            paused: self.paused(&running.destination),
            stats: Arc::clone(&running.stats),
        };
        running.values().map(named).collect()
    }

    /// Makes the tasks those of `catalog`: starts, replaces and stops what is different. Returns at
    /// once; tasks that are replaced or stopped finish their attempts in the background.
    pub(crate) fn follow(&self, catalog: &Arc<ActiveCatalog>, tasks: &mut JoinSet<()>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *running);
        let mut starting = Vec::new();
        for destination in &catalog.catalog.destinations {
            let old = before.remove(&destination.id);
            let kept = match old {
                Some(old) if *old.destination == *destination => old,
                old => {
                    let (new, task) = self.start(destination, catalog, old);
                    starting.push(task);
                    new
                }
            };
            running.insert(destination.id, kept);
        }
        for gone in before.into_values() {
            gone.stop.send_replace(true);
            tasks.spawn(self.after_end(gone));
        }
        let inboxes = running
            .iter()
            .map(|(id, running)| (*id, Arc::clone(&running.inbox)));
        self.inboxes.store(Arc::new(inboxes.collect()));
        // Only now would answers to what the new tasks ask reach them.
        for task in starting {
            tasks.spawn(task);
        }
    }

    /// Tells the writer when the task of a destination that is gone has ended.
    fn after_end(&self, mut gone: Running) -> impl Future<Output = ()> + Send + 'static {
        let writer = self.writer.clone();
        let destination = gone.destination.id;
        async move {
            // An error means that it has ended already.
            drop(gone.ended.wait_for(|&ended| ended).await);
            writer.control(Control::Ended { destination });
        }
    }

    fn start(
        &self,
        destination: &Destination,
        catalog: &Arc<ActiveCatalog>,
        old: Option<Running>,
    ) -> (Running, impl Future<Output = ()> + Send + 'static) {
        let destination = Arc::new(destination.clone());
        // Figures go on over a change of the configuration.
        let stats = old
            .as_ref()
            .map(|old| Arc::clone(&old.stats))
            .unwrap_or_default();
        let inbox = Arc::new(Inbox::default());
        let (stop, stopping) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        let pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = pauses
            .since(destination.id)
            .map_or(Pause::Off, |_| Pause::On);
        drop(pauses);
        let (pause, pausing) = watch::channel(pause);
        let writer = self.writer.clone();
        let outlet = outlet(&destination, &self.egress);
        let refused = outlet.as_ref().err().map(|error| format!("{error:#}"));
        if let Some(reason) = &refused {
            tracing::error!(
                destination = destination.id.0,
                reason,
                "destination refused"
            );
        }
        stats.update(|state| state.refused = refused);
        let task = outlet.ok().map(|outlet| {
            DestinationTask::new(
                Arc::clone(&destination),
                Arc::clone(catalog),
                outlet,
                Arc::clone(&inbox),
                self.writer.clone(),
                Arc::clone(&self.clock),
                Arc::clone(&stats),
            )
        });
        let work = async move {
            if let Some(mut old) = old {
                old.stop.send_replace(true);
                // An error means that it has ended already.
                drop(old.ended.wait_for(|&ended| ended).await);
                let destination = old.destination.id;
                writer.control(Control::Ended { destination });
            }
            if let Some(task) = task {
                task.run(stopping, pausing).await;
            }
            end.send_replace(true);
        };
        let running = Running {
            destination,
            inbox,
            stats,
            stop,
            pause,
            ended,
        };
        (running, work)
    }

    /// Tells every task to finish.
    pub(crate) fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for running in running.values() {
            running.stop.send_replace(true);
        }
    }
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
    let mut redactor = Redactor::default();
    let token = match &destination.oauth {
        None => None,
        Some(oauth) => {
            let credentials = match &oauth.credentials {
                OAuthCredentials::Client {
                    client_id,
                    client_secret,
                } => {
                    let secret = read_secret(client_secret).context("oauth.client_secret")?;
                    redactor.add(&secret);
                    redactor.add(&format!("{client_id}:{}", *secret));
                    Credentials::client(client_id, &secret).context("oauth")?
                }
                OAuthCredentials::BasicRaw(secret) => {
                    let secret = read_secret(secret).context("oauth.basic_raw")?;
                    redactor.add(&secret);
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
    for signing in &destination.signing {
        // Whether it can be read is for the signatures to say.
        if let Ok(secret) = read_secret(&signing.secret) {
            redactor.add(&secret);
        }
    }
    let signatures = Signatures::new(&destination.signing)?;
    Ok(Outlet {
        endpoint: Arc::new(endpoint),
        token,
        signatures,
        redactor,
    })
}
