//! What the engine thread does about batches, at the bidding of a destination's task.

use crate::{core::Core, inbox::BatchNews};
use tidings_engine::Moment;
use tidings_model::{DestinationId, DeviceUuid, Timestamp};
use tidings_store::{Batch, BatchRecord, Store, StoreError};
use tokio::sync::oneshot;

/// Rows of the set of changes read in one go: their profiles are read as well.
const BATCH_PAGE: usize = 200;
/// Devices still to be read that are counted for the history.
const REMAINING_MAX: usize = 10_000;

/// What is to be done about the batches of one destination.
#[derive(Debug)]
pub(crate) enum BatchOrder {
    /// Say what the latest batch was.
    Last,
    /// Begin the batch that was due at `due`, or go on with it.
    Begin { due: Timestamp },
    /// Read the page after this device, or the first.
    Page { after: Option<DeviceUuid> },
    /// The batch is over.
    End,
    /// Say what batches there were.
    History {
        reply: oneshot::Sender<BatchHistory>,
    },
}

/// The batches of a destination.
#[derive(Debug)]
pub(crate) struct BatchHistory {
    /// The newest last.
    pub(crate) records: Vec<BatchRecord>,
    /// Devices in the set of changes; `None` for more than are counted.
    pub(crate) remaining: Option<usize>,
}

/// Obeys an order; the answer is let out once the changes are durable.
pub(super) fn obey(
    core: &mut Core,
    moment: Moment,
    destination: DestinationId,
    order: BatchOrder,
    store: &Store,
    changes: &mut Batch,
) -> Result<Option<BatchNews>, StoreError> {
    Ok(match order {
        BatchOrder::Last => Some(BatchNews::Last(core.last_batch(destination, store)?)),
        BatchOrder::Begin { due } => {
            let record = core.begin_batch(moment, destination, due, store, changes)?;
            Some(BatchNews::Began(record))
        }
        BatchOrder::Page { after } => {
            let after = after.as_ref();
            let page = core.batch_page(moment, destination, after, BATCH_PAGE, store, changes)?;
            Some(BatchNews::Page(page))
        }
        BatchOrder::End => {
            let record = core.end_batch(moment, destination, store, changes)?;
            if let Some(record) = record {
                tracing::info!(
                    destination = destination.0,
                    batch = record.number,
                    succeeded = record.succeeded,
                    failed = record.failed,
                    "batch ended"
                );
            }
            Some(BatchNews::Ended)
        }
        BatchOrder::History { reply } => {
            // In this order: commits go on, and a batch that has ended left no more than is counted.
            let records = store.batch_records(destination)?;
            let counted = store.batch_changes_count(destination, REMAINING_MAX + 1)?;
            let history = BatchHistory {
                records,
                remaining: (counted <= REMAINING_MAX).then_some(counted),
            };
            // Whoever asked and went away does not need the answer.
            drop(reply.send(history));
            None
        }
    })
}
