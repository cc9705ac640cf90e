//! Checks of the project's records: changelog fragments (`changelog.d/`) and decisions
//! (`docs/adr/`).

use super::{Fault, SourceFile};
use std::collections::BTreeMap;

/// What a fragment may be about; the headings of the changelog.
const KINDS: &[&str] = &["added", "changed", "fixed", "removed", "security"];

/// Faults of all records.
pub(super) fn check(files: &[SourceFile]) -> Vec<Fault> {
    let mut faults: Vec<Fault> = records(files, "changelog.d/")
        .filter_map(|(name, file)| {
            let what = fragment_fault(name, &file.text)?;
            Some(format!("{}: {what}", file.path))
        })
        .collect();
    faults.extend(decision_faults(files));
    faults
}

/// Files right under `folder` by name, without its README.
fn records<'a>(
    files: &'a [SourceFile],
    folder: &'a str,
) -> impl Iterator<Item = (&'a str, &'a SourceFile)> {
    files.iter().filter_map(move |file| {
        let name = file.path.strip_prefix(folder)?;
        (!name.contains('/') && name != "README.md").then_some((name, file))
    })
}

/// What is wrong with a fragment, which is called `<slug>.<kind>.md`.
fn fragment_fault(name: &str, text: &str) -> Option<String> {
    let mut parts = name.split('.');
    let (slug, kind, end) = (parts.next(), parts.next(), parts.next());
    let is_named = slug.is_some_and(|slug| !slug.is_empty())
        && kind.is_some_and(|kind| KINDS.contains(&kind))
        && end == Some("md")
        && parts.next().is_none();
    if !is_named {
        return Some(format!(
            "call it <slug>.<kind>.md, where kind is one of {}",
            KINDS.join(", ")
        ));
    }
    text.trim().is_empty().then(|| "it is empty".to_owned())
}

/// Decisions are numbered without repetition and stand in the index.
fn decision_faults(files: &[SourceFile]) -> Vec<Fault> {
    const FOLDER: &str = "docs/adr/";
    let index = files
        .iter()
        .find(|file| file.path.strip_prefix(FOLDER) == Some("README.md"))
        .map_or("", |file| file.text.as_str());
    let mut faults = Vec::new();
    let mut numbers = BTreeMap::new();
    for (name, file) in records(files, FOLDER) {
        let number = name.split('-').next().unwrap_or_default();
        if number.len() != 4 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            faults.push(format!("{}: begin its name with four digits", file.path));
            continue;
        }
        if let Some(other) = numbers.insert(number, name) {
            faults.push(format!("{}: {other} has the same number", file.path));
        }
        if !index.contains(&format!("]({name})")) {
            faults.push(format!("{}: missing from {FOLDER}README.md", file.path));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_files(files: &[(&str, &str)], expected: &[&str]) {
        let files: Vec<SourceFile> = files
            .iter()
            .map(|&(path, text)| SourceFile {
                path: path.into(),
                text: text.into(),
            })
            .collect();
        assert_eq!(check(&files), expected);
    }

    #[test]
    fn fragments_name_their_kind() {
        check_files(
            &[
                ("changelog.d/README.md", ""),
                (
                    "changelog.d/faster-store.changed.md",
                    "The store is faster.\n",
                ),
                ("changelog.d/oops.improved.md", "Better.\n"),
                ("changelog.d/empty.fixed.md", "\n"),
            ],
            &[
                "changelog.d/oops.improved.md: call it <slug>.<kind>.md, where kind is one of added, changed, fixed, removed, security",
                "changelog.d/empty.fixed.md: it is empty",
            ],
        );
    }

    #[test]
    fn decisions_are_numbered_and_listed() {
        check_files(
            &[
                ("docs/adr/0001-one.md", ""),
                ("docs/adr/0001-two.md", ""),
                ("docs/adr/0003-three.md", ""),
                ("docs/adr/README.md", "[1](0001-one.md) [2](0001-two.md)"),
                ("docs/adr/later.md", ""),
            ],
            &[
                "docs/adr/0001-two.md: 0001-one.md has the same number",
                "docs/adr/0003-three.md: missing from docs/adr/README.md",
                "docs/adr/later.md: begin its name with four digits",
            ],
        );
    }
}
