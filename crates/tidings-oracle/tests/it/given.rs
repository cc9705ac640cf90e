//! Cases written by hand, as the files of a dry run.

use std::{path::Path, sync::Arc};
use tidings_catalog::Source;
use tidings_collect::{Line, Subject, parse_line};
use tidings_model::{Event, Timestamp};
use tidings_oracle::{Case, Features, Happening, Version, What};

/// The device of cases that have only one.
pub(crate) const DEVICE: &str = "00000000000000000000000000000000000001";

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A catalog in YAML.
pub(crate) fn version(yaml: &str) -> Arc<Version> {
    let source = Source {
        name: "catalog.yaml",
        text: yaml,
        directory: Path::new("."),
    };
    let loaded = tidings_catalog::read(source, |_| None).unwrap_or_else(|faults| {
        panic!("{faults:?}");
    });
    Arc::new(Version::new(loaded.catalog).unwrap())
}

/// Events, one a line, each at its `time`. `DEVICE` in a line stands for its id.
pub(crate) fn case(features: Features, yaml: &str, lines: &str, until: &str) -> Case {
    let happenings: Vec<Happening> = lines
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| happening(&line.replace("DEVICE", DEVICE)))
        .collect();
    Case {
        features,
        version: version(yaml),
        start: happenings.first().unwrap().at,
        happenings,
        end: at(until),
    }
}

fn happening(line: &str) -> Happening {
    let line = parse_line(line).unwrap();
    let at = line.time();
    let what = match line {
        Line::Event(event) => What::Event(Box::new(event)),
        Line::OptOut {
            who: Subject::Device(uuid),
            ..
        } => What::OptOut(uuid),
        Line::Delete {
            who: Subject::Device(uuid),
            ..
        } => What::Delete(uuid),
        Line::OptOut { who, .. } | Line::Delete { who, .. } => {
            panic!("{who:?}: the oracle knows requests by device only")
        }
        Line::Catalog { file, .. } => panic!("{file:?}: catalogs are given in code"),
    };
    Happening { at, what }
}

/// The device is seen at this instant, and these traits are realised.
pub(crate) fn seen(when: &str, traits: &[u32]) -> Happening {
    let event = Event {
        uuid: Some(DEVICE.parse().unwrap()),
        time: Some(at(when)),
        traits: traits
            .iter()
            .map(|id| tidings_model::TraitId(*id))
            .collect(),
        ..Event::default()
    };
    Happening {
        at: at(when),
        what: What::Event(Box::new(event)),
    }
}
