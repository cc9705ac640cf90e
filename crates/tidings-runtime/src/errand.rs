//! What couriers ask of the writer, and how it answers: the same in a server and under simulation.
//!
//! Invariant: an answer leaves only once the changes made for it are durable.

use crate::{
    core::{Changes, Core, Scans},
    inbox::{BatchNews, Scanned},
    pages::Pages,
};
use tidings_dispatch::{Kind, SettledUser, Taken};
use tidings_engine::Moment;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Timestamp};
use tidings_store::AttemptRecord;

/// What a courier asks for its destination.
#[derive(Debug)]
pub enum Ask {
    /// Build the user objects of these devices in one namespace.
    Take {
        /// What they are built for.
        kind: Kind,
        /// The namespace.
        namespace: DataSourceId,
        /// The devices, oldest first.
        users: Vec<DeviceUuid>,
    },
    /// Record the outcome of a message.
    Settle {
        /// What the message was part of.
        kind: Kind,
        /// The namespace.
        namespace: DataSourceId,
        /// Its devices.
        users: Vec<SettledUser>,
        /// Why the message was given up; empty when it was not.
        reason: String,
        /// The attempts at it, for the log.
        attempts: Vec<AttemptRecord>,
    },
    /// Read a page of the pending set.
    Scan {
        /// The last device of the page before; `None` for the first page.
        after: Option<DeviceUuid>,
    },
    /// About the batch.
    Batch(BatchOrder),
}

impl Ask {
    /// Devices that it is about, at most.
    #[must_use]
    pub const fn devices(&self) -> usize {
        match self {
            Self::Take { users, .. } => users.len(),
            Self::Settle { users, .. } => users.len(),
            Self::Scan { .. } => Pages::SERVER.pending,
            Self::Batch(BatchOrder::Page { .. }) => Pages::SERVER.batch,
            Self::Batch(_) => 1,
        }
    }
}

/// What is to be done about the batches of one destination.
#[derive(Debug)]
pub enum BatchOrder {
    /// Say what the latest batch was.
    Last,
    /// Begin the batch that was due at `due`, or go on with it.
    Begin {
        /// When it was due.
        due: Timestamp,
    },
    /// Read the page after this device, or the first.
    Page {
        /// The last device of the page before; `None` for the first page.
        after: Option<DeviceUuid>,
    },
    /// The batch is over.
    End,
}

/// What a courier is told.
#[derive(Debug)]
pub enum Answer {
    /// The answer to [`Ask::Take`].
    Taken {
        /// What they were built for.
        kind: Kind,
        /// The namespace.
        namespace: DataSourceId,
        /// The devices in the order of the question, their user objects encoded.
        users: Vec<Taken<Vec<u8>>>,
    },
    /// The answer to [`Ask::Scan`].
    Scanned(Scanned),
    /// The answer to [`Ask::Batch`].
    Batch(BatchNews),
}

/// Does what was asked; the answer, if there is one, is to be let out once `changes` are durable.
///
/// # Errors
/// As [`Core::submit`].
pub fn answer<R: Scans>(
    pages: Pages,
    core: &mut Core,
    moment: Moment,
    destination: DestinationId,
    ask: Ask,
    rows: &R,
    changes: &mut impl Changes,
) -> Result<Option<Answer>, R::Error> {
    Ok(match ask {
        Ask::Take {
            kind,
            namespace,
            users,
        } => {
            let users = core.take(moment, kind, destination, namespace, users, rows, changes)?;
            Some(Answer::Taken {
                kind,
                namespace,
                users,
            })
        }
        Ask::Settle {
            kind: Kind::Batch,
            namespace,
            users,
            attempts,
            ..
        } => {
            let message = core.end_message(moment, destination, attempts);
            core.settle_batch(
                moment,
                destination,
                namespace,
                &users,
                message,
                rows,
                changes,
            )?;
            None
        }
        Ask::Settle {
            kind: Kind::Realtime,
            namespace,
            users,
            reason,
            attempts,
        } => {
            let message = core.end_message(moment, destination, attempts);
            core.settle(
                moment,
                destination,
                namespace,
                &users,
                &reason,
                message,
                rows,
                changes,
            )?;
            None
        }
        Ask::Scan { after } => Some(Answer::Scanned(scan(
            pages,
            core,
            moment,
            destination,
            after.as_ref(),
            rows,
            changes,
        )?)),
        Ask::Batch(order) => Some(Answer::Batch(batch(
            pages,
            core,
            moment,
            destination,
            &order,
            rows,
            changes,
        )?)),
    })
}

fn scan<R: Scans>(
    pages: Pages,
    core: &mut Core,
    moment: Moment,
    destination: DestinationId,
    after: Option<&DeviceUuid>,
    rows: &R,
    changes: &mut impl Changes,
) -> Result<Scanned, R::Error> {
    let devices = rows.pending(destination, after, pages.pending)?;
    let mut hints = Vec::with_capacity(devices.len());
    for uuid in &devices {
        let hint = |hint| hints.push(hint);
        core.hints_of(moment, destination, uuid, rows, changes, hint)?;
    }
    let next = if devices.len() < pages.pending {
        None
    } else {
        devices.last().cloned()
    };
    Ok(Scanned { hints, next })
}

fn batch<R: Scans>(
    pages: Pages,
    core: &mut Core,
    moment: Moment,
    destination: DestinationId,
    order: &BatchOrder,
    rows: &R,
    changes: &mut impl Changes,
) -> Result<BatchNews, R::Error> {
    Ok(match order {
        BatchOrder::Last => BatchNews::Last(core.last_batch(destination, rows)?),
        BatchOrder::Begin { due } => {
            BatchNews::Began(core.begin_batch(moment, destination, *due, rows, changes)?)
        }
        BatchOrder::Page { after } => {
            let after = after.as_ref();
            let page = core.batch_page(moment, destination, after, pages.batch, rows, changes)?;
            BatchNews::Page(page)
        }
        BatchOrder::End => {
            let record = core.end_batch(moment, destination, rows, changes)?;
            if let Some(record) = record {
                tracing::info!(
                    destination = destination.0,
                    batch = record.number,
                    succeeded = record.succeeded,
                    failed = record.failed,
                    "batch ended"
                );
            }
            BatchNews::Ended
        }
    })
}

#[cfg(test)]
mod tests;
