//! The profile: everything that is remembered about one device.
//!
//! Kept small, since there is one per device. All lists are sorted as their comments say; that order
//! is what makes lookups a binary search and equal profiles equal bytes on disk.
//!
//! Invariants:
//! - every trait in `traits` was live at `evaluated`; expiry removes the whole entry;
//! - a segment in a destination's `told` that the device is not in has a zero in `owed`, and a zero
//!   is never owed for a segment the device is in;
//! - an [`IdKey`] used by a destination names an entry of `ids`;
//! - a destination's `batch.marked` is set exactly while its next batch has something to tell, now or
//!   on a later day.

use smallvec::SmallVec;
use tidings_model::{
    AuthState, DataSourceId, DestinationId, RegionId, SegmentId, Timestamp, TraitId, UtcDay,
};

/// Realisations per day. Most traits are realised on few days; these need no memory of their own.
pub type Days = SmallVec<[DayCount; 2]>;

/// Segments of one destination: few, as a rule.
pub type SegmentIds = SmallVec<[SegmentId; 4]>;

/// What is known about one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Generation of the catalog that `segments` was last evaluated with.
    pub generation: u32,
    /// The latest time of any event of the device.
    pub last_seen: Timestamp,
    /// When the segments were last evaluated: the `DateTime` that partners are told.
    pub evaluated: Timestamp,
    /// When partners were last told by a send rule: the three-day clock. `None`: never.
    pub last_sent: Option<Timestamp>,
    /// Tell every destination the whole state at the next sighting.
    pub resend: bool,
    /// When time alone may change the profile next: the instant of its timer row. Never later than
    /// the next change, but possibly earlier.
    pub wake_at: Option<Timestamp>,
    /// The device has opted out: nothing is collected.
    pub opted_out: bool,
    /// Regions the device was seen in, most recent first, distinct.
    pub regions: Vec<RegionId>,
    /// Live traits, ascending by id.
    pub traits: Vec<TraitState>,
    /// Declared ids, ascending by key.
    pub ids: Vec<ProfileId>,
    /// Segments the device is in, ascending by id.
    pub segments: Vec<SegmentState>,
    /// What destinations were told and are owed, ascending by id.
    pub destinations: Vec<DestinationState>,
    /// Destinations told in several namespaces, ascending, with the last touch of which a message was
    /// dropped: success in another namespace does not make up for it.
    pub dropped: Vec<(DestinationId, u64)>,
    /// Hashes of recent event ids with the time they were received, oldest first.
    pub event_ids: Vec<(u64, Timestamp)>,
}

/// One live trait of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraitState {
    /// The trait.
    pub id: TraitId,
    /// Instant of the last realisation: the time-to-live counts from the end of its day.
    pub last: Timestamp,
    /// Realisations on days before those in `days`, which no rule needs to tell apart any more.
    pub older: u32,
    /// Realisations per day, ascending, for as long as a rule looks back, and at least for 30 days.
    pub days: Days,
}

/// Realisations of a trait on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayCount {
    /// The day, in UTC.
    pub day: UtcDay,
    /// How many.
    pub count: u32,
}

/// A short name of one of a profile's ids, for the profile's own references; never reused while
/// something refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdKey(pub u16);

/// A declared id of the device, or one that is no longer linked but under which a partner was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileId {
    /// Its short name in this profile.
    pub key: IdKey,
    /// Its namespace; [`DataSourceId::NONE`] for the blank id of a destination without namespaces.
    pub data_source: DataSourceId,
    /// The id; empty where a destination is told about devices it has no id for.
    pub id: Box<str>,
    /// Whether it is linked now. Entries that are not linked are kept for zeros still to be told.
    pub linked: bool,
    /// The authentication state it was last declared with.
    pub state: AuthState,
    /// When it was last linked: the newest link of a namespace is the one that gets Status 1.
    pub linked_at: Timestamp,
}

/// A segment that the device is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentState {
    /// The segment.
    pub id: SegmentId,
    /// When the device entered it.
    pub since: Timestamp,
}

/// What one destination was told about the device, and is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationState {
    /// The destination.
    pub id: DestinationId,
    /// Segments of which a Status 1 may have reached the partner and no later Status 0 was
    /// acknowledged, ascending.
    pub told: SegmentIds,
    /// Ids under which a Status 1 may have reached the partner, ever, ascending.
    pub told_ids: SmallVec<[IdKey; 8]>,
    /// Zeros that the partner has not acknowledged, ascending by segment and id.
    pub owed: SmallVec<[OwedZero; 2]>,
    /// The last message about the device was given up, and the pair is listed as undelivered.
    pub undelivered: bool,
    /// Something that time changed is to be told when the device is seen again.
    pub when_seen: bool,
    /// Set while the pair is in the pending set.
    pub pending: Option<Pending>,
    /// What its batches told.
    pub batch: BatchState,
}

/// What the batches of one destination told about the device, and whether the next one has more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchState {
    /// Per namespace, ascending: what the last batch left the partner with. A namespace in which it
    /// knows of no membership has no entry.
    pub baselines: Vec<Baseline>,
    /// Set while the pair is in the set of changes: which run of the process put it there. A batch
    /// of an earlier run may have told them without its outcome being known.
    pub marked: Option<u32>,
}

/// The memberships that a partner knows from batches, under the ids of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// The namespace.
    pub namespace: DataSourceId,
    /// Segments told with Status 1 and not with Status 0 since, ascending.
    pub segments: SegmentIds,
}

/// A Status 0 that a partner has not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwedZero {
    /// The segment that was left.
    pub segment: SegmentId,
    /// The id to tell it under.
    pub id: IdKey,
}

/// The pair (destination, device) is in the pending set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Sequence number of the commit that touched it last; an outcome of an older touch does not
    /// clear the pair.
    pub seq: u64,
    /// When it was first touched since the partner was last told.
    pub since: Timestamp,
    /// Which run of the process marked it. A mark of an earlier run may have been sent without
    /// its outcome being known.
    pub epoch: u32,
    /// Namespaces still to be told, or in which a message may be on its way, ascending.
    pub parts: SmallVec<[DataSourceId; 4]>,
}
