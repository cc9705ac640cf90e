//! What a dispatcher wants done, and when it is to be asked again.

use super::{Dispatcher, Probe, Reading, Stage};
use crate::{
    batch::{self, Next},
    lane::Lane,
    types::{Action, Kind, MessageId},
};
use std::cmp::Reverse;
use tidings_model::{DataSourceId, DeviceUuid, FailurePolicy, Millis};

/// Messages taken in one go at most, so that one long queue is not built all at once.
const MESSAGES_PER_TAKE_MAX: usize = 8;

impl<P> Dispatcher<P> {
    /// The next thing to do now, if any. Call until `None`.
    pub fn poll(&mut self, now: Millis) -> Option<Action<P>> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if self.is_quiet(now) {
            return None;
        }
        self.pace.advance(now);
        if let Some(action) = self.poll_retry(now).or_else(|| self.poll_send()) {
            return Some(action);
        }
        if self.settings.paused {
            return None;
        }
        if self.release_at().is_some_and(|at| at <= now) {
            self.release_held(now);
        }
        self.prepare_probe(now);
        let action = self
            .poll_probe()
            .or_else(|| self.poll_take(now))
            .or_else(|| self.poll_rescan())
            .or_else(|| self.poll_batch(now));
        if action.is_none() && !self.has_backlog(now) {
            self.pace.end_ramp();
        }
        action
    }

    /// Whether the destination wants to be left alone.
    fn is_quiet(&mut self, now: Millis) -> bool {
        self.quiet_until = self.quiet_until.filter(|until| *until > now);
        self.quiet_until.is_some()
    }

    fn poll_retry(&mut self, now: Millis) -> Option<Action<P>> {
        while let Some(&Reverse((due, id))) = self.retries.peek() {
            if due > now {
                return None;
            }
            self.retries.pop();
            if let Some(message) = self.messages.get_mut(&id) {
                message.stage = Stage::Attempted;
                self.pace.sent();
                return Some(Action::Retry { message: id });
            }
        }
        None
    }

    fn poll_send(&mut self) -> Option<Action<P>> {
        if self.in_flight >= self.settings.in_flight_max {
            return None;
        }
        let (kind, id, objects) = self.next_ready()?;
        self.in_flight += 1;
        self.pace.sent();
        let message = self.messages.get_mut(&id)?;
        message.stage = Stage::Attempted;
        let lane = self.lanes.get(message.lane);
        let namespace = lane.map_or(DataSourceId::NONE, |lane| lane.namespace);
        // The objects of one device stand side by side.
        let mut users = Vec::with_capacity(message.members.len());
        users.extend(message.members.iter().map(|(uuid, _)| uuid.clone()));
        users.dedup();
        Some(Action::Send {
            message: id,
            kind,
            namespace,
            users,
            objects,
        })
    }

    /// Messages that are built; those of a batch come last.
    fn next_ready(&mut self) -> Option<(Kind, MessageId, Vec<P>)> {
        if let Some((message, objects)) = self.ready.pop_front() {
            return Some((Kind::Realtime, message, objects));
        }
        let (message, objects) = self.batch.next_ready(self.settings.in_flight_max)?;
        Some((Kind::Batch, message, objects))
    }

    /// When held devices of a destination that answers are due again.
    fn release_at(&self) -> Option<Millis> {
        let waits = self.forgotten || self.held() > 0;
        (waits && self.breaker.is_healthy()).then_some(self.release.not_before)
    }

    fn prepare_probe(&mut self, now: Millis) {
        if self.probe != Probe::None || !self.breaker.take_probe(now) {
            return;
        }
        self.probe = Probe::Due;
        if self.held() == 0 && self.waiting() == 0 {
            // Whatever is to be told lies in the pending set only.
            self.overflowed = true;
        }
    }

    /// One device to try a destination with that does not answer: held ones and waiting ones by
    /// turns, so that neither stand in the way of the other; of each the oldest, which goes to the
    /// end of its queue when it is given up again. While new changes are sent at once anyway, only
    /// held ones.
    fn poll_probe(&mut self) -> Option<Action<P>> {
        if self.probe != Probe::Due || self.in_flight >= self.settings.in_flight_max {
            return None;
        }
        let waiting = self.breaker.is_open() && self.waiting() > 0;
        let held = self.held() > 0 && !(waiting && self.probed_held);
        if !held && !waiting {
            return None;
        }
        let (namespace, uuid) = if held {
            self.probe_held()?
        } else {
            self.probe_waiting()?
        };
        self.probed_held = held;
        self.probe = Probe::Asked(uuid.clone());
        self.reserved_users += 1;
        Some(Action::Take {
            kind: Kind::Realtime,
            namespace,
            users: vec![uuid],
        })
    }

    fn probe_held(&mut self) -> Option<(DataSourceId, DeviceUuid)> {
        let lanes = self.lanes.iter_mut();
        let (_, lane) = lanes
            .filter_map(|lane| Some((lane.oldest_held()?, lane)))
            .min_by_key(|(since, _)| *since)?;
        Some((lane.namespace, lane.take_held()?))
    }

    fn probe_waiting(&mut self) -> Option<(DataSourceId, DeviceUuid)> {
        let lanes = self.lanes.iter_mut();
        let (_, lane) = lanes
            .filter_map(|lane| Some((lane.oldest()?, lane)))
            .min_by_key(|(since, _)| *since)?;
        Some((lane.namespace, lane.take_first()?))
    }

    /// Messages in real time that are built or being built.
    fn building(&self) -> usize {
        self.reserved_users.div_ceil(self.settings.users_max.max(1)) + self.ready.len()
    }

    fn may_take(&self) -> usize {
        if self.breaker.is_open() {
            return 0;
        }
        self.settings
            .in_flight_max
            .saturating_sub(self.in_flight + self.building())
            .min(MESSAGES_PER_TAKE_MAX)
            .min(self.permits())
    }

    /// Messages more that may be built, as far as the rate goes.
    fn permits(&self) -> usize {
        self.pace.permits().saturating_sub(self.all_building())
    }

    fn all_building(&self) -> usize {
        self.building() + self.batch.waiting_messages(self.settings.users_max)
    }

    fn is_due(&self, lane: &Lane, now: Millis) -> bool {
        let due = lane.due(self.settings.users_max, self.settings.linger, now);
        due.is_some_and(|due| due <= now)
    }

    fn poll_take(&mut self, now: Millis) -> Option<Action<P>> {
        let messages_max = self.may_take();
        if messages_max == 0 {
            return None;
        }
        // Of those that are due, the one whose first device has waited for longest.
        let due = self.lanes.iter().enumerate();
        let due = due.filter(|(_, lane)| self.is_due(lane, now));
        let (index, _) = due.min_by_key(|(_, lane)| lane.oldest())?;
        let (users_max, linger) = (self.settings.users_max, self.settings.linger);
        let messages_max = messages_max.min(batch::messages_per_take(users_max, messages_max));
        let lane = self.lanes.get_mut(index)?;
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
        self.reserved_users += users.len();
        Some(Action::Take {
            kind: Kind::Realtime,
            namespace: lane.namespace,
            users,
        })
    }

    fn poll_rescan(&mut self) -> Option<Action<P>> {
        let room = self.kept() * 2 <= self.settings.waiting_max;
        let wanted = match self.reading {
            Reading::Idle => self.overflowed,
            Reading::Asked => false,
            Reading::Between => true,
        };
        if !wanted || !room || self.breaker.is_open() && self.probe != Probe::Due {
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
                if self.probe == Probe::Due {
                    self.probe = Probe::AskedBatch;
                }
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
        if !self.ready.is_empty() || self.lanes.iter().any(|lane| self.is_due(lane, now)) {
            return 0;
        }
        if !self.breaker.is_healthy() {
            return usize::from(self.probe == Probe::Due);
        }
        let (users_max, in_flight_max) = (self.settings.users_max, self.settings.in_flight_max);
        in_flight_max
            .saturating_sub(self.in_flight + self.all_building())
            .min(self.batch.room(users_max, in_flight_max))
            .min(batch::messages_per_take(users_max, MESSAGES_PER_TAKE_MAX))
            .min(self.permits())
    }

    /// Whether more is to be told than what has just come in.
    fn has_backlog(&self, now: Millis) -> bool {
        self.overflowed
            || self.reading != Reading::Idle
            || self.held() > 0
            || !self.ready.is_empty()
            || self.lanes.iter().any(|lane| self.is_due(lane, now))
    }

    /// The next moment at which [`Dispatcher::poll`] can have something to do without further
    /// input; `None` when only input can change that.
    #[must_use]
    pub fn next_wakeup(&self, now: Millis) -> Option<Millis> {
        if let Some(quiet_until) = self.quiet_until.filter(|until| *until > now) {
            return Some(quiet_until);
        }
        let retry = self.retries.peek().map(|Reverse((due, _))| *due);
        if self.settings.paused {
            return retry;
        }
        let probe = (self.probe == Probe::None).then(|| self.breaker.next_probe());
        [
            retry,
            self.next_take(now),
            probe.flatten(),
            self.release_at(),
            self.batch.next_pass(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When devices are due that may be taken then.
    fn next_take(&self, now: Millis) -> Option<Millis> {
        if self.breaker.is_open() {
            return None;
        }
        let (users_max, linger) = (self.settings.users_max, self.settings.linger);
        let lanes = self.lanes.iter();
        let due = lanes
            .filter_map(|lane| lane.due(users_max, linger, now))
            .min();
        if self.permits() == 0 {
            // Only the rate is in the way, or the rate too.
            let waits = due.is_some() || self.batch.is_running();
            let at = self.pace.permits_at(self.all_building() + 1);
            return at
                .filter(|_| waits)
                .map(|at| due.map_or(at, |due| at.max(due)));
        }
        due.filter(|_| self.may_take() > 0)
    }
}
