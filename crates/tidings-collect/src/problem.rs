//! Errors of our own HTTP interfaces: RFC 9457 problem bodies with a stable `code`.
//!
//! The `type` is left out, which means `about:blank`: the title is that of the status, and `code`
//! says which problem it is. Details are for people and carry no secret and no event data beyond
//! what the client sent itself.

use crate::code;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use std::time::Duration;

/// An answer that says what went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    place: Option<(usize, usize)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The media type of [`Problem`] bodies.
pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

impl Problem {
    /// A problem with its status, its stable code and what a person should know.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            place: None,
            headers: Vec::new(),
        }
    }

    /// A fault of ours. The cause belongs in the log, not in the answer.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "the request met a fault of the server; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, detail)
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// What a person should know.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Adds where in the request's body the problem lies, both from 1.
    #[must_use]
    pub const fn at(mut self, line: usize, column: usize) -> Self {
        self.place = Some((line, column));
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds when to try again: whole seconds, rounded up, at least one.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Duration) -> Self {
        let started = u64::from(retry_after.subsec_nanos() > 0);
        let seconds = retry_after.as_secs().saturating_add(started).max(1);
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Says that the connection ends here, for requests whose body is not read to its end.
    #[must_use]
    pub fn closing(self) -> Self {
        self.with_header(header::CONNECTION, HeaderValue::from_static("close"))
    }
}

/// Answers 404; a fallback for routers.
pub async fn not_found() -> Problem {
    let detail = "there is nothing at this path";
    Problem::new(StatusCode::NOT_FOUND, code::NOT_FOUND, detail)
}

/// Answers 405, naming the methods that the path takes, such as `"GET, POST"`.
#[must_use]
pub fn method_not_allowed(allowed: &'static str) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        code::METHOD_NOT_ALLOWED,
        format!("this path takes {allowed}"),
    )
    .with_header(header::ALLOW, HeaderValue::from_static(allowed))
}

#[derive(Serialize)]
struct Wire<'a> {
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let wire = Wire {
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            line: self.place.map(|(line, _)| line),
            column: self.place.map(|(_, column)| column),
        };
        let body = serde_json::to_vec(&wire).expect("texts and numbers are always JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        headers.extend(self.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_retry_after(millis: u64, expected: &str) {
        let problem = Problem::internal().with_retry_after(Duration::from_millis(millis));
        let response = problem.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], expected);
    }

    #[test]
    fn retry_after_is_rounded_up() {
        check_retry_after(0, "1");
        check_retry_after(1000, "1");
        check_retry_after(1001, "2");
        check_retry_after(u64::MAX, "18446744073709552");
    }
}
