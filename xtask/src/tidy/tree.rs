//! The text files of the working tree. Reads the folders itself, so that new files which git does
//! not know yet are checked too.

use anyhow::{Context, Result};
use std::{fs, path::Path};

/// Kinds of files that are checked, by the end of their name.
const CHECKED: &[&str] = &[
    ".rs", ".toml", ".md", ".yaml", ".yml", ".sh", ".html", ".css", ".js",
];

/// Hidden folders that belong to the project; all others are somebody's private business.
const HIDDEN_FOLDERS: &[&str] = &[".ci", ".cargo", ".github"];

/// One text file of the project.
pub(super) struct SourceFile {
    /// Path from the root of the workspace, with `/` between the parts.
    pub(super) path: String,
    /// Its content.
    pub(super) text: String,
}

impl SourceFile {
    /// The last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// True for a file that holds tests and nothing else.
    pub(super) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The lines of a Rust file above its tests, which stand last.
    pub(super) fn production_lines(&self) -> impl Iterator<Item = &str> {
        self.text
            .lines()
            .take_while(|line| line.trim() != "#[cfg(test)]")
    }
}

/// Reads all checked files under `root`, ordered by path.
pub(super) fn read(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let full = root.join(&folder);
        let context = || format!("cannot read {}", full.display());
        for entry in fs::read_dir(&full).with_context(context)? {
            let entry = entry.with_context(context)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() {
                name.clone()
            } else {
                format!("{folder}/{name}")
            };
            let kind = entry.file_type().with_context(context)?;
            if kind.is_dir() && enters(&name) {
                folders.push(path);
            } else if kind.is_file() && is_checked(&path) {
                let text = fs::read_to_string(entry.path())
                    .with_context(|| format!("cannot read {path}"))?;
                files.push(SourceFile { path, text });
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Build output is called `target` wherever it lies, also under `fuzz/`.
fn enters(folder: &str) -> bool {
    folder != "target" && (!folder.starts_with('.') || HIDDEN_FOLDERS.contains(&folder))
}

fn is_checked(path: &str) -> bool {
    path == ".ci/run" || CHECKED.iter().any(|end| path.ends_with(end))
}
