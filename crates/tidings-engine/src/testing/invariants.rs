//! Everything a profile promises, checked.

use crate::{CompiledCatalog, DestinationState, IdKey, Profile, realise, time};
use std::collections::{BTreeMap, BTreeSet};
use tidings_model::limits;

/// Panics when the profile breaks a promise.
#[track_caller]
pub(crate) fn check(catalog: &CompiledCatalog, profile: &Profile) {
    check_lists(profile);
    check_limits(profile);
    if profile.generation == catalog.generation() {
        check_traits(catalog, profile);
        check_timer(catalog, profile);
    }
    for state in &profile.destinations {
        check_destination(profile, state);
    }
}

#[track_caller]
fn ascending<T: Ord + std::fmt::Debug>(items: impl Iterator<Item = T>) {
    let items: Vec<_> = items.collect();
    assert!(items.is_sorted_by(|a, b| a < b), "{items:?}");
}

#[track_caller]
fn check_lists(profile: &Profile) {
    ascending(profile.traits.iter().map(|state| state.id));
    for state in &profile.traits {
        ascending(state.days.iter().map(|count| count.day));
        assert!(state.days.iter().all(|count| count.count > 0));
        assert!(state.older > 0 || !state.days.is_empty(), "{state:?}");
    }
    ascending(profile.ids.iter().map(|id| id.key));
    let names: BTreeSet<_> = profile
        .ids
        .iter()
        .map(|id| (id.data_source, &id.id))
        .collect();
    assert_eq!(names.len(), profile.ids.len(), "{:?}", profile.ids);
    ascending(profile.segments.iter().map(|state| state.id));
    ascending(profile.destinations.iter().map(|state| state.id));
    let regions: BTreeSet<_> = profile.regions.iter().collect();
    assert_eq!(regions.len(), profile.regions.len());
}

#[track_caller]
fn check_limits(profile: &Profile) {
    let mut links = BTreeMap::new();
    for id in profile.ids.iter().filter(|id| id.linked) {
        *links.entry(id.data_source).or_insert(0) += 1;
    }
    assert!(
        links
            .values()
            .all(|&n| n <= limits::LINKS_PER_DATA_SOURCE_MAX)
    );
    assert!(profile.ids.len() <= limits::PROFILE_IDS_MAX);
    assert!(profile.traits.len() <= limits::PROFILE_TRAITS_MAX);
    assert!(profile.regions.len() <= limits::PROFILE_REGIONS_MAX);
    assert!(profile.event_ids.len() <= limits::PROFILE_EVENT_IDS_MAX);
}

#[track_caller]
fn check_traits(catalog: &CompiledCatalog, profile: &Profile) {
    for state in &profile.traits {
        let compiled = catalog.trait_(state.id).expect("it exists");
        let end = realise::expiry(state.last, compiled.ttl_days);
        assert!(
            end.is_none_or(|end| profile.evaluated < end),
            "{state:?} was not live at {}",
            profile.evaluated
        );
    }
}

/// Never too late, and none without a reason.
#[track_caller]
fn check_timer(catalog: &CompiledCatalog, profile: &Profile) {
    let next = time::next_change(catalog, profile);
    match (profile.wake_at, next) {
        (Some(at), Some(next)) => assert!(at <= next, "woken at {at}, changes at {next}"),
        (None, Some(next)) => panic!("never woken, changes at {next}"),
        (Some(at), None) => panic!("woken at {at} for nothing"),
        (None, None) => {}
    }
}

#[track_caller]
fn check_destination(profile: &Profile, state: &DestinationState) {
    ascending(state.told.iter());
    ascending(state.told_ids.iter());
    ascending(state.owed.iter());
    let is_in = |segment| profile.segments.iter().any(|state| state.id == segment);
    for &segment in &state.told {
        let owed = state.owed.iter().any(|zero| zero.segment == segment);
        assert!(is_in(segment) != owed, "{segment} in {state:?}");
    }
    for zero in &state.owed {
        assert!(!is_in(zero.segment), "{zero:?}");
        assert!(state.told.contains(&zero.segment), "{zero:?}");
    }
    let exists = |key: IdKey| profile.ids.binary_search_by_key(&key, |id| id.key).is_ok();
    assert!(state.told_ids.iter().all(|&key| exists(key)), "{state:?}");
    assert!(state.owed.iter().all(|zero| exists(zero.id)), "{state:?}");
    if let Some(pending) = &state.pending {
        ascending(pending.parts.iter());
        assert!(!pending.parts.is_empty());
    }
}
