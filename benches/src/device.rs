//! Devices by number: their ids, what is known of them before a measurement, and the events that move
//! them in and out of a segment.
//!
//! A known device has 20 traits from three days, five segments and two synced ids: the profile that
//! the store is designed for.

use crate::catalog::{COOKIES, GROUPS, TRAITS_PER_DEVICE, Toggle, trait_of};
use tidings_model::{
    AuthState, DataSourceId, DeclaredId, DeviceUuid, Event, RegionId, Signals, Timestamp, TraitId,
    time::DAY_SECONDS,
};

/// Namespace of the second id: a global one, whose ids have the form of an advertising id.
const ADVERTISING_IDS: DataSourceId = DataSourceId(20914);
/// How long ago the events of a known device were.
const DAYS_AGO: [i64; 3] = [20, 3, 0];
/// Events that make a device known.
pub const KNOWN_EVENTS: u64 = DAYS_AGO.len() as u64;

/// A number that looks random, the same for the same input (the finaliser of SplitMix64).
#[must_use]
pub const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The id of a device: canonical, and spread over all ids.
#[must_use]
pub fn uuid(device: u64) -> DeviceUuid {
    let mut bytes = [0; 16];
    let (low, high) = bytes.split_at_mut(8);
    low.copy_from_slice(&mix(device).to_le_bytes());
    high.copy_from_slice(&mix(!device).to_le_bytes());
    DeviceUuid::from_random(bytes)
}

/// The id that destinations are told: 24 characters, the last eight of them the device's number.
#[must_use]
pub fn cookie(device: u64) -> String {
    format!("{:016x}{device:08}", mix(device ^ 0xc00c))
}

/// The device that has this cookie.
#[must_use]
pub fn of_cookie(cookie: &str) -> Option<usize> {
    cookie.get(16..)?.parse().ok()
}

fn advertising_id(device: u64) -> String {
    let high = mix(device ^ 0xad);
    let low = mix(high);
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}

/// The events that make a device known at `now`, oldest first.
pub fn known(device: u64, now: Timestamp) -> impl Iterator<Item = Event> {
    let [group, second, third, ..] = mix(device).to_le_bytes();
    let group = u32::from(group) % GROUPS;
    let of_day = i64::from(u16::from_le_bytes([second, third]));
    (0u32..).zip(DAYS_AGO).map(move |(event, days)| {
        // What happened today may not be in the future.
        let seconds_ago = days * DAY_SECONDS + of_day % 3600;
        let traits = (0..TRAITS_PER_DEVICE)
            .filter(|place| u64::from(place % 3) == u64::from(event))
            .map(|place| TraitId(trait_of(group, place)));
        Event {
            uuid: Some(uuid(device)),
            time: Some(now.plus_seconds(-seconds_ago)),
            region: Some(RegionId(9)),
            traits: traits.collect(),
            ids: if event == 0 { ids(device) } else { Vec::new() },
            ..Event::default()
        }
    })
}

fn ids(device: u64) -> Vec<DeclaredId> {
    let id = |data_source, id: String| DeclaredId {
        data_source,
        id: id.into(),
        state: AuthState::Authenticated,
    };
    vec![
        id(DataSourceId(COOKIES), cookie(device)),
        id(ADVERTISING_IDS, advertising_id(device)),
    ]
}

/// The event by which a device enters the toggle's segment: a page view that a rule matches.
#[must_use]
pub fn enters(device: u64, toggle: Toggle) -> Event {
    let price = format!("{}.50", device % 90 + 10);
    Event {
        uuid: Some(uuid(device)),
        signals: signals(&[("page", toggle.page), ("area", "shop"), ("price", &price)]),
        ..Event::default()
    }
}

/// The event by which a device leaves the toggle's segment: a page view that removes the trait.
#[must_use]
pub fn leaves(device: u64, toggle: Toggle) -> Event {
    Event {
        uuid: Some(uuid(device)),
        signals: signals(&[("page", "home"), ("area", "shop")]),
        remove_traits: vec![TraitId(toggle.id)],
        ..Event::default()
    }
}

fn signals(pairs: &[(&str, &str)]) -> Signals {
    let mut signals = Signals::default();
    for (key, value) in pairs {
        signals.push(key, value);
    }
    signals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_names_its_device() {
        for device in [0, 7, 199_999] {
            let found = of_cookie(&cookie(device)).map(|device| device as u64);
            assert_eq!(found, Some(device));
        }
        assert_eq!(of_cookie("short"), None);
    }

    #[test]
    fn a_known_device_has_all_its_traits_and_ids() {
        let events: Vec<_> = known(5, Timestamp(1_795_392_000)).collect();
        assert_eq!(events.len() as u64, KNOWN_EVENTS);
        let traits: usize = events.iter().map(|event| event.traits.len()).sum();
        assert_eq!(traits, TRAITS_PER_DEVICE as usize);
        let ids: usize = events.iter().map(|event| event.ids.len()).sum();
        assert_eq!(ids, 2);
    }
}
