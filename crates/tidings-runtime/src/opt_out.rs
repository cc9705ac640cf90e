//! `POST /v1/opt-out` on the collect side: a device or a declared id opts out.
//!
//! The public form of the admin side's call: it answers once the opt-out is durable, and says nothing of
//! what is stored. The answer is the same whether anything is known of the device or the id.

use crate::{admin, core::PrivacyRequest, server::Shared, writer::Control};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::post,
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tidings_collect::{Problem, parse_subject, problem};
use tokio::sync::{Semaphore, oneshot};

/// Opt-outs that wait for the writer at once.
const WAITING_MAX: usize = 1_000;
/// Bytes of a request: an id has at most 512.
const BODY_BYTES_MAX: usize = 8 * 1024;
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct OptOuts {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
}

/// The route, to be merged with those of the event API.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let room = Arc::new(Semaphore::new(WAITING_MAX));
    let refuse = async || problem::method_not_allowed("POST");
    Router::new()
        .route("/v1/opt-out", post(opt_out).fallback(refuse))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(OptOuts { shared, room })
}

async fn opt_out(
    State(OptOuts { shared, room }): State<OptOuts>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let wrong = |code, detail| Problem::new(StatusCode::BAD_REQUEST, code, detail);
    let subject = parse_subject(&body).map_err(|error| wrong(error.code, error.message))?;
    let Ok(_place) = room.try_acquire() else {
        let detail = "too many opt-outs wait; send this one again";
        let full = Problem::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", detail);
        return Err(full.with_retry_after(RETRY_AFTER));
    };
    let (reply, answer) = oneshot::channel();
    shared.writer.control(Control::Privacy {
        request: PrivacyRequest::OptOut,
        subject,
        reply,
    });
    if admin::answer(&shared, answer).await?.is_none() {
        let detail = "id.data_source: there is no such data source".to_owned();
        return Err(wrong("unknown_data_source", detail));
    }
    Ok(Json(json!({ "opted_out": true })))
}
