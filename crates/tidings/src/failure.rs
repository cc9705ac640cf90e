//! How a command fails: what it prints and the exit status it ends with.

use std::{fmt::Display, io::Write as _, process::ExitCode};

/// A command that did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The work failed, or a check found faults. Exit status 1.
    Work(anyhow::Error),
    /// The command line, or a file needed for the work, is wrong. Exit status 2.
    Usage(anyhow::Error),
    /// A check found faults, which are already printed. Exit status 1.
    Faults,
}

impl Failure {
    /// A wrong command line or file, in words.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::Usage(anyhow::anyhow!("{message}"))
    }

    /// Prints the whole chain once to standard error.
    pub(crate) fn report(self) -> ExitCode {
        let (error, status) = match self {
            Self::Work(error) => (error, 1),
            Self::Usage(error) => (error, 2),
            Self::Faults => return ExitCode::from(1),
        };
        // Nobody is left to tell when standard error is closed.
        drop(writeln!(std::io::stderr(), "error: {error:#}"));
        ExitCode::from(status)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        // A reader that closed the pipe has what it wanted.
        Self::Work(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Work(error.into())
    }
}
