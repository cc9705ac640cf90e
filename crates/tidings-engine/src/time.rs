//! What happens to a profile while nobody sees its device: traits run out, recency windows move on,
//! and a device unseen for 120 days leaves everything. And what people ask for: opt-out, deletion.
//!
//! All of it is one question: when can the answers of this profile differ next? Every such instant
//! is a midnight UTC, so a profile has one timer. It is moved only when it would be too late; one
//! that comes too early finds nothing changed and is set anew.

use crate::{
    CompiledCatalog, Effects, Engine, Moment, Profile,
    apply::forget_event_ids,
    compiled::CompiledTrait,
    evaluate,
    profile::TraitState,
    realise,
    send::{self, Cause},
};
use tidings_model::{DataSourceId, DestinationId, SegmentId, Timestamp, UtcDay, planted};
use tidings_rules::Window;

/// Days after which a device that was not seen leaves all segments.
pub(crate) const IDLE_DAYS: i64 = 120;
/// 1970-01-05: cleanups of every 7 days are on Mondays.
const A_MONDAY: UtcDay = UtcDay(4);
const DAY: i64 = 86_400;

impl Engine {
    /// Brings a profile up to `moment.now` without its device having been seen: because its timer
    /// came, or because the catalog changed.
    ///
    /// `in_flight` is as for [`Engine::apply`]. Everything it entails is in the returned effects
    /// until the next call.
    pub fn wake(
        &mut self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) -> &Effects {
        self.clear();
        let now = moment.now;
        self.assume_told_by_earlier_run(moment, catalog, profile);
        if !profile.opted_out && is_unseen(catalog, profile, now) {
            self.forget(moment, catalog, profile, &in_flight);
        } else if !profile.opted_out {
            self.note_remapping(catalog, profile, now);
            self.evaluation.evaluate(catalog, profile, now);
            self.send(Cause::Time, moment, catalog, profile, &in_flight);
        } else {
            evaluate::forget_refused_zeros(catalog, profile);
            if profile.is_deleted() {
                profile.forgive_unsent(catalog, now);
            }
            profile.tidy();
        }
        if profile.wake_at.is_some_and(|at| at <= now) {
            // The timer has done its duty.
            let old = profile.wake_at.take();
            self.effects.timer = Some((old, None));
        }
        self.plan(catalog, profile);
        self.mark_batches(moment, catalog, profile, &in_flight);
        &self.effects
    }

    /// The device opts out: it leaves every segment, partners are told so, and nothing is collected
    /// from now on. What is stored stays.
    pub fn opt_out(
        &mut self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) -> &Effects {
        self.clear();
        self.assume_told_by_earlier_run(moment, catalog, profile);
        if !profile.opted_out && is_unseen(catalog, profile, moment.now) {
            self.forget(moment, catalog, profile, &in_flight);
        }
        profile.opted_out = true;
        self.evaluation.leave_all(catalog, profile, moment.now);
        self.send(Cause::Asked, moment, catalog, profile, &in_flight);
        self.plan(catalog, profile);
        self.mark_batches(moment, catalog, profile, &in_flight);
        &self.effects
    }

    /// The device is deleted: as [`Engine::opt_out`], and its traits, regions and links go. Ids
    /// under which a partner is still owed a zero are kept until it has acknowledged that; a zero
    /// that is not sent, because its segment is not mapped now or is paused, is owed no more.
    pub fn delete(
        &mut self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) -> &Effects {
        planted!(LinksDeletedBeforeTheZero, {
            profile.ids.iter_mut().for_each(|id| id.linked = false);
        });
        self.opt_out(moment, catalog, profile, &in_flight);
        profile.erase(catalog, &in_flight, &mut self.effects.unlinked);
        profile.event_ids.clear();
        profile.last_seen = Timestamp::default();
        profile.forgive_unsent(catalog, moment.now);
        self.plan(catalog, profile);
        self.mark_batches(moment, catalog, profile, &in_flight);
        &self.effects
    }

    /// A device unseen for too long leaves all segments; its traits and links have run out with it.
    pub(crate) fn forget(
        &mut self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) {
        self.note_remapping(catalog, profile, moment.now);
        self.evaluation.leave_all(catalog, profile, moment.now);
        self.send(Cause::Time, moment, catalog, profile, &in_flight);
        self.evaluation.begin();
        profile.erase(catalog, &in_flight, &mut self.effects.unlinked);
        // The event that brings the device back has left its id already.
        forget_event_ids(&mut profile.event_ids, moment.now);
    }

    /// Forgets what is known of a device that was unseen for too long and is in nothing, so that no timer
    /// looked at it since. To be called before a partner is told of it; `None` when that changes nothing.
    ///
    /// It is no evaluation: what partners are still to be told stays as it is. `in_flight` is as for
    /// [`Engine::apply`].
    pub fn forget_unseen(
        &mut self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) -> Option<&Effects> {
        let known = !profile.traits.is_empty()
            || !profile.regions.is_empty()
            || profile.ids.iter().any(|id| id.linked);
        if !known || !profile.segments.is_empty() || !profile.has_run_out(catalog, moment.now) {
            return None;
        }
        self.clear();
        self.assume_told_by_earlier_run(moment, catalog, profile);
        profile.erase(catalog, &in_flight, &mut self.effects.unlinked);
        forget_event_ids(&mut profile.event_ids, moment.now);
        self.plan(catalog, profile);
        self.mark_batches(moment, catalog, profile, &in_flight);
        Some(&self.effects)
    }

    /// Ends one link of the device, because the id was linked to more devices than it may be. What
    /// partners were told under the id is remembered.
    pub fn unlink(
        &mut self,
        moment: Moment,
        catalog: &CompiledCatalog,
        profile: &mut Profile,
        data_source: DataSourceId,
        id: &str,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
    ) {
        let Some(key) = profile.id_key(data_source, id) else {
            return;
        };
        self.assume_told_by_earlier_run(moment, catalog, profile);
        send::assume_told_by_earlier_links(catalog, profile, in_flight);
        profile.unlink(key, &mut Vec::new());
    }

    /// As [`Engine::plan`] after an event, under the catalog that the profile had before. What did not
    /// change does not come earlier for that, so only traits that did change can make the timer late.
    pub(crate) fn plan_seen(&mut self, catalog: &CompiledCatalog, profile: &mut Profile) {
        // Being in a segment is always worth a timer.
        if let Some(at) = profile.wake_at
            && !profile.segments.is_empty()
            && at <= idle_at(catalog, profile)
        {
            let (traits, after) = (&profile.traits, profile.evaluated.day());
            let is_late = self.evaluation.changed.iter().any(|changed| {
                let place = traits.binary_search_by_key(changed, |state| state.id);
                let state = place.ok().and_then(|place| traits.get(place));
                let next = state.and_then(|state| next_change_of(catalog, state, after));
                next.is_some_and(|next| next < at)
            });
            if !is_late {
                return;
            }
        }
        self.plan(catalog, profile);
    }

    /// Moves the profile's timer if it would be too late, or is of no use any more.
    pub(crate) fn plan(&mut self, catalog: &CompiledCatalog, profile: &mut Profile) {
        let next = next_change(catalog, profile);
        let keep = match (profile.wake_at, next) {
            (Some(at), Some(next)) => at <= next,
            (None, None) => true,
            _ => false,
        };
        if !keep {
            let (old, _) = self.effects.timer.unwrap_or((profile.wake_at, None));
            self.effects.timer = Some((old, next));
            profile.wake_at = next;
        }
    }
}

impl Profile {
    /// Whether the device was unseen for so long that its traits, links and regions have run out,
    /// although nothing has touched the profile since.
    #[must_use]
    pub fn has_run_out(&self, catalog: &CompiledCatalog, now: Timestamp) -> bool {
        !self.opted_out && is_unseen(catalog, self, now)
    }

    /// Whether nothing is known of a device that opted out but what partners are still to be told: it
    /// was deleted, or never seen.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.opted_out
            && self.wake_at.is_none()
            && self.traits.is_empty()
            && self.segments.is_empty()
            && self.regions.is_empty()
            && self.event_ids.is_empty()
            && self.ids.iter().all(|id| !id.linked)
    }

    /// Whether nothing is left of the profile but that the device opted out, which a mark says as well.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.is_deleted()
            && self.ids.is_empty()
            && self.destinations.is_empty()
            && self.dropped.is_empty()
    }

    /// Of a deleted device: pairs that were given up and of which nothing is left to tell are not
    /// undelivered any more. Returns their destinations.
    pub fn forget_undelivered(&mut self) -> Vec<DestinationId> {
        let mut forgotten = Vec::new();
        for state in &mut self.destinations {
            let tells =
                state.pending.is_some() || !state.owed.is_empty() || state.batch.marked.is_some();
            if state.undelivered && !tells {
                state.undelivered = false;
                forgotten.push(state.id);
            }
        }
        if !forgotten.is_empty() {
            self.tidy();
        }
        forgotten
    }

    /// Of a deleted device: what is not sent now, neither at once nor by a batch, is owed no more, and
    /// what partners keep for true is not remembered.
    fn forgive_unsent(&mut self, catalog: &CompiledCatalog, now: Timestamp) {
        for state in &mut self.destinations {
            let destination = catalog.destination(state.id);
            let destination = destination.filter(|one| one.supports_unsegment);
            let is_sent = |id| destination.is_some_and(|one| one.delivers(id, now));
            state.owed.retain(|zero| is_sent(zero.segment));
            let owed = &state.owed;
            state
                .told
                .retain(|told| owed.iter().any(|zero| zero.segment == *told));
            for baseline in &mut state.batch.baselines {
                baseline.segments.retain(|&mut id| is_sent(id));
            }
            let baselines = &mut state.batch.baselines;
            baselines.retain(|baseline| !baseline.segments.is_empty());
        }
        self.tidy();
    }

    /// Removes what is known about the device, except what partners are still to be told. Its ids are
    /// added to `unlinked`.
    pub(crate) fn erase(
        &mut self,
        catalog: &CompiledCatalog,
        in_flight: impl Fn(DestinationId, SegmentId) -> bool,
        unlinked: &mut Vec<(DataSourceId, Box<str>)>,
    ) {
        send::assume_told_by_earlier_links(catalog, self, in_flight);
        self.traits.clear();
        self.regions.clear();
        let linked: Vec<_> = self
            .ids
            .iter()
            .filter(|id| id.linked)
            .map(|id| id.key)
            .collect();
        for key in linked {
            self.unlink(key, unlinked);
        }
        self.tidy();
    }
}

/// Whether the device has been unseen for so long that it is in nothing and nothing is known about it
/// any more. One that is in a segment has a timer for that; any other is found out by whatever
/// touches its profile next.
pub(crate) fn is_unseen(catalog: &CompiledCatalog, profile: &Profile, now: Timestamp) -> bool {
    idle_at(catalog, profile) <= now
}

/// The cleanup that finds the device idle: the first one when it has been unseen for [`IDLE_DAYS`].
pub(crate) fn idle_at(catalog: &CompiledCatalog, profile: &Profile) -> Timestamp {
    let days = planted!(IdleAfter121Days, 121, IDLE_DAYS);
    let idle = profile.last_seen.plus_seconds(days * DAY);
    let midnight = idle.day().start();
    let first = if midnight == idle {
        idle.day()
    } else {
        idle.day().plus_days(1)
    };
    let every = i32::from(catalog.cleanup.days.max(1));
    let since_cleanup = (first.0.wrapping_sub(A_MONDAY.0)).rem_euclid(every);
    let wait = (every - since_cleanup) % every;
    first.plus_days(wait).start()
}

/// The next instant after the profile's last evaluation at which time alone can change what it is
/// in; `None` when it never does.
pub(crate) fn next_change(catalog: &CompiledCatalog, profile: &Profile) -> Option<Timestamp> {
    if profile.opted_out {
        return None;
    }
    let after = profile.evaluated.day();
    let idle = (!profile.segments.is_empty()).then(|| idle_at(catalog, profile));
    let traits = profile.traits.iter();
    let traits = traits.filter_map(|state| next_change_of(catalog, state, after));
    // Never in the past: an instant that was missed is due now.
    traits.chain(idle).min()
}

/// As [`next_change`], for one trait: `None` also when no rule reads it.
fn next_change_of(
    catalog: &CompiledCatalog,
    state: &TraitState,
    after: UtcDay,
) -> Option<Timestamp> {
    let compiled = catalog.trait_(state.id)?;
    if catalog.readers_of(compiled).is_empty() {
        return None;
    }
    let expiry = realise::expiry(state.last, compiled.ttl_days);
    [expiry, next_window(compiled, state, after)]
        .into_iter()
        .flatten()
        .min()
}

/// The next midnight at which a realisation enters or leaves a window of some rule.
fn next_window(compiled: &CompiledTrait, state: &TraitState, after: UtcDay) -> Option<Timestamp> {
    let changes = compiled.windows.iter().flat_map(|&recency| {
        let window = Window {
            trait_id: state.id,
            recency,
        };
        state
            .days
            .iter()
            .map(move |count| window.changes_on(count.day))
    });
    changes.filter(|&day| day > after).min().map(UtcDay::start)
}

#[cfg(test)]
mod tests;
