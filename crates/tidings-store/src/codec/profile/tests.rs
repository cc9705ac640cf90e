//! Profiles come back equal, stay small, and damaged ones are refused.

use super::{decode_profile, encode_profile};
use crate::codec::{DecodeError, Problem};
use proptest::{
    collection::vec,
    option,
    prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest},
};
use smallvec::smallvec;
use tidings_engine::{
    Baseline, BatchState, DayCount, DestinationState, IdKey, OwedZero, Pending, Profile, ProfileId,
    SegmentState, TraitState,
};
use tidings_model::{
    AuthState, DataSourceId, DestinationId, RegionId, SegmentId, Timestamp, TraitId, UtcDay,
};

fn encode(profile: &Profile) -> Vec<u8> {
    let mut out = Vec::new();
    encode_profile(profile, &mut out);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 20 traits with ids up to 100,000, realised at six moments within 30 days, 5 segments, 2 ids, 2
/// destinations that have been told.
fn typical() -> Profile {
    let last_seen = Timestamp::parse("2026-03-14T09:26:53Z").unwrap();
    let moments: Vec<_> = [0, 4_123, 180_311, 700_002, 1_512_345, 2_505_117]
        .map(|ago| last_seen.plus_seconds(-ago))
        .into();
    let moment = |n: usize| moments[n % moments.len()];
    let traits = (0..20).map(|n: usize| {
        let last = moment(n * 7 / 3);
        let day = |ago: i32, count| DayCount {
            day: last.day().plus_days(-ago),
            count,
        };
        TraitState {
            id: TraitId(u32::try_from(1_000 + n * 4_973).unwrap()),
            last,
            older: if n % 5 == 1 { 3 } else { 0 },
            days: match n {
                3 | 9 => smallvec![day(6, 2), day(2, 1), day(0, 3)],
                12 | 15 | 17 => smallvec![day(0, 1)],
                _ => smallvec![],
            },
        }
    });
    let segments = [1_201, 4_400, 12_176, 14_356, 19_001].map(SegmentId);
    let id = |key, data_source, id: &str, at| ProfileId {
        key: IdKey(key),
        data_source: DataSourceId(data_source),
        id: id.into(),
        linked: true,
        state: AuthState::Authenticated,
        linked_at: moment(at),
    };
    let destination = |id, told: &[SegmentId], told_ids: &[u16]| DestinationState {
        id: DestinationId(id),
        told: told.into(),
        told_ids: told_ids.iter().copied().map(IdKey).collect(),
        owed: smallvec![],
        undelivered: false,
        when_seen: false,
        pending: None,
        batch: BatchState::default(),
    };
    Profile {
        generation: 17,
        last_seen,
        evaluated: last_seen,
        last_sent: Some(last_seen.plus_seconds(1)),
        regions: vec![RegionId(9)],
        traits: traits.collect(),
        ids: vec![
            id(0, 12_345, "42509487250498571234", 4),
            id(1, 20_914, "6d92078a-8246-4ba4-ae5b-76104861e7dc", 2),
        ],
        segments: segments
            .iter()
            .enumerate()
            .map(|(n, id)| SegmentState {
                id: *id,
                since: moment(n),
            })
            .collect(),
        destinations: vec![
            destination(423, &segments, &[0]),
            destination(1_108, &segments[1..4], &[0, 1]),
        ],
        ..Profile::default()
    }
}

#[test]
fn a_typical_profile_fits_in_200_bytes() {
    let mut profile = typical();
    let told = encode(&profile).len();
    profile.destinations[0].pending = Some(Pending {
        seq: 9_876_543,
        since: profile.last_seen,
        epoch: 12,
        parts: smallvec![DataSourceId(12_345)],
    });
    let pending = encode(&profile).len();
    profile.event_ids = vec![(0x0123_4567_89ab_cdef, profile.last_seen)];
    let with_event_id = encode(&profile).len();
    let segments = profile.segments.iter().map(|segment| segment.id).collect();
    profile.destinations[0].batch = BatchState {
        baselines: vec![Baseline {
            namespace: DataSourceId(12_345),
            segments,
        }],
        marked: Some(12),
    };
    let with_batch = encode(&profile).len();
    insta::assert_snapshot!(
        format!("told {told}, pending {pending}, with one event id {with_event_id} bytes, with one batch {with_batch}"),
        @"told 175, pending 184, with one event id 194 bytes, with one batch 200"
    );
    assert!(told <= 200);
}

/// A change here is a change of the format: readers of version 1 must still read these bytes.
#[test]
fn the_bytes_stay_as_they_are() {
    insta::assert_snapshot!(hex(&encode(&Profile::default())), @"010000000000");
    insta::assert_snapshot!(hex(&encode(&typical())), @"01041f11baa7a99b0d00f801010914e80700ed26f9ae811603ed26f8b2ceb801ed26fcb640030103040902ed26f8c4b955ed26f8bae6b102ed261103ed2618ed2600ed262c030103040902ed2630ed262103ed261a00ed2600ed2610ed263200ed262103ed262a00ed2600ed26100200ba601b514250948725049857123401b3a30113036d92078a82464ba4ae5b76104861e7dc05b10900ff1820e03c10841128a5241802a703031f01ad05030e03");
}

#[test]
fn damage_is_named() {
    let error = |bytes: &[u8]| decode_profile(bytes).unwrap_err();
    let bytes = encode(&typical());
    let field = "version";
    let problem = Problem::NewerVersion(2);
    assert_eq!(
        error(&[2]),
        DecodeError {
            field,
            offset: 1,
            problem
        }
    );
    assert_eq!(error(&[]).to_string(), "version at byte 0 is cut short");
    assert_eq!(
        error(&[1, 16]).to_string(),
        "flags at byte 2 is out of range"
    );
    insta::assert_snapshot!(error(&bytes[..100]), @"trait at byte 100 is cut short");
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(error(&longer).problem, Problem::Trailing);
}

/// Instants as profiles have them, close to each other, and any others.
fn instant() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        8 => (1_700_000_000i64..1_700_000_040).prop_map(Timestamp),
        1 => any::<i64>().prop_map(Timestamp),
    ]
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..100_000, any::<u32>()]
}

fn trait_state() -> impl Strategy<Value = TraitState> {
    let day = (any::<i32>(), 19_600..19_700i32, any::<bool>(), 0u32..3);
    let day = day.prop_map(|(any, near, far, count)| DayCount {
        day: UtcDay(if far { any } else { near }),
        count,
    });
    (number(), instant(), number(), vec(day, 0..4)).prop_map(|(id, last, older, days)| TraitState {
        id: TraitId(id),
        last,
        older,
        days: days.into(),
    })
}

fn profile_id() -> impl Strategy<Value = ProfileId> {
    let state = prop_oneof![
        Just(AuthState::Unknown),
        Just(AuthState::Authenticated),
        Just(AuthState::LoggedOut)
    ];
    let text = "[0-9]{0,24}|[0-9a-f]{8}|.{0,12}";
    (
        any::<u16>(),
        number(),
        text,
        any::<bool>(),
        state,
        instant(),
    )
        .prop_map(
            |(key, data_source, id, linked, state, linked_at)| ProfileId {
                key: IdKey(key),
                data_source: DataSourceId(data_source),
                id: id.into(),
                linked,
                state,
                linked_at,
            },
        )
}

fn pending() -> impl Strategy<Value = Pending> {
    (any::<u64>(), instant(), any::<u32>(), vec(number(), 0..3)).prop_map(
        |(seq, since, epoch, parts)| Pending {
            seq,
            since,
            epoch,
            parts: parts.into_iter().map(DataSourceId).collect(),
        },
    )
}

fn batch() -> impl Strategy<Value = BatchState> {
    let baseline = (number(), vec(number(), 0..4)).prop_map(|(namespace, segments)| Baseline {
        namespace: DataSourceId(namespace),
        segments: segments.into_iter().map(SegmentId).collect(),
    });
    (vec(baseline, 0..3), option::of(any::<u32>()))
        .prop_map(|(baselines, marked)| BatchState { baselines, marked })
}

/// A destination with told segments and ids of its own, or picked from the profile by these numbers.
type Picks = (DestinationState, Vec<bool>, Vec<bool>);

fn destination() -> impl Strategy<Value = Picks> {
    let owed = vec((number(), any::<u16>()), 0..3);
    let state = (
        number(),
        vec(number(), 0..4),
        vec(any::<u16>(), 0..3),
        owed,
        any::<(bool, bool)>(),
        option::of(pending()),
        batch(),
    );
    let state = state.prop_map(
        |(id, told, told_ids, owed, (undelivered, when_seen), pending, batch)| DestinationState {
            undelivered,
            when_seen,
            id: DestinationId(id),
            told: told.into_iter().map(SegmentId).collect(),
            told_ids: told_ids.into_iter().map(IdKey).collect(),
            owed: owed
                .into_iter()
                .map(|(segment, id)| OwedZero {
                    segment: SegmentId(segment),
                    id: IdKey(id),
                })
                .collect(),
            pending,
            batch,
        },
    );
    (state, vec(any::<bool>(), 0..20), vec(any::<bool>(), 0..6))
}

fn profile() -> impl Strategy<Value = Profile> {
    let head = (
        any::<u32>(),
        instant(),
        instant(),
        option::of(instant()),
        option::of(instant()),
        any::<bool>(),
        any::<bool>(),
    );
    let lists = (
        vec(number(), 0..3),
        vec(trait_state(), 0..40),
        vec(profile_id(), 0..6),
        vec((number(), instant()), 0..20),
        vec(destination(), 0..4),
        vec((any::<u64>(), instant()), 0..3),
        vec((number(), any::<u64>()), 0..3),
    );
    (head, lists).prop_map(|(head, lists)| {
        let (generation, last_seen, evaluated, last_sent, wake_at, resend, opted_out) = head;
        let (regions, traits, ids, segments, destinations, event_ids, dropped) = lists;
        let dropped = dropped.into_iter();
        let segments: Vec<_> = segments
            .into_iter()
            .map(|(id, since)| SegmentState {
                id: SegmentId(id),
                since,
            })
            .collect();
        let pick = |picks: Picks| {
            let (mut state, told, told_ids) = picks;
            if !told.is_empty() {
                let picked = segments.iter().zip(told).filter(|(_, told)| *told);
                state.told = picked.map(|(segment, _)| segment.id).collect();
                if let Some(baseline) = state.batch.baselines.first_mut() {
                    baseline.segments.clone_from(&state.told);
                }
            }
            if !told_ids.is_empty() {
                let picked = ids.iter().zip(told_ids).filter(|(_, told)| *told);
                state.told_ids = picked.map(|(id, _): (&ProfileId, _)| id.key).collect();
            }
            state
        };
        let destinations = destinations.into_iter().map(pick).collect();
        Profile {
            generation,
            last_seen,
            evaluated,
            last_sent,
            wake_at,
            resend,
            opted_out,
            regions: regions.into_iter().map(RegionId).collect(),
            traits,
            ids,
            segments,
            destinations,
            event_ids,
            dropped: dropped.map(|(id, seq)| (DestinationId(id), seq)).collect(),
        }
    })
}

proptest! {
    #[test]
    fn any_profile_comes_back(profile in profile()) {
        prop_assert_eq!(decode_profile(&encode(&profile)), Ok(profile));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(mut bytes in vec(any::<u8>(), 0..300)) {
        if let Some(first) = bytes.first_mut() {
            *first = super::VERSION;
        }
        drop(decode_profile(&bytes));
    }

    #[test]
    fn a_damaged_profile_is_refused_or_read_as_another(
        profile in profile(),
        flips in vec((any::<usize>(), 0..8u32), 1..4),
        cut in any::<usize>(),
    ) {
        let mut bytes = encode(&profile);
        let length = bytes.len();
        // Each byte is part of some field, so a profile that lacks any is never read.
        prop_assert_eq!(decode_profile(&bytes[..cut % length]).is_ok(), false);
        for (place, bit) in flips {
            bytes[place % length] ^= 1 << bit;
        }
        if let Ok(other) = decode_profile(&bytes) {
            prop_assert_eq!(decode_profile(&encode(&other)), Ok(other));
        }
    }
}
