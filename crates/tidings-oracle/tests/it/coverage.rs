//! The generator makes cases in which something happens.

use std::collections::BTreeSet;
use std::sync::Arc;
use tidings_model::{DestinationId, DeviceUuid, SegmentId};
use tidings_oracle::{Features, Kind, Oracle, Version, generate};

/// How often what is worth comparing happens in some hundred cases.
#[derive(Debug, Default)]
struct Counts {
    messages: usize,
    full: usize,
    batches: usize,
    zeros: usize,
    ones_and_zeros: usize,
    several_ids: usize,
    blank: usize,
    texts: usize,
    at_midnight: usize,
    blocked: usize,
    blocks_begun: usize,
    blocks_ended: usize,
    restarts: usize,
    to_who_takes_no_zeros: usize,
}

#[test]
fn much_is_told_in_generated_cases() {
    let mut counts = Counts::default();
    for seed in 0..400 {
        let case = generate::case(seed, Features::ALL);
        let mut oracle = Oracle::new(case.features, Arc::clone(&case.version), case.start);
        let mut before = blocked(&case.version);
        counts.blocked += before.len();
        for (happening, number) in case.happenings.iter().zip(1000..) {
            if let Some(version) = happening.what.catalog() {
                let after = blocked(version);
                counts.blocks_begun += after.difference(&before).count();
                counts.blocks_ended += before.difference(&after).count();
                before = after;
            }
            oracle.happen(happening, || DeviceUuid::from_number(number).unwrap());
            let is_restart = happening.what.is_restart() && !oracle.has_to_send();
            counts.restarts += usize::from(is_restart && !oracle.messages().is_empty());
        }
        oracle.run_until(case.end);
        for message in oracle.messages() {
            let destinations = &case.version.catalog.destinations;
            let to = destinations
                .iter()
                .find(|one| one.id == message.destination);
            let is_full = to.is_some_and(|to| message.users.len() == to.max_users as usize);
            counts.messages += 1;
            let takes_no_zeros = to.is_some_and(|to| !to.supports_unsegment);
            counts.to_who_takes_no_zeros += usize::from(takes_no_zeros);
            counts.full += usize::from(is_full && message.users.len() > 1);
            counts.batches += usize::from(message.kind == Kind::Batch);
            counts.at_midnight += usize::from(message.time == message.time.day().start());
            let devices: Vec<_> = message.users.iter().map(|user| &user.uuid).collect();
            let repeats = devices.windows(2).any(|pair| pair.first() == pair.last());
            counts.several_ids += usize::from(devices.len() > 1 && repeats);
            for user in &message.users {
                let has = |status| user.segments.iter().any(|one| one.status == status);
                counts.zeros += usize::from(has(0));
                counts.ones_and_zeros += usize::from(has(0) && has(1));
                counts.blank += usize::from(user.id.is_empty());
                counts.texts += usize::from(user.segments.iter().any(|one| one.id == "shared"));
            }
        }
    }
    let Counts {
        messages,
        full,
        batches,
        zeros,
        ones_and_zeros,
        several_ids,
        blank,
        texts,
        at_midnight,
        blocked,
        blocks_begun,
        blocks_ended,
        restarts,
        to_who_takes_no_zeros,
    } = counts;
    for (count, least) in [
        (messages, 1_000),
        (full, 50),
        (batches, 200),
        (zeros, 300),
        (ones_and_zeros, 50),
        (several_ids, 50),
        (blank, 300),
        (texts, 100),
        (at_midnight, 200),
        (blocked, 50),
        (blocks_begun, 10),
        (blocks_ended, 5),
        (restarts, 25),
        (to_who_takes_no_zeros, 100),
    ] {
        assert!(count >= least, "{counts:?}");
    }
}

/// The mapped segments that a control keeps from a destination.
fn blocked(version: &Version) -> BTreeSet<(DestinationId, SegmentId)> {
    let destinations = version.catalog.destinations.iter();
    let mapped = destinations.flat_map(|to| to.mappings.iter().map(move |one| (to, one.segment)));
    mapped
        .filter(|(to, segment)| version.is_blocked(to, *segment))
        .map(|(to, segment)| (to.id, segment))
        .collect()
}
