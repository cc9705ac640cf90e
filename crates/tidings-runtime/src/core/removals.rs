//! The removal ledger: when a Status 0 became owed, was tried, acknowledged or cancelled.
//!
//! What a profile owes is compared before and after everything that changes it, so that no way of
//! becoming or ceasing to be owed is missed. Additions write nothing here.
//!
//! Invariant: the row changes in the same commit as the profile. Rows are read through a cache that
//! keeps what is not durable yet, as profiles are.

use super::{Changes, Rows};
use crate::cache::Cache;
use tidings_engine::{CompiledCatalog, Flight, IdKey, Moment, Profile};
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, SegmentId, Timestamp};
use tidings_store::{REMOVALS_KEPT_MAX, Removal, RemovalCause, RemovalEnd, RemovalKey, Removals};

/// A Status 0 that is owed, as the ledger names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    destination: DestinationId,
    segment: SegmentId,
    key: IdKey,
    namespace: DataSourceId,
    id: Box<str>,
}

/// Everything that a profile owes; hardly ever anything.
pub(super) fn owed(profile: &Profile) -> Vec<Owed> {
    let mut owed = Vec::new();
    for state in &profile.destinations {
        for zero in &state.owed {
            let at = profile.ids.binary_search_by_key(&zero.id, |id| id.key);
            // An id is kept for as long as a zero is owed under it.
            if let Some(id) = at.ok().and_then(|at| profile.ids.get(at)) {
                owed.push(Owed {
                    destination: state.id,
                    segment: zero.segment,
                    key: zero.id,
                    namespace: id.data_source,
                    id: id.id.clone(),
                });
            }
        }
    }
    owed
}

/// Why a device leaves a segment when it was not asked to, and did nothing that would make it.
pub(super) fn cause_of_time(
    now: Timestamp,
    catalog: &CompiledCatalog,
    profile: &Profile,
) -> RemovalCause {
    if profile.is_idle(catalog, now) {
        RemovalCause::Idle
    } else if profile.generation != catalog.generation() {
        RemovalCause::Catalog
    } else {
        RemovalCause::Expiry
    }
}

/// An outcome, for the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome<'a> {
    pub(super) destination: DestinationId,
    /// The message's number.
    pub(super) message: u64,
    /// What it told about the device.
    pub(super) flight: &'a Flight,
}

/// The ledger's rows that were used lately.
#[derive(Debug)]
pub(super) struct Ledger {
    rows: Cache<RemovalKey, Removals>,
}

impl Ledger {
    pub(super) fn new(rows_max: usize) -> Self {
        Self {
            rows: Cache::new(rows_max),
        }
    }

    /// Ends a step, see [`Cache::turn`].
    pub(super) fn turn(&mut self, written: u64, durable: u64) {
        self.rows.turn(written, durable);
    }

    /// Notes what a change of the profile made owed, and what it made owed no more.
    #[expect(
        clippy::too_many_arguments,
        reason = "what has changed, and where to write it"
    )]
    pub(super) fn changed<R: Rows>(
        &mut self,
        moment: Moment,
        cause: RemovalCause,
        uuid: &DeviceUuid,
        before: &[Owed],
        profile: &Profile,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        let after = owed(profile);
        for ended in before.iter().filter(|zero| !after.contains(zero)) {
            self.update(uuid, ended, rows, changes, |removals| {
                let removal = open(removals)?;
                removal.end = RemovalEnd::Cancelled { at: moment.now };
                Some(())
            })?;
        }
        for new in after.iter().filter(|zero| !before.contains(zero)) {
            self.update(uuid, new, rows, changes, |removals| {
                if open(removals).is_some() {
                    return None;
                }
                removals.push(Removal::new(cause, moment.now));
                Some(())
            })?;
        }
        Ok(())
    }

    /// Notes what a message tried, and what its partner acknowledged.
    #[expect(
        clippy::too_many_arguments,
        reason = "what was told, and where to write it"
    )]
    pub(super) fn told<R: Rows>(
        &mut self,
        moment: Moment,
        uuid: &DeviceUuid,
        outcome: Outcome<'_>,
        before: &[Owed],
        profile: &Profile,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        let after = owed(profile);
        for zero in before {
            let mut objects = outcome.flight.objects.iter();
            let tried = zero.destination == outcome.destination
                && objects.any(|object| {
                    object.id == zero.key && object.zeros.binary_search(&zero.segment).is_ok()
                });
            let ended = !after.contains(zero);
            if !tried && !ended {
                continue;
            }
            self.update(uuid, zero, rows, changes, |removals| {
                let removal = open(removals)?;
                if tried {
                    removal.was_tried(moment.now);
                }
                if ended && tried {
                    removal.end = RemovalEnd::Acknowledged {
                        at: moment.now,
                        message: outcome.message,
                    };
                } else if ended {
                    removal.end = RemovalEnd::Cancelled { at: moment.now };
                }
                Some(())
            })?;
        }
        Ok(())
    }

    /// Forgets what ended before `kept_from` in one row.
    pub(super) fn trim<R: Rows>(
        &mut self,
        key: &RemovalKey,
        kept_from: Timestamp,
        rows: &R,
        changes: &mut impl Changes,
    ) -> Result<(), R::Error> {
        let removals = self.rows.get_or_load(key, || rows.removals(key))?;
        let count = removals.len();
        removals.retain(|removal| removal.ended().is_none_or(|ended| ended >= kept_from));
        if removals.is_empty() {
            changes.delete_removals(key);
        } else if removals.len() < count {
            changes.put_removals(key, removals);
        }
        Ok(())
    }

    /// Changes a row and writes it, unless `change` says that there is nothing to change.
    fn update<R: Rows>(
        &mut self,
        uuid: &DeviceUuid,
        zero: &Owed,
        rows: &R,
        changes: &mut impl Changes,
        change: impl FnOnce(&mut Removals) -> Option<()>,
    ) -> Result<(), R::Error> {
        let key = RemovalKey {
            destination: zero.destination,
            uuid: uuid.clone(),
            segment: zero.segment,
            namespace: zero.namespace,
            id: zero.id.clone(),
        };
        let removals = self.rows.get_or_load(&key, || rows.removals(&key))?;
        if change(removals).is_some() {
            let oldest = removals.len().saturating_sub(REMOVALS_KEPT_MAX);
            removals.drain(..oldest);
            changes.put_removals(&key, removals);
        }
        Ok(())
    }
}

/// The removal that is owed, if there is one: it is the last.
fn open(removals: &mut Removals) -> Option<&mut Removal> {
    removals
        .last_mut()
        .filter(|last| last.end == RemovalEnd::Owed)
}
