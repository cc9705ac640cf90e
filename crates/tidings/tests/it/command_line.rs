//! Commands that run to their end: what they print, and the exit status they end with.

use crate::support::program::{Ended, Files, command, run, tidings, tidings_in, tidings_with};
use insta::assert_snapshot;

const MESSAGE: &[u8] = b"POST message content";
/// Of [`MESSAGE`] with `sample_partner_private_key` and HMAC-SHA1, as published.
const SIGNATURE: &str = "+wFdR/afZNoVqtGl8/e1KJ4ykPU=";

/// A catalog with a mistake of every sort.
const WRONG_CATALOG: &str = r#"data_sources:
  - { id: 12345, name: Cookies, kind: cookie }
traits:
  - { id: 1001, name: Saw checkout, data_source: 12345, rule: 'page = "checkout"' }
segments:
  - { id: 14356, name: Cart, rule: 'NOT 1001T' }
  - { id: 14356, name: Again, rule: '7T' }
destinations:
  - id: 423
    name: DSP
    client_id: "74323"
    url: http://dsp.example/segments
    id_data_sources: [12345]
    mappings: [{ segment: 14356 }, { segment: 9 }]
    max_linger: 2m
    colour: red
"#;

/// The places of all mistakes in it.
const WRONG_PLACES: [&str; 8] = [
    "wrong.yaml:4: traits[0].rule: ",
    "wrong.yaml:6: segments[0].rule: ",
    "wrong.yaml:7: segments[1].id: ",
    "wrong.yaml:7: segments[1].rule: ",
    "wrong.yaml:12: destinations[0].url: ",
    "wrong.yaml:14: destinations[0].mappings[1].segment: ",
    "wrong.yaml:15: destinations[0].max_linger: ",
    "wrong.yaml:16: destinations[0]: ",
];

const RIGHT_CATALOG: &str = r#"data_sources: [{ id: 12345, name: Cookies, kind: cookie }]
traits: [{ id: 1, name: A }]
segments: [{ id: 101, name: A, rule: '1T' }]
destinations:
  - id: 423
    name: DSP
    client_id: "74323"
    url: https://dsp.example/segments
    id_data_sources: [12345]
    mappings: [{ segment: 101 }]
"#;

/// Checks the exit status and that every text is somewhere in the output.
#[track_caller]
fn check(ended: &Ended, status: i32, texts: &[&str]) {
    let shown = ended.shown();
    assert_eq!(ended.status, status, "{shown}");
    for text in texts {
        assert!(shown.contains(text), "no {text:?} in:\n{shown}");
    }
}

#[test]
fn signs_the_published_vectors() {
    for (hash, signature) in [
        ("sha1", SIGNATURE),
        ("md5", "BwA1u1xkb9MNnDgRkyLwlQ=="),
        ("sha256", "WJzevEtYmeOolVtcXGrcA3KKiTQMTZUfKzCw/ZNz9YU="),
    ] {
        let line = format!("sign --key sample_partner_private_key --hash {hash}");
        let ended = tidings_with(MESSAGE, &line);
        assert_eq!(ended.shown(), format!("{signature}\nexit 0"));
    }
}

#[test]
fn takes_keys_from_where_they_are() {
    let files = Files::new(&[
        ("key", "sample_partner_private_key\n"),
        ("message", "POST message content"),
    ]);
    let mut from_env = command("sign --hash sha1 --key env:PARTNER_KEY".split(' '));
    from_env.env("PARTNER_KEY", "sample_partner_private_key");
    let signed = format!("{SIGNATURE}\nexit 0");
    assert_eq!(run(from_env, MESSAGE).shown(), signed);
    for line in [
        "sign --hash sha1 --key plain:sample_partner_private_key message",
        "sign --hash sha1 --key file:key message",
    ] {
        assert_eq!(tidings_in(files.path(), line).shown(), signed, "{line}");
    }
    let missing = tidings("sign --hash sha1 --key env:TIDINGS_TEST_UNSET");
    check(&missing, 2, &["error: --key: ", "TIDINGS_TEST_UNSET"]);
    let missing = tidings("sign --hash sha1 --key file:/nonexistent/key");
    check(&missing, 2, &["error: --key: ", "/nonexistent/key"]);
    check(&tidings("sign --hash sha512 --key k"), 2, &["sha256"]);
}

#[test]
fn verifies_signatures() {
    let line =
        format!("verify --key sample_partner_private_key --hash sha1 --signature {SIGNATURE}");
    assert_eq!(tidings_with(MESSAGE, &line).shown(), "ok\nexit 0");
    let changed = tidings_with(b"POST message content\n", &line);
    assert_eq!((changed.status, changed.stdout.as_str()), (1, "bad\n"));
    // Neither the key nor the signature that would be right may be shown to whoever asks.
    assert!(!changed.stderr.contains("sample_partner_private_key"));
    let other_hash = line.replace("sha1", "sha256");
    check(&tidings_with(MESSAGE, &other_hash), 1, &["bad\n"]);
}

#[test]
fn explains_every_command() {
    for command in [
        "",
        "demo",
        "serve",
        "simulate",
        "catalog",
        "catalog check",
        "receiver",
        "sign",
        "verify",
    ] {
        let ended = tidings(&format!("{command} --help"));
        check(&ended, 0, &[&format!("Usage: tidings {command}")]);
        assert_eq!(ended.stderr, "");
    }
    check(&tidings("frobnicate"), 2, &["frobnicate", "--help"]);
    check(&tidings(""), 2, &["Usage: tidings"]);
}

#[test]
fn checks_catalogs() {
    let files = Files::new(&[
        ("right.yaml", RIGHT_CATALOG),
        ("wrong.yaml", WRONG_CATALOG),
        (
            "private.yaml",
            &RIGHT_CATALOG.replace("dsp.example", "10.0.0.1"),
        ),
    ]);
    let check_file = |name| tidings_in(files.path(), &format!("catalog check {name}"));
    assert_eq!(
        check_file("right.yaml").shown(),
        "ok: 1 traits, 1 segments, 1 destinations\nexit 0"
    );
    assert_snapshot!(check_file("wrong.yaml").shown(), @r#"
    wrong.yaml:4: traits[0].rule: `=` is not an operator (write `==`)
        page = "checkout"
             ^
    wrong.yaml:6: segments[0].rule: the rule is true for a profile without any trait (add `AND` and a trait that members must have)
        NOT 1001T
            ^
    wrong.yaml:7: segments[1].id: segment 14356 is already at line 6
    wrong.yaml:7: segments[1].rule: there is no trait 7
        7T
        ^
    wrong.yaml:12: destinations[0].url: plain http is refused: messages are only sent over https (write https://)
    wrong.yaml:14: destinations[0].mappings[1].segment: there is no segment 9
    wrong.yaml:15: destinations[0].max_linger: `2m` is not between 0ms and 1m
    wrong.yaml:16: destinations[0]: unknown key `colour`
    exit 1
    "#);
    // The running server refuses the address, and the switch that it has for that is not known here.
    assert_snapshot!(check_file("private.yaml").shown(), @r"
    warning: private.yaml:8: destinations[0].url: 10.0.0.1 is refused: a private address
    ok: 1 traits, 1 segments, 1 destinations
    exit 0
    ");
    check(&check_file("missing.yaml"), 2, &["missing.yaml"]);
    check(
        &tidings("catalog check"),
        2,
        &["Usage: tidings catalog check"],
    );
}

#[test]
fn refuses_to_work_with_a_wrong_catalog() {
    let files = Files::new(&[
        ("wrong.yaml", WRONG_CATALOG),
        ("tidings.toml", "catalog = \"wrong.yaml\"\n"),
        ("events.ndjson", ""),
    ]);
    for line in [
        "serve --config tidings.toml",
        "simulate --catalog wrong.yaml --events events.ndjson",
    ] {
        let ended = tidings_in(files.path(), line);
        check(&ended, 2, &WRONG_PLACES);
        assert_eq!(ended.stdout, "");
    }
    assert!(!files.join("data").exists());
}

#[test]
fn names_every_fault_of_a_configuration() {
    let config = r#"catalog = "right.yaml"
[collect]
listen = "here"
[admin]
listen = "0.0.0.0:8081"
[delivery]
ca_file = "missing.pem"
dangerous = true
[clock]
dangerous_virtual = "noon"
[log]
level = 7
[what]
"#;
    let files = Files::new(&[
        ("tidings.toml", config),
        ("broken.toml", "catalog = \n"),
        ("right.yaml", RIGHT_CATALOG),
    ]);
    let serve = |name| tidings_in(files.path(), &format!("serve --config {name}"));
    assert_snapshot!(serve("tidings.toml").shown(), @r#"
        error: the configuration has faults
        tidings.toml:3: collect.listen: "here" is not an address like 127.0.0.1:8080
        tidings.toml:5: admin.listen: the admin side has no authentication yet and listens on loopback only; use 127.0.0.1
        tidings.toml:7: delivery.ca_file: could not read missing.pem: No such file or directory (os error 2)
        tidings.toml:8: unknown key delivery.dangerous
        tidings.toml:10: clock.dangerous_virtual: not a time like 2016-07-27T16:17:22Z: failed to parse four digit integer as year: invalid digit, expected 0-9 but got n
        tidings.toml:12: log.level must be a string
        tidings.toml:13: unknown key what; known are data_dir, catalog, collect, admin, delivery, attempts, removals, clock, log
        exit 2
        "#);
    check(&serve("broken.toml"), 2, &["broken.toml:1: "]);
    check(&serve("missing.toml"), 2, &["missing.toml"]);
}

#[test]
fn keeps_the_admin_side_on_loopback() {
    let files = Files::new(&[("right.yaml", RIGHT_CATALOG)]);
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let config = format!(
            "catalog = \"right.yaml\"\n[collect]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"{address}\"\n"
        );
        files.write("tidings.toml", &config);
        let ended = tidings_in(files.path(), "serve --config tidings.toml");
        check(&ended, 2, &["tidings.toml:5: admin.listen: ", "loopback"]);
    }
}

/// Runs a simulation of these lines, which must be refused at line 3.
#[track_caller]
fn check_line(line: &str, expected: &str) {
    let events =
        format!("{{\"time\":\"2016-07-27T09:00:00Z\",\"uuid\":\"1\",\"traits\":[1]}}\n\n{line}\n");
    let files = Files::new(&[("right.yaml", RIGHT_CATALOG), ("events.ndjson", &events)]);
    let line = "simulate --catalog right.yaml --events events.ndjson";
    let ended = tidings_in(files.path(), line);
    let expected = format!("error: events.ndjson:3: {expected}\nexit 2");
    assert_eq!(ended.shown(), expected);
}

#[test]
fn a_simulation_names_the_line_that_is_wrong() {
    check_line(
        r#"{"time":"2016-07-27T09:00:00Z","uuid":"1",}"#,
        "not valid JSON: key must be a string",
    );
    check_line(
        r#"{"time":"2016-07-27T09:00:00Z","traits":[9]}"#,
        "traits[0]: there is no trait 9 (unknown_trait)",
    );
    check_line(
        r#"{"time":"2016-07-27T09:00:00Z","ids":[{"data_source":7,"id":"x"}]}"#,
        "ids[0].data_source: there is no data source 7 (unknown_data_source)",
    );
    check_line(
        r#"{"uuid":"1"}"#,
        "time: is missing, every line of an event file has one",
    );
    check_line(
        r#"{"time":"2016-07-27T08:59:59Z","uuid":"1"}"#,
        "2016-07-27T08:59:59Z lies before 2016-07-27T09:00:00Z; lines must be in order of time",
    );
    check_line("[]", "event: invalid type: sequence, expected an object");
}

#[test]
fn a_simulation_needs_its_files_and_times() {
    let files = Files::new(&[("right.yaml", RIGHT_CATALOG), ("events.ndjson", "")]);
    let simulate = |line: &str| tidings_in(files.path(), &format!("simulate {line}"));
    let missing = simulate("--catalog right.yaml --events missing.ndjson");
    check(&missing, 2, &["missing.ndjson"]);
    let missing = simulate("--catalog missing.yaml --events events.ndjson");
    check(&missing, 2, &["missing.yaml"]);
    let noon = simulate("--catalog right.yaml --events events.ndjson --until noon");
    check(&noon, 2, &["--until"]);
    let empty = simulate("--catalog right.yaml --events events.ndjson");
    assert_eq!(empty.shown(), "exit 0");
}

#[test]
fn tells_what_another_catalog_would_change() {
    let new = RIGHT_CATALOG
        .replace("rule: '1T'", "rule: '1T', status: paused")
        .replace("id: 423", "id: 424")
        .replace("traits: [", "traits: [{ id: 2, name: B }, ");
    let files = Files::new(&[
        ("old.yaml", RIGHT_CATALOG),
        ("new.yaml", &new),
        ("wrong.yaml", WRONG_CATALOG),
    ]);
    let diff = |args: &str| tidings_in(files.path(), &format!("catalog diff {args}"));
    assert_snapshot!(diff("old.yaml new.yaml").shown(), @r#"
    + trait 2 "B"
    ~ segment 101 "A"
        status: active -> paused
    - destination 423 "DSP"
    + destination 424 "DSP"
    - destination 423, mapping of segment 101 "A"
    + destination 424, mapping of segment 101 "A"

    what follows:
      segment 101: paused: it keeps its members, takes no new ones, and partners hear neither 1 nor 0
      segment 101: what is mapped of it differs: members hear all their segments again when they are seen next
      destination 424: it is told of devices when they change, or are seen next
      destination 423: nothing is sent any more; what it was still to be told is dropped
    exit 0
    "#);
    assert_snapshot!(diff("old.yaml new.yaml --json").shown(), @r#"
    {"changes":[{"change":"added","id":2,"kind":"trait","name":"B"},{"change":"changed","fields":[{"field":"status","new":"paused","old":"active"}],"id":101,"kind":"segment","name":"A"},{"change":"removed","id":423,"kind":"destination","name":"DSP"},{"change":"added","id":424,"kind":"destination","name":"DSP"},{"change":"removed","destination":423,"kind":"mapping","name":"A","segment":101},{"change":"added","destination":424,"kind":"mapping","name":"A","segment":101}],"consequences":[{"code":"segment_paused","segment":101,"text":"segment 101: paused: it keeps its members, takes no new ones, and partners hear neither 1 nor 0"},{"code":"told_again","segment":101,"text":"segment 101: what is mapped of it differs: members hear all their segments again when they are seen next"},{"code":"destination_begins","destination":424,"text":"destination 424: it is told of devices when they change, or are seen next"},{"code":"destination_gone","destination":423,"text":"destination 423: nothing is sent any more; what it was still to be told is dropped"}]}
    exit 0
    "#);
    let (same, differing) = (
        "old.yaml old.yaml --exit-code",
        "old.yaml new.yaml --exit-code",
    );
    assert_eq!(diff(same).shown(), "no differences\nexit 0");
    assert_eq!(diff(differing).status, 1);
    for args in [
        "old.yaml wrong.yaml",
        "wrong.yaml new.yaml",
        "wrong.yaml wrong.yaml --json",
    ] {
        let ended = diff(args);
        assert_eq!(ended.stdout, "", "{args}");
        check(&ended, 2, &WRONG_PLACES);
    }
    check(&diff("old.yaml none.yaml"), 2, &["none.yaml"]);
}
