//! Resends of all undelivered pairs of a destination: a page at a time, with its place on disk, so that
//! a restart goes on where it was.
//!
//! What is put back is in the pending set and paced by the destination's dispatcher; what this paces
//! is the reading of profiles.

use crate::core::{Core, DestinationHint, Resent};
use std::{collections::VecDeque, time::Duration};
use tidings_engine::Moment;
use tidings_model::{DestinationId, Millis};
use tidings_store::{Batch, RecordKind, Resend, Store, StoreError};

/// Pairs put back in one step.
const PAGE: usize = 200;
/// Pause between steps: at most 4,000 pairs a second, a small part of a core.
const PAGE_EVERY: Duration = Duration::from_millis(50);
/// The same in milliseconds.
const PAGE_EVERY_MS: u64 = 50;

/// The resends under way, the one whose turn it is first.
#[derive(Debug)]
pub(super) struct Resends {
    running: VecDeque<(DestinationId, Resend)>,
    next: Millis,
}

impl Resends {
    /// Those that an earlier run did not end.
    pub(super) fn load(store: &Store) -> Result<Self, StoreError> {
        let mut running = VecDeque::new();
        for destination in store.destinations_with(RecordKind::Resends)? {
            let resend = store.resend(destination)?;
            if let Some(resend) = resend.filter(|resend| resend.ended.is_none()) {
                running.push_back((destination, resend));
            }
        }
        let next = Millis(0);
        Ok(Self { running, next })
    }

    /// How long the engine thread may wait for something to arrive.
    pub(super) fn patience(&self) -> Duration {
        if self.running.is_empty() {
            Duration::MAX
        } else {
            PAGE_EVERY
        }
    }

    /// Begins a resend; one that is under way goes on.
    pub(super) fn begin(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        batch: &mut Batch,
    ) -> Resend {
        let mut running = self.running.iter();
        if let Some((_, resend)) = running.find(|(id, _)| *id == destination) {
            return resend.clone();
        }
        let resend = Resend {
            asked: moment.now,
            ..Resend::default()
        };
        batch.put_resend(destination, &resend);
        self.running.push_back((destination, resend.clone()));
        resend
    }

    /// Removes the resend of a destination that is gone.
    pub(super) fn forget(&mut self, destination: DestinationId, batch: &mut Batch) {
        self.running.retain(|(id, _)| *id != destination);
        batch.delete_resend(destination);
    }

    /// Puts the next pairs back, if it is time for that. Destinations take turns.
    pub(super) fn step(
        &mut self,
        now: Millis,
        moment: Moment,
        core: &mut Core,
        store: &Store,
        batch: &mut Batch,
        hint: &mut impl FnMut(DestinationHint),
    ) -> Result<(), StoreError> {
        if now < self.next {
            return Ok(());
        }
        let Some((destination, mut resend)) = self.running.pop_front() else {
            return Ok(());
        };
        self.next = Millis(now.0.saturating_add(PAGE_EVERY_MS));
        if core.catalog().compiled.destination(destination).is_none() {
            // What is left of a destination that is gone is removed, not sent.
            self.forget(destination, batch);
            return Ok(());
        }
        let pairs = store.undelivered(destination, resend.after.as_ref(), PAGE)?;
        for (uuid, _) in &pairs {
            match core.resend(moment, destination, uuid, store, batch, &mut *hint)? {
                Resent::Waiting => resend.resent += 1,
                Resent::Healed => resend.healed += 1,
                // Delivered since the row was read.
                Resent::NotListed => {}
            }
        }
        if pairs.len() == PAGE {
            resend.after = pairs.into_iter().last().map(|(uuid, _)| uuid);
            batch.put_resend(destination, &resend);
            self.running.push_back((destination, resend));
            return Ok(());
        }
        resend.after = None;
        resend.ended = Some(moment.now);
        batch.put_resend(destination, &resend);
        tracing::info!(
            destination = destination.0,
            put_back = resend.resent,
            nothing_to_tell = resend.healed,
            "undelivered users put back to be told"
        );
        Ok(())
    }
}
