//! `GET /v1/destinations/{id}/undelivered`: the users whose last message was given up, and
//! `POST …/undelivered/{uuid}/resend` and `POST …/undelivered/resend` to send them again.

use super::{
    answer, blocking,
    query::{Query, page_limit},
    unknown_destination,
};
use crate::{core::Resent, server::Shared, writer::Control};
use axum::{
    Json,
    extract::{Path, RawQuery, State},
    http::StatusCode,
};
use serde_json::{Value, json};
use std::sync::Arc;
use tidings_collect::Problem;
use tidings_model::{DestinationId, DeviceUuid};
use tidings_store::{PendingRow, Resend, Store, StoreError, Undelivered};
use tokio::sync::oneshot;

/// Pairs that are counted for an answer.
const COUNTED_MAX: usize = 10_000;

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let destination = find(&shared, &id)?;
    let mut query = Query::parse(query.as_deref(), &["limit", "cursor"])?;
    let limit = page_limit(&mut query)?;
    let what = "the next_cursor of an earlier answer";
    let after: Option<DeviceUuid> = query.with("cursor", what, |text| text.parse().ok())?;
    blocking(&shared, move |store| {
        let pairs = store.undelivered(destination, after.as_ref(), limit)?;
        let next = pairs.last().filter(|_| pairs.len() == limit);
        let next = next.map(|(uuid, _)| uuid.to_string());
        let mut shown = Vec::with_capacity(pairs.len());
        for (uuid, pair) in &pairs {
            let pending = store.pending_row(destination, uuid)?;
            shown.push(show(uuid, pair, pending));
        }
        Ok(Json(json!({
            "destination": destination.0,
            "undelivered": shown,
            "next_cursor": next,
        })))
    })
    .await
}

pub(super) async fn resend_one(
    State(shared): State<Arc<Shared>>,
    Path((id, uuid)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let destination = find(&shared, &id)?;
    let uuid: DeviceUuid = uuid.parse().map_err(|error| {
        let detail = format!("uuid: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "invalid_uuid", detail)
    })?;
    let (reply, resent) = oneshot::channel();
    let device = uuid.clone();
    shared.writer.control(Control::ResendOne {
        destination,
        uuid: device,
        reply,
    });
    let result = match answer(&shared, resent).await? {
        Resent::Waiting => "waiting",
        Resent::Healed => "nothing_to_tell",
        Resent::NotListed => {
            let detail = "the device is not listed as undelivered at this destination";
            return Err(Problem::new(
                StatusCode::NOT_FOUND,
                "not_undelivered",
                detail,
            ));
        }
    };
    let body = json!({
        "destination": destination.0,
        "device": uuid.to_string(),
        "result": result,
    });
    Ok((StatusCode::ACCEPTED, Json(body)))
}

pub(super) async fn resend_all(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let destination = find(&shared, &id)?;
    // Before it begins, so that none is sent off before it is counted.
    let count = blocking(&shared, move |store| count(store, destination)).await?;
    let (reply, begun) = oneshot::channel();
    let control = Control::ResendAll { destination, reply };
    shared.writer.control(control);
    let resend = answer(&shared, begun).await?;
    let body = json!({
        "destination": destination.0,
        "undelivered": count,
        "resend": progress(&resend),
    });
    Ok((StatusCode::ACCEPTED, Json(body)))
}

/// How many pairs of a destination are listed as undelivered, counted up to a bound.
pub(super) fn count(store: &Store, destination: DestinationId) -> Result<Value, StoreError> {
    let counted = store.undelivered_count(destination, COUNTED_MAX + 1)?;
    Ok(json!({
        "users": (counted <= COUNTED_MAX).then_some(counted),
        "users_at_least": counted.min(COUNTED_MAX),
    }))
}

/// How far a resend has come.
pub(super) fn progress(resend: &Resend) -> Value {
    let Resend {
        asked,
        ended,
        resent,
        healed,
        after: _,
    } = resend;
    json!({
        "asked": asked.to_string(),
        "ended": ended.map(|at| at.to_string()),
        "put_back": resent,
        "nothing_to_tell": healed,
    })
}

fn find(shared: &Shared, id: &str) -> Result<DestinationId, Problem> {
    let destinations = shared.destinations();
    let mut ids = destinations.iter().map(|named| named.id);
    ids.find(|destination| destination.to_string() == id)
        .ok_or_else(unknown_destination)
}

/// A pair that waits, waits since its change; one that does not was dropped when its message failed.
fn show(uuid: &DeviceUuid, pair: &Undelivered, pending: Option<PendingRow>) -> Value {
    let Undelivered { at, reason, held } = pair;
    let since = pending.map_or(*at, |pending| pending.since);
    json!({
        "device": uuid.to_string(),
        "since": since.to_string(),
        "last_failed": at.to_string(),
        "why": reason,
        "state": if *held { "held" } else { "dropped" },
        "waiting": pending.is_some(),
    })
}
