//! One request: read it, judge it, let a fault decide, show it, answer.
//!
//! Order: a request is judged and recorded as soon as it was read in full, before any delay, and
//! before a byte of the answer leaves. A fault comes after that: it replaces the answer, not the
//! judgement, and a message it takes the 200 from is not counted as told.

use crate::{
    body::{self, BodyError},
    check::{Outcome, Verdict},
    fault::{Behaviour, Plan},
    received::Received,
    reply::{self, Answer, Cut, ReplyBody},
    shared::Shared,
    token::TOKEN_PATH,
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;
use std::{sync::Arc, time::Instant};
use tokio::time::sleep;

/// Path of the counts. Requests to it are neither counted nor recorded, and meet no fault.
pub const STATS_PATH: &str = "/_stats";

/// Serves one request.
pub(crate) async fn handle(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Cut> {
    let (mut parts, body) = request.into_parts();
    for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION] {
        if let header::Entry::Occupied(mut values) = parts.headers.entry(name) {
            values
                .iter_mut()
                .for_each(|value| value.set_sensitive(true));
        }
    }
    if parts.uri.path() == STATS_PATH {
        return Ok(stats(&shared, &parts.method).into_response());
    }
    let (body, verdict) = match body::read(body).await {
        Ok(body) => {
            let verdict = judge(&shared, &parts, &body);
            (body, verdict)
        }
        Err(error) => (Bytes::new(), unread(error)?),
    };
    let plan = plan(&shared, &parts);
    let answer = settle(&shared, parts, body, verdict, &plan);
    carry_out(&shared, plan, answer).await
}

fn stats(shared: &Shared, method: &Method) -> Answer {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return not_allowed("GET, HEAD");
    }
    match serde_json::to_string(&shared.stats()) {
        Ok(body) => Answer::json(StatusCode::OK, body)
            .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        Err(error) => {
            tracing::error!(%error, "could not write the counts");
            Answer::status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn not_allowed(methods: &'static str) -> Answer {
    Answer::status(StatusCode::METHOD_NOT_ALLOWED)
        .with(header::ALLOW, HeaderValue::from_static(methods))
}

/// What a request is answered that could not be read; nothing when its sender is gone.
fn unread(error: BodyError) -> Result<Verdict, Cut> {
    let status = match &error {
        BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TimedOut => StatusCode::REQUEST_TIMEOUT,
        BodyError::Failed(source) => {
            tracing::debug!(error = %source, "a request was not read to its end");
            return Err(Cut::Close);
        }
    };
    let errors = vec![error.to_string()];
    // The rest of the body is still to come, so the connection is of no more use.
    let answer =
        Answer::errors(status, &errors).with(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(Verdict::refused(Outcome::Invalid, answer, errors))
}

fn judge(shared: &Shared, parts: &Parts, body: &Bytes) -> Verdict {
    let is_token_request = parts.uri.path() == TOKEN_PATH;
    if parts.method == Method::GET
        && !is_token_request
        && let Some(template) = &shared.get
    {
        let target = parts
            .uri
            .path_and_query()
            .map_or("", |target| target.as_str());
        let told = template.read(target);
        return shared
            .checks
            .judge_get(&parts.headers, target, told, is_authorized(shared, parts));
    }
    if parts.method != Method::POST || (shared.get.is_some() && !is_token_request) {
        let wanted = if shared.get.is_some() && !is_token_request {
            "GET"
        } else {
            "POST"
        };
        let errors = vec![format!("the method is {}, not {wanted}", parts.method)];
        return Verdict::refused(Outcome::Invalid, not_allowed(wanted), errors);
    }
    if is_token_request {
        return judge_token_request(shared, parts, body);
    }
    shared
        .checks
        .judge(&parts.headers, body, is_authorized(shared, parts))
}

fn is_authorized(shared: &Shared, parts: &Parts) -> bool {
    let tokens = shared.tokens.as_ref();
    tokens.is_none_or(|tokens| tokens.is_authorized(&parts.headers, Instant::now()))
}

fn judge_token_request(shared: &Shared, parts: &Parts, body: &Bytes) -> Verdict {
    let Some(tokens) = &shared.tokens else {
        let errors = vec!["no tokens are issued here".to_owned()];
        let answer = Answer::errors(StatusCode::NOT_FOUND, &errors);
        return Verdict::refused(Outcome::Invalid, answer, errors);
    };
    match tokens.grant(&parts.headers, body, Instant::now()) {
        (answer, None) => {
            shared.counters.tokens.add(1);
            Verdict::token(answer)
        }
        (answer, Some(error)) => Verdict::refused(Outcome::Unauthorized, answer, vec![error]),
    }
}

fn plan(shared: &Shared, parts: &Parts) -> Plan {
    let path = parts.uri.path();
    shared.faults().plan_answer(path, path != TOKEN_PATH)
}

/// Records, counts and shows the request; returns what to answer. That is an error when it could not
/// be recorded: what is not in the record must not be acknowledged.
fn settle(shared: &Shared, parts: Parts, body: Bytes, verdict: Verdict, plan: &Plan) -> Answer {
    let mut answer = match plan.behaviour {
        Some(Behaviour::Echo(status)) => Answer::text(status, echo(&parts, &body)),
        _ => verdict.answer,
    };
    let mut received = Received {
        at: jiff::Timestamp::now(),
        instant: Instant::now(),
        is_token_request: parts.uri.path() == TOKEN_PATH,
        method: parts.method,
        target: parts
            .uri
            .path_and_query()
            .map_or_else(String::new, |target| target.as_str().to_owned()),
        headers: parts.headers,
        body,
        message: verdict.message,
        valid: verdict.valid,
        signature: verdict.signature,
        errors: verdict.errors,
        status: final_status(plan, &answer),
        fault: plan.name(),
    };
    if let Err(error) = shared.record(&received) {
        tracing::error!(%error, "could not write the record");
        answer = Answer::status(StatusCode::INTERNAL_SERVER_ERROR);
        received.status = final_status(plan, &answer);
    }
    count(shared, verdict.outcome, plan);
    if !received.is_token_request
        && !received.body.is_empty()
        && shared.seen.is_repeated(&received.body)
    {
        shared.counters.duplicates.add(1);
    }
    let is_told =
        verdict.outcome == Outcome::Accepted && received.status == StatusCode::OK.as_u16();
    if is_told && let Some(message) = &received.message {
        shared.counters.add_message(message);
        if let Some(states) = &shared.states {
            states.apply(message);
        }
    }
    shared.show(received);
    answer
}

/// The request as text, as a page for debugging shows it.
fn echo(parts: &Parts, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{} {}\n", parts.method, parts.uri).into_bytes();
    for (name, value) in &parts.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(body);
    text
}

fn count(shared: &Shared, outcome: Outcome, plan: &Plan) {
    let counters = &shared.counters;
    counters.requests.add(1);
    match outcome {
        Outcome::Accepted | Outcome::Token => {}
        Outcome::Unauthorized => counters.unauthorized.add(1),
        Outcome::BadSignature => counters.bad_signatures.add(1),
        Outcome::Invalid => counters.invalid.add(1),
    }
    if *plan != Plan::default() {
        counters.faulted.add(1);
    }
}

/// The status the sender will see, 0 for none.
fn final_status(plan: &Plan, answer: &Answer) -> u16 {
    match &plan.behaviour {
        Some(Behaviour::Status(status)) => status.as_u16(),
        Some(Behaviour::Redirect(status, _) | Behaviour::RetryAfter(status, _)) => status.as_u16(),
        Some(Behaviour::Scripted(scripted)) => scripted.status(),
        Some(
            Behaviour::Hang | Behaviour::Reset | Behaviour::AcceptReset | Behaviour::AcceptHang,
        ) => 0,
        Some(
            Behaviour::Delay(_)
            | Behaviour::SlowBody(_)
            | Behaviour::BigBody(_)
            | Behaviour::Gzip
            | Behaviour::Echo(_),
        )
        | None => answer.status.as_u16(),
    }
}

/// Carries out the fault, or else just answers.
async fn carry_out(
    shared: &Shared,
    plan: Plan,
    answer: Answer,
) -> Result<Response<ReplyBody>, Cut> {
    if !plan.delay.is_zero() {
        tokio::select! {
            () = sleep(plan.delay) => {}
            () = shared.stopped() => return Err(Cut::Close),
        }
    }
    let Some(behaviour) = plan.behaviour else {
        return Ok(answer.into_response());
    };
    match behaviour {
        Behaviour::Status(status) => Ok(Answer::status(status).into_response()),
        Behaviour::Redirect(status, location) => Ok(Answer::status(status)
            .with(header::LOCATION, location)
            .into_response()),
        Behaviour::RetryAfter(status, when) => Ok(Answer::status(status)
            .with(header::RETRY_AFTER, when)
            .into_response()),
        Behaviour::Scripted(scripted) => Err(Cut::Scripted(scripted)),
        Behaviour::SlowBody(interval) => Ok(reply::slow(answer.status, interval)),
        Behaviour::BigBody(bytes) => Ok(reply::big(answer.status, bytes)),
        Behaviour::Gzip => Ok(answer.gzipped().into_response()),
        Behaviour::Reset => Err(Cut::Reset),
        // A sender that gives up closes the connection, which ends this wait as well.
        Behaviour::Hang => {
            shared.stopped().await;
            Err(Cut::Close)
        }
        // Planned elsewhere or above; answering is the safe thing to do.
        Behaviour::Echo(_)
        | Behaviour::Delay(_)
        | Behaviour::AcceptReset
        | Behaviour::AcceptHang => Ok(answer.into_response()),
    }
}
