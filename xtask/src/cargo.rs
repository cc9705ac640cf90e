//! Calls to cargo: the command line of a step, as it is run and as a person would type it.

use anyhow::{Context, Result, ensure};
use std::{env, path::PathBuf, process::Command};

/// One cargo invocation in the root of the workspace.
#[derive(Clone, Copy)]
pub(crate) struct CargoCall {
    /// What follows `cargo` on the command line.
    pub(crate) arguments: &'static [&'static str],
    /// An environment variable that is set for it.
    pub(crate) variable: Option<(&'static str, &'static str)>,
}

impl CargoCall {
    /// Runs it with the terminal as its own output; an error unless it succeeds.
    pub(crate) fn run(self) -> Result<()> {
        let mut command = Command::new(program());
        command.current_dir(root()?).args(self.arguments);
        command.envs(self.variable);
        let status = command.status().context("cargo cannot be started")?;
        ensure!(status.success(), "{status}");
        Ok(())
    }

    /// The line to type in order to run this alone.
    pub(crate) fn line(self) -> String {
        let variable = self
            .variable
            .map(|(name, value)| format!("{name}=\"{value}\" "));
        format!(
            "{}cargo {}",
            variable.unwrap_or_default(),
            self.arguments.join(" ")
        )
    }
}

/// The cargo that started this program, so that the same toolchain is used throughout.
pub(crate) fn program() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// The root of the workspace that the current directory belongs to.
pub(crate) fn root() -> Result<PathBuf> {
    let output = Command::new(program())
        .args(["locate-project", "--workspace", "--message-format", "plain"])
        .output()
        .context("cargo cannot be started")?;
    ensure!(
        output.status.success(),
        "no workspace here: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let manifest = PathBuf::from(String::from_utf8(output.stdout)?.trim_end());
    let root = manifest.parent().context("the manifest has no folder")?;
    Ok(root.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_can_be_typed() {
        let call = CargoCall {
            arguments: &["doc", "--no-deps"],
            variable: Some(("RUSTDOCFLAGS", "-D warnings")),
        };
        assert_eq!(
            call.line(),
            r#"RUSTDOCFLAGS="-D warnings" cargo doc --no-deps"#
        );
    }
}
