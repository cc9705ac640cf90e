//! Makes a failing case smaller: whatever can be left out without making it pass is left out.

use crate::{Case, Happening, Version, What};
use std::sync::Arc;
use tidings_model::{Catalog, Event, ExportUses, Segment, Signals, Status, TraitId};

/// Candidates tried at most; a case that is still large then is printed as it is.
const TRIES_MAX: usize = 20_000;

/// The smallest case found for which `fails` still holds. It must hold for `case`.
pub fn shrink(case: Case, fails: impl Fn(&Case) -> bool) -> Case {
    let mut smallest = case;
    let mut tries = 0;
    loop {
        let found = candidates(&smallest)
            .take(TRIES_MAX - tries)
            .find(|candidate| {
                tries += 1;
                fails(candidate)
            });
        match found {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

/// Cases that are a little smaller, those that leave out most first.
fn candidates(case: &Case) -> impl Iterator<Item = Case> {
    without_happenings(case)
        .chain(smaller_catalogs(case))
        .chain(simpler_happenings(case))
        .chain(earlier_ends(case))
}

fn without_happenings(case: &Case) -> impl Iterator<Item = Case> {
    let count = case.happenings.len();
    let sizes = std::iter::successors(Some(count / 2), |size| Some(size / 2));
    let sizes = sizes.take_while(|size| *size > 0);
    sizes.flat_map(move |size| {
        (0..count).step_by(size).map(move |from| {
            let mut smaller = case.clone();
            smaller.happenings.drain(from..(from + size).min(count));
            smaller
        })
    })
}

fn earlier_ends(case: &Case) -> impl Iterator<Item = Case> {
    let last = case.happenings.last().map_or(case.start, |one| one.at);
    [last, last.plus_seconds(61), last.plus_seconds(86_400)]
        .into_iter()
        .filter(|end| *end < case.end)
        .map(|end| Case {
            end,
            ..case.clone()
        })
}

fn simpler_happenings(case: &Case) -> impl Iterator<Item = Case> {
    case.happenings
        .iter()
        .enumerate()
        .flat_map(move |(index, happening)| {
            let simpler = match &happening.what {
                What::Event(event) => simpler_events(event, happening),
                _ => Vec::new(),
            };
            simpler.into_iter().map(move |event| {
                let mut smaller = case.clone();
                if let Some(place) = smaller.happenings.get_mut(index) {
                    place.what = What::Event(Box::new(event));
                }
                smaller
            })
        })
}

fn simpler_events(event: &Event, happening: &Happening) -> Vec<Event> {
    let mut simpler = Vec::new();
    let mut add = |change: &dyn Fn(&mut Event)| {
        let mut changed = event.clone();
        change(&mut changed);
        if changed != *event {
            simpler.push(changed);
        }
    };
    add(&|event| event.time = Some(happening.at));
    add(&|event| event.region = None);
    add(&|event| event.event_id = None);
    add(&|event| event.signals = Signals::default());
    for index in 0..event.signals.len() {
        add(&|event| event.signals = without(&event.signals, index));
    }
    for index in 0..event.traits.len() {
        add(&|event| event.traits = all_but(&event.traits, index));
    }
    for index in 0..event.remove_traits.len() {
        add(&|event| event.remove_traits = all_but(&event.remove_traits, index));
    }
    // An event needs a device.
    if event.uuid.is_some() || event.ids.len() > 1 {
        for index in 0..event.ids.len() {
            add(&|event| drop(event.ids.remove(index)));
        }
    }
    simpler
}

fn all_but(traits: &[TraitId], index: usize) -> Vec<TraitId> {
    let (before, after) = traits.split_at(index);
    before.iter().chain(after.iter().skip(1)).copied().collect()
}

fn without(signals: &Signals, index: usize) -> Signals {
    let mut fewer = Signals::default();
    for (at, (key, value)) in signals.iter().enumerate() {
        if at != index {
            fewer.push(key, value);
        }
    }
    fewer
}

/// Cases with one catalog smaller, or with a later catalog from the start.
fn smaller_catalogs(case: &Case) -> impl Iterator<Item = Case> {
    let later = case
        .happenings
        .iter()
        .enumerate()
        .filter_map(|(index, happening)| Some((index, happening.what.catalog()?)));
    let from_the_start = later.clone().map(|(index, version)| {
        let mut smaller = case.clone();
        smaller.version = Arc::clone(version);
        smaller.happenings.remove(index);
        smaller
    });
    let first = smaller_versions(&case.version).map(|version| Case {
        version,
        ..case.clone()
    });
    let later = later.flat_map(move |(index, version)| {
        smaller_versions(version).map(move |version| {
            let mut smaller = case.clone();
            if let Some(happening) = smaller.happenings.get_mut(index) {
                happening.what = match happening.what {
                    What::RestartWith(_) => What::RestartWith(version),
                    _ => What::Catalog(version),
                };
            }
            smaller
        })
    });
    from_the_start.chain(first).chain(later)
}

fn smaller_versions(version: &Version) -> impl Iterator<Item = Arc<Version>> {
    let catalog = &version.catalog;
    let mut smaller: Vec<Catalog> = Vec::new();
    let mut add = |change: &dyn Fn(&mut Catalog)| {
        let mut changed = catalog.clone();
        change(&mut changed);
        if changed != *catalog {
            smaller.push(changed);
        }
    };
    for index in 0..catalog.destinations.len() {
        add(&|catalog| drop(catalog.destinations.remove(index)));
    }
    for (index, segment) in catalog.segments.iter().enumerate() {
        add(&|catalog| {
            catalog.segments.remove(index);
            for destination in &mut catalog.destinations {
                destination.mappings.retain(|one| one.segment != segment.id);
            }
        });
        for rule in simpler_rules(segment) {
            add(&|catalog| {
                if let Some(segment) = catalog.segments.get_mut(index) {
                    segment.rule.clone_from(&rule);
                }
            });
        }
        add(&|catalog| {
            if let Some(segment) = catalog.segments.get_mut(index) {
                segment.status = Status::Active;
            }
        });
    }
    for index in 0..catalog.data_sources.len() {
        add(&|catalog| {
            if let Some(one) = catalog.data_sources.get_mut(index) {
                one.export_controls = ExportUses::default();
            }
        });
    }
    for index in 0..catalog.traits.len() {
        add(&|catalog| drop(catalog.traits.remove(index)));
        add(&|catalog| {
            if let Some(one) = catalog.traits.get_mut(index) {
                one.data_source = None;
            }
        });
        add(&|catalog| {
            if let Some(one) = catalog.traits.get_mut(index) {
                one.rule = None;
            }
        });
        add(&|catalog| {
            if let Some(one) = catalog.traits.get_mut(index) {
                one.ttl_days = 0;
            }
        });
    }
    for (index, destination) in catalog.destinations.iter().enumerate() {
        let mut set = |change: &dyn Fn(&mut tidings_model::Destination)| {
            add(&|catalog| {
                catalog
                    .destinations
                    .get_mut(index)
                    .into_iter()
                    .for_each(change)
            });
        };
        set(&|one| one.status = Status::Active);
        set(&|one| one.max_users = 10);
        set(&|one| one.max_linger = std::time::Duration::from_secs(1));
        set(&|one| one.max_mappings = 1);
        set(&|one| one.batch = None);
        set(&|one| one.supports_unsegment = true);
        set(&|one| one.export_labels = ExportUses::default());
        set(&|one| one.unsegment = tidings_model::Unsegment::Immediate);
        set(&|one| one.id_data_sources.truncate(1));
        for mapping in 0..destination.mappings.len() {
            set(&|one| drop(one.mappings.remove(mapping)));
            set(&|one| {
                if let Some(mapping) = one.mappings.get_mut(mapping) {
                    mapping.value = None;
                }
            });
            set(&|one| {
                if let Some(mapping) = one.mappings.get_mut(mapping) {
                    (mapping.start, mapping.end) = (None, None);
                }
            });
        }
    }
    smaller
        .into_iter()
        .filter(refers_to_what_exists)
        .filter_map(|catalog| Version::new(catalog).ok().map(Arc::new))
}

fn refers_to_what_exists(catalog: &Catalog) -> bool {
    let read = |rule: &str| -> Vec<u32> {
        let words = rule.split(|c: char| !c.is_ascii_alphanumeric());
        let words = words.filter_map(|word| word.strip_suffix(['T', 't']));
        words.filter_map(|digits| digits.parse().ok()).collect()
    };
    let traits = |id: &u32| catalog.traits.iter().any(|one| one.id.0 == *id);
    let rules = catalog
        .segments
        .iter()
        .all(|one| read(&one.rule).iter().all(traits));
    // The reader refuses one segment twice under one text for the same days.
    let mappings = catalog.destinations.iter().all(|destination| {
        let all = &destination.mappings;
        all.iter().enumerate().all(|(index, one)| {
            let mut before = all.iter().take(index);
            before.all(|other| {
                (&other.segment, &other.value) != (&one.segment, &one.value)
                    || matches!((other.end, one.start), (Some(end), Some(start)) if end <= start)
            })
        })
    });
    let folders = catalog.traits.iter().filter_map(|one| one.folder);
    rules && mappings && folders.into_iter().all(|folder| traits(&folder.0))
}

/// The rule cut off at one of its words; most are nonsense and are dropped by the reader.
fn simpler_rules(segment: &Segment) -> Vec<String> {
    const JOINTS: [&str; 5] = [" AND NOT ", " AND ", " OR ", " or ", " NOT "];
    let rule = segment.rule.as_str();
    let mut simpler = Vec::new();
    for joint in JOINTS {
        for (at, _) in rule.match_indices(joint) {
            let (left, right) = rule.split_at(at);
            let right = right.strip_prefix(joint).unwrap_or(right);
            simpler.extend([left.to_owned(), right.to_owned()]);
            let inner = |side: &str| side.trim_matches(['(', ')']).to_owned();
            simpler.extend([inner(left), inner(right)]);
        }
    }
    let trimmed = rule
        .strip_prefix('(')
        .and_then(|rule| rule.strip_suffix(')'));
    simpler.extend(trimmed.map(str::to_owned));
    simpler
}
