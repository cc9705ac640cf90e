//! Differences of small catalogs, and that they foretell what the engine does.

use super::{CatalogDiff, Consequence};
use crate::testing::catalog;
use insta::assert_snapshot;
use tidings_model::{
    HashName, OAuth, OAuthCredentials, SecretRef, Segment, SegmentId, Signing, Status,
};

const OLD: &str = "trait 1 ttl=30
                   trait 2
                   trait 90 folder
                   trait 3 in=90
                   segment 10 1T
                   segment 11 2T
                   segment 12 90T
                   dest 100 ids=5 map=10,11";

/// The codes of what follows when parts of [`OLD`] are replaced.
#[track_caller]
fn check(replacements: &[(&str, &str)], expected: &str) {
    let new = replacements
        .iter()
        .fold(OLD.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
    let diff = CatalogDiff::between(&catalog(OLD), &catalog(&new));
    let consequences = diff.consequences.iter();
    let shown = consequences.map(|one| {
        let text = one.to_string();
        let subject = text.split(':').next().unwrap_or_default();
        format!("{subject} {}", one.code())
    });
    assert_eq!(shown.collect::<Vec<_>>().join(", "), expected, "{diff}");
}

#[test]
fn finds_nothing_where_nothing_follows() {
    check(&[], "");
    // Written otherwise, and saying the same.
    check(&[("10 1T", "10 (1T)")], "");
    check(
        &[
            ("segment 12 90T", ""),
            ("segment 11 2T", "segment 12 90T\nsegment 11 2T"),
        ],
        "",
    );
    check(&[("dest 100 ids=5", "dest 100 ids=5 max=3")], "");
}

#[test]
fn tells_who_is_evaluated_anew() {
    check(&[("10 1T", "10 1T OR 2T")], "segment 10 rule_changed");
    check(
        &[("trait 1 ttl=30", "trait 1 ttl=3")],
        "segment 10 traits_read_differ",
    );
    check(
        &[("trait 3 in=90", "trait 3")],
        "segment 12 traits_read_differ",
    );
    check(
        &[("trait 2", "trait 2 in=90\ntrait 4")],
        "segment 11 traits_read_differ, segment 12 traits_read_differ",
    );
    check(
        &[("trait 2", "trait 2 when=page")],
        "trait 2 trait_rule_changed",
    );
    check(
        &[("trait 3 in=90", "")],
        "trait 3 trait_gone, segment 12 traits_read_differ",
    );
    check(
        &[("11 2T", "11 2T\nsegment 13 2T")],
        "segment 13 segment_begins",
    );
    check(&[("11 2T", "11 2T\nsegment 13 paused 2T")], "");
}

#[test]
fn tells_what_pauses_and_deletions_keep_from_partners() {
    check(
        &[("10 1T", "10 paused 1T OR 2T")],
        "segment 10 segment_paused, segment 10 told_again",
    );
    check(&[("segment 12 90T", "")], "segment 12 segment_gone");
    check(
        &[("segment 11 2T", ""), ("map=10,11", "map=10")],
        "segment 11 segment_gone, segment 11 told_again, destination 100 mapping_gone",
    );
    check(
        &[("map=10,11", "map=10")],
        "segment 11 told_again, destination 100 mapping_gone",
    );
    check(&[("map=10,11", "map=10@3..,11")], "segment 10 told_again");
    check(&[("map=10,11", "map=10:a,10,11")], "segment 10 told_again");
}

#[test]
fn tells_which_blocks_begin_and_end() {
    let labelled = ("ids=5 map", "ids=5 labels=pii map");
    let owned = ("trait 3", "trait 3 of=7");
    let controlled = ("trait 2", "source 7 pii\ntrait 2");
    check(&[labelled, owned], "");
    check(
        &[labelled, ("trait 2", "trait 2 of=7"), controlled],
        "segment 11 told_again, destination 100 block_begins",
    );
    let through_folder = [labelled, owned, controlled, ("map=10,11", "map=10,12")];
    check(
        &through_folder,
        "segment 11 told_again, segment 12 told_again, destination 100 mapping_gone, \
         destination 100 block_begins",
    );
    // Seen from the other side.
    let blocked = OLD
        .replace("ids=5", "ids=5 labels=pii")
        .replace("trait 2", "source 7 pii\ntrait 2 of=7");
    let diff = CatalogDiff::between(&catalog(&blocked), &catalog(OLD));
    assert_snapshot!(diff, @r#"
    ~ data source 7 ""
        export_controls: [no_pii] -> []
    ~ trait 2 ""
        data_source: 7 -> none
    ~ destination 100 ""
        export_labels: [pii] -> []

    what follows:
      segment 11: what is mapped of it differs: members hear all their segments again when they are seen next
      destination 100: no export control blocks segment 11 any more: it is told of members, and of the 0 it is owed, when they are seen next
    "#);
    let other = blocked.replace("map=10,11", "map=10");
    let diff = CatalogDiff::between(&catalog(&blocked), &catalog(&other));
    let codes: Vec<_> = diff.consequences.iter().map(Consequence::code).collect();
    assert_eq!(codes, ["told_again", "mapping_gone"]);
    // A new destination may be blocked from the beginning.
    let without = blocked.lines().filter(|line| !line.contains("dest"));
    let without = without.collect::<Vec<_>>().join("\n");
    let diff = CatalogDiff::between(&catalog(&without), &catalog(&blocked));
    let codes: Vec<_> = diff.consequences.iter().map(Consequence::code).collect();
    let expected = [
        "told_again",
        "told_again",
        "destination_begins",
        "block_begins",
    ];
    assert_eq!(codes, expected);
}

#[test]
fn tells_when_unseen_devices_leave() {
    let old = catalog(OLD);
    let mut new = old.clone();
    new.cleanup.days = 7;
    let diff = CatalogDiff::between(&old, &new).to_string();
    assert_eq!(
        diff,
        "~ settings of the \"catalog\"
    cleanup_days: 1 -> 7

what follows:
  devices that were not seen for 120 days leave with a cleanup every 7 days, which is told
"
    );
}

#[test]
fn a_built_in_data_source_that_loses_its_controls_is_not_gone() {
    let mut old = catalog(OLD);
    old.data_sources[0].id = tidings_model::DataSourceId(20914);
    let diff = CatalogDiff::between(
        &old,
        &tidings_model::Catalog {
            data_sources: old.data_sources[1..].to_vec(),
            ..old.clone()
        },
    );
    assert_eq!(
        (diff.changes.len(), diff.consequences.len()),
        (1, 0),
        "{diff}"
    );
}

#[test]
fn tells_what_becomes_of_destinations() {
    check(
        &[("map=10,11", "map=10,11 paused")],
        "destination 100 destination_paused",
    );
    check(
        &[("dest 100 ids=5 map=10,11", "")],
        "segment 10 told_again, segment 11 told_again, destination 100 destination_gone",
    );
    check(
        &[("map=10,11", "map=10,11\ndest 200 ids=5 batch map=12")],
        "segment 12 told_again, destination 200 destination_begins, destination 200 batches_begin",
    );
    check(
        &[("ids=5 map", "ids=6 map")],
        "destination 100 namespace_begins, destination 100 namespace_gone",
    );
    check(
        &[("map=10,11", "map=10,11 batch")],
        "destination 100 batches_begin",
    );
}

#[test]
fn shows_fields_and_no_secrets() {
    let mut old = catalog(OLD);
    let destination = &mut old.destinations[0];
    destination.url = "https://partner.example/a?token=hush-1".to_owned();
    let secret = |text: &str| SecretRef::Plain(text.to_owned());
    destination.signing = vec![Signing {
        header: "X-Signature".to_owned(),
        hash: HashName::Sha1,
        secret: secret("hush-2"),
        not_before: None,
        not_after: None,
    }];
    destination.oauth = Some(OAuth {
        token_url: "https://partner.example/token".to_owned(),
        credentials: OAuthCredentials::BasicRaw(secret("hush-3")),
    });
    let mut new = old.clone();
    let destination = &mut new.destinations[0];
    destination.url = "https://partner.example/b?token=hush-4".to_owned();
    destination.signing[0].secret = secret("hush-5");
    destination.oauth = None;
    destination.max_users = 7;
    destination.success_codes = vec![200, 204];
    destination.mappings[0].value = Some("shoes\u{1b}".to_owned());
    new.segments[1].rule = "2T OR 1T".to_owned();
    new.segments[2].status = Status::Paused;
    new.segments.push(Segment {
        id: SegmentId(13),
        name: "New".to_owned(),
        rule: "1T".to_owned(),
        status: Status::Active,
    });
    let diff = CatalogDiff::between(&old, &new);
    assert!(!format!("{diff}{diff:?}").contains("hush"));
    assert_snapshot!(diff, @r#"
    ~ segment 11 ""
        rule: 2T -> 2T OR 1T
    ~ segment 12 ""
        status: active -> paused
    + segment 13 "New"
    ~ destination 100 ""
        url: https://partner.example/a?*** -> https://partner.example/b?***
        signing: changed in what is not shown
        oauth: https://partner.example/token basic_raw -> none
        max_users: 10 -> 7
        success_codes: [200] -> [200, 204]
    ~ destination 100, mapping of segment 10 ""
        value: none -> shoes\u{1b}

    what follows:
      segment 11: devices enter and leave by the new rule, which is told: at once when seen, else in the background
      segment 12: paused: it keeps its members, takes no new ones, and partners hear neither 1 nor 0
      segment 13: devices whose traits fulfil its rule already enter it, which is told
      segment 10: what is mapped of it differs: members hear all their segments again when they are seen next
      destination 100: segment 10 is not sent as "10" any more: under that text no 0 follows a 1
    "#);
}

#[test]
fn knows_what_the_running_engine_tells_again() {
    let (old, new) = (
        catalog(OLD),
        catalog(&OLD.replace("map=10,11", "map=10:x,12")),
    );
    let diff = CatalogDiff::between(&old, &new);
    let again = diff.consequences.iter().filter_map(|one| match one {
        Consequence::ToldAgain(id) => Some(id.0),
        _ => None,
    });
    assert_eq!(again.collect::<Vec<_>>(), [10, 11, 12]);
}
