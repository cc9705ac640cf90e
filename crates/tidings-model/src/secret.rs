//! References to secrets. A catalog names a secret; only the delivery side ever reads its value.

use std::fmt;

/// Where a secret is to be found. `Debug` shows the place of `env` and `file`, never a value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// The value of this environment variable.
    Env(String),
    /// The content of this file, without one trailing newline.
    File(std::path::PathBuf),
    /// The value itself, for tests and first steps.
    Plain(String),
}

impl SecretRef {
    /// Parses `env:NAME`, `file:PATH` or `plain:TEXT`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        match scheme {
            "env" if !rest.is_empty() => Some(Self::Env(rest.to_owned())),
            "file" if !rest.is_empty() => Some(Self::File(rest.into())),
            "plain" => Some(Self::Plain(rest.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Plain(_) => f.write_str("plain:***"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_three_forms_and_hides_plain_text() {
        assert_eq!(SecretRef::parse("env:A"), Some(SecretRef::Env("A".into())));
        assert_eq!(
            SecretRef::parse("file:/a:b"),
            Some(SecretRef::File("/a:b".into()))
        );
        assert_eq!(
            format!("{:?}", SecretRef::parse("plain:hush").unwrap()),
            "plain:***"
        );
        for text in ["hush", "env:", "vault:x", ""] {
            assert_eq!(SecretRef::parse(text), None);
        }
    }
}
