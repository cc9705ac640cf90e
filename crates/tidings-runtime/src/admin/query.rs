//! Query strings of the admin side: every parameter known, given once, and within its limits.

use axum::http::StatusCode;
use std::collections::BTreeMap;
use tidings_collect::Problem;
use tidings_model::Timestamp;

/// Items of a page unless asked for otherwise, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// A query string, taken apart.
#[derive(Debug)]
pub(super) struct Query {
    values: BTreeMap<&'static str, String>,
}

impl Query {
    /// Takes a query string apart; refuses what is not in `known`.
    pub(super) fn parse(query: Option<&str>, known: &[&'static str]) -> Result<Self, Problem> {
        let mut values = BTreeMap::new();
        let parts = query.unwrap_or_default().split('&');
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let Some(name) = known.iter().find(|known| **known == name) else {
                let known = known.join(", ");
                return Err(invalid(format!("unknown parameter; known are {known}")));
            };
            let Some(value) = percent_decoded(value) else {
                return Err(invalid(format!("{name}: not percent-encoded UTF-8")));
            };
            if values.insert(*name, value).is_some() {
                return Err(invalid(format!("{name}: given twice")));
            }
        }
        Ok(Self { values })
    }

    /// A parameter as it stands; `None` when it is not given or empty.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.values.remove(name).filter(|value| !value.is_empty())
    }

    /// A parameter, read by `read`; refused when that returns `None`. `what` says what it should be.
    pub(super) fn with<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match read(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(invalid(format!("{name}: should be {what}"))),
        }
    }

    /// A time.
    pub(super) fn time(&mut self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.with(name, "a time like 2016-07-27T16:17:22Z", |text| {
            Timestamp::parse(text).ok()
        })
    }
}

/// `limit`: how many items an answer may have.
pub(super) fn page_limit(query: &mut Query) -> Result<usize, Problem> {
    let what = format!("a number from 1 to {LIMIT_MAX}");
    let limit = query.with("limit", &what, |text| {
        text.parse()
            .ok()
            .filter(|limit| (1..=LIMIT_MAX).contains(limit))
    })?;
    Ok(limit.unwrap_or(LIMIT))
}

fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Result<Option<&str>, ()>) {
        let parsed = Query::parse(Some(query), &["device", "to"]);
        let got = parsed.map(|mut query| query.text("device")).map_err(drop);
        assert_eq!(
            got,
            expected.map(|text| text.map(ToOwned::to_owned)),
            "{query}"
        );
    }

    #[test]
    fn queries_are_taken_apart() {
        check("", Ok(None));
        check("to=1&device=a%20b+c", Ok(Some("a b c")));
        check("device=", Ok(None));
        check("device=%ff", Err(()));
        check("device=%2", Err(()));
        check("device=1&device=1", Err(()));
        check("devices=1", Err(()));
    }

    #[test]
    fn a_limit_has_bounds() {
        for (text, expected) in [
            ("", Some(100)),
            ("limit=7", Some(7)),
            ("limit=1000", Some(1000)),
        ] {
            let mut query = Query::parse(Some(text), &["limit"]).unwrap();
            assert_eq!(page_limit(&mut query).ok(), expected);
        }
        for text in ["limit=0", "limit=1001", "limit=-1", "limit=x"] {
            let mut query = Query::parse(Some(text), &["limit"]).unwrap();
            assert!(page_limit(&mut query).is_err(), "{text}");
        }
    }
}
