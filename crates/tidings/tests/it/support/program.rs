//! Runs the program to its end.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

/// The executable under test.
pub(crate) const TIDINGS: &str = env!("CARGO_BIN_EXE_tidings");

/// A run of the program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status.
    pub(crate) status: i32,
    /// What it wrote to standard output.
    pub(crate) stdout: String,
    /// What it wrote to standard error.
    pub(crate) stderr: String,
}

impl Ended {
    /// The exit status and all output, for snapshots.
    pub(crate) fn shown(&self) -> String {
        let Self {
            status,
            stdout,
            stderr,
        } = self;
        format!("{stdout}{stderr}exit {status}")
    }
}

/// A command with nothing in its environment that would change what the program says.
pub(crate) fn command<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(TIDINGS);
    command
        .args(args)
        .env_remove("RUST_LOG")
        .env("COLUMNS", "100");
    command
}

/// Runs a command line, split at blanks, with empty standard input.
pub(crate) fn tidings(line: &str) -> Ended {
    run(command(line.split_whitespace()), b"")
}

/// Runs a command line, split at blanks, in a directory.
pub(crate) fn tidings_in(directory: &Path, line: &str) -> Ended {
    let mut command = command(line.split_whitespace());
    command.current_dir(directory);
    run(command, b"")
}

/// Runs a command line, split at blanks, with these bytes on standard input.
pub(crate) fn tidings_with(input: &[u8], line: &str) -> Ended {
    run(command(line.split_whitespace()), input)
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Beside the reading of its output, so that neither waits for the other. A program that does
    // not read its input closes it, which is no failure of the test.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ended {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Files in a directory of their own, which goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    /// Files with these names and contents.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            directory.write(name, text);
        }
        directory
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of one file.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.join(name), text).unwrap();
    }
}
