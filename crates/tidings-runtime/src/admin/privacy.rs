//! `POST /v1/privacy/opt-out` and `/v1/privacy/delete`: somebody opts out or is deleted, and the answer
//! says who of the partners hears of it. `/v1/privacy/access` answers with what is stored, and changes
//! nothing.
//!
//! `/v1/privacy/requests` does both for many people at once, by the document of data privacy services
//! (`privacy/document.rs`, `privacy/requests.rs`).
//!
//! The answer comes once everything is durable. Asking again does no harm: it finds what is left.

mod document;
mod requests;

pub(super) use requests::requests;

use crate::{
    access,
    core::{ActiveCatalog, PrivacyReport, PrivacyRequest},
    server::Shared,
    writer::{Control, PrivacyAnswer},
};
use axum::{Json, extract::State, http::StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use tidings_collect::{Problem, Subject, parse_subject};
use tidings_store::Store;
use tokio::sync::oneshot;

pub(super) async fn opt_out(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    ask(&shared, PrivacyRequest::OptOut, &body).await
}

pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    ask(&shared, PrivacyRequest::Delete, &body).await
}

pub(super) async fn access(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let wrong = |code, detail| Problem::new(StatusCode::BAD_REQUEST, code, detail);
    let subject = parse_subject(&body).map_err(|error| wrong(error.code, error.message))?;
    Ok(Json(stored(&shared, subject).await?))
}

/// What is stored about a subject.
async fn stored(shared: &Shared, subject: Subject) -> Result<Value, Problem> {
    let (devices, id_opted_out) = match subject {
        Subject::Device(uuid) => (vec![uuid], None),
        Subject::Id { data_source, id } => {
            let read = move |store: &Store| {
                let links = store.links(data_source, &id)?;
                let opted_out = store.opted_out(store.opt_out_mark(data_source, &id))?;
                Ok((links, opted_out))
            };
            let (links, opted_out) = super::blocking(shared, read).await?;
            let devices = links.into_iter().map(|link| link.uuid).collect();
            (devices, Some(opted_out))
        }
    };
    let mut held = Vec::with_capacity(devices.len());
    for uuid in devices {
        let (reply, answer) = oneshot::channel();
        let device = uuid.clone();
        shared.writer.control(Control::Profile {
            uuid: device,
            reply,
        });
        let (catalog, profile) = super::answer(shared, answer).await?;
        // A profile may have a great many traits, and what is asked here must hold up nothing.
        let told =
            tokio::task::spawn_blocking(move || access::to_json(&uuid, &catalog, &profile)).await;
        held.push(told.map_err(|_| super::unavailable())?);
    }
    Ok(json!({ "id_opted_out": id_opted_out, "devices": held }))
}

async fn ask(
    shared: &Shared,
    request: PrivacyRequest,
    body: &[u8],
) -> Result<Json<Value>, Problem> {
    let wrong = |code, detail| Problem::new(StatusCode::BAD_REQUEST, code, detail);
    let subject = parse_subject(body).map_err(|error| wrong(error.code, error.message))?;
    let answer = begin(shared, request, subject);
    report(shared, answer, "id.data_source").await.map(Json)
}

/// Asks the writer, which answers requests in their order.
fn begin(
    shared: &Shared,
    request: PrivacyRequest,
    subject: Subject,
) -> oneshot::Receiver<Option<PrivacyAnswer>> {
    let (reply, answer) = oneshot::channel();
    shared.writer.control(Control::Privacy {
        request,
        subject,
        reply,
    });
    answer
}

/// What a request came to; `at` is where it names its data source.
async fn report(
    shared: &Shared,
    answer: oneshot::Receiver<Option<PrivacyAnswer>>,
    at: &str,
) -> Result<Value, Problem> {
    let Some((catalog, report)) = super::answer(shared, answer).await? else {
        return Err(document::unknown_data_source(at));
    };
    Ok(to_json(shared, &catalog, &report))
}

/// The report: the devices, and per destination that may know of a membership what becomes of it.
fn to_json(shared: &Shared, catalog: &ActiveCatalog, report: &PrivacyReport) -> Value {
    let devices: Vec<_> = report.devices.iter().map(ToString::to_string).collect();
    let at_work = shared.destinations();
    let destinations = report.destinations.iter().map(|(&id, told)| {
        let mut destinations = catalog.catalog.destinations.iter();
        let destination = destinations.find(|destination| destination.id == id);
        let is_paused = at_work
            .iter()
            .any(|named| named.id == id && named.paused.is_some());
        let held_back_by = match destination {
            None => Some("not_in_catalog"),
            Some(_) if is_paused => Some("paused"),
            Some(_) => None,
        };
        let not_told = told.not_told.iter();
        let segments = not_told.map(|(&(segment, reason), &memberships)| {
            json!({ "segment": segment.0, "reason": reason, "memberships": memberships })
        });
        let segments: Vec<_> = segments.collect();
        json!({
            "id": id.0,
            "name": destination.map(|destination| &*destination.name),
            "memberships": told.known,
            "to_be_told": told.owed,
            "to_be_told_in_batch": told.in_batch,
            "not_told": told.not_told.values().sum::<u64>(),
            "not_told_segments": segments,
            "held_back_by": held_back_by,
        })
    });
    json!({
        "devices": devices,
        "destinations": destinations.collect::<Vec<_>>(),
    })
}
