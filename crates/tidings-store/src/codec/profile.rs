//! The profile row, version 1.
//!
//! ```text
//! version        1
//! flags          1 resend | 2 opted out | 4 has `last_sent` | 8 has `wake_at`
//! lists          which of the lists below are not empty: 1 regions | 2 traits | 4 ids | 8 segments |
//!                16 destinations | 32 event ids | 64 dropped. An empty list costs nothing more
//! generation     varint
//! last_seen      folded varint
//! evaluated      instant
//! last_sent      instant, if the profile has one
//! wake_at        folded varint, if the profile has one
//! regions        count, then each as varint
//! traits         count, then each: id | instant with flags (1 older, 2 one day, 4 many days) | older |
//!                days: their count if many, then each from the newest: varint of days before the one
//!                that came last << 1, plus 1 if a count other than 1 follows
//! ids            count, then each: key | data source + 1 | instant with flags (1 linked, 2·state) | text
//! segments       count, then each: id | instant
//! destinations   count, then each: id | flags (1 `told` is a subset, 2 `told_ids` is a subset, 4 owed,
//!                8 pending, 16 undelivered, 32 when seen, 64 baselines, 128 marked for the batch) | told |
//!                told ids | owed: count, then segment and id each | pending: seq | instant | epoch | parts:
//!                count, then data source + 1 each | baselines: count, then each: data source + 1 | flag
//!                (1 a subset) | segments | marked: epoch
//! event ids      count, then each: 8 bytes | instant
//! dropped        count, then each: destination | seq
//! ```
//!
//! Ids of a list are differences to the one before (wrapping, so that any order comes back). *Instants*
//! are one byte where the instant was among the first few of the profile, see [`Instants`]: most parts of
//! a profile change at the few moments at which the device was seen. A *subset* is one bit per segment
//! (or id) of the profile, in its order; otherwise the list is written out.

mod instants;
mod lists;

use self::{
    instants::Instants,
    lists::{
        put_data_source, put_id, put_key, put_list, put_subset, read_data_source, read_id,
        read_key, read_list, read_subset,
    },
};
use super::{
    bytes::{DecodeError, Problem, Reader, put_i64, put_len, put_u64},
    text::{put_text, read_text},
};
use smallvec::SmallVec;
use tidings_engine::{
    Baseline, BatchState, DayCount, Days, DestinationState, IdKey, OwedZero, Pending, Profile,
    ProfileId, SegmentIds, SegmentState, TraitState,
};
use tidings_model::{AuthState, DestinationId, RegionId, SegmentId, Timestamp, TraitId, UtcDay};

const VERSION: u8 = 1;

const RESEND: u8 = 1;
const OPTED_OUT: u8 = 2;
const LAST_SENT: u8 = 4;
const WAKE_AT: u8 = 8;

const REGIONS: u8 = 1;
const TRAITS: u8 = 2;
const IDS: u8 = 4;
const SEGMENTS: u8 = 8;
const DESTINATIONS: u8 = 16;
const EVENT_IDS: u8 = 32;
const DROPPED: u8 = 64;

const TRAIT_OLDER: u8 = 1;
const TRAIT_ONE_DAY: u8 = 2;
const TRAIT_MANY_DAYS: u8 = 4;

const ID_LINKED: u8 = 1;

const TOLD_SUBSET: u8 = 1;
const TOLD_IDS_SUBSET: u8 = 2;
const OWED: u8 = 4;
const PENDING: u8 = 8;
const UNDELIVERED: u8 = 16;
const WHEN_SEEN: u8 = 32;
const BASELINES: u8 = 64;
const MARKED: u8 = 128;

const BASELINE_SUBSET: u8 = 1;

/// Appends the profile to `out`.
///
/// Any profile can be written; one that keeps its own invariants is written in the fewest bytes.
pub fn encode_profile(profile: &Profile, out: &mut Vec<u8>) {
    out.push(VERSION);
    out.push(
        flag(RESEND, profile.resend)
            | flag(OPTED_OUT, profile.opted_out)
            | flag(LAST_SENT, profile.last_sent.is_some())
            | flag(WAKE_AT, profile.wake_at.is_some()),
    );
    out.push(
        flag(REGIONS, !profile.regions.is_empty())
            | flag(TRAITS, !profile.traits.is_empty())
            | flag(IDS, !profile.ids.is_empty())
            | flag(SEGMENTS, !profile.segments.is_empty())
            | flag(DESTINATIONS, !profile.destinations.is_empty())
            | flag(EVENT_IDS, !profile.event_ids.is_empty())
            | flag(DROPPED, !profile.dropped.is_empty()),
    );
    put_u64(out, profile.generation.into());
    put_i64(out, profile.last_seen.0);
    let mut instants = Instants::new(profile.last_seen);
    instants.put(out, profile.evaluated, 0);
    if let Some(last_sent) = profile.last_sent {
        instants.put(out, last_sent, 0);
    }
    if let Some(wake_at) = profile.wake_at {
        put_i64(out, wake_at.0);
    }
    put_list(out, &profile.regions, |out, region| {
        put_u64(out, region.0.into());
    });
    put_traits(out, &profile.traits, &mut instants);
    put_ids(out, &profile.ids, &mut instants);
    put_segments(out, &profile.segments, &mut instants);
    put_destinations(out, profile, &mut instants);
    put_list(out, &profile.event_ids, |out, (hash, received)| {
        out.extend_from_slice(&hash.to_le_bytes());
        instants.put(out, *received, 0);
    });
    put_list(out, &profile.dropped, |out, (destination, seq)| {
        put_u64(out, destination.0.into());
        put_u64(out, *seq);
    });
}

/// Reads what [`encode_profile`] wrote.
///
/// # Errors
/// When the bytes are not a profile of version 1: what and where.
pub fn decode_profile(bytes: &[u8]) -> Result<Profile, DecodeError> {
    let reader = &mut Reader::new(bytes);
    reader.version(VERSION)?;
    let flags = reader.flags("flags", RESEND | OPTED_OUT | LAST_SENT | WAKE_AT)?;
    let lists = reader.flags(
        "lists",
        REGIONS | TRAITS | IDS | SEGMENTS | DESTINATIONS | EVENT_IDS | DROPPED,
    )?;
    let generation = reader.u32("generation")?;
    let last_seen = Timestamp(reader.i64("last_seen")?);
    let mut instants = Instants::new(last_seen);
    let mut profile = Profile {
        generation,
        last_seen,
        evaluated: instants.read_plain(reader, "evaluated")?,
        resend: flags & RESEND != 0,
        opted_out: flags & OPTED_OUT != 0,
        ..Profile::default()
    };
    if flags & LAST_SENT != 0 {
        profile.last_sent = Some(instants.read_plain(reader, "last_sent")?);
    }
    if flags & WAKE_AT != 0 {
        profile.wake_at = Some(Timestamp(reader.i64("wake_at")?));
    }
    if lists & REGIONS != 0 {
        profile.regions = read_list(reader, "regions", 1, |reader| {
            Ok(RegionId(reader.u32("region")?))
        })?;
    }
    if lists & TRAITS != 0 {
        profile.traits = read_traits(reader, &mut instants)?;
    }
    if lists & IDS != 0 {
        profile.ids = read_ids(reader, &mut instants)?;
    }
    if lists & SEGMENTS != 0 {
        profile.segments = read_segments(reader, &mut instants)?;
    }
    if lists & DESTINATIONS != 0 {
        profile.destinations = read_destinations(reader, &profile, &mut instants)?;
    }
    if lists & EVENT_IDS != 0 {
        profile.event_ids = read_list(reader, "event ids", 9, |reader| {
            let hash = u64::from_le_bytes(reader.array("event id")?);
            Ok((hash, instants.read_plain(reader, "event id")?))
        })?;
    }
    if lists & DROPPED != 0 {
        profile.dropped = read_list(reader, "dropped", 2, |reader| {
            let destination = DestinationId(reader.u32("dropped destination")?);
            Ok((destination, reader.u64("dropped touch")?))
        })?;
    }
    reader.end("profile")?;
    Ok(profile)
}

fn put_traits(out: &mut Vec<u8>, traits: &[TraitState], instants: &mut Instants) {
    let mut previous = 0;
    put_list(out, traits, |out, state| {
        put_id(out, &mut previous, state.id.0);
        let days = state.days.as_slice();
        let of_days = match days.len() {
            0 => 0,
            1 => TRAIT_ONE_DAY,
            _ => TRAIT_MANY_DAYS,
        };
        let flags = of_days | flag(TRAIT_OLDER, state.older != 0);
        instants.put(out, state.last, flags);
        if state.older != 0 {
            put_u64(out, state.older.into());
        }
        if days.len() > 1 {
            put_len(out, days.len());
        }
        let mut later = state.last.day().0;
        for DayCount { day, count } in days.iter().rev() {
            let before = u64::from(later.wrapping_sub(day.0).cast_unsigned());
            put_u64(out, before << 1 | u64::from(*count != 1));
            if *count != 1 {
                put_u64(out, (*count).into());
            }
            later = day.0;
        }
    });
}

fn read_traits(
    reader: &mut Reader<'_>,
    instants: &mut Instants,
) -> Result<Vec<TraitState>, DecodeError> {
    let mut previous = 0;
    read_list(reader, "traits", 2, |reader| {
        let id = TraitId(read_id(reader, "trait", &mut previous)?);
        let (last, flags) = instants.read(reader, "trait's last realisation")?;
        let older = match flags & TRAIT_OLDER {
            0 => 0,
            _ => reader.u32("trait's older realisations")?,
        };
        let count = match flags & (TRAIT_ONE_DAY | TRAIT_MANY_DAYS) {
            0 => 0,
            TRAIT_ONE_DAY => 1,
            TRAIT_MANY_DAYS => reader.count("trait's days", 1)?,
            _ => return Err(reader.fail("trait's flags", Problem::OutOfRange)),
        };
        let mut days = Days::with_capacity(count);
        let mut later = last.day().0;
        for _ in 0..count {
            let header = reader.u64("trait's day")?;
            let before = u32::try_from(header >> 1)
                .map_err(|_| reader.fail("trait's day", Problem::OutOfRange))?;
            later = later.wrapping_sub(before.cast_signed());
            days.push(DayCount {
                day: UtcDay(later),
                count: match header & 1 {
                    0 => 1,
                    _ => reader.u32("trait's realisations of a day")?,
                },
            });
        }
        days.reverse();
        Ok(TraitState {
            id,
            last,
            older,
            days,
        })
    })
}

fn put_ids(out: &mut Vec<u8>, ids: &[ProfileId], instants: &mut Instants) {
    let mut previous = 0;
    put_list(out, ids, |out, id| {
        put_key(out, &mut previous, id.key);
        put_data_source(out, id.data_source);
        let state: u8 = match id.state {
            AuthState::Unknown => 0,
            AuthState::Authenticated => 1,
            AuthState::LoggedOut => 2,
        };
        instants.put(out, id.linked_at, state << 1 | flag(ID_LINKED, id.linked));
        put_text(out, &id.id);
    });
}

fn read_ids(
    reader: &mut Reader<'_>,
    instants: &mut Instants,
) -> Result<Vec<ProfileId>, DecodeError> {
    let mut previous = 0;
    read_list(reader, "ids", 4, |reader| {
        let key = read_key(reader, &mut previous)?;
        let data_source = read_data_source(reader)?;
        let (linked_at, flags) = instants.read(reader, "id's last link")?;
        Ok(ProfileId {
            key,
            data_source,
            state: match flags >> 1 {
                0 => AuthState::Unknown,
                1 => AuthState::Authenticated,
                2 => AuthState::LoggedOut,
                _ => return Err(reader.fail("id's state", Problem::OutOfRange)),
            },
            linked: flags & ID_LINKED != 0,
            linked_at,
            id: read_text(reader)?,
        })
    })
}

fn put_segments(out: &mut Vec<u8>, segments: &[SegmentState], instants: &mut Instants) {
    let mut previous = 0;
    put_list(out, segments, |out, segment| {
        put_id(out, &mut previous, segment.id.0);
        instants.put(out, segment.since, 0);
    });
}

fn read_segments(
    reader: &mut Reader<'_>,
    instants: &mut Instants,
) -> Result<Vec<SegmentState>, DecodeError> {
    let mut previous = 0;
    read_list(reader, "segments", 2, |reader| {
        Ok(SegmentState {
            id: SegmentId(read_id(reader, "segment", &mut previous)?),
            since: instants.read_plain(reader, "segment's entry")?,
        })
    })
}

fn put_destinations(out: &mut Vec<u8>, profile: &Profile, instants: &mut Instants) {
    let mut previous = 0;
    put_list(out, &profile.destinations, |out, state| {
        put_id(out, &mut previous, state.id.0);
        let flags_at = out.len();
        let mut flags = flag(OWED, !state.owed.is_empty())
            | flag(PENDING, state.pending.is_some())
            | flag(UNDELIVERED, state.undelivered)
            | flag(WHEN_SEEN, state.when_seen)
            | flag(BASELINES, !state.batch.baselines.is_empty())
            | flag(MARKED, state.batch.marked.is_some());
        out.push(flags);

        let segments = profile.segments.iter().map(|segment| segment.id);
        if put_subset(out, segments, &state.told) {
            flags |= TOLD_SUBSET;
        } else {
            put_segment_ids(out, &state.told);
        }
        if put_subset(out, profile.ids.iter().map(|id| id.key), &state.told_ids) {
            flags |= TOLD_IDS_SUBSET;
        } else {
            let mut previous = 0;
            put_len(out, state.told_ids.len());
            for key in &state.told_ids {
                put_key(out, &mut previous, *key);
            }
        }
        if let Some(place) = out.get_mut(flags_at) {
            *place = flags;
        }

        let mut previous = 0;
        put_list(out, &state.owed, |out, zero| {
            put_id(out, &mut previous, zero.segment.0);
            put_u64(out, zero.id.0.into());
        });
        if let Some(pending) = &state.pending {
            put_u64(out, pending.seq);
            instants.put(out, pending.since, 0);
            put_u64(out, pending.epoch.into());
            put_len(out, pending.parts.len());
            for part in &pending.parts {
                put_data_source(out, *part);
            }
        }
        put_list(out, &state.batch.baselines, |out, baseline| {
            put_baseline(out, profile, baseline);
        });
        if let Some(epoch) = state.batch.marked {
            put_u64(out, epoch.into());
        }
    });
}

fn put_segment_ids(out: &mut Vec<u8>, segments: &[SegmentId]) {
    let mut previous = 0;
    put_len(out, segments.len());
    for segment in segments {
        put_id(out, &mut previous, segment.0);
    }
}

fn read_segment_ids(
    reader: &mut Reader<'_>,
    field: &'static str,
) -> Result<SegmentIds, DecodeError> {
    let mut previous = 0;
    read_list(reader, field, 1, |reader| {
        Ok(SegmentId(read_id(reader, field, &mut previous)?))
    })
}

fn put_baseline(out: &mut Vec<u8>, profile: &Profile, baseline: &Baseline) {
    put_data_source(out, baseline.namespace);
    let flag_at = out.len();
    out.push(BASELINE_SUBSET);
    let segments = profile.segments.iter().map(|segment| segment.id);
    if !put_subset(out, segments, &baseline.segments) {
        if let Some(flag) = out.get_mut(flag_at) {
            *flag = 0;
        }
        put_segment_ids(out, &baseline.segments);
    }
}

fn read_baseline(reader: &mut Reader<'_>, profile: &Profile) -> Result<Baseline, DecodeError> {
    const FIELD: &str = "baseline's segments";
    let namespace = read_data_source(reader)?;
    let segments = match reader.flags("baseline's flag", BASELINE_SUBSET)? {
        0 => read_segment_ids(reader, FIELD)?,
        _ => read_subset(reader, FIELD, profile.segments.iter().map(|state| state.id))?,
    };
    Ok(Baseline {
        namespace,
        segments,
    })
}

fn read_destinations(
    reader: &mut Reader<'_>,
    profile: &Profile,
    instants: &mut Instants,
) -> Result<Vec<DestinationState>, DecodeError> {
    let mut previous = 0;
    read_list(reader, "destinations", 2, |reader| {
        let id = DestinationId(read_id(reader, "destination", &mut previous)?);
        // Every bit has a meaning.
        let flags = reader.u8("destination's flags")?;
        let told = if flags & TOLD_SUBSET != 0 {
            let segments = profile.segments.iter().map(|segment| segment.id);
            read_subset(reader, "destination's told segments", segments)?
        } else {
            read_segment_ids(reader, "destination's told segments")?
        };
        let told_ids = if flags & TOLD_IDS_SUBSET != 0 {
            let keys = profile.ids.iter().map(|id| id.key);
            read_subset(reader, "destination's told ids", keys)?
        } else {
            let mut previous = 0;
            read_list(reader, "destination's told ids", 1, |reader| {
                read_key(reader, &mut previous)
            })?
        };
        let mut owed = SmallVec::new();
        if flags & OWED != 0 {
            let mut previous = 0;
            owed = read_list(reader, "destination's owed zeros", 2, |reader| {
                Ok(OwedZero {
                    segment: SegmentId(read_id(reader, "owed segment", &mut previous)?),
                    id: IdKey(reader.u16("owed id")?),
                })
            })?;
        }
        let pending = match flags & PENDING {
            0 => None,
            _ => Some(Pending {
                seq: reader.u64("pending seq")?,
                since: instants.read_plain(reader, "pending since")?,
                epoch: reader.u32("pending epoch")?,
                parts: read_list(reader, "pending parts", 1, read_data_source)?,
            }),
        };
        let mut batch = BatchState::default();
        if flags & BASELINES != 0 {
            batch.baselines = read_list(reader, "destination's baselines", 3, |reader| {
                read_baseline(reader, profile)
            })?;
        }
        if flags & MARKED != 0 {
            batch.marked = Some(reader.u32("batch epoch")?);
        }
        Ok(DestinationState {
            id,
            told,
            told_ids,
            owed,
            undelivered: flags & UNDELIVERED != 0,
            when_seen: flags & WHEN_SEEN != 0,
            pending,
            batch,
        })
    })
}

const fn flag(flag: u8, set: bool) -> u8 {
    if set { flag } else { 0 }
}

#[cfg(test)]
mod tests;
