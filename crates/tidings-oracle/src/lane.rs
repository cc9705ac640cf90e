//! The devices that wait for one destination in one namespace, and when their message leaves.
//!
//! A message leaves when `max_users` user objects wait, or the oldest device has waited `max_linger`.
//! A device that is touched again keeps its place, unless it comes to owe a 0: those go ahead, in a queue
//! of their own, but after seven messages that began with one while others waited, the next begins with
//! another. Devices leave whole, oldest first, as many as fit into one message; one that alone is more
//! than a message goes into several. How many user objects a device is, is counted when it is touched:
//! one that meanwhile has less to tell may make a message leave early, never late.
//!
//! What waits for a destination that is paused goes on waiting, and its time counts: a device that has
//! waited `max_linger` leaves with the change of the catalog that ends the pause.
//!
//! A process that begins again reads what waits when it may send: the devices come in the order of their
//! numbers then, and their time is counted from then.

use std::collections::BTreeSet;
use tidings_model::{Destination, DeviceUuid};

#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    /// Those that owe a 0, and the others.
    removals: Vec<Waiting>,
    others: Vec<Waiting>,
    /// Messages in a row that began with a removal while others waited.
    ahead: u32,
    /// Those that an earlier run of the process left.
    unread: BTreeSet<DeviceUuid>,
}

#[derive(Clone, Debug)]
struct Waiting {
    uuid: DeviceUuid,
    objects: usize,
    since_ms: i64,
}

impl Lane {
    /// The device has this many user objects to tell, and owes a 0 or does not.
    pub(crate) fn touch(&mut self, uuid: &DeviceUuid, objects: usize, removal: bool, now_ms: i64) {
        self.unread.remove(uuid);
        let known = |queue: &[Waiting]| queue.iter().position(|other| other.uuid == *uuid);
        if let Some(at) = known(&self.removals) {
            self.removals[at].objects = objects;
        } else if let Some(at) = known(&self.others) {
            self.others[at].objects = objects;
            if removal {
                self.removals.push(self.others.remove(at));
            }
        } else {
            let waiting = Waiting {
                uuid: uuid.clone(),
                objects,
                since_ms: now_ms,
            };
            if removal {
                self.removals.push(waiting);
            } else {
                self.others.push(waiting);
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.removals.iter().chain(&self.others)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all().next().is_none() && self.unread.is_empty()
    }

    pub(crate) fn holds(&self, uuid: &DeviceUuid) -> bool {
        self.unread.contains(uuid) || self.all().any(|waiting| waiting.uuid == *uuid)
    }

    /// The process ends: only that they wait is on record.
    pub(crate) fn restart(&mut self) {
        let left = std::mem::take(self);
        let queued = left.removals.into_iter().chain(left.others);
        self.unread = left.unread;
        self.unread.extend(queued.map(|waiting| waiting.uuid));
    }

    /// The devices that wait, in order of their numbers.
    pub(crate) fn users(&self) -> BTreeSet<DeviceUuid> {
        let queued = self.all().map(|waiting| &waiting.uuid);
        queued.chain(&self.unread).cloned().collect()
    }

    /// When the next message leaves if nothing else happens; may lie in the past.
    pub(crate) fn due_ms(&self, destination: &Destination) -> Option<i64> {
        let oldest = self.all().map(|waiting| waiting.since_ms).min()?;
        let objects: usize = self.all().map(|waiting| waiting.objects).sum();
        if objects >= destination.max_users as usize {
            return Some(i64::MIN);
        }
        let linger = i64::try_from(destination.max_linger.as_millis()).ok()?;
        Some(oldest + linger)
    }

    /// The devices that leave now, in order.
    pub(crate) fn leave(&mut self, destination: &Destination, now_ms: i64) -> Vec<DeviceUuid> {
        let mut leaving = Vec::new();
        while self.due_ms(destination).is_some_and(|due| due <= now_ms) {
            self.leave_in_one(destination.max_users as usize, &mut leaving);
        }
        if self.all().next().is_none() {
            self.ahead = 0;
        }
        leaving
    }

    fn leave_in_one(&mut self, max: usize, leaving: &mut Vec<DeviceUuid>) {
        let both = !self.removals.is_empty() && !self.others.is_empty();
        let removals_first = !(self.removals.is_empty() || both && self.ahead == 7);
        self.ahead = if both && removals_first {
            self.ahead + 1
        } else {
            0
        };
        let mut queues = [&mut self.removals, &mut self.others];
        if !removals_first {
            queues.reverse();
        }
        let mut objects = 0;
        for queue in queues {
            while let Some(first) = queue.first() {
                if objects >= max || (objects > 0 && objects + first.objects > max) {
                    return;
                }
                objects += first.objects;
                leaving.push(queue.remove(0).uuid);
            }
        }
    }
}
