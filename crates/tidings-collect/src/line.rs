//! A line of an event file: an event with its time, or something else that happens at a time.
//!
//! Files are read in virtual time, so a line must have `time`, and no time lies in the future.
//! Besides events there are `{"time":…,"do":"opt_out","uuid":…}`, `{"time":…,"do":"delete","uuid":…}`,
//! either also with `"id":{"data_source":…,"id":…}` in place of `uuid`, and
//! `{"time":…,"do":"catalog","file":"other.yaml"}`.

use crate::{
    code, declared,
    parse::{EventError, parse_event},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::path::PathBuf;
use tidings_model::{DataSourceId, DeviceUuid, Event, Timestamp};

/// Whom an opt-out or a deletion is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A device.
    Device(DeviceUuid),
    /// A declared id, and the devices that it leads to.
    Id {
        /// Its namespace.
        data_source: DataSourceId,
        /// The id, not empty and within the limits of an event's ids.
        id: Box<str>,
    },
}

/// What a line of an event file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// An event; its `time` is present.
    Event(Event),
    /// Somebody opts out.
    OptOut {
        /// When.
        time: Timestamp,
        /// Who.
        who: Subject,
    },
    /// Somebody is deleted.
    Delete {
        /// When.
        time: Timestamp,
        /// Who.
        who: Subject,
    },
    /// The catalog is replaced.
    Catalog {
        /// When.
        time: Timestamp,
        /// By which file, as written in the line.
        file: PathBuf,
    },
}

impl Line {
    /// When it happens.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        match self {
            // The parser lets no event without a time through.
            Self::Event(event) => event.time.unwrap_or_default(),
            Self::OptOut { time, .. } | Self::Delete { time, .. } | Self::Catalog { time, .. } => {
                *time
            }
        }
    }
}

/// Reads one line, which is not blank; the caller knows the line's number and sets it.
///
/// # Errors
/// When the line is neither a valid event with a time nor a valid command. The error's line is 1.
pub fn parse_line(text: &str) -> Result<Line, EventError> {
    if is_command(text) {
        return parse_command(text);
    }
    let event = parse_event(text, Timestamp(i64::MAX))?;
    if event.time.is_none() {
        return Err(refuse(
            code::MISSING_TIME,
            "time: is missing, every line of an event file has one",
        ));
    }
    Ok(Line::Event(event))
}

/// Reads whom a request is about: `{"uuid":…}` or `{"id":{"data_source":…,"id":…}}`.
///
/// # Errors
/// When the text is not one of these, or the id is not one that events may have.
pub fn parse_subject(text: &[u8]) -> Result<Subject, EventError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        uuid: Option<String>,
        id: Option<CommandId>,
    }
    let asked: Asked = serde_json::from_slice(text)
        .map_err(|error| refuse(code::INVALID_COMMAND, &error.to_string()))?;
    subject(asked.uuid, asked.id)
}

/// True for an object with a member `do`; what is not JSON is left to the reader of events.
pub(crate) fn is_command(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Probe<'a> {
        #[serde(rename = "do", borrow)]
        command: Option<&'a RawValue>,
    }
    text.contains("\"do\"")
        && serde_json::from_str::<Probe<'_>>(text).is_ok_and(|probe| probe.command.is_some())
}

/// Something to be done, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    pub(crate) time: Option<String>,
    #[serde(rename = "do")]
    pub(crate) verb: String,
    uuid: Option<String>,
    id: Option<CommandId>,
    file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandId {
    data_source: u32,
    id: String,
}

/// Reads what is to be done, which may be anything.
pub(crate) fn read_command(text: &str) -> Result<Command, EventError> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let what = message
            .split_once(" at line ")
            .map_or(&*message, |(what, _)| what);
        EventError {
            line: error.line(),
            column: error.column(),
            ..refuse(code::INVALID_COMMAND, what)
        }
    })
}

fn parse_command(text: &str) -> Result<Line, EventError> {
    let command = read_command(text)?;
    let Some(time) = &command.time else {
        let message = "time: is missing, every line of an event file has one";
        return Err(refuse(code::MISSING_TIME, message));
    };
    let time = Timestamp::parse(time)
        .map_err(|error| refuse(code::INVALID_TIME, &format!("time: {error}")))?;
    match command.verb.as_str() {
        "opt_out" => command.subject().map(|who| Line::OptOut { time, who }),
        "delete" => command.subject().map(|who| Line::Delete { time, who }),
        "catalog" => command.file().map(|file| Line::Catalog { time, file }),
        _ => Err(refuse(
            code::INVALID_COMMAND,
            "do: expected opt_out, delete or catalog",
        )),
    }
}

impl Command {
    /// Whom it is about.
    pub(crate) fn subject(self) -> Result<Subject, EventError> {
        if self.file.is_some() {
            let message = "file: goes with \"do\":\"catalog\" only";
            return Err(refuse(code::INVALID_COMMAND, message));
        }
        subject(self.uuid, self.id)
    }

    fn file(self) -> Result<PathBuf, EventError> {
        if self.id.is_some() {
            let message = "id: goes with opt_out and delete only";
            return Err(refuse(code::INVALID_COMMAND, message));
        }
        match (self.file, self.uuid) {
            (Some(file), None) if !file.is_empty() => Ok(file.into()),
            (_, None) => Err(refuse(code::INVALID_COMMAND, "file: is missing")),
            (_, Some(_)) => Err(refuse(
                code::INVALID_COMMAND,
                "uuid: goes with opt_out and delete only",
            )),
        }
    }
}

fn subject(uuid: Option<String>, id: Option<CommandId>) -> Result<Subject, EventError> {
    match (uuid, id) {
        (Some(uuid), None) => uuid
            .parse()
            .map(Subject::Device)
            .map_err(|error| refuse(code::INVALID_UUID, &format!("uuid: {error}"))),
        (None, Some(id)) => id.check(),
        (None, None) => Err(refuse(code::INVALID_UUID, "uuid: is missing, and so is id")),
        (Some(_), Some(_)) => {
            let message = "id: uuid is given too, and there can be one of them";
            Err(refuse(code::INVALID_COMMAND, message))
        }
    }
}

impl CommandId {
    fn check(self) -> Result<Subject, EventError> {
        let data_source = DataSourceId(self.data_source);
        match declared::check(data_source, &self.id) {
            Ok(()) => Ok(Subject::Id {
                data_source,
                id: self.id.into(),
            }),
            Err(error) => Err(refuse(code::INVALID_ID, &format!("id.id: {error}"))),
        }
    }
}

pub(crate) fn refuse(code: &'static str, message: &str) -> EventError {
    EventError {
        code,
        message: message.to_owned(),
        line: 1,
        column: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match parse_line(text) {
            Ok(Line::Event(event)) => format!("event at {}", event.time.unwrap()),
            Ok(line) => format!("{line:?}"),
            Err(error) => format!("{} {}", error.code, error.message),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn reads_events_of_any_time() {
        let text = r#"{"time":"2999-01-01T00:00:00Z","signals":{"a":"\"do\""}}"#;
        check(text, "event at 2999-01-01T00:00:00Z");
        check(
            r#"{"uuid":"1"}"#,
            "missing_time time: is missing, every line of an event file has one",
        );
        let noon = parse_line(r#"{"time":"noon"}"#).unwrap_err();
        assert_eq!(noon.code, code::INVALID_TIME);
    }

    #[test]
    fn reads_commands() {
        check(
            r#"{"time":"1970-01-01T00:00:09Z","do":"opt_out","uuid":"7"}"#,
            "OptOut { time: Timestamp(9), who: Device(7) }",
        );
        check(
            r#"{"do":"delete","uuid":"7","time":"1970-01-01T00:00:09Z"}"#,
            "Delete { time: Timestamp(9), who: Device(7) }",
        );
        check(
            r#"{"do":"delete","id":{"data_source":3,"id":"crm"},"time":"1970-01-01T00:00:09Z"}"#,
            "Delete { time: Timestamp(9), who: Id { data_source: DataSourceId(3), id: \"crm\" } }",
        );
        check(
            r#"{"time":"1970-01-01T00:00:09Z","do":"catalog","file":"b.yaml"}"#,
            "Catalog { time: Timestamp(9), file: \"b.yaml\" }",
        );
    }

    #[test]
    fn refuses_wrong_commands() {
        for (text, expected) in [
            (
                r#"{"do":"delete","uuid":"7"}"#,
                "missing_time time: is missing, every line of an event file has one",
            ),
            (
                r#"{"time":"1970-01-01T00:00:09Z","do":"forget","uuid":"7"}"#,
                "invalid_command do: expected opt_out, delete or catalog",
            ),
            (
                r#"{"time":"1970-01-01T00:00:09Z","do":"delete"}"#,
                "invalid_uuid uuid: is missing, and so is id",
            ),
            (
                r#"{"time":"1970-01-01T00:00:09Z","do":"opt_out","id":{"data_source":3,"id":""}}"#,
                "invalid_id id.id: is empty",
            ),
            (
                r#"{"time":"1970-01-01T00:00:09Z","do":"opt_out","uuid":"7","id":{"data_source":3,"id":"a"}}"#,
                "invalid_command id: uuid is given too, and there can be one of them",
            ),
            (
                r#"{"time":"1970-01-01T00:00:09Z","do":"delete","uuid":"x"}"#,
                "invalid_uuid uuid: the id has a character that is not a digit at position 0",
            ),
            (
                r#"{"time":"1970-01-01T00:00:09Z","do":"catalog","uuid":"7","file":"a"}"#,
                "invalid_command uuid: goes with opt_out and delete only",
            ),
            (
                r#"{"time":"1970-01-01T00:00:09Z","do":"catalog"}"#,
                "invalid_command file: is missing",
            ),
        ] {
            check(text, expected);
        }
        let unknown = parse_line(r#"{"time":"1970-01-01T00:00:09Z","do":"delete","uid":"7"}"#);
        assert!(unknown.unwrap_err().message.contains("unknown field `uid`"));
    }
}
