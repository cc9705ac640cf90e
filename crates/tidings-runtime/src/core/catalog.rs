//! One catalog version, ready for use.

use crate::message::MessageFormat;
use hashbrown::HashMap;
use tidings_engine::{CompiledCatalog, Lapses, MappingChanges, PastMappings};
use tidings_model::{Catalog, DestinationId, Timestamp};

/// One catalog version with everything derived from it.
#[derive(Debug)]
pub struct ActiveCatalog {
    /// For the engine.
    pub compiled: CompiledCatalog,
    /// As it was read.
    pub catalog: Catalog,
    formats: HashMap<DestinationId, MessageFormat, foldhash::fast::FixedState>,
}

impl ActiveCatalog {
    /// Compiles a catalog.
    ///
    /// # Errors
    /// When a rule is wrong.
    pub fn new(
        catalog: Catalog,
        generation: u32,
        mapping_changes: MappingChanges,
    ) -> Result<Self, tidings_engine::CompileError> {
        let compiled = CompiledCatalog::compile(&catalog, generation, mapping_changes)?;
        let formats = catalog
            .destinations
            .iter()
            .map(|d| (d.id, MessageFormat::new(d)))
            .collect();
        Ok(Self {
            compiled,
            catalog,
            formats,
        })
    }

    /// The same version, which knows what was over when it and earlier ones came.
    #[must_use]
    pub fn with_lapses(self, lapses: Lapses) -> Self {
        let compiled = self.compiled.with_lapses(lapses);
        Self { compiled, ..self }
    }

    /// The same version, which knows by which mappings earlier runs of the process told.
    #[must_use]
    pub fn with_past_mappings(self, past: PastMappings) -> Self {
        let compiled = self.compiled.with_past_mappings(past);
        Self { compiled, ..self }
    }

    /// The version that takes this one's place at `now`; `past` is what it is to know of mappings that
    /// were in use.
    ///
    /// # Errors
    /// When a rule is wrong.
    pub fn replaced_by(
        &self,
        catalog: Catalog,
        past: PastMappings,
        now: Timestamp,
    ) -> Result<Self, tidings_engine::CompileError> {
        let generation = self.compiled.generation().saturating_add(1);
        let changes = self.compiled.mapping_changes().clone();
        let changes = changes.after(&self.catalog, &catalog, generation);
        let lapses = self.compiled.lapses().clone();
        let lapses = lapses.after(&self.catalog, &catalog, generation, now);
        let new = Self::new(catalog, generation, changes)?;
        Ok(new.with_lapses(lapses).with_past_mappings(past))
    }

    /// The same version as another run of the process has it: all of it but what was kept is made
    /// anew. `past` is what it is to know of mappings that were in use.
    ///
    /// # Errors
    /// When a rule is wrong.
    pub fn reopened(&self, past: PastMappings) -> Result<Self, tidings_engine::CompileError> {
        let changes = self.compiled.mapping_changes().clone();
        let reopened = Self::new(self.catalog.clone(), self.compiled.generation(), changes)?;
        let lapses = self.compiled.lapses().clone();
        Ok(reopened.with_lapses(lapses).with_past_mappings(past))
    }

    /// How messages of a destination are written.
    #[must_use]
    pub fn format(&self, destination: DestinationId) -> Option<&MessageFormat> {
        self.formats.get(&destination)
    }
}
