//! Keeps the sources of pure crates from clocks, files, sockets, threads and the environment of the
//! standard library. A look at the words, not a proof: a crate's own `clippy.toml` sees through
//! renamed imports, while this notices that somebody forgot to write one.

use super::{Fault, SourceFile, layers, text};

/// Names that bring one of these in when `::` follows.
const IMPURE: &[&str] = &[
    "Instant",
    "SystemTime",
    "env",
    "fs",
    "net",
    "process",
    "thread",
];

/// Faults of the cores, in the order of the files; tests and comments are free.
pub(super) fn check(files: &[SourceFile]) -> Vec<Fault> {
    let folders: Vec<String> = layers::cores()
        .map(|name| format!("crates/{name}/src/"))
        .collect();
    let mut faults = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.is_rust() && !file.is_test())
    {
        if !folders.iter().any(|folder| file.path.starts_with(folder)) {
            continue;
        }
        for (index, line) in file.production_lines().enumerate() {
            if let Some(name) = impure_name(line) {
                faults.push(format!(
                    "{}:{}: `{name}::` in a core, which gets what it needs as an argument",
                    file.path,
                    index + 1
                ));
            }
        }
    }
    faults
}

fn impure_name(line: &str) -> Option<&str> {
    if line.trim_start().starts_with("//") {
        return None;
    }
    text::words(line)
        .find(|(word, rest)| rest.starts_with("::") && IMPURE.contains(word))
        .map(|(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(path: &str, text: &str, expected: &[&str]) {
        let file = SourceFile {
            path: path.into(),
            text: text.into(),
        };
        assert_eq!(check(&[file]), expected);
    }

    #[test]
    fn a_clock_in_a_core_is_found() {
        check_file(
            "crates/tidings-engine/src/apply.rs",
            "//! Uses SystemTime::now, says this header.\nlet now = SystemTime::now();\n",
            &[
                "crates/tidings-engine/src/apply.rs:2: `SystemTime::` in a core, which gets what it needs as an argument",
            ],
        );
        check_file(
            "crates/tidings-wire/src/lib.rs",
            "use std::fs::File;\n",
            &[
                "crates/tidings-wire/src/lib.rs:1: `fs::` in a core, which gets what it needs as an argument",
            ],
        );
    }

    #[test]
    fn shells_and_tests_are_free() {
        let text = "let now = SystemTime::now();\n";
        check_file("crates/tidings-runtime/src/lib.rs", text, &[]);
        check_file("crates/tidings-engine/tests/it/main.rs", text, &[]);
        check_file("crates/tidings-engine/src/apply/tests.rs", text, &[]);
        let inline = "fn pure() {}\n#[cfg(test)]\nmod tests { let now = Instant::now(); }\n";
        check_file("crates/tidings-engine/src/apply.rs", inline, &[]);
    }
}
