//! The disk: rows that survive a crash, commits that take their time, and what is remembered beside
//! the rows.

use crate::configuration::Version;
use std::{collections::BTreeSet, sync::Arc};
use tidings_engine::{LastUse, MappingChanges, PastMappings};
use tidings_model::{DestinationId, Timestamp};
use tidings_oracle::generate::Random;
use tidings_runtime::{
    core::ActiveCatalog,
    memory::{MemoryChanges, MemoryRows},
};

/// As in the server, see there.
const REPLACED_WITHIN_SECONDS: i64 = 60;

/// What is durable.
#[derive(Debug, Default)]
pub struct Disk {
    /// Rows of every commit that has ended.
    pub rows: MemoryRows,
    /// The last commit that has ended.
    pub durable: u64,
    /// How often the store was opened.
    pub epoch: u32,
    /// What is remembered of the catalog that was used last.
    pub(crate) remembered: Option<Remembered>,
    /// Destinations that the operator paused.
    pub(crate) paused: BTreeSet<DestinationId>,
}

/// What a server remembers of its catalog.
#[derive(Clone, Debug)]
pub(crate) struct Remembered {
    version: usize,
    generation: u32,
    changes: MappingChanges,
    past: PastMappings,
    /// The run that remembered this.
    run: u32,
    /// The run in which the version came into use.
    came: u32,
    /// Every profile was brought up to it.
    swept: bool,
}

impl Disk {
    /// A commit ends: all of it, or none.
    pub fn commit(&mut self, seq: u64, changes: &mut MemoryChanges) {
        self.rows.apply(changes);
        self.durable = seq;
    }

    /// The catalog as it is to be used when this version of it lies there, the next generation if it
    /// is another than before. It is remembered before it takes effect.
    pub(crate) fn next_catalog(
        &mut self,
        versions: &[Version],
        version: usize,
        now: Timestamp,
    ) -> Arc<ActiveCatalog> {
        let text = |at: usize| versions.get(at).map(|one| one.yaml.as_str());
        let catalog = |at: usize| versions.get(at).map(|one| one.catalog.clone());
        let catalog_now = catalog(version).unwrap_or_default();
        let run = self.epoch;
        // A version is in use until the step ends in which the next one comes.
        let until = now.plus_seconds(REPLACED_WITHIN_SECONDS);
        let past = |before: &Remembered| {
            let old = catalog(before.version).unwrap_or_default();
            let past = before.past.clone();
            if before.run == run {
                past.after(&old, &catalog_now, LastUse { run, until })
            } else {
                let run = run - 1;
                past.found(&old, LastUse { run, until })
            }
        };
        let remembered = match self.remembered.take() {
            None => Remembered {
                version,
                generation: 1,
                changes: MappingChanges::default(),
                past: PastMappings::default(),
                run,
                came: run,
                swept: true,
            },
            Some(before) if text(before.version) == text(version) => Remembered {
                past: past(&before),
                run,
                ..before
            },
            Some(before) => {
                let generation = before.generation + 1;
                let old = catalog(before.version).unwrap_or_default();
                Remembered {
                    version,
                    generation,
                    past: past(&before),
                    run,
                    came: run,
                    changes: before.changes.after(&old, &catalog_now, generation),
                    swept: false,
                }
            }
        };
        let (generation, changes) = (remembered.generation, remembered.changes.clone());
        let past = remembered.past.clone();
        self.remembered = Some(remembered);
        let active = ActiveCatalog::new(catalog_now, generation, changes);
        let active = active.expect("the catalog was read");
        Arc::new(active.with_past_mappings(past))
    }

    /// Every profile was brought up to the catalog. The first run whose pairs may be pending or marked,
    /// if others are known to be none; the generation.
    pub(crate) fn mark_swept(&mut self) -> Option<(u32, Option<u32>)> {
        let remembered = self.remembered.as_mut()?;
        remembered.swept = true;
        let whole = remembered.came == remembered.run;
        if whole {
            remembered.past.forget_before(remembered.run);
        }
        Some((remembered.generation, whole.then_some(remembered.run)))
    }

    /// Whether profiles may be behind the catalog.
    pub(crate) fn needs_sweep(&self) -> bool {
        self.remembered.as_ref().is_some_and(|one| !one.swept)
    }

    /// Destinations of which rows are left that a start looks for.
    pub(crate) fn destinations_with_rows(&self) -> BTreeSet<DestinationId> {
        let pending = self.rows.pending.keys().map(|(to, _)| *to);
        let undelivered = self.rows.undelivered.keys().map(|(to, _)| *to);
        let changes = self.rows.batch_changes.iter().map(|(to, _)| *to);
        let batches = self.rows.batches.keys().copied();
        let pairs = pending.chain(undelivered).chain(changes);
        pairs.chain(batches).collect()
    }

    /// How long a commit takes, in milliseconds; now and then seconds.
    pub(crate) fn sync_millis(random: &mut Random, stalls_percent: i64) -> u64 {
        let millis = if random.chance(stalls_percent) {
            random.between(500, 5_000)
        } else {
            random.between(1, 20)
        };
        u64::try_from(millis).unwrap_or(1)
    }
}
