//! `tidings verify`: whether a signature is that of the exact bytes of a message.

use crate::{
    command::sign::{KeyArgs, message},
    failure::Failure,
};
use clap::Args as ClapArgs;
use std::{
    io::{self, Write as _},
    path::PathBuf,
};

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(flatten)]
    key: KeyArgs,
    /// The signature, in Base64 as it stands in the header
    #[arg(long)]
    signature: String,
    /// The message; standard input if it is missing or `-`
    file: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let key = args.key.read()?;
    let bytes = message(args.file.as_deref())?;
    if key.verify(&bytes, args.signature.trim()) {
        writeln!(io::stdout(), "ok")?;
        return Ok(());
    }
    // The signature that would match is not shown: it may be an attacker who asks.
    writeln!(io::stdout(), "bad")?;
    Err(Failure::Work(anyhow::anyhow!(
        "the signature does not match these {} bytes; a changed or added newline is enough",
        bytes.len()
    )))
}
