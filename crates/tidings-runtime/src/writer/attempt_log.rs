//! The attempt log as the engine thread writes and trims it.
//!
//! What was settled at one destination in one step becomes one page, which is committed with the step:
//! no sync of its own, no row per POST. With every page that is written the oldest ones go, if they
//! are too old or the log is too large; destinations that are idle are looked after once a second,
//! one at a time.

use hashbrown::HashMap;
use std::collections::VecDeque;
use tidings_engine::Moment;
use tidings_model::{DestinationId, Millis};
use tidings_store::{AttemptKey, AttemptPage, AttemptRecord, Batch, RecordKind, Store, StoreError};

use crate::settings::{RecordSettings, seconds};

/// Keys of oldest pages read in one go.
const OLDEST_READ: usize = 64;
/// Pages removed in one step from one destination, besides as many as were written.
const TRIMMED_PER_STEP: usize = 2;
/// The same for a destination that is idle.
const TRIMMED_PER_VISIT: usize = 100;
/// How often an idle destination is looked after.
const VISIT_EVERY_MS: u64 = 1_000;

/// The attempt logs of all destinations.
#[derive(Debug)]
pub(super) struct AttemptLog {
    settings: RecordSettings,
    logs: HashMap<DestinationId, Log, foldhash::fast::FixedState>,
    /// Destinations with pages that are not written yet.
    touched: Vec<DestinationId>,
    visits: Vec<DestinationId>,
    next_visit: Millis,
}

#[derive(Debug, Default)]
struct Log {
    /// Not written yet; kept for their memory.
    pages: Vec<AttemptPage>,
    used: usize,
    /// What is on disk was looked at.
    known: bool,
    /// Bytes of all pages ever.
    position: u64,
    /// The oldest pages, as far as they were read.
    oldest: VecDeque<AttemptKey>,
    /// The last page that was ever in `oldest`.
    read_to: Option<AttemptKey>,
}

impl AttemptLog {
    pub(super) fn new(settings: RecordSettings) -> Self {
        Self {
            settings,
            logs: HashMap::default(),
            touched: Vec::new(),
            visits: Vec::new(),
            next_visit: Millis(0),
        }
    }

    /// Takes an attempt into the next page.
    pub(super) fn record(&mut self, destination: DestinationId, attempt: &AttemptRecord) {
        let log = self.logs.entry(destination).or_default();
        if log.used == 0 {
            self.touched.push(destination);
        }
        log.page().push(attempt);
    }

    /// Writes the pages of this step, and trims where they go.
    pub(super) fn write(
        &mut self,
        moment: Moment,
        store: &Store,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        for destination in self.touched.drain(..) {
            let Some(log) = self.logs.get_mut(&destination) else {
                continue;
            };
            log.know(destination, store)?;
            let written = log.used;
            for page in log.pages.iter_mut().take(written) {
                let key = AttemptKey {
                    time: moment.now,
                    position: log.position,
                };
                log.position += batch.put_attempts(destination, key, page);
                page.clear();
            }
            log.used = 0;
            let count = written + TRIMMED_PER_STEP;
            log.trim(destination, &self.settings, moment, count, store, batch)?;
        }
        Ok(())
    }

    /// Looks after one destination, if it is time for that.
    pub(super) fn visit(
        &mut self,
        now: Millis,
        moment: Moment,
        store: &Store,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if now < self.next_visit {
            return Ok(());
        }
        self.next_visit = Millis(now.0 + VISIT_EVERY_MS);
        if self.visits.is_empty() {
            self.visits = store.destinations_with(RecordKind::Attempts)?;
        }
        let Some(destination) = self.visits.pop() else {
            return Ok(());
        };
        let log = self.logs.entry(destination).or_default();
        log.know(destination, store)?;
        let count = TRIMMED_PER_VISIT;
        if log.trim(destination, &self.settings, moment, count, store, batch)? == count {
            self.visits.push(destination);
        }
        Ok(())
    }
}

impl Log {
    /// The page that the next attempt goes into.
    fn page(&mut self) -> &mut AttemptPage {
        let full = self.used == 0
            || self
                .pages
                .get(self.used - 1)
                .is_some_and(AttemptPage::is_full);
        if full {
            self.used += 1;
        }
        if self.pages.len() < self.used {
            self.pages.push(AttemptPage::default());
        }
        let at = self.used - 1;
        #[expect(
            clippy::indexing_slicing,
            reason = "there are at least as many as are used"
        )]
        &mut self.pages[at]
    }

    fn know(&mut self, destination: DestinationId, store: &Store) -> Result<(), StoreError> {
        if !self.known {
            self.known = true;
            if let Some((last, bytes)) = store.last_attempts(destination)? {
                self.position = last.position + bytes;
            }
        }
        Ok(())
    }

    /// Removes up to `count` of the oldest pages that must go; how many it removed.
    fn trim(
        &mut self,
        destination: DestinationId,
        settings: &RecordSettings,
        moment: Moment,
        count: usize,
        store: &Store,
        batch: &mut Batch,
    ) -> Result<usize, StoreError> {
        let oldest_kept = moment.now.plus_seconds(-seconds(settings.attempts_keep));
        for removed in 0..count {
            if self.oldest.is_empty() {
                let pages = store.oldest_attempts(destination, self.read_to, OLDEST_READ)?;
                self.read_to = pages.last().copied().or(self.read_to);
                self.oldest.extend(pages);
            }
            let Some(page) = self.oldest.front() else {
                return Ok(removed);
            };
            let bytes = self.position.saturating_sub(page.position);
            if page.time >= oldest_kept && bytes <= settings.attempts_bytes_max {
                return Ok(removed);
            }
            batch.delete_attempts(destination, *page);
            self.oldest.pop_front();
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tidings_model::Timestamp;
    use tidings_store::StoreSettings;

    /// No destination of this log is in any catalog.
    struct World {
        store: Store,
        log: AttemptLog,
        settings: RecordSettings,
        _dir: tempfile::TempDir,
    }

    impl World {
        /// Three pages each of two destinations, as an earlier run left them.
        fn new(settings: RecordSettings) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut world = Self {
                store: Store::open(dir.path(), &StoreSettings::default()).unwrap(),
                log: AttemptLog::new(RecordSettings::default()),
                settings,
                _dir: dir,
            };
            for now in 0..3 {
                for destination in [7, 8] {
                    let attempt = AttemptRecord::default();
                    world.log.record(DestinationId(destination), &attempt);
                }
                let mut batch = Batch::new();
                let (log, store) = (&mut world.log, &world.store);
                log.write(moment(now), store, &mut batch).unwrap();
                store.commit(&batch).unwrap();
            }
            world.log = AttemptLog::new(world.settings);
            world
        }

        /// Looks after every destination once, at this time; how many pages each has then.
        fn visit(&mut self, now: i64) -> [usize; 2] {
            for millis in [now, now + 1] {
                let millis = Millis(u64::try_from(millis).unwrap() * VISIT_EVERY_MS);
                let mut batch = Batch::new();
                self.log
                    .visit(millis, moment(now), &self.store, &mut batch)
                    .unwrap();
                self.store.commit(&batch).unwrap();
            }
            [7, 8].map(|id| {
                let pages = self.store.oldest_attempts(DestinationId(id), None, 9);
                pages.unwrap().len()
            })
        }
    }

    fn moment(now: i64) -> Moment {
        Moment {
            now: Timestamp(now),
            seq: 1,
            epoch: 1,
        }
    }

    #[test]
    fn attempts_at_destinations_that_are_gone_go_by_age() {
        let mut world = World::new(RecordSettings {
            attempts_keep: Duration::from_secs(100),
            ..RecordSettings::default()
        });
        assert_eq!(world.visit(100), [3, 3]);
        assert_eq!(world.visit(102), [1, 1]);
        assert_eq!(world.visit(1_000), [0, 0]);
        let left = world.store.destinations_with(RecordKind::Attempts);
        assert_eq!(left.unwrap(), []);
    }

    #[test]
    fn attempts_at_destinations_that_are_gone_go_by_size() {
        let mut world = World::new(RecordSettings {
            attempts_bytes_max: 0,
            ..RecordSettings::default()
        });
        assert_eq!(world.visit(3), [0, 0]);
    }
}
