//! The devices that wait for one destination in one namespace, and when their message leaves.
//!
//! A message leaves when `max_users` user objects wait, or the oldest device has waited `max_linger`.
//! A device that is touched again keeps its place. Devices leave whole, oldest first, as many as fit
//! into one message; one that alone is more than a message goes into several. How many user objects
//! a device is, is counted when it is touched: one that meanwhile has less to tell may make a message
//! leave early, never late.

use tidings_model::{Destination, DeviceUuid};

#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    waiting: Vec<Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    uuid: DeviceUuid,
    objects: usize,
    since_ms: i64,
}

impl Lane {
    /// The device has this many user objects to tell.
    pub(crate) fn touch(&mut self, uuid: &DeviceUuid, objects: usize, now_ms: i64) {
        if let Some(waiting) = self.waiting.iter_mut().find(|other| other.uuid == *uuid) {
            waiting.objects = objects;
            return;
        }
        self.waiting.push(Waiting {
            uuid: uuid.clone(),
            objects,
            since_ms: now_ms,
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn holds(&self, uuid: &DeviceUuid) -> bool {
        self.waiting.iter().any(|waiting| waiting.uuid == *uuid)
    }

    /// When the next message leaves if nothing else happens; may lie in the past.
    pub(crate) fn due_ms(&self, destination: &Destination) -> Option<i64> {
        let oldest = self.waiting.first()?;
        let objects: usize = self.waiting.iter().map(|waiting| waiting.objects).sum();
        if objects >= destination.max_users as usize {
            return Some(i64::MIN);
        }
        let linger = i64::try_from(destination.max_linger.as_millis()).ok()?;
        Some(oldest.since_ms + linger)
    }

    /// The devices that leave now, in order.
    pub(crate) fn leave(&mut self, destination: &Destination, now_ms: i64) -> Vec<DeviceUuid> {
        let max = destination.max_users as usize;
        let mut leaving = Vec::new();
        while self.due_ms(destination).is_some_and(|due| due <= now_ms) {
            let mut objects = 0;
            while let Some(first) = self.waiting.first() {
                if objects >= max || (objects > 0 && objects + first.objects > max) {
                    break;
                }
                objects += first.objects;
                leaving.push(self.waiting.remove(0).uuid);
            }
        }
        leaving
    }
}
