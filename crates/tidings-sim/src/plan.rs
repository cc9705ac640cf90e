//! What a seed stands for: the catalogs, the work, the faults, and how often each happens.

use crate::configuration::{Configuration, Version};
use std::collections::BTreeSet;
use tidings_model::{DestinationId, Timestamp};
use tidings_oracle::generate::Random;
use tidings_runtime::pages::Pages;

/// The trait that every event realises and nothing removes: it counts the events of a device.
pub(crate) const COUNTER: u32 = 1;

/// One run, before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The versions of the catalog, one after the other.
    pub(crate) versions: Vec<Version>,
    /// Where the clock begins.
    pub(crate) start: Timestamp,
    pub(crate) devices: u64,
    /// Events per phase; between two phases the clock may jump.
    pub(crate) phases: Vec<usize>,
    /// Milliseconds over which the events of a phase are sent.
    pub(crate) phase_millis: u64,
    /// Profiles in memory: few, so that rows are read back.
    pub(crate) profiles_max: usize,
    /// Rows read in one go: few, so that there are several pages.
    pub(crate) pages: Pages,
    /// Crashes of the process in the whole run.
    pub(crate) crashes: usize,
    /// Percent of commits that take seconds.
    pub(crate) stalls: i64,
    /// Percent of mail in which hints are lost.
    pub(crate) lost_hints: i64,
    /// Every destination that there ever is, ascending, and percent of attempts at it that fail.
    pub(crate) failing: Vec<(DestinationId, i64)>,
    /// Stretches of time in which a destination answers nothing with success: which one, from when,
    /// until when, in milliseconds.
    pub(crate) outages: Vec<(DestinationId, u64, u64)>,
    /// Destinations that want a token.
    pub(crate) oauth: BTreeSet<DestinationId>,
    /// Percent of fetches of tokens that fail, take long, or give tokens that end too soon.
    pub(crate) tokens_failing: i64,
    /// What else is done to the service, and when, in milliseconds.
    pub(crate) operations: Vec<(u64, Operation)>,
}

/// Something that is done to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The catalog's file is replaced by the next version.
    ChangeCatalog,
    /// A destination is paused, or resumed if it is.
    PauseOrResume(DestinationId),
    /// A partner revokes its tokens.
    Revoke(DestinationId),
    /// The process is killed.
    Crash,
}

impl Plan {
    /// The plan of a seed.
    ///
    /// # Panics
    /// If a generated catalog cannot be read, which is a mistake of the generator.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x7469_6469_6e67_7321);
        // Some evening, so that midnights are crossed.
        let start = Timestamp(1_469_577_600 + random.below(86_400));
        let destinations = count(random.between(2, 4));
        let versions = versions(&mut random, destinations, start);
        let ids: BTreeSet<_> = versions
            .iter()
            .flat_map(|version| &version.catalog.destinations)
            .map(|destination| destination.id)
            .collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let phases: Vec<_> = (0..random.between(1, 3))
            .map(|_| count(random.between(10, 60)))
            .collect();
        let phase_millis = millis(random.between(2_000, 120_000));
        let failing = ids
            .iter()
            .map(|id| (*id, *random.pick(&[0, 0, 5, 30, 70])))
            .collect();
        let outages = (0..random.below(3))
            .map(|_| {
                let from = millis(random.below(120_000));
                let until = from + millis(random.between(5_000, 240_000));
                (*random.pick(&ids), from, until)
            })
            .collect();
        let mut operations = operations(&mut random, &versions, &ids, phase_millis);
        let oauth: BTreeSet<_> = ids.iter().copied().filter(|_| random.chance(30)).collect();
        operations.extend(revocations(&mut random, &oauth));
        Self {
            seed,
            versions,
            start,
            devices: millis(random.between(1, 12)),
            phases,
            phase_millis,
            profiles_max: count(*random.pick(&[2, 4, 1_000])),
            pages: pages(&mut random),
            crashes: count(*random.pick(&[0, 1, 2, 5])),
            stalls: *random.pick(&[0, 0, 2, 10]),
            lost_hints: *random.pick(&[0, 0, 5, 30]),
            failing,
            outages,
            oauth,
            tokens_failing: *random.pick(&[0, 10, 60]),
            operations,
        }
    }

    /// The versions of the catalog as people write them, with their numbers.
    #[must_use]
    pub fn catalogs(&self) -> String {
        let versions = self.versions.iter().enumerate();
        let texts =
            versions.map(|(at, one)| format!("--- catalog.yaml, version {at}\n{}", one.yaml));
        texts.collect()
    }
}

fn versions(random: &mut Random, destinations: usize, start: Timestamp) -> Vec<Version> {
    let minute = start.0.rem_euclid(86_400) / 60;
    let mut configuration = Configuration::draw(random, destinations, minute);
    let mut versions = vec![configuration.version()];
    let changes = *random.pick(&[0, 0, 1, 2, 5]);
    while versions.len() <= changes {
        let before = configuration.clone();
        let days = i32::try_from(random.between(0, 3)).unwrap_or(0);
        configuration.change(random, start.day().plus_days(days));
        versions.push(configuration.version());
        if random.chance(30) {
            // It was a mistake.
            configuration = before;
            versions.push(configuration.version());
        }
    }
    if versions.len() > 1 {
        configuration.resume();
        versions.push(configuration.version());
    }
    versions
}

fn operations(
    random: &mut Random,
    versions: &[Version],
    ids: &[DestinationId],
    phase_millis: u64,
) -> Vec<(u64, Operation)> {
    let span = i64::try_from(phase_millis).unwrap_or(0) + 30_000;
    let mut operations = Vec::new();
    let mut at = 0;
    for _ in 1..versions.len() {
        // Now and then one change follows upon the other.
        at = if random.chance(30) {
            at + millis(random.below(2_000))
        } else {
            millis(random.below(span))
        };
        operations.push((at, Operation::ChangeCatalog));
        if random.chance(20) {
            // Profiles are being brought up to the catalog then.
            operations.push((at + millis(random.below(600)), Operation::Crash));
        }
    }
    if random.chance(30) {
        // Batches that are soon due are under way then, or about to be.
        let at = millis(random.between(60_000, 200_000));
        operations.push((at, Operation::Crash));
    }
    for _ in 0..*random.pick(&[0, 0, 1, 4]) {
        let at = millis(random.below(span));
        operations.push((at, Operation::PauseOrResume(*random.pick(ids))));
    }
    operations
}

fn revocations(random: &mut Random, oauth: &BTreeSet<DestinationId>) -> Vec<(u64, Operation)> {
    let mut operations = Vec::new();
    for &to in oauth {
        for _ in 0..random.below(4) {
            operations.push((millis(random.below(150_000)), Operation::Revoke(to)));
        }
    }
    operations
}

fn pages(random: &mut Random) -> Pages {
    let mut rows = || count(*random.pick(&[1, 2, 5, 200]));
    Pages {
        timers: rows(),
        swept: rows(),
        forgotten: rows(),
        pending: rows(),
        batch: rows(),
    }
}

fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn millis(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
