//! Realisations: how events add traits to a profile, how time removes them, and how rules count them.
//!
//! Time-to-live: a trait of `n` days is live while now < midnight after the `n`-th day following the
//! UTC date of its last realisation; 0 is for ever. Expiry removes the trait with its whole history.

use crate::{
    CompiledCatalog,
    profile::{DayCount, Days, TraitState},
};
use tidings_model::{Timestamp, TraitId, TraitKind, UtcDay, planted};
use tidings_rules::Realizations;

/// Days before the current one that are told apart whether or not a rule looks back over them.
const DAYS_KEPT_MIN: u32 = 30;

/// The instant from which a trait is no longer live; `None` for a time-to-live of 0.
pub(crate) fn expiry(last: Timestamp, ttl_days: u32) -> Option<Timestamp> {
    if ttl_days == 0 {
        return None;
    }
    let days = i32::try_from(ttl_days)
        .unwrap_or(i32::MAX)
        .saturating_add(1);
    let midnight = last.day().plus_days(days).start();
    Some(planted!(
        TtlFromTheHour,
        last.plus_seconds(midnight.seconds_since(last.day().start()) - 86_400),
        midnight
    ))
}

/// Adds one realisation at `time`. Returns false when it has no effect: a realisation that old is not
/// live any more at `now`, or there is no such trait, or it is a folder.
pub(crate) fn realise(
    traits: &mut Vec<TraitState>,
    catalog: &CompiledCatalog,
    id: TraitId,
    time: Timestamp,
    now: Timestamp,
) -> bool {
    let Some(compiled) = catalog.trait_(id).filter(|t| t.kind != TraitKind::Folder) else {
        return false;
    };
    let place = traits.binary_search_by_key(&id, |state| state.id);
    let position = match place {
        Ok(position) => position,
        Err(position) => {
            if expiry(time, compiled.ttl_days).is_some_and(|end| end <= now) {
                return false;
            }
            let state = TraitState {
                id,
                last: time,
                older: 0,
                days: Days::new(),
            };
            traits.insert(position, state);
            position
        }
    };
    let Some(state) = traits.get_mut(position) else {
        return false;
    };
    state.last = state.last.max(time);
    if compiled.kind == TraitKind::Onboarded {
        // It counts once, on the day of its last realisation: a folder's window may look at it.
        state.days.clear();
        state.older = 0;
        let day = state.last.day();
        state.days.push(DayCount { day, count: 1 });
        return true;
    }
    if compiled.kind == TraitKind::ThirdParty {
        // No rule may look at its days.
        state.older = state
            .older
            .saturating_add(1 + drain_days(&mut state.days, UtcDay(i32::MAX)));
        return true;
    }
    // A rule with a window of n days tells days of age 0 to n apart; older ones only add up. So that a
    // rule may begin to look back, some days are told apart without any.
    let window = compiled.window_days.unwrap_or(0).max(DAYS_KEPT_MIN);
    let window = i32::try_from(window).unwrap_or(i32::MAX);
    let first_kept = UtcDay(now.day().0.saturating_sub(window));
    let merged = drain_days(&mut state.days, first_kept);
    state.older = state.older.saturating_add(merged);
    let day = planted!(DayBoundary, time.plus_seconds(3600).day(), time.day());
    if day < first_kept {
        state.older = state.older.saturating_add(1);
        return true;
    }
    match state.days.binary_search_by_key(&day, |count| count.day) {
        Ok(at) => {
            if let Some(count) = state.days.get_mut(at) {
                count.count = count.count.saturating_add(1);
            }
        }
        Err(at) => state.days.insert(at, DayCount { day, count: 1 }),
    }
    true
}

/// Removes the days before `first_kept` and returns the sum of their counts.
fn drain_days(days: &mut Days, first_kept: UtcDay) -> u32 {
    let old = days.partition_point(|count| count.day < first_kept);
    days.drain(..old)
        .fold(0, |sum: u32, count| sum.saturating_add(count.count))
}

/// Removes every trait that is not live at `now`, naming each to `removed`. They are the traits of a
/// profile that was evaluated with `generation`: what was over before a later one came does not revive.
pub(crate) fn expire(
    traits: &mut Vec<TraitState>,
    catalog: &CompiledCatalog,
    generation: u32,
    now: Timestamp,
    mut removed: impl FnMut(TraitId),
) {
    let lapses = catalog.lapses();
    traits.retain(|state| {
        let had_run_out = planted!(
            LongerLifeRevives,
            false,
            lapses.had_run_out(state.id, state.last, generation)
        );
        let live = catalog.trait_(state.id).is_some_and(|compiled| {
            expiry(state.last, compiled.ttl_days).is_none_or(|end| now < end) && !had_run_out
        });
        if !live {
            removed(state.id);
        }
        live
    });
}

/// A profile's live traits, as rules see them. [`expire`] must have run for the same day.
pub(crate) struct LiveTraits<'a> {
    pub(crate) traits: &'a [TraitState],
    pub(crate) catalog: &'a CompiledCatalog,
}

impl LiveTraits<'_> {
    /// The sum of `count` over the trait, or over the traits below it if it is a folder.
    fn sum(&self, id: TraitId, count: impl Fn(&TraitState) -> u64) -> u64 {
        let state = |id: TraitId| {
            let position = self
                .traits
                .binary_search_by_key(&id, |state| state.id)
                .ok()?;
            self.traits.get(position)
        };
        if let Some(state) = state(id) {
            return count(state);
        }
        let members = self.catalog.folder_members(id);
        members
            .iter()
            .filter_map(|&member| state(member))
            .map(count)
            .sum()
    }
}

impl Realizations for LiveTraits<'_> {
    fn total(&self, trait_id: TraitId) -> u64 {
        self.sum(trait_id, |state| {
            let days = state.days.iter().map(|day| u64::from(day.count));
            u64::from(state.older) + days.sum::<u64>()
        })
    }

    fn on_or_after(&self, trait_id: TraitId, day: UtcDay) -> u64 {
        self.sum(trait_id, |state| {
            let days = state.days.iter().rev().take_while(|count| count.day >= day);
            days.map(|count| u64::from(count.count)).sum()
        })
    }

    fn on_or_before(&self, trait_id: TraitId, day: UtcDay) -> u64 {
        self.sum(trait_id, |state| {
            let days = state.days.iter().take_while(|count| count.day <= day);
            u64::from(state.older) + days.map(|count| u64::from(count.count)).sum::<u64>()
        })
    }
}

#[cfg(test)]
mod tests;
