//! Explanations of small histories, and that they agree with what the engine does.

use super::{ChangeCause, NextChange, Reason, Why, explain, explain_destination};
use crate::testing::{World, show_time};
use insta::assert_snapshot;
use tidings_model::{DestinationId, SegmentId};

/// A world after the steps of a script, one per line.
#[track_caller]
fn after(catalogs: &[&str], script: &str) -> World {
    let mut world = World::new(catalogs);
    for step in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        world.step(step);
    }
    world
}

#[track_caller]
fn why(world: &World, segment: u32) -> Why {
    let segment = SegmentId(segment);
    let (catalog, compiled) = (world.catalog(), &world.compiled);
    explain(catalog, compiled, &world.profile, segment, world.now).expect("it is in the catalog")
}

/// Membership, reason, and the next change by itself of segment 10.
#[track_caller]
fn check(catalog: &str, script: &str, expected: &str) {
    check_all(&[catalog], script, expected);
}

#[track_caller]
fn check_all(catalogs: &[&str], script: &str, expected: &str) {
    let why = why(&after(catalogs, script), 10);
    let membership = match why.since {
        Some(since) => format!("in since {}", show_time(since)),
        None => "out".to_owned(),
    };
    let reason = match why.reason {
        Reason::Unseen(since) => format!("Unseen {}", show_time(since)),
        reason => format!("{reason:?}"),
    };
    let next = why
        .next
        .as_ref()
        .map_or_else(|| "for ever".to_owned(), next);
    assert_eq!(format!("{membership}, {reason}, {next}"), expected, "{why}");
}

fn next(next: &NextChange) -> String {
    let causes = next.causes.iter().map(|cause| match cause {
        ChangeCause::TimeToLive(id) => format!("ttl {id}"),
        ChangeCause::Window {
            trait_id,
            day,
            recency,
        } => format!("{trait_id} of {} {recency}", show_time(day.start())),
        ChangeCause::Unseen => "unseen".to_owned(),
    });
    let causes: Vec<_> = causes.collect();
    let to = if next.to { "enters" } else { "leaves" };
    format!("{to} {} by {}", show_time(next.at), causes.join(" + "))
}

#[test]
fn tells_why_a_device_is_in_or_out_and_what_time_will_do() {
    let plain = "trait 1 ttl=30
                 segment 10 1T";
    check(plain, "", "out, NeverSeen, for ever");
    check(plain, "d0 see", "out, Fails, for ever");
    check(
        plain,
        "d0+9 see 1",
        "in since d0+9:00, Holds, leaves d31 by ttl 1",
    );
    check(plain, "d0 see 1\nd1 optout", "out, OptedOut, for ever");
    // What runs out matters only if the value hangs on it.
    let either = "trait 1 ttl=3
                  trait 2 ttl=9
                  segment 10 1T OR 2T";
    check(
        either,
        "d0 see 1 2",
        "in since d0, Holds, leaves d10 by ttl 2",
    );
    let both = "trait 1 ttl=3
                trait 2 ttl=3
                segment 10 1T AND 2T";
    check(
        both,
        "d0 see 1 2",
        "in since d0, Holds, leaves d4 by ttl 1 + ttl 2",
    );
    let not = "trait 1 ttl=0
               trait 2 ttl=5
               segment 10 1T AND NOT 2T";
    check(not, "d0 see 1 2", "out, Fails, enters d6 by ttl 2");
}

#[test]
fn tells_which_realisations_cross_a_window() {
    let recent = "trait 1 ttl=0
                  segment 10 frequency([1T] <= 2D) >= 2";
    check(
        recent,
        "d0 see 1\nd1 see 1\nd1+9 see 1",
        "in since d1, Holds, leaves d4 by 1 of d1 <= 2D",
    );
    let old = "trait 1 ttl=0
               segment 10 frequency([1T] >= 5D) >= 1";
    check(old, "d0 see 1", "out, Fails, enters d5 by 1 of d0 >= 5D");
    // A trait that is gone by then enters nothing.
    check(
        &old.replace("ttl=0", "ttl=3"),
        "d0 see 1",
        "out, Fails, for ever",
    );
    let folder = "trait 90 folder
                  trait 1 in=90 ttl=1
                  trait 2 in=90 ttl=0
                  segment 10 frequency([90T] <= 4D) >= 2";
    check(
        folder,
        "d0 see 1\nd1 see 2",
        "in since d1, Holds, leaves d2 by ttl 1",
    );
}

#[test]
fn tells_what_an_unseen_device_comes_to() {
    let lasting = "trait 1 ttl=0
                   segment 10 1T";
    check(
        lasting,
        "d0+9 see 1",
        "in since d0+9:00, Holds, leaves d121 by unseen",
    );
    check(lasting, "d0 see 1\nd120 pass", "out, Unseen d0, for ever");
    check(
        lasting,
        "d0 see 1\nd120 timer",
        "in since d0, Behind, for ever",
    );
    // The window opens when the device is long forgotten.
    let late = "trait 1 ttl=0
                segment 10 frequency([1T] >= 130D) >= 1";
    check(late, "d0 see 1", "out, Fails, for ever");
}

#[test]
fn tells_what_a_pause_does() {
    let active = "trait 1 ttl=5
                  segment 10 1T";
    let paused = "trait 1 ttl=5
                  segment 10 paused 1T";
    let catalogs = [active, paused];
    let out = "d0 see\ncatalog 1\nd1 see 1";
    check_all(&catalogs, out, "out, ClosedByPause, for ever");
    let kept = "d0 see 1\ncatalog 1\nd6 pass";
    check_all(
        &catalogs,
        kept,
        "in since d0, KeptByPause, leaves d120 by unseen",
    );
}

#[test]
fn tells_when_a_profile_is_behind() {
    let catalogs = ["trait 1\nsegment 10 1T", "trait 1\ntrait 2\nsegment 10 2T"];
    check_all(
        &catalogs,
        "d0 see 1\ncatalog 1",
        "in since d0, Behind, for ever",
    );
    check_all(
        &catalogs,
        "d0 see 1\ncatalog 1\nwake",
        "out, Fails, for ever",
    );
    // Its timer has not come round yet.
    let short = "trait 1 ttl=1\nsegment 10 1T";
    check(short, "d0 see 1\nd2 timer", "in since d0, Behind, for ever");
}

/// The answer about segment 10 and destination 100.
#[track_caller]
fn told(catalogs: &[&str], script: &str, expected: &str) {
    let world = after(catalogs, script);
    let (segment, destination) = (SegmentId(10), DestinationId(100));
    let (catalog, compiled) = (world.catalog(), &world.compiled);
    let profile = &world.profile;
    let why = explain_destination(catalog, compiled, profile, segment, destination, world.now);
    let why = why.expect("both are in the catalog");
    let answer = why.answer.to_string();
    assert!(answer.starts_with(expected), "{why}");
}

const ONE: &str = "trait 1 ttl=5
                   segment 10 1T
                   dest 100 ids=5 map=10";

#[test]
fn tells_why_a_partner_was_told_or_not() {
    told(&[ONE], "", "nothing to tell");
    told(&[ONE], "d0 see 1", "not told: the device has no id");
    told(
        &[ONE],
        "d0 see 1 5=x",
        "1 is waiting or on its way since 2016-07-27",
    );
    told(&[ONE], "d0 see 1 5=x\nsend", "told 1");
    told(
        &[ONE],
        "d0 see 1 5=x\ntake 100.5\nfail 100.5",
        "1 is given up and held",
    );
    told(
        &[ONE],
        "d0 see 1 5=x\ntake 100.5\ndrop 100.5",
        "not told: the message was given up",
    );
    told(
        &[ONE],
        "d0 see 1 5=x\nsend\nd6 pass",
        "0 is waiting or on its way",
    );
    told(
        &[ONE],
        "d0 see 1 5=x\nsend\nd6 pass\nsend",
        "nothing to tell",
    );
    told(&[ONE], "d0 see 1 6=x", "not told: the device has no id");
    let paused = ONE.replace("map=10", "map=10 paused");
    told(
        &[&paused],
        "d0 see 1 5=x",
        "not told: the destination is paused",
    );
    let paused = ONE.replace("10 1T", "10 paused 1T");
    told(
        &[ONE, &paused],
        "d0 see 1 5=x\ncatalog 1",
        "not told: the segment is paused",
    );
    let blocked = ONE.replace("map=10", "map=10 labels=pii");
    let blocked = format!("{blocked}\nsource 7 pii").replace("trait 1", "trait 1 of=7");
    told(
        &[ONE, &blocked],
        "d0 see 1 5=x\nsend\ncatalog 1",
        "not told: blocked by export control no_pii of data source 7, through trait 1",
    );
    let blank = ONE.replace("ids=5", "blank");
    told(&[&blank], "d0 see 1", "1 is waiting");
}

#[test]
fn tells_what_dates_and_changed_mappings_hold_back() {
    let dated = |days: &str| ONE.replace("map=10", &format!("map=10@{days}"));
    told(
        &[&dated("3..")],
        "d0 see 1 5=x",
        "not told: begins 2016-07-30T00:00:00Z",
    );
    told(
        &[&dated("..3")],
        "d0 see 1 5=x\nd3",
        "not told: ended 2016-07-30T00:00:00Z",
    );
    told(
        &[&dated("3..")],
        "d0 see 1 5=x\nd3 pass",
        "not told yet: what is mapped was changed",
    );
    told(&[&dated("3..")], "d0 see 1 5=x\nd3 see", "1 is waiting");
    let unmapped = ONE.replace("map=10", "map=11") + "\nsegment 11 1T";
    told(&[&unmapped], "d0 see 1 5=x", "not told: it is not mapped");
    let catalogs = [unmapped.as_str(), ONE];
    told(
        &catalogs,
        "d0 see 1 5=x\nsend\ncatalog 1",
        "not told yet: what is mapped was changed",
    );
}

#[test]
fn tells_what_destinations_that_wait_are_owed() {
    let patient = |how: &str| ONE.replace("map=10", &format!("map=10 {how}"));
    let script = "d0 see 1 5=x\nsend\nd6 pass";
    told(
        &[&patient("when_seen")],
        script,
        "not told yet: it waits until the device is seen",
    );
    told(
        &[&patient("batch")],
        script,
        "not told yet: it goes with the next batch",
    );
    let shared = "trait 1 ttl=5
                  trait 2
                  segment 10 1T
                  segment 11 2T
                  dest 100 ids=5 map=10:t,11:t";
    told(
        &[shared],
        "d0 see 1 2 5=x\nsend\nd6 pass",
        "0 is owed, but the device is in another",
    );
}

#[test]
fn shows_the_whole_with_its_dates() {
    let catalog = "trait 90 folder
                   trait 1 in=90 ttl=30
                   trait 2 in=90 ttl=30
                   trait 3 onboarded ttl=0
                   segment 10 3T AND frequency([90T] <= 2D) >= 2 AND NOT 4T
                   trait 4
                   dest 100 ids=5 map=10:shoes,10@..9
                   dest 200 blank batch map=10";
    let script = "d0+10 see 1\nd1+11 see 1 3 5=a\nd3+9 see 2 5=b\nsend";
    let world = after(&[catalog], script);
    assert_snapshot!(why(&world, 10), @r#"
    segment 10 "", as of 2016-07-30T09:00:00Z
      in since 2016-07-28T11:00:00Z: the rule holds
      leaves by itself at 2016-07-31T00:00:00Z: the realisations of trait 1 on 2016-07-28 cross the window <= 2D
      device: last seen 2016-07-30T09:00:00Z, evaluated 2016-07-30T09:00:00Z; partners were last told 2016-07-30T09:00:00Z, a sighting from 2016-08-02T09:00:00Z on tells everything again
      rule:
        true   3T AND FREQUENCY([90T] <= 2D) >= 2 AND NOT 4T
               false at 2016-07-31T00:00:00Z: the realisations of trait 1 on 2016-07-28 cross the window <= 2D
          true   3T    counts 1 in all
                   trait 3 "" (onboarded): counts 1; last realised 2016-07-28T11:00:00Z, lives for ever; by day: 2016-07-28 x1
          true   FREQUENCY([90T] <= 2D) >= 2    counts 2 in 2016-07-28..2016-07-30
                 false at 2016-07-31T00:00:00Z: the realisations of trait 1 on 2016-07-28 cross the window <= 2D
                   trait 90 "" (folder): counts 2
                     trait 1 "" (rule-based): counts 1; last realised 2016-07-28T11:00:00Z, lives until 2016-08-28T00:00:00Z; by day: 2016-07-27 (not counted) x1 2016-07-28 x1
                     trait 2 "" (rule-based): counts 1; last realised 2016-07-30T09:00:00Z, lives until 2016-08-30T00:00:00Z; by day: 2016-07-30 x1
          true   NOT 4T
            false  4T    counts 0 in all
                     trait 4 "" (rule-based): the device does not have it
      destination 100 "": told 1
        mapping as "shoes": at work
        mapping as "10": at work
        id 5/"a" linked 2016-07-28T11:00:00Z, gets no 1
        id 5/"b" linked 2016-07-30T09:00:00Z, gets 1, was told
      destination 200 "": told 1
        mapping as "10": at work
        blank id not linked, gets 1, was told
        what time changes waits for the batch
        its batches last told no 1, or 0; the next has something to tell
    "#);
}
