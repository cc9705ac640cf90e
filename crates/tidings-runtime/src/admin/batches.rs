//! `GET /v1/destinations/{id}/batches`: the batches of a destination, the one under way included.

use crate::{
    server::Shared,
    writer::{BatchHistory, Control},
};
use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};
use std::sync::Arc;
use tidings_collect::Problem;
use tidings_store::BatchRecord;
use tokio::sync::oneshot;

pub(super) async fn history(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let named = shared
        .destinations()
        .into_iter()
        .find(|named| named.id.to_string() == id);
    let Some(named) = named else {
        return Err(super::unknown_destination());
    };
    let destination = named.id;
    let (reply, answer) = oneshot::channel();
    shared
        .writer
        .control(Control::BatchHistory { destination, reply });
    let BatchHistory { records, remaining } = super::answer(&shared, answer).await?;
    let running = records.last().filter(|record| record.ended.is_none());
    let next = named.stats.state().next_batch;
    Ok(Json(json!({
        "destination": destination.0,
        "next": next.map(|at| at.to_string()),
        "running": running.map(record),
        "devices_waiting": remaining,
        "batches": records.iter().rev().map(record).collect::<Vec<_>>(),
    })))
}

fn record(record: &BatchRecord) -> Value {
    let BatchRecord {
        number,
        due,
        started,
        ended,
        cut_short,
        received,
        attempted,
        succeeded,
        failed,
    } = *record;
    json!({
        "number": number,
        "due_time": due.to_string(),
        "start_time": started.to_string(),
        "end_time": ended.map(|at| at.to_string()),
        "received_records": received,
        "attempted_records": attempted,
        "success_records": succeeded,
        "failed_records": failed,
        "cut_short": cut_short,
        "success": ended.is_some() && !cut_short && failed == 0,
    })
}
