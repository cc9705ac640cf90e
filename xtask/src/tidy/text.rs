//! Checks of one file at a time: headers, leftovers, words we do not use, names of pages that do
//! not exist. What rustfmt and clippy see is left to them.

use super::{Fault, SourceFile};
use std::collections::HashSet;

/// This very file has to spell out what it looks for.
const OWN_PATH: &str = file!();

/// A leftover that may stay once it names its issue.
const UNFINISHED: &str = "TODO";

/// Whole words, in any case, and what to do about them.
const WORDS: &[(&str, &str)] = &[
    (
        "FIXME",
        "mend it, or write TODO(#N) with the issue's number",
    ),
    ("HACK", "say what constraint makes it necessary"),
    ("XXX", "mend it, or write TODO(#N) with the issue's number"),
    ("whitelist", "say allow list"),
    ("blacklist", "say deny list"),
];

/// Pieces of Rust source, and what to do about them.
const PIECES: &[(&str, &str)] = &[
    (
        "#[ignore",
        "let a slow test look at an environment variable",
    ),
    ("unimplemented!", "return an error, or do not offer it"),
];

/// Beginnings of paths that exist on somebody's machine only.
const PRIVATE_PATHS: &[&str] = &["/home/", "/root/", "/Users/", "/work/"];

/// Faults of all files, in their order.
pub(super) fn check(files: &[SourceFile]) -> Vec<Fault> {
    let pages: HashSet<&str> = files
        .iter()
        .map(SourceFile::name)
        .filter(|name| name.ends_with(".md"))
        .collect();
    files
        .iter()
        .flat_map(|file| check_file(file, &pages))
        .collect()
}

/// Faults of one file; `pages` are the names of the Markdown files of the project.
fn check_file(file: &SourceFile, pages: &HashSet<&str>) -> Vec<Fault> {
    let mut faults = Vec::new();
    if file.is_rust() && !file.text.starts_with("//!") {
        faults.push(format!(
            "{}:1: the file does not open with a `//!` header",
            file.path
        ));
    }
    if file.name() == "mod.rs" {
        faults.push(format!(
            "{}: name the module's file after the module",
            file.path
        ));
    }
    if file.name() == "Cargo.toml" && misses_lints(&file.text) {
        faults.push(format!("{}: add `[lints] workspace = true`", file.path));
    }
    if file.path == OWN_PATH {
        return faults;
    }
    for (index, line) in file.text.lines().enumerate() {
        for what in line_faults(line, file.is_rust(), pages) {
            faults.push(format!("{}:{}: {what}", file.path, index + 1));
        }
    }
    faults
}

/// A package's manifest that does not take the lints of the workspace.
fn misses_lints(manifest: &str) -> bool {
    let is_package = manifest.lines().any(|line| line == "[package]");
    let mut lines = manifest.lines().skip_while(|line| *line != "[lints]");
    is_package && lines.nth(1) != Some("workspace = true")
}

fn line_faults(line: &str, is_rust: bool, pages: &HashSet<&str>) -> Vec<String> {
    let mut faults = Vec::new();
    if ["<<<<<<< ", ">>>>>>> "]
        .iter()
        .any(|mark| line.starts_with(mark))
    {
        faults.push("a merge was left unfinished".to_owned());
    }
    if words(line).any(|(word, rest)| word == UNFINISHED && !names_issue(rest)) {
        faults.push(format!(
            "{UNFINISHED} without an issue, write {UNFINISHED}(#N)"
        ));
    }
    for (word, advice) in WORDS {
        if words(line).any(|(found, _)| found.eq_ignore_ascii_case(word)) {
            faults.push(format!("{word}: {advice}"));
        }
    }
    for (piece, advice) in PIECES {
        if is_rust && line.contains(piece) {
            faults.push(format!("{piece}: {advice}"));
        }
    }
    for path in PRIVATE_PATHS {
        if begins_path(line, path) {
            faults.push(format!("{path} is a path of one machine"));
        }
    }
    // Elsewhere in Rust a page may be test data.
    let is_prose = !is_rust || line.trim_start().starts_with("//");
    for page in named_pages(line).filter(|_| is_prose) {
        let name = page.rsplit('/').next().unwrap_or(page);
        if !pages.contains(name) {
            faults.push(format!("{page}: no such page in this project"));
        }
    }
    faults
}

/// Words of letters, digits and underscores, each with the text that follows it.
pub(super) fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let start = rest.trim_start_matches(|c: char| !is_word(c));
        let (word, after) = start.split_at(start.find(|c| !is_word(c)).unwrap_or(start.len()));
        rest = after;
        (!word.is_empty()).then_some((word, after))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// True for text that goes on with `(#12)`.
fn names_issue(rest: &str) -> bool {
    let number = rest
        .strip_prefix("(#")
        .and_then(|rest| rest.split_once(')'))
        .map_or("", |(number, _)| number);
    // The letter is what a page about this rule writes.
    number == "N" || !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// True when `path` stands in `line` at the beginning of a path, so not inside a URL.
fn begins_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        before.is_none_or(|c| !is_word(c) && !"./-<>}~:*".contains(c))
    })
}

/// Names of Markdown files in `line`, without those in URLs and those with a placeholder.
fn named_pages(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices(".md").filter_map(|(at, end)| {
        let after = line.get(at + end.len()..)?;
        if after.starts_with(is_word) {
            return None;
        }
        let before = line.get(..at)?;
        let start = before
            .rfind(|c| !(is_word(c) || "./-:".contains(c)))
            .map_or(0, |place| place + 1);
        let page = line.get(start..at + end.len())?;
        let name = page.rsplit('/').next()?;
        let is_plain = name.starts_with(is_word) && !page.contains("://");
        is_plain.then_some(page)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(path: &str, text: &str, expected: &[&str]) {
        let file = |path: &str, text: &str| SourceFile {
            path: path.into(),
            text: text.into(),
        };
        let files = [file(path, text), file("docs/guide.md", "")];
        assert_eq!(check(&files), expected);
    }

    #[test]
    fn a_clean_file_passes() {
        check_text(
            "a/src/lib.rs",
            "//! Adds. See docs/guide.md, TODO(#12) and https://a.example/home/other.md\n",
            &[],
        );
    }

    #[test]
    fn rust_files_have_a_header_and_a_name() {
        check_text(
            "a/src/b/mod.rs",
            "use std::fmt;\n",
            &[
                "a/src/b/mod.rs:1: the file does not open with a `//!` header",
                "a/src/b/mod.rs: name the module's file after the module",
            ],
        );
        check_text("a/b.md", "no header needed\n", &[]);
    }

    #[test]
    fn manifests_take_the_lints() {
        check_text(
            "a/Cargo.toml",
            "[package]\nname = \"a\"\n",
            &["a/Cargo.toml: add `[lints] workspace = true`"],
        );
        check_text(
            "a/Cargo.toml",
            "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n",
            &[],
        );
        check_text("Cargo.toml", "[workspace]\nresolver = \"3\"\n", &[]);
    }

    #[test]
    fn leftovers_name_their_issue() {
        let fault = "a.toml:2: TODO without an issue, write TODO(#N)";
        check_text("a.toml", "# fine\n# TODO: later\n", &[fault]);
        check_text("a.toml", "# fine\n# TODO(#): later\n", &[fault]);
        check_text("a.toml", "# fine\n# TODO(later)\n", &[fault]);
        check_text("a.toml", "# MY_TODO_LIST, TODO(#7): later\n", &[]);
    }

    #[test]
    fn forbidden_words_get_advice() {
        check_text(
            "a.toml",
            "# a Whitelist\n",
            &["a.toml:1: whitelist: say allow list"],
        );
        check_text("a.toml", "# XXXCustomer, hackney\n", &[]);
        check_text(
            "a.rs",
            "//! A.\n#[ignore = \"slow\"]\n",
            &["a.rs:2: #[ignore: let a slow test look at an environment variable"],
        );
    }

    #[test]
    fn private_paths_are_found() {
        check_text(
            "a.toml",
            "path = \"/home/me/x\"\n",
            &["a.toml:1: /home/ is a path of one machine"],
        );
        check_text("a.toml", "url = \"https://a.example/home/x\"\n", &[]);
    }

    #[test]
    fn pages_exist() {
        check_text(
            "a.rs",
            "//! See spec/secret.md and `guide.md`.\n",
            &["a.rs:1: spec/secret.md: no such page in this project"],
        );
        check_text("a.rs", "//! <slug>.<kind>.md, ends in `.md`, x.mdx\n", &[]);
        check_text("a.rs", "//! A.\nlet name = \"secret.md\";\n", &[]);
    }

    #[test]
    fn unfinished_merges_are_found() {
        check_text(
            "docs/a.md",
            "<<<<<<< HEAD\n=======\n>>>>>>> other\n",
            &[
                "docs/a.md:1: a merge was left unfinished",
                "docs/a.md:3: a merge was left unfinished",
            ],
        );
    }
}
