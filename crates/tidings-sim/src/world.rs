//! The world around the process: clients that send until they are answered, a clock that jumps, a
//! process that is killed, and the order in which all of it happens.

mod client;
mod end;

use crate::{
    Counts, Plan, Violation,
    attempts::Attempts,
    disk::Disk,
    network::{self, Fate},
    partner::Partner,
    queue::Queue,
    service::{Service, Step},
    trace::Trace,
    truth::Truth,
};
use bytes::Bytes;
use client::Clients;
use std::{collections::BTreeMap, time::Duration};
use tidings_dispatch::MessageId;
use tidings_egress::{Attempt, BodyEnd, Failure, FailureClass, Response, Timings};
#[cfg(planted)]
use tidings_model::planted::{self, Planted};
use tidings_model::{DestinationId, DeviceUuid, Millis};
use tidings_oracle::generate::Random;
#[cfg(planted)]
use tidings_runtime::memory::MemoryChanges;
use tidings_runtime::{
    courier::{Errand, Now},
    inbox::Mail,
};

/// What a request that is on the wire when the process dies may still take to arrive.
const WIRE_MILLIS: u64 = 150;
/// Deadline of an attempt.
const TIMEOUT_MILLIS: u64 = 3_000;
/// How long a run may take to come to rest once nothing fails any more.
const REST_MILLIS: u64 = 30 * 60 * 1_000;

/// What a run showed.
#[derive(Debug)]
pub struct Run {
    /// The promise that does not hold, if there is one.
    pub violation: Option<Violation>,
    /// What happened.
    pub counts: Counts,
    /// Equal for equal runs.
    pub hash: u64,
    /// The last things that happened.
    pub trace: Vec<String>,
}

/// Runs a plan to its end.
#[must_use]
pub fn run(plan: &Plan) -> Run {
    let mut world = World::new(plan);
    let violation = world.run().err();
    Run {
        violation,
        counts: world.counts,
        hash: world.trace.hash(),
        trace: world.trace.into_lines(),
    }
}

/// What happens next.
#[derive(Debug)]
enum Happening {
    /// A client sends its event, again if it was not answered.
    Send(usize),
    /// An event reaches the process.
    Arrive(usize, u32),
    /// The committer is done. The process that it belongs to is named, here and below.
    Committed(u32),
    /// A courier has something to do.
    Wake(u32),
    /// A request reaches a partner.
    Reach(u32, DestinationId, Bytes),
    /// An attempt ends.
    End(u32, DestinationId, MessageId, Box<Attempt>),
    /// The engine thread looks at the clock.
    Tick(u32),
    Crash,
    Restart,
    /// The next events begin; the clock jumps before.
    Phase(usize),
    /// Nothing fails any more.
    Calm,
}

struct World<'a> {
    plan: &'a Plan,
    random: Random,
    now: u64,
    /// Seconds that the clock is ahead of real time.
    ahead: i64,
    queue: Queue<Happening>,
    disk: Disk,
    service: Option<Service>,
    /// When the last process died.
    died: u64,
    clients: Clients,
    partners: BTreeMap<DestinationId, Partner>,
    attempts: Attempts,
    truth: Truth,
    calm_since: Option<u64>,
    wake_at: Option<u64>,
    new_devices: u128,
    counts: Counts,
    trace: Trace,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Self {
        let partner = |id| (id, Partner::new(id));
        let ids = plan.catalog.destinations.iter().map(|one| one.id);
        Self {
            plan,
            random: Random::new(plan.seed),
            now: 0,
            ahead: 0,
            queue: Queue::new(),
            disk: Disk::default(),
            service: None,
            died: 0,
            clients: Clients::default(),
            partners: ids.map(partner).collect(),
            attempts: Attempts::default(),
            truth: Truth::default(),
            calm_since: None,
            wake_at: None,
            new_devices: 0,
            counts: Counts::default(),
            trace: Trace::default(),
        }
    }

    fn run(&mut self) -> Result<(), Violation> {
        self.queue.put(0, Happening::Restart);
        self.queue.put(1, Happening::Phase(0));
        let span = i64::try_from(self.plan.phase_millis).unwrap_or(i64::MAX) + 30_000;
        for _ in 0..self.plan.crashes {
            let at = u64::try_from(self.random.below(span)).unwrap_or(0);
            self.queue.put(at, Happening::Crash);
        }
        while let Some((at, happening)) = self.queue.next() {
            self.now = self.now.max(at);
            self.happen(happening)?;
            self.pump()?;
            if self.is_at_rest() {
                return self.check_end();
            }
            if let Some(since) = self.calm_since
                && self.now - since > REST_MILLIS
            {
                return Err(Violation::new("the service comes to rest", self.unrest()));
            }
        }
        Err(Violation::new(
            "the service comes to rest",
            "nothing happens any more",
        ))
    }

    fn time(&self) -> Now {
        let passed = i64::try_from(self.now / 1000).unwrap_or(i64::MAX);
        Now {
            time: self.plan.start.plus_seconds(passed + self.ahead),
            millis: Millis(self.now),
        }
    }

    fn is_current(&self, epoch: u32) -> bool {
        self.service.as_ref().is_some_and(|one| one.epoch == epoch)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Send(number) => self.send(number),
            Happening::Arrive(number, epoch) => {
                if self.is_current(epoch)
                    && let Some(service) = &mut self.service
                {
                    let event = self.clients.event(number);
                    service.submissions.push_back((number, event));
                }
            }
            Happening::Committed(epoch) if self.is_current(epoch) => self.committed(),
            Happening::Wake(epoch) if self.is_current(epoch) => self.wake_at = None,
            Happening::Reach(epoch, to, body) => return self.reach(epoch, to, &body),
            Happening::End(epoch, to, message, attempt) => {
                if self.is_current(epoch) {
                    self.end(to, message, *attempt);
                }
            }
            Happening::Tick(epoch) if self.is_current(epoch) => self.tick(epoch),
            Happening::Committed(_) | Happening::Wake(_) | Happening::Tick(_) => {}
            Happening::Crash => self.crash(),
            Happening::Restart => self.restart(),
            Happening::Phase(phase) => self.begin_phase(phase),
            Happening::Calm => {
                self.trace.line(self.now, "calm");
                self.calm_since = Some(self.now);
            }
        }
        Ok(())
    }

    fn tick(&mut self, epoch: u32) {
        self.queue.put(self.now + 1_000, Happening::Tick(epoch));
        if self
            .service
            .as_ref()
            .is_some_and(|one| one.queued.is_none())
        {
            self.step();
        }
    }

    fn step(&mut self) {
        let now = self.time();
        let Some(service) = &mut self.service else {
            return;
        };
        let new_devices = &mut self.new_devices;
        let mut new_uuid = || {
            *new_devices += 1;
            DeviceUuid::from_number(1_000_000 + *new_devices).expect("a small number")
        };
        service.step(now, self.plan, &self.disk, &mut self.truth, &mut new_uuid);
    }

    fn crash(&mut self) {
        if self.calm_since.is_some() {
            return;
        }
        let Some(mut service) = self.service.take() else {
            return;
        };
        // Nobody knows of the commit under way: it may have reached the disk.
        let torn = service.committing.take().filter(|_| self.random.chance(50));
        if let Some(mut step) = torn
            && step.seq > 0
        {
            self.counts.add("commits made and not acknowledged");
            self.disk.commit(step.seq, &mut step.changes);
        }
        self.truth.forget_after(self.disk.durable);
        self.counts.add("crashes");
        self.trace
            .line(self.now, &format!("crash at commit {}", self.disk.durable));
        self.died = self.now;
        let pause = WIRE_MILLIS + u64::try_from(self.random.between(50, 10_000)).unwrap_or(50);
        self.queue.put(self.now + pause, Happening::Restart);
    }

    fn restart(&mut self) {
        let now = self.time();
        let service = Service::start(self.plan, &mut self.disk, now);
        self.trace
            .line(self.now, &format!("start {}", service.epoch));
        self.queue.put(self.now, Happening::Tick(service.epoch));
        self.wake_at = None;
        self.service = Some(service);
    }

    fn committed(&mut self) {
        let Some(mut step) = self.service.as_mut().and_then(|one| one.committing.take()) else {
            return;
        };
        if step.seq > 0 {
            self.disk.commit(step.seq, &mut step.changes);
            self.counts.add("commits");
        }
        self.let_out(step);
    }

    /// What depends on a durable step.
    fn let_out(&mut self, step: Step) {
        let Some(service) = &mut self.service else {
            return;
        };
        for (to, hint) in step.hints {
            let Some(Mail { hints, lost, .. }) =
                service.stations.get_mut(&to).map(|one| &mut one.mail)
            else {
                continue;
            };
            if self.random.chance(self.plan.lost_hints) {
                self.counts.add("hints lost");
                *lost = true;
            } else {
                hints.push(hint);
            }
        }
        for (to, answer) in step.answers {
            if let Some(station) = service.stations.get_mut(&to) {
                station.mail.answers.push(answer);
            }
        }
        for (number, submitted) in step.replies {
            self.answered(number, submitted);
        }
    }

    /// Does everything that can be done now.
    fn pump(&mut self) -> Result<(), Violation> {
        loop {
            let worked = self.run_couriers()?;
            let steps = self.service.as_ref().is_some_and(Service::may_step);
            if steps {
                self.step();
            }
            let commits = self.begin_commit();
            if !(worked || steps || commits) {
                break;
            }
        }
        self.plan_wakeup();
        Ok(())
    }

    fn begin_commit(&mut self) -> bool {
        let Some(service) = &mut self.service else {
            return false;
        };
        if service.committing.is_some() {
            return false;
        }
        let Some(step) = service.queued.take() else {
            return false;
        };
        #[cfg(planted)]
        if planted::is(Planted::AcknowledgedBeforeSync) {
            let out = Step {
                changes: MemoryChanges::default(),
                ..step
            };
            let (seq, changes) = (out.seq, step.changes);
            self.commit_later(Step {
                seq,
                changes,
                ..Step::default()
            });
            self.let_out(out);
            return true;
        }
        self.commit_later(step);
        true
    }

    fn commit_later(&mut self, step: Step) {
        let Some(service) = &mut self.service else {
            return;
        };
        let takes = if step.seq == 0 {
            0
        } else {
            Disk::sync_millis(&mut self.random, self.plan.stalls)
        };
        service.committing = Some(step);
        let committed = Happening::Committed(service.epoch);
        self.queue.put(self.now + takes, committed);
    }

    fn run_couriers(&mut self) -> Result<bool, Violation> {
        let now = self.time();
        let Some(service) = &mut self.service else {
            return Ok(false);
        };
        let epoch = service.epoch;
        let mut attempts = Vec::new();
        let mut worked = false;
        for (&to, station) in &mut service.stations {
            station.courier.read(now, &mut station.mail);
            while let Some(errand) = station.courier.poll(now) {
                worked = true;
                match errand {
                    Errand::Ask(ask) => service.asks.push_back((to, ask)),
                    Errand::Attempt { message, request } => {
                        let retries = station.courier.destination().retries;
                        let body = request.body().clone();
                        let key = (epoch, to, message);
                        let number = self.attempts.note(key, &body, retries)?;
                        attempts.push((to, message, number, body));
                    }
                }
            }
        }
        for (to, message, number, body) in attempts {
            self.attempt(epoch, to, message, number, body)?;
        }
        Ok(worked)
    }

    fn attempt(
        &mut self,
        epoch: u32,
        to: DestinationId,
        message: MessageId,
        number: u32,
        body: Bytes,
    ) -> Result<(), Violation> {
        let failing = self.failing(to);
        let fate = Fate::draw(&mut self.random, failing);
        self.counts.add("attempts");
        self.counts.add(fate.name());
        let line = format!("attempt of {to}/{}: {}", message.0, fate.name());
        self.trace.line(self.now, &line);
        let there = u64::try_from(self.random.between(1, 100)).unwrap_or(1);
        let back = u64::try_from(self.random.between(1, 200)).unwrap_or(1);
        let (result, takes) = match network::addresses_to_dial(fate, number) {
            Err(refused) => (Err(refused), there),
            Ok(dialled) if network::is_forbidden(&dialled) => {
                let detail = format!("destination {to} led to {dialled:?}");
                return Err(Violation::new("no forbidden address is dialled", detail));
            }
            Ok(_) => {
                if fate.is_processed() {
                    let reach = Happening::Reach(epoch, to, body);
                    self.queue.put(self.now + there, reach);
                }
                outcome(fate, there + back)
            }
        };
        let timings = Timings {
            total: Duration::from_millis(takes),
            ..Timings::default()
        };
        let reused = false;
        let attempt = Attempt {
            result,
            timings,
            reused,
            bytes_read: 0,
        };
        let end = Happening::End(epoch, to, message, Box::new(attempt));
        self.queue.put(self.now + takes, end);
        Ok(())
    }

    /// Percent of attempts that fail now.
    fn failing(&self, to: DestinationId) -> i64 {
        if self.calm_since.is_some() {
            return 0;
        }
        let index = self.partners.keys().position(|one| *one == to);
        let Some(index) = index else { return 0 };
        let mut outages = self.plan.outages.iter();
        let is_out = outages
            .any(|&(which, from, until)| which == index && (from..until).contains(&self.now));
        if is_out {
            100
        } else {
            self.plan.failing.get(index).copied().unwrap_or(0)
        }
    }

    fn reach(&mut self, epoch: u32, to: DestinationId, body: &[u8]) -> Result<(), Violation> {
        if !self.is_current(epoch) && self.now > self.died + WIRE_MILLIS {
            return Ok(());
        }
        let Some(partner) = self.partners.get_mut(&to) else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(body);
        self.trace.line(self.now, &format!("{to} processes {text}"));
        partner.process(body, &self.truth, self.disk.durable, &mut self.counts)
    }

    fn end(&mut self, to: DestinationId, message: MessageId, attempt: Attempt) {
        let now = self.time();
        let line = format!("attempt of {to}/{} ends: {}", message.0, attempt.outcome());
        self.trace.line(self.now, &line);
        let station = self
            .service
            .as_mut()
            .and_then(|one| one.stations.get_mut(&to));
        if let Some(station) = station {
            station.courier.attempted(now, message, &Ok(attempt));
        }
    }

    fn plan_wakeup(&mut self) {
        let now = self.time();
        let Some(service) = &self.service else {
            return;
        };
        let stations = service.stations.values();
        let next = stations
            .filter_map(|one| one.courier.next_wakeup(now))
            .min();
        let Some(at) = next.map(|at| at.0.max(self.now + 1)) else {
            return;
        };
        if self.wake_at.is_none_or(|planned| at < planned) {
            self.wake_at = Some(at);
            self.queue.put(at, Happening::Wake(service.epoch));
        }
    }
}

/// What an attempt that was dialled ends with, and when.
fn outcome(fate: Fate, there_and_back: u64) -> (Result<Response, Failure>, u64) {
    let failure = |class| {
        Err(Failure {
            class,
            detail: String::new(),
        })
    };
    match fate {
        Fate::Good => (Ok(response(200, None)), there_and_back),
        Fate::Status {
            status,
            retry_after,
        } => (Ok(response(status, retry_after)), there_and_back),
        Fate::Lost | Fate::AnswerLost => (failure(FailureClass::DeadlineResponse), TIMEOUT_MILLIS),
        Fate::ResetBefore | Fate::ResetAfter | Fate::Rebound { .. } => {
            (failure(FailureClass::ConnectReset), there_and_back)
        }
    }
}

fn response(status: u16, retry_after: Option<Duration>) -> Response {
    Response {
        status,
        body_excerpt: Bytes::new(),
        body_bytes: 0,
        body_end: BodyEnd::Complete,
        retry_after,
        bearer_error: None,
        location: None,
    }
}
