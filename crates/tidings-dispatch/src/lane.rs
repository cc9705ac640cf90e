//! The devices of one namespace that wait for one destination, in order of age: those whose partner is
//! owed a Status 0 ahead of the others, which still get one message in [`AHEAD_MAX`] + 1.

mod queue;

use crate::{Kind, Taken, types::Verdict};
use hashbrown::HashMap;
use queue::{Queue, Ticket};
use std::{collections::VecDeque, time::Duration};
#[cfg(planted)]
use tidings_model::planted::{self, Planted};
use tidings_model::{DataSourceId, DeviceUuid, Millis};

/// Messages in a row that begin with a device which is owed a 0 while others wait.
const AHEAD_MAX: u8 = 7;

/// Where one device stands in one lane.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In one of the queues: that of removals if its turn says so.
    Waiting(Turn, Ticket),
    /// Its user objects have been asked for.
    Taking { kind: Kind, touched: Option<Touch> },
    /// Its user objects are in messages.
    InFlight {
        kind: Kind,
        seq: u64,
        acknowledged: Vec<bool>,
        outstanding: usize,
        /// It holds a zero.
        removal: bool,
        /// The destination refused us rather than a message of its.
        refused: bool,
        touched: Option<Touch>,
    },
    /// Its message was given up; it waits for a later touch, a probe or recovery.
    Held(Touch),
}

/// A turn in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) objects: u16,
    pub(crate) since: Millis,
    /// The partner is owed a Status 0: it goes ahead of the others.
    pub(crate) removal: bool,
}

/// A touch of a device that is being told something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch {
    pub(crate) seq: u64,
    pub(crate) turn: Turn,
}

/// What a device turned out to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenAs {
    /// Nobody asked for it: nothing has changed.
    Unasked,
    /// Nothing to tell.
    Nothing,
    /// User objects, which are on their way now.
    InFlight,
}

/// A device whose last user object came to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) seq: u64,
    pub(crate) acknowledged: Vec<bool>,
    /// It held a zero.
    pub(crate) removal: bool,
    /// The destination refused us rather than a message of its.
    pub(crate) refused: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) namespace: DataSourceId,
    places: HashMap<DeviceUuid, Place, foldhash::fast::RandomState>,
    /// Those whose turn is a removal.
    removals: Queue,
    others: Queue,
    /// Messages in a row that began with a removal while others waited.
    ahead: u8,
    /// Some in the queue of removals came there from the other one, so they may be older than those
    /// before them.
    is_mixed: bool,
    waiting_objects: usize,
    next_ticket: Ticket,
    /// Oldest first. Entries whose place is not `Held` any more are skipped.
    held: VecDeque<DeviceUuid>,
    held_count: usize,
    /// Places that are in a message of a batch, or about to be.
    batch_places: usize,
    /// A device that was not free is so now.
    freed: bool,
}

impl Lane {
    pub(crate) fn new(namespace: DataSourceId) -> Self {
        Self {
            namespace,
            places: HashMap::default(),
            removals: Queue::default(),
            others: Queue::default(),
            ahead: 0,
            is_mixed: false,
            waiting_objects: 0,
            next_ticket: Ticket::default(),
            held: VecDeque::new(),
            held_count: 0,
            batch_places: 0,
            freed: false,
        }
    }

    /// Devices whose state is kept in memory, without those that only a batch brought here.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.batch_places
    }

    pub(crate) fn waiting_len(&self) -> usize {
        self.removals.len() + self.others.len()
    }

    pub(crate) fn held_len(&self) -> usize {
        self.held_count
    }

    /// A device was touched. False when it is new and there is no room for it.
    pub(crate) fn touch(&mut self, uuid: &DeviceUuid, touch: Touch, room: bool) -> bool {
        match self.places.get_mut(uuid) {
            Some(Place::Waiting(turn, ticket)) => {
                self.waiting_objects += usize::from(touch.turn.objects);
                self.waiting_objects -= usize::from(turn.objects);
                turn.objects = touch.turn.objects;
                // It stays ahead when the zero is owed no more: others have passed it before.
                if touch.turn.removal && !turn.removal {
                    turn.removal = true;
                    *ticket = self.next_ticket.take();
                    self.removals.push(uuid.clone(), *ticket);
                    self.others.leave();
                    self.is_mixed = true;
                    self.tidy_queues();
                }
            }
            // The user objects on their way were built from this touch or a later one.
            Some(Place::InFlight { seq, .. }) if touch.seq <= *seq => {}
            #[cfg(planted)]
            Some(Place::Taking { .. } | Place::InFlight { .. })
                if planted::is(Planted::TouchedInFlightLost) => {}
            Some(Place::Taking { touched, .. } | Place::InFlight { touched, .. }) => {
                let since = touched.map_or(touch.turn.since, |earlier| earlier.turn.since);
                // A reading of the pending set may tell of an older touch than a hint did.
                let newest = touched
                    .filter(|known| known.seq > touch.seq)
                    .unwrap_or(touch);
                *touched = Some(Touch {
                    turn: Turn {
                        since,
                        ..newest.turn
                    },
                    ..newest
                });
            }
            // Not a change, but the row of the pending set that was given up.
            Some(Place::Held(held)) if touch.seq <= held.seq => {}
            Some(Place::Held(_)) => {
                self.held_count -= 1;
                self.wait(uuid.clone(), touch.turn);
            }
            None if room => self.wait(uuid.clone(), touch.turn),
            None => return false,
        }
        true
    }

    fn wait(&mut self, uuid: DeviceUuid, turn: Turn) {
        self.waiting_objects += usize::from(turn.objects);
        let ticket = self.next_ticket.take();
        let queue = if turn.removal {
            &mut self.removals
        } else {
            &mut self.others
        };
        queue.push(uuid.clone(), ticket);
        self.places.insert(uuid, Place::Waiting(turn, ticket));
    }

    /// Since when the first in either queue waits.
    pub(crate) fn oldest(&self) -> Option<Millis> {
        let fronts = [self.removals.front(), self.others.front()];
        let fronts = fronts.into_iter().flatten();
        fronts.filter_map(|uuid| self.since(uuid)).min()
    }

    fn since(&self, uuid: &DeviceUuid) -> Option<Millis> {
        match self.places.get(uuid) {
            Some(Place::Waiting(turn, _)) => Some(turn.since),
            _ => None,
        }
    }

    /// Entries that devices have left behind when they became removals go once they are in the way.
    fn tidy_queues(&mut self) {
        let places = &self.places;
        let is_there = |uuid: &DeviceUuid, ticket: Ticket| match places.get(uuid) {
            Some(Place::Waiting(_, current)) => *current == ticket,
            _ => false,
        };
        self.removals.tidy(is_there);
        self.others.tidy(is_there);
    }

    /// Since when the device is held that is to be tried first.
    pub(crate) fn oldest_held(&mut self) -> Option<Millis> {
        while let Some(uuid) = self.held.front() {
            if let Some(Place::Held(touch)) = self.places.get(uuid) {
                return Some(touch.turn.since);
            }
            self.held.pop_front();
        }
        None
    }

    /// When the lane's next message is due without further company; `None` when nobody waits.
    pub(crate) fn due(&self, objects_max: usize, linger: Duration, now: Millis) -> Option<Millis> {
        if self.waiting_len() == 0 {
            return None;
        }
        if self.waiting_objects >= objects_max {
            return Some(now);
        }
        let oldest = if self.is_mixed {
            // No more of them than fit into one message.
            let waiting = self.removals.iter().chain(self.others.iter());
            waiting.filter_map(|uuid| self.since(uuid)).min()
        } else {
            self.oldest()
        };
        Some(oldest?.plus(linger))
    }

    /// Moves the devices of one message out of the queues: as many as fit into `objects_max`, at least
    /// one. Removals first, as a rule; within each queue the oldest first.
    pub(crate) fn take(&mut self, objects_max: usize, users: &mut Vec<DeviceUuid>) {
        let mut removals = self.removals_first();
        let mut objects = 0;
        while objects < objects_max {
            let queue = if removals {
                &mut self.removals
            } else {
                &mut self.others
            };
            let Some(place) = queue.front().and_then(|uuid| self.places.get_mut(uuid)) else {
                removals = !removals;
                if self.waiting_len() == 0 {
                    break;
                }
                continue;
            };
            let Place::Waiting(turn, _) = *place else {
                break;
            };
            let more = usize::from(turn.objects);
            if objects > 0 && objects + more > objects_max {
                break;
            }
            objects += more;
            self.waiting_objects -= more;
            *place = Place::Taking {
                kind: Kind::Realtime,
                touched: None,
            };
            users.extend(queue.pop());
            self.tidy_queues();
        }
        self.is_mixed &= self.removals.len() > 0;
        if self.waiting_len() == 0 {
            self.ahead = 0;
        }
    }

    /// Whether the next message begins with a removal.
    fn removals_first(&mut self) -> bool {
        if self.removals.len() == 0 || self.others.len() == 0 {
            self.ahead = 0;
            return self.removals.len() > 0;
        }
        let first = self.ahead < AHEAD_MAX;
        self.ahead = if first { self.ahead + 1 } else { 0 };
        first
    }

    /// Moves one device out of the queue: the first.
    pub(crate) fn take_first(&mut self) -> Option<DeviceUuid> {
        let mut users = Vec::with_capacity(1);
        self.take(1, &mut users);
        users.pop()
    }

    /// Moves the device that has been held for longest out of its place.
    pub(crate) fn take_held(&mut self) -> Option<DeviceUuid> {
        self.oldest_held()?;
        let uuid = self.held.pop_front()?;
        self.held_count -= 1;
        let place = Place::Taking {
            kind: Kind::Realtime,
            touched: None,
        };
        self.places.insert(uuid.clone(), place);
        Some(uuid)
    }

    /// Moves a device of a batch out of its queue, unless something is being told about it already.
    pub(crate) fn take_batch(&mut self, uuid: &DeviceUuid) -> bool {
        if self.places.contains_key(uuid) {
            return false;
        }
        let place = Place::Taking {
            kind: Kind::Batch,
            touched: None,
        };
        self.places.insert(uuid.clone(), place);
        self.batch_places += 1;
        true
    }

    /// Whether devices became free since the last call.
    pub(crate) fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    /// The device's user objects were built from the state of a touch; a batch answers no touch and
    /// names 0.
    pub(crate) fn taken<P>(&mut self, asked: Kind, taken: &Taken<P>) -> TakenAs {
        let (uuid, seq, objects) = (&taken.uuid, taken.seq, taken.objects.len());
        let Some(&Place::Taking { kind, touched }) = self.places.get(uuid) else {
            return TakenAs::Unasked;
        };
        if kind != asked {
            return TakenAs::Unasked;
        }
        let touched = touched.filter(|touch| touch.seq > seq);
        if objects == 0 {
            self.end(uuid, touched);
            return TakenAs::Nothing;
        }
        let place = Place::InFlight {
            kind,
            seq,
            acknowledged: vec![false; objects],
            outstanding: objects,
            removal: taken.removal,
            refused: false,
            touched,
        };
        self.places.insert(uuid.clone(), place);
        TakenAs::InFlight
    }

    /// One object of the device came to its end, with success if there is no verdict. What is known of
    /// the device when it was the last.
    pub(crate) fn object_done(
        &mut self,
        uuid: &DeviceUuid,
        object: usize,
        given_up: Option<Verdict>,
    ) -> Option<Ended> {
        let Some(Place::InFlight {
            seq,
            acknowledged,
            outstanding,
            removal,
            refused,
            ..
        }) = self.places.get_mut(uuid)
        else {
            return None;
        };
        if let Some(flag) = acknowledged.get_mut(object) {
            *flag = given_up.is_none();
        }
        *refused |= given_up == Some(Verdict::Refused);
        *outstanding = outstanding.saturating_sub(1);
        (*outstanding == 0).then(|| Ended {
            seq: *seq,
            acknowledged: std::mem::take(acknowledged),
            removal: *removal,
            refused: *refused,
        })
    }

    /// The device's flight is over. With a touch since, it waits again; otherwise it is forgotten,
    /// or held. True when it is held.
    pub(crate) fn land(&mut self, uuid: &DeviceUuid, hold: Option<Touch>) -> bool {
        let Some(Place::InFlight { touched, .. }) = self.places.get(uuid) else {
            return false;
        };
        let touched = *touched;
        match hold {
            Some(touch) if touched.is_none() => {
                self.places.insert(uuid.clone(), Place::Held(touch));
                self.held.push_back(uuid.clone());
                self.held_count += 1;
                self.compact_held();
                true
            }
            _ => {
                self.end(uuid, touched);
                false
            }
        }
    }

    fn end(&mut self, uuid: &DeviceUuid, touched: Option<Touch>) {
        self.leave(uuid);
        match touched {
            Some(touch) => self.wait(uuid.clone(), touch.turn),
            None => self.freed = true,
        }
    }

    fn leave(&mut self, uuid: &DeviceUuid) {
        let place = self.places.remove(uuid);
        if let Some(
            Place::Taking {
                kind: Kind::Batch, ..
            }
            | Place::InFlight {
                kind: Kind::Batch, ..
            },
        ) = place
        {
            self.batch_places -= 1;
        }
    }

    /// Moves all held devices back into the queue.
    pub(crate) fn release(&mut self) {
        #[cfg(planted)]
        if planted::is(Planted::HeldNotReleased) {
            return;
        }
        for uuid in std::mem::take(&mut self.held) {
            if let Some(&Place::Held(touch)) = self.places.get(&uuid) {
                self.held_count -= 1;
                self.wait(uuid, touch.turn);
            }
        }
    }

    /// Forgets a held device, to make room; the pending set still has it.
    pub(crate) fn forget_held(&mut self) -> bool {
        while let Some(uuid) = self.held.pop_front() {
            if let Some(Place::Held(_)) = self.places.get(&uuid) {
                self.leave(&uuid);
                self.held_count -= 1;
                self.freed = true;
                return true;
            }
        }
        false
    }

    /// Entries that were touched since they were held are dropped once they outnumber the others.
    fn compact_held(&mut self) {
        if self.held.len() > 2 * self.held_count + 16 {
            let places = &self.places;
            self.held
                .retain(|uuid| matches!(places.get(uuid), Some(Place::Held(_))));
        }
    }
}
