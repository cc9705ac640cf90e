//! Messages as URLs: what a destination that takes GET requests is told about one user.
//!
//! ```text
//! https://partner.example/from-us?sids=<SEGMENT_LIST>&gone=<REMOVED_SEGMENT_LIST>&uid=<DP_UUID>
//! GET /from-us?sids=1,2,3&gone=&uid=abc
//! ```
//!
//! Macros have the names of those in outbound files and stand in the query only: what comes from outside
//! cannot change host or path. Values are percent-encoded but for letters, digits and `-._~`; the commas
//! between segments are not, so one within a segment's text (`%2C`) is told apart.
//!
//! Invariant: a template that was parsed gives request targets that need no further encoding, so the bytes
//! that are signed are those that are sent.

use crate::{
    encode::{SegmentRef, Status, User},
    message::{Message, MessageSegment, MessageUser},
};

/// A URL with macros, from the path on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Macro(Macro),
}

/// What a macro stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Macro {
    /// `SEGMENT_LIST`: the segments that the user is in, joined by commas.
    Segments,
    /// `REMOVED_SEGMENT_LIST`: those it has left.
    Removed,
    /// `DP_UUID`: the partner's id of the device; may be empty.
    PartnerId,
    /// `UUID`: the device id.
    Device,
    /// `DPID`: the namespace of the partner's id; may be empty.
    DataSource,
    /// `ORDER_ID`: the id of the destination.
    Destination,
    /// `PIDALIAS`: the account inside the partner's system.
    Client,
    /// `TIMESTAMP`: when the states were last verified, seconds since 1970.
    Time,
}

const MACROS: [(&str, Macro); 8] = [
    ("SEGMENT_LIST", Macro::Segments),
    ("REMOVED_SEGMENT_LIST", Macro::Removed),
    ("DP_UUID", Macro::PartnerId),
    ("UUID", Macro::Device),
    ("DPID", Macro::DataSource),
    ("ORDER_ID", Macro::Destination),
    ("PIDALIAS", Macro::Client),
    ("TIMESTAMP", Macro::Time),
];

/// Why a URL is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// There is no such macro.
    #[error("<{0}> is no macro")]
    Unknown(String),
    /// `<` or `>` alone.
    #[error("a macro is not closed: `<` and `>` stand round its name")]
    Open,
    /// In the host or the path.
    #[error("macros stand in the query, after `?`")]
    Place,
    /// A character that cannot stand in a request line as it is.
    #[error("{0:?} must be percent-encoded")]
    Character(char),
    /// `.` or `..` in the path, which parsers take away.
    #[error("the path has a part of dots")]
    Dots,
}

/// What is told about one user.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The user; its regions are not told.
    pub user: &'a User<'a>,
    /// The namespace of the partner's id, if there is one.
    pub data_source: Option<u32>,
    /// The account inside the partner's system.
    pub client_id: &'a str,
    /// The id of the destination.
    pub destination_id: &'a str,
}

impl Macro {
    /// Every name, for people.
    pub fn names() -> impl Iterator<Item = &'static str> {
        MACROS.iter().map(|(name, _)| *name)
    }
}

impl Template {
    /// Reads a URL, of which only the part behind the host matters: whether the rest is a URL at all is
    /// for others to say.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(url: &str) -> Result<Self, TemplateError> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let target_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at_checked(target_at).unwrap_or((rest, ""));
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        if host.contains(['<', '>']) || path.contains(['<', '>']) {
            return Err(TemplateError::Place);
        }
        check_text(path)?;
        if path.split('/').any(is_dots) {
            return Err(TemplateError::Dots);
        }
        let mut text = if path.is_empty() { "/" } else { path }.to_owned();
        let mut pieces = Vec::new();
        if let Some(mut rest) = query {
            text.push('?');
            while let Some((before, after)) = rest.split_once('<') {
                check_text(before)?;
                text.push_str(before);
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                let (name, after) = after.split_once('>').ok_or(TemplateError::Open)?;
                let found = MACROS.iter().find(|(known, _)| *known == name);
                let (_, found) = found.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
                pieces.push(Piece::Macro(*found));
                rest = after;
            }
            check_text(rest)?;
            text.push_str(rest);
        }
        pieces.push(Piece::Text(text));
        Ok(Self { pieces })
    }

    /// Whether this macro is in it.
    #[must_use]
    pub fn has(&self, what: Macro) -> bool {
        self.pieces.contains(&Piece::Macro(what))
    }

    /// Appends the request target that tells about one user to `out`.
    pub fn write(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Macro(what) => what.write(values, out),
            }
        }
    }

    /// What a request target tells, if it is one of this template: the other direction, for receivers.
    /// Members that the template has no macro for are empty.
    #[must_use]
    pub fn read(&self, target: &str) -> Option<Message> {
        let mut rest = target;
        let mut message = Message {
            process_time: 0,
            user_dpid: None,
            client_id: String::new(),
            destination_id: String::new(),
            users: Vec::new(),
        };
        let mut user = MessageUser {
            aam_uuid: String::new(),
            data_partner_uuid: String::new(),
            regions: Vec::new(),
            segments: Vec::new(),
        };
        let mut pieces = self.pieces.iter().peekable();
        while let Some(piece) = pieces.next() {
            let what = match piece {
                Piece::Text(text) => {
                    rest = rest.strip_prefix(text.as_str())?;
                    continue;
                }
                Piece::Macro(what) => what,
            };
            let until = match pieces.peek() {
                Some(Piece::Text(text)) if !text.is_empty() => rest.find(text.as_str())?,
                _ => rest.len(),
            };
            let (value, after) = rest.split_at_checked(until)?;
            rest = after;
            what.read(value, &mut message, &mut user)?;
        }
        for segment in &mut user.segments {
            segment.date_time = message.process_time;
        }
        message.users.push(user);
        rest.is_empty().then_some(message)
    }
}

impl Macro {
    fn write(self, values: &Values<'_>, out: &mut Vec<u8>) {
        let Values {
            user,
            data_source,
            client_id,
            destination_id,
        } = values;
        match self {
            Self::Segments => write_list(user, Status::Active, out),
            Self::Removed => write_list(user, Status::Inactive, out),
            Self::PartnerId => write_value(user.data_partner_uuid, out),
            Self::Device => write_value(user.aam_uuid, out),
            Self::DataSource => {
                let number = data_source.map(|number| number.to_string());
                write_value(&number.unwrap_or_default(), out);
            }
            Self::Destination => write_value(destination_id, out),
            Self::Client => write_value(client_id, out),
            Self::Time => {
                let time = user.segments.first().map_or(0, |segment| segment.date_time);
                write_value(&time.to_string(), out);
            }
        }
    }

    fn read(self, value: &str, message: &mut Message, user: &mut MessageUser) -> Option<()> {
        let mut list = |status| {
            for item in value.split(',').filter(|item| !item.is_empty()) {
                user.segments.push(MessageSegment {
                    segment_id: decoded(item)?,
                    status,
                    date_time: 0,
                });
            }
            Some(())
        };
        match self {
            Self::Segments => list(Status::Active)?,
            Self::Removed => list(Status::Inactive)?,
            Self::PartnerId => user.data_partner_uuid = decoded(value)?,
            Self::Device => user.aam_uuid = decoded(value)?,
            Self::DataSource if value.is_empty() => {}
            Self::DataSource => message.user_dpid = Some(value.parse().ok()?),
            Self::Destination => message.destination_id = decoded(value)?,
            Self::Client => message.client_id = decoded(value)?,
            Self::Time => message.process_time = value.parse().ok()?,
        }
        Some(())
    }
}

fn write_list(user: &User<'_>, status: Status, out: &mut Vec<u8>) {
    let told = user.segments.iter();
    for (index, segment) in told.filter(|one| one.status == status).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match segment.id {
            SegmentRef::Number(number) => write_value(&number.to_string(), out),
            SegmentRef::Text(text) => write_value(text, out),
        }
    }
}

fn write_value(text: &str, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            let digit = |half: u8| DIGITS[usize::from(half & 15)];
            out.extend([b'%', digit(byte >> 4), digit(byte)]);
        }
    }
}

fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    let hex = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Only what may stand in path and query (RFC 3986 3.3 and 3.4), and is left as it is by every parser.
fn check_text(text: &str) -> Result<(), TemplateError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&()*+,;=:@/?%".contains(c);
    match text.chars().find(|&c| !allowed(c)) {
        None => Ok(()),
        Some('<' | '>') => Err(TemplateError::Open),
        Some(other) => Err(TemplateError::Character(other)),
    }
}

fn is_dots(part: &str) -> bool {
    let part = part.to_ascii_lowercase().replace("%2e", ".");
    part == "." || part == ".."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hash, Key, Segment};

    fn written(url: &str, id: &str, segments: &[Segment<'_>]) -> String {
        let user = User {
            aam_uuid: "07955261652886032950143702505894272138",
            data_partner_uuid: id,
            regions: &[],
            segments,
        };
        let values = Values {
            user: &user,
            data_source: Some(501),
            client_id: "acct 7",
            destination_id: "423",
        };
        let mut out = Vec::new();
        Template::parse(url).unwrap().write(&values, &mut out);
        String::from_utf8(out).unwrap()
    }

    const fn segment(id: SegmentRef<'_>, status: Status) -> Segment<'_> {
        Segment {
            id,
            status,
            date_time: 1_469_635_042,
        }
    }

    const ONES: [Segment<'static>; 3] = [
        segment(SegmentRef::Number(1), Status::Active),
        segment(SegmentRef::Number(2), Status::Active),
        segment(SegmentRef::Number(3), Status::Active),
    ];

    #[test]
    fn the_published_target_comes_out_and_is_signed() {
        let target = written(
            "https://partner.example/from-aam-s2s?sids=<SEGMENT_LIST>",
            "",
            &ONES,
        );
        assert_eq!(target, "/from-aam-s2s?sids=1,2,3");
        for (hash, expected) in [
            (Hash::Md5, "U71hZODNVBnkJlQA/FsKGA=="),
            (Hash::Sha1, "EKanieP0BLD3/hlkM+ELPiKoZ2E="),
            (Hash::Sha256, "cuLUFuSQ7fRWt9T5IsiAW+RCngDyj94E3mgmpEJJau0="),
        ] {
            let key = Key::new(hash, b"sample_partner_private_key");
            assert_eq!(key.sign(target.as_bytes()).as_str(), expected);
        }
    }

    const ALL: &str = "https://h?a=<SEGMENT_LIST>&b=<REMOVED_SEGMENT_LIST>&c=<DP_UUID>&d=<UUID>&e=<DPID>&f=<ORDER_ID>&g=<PIDALIAS>&t=<TIMESTAMP>&z";

    #[test]
    fn values_cannot_leave_their_place() {
        let told = [
            segment(SegmentRef::Text("a,b&c=<d>"), Status::Active),
            segment(SegmentRef::Number(7), Status::Active),
            segment(SegmentRef::Text("é"), Status::Inactive),
        ];
        let id = "x#/../?%20\r\nHost: y";
        let target = written(ALL, id, &told);
        assert_eq!(
            target,
            "/?a=a%2Cb%26c%3D%3Cd%3E,7&b=%C3%A9&c=x%23%2F..%2F%3F%2520%0D%0AHost%3A%20y&d=07955261652886032950143702505894272138&e=501&f=423&g=acct%207&t=1469635042&z"
        );
        let message = Template::parse(ALL).unwrap().read(&target).unwrap();
        assert_eq!(
            (
                message.user_dpid,
                message.client_id.as_str(),
                message.process_time
            ),
            (Some(501), "acct 7", 1_469_635_042)
        );
        let user = &message.users[0];
        assert_eq!(user.data_partner_uuid, id);
        let shown: Vec<_> = user
            .segments
            .iter()
            .map(|one| (one.segment_id.as_str(), one.status))
            .collect();
        assert_eq!(
            shown,
            [
                ("a,b&c=<d>", Status::Active),
                ("7", Status::Active),
                ("é", Status::Inactive)
            ]
        );
        assert_eq!(Template::parse(ALL).unwrap().read("/?a=1"), None);
    }

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(Template::parse(url).unwrap_err().to_string(), expected);
    }

    #[test]
    fn other_urls_are_refused() {
        check("https://h/?a=<SEGMENTS>", "<SEGMENTS> is no macro");
        check(
            "https://h/?a=<UUID",
            "a macro is not closed: `<` and `>` stand round its name",
        );
        check(
            "https://h/?a=>",
            "a macro is not closed: `<` and `>` stand round its name",
        );
        check("https://h/<UUID>?a", "macros stand in the query, after `?`");
        check(
            "https://<UUID>.h/?a",
            "macros stand in the query, after `?`",
        );
        check("https://h/?a=\"", "'\"' must be percent-encoded");
        check("https://h/é?a", "'é' must be percent-encoded");
        check("https://h/a/%2E./b?c", "the path has a part of dots");
    }
}
