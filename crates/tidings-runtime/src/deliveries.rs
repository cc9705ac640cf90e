//! The destinations' tasks: started with the catalog, replaced when it changes, stopped at the end.
//!
//! A destination whose configuration changed gets a new task once its old one has ended, so that
//! there are never two of one destination. The new task begins by reading the pending set, which has
//! everything that the old one left behind.

use crate::{
    clock::Clock,
    core::ActiveCatalog,
    courier::Pause,
    destination::DestinationTask,
    inbox::Inbox,
    outlet::{Outlet, Tokens},
    pauses::Pauses,
    redact::Redactor,
    stats::{DestinationStats, ExportBlocks, NamedStats, Paused},
    writer::{Control, Inboxes, WriterHandle},
};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tidings_egress::{AddressPolicy, Egress};
use tidings_model::{Destination, DestinationId, Status};
use tokio::{sync::watch, task::JoinSet};

/// All destinations at work.
#[derive(Debug)]
pub(crate) struct Deliveries {
    egress: Arc<Egress>,
    writer: WriterHandle,
    clock: Arc<Clock>,
    inboxes: Arc<ArcSwap<Inboxes>>,
    tokens: Tokens,
    running: Mutex<BTreeMap<DestinationId, Running>>,
    /// Set when the writer was told that the last task of a destination that left the catalog has
    /// ended: one that comes back does not begin before.
    left: Mutex<BTreeMap<DestinationId, watch::Receiver<bool>>>,
    pauses: Mutex<Pauses>,
}

#[derive(Debug)]
struct Running {
    destination: Arc<Destination>,
    /// The catalog in use.
    catalog: Arc<ActiveCatalog>,
    inbox: Arc<Inbox>,
    stats: Arc<DestinationStats>,
    files: Arc<Files>,
    stop: watch::Sender<bool>,
    pause: watch::Sender<Pause>,
    /// Set when the task has ended.
    ended: watch::Receiver<bool>,
}

/// The secrets and other files of a destination, and what was made of them.
#[derive(Debug)]
struct Files {
    /// `None` while the destination is refused.
    outlet: Option<Arc<Outlet>>,
    /// Mark of what they held when they were last looked at.
    seen: AtomicU64,
    /// The secrets of before, while there is no outlet that knows them.
    former: Redactor,
}

impl Files {
    /// Every secret that a partner may repeat.
    fn known(&self) -> Redactor {
        let outlet = self.outlet.as_ref();
        outlet.map_or_else(|| self.former.clone(), |outlet| outlet.known())
    }
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
            tokens: Tokens::default(),
            running,
            left: Mutex::default(),
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
            oauth_refused: running.files.outlet.as_ref().and_then(|outlet| {
                let error = outlet.token.load().as_ref()?.configuration_error()?;
                Some(error.to_string())
            }),
            export_blocks: {
                let compiled = running.catalog.compiled.destination(running.destination.id);
                compiled.map_or_else(ExportBlocks::default, ExportBlocks::of)
            },
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
                // What the catalog says elsewhere, as of export controls, is asked of the new one.
                Some(old) if *old.destination == *destination => Running {
                    catalog: Arc::clone(catalog),
                    ..old
                },
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
        self.publish_inboxes(&running);
        // Only now would answers to what the new tasks ask reach them.
        for task in starting {
            tasks.spawn(task);
        }
    }

    /// Tells the writer when the task of a destination that is gone has ended.
    fn after_end(&self, mut gone: Running) -> impl Future<Output = ()> + Send + 'static {
        let writer = self.writer.clone();
        let destination = gone.destination.id;
        let (tell, told) = watch::channel(false);
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.insert(destination, told);
        drop(left);
        async move {
            // An error means that it has ended already.
            drop(gone.ended.wait_for(|&ended| ended).await);
            writer.control(Control::Ended { destination });
            tell.send_replace(true);
        }
    }

    /// Looks at the files of every destination and goes on with what changed in them; what cannot be
    /// used is reported and leaves everything as it was. Returns the destinations that were refused
    /// and whose files are others now: they are to be started again, see [`Self::renew`].
    ///
    /// Blocking: it reads every file.
    pub(crate) fn look_at_files(&self) -> Vec<DestinationId> {
        let watched: Vec<_> = {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let watched = running.values().map(|running| {
                let (destination, files) = (&running.destination, &running.files);
                (
                    Arc::clone(destination),
                    Arc::clone(files),
                    Arc::clone(&running.stats),
                )
            });
            watched.collect()
        };
        let mut refused = Vec::new();
        for (destination, files, stats) in watched {
            let seen = self.tokens.marks().of(&destination);
            let Some(outlet) = &files.outlet else {
                if seen != files.seen.load(Ordering::Relaxed) {
                    refused.push(destination.id);
                }
                continue;
            };
            if files.seen.swap(seen, Ordering::Relaxed) == seen {
                continue;
            }
            let refreshed = outlet.refresh(&destination, &self.egress, &self.tokens);
            let refused = refreshed.err().map(|error| format!("{error:#}"));
            match &refused {
                None => tracing::info!(destination = destination.id.0, "changed secrets in use"),
                Some(reason) => tracing::error!(
                    destination = destination.id.0,
                    reason,
                    "changed secrets refused, those in use stay"
                ),
            }
            stats.update(|state| state.secrets_refused = refused);
        }
        refused
    }

    /// Judges addresses by this policy from now on. Destinations whose URL it refuses stop; those that
    /// were refused are started again.
    pub(crate) fn set_policy(&self, policy: AddressPolicy, tasks: &mut JoinSet<()>) {
        self.egress.set_policy(policy);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let judged_anew = |running: &&Running| {
            let token_url = running.destination.oauth.as_ref();
            let mut urls = std::iter::once(&running.destination.url)
                .chain(token_url.map(|oauth| &oauth.token_url));
            running.files.outlet.is_none() || urls.any(|url| self.egress.check_url(url).is_err())
        };
        let ids = running.values().filter(judged_anew);
        let ids: Vec<_> = ids.map(|running| running.destination.id).collect();
        self.start_again(&ids, &mut running, tasks);
    }

    /// Starts destinations that were refused again.
    pub(crate) fn renew(&self, ids: &[DestinationId], tasks: &mut JoinSet<()>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |id: &&DestinationId| {
            let running = running.get(id);
            running.is_some_and(|running| running.files.outlet.is_none())
        };
        let ids: Vec<_> = ids.iter().filter(refused).copied().collect();
        self.start_again(&ids, &mut running, tasks);
    }

    fn start_again(
        &self,
        ids: &[DestinationId],
        running: &mut BTreeMap<DestinationId, Running>,
        tasks: &mut JoinSet<()>,
    ) {
        let mut starting = Vec::new();
        for id in ids {
            let Some(old) = running.remove(id) else {
                continue;
            };
            let (destination, catalog) = (Arc::clone(&old.destination), Arc::clone(&old.catalog));
            let (new, task) = self.start(&destination, &catalog, Some(old));
            starting.push(task);
            running.insert(*id, new);
        }
        self.publish_inboxes(running);
        for task in starting {
            tasks.spawn(task);
        }
    }

    fn publish_inboxes(&self, running: &BTreeMap<DestinationId, Running>) {
        let inboxes = running
            .iter()
            .map(|(id, running)| (*id, Arc::clone(&running.inbox)));
        self.inboxes.store(Arc::new(inboxes.collect()));
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
        // The mark first: what changes between the two is seen at the next look.
        let seen = AtomicU64::new(self.tokens.marks().of(&destination));
        let former = old.as_ref().map(|old| old.files.known());
        let former = former.unwrap_or_default();
        let outlet = Outlet::new(&destination, &self.egress, &self.tokens, &former).map(Arc::new);
        let refused = outlet.as_ref().err().map(|error| format!("{error:#}"));
        if let Some(reason) = &refused {
            tracing::error!(
                destination = destination.id.0,
                reason,
                "destination refused"
            );
        }
        stats.update(|state| {
            state.refused = refused;
            state.secrets_refused = None;
        });
        let outlet = outlet.ok();
        let task = outlet.clone().map(|outlet| {
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
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = left.remove(&destination.id);
        let work = async move {
            if let Some(mut left) = left {
                drop(left.wait_for(|&told| told).await);
            }
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
            catalog: Arc::clone(catalog),
            inbox,
            stats,
            files: Arc::new(Files {
                outlet,
                seen,
                former,
            }),
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
