//! The batch of one destination: the devices whose changes since the last one it has to tell.
//!
//! A batch is one or more *passes* over the set of changes, which lies on disk and is read page by
//! page. A device about which something is being told in real time is put off until that is over. What
//! is given up stays in the set; where failures are held, another pass follows after a pause, until one
//! is without failures.
//!
//! Invariants:
//! - a page is asked for only while few devices wait, so that memory is bounded;
//! - messages of a batch take at most half of the places in flight, but at least one. How many of them
//!   follows what the destination has just shown it can take: one more with each that was
//!   acknowledged, half as many with each that was not.

use crate::{Hint, MessageId, lane::Lane};
use std::{collections::VecDeque, time::Duration};
use tidings_model::{DataSourceId, DeviceUuid, Millis};

/// First pause before another pass.
const PASS_PAUSE_FIRST: Duration = Duration::from_secs(5);
/// Longest pause before another pass.
const PASS_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Messages' worth of devices below which the next page is asked for.
const MESSAGES_WAITING_MIN: usize = 16;
/// Devices taken in one go, which their profiles have to be read for: real time waits that long.
const USERS_PER_TAKE: usize = 200;
/// Messages in flight that no destination has places for.
const WINDOW_MAX: usize = 1_000;
/// Messages in flight at the beginning.
const WINDOW_FIRST: usize = 4;

/// The batch under way, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct BatchQueue<P> {
    running: bool,
    /// A page was asked for.
    asked: bool,
    /// The next page to ask for is the first.
    first: bool,
    /// The last page of this pass has come.
    complete: bool,
    /// Something was given up in this pass.
    failed: bool,
    /// When the next pass begins, between two of them.
    next_pass: Option<Millis>,
    pause: Duration,
    /// One per lane.
    queues: Vec<Queue>,
    /// Devices in takes under way.
    pub(crate) reserved_users: usize,
    /// Messages that are built.
    pub(crate) ready: VecDeque<(MessageId, Vec<P>)>,
    in_flight: usize,
    /// Messages that may be in flight at once.
    window: usize,
}

/// Devices of one namespace.
#[derive(Clone, Debug, Default)]
struct Queue {
    waiting: VecDeque<(DeviceUuid, usize)>,
    /// User objects of those waiting.
    objects: usize,
    /// Devices about which something is being told in real time.
    put_off: Vec<(DeviceUuid, usize)>,
}

/// What a batch has to do.
#[derive(Debug)]
pub(crate) enum Next {
    Take { lane: usize, users: Vec<DeviceUuid> },
    Page { first: bool },
    Done,
}

/// Messages built in one go.
pub(crate) fn messages_per_take(users_max: usize, messages_max: usize) -> usize {
    (USERS_PER_TAKE / users_max.max(1)).clamp(1, messages_max)
}

impl<P> BatchQueue<P> {
    pub(crate) fn new(lanes: usize) -> Self {
        Self {
            running: false,
            asked: false,
            first: true,
            complete: false,
            failed: false,
            next_pass: None,
            pause: PASS_PAUSE_FIRST,
            queues: std::iter::repeat_with(Queue::default).take(lanes).collect(),
            reserved_users: 0,
            ready: VecDeque::new(),
            in_flight: 0,
            window: WINDOW_FIRST,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    pub(crate) fn begin(&mut self) {
        self.running = true;
        self.pause = PASS_PAUSE_FIRST;
        self.next_pass = None;
        self.window = WINDOW_FIRST;
        self.begin_pass();
    }

    fn begin_pass(&mut self) {
        self.first = true;
        self.complete = false;
        self.failed = false;
        self.queues.fill_with(Queue::default);
    }

    /// When the next pass begins, if the batch waits for that.
    pub(crate) fn next_pass(&self) -> Option<Millis> {
        self.next_pass
    }

    /// Messages that are built or being built.
    pub(crate) fn waiting_messages(&self, users_max: usize) -> usize {
        self.reserved_users.div_ceil(users_max.max(1)) + self.ready.len()
    }

    /// Messages more that may be built.
    pub(crate) fn room(&self, users_max: usize, in_flight_max: usize) -> usize {
        let busy = self.waiting_messages(users_max) + self.in_flight;
        share(in_flight_max).min(self.window).saturating_sub(busy)
    }

    pub(crate) fn next_ready(&mut self, in_flight_max: usize) -> Option<(MessageId, Vec<P>)> {
        if self.in_flight >= share(in_flight_max) {
            return None;
        }
        let message = self.ready.pop_front()?;
        self.in_flight += 1;
        Some(message)
    }

    /// A message came to its end.
    pub(crate) fn ended(&mut self, success: bool) {
        self.in_flight -= 1;
        self.failed |= !success;
        self.window = if success {
            (self.window + 1).min(WINDOW_MAX)
        } else {
            (self.window / 2).max(1)
        };
    }

    pub(crate) fn page(
        &mut self,
        hints: Vec<Hint>,
        complete: bool,
        lane: impl Fn(DataSourceId) -> Option<usize>,
    ) {
        if !std::mem::take(&mut self.asked) || self.first {
            // A page of a pass that was begun anew meanwhile: its devices will be read again.
            return;
        }
        self.complete = complete;
        for hint in hints {
            let queue = lane(hint.namespace).and_then(|lane| self.queues.get_mut(lane));
            if let Some(queue) = queue {
                queue.push(hint.uuid, usize::from(hint.objects.max(1)));
            }
        }
    }

    /// What to do now, if anything: `messages_max` may be built.
    pub(crate) fn next(
        &mut self,
        now: Millis,
        lanes: &mut [Lane],
        users_max: usize,
        messages_max: usize,
        hold: bool,
    ) -> Option<Next> {
        if !self.running || self.next_pass.is_some_and(|at| at > now) {
            return None;
        }
        self.next_pass = None;
        for (queue, lane) in self.queues.iter_mut().zip(lanes.iter_mut()) {
            queue.wake(lane);
        }
        if messages_max > 0
            && let Some(take) = self.take(lanes, users_max, messages_max)
        {
            return Some(take);
        }
        let waiting: usize = self.queues.iter().map(|queue| queue.objects).sum();
        if !self.asked && !self.complete && waiting < users_max * MESSAGES_WAITING_MIN {
            self.asked = true;
            let first = std::mem::take(&mut self.first);
            return Some(Next::Page { first });
        }
        if self.complete && self.is_drained() {
            return self.end_pass(now, hold);
        }
        None
    }

    fn take(&mut self, lanes: &mut [Lane], users_max: usize, messages_max: usize) -> Option<Next> {
        let complete = self.complete;
        let queues = self.queues.iter_mut().zip(lanes).enumerate();
        for (index, (queue, lane)) in queues {
            let mut users = Vec::new();
            for _ in 0..messages_max {
                if queue.objects >= users_max || complete {
                    queue.take(lane, users_max, &mut users);
                }
            }
            if !users.is_empty() {
                self.reserved_users += users.len();
                return Some(Next::Take { lane: index, users });
            }
        }
        None
    }

    fn is_drained(&self) -> bool {
        let drained = |queue: &Queue| queue.waiting.is_empty() && queue.put_off.is_empty();
        self.queues.iter().all(drained)
            && self.reserved_users == 0
            && self.ready.is_empty()
            && self.in_flight == 0
    }

    fn end_pass(&mut self, now: Millis, hold: bool) -> Option<Next> {
        if self.failed && hold {
            self.next_pass = Some(now.plus(self.pause));
            self.pause = (self.pause * 2).min(PASS_PAUSE_MAX);
            self.begin_pass();
            return None;
        }
        self.running = false;
        Some(Next::Done)
    }
}

impl Queue {
    fn push(&mut self, uuid: DeviceUuid, objects: usize) {
        self.objects += objects;
        self.waiting.push_back((uuid, objects));
    }

    /// Lets the devices that were put off wait again if one of the lane has become free.
    fn wake(&mut self, lane: &mut Lane) {
        if lane.take_freed() {
            for (uuid, objects) in std::mem::take(&mut self.put_off) {
                self.push(uuid, objects);
            }
        }
    }

    /// Moves the devices of one message out of the queue: as many as fit, at least one. Devices that
    /// are not free are put off.
    fn take(&mut self, lane: &mut Lane, users_max: usize, users: &mut Vec<DeviceUuid>) {
        let mut taken = 0;
        while let Some((uuid, objects)) = self.waiting.pop_front() {
            if taken > 0 && taken + objects > users_max {
                self.waiting.push_front((uuid, objects));
                return;
            }
            self.objects -= objects;
            if lane.take_batch(&uuid) {
                users.push(uuid);
                taken += objects;
            } else {
                self.put_off.push((uuid, objects));
            }
            if taken >= users_max {
                return;
            }
        }
    }
}

/// The places in flight that a batch may take.
const fn share(in_flight_max: usize) -> usize {
    let half = in_flight_max / 2;
    if half == 0 { 1 } else { half }
}

#[cfg(test)]
mod tests;
