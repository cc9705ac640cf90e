//! Operations on the rows that say what happened: attempt log, removal ledger, resends.

use super::{Batch, DELETE, PUT};
use crate::{
    codec::{AttemptPage, Removal, RemovalKey, Resend, encode_removals},
    keys::{AttemptKey, records},
};
use tidings_model::DestinationId;

impl Batch {
    /// Writes a page of a destination's attempt log; the bytes it takes, key included.
    pub fn put_attempts(
        &mut self,
        destination: DestinationId,
        key: AttemptKey,
        page: &AttemptPage,
    ) -> u64 {
        let before = self.bytes();
        self.push(
            PUT,
            |out| records::put_attempts(out, destination, key),
            |out| out.extend_from_slice(page.bytes()),
        );
        self.bytes().saturating_sub(before) as u64
    }

    /// Removes a page of a destination's attempt log.
    pub fn delete_attempts(&mut self, destination: DestinationId, key: AttemptKey) {
        self.push(
            DELETE,
            |out| records::put_attempts(out, destination, key),
            |_| {},
        );
    }

    /// Writes the removals of one device from one segment under one id, the newest last.
    pub fn put_removals(&mut self, key: &RemovalKey, removals: &[Removal]) {
        self.push(
            PUT,
            |out| records::put_removal(out, key),
            |out| encode_removals(removals, out),
        );
    }

    /// Removes a row of the removal ledger.
    pub fn delete_removals(&mut self, key: &RemovalKey) {
        self.push(DELETE, |out| records::put_removal(out, key), |_| {});
    }

    /// Writes how far the resend of a destination has come.
    pub fn put_resend(&mut self, destination: DestinationId, resend: &Resend) {
        self.push(
            PUT,
            |out| records::put_resend(out, destination),
            |out| resend.encode(out),
        );
    }

    /// Removes what is known of the resend of a destination.
    pub fn delete_resend(&mut self, destination: DestinationId) {
        self.push(DELETE, |out| records::put_resend(out, destination), |_| {});
    }
}
