//! The private side: health, status, and the virtual clock of rehearsals.
//!
//! It has no authentication yet, which is why the server binds it to loopback only.

mod attempts;
mod batches;
mod destinations;
mod privacy;
mod query;
mod removals;
mod undelivered;
mod why;

use crate::{destination::read, server::Shared};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tidings_collect::Problem;
use tidings_model::{Timestamp, limits};
use tidings_store::{Store, StoreError};
use tokio::sync::oneshot;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/v1/status", get(status))
        .route("/v1/destinations/{id}/attempts", get(attempts::list))
        .route("/v1/destinations", get(destinations::list))
        .route("/v1/destinations/{id}", get(destinations::one))
        .route("/v1/destinations/{id}/pause", post(destinations::pause))
        .route("/v1/destinations/{id}/resume", post(destinations::resume))
        .route("/v1/destinations/{id}/batches", get(batches::history))
        .route("/v1/destinations/{id}/undelivered", get(undelivered::list))
        .route(
            "/v1/destinations/{id}/undelivered/resend",
            post(undelivered::resend_all),
        )
        .route(
            "/v1/destinations/{id}/undelivered/{uuid}/resend",
            post(undelivered::resend_one),
        )
        .route("/v1/removals", get(removals::export))
        .route("/v1/devices/{uuid}/why", get(why::why))
        .route("/v1/privacy/opt-out", post(privacy::opt_out))
        .route("/v1/privacy/delete", post(privacy::delete))
        .route("/v1/privacy/access", post(privacy::access))
        .route(
            "/v1/privacy/requests",
            post(privacy::requests).layer(DefaultBodyLimit::max(limits::PRIVACY_REQUEST_BYTES_MAX)),
        )
        .route("/v1/dev/clock", post(move_clock))
        .fallback(tidings_collect::problem::not_found)
        .with_state(shared)
}

/// Reads the store, away from the threads that serve others.
async fn blocking<T: Send + 'static>(
    shared: &Shared,
    read: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let store = Arc::clone(&shared.store);
    match tokio::task::spawn_blocking(move || read(&store)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::error!(error = &error as &dyn std::error::Error, "could not read");
            Err(unavailable())
        }
        Err(_panicked) => Err(unavailable()),
    }
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if *shared.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    // The answer comes from behind the last commit: it proves that the store still takes writes.
    let mut disk_full = shared.stats.disk_full.subscribe();
    let problem = tokio::select! {
        biased;
        Ok(_) = disk_full.wait_for(|&full| full) => "the disk is full\n",
        flushed = shared.writer.flush() => if flushed {
            return "ready\n".into_response();
        } else {
            "the store has failed\n"
        },
    };
    (StatusCode::SERVICE_UNAVAILABLE, problem).into_response()
}

async fn status(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let stats = &shared.stats;
    let destinations: Vec<_> = shared
        .destinations()
        .iter()
        .map(destinations::figures)
        .collect();
    let reload = shared.reload_state();
    Json(json!({
        "now": shared.clock.now().to_string(),
        "events": {
            "accepted": read(&stats.events_accepted),
            "duplicates": read(&stats.events_duplicate),
            "rejected": read(&stats.events_rejected),
        },
        "segments": {
            "entered": read(&stats.segments_entered),
            "left": read(&stats.segments_left),
        },
        "catalog": { "generation": reload.generation, "refused": reload.refused },
        "commits": read(&stats.commits),
        "disk_full": *stats.disk_full.borrow(),
        "destinations": destinations,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum ClockMove {
    Advance(String),
    Set(String),
}

async fn move_clock(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    if !shared.clock.is_virtual() {
        let detail = "the clock is the system's; set [clock] dangerous_virtual to rehearse";
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "clock_not_virtual",
            detail,
        ));
    }
    let wrong = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "invalid_clock", detail);
    let order = serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
    let to = match order {
        ClockMove::Set(time) => {
            Timestamp::parse(&time).map_err(|error| wrong(format!("set: {error}")))?
        }
        ClockMove::Advance(by) => {
            let by = tidings_catalog::parse_duration(&by)
                .map_err(|error| wrong(format!("advance: {error}")))?;
            let seconds = i64::try_from(by.as_secs()).unwrap_or(i64::MAX);
            shared.clock.now().plus_seconds(seconds)
        }
    };
    if !shared.clock.set(to) {
        let detail = format!(
            "{to} is before {}; time does not go back",
            shared.clock.now()
        );
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "clock_backwards",
            detail,
        ));
    }
    if !shared.writer.catch_up().await {
        return Err(unavailable());
    }
    Ok(Json(json!({ "now": shared.clock.now().to_string() })))
}

/// The writer's answer to something it was asked. It answers from behind the last commit, so not while
/// the disk is full.
pub(crate) async fn answer<T>(shared: &Shared, answer: oneshot::Receiver<T>) -> Result<T, Problem> {
    let mut disk_full = shared.stats.disk_full.subscribe();
    tokio::select! {
        biased;
        answer = answer => answer.map_err(|_| unavailable()),
        Ok(_) = disk_full.wait_for(|&full| full) => {
            let detail = "the disk is full";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail))
        }
    }
}

fn unknown_destination() -> Problem {
    // The id is whatever somebody typed: it is not repeated.
    let detail = "there is no destination with this id in the catalog";
    Problem::new(StatusCode::NOT_FOUND, "unknown_destination", detail)
}

/// The writer is gone and answers nothing.
fn unavailable() -> Problem {
    let detail = "the store has failed or the server is stopping";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
}
