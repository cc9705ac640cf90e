//! Who waits to be told in real time, and since when: a batch must not keep them waiting.

use crate::Violation;
use std::collections::BTreeMap;
use tidings_model::{DestinationId, DeviceUuid};

/// How long a user may wait for a healthy destination beside a running batch, in milliseconds: for
/// company in a message, for commits that take seconds, and for the end of a message that holds it.
const WAIT_MILLIS_MAX: u64 = 30_000;

/// Per destination and device: which task was hinted, and when.
#[derive(Debug, Default)]
pub(crate) struct Waiting(BTreeMap<(DestinationId, DeviceUuid), (u64, u64)>);

impl Waiting {
    /// A task was hinted.
    pub(crate) fn hinted(&mut self, now: u64, to: DestinationId, task: u64, uuid: &DeviceUuid) {
        let entry = self.0.entry((to, uuid.clone())).or_insert((task, now));
        if entry.0 != task {
            *entry = (task, now);
        }
    }

    /// The device is told in real time.
    pub(crate) fn told(&mut self, to: DestinationId, uuid: &DeviceUuid) {
        self.0.remove(&(to, uuid.clone()));
    }

    /// Only these pairs wait: about the others there is nothing left to tell.
    pub(crate) fn keep(&mut self, is_pending: impl Fn(&(DestinationId, DeviceUuid)) -> bool) {
        self.0.retain(|pair, _| is_pending(pair));
    }

    /// Waiting begins anew, as after a pause.
    pub(crate) fn forget(&mut self, to: DestinationId) {
        self.0.retain(|(one, _), _| *one != to);
    }

    /// The process died.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// A batch of a healthy destination sends a message: nobody of whom `is_pending` may have waited
    /// for long.
    pub(crate) fn check(
        &self,
        now: u64,
        to: DestinationId,
        task: u64,
        is_pending: impl Fn(&DeviceUuid) -> bool,
    ) -> Result<(), Violation> {
        let of_task = self.0.iter().filter(|((one, _), _)| *one == to);
        for ((_, uuid), (hinted, since)) in of_task {
            if *hinted == task && now - since > WAIT_MILLIS_MAX && is_pending(uuid) {
                let promise = "a batch does not delay what is told in real time";
                let waited = now - since;
                let detail = format!("destination {to}, device {uuid} waits for {waited} ms");
                return Err(Violation::new(promise, detail));
            }
        }
        Ok(())
    }
}
