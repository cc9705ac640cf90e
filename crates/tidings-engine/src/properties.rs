//! What holds for every history of a device under every small catalog.
//!
//! Histories are scripts of the tests' own language, so a failure prints as one and can be pasted
//! into a test. Every step of every history checks the profile's invariants and its timer.

use crate::{
    CompiledCatalog, Engine, Moment, Profile,
    diff::{CatalogDiff, Consequence},
    realise::{self, LiveTraits},
    send,
    testing::{World, show_time},
    why::{self, NextChange, RulePart, RuleWhy},
};
use proptest::{collection::vec, prelude::*, sample::select};
use tidings_model::{DestinationId, SegmentId, Timestamp, Unsegment};
use tidings_rules::{SegmentProgram, SegmentRule};

/// A catalog of one data source with a control, six traits, one folder, four segments and three
/// destinations.
fn catalogs() -> impl Strategy<Value = String> {
    let ttl = select(vec!["", "ttl=0", "ttl=1", "ttl=3", "ttl=40"]);
    let owner = select(vec!["", "", "", "", "of=7"]);
    let traits = vec((ttl, owner), 6);
    let in_folder = vec(any::<bool>(), 6);
    let segments = vec((rules(), prop::bool::weighted(0.1)), 4);
    let destinations = vec(destinations(), 3);
    (traits, in_folder, segments, destinations).prop_map(
        |(traits, in_folder, segments, destinations)| {
            let mut text = "source 7 pii\ntrait 90 folder\n".to_owned();
            for (id, ((ttl, owner), in_folder)) in (1..).zip(traits.iter().zip(in_folder)) {
                let onboarded = if id > 4 { "onboarded" } else { "" };
                let folder = if in_folder { "in=90" } else { "" };
                text += &format!("trait {id} {onboarded} {ttl} {owner} {folder}\n");
            }
            for (id, (rule, paused)) in (10..).zip(segments) {
                let paused = if paused { "paused " } else { "" };
                text += &format!("segment {id} {paused}{rule}\n");
            }
            for (id, destination) in [100, 200, 300].iter().zip(destinations) {
                text += &format!("dest {id} {destination}\n");
            }
            text
        },
    )
}

fn rules() -> impl Strategy<Value = String> {
    let shapes = select(vec![
        "{a}T",
        "{a}T",
        "{a}T OR {c}T",
        "{a}T AND NOT {c}T",
        "90T",
        "90T AND NOT {a}T",
        "frequency([{a}T]) >= {m}",
        "frequency([{a}T]) == {m}",
        "{a}T AND frequency([{b}T]) <= {m}",
        "frequency([{a}T,{b}T] <= {n}D) >= {m}",
        "frequency([{a}T] >= {n}D) >= {m}",
        "frequency([90T] <= {n}D) >= {m}",
        "frequency([90T] >= {n}D) >= {m} AND NOT {c}T",
    ]);
    let numbers = (1..=4u32, 1..=4u32, 1..=6u32, 1..=3u32, 1..=4u32);
    (shapes, numbers).prop_map(|(shape, (a, b, c, m, n))| {
        let places = ["{a}", "{b}", "{c}", "{m}", "{n}"];
        let filled = places.iter().zip([a, b, c, m, n]);
        filled.fold(shape.to_owned(), |rule, (place, number)| {
            rule.replace(place, &number.to_string())
        })
    })
}

fn destinations() -> impl Strategy<Value = String> {
    (
        select(vec!["ids=5", "ids=5,6", "ids=6,5 blank", "blank"]),
        select(vec![
            "10,11,12,13",
            "10,11",
            "10:t,11:t,12",
            "12:10,10,13",
            "13",
        ]),
        select(vec!["", "", "max=2", "max=0"]),
        select(vec!["", "", "batch", "when_seen"]),
        select(vec!["", "", "", "labels=pii", "labels=offsite_targeting"]),
    )
        .prop_map(|(ids, map, max, unsegment, labels)| {
            format!("{ids} map={map} {max} {unsegment} {labels}")
        })
}

/// The destination of [`mappings_with_days`].
const DATED: DestinationId = DestinationId(400);

/// A fourth destination, with a batch, whose mappings begin and end on some days.
fn mappings_with_days() -> impl Strategy<Value = String> {
    let days = vec((0..300u32, 1..200u32, 0..4u8), 4);
    days.prop_map(|days| {
        let days = (10..).zip(days);
        let mappings = days.map(|(segment, (start, length, open))| match open {
            0 => format!("{segment}@{start}.."),
            1 => format!("{segment}@..{start}"),
            _ => format!("{segment}@{start}..{}", start + length),
        });
        let mappings = mappings.collect::<Vec<_>>().join(",");
        format!("dest {DATED} ids=5 map={mappings} batch\n")
    })
}

/// The catalog with traits that live for ever, and without windows.
fn without_time(catalog: &str) -> String {
    let lines = catalog.lines().map(|line| {
        let words = line.split(' ').filter(|word| !word.starts_with("ttl="));
        let mut words: Vec<_> = words.map(str::to_owned).collect();
        match words.first().map(String::as_str) {
            Some("trait") => words.push("ttl=0".to_owned()),
            Some("segment") => {
                // `frequency([1T] <= 3D) >= 1` becomes `frequency([1T]) >= 1`.
                while let Some(at) = words.iter().position(|word| word.ends_with("D)")) {
                    words.drain(at - 1..=at);
                    words[at - 2].push(')');
                }
            }
            _ => {}
        }
        words.join(" ") + "\n"
    });
    lines.collect()
}

/// A step and the hours that pass before it.
type Step = (i64, String);

fn sightings() -> impl Strategy<Value = String> {
    let words = select(vec![
        "1", "1", "2", "3", "4", "5", "6", "-1", "-2", "-5", "5=a", "5=b", "6=a", "6=b", "#e",
        "@-1", "@-3", "@-50",
    ]);
    vec(words, 0..4).prop_map(|words| format!("see {}", words.join(" ")))
}

fn steps(deliveries: bool) -> impl Strategy<Value = Vec<Step>> {
    let hours = select(vec![0, 0, 1, 7, 24, 24, 49, 72, 240, 3000]);
    let delivery = select(vec![
        "send",
        "take 100.5",
        "take 200.5",
        "take 200.6",
        "take 300.5",
        "take 100._",
        "ack",
        "ack",
        "fail",
        "lost",
        "drop",
        "partly",
        "recover",
        "crash",
    ]);
    let other = select(vec!["pass", "pass", "wake"]).prop_map(str::to_owned);
    let step = prop_oneof![
        6 => sightings(),
        if deliveries { 6 } else { 0 } => delivery.prop_map(str::to_owned),
        2 => other,
    ];
    vec((hours, step), 1..40)
}

/// Runs a history. Deliveries that are not possible at their point are left out.
fn run(world: &mut World, steps: &[Step]) -> Vec<String> {
    let mut now = world.now;
    let mut facts = Vec::new();
    for (hours, step) in steps {
        now = now.plus_seconds(hours * 3600);
        // What became due in the meantime happens first, as it does in a server.
        facts.push(world.step(&format!("{} pass", show_time(now))));
        let Some(step) = possible(world, step, now) else {
            continue;
        };
        facts.push(format!("{step} => {}", world.step(&step)));
    }
    facts
}

/// The step in the tests' language, if it is possible now.
fn possible(world: &World, step: &str, now: Timestamp) -> Option<String> {
    if let Some(lane) = step.strip_prefix("take ") {
        return world.can_take(lane).then(|| step.to_owned());
    }
    let outcome = match step {
        "ack" | "fail" | "lost" | "drop" => step,
        "partly" => "fail",
        _ => {
            let words = step.split(' ').map(|word| match word.strip_prefix("@-") {
                Some(days) => {
                    let days: i64 = days.parse().unwrap();
                    format!("@{}", show_time(now.plus_seconds(-days * 86_400)))
                }
                None => word.to_owned(),
            });
            return Some(words.collect::<Vec<_>>().join(" "));
        }
    };
    let lane = world.first_flight()?;
    let objects = if step == "partly" { "-+-+-+" } else { "" };
    Some(format!("{outcome} {lane} {objects}"))
}

/// Lets everything arrive.
fn settle_all(world: &mut World) {
    while let Some(lane) = world.first_flight() {
        world.step(&format!("ack {lane}"));
    }
    world.step("recover");
    world.step("send");
}

proptest! {
    /// The same events at the same times give the same profile and the same effects, whatever the
    /// engine has worked on before.
    #[test]
    fn a_history_replayed_comes_out_the_same(catalog in catalogs(), steps in steps(true)) {
        let mut worlds = [World::new(&[&catalog]), World::new(&[&catalog])];
        worlds[1].forget_engine_after_every_step();
        let facts = worlds.each_mut().map(|world| run(world, &steps));
        prop_assert_eq!(&facts[0], &facts[1]);
        prop_assert_eq!(&worlds[0].profile, &worlds[1].profile);
    }

    /// Invariants and timers hold through changes of the catalog, opt-out and deletion too.
    #[test]
    fn a_profile_keeps_its_promises(
        catalogs in vec(catalogs(), 3),
        parts in vec((steps(true), select(vec!["catalog 0", "catalog 1", "catalog 2"])), 1..5),
        end in select(vec!["optout", "delete", "send"]),
    ) {
        let texts: Vec<_> = catalogs.iter().map(String::as_str).collect();
        let mut world = World::new(&texts);
        for (steps, catalog) in &parts {
            run(&mut world, steps);
            world.step(catalog);
        }
        world.step(end);
        settle_all(&mut world);
        prop_assert!(world.profile.destinations.iter().all(|state| state.pending.is_none()));
        if end == "delete" {
            prop_assert!(world.profile.ids.iter().all(|id| !id.linked));
            prop_assert!(world.profile.traits.is_empty() && world.profile.regions.is_empty());
        }
    }

    /// Nothing changes between two wake-ups, and in the end none is left to come. Days of mappings
    /// begin and end without one: whom a mapping would tell then is marked for the batch before.
    #[test]
    fn no_wake_up_is_late(
        catalog in catalogs(),
        dated in mappings_with_days(),
        steps in steps(false),
    ) {
        let mut world = World::new(&[&(catalog + &dated)]);
        run(&mut world, &steps);
        for _ in 0..20 {
            let (from, until) = (world.now, world.profile.wake_at);
            let days = until.map_or(200, |until| until.day().days_since(from.day()) - 1);
            for day in 1..=days.min(200) {
                let midnight = from.day().plus_days(day).start();
                let at = show_time(midnight);
                let after = woken(&world.compiled, &world.profile, midnight).segments;
                prop_assert_eq!(&world.profile.segments, &after, "nobody woke it at {}", &at);
                let mut parts = world.compiled.batch_parts(&world.profile, DATED, midnight);
                let state = world.profile.destination(DATED);
                let marked = state.is_some_and(|state| state.batch.marked.is_some());
                prop_assert!(parts.next().is_none() || marked, "no batch reads it at {}", at);
            }
            let Some(until) = until else { return Ok(()) };
            world.step(&format!("{} pass", show_time(until)));
        }
        prop_assert!(world.profile.wake_at.is_none(), "woken for ever");
    }

    /// What is explained is what is true, and stays so until the explained change.
    #[test]
    fn an_explanation_agrees_with_the_engine(catalog in catalogs(), steps in steps(true)) {
        let mut world = World::new(&[&catalog]);
        run(&mut world, &steps);
        let World { compiled, profile, now, .. } = &world;
        for segment in (10..14).map(SegmentId) {
            let why = why::explain(world.catalog(), compiled, profile, segment, *now).unwrap();
            prop_assert!(why.reason != why::Reason::Behind, "{}", why);
            check_rule(&world, &why.rule);
            let member = why.since.is_some();
            prop_assert_eq!(member, profile.segments.iter().any(|state| state.id == segment));
            for midnight in midnights(*now, why.next.as_ref()) {
                let after = woken(compiled, profile, midnight);
                let next = why.next.as_ref().filter(|next| next.at == midnight);
                let expected = next.map_or(member, |next| next.to);
                let is_in = after.member_since(segment).is_some();
                prop_assert!(is_in == expected, "at {}\n{}", show_time(midnight), why);
            }
        }
    }

    /// Without lifetimes and windows only the 120 days of inactivity wake a profile, and only while
    /// it has something to leave; days of mappings never do.
    #[test]
    fn without_rules_about_time_nothing_wakes_a_profile(
        catalog in catalogs(),
        dated in mappings_with_days(),
        steps in steps(false),
    ) {
        let mut world = World::new(&[&(without_time(&catalog) + &dated)]);
        for step in &steps {
            run(&mut world, std::slice::from_ref(step));
            let profile = &world.profile;
            if profile.segments.is_empty() {
                prop_assert_eq!(profile.wake_at, None);
            } else {
                // A timer that comes too early was right when it was set: it was for inactivity too.
                let days = profile.wake_at.unwrap().day().days_since(profile.last_seen.day());
                prop_assert!(days <= 121, "{} days", days);
            }
        }
    }

    /// Whoever enters or leaves a segment, or is told again, as the catalog changes was foretold.
    #[test]
    fn a_difference_foretells_what_a_catalog_changes(
        catalog in catalogs(),
        other in catalogs(),
        taken in vec(prop::bool::weighted(0.2), 15),
        steps in steps(true),
    ) {
        // A few lines of another catalog, which has the same entries.
        let lines = catalog.lines().zip(other.lines()).zip(taken);
        let lines = lines.map(|((mine, other), taken)| if taken { other } else { mine });
        let changed = lines.collect::<Vec<_>>().join("\n");
        let mut world = World::new(&[&catalog, &changed]);
        run(&mut world, &steps);
        let old = world.catalog().clone();
        let mut before = world.profile.clone();
        before.resend = false;
        world.step("catalog 1");
        let CatalogDiff { consequences, .. } = CatalogDiff::between(&old, world.catalog());
        let after = woken(&world.compiled, &before, world.now);
        for segment in (10..14).map(SegmentId) {
            let differs = before.member_since(segment).is_some() != after.member_since(segment).is_some();
            let foretold = consequences.iter().any(|one| match one {
                Consequence::RuleChanged(id)
                | Consequence::SegmentBegins(id)
                | Consequence::SegmentGone(id)
                | Consequence::SegmentResumed(id)
                | Consequence::TraitsReadDiffer(id, _) => *id == segment,
                _ => false,
            });
            prop_assert!(foretold || !differs, "{}: {:?}", segment, consequences);
        }
        let owed = before.destinations.iter().flat_map(|state| &state.owed);
        let segments = before.segments.iter().map(|state| state.id);
        let again = segments.chain(owed.map(|zero| zero.segment)).any(|segment| {
            consequences.contains(&Consequence::ToldAgain(segment))
        });
        prop_assert_eq!(after.resend, again, "{:?}", consequences);
    }

    /// Every outcome acknowledged and nothing touched since: the pair is clear.
    #[test]
    fn what_is_acknowledged_is_settled(catalog in catalogs(), steps in steps(true)) {
        let mut world = World::new(&[&catalog]);
        run(&mut world, &steps);
        settle_all(&mut world);
        for state in &world.profile.destinations {
            prop_assert!(state.pending.is_none(), "{:?}", state);
            let destination = world.compiled.destination(state.id).unwrap();
            // What is still owed was given up for good, waits for its time, or says nothing yet.
            let patient = destination.unsegment != Unsegment::Immediate;
            let dropped = steps.iter().any(|(_, step)| step == "drop");
            let mut owed = state.owed.iter().map(|zero| zero.segment);
            let now = world.now;
            let tells = owed.any(|id| send::zero_tells(destination, &world.profile, id, now));
            prop_assert!(!tells || patient || dropped, "{:?}", state);
        }
        prop_assert_eq!(world.step("send"), "");
    }

    /// Whatever was lost, failed or crashed on the way: no partner goes on believing a 1.
    #[test]
    fn no_partner_is_left_with_a_stale_one(
        catalog in catalogs().prop_map(|text| text.replace("paused ", "")),
        steps in steps(true),
    ) {
        let mut world = World::new(&[&catalog]);
        run(&mut world, &steps);
        settle_all(&mut world);
        check_partners(&world);
        world.step("optout");
        settle_all(&mut world);
        prop_assert!(world.partners.active.is_empty(), "{:?}", world.partners.active);
        if !steps.iter().any(|(_, step)| step == "crash") {
            let sent = &world.partners.ever_sent;
            prop_assert!(world.partners.zeros.is_subset(sent), "a zero for what was never sent");
        }
    }
}

/// What a partner may hold as 1 is true, or owed a zero.
fn check_partners(world: &World) {
    for (id, namespace, partner_id, text) in &world.partners.active {
        let destination = world.compiled.destination(*id).unwrap();
        let goes_by = |segment| {
            let mut mappings = destination.mappings_of(segment).iter();
            mappings.any(|m| {
                m.value
                    .as_deref()
                    .map_or_else(|| segment.to_string() == *text, |v| v == text)
            })
        };
        let mut segments = world.profile.segments.iter();
        let still_in = segments.any(|state| goes_by(state.id));
        let owed = world.profile.destination(*id).is_some_and(|state| {
            state.owed.iter().any(|zero| {
                let mut ids = world.profile.ids.iter();
                goes_by(zero.segment)
                    && ids.any(|id| {
                        id.key == zero.id && id.data_source == *namespace && *id.id == **partner_id
                    })
            })
        });
        assert!(still_in || owed, "{id} believes {partner_id} is in {text}");
    }
}

/// Every part of a rule has the value that it has as a rule of its own, until its next change.
#[track_caller]
fn check_rule(world: &World, rule: &RuleWhy) {
    let parsed = SegmentRule::parse(&rule.text).unwrap();
    let program = SegmentProgram::new(&parsed);
    let value = |at: Timestamp| {
        let (mut traits, catalog) = (world.profile.traits.clone(), &world.compiled);
        let generation = world.profile.generation;
        realise::expire(&mut traits, catalog, generation, at, |_| {});
        let traits = &traits;
        program.evaluate(at.day(), &LiveTraits { traits, catalog })
    };
    assert_eq!(value(world.now), rule.holds, "{}", rule.text);
    for midnight in midnights(world.now, rule.next.as_ref()) {
        let next = rule.next.as_ref().filter(|next| next.at == midnight);
        let expected = next.map_or(rule.holds, |next| next.to);
        assert_eq!(value(midnight), expected, "{} {:?}", rule.text, rule.next);
    }
    match &rule.part {
        RulePart::And(parts) | RulePart::Or(parts) => {
            parts.iter().for_each(|part| check_rule(world, part));
        }
        RulePart::Not(part) => check_rule(world, part),
        RulePart::Term(term) => {
            let counted: u64 = term.traits.iter().map(|trait_| trait_.counted).sum();
            assert_eq!(counted, term.count, "{}", rule.text);
        }
    }
}

/// The midnights after `now` up to a change, or for 200 days.
fn midnights(now: Timestamp, next: Option<&NextChange>) -> impl Iterator<Item = Timestamp> {
    let today = now.day();
    let days = next.map_or(200, |next| next.at.day().days_since(today));
    (1..=days).map(move |day| today.plus_days(day).start())
}

/// The profile as it would be if it were woken at `now`.
fn woken(catalog: &CompiledCatalog, profile: &Profile, now: Timestamp) -> Profile {
    let mut profile = profile.clone();
    let moment = Moment {
        now,
        seq: u64::MAX,
        epoch: 1,
    };
    Engine::new().wake(moment, catalog, &mut profile, |_, _| false);
    profile
}
