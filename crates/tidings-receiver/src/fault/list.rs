//! The catalogue of faults: what `--list-faults` prints.

use super::{Scripted, parse::KINDS};
use std::fmt;

/// What a fault is a fault of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Group {
    /// The connection, before TLS.
    Connection,
    /// The TLS handshake.
    Tls,
    /// What happens before the request is read.
    Early,
    /// The answer as a whole.
    Answer,
    /// Status line and headers.
    Head,
    /// HTTP/2 on a connection that did not agree to it.
    Http2,
    /// Interim answers (1xx).
    Interim,
    /// Where the body ends.
    Length,
    /// What the body holds, and how it comes.
    Body,
    /// The connection after an answer.
    Idle,
}

impl Group {
    /// What it is called for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Tls => "TLS handshake",
            Self::Early => "before the request is read",
            Self::Answer => "answer",
            Self::Head => "status line and headers",
            Self::Http2 => "HTTP/2 uninvited",
            Self::Interim => "interim answers",
            Self::Length => "length of the body",
            Self::Body => "body",
            Self::Idle => "after a good answer",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Listed {
    /// What it is a fault of.
    pub group: Group,
    /// Its name, `status`.
    pub name: &'static str,
    /// How it is asked for, `status=500`.
    pub example: &'static str,
    /// What the sender meets.
    pub does: &'static str,
}

/// Every fault there is, group by group.
#[must_use]
pub fn list() -> Vec<Listed> {
    let valued = KINDS.iter().map(|kind| Listed {
        group: kind.group,
        name: kind.name,
        example: kind.example,
        does: kind.does,
    });
    let scripted = Scripted::ALL.iter().map(|scripted| Listed {
        group: scripted.group(),
        name: scripted.as_str(),
        example: scripted.as_str(),
        does: scripted.does(),
    });
    let mut all: Vec<_> = valued.chain(scripted).collect();
    // Stable: within a group, in the order of the tables.
    all.sort_by_key(|listed| listed.group);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_is_documented() {
        let page = include_str!("../../../../docs/partners.md");
        for listed in list() {
            let row = format!("| `{}` | {} |", listed.example, listed.does);
            assert!(page.contains(&row), "docs/partners.md lacks {row}");
        }
    }

    #[test]
    fn every_fault_parses_and_has_its_own_name() {
        let all = list();
        let names: BTreeSet<_> = all.iter().map(|listed| listed.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.len() >= 60);
        for listed in all {
            let fault: Fault = listed.example.parse().unwrap();
            assert_eq!(fault.to_string().parse(), Ok(fault), "{}", listed.name);
        }
    }
}
