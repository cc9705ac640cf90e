//! What a message says about a device, and what its outcome leaves.

use crate::testing::{World, check, check_all};

#[test]
fn ones_come_first_each_ascending() {
    check(
        "trait 1
         trait 2
         segment 30 1T
         segment 20 1T
         segment 25 2T
         segment 21 2T
         dest 100 ids=5 map=30,21,25,20",
        "d0 see 1 2 5=x  => +20 +21 +25 +30 >100.5
         send            => 100.5[x 20=1 21=1 25=1 30=1]
         d1 see -2       => -21 -25 >100.5
         send            => 100.5[x 20=1 30=1 21=0 25=0]",
    );
}

#[test]
fn the_newest_id_comes_first() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5 map=10 max=0",
        "d0 see 5=a            =>
         d2 see 5=b            =>
         d1 see 5=c            =>
         d3 see 1 5=d @d1      => +10 >100.5x4
         send                  => 100.5[b 10=1; d 10=1; c 10=1; a 10=1]",
    );
}

#[test]
fn a_mapping_sends_its_own_text() {
    check(
        "trait 1
         segment 10 1T
         segment 11 1T
         dest 100 ids=5 map=10:buyers,11,10:also",
        "d0 see 1 5=x  => +10 +11 >100.5
         send          => 100.5[x buyers=1 also=1 11=1]
         d1 see -1     => -10 -11 >100.5
         send          => 100.5[x buyers=0 also=0 11=0]",
    );
}

const SHARED: &str = "
    trait 1
    trait 2
    trait 3
    segment 10 1T
    segment 11 2T
    segment 12 3T
    dest 100 ids=5 map=10:same,11:same,12
";

#[test]
fn a_text_comes_once_and_is_1_if_any_of_its_segments_is() {
    check(
        SHARED,
        "d0 see 1 2 5=x  => +10 +11 >100.5
         send            => 100.5[x same=1]
         d1 see -1       => -10 >100.5
         send            => 100.5[x same=1]
         show 100        => told 11, to x
         d2 see -2       => -11 >100.5
         send            => 100.5[x same=0]
         show 100        => to x",
    );
}

#[test]
fn two_zeros_of_one_text_are_acknowledged_together() {
    check(
        SHARED,
        "d0 see 1 2 5=x  => +10 +11 >100.5
         send            => 100.5[x same=1]
         d1 see -1 -2    => -10 -11 >100.5
         take 100.5      => 100.5[x same=0]
         ack 100.5       => cleared
         show 100        => to x",
    );
}

/// An id that gets no ones any more was told the text; it stays true while any of its segments is.
#[test]
fn an_older_id_is_not_told_0_for_a_text_that_is_still_1() {
    check(
        SHARED,
        "d0 see 1 2 3 5=x  => +10 +11 +12 >100.5
         send              => 100.5[x same=1 12=1]
         d1 see 5=y        => >100.5
         send              => 100.5[y same=1 12=1]
         d2 see -1         => -10 >100.5
         send              => 100.5[y same=1 12=1]
         show 100          => told 10, told 11, told 12, to x, to y, owed 10 x
         d3 see -3         => -12 >100.5x2
         send              => 100.5[y same=1 12=0; x 12=0]
         d4 see -2         => -11 >100.5x2
         send              => 100.5[y same=0; x same=0]
         show 100          => to x, to y",
    );
}

#[test]
fn a_text_may_be_the_number_of_another_segment() {
    check(
        "trait 1
         trait 2
         segment 10 1T
         segment 11 2T
         dest 100 ids=5 map=10:11,11",
        "d0 see 1 2 5=x  => +10 +11 >100.5
         send            => 100.5[x 11=1]
         d1 see -2       => -11 >100.5
         send            => 100.5[x 11=1]
         d2 see -1       => -10 >100.5
         send            => 100.5[x 11=0]",
    );
}

/// A message that holds no ones tells none: leaving later is not reported to anyone.
#[test]
fn zeros_alone_tell_nothing_about_other_segments() {
    check(
        "trait 1
         trait 2
         segment 10 1T
         segment 11 2T
         dest 100 ids=5,6 map=10,11",
        "d0 see 1 5=x                  => +10 >100.5
         send                          => 100.5[x 10=1]
         d130 pass                     => d120: -10 >100.5
         d130 see 2 6=y                => +11 >100.5 >100.6
         take 100.5                    => 100.5[x 10=0]
         d131 see -2                   => -11 >100.5 >100.6
         ack 100.5                     => pending
         send                          =>
         show 100                      => nothing",
    );
}

#[test]
fn what_is_not_pending_is_not_taken() {
    check(
        SHARED,
        "d0 take 100.5   =>
         d0 see 1 5=x    => +10 >100.5
         take 100.6      =>
         send            => 100.5[x same=1]
         take 100.5      =>",
    );
}

#[test]
fn a_pair_with_nothing_left_to_tell_is_cleared_by_taking_it() {
    check(
        SHARED,
        "d0 see 1 5=x    => +10 >100.5
         see -1          => -10
         show 100        => pending
         take 100.5      =>
         show 100        => nothing",
    );
}

#[test]
fn an_outcome_for_a_pair_that_is_gone_is_no_trouble() {
    let mut world = World::new(&[SHARED]);
    world.step("d0 see 1 5=x");
    world.step("take 100.5");
    let flights = world.flights.clone();
    world.step("ack 100.5");
    world.flights = flights;
    assert_eq!(world.step("fail 100.5"), "pending");
}

/// The last zero acknowledged under an id that is no longer linked lets the id go.
#[test]
fn a_deleted_device_keeps_ids_until_their_zeros_are_acknowledged() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5 map=10
         dest 200 ids=6 map=10",
        "d0 see 1 5=x 6=y  => +10 >100.5 >200.6
         send              => 100.5[x 10=1] 200.6[y 10=1]
         d1 delete         => -10 >100.5 >200.6
         ids               => 5=x unlinked, 6=y unlinked
         traits            =>
         take 100.5        => 100.5[x 10=0]
         ack 100.5         => cleared
         take 200.6        => 200.6[y 10=0]
         fail 200.6        => pending
         ids               => 6=y unlinked
         recover           =>
         send              => 200.6[y 10=0]
         ids               =>
         show 200          => nothing
         d2 see 1          => opted out",
    );
}

/// What can never be told keeps nobody's id.
#[test]
fn a_deleted_device_keeps_no_id_for_a_zero_that_is_not_sent() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5 map=10@..3",
        "d0 see 1 5=x   => +10 >100.5
         send           => 100.5[x 10=1]
         d1 see -1      => -10 >100.5
         take 100.5     => 100.5[x 10=0]
         drop 100.5     => cleared
         d5 delete      =>
         ids            =>",
    );
}

/// A partner that takes no zeros is told who enters, every time, and never who left.
#[test]
fn a_partner_that_takes_no_zeros_is_told_none() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5 map=10 no_zeros
         dest 200 ids=6 map=10",
        "d0 see 1 5=x 6=y  => +10 >100.5 >200.6
         send              => 100.5[x 10=1] 200.6[y 10=1]
         d1 see -1         => -10 >200.6
         send              => 200.6[y 10=0]
         d2 see 1          => +10 >100.5 >200.6
         send              => 100.5[x 10=1] 200.6[y 10=1]
         d3 delete         => -10 >200.6
         ids               => 6=y unlinked
         show 100          => nothing
         send              => 200.6[y 10=0]
         ids               =>",
    );
}

/// It left while the message that it is in was on its way.
#[test]
fn a_partner_that_takes_no_zeros_is_owed_none_for_what_was_on_its_way() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5 map=10 no_zeros",
        "d0 see 1 5=x      => +10 >100.5
         take 100.5        => 100.5[x 10=1]
         d1 optout         => -10
         ack 100.5         => cleared
         send              =>
         d2 delete         =>
         ids               =>
         show 100          => nothing",
    );
}

/// What was owed before it was known goes, and the device may go with it.
#[test]
fn a_zero_owed_to_a_partner_that_takes_none_goes() {
    check_all(
        &[
            "trait 1
             segment 10 1T
             dest 100 ids=5 map=10",
            "trait 1
             segment 10 1T
             dest 100 ids=5 map=10 no_zeros",
        ],
        "d0 see 1 5=x      => +10 >100.5
         send              => 100.5[x 10=1]
         d1 delete         => -10 >100.5
         take 100.5        => 100.5[x 10=0]
         fail 100.5        => pending
         catalog 1         =>
         d2 wake           =>
         recover           =>
         send              =>
         ids               =>
         show 100          => undelivered",
    );
}
