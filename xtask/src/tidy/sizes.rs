//! Report of the largest source files: a trend to look at, never a reason to fail.

use super::SourceFile;
use std::cmp::Reverse;

/// How many files are listed.
const LISTED: usize = 5;

/// The largest files by production lines.
pub(super) fn report(files: &[SourceFile]) -> String {
    let mut sizes: Vec<(usize, &str)> = files
        .iter()
        .filter(|file| file.is_rust() && !file.is_test())
        .map(|file| (file.production_lines().count(), file.path.as_str()))
        .collect();
    sizes.sort_by_key(|&(lines, path)| (Reverse(lines), path));
    let total: usize = sizes.iter().map(|(lines, _)| lines).sum();
    let mut out = format!(
        "tidy: {total} production lines in {} files, largest:",
        sizes.len()
    );
    for (lines, path) in sizes.into_iter().take(LISTED) {
        out.push_str(&format!("\n{lines:>7} {path}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_shipped() {
        let file = |path: &str, text: &str| SourceFile {
            path: path.into(),
            text: text.into(),
        };
        let files = [
            file("a/src/lib.rs", "one\n"),
            file("a/src/big.rs", "one\ntwo\n#[cfg(test)]\nmod tests {}\n"),
            file("a/tests/it/main.rs", "one\ntwo\nthree\n"),
            file("a/README.md", "one\ntwo\nthree\n"),
        ];
        assert_eq!(
            report(&files),
            "tidy: 3 production lines in 2 files, largest:\n      2 a/src/big.rs\n      1 a/src/lib.rs"
        );
    }
}
