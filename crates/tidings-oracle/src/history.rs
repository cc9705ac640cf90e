//! Everything that ever happened to a device's traits, and what of it is alive at an instant.

use crate::version::Version;
use std::{collections::BTreeMap, sync::Arc};
use tidings_model::{Timestamp, TraitId, TraitKind};

/// The instant at which a trait last realised at `last` expires: the clock starts at the first
/// midnight after `last` and runs for the time-to-live, in whole days. `None`: never.
#[must_use]
pub fn expires_at(last: Timestamp, ttl_days: u32) -> Option<Timestamp> {
    let days = i32::try_from(ttl_days).ok()?;
    (days > 0).then(|| last.day().plus_days(days + 1).start())
}

/// What happened to a device's traits, in the order in which it was processed.
#[derive(Clone, Debug)]
pub struct History {
    first: Arc<Version>,
    acts: Vec<(Timestamp, Act)>,
}

#[derive(Clone, Debug)]
enum Act {
    /// An event, perhaps one from the past, realised the trait.
    Realised { id: TraitId, time: Timestamp },
    /// The trait was taken away.
    Removed(TraitId),
    /// Everything was taken away.
    Erased,
    /// From here on this catalog counts.
    NewCatalog(Arc<Version>),
}

/// The live traits of a device at one instant, each with the times of its realisations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live(BTreeMap<TraitId, LiveTrait>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct LiveTrait {
    times: Vec<Timestamp>,
    last: Option<Timestamp>,
}

/// Days that are told apart at least, whether or not a rule looks back over them.
const DAYS_KEPT_MIN: i64 = 30;
/// Stands for the time of a realisation whose day was not kept: the year 1.
const LONG_AGO: Timestamp = Timestamp(-62_135_596_800);

impl History {
    /// Nothing has happened yet.
    #[must_use]
    pub const fn new(version: Arc<Version>) -> Self {
        Self {
            first: version,
            acts: Vec::new(),
        }
    }

    /// At `now` it is learned that the trait was realised at `time`.
    pub fn realised(&mut self, now: Timestamp, id: TraitId, time: Timestamp) {
        self.acts.push((now, Act::Realised { id, time }));
    }

    /// The trait is removed by id.
    pub fn removed(&mut self, now: Timestamp, id: TraitId) {
        self.acts.push((now, Act::Removed(id)));
    }

    /// All traits are removed.
    pub fn erased(&mut self, now: Timestamp) {
        self.acts.push((now, Act::Erased));
    }

    /// The catalog is replaced.
    pub fn new_catalog(&mut self, now: Timestamp, version: Arc<Version>) {
        self.acts.push((now, Act::NewCatalog(version)));
    }

    /// What is alive at `now`, worked out from the beginning.
    ///
    /// A trait that expires loses its whole history, so the order in which things were processed
    /// matters: before each of them the traits that had expired by then are dropped.
    #[must_use]
    pub fn live(&self, now: Timestamp) -> Live {
        let mut version = &self.first;
        let mut live = Live::default();
        for (at, act) in &self.acts {
            live.expire(version, *at);
            match act {
                Act::Realised { id, time } => {
                    let one = live.0.entry(*id).or_default();
                    one.times.push(*time);
                    one.last = one.last.max(Some(*time));
                    if version.kind(*id) == Some(TraitKind::Onboarded) {
                        // Counted at most once: only the latest is of any consequence.
                        one.times = one.last.into_iter().collect();
                    } else {
                        // Days that no rule looks back to, and not recent ones either, only add up.
                        let kept = version.window_days(*id).max(DAYS_KEPT_MIN);
                        for time in &mut one.times {
                            if i64::from(at.day().days_since(time.day())) > kept {
                                *time = LONG_AGO;
                            }
                        }
                    }
                }
                Act::Removed(id) => {
                    live.0.remove(id);
                }
                Act::Erased => live = Live::default(),
                Act::NewCatalog(new) => version = new,
            }
            // A realisation so old that the trait has expired again has no effect.
            live.expire(version, *at);
        }
        live.expire(version, now);
        live
    }
}

impl Live {
    /// The times of the trait's realisations, as they came in; none if it is not live. One whose day
    /// was not kept has a time long ago.
    pub fn realisations(&self, id: TraitId) -> impl Iterator<Item = Timestamp> {
        self.0
            .get(&id)
            .into_iter()
            .flat_map(|one| &one.times)
            .copied()
    }

    fn expire(&mut self, version: &Version, now: Timestamp) {
        self.0.retain(|id, one| {
            let (Some(ttl), Some(last)) = (version.ttl_days(*id), one.last) else {
                return false;
            };
            expires_at(last, ttl).is_none_or(|end| now < end)
        });
    }
}
