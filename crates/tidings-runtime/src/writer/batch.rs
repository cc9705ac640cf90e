//! The history of a destination's batches, for people who ask.

use tidings_model::DestinationId;
use tidings_store::{BatchRecord, Store, StoreError};

/// Devices still to be read that are counted for the history.
const REMAINING_MAX: usize = 10_000;

/// The batches of a destination.
#[derive(Debug)]
pub(crate) struct BatchHistory {
    /// The newest last.
    pub(crate) records: Vec<BatchRecord>,
    /// Devices in the set of changes; `None` for more than are counted.
    pub(crate) remaining: Option<usize>,
}

/// What batches there were.
pub(super) fn history(
    destination: DestinationId,
    store: &Store,
) -> Result<BatchHistory, StoreError> {
    // In this order: commits go on, and a batch that has ended left no more than is counted.
    let records = store.batch_records(destination)?;
    let counted = store.batch_changes_count(destination, REMAINING_MAX + 1)?;
    Ok(BatchHistory {
        records,
        remaining: (counted <= REMAINING_MAX).then_some(counted),
    })
}
