//! Export controls and labels: whether a destination may be told of a segment at all.
//!
//! A control on a data source forbids a use of the data, a label on a destination announces it. The
//! data source of every trait counts that the segment's rule names, or that lies in a folder which
//! the rule names.

use crate::Version;
use tidings_model::{Destination, ExportUses, SegmentId, Trait, TraitId};

impl Version {
    /// Nothing of the segment may go to the destination, neither 1 nor 0.
    #[must_use]
    pub fn is_blocked(&self, destination: &Destination, segment: SegmentId) -> bool {
        let read = self.read_by(segment);
        self.catalog
            .traits
            .iter()
            .filter(|one| self.is_among(one, &read))
            .filter_map(|one| one.data_source)
            .map(|source| self.controls_of(source))
            .any(|controls| {
                let mut labels = destination.export_labels.iter();
                labels.any(|label| controls.contains(label))
            })
    }

    /// The trait is one of these, or lies in one of them, at whatever depth.
    fn is_among(&self, one: &Trait, traits: &[TraitId]) -> bool {
        if traits.contains(&one.id) {
            return true;
        }
        let mut all = self.catalog.traits.iter();
        let folder = all.find(|other| Some(other.id) == one.folder);
        folder.is_some_and(|folder| self.is_among(folder, traits))
    }

    fn controls_of(&self, source: tidings_model::DataSourceId) -> ExportUses {
        let mut sources = self.catalog.data_sources.iter();
        let source = sources.find(|other| other.id == source);
        source.map_or_else(ExportUses::default, |source| source.export_controls)
    }
}
