//! The state machine of one destination.

use crate::{
    batch::{self, BatchQueue, Next},
    breaker::{Breaker, Health},
    lane::{Done, Lane, Touch, Turn},
};
use hashbrown::HashMap;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};
use tidings_model::{DataSourceId, DeviceUuid, FailurePolicy, Millis};

/// Messages taken in one go at most, so that one long queue is not built all at once.
const MESSAGES_PER_TAKE_MAX: usize = 8;

/// How one destination is to be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespaces it is told in, one message each.
    pub namespaces: Vec<DataSourceId>,
    /// User objects per message, at least 1.
    pub users_max: usize,
    /// How long a device may wait for company.
    pub linger: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// Pause before a retry.
    pub retry_delay: Duration,
    /// What becomes of devices whose message was given up.
    pub after_failure: FailurePolicy,
    /// Messages on their way at once, those waiting for their retry included; at least 1.
    pub in_flight_max: usize,
    /// Devices kept in memory; the rest stay in the pending set until there is room.
    pub waiting_max: usize,
    /// Sends nothing while set.
    pub paused: bool,
}

/// A pair of destination and device has something to tell in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The device.
    pub uuid: DeviceUuid,
    /// The touch: rises with every change of the device that concerns the destination.
    pub seq: u64,
    /// The namespace.
    pub namespace: DataSourceId,
    /// How many user objects the device will be.
    pub objects: u16,
    /// The partner is owed a Status 0 about the device in this namespace.
    pub removal: bool,
}

/// What was taken from the profile of one device. `P` is a user object, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<P> {
    /// The device.
    pub uuid: DeviceUuid,
    /// The touch whose state this is.
    pub seq: u64,
    /// Its user objects; empty when there was nothing left to tell.
    pub objects: Vec<P>,
    /// They hold a Status 0. Such a device is held when its message is given up, whatever
    /// [`Settings::after_failure`] says: a zero is owed until it was acknowledged.
    pub removal: bool,
}

/// Names a message from its first attempt to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// What a message is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Told because something happened.
    Realtime,
    /// Told in a batch.
    Batch,
}

/// What the caller is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<P> {
    /// Build the user objects of these devices and answer with [`Dispatcher::taken`].
    Take {
        /// What is to be built.
        kind: Kind,
        /// The namespace.
        namespace: DataSourceId,
        /// The devices, oldest first.
        users: Vec<DeviceUuid>,
    },
    /// Make a message of these user objects, keep its bytes, attempt it and answer with
    /// [`Dispatcher::attempted`].
    Send {
        /// The message.
        message: MessageId,
        /// What it is part of.
        kind: Kind,
        /// The namespace.
        namespace: DataSourceId,
        /// Its user objects, in order.
        objects: Vec<P>,
    },
    /// Attempt the message again with the bytes of the first attempt.
    Retry {
        /// The message.
        message: MessageId,
    },
    /// A message came to its end: its bytes may go. `users` are the devices for which it was the
    /// last one out.
    Settle {
        /// The message.
        message: MessageId,
        /// What it was part of.
        kind: Kind,
        /// The namespace.
        namespace: DataSourceId,
        /// Devices whose outcome is now known.
        users: Vec<SettledUser>,
    },
    /// Read a part of the pending set, from where the last part ended or, after its end, from its
    /// beginning, and answer with [`Dispatcher::hint`] for each row, then
    /// [`Dispatcher::rescanned`].
    Rescan,
    /// Read the next page of the set of changes since the last batch and answer with
    /// [`Dispatcher::batch_page`].
    BatchPage {
        /// The page is the first one.
        first: bool,
    },
    /// Every device of the batch was told, or given up for this time.
    BatchDone,
}

/// The outcome for one device in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledUser {
    /// The device.
    pub uuid: DeviceUuid,
    /// The touch that was told.
    pub seq: u64,
    /// Per user object, whether the message it was in succeeded.
    pub acknowledged: Vec<bool>,
}

impl SettledUser {
    /// True when every user object was acknowledged.
    #[must_use]
    pub fn delivered(&self) -> bool {
        self.acknowledged.iter().all(|&acknowledged| acknowledged)
    }
}

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

#[derive(Debug)]
struct Message {
    kind: Kind,
    lane: usize,
    /// Devices in the message, each with the number of its user object among its own.
    members: Vec<(DeviceUuid, usize)>,
    attempts: u32,
}

/// Delivery to one destination.
#[derive(Debug)]
pub struct Dispatcher<P> {
    settings: Settings,
    lanes: Vec<Lane>,
    breaker: Breaker,
    actions: VecDeque<Action<P>>,
    messages: HashMap<MessageId, Message, foldhash::fast::RandomState>,
    ready: VecDeque<(MessageId, Vec<P>)>,
    retries: BinaryHeap<Reverse<(Millis, MessageId)>>,
    batch: BatchQueue<P>,
    /// Messages being attempted or waiting for their retry.
    in_flight: usize,
    /// Messages that takes under way may become.
    reserved: usize,
    /// Messages that may be sent although the breaker is open.
    probes: usize,
    /// The pending set may hold pairs that are not in memory and that the reading under way, if
    /// there is one, may have passed already: it must be read from its beginning.
    overflowed: bool,
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
            actions: VecDeque::new(),
            messages: HashMap::default(),
            ready: VecDeque::new(),
            retries: BinaryHeap::new(),
            in_flight: 0,
            reserved: 0,
            probes: 0,
            overflowed: true,
            reading: Reading::Idle,
            next_message: 0,
        }
    }

    /// How the destination has been answering.
    #[must_use]
    pub fn health(&self) -> Health {
        self.breaker.health()
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

    /// Messages being attempted or waiting for their retry.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// True when nothing is waiting, on its way, or left to read from the pending set.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0
            && self.reserved == 0
            && self.ready.is_empty()
            && !self.overflowed
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
        let room = self.lanes.iter().map(Lane::len).sum::<usize>() < self.settings.waiting_max;
        let Some(lane) = self
            .lanes
            .iter_mut()
            .find(|lane| lane.namespace == hint.namespace)
        else {
            return;
        };
        let turn = Turn {
            objects: hint.objects.max(1),
            since: now,
        };
        let touch = Touch {
            seq: hint.seq,
            turn,
        };
        if lane.touch(&hint.uuid, touch, room) {
            return;
        }
        // Held devices are only waiting for better times; new ones have the right of way.
        if self.lanes.iter_mut().any(Lane::forget_held)
            && let Some(lane) = self
                .lanes
                .iter_mut()
                .find(|lane| lane.namespace == hint.namespace)
        {
            lane.touch(&hint.uuid, touch, true);
        }
        self.overflowed = true;
    }

    /// Hints were lost on the way: the pending set must be read again.
    pub fn lost_hints(&mut self) {
        self.overflowed = true;
    }

    /// A part of the pending set was read, and every row of it hinted; `complete` when it was the
    /// last part.
    pub fn rescanned(&mut self, complete: bool) {
        self.reading = if complete {
            Reading::Idle
        } else {
            Reading::Between
        };
    }

    /// The answer to [`Action::Take`]: the devices in the order of the action.
    pub fn taken(&mut self, kind: Kind, namespace: DataSourceId, users: Vec<Taken<P>>) {
        let Some(index) = self.lane(namespace) else {
            return;
        };
        self.unreserve(kind, users.len());
        let mut members = Vec::new();
        let mut objects = Vec::new();
        for user in users {
            let Some(lane) = self.lanes.get_mut(index) else {
                return;
            };
            if !lane.taken(&user) {
                continue;
            }
            for (number, object) in user.objects.into_iter().enumerate() {
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
    }

    fn unreserve(&mut self, kind: Kind, users: usize) {
        let messages = users.div_ceil(self.settings.users_max.max(1));
        let reserved = match kind {
            Kind::Realtime => &mut self.reserved,
            Kind::Batch => &mut self.batch.reserved,
        };
        *reserved = reserved.saturating_sub(messages);
    }

    /// The devices of a [`Action::Take`] in real time could not be read; they wait again.
    pub fn not_taken(&mut self, now: Millis, namespace: DataSourceId, users: &[DeviceUuid]) {
        let Some(index) = self.lane(namespace) else {
            return;
        };
        self.unreserve(Kind::Realtime, users.len());
        if let Some(lane) = self.lanes.get_mut(index) {
            for uuid in users {
                lane.put_back(
                    uuid,
                    Turn {
                        objects: 1,
                        since: now,
                    },
                );
            }
        }
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
        self.messages.insert(
            id,
            Message {
                kind,
                lane,
                members,
                attempts: 0,
            },
        );
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

    /// An attempt ended. `retry_delay` replaces the configured pause before a retry.
    pub fn attempted(
        &mut self,
        now: Millis,
        id: MessageId,
        success: bool,
        retry_delay: Option<Duration>,
    ) {
        let Some(message) = self.messages.get_mut(&id) else {
            return;
        };
        message.attempts += 1;
        if !success && message.attempts <= self.settings.retries {
            let pause = retry_delay.unwrap_or(self.settings.retry_delay);
            self.retries.push(Reverse((now.plus(pause), id)));
            return;
        }
        let kind = message.kind;
        self.in_flight -= 1;
        if kind == Kind::Batch {
            self.batch.ended(success);
        }
        if success {
            if self.breaker.succeeded() {
                self.recover();
            }
        } else {
            self.breaker.gave_up(now, kind);
        }
        self.end_message(now, id, success);
    }

    fn end_message(&mut self, now: Millis, id: MessageId, success: bool) {
        let Some(message) = self.messages.remove(&id) else {
            return;
        };
        let Some(lane) = self.lanes.get_mut(message.lane) else {
            return;
        };
        let mut users = Vec::new();
        for (uuid, object) in message.members {
            let Some(Done {
                seq,
                acknowledged,
                removal,
            }) = lane.object_done(&uuid, object, success)
            else {
                continue;
            };
            let user = SettledUser {
                uuid,
                seq,
                acknowledged,
            };
            // What a batch could not tell stays in its set on disk.
            let hold = message.kind == Kind::Realtime
                && !user.delivered()
                && (removal || self.settings.after_failure == FailurePolicy::Hold);
            let objects = u16::try_from(user.acknowledged.len()).unwrap_or(u16::MAX);
            lane.land(
                &user.uuid,
                hold.then_some(Turn {
                    objects,
                    since: now,
                }),
            );
            users.push(user);
        }
        let namespace = lane.namespace;
        self.actions.push_back(Action::Settle {
            message: id,
            kind: message.kind,
            namespace,
            users,
        });
    }

    /// The destination answers again: what was held is due.
    fn recover(&mut self) {
        for lane in &mut self.lanes {
            lane.release(usize::MAX);
        }
    }

    /// Changes the settings. What waits in a namespace that is gone is still taken, and found to have
    /// nothing to tell.
    pub fn reconfigure(&mut self, settings: Settings) {
        let namespaces = std::mem::take(&mut self.settings.namespaces);
        self.settings = Settings {
            namespaces,
            ..settings
        };
    }

    /// The next thing to do now, if any. Call until `None`.
    pub fn poll(&mut self, now: Millis) -> Option<Action<P>> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if let Some(&Reverse((due, id))) = self.retries.peek()
            && due <= now
        {
            self.retries.pop();
            return Some(Action::Retry { message: id });
        }
        if self.in_flight < self.settings.in_flight_max
            && let Some((kind, message, objects)) = self.next_ready()
        {
            self.in_flight += 1;
            let lane = self
                .messages
                .get(&message)
                .and_then(|m| self.lanes.get(m.lane));
            let namespace = lane.map_or(DataSourceId::NONE, |lane| lane.namespace);
            return Some(Action::Send {
                message,
                kind,
                namespace,
                objects,
            });
        }
        if self.settings.paused {
            return None;
        }
        self.prepare_probe(now);
        self.poll_take(now)
            .or_else(|| self.poll_rescan())
            .or_else(|| self.poll_batch(now))
    }

    /// Messages that are built; those of a batch come last.
    fn next_ready(&mut self) -> Option<(Kind, MessageId, Vec<P>)> {
        if let Some((message, objects)) = self.ready.pop_front() {
            return Some((Kind::Realtime, message, objects));
        }
        let (message, objects) = self.batch.next_ready(self.settings.in_flight_max)?;
        Some((Kind::Batch, message, objects))
    }

    /// Outcomes that are known but not handed out yet; for a caller that stops and begins nothing
    /// new.
    pub fn settled(&mut self) -> Vec<Action<P>> {
        self.actions.drain(..).collect()
    }

    fn prepare_probe(&mut self, now: Millis) {
        if !self.breaker.take_probe(now) {
            return;
        }
        self.probes = 1;
        let released = self.lanes.iter_mut().any(|lane| lane.release(1) > 0);
        if !released && self.waiting() == 0 {
            // Whatever is held lies in the pending set only.
            self.overflowed = true;
        }
    }

    fn may_take(&self) -> usize {
        if self.breaker.is_open() {
            return self.probes.min(1);
        }
        let busy = self.in_flight + self.reserved + self.ready.len();
        self.settings
            .in_flight_max
            .saturating_sub(busy)
            .min(MESSAGES_PER_TAKE_MAX)
    }

    fn poll_take(&mut self, now: Millis) -> Option<Action<P>> {
        let messages_max = self.may_take();
        if messages_max == 0 {
            return None;
        }
        let Settings {
            users_max, linger, ..
        } = self.settings;
        let due = |lane: &Lane| lane.due(users_max, linger, now).filter(|&due| due <= now);
        let (_, lane) = self
            .lanes
            .iter_mut()
            .filter_map(|lane| Some((due(lane)?, lane)))
            .min_by_key(|(due, _)| *due)?;
        let mut users = Vec::with_capacity(users_max);
        for _ in 0..messages_max {
            if lane.due(users_max, linger, now).is_none_or(|due| due > now) {
                break;
            }
            lane.take(users_max, &mut users);
        }
        if users.is_empty() {
            return None;
        }
        self.probes = 0;
        self.reserved += users.len().div_ceil(users_max.max(1));
        Some(Action::Take {
            kind: Kind::Realtime,
            namespace: lane.namespace,
            users,
        })
    }

    fn poll_rescan(&mut self) -> Option<Action<P>> {
        let room = self.lanes.iter().map(Lane::len).sum::<usize>() * 2 <= self.settings.waiting_max;
        let wanted = match self.reading {
            Reading::Idle => self.overflowed,
            Reading::Asked => false,
            Reading::Between => true,
        };
        if !wanted || !room || self.breaker.is_open() && self.probes == 0 {
            return None;
        }
        if self.reading == Reading::Idle {
            self.overflowed = false;
        }
        self.reading = Reading::Asked;
        Some(Action::Rescan)
    }

    fn poll_batch(&mut self, now: Millis) -> Option<Action<P>> {
        let hold = self.settings.after_failure == FailurePolicy::Hold;
        let messages_max = self.may_take_batch(now);
        let users_max = self.settings.users_max.max(1);
        match self
            .batch
            .next(now, &mut self.lanes, users_max, messages_max, hold)?
        {
            Next::Take { lane, users } => {
                self.probes = 0;
                let namespace = self.lanes.get(lane)?.namespace;
                let kind = Kind::Batch;
                Some(Action::Take {
                    kind,
                    namespace,
                    users,
                })
            }
            Next::Page { first } => Some(Action::BatchPage { first }),
            Next::Done => Some(Action::BatchDone),
        }
    }

    /// Messages of a batch that may be built now: none while one in real time is ready or due, and
    /// none but a probe while the destination is failing.
    fn may_take_batch(&self, now: Millis) -> usize {
        let Settings {
            users_max, linger, ..
        } = self.settings;
        let due = |lane: &Lane| {
            lane.due(users_max, linger, now)
                .is_some_and(|due| due <= now)
        };
        if !self.ready.is_empty() || self.lanes.iter().any(due) {
            return 0;
        }
        if !self.breaker.is_healthy() {
            return self.probes.min(1);
        }
        let busy = self.in_flight + self.reserved + self.batch.waiting_messages();
        self.settings
            .in_flight_max
            .saturating_sub(busy)
            .min(self.batch.room(self.settings.in_flight_max))
            .min(batch::messages_per_take(users_max, MESSAGES_PER_TAKE_MAX))
    }

    /// The next moment at which [`Dispatcher::poll`] can have something to do without further
    /// input; `None` when only input can change that.
    #[must_use]
    pub fn next_wakeup(&self, now: Millis) -> Option<Millis> {
        let retry = self.retries.peek().map(|Reverse((due, _))| *due);
        if self.settings.paused {
            return retry;
        }
        let lanes = (self.may_take() > 0)
            .then(|| {
                let Settings {
                    users_max, linger, ..
                } = self.settings;
                self.lanes
                    .iter()
                    .filter_map(|lane| lane.due(users_max, linger, now))
                    .min()
            })
            .flatten();
        [
            retry,
            lanes,
            self.breaker.next_probe(),
            self.batch.next_pass(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

#[cfg(test)]
mod tests;
