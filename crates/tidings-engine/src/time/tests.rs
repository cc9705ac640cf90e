//! What time changes, and when a profile is woken for it.

use crate::testing::{check, check_all};

#[test]
fn a_trait_of_one_day_lives_through_the_next_one() {
    for seen in ["d0", "d0+1", "d0+16:17:22", "d0+23", "d0+23:59:59"] {
        check(
            "trait 1 ttl=1
             segment 10 1T",
            &format!(
                "{seen} see 1  => +10
                 timer         => d2
                 d1+23:59 see  =>
                 d2 pass       => d2: -10
                 timer         => none"
            ),
        );
    }
}

#[test]
fn a_trait_of_thirty_days_lives_through_the_thirtieth_after() {
    check(
        "trait 1 ttl=30
         segment 10 1T",
        "d0+16:17 see 1  => +10
         timer           => d31
         d30+23:59 see   =>
         d31 see         => -10",
    );
}

#[test]
fn every_realisation_starts_the_time_to_live_anew() {
    check(
        "trait 1 ttl=5
         segment 10 1T",
        "d0 see 1  => +10
         timer     => d6
         d3 see 1  =>
         timer     => d6
         d6 pass   => d6:
         timer     => d9
         d9 pass   => d9: -10",
    );
}

#[test]
fn traits_end_one_by_one() {
    check(
        "trait 1 ttl=30
         trait 2 ttl=15
         segment 10 1T OR 2T
         segment 11 1T AND 2T",
        "d1 see 1    => +10
         d10 see 2   => +11
         d40 pass    => d26: -11 | d32: -10
         traits      =>",
    );
}

#[test]
fn an_expired_trait_starts_at_one_again() {
    check(
        "trait 1 ttl=1
         segment 10 frequency([1T]) >= 2",
        "d0 see 1  =>
         d1 see 1  => +10
         d3 see 1  => -10
         traits    => 1: 0 d3*1",
    );
}

#[test]
fn a_shorter_time_to_live_in_a_new_catalog_ends_a_trait_before_it_counts_again() {
    check_all(
        &[
            "trait 1 ttl=9
             segment 10 frequency([1T]) >= 2",
            "trait 1 ttl=1
             segment 10 frequency([1T]) >= 2",
        ],
        "d0 see 1       =>
         d5 see 1       => +10
         d8 see         =>
         catalog 1      =>
         d8 see 1       => -10
         traits         => 1: 0 d8*1",
    );
}

#[test]
fn a_trait_that_had_run_out_unnoticed_is_not_revived_by_a_longer_time_to_live() {
    let catalogs = [
        "trait 1 ttl=2
         trait 2
         segment 10 2T",
        "trait 1 ttl=9
         trait 2
         segment 10 2T OR 1T",
    ];
    check_all(
        &catalogs,
        "d0 see 1       =>
         d2+23 pass     =>
         catalog 1      =>
         d8 see         => +10",
    );
    check_all(
        &catalogs,
        "d0 see 1       =>
         timer          => none
         d3 pass        =>
         catalog 1      =>
         d3 see         =>
         traits         =>
         d4 see 1       => +10",
    );
    // Nor by one version of several that nobody noticed.
    check_all(
        &[
            "trait 1 ttl=2
             segment 10 1T",
            "trait 2
             segment 10 2T",
            "trait 1 ttl=90
             segment 10 1T",
        ],
        "d0 see 1       => +10
         catalog 1      =>
         catalog 2      =>
         d1 see         => -10",
    );
}

#[test]
fn a_window_closes_at_midnight() {
    check(
        "trait 1
         segment 10 frequency([1T] <= 5D) >= 3",
        "d0 see 1     =>
         d1 see 1     =>
         d5+23 see 1  => +10
         d5+23 see    =>
         d6 pass      => d6: -10",
    );
}

#[test]
fn a_window_opens_at_midnight() {
    check(
        "trait 1
         segment 10 frequency([1T] >= 5D) >= 2",
        "d0 see 1   =>
         d1+9 see 1 =>
         timer      => d5
         d9 pass    => d5:  | d6: +10
         timer      => d122",
    );
}

#[test]
fn days_before_a_short_window_are_kept() {
    check(
        "trait 1
         segment 10 frequency([1T] <= 2D) >= 2
         segment 11 frequency([1T] >= 1D) >= 2",
        "d0 see 1  =>
         d1 see 1  => +10
         d2 see 1  => +11
         traits    => 1: 0 d0*1 d1*1 d2*1
         d3 see 1  =>
         traits    => 1: 0 d0*1 d1*1 d2*1 d3*1
         d9 see 1  => -10
         traits    => 1: 0 d0*1 d1*1 d2*1 d3*1 d9*1
         d9 see 1  => +10",
    );
}

#[test]
fn a_late_event_counts_in_the_window_it_falls_into() {
    check(
        "trait 1
         segment 10 frequency([1T] <= 2D) >= 2
         segment 11 frequency([1T] >= 5D) >= 1",
        "d9 see 1        =>
         d9 see 1 @d6    =>
         timer           => d11
         d9 see 1 @d7    => +10
         d9 see 1 @d4    => +11
         traits          => 1: 0 d4*1 d6*1 d7*1 d9*1
         d9 see 1 @d3    =>
         traits          => 1: 0 d3*1 d4*1 d6*1 d7*1 d9*1
         d10 pass        => d10: -10",
    );
}

#[test]
fn a_device_unseen_for_120_days_leaves_at_the_next_midnight() {
    check(
        "trait 1 ttl=0
         segment 10 1T
         dest 100 ids=5 map=10",
        "d0+10 see 1 5=x  => +10 >100.5
         send             => 100.5[x 10=1]
         timer            => d121
         d1+1 see         =>
         timer            => d121
         d121 pass        => d121:
         timer            => d122
         traits           => 1: 0 d0*1",
    );
}

/// Day 0 is a Wednesday; 120 days later it is a Thursday.
#[test]
fn a_weekly_cleanup_finds_unseen_devices_on_mondays() {
    check(
        "cleanup 7
         trait 1 ttl=0
         segment 10 1T
         dest 100 ids=5 map=10",
        "d0+10 see 1 5=x  => +10 >100.5
         send             => 100.5[x 10=1]
         timer            => d124
         d123+23 pass     =>
         d124 pass        => d124: -10 >100.5
         send             => 100.5[x 10=0]
         traits           =>",
    );
    // One that comes before the cleanup never left.
    check(
        "cleanup 7
         trait 1 ttl=0
         segment 10 1T",
        "d0+10 see 1      => +10
         d123+23 see      =>
         traits           => 1: 0 d0*1",
    );
}

#[test]
fn being_seen_at_midnight_starts_the_120_days_there() {
    check(
        "trait 1 ttl=0
         segment 10 1T
         dest 100 ids=5 map=10",
        "d0 see 1 5=x     => +10 >100.5
         send             => 100.5[x 10=1]
         d119+23:59 wake  =>
         d120 pass        => d120: -10 >100.5
         ids              => 5=x unlinked
         traits           =>
         send             => 100.5[x 10=0]
         ids              =>
         timer            => none",
    );
}

#[test]
fn a_device_in_no_segment_is_never_woken() {
    check(
        "trait 1 ttl=9
         trait 2
         trait 3
         segment 10 2T AND 3T",
        "d0 see 1  =>
         timer     => none
         d1 see 2  =>
         timer     => d122
         see -2    =>
         timer     => none",
    );
}

#[test]
fn a_timer_of_no_use_is_taken_back() {
    check(
        "trait 1 ttl=9
         segment 10 1T",
        "d0 see 1   => +10
         timer      => d10
         d1 see -1  => -10
         timer      => none",
    );
    check(
        "trait 1 ttl=9
         segment 10 1T",
        "d0 see 1   => +10
         d1 optout  => -10
         timer      => none
         d2 delete  =>
         timer      => none",
    );
}

#[test]
fn a_new_catalog_moves_the_timer_when_the_device_is_next_looked_at() {
    check_all(
        &[
            "trait 1 ttl=9
             segment 10 1T",
            "trait 1 ttl=5
             segment 10 1T",
            "trait 1 ttl=99
             segment 10 1T",
        ],
        "d0 see 1   => +10
         timer      => d10
         catalog 1  =>
         d1 wake    =>
         timer      => d6
         catalog 2  =>
         d2 see     =>
         timer      => d6
         d6 pass    => d6:
         timer      => d100",
    );
}

#[test]
fn a_timer_that_comes_late_does_all_that_is_due() {
    check(
        "trait 1 ttl=1
         trait 2 ttl=3
         trait 3 ttl=9
         segment 10 1T
         segment 11 2T
         segment 12 3T",
        "d0 see 1 2 3  => +10 +11 +12
         d5+7 wake     => -10 -11
         timer         => d10",
    );
}

#[test]
fn a_trait_nobody_reads_wakes_nobody() {
    check(
        "trait 1 ttl=3
         trait 2
         segment 10 2T",
        "d0 see 1 2  => +10
         timer       => d120",
    );
}

#[test]
fn what_time_brings_is_sent_under_the_rules() {
    check(
        "trait 1
         trait 2
         segment 10 frequency([1T] >= 2D) >= 1
         segment 11 2T
         dest 100 ids=5 map=10,11",
        "d0 see 1 2 5=x  => +11 >100.5
         send            => 100.5[x 11=1]
         d2 pass         => d2: +10 >100.5
         send            => 100.5[x 10=1 11=1]
         d4+23:59 see    =>
         d5 see          => >100.5",
    );
}

#[test]
fn waking_does_not_count_as_being_seen() {
    check_all(
        &[
            "trait 1
             segment 10 1T
             dest 100 ids=5 map=10",
            "trait 1
             segment 10 1T
             dest 100 ids=5 map=10:new",
        ],
        "d0 see 1 5=x  => +10 >100.5
         send          => 100.5[x 10=1]
         catalog 1     =>
         d9 wake       =>
         d10 see       => >100.5
         send          => 100.5[x new=1]
         d11 see       =>",
    );
}

#[test]
fn a_deleted_device_keeps_nothing_that_nobody_is_owed() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5 map=10",
        "d0 see 1 5=x 6=y #e r9  => +10 >100.5
         d1 delete               => -10
         send                    =>
         ids                     =>
         show 100                => nothing
         traits                  =>",
    );
}

#[test]
fn opting_out_keeps_what_is_stored() {
    check(
        "trait 1
         segment 10 1T
         dest 100 ids=5 map=10",
        "d0 see 1 5=x  => +10 >100.5
         send          => 100.5[x 10=1]
         d1 optout     => -10 >100.5
         traits        => 1: 0 d0*1
         ids           => 5=x
         send          => 100.5[x 10=0]
         d2 optout     =>
         d500 wake     =>",
    );
}

#[test]
fn a_device_nobody_knows_opts_out() {
    check(
        "trait 1
         segment 10 1T",
        "d0 optout  =>
         d1 see 1   => opted out",
    );
}

#[test]
fn a_device_unseen_for_120_days_enters_nothing() {
    check(
        "trait 1 ttl=0
         trait 2 ttl=130
         segment 10 1T AND NOT 2T",
        "d0 see 1 2    =>
         timer         => d131
         d131 pass     => d131:
         timer         => none
         d140 see      =>
         traits        =>
         d141 see 1    => +10",
    );
}

#[test]
fn a_device_in_no_segment_is_forgotten_without_a_timer() {
    check(
        "trait 1 ttl=0
         trait 2
         segment 10 2T
         dest 100 ids=5 map=10",
        "d0 see 1 5=x r9   =>
         timer             => none
         d121 see 2 6=y    => +10
         traits            => 2: 0 d121*1
         ids               => 6=y
         regions           => []",
    );
}

#[test]
fn an_event_older_than_120_days_takes_nobody_in() {
    check(
        "trait 1 ttl=0
         segment 10 1T",
        "d200 see 1 @d20     =>
         timer               => none
         traits              =>
         d200+1 see 1 @d79   =>
         d200+2 see 1 @d150  => +10
         timer               => d270",
    );
}

#[test]
fn days_before_the_last_30_add_up_without_a_window() {
    check(
        "trait 1 ttl=0
         segment 10 1T",
        "d0 see 1   => +10
         d1 see 1   =>
         d31 see 1  =>
         traits     => 1: 1 d1*1 d31*1",
    );
}
