//! Encoder: writes a message as compact JSON, members in wire order, straight into a byte buffer.
//!
//! ```text
//! {"ProcessTime":D,"User_DPID":N,"Client_ID":T,"AAM_Destination_Id":N,"User_count":N,"Users":[
//!   {"AAM_UUID":T,"DataPartner_UUID":T,"AAM_Regions":[N,..],"Segments":[
//!     {"Segment_ID":N,"Status":N,"DateTime":D},..]},..]}
//! D date, T text, N a decimal number, as a string or (Numbers::Integers) as an integer
//! ```
//!
//! The same input gives the same bytes, so output can be compared and signed. Invariants: no white
//! space outside strings, no `null`, no empty `AAM_Regions`, `Users` or `Segments`. Nothing is
//! allocated besides the growth of the caller's buffer; a buffer that is reused does not grow.
//!
//! A sender that keeps users waiting encodes each user object once ([`encode_user`]) and later
//! assembles messages from those bytes ([`encode_message`]); [`encode`] does both in one step.
//!
//! Not here: which users and segments are sent and in which order (the caller's decision), limits on
//! users per message (likewise), compression (the protocol has none).

mod text;

use crate::{Numbers, Options, date, number};

/// The members before `Users`; `User_count` is counted, never given.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// When the message was built, seconds since 1970-01-01T00:00:00Z.
    pub process_time: i64,
    /// The namespace of every `data_partner_uuid`; `None` leaves the member out.
    pub user_dpid: Option<u32>,
    /// The account inside the partner's system.
    pub client_id: &'a str,
    /// The id of the destination. Sent as an integer only if the destination takes integers and this
    /// is a plain decimal number of at most 64 bits: `042` or a text stays a string.
    pub destination_id: &'a str,
}

/// One user object: a device under one of the partner's ids.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The device id, normally 38 digits. Text, since leading zeros count.
    pub aam_uuid: &'a str,
    /// The partner's id of the device, opaque; empty if the partner has none.
    pub data_partner_uuid: &'a str,
    /// Edge regions that saw the device, most recent first; empty leaves the member out.
    pub regions: &'a [u32],
    /// What the partner is told, at least one.
    pub segments: &'a [Segment<'a>],
}

/// The state of one segment for one user.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Which segment.
    pub id: SegmentRef<'a>,
    /// In or out.
    pub status: Status,
    /// When this state was last verified, seconds since 1970-01-01T00:00:00Z.
    pub date_time: i64,
}

/// What `Segment_ID` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentRef<'a> {
    /// The numeric segment id.
    Number(u32),
    /// The custom text of a mapping; always a string on the wire, whatever it looks like.
    Text(&'a str),
}

/// The state of a segment for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// `0`: left the segment, opted out, or never in it any more.
    Inactive,
    /// `1`: in the segment.
    Active,
}

/// The input is something that is never sent. Nothing was written to the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A message needs at least one user: send nothing instead.
    #[error("a message without users is never sent")]
    NoUsers,
    /// A user object needs at least one segment: leave the user out instead.
    #[error("a user object without segments is never sent")]
    NoSegments,
}

/// Appends one message with `users` to `out`.
///
/// # Errors
/// [`EncodeError`] when there are no users or one has no segments; `out` is as it was.
pub fn encode(
    options: &Options,
    head: &Head<'_>,
    users: &[User<'_>],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if users.is_empty() {
        return Err(EncodeError::NoUsers);
    }
    if users.iter().any(|user| user.segments.is_empty()) {
        return Err(EncodeError::NoSegments);
    }
    out.reserve(head_bytes_guess(head) + users.iter().map(user_bytes_guess).sum::<usize>());
    write_head(options, head, users.len(), out);
    separated(users, out, |user, out| write_user(options, user, out));
    out.extend_from_slice(b"]}");
    Ok(())
}

/// Appends one user object to `out`: an element of `Users`, to be assembled by [`encode_message`]
/// with the same `options`.
///
/// # Errors
/// [`EncodeError::NoSegments`]; `out` is as it was.
pub fn encode_user(
    options: &Options,
    user: &User<'_>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if user.segments.is_empty() {
        return Err(EncodeError::NoSegments);
    }
    out.reserve(user_bytes_guess(user));
    write_user(options, user, out);
    Ok(())
}

/// Appends one message made of `users`, each the bytes of one user object from [`encode_user`], to
/// `out`. The bytes are the same as those of [`encode`] with these users.
///
/// `users` is walked three times (count, size, copy), which is why its iterator has to be `Clone`.
/// What it yields is copied unread: one slice is one user object made with the same `options`.
///
/// # Errors
/// [`EncodeError::NoUsers`]; `out` is as it was.
pub fn encode_message<'a, I>(
    options: &Options,
    head: &Head<'_>,
    users: I,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError>
where
    I: IntoIterator<Item = &'a [u8]>,
    I::IntoIter: Clone,
{
    let users = users.into_iter();
    let user_count = users.clone().count();
    if user_count == 0 {
        return Err(EncodeError::NoUsers);
    }
    let users_bytes: usize = users.clone().map(|user| user.len() + 1).sum();
    out.reserve(head_bytes_guess(head) + users_bytes);
    write_head(options, head, user_count, out);
    separated(users, out, |user, out| out.extend_from_slice(user));
    out.extend_from_slice(b"]}");
    Ok(())
}

/// Everything up to and including the bracket that opens `Users`.
fn write_head(options: &Options, head: &Head<'_>, user_count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"ProcessTime\":\"");
    date::write(head.process_time, out);
    out.push(b'"');
    if let Some(data_source) = head.user_dpid.filter(|_| options.user_dpid) {
        out.extend_from_slice(b",\"User_DPID\":");
        write_number(options.numbers, data_source, out);
    }
    out.extend_from_slice(b",\"Client_ID\":");
    text::write(head.client_id, out);
    out.push(b',');
    text::write(&options.destination_key, out);
    out.push(b':');
    match number::canonical::<u64>(head.destination_id) {
        Some(id) if options.numbers == Numbers::Integers => {
            write_number(Numbers::Integers, id, out);
        }
        _ => text::write(head.destination_id, out),
    }
    out.extend_from_slice(b",\"User_count\":");
    write_number(options.numbers, user_count, out);
    out.extend_from_slice(b",\"Users\":[");
}

fn write_user(options: &Options, user: &User<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"AAM_UUID\":");
    text::write(user.aam_uuid, out);
    out.extend_from_slice(b",\"DataPartner_UUID\":");
    text::write(user.data_partner_uuid, out);
    if options.regions && !user.regions.is_empty() {
        out.extend_from_slice(b",\"AAM_Regions\":[");
        separated(user.regions, out, |&region, out| {
            write_number(options.numbers, region, out);
        });
        out.push(b']');
    }
    out.extend_from_slice(b",\"Segments\":[");
    let first = user.segments.first().map_or(0, |segment| segment.date_time);
    let mut dates = LastDate::new(first);
    separated(user.segments, out, |segment, out| {
        write_segment(options.numbers, segment, &mut dates, out);
    });
    out.extend_from_slice(b"]}");
}

/// The date written last. The segments of a user are mostly verified in the same second, and making
/// a date is the dearest part of a segment.
struct LastDate {
    seconds: i64,
    text: [u8; date::LEN],
}

impl LastDate {
    fn new(seconds: i64) -> Self {
        Self {
            seconds,
            text: date::text(seconds),
        }
    }

    fn text(&mut self, seconds: i64) -> &[u8; date::LEN] {
        if self.seconds != seconds {
            *self = Self::new(seconds);
        }
        &self.text
    }
}

fn write_segment(numbers: Numbers, segment: &Segment<'_>, dates: &mut LastDate, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"Segment_ID\":");
    match segment.id {
        SegmentRef::Number(id) => write_number(numbers, id, out),
        SegmentRef::Text(custom) => text::write(custom, out),
    }
    // One copy up to the date instead of three small ones.
    out.extend_from_slice(match (numbers, segment.status) {
        (Numbers::Strings, Status::Active) => b",\"Status\":\"1\",\"DateTime\":\"".as_slice(),
        (Numbers::Strings, Status::Inactive) => b",\"Status\":\"0\",\"DateTime\":\"",
        (Numbers::Integers, Status::Active) => b",\"Status\":1,\"DateTime\":\"",
        (Numbers::Integers, Status::Inactive) => b",\"Status\":0,\"DateTime\":\"",
    });
    out.extend_from_slice(dates.text(segment.date_time));
    out.extend_from_slice(b"\"}");
}

fn write_number(numbers: Numbers, number: impl itoa::Integer, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number).as_bytes();
    match numbers {
        Numbers::Integers => out.extend_from_slice(digits),
        Numbers::Strings => {
            out.push(b'"');
            out.extend_from_slice(digits);
            out.push(b'"');
        }
    }
}

/// Writes each item, with commas between them.
fn separated<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
}

// Guesses are a little high for usual input, so that the buffer grows at most once; escapes or a long
// key can make one too low, and then the buffer grows again by itself.

const fn head_bytes_guess(head: &Head<'_>) -> usize {
    // The constant part, three numbers and the default key have 153 bytes.
    192 + head.client_id.len() + head.destination_id.len()
}

const fn user_bytes_guess(user: &User<'_>) -> usize {
    // A segment with a ten-digit id has 82 bytes and a comma; a custom text may be longer.
    80 + user.aam_uuid.len()
        + user.data_partner_uuid.len()
        + user.regions.len() * 13
        + user.segments.len() * 88
}
