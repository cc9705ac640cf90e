//! Faulty catalogs, and what the operator reads about them.

use crate::report;
use std::path::Path;
use tidings_catalog::{Fault, Source};

/// A sound catalog with `line` in place of one of its lines.
const SOUND: &str = "\
data_sources:
  - { id: 12345, name: Cookies }
traits:
  - { id: 1001, name: Checkout, rule: 'page == \"checkout\"' }
segments:
  - { id: 14356, name: Cart, rule: 1001T }
destinations:
  - id: 423
    name: DSP
    client_id: c
    url: https://dsp.example/
    mappings: [{ segment: 14356 }]
";

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(report(text), expected, "for:\n{text}");
}

/// Adds `lines` to the destination of a sound catalog, and drops what each line replaces.
#[track_caller]
fn check_destination(lines: &str, expected: &str) {
    let key = |line: &str| line.trim().split(':').next().map(str::to_owned);
    let replaced: Vec<_> = lines.lines().map(key).collect();
    let mut text: String = SOUND
        .lines()
        .enumerate()
        .filter(|(index, line)| *index < 8 || !replaced.contains(&key(line)))
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    for line in lines.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    // The place is checked elsewhere; here it would only be noise.
    let shown = report(&text)
        .replace("catalog.yaml:", "")
        .replace("destinations[0]", "D");
    let shown: Vec<_> = shown
        .lines()
        .map(|line| line.split_once(": ").map_or(line, |(_, rest)| rest))
        .collect();
    assert_eq!(shown.join("\n"), expected, "for:\n{text}");
}

#[test]
fn a_sound_catalog_has_none() {
    check(SOUND, "");
}

#[test]
fn text_that_is_no_catalog() {
    check(
        "",
        "catalog.yaml: the catalog is empty (write `{}` if that is meant)",
    );
    check(
        "# all gone\n",
        "catalog.yaml: the catalog is empty (write `{}` if that is meant)",
    );
    check(
        "hello",
        "catalog.yaml:1: expected a mapping with data_sources, traits, segments, destinations, cleanup_days, limits; found text",
    );
    check(
        "- a",
        "catalog.yaml:1: expected a mapping with data_sources, traits, segments, destinations, cleanup_days, limits; found a list",
    );
    check(
        "traits: [",
        "catalog.yaml:2: not valid YAML: while parsing a node, did not find expected node content",
    );
    check(
        "traits:\n\t- id: 1",
        "catalog.yaml:2: not valid YAML: tabs disallowed within this context (block indentation)",
    );
    check(
        "traits: []\n---\ntraits: []\n",
        "catalog.yaml:2: a second document begins here (write one document, without `---` inside)",
    );
    check(
        "traits: &a []\nsegments: *a\n",
        "catalog.yaml:1: anchors and aliases are not supported (write the value out; quote text that begins with `&` or `*`)",
    );
}

#[test]
fn every_mistake_is_reported_in_the_order_of_the_file() {
    check(
        "\
segmets: []
destinations:
  - { id: 1, name: D, client_id: c, url: http://dsp.example/, mappings: [{ segment: 9 }] }
traits:
  - { id: one, nmae: T, ttl: 30 }
",
        "\
catalog.yaml:1: unknown key `segmets` (did you mean `segments`?)
catalog.yaml:3: destinations[0].url: plain http is refused: messages are only sent over https (write https://)
catalog.yaml:3: destinations[0].mappings[0].segment: there is no segment 9
catalog.yaml:5: traits[0]: `name` is missing
catalog.yaml:5: traits[0].id: `one` is not a whole number
catalog.yaml:5: traits[0]: unknown key `nmae` (did you mean `name`?)
catalog.yaml:5: traits[0]: unknown key `ttl` (did you mean `ttl_days`?)",
    );
}

#[test]
fn repeated_keys_and_ids_name_the_first_place() {
    check(
        "traits:\n  - id: 1\n    name: A\n    name: B\n  - { id: 1, name: C }\ntraits: []\n",
        "\
catalog.yaml:4: traits[0]: `name` is already given at line 3
catalog.yaml:5: traits[1].id: trait 1 is already at line 2
catalog.yaml:6: `traits` is already given at line 1",
    );
    check(
        "data_sources: [{ id: 1, name: A }, { id: 1, name: B }]",
        "catalog.yaml:1: data_sources[1].id: data source 1 is already at line 1",
    );
    check(
        "data_sources: [{ id: 1, name: A, integration_code: a }, { id: 2, name: B, integration_code: a }]",
        "catalog.yaml:1: data_sources[1].integration_code: integration code `a` is already at line 1",
    );
    let twice = format!(
        "{SOUND}  - {{ id: 423, name: D, client_id: c, url: 'https://d/', mappings: [] }}\n"
    );
    check(
        &twice,
        "catalog.yaml:13: destinations[1].id: destination 423 is already at line 8",
    );
    let twice = SOUND.replace(
        "1001T }",
        "1001T }\n  - { id: 14356, name: B, rule: 1001T }",
    );
    check(
        &twice,
        "catalog.yaml:7: segments[1].id: segment 14356 is already at line 6",
    );
}

#[test]
fn data_sources() {
    let check = |entry: &str, expected: &str| {
        let expected = if expected.is_empty() {
            String::new()
        } else {
            format!("catalog.yaml:1: data_sources[0]{expected}")
        };
        check(&format!("data_sources: [{entry}]"), &expected);
    };
    check(
        "{ id: 7, name: A, kind: person }",
        ".kind: `person` is not one of cookie, device, cross_device",
    );
    check(
        "{ id: 7, name: A, kind: cokie }",
        ".kind: `cokie` is not one of cookie, device, cross_device (did you mean `cookie`?)",
    );
    check(
        "{ id: 4294967295, name: A }",
        ".id: `4294967295` is not between 0 and 4294967294",
    );
    check(
        "{ id: '7', name: A }",
        ".id: expected a whole number, found text (remove the quotes)",
    );
    check("{ id: -7, name: A }", ".id: `-7` is not a whole number");
    check("{ id: 007, name: A }", ".id: `007` begins with a zero");
    check(
        "{ id: [7], name: A }",
        ".id: expected a whole number, found a list",
    );
    check("{ id: 7 }", ": `name` is missing");
    check("{ id: 7, name: }", ": `name` is missing");
    check("{ id: 7, name: '' }", ".name: it is empty");
    check(
        "{ id: 7, name: {} }",
        ".name: expected text, found a mapping",
    );
    check(
        "{ id: 7, name: \"a\\nb\" }",
        ".name: it holds a control character, such as a line break",
    );
    check(&format!("{{ id: 7, name: {} }}", "é".repeat(255)), "");
    check(
        &format!("{{ id: 7, name: {} }}", "é".repeat(256)),
        ".name: longer than 255 characters",
    );
    check(
        "7",
        ": expected a mapping with id, name, kind, integration_code, export_controls; found a number",
    );
    check(
        "{ id: 7, name: A, integration_code: '' }",
        ".integration_code: it is empty",
    );
    check("{ id: 20914, name: A, integration_code: gaid }", "");
    check(
        "{ id: 20914, name: A }",
        ": data source 20914 is built in: Android advertising ids (GAID); this entry changes nothing",
    );
    check(
        "{ id: 20914, name: A, kind: cookie }",
        ": data source 20914 is built in: Android advertising ids (GAID), of the kind device",
    );
}

#[test]
fn export_controls_and_labels() {
    let check_controls = |controls: &str, expected: &str| {
        let expected = if expected.is_empty() {
            String::new()
        } else {
            format!("catalog.yaml:1: data_sources[0]{expected}")
        };
        let text = format!("data_sources: [{{ id: 7, name: A, export_controls: {controls} }}]");
        check(&text, &expected);
    };
    check_controls("[no_pii, no_onsite_targeting, no_offsite_targeting]", "");
    check_controls("[no_onsite_personalization]", "");
    check_controls("[]", "");
    check_controls("no_pii", ".export_controls: expected a list, found text");
    check_controls(
        "[no_pi]",
        ".export_controls[0]: `no_pi` is not one of no_pii, no_onsite_targeting, no_offsite_targeting, no_onsite_personalization (did you mean `no_pii`?)",
    );
    check_controls(
        "[no_pii, ads]",
        ".export_controls[1]: `ads` is not one of no_pii, no_onsite_targeting, no_offsite_targeting, no_onsite_personalization",
    );
    check_controls(
        "[onsite_targeting]",
        ".export_controls[0]: `onsite_targeting` is not one of no_pii, no_onsite_targeting, no_offsite_targeting, no_onsite_personalization (did you mean `no_onsite_targeting`?)",
    );
    check_controls(
        "[no_pii, no_pii]",
        ".export_controls[1]: `no_pii` is named twice",
    );
    check_destination("export_labels: [pii, onsite_personalization]", "");
    check_destination(
        "export_labels: [no_pii]",
        "D.export_labels[0]: `no_pii` is not one of pii, onsite_targeting, offsite_targeting, onsite_personalization (did you mean `pii`?)",
    );
    check_destination(
        "export_labels: [offsite]",
        "D.export_labels[0]: `offsite` is not one of pii, onsite_targeting, offsite_targeting, onsite_personalization (did you mean `offsite_targeting`?)",
    );
    check_destination(
        "export_labels: [[pii]]",
        "D.export_labels[0]: expected text, found a list",
    );
}

#[test]
fn a_blocked_mapping_is_a_warning() {
    let labelled = format!("{SOUND}    export_labels: [pii, onsite_targeting]\n");
    check(&labelled, "");
    let owned = labelled.replace("name: Checkout,", "name: Checkout, data_source: 12345,");
    check(&owned, "");
    let controlled = |control: &str| {
        let controls = format!("name: Cookies, export_controls: [{control}]");
        owned.replace("name: Cookies", &controls)
    };
    check(&controlled("no_offsite_targeting"), "");
    check(
        &controlled("no_onsite_targeting"),
        "catalog.yaml:12: destinations[0].mappings[0]: nothing of segment 14356 is sent: blocked by export control no_onsite_targeting of data source 12345, through trait 1001 (the destination is labelled `onsite_targeting`)",
    );
    // In a folder, and by a built-in data source, wherever the sections stand.
    let text = "
destinations:
  - { id: 3, name: D, client_id: c, url: 'https://d.example/', mappings: [{ segment: 2 }, { segment: 1 }], export_labels: [pii] }
segments: [{ id: 1, name: S, rule: 1T }, { id: 2, name: S, rule: 9T AND NOT 1T }]
traits:
  - { id: 9, name: F, kind: folder }
  - { id: 8, name: T, kind: third_party, folder: 9, data_source: 20914 }
  - { id: 1, name: T }
data_sources: [{ id: 20914, name: N, export_controls: [no_pii] }]
";
    check(
        text,
        "catalog.yaml:3: destinations[0].mappings[0]: nothing of segment 2 is sent: blocked by export control no_pii of data source 20914, through trait 8 (the destination is labelled `pii`)",
    );
    check(
        &text.replace("name: N,", "name: N, kind: cookie,"),
        "catalog.yaml:9: data_sources[0]: data source 20914 is built in: Android advertising ids (GAID), of the kind device",
    );
}

#[test]
fn traits_and_segments() {
    let check_trait = |rest: &str, expected: &str| {
        check(
            &format!("traits: [{{ id: 1, name: A, {rest} }}]"),
            &format!("catalog.yaml:1: traits[0]{expected}"),
        );
    };
    check_trait("data_source: 8", ".data_source: there is no data source 8");
    check_trait(
        "kind: onboarded, rule: 'a == 1'",
        ".rule: only a rule_based trait has a rule",
    );
    check_trait(
        "kind: model",
        ".kind: `model` is not one of rule_based, onboarded, folder, third_party",
    );
    check_trait(
        "folder: 2",
        ".folder: there is no folder 2 above; a folder stands before what it holds",
    );
    check_trait(
        "ttl_days: 36501",
        ".ttl_days: `36501` is not between 0 and 36500",
    );
    check_trait("ttl_days: 30d", ".ttl_days: `30d` is not a whole number");
    let check_segment = |entry: &str, expected: &str| {
        check(
            &format!("traits: [{{ id: 1, name: A }}]\nsegments: [{entry}]"),
            &format!("catalog.yaml:2: segments[0]{expected}"),
        );
    };
    check_segment("{ id: 1, name: A }", ": `rule` is missing");
    check_segment(
        "{ id: 1, name: A, rule: 1T, status: off }",
        ".status: `off` is not one of active, paused",
    );
    check(
        "traits: {}",
        "catalog.yaml:1: traits: expected a list, found a mapping",
    );
}

#[test]
fn the_cleanup_of_unseen_devices() {
    let days = |text: &str| {
        let read = crate::read(text).unwrap();
        read.catalog.cleanup.days
    };
    assert_eq!([days("{}"), days("cleanup_days: 7")], [1, 7]);
    for (value, fault) in [
        ("0", "`0` is not between 1 and 30"),
        ("31", "`31` is not between 1 and 30"),
        ("7d", "`7d` is not a whole number"),
    ] {
        check(
            &format!("cleanup_days: {value}"),
            &format!("catalog.yaml:1: cleanup_days: {fault}"),
        );
    }
}

#[test]
fn addresses() {
    check_destination(
        "url: http://dsp.example/",
        "D.url: plain http is refused: messages are only sent over https (write https://)",
    );
    check_destination(
        "url: ftp://dsp.example/",
        "D.url: the scheme must be https, not `ftp`",
    );
    check_destination(
        "url: dsp.example/segments",
        "D.url: not a URL: relative URL without a base (write https://host/path)",
    );
    check_destination(
        "url: 'https://'",
        "D.url: not a URL: empty host (write https://host/path)",
    );
    check_destination(
        "url: https://u:hush@dsp.example/",
        "D.url: a URL must not hold a user name or password (use `oauth` or `signing` for credentials)",
    );
    check_destination(
        "url: https://dsp.example/#x",
        "D.url: a URL must not have a fragment (`#…`)",
    );
    check_destination(
        "url: 'https://dsp.example/a b'",
        "D.url: a URL has no blanks, line breaks or backslashes",
    );
    check_destination(
        "url: 'https:\\\\dsp.example'",
        "D.url: a URL has no blanks, line breaks or backslashes",
    );
    check_destination(
        "url: https://dsp.example:0/",
        "D.url: nothing listens on port 0",
    );
    check_destination("url: https://10.0.0.1/", "D.url: the address is private");
    check_destination(
        &format!("url: https://dsp.example/{}", "x".repeat(2_048)),
        "D.url: longer than 2048 bytes",
    );
}

#[test]
fn numbers_durations_and_choices() {
    check_destination("max_users: 0", "D.max_users: `0` is not between 1 and 1000");
    check_destination("max_users: ten", "D.max_users: `ten` is not a whole number");
    check_destination("max_users: 1e1", "D.max_users: `1e1` is not a whole number");
    check_destination(
        "max_linger: 61s",
        "D.max_linger: `61s` is not between 0ms and 1m",
    );
    check_destination("max_linger: 60s", "");
    check_destination(
        "timeout: 3",
        "D.timeout: `3` is not a duration: the unit is missing (write a whole number and ms, s, m, h or d, as in `500ms`)",
    );
    check_destination("timeout: 0s", "D.timeout: `0s` is not between 1ms and 1m");
    check_destination("retries: 11", "D.retries: `11` is not between 0 and 10");
    check_destination(
        "retry_delay: soon",
        "D.retry_delay: `soon` is not a duration: it does not begin with a whole number (write a whole number and ms, s, m, h or d, as in `500ms`)",
    );
    check_destination(
        "success_codes: [99, 600, 200]",
        "D.success_codes[0]: `99` is not between 100 and 599\nD.success_codes[1]: `600` is not between 100 and 599",
    );
    check_destination(
        "success_codes: []",
        "D.success_codes: no code means success: every message would fail",
    );
    check_destination(
        "success_codes: 200",
        "D.success_codes: expected a list, found a number",
    );
    check_destination(
        "after_failure: keep",
        "D.after_failure: `keep` is not one of hold, drop",
    );
    check_destination(
        "max_mappings: 1001",
        "D.max_mappings: `1001` is not between 0 and 1000",
    );
    check_destination(
        "supports_unsegment: 0",
        "D.supports_unsegment: expected true or false, found a number",
    );
    check_destination(
        "unsynced: blnk",
        "D.unsynced: `blnk` is not one of skip, blank (did you mean `blank`?)",
    );
    check_destination(
        "unsynced: skip",
        "D.unsynced: skip without id_data_sources leaves out every device: nothing will be sent",
    );
    check_destination(
        "status: Active",
        "D.status: `Active` is not one of active, paused (did you mean `active`?)",
    );
}

#[test]
fn references_and_mappings() {
    check_destination("id_data_sources: [12345, 1171489]", "");
    check_destination(
        "id_data_sources: ['20914']",
        "D.id_data_sources[0]: expected a whole number, found text (remove the quotes)",
    );
    check_destination(
        "id_data_sources: [1, 12345, 12345]",
        "D.id_data_sources[0]: there is no data source 1\nD.id_data_sources[2]: data source 12345 is named twice",
    );
    check_destination(
        "mappings: [14356]",
        "D.mappings[0]: expected a mapping with segment, value, start, end; found a number",
    );
    check_destination(
        "mappings: [{ value: x }]",
        "D.mappings[0]: `segment` is missing",
    );
    check_destination(
        "mappings: [{ segment: 14357 }]",
        "D.mappings[0].segment: there is no segment 14357",
    );
    check_destination(
        "mappings: [{ segment: 14356, start: 2016-02-30 }]",
        "D.mappings[0].start: `2016-02-30` is not a day (write it as in 2016-07-01)",
    );
    check_destination(
        "mappings: [{ segment: 14356, end: 2016-7-1 }]",
        "D.mappings[0].end: `2016-7-1` is not a day (write it as in 2016-07-01)",
    );
    check_destination(
        "mappings: [{ segment: 14356, start: 2016-07-01, end: 2016-07-01 }]",
        "D.mappings[0].end: 2016-07-01 is not after the start, 2016-07-01 (delivery ends when the day `end` begins)",
    );
    check_destination(
        "mappings: [{ segment: 14356 }, { segment: 14356, start: 2016-07-01 }]",
        "D.mappings[1]: segment 14356 is already mapped at line 12, for the same days",
    );
    check_destination(
        "mappings: [{ segment: 14356, end: 2016-07-01 }, { segment: 14356, start: 2016-07-01 }]",
        "",
    );
    check_destination(
        "mappings: [{ segment: 14356, value: a }, { segment: 14356, value: b }]",
        "",
    );
}

#[test]
fn signing_oauth_batch_and_wire() {
    check_destination(
        "signing: [{ header: X-A, hash: sha512, secret: env:K }]",
        "D.signing[0].hash: `sha512` is not one of md5, sha1, sha256 (did you mean `sha1`?)",
    );
    check_destination(
        "signing: [{ header: 'X A', secret: env:K }]",
        "D.signing[0].header: `X A` is not a header name: letters, digits and `-` make one",
    );
    check_destination(
        "signing: [{ header: content-Length, secret: env:K }]",
        "D.signing[0].header: the header `content-Length` is set by the sender itself",
    );
    check_destination(
        "signing: [{ header: X-A }]",
        "D.signing[0]: `secret` is missing",
    );
    check_destination(
        "signing: [{ secret: env:K, not_before: 2026-01-01, not_after: 2026-01-02T00:00:00Z }]",
        "D.signing[0].not_before: `2026-01-01` is not an instant (write it as in 2016-07-27T16:17:22Z)",
    );
    check_destination(
        "signing: [{ secret: env:K, not_before: 2026-01-02T00:00:00Z, not_after: 2026-01-01T00:00:00Z }]",
        "D.signing[0].not_after: 2026-01-01T00:00:00Z is not after `not_before`, 2026-01-02T00:00:00Z",
    );
    let get = |query: &str, expected: &str| {
        check_destination(
            &format!("method: GET\nurl: 'https://d.example/x{query}'"),
            expected,
        );
    };
    get("?s=<SEGMENT_LIST>&r=<REMOVED_SEGMENT_LIST>&u=<DP_UUID>", "");
    get(
        "?s=<SEGMENT_LIST>&r=<REMOVED_SEGMENTS_LIST>",
        "D.url: <REMOVED_SEGMENTS_LIST> is no macro (there are SEGMENT_LIST, REMOVED_SEGMENT_LIST, DP_UUID, UUID, DPID, ORDER_ID, PIDALIAS, TIMESTAMP)",
    );
    get("/<UUID>", "D.url: macros stand in the query, after `?`");
    get(
        "?u=<UUID>&s=<SEGMENT_LIST>",
        "D.url: no user could be told to have left a segment (add `<REMOVED_SEGMENT_LIST>`, or write `supports_unsegment: false`)",
    );
    get(
        "?r=<REMOVED_SEGMENT_LIST>&s=<SEGMENT_LIST>",
        "D.url: the partner could not tell users apart (add `<DP_UUID>`, or `<UUID>`)",
    );
    get(
        "?r=<REMOVED_SEGMENT_LIST>&u=<UUID>",
        "D.url: with GET the URL says which segments a user is in (add `<SEGMENT_LIST>` to its query)",
    );
    check_destination(
        "method: GET\nmax_users: 2\nurl: https://d.example/?r=<REMOVED_SEGMENT_LIST>&u=<UUID>&s=<SEGMENT_LIST>",
        "D.max_users: `2` is not between 1 and 1",
    );
    check_destination(
        "oauth: { token_url: https://d.example/t }",
        "D.oauth: credentials are missing: `client_id` and `client_secret`, or `basic_raw`",
    );
    check_destination(
        "oauth: { token_url: https://d.example/t, client_id: a }",
        "D.oauth: `client_secret` is missing",
    );
    check_destination(
        "oauth: { token_url: https://d.example/t, client_secret: env:A }",
        "D.oauth: `client_id` is missing",
    );
    check_destination(
        "oauth: { token_url: https://d.example/t, client_id: a, basic_raw: env:A }",
        "D.oauth: `basic_raw` excludes `client_id` and `client_secret`",
    );
    check_destination(
        "oauth: { token_url: http://d.example/t, basic_raw: env:A }",
        "D.oauth.token_url: plain http is refused: messages are only sent over https (write https://)",
    );
    check_destination(
        "tls: { client_cert: 'file:a' }",
        "D.tls: `client_key` is missing",
    );
    check_destination(
        "tls: { client_key: 'file:a' }",
        "D.tls: `client_cert` is missing",
    );
    check_destination("tls: { ca_file: '' }", "D.tls.ca_file: the path is empty");
    check_destination(
        "tls: { client_cert: hush, client_key: 'file:a' }",
        "D.tls.client_cert: not a reference to a secret (write env:NAME, file:PATH or plain:TEXT)",
    );
    check_destination("tls: { verify: false }", "D.tls: unknown key `verify`");
    check_destination(
        "oauth: { basic_raw: env:A }",
        "D.oauth: `token_url` is missing",
    );
    check_destination(
        "batch: { every: 23h, at: '24:00' }",
        "D.batch.every: `23h` is not between 24h and 8784h\nD.batch.at: `24:00` is not a time of day (write it as in \"02:00\", in UTC)",
    );
    check_destination(
        "batch: daily",
        "D.batch: expected a mapping with every, at; found text",
    );
    check_destination(
        "wire: { numbers: int, user_dpid: yes }",
        "D.wire.numbers: `int` is not one of string, integer (did you mean `integer`?)\nD.wire.user_dpid: expected true or false, found text",
    );
    check_destination(
        "wire: { destination_key: Users, destination_id: '' }",
        "D.wire.destination_key: `Users` is another member of the message\nD.wire.destination_id: it is empty",
    );
}

#[test]
fn secrets_are_never_shown() {
    for line in [
        "signing: [{ secret: hush }]",
        "signing: [{ secret: 'vault:hush' }]",
        "signing: [{ secret: 'env:hush hush' }]",
        "signing: [{ secret: ['plain:hush'] }]",
        "signing: [{ secret: { plain:hush } }]",
        "signing: [{ plain:hush }]",
        "signing: [{ header: 'plain:hush', secret: env:A }]",
        "signing: [{ hash: 'plain:hush', secret: env:A }]",
        "signing: ['plain:hush']",
        "signing: plain:hush",
        "signing: [{ secret: 'plain:hush', not_after: 'plain:hush' }]",
        "oauth: { token_url: 'https://hush@d.example/', basic_raw: hush }",
        "oauth: { token_url: 'https://d.example/ hush', client_id: '', client_secret: hush }",
        "retries: plain:hush",
        "id: 5\n    secret: plain:hush",
    ] {
        let text = SOUND.replace("    client_id: c\n", &format!("    {line}\n"));
        let shown = report(&text);
        assert!(
            !shown.is_empty() && !shown.contains("hush"),
            "{line}:\n{shown}"
        );
    }
    check_destination(
        "signing: [{ secret: hush }]",
        "D.signing[0].secret: not a reference to a secret (write env:NAME, file:PATH or plain:TEXT)",
    );
    check_destination(
        "signing: [{ secret: 'plain:' }]",
        "D.signing[0].secret: the secret is empty",
    );
    check_destination(
        "signing: [{ secret: 'env:A B' }]",
        "D.signing[0].secret: the name of an environment variable is made of letters, digits and `_`",
    );
}

#[test]
fn the_list_of_faults_is_bounded() {
    let text = format!("traits:\n{}", "- { id: x, name: A }\n".repeat(1_234));
    let shown = report(&text);
    assert_eq!(shown.lines().count(), 1_001);
    assert_eq!(shown.lines().last(), Some("catalog.yaml: and 234 more"));
}

/// A section of `count` entries, one to a line; `rest` is what each has beside `id` and `name`.
fn section(name: &str, rest: &str, count: usize) -> String {
    let lines = (1..=count).map(|id| format!("- {{ id: {id}, name: A{rest} }}\n"));
    format!("{name}:\n{}", lines.collect::<String>())
}

const DESTINATION: &str = ", client_id: x, url: https://a.example/, mappings: []";

#[test]
fn sections_are_bounded() {
    check(
        &section("traits", ", kind: onboarded", 100_002),
        "catalog.yaml:100002: traits[100000]: 100002 traits are of the kind onboarded, the limit is 100000 \
         (raise `limits.traits_per_kind`, to at most 1000000)",
    );
    check(
        &section("traits", ", kind: folder", 2_003),
        "catalog.yaml:2002: traits[2000]: 2003 traits are of the kind folder, the limit is 2000 \
         (raise `limits.folders`, to at most 20000)",
    );
    let segments =
        "traits: [{ id: 1, name: A }]\n".to_owned() + &section("segments", ", rule: 1T", 20_001);
    check(
        &segments,
        "catalog.yaml:3: segments: 20001 entries, the limit is 20000 \
         (raise `limits.segments`, to at most 200000)",
    );
    check(&section("destinations", DESTINATION, 100), "");
    check(
        &section("destinations", DESTINATION, 101),
        "catalog.yaml:2: destinations: 101 entries, the limit is 100 \
         (raise `limits.destinations`, to at most 1000)",
    );
}

#[test]
fn a_catalog_sets_its_limits() {
    let raised =
        |count| section("destinations", DESTINATION, count) + "limits: { destinations: 1000 }";
    check(&raised(1_000), "");
    check(
        &raised(1_001),
        "catalog.yaml:2: destinations: 1001 entries, the limit is 1000",
    );

    let lowered = "\
limits: { traits_per_kind: 1, folders: 0, segments: 1, destinations: 0 }
traits:
  - { id: 1, name: A }
  - { id: 2, name: B, kind: folder }
  - { id: 3, name: C, kind: third_party }
  - { id: 4, name: D }
segments: [{ id: 1, name: A, rule: 1T }, { id: 2, name: B, rule: 1T }]
destinations:
  - { id: 1, name: A, client_id: x, url: https://a.example/, mappings: [{ segment: 2 }] }
";
    check(
        lowered,
        "\
catalog.yaml:4: traits[1]: 1 traits are of the kind folder, the limit is 0 (raise `limits.folders`, to at most 20000)
catalog.yaml:6: traits[3]: 2 traits are of the kind rule_based, the limit is 1 (raise `limits.traits_per_kind`, to at most 1000000)
catalog.yaml:7: segments: 2 entries, the limit is 1 (raise `limits.segments`, to at most 200000)
catalog.yaml:9: destinations: 1 entries, the limit is 0 (raise `limits.destinations`, to at most 1000)",
    );
}

#[test]
fn what_was_accepted_is_read_up_to_the_ceilings() {
    let read = |text: &str| {
        let source = Source {
            name: "catalog.yaml",
            text,
            directory: Path::new("/etc/tidings"),
        };
        tidings_catalog::read_accepted(source)
            .map(|catalog| catalog.destinations.len())
            .map_err(|faults| faults.iter().map(Fault::to_string).collect::<String>())
    };
    let destinations = |count| section("destinations", DESTINATION, count);
    assert_eq!(read(&destinations(1_000)), Ok(1_000));
    let lowered = destinations(3) + "limits: { destinations: 2 }";
    assert_eq!(read(&lowered), Ok(3));
    let too_many = "catalog.yaml:2: destinations: 1001 entries, the limit is 1000";
    assert_eq!(read(&destinations(1_001)), Err(too_many.to_owned()));
    let unknown = "catalog.yaml:1: unknown key `x`";
    assert_eq!(read("x: 1"), Err(unknown.to_owned()));
}

#[test]
fn limits_have_ceilings() {
    check(
        "limits:\n  traits_per_kind: 1000001\n  folders: 20001\n  segments: 200001\n  destinations: 1001\n",
        "\
catalog.yaml:2: limits.traits_per_kind: `1000001` is not between 0 and 1000000
catalog.yaml:3: limits.folders: `20001` is not between 0 and 20000
catalog.yaml:4: limits.segments: `200001` is not between 0 and 200000
catalog.yaml:5: limits.destinations: `1001` is not between 0 and 1000",
    );
    check(
        "limits: { traits_per_kind: 1000000, folders: 20000, segments: 200000, destinations: 1000 }",
        "",
    );
}

#[test]
fn limits_are_a_mapping_of_numbers() {
    check("limits:", "");
    check("limits: {}", "");
    check(
        "limits: 5",
        "catalog.yaml:1: limits: expected a mapping with traits_per_kind, folders, segments, destinations; found a number",
    );
    check(
        "limits: { segment: 5, destinations: many }",
        "\
catalog.yaml:1: limits: unknown key `segment` (did you mean `segments`?)
catalog.yaml:1: limits.destinations: `many` is not a whole number",
    );
}

#[test]
fn lists_are_bounded() {
    let codes = "200, ".repeat(501);
    check_destination(
        &format!("success_codes: [{codes}]"),
        "D.success_codes: 501 entries, the limit is 500",
    );
    let signing = "{ secret: env:A }, ".repeat(9);
    check_destination(
        &format!("signing: [{signing}]"),
        "D.signing: 9 entries, the limit is 8",
    );
}

#[test]
fn rules_are_parsed_checked_and_shown() {
    let sound = "traits: [{ id: 1, name: A }, { id: 2, name: B, kind: onboarded }]\nsegments:\n";
    let check_rule = |rule: &str, expected: &str| {
        let text = format!("{sound}  - id: 7\n    name: S\n    rule: {rule}\n");
        check(&text, expected);
    };
    check_rule(
        "1T AND (2T OR 1T",
        "\
catalog.yaml:5: segments[0].rule: this parenthesis is never closed
    1T AND (2T OR 1T
           ^",
    );
    check_rule(
        "'1T AND FREQUENCY([2T]) >= 1 AND 3T'",
        "\
catalog.yaml:5: segments[0].rule: trait 2 is onboarded, FREQUENCY takes rule-based and folder traits only
    1T AND FREQUENCY([2T]) >= 1 AND 3T
                      ^
catalog.yaml:5: segments[0].rule: there is no trait 3
    1T AND FREQUENCY([2T]) >= 1 AND 3T
                                    ^",
    );
    check_rule(
        "|\n      1T\n      AND NOT 9T",
        "\
catalog.yaml:7: segments[0].rule: there is no trait 9
    AND NOT 9T
            ^",
    );
    check_rule(
        "NOT 1T",
        "\
catalog.yaml:5: segments[0].rule: the rule is true for a profile without any trait (add `AND` and a trait that members must have)
    NOT 1T
        ^",
    );
    check_rule(
        "''",
        "catalog.yaml:5: segments[0].rule: the rule is empty\n    \n    ^",
    );
    check(
        "traits: [{ id: 1, name: A, rule: 'page = \"x\"' }]",
        "\
catalog.yaml:1: traits[0].rule: `=` is not an operator (write `==`)
    page = \"x\"
         ^",
    );
    let long = format!(
        "{} AND 9T AND {}",
        ["1T"; 50].join(" AND "),
        ["1T"; 50].join(" AND ")
    );
    check_rule(
        &long,
        "\
catalog.yaml:5: segments[0].rule: there is no trait 9
    … AND 1T AND 1T AND 1T AND 1T AND 1T AND 9T AND 1T AND 1T AND 1T AND 1T AND 1T AN…
                                             ^",
    );
}

#[test]
fn the_column_of_a_rule_is_that_of_its_fault() {
    let column = |rule: &str| {
        let text = format!("traits: [{{ id: 1, name: A, rule: {rule}}}]");
        crate::read(&text).unwrap_err().first().unwrap().column
    };
    assert_eq!(column("page = 1"), 39);
    assert_eq!(column("'page = 1'"), 40);
}
