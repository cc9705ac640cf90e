//! Export controls and labels of random catalogs: so few that most of what is mapped is told.

use super::{Random, catalog::DATA_SOURCES};
use tidings_model::{Catalog, ExportUse, ExportUses};

/// Gives a catalog its controls, owners of traits, and labels.
pub(super) fn equip(random: &mut Random, catalog: &mut Catalog) {
    if random.chance(65) {
        return;
    }
    for one in &mut catalog.traits {
        one.data_source = random.chance(40).then(|| *random.pick(&DATA_SOURCES));
    }
    for destination in &mut catalog.destinations {
        destination.export_labels = uses(random, 70);
    }
    for source in &mut catalog.data_sources {
        source.export_controls = uses(random, 40);
    }
}

/// Changes some of them: often enough the controls alone, which nothing else in a catalog tells of.
pub(super) fn change(random: &mut Random, catalog: &mut Catalog) {
    for source in &mut catalog.data_sources {
        if random.chance(60) {
            source.export_controls = uses(random, 50);
        }
    }
    for one in &mut catalog.traits {
        if random.chance(20) {
            one.data_source = random.chance(60).then(|| *random.pick(&DATA_SOURCES));
        }
    }
    for destination in &mut catalog.destinations {
        if random.chance(20) || destination.export_labels.is_empty() {
            destination.export_labels = uses(random, 80);
        }
    }
}

/// One or two uses, of three so that they meet, or none.
fn uses(random: &mut Random, percent: i64) -> ExportUses {
    const SOME: [ExportUse; 3] = [
        ExportUse::Pii,
        ExportUse::OffsiteTargeting,
        ExportUse::OnsitePersonalization,
    ];
    if !random.chance(percent) {
        return ExportUses::default();
    }
    let count = random.between(1, 2);
    (0..count).map(|_| *random.pick(&SOME)).collect()
}
