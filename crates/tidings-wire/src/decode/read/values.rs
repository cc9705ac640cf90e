//! Single values: texts, numbers in either form, states and dates.

use std::fmt;

use super::{Field, Reader};
use crate::{
    Numbers, Status, date,
    decode::{json::Node, problem::Quoted},
    number,
};

impl Reader<'_> {
    pub(super) fn text(&mut self, field: Field<'_>) -> Option<String> {
        match field.node {
            Node::Text(text) => Some(text.to_string()),
            other => self.expected(field, "a string", other.kind()),
        }
    }

    pub(super) fn digits(&mut self, field: Field<'_>) -> Option<String> {
        match field.node {
            Node::Text(text) if number::is_digits(text) => Some(text.to_string()),
            // The id of a user is not quoted.
            Node::Text(_) => self.expected(field, "a string of digits", "another string"),
            other => self.expected(field, "a string of digits", other.kind()),
        }
    }

    pub(super) fn number(&mut self, field: Field<'_>) -> Option<u32> {
        let numbers = self.rules.numbers();
        let number = match field.node {
            Node::Text(text) if numbers != Some(Numbers::Integers) && number::is_digits(text) => {
                text.parse().ok()
            }
            Node::Integer(number) if numbers != Some(Numbers::Strings) => {
                u32::try_from(*number).ok()
            }
            other => {
                let expected = match numbers {
                    None => "a string of digits or an integer",
                    Some(Numbers::Strings) => "a string of digits",
                    Some(Numbers::Integers) => "an integer",
                };
                return self.expected(field, expected, Found(other));
            }
        };
        if number.is_none() {
            let reason = format_args!("must be at most {}", u32::MAX);
            self.problems.add(field.path, reason);
        }
        number
    }

    /// An id that is normally a number and may be any text instead.
    pub(super) fn number_or_text(&mut self, field: Field<'_>) -> Option<String> {
        let strings_only = self.rules.numbers() == Some(Numbers::Strings);
        match field.node {
            Node::Text(text) if !text.is_empty() => Some(text.to_string()),
            Node::Text(_) => {
                self.problems.add(field.path, "must not be empty");
                None
            }
            Node::Integer(number) if !strings_only => Some(number.to_string()),
            other if strings_only => self.expected(field, "a string", Found(other)),
            other => self.expected(field, "a string or an integer", Found(other)),
        }
    }

    pub(super) fn status(&mut self, field: Field<'_>) -> Option<Status> {
        let numbers = self.rules.numbers();
        let status = match field.node {
            Node::Text(text) if numbers != Some(Numbers::Integers) => match &**text {
                "0" => Some(Status::Inactive),
                "1" => Some(Status::Active),
                _ => None,
            },
            Node::Integer(0) if numbers != Some(Numbers::Strings) => Some(Status::Inactive),
            Node::Integer(1) if numbers != Some(Numbers::Strings) => Some(Status::Active),
            _ => None,
        };
        status.or_else(|| {
            let expected = match numbers {
                Some(Numbers::Integers) => "0 or 1",
                _ => r#""0" or "1""#,
            };
            self.expected(field, expected, Found(field.node))
        })
    }

    pub(super) fn date(&mut self, field: Field<'_>) -> Option<i64> {
        let Node::Text(text) = field.node else {
            return self.expected(field, "a string", field.node.kind());
        };
        match date::parse(text) {
            Ok(seconds) => Some(seconds),
            Err(error) => {
                let reason = format_args!("{error}, found {}", Quoted(text));
                self.problems.add(field.path, reason);
                None
            }
        }
    }
}

/// The value that was found, for members whose values identify nobody.
struct Found<'n>(&'n Node<'n>);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Node::Text(text) => write!(f, "{}", Quoted(text)),
            Node::Integer(number) => write!(f, "the integer {number}"),
            other => f.write_str(other.kind()),
        }
    }
}
