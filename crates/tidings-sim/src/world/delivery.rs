//! Attempts: what couriers want done, and what becomes of it between here and the partners.

use super::{
    Happening, Try, WIRE_MILLIS, World,
    oauth::{Authorizing, Waited},
};
use crate::{
    Violation,
    network::{self, Fate},
    service::Control,
    tokens::TokenId,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tidings_dispatch::Kind;
use tidings_egress::{Attempt, BodyEnd, Failure, FailureClass, Response, Timings, oauth::Token};
use tidings_model::DestinationId;
use tidings_runtime::courier::Errand;

/// Deadline of an attempt.
const TIMEOUT_MILLIS: u64 = 3_000;

impl World<'_> {
    pub(super) fn run_couriers(&mut self) -> Result<bool, Violation> {
        let now = self.time();
        let Some(service) = &mut self.service else {
            return Ok(false);
        };
        let epoch = service.epoch;
        let mut attempts = Vec::new();
        let mut worked = false;
        for (to, station) in service.stations.at_work() {
            station.courier.read(now, &mut station.mail);
            while let Some(errand) = station.courier.poll(now) {
                worked = true;
                match errand {
                    Errand::Ask(ask) => service.controls.push_back(Control::Ask(to, ask)),
                    Errand::Attempt {
                        message,
                        kind,
                        request,
                    } => {
                        let retries = station.courier.destination().retries;
                        let task = station.task;
                        let body = request.content().clone();
                        let which = Try {
                            epoch,
                            task,
                            to,
                            message,
                            kind,
                        };
                        let number = self.attempts.note(which.key(), &body, retries)?;
                        station.attempts += 1;
                        attempts.push((which, number, body));
                    }
                }
            }
        }
        let (asks, ended) = service.stations.end(now);
        worked |= !(asks.is_empty() && ended.is_empty());
        let asks = asks.into_iter().map(|(to, ask)| Control::Ask(to, ask));
        service.controls.extend(asks);
        service
            .controls
            .extend(ended.into_iter().map(Control::Ended));
        for (which, number, body) in attempts {
            self.attempt(which, number, body)?;
        }
        Ok(worked)
    }

    fn attempt(&mut self, which: Try, number: u32, body: Bytes) -> Result<(), Violation> {
        let Try { to, message, .. } = which;
        if !self.truth.has(to) {
            let detail = format!("destination {to}, message {}", message.0);
            let promise = "a removed destination is sent nothing new";
            return Err(Violation::new(promise, detail));
        }
        if number == 1 {
            self.leaves(which, &body)?;
        }
        if self.plan.oauth.contains(&to) {
            let one = Authorizing {
                which,
                number,
                body,
            };
            return self.authorize(one, Waited::No);
        }
        self.post(which, number, body, None)
    }

    /// An attempt goes out.
    pub(super) fn post(
        &mut self,
        which: Try,
        number: u32,
        body: Bytes,
        token: Option<Arc<Token<TokenId>>>,
    ) -> Result<(), Violation> {
        let Try {
            to, message, kind, ..
        } = which;
        let failing = self.failing(to);
        let mut fate = Fate::draw(&mut self.random, failing);
        let takes = |token: &_| self.endpoints.takes(self.now, to, token);
        if fate == Fate::Good && !token.as_ref().is_none_or(takes) {
            fate = Fate::Status {
                status: 401,
                retry_after: None,
            };
        }
        self.counts.add("attempts");
        self.counts.add(fate.name());
        let line = format!("attempt of {to}/{} ({kind:?}): {}", message.0, fate.name());
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
                    let reach = Happening::Reach(which, body);
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
        let end = Happening::End(which, Box::new(Ok(attempt)), token);
        self.queue.put(self.now + takes, end);
        Ok(())
    }

    /// Percent of attempts that fail now.
    fn failing(&self, to: DestinationId) -> i64 {
        if self.calm_since.is_some() {
            return 0;
        }
        let mut outages = self.plan.outages.iter();
        let is_out =
            outages.any(|&(which, from, until)| which == to && (from..until).contains(&self.now));
        if is_out {
            return 100;
        }
        let mut failing = self.plan.failing.iter();
        let percent = failing.find(|(which, _)| *which == to);
        percent.map_or(0, |(_, percent)| *percent)
    }

    pub(super) fn reach(&mut self, which: Try, body: &[u8]) -> Result<(), Violation> {
        let Try {
            epoch, to, kind, ..
        } = which;
        if !self.is_current(epoch) && self.now > self.died + WIRE_MILLIS {
            return Ok(());
        }
        let Some(partner) = self.partners.get_mut(&to) else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(body);
        self.trace.line(self.now, &format!("{to} processes {text}"));
        let durable = self.disk.durable;
        partner.process(kind, body, &self.truth, durable, &mut self.counts)
    }

    pub(super) fn end(
        &mut self,
        which: Try,
        attempt: &Result<Attempt, String>,
        token: Option<&Arc<Token<TokenId>>>,
    ) {
        let now = self.time();
        let Try { to, message, .. } = which;
        let outcome = match attempt {
            Ok(attempt) => attempt.outcome(),
            Err(no_token) => no_token.clone(),
        };
        let line = format!("attempt of {to}/{} ends: {outcome}", message.0);
        self.trace.line(self.now, &line);
        let result = attempt.as_ref().map(|attempt| &attempt.result);
        let status = result
            .ok()
            .and_then(|result| Some(result.as_ref().ok()?.status));
        if let (Some(token), Some(status)) = (token, status) {
            self.judge(to, status, token);
        }
        if which.kind == Kind::Batch && status == Some(200) {
            self.batch_answered(which);
        }
        let service = self.service.as_mut();
        if let Some(station) = service.and_then(|one| one.stations.task_mut(to, which.task)) {
            station.attempts -= 1;
            station.courier.attempted(now, message, attempt);
        }
    }

    pub(super) fn plan_wakeup(&mut self) {
        let now = self.time();
        let Some(service) = &mut self.service else {
            return;
        };
        let epoch = service.epoch;
        let stations = service.stations.at_work();
        let next = stations
            .filter_map(|(_, one)| one.courier.next_wakeup(now))
            .min();
        let Some(at) = next.map(|at| at.0.max(self.now + 1)) else {
            return;
        };
        if self.wake_at.is_none_or(|planned| at < planned) {
            self.wake_at = Some(at);
            self.queue.put(at, Happening::Wake(epoch));
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
