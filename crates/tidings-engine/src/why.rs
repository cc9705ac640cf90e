//! Why: what is behind one device's membership of one segment, and behind what partners know of it.
//!
//! For people who ask, not for events: it allocates, and it parses the rule anew. The profile is
//! taken as it is; what time or another catalog has changed since it was last evaluated is told as
//! [`Reason::Behind`]. The explanation agrees with the evaluation: the value of the tree is the
//! value of the segment's program, and [`Why::next`] is the first instant at which the membership
//! is another if nothing but time goes on.
//!
//! - [`rule`](RuleWhy): the tree with the value of every part, and the realisations behind it;
//! - [`change`](NextChange): when and why it changes by itself;
//! - [`destination`](DestinationWhy): what one partner was told or not, and why;
//! - `text`: all of it for reading.

mod change;
mod destination;
mod rule;
mod text;
mod trait_;

pub use change::{ChangeCause, NextChange};
pub use destination::{Answer, DestinationWhy, IdWhy, MappingState, MappingWhy};
pub use rule::{RulePart, RuleWhy, TermWhy};
pub use trait_::{DayWhy, Realised, TraitWhy};

use crate::{CompiledCatalog, Profile, send, time};
use tidings_model::{Catalog, DestinationId, SegmentId, Status, Timestamp};
use tidings_rules::SegmentRule;

/// One device and one segment, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The instant that it is explained for.
    pub now: Timestamp,
    /// The segment.
    pub segment: SegmentId,
    /// Its name.
    pub name: String,
    /// Whether it is at work.
    pub status: Status,
    /// When the device entered it; `None` when it is not in it.
    pub since: Option<Timestamp>,
    /// Why it is in it, or not.
    pub reason: Reason,
    /// When time alone changes the membership next; `None`: never.
    pub next: Option<NextChange>,
    /// The rule with its values.
    pub rule: RuleWhy,
    /// What is known of the device; `None` when it was never seen.
    pub device: Option<DeviceWhy>,
    /// The destinations that the segment is mapped to, and those that were told of it, ascending.
    pub destinations: Vec<DestinationWhy>,
}

/// What is known of a device, beside its traits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceWhy {
    /// The latest time of any of its events.
    pub last_seen: Timestamp,
    /// When its segments were last evaluated.
    pub evaluated: Timestamp,
    /// When its timer comes: never later than any of its segments can change by time.
    pub wake_at: Option<Timestamp>,
    /// When partners were last told by a send rule; `None`: never.
    pub last_sent: Option<Timestamp>,
    /// From when on a sighting tells everything again, if nothing is told before.
    pub refresh_from: Option<Timestamp>,
    /// It has opted out.
    pub opted_out: bool,
}

/// Why a device is in a segment, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is in, and the rule holds.
    Holds,
    /// It is not in, and the rule does not hold.
    Fails,
    /// It is in: a paused segment keeps its members, whatever the rule says.
    KeptByPause,
    /// It is not in: a paused segment takes no new members.
    ClosedByPause,
    /// It is not in: the device has opted out.
    OptedOut,
    /// It is not in: the device has been unseen for too long; since when.
    Unseen(Timestamp),
    /// It is not in: nothing is known of the device.
    NeverSeen,
    /// The rule says otherwise, but the profile was not evaluated since time or the catalog changed
    /// that; it is when the device is seen, or when its turn comes.
    Behind,
}

impl Reason {
    /// A stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Holds => "rule_holds",
            Self::Fails => "rule_fails",
            Self::KeptByPause => "kept_by_pause",
            Self::ClosedByPause => "closed_by_pause",
            Self::OptedOut => "opted_out",
            Self::Unseen(_) => "unseen",
            Self::NeverSeen => "never_seen",
            Self::Behind => "behind",
        }
    }
}

/// Explains one device and one segment. `None` when the catalog has no such segment.
///
/// `catalog` is what `compiled` was compiled from.
#[must_use]
pub fn explain(
    catalog: &Catalog,
    compiled: &CompiledCatalog,
    profile: &Profile,
    segment: SegmentId,
    now: Timestamp,
) -> Option<Why> {
    let described = catalog.segments.iter().find(|other| other.id == segment)?;
    let parsed = SegmentRule::parse(&described.rule).ok()?;
    let view = change::View::new(catalog, compiled, profile, &parsed, now);
    let rule = rule::explain(&view);
    let since = profile.member_since(segment);
    let unseen = time::is_unseen(compiled, profile, now);
    let reason = reason(described.status, since, rule.holds, profile, unseen);
    let next = change::of_membership(&view, &rule, profile, described.status, since);
    let destinations = catalog.destinations.iter().filter(|destination| {
        let mut mappings = destination.mappings.iter();
        mappings.any(|mapping| mapping.segment == segment)
            || profile.destination(destination.id).is_some_and(|state| {
                state.told.contains(&segment)
                    || state.owed.iter().any(|zero| zero.segment == segment)
            })
    });
    let mut destinations: Vec<_> = destinations
        .filter_map(|d| explain_destination(catalog, compiled, profile, segment, d.id, now))
        .collect();
    destinations.sort_by_key(|destination| destination.id);
    Some(Why {
        now,
        segment,
        name: described.name.clone(),
        status: described.status,
        since,
        reason,
        next,
        rule,
        device: device(profile),
        destinations,
    })
}

/// Explains what one destination was told of one device and one segment, and why. `None` when the
/// catalog has no such destination or segment.
#[must_use]
pub fn explain_destination(
    catalog: &Catalog,
    compiled: &CompiledCatalog,
    profile: &Profile,
    segment: SegmentId,
    destination: DestinationId,
    now: Timestamp,
) -> Option<DestinationWhy> {
    compiled.segment_index(segment)?;
    let mut described = catalog.destinations.iter();
    let described = described.find(|other| other.id == destination)?;
    let compiled_destination = compiled.destination(destination)?;
    Some(destination::explain(&destination::Question {
        described,
        compiled: compiled_destination,
        catalog: compiled,
        profile,
        segment,
        now,
    }))
}

fn reason(
    status: Status,
    since: Option<Timestamp>,
    holds: bool,
    profile: &Profile,
    unseen: bool,
) -> Reason {
    match (since, holds) {
        (Some(_), _) if unseen => Reason::Behind,
        (Some(_), true) => Reason::Holds,
        (Some(_), false) if status == Status::Paused => Reason::KeptByPause,
        (None, _) if is_unknown(profile) => Reason::NeverSeen,
        (None, _) if profile.opted_out => Reason::OptedOut,
        (None, _) if unseen => Reason::Unseen(profile.last_seen),
        (None, false) => Reason::Fails,
        (None, true) if status == Status::Paused => Reason::ClosedByPause,
        (Some(_), false) | (None, true) => Reason::Behind,
    }
}

fn is_unknown(profile: &Profile) -> bool {
    *profile == Profile::default()
}

fn device(profile: &Profile) -> Option<DeviceWhy> {
    (!is_unknown(profile)).then(|| DeviceWhy {
        last_seen: profile.last_seen,
        evaluated: profile.evaluated,
        wake_at: profile.wake_at,
        last_sent: profile.last_sent,
        refresh_from: profile
            .last_sent
            .map(|sent| sent.plus_seconds(send::REFRESH_SECONDS)),
        opted_out: profile.opted_out,
    })
}

impl Profile {
    /// When the device entered the segment; `None` when it is not in it.
    #[must_use]
    pub fn member_since(&self, segment: SegmentId) -> Option<Timestamp> {
        let at = self
            .segments
            .binary_search_by_key(&segment, |state| state.id);
        Some(self.segments.get(at.ok()?)?.since)
    }
}

#[cfg(test)]
mod tests;
