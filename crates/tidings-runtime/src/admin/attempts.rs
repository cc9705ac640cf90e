//! `GET /v1/destinations/{id}/attempts`: the attempt log of a destination, the newest first.

use super::{
    blocking,
    query::{Query, page_limit},
    unknown_destination,
};
use crate::{core::message_name, server::Shared};
use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use serde_json::{Value, json};
use std::sync::Arc;
use tidings_collect::Problem;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Timestamp};
use tidings_store::{AttemptKey, AttemptRecord, PhaseMicros, Store, StoreError};

/// Pages of the log that are read for one answer: a search that finds little ends with a cursor, not
/// with a long wait.
const PAGES_READ_MAX: usize = 100;
/// Pages read in one go.
const PAGES_READ: usize = 10;

/// What is looked for.
struct Search {
    from: Timestamp,
    /// Where to go on, backwards: before this page, or in it before this attempt.
    before: (AttemptKey, usize),
    outcome: Option<Outcome>,
    device: Option<DeviceUuid>,
    limit: usize,
}

enum Outcome {
    Delivered,
    Failed,
    Named(String),
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Problem> {
    let search = search(query.as_deref())?;
    let destination = DestinationId(id.parse().map_err(|_| unknown_destination())?);
    let known = shared
        .destinations()
        .iter()
        .any(|named| named.id == destination);
    blocking(&shared, move |store| {
        if !known && store.last_attempts(destination)?.is_none() {
            return Ok(Err(unknown_destination()));
        }
        find(store, destination, search).map(Ok)
    })
    .await?
    .map(Json)
}

fn search(query: Option<&str>) -> Result<Search, Problem> {
    let mut query = Query::parse(
        query,
        &["from", "to", "outcome", "device", "limit", "cursor"],
    )?;
    let from = query.time("from")?.unwrap_or(Timestamp(0));
    let to = query.time("to")?;
    let cursor = query.with(
        "cursor",
        "the next_cursor of an earlier answer",
        parse_cursor,
    )?;
    // Pages of one second differ by position: all of them end before the next second.
    let to = AttemptKey {
        time: to.unwrap_or(Timestamp(1 << 39)),
        position: 0,
    };
    let outcome = query.text("outcome").map(|outcome| match &*outcome {
        "delivered" => Outcome::Delivered,
        "failed" => Outcome::Failed,
        _ => Outcome::Named(outcome),
    });
    Ok(Search {
        from,
        before: cursor.unwrap_or((to, 0)),
        outcome,
        device: query.with("device", "a device's UUID in digits", |text| {
            text.parse().ok()
        })?,
        limit: page_limit(&mut query)?,
    })
}

/// `1469636242.4096.7`: page and attempt.
fn parse_cursor(text: &str) -> Option<(AttemptKey, usize)> {
    let mut parts = text.split('.');
    let time = Timestamp(parts.next()?.parse().ok().filter(|&time: &i64| time >= 0)?);
    let position = parts.next()?.parse().ok()?;
    let index = parts.next()?.parse().ok()?;
    let cursor = (AttemptKey { time, position }, index);
    parts.next().is_none().then_some(cursor)
}

fn cursor((page, index): (AttemptKey, usize)) -> String {
    format!("{}.{}.{index}", page.time.0, page.position)
}

fn find(store: &Store, destination: DestinationId, search: Search) -> Result<Value, StoreError> {
    let mut found = Vec::new();
    let (mut before, mut index) = search.before;
    let mut read = 0;
    let next = 'read: loop {
        // A cursor within a page: that page is read again.
        let end = AttemptKey {
            position: before.position + u64::from(index > 0),
            ..before
        };
        let pages = store.attempts(destination, end, search.from, PAGES_READ)?;
        let complete = pages.len() < PAGES_READ;
        for (page, attempts) in pages {
            let until = if page == before && index > 0 {
                index
            } else {
                attempts.len()
            };
            let numbered = attempts.iter().enumerate().take(until).rev();
            for (number, attempt) in numbered {
                if found.len() == search.limit {
                    break 'read Some((page, number + 1));
                }
                if search.wants(attempt) {
                    found.push(show(page, attempt));
                }
            }
            (before, index) = (page, 0);
            read += 1;
        }
        if complete {
            break None;
        }
        if read >= PAGES_READ_MAX {
            break Some((before, 0));
        }
    };
    Ok(json!({
        "destination": destination.0,
        "attempts": found,
        "next_cursor": next.map(cursor),
    }))
}

impl Search {
    fn wants(&self, attempt: &AttemptRecord) -> bool {
        let outcome = match &self.outcome {
            None => true,
            Some(Outcome::Delivered) => attempt.delivered,
            Some(Outcome::Failed) => !attempt.delivered,
            Some(Outcome::Named(name)) => outcome(attempt) == *name,
        };
        let device = self.device.as_ref();
        outcome && device.is_none_or(|device| attempt.devices.contains(device))
    }
}

fn outcome(attempt: &AttemptRecord) -> String {
    match attempt.status {
        Some(status) if attempt.outcome.is_empty() => format!("status_{status}"),
        _ => attempt.outcome.to_string(),
    }
}

fn show(page: AttemptKey, attempt: &AttemptRecord) -> Value {
    let AttemptRecord {
        message,
        number,
        batch,
        delivered,
        reused,
        began,
        namespace,
        users,
        devices,
        bytes,
        hash,
        status,
        outcome: _,
        detail,
        micros,
        retry_after,
        excerpt,
    } = attempt;
    let PhaseMicros {
        dns,
        connect,
        tls,
        write,
        response,
        total,
    } = *micros;
    let ms = |micros: Option<u32>| micros.map(|micros| f64::from(micros) / 1000.0);
    let hash: Vec<_> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = hash.join("");
    json!({
        "time": began.to_string(),
        "recorded": page.time.to_string(),
        "message": message_name(*message),
        "attempt": number,
        "kind": if *batch { "batch" } else { "realtime" },
        "namespace": (*namespace != DataSourceId::NONE).then_some(namespace.0),
        "users": users,
        "devices": devices.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "bytes": bytes,
        "body_sha256_prefix": (hash != "0000000000000000").then_some(hash),
        "outcome": outcome(attempt),
        "delivered": delivered,
        "status": status,
        "detail": (!detail.is_empty()).then_some(detail),
        "connection_reused": reused,
        "timings_ms": {
            "dns": ms(dns),
            "connect": ms(connect),
            "tls": ms(tls),
            "write": ms(write),
            "response": ms(response),
            "total": f64::from(total) / 1000.0,
        },
        "retry_after_seconds": retry_after,
        "response_excerpt": (!excerpt.is_empty()).then_some(excerpt),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back() {
        let page = AttemptKey {
            time: Timestamp(1_469_636_242),
            position: 4096,
        };
        assert_eq!(parse_cursor(&cursor((page, 7))), Some((page, 7)));
        for wrong in ["", "1.2", "1.2.3.4", "-1.2.3", "a.b.c"] {
            assert_eq!(parse_cursor(wrong), None, "{wrong}");
        }
    }
}
