//! The catalog: 502 traits with rules over signals, 127 segments, two destinations.
//!
//! Two traits are *toggles*: each puts a device into a segment of its own, about which one
//! destination is told. The others are the background that a real catalog has: they make profiles,
//! rule lookups and evaluation as large as they normally are, and nobody is told about them.

use std::fmt::Write as _;

/// Namespace of the ids that destinations are told.
pub const COOKIES: u32 = 12345;
/// Devices of one group have the same background traits.
pub const GROUPS: u32 = 25;
/// Background traits of a device.
pub const TRAITS_PER_DEVICE: u32 = 20;
/// What destinations sign with. Not a secret: it lives as long as a run.
pub const SIGNING_KEY: &str = "benchmark";

/// The first background trait.
const FIRST_TRAIT: u32 = 1001;
/// Segments of a group.
const SEGMENTS_PER_GROUP: u32 = 5;

/// A trait, realised by a rule over signals, that puts a device into the segment with the same id;
/// the destination with the same id is told.
#[derive(Clone, Copy, Debug)]
pub struct Toggle {
    /// The id of the trait, the segment and the destination.
    pub id: u32,
    /// The value of the signal `page` that realises the trait.
    pub page: &'static str,
}

/// The toggles, one for each destination.
pub const TOGGLES: [Toggle; 2] = [
    Toggle {
        id: 1,
        page: "checkout",
    },
    Toggle {
        id: 2,
        page: "basket",
    },
];

/// The background trait at a place, 0 to 19, of a group.
#[must_use]
pub const fn trait_of(group: u32, place: u32) -> u32 {
    FIRST_TRAIT + group + GROUPS * place
}

/// The rules of all traits, by id.
pub fn trait_rules() -> impl Iterator<Item = (u32, String)> {
    let toggles = TOGGLES
        .into_iter()
        .map(|Toggle { id, page }| (id, format!(r#"page == "{page}" AND price >= 10"#)));
    let background = (FIRST_TRAIT..trait_of(0, TRAITS_PER_DEVICE))
        .map(|id| (id, format!(r#"page == "p{id}" AND area contains "x""#)));
    toggles.chain(background)
}

/// The rules of all segments, by id. A device is in the five of its group, which use every kind of
/// term.
pub fn segment_rules() -> impl Iterator<Item = (u32, String)> {
    let toggles = TOGGLES
        .into_iter()
        .map(|Toggle { id, .. }| (id, format!("{id}T")));
    toggles.chain((0..GROUPS).flat_map(rules_of_group))
}

fn rules_of_group(group: u32) -> impl Iterator<Item = (u32, String)> {
    let own = |place| trait_of(group, place);
    let other = trait_of((group + 1) % GROUPS, 7);
    let rules: [String; SEGMENTS_PER_GROUP as usize] = [
        format!("{}T AND {}T", own(0), own(1)),
        format!("{}T OR {}T OR {other}T", own(2), own(3)),
        format!("frequency([{}T,{}T] <= 30D) >= 1", own(4), own(5)),
        format!("frequency([{}T]) >= 1 AND {}T", own(6), own(8)),
        format!("{}T AND NOT {other}T", own(7)),
    ];
    (100 + group * 10..).zip(rules)
}

/// The catalog as a file; the destinations, which have the defaults, lie at these URLs.
///
/// # Panics
/// Never: text takes everything.
#[must_use]
pub fn text(urls: &[String; 2]) -> String {
    let mut out = format!(
        "data_sources:\n  - {{ id: {COOKIES}, name: Partner cookies, kind: cookie }}\ntraits:\n"
    );
    let mut line = |text: String| writeln!(out, "{text}").expect("text takes everything");
    for (id, rule) in trait_rules() {
        line(format!(
            "  - {{ id: {id}, name: Trait {id}, data_source: {COOKIES}, rule: '{rule}', ttl_days: 120 }}"
        ));
    }
    line("segments:".to_owned());
    for (id, rule) in segment_rules() {
        line(format!(
            "  - {{ id: {id}, name: Segment {id}, rule: '{rule}' }}"
        ));
    }
    line("destinations:".to_owned());
    for (Toggle { id, .. }, url) in TOGGLES.into_iter().zip(urls) {
        line(format!(
            "  - {{ id: {id}, name: Partner {id}, client_id: \"74323\", url: \"{url}/segments\", id_data_sources: [{COOKIES}], mappings: [{{ segment: {id} }}], signing: [{{ header: X-Signature, hash: sha256, secret: \"plain:{SIGNING_KEY}\" }}] }}"
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct() {
        let mut traits: Vec<_> = trait_rules().map(|(id, _)| id).collect();
        traits.dedup();
        assert_eq!(traits.len(), 502);
        let mut segments: Vec<_> = segment_rules().map(|(id, _)| id).collect();
        segments.dedup();
        assert_eq!(segments.len(), 127);
    }
}
