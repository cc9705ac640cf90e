//! The destinations' tasks: which there are, and how one takes the place of another. What the server
//! does with threads and channels is done here step by step.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tidings_model::{Destination, DestinationId};
use tidings_runtime::{
    core::ActiveCatalog,
    courier::{Courier, Now, Pause},
    errand::Ask,
    inbox::Mail,
    schedule::Lateness,
};

/// The number of a task in its life of the process.
pub(crate) type TaskId = u64;

/// A task: a courier with its mailbox.
#[derive(Debug)]
pub(crate) struct Station {
    pub(crate) task: TaskId,
    pub(crate) courier: Courier,
    pub(crate) mail: Mail,
    /// Attempts under way.
    pub(crate) attempts: usize,
    /// The task before it, which must have ended first.
    after: Option<TaskId>,
}

/// All tasks.
#[derive(Debug, Default)]
pub(crate) struct Stations {
    running: BTreeMap<DestinationId, Station>,
    /// Those that end: they begin nothing new.
    ending: BTreeMap<TaskId, Station>,
    tasks: TaskId,
}

impl Stations {
    /// Makes the tasks those of the catalog: starts, replaces and stops what is different.
    pub(crate) fn follow(
        &mut self,
        now: Now,
        catalog: &Arc<ActiveCatalog>,
        paused: &BTreeSet<DestinationId>,
    ) {
        let mut before = std::mem::take(&mut self.running);
        for destination in &catalog.catalog.destinations {
            let station = match before.remove(&destination.id) {
                Some(old) if **old.courier.destination() == *destination => old,
                old => {
                    let after = old.as_ref().map(|old| old.task);
                    let after = after.or_else(|| self.last_ending(destination.id));
                    self.ending.extend(old.map(|old| (old.task, old)));
                    self.start(now, destination, catalog, paused, after)
                }
            };
            self.running.insert(destination.id, station);
        }
        for gone in before.into_values() {
            self.ending.insert(gone.task, gone);
        }
    }

    /// The last task of a destination that left and comes back before that has ended.
    fn last_ending(&self, to: DestinationId) -> Option<TaskId> {
        let mut ending = self.ending.iter().rev();
        let last = ending.find(|(_, one)| one.courier.destination().id == to);
        last.map(|(task, _)| *task)
    }

    fn start(
        &mut self,
        now: Now,
        destination: &Destination,
        catalog: &Arc<ActiveCatalog>,
        paused: &BTreeSet<DestinationId>,
        after: Option<TaskId>,
    ) -> Station {
        self.tasks += 1;
        let mut courier = Courier::new(
            Arc::new(destination.clone()),
            Arc::clone(catalog),
            Arc::default(),
            Arc::default(),
            Lateness::Counts,
            now,
        );
        if paused.contains(&destination.id) {
            courier.set_paused(now, Pause::On);
        }
        Station {
            task: self.tasks,
            courier,
            mail: Mail::default(),
            attempts: 0,
            after,
        }
    }

    /// The task of a destination.
    pub(crate) fn get_mut(&mut self, to: DestinationId) -> Option<&mut Station> {
        self.running.get_mut(&to)
    }

    /// A task, also one that ends.
    pub(crate) fn task_mut(&mut self, to: DestinationId, task: TaskId) -> Option<&mut Station> {
        let running = self.running.get_mut(&to);
        let running = running.filter(|station| station.task == task);
        running.or_else(|| self.ending.get_mut(&task))
    }

    /// The destinations with a task.
    pub(crate) fn ids(&self) -> BTreeSet<DestinationId> {
        self.running.keys().copied().collect()
    }

    /// The tasks that may do something new.
    pub(crate) fn at_work(&mut self) -> impl Iterator<Item = (DestinationId, &mut Station)> {
        let ending = &self.ending;
        let running = self.running.iter_mut().map(|(to, station)| (*to, station));
        running.filter(|(_, one)| one.after.is_none_or(|task| !ending.contains_key(&task)))
    }

    /// What ending tasks still ask for, and the destinations of those that have ended.
    pub(crate) fn end(&mut self, now: Now) -> (Vec<(DestinationId, Ask)>, Vec<DestinationId>) {
        let mut asks = Vec::new();
        for station in self.ending.values_mut() {
            let to = station.courier.destination().id;
            while let Some(ask) = station.courier.poll_stopping(now) {
                asks.push((to, ask));
            }
        }
        let mut ended = Vec::new();
        while let Some(task) = self.next_ended() {
            let station = self.ending.remove(&task);
            ended.extend(station.map(|station| station.courier.destination().id));
        }
        (asks, ended)
    }

    fn next_ended(&self) -> Option<TaskId> {
        let is_over = |after: Option<TaskId>| after.is_none_or(|at| !self.ending.contains_key(&at));
        let mut ending = self.ending.values();
        let ended = ending.find(|station| station.attempts == 0 && is_over(station.after));
        ended.map(|station| station.task)
    }

    pub(crate) fn are_idle(&self) -> bool {
        let mut stations = self.running.values();
        self.ending.is_empty()
            && stations.all(|station| station.mail.is_empty() && station.courier.is_idle())
    }

    /// Which destinations have something to do, for whoever wonders why the end does not come.
    pub(crate) fn busy(&self) -> Vec<DestinationId> {
        let stations = self.running.iter();
        let busy = stations.filter(|(_, one)| !one.mail.is_empty() || !one.courier.is_idle());
        busy.map(|(to, _)| *to).collect()
    }
}
