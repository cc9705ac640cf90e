//! Destinations that the operator paused, remembered over restarts in `data_dir/paused.json`.
//!
//! It is apart from the catalog's `status: paused`, which belongs to whoever edits that file: a
//! destination is sent something only when neither pauses it.

use crate::durable::write_durably;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use tidings_model::{DestinationId, Timestamp};

/// Who is paused by the operator, and since when.
#[derive(Debug)]
pub(crate) struct Pauses {
    path: PathBuf,
    since: BTreeMap<DestinationId, Timestamp>,
}

/// The file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    paused: Vec<Entry>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    destination: u32,
    since: String,
}

impl Pauses {
    /// What was remembered in this data directory; nobody is paused if nothing was.
    pub(crate) fn read(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join("paused.json");
        let since = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            text => {
                let parse = || -> anyhow::Result<_> {
                    let file: File = serde_json::from_str(&text?)?;
                    let entries = file.paused.iter().map(|entry| {
                        let since = Timestamp::parse(&entry.since)?;
                        Ok((DestinationId(entry.destination), since))
                    });
                    entries.collect()
                };
                parse().with_context(|| format!("reading {}", path.display()))?
            }
        };
        Ok(Self { path, since })
    }

    /// Since when a destination is paused; `None` when it is not.
    pub(crate) fn since(&self, destination: DestinationId) -> Option<Timestamp> {
        self.since.get(&destination).copied()
    }

    /// Pauses a destination, unless it is already; durable when this returns.
    ///
    /// # Errors
    /// When it cannot be remembered: then nothing has changed.
    pub(crate) fn pause(
        &mut self,
        destination: DestinationId,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let mut since = self.since.clone();
        since.entry(destination).or_insert(now);
        self.replace(since)
    }

    /// Ends a pause, if there is one; durable when this returns.
    ///
    /// # Errors
    /// As [`Self::pause`].
    pub(crate) fn resume(&mut self, destination: DestinationId) -> anyhow::Result<()> {
        let mut since = self.since.clone();
        since.remove(&destination);
        self.replace(since)
    }

    fn replace(&mut self, since: BTreeMap<DestinationId, Timestamp>) -> anyhow::Result<()> {
        if since == self.since {
            return Ok(());
        }
        let entries = since.iter().map(|(destination, since)| Entry {
            destination: destination.0,
            since: since.to_string(),
        });
        let file = File {
            paused: entries.collect(),
        };
        write_durably(&self.path, &serde_json::to_vec(&file)?)?;
        self.since = since;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: DestinationId = DestinationId(423);

    #[test]
    fn a_pause_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut pauses = Pauses::read(dir.path()).unwrap();
        assert_eq!(pauses.since(ID), None);
        pauses.pause(ID, Timestamp(100)).unwrap();
        pauses.pause(ID, Timestamp(200)).unwrap();
        let mut again = Pauses::read(dir.path()).unwrap();
        assert_eq!(again.since(ID), Some(Timestamp(100)));
        again.resume(ID).unwrap();
        assert_eq!(Pauses::read(dir.path()).unwrap().since(ID), None);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{}", r#"{"paused":[{"destination":1,"since":"soon"}]}"#] {
            fs::write(dir.path().join("paused.json"), text).unwrap();
            let error = format!("{:#}", Pauses::read(dir.path()).unwrap_err());
            assert!(error.contains("paused.json"), "{error}");
        }
    }
}
