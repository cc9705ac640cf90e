//! What one destination was told of one device and one segment, and why it was not.

use crate::{
    CompiledCatalog, CompiledDestination, DestinationState, Profile, ProfileId,
    compiled::CompiledMapping, send,
};
use tidings_model::{
    DataSourceId, Destination, DestinationId, ExportBlock, SegmentId, Status, Timestamp, Unsegment,
    Unsynced,
};

/// One destination, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationWhy {
    /// The destination.
    pub id: DestinationId,
    /// Its name.
    pub name: String,
    /// Whether it is at work.
    pub status: Status,
    /// Why the partner was told what it was, in one answer.
    pub answer: Answer,
    /// The mappings of the segment, in the catalog's order of their texts.
    pub mappings: Vec<MappingWhy>,
    /// The device's ids in the destination's namespaces, and those that were told before.
    pub ids: Vec<IdWhy>,
    /// A Status 1 may have reached the partner, and no Status 0 was acknowledged since.
    pub told: bool,
    /// Since when the pair of destination and device waits to be told, about whatever segment.
    pub pending_since: Option<Timestamp>,
    /// The last message about the device was given up.
    pub undelivered: bool,
    /// Something that time changed waits until the device is seen.
    pub when_seen: bool,
    /// When it is told what time changes.
    pub unsegment: Unsegment,
    /// Whether its next batch has something to tell about the device; `None`: it gets no batches.
    pub batch_marked: Option<bool>,
    /// Whether its batches have told Status 1 of the segment, and no Status 0 since.
    pub batch_told: bool,
}

/// One mapping of the segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingWhy {
    /// What is sent as `Segment_ID`.
    pub value: String,
    /// Whether it is at work, or why not.
    pub state: MappingState,
}

/// Whether a mapping is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingState {
    /// It is.
    Deliverable,
    /// Its segment is paused.
    SegmentPaused,
    /// An export control forbids what the destination is labelled with.
    ExportBlocked(ExportBlock),
    /// Its first day is still to come.
    NotBefore(Timestamp),
    /// Its days are over.
    Ended(Timestamp),
}

/// One id of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdWhy {
    /// Its namespace; `None` for the blank id of a destination without namespaces.
    pub data_source: Option<DataSourceId>,
    /// The id; empty for a device without one.
    pub id: String,
    /// Whether it is linked to the device now.
    pub linked: bool,
    /// When it was last linked.
    pub linked_at: Timestamp,
    /// Whether it is told what the device is in: it is among the newest `max_mappings` of its
    /// namespace.
    pub gets_ones: bool,
    /// Whether the partner may have been told a Status 1 under it, of whatever segment.
    pub told: bool,
    /// Whether a Status 0 of the segment is owed under it.
    pub owed: bool,
}

/// Why a partner was told, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The device is in, and a Status 1 was sent; nothing waits.
    Told,
    /// Status 1 or 0 waits to be sent, or is on its way; with what is known of the waiting.
    Waiting {
        /// Status 1 rather than 0.
        one: bool,
        /// Since when.
        since: Timestamp,
        /// The last message was given up and is held.
        held: bool,
    },
    /// The device is not in and no Status 0 is owed: no Status 1 was ever sent, or its Status 0 was
    /// acknowledged.
    NothingToTell,
    /// The segment is not mapped to the destination.
    NotMapped,
    /// No mapping is at work; the state of the first.
    Undeliverable(MappingState),
    /// The device has no id in the destination's namespaces, and devices without are left out.
    NoId,
    /// The destination is paused; what there is to tell waits.
    DestinationPaused,
    /// The message was given up for good; it is told with the next change.
    GivenUp,
    /// Time changed it, and the destination is told such changes when the device is seen.
    WhenSeen,
    /// It is told with the next batch, or with whatever is told before.
    NextBatch,
    /// What is mapped was changed, which is told when the device is seen.
    NextSighting,
    /// A Status 0 is owed and goes with whatever is told next.
    WithNext,
    /// A Status 0 is owed, but another segment of the device is sent under the same text.
    SharedText,
    /// It could be told, but no send rule has named it yet: it is told with the next change, or at
    /// a sighting after three days without any message.
    NoTrigger,
}

impl Answer {
    /// A stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Waiting { held: true, .. } => "held",
            Self::Waiting { .. } => "waiting",
            Self::NothingToTell => "nothing_to_tell",
            Self::NotMapped => "not_mapped",
            Self::Undeliverable(MappingState::SegmentPaused) => "segment_paused",
            Self::Undeliverable(MappingState::ExportBlocked(_)) => "export_blocked",
            Self::Undeliverable(MappingState::NotBefore(_)) => "mapping_not_begun",
            Self::Undeliverable(MappingState::Ended(_)) => "mapping_ended",
            Self::Undeliverable(MappingState::Deliverable) => "undeliverable",
            Self::NoId => "no_id",
            Self::DestinationPaused => "destination_paused",
            Self::GivenUp => "given_up",
            Self::WhenSeen => "when_seen",
            Self::NextBatch => "next_batch",
            Self::NextSighting => "next_sighting",
            Self::WithNext => "with_next",
            Self::SharedText => "shared_text",
            Self::NoTrigger => "no_trigger",
        }
    }
}

/// What is to be explained.
pub(super) struct Question<'a> {
    pub(super) described: &'a Destination,
    pub(super) compiled: &'a CompiledDestination,
    pub(super) catalog: &'a CompiledCatalog,
    pub(super) profile: &'a Profile,
    pub(super) segment: SegmentId,
    pub(super) now: Timestamp,
}

pub(super) fn explain(question: &Question<'_>) -> DestinationWhy {
    let &Question {
        described,
        compiled,
        profile,
        segment,
        now,
        ..
    } = question;
    let state = profile.destination(compiled.id);
    let mappings = compiled.mappings_of(segment).iter();
    let mappings = mappings.map(|mapping| MappingWhy {
        value: mapping.wire_id(),
        state: mapping_state(mapping, now),
    });
    let ids = profile.ids.iter();
    let ids = ids.filter_map(|id| explain_id(question, state, id));
    let knows = |state: &DestinationState| {
        let mut baselines = state.batch.baselines.iter();
        baselines.any(|baseline| baseline.segments.binary_search(&segment).is_ok())
    };
    DestinationWhy {
        id: compiled.id,
        name: described.name.clone(),
        status: described.status,
        answer: answer(question, state),
        mappings: mappings.collect(),
        ids: ids.collect(),
        told: state.is_some_and(|state| state.told.binary_search(&segment).is_ok()),
        pending_since: state.and_then(|state| Some(state.pending.as_ref()?.since)),
        undelivered: state.is_some_and(|state| state.undelivered),
        when_seen: state.is_some_and(|state| state.when_seen),
        unsegment: compiled.unsegment,
        batch_marked: compiled
            .batches
            .then(|| state.is_some_and(|state| state.batch.marked.is_some())),
        batch_told: state.is_some_and(knows),
    }
}

impl CompiledDestination {
    /// Whether anything about the segment may be sent now, or what keeps its first mapping from being at
    /// work. `None` when the segment is not mapped.
    #[must_use]
    pub fn state_of(&self, segment: SegmentId, now: Timestamp) -> Option<MappingState> {
        if self.delivers(segment, now) {
            return Some(MappingState::Deliverable);
        }
        let first = self.mappings_of(segment).first()?;
        Some(mapping_state(first, now))
    }
}

fn mapping_state(mapping: &CompiledMapping, now: Timestamp) -> MappingState {
    if mapping.deliverable(now) {
        return MappingState::Deliverable;
    }
    match (mapping.start, mapping.end) {
        (_, Some(end)) if end <= now => MappingState::Ended(end),
        (Some(start), _) if now < start => MappingState::NotBefore(start),
        _ => match mapping.block {
            Some(block) if mapping.segment_status == Status::Active => {
                MappingState::ExportBlocked(block)
            }
            _ => MappingState::SegmentPaused,
        },
    }
}

fn explain_id(
    question: &Question<'_>,
    state: Option<&DestinationState>,
    id: &ProfileId,
) -> Option<IdWhy> {
    let &Question {
        compiled,
        profile,
        segment,
        ..
    } = question;
    let told = state.is_some_and(|state| state.told_ids.binary_search(&id.key).is_ok());
    let owed = state.is_some_and(|state| {
        let mut owed = state.owed.iter();
        owed.any(|zero| zero.segment == segment && zero.id == id.key)
    });
    let concerns = if id.id.is_empty() {
        send::is_blank_of(compiled, id)
    } else {
        compiled.tells_in(id.data_source)
    };
    (concerns || told || owed).then(|| IdWhy {
        data_source: Some(id.data_source).filter(|&source| source != DataSourceId::NONE),
        id: id.id.to_string(),
        linked: id.linked,
        linked_at: id.linked_at,
        gets_ones: compiled.tells_in(id.data_source) && send::gets_ones(compiled, profile, id),
        told,
        owed,
    })
}

fn answer(question: &Question<'_>, state: Option<&DestinationState>) -> Answer {
    let &Question {
        compiled,
        profile,
        segment,
        now,
        ..
    } = question;
    let one = profile.member_since(segment).is_some();
    let owed = state.is_some_and(|state| state.owed.iter().any(|zero| zero.segment == segment));
    let Some(first) = compiled.mappings_of(segment).first() else {
        return Answer::NotMapped;
    };
    if !one && !owed {
        return Answer::NothingToTell;
    }
    if !compiled.delivers(segment, now) {
        return Answer::Undeliverable(mapping_state(first, now));
    }
    // A device without an id gets its blank entry when there is something to tell.
    let blank = compiled.unsynced == Unsynced::Blank;
    let mut ids = profile.ids.iter();
    let gets_ones =
        ids.any(|id| compiled.tells_in(id.data_source) && send::gets_ones(compiled, profile, id));
    if one && !gets_ones && (!blank || send::is_synced(compiled, &profile.ids)) {
        return Answer::NoId;
    }
    if !one && !send::zero_tells(compiled, profile, segment, now) {
        return Answer::SharedText;
    }
    if compiled.status == Status::Paused {
        return Answer::DestinationPaused;
    }
    waiting(question, state, one)
}

/// Why it was not told yet, if it was not.
fn waiting(question: &Question<'_>, state: Option<&DestinationState>, one: bool) -> Answer {
    let &Question {
        compiled,
        catalog,
        profile,
        segment,
        now,
        ..
    } = question;
    if let Some(state) = state {
        if let Some(pending) = &state.pending {
            return Answer::Waiting {
                one,
                since: pending.since,
                held: state.undelivered,
            };
        }
        if one && state.told.binary_search(&segment).is_ok() && !state.undelivered {
            return Answer::Told;
        }
        if state.undelivered {
            return Answer::GivenUp;
        }
        if state.when_seen {
            return Answer::WhenSeen;
        }
        if state.batch.marked.is_some() {
            return Answer::NextBatch;
        }
    }
    let mine = std::iter::once(segment);
    if one && catalog.remapped(mine, profile.generation, profile.evaluated, now) || profile.resend {
        return Answer::NextSighting;
    }
    if one {
        Answer::NoTrigger
    } else if compiled.unsegment == Unsegment::Batch {
        Answer::NextBatch
    } else {
        Answer::WithNext
    }
}
