//! `/v1/destinations`: what the admin side tells of each destination, and the operator's pause.

use super::{unavailable, undelivered};
use crate::{
    courier::Pause,
    destination::read,
    server::Shared,
    stats::{DestinationState, ExportBlocks, NamedStats, Paused},
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tidings_collect::Problem;
use tidings_dispatch::Health;
use tidings_model::{DestinationId, Timestamp};
use tidings_store::{Store, StoreError};

/// Pending pairs that are counted; reading them takes a tenth of a second or so.
const PENDING_COUNTED_MAX: usize = 100_000;
/// Rows read in one go.
const PAGE: usize = 1_000;

/// All of them.
pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let destinations: Vec<_> = shared.destinations().iter().map(figures).collect();
    Json(json!({ "destinations": destinations }))
}

/// One of them, with what waits on disk.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let named = find(&shared, &id)?;
    let (store, destination) = (Arc::clone(&shared.store), named.id);
    // Not on the writer's thread: events do not wait for it.
    let counted = tokio::task::spawn_blocking(move || {
        let (count, oldest) = pending(&store, destination)?;
        let undelivered = undelivered::count(&store, destination)?;
        let resend = store.resend(destination)?;
        Ok::<_, StoreError>((count, oldest, undelivered, resend))
    });
    let (count, oldest, listed, resend) = counted
        .await
        .map_err(|_| unavailable())?
        .map_err(|_| unavailable())?;
    let mut figures = figures(&named);
    let age = oldest.map(|oldest| shared.clock.now().seconds_since(oldest));
    figures["pending"] = json!({
        "users": (count < PENDING_COUNTED_MAX).then_some(count),
        "users_at_least": count,
        "oldest": text(oldest),
        "oldest_seconds": age,
    });
    figures["undelivered"] = listed;
    figures["resend"] = json!(resend.as_ref().map(undelivered::progress));
    Ok(Json(figures))
}

/// Users to be told, counted up to a bound, and since when the first of those waits.
fn pending(
    store: &Store,
    destination: DestinationId,
) -> Result<(usize, Option<Timestamp>), StoreError> {
    let (mut count, mut oldest, mut after) = (0, None, None);
    while count < PENDING_COUNTED_MAX {
        let page = store.pending(destination, after.as_ref(), PAGE)?;
        let first = page.iter().map(|(_, row)| row.since).min();
        oldest = oldest.into_iter().chain(first).min();
        count += page.len();
        if page.len() < PAGE {
            break;
        }
        after = page.into_iter().last().map(|(uuid, _)| uuid);
    }
    Ok((count, oldest))
}

/// Sends nothing new until it is resumed, over restarts too.
pub(super) async fn pause(
    shared: State<Arc<Shared>>,
    id: Path<String>,
) -> Result<Json<Value>, Problem> {
    set_pause(shared, id, Pause::On).await
}

/// Ends a pause.
pub(super) async fn resume(
    shared: State<Arc<Shared>>,
    id: Path<String>,
) -> Result<Json<Value>, Problem> {
    set_pause(shared, id, Pause::Off).await
}

async fn set_pause(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    pause: Pause,
) -> Result<Json<Value>, Problem> {
    let destination = find(&shared, &id)?.id;
    let deliveries = Arc::clone(&shared);
    // A file is written and synced.
    let set =
        tokio::task::spawn_blocking(move || deliveries.deliveries.set_pause(destination, pause));
    let set = set.await.map_err(|_| unavailable())?;
    set.map_err(|error| {
        tracing::error!(error = format!("{error:#}"), "could not note a pause");
        unavailable()
    })?;
    Ok(Json(figures(&find(&shared, &id)?)))
}

fn find(shared: &Shared, id: &str) -> Result<NamedStats, Problem> {
    let mut destinations = shared.destinations().into_iter();
    let named = destinations.find(|named| named.id.to_string() == id);
    named.ok_or_else(|| {
        // The id is whatever somebody typed: it is not repeated.
        let detail = "there is no destination with this id in the catalog";
        Problem::new(StatusCode::NOT_FOUND, "unknown_destination", detail)
    })
}

/// The figures of one destination.
pub(super) fn figures(named: &NamedStats) -> Value {
    let stats = &named.stats;
    let DestinationState {
        health,
        failing_since,
        last_failure,
        next_probe,
        quiet_until,
        alert,
        waiting,
        held,
        in_flight,
        next_batch,
        refused,
        secrets_refused,
    } = stats.state();
    let health = match (&refused, health) {
        (Some(_), _) => "refused",
        (None, None) => "starting",
        (None, Some(Health::Healthy)) => "healthy",
        (None, Some(Health::Recovering { .. })) => "recovering",
        (None, Some(Health::Failing { .. })) => "failing",
        (None, Some(Health::Open { .. })) => "open",
    };
    json!({
        "id": named.id.0,
        "name": named.name,
        "health": health,
        "failing_since": text(failing_since),
        "last_failure": last_failure,
        "next_probe": text(next_probe),
        "quiet_until": text(quiet_until),
        "alert": alert.map(|alert| json!({
            "since": alert.since.to_string(),
            "reason": alert.reason,
        })),
        "paused": named.paused.map(|paused| match paused {
            Paused::Catalog => json!({ "by": "catalog", "since": null }),
            Paused::Operator { since } => json!({ "by": "operator", "since": since.to_string() }),
        }),
        "refused": refused,
        "secrets_refused": secrets_refused,
        "oauth_refused": named.oauth_refused,
        "export_blocks": export_blocks(&named.export_blocks),
        "waiting": waiting,
        "held": held,
        "in_flight": in_flight,
        "next_batch": text(next_batch),
        "messages_delivered": read(&stats.messages_delivered),
        "messages_failed": read(&stats.messages_failed),
        "users_told": read(&stats.users_told),
        "attempts": read(&stats.attempts),
        "attempts_by_outcome": {
            "acknowledged": read(&stats.attempts_acknowledged),
            "refused": read(&stats.attempts_refused),
            "busy": read(&stats.attempts_busy),
            "failed": read(&stats.attempts_failed),
        },
        "attempts_reused": read(&stats.attempts_reused),
        "bytes_sent": read(&stats.bytes_sent),
        "attempt_micros": read(&stats.attempt_micros),
    })
}

/// The mappings that export controls keep back; some of them, if there are many.
fn export_blocks(blocks: &ExportBlocks) -> Value {
    let listed = blocks.listed.iter().map(|(segment, block)| {
        json!({
            "segment": segment.0,
            "control": block.forbidden.control(),
            "data_source": block.data_source.0,
            "trait": block.trait_id.0,
        })
    });
    json!({ "count": blocks.count, "mappings": listed.collect::<Vec<_>>() })
}

fn text(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}
