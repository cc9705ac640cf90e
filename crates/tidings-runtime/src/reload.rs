//! Following the catalog's file: a changed file replaces the catalog, a broken one changes nothing.
//!
//! What the service must remember of a catalog over a restart lies in `data_dir/catalog.json`: its
//! text and generation, in which generation what is mapped of each segment changed last, what was over
//! when traits got a longer time-to-live, by which mappings earlier runs of the process told, and whether
//! every profile has been brought up to it. It is written before the catalog takes effect.

use crate::{core::ActiveCatalog, durable::write_durably};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tidings_catalog::{Fault, Source};
use tidings_egress::AddressPolicy;
use tidings_engine::{Lapse, Lapses, LastUse, MappingChanges, PastMapping, PastMappings};
use tidings_model::{Catalog, DestinationId, SegmentId, Timestamp, TraitId, UtcDay};

/// A catalog's file as it was read, without faults.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
    /// What it says.
    pub catalog: Catalog,
    /// What the operator should know.
    pub warnings: Vec<Fault>,
}

/// Why a catalog's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogFileError {
    /// It cannot be read.
    #[error("could not read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It has these faults.
    #[error("the catalog has faults\n{}", lines(.0))]
    Faults(Vec<Fault>),
}

fn lines(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

impl CatalogFile {
    /// Reads and checks a catalog. An address that `policy` refuses is a warning.
    ///
    /// # Errors
    /// When it cannot be read, or every fault that it has.
    pub fn read(path: &Path, policy: AddressPolicy) -> Result<Self, CatalogFileError> {
        let text = fs::read_to_string(path).map_err(|source| CatalogFileError::Read {
            path: path.to_owned(),
            source,
        })?;
        let loaded = check(path, &text, policy).map_err(CatalogFileError::Faults)?;
        let (catalog, warnings) = (loaded.catalog, loaded.warnings);
        Ok(Self {
            path: path.to_owned(),
            text,
            catalog,
            warnings,
        })
    }
}

fn check(
    path: &Path,
    text: &str,
    policy: AddressPolicy,
) -> Result<tidings_catalog::Loaded, Vec<Fault>> {
    let name = name(path);
    let source = Source {
        name: &name,
        text,
        directory: directory(path),
    };
    tidings_catalog::read(source, |url| {
        tidings_egress::check_url(url, policy)
            .err()
            .map(|refusal| refusal.to_string())
    })
}

fn name(path: &Path) -> Cow<'_, str> {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
}

fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

/// Seconds after its successor was remembered for which a version may still be in use: until the step that
/// the writer is in has ended. Too many only make a device that enters a segment meanwhile one that may have
/// been told by the old version.
const REPLACED_WITHIN_SECONDS: i64 = 60;

/// What is remembered of the catalog in use.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Remembered {
    generation: u32,
    /// Every profile has been brought up to this generation.
    swept: bool,
    /// Segment and generation of the last change of what is mapped of it.
    mapping_changes: Vec<(u32, u32)>,
    /// Trait, generation and day: what was over when the trait got a longer time-to-live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lapses: Vec<(u32, u32, i32)>,
    /// Mappings that were in use: destination, segment, days, until when, and in which run last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    past_mappings: Vec<PastMappingRow>,
    /// The run of the process that wrote this.
    #[serde(default)]
    run: u32,
    /// The run in which the generation came into use.
    #[serde(default)]
    came: u32,
    text: String,
    #[serde(skip)]
    path: PathBuf,
}

type PastMappingRow = (u32, u32, Option<i32>, Option<i32>, i64, u32);

impl Remembered {
    /// What was remembered in this data directory, if anything was.
    pub(crate) fn read(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = data_dir.join("catalog.json");
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("reading {}", path.display()))?,
        };
        let remembered: Self =
            serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        Ok(Some(Self { path, ..remembered }))
    }

    /// The catalog as it is to be used, and what is to be remembered of it: the next generation if
    /// it is another than before, which takes effect `now`, in this run of the process.
    pub(crate) fn next(
        before: Option<Self>,
        data_dir: &Path,
        file: &CatalogFile,
        now: Timestamp,
        run: u32,
    ) -> anyhow::Result<(Arc<ActiveCatalog>, Self)> {
        let path = data_dir.join("catalog.json");
        let mut came = run;
        let past = |old: &Catalog| Self::past(before.as_ref(), old, &file.catalog, now, run);
        let (generation, changes, lapses, past, swept) = match &before {
            Some(before) if before.text == file.text => {
                came = before.came;
                let (changes, lapses) = (before.changes(), before.lapses());
                let past = past(&file.catalog);
                (before.generation, changes, lapses, past, before.swept)
            }
            Some(before) => {
                let generation = before.generation.saturating_add(1);
                let old = Source {
                    name: &name(&file.path),
                    text: &before.text,
                    directory: directory(&file.path),
                };
                // It was without faults then; if this version sees one, everything has changed.
                let old = tidings_catalog::read_accepted(old).ok();
                // What it told then is not known any more: it may have told by what is mapped now.
                let past = past(old.as_ref().unwrap_or(&file.catalog));
                let old = old.unwrap_or_default();
                (
                    generation,
                    before.changes().after(&old, &file.catalog, generation),
                    before.lapses().after(&old, &file.catalog, generation, now),
                    past,
                    false,
                )
            }
            None => {
                let past = past(&file.catalog);
                let (changes, lapses) = (MappingChanges::default(), Lapses::default());
                (1, changes, lapses, past, true)
            }
        };
        let remembered = Self {
            generation,
            swept,
            mapping_changes: changes.0.iter().map(|(id, at)| (id.0, *at)).collect(),
            lapses: (lapses.0.iter())
                .map(|lapse| (lapse.trait_id.0, lapse.generation, lapse.before.0))
                .collect(),
            past_mappings: rows(&past),
            run,
            came,
            text: file.text.clone(),
            path,
        };
        let active = ActiveCatalog::new(file.catalog.clone(), generation, changes)
            .context("compiling the catalog")?
            .with_lapses(lapses)
            .with_past_mappings(past);
        remembered.write()?;
        Ok((Arc::new(active), remembered))
    }

    fn changes(&self) -> MappingChanges {
        let changes = self.mapping_changes.iter();
        MappingChanges(changes.map(|(id, at)| (SegmentId(*id), *at)).collect())
    }

    /// What was over when versions came that some profile may not have been brought up to.
    fn lapses(&self) -> Lapses {
        let lapse = |&(id, generation, before)| Lapse {
            trait_id: TraitId(id),
            generation,
            before: UtcDay(before),
        };
        if self.swept {
            // They have done their duty.
            return Lapses::default();
        }
        Lapses(self.lapses.iter().map(lapse).collect())
    }

    /// The mappings by which runs before the next one may have told.
    fn past(
        before: Option<&Self>,
        old: &Catalog,
        new: &Catalog,
        now: Timestamp,
        run: u32,
    ) -> PastMappings {
        let until = now.plus_seconds(REPLACED_WITHIN_SECONDS);
        let earlier = before.map_or_else(PastMappings::default, Self::past_mappings);
        if before.is_some_and(|before| before.run == run) {
            return earlier.after(old, new, LastUse { run, until });
        }
        // This run begins: what it finds was in use until the one before ended.
        let run = run.saturating_sub(1);
        earlier.found(old, LastUse { run, until })
    }

    fn past_mappings(&self) -> PastMappings {
        let mapping =
            |&(destination, segment, start, end, until, run): &PastMappingRow| PastMapping {
                destination: DestinationId(destination),
                segment: SegmentId(segment),
                start: start.map(UtcDay),
                end: end.map(UtcDay),
                last_use: LastUse {
                    run,
                    until: Timestamp(until),
                },
            };
        PastMappings(self.past_mappings.iter().map(mapping).collect())
    }

    /// Whether profiles may still be behind.
    pub(crate) const fn needs_sweep(&self) -> bool {
        !self.swept
    }

    /// Whether this is the text in use.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub(crate) const fn generation(&self) -> u32 {
        self.generation
    }

    /// Every profile has been brought up to the catalog.
    pub(crate) fn mark_swept(&mut self) -> anyhow::Result<()> {
        self.swept = true;
        // One that goes on with what an earlier run began passes over profiles that this run has not looked
        // at yet.
        if self.came == self.run {
            let mut past = self.past_mappings();
            past.forget_before(self.run);
            self.past_mappings = rows(&past);
        }
        self.write()
    }

    /// Written beside its place, synced and moved there: it is either the old or the new one.
    fn write(&self) -> anyhow::Result<()> {
        // It holds what the catalog holds, `plain:` secrets included.
        write_durably(&self.path, &serde_json::to_vec(self)?)
    }
}

fn rows(past: &PastMappings) -> Vec<PastMappingRow> {
    let row = |one: &PastMapping| {
        let (start, end) = (one.start.map(|day| day.0), one.end.map(|day| day.0));
        let LastUse { run, until } = one.last_use;
        (one.destination.0, one.segment.0, start, end, until.0, run)
    };
    past.0.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> CatalogFile {
        let text = text.to_owned();
        let policy = AddressPolicy {
            allow_private: false,
        };
        let path = PathBuf::from("catalog.yaml");
        let loaded = check(&path, &text, policy).unwrap();
        CatalogFile {
            path,
            text,
            catalog: loaded.catalog,
            warnings: loaded.warnings,
        }
    }

    /// More destinations than a catalog may have that does not set `limits.destinations`.
    const MANY: u32 = 101;

    #[test]
    fn a_catalog_that_was_accepted_is_read_whatever_the_limits_are_now() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path();
        let destinations = (1..=MANY).map(|id| {
            format!(
                "  - {{ id: {id}, name: P, client_id: x, url: https://p.example/, mappings: [{{ segment: 1 }}] }}\n"
            )
        });
        let accepted = format!(
            "traits: [{{ id: 1, name: T }}]\nsegments: [{{ id: 1, name: S, rule: 1T }}]\ndestinations:\n{}",
            destinations.collect::<String>()
        );
        let remembered = Remembered {
            generation: 1,
            swept: true,
            mapping_changes: Vec::new(),
            lapses: Vec::new(),
            past_mappings: Vec::new(),
            run: 1,
            came: 1,
            text: accepted.clone(),
            path: dir.join("catalog.json"),
        };
        remembered.write().unwrap();

        let raised = file(&format!("limits: {{ destinations: {MANY} }}\n{accepted}"));
        let before = Remembered::read(dir).unwrap();
        let (_, remembered) = Remembered::next(before, dir, &raised, Timestamp(0), 2).unwrap();
        assert_eq!(remembered.generation, 2);
        assert_eq!(remembered.mapping_changes, []);
    }

    #[test]
    fn what_had_run_out_is_remembered_until_every_profile_was_swept() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path();
        let day = |day| UtcDay(day).start();
        let next = |ttl_days, at| {
            let before = Remembered::read(dir).unwrap();
            let file = file(&format!(
                "traits:\n  - {{ id: 1, name: t, ttl_days: {ttl_days} }}\n"
            ));
            let (active, remembered) = Remembered::next(before, dir, &file, day(at), 1).unwrap();
            (active.compiled.lapses().clone(), remembered)
        };
        let lapse = |generation, before| Lapse {
            trait_id: TraitId(1),
            generation,
            before: UtcDay(before),
        };
        assert_eq!(next(2, 100).0, Lapses::default());
        let longer = Lapses(vec![lapse(2, 108)]);
        assert_eq!(next(9, 110).0, longer);
        // A restart with the same file.
        assert_eq!(next(9, 111).0, longer);
        // A shorter life ends by itself.
        assert_eq!(next(5, 112).0, longer);
        let (both, mut remembered) = next(0, 120);
        assert_eq!(both, Lapses(vec![lapse(2, 108), lapse(4, 115)]));
        remembered.mark_swept().unwrap();
        assert_eq!(next(0, 121).0, Lapses::default());
    }

    #[test]
    fn mappings_that_were_in_use_are_remembered_until_a_sweep_of_a_later_run() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path();
        let next = |segments: &[u32], run| {
            let before = Remembered::read(dir).unwrap();
            let mappings = segments.iter().map(|id| format!("{{ segment: {id} }}"));
            let mappings = mappings.collect::<Vec<_>>().join(", ");
            let file = file(&format!(
                "traits: [{{ id: 1, name: T }}]
segments: [{{ id: 1, name: S, rule: 1T }}, {{ id: 2, name: S, rule: 1T }}]
destinations:
  - {{ id: 1, name: P, client_id: x, url: https://p.example/, mappings: [{mappings}] }}
"
            ));
            let (active, remembered) =
                Remembered::next(before, dir, &file, Timestamp(0), run).unwrap();
            let past = &active.compiled.past_mappings().0;
            assert_eq!(*past, remembered.past_mappings().0);
            let past: Vec<_> = (past.iter())
                .map(|one| (one.segment.0, one.last_use.run))
                .collect();
            (past, remembered)
        };
        // What is found may have been in use for long.
        assert_eq!(next(&[1, 2], 1).0, [(1, 0), (2, 0)]);
        // As far as that run is concerned, what went in it does not matter.
        assert_eq!(next(&[2], 1).0, [(1, 0), (1, 1), (2, 0)]);
        // Replaced while the process was down.
        let (past, mut remembered) = next(&[], 2);
        assert_eq!(past, [(1, 1), (2, 1)]);
        // The sweep of that version ends in a run that did not begin it.
        let (past, mut resumed) = next(&[], 3);
        assert_eq!(past, [(1, 1), (2, 1)]);
        resumed.mark_swept().unwrap();
        assert_eq!(next(&[1], 3).0, [(1, 1), (2, 1)]);
        let (past, mut replaced) = next(&[], 3);
        assert_eq!(past, [(1, 1), (1, 3), (2, 1)]);
        replaced.mark_swept().unwrap();
        assert_eq!(next(&[2], 3).0, [(1, 3)]);
        // It would have ended in the run in which the version came.
        remembered.mark_swept().unwrap();
        assert_eq!(next(&[], 3).0, []);
    }
}
