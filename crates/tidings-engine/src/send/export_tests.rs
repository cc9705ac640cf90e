//! Export controls: what is kept back from whom, and what is told when a block ends.

use crate::{
    CompiledCatalog, MappingChanges,
    testing::{catalog, check, check_all},
};
use tidings_model::{DestinationId, ExportUse, SegmentId};

/// Trait 1 is data source 7's, trait 2 is nobody's. Destination 100 may combine with PII.
const FREE: &str = "trait 1 of=7
                    trait 2
                    segment 10 1T
                    segment 11 2T
                    dest 100 ids=5 map=10,11 labels=pii";

/// The same, with the control that is in the way of segment 10.
fn blocked() -> String {
    format!("{FREE}\nsource 7 pii")
}

#[test]
fn a_control_blocks_the_destinations_with_its_label() {
    for control in ExportUse::ALL {
        for label in ExportUse::ALL {
            let text = format!(
                "source 7 {}
                 trait 1 of=7
                 segment 10 1T
                 dest 100 ids=5 map=10 labels={}
                 dest 200 ids=5 map=10",
                control.label(),
                label.label()
            );
            if control == label {
                check(
                    &text,
                    "d0 see 1 5=x  => +10 >200.5
                     send          => 200.5[x 10=1]
                     d1 see -1     => -10 >200.5
                     send          => 200.5[x 10=0]",
                );
            } else {
                check(
                    &text,
                    "d0 see 1 5=x  => +10 >100.5 >200.5
                     send          => 100.5[x 10=1] 200.5[x 10=1]",
                );
            }
        }
    }
}

#[test]
fn a_blocked_segment_leaves_the_others_of_its_destination_alone() {
    check(
        &blocked(),
        "d0 see 1 2 5=x  => +10 +11 >100.5
         send            => 100.5[x 11=1]
         d1 see -1       => -10 >100.5
         send            => 100.5[x 11=1]
         d2 see -2       => -11 >100.5
         send            => 100.5[x 11=0]",
    );
}

#[test]
fn a_control_reaches_a_segment_through_folders_and_below_not() {
    let text = |rule: &str| {
        format!(
            "source 7 offsite_targeting
             trait 90 folder
             trait 91 folder in=90
             trait 1 of=7 in=91
             trait 2
             segment 10 {rule}
             dest 100 ids=5 map=10 labels=offsite_targeting"
        )
    };
    check(&text("90T"), "d0 see 1 5=x  => +10");
    check(&text("91T"), "d0 see 1 5=x  => +10");
    check(&text("2T AND NOT 1T"), "d0 see 2 5=x  => +10");
    check(&text("2T AND NOT 90T"), "d0 see 2 5=x  => +10");
    let frequency = text("2T OR frequency([90T] <= 3D) >= 2");
    check(&frequency, "d0 see 2 5=x  => +10");
    check(&text("2T"), "d0 see 2 5=x  => +10 >100.5");
}

/// A zero waits, one that was not told is told: both when the device is seen.
#[test]
fn a_block_that_ends_is_a_mapping_update() {
    check_all(
        &[FREE, &blocked()],
        "d0 see 1 2 5=x  => +10 +11 >100.5
         send            => 100.5[x 10=1 11=1]
         catalog 1       =>
         d1 see          => >100.5
         send            => 100.5[x 11=1]
         d1+1 see        =>
         d1+2 see -1     => -10 >100.5
         send            => 100.5[x 11=1]
         show 100        => told 10, told 11, to x, owed 10 x
         catalog 0       =>
         d1+3 wake       =>
         d1+4 see        => >100.5
         send            => 100.5[x 11=1 10=0]
         d1+5 see        =>",
    );
    check_all(
        &[&blocked(), FREE],
        "d0 see 1 5=x  => +10
         d1 see        =>
         catalog 1     =>
         d1+1 see      => >100.5
         send          => 100.5[x 10=1]
         d1+2 see      =>",
    );
}

#[test]
fn a_device_back_in_the_segment_is_owed_nothing_of_the_block() {
    check_all(
        &[FREE, &blocked()],
        "d0 see 1 5=x  => +10 >100.5
         send          => 100.5[x 10=1]
         catalog 1     =>
         d0+1 see -1   => -10
         d0+2 see 1    => +10
         show 100      => told 10, to x
         catalog 0     =>
         d0+3 see      => >100.5
         send          => 100.5[x 10=1]",
    );
}

#[test]
fn a_block_stops_what_waits_to_be_sent() {
    check_all(
        &[FREE, &blocked()],
        "d0 see 1 5=x  => +10 >100.5
         catalog 1     =>
         send          =>
         catalog 0     =>
         d0+1 see      => >100.5
         send          => 100.5[x 10=1]",
    );
    // What has left may have arrived, so a zero is owed for it.
    check_all(
        &[FREE, &blocked()],
        "d0 see 1 5=x  => +10 >100.5
         take 100.5    => 100.5[x 10=1]
         catalog 1     =>
         d0+1 see -1   => -10
         lost 100.5    => pending
         send          =>
         catalog 0     =>
         d0+2 see      => >100.5
         send          => 100.5[x 10=0]",
    );
}

#[test]
fn a_deleted_device_is_owed_no_zero_that_is_blocked() {
    check_all(
        &[FREE, &blocked()],
        "d0 see 1 2 5=x  => +10 +11 >100.5
         send            => 100.5[x 10=1 11=1]
         catalog 1       =>
         d1 delete       => -10 -11 >100.5
         send            => 100.5[x 11=0]",
    );
}

/// Whatever makes or ends the block: controls, labels, the owner of a trait, its folder, the rule.
#[test]
fn only_blocks_that_begin_or_end_are_mapping_updates() {
    let changed = |from: &str, to: &str| {
        let old = "source 7 pii
                   trait 90 folder
                   trait 1 of=7
                   trait 2 of=8
                   trait 3 in=90
                   segment 10 1T
                   segment 11 2T
                   segment 12 90T
                   dest 100 ids=5 map=10,11,12 labels=pii,onsite_targeting";
        assert!(old.contains(from), "{from}");
        let new = catalog(&old.replace(from, to));
        let MappingChanges(changes) = MappingChanges::default().after(&catalog(old), &new, 2);
        let changed = changes.iter().map(|(segment, _)| segment.to_string());
        changed.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(changed("source 7 pii", "source 9 pii"), "10");
    assert_eq!(changed("source 7 pii", "source 8 pii"), "10 11");
    assert_eq!(changed("labels=pii,", "labels="), "10");
    assert_eq!(changed("trait 2 of=8", "trait 2 of=7"), "11");
    assert_eq!(changed("trait 1 of=7", "trait 1"), "10");
    assert_eq!(changed("trait 3 in=90", "trait 3 in=90 of=7"), "12");
    assert_eq!(changed("trait 1 of=7", "trait 1 of=7 in=90"), "12");
    assert_eq!(changed("11 2T", "11 2T OR 1T"), "11");
    assert_eq!(changed("10 1T", "10 2T"), "10");
    // Blocked all the same, or not concerned.
    assert_eq!(changed("source 7 pii", "source 7 onsite_targeting"), "");
    assert_eq!(
        changed("source 7 pii", "source 7 pii,offsite_targeting"),
        ""
    );
    assert_eq!(changed("labels=pii,", "labels=offsite_targeting,pii,"), "");
    assert_eq!(changed("10 1T", "10 1T OR 3T"), "");
}

#[test]
fn a_destination_says_what_is_blocked_and_why() {
    let catalog = catalog(
        "source 7 pii
         source 8 onsite_targeting
         trait 1 of=7
         trait 2 of=8
         trait 3
         segment 10 2T OR 1T
         segment 11 3T
         segment 12 2T
         segment 13 paused 1T
         segment 14 1T
         dest 100 ids=5 map=10:a,10:b,11,12,13 labels=pii,onsite_targeting",
    );
    let compiled = CompiledCatalog::compile(&catalog, 1, MappingChanges::default()).unwrap();
    let destination = compiled.destination(DestinationId(100)).unwrap();
    let show = |(segment, block): (SegmentId, &_)| format!("{segment}: {block}");
    let shown: Vec<_> = destination.blocks().map(show).collect();
    assert_eq!(
        shown,
        [
            "10: export control no_pii of data source 7, through trait 1",
            "12: export control no_onsite_targeting of data source 8, through trait 2",
            "13: export control no_pii of data source 7, through trait 1",
        ]
    );
    for id in 10..16 {
        let block = destination.block_of(SegmentId(id));
        let listed = destination.blocks().find(|(other, _)| other.0 == id);
        assert_eq!(block, listed.map(|(_, block)| block), "{id}");
    }
}
