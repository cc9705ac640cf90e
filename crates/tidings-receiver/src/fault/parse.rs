//! Faults from text: `NAME[=VALUE]` and selectors, in any order, separated by commas.
//!
//! A comma inside a redirect's URL or a date is written `%2C`.

use super::{Behaviour, Fault, Group, Scripted, When, units};
use http::{HeaderValue, StatusCode};
use std::{str::FromStr, time::Duration};

/// A text is not a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault `{fault}`: {problem}")]
pub struct FaultError {
    fault: String,
    problem: String,
}

/// One behaviour with a value as it is written; [`Scripted`] has the others.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) example: &'static str,
    pub(super) group: Group,
    pub(super) does: &'static str,
    /// Gets the text after `=`, or `None` when there is none.
    parse: fn(Option<&str>) -> Result<Behaviour, String>,
}

pub(super) static KINDS: &[Kind] = &[
    Kind {
        name: "status",
        example: "status=500",
        group: Group::Answer,
        does: "this status, 200 to 999",
        parse: |value| status(needed(value)?).map(Behaviour::Status),
    },
    Kind {
        name: "delay",
        example: "delay=5s",
        group: Group::Answer,
        does: "a wait before the answer; combines with the others",
        parse: |value| units::duration(needed(value)?).map(Behaviour::Delay),
    },
    Kind {
        name: "hang",
        example: "hang",
        group: Group::Answer,
        does: "no answer",
        parse: |value| bare(value, Behaviour::Hang),
    },
    Kind {
        name: "reset",
        example: "reset",
        group: Group::Answer,
        does: "a reset after the request",
        parse: |value| bare(value, Behaviour::Reset),
    },
    Kind {
        name: "slow-body",
        example: "slow-body=1s",
        group: Group::Body,
        does: "200 at once, then a byte per interval",
        parse: |value| {
            let interval = value.map_or(Ok(Duration::from_secs(1)), units::duration)?;
            Ok(Behaviour::SlowBody(interval))
        },
    },
    Kind {
        name: "big-body",
        example: "big-body=1GiB",
        group: Group::Body,
        does: "200 with that much body",
        parse: |value| units::bytes(needed(value)?).map(Behaviour::BigBody),
    },
    Kind {
        name: "redirect",
        example: "redirect=https://partner.example/",
        group: Group::Answer,
        does: "a redirect to there, with 307 or the status before the colon",
        parse: |value| {
            let (status, text) = with_status(needed(value)?, StatusCode::TEMPORARY_REDIRECT);
            Ok(Behaviour::Redirect(status, location(text)?))
        },
    },
    Kind {
        name: "retry-after",
        example: "retry-after=429:120",
        group: Group::Answer,
        does: "503, or the status before the colon, and when to come again: seconds, a date, or nonsense",
        parse: |value| {
            let (status, text) = with_status(needed(value)?, StatusCode::SERVICE_UNAVAILABLE);
            let text = text.replace("%2C", ",");
            let when = HeaderValue::from_str(&text)
                .map_err(|_| format!("`{text}` cannot be sent in a header"))?;
            Ok(Behaviour::RetryAfter(status, when))
        },
    },
    Kind {
        name: "gzip",
        example: "gzip",
        group: Group::Body,
        does: "the answer it would have had, compressed",
        parse: |value| bare(value, Behaviour::Gzip),
    },
    Kind {
        name: "echo",
        example: "echo=400",
        group: Group::Body,
        does: "this status, and the request word for word, headers and all",
        parse: |value| status(needed(value)?).map(Behaviour::Echo),
    },
    Kind {
        name: "accept-reset",
        example: "accept-reset",
        group: Group::Connection,
        does: "a reset before TLS",
        parse: |value| bare(value, Behaviour::AcceptReset),
    },
    Kind {
        name: "accept-hang",
        example: "accept-hang",
        group: Group::Connection,
        does: "silence before TLS",
        parse: |value| bare(value, Behaviour::AcceptHang),
    },
];

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        parse(text).map_err(|problem| FaultError {
            fault: text.to_owned(),
            problem,
        })
    }
}

fn parse(text: &str) -> Result<Fault, String> {
    let mut behaviour = None;
    let mut selectors = Selectors::default();
    for part in text.split(',').map(str::trim) {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim_start())),
            None => (part, None),
        };
        if selectors.take(name, value)? {
            continue;
        }
        let parsed = behaviour_of(name, value)?;
        if let Some(earlier) = behaviour.replace(parsed) {
            return Err(format!(
                "`{earlier}` and `{part}` are two faults: give each its own"
            ));
        }
    }
    let behaviour = behaviour.ok_or_else(|| format!("nothing happens; it needs {}", examples()))?;
    Ok(Fault {
        behaviour,
        when: selectors.when(),
    })
}

fn behaviour_of(name: &str, value: Option<&str>) -> Result<Behaviour, String> {
    let problem = |problem, example| format!("{name}: {problem}, as in `{example}`");
    if let Some(kind) = KINDS.iter().find(|kind| kind.name == name) {
        return (kind.parse)(value).map_err(|text| problem(text, kind.example));
    }
    let scripted = Scripted::ALL
        .iter()
        .find(|scripted| scripted.as_str() == name);
    let &scripted = scripted.ok_or_else(|| unknown(name))?;
    bare(value, Behaviour::Scripted(scripted)).map_err(|text| problem(text, name))
}

/// Splits `301:text` into status and text.
fn with_status(text: &str, otherwise: StatusCode) -> (StatusCode, &str) {
    text.split_once(':')
        .and_then(|(number, rest)| Some((status(number).ok()?, rest)))
        .unwrap_or((otherwise, text))
}

/// The selectors met so far; each may be given once.
#[derive(Default)]
struct Selectors {
    rate: Option<f64>,
    after: Option<u64>,
    first: Option<u64>,
    path: Option<String>,
}

impl Selectors {
    /// Takes `name=value` if it is a selector, and tells whether it is.
    fn take(&mut self, name: &str, value: Option<&str>) -> Result<bool, String> {
        let problem = |problem: String| format!("{name}: {problem}");
        let twice = match name {
            "rate" => self.rate.replace(rate(value).map_err(problem)?).is_some(),
            "after" => self.after.replace(count(value).map_err(problem)?).is_some(),
            "first" => self.first.replace(count(value).map_err(problem)?).is_some(),
            "path" => self.path.replace(path(value).map_err(problem)?).is_some(),
            _ => return Ok(false),
        };
        if twice {
            return Err(format!("{name} is given twice"));
        }
        Ok(true)
    }

    fn when(self) -> When {
        let default = When::default();
        When {
            rate: self.rate.unwrap_or(default.rate),
            after: self.after.unwrap_or(default.after),
            first: self.first,
            path: self.path,
        }
    }
}

fn rate(value: Option<&str>) -> Result<f64, String> {
    let text = needed(value)?;
    match text.parse() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err(format!("`{text}` is not a number from 0 to 1")),
    }
}

fn count(value: Option<&str>) -> Result<u64, String> {
    let text = needed(value)?;
    text.parse()
        .map_err(|_| format!("`{text}` is not a whole number"))
}

fn path(value: Option<&str>) -> Result<String, String> {
    let text = needed(value)?;
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` does not begin with `/`"))
    }
}

fn status(text: &str) -> Result<StatusCode, String> {
    // 1xx are not answers; sending one as an answer would break HTTP instead of failing in it.
    match text.parse::<u16>() {
        Ok(number @ 200..=999) => StatusCode::from_u16(number).map_err(|error| error.to_string()),
        _ => Err(format!("`{text}` is not a status from 200 to 999")),
    }
}

fn location(text: &str) -> Result<HeaderValue, String> {
    let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    match HeaderValue::from_str(text) {
        Ok(value) if visible => Ok(value),
        _ => Err(format!("`{text}` is not a URL")),
    }
}

fn needed(value: Option<&str>) -> Result<&str, String> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| "it needs a value".to_owned())
}

fn bare(value: Option<&str>, behaviour: Behaviour) -> Result<Behaviour, String> {
    match value {
        None => Ok(behaviour),
        Some(value) => Err(format!("it takes no value, not `{value}`")),
    }
}

fn unknown(name: &str) -> String {
    format!(
        "`{name}` is unknown; there are {} and {} more, see --list-faults; each with rate=, \
         first=, after= and path=",
        examples(),
        Scripted::ALL.len()
    )
}

fn examples() -> String {
    let examples: Vec<_> = KINDS.iter().map(|kind| kind.example).collect();
    examples.join(", ")
}
