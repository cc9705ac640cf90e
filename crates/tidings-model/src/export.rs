//! Data export controls and labels: what data sources forbid, and what destinations do.
//!
//! A control sits on a data source and forbids one use of its traits; a label sits on a destination
//! and says that it makes that use of what it is told. Only a pair that matches blocks
//! (delivery.md 6.4). Controls of profile merge rules do not exist: there are no merge rules.

use crate::{DataSourceId, TraitId};
use std::fmt::{self, Display, Formatter};

/// A use of data that a control forbids and a label declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExportUse {
    /// Data is combined with personally identifiable information.
    Pii,
    /// Ads are targeted on the operator's own site.
    OnsiteTargeting,
    /// Ads are targeted elsewhere.
    OffsiteTargeting,
    /// The operator's own site is personalised.
    OnsitePersonalization,
}

/// A set of uses: the controls of a data source, or the labels of a destination. The default is
/// empty, which neither forbids nor declares anything.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ExportUses(u8);

/// Why a destination is told nothing of a segment: it has the label that a control forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExportBlock {
    /// What is forbidden, and what the destination does.
    pub forbidden: ExportUse,
    /// The data source with the control.
    pub data_source: DataSourceId,
    /// The trait of this data source that the segment reads, by itself or through a folder.
    pub trait_id: TraitId,
}

impl ExportUse {
    /// All of them, in the order in which they are named.
    pub const ALL: [Self; 4] = [
        Self::Pii,
        Self::OnsiteTargeting,
        Self::OffsiteTargeting,
        Self::OnsitePersonalization,
    ];

    /// The control that forbids it, as the catalog names it.
    #[must_use]
    pub const fn control(self) -> &'static str {
        match self {
            Self::Pii => "no_pii",
            Self::OnsiteTargeting => "no_onsite_targeting",
            Self::OffsiteTargeting => "no_offsite_targeting",
            Self::OnsitePersonalization => "no_onsite_personalization",
        }
    }

    /// The label that declares it, as the catalog names it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pii => "pii",
            Self::OnsiteTargeting => "onsite_targeting",
            Self::OffsiteTargeting => "offsite_targeting",
            Self::OnsitePersonalization => "onsite_personalization",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl ExportUses {
    /// Whether it is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the use is in it.
    #[must_use]
    pub const fn contains(self, one: ExportUse) -> bool {
        self.0 & one.bit() != 0
    }

    /// The uses in it, in the order of [`ExportUse::ALL`].
    pub fn iter(self) -> impl Iterator<Item = ExportUse> {
        let all = ExportUse::ALL.into_iter();
        all.filter(move |one| self.contains(*one))
    }
}

impl FromIterator<ExportUse> for ExportUses {
    fn from_iter<I: IntoIterator<Item = ExportUse>>(uses: I) -> Self {
        let add = |bits, one: ExportUse| bits | one.bit();
        Self(uses.into_iter().fold(0, add))
    }
}

impl fmt::Debug for ExportUses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Display for ExportBlock {
    /// `export control no_pii of data source 777, through trait 2001`
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            forbidden,
            data_source,
            trait_id,
        } = self;
        let control = forbidden.control();
        write!(
            f,
            "export control {control} of data source {data_source}, through trait {trait_id}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{ExportUse, ExportUses};

    #[test]
    fn a_set_has_what_was_put_into_it() {
        for bits in 0u8..16 {
            let wanted: Vec<_> = (0u8..)
                .zip(ExportUse::ALL)
                .filter(|(place, _)| bits & (1 << place) != 0)
                .map(|(_, one)| one)
                .collect();
            let set: ExportUses = wanted.iter().rev().copied().collect();
            assert_eq!(set.iter().collect::<Vec<_>>(), wanted);
            assert_eq!(set.is_empty(), wanted.is_empty());
            let other = ExportUse::ALL.into_iter().filter(|one| set.contains(*one));
            assert_eq!(other.collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn a_control_is_named_after_its_label() {
        for one in ExportUse::ALL {
            assert_eq!(one.control(), format!("no_{}", one.label()));
        }
    }
}
