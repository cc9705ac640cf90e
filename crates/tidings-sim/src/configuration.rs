//! Catalogs: one is drawn, the next ones are changes of it, and all are written as people write them.

use std::{fmt::Write as _, path::Path};
use tidings_catalog::Source;
use tidings_model::{Catalog, UtcDay};
use tidings_oracle::generate::Random;

/// The namespaces of every catalog.
pub(crate) const DATA_SOURCES: [u32; 2] = [101, 102];
/// Destinations of a catalog, at most.
const DESTINATIONS_MAX: usize = 5;
/// Segments of a catalog, at most.
const SEGMENTS_MAX: usize = 6;

const RULES: [&str; 7] = [
    "2T",
    "3T AND NOT 4T",
    "2T OR 5T",
    "frequency([1T]) >= 3",
    "frequency([1T] <= 1D) >= 2",
    "4T AND 5T",
    "3T AND frequency([2T]) <= 1",
];

/// A version of the catalog.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// As people write it.
    pub(crate) yaml: String,
    /// As it is read.
    pub(crate) catalog: Catalog,
}

/// What is configured.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    traits: Vec<u32>,
    segments: Vec<Segment>,
    destinations: Vec<Destination>,
    /// Destinations that left, and may come back.
    gone: Vec<Destination>,
    /// Segments and destinations so far: numbers are not used twice.
    numbers: (u32, usize),
    /// The minute of the day at which it all begins.
    minute: i64,
}

#[derive(Clone, Debug)]
struct Segment {
    id: u32,
    rule: &'static str,
    paused: bool,
}

#[derive(Clone, Debug)]
struct Destination {
    number: usize,
    namespaces: &'static str,
    linger: &'static str,
    users: u32,
    failure: &'static str,
    maximum: u32,
    retries: u32,
    paused: bool,
    /// Minute of the day of its batches.
    batch: Option<i64>,
    mappings: Vec<Mapping>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    segment: u32,
    start: Option<UtcDay>,
    end: Option<UtcDay>,
}

impl Configuration {
    /// Draws the first one, of so many destinations, in use from this minute of a day on.
    pub(crate) fn draw(random: &mut Random, destinations: usize, minute: i64) -> Self {
        let traits = (2..=5).map(|_| *random.pick(&[0, 0, 1, 2])).collect();
        let mut drawn = Self {
            traits,
            segments: Vec::new(),
            destinations: Vec::new(),
            gone: Vec::new(),
            numbers: (0, 0),
            minute,
        };
        for _ in 0..random.between(2, 5) {
            drawn.add_segment(random);
        }
        for _ in 0..destinations {
            drawn.add_destination(random);
        }
        drawn
    }

    fn add_segment(&mut self, random: &mut Random) {
        self.numbers.0 += 1;
        self.segments.push(Segment {
            id: 100 * self.numbers.0,
            rule: one_of(random, &RULES),
            paused: false,
        });
    }

    fn add_destination(&mut self, random: &mut Random) {
        self.numbers.1 += 1;
        let ids = self.segments.iter().map(|one| one.id);
        let mut mapped: Vec<_> = ids.filter(|_| random.chance(70)).collect();
        if mapped.is_empty() {
            mapped.extend(self.segments.first().map(|one| one.id));
        }
        let batch = random.chance(50).then(|| batch(random, self.minute));
        self.destinations.push(Destination {
            number: self.numbers.1,
            namespaces: one_of(random, &["[]", "[101]", "[102]", "[101, 102]"]),
            linger: one_of(random, &["0s", "100ms", "1s", "5s"]),
            users: *random.pick(&[1, 2, 10]),
            failure: one_of(random, &["hold", "hold", "drop"]),
            maximum: *random.pick(&[1, 1, 0]),
            retries: *random.pick(&[1, 1, 0, 2]),
            paused: false,
            batch,
            mappings: mapped.into_iter().map(Mapping::always).collect(),
        });
    }

    /// The operator changes something, on some day.
    pub(crate) fn change(&mut self, random: &mut Random, day: UtcDay) {
        for _ in 0..random.between(1, 2) {
            match random.below(10) {
                0 if self.segments.len() < SEGMENTS_MAX => {
                    self.add_segment(random);
                    let id = self.segments.last().map(|one| one.id);
                    for one in &mut self.destinations {
                        if random.chance(60) {
                            one.mappings.extend(id.map(Mapping::always));
                        }
                    }
                }
                0 | 1 => self.remove_segment(random),
                2 => {
                    let rule = one_of(random, &RULES);
                    if let Some(one) = any(random, &mut self.segments) {
                        one.rule = rule;
                    }
                }
                3 => {
                    if let Some(one) = any(random, &mut self.segments) {
                        one.paused = !one.paused;
                    }
                }
                4 => self.map_or_unmap(random),
                5 | 6 => self.date_mapping(random, day),
                7 => {
                    let position =
                        random.below(i64::try_from(self.destinations.len()).unwrap_or(1));
                    if self.destinations.len() > 1 {
                        let position = usize::try_from(position).unwrap_or(0);
                        self.gone.push(self.destinations.remove(position));
                    }
                }
                8 if !self.gone.is_empty() => self.destinations.append(&mut self.gone),
                8 if self.numbers.1 < DESTINATIONS_MAX => self.add_destination(random),
                _ => self.change_destination(random),
            }
        }
        let segments = &self.segments;
        let exists = |one: &Mapping| segments.iter().any(|segment| segment.id == one.segment);
        for one in &mut self.destinations {
            one.mappings.retain(exists);
        }
    }

    fn remove_segment(&mut self, random: &mut Random) {
        if self.segments.len() > 1 {
            let position = random.below(i64::try_from(self.segments.len()).unwrap_or(1));
            self.segments.remove(usize::try_from(position).unwrap_or(0));
        }
    }

    fn map_or_unmap(&mut self, random: &mut Random) {
        let Some(segment) = any(random, &mut self.segments).map(|one| one.id) else {
            return;
        };
        let Some(one) = any(random, &mut self.destinations) else {
            return;
        };
        let before = one.mappings.len();
        one.mappings.retain(|mapping| mapping.segment != segment);
        if one.mappings.len() == before {
            one.mappings.push(Mapping::always(segment));
        }
    }

    fn date_mapping(&mut self, random: &mut Random, day: UtcDay) {
        let Some(one) = any(random, &mut self.destinations) else {
            return;
        };
        let start = random
            .chance(50)
            .then(|| days_after(day, random.between(-2, 2)));
        let from = start.unwrap_or(day);
        let end = random
            .chance(60)
            .then(|| days_after(from, random.between(1, 3)));
        if let Some(mapping) = any(random, &mut one.mappings) {
            (mapping.start, mapping.end) = (start, end);
        }
    }

    fn change_destination(&mut self, random: &mut Random) {
        let Some(one) = any(random, &mut self.destinations) else {
            return;
        };
        match random.below(5) {
            4 => one.batch = one.batch.is_none().then(|| batch(random, self.minute)),
            0 => one.paused = !one.paused,
            1 => one.users = *random.pick(&[1, 2, 10]),
            2 => one.linger = one_of(random, &["0s", "1s", "5s"]),
            _ => one.retries = *random.pick(&[0, 1, 2]),
        }
    }

    /// Nothing is paused by the catalog any more that would keep work back for ever.
    pub(crate) fn resume(&mut self) {
        for one in &mut self.destinations {
            one.paused = false;
        }
    }

    /// The version that this is.
    pub(crate) fn version(&self) -> Version {
        let yaml = self.yaml();
        let catalog = read(&yaml);
        Version { yaml, catalog }
    }

    fn yaml(&self) -> String {
        let mut out = String::from("data_sources:\n");
        for id in DATA_SOURCES {
            let text = format!("  - {{ id: {id}, name: ids {id}, kind: cookie }}");
            line(&mut out, &text);
        }
        out.push_str("traits:\n");
        line(&mut out, "  - { id: 1, name: counter, ttl_days: 0 }");
        for (id, ttl) in (2..).zip(&self.traits) {
            let text = format!("  - {{ id: {id}, name: t{id}, ttl_days: {ttl} }}");
            line(&mut out, &text);
        }
        out.push_str("segments:\n");
        for Segment { id, rule, paused } in &self.segments {
            let status = status(*paused);
            let text = format!("  - {{ id: {id}, name: s{id}, status: {status}, rule: '{rule}' }}");
            line(&mut out, &text);
        }
        out.push_str("destinations:\n");
        for one in &self.destinations {
            line(&mut out, &one.yaml());
        }
        out
    }
}

impl Destination {
    fn yaml(&self) -> String {
        let Self {
            number,
            namespaces,
            linger,
            users,
            failure,
            maximum,
            retries,
            batch,
            ..
        } = self;
        let id = 10 + number;
        let status = status(self.paused);
        let mappings: Vec<_> = self.mappings.iter().map(Mapping::yaml).collect();
        let mappings = mappings.join(", ");
        let batch = batch.map_or_else(String::new, |minute| {
            let (hour, minute) = (minute / 60, minute % 60);
            format!(", batch: {{ every: 24h, at: '{hour:02}:{minute:02}' }}")
        });
        format!(
            "  - {{ id: {id}, name: d{number}, client_id: c{number}, status: {status}, \
             url: 'https://partner-{number}.example/segments', id_data_sources: {namespaces}, \
             max_users: {users}, max_linger: {linger}, after_failure: {failure}, \
             max_mappings: {maximum}, retries: {retries}{batch}, mappings: [ {mappings} ] }}"
        )
    }
}

impl Mapping {
    const fn always(segment: u32) -> Self {
        Self {
            segment,
            start: None,
            end: None,
        }
    }

    fn yaml(&self) -> String {
        let mut text = format!("{{ segment: {}", self.segment);
        for (key, day) in [("start", self.start), ("end", self.end)] {
            if let Some(day) = day {
                // Writing to a string does not fail.
                let _written = write!(text, ", {key}: {day}");
            }
        }
        text + " }"
    }
}

fn any<'a, T>(random: &mut Random, from: &'a mut [T]) -> Option<&'a mut T> {
    let position = random.below(i64::try_from(from.len()).unwrap_or(0));
    from.get_mut(usize::try_from(position).unwrap_or(0))
}

/// The minute of the day of a destination's batches: soon after the beginning, or at any other time.
fn batch(random: &mut Random, beginning: i64) -> i64 {
    let soon = beginning + random.between(1, 3);
    let any = random.below(1_440);
    *random.pick(&[soon % 1_440, any])
}

fn days_after(day: UtcDay, days: i64) -> UtcDay {
    day.plus_days(i32::try_from(days).unwrap_or(0))
}

fn one_of(random: &mut Random, texts: &[&'static str]) -> &'static str {
    random.pick::<&'static str>(texts)
}

const fn status(paused: bool) -> &'static str {
    if paused { "paused" } else { "active" }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn read(yaml: &str) -> Catalog {
    let source = Source {
        name: "catalog.yaml",
        text: yaml,
        directory: Path::new("."),
    };
    let read = tidings_catalog::read(source, |_| None).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        format!("{}\n{yaml}", faults.join("\n"))
    });
    read.expect("generated catalogs can be read").catalog
}
