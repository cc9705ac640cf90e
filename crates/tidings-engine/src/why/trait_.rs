//! One trait of a rule: how often and when it was realised, and what of that counts.

use super::change::{View, state_of};
use crate::{
    profile::{DayCount, TraitState},
    realise::{self, LiveTraits},
};
use tidings_model::{Timestamp, TraitId, TraitKind, UtcDay};
use tidings_rules::{RecencyOp, SegmentTerm};

/// One trait that a term reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraitWhy {
    /// The trait.
    pub id: TraitId,
    /// Its name.
    pub name: String,
    /// How it is realised.
    pub kind: TraitKind,
    /// Its time-to-live in days; 0 is for ever.
    pub ttl_days: u32,
    /// Realisations that count towards the term, those of a folder's traits together.
    pub counted: u64,
    /// The first and the last day with a realisation that counts. The first is `None` when
    /// realisations count whose days are not told apart any more.
    pub counted_days: Option<(Option<UtcDay>, UtcDay)>,
    /// Its realisations; `None` when the device does not have it, and for a folder.
    pub realised: Option<Realised>,
    /// For a folder, the traits below it that the device has.
    pub members: Vec<TraitWhy>,
}

/// The realisations of a trait that a profile remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realised {
    /// The last one.
    pub last: Timestamp,
    /// The instant from which the trait is gone; `None`: never.
    pub live_until: Option<Timestamp>,
    /// Whether it is live.
    pub live: bool,
    /// Realisations of days that are not told apart any more, since no window reaches back to them.
    pub older: u32,
    /// Whether those count.
    pub older_counts: bool,
    /// Realisations per day, ascending.
    pub days: Vec<DayWhy>,
}

/// Realisations of one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayWhy {
    /// The day, in UTC.
    pub day: UtcDay,
    /// How many.
    pub count: u32,
    /// Whether they count: the day is inside the window, and the trait is live.
    pub counts: bool,
}

pub(super) fn explain(
    view: &View<'_>,
    live: &[TraitState],
    term: &SegmentTerm,
    id: TraitId,
) -> TraitWhy {
    let described = view.described(id);
    let kind = described.map_or(TraitKind::RuleBased, |described| described.kind);
    let ttl_days = described.map_or(0, |described| described.ttl_days);
    let state = state_of(&view.traits, id);
    let realised = state.map(|state| realised(view, live, term, state, ttl_days));
    let members: Vec<_> = view
        .compiled
        .folder_members(id)
        .iter()
        .filter(|&&member| state_of(&view.traits, member).is_some())
        .map(|&member| explain(view, live, term, member))
        .collect();
    let traits = LiveTraits {
        traits: live,
        catalog: view.compiled,
    };
    let own = realised.as_ref().and_then(|r| r.counted_days(view.now));
    let days = members.iter().filter_map(|member| member.counted_days);
    let counted_days = days
        .chain(own)
        .reduce(|a, b| (a.0.zip(b.0).map(|(a, b)| a.min(b)), a.1.max(b.1)));
    TraitWhy {
        id,
        name: described.map_or_else(String::new, |described| described.name.clone()),
        kind,
        ttl_days,
        counted: term.counted(id, view.now.day(), &traits),
        counted_days,
        realised,
        members,
    }
}

fn realised(
    view: &View<'_>,
    live: &[TraitState],
    term: &SegmentTerm,
    state: &TraitState,
    ttl_days: u32,
) -> Realised {
    let live = state_of(live, state.id).is_some();
    let today = view.now.day();
    let inside = |day: UtcDay| match term.recency() {
        None => true,
        Some(recency) if recency.op == RecencyOp::AtMost => day >= recency.boundary(today),
        Some(recency) => day <= recency.boundary(today),
    };
    // They are older than any window.
    let older_inside = term.recency().is_none_or(|r| r.op == RecencyOp::AtLeast);
    let days = state.days.iter().map(|&DayCount { day, count }| DayWhy {
        day,
        count,
        counts: live && inside(day),
    });
    Realised {
        last: state.last,
        live_until: realise::expiry(state.last, ttl_days),
        live,
        older: state.older,
        older_counts: live && older_inside && state.older > 0,
        days: days.collect(),
    }
}

impl Realised {
    fn counted_days(&self, now: Timestamp) -> Option<(Option<UtcDay>, UtcDay)> {
        let mut days = self.days.iter().filter(|day| day.counts).map(|d| d.day);
        let first = days.next();
        let last = days.next_back().or(first);
        if !self.older_counts {
            return last.map(|last| (first, last));
        }
        // The last realisation is one of them if no day is told apart.
        let last = last.unwrap_or_else(|| self.last.day());
        Some((None, last.min(now.day())))
    }
}
