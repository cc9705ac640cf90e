//! Events: identity, links, duplicates, time, and what an event may name.

use super::{Engine, Moment, check_references};
use crate::testing::{World, catalog, check};
use crate::{Applied, CompiledCatalog, MappingChanges, Profile, TraitState};
use tidings_model::{DataSourceId, DeclaredId, Event, SegmentId, TraitId, limits};

const CATALOG: &str = "
    trait 1
    trait 2 when=page
    trait 3 onboarded in=90
    trait 4 ttl=1
    trait 90 folder
    segment 10 1T
    segment 11 2T
    segment 12 frequency([1T]) >= 2
    segment 13 4T
    dest 100 ids=5 map=10,11,12,13
    dest 200 ids=6 map=10,11
";

#[test]
fn an_event_realises_traits_by_rule_and_by_id() {
    check(
        CATALOG,
        "d0 see 1 page 5=x  => +10 +11 >100.5
         send               => 100.5[x 10=1 11=1]",
    );
}

#[test]
fn one_event_realises_a_trait_once() {
    check(
        CATALOG,
        "d0 see 1 1 1  => +10
         traits        => 1: 0 d0*1
         see 2 page    => +11
         traits        => 1: 0 d0*1, 2: 0 d0*1
         see 1         => +12",
    );
}

#[test]
fn removals_act_before_realisations() {
    check(
        CATALOG,
        "d0 see 1     => +10
         see 1        => +12
         see 1 -1     => -12
         traits       => 1: 0 d0*1
         see -1       => -10
         see -1       =>
         traits       =>",
    );
}

#[test]
fn being_seen_without_a_change_tells_nobody() {
    check(
        CATALOG,
        "d0 see 1 5=x    => +10 >100.5
         send            => 100.5[x 10=1]
         d0+1 see 5=x r9 =>
         d1 see page2    =>
         send            =>",
    );
}

#[test]
fn a_linked_id_is_told_the_state_at_that_sighting() {
    check(
        CATALOG,
        "d0 see 1        => +10
         d0+1 see 5=x    => >100.5
         send            => 100.5[x 10=1]
         d0+2 see 6=y    => >200.6
         send            => 200.6[y 10=1]
         d0+3 see 7=z    =>
         d0+4 see 5=w    => >100.5
         send            => 100.5[w 10=1]",
    );
}

#[test]
fn the_newest_link_gets_the_ones_and_every_id_the_zeros() {
    check(
        CATALOG,
        "d0 see 5=x        =>
         d0+1 see 5=y      =>
         d0+2 see 1        => +10 >100.5
         send              => 100.5[y 10=1]
         d0+3 see 5=x      =>
         d0+4 see page     => +11 >100.5
         send              => 100.5[x 10=1 11=1]
         d0+5 see -1       => -10 >100.5x2
         send              => 100.5[x 11=1 10=0; y 10=0]
         show 100          => told 11, to x, to y",
    );
}

#[test]
fn links_beyond_ten_push_the_oldest_out() {
    check(
        CATALOG,
        "d0 see 1 5=a                       => +10 >100.5
         send                               => 100.5[a 10=1]
         d0+1 see 5=b 5=c 5=d               => >100.5
         d0+2 see 5=e 5=f 5=g               => >100.5
         d0+3 see 5=h 5=i 5=j               => >100.5
         send                               => 100.5[j 10=1]
         d0+4 see 5=a                       =>
         d0+5 see 5=k                       => >100.5
         send                               => 100.5[k 10=1]
         ids => 5=a, 5=c, 5=d, 5=e, 5=f, 5=g, 5=h, 5=i, 5=j, 5=k",
    );
}

#[test]
fn an_id_pushed_out_is_told_the_zero_of_what_it_was_told() {
    check(
        CATALOG,
        "d0 see 1 5=a                       => +10 >100.5
         send                               => 100.5[a 10=1]
         d1 see 5=b 5=c 5=d                 => >100.5
         d1 see 5=e 5=f 5=g                 => >100.5
         d1 see 5=h 5=i 5=j                 => >100.5
         d1 see 5=k                         => >100.5
         send                               => 100.5[k 10=1]
         d2 see -1                          => -10 >100.5x11
         send => 100.5[k 10=0; j 10=0; i 10=0; h 10=0; g 10=0; f 10=0; e 10=0; d 10=0; c 10=0; b 10=0; a 10=0]
         ids => 5=b, 5=c, 5=d, 5=e, 5=f, 5=g, 5=h, 5=i, 5=j, 5=k",
    );
}

#[test]
fn an_id_that_comes_back_counts_as_new() {
    check(
        CATALOG,
        "d0 see 1 5=a                       => +10 >100.5
         send                               => 100.5[a 10=1]
         d1 see 5=b 5=c 5=d                 => >100.5
         d1 see 5=e 5=f 5=g                 => >100.5
         d1 see 5=h 5=i 5=j                 => >100.5
         d1 see 5=k                         => >100.5
         send                               => 100.5[k 10=1]
         d2 see 5=a                         => >100.5
         send                               => 100.5[a 10=1]",
    );
}

#[test]
fn an_event_id_is_a_duplicate_for_a_day() {
    check(
        CATALOG,
        "d0+10:00 see 1 #e        => +10
         d0+10:00 see page #f     => +11
         d0+10:01 see 1 #e        => duplicate
         d1+9:59:59 see 1 #e      => duplicate
         d1+10:00 see 1 #e        => +12
         d1+10:01 see #f          =>
         d1+10:02 see #e          => duplicate",
    );
}

#[test]
fn the_event_that_brings_a_device_back_is_a_duplicate_too() {
    check(
        CATALOG,
        "d0 see 1         => +10
         d130 see 1 #e    => +10 -10
         d130 see 1 #e    => duplicate",
    );
}

#[test]
fn a_late_event_counts_on_its_own_day() {
    check(
        CATALOG,
        "d5 see 1 @d3        => +10
         d5 see 4 @d2+10:00  =>
         d5 see 4 @d3+23:00  =>
         d5 see 4 @d4        => +13
         timer               => d6
         d6 pass             => d6: -13",
    );
}

#[test]
fn an_event_of_the_future_counts_now() {
    check(
        CATALOG,
        "d0+10:00 see 4 @d9  => +13
         timer               => d2",
    );
}

#[test]
fn regions_are_kept_most_recent_first() {
    let mut world = World::new(&[CATALOG]);
    for step in ["see r9", "see r6", "see r7", "see r9", "see r9"] {
        world.step(step);
    }
    let regions: Vec<_> = world.profile.regions.iter().map(|id| id.0).collect();
    assert_eq!(regions, [9, 7, 6]);
    for region in 0..100 {
        world.step(&format!("see r{region}"));
    }
    assert_eq!(world.profile.regions.len(), limits::PROFILE_REGIONS_MAX);
    assert_eq!(world.profile.regions.first().unwrap().0, 99);
}

#[test]
fn event_ids_are_kept_up_to_a_limit() {
    let mut world = World::new(&[CATALOG]);
    for n in 0..300 {
        assert_eq!(world.step(&format!("see #{n}")), "");
    }
    assert_eq!(world.step("see #299"), "duplicate");
    assert_eq!(world.step("see #44"), "duplicate");
    assert_eq!(world.step("see #43"), "");
}

/// New ids for ever, each told a 1 that is still true: those linked longest ago give way.
#[test]
fn ids_are_kept_up_to_a_limit() {
    let mut world = World::new(&["trait 1
         segment 10 1T
         dest 100 ids=5 map=10 max=0"]);
    world.step("d0 see 1");
    for day in 1..=limits::PROFILE_IDS_MAX / 10 + 1 {
        let ids: String = (0..10).map(|n| format!(" 5={day}.{n}")).collect();
        world.step(&format!("d{day} see{ids}"));
        assert_eq!(world.step("send").matches("10=1").count(), 10);
    }
    assert_eq!(world.profile.ids.len(), limits::PROFILE_IDS_MAX);
    let ids = world.step("ids");
    assert!(
        !ids.contains("5=1.9") && ids.contains("5=2.0 unlinked"),
        "{ids}"
    );
    let zeros = format!("x{}", limits::PROFILE_IDS_MAX);
    assert!(world.step("see -1").contains(&zeros));
}

/// Every namespace has room for ten links, but a profile has a limit over all of them.
#[test]
fn links_in_many_namespaces_are_kept_up_to_a_limit() {
    let sources = u32::try_from(limits::PROFILE_IDS_MAX).unwrap() / 10 + 2;
    let compiled = CompiledCatalog::compile(&catalog(CATALOG), 1, MappingChanges::default());
    let (mut engine, mut profile) = (Engine::new(), Profile::default());
    for n in 0..sources * 10 {
        let event = Event {
            ids: vec![DeclaredId {
                data_source: DataSourceId(n % sources),
                id: n.to_string().into(),
                state: Default::default(),
            }],
            ..Event::default()
        };
        let moment = Moment {
            now: tidings_model::Timestamp(i64::from(n)),
            seq: 1,
            epoch: 1,
        };
        engine.apply(
            moment,
            compiled.as_ref().unwrap(),
            &mut profile,
            &event,
            |_, _| false,
        );
    }
    assert_eq!(profile.ids.len(), limits::PROFILE_IDS_MAX);
    assert!(profile.ids.iter().all(|id| &*id.id != "0"));
}

#[test]
fn traits_are_kept_up_to_a_limit_and_the_oldest_goes() {
    let mut world = World::new(&[CATALOG]);
    world.step("d0 see 1");
    world.step("d1 see 2");
    // As many others, all of them realised later.
    let newer = world.profile.traits[1].clone();
    let others = (3..).map(|id| TraitState {
        id: TraitId(1_000 + id),
        ..newer.clone()
    });
    let count = limits::PROFILE_TRAITS_MAX - 2;
    world.profile.traits.extend(others.take(count));
    let text = (3..)
        .take(count)
        .map(|id| format!("trait {}\n", 1_000 + id));
    let mut catalog = catalog(CATALOG);
    catalog
        .traits
        .extend(crate::testing::catalog(&text.collect::<String>()).traits);
    let compiled = CompiledCatalog::compile(&catalog, 1, MappingChanges::default()).unwrap();
    let moment = Moment {
        now: crate::testing::parse_time("d1+1").unwrap(),
        seq: 9,
        epoch: 1,
    };
    let event = Event {
        traits: vec![TraitId(4)],
        ..Event::default()
    };
    let profile = &mut world.profile;
    let mut engine = Engine::new();
    let (_, effects) = engine.apply(moment, &compiled, profile, &event, |_, _| false);
    assert_eq!(
        (&effects.entered[..], &effects.left[..]),
        (&[SegmentId(13)][..], &[SegmentId(10)][..])
    );
    assert_eq!(profile.traits.len(), limits::PROFILE_TRAITS_MAX);
    assert_eq!(profile.traits[0].id, TraitId(2));
}

#[test]
fn an_opted_out_device_takes_nothing_in() {
    let mut world = World::new(&[CATALOG]);
    world.step("d0 see 1 5=x r9 #e");
    world.step("optout");
    let before = world.profile.clone();
    assert_eq!(world.step("d1 see page 6=y r6 #f"), "opted out");
    assert_eq!(world.step("d1 see 1 #e"), "opted out");
    assert_eq!(world.profile, before);
}

#[track_caller]
fn check_reference(words: &[(&str, u32)], expected: Result<(), (&str, &str)>) {
    let compiled = CompiledCatalog::compile(&catalog(CATALOG), 1, MappingChanges::default());
    let mut event = Event::default();
    for &(field, id) in words {
        match field {
            "traits" => event.traits.push(TraitId(id)),
            "remove_traits" => event.remove_traits.push(TraitId(id)),
            _ => event.ids.push(DeclaredId {
                data_source: DataSourceId(id),
                id: "x".into(),
                state: Default::default(),
            }),
        }
    }
    let found = check_references(&compiled.unwrap(), &event);
    let found = found
        .as_ref()
        .map_err(|(code, text)| (*code, text.as_str()));
    assert_eq!(found, expected.as_ref().map_err(|fault| *fault));
}

#[test]
fn an_event_names_what_exists() {
    check_reference(
        &[("traits", 1), ("traits", 3), ("ids", 5), ("ids", 20914)],
        Ok(()),
    );
    check_reference(
        &[("traits", 1), ("traits", 8)],
        Err(("unknown_trait", "traits[1]: there is no trait 8")),
    );
    check_reference(
        &[("remove_traits", 8)],
        Err(("unknown_trait", "remove_traits[0]: there is no trait 8")),
    );
    check_reference(
        &[("ids", 5), ("ids", 777)],
        Err((
            "unknown_data_source",
            "ids[1].data_source: there is no data source 777",
        )),
    );
}

#[test]
fn a_folder_is_realised_by_what_is_in_it_only() {
    check_reference(
        &[("traits", 90)],
        Err((
            "unknown_trait",
            "traits[0]: trait 90 is a folder, realised by the traits in it",
        )),
    );
    check(
        CATALOG,
        "d0 see 90  =>
         traits     =>",
    );
}

#[test]
fn an_event_without_anything_is_a_sighting() {
    let mut world = World::new(&[CATALOG]);
    world.step("d0+10:00 see");
    let (profile, now) = (&world.profile, world.now);
    assert_eq!((profile.last_seen, profile.evaluated), (now, now));
    let moment = Moment {
        now,
        seq: 9,
        epoch: 1,
    };
    let mut engine = Engine::new();
    let mut profile = Profile::default();
    let (applied, effects) = engine.apply(
        moment,
        &world.compiled,
        &mut profile,
        &Event::default(),
        |_, _| false,
    );
    assert_eq!(applied, Applied::Changed);
    assert!(effects.touched.is_empty() && effects.timer.is_none());
}
