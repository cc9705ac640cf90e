//! Sending again what was given up: the pair goes back into the pending set, and its partner is told
//! what is true then. Held pairs are there already, and are only brought forward.

use super::{
    Changes, Core, DestinationHint, Rows, batch::confirm_marks, deliver::in_flight, load,
    mark_dirty, publish,
};
use std::sync::Arc;
use tidings_engine::Moment;
use tidings_model::{DestinationId, DeviceUuid};

/// What asking for a pair to be sent again came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resent {
    /// It waits to be told.
    Waiting,
    /// There is nothing to tell any more: it is off the list.
    Healed,
    /// It is not listed as undelivered.
    NotListed,
}

impl Core {
    /// Puts an undelivered pair back into the pending set. Asking twice does no harm.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn resend<R: Rows>(
        &mut self,
        moment: Moment,
        destination: DestinationId,
        uuid: &DeviceUuid,
        rows: &R,
        changes: &mut impl Changes,
        mut hint: impl FnMut(DestinationHint),
    ) -> Result<Resent, R::Error> {
        let catalog = Arc::clone(&self.catalog);
        let cached = load(&mut self.profiles, uuid, rows)?;
        let state = cached.profile.destination(destination);
        if !state.is_some_and(|state| state.undelivered) {
            return Ok(Resent::NotListed);
        }
        mark_dirty(&mut self.dirty, cached, uuid);
        let profile = &mut cached.profile;
        confirm_marks(moment, &self.batches_ended, profile);
        let in_flight = in_flight(&self.flights, uuid);
        let effects =
            self.engine
                .resend(moment, &catalog.compiled, profile, destination, in_flight);
        publish(
            effects,
            profile,
            &mut self.tally,
            &mut self.due,
            &mut self.unlinked,
            moment,
            uuid,
            changes,
            &mut hint,
        );
        // A zero that may not be told now stays owed.
        let state = profile.destination(destination);
        if state.is_some_and(|state| state.pending.is_some() || !state.owed.is_empty()) {
            return Ok(Resent::Waiting);
        }
        profile.set_undelivered(destination, false);
        changes.delete_undelivered(destination, uuid);
        Ok(Resent::Healed)
    }
}
