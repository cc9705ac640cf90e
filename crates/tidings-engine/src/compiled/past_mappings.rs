//! Mappings by which an earlier run of the process may have told, and until when they were in use.
//!
//! Nobody knows what a message told whose outcome was lost in a crash. The catalog by which it was
//! written may be gone when its device is looked at next, and mappings may have come that it did not
//! have. So what it may have told is worked out from these: the mappings with which the run under way
//! found the catalog, and those that are gone since.
//!
//! What a mapping said as text makes no difference, nor do pauses and export controls: that a segment
//! was paused or blocked all along is not known.

use std::{collections::HashSet, ops::Range};
use tidings_model::{Catalog, DestinationId, SegmentId, Timestamp, UtcDay};

/// Mappings that were in use, ascending by destination, segment, days and run. Each is there once, and once
/// more if it went in the run under way. Kept beside the profiles.
///
/// One is of use until no pair is left that was touched last, or marked last for a batch, in a run in
/// which the mapping was in use: a sweep of a later run ends that for all pairs, see
/// [`PastMappings::forget_before`]. So beside those of the catalog itself there are at most twice as many as
/// different mappings were removed in the run under way, and since the last version whose sweep began
/// and ended in the run in which it came: what somebody, or a script that moves days on, has written
/// into the file meanwhile. The first new version after a restart ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastMappings(pub Vec<PastMapping>);

/// One mapping that was in use. That of a destination or a segment that is gone is one as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastMapping {
    /// The destination.
    pub destination: DestinationId,
    /// The segment that was mapped to it.
    pub segment: SegmentId,
    /// Its first day, if it had one.
    pub start: Option<UtcDay>,
    /// The day on which it was to end, if there was one.
    pub end: Option<UtcDay>,
    /// The end of its use.
    pub last_use: LastUse,
}

/// When a version of the catalog was in use last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// The run of the process, as an epoch ([`crate::Moment`]).
    pub run: u32,
    /// It was not in use after this instant.
    pub until: Timestamp,
}

type Key = (DestinationId, SegmentId, Option<UtcDay>, Option<UtcDay>);

impl PastMappings {
    /// A run begins: whatever comes now, this catalog was in use in the run before, until its end.
    #[must_use]
    pub fn found(self, catalog: &Catalog, last_use: LastUse) -> Self {
        // No run is under way of which the others know less.
        let together = |one: &PastMapping, other: &PastMapping| one.key() == other.key();
        self.with(keys(catalog), last_use, together)
    }

    /// In a run, `new` takes the place of `old`, which was in use until then.
    #[must_use]
    pub fn after(self, old: &Catalog, new: &Catalog, last_use: LastUse) -> Self {
        let kept: HashSet<Key> = keys(new).collect();
        let gone = keys(old).filter(|key| !kept.contains(key));
        let together = |one: &PastMapping, other: &PastMapping| {
            one.key() == other.key() && one.last_use.run == other.last_use.run
        };
        self.with(gone, last_use, together)
    }

    fn with(
        mut self,
        keys: impl Iterator<Item = Key>,
        last_use: LastUse,
        together: impl Fn(&PastMapping, &PastMapping) -> bool,
    ) -> Self {
        self.0
            .extend(keys.map(|(destination, segment, start, end)| PastMapping {
                destination,
                segment,
                start,
                end,
                last_use,
            }));
        self.0.sort_by_key(|one| (one.key(), one.last_use.run));
        self.0.dedup_by(|next, kept| {
            let is_same = together(next, kept);
            if is_same {
                let (one, other) = (&mut kept.last_use, next.last_use);
                one.run = one.run.max(other.run);
                one.until = one.until.max(other.until);
            }
            is_same
        });
        self
    }

    /// Forgets what was in use in runs before this one only. To be called when every pair has been
    /// brought up to a version that came into use in this run, all of it in this run: a pair is then
    /// pending or marked by this run or not at all, and what earlier ones may have told is taken as told.
    pub fn forget_before(&mut self, run: u32) {
        self.0.retain(|one| one.last_use.run >= run);
    }

    /// Whether one of them may have had the destination told of the segment in these runs, for a device that
    /// entered it at `since`.
    pub(crate) fn may_have_told(
        &self,
        (destination, segment): (DestinationId, SegmentId),
        since: Timestamp,
        runs: &Range<u32>,
        now: Timestamp,
    ) -> bool {
        let pair = |one: &PastMapping| (one.destination, one.segment);
        let from = self
            .0
            .partition_point(|one| pair(one) < (destination, segment));
        let later = self.0.get(from..).unwrap_or_default().iter();
        later
            .take_while(|one| pair(one) == (destination, segment))
            .any(|one| runs.contains(&one.last_use.run) && one.was_at_work(since, now))
    }
}

impl PastMapping {
    const fn key(&self) -> Key {
        (self.destination, self.segment, self.start, self.end)
    }

    /// Whether anything may have been sent by it to a device that entered its segment at `since`. When an
    /// end was set is not known: that of the day on which the device entered may have been set after it was
    /// told.
    fn was_at_work(&self, since: Timestamp, now: Timestamp) -> bool {
        let last = self.last_use.until.min(now).day();
        since <= self.last_use.until
            && self.start.is_none_or(|start| start <= last)
            && self.end.is_none_or(|end| since.day() <= end)
    }
}

fn keys(catalog: &Catalog) -> impl Iterator<Item = Key> {
    catalog.destinations.iter().flat_map(|destination| {
        let mappings = destination.mappings.iter();
        mappings.map(|one| (destination.id, one.segment, one.start, one.end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESTINATION: DestinationId = DestinationId(100);
    const SEGMENT: SegmentId = SegmentId(10);

    /// The catalog with these mappings, of segments with their days.
    fn catalog(mappings: &[(u32, Option<i32>, Option<i32>)]) -> Catalog {
        let mut catalog = crate::testing::catalog("dest 100 ids=5");
        let mapping =
            |&(segment, start, end): &(u32, Option<i32>, Option<i32>)| tidings_model::Mapping {
                segment: SegmentId(segment),
                value: None,
                start: start.map(UtcDay),
                end: end.map(UtcDay),
            };
        catalog.destinations[0].mappings = mappings.iter().map(mapping).collect();
        catalog
    }

    fn last_use(run: u32, day: i32) -> LastUse {
        let until = UtcDay(day).start();
        LastUse { run, until }
    }

    #[test]
    fn each_mapping_is_kept_once_with_the_last_of_its_uses() {
        let (both, one) = (
            catalog(&[(10, None, None), (11, None, Some(8))]),
            catalog(&[]),
        );
        let past = PastMappings::default();
        let past = past.after(&both, &one, last_use(1, 3));
        let past = past.after(&one, &both, last_use(1, 4));
        // The run that is under way tells nothing of what earlier ones told.
        let past = past.after(&both, &catalog(&[(11, None, Some(8))]), last_use(2, 5));
        assert_eq!(past.0.len(), 3);
        let past = past.found(&catalog(&[(11, None, Some(8))]), last_use(2, 6));
        let found = PastMappings::default().found(&both, last_use(1, 3));
        assert_eq!(found.found(&both, last_use(2, 5)).0.len(), 2);
        let uses: Vec<_> = (past.0.iter())
            .map(|one| (one.segment.0, one.end, one.last_use))
            .collect();
        let expected = [
            (10, None, last_use(2, 5)),
            (11, Some(UtcDay(8)), last_use(2, 6)),
        ];
        assert_eq!(uses, expected);
        let mut kept = past.clone();
        kept.forget_before(1);
        assert_eq!(kept, past);
        kept.forget_before(3);
        assert_eq!(kept.0, []);
    }

    #[test]
    fn another_text_is_the_same_mapping() {
        let old = catalog(&[(10, None, None)]);
        let mut new = old.clone();
        new.destinations[0].mappings[0].value = Some("text".to_owned());
        let past = PastMappings::default().after(&old, &new, last_use(1, 3));
        assert_eq!(past, PastMappings::default());
        new.destinations.clear();
        let past = past.after(&old, &new, last_use(1, 3));
        assert_eq!(past.0.len(), 1);
    }

    #[test]
    fn told_is_what_was_in_use_then_and_at_work() {
        // In use until day 20 of run 5.
        let told = |days: (Option<i32>, Option<i32>), since: i32, run: u32, now: i32| {
            let old = catalog(&[(10, days.0, days.1)]);
            let past = PastMappings::default().after(&old, &catalog(&[]), last_use(5, 20));
            let (since, now) = (UtcDay(since).start(), UtcDay(now).start());
            past.may_have_told((DESTINATION, SEGMENT), since, &(run..u32::MAX), now)
        };
        assert!(told((None, None), 10, 5, 30));
        assert!(told((None, None), 10, 4, 30));
        assert!(!told((None, None), 10, 6, 30), "not in use in that run");
        assert!(told((None, None), 20, 5, 30));
        assert!(!told((None, None), 21, 5, 30), "entered later");
        assert!(told((Some(20), None), 10, 5, 30));
        assert!(!told((Some(21), None), 10, 5, 30), "never began");
        assert!(!told((Some(20), None), 10, 5, 19), "has not begun");
        assert!(told((None, Some(10)), 10, 5, 30));
        assert!(!told((None, Some(9)), 10, 5, 30), "had ended");
    }
}
