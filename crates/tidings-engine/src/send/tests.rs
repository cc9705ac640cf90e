//! The send rules, and the zeros that partners are owed.

use crate::testing::{check, check_all};

const CATALOG: &str = "
    trait 1
    trait 2
    trait 3
    segment 10 1T
    segment 11 2T
    segment 12 3T
    dest 100 ids=5 map=10,11
";

const TWO_DESTINATIONS: &str = "
    trait 1
    trait 2
    trait 3
    segment 10 1T
    segment 11 2T
    segment 12 3T
    dest 100 ids=5 map=10,11
    dest 200 ids=5 map=11,12
";

/// The same with segment 12 mapped to the first destination too.
const REMAPPED: &str = "
    trait 1
    trait 2
    trait 3
    segment 10 1T
    segment 11 2T
    segment 12 3T
    dest 100 ids=5 map=10,11,12
    dest 200 ids=5 map=11,12
";

#[test]
fn the_worked_example_of_the_rules() {
    check_all(
        &[TWO_DESTINATIONS, REMAPPED],
        "d0 see 1 3 5=x   => +10 +12 >100.5 >200.5
         send             => 100.5[x 10=1] 200.5[x 12=1]
         d1+10 see 2      => +11 >100.5 >200.5
         send             => 100.5[x 10=1 11=1] 200.5[x 11=1 12=1]
         d1+11 see        =>
         d1+12 see -1     => -10 >100.5 >200.5
         send             => 100.5[x 11=1 10=0] 200.5[x 11=1 12=1]
         d2+9 catalog 1   =>
         d2+9:30 see      => >100.5 >200.5
         send             => 100.5[x 11=1 12=1] 200.5[x 11=1 12=1]
         d5+9:29:59 see   =>
         d5+9:30 see      => >100.5 >200.5
         send             => 100.5[x 11=1 12=1] 200.5[x 11=1 12=1]
         d5+9:31 see      =>
         d8+9:30 see      => >100.5 >200.5",
    );
}

#[test]
fn the_three_day_clock_does_not_run_before_the_first_send() {
    check(
        CATALOG,
        "d0 see 1     => +10
         d4 see       =>
         d8 see 5=x   => >100.5
         d11 see      => >100.5
         d13 see      =>",
    );
}

#[test]
fn the_three_day_clock_brings_what_is_owed() {
    check(
        CATALOG,
        "d0 see 1 2 5=x  => +10 +11 >100.5
         send            => 100.5[x 10=1 11=1]
         d1 see -1       => -10 >100.5
         take 100.5      => 100.5[x 11=1 10=0]
         drop 100.5      => cleared
         d2 see          =>
         d4 see          => >100.5
         send            => 100.5[x 11=1 10=0]
         d7 see          => >100.5
         send            => 100.5[x 11=1]",
    );
}

#[test]
fn entered_and_left_before_anything_was_sent_is_not_reported() {
    check(
        CATALOG,
        "d0 see 1 5=x     => +10 >100.5
         d0+1 see -1      => -10
         send             =>
         show 100         => nothing
         ids              => 5=x",
    );
    check(
        CATALOG,
        "d0 see 2 5=x     => +11 >100.5
         send             => 100.5[x 11=1]
         d0+1 see 1       => +10 >100.5
         d0+2 see -1      => -10 >100.5
         send             => 100.5[x 11=1]
         show 100         => told 11, to x",
    );
}

#[test]
fn left_while_the_one_is_on_its_way_is_reported_whatever_its_outcome() {
    for (outcome, settled) in [("ack", "pending"), ("fail", "pending"), ("lost", "pending")] {
        check(
            CATALOG,
            &format!(
                "d0 see 1 5=x     => +10 >100.5
                 take 100.5       => 100.5[x 10=1]
                 d0+1 see -1      => -10 >100.5
                 show 100         => told 10, owed 10 x, pending
                 {outcome} 100.5  => {settled}
                 show 100 => told 10, to x, owed 10 x{undelivered}, pending
                 send             => 100.5[x 10=0]
                 show 100         => to x",
                undelivered = if outcome == "ack" {
                    ""
                } else {
                    ", undelivered"
                },
            ),
        );
    }
}

#[test]
fn entering_again_cancels_the_zero() {
    check(
        CATALOG,
        "d0 see 1 5=x     => +10 >100.5
         send             => 100.5[x 10=1]
         d0+1 see -1      => -10 >100.5
         d0+2 see 1       => +10 >100.5
         show 100         => told 10, to x, pending
         send             => 100.5[x 10=1]
         show 100         => told 10, to x",
    );
}

#[test]
fn entering_again_while_the_zero_is_on_its_way_sends_the_one_after_it() {
    check(
        CATALOG,
        "d0 see 1 5=x     => +10 >100.5
         send             => 100.5[x 10=1]
         d0+1 see -1      => -10 >100.5
         take 100.5       => 100.5[x 10=0]
         d0+2 see 1       => +10 >100.5
         ack 100.5        => pending
         show 100         => told 10, to x, pending
         send             => 100.5[x 10=1]
         d0+3 see -1      => -10 >100.5
         send             => 100.5[x 10=0]
         show 100         => to x",
    );
}

#[test]
fn a_zero_acknowledged_late_counts_for_leaving_again() {
    check(
        CATALOG,
        "d0 see 1 5=x     => +10 >100.5
         send             => 100.5[x 10=1]
         d0+1 see -1      => -10 >100.5
         take 100.5       => 100.5[x 10=0]
         d0+2 see 1       => +10 >100.5
         d0+3 see -1      => -10 >100.5
         ack 100.5        => pending
         send             =>
         show 100         => to x",
    );
}

#[test]
fn a_zero_is_owed_until_it_is_acknowledged() {
    check(
        CATALOG,
        "d0 see 1 5=x     => +10 >100.5
         send             => 100.5[x 10=1]
         d1 see -1        => -10 >100.5
         take 100.5       => 100.5[x 10=0]
         fail 100.5       => pending
         d2 see 2         => +11 >100.5
         take 100.5       => 100.5[x 11=1 10=0]
         drop 100.5       => cleared
         show 100         => told 10, told 11, to x, owed 10 x, undelivered
         d3 see 3         => +12 >100.5
         send             => 100.5[x 11=1 10=0]
         show 100         => told 11, to x",
    );
}

#[test]
fn each_object_is_acknowledged_by_itself() {
    check(
        CATALOG,
        "d0 see 1 2 5=x   => +10 +11 >100.5
         send             => 100.5[x 10=1 11=1]
         d1 see 5=y       => >100.5
         send             => 100.5[y 10=1 11=1]
         d2 see -1        => -10 >100.5x2
         take 100.5       => 100.5[y 11=1 10=0; x 10=0]
         ack 100.5 -+     => pending
         show 100 => told 10, told 11, to x, to y, owed 10 y, undelivered, pending
         recover          =>
         take 100.5       => 100.5[y 11=1 10=0]
         ack 100.5        => cleared
         show 100         => told 11, to x, to y",
    );
}

#[test]
fn a_message_answered_before_a_touch_does_not_clear_it() {
    check(
        CATALOG,
        "d0 see 1 5=x     => +10 >100.5
         take 100.5       => 100.5[x 10=1]
         d0+1 see 2       => +11 >100.5
         ack 100.5        => pending
         take 100.5       => 100.5[x 10=1 11=1]
         ack 100.5        => cleared",
    );
}

#[test]
fn a_crash_leaves_the_zero_owed_for_what_may_have_been_told() {
    for taken in ["take 100.5 => 100.5[x 10=1]", "show 100 => pending"] {
        check(
            CATALOG,
            &format!(
                "d0 see 1 5=x     => +10 >100.5
                 {taken}
                 crash            =>
                 d0+1 see -1      => -10 >100.5
                 show 100         => told 10, to x, owed 10 x, pending
                 send             => 100.5[x 10=0]
                 show 100         => to x",
            ),
        );
    }
}

#[test]
fn what_was_pending_at_a_crash_is_told_after_it() {
    check(
        CATALOG,
        "d0 see 1 5=x     => +10 >100.5
         take 100.5       => 100.5[x 10=1]
         crash            =>
         send             => 100.5[x 10=1]
         show 100         => told 10, to x",
    );
}

/// What was on its way at the crash is worked out when the device is touched next, which may be when
/// nothing is told by that mapping any more.
#[test]
fn a_crash_leaves_the_zero_owed_of_a_mapping_that_has_ended_since() {
    for before_it_is_seen in ["d1 show 100 => pending", "d3 send =>"] {
        check(
            "trait 1
             segment 10 1T
             dest 100 ids=5 map=10@0..2,10@4..9",
            &format!(
                "d0 see 1 5=x => +10 >100.5
                 take 100.5   => 100.5[x 10=1]
                 crash        =>
                 {before_it_is_seen}
                 d3 see -1    => -10
                 d5 see       => >100.5
                 send         => 100.5[x 10=0]
                 show 100     => to x"
            ),
        );
    }
}

/// The mapping had ended when the message after the crash was built, so that told of other segments.
#[test]
fn a_message_after_a_crash_is_not_all_that_was_told() {
    check(
        "trait 1
         trait 2
         segment 10 1T
         segment 11 2T
         dest 100 ids=5 map=10@0..2,10@4..9,11",
        "d0 see 1 2 5=x => +10 +11 >100.5
         take 100.5     => 100.5[x 10=1 11=1]
         crash          =>
         d3 send        => 100.5[x 11=1]
         d3 see -1      => -10 >100.5
         d5 see         => >100.5
         send           => 100.5[x 11=1 10=0]",
    );
}

#[test]
fn a_crash_leaves_the_zero_owed_of_a_segment_that_is_not_told_now() {
    let catalog = |segment: &str, source: &str, labels: &str| {
        format!(
            "{source}
             trait 1 of=7
             {segment}
             dest 100 ids=5 map=10 {labels}"
        )
    };
    let plain = catalog("segment 10 1T", "source 7 pii", "");
    let paused = catalog("segment 10 paused 1T", "source 7 pii", "");
    let blocked = catalog("segment 10 1T", "source 7 pii", "labels=pii");
    for meanwhile in [paused, blocked] {
        check_all(
            &[&plain, &meanwhile],
            "d0 see 1 5=x => +10 >100.5
             take 100.5   => 100.5[x 10=1]
             crash        =>
             catalog 1    =>
             wake         =>
             send         =>
             catalog 0    =>
             d1 see -1    => -10 >100.5
             send         => 100.5[x 10=0]",
        );
    }
}

/// What the device is in, but no mapping was at work of since it entered, no run has told.
#[test]
fn a_crash_takes_nothing_as_told_that_was_never_to_be_told() {
    check(
        "trait 1
         trait 2
         segment 10 1T
         segment 11 2T
         segment 12 2T
         dest 100 ids=5 map=10,11@0..2,12@5..",
        "d3 see 1 2 5=x => +10 +11 +12 >100.5
         take 100.5     => 100.5[x 10=1]
         crash          =>
         d3 see         =>
         show 100       => told 10, to x, pending",
    );
}

/// The older id may have been in the message that was on its way.
#[test]
fn a_crash_takes_every_linked_id_as_told() {
    check(
        CATALOG,
        "d0 see 1 5=x     => +10 >100.5
         take 100.5       => 100.5[x 10=1]
         d0+1 see 5=y     => >100.5
         crash            =>
         d0+2 see         =>
         show 100         => told 10, to x, to y, pending",
    );
}

#[test]
fn two_namespaces_are_told_apart() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=6,5 map=10",
        "d0 see 1 5=x 6=y  => +10 >100.6 >100.5
         take 100.5        => 100.5[x 10=1]
         ack 100.5         => pending
         take 100.6        => 100.6[y 10=1]
         fail 100.6        => pending
         d1 see -1         => -10 >100.6 >100.5
         take 100.5        => 100.5[x 10=0]
         ack 100.5         => pending
         show 100 => told 10, to x, to y, owed 10 y, pending
         send              => 100.6[y 10=0]
         show 100          => to x, to y",
    );
}

#[test]
fn what_was_dropped_is_told_again_as_it_is_now_in_every_namespace() {
    check(
        "trait 1
         trait 2
         segment 10 1T
         segment 11 2T
         dest 100 ids=6,5 map=10,11
         dest 200 ids=5 map=10",
        "d0 see 1 5=x 6=y  => +10 >100.6 >100.5 >200.5
         take 100.5        => 100.5[x 10=1]
         drop 100.5        => pending
         take 100.6        => 100.6[y 10=1]
         drop 100.6        => cleared
         send              => 200.5[x 10=1]
         d1 resend 100     => >100.6 >100.5
         resend 100        => >100.6 >100.5
         send              => 100.5[x 10=1] 100.6[y 10=1]
         d2 see 2          => +11 >100.6 >100.5 >200.5
         take 100.5        => 100.5[x 10=1 11=1]
         fail 100.5        => pending
         resend 100        => >100.6 >100.5
         send              => 100.5[x 10=1 11=1] 100.6[y 10=1 11=1] 200.5[x 10=1]",
    );
}

#[test]
fn a_resend_is_no_send_to_the_other_destinations() {
    check(
        TWO_DESTINATIONS,
        "d0 see 1 3 5=x    => +10 +12 >100.5 >200.5
         send              => 100.5[x 10=1] 200.5[x 12=1]
         d2 resend 100     => >100.5
         send              => 100.5[x 10=1]
         d3 see            => >100.5 >200.5",
    );
}

#[test]
fn there_may_be_nothing_to_tell_again() {
    check(
        CATALOG,
        "d0 see 3 5=x      => +12
         resend 100        =>
         resend 999        =>",
    );
}

#[test]
fn as_many_of_the_newest_ids_get_ones_as_the_destination_says() {
    let catalog = |max: u32| {
        format!(
            "trait 1
             segment 10 1T
             dest 100 ids=5 map=10 max={max}"
        )
    };
    for (max, message) in [
        (1, "100.5[z 10=1]"),
        (2, "100.5[z 10=1; y 10=1]"),
        (0, "100.5[z 10=1; y 10=1; x 10=1]"),
    ] {
        let objects = message.matches('=').count();
        let many = if objects == 1 {
            "".to_owned()
        } else {
            format!("x{objects}")
        };
        check(
            &catalog(max),
            &format!(
                "d0 see 5=x       =>
                 d0+1 see 5=y     =>
                 d0+2 see 1 5=z   => +10 >100.5{many}
                 send             => {message}
                 d0+3 see -1      => -10 >100.5x3
                 send             => 100.5[z 10=0; y 10=0; x 10=0]"
            ),
        );
    }
}

/// Eleven ids are told, the eleventh pushes the first out while that is on its way.
#[test]
fn an_id_pushed_out_while_on_its_way_is_owed_the_zero() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5 map=10 max=0",
        "d0 see 1 5=a                 => +10 >100.5
         take 100.5                   => 100.5[a 10=1]
         d0+1 see 5=b 5=c 5=d         => >100.5x4
         d0+1 see 5=e 5=f 5=g         => >100.5x7
         d0+1 see 5=h 5=i 5=j         => >100.5x10
         d0+1 see 5=k                 => >100.5x10
         d0+2 see -1                  => -10 >100.5x11
         ack 100.5                    => pending
         send => 100.5[k 10=0; j 10=0; i 10=0; h 10=0; g 10=0; f 10=0; e 10=0; d 10=0; c 10=0; b 10=0; a 10=0]
         show 100 => to b, to c, to d, to e, to f, to g, to h, to i, to j",
    );
}

#[test]
fn a_destination_without_ids_is_told_under_a_blank_one() {
    check(
        "trait 1
         trait 2
         segment 10 1T
         segment 11 2T
         dest 100 map=10,11 blank",
        "d0 see 1 5=x  => +10 >100._
         send          => 100._[_ 10=1]
         d1 see 2      => +11 >100._
         send          => 100._[_ 10=1 11=1]
         d1 see -2     => -11 >100._
         send          => 100._[_ 10=1 11=0]
         d2 see -1     => -10 >100._
         send          => 100._[_ 10=0]
         show 100      => nothing
         ids           => 5=x",
    );
}

#[test]
fn a_blank_id_gives_way_to_a_real_one() {
    check(
        "trait 1
         trait 2
         segment 10 1T
         segment 11 2T
         dest 100 ids=5,6 map=10,11 blank",
        "d0 see 1      => +10 >100.5
         send          => 100.5[_ 10=1]
         d1 see 6=y    => >100.6
         send          => 100.6[y 10=1]
         d2 see 2      => +11 >100.6
         send          => 100.6[y 10=1 11=1]
         d3 see -1     => -10 >100.5 >100.6
         send          => 100.5[_ 10=0] 100.6[y 11=1 10=0]",
    );
}

#[test]
fn a_blank_id_on_its_way_gets_its_zero_although_a_real_one_came() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5,6 map=10 blank",
        "d0 see 1      => +10 >100.5
         take 100.5    => 100.5[_ 10=1]
         d1 see 6=y    => >100.5 >100.6
         take 100.6    => 100.6[y 10=1]
         ack 100.6     => pending
         ack 100.5     => pending
         send          =>
         d2 see -1     => -10 >100.5 >100.6
         send          => 100.5[_ 10=0] 100.6[y 10=0]",
    );
}

/// The blank id stands for no id of the partner's: nobody is linked to it, so it hears a zero only if it
/// got a 1.
#[test]
fn a_blank_id_that_got_no_one_is_owed_no_zero() {
    let catalog = "trait 1
         segment 10 1T
         dest 100 ids=5,6 map=10 blank batch";
    check(
        catalog,
        "d0 see 1 6=y   => +10 >100.6
         send           => 100.6[y 10=1]
         d121 pass      => d120: -10
         d122 see 1     => +10 >100.5
         d122+1 optout  => -10 >100.5 >100.6
         send           => 100.6[y 10=0]",
    );
    check(
        catalog,
        "d0 see 1 6=y   => +10 >100.6
         send           => 100.6[y 10=1]
         d121 pass      => d120: -10
         d122 see 1     => +10 >100.5
         take 100.5     => 100.5[_ 10=1]
         d122+1 optout  => -10 >100.5 >100.6
         ack 100.5      => pending
         send           => 100.5[_ 10=0] 100.6[y 10=0]",
    );
}

#[test]
fn a_device_without_ids_is_skipped() {
    check(
        CATALOG,
        "d0 see 1      => +10
         d1 see 6=x    =>
         show 100      => nothing",
    );
}

#[test]
fn a_mapping_that_is_gone_is_sent_nothing_until_it_is_back() {
    check_all(
        &[
            CATALOG,
            "trait 1
             trait 2
             segment 10 1T
             segment 11 2T
             dest 100 ids=5 map=11",
        ],
        "d0 see 1 2 5=x  => +10 +11 >100.5
         send            => 100.5[x 10=1 11=1]
         catalog 1       =>
         d1 see -1       => -10 >100.5
         send            => 100.5[x 11=1]
         show 100        => told 10, told 11, to x, owed 10 x
         d2 see          =>
         catalog 0       =>
         d3 see          => >100.5
         send            => 100.5[x 11=1 10=0]
         d4 see          =>",
    );
}

/// The zero waits; as the mapping is back, it is told.
#[test]
fn a_zero_waits_for_its_mapping() {
    check_all(
        &[
            CATALOG,
            "trait 1
             trait 2
             segment 10 1T
             segment 11 2T
             dest 100 ids=5 map=11",
        ],
        "d0 see 1 2 5=x  => +10 +11 >100.5
         send            => 100.5[x 10=1 11=1]
         d1 see -1       => -10 >100.5
         catalog 1       =>
         send            => 100.5[x 11=1]
         show 100        => told 10, told 11, to x, owed 10 x
         catalog 0       =>
         d2 see -2       => -11 >100.5
         send            => 100.5[x 10=0 11=0]",
    );
}

#[test]
fn a_paused_segment_tells_nothing_and_keeps_its_members() {
    check_all(
        &[
            CATALOG,
            "trait 1
             trait 2
             segment 10 paused 1T
             segment 11 2T
             dest 100 ids=5 map=10,11",
        ],
        "d0 see 1 2 5=x   => +10 +11 >100.5
         send             => 100.5[x 10=1 11=1]
         catalog 1        =>
         d1 see -1        => >100.5
         send             => 100.5[x 11=1]
         d2 see 1         =>
         d2+1 see -1      =>
         catalog 0        =>
         d3 see           => -10 >100.5
         send             => 100.5[x 11=1 10=0]",
    );
}

#[test]
fn a_paused_segment_takes_no_new_members() {
    check(
        "trait 1
         segment 10 paused 1T
         dest 100 ids=5 map=10",
        "d0 see 1 5=x  =>
         d1 see        =>",
    );
}

#[test]
fn a_deleted_segment_goes_without_a_word() {
    check_all(
        &[
            CATALOG,
            "trait 1
             trait 2
             segment 11 2T
             dest 100 ids=5 map=11",
        ],
        "d0 see 1 5=x  => +10 >100.5
         send          => 100.5[x 10=1]
         catalog 1     =>
         d1 see        =>
         show 100      => to x
         catalog 0     =>
         d2 see        => +10 >100.5
         send          => 100.5[x 10=1]",
    );
}

#[test]
fn a_deleted_segment_leaves_nothing_behind_in_a_deleted_device() {
    check_all(
        &[
            CATALOG,
            "trait 1
             trait 2
             segment 11 2T
             dest 100 ids=5 map=11",
        ],
        "d0 see 1 5=x  => +10 >100.5
         send          => 100.5[x 10=1]
         d1 see -1     => -10 >100.5
         take 100.5    => 100.5[x 10=0]
         drop 100.5    => cleared
         show 100      => told 10, to x, owed 10 x, undelivered
         catalog 1     =>
         d2 delete     =>
         ids           =>",
    );
}

#[test]
fn mappings_work_between_their_dates() {
    check(
        "trait 1
         trait 2
         segment 10 1T
         segment 11 2T
         dest 100 ids=5 map=10@2..4,11",
        "d1+23:00 see 1 2 5=x  => +10 +11 >100.5
         send                  => 100.5[x 11=1]
         d1+23:59 see          =>
         d2 see                => >100.5
         send                  => 100.5[x 10=1 11=1]
         d3+23:59 see          =>
         d4 see                => >100.5
         send                  => 100.5[x 11=1]
         d4+1 see -1           => -10 >100.5
         send                  => 100.5[x 11=1]
         show 100              => told 10, told 11, to x, owed 10 x",
    );
}

#[test]
fn a_zero_waits_for_the_next_days_of_its_mapping() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5 map=10@..2,10@4..",
        "d1 see 1 5=x  => +10 >100.5
         send          => 100.5[x 10=1]
         d3 see -1     => -10
         d4 see        => >100.5
         send          => 100.5[x 10=0]
         d5 see        =>
         show 100      => to x",
    );
}

#[test]
fn a_date_that_passes_before_the_message_is_built_counts() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5 map=10@..4",
        "d3+23:59:59 see 1 5=x  => +10 >100.5
         d4 send                =>
         show 100               => nothing",
    );
}

const PATIENT: &str = "
    trait 1 ttl=1
    trait 2 ttl=5
    segment 10 1T
    segment 11 2T
    dest 100 ids=5 map=10,11
    dest 200 ids=5 map=10,11 batch
    dest 300 ids=5 map=10,11 when_seen
";

#[test]
fn what_time_changes_waits_as_the_destination_wishes() {
    check(
        PATIENT,
        "d0 see 1 2 5=x  => +10 +11 >100.5 >200.5 >300.5
         send => 100.5[x 10=1 11=1] 200.5[x 10=1 11=1] 300.5[x 10=1 11=1]
         d2 pass         => d2: -10 >100.5
         send            => 100.5[x 11=1 10=0]
         show 200        => told 10, told 11, to x, owed 10 x
         show 300        => told 10, told 11, to x, owed 10 x, when seen
         d2+1 see        => >300.5
         send            => 300.5[x 11=1 10=0]
         d2+2 see        =>
         d2+3 see -2     => -11 >100.5 >200.5 >300.5
         send            => 100.5[x 11=0] 200.5[x 10=0 11=0] 300.5[x 11=0]",
    );
}

#[test]
fn opting_out_does_not_wait() {
    check(
        PATIENT,
        "d0 see 1 5=x  => +10 >100.5 >200.5 >300.5
         send          => 100.5[x 10=1] 200.5[x 10=1] 300.5[x 10=1]
         d2 pass       => d2: -10 >100.5
         send          => 100.5[x 10=0]
         d3 optout     => >200.5 >300.5
         send          => 200.5[x 10=0] 300.5[x 10=0]
         show 200      => to x
         show 300      => to x",
    );
}

#[test]
fn a_device_that_comes_back_after_too_long_left_by_time() {
    check(
        "trait 1 ttl=0
         trait 2 ttl=0
         segment 10 1T
         segment 11 2T
         dest 100 ids=5 map=10,11
         dest 200 ids=5 map=10,11 batch
         dest 300 ids=5 map=10,11 when_seen",
        "d0 see 1 5=x    => +10 >100.5 >200.5 >300.5
         send            => 100.5[x 10=1] 200.5[x 10=1] 300.5[x 10=1]
         d130 see        => -10 >100.5 >300.5
         send            => 100.5[x 10=0] 300.5[x 10=0]
         show 200        => told 10, to x, owed 10 x
         d131 see 2 5=y  => +11 >100.5 >200.5x2 >300.5
         send => 100.5[y 11=1] 200.5[y 11=1; x 10=0] 300.5[y 11=1]",
    );
}

#[test]
fn a_device_that_comes_back_enters_anew() {
    check(
        CATALOG,
        "d0 see 1 5=x    => +10 >100.5
         send            => 100.5[x 10=1]
         d130 see 1 5=x  => +10 -10 >100.5
         send            => 100.5[x 10=1]
         show 100        => told 10, to x",
    );
}

#[test]
fn a_namespace_added_to_a_destination_is_told_with_the_next_trigger() {
    check_all(
        &[
            CATALOG,
            "trait 1
             trait 2
             segment 10 1T
             segment 11 2T
             dest 100 ids=5,6 map=10,11",
        ],
        "d0 see 1 5=x 6=y  => +10 >100.5
         send              => 100.5[x 10=1]
         catalog 1         =>
         d1 see 2          => +11 >100.5 >100.6
         send              => 100.5[x 10=1 11=1] 100.6[y 10=1 11=1]",
    );
}

#[test]
fn a_namespace_taken_from_a_destination_is_told_nothing_more() {
    check_all(
        &[
            "trait 1
             trait 2
             segment 10 1T
             segment 11 2T
             dest 100 ids=5,6 map=10,11",
            CATALOG,
        ],
        "d0 see 1 5=x 6=y  => +10 >100.5 >100.6
         catalog 1         =>
         take 100.6        =>
         take 100.5        => 100.5[x 10=1]
         ack 100.5         => cleared",
    );
}

#[test]
fn a_deleted_destination_is_forgotten() {
    check_all(
        &[
            CATALOG,
            "trait 1
             segment 10 1T",
        ],
        "d0 see 1 5=x  => +10 >100.5
         send          => 100.5[x 10=1]
         catalog 1     =>
         d1 see        =>
         show 100      => nothing
         catalog 0     =>
         d2 see        => >100.5
         send          => 100.5[x 10=1]",
    );
}

#[test]
fn a_destination_deleted_while_a_message_is_on_its_way() {
    check_all(
        &[
            CATALOG,
            "trait 1
             segment 10 1T",
        ],
        "d0 see 1 5=x  => +10 >100.5
         take 100.5    => 100.5[x 10=1]
         catalog 1     =>
         d1 see        =>
         ack 100.5     => cleared
         show 100      => nothing",
    );
}

#[test]
fn a_namespace_taken_from_a_destination_while_it_is_being_told() {
    check_all(
        &[
            "trait 1
             trait 2
             segment 10 1T
             segment 11 2T
             dest 100 ids=5,6 map=10,11",
            CATALOG,
        ],
        "d0 see 1 6=a     => +10 >100.6
         take 100.6       => 100.6[a 10=1]
         catalog 1        =>
         d1 see 2 5=b     => +11 >100.5 >100.6
         ack 100.6        => pending
         send             => 100.5[b 10=1 11=1]
         show 100         => told 10, told 11, to a, to b",
    );
}

#[test]
fn a_crash_forgets_no_id_that_was_unlinked_while_being_told() {
    check(
        "trait 1 ttl=0
         segment 10 1T
         dest 100 ids=5 map=10",
        "d0 see 1 5=a  => +10 >100.5
         take 100.5    => 100.5[a 10=1]
         d130 see 1    => +10 -10 >100.5
         crash         =>
         send          =>
         d131 see -1   => -10 >100.5
         send          => 100.5[a 10=0]
         ids           =>",
    );
}

#[test]
fn a_crash_forgets_no_blank_id_that_was_being_told() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5 map=10 blank",
        "d0 see 1      => +10 >100.5
         take 100.5    => 100.5[_ 10=1]
         d1 see 5=a    => >100.5
         crash         =>
         send          => 100.5[a 10=1]
         d2 see -1     => -10 >100.5x2
         send          => 100.5[a 10=0; _ 10=0]",
    );
}

#[test]
fn a_segment_left_brings_the_zeros_that_others_wait_for() {
    check(
        "trait 1 ttl=1
         trait 2 ttl=5
         segment 10 1T
         segment 11 2T
         dest 100 ids=5 map=11
         dest 200 ids=5 map=10 batch",
        "d0 see 1 2 5=x  => +10 +11 >100.5 >200.5
         send            => 100.5[x 11=1] 200.5[x 10=1]
         d2 pass         => d2: -10 >100.5
         d2+1 see -2     => -11 >100.5 >200.5
         send            => 100.5[x 11=0] 200.5[x 10=0]",
    );
}

#[test]
fn a_paused_destination_does_not_stop_the_three_day_clock() {
    check(
        "trait 1 ttl=0
         trait 2 ttl=1
         segment 10 1T
         segment 11 2T
         dest 100 ids=5 map=10 batch
         dest 200 ids=5 map=11 paused",
        "d0 see 1 2 5=x  => +10 +11 >100.5 >200.5
         send            => 100.5[x 10=1] 200.5[x 11=1]
         d2 pass         => d2: -11 >200.5
         d2+23:59 see    =>
         d3 see          => >100.5",
    );
}
