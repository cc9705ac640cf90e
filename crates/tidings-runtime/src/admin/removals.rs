//! `GET /v1/removals`: the removal ledger, streamed page by page as NDJSON or CSV.
//!
//! An answer that ends in the middle of a chunk, because the store failed, is cut off without its
//! last chunk: whoever reads it sees a broken answer and not a short one.

use super::query::Query;
use crate::{core::message_name, server::Shared};
use axum::{
    body::{Body, HttpBody},
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use http_body::Frame;
use serde_json::json;
use std::{
    io::{Error, Write as _},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tidings_collect::Problem;
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Timestamp};
use tidings_store::{RecordKind, Removal, RemovalEnd, RemovalKey, Removals, Store, StoreError};
use tokio::sync::mpsc;

/// Rows of the ledger read in one go.
const PAGE: usize = 500;
/// Chunks that wait for a slow reader.
const CHUNKS_MAX: usize = 2;

const CSV_HEAD: &str = "destination,device,segment,namespace,partner_id,state,cause,owed,tries,\
                        first_tried,last_tried,ended,message\r\n";

/// What is looked for.
struct Search {
    destination: Option<DestinationId>,
    device: Option<DeviceUuid>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    state: Option<Became>,
    format: Format,
}

/// What became of a Status 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    Owed,
    Acknowledged,
    Cancelled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Ndjson,
    Csv,
}

pub(super) async fn export(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let search = search(query.as_deref())?;
    let content_type = match search.format {
        Format::Ndjson => "application/x-ndjson",
        Format::Csv => "text/csv; charset=utf-8; header=present",
    };
    let (chunks, stream) = mpsc::channel(CHUNKS_MAX);
    let store = Arc::clone(&shared.store);
    // Ends by itself when the reader goes away.
    drop(tokio::task::spawn_blocking(move || {
        if let Err(error) = write_all(&store, &search, &chunks) {
            tracing::error!(error = &error as &dyn std::error::Error, "could not read");
            drop(chunks.blocking_send(Err(Error::other("the store failed"))));
        }
    }));
    let body = Body::new(Stream(stream));
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, content_type)], body).into_response())
}

fn search(query: Option<&str>) -> Result<Search, Problem> {
    let known = ["destination", "device", "from", "to", "state", "format"];
    let mut query = Query::parse(query, &known)?;
    let state = query.with(
        "state",
        "owed, acknowledged or cancelled",
        |text| match text {
            "owed" => Some(Became::Owed),
            "acknowledged" => Some(Became::Acknowledged),
            "cancelled" => Some(Became::Cancelled),
            _ => None,
        },
    )?;
    let format = query.with("format", "ndjson or csv", |text| match text {
        "ndjson" => Some(Format::Ndjson),
        "csv" => Some(Format::Csv),
        _ => None,
    })?;
    Ok(Search {
        destination: query.with("destination", "a destination's id", |text| {
            text.parse().ok()
        })?,
        device: query.with("device", "a device's UUID in digits", |text| {
            text.parse().ok()
        })?,
        from: query.time("from")?,
        to: query.time("to")?,
        state,
        format: format.unwrap_or(Format::Ndjson),
    })
}

/// Writes everything that is looked for; ends early when nobody reads any more.
fn write_all(
    store: &Store,
    search: &Search,
    chunks: &mpsc::Sender<Result<Bytes, Error>>,
) -> Result<(), StoreError> {
    let mut chunk = Vec::new();
    if search.format == Format::Csv {
        chunk.extend_from_slice(CSV_HEAD.as_bytes());
    }
    let destinations = match search.destination {
        Some(destination) => vec![destination],
        None => store.destinations_with(RecordKind::Removals)?,
    };
    for destination in destinations {
        let mut after: Option<RemovalKey> = None;
        loop {
            let rows = store.removals(destination, search.device.as_ref(), after.as_ref(), PAGE)?;
            for (key, removals) in &rows {
                search.write(key, removals, &mut chunk);
            }
            if !chunk.is_empty() {
                let bytes = Bytes::from(std::mem::take(&mut chunk));
                if chunks.blocking_send(Ok(bytes)).is_err() {
                    return Ok(());
                }
            }
            if rows.len() < PAGE {
                break;
            }
            after = rows.into_iter().last().map(|(key, _)| key);
        }
    }
    if !chunk.is_empty() {
        // Nobody left to read it is no failure.
        drop(chunks.blocking_send(Ok(chunk.into())));
    }
    Ok(())
}

impl Search {
    fn write(&self, key: &RemovalKey, removals: &Removals, out: &mut Vec<u8>) {
        for removal in removals.iter().filter(|removal| self.wants(removal)) {
            match self.format {
                Format::Ndjson => write_json(key, removal, out),
                Format::Csv => write_csv(key, removal, out),
            }
        }
    }

    fn wants(&self, removal: &Removal) -> bool {
        self.from.is_none_or(|from| removal.owed >= from)
            && self.to.is_none_or(|to| removal.owed < to)
            && self.state.is_none_or(|wanted| wanted == state(removal))
    }
}

const fn state(removal: &Removal) -> Became {
    match removal.end {
        RemovalEnd::Owed => Became::Owed,
        RemovalEnd::Acknowledged { .. } => Became::Acknowledged,
        RemovalEnd::Cancelled { .. } => Became::Cancelled,
    }
}

impl Became {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Owed => "owed",
            Self::Acknowledged => "acknowledged",
            Self::Cancelled => "cancelled",
        }
    }
}

fn namespace(key: &RemovalKey) -> Option<u32> {
    (key.namespace != DataSourceId::NONE).then_some(key.namespace.0)
}

fn tried(removal: &Removal) -> Option<(String, String)> {
    let (first, last) = removal.tried;
    (removal.tries > 0).then(|| (first.to_string(), last.to_string()))
}

fn message(removal: &Removal) -> Option<String> {
    match removal.end {
        RemovalEnd::Acknowledged { message, .. } => Some(message_name(message)),
        RemovalEnd::Owed | RemovalEnd::Cancelled { .. } => None,
    }
}

fn write_json(key: &RemovalKey, removal: &Removal, out: &mut Vec<u8>) {
    let (first, last) = tried(removal).unzip();
    let row = json!({
        "destination": key.destination.0,
        "device": key.uuid.to_string(),
        "segment": key.segment.0,
        "namespace": namespace(key),
        "partner_id": key.id,
        "state": state(removal).as_str(),
        "cause": removal.cause.as_str(),
        "owed": removal.owed.to_string(),
        "tries": removal.tries,
        "first_tried": first,
        "last_tried": last,
        "ended": removal.ended().map(|at| at.to_string()),
        "message": message(removal),
    });
    out.extend_from_slice(row.to_string().as_bytes());
    out.push(b'\n');
}

fn write_csv(key: &RemovalKey, removal: &Removal, out: &mut Vec<u8>) {
    let (first, last) = tried(removal).unwrap_or_default();
    // Writing into memory cannot fail.
    drop(write!(
        out,
        "{},{},{},{},{},{},{},{},{},{first},{last},{},{}\r\n",
        key.destination,
        key.uuid,
        key.segment,
        namespace(key).map(|id| id.to_string()).unwrap_or_default(),
        csv_text(&key.id),
        state(removal).as_str(),
        removal.cause.as_str(),
        removal.owed,
        removal.tries,
        removal.ended().map(|at| at.to_string()).unwrap_or_default(),
        message(removal).unwrap_or_default(),
    ));
}

/// A field with text of other people (RFC 4180), and with a quote before what a spreadsheet would
/// take for a formula.
fn csv_text(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let quote = if formula { "'" } else { "" };
    if formula || text.contains(['"', ',', '\n', '\r']) {
        format!("\"{quote}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// What the reading thread sends, as a body.
struct Stream(mpsc::Receiver<Result<Bytes, Error>>);

impl HttpBody for Stream {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let chunk = self.0.poll_recv(cx);
        chunk.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_model::SegmentId;
    use tidings_store::RemovalCause;

    #[test]
    fn a_removal_is_written_in_both_forms() {
        let key = RemovalKey {
            destination: DestinationId(423),
            uuid: "12".parse().unwrap(),
            segment: SegmentId(10),
            namespace: DataSourceId(55),
            id: "=a,\"b\"".into(),
        };
        let mut removal = Removal::new(RemovalCause::OptOut, Timestamp(0));
        removal.was_tried(Timestamp(60));
        removal.end = RemovalEnd::Acknowledged {
            at: Timestamp(60),
            message: 3 << 40 | 17,
        };
        let mut out = Vec::new();
        write_csv(&key, &removal, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "423,12,10,55,\"'=a,\"\"b\"\"\",acknowledged,opt_out,1970-01-01T00:00:00Z,1,\
             1970-01-01T00:01:00Z,1970-01-01T00:01:00Z,1970-01-01T00:01:00Z,3-17\r\n"
        );
        let mut out = Vec::new();
        write_json(&key, &removal, &mut out);
        let row: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(row["partner_id"], "=a,\"b\"");
        assert_eq!(row["message"], "3-17");
        assert_eq!(row["state"], "acknowledged");
        let fields = CSV_HEAD.trim_end().split(',');
        assert!(
            fields.into_iter().all(|field| row.get(field).is_some()),
            "{row}"
        );
    }

    #[test]
    fn plain_ids_stay_as_they_are() {
        assert_eq!(csv_text("4250948725049857"), "4250948725049857");
        assert_eq!(csv_text(""), "");
    }
}
