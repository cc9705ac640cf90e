//! The world around the process: clients that send until they are answered, an operator, a clock that
//! jumps, a process that is killed, and the order in which all of it happens.
//!
//! Here: what happens next. Clients are in `world/client.rs`, the operator in `world/operator.rs`, the
//! process's life and its steps in `world/life.rs`, attempts in `world/delivery.rs`, the last checks in
//! `world/end.rs`.

mod batch;
mod client;
mod delivery;
mod end;
mod life;
mod oauth;
mod operator;

use crate::{
    Counts, Plan, Violation,
    attempts::{Attempts, MessageKey},
    batches::Batches,
    disk::Disk,
    partner::Partner,
    plan::Operation,
    queue::Queue,
    service::Service,
    tokens::{Endpoints, Fetch, Source, TokenId},
    trace::Trace,
    truth::Truth,
    waiting::Waiting,
};
use bytes::Bytes;
use client::Clients;
use oauth::Authorizing;
use std::{collections::BTreeMap, sync::Arc};
use tidings_dispatch::{Kind, MessageId};
use tidings_egress::{Attempt, oauth::Token};
use tidings_model::{DestinationId, Millis, Timestamp};
use tidings_oracle::generate::Random;
use tidings_runtime::courier::Now;

/// What a request that is on the wire when the process dies may still take to arrive.
const WIRE_MILLIS: u64 = 150;
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
    Reach(Try, Bytes),
    /// An attempt ends, or could not be made for want of a token.
    End(
        Try,
        Box<Result<Attempt, String>>,
        Option<Arc<Token<TokenId>>>,
    ),
    /// A fetch of a token ends.
    Token(u32, DestinationId, Box<Fetch>),
    /// The engine thread looks at the clock.
    Tick(u32),
    Crash,
    Restart,
    /// The operator does something.
    Operate(Operation),
    /// The next events begin; the clock jumps before.
    Phase(usize),
    /// Nothing fails any more, and nothing is changed.
    Calm,
    /// Every device is seen once more.
    Close,
    /// The clock jumps over the time of every batch.
    LastBatches,
}

/// Whose attempt it is.
#[derive(Clone, Copy, Debug)]
struct Try {
    epoch: u32,
    task: u64,
    to: DestinationId,
    message: MessageId,
    kind: Kind,
}

impl Try {
    const fn key(self) -> MessageKey {
        (self.epoch, self.task, self.to, self.message)
    }
}

struct World<'a> {
    plan: &'a Plan,
    random: Random,
    now: u64,
    /// Seconds that the clock is ahead of real time.
    ahead: i64,
    queue: Queue<Happening>,
    disk: Disk,
    /// Which version of the catalog lies there.
    version: usize,
    service: Option<Service>,
    /// When the last process died.
    died: u64,
    clients: Clients,
    partners: BTreeMap<DestinationId, Partner>,
    attempts: Attempts,
    truth: Truth,
    calm_since: Option<u64>,
    /// When every device began to be seen once more.
    closed_at: Option<u64>,
    /// When the last batches were let begin: by the clock, and in milliseconds.
    last_since: Option<(Timestamp, u64)>,
    batches: Batches,
    /// The last batch of each destination, and whether it had ended.
    batch_seen: BTreeMap<DestinationId, (u32, bool)>,
    waiting: Waiting,
    endpoints: Endpoints,
    sources: BTreeMap<DestinationId, Source<Authorizing>>,
    wake_at: Option<u64>,
    new_devices: u128,
    /// What broke in a place that goes on.
    broken: Option<Violation>,
    counts: Counts,
    trace: Trace,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Self {
        let partner = |(id, _): &(DestinationId, i64)| (*id, Partner::new(*id));
        Self {
            plan,
            random: Random::new(plan.seed),
            now: 0,
            ahead: 0,
            queue: Queue::new(),
            disk: Disk::default(),
            version: 0,
            service: None,
            died: 0,
            clients: Clients::default(),
            partners: plan.failing.iter().map(partner).collect(),
            attempts: Attempts::default(),
            truth: Truth::default(),
            calm_since: None,
            closed_at: None,
            last_since: None,
            batches: Batches::default(),
            batch_seen: BTreeMap::new(),
            waiting: Waiting::default(),
            endpoints: Endpoints::default(),
            sources: BTreeMap::new(),
            wake_at: None,
            new_devices: 0,
            broken: None,
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
        for &(at, operation) in &self.plan.operations {
            self.queue.put(at, Happening::Operate(operation));
        }
        while let Some((at, happening)) = self.queue.next() {
            self.now = self.now.max(at);
            self.happen(happening)?;
            self.pump()?;
            if let Some(violation) = self.broken.take() {
                return Err(violation);
            }
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
            Happening::Reach(which, body) => return self.reach(which, &body),
            Happening::Token(epoch, to, fetch) => return self.fetched(epoch, to, &fetch),
            Happening::End(which, attempt, token) => {
                if self.is_current(which.epoch) {
                    self.end(which, &attempt, token.as_ref());
                }
            }
            Happening::Tick(epoch) if self.is_current(epoch) => self.tick(),
            Happening::Committed(_) | Happening::Wake(_) | Happening::Tick(_) => {}
            Happening::Crash => self.crash(),
            Happening::Restart => self.restart(),
            Happening::Operate(operation) => self.operate(operation),
            Happening::Phase(phase) => self.begin_phase(phase),
            Happening::Calm => self.calm(),
            Happening::Close => self.close(),
            Happening::LastBatches => self.last_batches(),
        }
        Ok(())
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
}
