//! The devices of one namespace that wait for one destination, in order of age: those whose partner is
//! owed a Status 0 ahead of the others, which still get one message in [`AHEAD_MAX`] + 1.

mod queue;

use crate::{
    Kind, Taken,
    types::{Acknowledged, Settings, Verdict},
};
use hashbrown::{HashMap, hash_map::EntryRef};
use queue::{Queue, Ticket};
use smallvec::smallvec;
use std::{collections::VecDeque, time::Duration};
#[cfg(planted)]
use tidings_model::planted::{self, Planted};
use tidings_model::{DataSourceId, DeviceUuid, FailurePolicy, Millis};

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
        acknowledged: Acknowledged,
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
    pub(crate) acknowledged: Acknowledged,
    /// It held a zero.
    pub(crate) removal: bool,
    /// The destination refused us rather than a message of its.
    pub(crate) refused: bool,
    /// The device is held now.
    pub(crate) held: bool,
}

impl Ended {
    /// What becomes of the device if not all of it was acknowledged.
    pub(crate) fn policy(&self, settings: &Settings) -> FailurePolicy {
        if self.removal || self.refused {
            FailurePolicy::Hold
        } else {
            settings.after_failure
        }
    }
}

/// Who waits, in order.
#[derive(Clone, Debug, Default)]
struct Waiting {
    /// Those whose turn is a removal.
    removals: Queue,
    others: Queue,
    /// User objects of all of them.
    objects: usize,
    next_ticket: Ticket,
}

impl Waiting {
    /// Puts a device at the end of its queue; what comes back is its place.
    fn add(&mut self, uuid: DeviceUuid, turn: Turn) -> Place {
        self.objects += usize::from(turn.objects);
        let ticket = self.next_ticket.take();
        let queue = if turn.removal {
            &mut self.removals
        } else {
            &mut self.others
        };
        queue.push(uuid, ticket, turn.since);
        Place::Waiting(turn, ticket)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) namespace: DataSourceId,
    places: HashMap<DeviceUuid, Place, foldhash::fast::RandomState>,
    waiting: Waiting,
    /// Messages in a row that began with a removal while others waited.
    ahead: u8,
    /// Some in the queue of removals came there from the other one, so they may be older than those
    /// before them.
    is_mixed: bool,
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
            waiting: Waiting::default(),
            ahead: 0,
            is_mixed: false,
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
        self.waiting.removals.len() + self.waiting.others.len()
    }

    pub(crate) fn held_len(&self) -> usize {
        self.held_count
    }

    /// A device was touched. False when it is new and there is no room for it.
    pub(crate) fn touch(&mut self, uuid: &DeviceUuid, touch: Touch, room: bool) -> bool {
        let mut entry = match self.places.entry_ref(uuid) {
            EntryRef::Occupied(entry) => entry,
            EntryRef::Vacant(entry) => {
                if room {
                    entry.insert(self.waiting.add(uuid.clone(), touch.turn));
                }
                return room;
            }
        };
        match entry.get_mut() {
            Place::Waiting(turn, ticket) => {
                self.waiting.objects += usize::from(touch.turn.objects);
                self.waiting.objects -= usize::from(turn.objects);
                turn.objects = touch.turn.objects;
                // It stays ahead when the zero is owed no more: others have passed it before.
                if touch.turn.removal && !turn.removal {
                    turn.removal = true;
                    *ticket = self.waiting.next_ticket.take();
                    let queue = &mut self.waiting.removals;
                    queue.push(uuid.clone(), *ticket, turn.since);
                    self.waiting.others.leave();
                    self.is_mixed = true;
                    self.tidy_queues();
                }
            }
            // The user objects on their way were built from this touch or a later one.
            Place::InFlight { seq, .. } if touch.seq <= *seq => {}
            #[cfg(planted)]
            Place::Taking { .. } | Place::InFlight { .. }
                if planted::is(Planted::TouchedInFlightLost) => {}
            Place::Taking { touched, .. } | Place::InFlight { touched, .. } => {
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
            Place::Held(held) if touch.seq <= held.seq => {}
            Place::Held(_) => {
                self.held_count -= 1;
                entry.insert(self.waiting.add(uuid.clone(), touch.turn));
            }
        }
        true
    }

    fn wait(&mut self, uuid: DeviceUuid, turn: Turn) {
        let place = self.waiting.add(uuid.clone(), turn);
        self.places.insert(uuid, place);
    }

    /// Since when the first in either queue waits.
    pub(crate) fn oldest(&self) -> Option<Millis> {
        let queues = [&self.waiting.removals, &self.waiting.others];
        queues.into_iter().filter_map(Queue::oldest).min()
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
        self.waiting.removals.tidy(is_there);
        self.waiting.others.tidy(is_there);
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
        if self.waiting.objects >= objects_max {
            return Some(now);
        }
        let oldest = if self.is_mixed {
            // No more of them than fit into one message.
            let waiting = self
                .waiting
                .removals
                .iter()
                .chain(self.waiting.others.iter());
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
                &mut self.waiting.removals
            } else {
                &mut self.waiting.others
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
            self.waiting.objects -= more;
            *place = Place::Taking {
                kind: Kind::Realtime,
                touched: None,
            };
            users.extend(queue.pop());
            self.tidy_queues();
        }
        self.is_mixed &= self.waiting.removals.len() > 0;
        if self.waiting_len() == 0 {
            self.ahead = 0;
        }
    }

    /// Whether the next message begins with a removal.
    fn removals_first(&mut self) -> bool {
        if self.waiting.removals.len() == 0 || self.waiting.others.len() == 0 {
            self.ahead = 0;
            return self.waiting.removals.len() > 0;
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
        let Some(place) = self.places.get_mut(uuid) else {
            return TakenAs::Unasked;
        };
        let Place::Taking { kind, touched } = *place else {
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
        *place = Place::InFlight {
            kind,
            seq,
            acknowledged: smallvec![false; objects],
            outstanding: objects,
            removal: taken.removal,
            refused: false,
            touched,
        };
        TakenAs::InFlight
    }

    /// One object of the device came to its end, with success if there is no verdict. When it was the
    /// last, the device's flight is over: with a touch since, it waits again; otherwise it is held, if
    /// `hold` says so, or forgotten.
    pub(crate) fn object_done(
        &mut self,
        uuid: &DeviceUuid,
        object: usize,
        given_up: Option<Verdict>,
        hold: impl FnOnce(&Ended) -> Option<Touch>,
    ) -> Option<Ended> {
        let EntryRef::Occupied(mut entry) = self.places.entry_ref(uuid) else {
            return None;
        };
        let Place::InFlight {
            kind,
            seq,
            acknowledged,
            outstanding,
            removal,
            refused,
            touched,
        } = entry.get_mut()
        else {
            return None;
        };
        if let Some(flag) = acknowledged.get_mut(object) {
            *flag = given_up.is_none();
        }
        *refused |= given_up == Some(Verdict::Refused);
        *outstanding = outstanding.saturating_sub(1);
        if *outstanding > 0 {
            return None;
        }
        let mut ended = Ended {
            seq: *seq,
            acknowledged: std::mem::take(acknowledged),
            removal: *removal,
            refused: *refused,
            held: false,
        };
        let (kind, touched, hold) = (*kind, *touched, hold(&ended));
        if let (None, Some(touch)) = (touched, hold) {
            entry.insert(Place::Held(touch));
            self.held.push_back(uuid.clone());
            self.held_count += 1;
            self.compact_held();
            ended.held = true;
            return Some(ended);
        }
        self.batch_places -= usize::from(kind == Kind::Batch);
        match touched {
            Some(touch) => drop(entry.insert(self.waiting.add(uuid.clone(), touch.turn))),
            None => {
                entry.remove();
                self.freed = true;
            }
        }
        Some(ended)
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
