//! The state machine of one destination: what it knows, and what it is told.
//!
//! What it wants done comes out of `poll.rs`.

mod poll;

use crate::{
    batch::BatchQueue,
    breaker::{Breaker, Health, Recovery},
    lane::{Ended, Lane, TakenAs, Touch, Turn},
    pace::Pace,
    types::{Action, Hint, Kind, MessageId, Outcome, Settings, SettledUser, Taken, Verdict},
};
use hashbrown::HashMap;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};
#[cfg(planted)]
use tidings_model::planted::{self, Planted};
use tidings_model::{DataSourceId, DeviceUuid, FailurePolicy, Millis};

/// The longest that a destination which asks for time is left alone.
pub const QUIET_MAX: Duration = Duration::from_secs(60);
/// Pause before devices that were held in spite of successes of others are due once more.
const RELEASE_FIRST: Duration = Duration::from_secs(5);
/// The same, when it goes on.
const RELEASE_MAX: Duration = Duration::from_secs(60);

/// How far the pending set was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// To its end, or not at all yet.
    Idle,
    /// A part was asked for.
    Asked,
    /// A part was read, and there is more.
    Between,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Built.
    Ready,
    /// Being attempted.
    Attempted,
    /// Between two attempts.
    Waiting,
}

#[derive(Clone, Debug)]
struct Message {
    kind: Kind,
    lane: usize,
    /// Devices in the message, each with the number of its user object among its own.
    members: Vec<(DeviceUuid, usize)>,
    attempts: u32,
    stage: Stage,
}

/// Where the probe of a destination that does not answer stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Probe {
    /// It is not time for one.
    None,
    /// One may be sent.
    Due,
    /// Its device has been asked for.
    Asked(DeviceUuid),
    /// Its devices have been asked for, as a part of the batch.
    AskedBatch,
    /// It is on its way.
    Sent(MessageId),
}

/// When held devices of a destination that answers are due again.
#[derive(Clone, Copy, Debug)]
struct Release {
    not_before: Millis,
    pause: Duration,
}

/// Delivery to one destination.
#[derive(Clone, Debug)]
pub struct Dispatcher<P> {
    settings: Settings,
    lanes: Vec<Lane>,
    breaker: Breaker,
    pace: Pace,
    actions: VecDeque<Action<P>>,
    messages: HashMap<MessageId, Message, foldhash::fast::RandomState>,
    ready: VecDeque<(MessageId, Vec<P>)>,
    retries: BinaryHeap<Reverse<(Millis, MessageId)>>,
    batch: BatchQueue<P>,
    /// Messages being attempted or waiting for their retry.
    in_flight: usize,
    /// Devices in takes under way, those of the batch left out.
    reserved_users: usize,
    probe: Probe,
    /// The last probe was a held device: the next is one that waits, if there is any.
    probed_held: bool,
    release: Release,
    /// Until when the destination wants to be left alone.
    quiet_until: Option<Millis>,
    /// The pending set may hold pairs that are not in memory and that the reading under way, if
    /// there is one, may have passed already: it must be read from its beginning.
    overflowed: bool,
    /// Held devices made room for others: the pending set must be read once held ones are due.
    forgotten: bool,
    reading: Reading,
    next_message: u64,
}

impl<P> Dispatcher<P> {
    /// A dispatcher that knows nothing yet: it begins by reading the pending set.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let lanes: Vec<_> = settings
            .namespaces
            .iter()
            .map(|&namespace| Lane::new(namespace))
            .collect();
        Self {
            batch: BatchQueue::new(lanes.len()),
            settings,
            lanes,
            breaker: Breaker::default(),
            pace: Pace::default(),
            actions: VecDeque::new(),
            messages: HashMap::default(),
            ready: VecDeque::new(),
            retries: BinaryHeap::new(),
            in_flight: 0,
            reserved_users: 0,
            probe: Probe::None,
            probed_held: false,
            release: Release {
                not_before: Millis(0),
                pause: RELEASE_FIRST,
            },
            quiet_until: None,
            overflowed: true,
            forgotten: false,
            reading: Reading::Idle,
            next_message: 0,
        }
    }

    /// How the destination has been answering.
    #[must_use]
    pub fn health(&self) -> Health {
        match (self.breaker.health(), self.pace.ramping_since()) {
            (Health::Healthy, Some(since)) => Health::Recovering { since },
            (health, _) => health,
        }
    }

    /// Since when the destination refuses us; `None` when it does not.
    #[must_use]
    pub fn refused_since(&self) -> Option<Millis> {
        self.breaker.refused_since()
    }

    /// Until when the destination asked to be left alone; `None` when it did not, or that is over.
    #[must_use]
    pub fn quiet_until(&self) -> Option<Millis> {
        self.quiet_until
    }

    /// Devices waiting in memory, per namespace added up.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lanes.iter().map(Lane::waiting_len).sum()
    }

    /// Devices held in memory after their message was given up.
    #[must_use]
    pub fn held(&self) -> usize {
        self.lanes.iter().map(Lane::held_len).sum()
    }

    /// Devices whose state is kept in memory, those of a batch left out.
    fn kept(&self) -> usize {
        self.lanes.iter().map(Lane::len).sum()
    }

    /// Messages being attempted or waiting for their retry.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// True when nothing is waiting, on its way, or left to read from the pending set.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0
            && self.reserved_users == 0
            && self.ready.is_empty()
            && !self.overflowed
            && !self.forgotten
            && self.reading == Reading::Idle
            && self.waiting() == 0
            && self.actions.is_empty()
            && !self.batch.is_running()
    }

    /// Whether a batch is under way.
    #[must_use]
    pub fn is_batch_running(&self) -> bool {
        self.batch.is_running()
    }

    /// Begins a batch. One that is under way begins anew from the first page.
    pub fn begin_batch(&mut self) {
        self.batch.begin();
    }

    /// The answer to [`Action::BatchPage`]: the devices of the page, and whether it was the last.
    pub fn batch_page(&mut self, hints: Vec<Hint>, complete: bool) {
        let lanes = &self.lanes;
        let lane = |namespace| lanes.iter().position(|lane| lane.namespace == namespace);
        self.batch.page(hints, complete, lane);
    }

    /// A device has something to tell.
    pub fn hint(&mut self, now: Millis, hint: &Hint) {
        let Some(index) = self.lane(hint.namespace) else {
            return;
        };
        let turn = Turn {
            objects: hint.objects.max(1),
            since: now,
            removal: hint.removal,
        };
        let touch = Touch {
            seq: hint.seq,
            turn,
        };
        let room = self.kept() < self.settings.waiting_max;
        let mut touch_lane = |room| {
            let lane = self.lanes.get_mut(index);
            lane.is_some_and(|lane| lane.touch(&hint.uuid, touch, room))
        };
        if touch_lane(room) {
            return;
        }
        // Held devices are only waiting for better times; new ones have the right of way.
        if self.lanes.iter_mut().any(Lane::forget_held) {
            self.forgotten = true;
            if let Some(lane) = self.lanes.get_mut(index) {
                lane.touch(&hint.uuid, touch, true);
            }
        } else {
            self.overflowed = true;
        }
    }

    /// Hints were lost on the way: the pending set must be read again.
    pub fn lost_hints(&mut self) {
        #[cfg(planted)]
        if planted::is(Planted::LostHintsIgnored) {
            return;
        }
        self.overflowed = true;
    }

    /// A part of the pending set was read, and every row of it hinted; `complete` when it was the
    /// last part.
    pub fn rescanned(&mut self, complete: bool) {
        if self.reading != Reading::Asked {
            return;
        }
        self.reading = if complete {
            Reading::Idle
        } else {
            Reading::Between
        };
    }

    /// The answer to [`Action::Take`]: the devices in the order of the action. What nobody asked for is
    /// passed over.
    pub fn taken(&mut self, kind: Kind, namespace: DataSourceId, users: Vec<Taken<P>>) {
        let Some(index) = self.lane(namespace) else {
            return;
        };
        let first = self.next_message;
        let mut probed = false;
        let room = self.settings.users_max.min(users.len());
        let (mut members, mut objects) = (Vec::new(), Vec::new());
        for user in users {
            let Some(lane) = self.lanes.get_mut(index) else {
                return;
            };
            let taken = lane.taken(kind, &user);
            if taken == TakenAs::Unasked {
                continue;
            }
            self.unreserve(kind);
            probed |= match &self.probe {
                Probe::Asked(uuid) => kind == Kind::Realtime && *uuid == user.uuid,
                Probe::AskedBatch => kind == Kind::Batch,
                _ => false,
            };
            for (number, object) in user.objects.into_iter().enumerate() {
                if objects.is_empty() {
                    members.reserve_exact(room);
                    objects.reserve_exact(room);
                }
                members.push((user.uuid.clone(), number));
                objects.push(object);
                if objects.len() >= self.settings.users_max {
                    let full = std::mem::take(&mut objects);
                    self.make_message(kind, index, std::mem::take(&mut members), full);
                }
            }
        }
        if !objects.is_empty() {
            self.make_message(kind, index, members, objects);
        }
        if probed {
            // Without anything to tell it is no probe.
            self.probe = if self.next_message > first {
                Probe::Sent(MessageId(first))
            } else {
                Probe::Due
            };
        }
    }

    fn unreserve(&mut self, kind: Kind) {
        let reserved = match kind {
            Kind::Realtime => &mut self.reserved_users,
            Kind::Batch => &mut self.batch.reserved_users,
        };
        *reserved = reserved.saturating_sub(1);
    }

    fn make_message(
        &mut self,
        kind: Kind,
        lane: usize,
        members: Vec<(DeviceUuid, usize)>,
        objects: Vec<P>,
    ) {
        let id = MessageId(self.next_message);
        self.next_message += 1;
        let message = Message {
            kind,
            lane,
            members,
            attempts: 0,
            stage: Stage::Ready,
        };
        self.messages.insert(id, message);
        match kind {
            Kind::Realtime => self.ready.push_back((id, objects)),
            Kind::Batch => self.batch.ready.push_back((id, objects)),
        }
    }

    fn lane(&self, namespace: DataSourceId) -> Option<usize> {
        self.lanes
            .iter()
            .position(|lane| lane.namespace == namespace)
    }

    /// An attempt ended. An outcome that nobody asked for changes nothing.
    pub fn attempted(&mut self, now: Millis, id: MessageId, outcome: Outcome) {
        let message = self.messages.get_mut(&id);
        let Some(message) = message.filter(|message| message.stage == Stage::Attempted) else {
            return;
        };
        message.attempts += 1;
        let again = message.attempts <= self.settings.retries;
        #[cfg(planted)]
        let again = again
            || planted::is(Planted::RetryTooMany) && message.attempts <= self.settings.retries + 1;
        message.stage = Stage::Waiting;
        if outcome == Outcome::Acknowledged {
            self.end_message(now, id, None);
            return;
        }
        let mut retry_at = now.plus(self.settings.retry_delay);
        if let Outcome::Busy { pause } = outcome {
            let until = now.plus(pause.min(QUIET_MAX));
            retry_at = retry_at.max(until);
            self.leave_alone(now, until);
        }
        self.breaker.attempt_failed(now);
        if again {
            self.retries.push(Reverse((retry_at, id)));
            return;
        }
        let verdict = match outcome {
            Outcome::Refused => Verdict::Refused,
            _ => Verdict::Failed,
        };
        self.end_message(now, id, Some(verdict));
    }

    /// The destination asked for time.
    fn leave_alone(&mut self, now: Millis, until: Millis) {
        let until = self.quiet_until.unwrap_or(until).max(until);
        self.quiet_until = Some(until);
        self.pace.slow_down(now, until);
    }

    /// A message came to its end: with success, or given up.
    fn end_message(&mut self, now: Millis, id: MessageId, given_up: Option<Verdict>) {
        let Some(message) = self.messages.remove(&id) else {
            return;
        };
        self.in_flight -= 1;
        if message.kind == Kind::Batch {
            self.batch.ended(given_up.is_none());
        }
        if self.probe == Probe::Sent(id) {
            self.probe = Probe::None;
        }
        match given_up {
            None => self.succeeded(now),
            Some(verdict) => {
                if self.breaker.gave_up(now, message.kind, verdict) {
                    self.pace.end_ramp();
                }
                self.pace.gave_up();
            }
        }
        self.settle(now, id, message, given_up);
    }

    fn succeeded(&mut self, now: Millis) {
        self.pace.acknowledged(now);
        let recovery = self.breaker.succeeded();
        if recovery == Recovery::None {
            return;
        }
        self.probe = Probe::None;
        if recovery == Recovery::FromOpen {
            self.pace.begin_ramp(now);
            self.release_held(now);
        }
    }

    /// Hands out what became of the devices of a message for which it was the last one out.
    fn settle(&mut self, now: Millis, id: MessageId, message: Message, given_up: Option<Verdict>) {
        let Some(lane) = self.lanes.get_mut(message.lane) else {
            return;
        };
        let settings = &self.settings;
        let (mut users, mut any_held) = (Vec::with_capacity(message.members.len()), false);
        for (uuid, object) in message.members {
            let hold = |ended: &Ended| {
                // What a batch could not tell stays in its set on disk.
                let held = message.kind == Kind::Realtime
                    && ended.acknowledged.contains(&false)
                    && ended.policy(settings) == FailurePolicy::Hold;
                let turn = Turn {
                    objects: u16::try_from(ended.acknowledged.len()).unwrap_or(u16::MAX),
                    since: now,
                    removal: ended.removal,
                };
                held.then_some(Touch {
                    seq: ended.seq,
                    turn,
                })
            };
            let Some(ended) = lane.object_done(&uuid, object, given_up, hold) else {
                continue;
            };
            any_held |= ended.held;
            users.push(SettledUser {
                uuid,
                seq: ended.seq,
                after_failure: ended.policy(settings),
                acknowledged: ended.acknowledged,
            });
        }
        let namespace = lane.namespace;
        if any_held && now.since(self.release.not_before) > RELEASE_MAX {
            self.release.pause = RELEASE_FIRST;
        }
        self.actions.push_back(Action::Settle {
            message: id,
            kind: message.kind,
            namespace,
            users,
        });
    }

    /// What was held is due.
    fn release_held(&mut self, now: Millis) {
        for lane in &mut self.lanes {
            lane.release();
        }
        self.overflowed |= std::mem::take(&mut self.forgotten);
        self.release.not_before = now.plus(self.release.pause);
        self.release.pause = (self.release.pause * 2).min(RELEASE_MAX);
    }

    /// Changes the settings. What waits in a namespace that is gone is still taken, and found to have
    /// nothing to tell. A destination that was paused is sent what waited at a rate that grows, if it
    /// is known what it takes.
    pub fn reconfigure(&mut self, now: Millis, settings: Settings) {
        let resumed = self.settings.paused && !settings.paused;
        let namespaces = std::mem::take(&mut self.settings.namespaces);
        self.settings = Settings {
            namespaces,
            ..settings
        };
        if resumed && self.pace.is_known() {
            self.pace.begin_ramp(now);
        }
    }

    /// Forgets what is known of the rate that the destination takes; for a caller whose messages take no
    /// time, so that it says nothing.
    pub fn forget_pace(&mut self) {
        self.pace = Pace::default();
    }

    /// Outcomes that are known but not handed out yet; for a caller that stops and begins nothing
    /// new.
    pub fn settled(&mut self) -> Vec<Action<P>> {
        self.actions.drain(..).collect()
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
