//! `GET /v1/devices/{uuid}/why?segment=ID`: why a device is in a segment or not, and what partners
//! were told of it.

use super::unavailable;
use crate::{
    server::Shared,
    why::{self, Unknown},
    writer::Control,
};
use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use tidings_collect::Problem;
use tidings_model::{DestinationId, DeviceUuid, SegmentId};
use tokio::sync::oneshot;

/// What is asked for. Kept as text: an answer names the member that is wrong.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    segment: String,
    destination: Option<String>,
}

pub(super) async fn why(
    State(shared): State<Arc<Shared>>,
    Path(uuid): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let uuid: DeviceUuid = uuid
        .parse()
        .map_err(|error| wrong("invalid_uuid", format!("uuid: {error}")))?;
    let Query(asked) = asked.map_err(|error| wrong("invalid_query", error.body_text()))?;
    let segment: SegmentId = asked
        .segment
        .parse()
        .map_err(|error| wrong("invalid_query", format!("segment: {error}")))?;
    let destination: Option<DestinationId> = asked
        .destination
        .map(|id| id.parse())
        .transpose()
        .map_err(|error| wrong("invalid_query", format!("destination: {error}")))?;
    let (reply, answer) = oneshot::channel();
    let device = uuid.clone();
    shared.writer.control(Control::Profile {
        uuid: device,
        reply,
    });
    let (catalog, profile) = super::answer(&shared, answer).await?;
    let now = shared.clock.now();
    // A rule may read thousands of traits, and what is asked here must hold up nothing.
    let explained = tokio::task::spawn_blocking(move || {
        let why = why::explain(&catalog, &profile, segment, destination, now)?;
        Ok::<_, Unknown>(why::to_json(&uuid, &why))
    });
    let explained = explained.await.map_err(|_| unavailable())?;
    explained.map(Json).map_err(|unknown| {
        let code = match unknown {
            Unknown::Segment(_) => "unknown_segment",
            Unknown::Destination(_) => "unknown_destination",
        };
        Problem::new(StatusCode::NOT_FOUND, code, unknown.to_string())
    })
}

fn wrong(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code, detail)
}
