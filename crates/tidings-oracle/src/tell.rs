//! What a destination is told about a device, and what that means for what it is owed.

use crate::{Device, PartnerId, Version, device::Link, version::namespaces};
use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};
use tidings_model::{
    DataSourceId, Destination, DestinationId, DeviceUuid, Mapping, RegionId, SegmentId, Timestamp,
    Unsynced,
};

/// A message that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When.
    pub time: Timestamp,
    /// To whom.
    pub destination: DestinationId,
    /// The namespace of its ids.
    pub namespace: DataSourceId,
    /// Why.
    pub kind: Kind,
    /// In order; at most as many as the destination takes.
    pub users: Vec<UserObject>,
}

/// Why a message leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A send rule.
    Realtime,
    /// The daily batch.
    Batch,
}

/// One device under one id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserObject {
    /// The device.
    pub uuid: DeviceUuid,
    /// The partner's id; empty if it has none.
    pub id: String,
    /// Where the device was seen, latest first.
    pub regions: Vec<RegionId>,
    /// In the order of the message.
    pub segments: Vec<ToldSegment>,
}

/// A segment's state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ToldSegment {
    /// Its id, or the text agreed for it.
    pub id: String,
    /// 1 or 0.
    pub status: u8,
    /// When it was verified.
    pub date_time: Timestamp,
}

/// The states that a user object reports, before they are written.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) content: Content,
    pub(crate) gets_ones: bool,
    pub(crate) id: PartnerId,
    pub(crate) ones: BTreeSet<SegmentId>,
    pub(crate) zeros: BTreeSet<SegmentId>,
}

/// Which segments are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// All that the device is in, and all zeros that are owed.
    Everything,
    /// What differs from the last batch, and all zeros that are owed.
    SinceLastBatch,
    /// What differs from the last batch: the zeros that are owed are about to be told otherwise.
    ChangesOnly,
}

impl Content {
    const fn is_batch(self) -> bool {
        matches!(self, Self::SinceLastBatch | Self::ChangesOnly)
    }
}

impl Device {
    /// The user objects of this device in a message to the destination in this namespace, newest id
    /// first. Ones go to the newest `max_mappings` ids, zeros to whom they are owed.
    pub(crate) fn objects(
        &self,
        version: &Version,
        destination: &Destination,
        namespace: DataSourceId,
        now: Timestamp,
        content: Content,
    ) -> Vec<Told> {
        let delivers = |segment: &SegmentId| version.delivers(destination, *segment, now);
        let (ones, zeros) = self.states(destination, namespace, content);
        let ones: BTreeSet<SegmentId> = ones.into_iter().filter(delivers).collect();
        let still_1 = self.texts_of_members(version, destination, now);
        let is_news = |segment: &SegmentId| {
            let mut mappings = version.deliverable(destination, *segment, now);
            mappings.any(|mapping| !still_1.contains(&text(mapping)))
        };
        self.ids(destination, namespace)
            .into_iter()
            .map(|(id, gets_ones)| {
                let ones = if gets_ones {
                    ones.clone()
                } else {
                    BTreeSet::new()
                };
                let zeros = zeros.iter().filter(|(_, to)| *to == id);
                let zeros = zeros.map(|(segment, _)| *segment);
                // Next to the ones, a zero of a text that is still 1 is told by that 1.
                let told_along = match content {
                    Content::Everything => !ones.is_empty(),
                    Content::SinceLastBatch | Content::ChangesOnly => gets_ones,
                };
                let zeros =
                    zeros.filter(|segment| is_news(segment) || (told_along && delivers(segment)));
                Told {
                    content,
                    gets_ones,
                    zeros: zeros.collect(),
                    ones,
                    id,
                }
            })
            .filter(|told| !told.ones.is_empty() || !told.zeros.is_empty())
            .collect()
    }

    /// The segments to report with 1, and those to report with 0 and under which id.
    fn states(
        &self,
        destination: &Destination,
        namespace: DataSourceId,
        content: Content,
    ) -> (BTreeSet<SegmentId>, BTreeSet<(SegmentId, PartnerId)>) {
        let Some(partner) = self.partners.get(&destination.id) else {
            return (self.members.clone(), BTreeSet::new());
        };
        let mut zeros = match content {
            Content::Everything => return (self.members.clone(), partner.owed.clone()),
            Content::SinceLastBatch => partner.owed.clone(),
            Content::ChangesOnly => BTreeSet::new(),
        };
        let baseline = partner.baselines.get(&namespace);
        let baseline = baseline.cloned().unwrap_or_default();
        let ids = self.hearing(destination, namespace);
        if destination.supports_unsegment {
            for &segment in baseline.difference(&self.members) {
                zeros.extend(ids.iter().map(|id| (segment, id.clone())));
            }
        }
        let ones = self.members.difference(&baseline);
        (ones.copied().collect(), zeros)
    }

    /// The ids of a namespace that hear a zero: those linked, and those that ever got a 1.
    pub(crate) fn hearing(
        &self,
        destination: &Destination,
        namespace: DataSourceId,
    ) -> BTreeSet<PartnerId> {
        let told = self.partners.get(&destination.id);
        let told = told.into_iter().flat_map(|partner| &partner.told_ids);
        let mut ids: BTreeSet<_> = self.linked(namespace).into_iter().collect();
        ids.extend(told.filter(|id| id.0 == namespace).cloned());
        ids
    }

    /// What is not mapped any more, and what nobody hears of any more, is forgotten: an id that is
    /// linked later begins anew. For a device that opted out so is what has ended. A partner that takes
    /// no zeros is told again of a segment that was left and entered.
    pub(crate) fn forget_baselines(&mut self, version: &Version, now: Timestamp) {
        for (id, partner) in &mut self.partners {
            let mut destinations = version.catalog.destinations.iter();
            if !destinations.any(|one| one.id == *id && one.batch.is_some()) {
                partner.baselines.clear();
            }
        }
        for destination in &version.catalog.destinations {
            let heard: BTreeSet<DataSourceId> = namespaces(destination)
                .into_iter()
                .filter(|&namespace| !self.hearing(destination, namespace).is_empty())
                .collect();
            let opted_out = self.opted_out;
            let is_kept = |segment: &SegmentId| {
                let mut mappings = destination.mappings.iter();
                mappings.any(|one| {
                    let ended = one.end.is_some_and(|end| end.start() <= now);
                    one.segment == *segment && !(opted_out && ended)
                })
            };
            let Some(partner) = self.partners.get_mut(&destination.id) else {
                continue;
            };
            for baseline in partner.baselines.values_mut() {
                baseline.retain(is_kept);
                if !destination.supports_unsegment {
                    baseline.retain(|segment| self.members.contains(segment));
                }
            }
            let baselines = &mut partner.baselines;
            baselines.retain(|namespace, told| heard.contains(namespace) && !told.is_empty());
        }
    }

    /// What a batch told in a namespace is what the next one compares with.
    pub(crate) fn batched(
        &mut self,
        destination: DestinationId,
        namespace: DataSourceId,
        told: &[Told],
    ) {
        let partner = self.partners.entry(destination).or_default();
        let baseline = partner.baselines.entry(namespace).or_default();
        for told in told {
            baseline.retain(|segment| !told.zeros.contains(segment));
        }
        for told in told {
            baseline.extend(&told.ones);
        }
    }

    /// The ids of a namespace that may be told anything, newest first, and whether each gets ones.
    fn ids(&self, destination: &Destination, namespace: DataSourceId) -> Vec<(PartnerId, bool)> {
        let max = match destination.max_mappings {
            0 => usize::MAX,
            max => max as usize,
        };
        let linked = self.linked(namespace).into_iter().enumerate();
        let mut ids: Vec<(PartnerId, bool)> = linked.map(|(index, id)| (id, index < max)).collect();
        // Ids that are not linked any more may be owed a zero.
        let mut once: Vec<&Link> = self.links.iter().filter(|link| !link.linked).collect();
        once.sort_by_key(|link| Reverse((link.at, link.order)));
        for link in once {
            if link.id.0 == namespace {
                ids.push((link.id.clone(), false));
            }
        }
        // The blank id stands in the first namespace, and for all ids while there is none.
        if namespaces(destination).first() == Some(&namespace) {
            let is_blank = destination.unsynced == Unsynced::Blank;
            let gets_ones = is_blank && !self.is_synced(destination);
            ids.push(((namespace, String::new()), gets_ones));
        }
        ids
    }

    /// The texts under which the destination is told of the segments that the device is in. A text
    /// that stands for several segments is 1 as long as the device is in any of them.
    fn texts_of_members(
        &self,
        version: &Version,
        destination: &Destination,
        now: Timestamp,
    ) -> BTreeSet<String> {
        let members = self.members.iter();
        let mappings = members.flat_map(|&segment| version.deliverable(destination, segment, now));
        mappings.map(text).collect()
    }

    /// Writes a user object: ones before zeros, each ascending; a text at most once, 1 if any is.
    pub(crate) fn write(
        &self,
        uuid: &DeviceUuid,
        version: &Version,
        destination: &Destination,
        told: &Told,
        now: Timestamp,
    ) -> UserObject {
        let still_1 = self.texts_of_members(version, destination, now);
        let mut segments: Vec<ToldSegment> = Vec::new();
        for (status, ids) in [(1, &told.ones), (0, &told.zeros)] {
            for &segment in ids {
                for mapping in version.deliverable(destination, segment, now) {
                    let id = text(mapping);
                    let is_1 = status == 1 || still_1.contains(&id);
                    // The newest ids hear from a batch that a text which stands for several segments
                    // is still 1.
                    if status == 0 && is_1 && !(told.gets_ones && told.content.is_batch()) {
                        continue;
                    }
                    let status = u8::from(is_1);
                    if segments.iter().all(|other| other.id != id) {
                        segments.push(ToldSegment {
                            id,
                            status,
                            date_time: self.evaluated,
                        });
                    }
                }
            }
        }
        segments.sort_by_key(|one| Reverse(one.status));
        UserObject {
            uuid: uuid.clone(),
            id: told.id.1.clone(),
            regions: self.regions.clone(),
            segments,
        }
    }

    /// The partner accepted the user object.
    pub(crate) fn accepted(&mut self, destination: DestinationId, told: &Told) {
        let partner = self.partners.entry(destination).or_default();
        if !told.ones.is_empty() {
            partner.told_ids.insert(told.id.clone());
        }
        partner.told.extend(&told.ones);
        for &segment in &told.zeros {
            partner.owed.remove(&(segment, told.id.clone()));
            let still_owed = partner.owed.iter().any(|(other, _)| *other == segment);
            if !still_owed && !self.members.contains(&segment) {
                partner.told.remove(&segment);
            }
        }
    }

    /// The partner may have been told, under every id of the namespaces it waited in that gets ones, all that
    /// the device is in and that one of these catalogs, each in use until some instant, mapped on some day
    /// since it entered: also what has ended, is paused, blocked or not mapped any more by now, since a
    /// departure is told until it is acknowledged, whenever that can be.
    pub(crate) fn take_as_told(
        &mut self,
        destination: &Destination,
        waited_in: &BTreeSet<DataSourceId>,
        in_use: &[(Arc<Version>, Timestamp)],
    ) {
        let was_mapped_in = |(version, until): &(Arc<Version>, Timestamp), segment: &SegmentId| {
            let Some(entered) = self
                .entered
                .get(segment)
                .filter(|entered| *entered <= until)
            else {
                return false;
            };
            let destinations = version.catalog.destinations.iter();
            let own = destinations.filter(|one| one.id == destination.id);
            let mut mappings = own.flat_map(|one| &one.mappings);
            mappings.any(|one| {
                let begun = one.start.is_none_or(|start| start <= until.day());
                let over_before = one.end.is_some_and(|end| end < entered.day());
                one.segment == *segment && begun && !over_before
            })
        };
        let was_mapped = |segment: &SegmentId| in_use.iter().any(|one| was_mapped_in(one, segment));
        let ones: Vec<SegmentId> = self.members.iter().copied().filter(was_mapped).collect();
        if ones.is_empty() {
            return;
        }
        let all = namespaces(destination).into_iter();
        let waited_in = all.filter(|namespace| waited_in.contains(namespace));
        let ids = waited_in.flat_map(|namespace| self.ids(destination, namespace));
        let ids: Vec<PartnerId> = ids
            .filter(|(_, gets_ones)| *gets_ones)
            .map(|(id, _)| id)
            .collect();
        let partner = self.partners.entry(destination.id).or_default();
        partner.told.extend(ones);
        partner.told_ids.extend(ids);
    }

    /// Whether the destination is owed a zero in this namespace.
    pub(crate) fn owes_in(&self, destination: DestinationId, namespace: DataSourceId) -> bool {
        let partner = self.partners.get(&destination);
        let mut owed = partner.into_iter().flat_map(|partner| &partner.owed);
        owed.any(|(_, id)| id.0 == namespace)
    }

    /// The device is in this segment again: a zero would not be true.
    pub(crate) fn owe_nothing_for(&mut self, segment: SegmentId) {
        for partner in self.partners.values_mut() {
            partner.owed.retain(|(other, _)| *other != segment);
        }
    }

    /// What was owed to a partner before it was known that it takes no zeros is owed no more.
    pub(crate) fn drop_refused_zeros(&mut self, version: &Version) {
        for destination in &version.catalog.destinations {
            if let Some(partner) = self.partners.get_mut(&destination.id)
                && !destination.supports_unsegment
            {
                for (segment, _) in std::mem::take(&mut partner.owed) {
                    partner.told.remove(&segment);
                }
            }
        }
    }

    /// The device left this segment: a zero is owed to each destination that was told a 1, under
    /// every id linked now and every id that ever got a 1. If the mapping is not at work now, the
    /// zero is not sent; `kept` says whether it stays owed.
    pub(crate) fn owe_zeros_for(
        &mut self,
        version: &Version,
        segment: SegmentId,
        now: Timestamp,
        kept: bool,
    ) {
        for destination in &version.catalog.destinations {
            if !destination.supports_unsegment {
                // It cannot be told: to it the device stays in, until it is told that it is in again.
                if let Some(partner) = self.partners.get_mut(&destination.id) {
                    partner.told.remove(&segment);
                }
                continue;
            }
            let linked: Vec<PartnerId> = destination
                .id_data_sources
                .iter()
                .flat_map(|&namespace| self.linked(namespace))
                .collect();
            let Some(partner) = self.partners.get_mut(&destination.id) else {
                continue;
            };
            if !kept && !version.delivers(destination, segment, now) {
                partner.told.remove(&segment);
            } else if partner.told.contains(&segment) {
                let ids = linked.into_iter().chain(partner.told_ids.clone());
                partner.owed.extend(ids.map(|id| (segment, id)));
            }
        }
    }
}

/// What is sent as `Segment_ID`.
fn text(mapping: &Mapping) -> String {
    let value = mapping.value.clone();
    value.unwrap_or_else(|| mapping.segment.to_string())
}
