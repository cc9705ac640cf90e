//! The request document of data privacy services: about whom, under which ids, and what is to be done.
//!
//! ```json
//! {"companyContexts":[{"namespace":"imsOrgID","value":"1231659F56A68A8B7F000101@AdobeOrg"}],
//!  "users":[{"key":"David Smith","action":["delete"],
//!    "userIDs":[{"namespace":"20915","value":"FD3E9002-6787-4100-8C96-E6D7C65E0BC8","type":"namespaceId"}]}],
//!  "include":["AudienceManager"],"regulation":"ccpa"}
//! ```
//!
//! Invariant: what was read is sound as a whole, so nothing is done of a document with a mistake. No
//! value of the document is repeated in an error: they are people's ids and names.
//!
//! `companyContexts` is not looked at: there is one tenant.

use crate::core::ActiveCatalog;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::error::Category;
use tidings_collect::{Problem, Subject, code, declared};
use tidings_model::{DataSourceId, DeviceUuid, limits};

/// The product that a document is for, by the name that such documents have for it.
const PRODUCT: &str = "AudienceManager";
/// The namespace of Experience Cloud ids.
const EXPERIENCE_CLOUD: DataSourceId = DataSourceId(4);

/// A document, checked against a catalog.
#[derive(Debug)]
pub(super) struct Document {
    /// `gdpr` or `ccpa`.
    pub(super) regulation: &'static str,
    pub(super) users: Vec<User>,
}

/// One person.
#[derive(Debug)]
pub(super) struct User {
    /// What the sender calls the person; handed back with the answer.
    pub(super) key: String,
    /// Not empty.
    pub(super) actions: Vec<Action>,
    /// Not empty.
    pub(super) ids: Vec<(UserId, Subject)>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// What is stored is told.
    Access,
    /// What is stored goes.
    Delete,
}

/// An id, as the sender wrote it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserId {
    namespace: String,
    value: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "companyContexts")]
    _company_contexts: Option<IgnoredAny>,
    users: Vec<WrittenUser>,
    include: Option<Vec<String>>,
    regulation: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenUser {
    key: String,
    action: Vec<Action>,
    #[serde(rename = "userIDs")]
    ids: Vec<UserId>,
}

/// Reads a document.
///
/// # Errors
/// The first mistake, with the way to it, and with its line and column where it is one of form.
pub(super) fn parse(body: &[u8], catalog: &ActiveCatalog) -> Result<Document, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let written: Written = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        malformed(&path, error.inner())
    })?;
    json.end().map_err(|error| malformed(".", &error))?;
    let for_us = |include: &Vec<String>| include.iter().any(|product| product == PRODUCT);
    if !written.include.as_ref().is_none_or(for_us) {
        let detail = format!("include: {PRODUCT} is not among the products");
        return Err(wrong("not_included", detail));
    }
    let regulation = regulation(&written.regulation)?;
    let count = written.users.len();
    if !(1..=limits::PRIVACY_USERS_MAX).contains(&count) {
        let max = limits::PRIVACY_USERS_MAX;
        return Err(wrong(
            "too_many_users",
            format!("users: {count} users; 1 to {max} are taken"),
        ));
    }
    let mut ids = 0;
    let users = written.users.into_iter().enumerate().map(|(number, user)| {
        ids += user.ids.len();
        if ids > limits::PRIVACY_IDS_MAX {
            let max = limits::PRIVACY_IDS_MAX;
            let detail = format!("users[{number}].userIDs: over {max} ids in all users together");
            return Err(wrong("too_many_ids", detail));
        }
        check_user(user, &format!("users[{number}]"), catalog)
    });
    let users = users.collect::<Result<_, _>>()?;
    Ok(Document { regulation, users })
}

fn check_user(user: WrittenUser, at: &str, catalog: &ActiveCatalog) -> Result<User, Problem> {
    let WrittenUser { key, action, ids } = user;
    if key.is_empty() || key.chars().nth(limits::NAME_CHARS_MAX).is_some() {
        let max = limits::NAME_CHARS_MAX;
        return Err(wrong(
            INVALID,
            format!("{at}.key: expected 1 to {max} characters"),
        ));
    }
    if action.is_empty() {
        return Err(wrong(
            INVALID,
            format!("{at}.action: expected access, delete or both"),
        ));
    }
    if ids.is_empty() {
        return Err(wrong(
            INVALID,
            format!("{at}.userIDs: expected an id at least"),
        ));
    }
    let mut checked = Vec::with_capacity(ids.len());
    for (number, id) in ids.into_iter().enumerate() {
        let subject = subject(&id, &format!("{at}.userIDs[{number}]"), catalog)?;
        checked.push((id, subject));
    }
    let mut actions = Vec::with_capacity(2);
    for one in action {
        if !actions.contains(&one) {
            actions.push(one);
        }
    }
    Ok(User {
        key,
        actions,
        ids: checked,
    })
}

/// Whom an id is about.
fn subject(id: &UserId, at: &str, catalog: &ActiveCatalog) -> Result<Subject, Problem> {
    let data_source = match (&*id.kind, &*id.namespace) {
        ("standard" | "namespaceId", "CORE") | ("namespaceId", "0") => return device(id, at),
        ("standard" | "namespaceId", "ECID") => EXPERIENCE_CLOUD,
        ("standard", _) => {
            let detail = format!("{at}.namespace: with the type standard it is CORE or ECID");
            return Err(wrong(INVALID, detail));
        }
        ("namespaceId", number) => DataSourceId(number.parse().map_err(|_| {
            let detail = format!("{at}.namespace: expected the id of a data source, CORE or ECID");
            wrong(INVALID, detail)
        })?),
        ("integrationCode", code) => {
            let mut known = catalog.catalog.data_sources.iter();
            let found = known.find(|known| known.integration_code.as_deref() == Some(code));
            let none = || {
                let detail = format!("{at}.namespace: no data source has this integration code");
                wrong("unknown_integration_code", detail)
            };
            found.ok_or_else(none)?.id
        }
        _ => {
            let detail = format!("{at}.type: expected namespaceId, standard or integrationCode");
            return Err(wrong(INVALID, detail));
        }
    };
    if !catalog.compiled.has_data_source(data_source) {
        return Err(unknown_data_source(&format!("{at}.namespace")));
    }
    declared::check(data_source, &id.value)
        .map_err(|error| wrong(code::INVALID_ID, format!("{at}.value: {error}")))?;
    let id = id.value.as_str().into();
    Ok(Subject::Id { data_source, id })
}

fn device(id: &UserId, at: &str) -> Result<Subject, Problem> {
    let uuid: Result<DeviceUuid, _> = id.value.parse();
    let uuid = uuid.map_err(|error| wrong(code::INVALID_UUID, format!("{at}.value: {error}")))?;
    Ok(Subject::Device(uuid))
}

/// Published documents have it within brackets too.
fn regulation(text: &str) -> Result<&'static str, Problem> {
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let known = ["gdpr", "ccpa"];
    let mut known = known.into_iter();
    let found = known.find(|known| inner.unwrap_or(text).trim().eq_ignore_ascii_case(known));
    found.ok_or_else(|| wrong(INVALID, "regulation: expected gdpr or ccpa".to_owned()))
}

/// The document has not the form of one.
const INVALID: &str = "invalid_privacy_request";

/// What serde says of a wrong value may quote it, up to the word "expected".
fn malformed(path: &str, error: &serde_json::Error) -> Problem {
    let detail = if error.classify() == Category::Data {
        let path = if path == "." { "the document" } else { path };
        let text = error.to_string();
        let what = text
            .split_once(" at line ")
            .map_or(&*text, |(what, _)| what);
        match what.split_once(", expected ") {
            Some((_, expected)) => format!("{path}: expected {expected}"),
            None => format!("{path}: {what}"),
        }
    } else {
        "the document is not JSON".to_owned()
    };
    wrong(INVALID, detail).at(error.line(), error.column())
}

pub(super) fn unknown_data_source(at: &str) -> Problem {
    wrong(
        "unknown_data_source",
        format!("{at}: there is no such data source"),
    )
}

fn wrong(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code, detail)
}

#[cfg(test)]
mod tests;
