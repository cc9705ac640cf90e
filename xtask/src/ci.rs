//! `cargo xtask ci`: everything a change must pass, cheapest step first, stopping at the first
//! failure. Continuous integration runs this and nothing else.

use crate::{cargo::CargoCall, tidy};
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// One step of the run.
struct Step {
    name: &'static str,
    work: Work,
}

enum Work {
    Cargo(CargoCall),
    Tidy,
}

const STEPS: &[Step] = &[
    Step::cargo("fmt", &["fmt", "--all", "--", "--check"]),
    Step {
        name: "tidy",
        work: Work::Tidy,
    },
    Step::cargo(
        "clippy",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    ),
    Step::cargo("test", &["test", "--workspace", "--locked"]),
    Step {
        name: "doc",
        work: Work::Cargo(CargoCall {
            arguments: &["doc", "--workspace", "--no-deps", "--locked"],
            variable: Some(("RUSTDOCFLAGS", "-D warnings")),
        }),
    },
];

impl Step {
    const fn cargo(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self {
            name,
            work: Work::Cargo(CargoCall {
                arguments,
                variable: None,
            }),
        }
    }

    fn run(&self) -> Result<()> {
        match self.work {
            Work::Cargo(call) => call.run(),
            Work::Tidy => tidy::run(),
        }
    }

    fn line(&self) -> String {
        match self.work {
            Work::Cargo(call) => call.line(),
            Work::Tidy => "cargo xtask tidy".to_owned(),
        }
    }
}

/// Runs the steps in order; an error names the step that failed and how to run it alone.
pub(crate) fn run() -> Result<()> {
    run_steps(STEPS, Step::run)
}

/// The loop itself; `perform` does one step, so that a test can stand in for the tools.
fn run_steps(steps: &[Step], mut perform: impl FnMut(&Step) -> Result<()>) -> Result<()> {
    let started = Instant::now();
    let mut done = Vec::new();
    for step in steps {
        println!("\nci: {}: {}", step.name, step.line());
        let step_started = Instant::now();
        let outcome = perform(step);
        let took = seconds(step_started.elapsed());
        if let Err(error) = outcome {
            println!("ci: {} failed after {took}: {error:#}", step.name);
            println!("ci: passed before it: {}", list(&done));
            bail!("{} failed, to run it alone: {}", step.name, step.line());
        }
        println!("ci: {} passed in {took}", step.name);
        done.push(format!("{} {took}", step.name));
    }
    let total = seconds(started.elapsed());
    println!("\nci: all passed in {total}: {}", list(&done));
    Ok(())
}

fn list(done: &[String]) -> String {
    if done.is_empty() {
        return "nothing".to_owned();
    }
    done.join(", ")
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    /// Runs the real steps with a stand-in that fails at `failing`; returns what was tried.
    fn tried(failing: &str) -> (Vec<&'static str>, Result<()>) {
        let mut tried = Vec::new();
        let outcome = run_steps(STEPS, |step| {
            tried.push(step.name);
            if step.name == failing {
                return Err(anyhow!("exit status: 101"));
            }
            Ok(())
        });
        (tried, outcome)
    }

    #[test]
    fn runs_every_step() {
        let (tried, outcome) = tried("none");
        assert!(outcome.is_ok());
        assert_eq!(tried, ["fmt", "tidy", "clippy", "test", "doc"]);
    }

    #[test]
    fn stops_at_the_first_failure_and_says_what_to_run() {
        let (tried, outcome) = tried("test");
        assert_eq!(tried, ["fmt", "tidy", "clippy", "test"]);
        assert_eq!(
            outcome.unwrap_err().to_string(),
            "test failed, to run it alone: cargo test --workspace --locked"
        );
    }
}
