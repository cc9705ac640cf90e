//! Reading secrets from where the catalog says they are. The only place that does.

use std::{
    env, fs,
    path::{Path, PathBuf},
};
use tidings_model::SecretRef;
use zeroize::Zeroizing;

/// Bytes of a secret's file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of a file of trust roots, and of any file that is looked at for changes.
pub(crate) const TRUST_BYTES_MAX: u64 = 1024 * 1024;

/// Why a secret cannot be read. Never shows a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The variable is not set, or not UTF-8.
    #[error("the environment variable {0} is not set to text")]
    Env(String),
    /// The file cannot be read.
    #[error("could not read the file {path}: {cause}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The file is too large to be a secret.
    #[error("the file {0} is larger than {SECRET_BYTES_MAX} bytes")]
    TooLarge(PathBuf),
    /// There is nothing in it.
    #[error("{0:?} is empty")]
    Empty(SecretRef),
}

/// Reads a secret as it is now. One trailing newline of a file is dropped.
///
/// # Errors
/// When it is missing, empty or too large.
pub fn read_secret(place: &SecretRef) -> Result<Zeroizing<String>, SecretError> {
    let text = match place {
        SecretRef::Plain(text) => Zeroizing::new(text.clone()),
        SecretRef::Env(name) => {
            Zeroizing::new(env::var(name).map_err(|_| SecretError::Env(name.clone()))?)
        }
        SecretRef::File(path) => {
            let wrong = |cause| SecretError::File {
                path: path.clone(),
                cause,
            };
            if fs::metadata(path).map_err(wrong)?.len() > SECRET_BYTES_MAX {
                return Err(SecretError::TooLarge(path.clone()));
            }
            let mut text = Zeroizing::new(fs::read_to_string(path).map_err(wrong)?);
            if text.ends_with('\n') {
                text.pop();
                if text.ends_with('\r') {
                    text.pop();
                }
            }
            text
        }
    };
    if text.is_empty() {
        return Err(SecretError::Empty(place.clone()));
    }
    Ok(text)
}

/// Reads a file of trust roots.
pub(crate) fn read_trust(path: &Path) -> Result<Vec<u8>, SecretError> {
    let wrong = |cause| SecretError::File {
        path: path.to_owned(),
        cause,
    };
    if fs::metadata(path).map_err(wrong)?.len() > TRUST_BYTES_MAX {
        return Err(wrong(std::io::ErrorKind::FileTooLarge.into()));
    }
    fs::read(path).map_err(wrong)
}
