//! A queue of devices that can be left from anywhere.
//!
//! Who leaves leaves their entry behind, which is dropped when it comes to the front, or when such entries
//! outnumber the others. Only the lane knows whose entry still counts: the one with the ticket that
//! the device holds.
//!
//! Invariant: between calls, the front counts.

use std::collections::VecDeque;
use tidings_model::{DeviceUuid, Millis};

/// Tells a device's entries apart: the newest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Ticket {
    /// This one; the next time it is another.
    pub(crate) const fn take(&mut self) -> Self {
        self.0 += 1;
        *self
    }
}

#[derive(Clone, Debug)]
struct Entry {
    uuid: DeviceUuid,
    ticket: Ticket,
    since: Millis,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    /// Entries that do not count.
    left: usize,
}

impl Queue {
    /// Devices that wait in it.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.left
    }

    pub(crate) fn push(&mut self, uuid: DeviceUuid, ticket: Ticket, since: Millis) {
        self.entries.push_back(Entry {
            uuid,
            ticket,
            since,
        });
    }

    pub(crate) fn front(&self) -> Option<&DeviceUuid> {
        Some(&self.entries.front()?.uuid)
    }

    /// Since when the front waits.
    pub(crate) fn oldest(&self) -> Option<Millis> {
        Some(self.entries.front()?.since)
    }

    /// Everybody who has an entry, those who left it behind included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &DeviceUuid> {
        self.entries.iter().map(|entry| &entry.uuid)
    }

    /// Takes the front out; follow it with [`Queue::tidy`].
    pub(crate) fn pop(&mut self) -> Option<DeviceUuid> {
        Some(self.entries.pop_front()?.uuid)
    }

    /// Somebody in it waits elsewhere now; follow it with [`Queue::tidy`].
    pub(crate) const fn leave(&mut self) {
        self.left += 1;
    }

    /// Drops entries that do not count from the front, and all of them if they are many.
    pub(crate) fn tidy(&mut self, counts: impl Fn(&DeviceUuid, Ticket) -> bool) {
        if self.left == 0 {
            return;
        }
        while let Some(entry) = self.entries.front()
            && !counts(&entry.uuid, entry.ticket)
        {
            self.entries.pop_front();
            self.left -= 1;
        }
        if self.left > self.entries.len() / 2 + 16 {
            self.entries
                .retain(|entry| counts(&entry.uuid, entry.ticket));
            self.left = 0;
        }
    }
}
