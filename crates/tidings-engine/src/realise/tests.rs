//! Counting: by kind of trait, through folders, and up to limits.

use super::{expire, expiry, realise};
use crate::testing::{catalog, check, check_all, parse_time, show_time};
use crate::{CompiledCatalog, MappingChanges};
use tidings_model::TraitId;

#[track_caller]
fn check_expiry(last: &str, ttl_days: u32, expected: &str) {
    let end = expiry(parse_time(last).unwrap(), ttl_days);
    assert_eq!(end.map_or_else(|| "never".to_owned(), show_time), expected);
}

#[test]
fn the_published_times_to_live() {
    check_expiry("d0+1", 1, "d2");
    check_expiry("d0+23", 1, "d2");
    check_expiry("d0", 1, "d2");
    check_expiry("d0+16:17:22", 30, "d31");
    check_expiry("d0+16:17:22", 120, "d121");
    check_expiry("d0+16:17:22", 0, "never");
    check_expiry("d0", u32::MAX, "d2147466638");
}

#[test]
fn what_is_not_live_any_more_is_not_realised() {
    let text = "trait 1 ttl=1";
    let compiled = CompiledCatalog::compile(&catalog(text), 1, MappingChanges::default()).unwrap();
    let at = |text| parse_time(text).unwrap();
    let mut traits = Vec::new();
    let id = TraitId(1);
    assert!(!realise(
        &mut traits,
        &compiled,
        id,
        at("d0+23:59"),
        at("d2")
    ));
    assert!(traits.is_empty());
    assert!(realise(
        &mut traits,
        &compiled,
        id,
        at("d0+23:59"),
        at("d1+23:59")
    ));
    assert!(!realise(
        &mut traits,
        &compiled,
        TraitId(2),
        at("d1"),
        at("d1")
    ));
    let mut removed = Vec::new();
    expire(&mut traits, &compiled, 1, at("d1+23:59"), |id| {
        removed.push(id)
    });
    assert!(removed.is_empty());
    expire(&mut traits, &compiled, 1, at("d2"), |id| removed.push(id));
    assert_eq!((removed, traits), (vec![id], vec![]));
}

#[test]
fn an_impression_cap_ends_a_membership() {
    check(
        "trait 1
         trait 2
         segment 10 1T AND frequency([2T]) <= 3",
        "d0 see 1 2  => +10
         d1 see 2    =>
         d2 see 2    =>
         d3 see 2    => -10
         d4 see -2   => +10",
    );
}

#[test]
fn a_conversion_ends_a_membership() {
    check(
        "trait 1
         trait 2 onboarded
         segment 10 1T AND NOT 2T",
        "d0 see 1   => +10
         d1 see 2   => -10
         d2 see -2  => +10",
    );
}

#[test]
fn frequencies_of_several_traits_add_up() {
    check(
        "trait 1
         trait 2
         segment 10 frequency([1T,2T]) >= 3
         segment 11 frequency([1T,2T]) == 2",
        "d0 see 1 2  => +11
         d1 see 1    => +10 -11",
    );
}

#[test]
fn onboarded_traits_count_once() {
    check(
        "trait 1 onboarded ttl=5
         segment 10 1T",
        "d0 see 1  => +10
         d1 see 1  =>
         traits    => 1: 0 d1*1
         d6 pass   => d6:
         d7 pass   => d7: -10",
    );
}

#[test]
fn a_folder_is_the_sum_of_what_is_in_it() {
    check(
        "trait 1 in=91
         trait 2 in=90
         trait 3 onboarded in=91
         trait 4
         trait 90 folder
         trait 91 folder in=90
         segment 10 frequency([90T]) >= 7
         segment 11 91T
         segment 12 90T AND NOT 4T",
        "d0 see 2  => +12
         d1 see 3  => +11
         d1 see 3  =>
         d2 see 1  =>
         d2 see 1  =>
         d2 see 1  =>
         d2 see 1  =>
         d2 see 1  => +10
         d3 see -2 => -10
         d3 see 4  => -12
         d3 see -1 =>
         d3 see -3 => -11",
    );
}

#[test]
fn what_is_in_a_folder_ends_with_its_time() {
    check(
        "trait 1 ttl=2 in=90
         trait 2 ttl=4 in=90
         trait 90 folder
         segment 10 90T",
        "d0 see 1 2  => +10
         timer       => d3
         d3 pass     => d3:
         d9 pass     => d5: -10",
    );
}

#[test]
fn windows_look_into_folders() {
    check(
        "trait 1 in=90
         trait 2 in=90
         trait 90 folder
         segment 10 frequency([90T] <= 1D) >= 2",
        "d0 see 1  =>
         d1 see 2  => +10
         d2 pass   => d2: -10",
    );
}

#[test]
fn an_onboarded_trait_in_a_folder_has_its_day() {
    check(
        "trait 1 onboarded in=90
         trait 90 folder
         segment 10 frequency([90T] <= 1D) >= 1
         segment 11 frequency([90T] >= 3D) >= 1",
        "d0 see 1     => +10
         timer        => d2
         d1 see 1     =>
         d9 pass      => d2:  | d3: -10 | d4: +11
         d9 see 1     => +10 -11
         d9 see 1 @d5 =>
         traits       => 1: 0 d9*1",
    );
}

#[test]
fn a_trait_moved_out_of_its_folder_does_not_count_there() {
    check_all(
        &[
            "trait 1 in=90
             trait 90 folder
             segment 10 90T",
            "trait 1
             trait 90 folder
             segment 10 90T",
        ],
        "d0 see 1   => +10
         catalog 1  =>
         d0 see     => -10
         catalog 0  =>
         d0 see     => +10",
    );
}

#[test]
fn a_new_segment_takes_in_who_has_its_traits_already() {
    check_all(
        &[
            "trait 1
             trait 2",
            "trait 1
             trait 2
             segment 10 1T
             segment 11 1T AND NOT 2T",
        ],
        "d0 see 1   =>
         catalog 1  =>
         d0 wake    => +10 +11",
    );
}

#[test]
fn a_deleted_trait_ends_its_memberships() {
    check_all(
        &[
            "trait 1
             trait 2
             segment 10 1T OR 2T",
            "trait 2
             segment 10 2T",
        ],
        "d0 see 1   => +10
         catalog 1  =>
         d0 see     => -10
         traits     =>
         timer      => none",
    );
}
