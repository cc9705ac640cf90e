//! What the body of a request asks for, one after the other: events, and people who opt out.
//!
//! `{"do":"opt_out","uuid":…}` or `{"do":"opt_out","id":{"data_source":…,"id":…}}` among the events, with
//! or without a `time`, which is not in the future: it happens in its turn, when the request does.
//! Deletions are refused here, since whoever reaches the public side may send events.

use crate::{
    code,
    line::{self, Subject},
    parse::{EventError, parse_event},
};
use tidings_model::{Event, Timestamp};

/// One thing that a body asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An event.
    Event(Event),
    /// Somebody opts out.
    OptOut(Subject),
}

/// Reads one entry from a JSON text; `now` is the instant after which a `time` lies in the future.
///
/// # Errors
/// When the text is neither a valid event nor an opt-out. Places are relative to the text.
pub fn parse_entry(text: &str, now: Timestamp) -> Result<Entry, EventError> {
    match parse_event(text, now) {
        Ok(event) => Ok(Entry::Event(event)),
        // No event has a member `do`, so events that can be read are not looked at twice.
        Err(_) if line::is_command(text) => opt_out(text, now).map(Entry::OptOut),
        Err(error) => Err(error),
    }
}

fn opt_out(text: &str, now: Timestamp) -> Result<Subject, EventError> {
    let command = line::read_command(text)?;
    if let Some(time) = &command.time {
        let time = Timestamp::parse(time);
        let time =
            time.map_err(|error| line::refuse(code::INVALID_TIME, &format!("time: {error}")))?;
        if time > now {
            let message = format!("time: {time} lies in the future");
            return Err(line::refuse(code::TIME_IN_FUTURE, &message));
        }
    }
    match &*command.verb {
        "opt_out" => command.subject(),
        "delete" => Err(line::refuse(
            code::NOT_ALLOWED,
            "do: deletions are asked for on the admin side, by POST /v1/privacy/delete",
        )),
        _ => Err(line::refuse(code::INVALID_COMMAND, "do: expected opt_out")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match parse_entry(text, NOW) {
            Ok(Entry::Event(_)) => "event".to_owned(),
            Ok(Entry::OptOut(who)) => format!("{who:?}"),
            Err(error) => format!("{} {error}", error.code),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn opt_outs_are_told_from_events() {
        check(r#"{"uuid":"7"}"#, "event");
        check(r#"{"event_id":"\"do\""}"#, "event");
        check(r#"{"do":"opt_out","uuid":"7"}"#, "Device(7)");
        check(
            r#"{"uuid":"7","time":"1970-01-01T00:16:40Z","do":"opt_out"}"#,
            "Device(7)",
        );
        check(
            r#"{"do":"opt_out","id":{"data_source":3,"id":"crm"}}"#,
            r#"Id { data_source: DataSourceId(3), id: "crm" }"#,
        );
    }

    #[test]
    fn everything_else_that_is_to_be_done_is_refused() {
        for (text, expected) in [
            (
                r#"{"do":"delete","uuid":"7"}"#,
                "not_allowed do: deletions are asked for on the admin side, by POST /v1/privacy/delete",
            ),
            (
                r#"{"do":"catalog","file":"a"}"#,
                "invalid_command do: expected opt_out",
            ),
            (
                r#"{"do":"opt_out","uuid":"7","time":"1970-01-01T00:16:41Z"}"#,
                "time_in_future time: 1970-01-01T00:16:41Z lies in the future",
            ),
            (
                r#"{"do":"opt_out"}"#,
                "invalid_uuid uuid: is missing, and so is id",
            ),
            (
                r#"{"do":"opt_out","uuid":"7","traits":[1]}"#,
                "invalid_command unknown field `traits`, expected one of `time`, `do`, `uuid`, `id`, `file`",
            ),
            (
                r#"{"do":"opt_out","id":{"data_source":3,"id":""}}"#,
                "invalid_id id.id: is empty",
            ),
            (
                r#"{"do":7}"#,
                "invalid_command invalid type: integer `7`, expected a string",
            ),
        ] {
            let column = match expected.split_once(' ').unwrap() {
                (_, message) if message.starts_with("unknown field") => 35,
                (_, message) if message.starts_with("invalid type") => 7,
                _ => 1,
            };
            check(text, &format!("{expected}, at line 1 column {column}"));
        }
    }
}
