//! One device: its history, and what the protocol itself has to remember about it.

use crate::{History, Version};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tidings_model::{
    DataSourceId, DeclaredId, Destination, DestinationId, RegionId, SegmentId, Timestamp, limits,
};

/// An id under which a partner knows a device: its namespace and text, which is empty for "none".
pub type PartnerId = (DataSourceId, String);

/// One device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Everything about its traits.
    pub history: History,
    /// Its declared ids, linked now or once.
    pub(crate) links: Vec<Link>,
    /// The sender's ids of its events, with the clock when they came.
    pub(crate) event_ids: Vec<(String, Timestamp)>,
    /// Where it was seen, latest first.
    pub(crate) regions: Vec<RegionId>,
    /// The latest time of its events.
    pub(crate) last_seen: Timestamp,
    /// Segments it was in at its last evaluation. Paused ones keep it without looking.
    pub members: BTreeSet<SegmentId>,
    /// When it entered each of them; of those it has left it says nothing.
    pub(crate) entered: BTreeMap<SegmentId, Timestamp>,
    /// Its last evaluation.
    pub(crate) evaluated: Timestamp,
    /// The last time that a send rule had somebody told: the three-day clock.
    pub(crate) last_send: Option<Timestamp>,
    /// R3: everything is to be told when it is seen.
    pub(crate) remapped: bool,
    /// Nothing is collected any more.
    pub(crate) opted_out: bool,
    /// Nothing is known about it since it was seen last.
    pub(crate) is_erased: bool,
    /// What each destination was told and is owed.
    pub partners: BTreeMap<DestinationId, Partner>,
}

/// A declared id.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) id: PartnerId,
    pub(crate) linked: bool,
    /// The latest time it was declared.
    pub(crate) at: Timestamp,
    /// Of two declared at the same time, the one that was new later counts as newer.
    pub(crate) order: u64,
}

/// What one destination was told about one device.
#[derive(Clone, Debug, Default)]
pub struct Partner {
    /// Segments told with 1 and not since taken back from every id.
    pub told: BTreeSet<SegmentId>,
    /// Ids that ever got a 1.
    pub told_ids: BTreeSet<PartnerId>,
    /// Zeros that were not acknowledged: segment and id.
    pub owed: BTreeSet<(SegmentId, PartnerId)>,
    /// Time changed something that is to be told when the device is seen.
    pub(crate) when_seen: bool,
    /// What batches told and have not taken back, in each namespace.
    pub(crate) baselines: BTreeMap<DataSourceId, BTreeSet<SegmentId>>,
}

impl Device {
    pub(crate) fn new(version: Arc<Version>, now: Timestamp) -> Self {
        Self {
            history: History::new(version),
            links: Vec::new(),
            event_ids: Vec::new(),
            regions: Vec::new(),
            last_seen: Timestamp(i64::MIN),
            members: BTreeSet::new(),
            entered: BTreeMap::new(),
            evaluated: now,
            last_send: None,
            remapped: false,
            opted_out: false,
            is_erased: false,
            partners: BTreeMap::new(),
        }
    }

    /// Whether an event with this id came within the last 24 hours; if not, it is remembered.
    pub(crate) fn is_duplicate(&mut self, event_id: &str, now: Timestamp) -> bool {
        let window = limits::EVENT_ID_WINDOW_SECONDS;
        let known = self
            .event_ids
            .iter()
            .any(|(id, at)| id == event_id && now.seconds_since(*at) < window);
        if !known {
            self.event_ids.push((event_id.to_owned(), now));
        }
        known
    }

    /// The ids of events that came more than 24 hours ago are of no consequence.
    pub(crate) fn forget_event_ids(&mut self, now: Timestamp) {
        let window = limits::EVENT_ID_WINDOW_SECONDS;
        self.event_ids
            .retain(|(_, at)| now.seconds_since(*at) < window);
    }

    pub(crate) fn see_in(&mut self, region: RegionId) {
        self.regions.retain(|other| *other != region);
        self.regions.insert(0, region);
        self.regions.truncate(limits::PROFILE_REGIONS_MAX);
    }

    /// Links an id; true if the device did not have it.
    pub(crate) fn link(&mut self, declared: &DeclaredId, time: Timestamp, order: u64) -> bool {
        let id = (declared.data_source, declared.id.to_string());
        let is_new = match self.links.iter_mut().find(|link| link.id == id) {
            Some(link) => {
                let is_new = !link.linked;
                link.linked = true;
                link.at = link.at.max(time);
                is_new
            }
            None => {
                let link = Link {
                    id,
                    linked: true,
                    at: time,
                    order,
                };
                self.links.push(link);
                true
            }
        };
        // First in, first out.
        while self.linked(declared.data_source).len() > limits::LINKS_PER_DATA_SOURCE_MAX {
            let oldest = self.linked(declared.data_source).pop();
            for link in &mut self.links {
                link.linked &= Some(&link.id) != oldest.as_ref();
            }
        }
        is_new
    }

    /// The ids linked in a namespace, newest first.
    pub(crate) fn linked(&self, namespace: DataSourceId) -> Vec<PartnerId> {
        let mut links: Vec<&Link> = self
            .links
            .iter()
            .filter(|link| link.linked && link.id.0 == namespace)
            .collect();
        links.sort_by_key(|link| Reverse((link.at, link.order)));
        links.into_iter().map(|link| link.id.clone()).collect()
    }

    /// Whether the destination knows the device under any id.
    pub(crate) fn is_synced(&self, destination: &Destination) -> bool {
        self.links
            .iter()
            .any(|link| link.linked && destination.id_data_sources.contains(&link.id.0))
    }

    /// Works out which segments the device is in now; what it entered and what it left.
    pub(crate) fn evaluate(
        &mut self,
        version: &Version,
        now: Timestamp,
    ) -> (BTreeSet<SegmentId>, BTreeSet<SegmentId>) {
        let live = self.history.live(now);
        let before = std::mem::take(&mut self.members);
        let mut exist = BTreeSet::new();
        for (segment, status) in version.segments() {
            exist.insert(segment);
            let is_member = match status {
                tidings_model::Status::Active => version.holds(segment, now.day(), &live),
                tidings_model::Status::Paused => before.contains(&segment),
            };
            if is_member {
                self.members.insert(segment);
            }
        }
        let entered: BTreeSet<SegmentId> = self.members.difference(&before).copied().collect();
        self.entered
            .extend(entered.iter().map(|&segment| (segment, now)));
        let left = before.difference(&self.members).copied();
        // Nobody is told of leaving a segment because it was deleted.
        (entered, left.filter(|id| exist.contains(id)).collect())
    }

    /// Whether the device is in one of these segments, or somebody is owed a zero of one.
    pub(crate) fn is_concerned_by(&self, segments: &BTreeSet<SegmentId>) -> bool {
        let owed = self.partners.values().flat_map(|partner| &partner.owed);
        let mut concerned = owed.map(|(segment, _)| segment).chain(&self.members);
        concerned.any(|segment| segments.contains(segment))
    }

    /// Nothing is known about it but what partners are still to be told.
    pub(crate) fn is_deleted(&self) -> bool {
        self.opted_out && self.is_erased && self.event_ids.is_empty()
    }

    /// Of a deleted device: no zero that cannot be told now is owed any more, neither at once nor with
    /// a batch.
    pub(crate) fn drop_zeros(&mut self, version: &Version, now: Timestamp) {
        for destination in &version.catalog.destinations {
            if let Some(partner) = self.partners.get_mut(&destination.id) {
                let delivers = |segment: &SegmentId| {
                    destination.supports_unsegment && version.delivers(destination, *segment, now)
                };
                partner.owed.retain(|(segment, _)| delivers(segment));
                partner.told = partner.owed.iter().map(|(segment, _)| *segment).collect();
                for baseline in partner.baselines.values_mut() {
                    baseline.retain(delivers);
                }
            }
        }
    }

    /// Removes everything but what partners were told and are owed.
    pub(crate) fn erase(&mut self, now: Timestamp) {
        self.is_erased = true;
        self.history.erased(now);
        self.regions.clear();
        for link in &mut self.links {
            link.linked = false;
        }
    }
}
