//! `tidings sign`: the signature of the exact bytes of a message.

use crate::failure::Failure;
use clap::{Args as ClapArgs, ValueEnum};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};
use tidings_model::SecretRef;
use tidings_wire::{Hash, Key};

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) key: KeyArgs,
    /// The message; standard input if it is missing or `-`
    file: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyArgs {
    /// The key: its text, or `env:NAME`, `file:PATH`, `plain:TEXT`
    #[arg(long)]
    key: String,
    /// The hash function of the HMAC
    #[arg(long)]
    hash: HashArg,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HashArg {
    Sha1,
    Sha256,
    Md5,
}

impl KeyArgs {
    /// The key, looked up where the command line says it is.
    pub(crate) fn read(&self) -> Result<Key, Failure> {
        let place =
            SecretRef::parse(&self.key).unwrap_or_else(|| SecretRef::Plain(self.key.clone()));
        let text = tidings_runtime::secret::read_secret(&place)
            .map_err(|error| Failure::usage(format_args!("--key: {error}")))?;
        let hash = match self.hash {
            HashArg::Sha1 => Hash::Sha1,
            HashArg::Sha256 => Hash::Sha256,
            HashArg::Md5 => Hash::Md5,
        };
        Ok(Key::new(hash, text.as_bytes()))
    }
}

/// The bytes to sign, exactly as they are.
pub(crate) fn message(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    match file {
        Some(path) if path != Path::new("-") => fs::read(path).map_err(|error| {
            Failure::usage(format_args!("could not read {}: {error}", path.display()))
        }),
        _ => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let key = args.key.read()?;
    let signature = key.sign(&message(args.file.as_deref())?);
    writeln!(io::stdout(), "{}", signature.as_str())?;
    Ok(())
}
