//! Input that is out to harm: anything may be refused, nothing may panic or multiply.

use crate::{read, report};
use proptest::prelude::*;

/// Text that is nearly a catalog, so that it gets past the first checks.
fn nearly_a_catalog() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "data_sources",
        "traits",
        "segments",
        "destinations",
        "limits",
        "id",
        "name",
        "rule",
        "url",
        "mappings",
        "signing",
        "oauth",
        "batch",
        "wire",
        "secret",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "'",
        "\"",
        "|",
        ">",
        "#",
        "&a ",
        "*a",
        "!t ",
        "?",
        "---",
        "...",
        "%YAML 1.2",
        "1",
        "1T AND 2T",
        "(1T",
        "FREQUENCY([1T])",
        "https://d.example/",
        "plain:x",
        "env:",
        "file:",
        "1s",
        "02:00",
        "2016-07-01",
        "\\",
        "\t",
        "\u{0}",
        "é",
        "\u{2028}",
        "\u{feff}",
        "~",
        "null",
        "<<",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A sound catalog with a piece of it replaced by something else.
fn damaged() -> impl Strategy<Value = String> {
    let text = include_str!("full.yaml");
    let splice = prop_oneof![any::<String>(), nearly_a_catalog()];
    (any::<prop::sample::Index>(), 0usize..40, splice).prop_map(move |(at, length, splice)| {
        let characters: Vec<char> = text.chars().collect();
        let at = at.index(characters.len());
        let (before, rest) = characters.split_at(at);
        let after = rest.iter().skip(length);
        before
            .iter()
            .copied()
            .chain(splice.chars())
            .chain(after.copied())
            .collect()
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = report(&text);
    }

    #[test]
    fn any_nearly_sound_text_is_read_or_refused(text in nearly_a_catalog()) {
        let _ = report(&text);
    }

    #[test]
    fn any_damage_is_read_or_refused_with_a_place(text in damaged()) {
        let lines = text.lines().count() + 1;
        if let Err(faults) = read(&text) {
            prop_assert!(!faults.is_empty());
            prop_assert!(faults.iter().all(|fault| (fault.line as usize) <= lines));
            prop_assert!(faults.is_sorted_by_key(|fault| (fault.line, fault.column)));
        }
    }
}

#[test]
fn aliases_cannot_multiply() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..60 {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    assert!(report(&text).contains("anchors and aliases are not supported"));
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        let text = format!("{}{}", open.repeat(100_000), close.repeat(100_000));
        let shown = report(&text);
        assert!(shown.starts_with("catalog.yaml:1: "), "{shown}");
        assert_eq!(shown.lines().count(), 1);
    }
}

#[test]
fn a_file_has_a_size_limit() {
    let shown = report(&format!("{{{}}}", " ".repeat(64 * 1024 * 1024)));
    let expected = "catalog.yaml: 67108866 bytes of JSON, the limit is 67108864 \
                    (write it as YAML, with each key on its own line)";
    assert_eq!(shown, expected);
    let shown = report(&"#".repeat(256 * 1024 * 1024 + 1));
    assert_eq!(
        shown,
        "catalog.yaml: 268435457 bytes, the limit is 268435456"
    );
}
