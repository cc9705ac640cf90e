//! What a seed stands for: the catalog, the work, the faults, and how often each happens.

use std::{fmt::Write as _, path::Path};
use tidings_catalog::Source;
use tidings_model::{Catalog, Timestamp};
use tidings_oracle::generate::Random;

/// The trait that every event realises and nothing removes: it counts the events of a device.
pub(crate) const COUNTER: u32 = 1;
/// The namespaces of every catalog.
pub(crate) const DATA_SOURCES: [u32; 2] = [101, 102];

/// One run, before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// What is configured, as people write it.
    pub yaml: String,
    pub(crate) catalog: Catalog,
    /// Where the clock begins.
    pub(crate) start: Timestamp,
    pub(crate) devices: u64,
    /// Events per phase; between two phases the clock may jump.
    pub(crate) phases: Vec<usize>,
    /// Milliseconds over which the events of a phase are sent.
    pub(crate) phase_millis: u64,
    /// Profiles in memory: few, so that rows are read back.
    pub(crate) profiles_max: usize,
    /// Crashes of the process in the whole run.
    pub(crate) crashes: usize,
    /// Percent of commits that take seconds.
    pub(crate) stalls: i64,
    /// Percent of mail in which hints are lost.
    pub(crate) lost_hints: i64,
    /// Percent of attempts that fail, per destination in the order of the catalog.
    pub(crate) failing: Vec<i64>,
    /// Stretches of time in which a destination answers nothing with success: which one, from when,
    /// until when, in milliseconds.
    pub(crate) outages: Vec<(usize, u64, u64)>,
}

impl Plan {
    /// The plan of a seed.
    ///
    /// # Panics
    /// If the generated catalog cannot be read, which is a mistake of the generator.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x7469_6469_6e67_7321);
        // Some evening, so that midnights are crossed.
        let start = Timestamp(1_469_577_600 + random.below(86_400));
        let destinations = count(random.between(2, 4));
        let yaml = yaml(&mut random, destinations);
        let catalog = read(&yaml);
        let phases: Vec<_> = (0..random.between(1, 3))
            .map(|_| count(random.between(10, 60)))
            .collect();
        let phase_millis = u64::try_from(random.between(2_000, 120_000)).unwrap_or(2_000);
        let failing = (0..destinations)
            .map(|_| *random.pick(&[0, 0, 5, 30, 70]))
            .collect();
        let outages = (0..random.below(3))
            .map(|_| {
                let which = count(random.below(4)) % destinations;
                let from = millis(random.below(120_000));
                (which, from, from + millis(random.between(5_000, 240_000)))
            })
            .collect();
        Self {
            seed,
            yaml,
            catalog,
            start,
            devices: u64::try_from(random.between(1, 12)).unwrap_or(1),
            phases,
            phase_millis,
            profiles_max: count(*random.pick(&[2, 4, 1_000])),
            crashes: count(*random.pick(&[0, 1, 2, 5])),
            stalls: *random.pick(&[0, 0, 2, 10]),
            lost_hints: *random.pick(&[0, 0, 5, 30]),
            failing,
            outages,
        }
    }
}

fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn millis(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn read(yaml: &str) -> Catalog {
    let source = Source {
        name: "catalog.yaml",
        text: yaml,
        directory: Path::new("."),
    };
    let read = tidings_catalog::read(source, |_| None).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        faults.join("\n")
    });
    read.expect("generated catalogs can be read").catalog
}

fn yaml(random: &mut Random, destinations: usize) -> String {
    let mut out = String::from("data_sources:\n");
    for id in DATA_SOURCES {
        line(
            &mut out,
            &format!("  - {{ id: {id}, name: ids {id}, kind: cookie }}"),
        );
    }
    out.push_str("traits:\n");
    line(&mut out, "  - { id: 1, name: counter, ttl_days: 0 }");
    for id in 2..=5 {
        let ttl = random.pick(&[0, 0, 1, 2]);
        line(
            &mut out,
            &format!("  - {{ id: {id}, name: t{id}, ttl_days: {ttl} }}"),
        );
    }
    out.push_str("segments:\n");
    let rules = [
        "2T",
        "3T AND NOT 4T",
        "2T OR 5T",
        "frequency([1T]) >= 3",
        "frequency([1T] <= 1D) >= 2",
        "4T AND 5T",
        "3T AND frequency([2T]) <= 1",
    ];
    for id in 1..=random.between(2, 5) {
        let rule = random.pick(&rules);
        line(
            &mut out,
            &format!("  - {{ id: {}, name: s{id}, rule: '{rule}' }}", 100 * id),
        );
    }
    let segments = out.matches("rule:").count();
    out.push_str("destinations:\n");
    for number in 1..=destinations {
        destination(random, &mut out, number, segments);
    }
    out
}

fn destination(random: &mut Random, out: &mut String, number: usize, segments: usize) {
    let mapped: Vec<_> = (1..=segments)
        .filter(|_| random.chance(70))
        .map(|id| format!("{{ segment: {} }}", 100 * id))
        .collect();
    let mapped = if mapped.is_empty() {
        "{ segment: 100 }".to_owned()
    } else {
        mapped.join(", ")
    };
    let namespaces = random.pick(&["[]", "[101]", "[102]", "[101, 102]"]);
    let linger = random.pick(&["0s", "100ms", "1s", "5s"]);
    let users = random.pick(&[1, 2, 10]);
    let failure = random.pick(&["hold", "hold", "drop"]);
    let maximum = random.pick(&[1, 1, 0]);
    let retries = random.pick(&[1, 1, 0, 2]);
    line(
        out,
        &format!(
            "  - {{ id: {}, name: d{number}, client_id: c{number}, \
             url: 'https://partner-{number}.example/segments', id_data_sources: {namespaces}, \
             max_users: {users}, max_linger: {linger}, after_failure: {failure}, \
             max_mappings: {maximum}, retries: {retries}, mappings: [ {mapped} ] }}",
            10 + number
        ),
    );
}

fn line(out: &mut String, text: &str) {
    // Writing to a string does not fail.
    let _written = writeln!(out, "{text}");
}
