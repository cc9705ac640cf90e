//! `POST /v1/privacy/requests`: what a document asks for, for each of its users in order.
//!
//! What is asked to be told is read before anything is deleted, so the answer is complete also for a
//! user who is deleted, and one that would be too large changes nothing. Deletions are then made user by
//! user; whoever gets no answer asks again, which finds what is left.

use super::{
    begin,
    document::{self, Action, Document, UserId},
    report, stored,
};
use crate::{core::PrivacyRequest, server::Shared, writer::Control};
use axum::{
    Json,
    extract::{State, rejection::BytesRejection},
    http::StatusCode,
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};
use std::sync::Arc;
use tidings_collect::{Problem, code};
use tidings_model::limits;
use tokio::sync::oneshot;

/// What a document came to: its users, with an answer to each of their ids.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    regulation: &'static str,
    users: Vec<AnsweredUser>,
}

#[derive(Debug, Serialize)]
struct AnsweredUser {
    key: String,
    action: Vec<Action>,
    #[serde(rename = "userIDs")]
    ids: Vec<AnsweredId>,
}

#[derive(Debug, Serialize)]
struct AnsweredId {
    #[serde(flatten)]
    id: UserId,
    /// What is stored, as `/v1/privacy/access` tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Box<RawValue>>,
    /// Who hears of the deletion, as `/v1/privacy/delete` tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    delete: Option<Value>,
}

pub(crate) async fn requests(
    State(shared): State<Arc<Shared>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Answer>, Problem> {
    let body = body.map_err(|rejection| refuse_body(&rejection))?;
    let (reply, answer) = oneshot::channel();
    shared.writer.control(Control::Catalog { reply });
    let catalog = crate::admin::answer(&shared, answer).await?;
    let document = document::parse(&body, &catalog)?;
    drop((body, catalog));
    let told = tell(&shared, &document).await?;
    Ok(Json(delete(&shared, document, told).await?))
}

/// What is stored under every id whose user asks for that, in the order of the document.
async fn tell(shared: &Shared, document: &Document) -> Result<Vec<Option<Box<RawValue>>>, Problem> {
    let (mut told, mut bytes) = (Vec::new(), 0);
    for user in &document.users {
        let asks = user.actions.contains(&Action::Access);
        for (_, subject) in &user.ids {
            if !asks {
                told.push(None);
                continue;
            }
            let stored = stored(shared, subject.clone()).await?;
            let text = to_raw_value(&stored).map_err(|_| Problem::internal())?;
            bytes += text.get().len();
            if bytes > limits::PRIVACY_ANSWER_BYTES_MAX {
                return Err(too_much());
            }
            told.push(Some(text));
        }
    }
    Ok(told)
}

/// Deletes whoever is to be deleted. What was told goes into the answer.
async fn delete(
    shared: &Shared,
    document: Document,
    told: Vec<Option<Box<RawValue>>>,
) -> Result<Answer, Problem> {
    let mut told = told.into_iter();
    let mut users = Vec::with_capacity(document.users.len());
    for (number, user) in document.users.into_iter().enumerate() {
        let asks = user.actions.contains(&Action::Delete);
        let mut ids = Vec::with_capacity(user.ids.len());
        // All ids of a user share a commit.
        for (id, subject) in user.ids {
            let access = told.next().flatten();
            let answer = asks.then(|| begin(shared, PrivacyRequest::Delete, subject));
            ids.push((id, access, answer));
        }
        let mut answered = Vec::with_capacity(ids.len());
        for (place, (id, access, answer)) in ids.into_iter().enumerate() {
            let at = format!("users[{number}].userIDs[{place}].namespace");
            let delete = match answer {
                Some(answer) => Some(report(shared, answer, &at).await?),
                None => None,
            };
            answered.push(AnsweredId { id, access, delete });
        }
        users.push(AnsweredUser {
            key: user.key,
            action: user.actions,
            ids: answered,
        });
    }
    Ok(Answer {
        regulation: document.regulation,
        users,
    })
}

fn too_much() -> Problem {
    let max = limits::PRIVACY_ANSWER_BYTES_MAX;
    let detail = format!(
        "what is stored about the users of the document has more than {max} bytes; \
         nothing was deleted, ask about fewer users at once"
    );
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "answer_too_large", detail)
}

fn refuse_body(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let max = limits::PRIVACY_REQUEST_BYTES_MAX;
        let detail = format!("the document has more than {max} bytes");
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, code::BODY_TOO_LARGE, detail);
    }
    let detail = "the body broke off";
    Problem::new(StatusCode::BAD_REQUEST, code::BROKEN_BODY, detail)
}
