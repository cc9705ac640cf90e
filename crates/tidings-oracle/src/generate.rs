//! Random cases from a seed: small catalogs, and histories that crowd around the edges.

mod catalog;
mod export;
mod history;
mod random;
mod rule;

pub use random::Random;

use crate::{Case, Features, Version};
use std::sync::Arc;
use tidings_model::Timestamp;

/// The case of this seed. The same seed and features give the same case.
///
/// # Panics
/// If the generator makes a catalog that cannot be read, which is a mistake of the generator.
#[must_use]
pub fn case(seed: u64, features: Features) -> Case {
    let mut random = Random::new(seed);
    // Some moment of 2016, so that leap days, months and years are crossed now and then.
    let start = Timestamp(1_451_606_400 + random.below(366 * 86_400));
    let catalog = catalog::catalog(&mut random, features, start);
    let version = Version::new(catalog).expect("generated catalogs can be read");
    let version = Arc::new(version);
    let (happenings, end) = history::history(&mut random, features, &version, start);
    Case {
        features,
        version,
        start,
        happenings,
        end,
    }
}
