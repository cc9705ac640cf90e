//! The published tables of lifetimes, recency windows, expressions and send rules, row by row,
//! through `tidings simulate`. Each row of a snapshot bears the name of its row in the table.

use crate::{
    simulate::messages,
    support::program::{Files, tidings_in},
};
use insta::assert_snapshot;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write as _};

/// What one partner was told about one user, at one instant.
struct Told {
    time: String,
    destination: u64,
    id: String,
    /// `10=1 20=0`
    states: String,
}

/// Runs a simulation that must succeed; `catalogs` are `catalog.yaml` and further files for lines
/// that change the catalog.
#[track_caller]
fn told(catalogs: &[(&str, &str)], events: &str, until: &str) -> Vec<Told> {
    let files = Files::new(catalogs);
    files.write("events.ndjson", events);
    let line = format!("simulate --catalog catalog.yaml --events events.ndjson --until {until}");
    let ended = tidings_in(files.path(), &line);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{ended:?}");
    let mut told = Vec::new();
    for message in messages(&ended.stdout) {
        for user in message["body"]["Users"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let segments = user["Segments"].as_array().unwrap().iter();
            let states: Vec<_> = segments
                .map(|one| format!("{}={}", text(&one["Segment_ID"]), text(&one["Status"])))
                .collect();
            told.push(Told {
                time: text(&message["time"]),
                destination: message["destination"].as_u64().unwrap(),
                id: text(&user["DataPartner_UUID"]),
                states: states.join(" "),
            });
        }
    }
    told
}

/// A catalog of one partner, told of every segment as soon as something changes.
fn catalog(traits: &str, rules: &[&str]) -> String {
    let (mut segments, mut mappings) = (String::new(), String::new());
    for (id, rule) in (10..).step_by(10).zip(rules) {
        writeln!(segments, "  - {{ id: {id}, name: S{id}, rule: '{rule}' }}").unwrap();
        write!(mappings, "{{ segment: {id} }}, ").unwrap();
    }
    format!(
        "data_sources: [{{ id: 5, name: Cookies, kind: cookie }}]
traits: [{traits}]
segments:
{segments}destinations:
  - {{ id: 1, name: DSP, client_id: x, url: https://dsp.example/, id_data_sources: [5],
      max_linger: 0s, mappings: [{mappings}] }}
"
    )
}

/// A sighting of a device that realises these traits.
fn seen(time: &str, device: &str, traits: &str) -> String {
    let ids = format!(r#"[{{"data_source":5,"id":"{device}"}}]"#);
    format!("{{\"time\":\"{time}\",\"uuid\":\"1{device}\",\"traits\":[{traits}],\"ids\":{ids}}}\n")
}

/// One line: the row's name, then every message to the partner.
fn row(out: &mut String, name: &str, told: &[Told]) {
    writeln!(out, "{name}").unwrap();
    for Told { time, states, .. } in told {
        writeln!(out, "    {time} {states}").unwrap();
    }
}

/// Realises a trait of this lifetime once, and shows when its segment was entered and left.
fn ttl_row(out: &mut String, realised: &str, ttl_days: u32, sightings: &[&str]) {
    let catalog = catalog(
        &format!("{{ id: 1, name: A, ttl_days: {ttl_days} }}"),
        &["1T"],
    );
    let mut events = seen(realised, "1", "1");
    for time in sightings {
        events += &seen(time, "1", "");
    }
    let told = told(
        &[("catalog.yaml", &catalog)],
        &events,
        "2017-12-31T00:00:00Z",
    );
    row(out, &format!("{realised} | {ttl_days}"), &told);
}

#[test]
fn lifetimes() {
    let mut out = String::new();
    for (realised, ttl_days) in [
        ("2016-07-27T01:00:00Z", 1),
        ("2016-07-27T23:00:00Z", 1),
        ("2016-07-27T00:00:00Z", 1),
        ("2016-07-27T16:17:22Z", 1),
        ("2016-07-27T16:17:22Z", 30),
    ] {
        ttl_row(&mut out, realised, ttl_days, &[]);
    }
    // Seen in between, or the 120 days of inactivity would end on the same day. The refreshes are
    // those of the three-day rule.
    let often = ["2016-09-30T12:00:00Z"];
    ttl_row(&mut out, "2016-07-27T16:17:22Z", 120, &often);
    assert_snapshot!(out, @"
    2016-07-27T01:00:00Z | 1
        2016-07-27T01:00:00Z 10=1
        2016-07-29T00:00:00Z 10=0
    2016-07-27T23:00:00Z | 1
        2016-07-27T23:00:00Z 10=1
        2016-07-29T00:00:00Z 10=0
    2016-07-27T00:00:00Z | 1
        2016-07-27T00:00:00Z 10=1
        2016-07-29T00:00:00Z 10=0
    2016-07-27T16:17:22Z | 1
        2016-07-27T16:17:22Z 10=1
        2016-07-29T00:00:00Z 10=0
    2016-07-27T16:17:22Z | 30
        2016-07-27T16:17:22Z 10=1
        2016-08-27T00:00:00Z 10=0
    2016-07-27T16:17:22Z | 120
        2016-07-27T16:17:22Z 10=1
        2016-09-30T12:00:00Z 10=1
        2016-11-25T00:00:00Z 10=0
    ");
}

#[test]
fn a_lifetime_of_zero_days() {
    let mut out = String::new();
    // Never by TTL: a device that is seen stays in, one that is not leaves after 120 days.
    let often = [
        "2016-11-20T12:00:00Z",
        "2017-03-20T12:00:00Z",
        "2017-07-17T12:00:00Z",
    ];
    ttl_row(&mut out, "2016-07-27T16:17:22Z", 0, &often);
    ttl_row(&mut out, "2016-07-27T16:17:22Z", 0, &[]);
    ttl_row(&mut out, "2016-07-27T00:00:00Z", 0, &[]);
    assert_snapshot!(out, @"
    2016-07-27T16:17:22Z | 0
        2016-07-27T16:17:22Z 10=1
        2016-11-20T12:00:00Z 10=1
        2017-03-20T12:00:00Z 10=1
        2017-07-17T12:00:00Z 10=1
        2017-11-15T00:00:00Z 10=0
    2016-07-27T16:17:22Z | 0
        2016-07-27T16:17:22Z 10=1
        2016-11-25T00:00:00Z 10=0
    2016-07-27T00:00:00Z | 0
        2016-07-27T00:00:00Z 10=1
        2016-11-24T00:00:00Z 10=0
    ");
}

#[test]
fn the_lifetime_of_the_tenth_day() {
    // Trait 1 lives for 30 days from day 1 on, trait 2 for 15 days from day 10 on.
    let traits = "{ id: 1, name: A, ttl_days: 30 }, { id: 2, name: B, ttl_days: 15 }";
    let catalog = catalog(traits, &["2T", "1T AND 2T", "1T OR 2T"]);
    let events = seen("2016-07-01T09:00:00Z", "1", "1") + &seen("2016-07-10T18:30:00Z", "1", "2");
    let told = told(
        &[("catalog.yaml", &catalog)],
        &events,
        "2016-09-01T00:00:00Z",
    );
    let mut out = String::new();
    row(&mut out, "day 10, any time | 15", &told);
    assert_snapshot!(out, @"
    day 10, any time | 15
        2016-07-01T09:00:00Z 30=1
        2016-07-10T18:30:00Z 10=1 20=1 30=1
        2016-07-26T00:00:00Z 30=1 10=0 20=0
        2016-08-01T00:00:00Z 30=0
    ");
}

/// Which of the days from 20 September on a rule counts at an instant. Each has a device of its own
/// that realised each of the three traits on it; what the partner was told last is what counts.
fn days_counted(rule: &str, now: &str) -> String {
    let days: Vec<_> = (20..=30)
        .map(|day| format!("09-{day}"))
        .chain((1..=11).map(|day| format!("10-{day:02}")))
        .collect();
    let catalog = catalog(
        "{ id: 4, name: A, ttl_days: 0 }, { id: 8, name: B, ttl_days: 0 }, \
         { id: 55, name: C, ttl_days: 0 }",
        &[rule],
    );
    let mut events = String::new();
    for (place, day) in days.iter().enumerate() {
        for (minute, id) in [(0, "4"), (1, "8"), (2, "55")] {
            let time = format!("2016-{day}T00:0{minute}:00Z");
            events += &seen(&time, &place.to_string(), id);
        }
    }
    let mut states = BTreeMap::new();
    for one in told(&[("catalog.yaml", &catalog)], &events, now) {
        states.insert(one.id.parse::<usize>().unwrap(), one.states == "10=1");
    }
    let counted: Vec<_> = states
        .iter()
        .filter(|(_, counts)| **counts)
        .map(|(place, _)| *place)
        .collect();
    let (Some(&first), Some(&last)) = (counted.first(), counted.last()) else {
        return "none".to_owned();
    };
    assert_eq!(counted, (first..=last).collect::<Vec<_>>());
    format!("{} to {}", days[first], days[last])
}

#[test]
fn recency_windows() {
    let mut out = String::new();
    for rule in [
        "frequency([4T,8T,55T] <= 5D) >= 3",
        "frequency([4T,8T,55T] >= 5D) >= 3",
        "frequency([4T,8T,55T]) >= 3",
    ] {
        writeln!(out, "{rule}").unwrap();
        for now in [
            "2016-09-30T23:59:59Z",
            "2016-10-01T00:10:00Z",
            "2016-10-01T23:59:59Z",
            "2016-10-02T00:00:00Z",
            "2016-10-10T23:59:59Z",
            "2016-10-11T00:10:00Z",
            "2016-10-11T23:59:59Z",
            "2016-10-12T00:00:00Z",
        ] {
            writeln!(out, "    on {now}: {}", days_counted(rule, now)).unwrap();
        }
    }
    assert_snapshot!(out, @"
    frequency([4T,8T,55T] <= 5D) >= 3
        on 2016-09-30T23:59:59Z: 09-25 to 09-30
        on 2016-10-01T00:10:00Z: 09-26 to 10-01
        on 2016-10-01T23:59:59Z: 09-26 to 10-01
        on 2016-10-02T00:00:00Z: 09-27 to 10-01
        on 2016-10-10T23:59:59Z: 10-05 to 10-10
        on 2016-10-11T00:10:00Z: 10-06 to 10-11
        on 2016-10-11T23:59:59Z: 10-06 to 10-11
        on 2016-10-12T00:00:00Z: 10-07 to 10-11
    frequency([4T,8T,55T] >= 5D) >= 3
        on 2016-09-30T23:59:59Z: 09-20 to 09-25
        on 2016-10-01T00:10:00Z: 09-20 to 09-26
        on 2016-10-01T23:59:59Z: 09-20 to 09-26
        on 2016-10-02T00:00:00Z: 09-20 to 09-27
        on 2016-10-10T23:59:59Z: 09-20 to 10-05
        on 2016-10-11T00:10:00Z: 09-20 to 10-06
        on 2016-10-11T23:59:59Z: 09-20 to 10-06
        on 2016-10-12T00:00:00Z: 09-20 to 10-07
    frequency([4T,8T,55T]) >= 3
        on 2016-09-30T23:59:59Z: 09-20 to 09-30
        on 2016-10-01T00:10:00Z: 09-20 to 10-01
        on 2016-10-01T23:59:59Z: 09-20 to 10-01
        on 2016-10-02T00:00:00Z: 09-20 to 10-01
        on 2016-10-10T23:59:59Z: 09-20 to 10-10
        on 2016-10-11T00:10:00Z: 09-20 to 10-11
        on 2016-10-11T23:59:59Z: 09-20 to 10-11
        on 2016-10-12T00:00:00Z: 09-20 to 10-11
    ");
}

/// The traits of the table of expressions.
const EXPRESSION_TRAITS: &str =
    "{ id: 1000, name: Rule-based, ttl_days: 120 }, { id: 7, name: Onboarded, kind: onboarded }";

/// The realisations of the table of expressions, and these further ones of trait 1000.
fn expression_events(further: &[&str]) -> String {
    let mut events = seen("2016-07-25T23:00:00Z", "1", "7");
    for time in [
        "2016-07-26T08:00:00Z",
        "2016-07-26T09:00:00Z",
        "2016-07-28T08:00:00Z",
        "2016-07-28T09:00:00Z",
        "2016-07-28T10:00:00Z",
    ]
    .iter()
    .chain(further)
    {
        events += &seen(time, "1", "1000");
    }
    events
}

/// Everything that the rule makes the partner hear up to now, and what it knows then.
fn expression_row(out: &mut String, rule: &str, further: &[&str]) {
    let catalog = catalog(EXPRESSION_TRAITS, &[rule]);
    let events = expression_events(further);
    let told = told(
        &[("catalog.yaml", &catalog)],
        &events,
        "2016-07-29T12:00:00Z",
    );
    let now = told.last().is_some_and(|one| one.states == "10=1");
    row(out, &format!("{rule} | {now}"), &told);
}

#[test]
fn expressions() {
    let up_to_five = "frequency([1000T]) >= 1 AND frequency([1000T]) <= 5";
    let mut out = String::new();
    for rule in [
        "frequency([1000T]) >= 5",
        "frequency([1000T] <= 1D) >= 3",
        "(frequency([1000T] <= 2D) >= 5)",
        "frequency([1000T] >= 3D) == 2",
        up_to_five,
        "7T AND NOT 1000T",
    ] {
        expression_row(&mut out, rule, &[]);
    }
    out += "a sixth realization: R2\n";
    expression_row(&mut out, up_to_five, &["2016-07-29T11:00:00Z"]);
    assert_snapshot!(out, @"
    frequency([1000T]) >= 5 | true
        2016-07-28T10:00:00Z 10=1
    frequency([1000T] <= 1D) >= 3 | true
        2016-07-28T10:00:00Z 10=1
    (frequency([1000T] <= 2D) >= 5) | false
        2016-07-28T10:00:00Z 10=1
        2016-07-29T00:00:00Z 10=0
    frequency([1000T] >= 3D) == 2 | true
        2016-07-29T00:00:00Z 10=1
    frequency([1000T]) >= 1 AND frequency([1000T]) <= 5 | true
        2016-07-26T08:00:00Z 10=1
    7T AND NOT 1000T | false
        2016-07-25T23:00:00Z 10=1
        2016-07-26T08:00:00Z 10=0
    a sixth realization: R2
    frequency([1000T]) >= 1 AND frequency([1000T]) <= 5 | false
        2016-07-26T08:00:00Z 10=1
        2016-07-29T11:00:00Z 10=0
    ");
}

/// What `catalog check` says of these rules.
fn checked(rules: &[&str]) -> String {
    let traits = format!("{EXPRESSION_TRAITS}, {{ id: 5, name: A }}, {{ id: 6, name: B }}");
    let catalog = catalog(&traits, rules);
    let files = Files::new(&[("catalog.yaml", &catalog)]);
    tidings_in(files.path(), "catalog check catalog.yaml").shown()
}

#[test]
fn invalid_expressions() {
    assert_snapshot!(checked(&["frequency([7T]) >= 1"]), @"
    catalog.yaml:4: segments[0].rule: trait 7 is onboarded, FREQUENCY takes rule-based and folder traits only
        frequency([7T]) >= 1
                   ^
    exit 1
    ");
    // Restrictions 7 and 9: what holds for someone of whom nothing is known.
    assert_snapshot!(checked(&[
        "frequency([1000T]) <= 5",
        "NOT 5T",
        "frequency([5T]) == 0",
        "frequency([5T]) <= 5 OR 6T",
        "frequency([5T]) >= 0",
    ]), @"
    catalog.yaml:4: segments[0].rule: the rule is true for a profile without any trait (add `AND FREQUENCY([1000T]) >= 1`, or AND with another trait that members must have)
        frequency([1000T]) <= 5
                   ^
    catalog.yaml:5: segments[1].rule: the rule is true for a profile without any trait (add `AND` and a trait that members must have)
        NOT 5T
            ^
    catalog.yaml:6: segments[2].rule: the rule is true for a profile without any trait (add `AND` and a trait that members must have)
        frequency([5T]) == 0
                   ^
    catalog.yaml:7: segments[3].rule: the rule is true for a profile without any trait (add `AND FREQUENCY([5T]) >= 1`, or AND with another trait that members must have)
        frequency([5T]) <= 5 OR 6T
                   ^
    catalog.yaml:8: segments[4].rule: the rule is true for a profile without any trait (add `AND` and a trait that members must have)
        frequency([5T]) >= 0
                   ^
    exit 1
    ");
    // Restriction 8: the repairs.
    assert_snapshot!(checked(&[
        up_to_five_and("frequency([1000T]) >= 1").as_str(),
        up_to_five_and("5T").as_str(),
        "(frequency([1000T] <= 2D) >= 5)",
    ]), @"
    ok: 4 traits, 3 segments, 1 destinations
    exit 0
    ");
}

fn up_to_five_and(other: &str) -> String {
    format!("frequency([1000T]) <= 5 AND {other}")
}

/// The worked example: A, B and C are segments 10, 20 and 30; A and B are mapped to the first
/// partner, B and C to the second. `more` are further mappings of the first.
fn worked_example(more: &str) -> String {
    format!(
        "data_sources: [{{ id: 5, name: Cookies, kind: cookie }}]
traits: [{{ id: 1, name: A, ttl_days: 0 }}, {{ id: 2, name: B, ttl_days: 0 }}, {{ id: 3, name: C, ttl_days: 0 }}]
segments:
  - {{ id: 10, name: A, rule: 1T }}
  - {{ id: 20, name: B, rule: 2T }}
  - {{ id: 30, name: C, rule: 3T }}
destinations:
  - {{ id: 1, name: D1, client_id: x, url: https://a.example/, id_data_sources: [5],
      max_linger: 0s, mappings: [{{ segment: 10 }}, {{ segment: 20 }}{more}] }}
  - {{ id: 2, name: D2, client_id: x, url: https://b.example/, id_data_sources: [5],
      max_linger: 0s, mappings: [{{ segment: 20 }}, {{ segment: 30 }}] }}
"
    )
}

#[test]
fn the_worked_example() {
    let line = |time: &str, members: &str| {
        let time = format!("2016-07-{time}:00Z");
        (time.clone(), format!("{{\"time\":\"{time}\",{members}}}\n"))
    };
    let uuid = r#""uuid":"1","#;
    let rows = [
        (
            "day 1 09:00 | d enters A and C, synced to both",
            line(
                "01T09:00",
                &format!(r#"{uuid}"traits":[1,3],"ids":[{{"data_source":5,"id":"d"}}]"#),
            ),
        ),
        (
            "day 1 10:00 | d enters B (R1)",
            line("01T10:00", &format!(r#"{uuid}"traits":[2]"#)),
        ),
        (
            "day 1 11:00 | d seen, no change",
            line("01T11:00", &format!(r#"{uuid}"region":9"#)),
        ),
        (
            "day 1 12:00 | d leaves A (R2)",
            line("01T12:00", &format!(r#"{uuid}"remove_traits":[1]"#)),
        ),
        (
            "day 2 09:00 | operator maps C to D1 (R3)",
            line("02T09:00", r#""do":"catalog","file":"mapped.yaml""#),
        ),
        (
            "day 2 09:30 | d seen",
            line("02T09:30", &format!(r#"{uuid}"region":9"#)),
        ),
        (
            "day 5 09:29 | d seen, 71 h 59 min after the last send",
            line("05T09:29", &format!(r#"{uuid}"region":9"#)),
        ),
        (
            "day 5 09:30 | d seen, 72 h after the last send (R5)",
            line("05T09:30", &format!(r#"{uuid}"region":9"#)),
        ),
    ];
    let events: String = rows.iter().map(|(_, (_, line))| line.as_str()).collect();
    let told = told(
        &[
            ("catalog.yaml", &worked_example("")),
            ("mapped.yaml", &worked_example(", { segment: 30 }")),
        ],
        &events,
        "2016-07-06T00:00:00Z",
    );
    let names = [("10", "A"), ("20", "B"), ("30", "C")];
    let mut out = String::new();
    let mut rest = told.len();
    for (name, (time, _)) in &rows {
        write!(out, "{name}").unwrap();
        for destination in [1, 2] {
            let told: Vec<_> = told
                .iter()
                .filter(|one| one.time == *time && one.destination == destination)
                .map(|one| one.states.as_str())
                .collect();
            rest -= told.len();
            let told = if told.is_empty() {
                "nothing".to_owned()
            } else {
                told.join(" and ")
            };
            let told = names
                .iter()
                .fold(told, |told, (id, name)| told.replace(id, name));
            write!(out, " | {told}").unwrap();
        }
        out.push('\n');
    }
    // No message belongs to no row.
    writeln!(out, "at any other time: {rest} messages").unwrap();
    assert_snapshot!(out, @"
    day 1 09:00 | d enters A and C, synced to both | A=1 | C=1
    day 1 10:00 | d enters B (R1) | A=1 B=1 | B=1 C=1
    day 1 11:00 | d seen, no change | nothing | nothing
    day 1 12:00 | d leaves A (R2) | B=1 A=0 | B=1 C=1
    day 2 09:00 | operator maps C to D1 (R3) | nothing | nothing
    day 2 09:30 | d seen | B=1 C=1 | B=1 C=1
    day 5 09:29 | d seen, 71 h 59 min after the last send | nothing | nothing
    day 5 09:30 | d seen, 72 h after the last send (R5) | B=1 C=1 | B=1 C=1
    at any other time: 0 messages
    ");
}
