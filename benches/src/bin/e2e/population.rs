//! The events of a run as request bodies, one line of JSON each.

use bytes::Bytes;
use std::fmt::Write as _;
use tidings_benches::{
    catalog::{TOGGLES, Toggle},
    device,
};
use tidings_model::{Event, Timestamp};

/// What the receiver that is a process of its own is told about, for throughput.
pub(crate) const FAST: Toggle = TOGGLES[0];
/// What the receiver in this process is told about, for latency.
pub(crate) const TIMED: Toggle = TOGGLES[1];

/// Bytes of a line, roughly.
const LINE_BYTES: usize = 160;

/// The events that make devices known.
pub(crate) fn known(devices: impl Iterator<Item = u64>, now: Timestamp) -> Bytes {
    let mut out = String::new();
    for device in devices {
        device::known(device, now).for_each(|event| write(&event, &mut out));
    }
    out.into()
}

/// Events `first..first + count` of a toggle. They visit one device after the other; every device
/// enters the segment in the first round, leaves it in the second, and so on.
pub(crate) fn toggled(toggle: Toggle, first: u64, count: u64, devices: u64) -> Bytes {
    let mut out = String::with_capacity(usize::try_from(count).unwrap_or(0) * LINE_BYTES);
    for number in first..first + count {
        let (device, round) = (number % devices, number / devices);
        let event = if round.is_multiple_of(2) {
            device::enters(device, toggle)
        } else {
            device::leaves(device, toggle)
        };
        write(&event, &mut out);
    }
    out.into()
}

/// Appends an event as a line. All of ours have an id of the device, and no text needs escapes.
fn write(event: &Event, out: &mut String) {
    let mut put = |arguments: std::fmt::Arguments<'_>| {
        out.write_fmt(arguments).expect("text takes everything");
    };
    put(format_args!("{{"));
    if let Some(uuid) = &event.uuid {
        put(format_args!(r#""uuid":"{uuid}""#));
    }
    if let Some(time) = event.time {
        put(format_args!(r#","time":"{time}""#));
    }
    if let Some(region) = event.region {
        put(format_args!(r#","region":{region}"#));
    }
    list(
        &mut put,
        r#","signals":{"#,
        event.signals.iter(),
        "}",
        |put, (key, value)| {
            put(format_args!(r#""{key}":"{value}""#));
        },
    );
    for (name, traits) in [
        (r#","traits":["#, &event.traits),
        (r#","remove_traits":["#, &event.remove_traits),
    ] {
        list(&mut put, name, traits.iter(), "]", |put, id| {
            put(format_args!("{id}"))
        });
    }
    list(&mut put, r#","ids":["#, event.ids.iter(), "]", |put, id| {
        let (data_source, id) = (id.data_source, &id.id);
        put(format_args!(
            r#"{{"data_source":{data_source},"id":"{id}"}}"#
        ));
    });
    put(format_args!("}}\n"));
}

/// Writes a member that holds a list, unless that is empty.
fn list<T, P: FnMut(std::fmt::Arguments<'_>)>(
    put: &mut P,
    begin: &str,
    items: impl Iterator<Item = T>,
    end: &str,
    mut write: impl FnMut(&mut P, T),
) {
    let mut is_first = true;
    for item in items {
        put(format_args!("{}", if is_first { begin } else { "," }));
        is_first = false;
        write(put, item);
    }
    if !is_first {
        put(format_args!("{end}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(body: &Bytes) -> Vec<serde_json::Value> {
        let text = str::from_utf8(body).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn devices_enter_in_one_round_and_leave_in_the_next() {
        let events = lines(&toggled(FAST, 1, 4, 3));
        let leaves: Vec<_> = events
            .iter()
            .map(|event| event.get("remove_traits").is_some())
            .collect();
        assert_eq!(leaves, [false, false, true, true]);
        assert_eq!(events[0]["uuid"], device::uuid(1).to_string());
        assert_eq!(events[2]["uuid"], device::uuid(0).to_string());
        assert_eq!(events[0]["signals"]["page"], "checkout");
    }

    #[test]
    fn known_devices_come_with_traits_and_ids() {
        let events = lines(&known(5..7, Timestamp(1_795_392_000)));
        assert_eq!(events.len() as u64, 2 * device::KNOWN_EVENTS);
        assert_eq!(events[0]["traits"].as_array().unwrap().len(), 7);
        assert_eq!(events[0]["ids"][0]["id"], device::cookie(5));
        assert_eq!(events[0]["ids"][0]["data_source"], 12345);
        assert!(events[0]["time"].is_string());
    }
}
