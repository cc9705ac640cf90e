//! Random histories: a few devices, and a clock that likes midnights and the ends of windows.

use super::{Random, catalog, export, rule};
use crate::{Features, Happening, Version, What};
use std::{collections::BTreeSet, sync::Arc};
use tidings_model::{
    AuthState, Catalog, DeclaredId, DeviceUuid, Event, Mapping, RegionId, Status, Timestamp, Trait,
    TraitId, TraitKind,
};

const DAY: i64 = 86_400;

pub(super) fn history(
    random: &mut Random,
    features: Features,
    version: &Arc<Version>,
    start: Timestamp,
) -> (Vec<Happening>, Timestamp) {
    let devices: Vec<DeviceUuid> = (0..random.between(1, 4))
        .filter_map(|device| DeviceUuid::from_number(u128::try_from(device + 1).ok()?))
        .collect();
    let mut version = Arc::clone(version);
    let mut happenings = Vec::new();
    // Which of two links made at the same instant is the newer one is left open. Where it matters,
    // that is where not all ids get ones, there are none such.
    let destinations = &version.catalog.destinations;
    let ties_matter = destinations.iter().any(|one| one.max_mappings != 0);
    let mut linked = BTreeSet::new();
    let mut at = start;
    for _ in 0..random.between(3, 22) {
        at = later(random, features, at);
        let what = match random.below(100) {
            0..2 if features.opt_out => What::OptOut(random.pick(&devices).clone()),
            2..4 if features.delete => What::Delete(random.pick(&devices).clone()),
            11..14 if features.restarts && features.catalog && random.chance(30) => {
                version = changed(random, features, &version, at);
                What::RestartWith(Arc::clone(&version))
            }
            11..14 if features.restarts => What::Restart,
            4..11 if features.catalog => {
                version = changed(random, features, &version, at);
                What::Catalog(Arc::clone(&version))
            }
            14..17 if features.restarts && features.catalog => {
                let uuid = random.pick(&devices).clone();
                version = unmapped_about_restart(random, &version, uuid, &mut at, &mut happenings);
                continue;
            }
            17 if features.catalog => {
                let uuid = random.pick(&devices).clone();
                longer_life(random, &version, uuid, &mut at, &mut happenings);
                continue;
            }
            _ => {
                let mut event = event(random, features, &devices, &version.catalog, at);
                if ties_matter {
                    let time = event.time;
                    event.ids.retain(|id| linked.insert((id.data_source, time)));
                }
                if event.uuid.is_none() && event.ids.is_empty() {
                    event.uuid = Some(random.pick(&devices).clone());
                }
                What::Event(Box::new(event))
            }
        };
        happenings.push(Happening { at, what });
    }
    let after = if features.idle && random.chance(5) {
        130 * DAY
    } else {
        *random.pick(&[0, 1, 61, DAY, 3 * DAY, 8 * DAY])
    };
    (happenings, at.plus_seconds(after))
}

/// The next instant: soon, or near a midnight, or about three days on.
fn later(random: &mut Random, features: Features, at: Timestamp) -> Timestamp {
    let midnight = |days: i64| at.day().start().0 + days * DAY;
    let next = match random.below(20) {
        0..2 => at.0,
        2..6 => at.0 + random.between(1, 3),
        6..8 => at.0 + *random.pick(&[29, 30, 31, 59, 60, 61]),
        8 => at.0 + random.between(1, 7200),
        9 => at.0 + random.between(1, 2) * DAY,
        10..13 => midnight(1) + random.between(-2, 2),
        13 => midnight(1) + random.between(-70, 70),
        14..17 => midnight(random.between(1, 6)) + *random.pick(&[-1, 0, 1, 3600, 40_000]),
        17 if random.chance(15) => at.0 + random.between(28, 42) * DAY,
        17 => at.0 + 3 * DAY + random.between(-1, 1),
        18 if features.idle && random.chance(20) => at.0 + 120 * DAY + random.between(-1, DAY),
        _ => at.0 + random.between(1, 4) * DAY + random.between(-2, 2),
    };
    Timestamp(next.max(at.0))
}

fn event(
    random: &mut Random,
    features: Features,
    devices: &[DeviceUuid],
    catalog: &Catalog,
    at: Timestamp,
) -> Event {
    let ids = ids(random);
    let is_anonymous = !ids.is_empty() && random.chance(15);
    let mut event = Event {
        uuid: (!is_anonymous).then(|| random.pick(devices).clone()),
        time: Some(time(random, features, at)),
        region: random
            .chance(25)
            .then(|| RegionId(*random.pick(&[3, 6, 9]))),
        ids,
        event_id: random
            .chance(12)
            .then(|| (*random.pick(&["e1", "e2", "e3"])).into()),
        ..Event::default()
    };
    if random.chance(70) {
        for _ in 0..random.between(1, 3) {
            let (key, value) = *random.pick(&[
                ("page", "a"),
                ("page", "b"),
                ("page", "c"),
                ("price", "5"),
                ("price", "10"),
                ("price", "11.5"),
                ("price", "free"),
                ("c_area", "shop"),
                ("c_area", "home"),
            ]);
            event.signals.push(key, value);
        }
    }
    event.traits = some_traits(random, catalog, 40);
    event.remove_traits = some_traits(random, catalog, 15);
    event
}

fn time(random: &mut Random, features: Features, at: Timestamp) -> Timestamp {
    if !features.late || !random.chance(20) {
        return at;
    }
    let early = match random.below(4) {
        0 if features.idle && random.chance(8) => 120 * DAY + random.between(-DAY, DAY),
        0 => random.between(1, 5),
        1 => random.between(1, DAY),
        2 => at.0 - at.day().start().0 + random.between(-1, 1),
        _ => random.between(1, 6) * DAY,
    };
    Timestamp((at.0 - early).min(at.0))
}

fn ids(random: &mut Random) -> Vec<DeclaredId> {
    let mut ids: Vec<DeclaredId> = Vec::new();
    if random.chance(35) {
        for _ in 0..random.between(1, 3) {
            let data_source = *random.pick(&catalog::DATA_SOURCES);
            let id: Box<str> = (*random.pick(&["u", "v", "w", "x|1", "y\"2"])).into();
            if ids
                .iter()
                .any(|other| other.data_source == data_source && other.id == id)
            {
                continue;
            }
            ids.push(DeclaredId {
                data_source,
                id,
                state: AuthState::Authenticated,
            });
        }
    }
    ids
}

fn some_traits(random: &mut Random, catalog: &Catalog, percent: i64) -> Vec<TraitId> {
    let mut traits = Vec::new();
    while traits.len() < 3 && random.chance(percent) {
        let one = random.pick(&catalog.traits);
        // A folder is realised through what it holds.
        if one.kind != TraitKind::Folder {
            traits.push(one.id);
        }
    }
    traits
}

/// A mapping of a destination that is paused is removed about a restart, and comes back with the end of the
/// pause: the catalog at the end.
fn unmapped_about_restart(
    random: &mut Random,
    version: &Arc<Version>,
    uuid: DeviceUuid,
    at: &mut Timestamp,
    happenings: &mut Vec<Happening>,
) -> Arc<Version> {
    let mapped = version.catalog.destinations.iter();
    let mapped: Vec<_> = (0..)
        .zip(mapped)
        .filter(|(_, one)| !one.mappings.is_empty())
        .map(|(place, _)| place)
        .collect();
    if mapped.is_empty() {
        return Arc::clone(version);
    }
    let place: usize = *random.pick(&mapped);
    let of = |status, is_mapped: &dyn Fn(&Mapping) -> bool| {
        let mut catalog = version.catalog.clone();
        for one in catalog.destinations.iter_mut().skip(place).take(1) {
            one.status = status;
            one.mappings.retain(is_mapped);
        }
        Version::new(catalog).map_or_else(|_| Arc::clone(version), Arc::new)
    };
    let mappings = version.catalog.destinations.get(place);
    let mappings = mappings.map_or(&[][..], |one| &one.mappings);
    let segment = random.pick(mappings).segment;
    let paused = of(Status::Paused, &|_| true);
    let unmapped = of(Status::Paused, &|one| one.segment != segment);
    let resumed = of(Status::Active, &|_| true);
    let mut whats = vec![What::Catalog(Arc::clone(&paused))];
    let read = version.read_by(segment).into_iter();
    let traits: Vec<TraitId> = read.flat_map(|id| version.counted(id)).collect();
    let event = |traits: &[TraitId], remove_traits: &[TraitId]| {
        What::Event(Box::new(Event {
            uuid: Some(uuid.clone()),
            traits: traits.to_vec(),
            remove_traits: remove_traits.to_vec(),
            ..Event::default()
        }))
    };
    whats.push(event(&traits, &[]));
    match random.below(4) {
        0 => whats.extend([What::Restart, What::Catalog(unmapped)]),
        1 => whats.push(What::RestartWith(unmapped)),
        2 => whats.extend([What::Catalog(unmapped), What::Restart]),
        _ => whats.extend([
            What::Catalog(unmapped),
            What::Catalog(paused),
            What::Restart,
        ]),
    }
    if random.chance(30) {
        whats.push(What::Restart);
    }
    if random.chance(70) {
        whats.push(event(&[], &traits));
    }
    whats.push(What::Catalog(Arc::clone(&resumed)));
    for what in whats {
        *at = at.plus_seconds(*random.pick(&[0, 1, 2, 61, DAY / 2, DAY]));
        let mut happening = Happening { at: *at, what };
        if let What::Event(event) = &mut happening.what {
            event.time = Some(*at);
        }
        happenings.push(happening);
    }
    resumed
}

/// A trait that no rule reads runs out, and then a version lets it live longer and has a rule read it. The
/// catalog comes back as it was.
fn longer_life(
    random: &mut Random,
    version: &Arc<Version>,
    uuid: DeviceUuid,
    at: &mut Timestamp,
    happenings: &mut Vec<Happening>,
) {
    let catalog = &version.catalog;
    let counted = |one: &&Trait| version.counted(one.id) == [one.id];
    let traits: Vec<&Trait> = catalog.traits.iter().filter(counted).collect();
    let mortal: Vec<&Trait> = traits
        .iter()
        .copied()
        .filter(|one| one.ttl_days > 0)
        .collect();
    if mortal.is_empty() || traits.len() < 2 {
        return;
    }
    let (id, days) = {
        let one = random.pick(&mortal);
        (one.id, i64::from(one.ttl_days))
    };
    let others = traits.iter().map(|one| one.id).filter(|other| *other != id);
    let other = *random.pick(&others.collect::<Vec<_>>());
    let read_by_all = |trait_id: TraitId| {
        let mut catalog = version.catalog.clone();
        for segment in &mut catalog.segments {
            segment.rule = format!("{trait_id}T");
        }
        catalog
    };
    let mut longer = read_by_all(id);
    for one in longer.traits.iter_mut().filter(|one| one.id == id) {
        one.ttl_days = random.pick(&[0, one.ttl_days + 40]).min(&120).to_owned();
    }
    let (Ok(unread), Ok(longer)) = (Version::new(read_by_all(other)), Version::new(longer)) else {
        return;
    };
    let event = Event {
        uuid: Some(uuid),
        traits: vec![id],
        ..Event::default()
    };
    let mut add = |at: Timestamp, what| happenings.push(Happening { at, what });
    add(*at, What::Catalog(Arc::new(unread)));
    let time = Some(*at);
    add(*at, What::Event(Box::new(Event { time, ..event })));
    *at = at.plus_seconds((days + random.between(0, 2)) * DAY);
    add(*at, What::Catalog(Arc::new(longer)));
    *at = at.plus_seconds(*random.pick(&[1, 61, DAY]));
    add(*at, What::Catalog(Arc::clone(version)));
}

/// The catalog with one thing changed.
fn changed(
    random: &mut Random,
    features: Features,
    version: &Arc<Version>,
    at: Timestamp,
) -> Arc<Version> {
    let mut catalog = version.catalog.clone();
    match random.below(9) {
        0 => {
            let other = catalog::catalog(random, features, at).traits;
            for (one, other) in catalog.traits.iter_mut().zip(other) {
                if random.chance(40) {
                    one.ttl_days = other.ttl_days;
                }
            }
        }
        1 => {
            for one in &mut catalog.segments {
                let new = rule::segment_rule(random, &catalog.traits);
                // A recency ends in `5D)`.
                let is_allowed = features.new_windows || !new.contains("D)");
                if random.chance(40) && is_allowed {
                    one.rule = new;
                }
            }
        }
        2 => {
            for one in &mut catalog.segments {
                if random.chance(40) {
                    one.status = match one.status {
                        Status::Active => Status::Paused,
                        Status::Paused => Status::Active,
                    };
                }
            }
        }
        3..6 if features.exports => export::change(random, &mut catalog),
        6 if features.refused_zeros && random.chance(40) => {
            for one in &mut catalog.destinations {
                if random.chance(40) {
                    one.supports_unsegment = !one.supports_unsegment;
                }
            }
        }
        7 if features.restarts => {
            for one in &mut catalog.destinations {
                if one.status == Status::Paused || random.chance(40) {
                    one.status = match one.status {
                        Status::Active => Status::Paused,
                        Status::Paused => Status::Active,
                    };
                }
            }
        }
        _ => {
            let segments = catalog.segments.clone();
            for one in &mut catalog.destinations {
                if random.chance(60) {
                    one.mappings = catalog::mappings(random, features, at, &segments);
                }
            }
        }
    }
    // A change that would break a rule is no change.
    Version::new(catalog).map_or_else(|_| Arc::clone(version), Arc::new)
}
