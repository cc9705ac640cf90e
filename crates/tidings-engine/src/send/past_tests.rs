//! What an earlier run may have told by a mapping that is gone when the device is looked at next.

use crate::testing::check_all;

const MAPPED: &str = "
    trait 1
    trait 2
    segment 10 1T
    segment 11 2T
    dest 100 ids=5 map=10,11
";

const UNMAPPED: &str = "
    trait 1
    trait 2
    segment 10 1T
    segment 11 2T
    dest 100 ids=5 map=11
";

/// The device leaves before the mapping is back.
#[track_caller]
fn check_zero(lost_and_unmapped: &str) {
    check_all(
        &[MAPPED, UNMAPPED],
        &format!(
            "d0 see 1 2 5=x  => +10 +11 >100.5
             take 100.5      => 100.5[x 10=1 11=1]
             {lost_and_unmapped}
             wake            =>
             d1 see -1       => -10 >100.5
             send            => 100.5[x 11=1]
             show 100        => told 10, told 11, to x, owed 10 x
             catalog 0       =>
             d2 see          => >100.5
             send            => 100.5[x 11=1 10=0]
             show 100        => told 11, to x"
        ),
    );
}

#[test]
fn a_mapping_removed_after_the_crash_leaves_a_zero() {
    check_zero(
        "crash           =>
         catalog 1       =>",
    );
}

#[test]
fn a_mapping_removed_while_the_process_was_down_leaves_a_zero() {
    check_zero("crash 1         =>");
}

#[test]
fn a_mapping_removed_while_the_message_was_on_its_way_leaves_a_zero() {
    check_zero(
        "catalog 1       =>
         crash           =>",
    );
    // The device is looked at meanwhile.
    check_zero(
        "catalog 1       =>
         wake            =>
         see             => >100.5
         crash           =>",
    );
}

#[test]
fn a_mapping_that_was_back_for_a_while_leaves_a_zero() {
    check_zero(
        "catalog 1       =>
         catalog 0       =>
         crash           =>
         catalog 1       =>",
    );
}

/// What came after the run that may have told, however soon, told nothing.
#[test]
fn a_mapping_that_came_after_the_crash_leaves_no_zero() {
    for come in ["crash 0 =>", "crash => \n catalog 0 =>"] {
        check_all(
            &[MAPPED, UNMAPPED],
            &format!(
                "d0 catalog 1    =>
                 d0+0:01 see 1 2 5=x => +10 +11 >100.5
                 take 100.5      => 100.5[x 11=1]
                 {come}
                 d0+1 see -1     => -10 >100.5
                 send            => 100.5[x 11=1]
                 show 100        => told 11, to x"
            ),
        );
    }
}

/// What was over before the run that may have told it, or before the device entered, was told by nobody.
#[test]
fn what_nobody_can_have_told_leaves_no_zero() {
    for over in [
        "d0 catalog 1       =>
         crash              =>
         d0+1 see 1 2 5=x   => +10 +11 >100.5",
        "d0 catalog 1       =>
         d0+1 see 1 2 5=x   => +10 +11 >100.5",
    ] {
        check_all(
            &[MAPPED, UNMAPPED],
            &format!(
                "{over}
                 take 100.5      => 100.5[x 11=1]
                 crash           =>
                 d1 see -1       => -10 >100.5
                 send            => 100.5[x 11=1]
                 show 100        => told 11, to x"
            ),
        );
    }
}
