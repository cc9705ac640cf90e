//! A message that owns its parts: what the decoder gives, and what a test or a tool may build.
//!
//! Values, not spellings: whether a number came as a string or an integer, under which key the
//! destination's id came, and the white space are not kept. Invariant: decoding the encoding of a
//! message that has users and segments gives the same message, under every set of options (without
//! the members that the options leave out).

use crate::{
    Options,
    encode::{self, EncodeError, Head, Segment, SegmentRef, Status, User},
    number,
};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When the message was built, seconds since 1970-01-01T00:00:00Z.
    pub process_time: i64,
    /// The namespace of every `data_partner_uuid`, if it was sent.
    pub user_dpid: Option<u32>,
    /// The account inside the partner's system.
    pub client_id: String,
    /// The id of the destination, a decimal number unless it was configured otherwise.
    pub destination_id: String,
    /// The user objects in the order of the message.
    pub users: Vec<MessageUser>,
}

/// One user object: a device under one of the partner's ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageUser {
    /// The device id: digits, normally 38 of them, leading zeros count.
    pub aam_uuid: String,
    /// The partner's id of the device, opaque; empty if the partner has none.
    pub data_partner_uuid: String,
    /// Edge regions that saw the device, most recent first; empty if none were sent.
    pub regions: Vec<u32>,
    /// States, each replacing what was told before for this user and segment.
    pub segments: Vec<MessageSegment>,
}

/// The state of one segment for one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSegment {
    /// The segment's number in decimal digits, or the custom text agreed for it.
    pub segment_id: String,
    /// In or out.
    pub status: Status,
    /// When this state was last verified, seconds since 1970-01-01T00:00:00Z.
    pub date_time: i64,
}

impl Message {
    /// Appends this message to `out`, as [`encode::encode`] does.
    ///
    /// A `segment_id` that is a plain decimal number of 32 bits counts as a number, so with
    /// [`Numbers::Integers`](crate::Numbers::Integers) it becomes an integer. Allocates for a borrowed
    /// view of the message.
    ///
    /// # Errors
    /// [`EncodeError`] when there are no users or one has no segments; `out` is as it was.
    pub fn encode(&self, options: &Options, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let segments: Vec<Vec<Segment<'_>>> = self
            .users
            .iter()
            .map(|user| user.segments.iter().map(MessageSegment::borrowed).collect())
            .collect();
        let users: Vec<User<'_>> = self
            .users
            .iter()
            .zip(&segments)
            .map(|(user, segments)| user.borrowed(segments))
            .collect();
        encode::encode(options, &self.head(), &users, out)
    }

    /// The members before `Users`, borrowed.
    #[must_use]
    pub fn head(&self) -> Head<'_> {
        Head {
            process_time: self.process_time,
            user_dpid: self.user_dpid,
            client_id: &self.client_id,
            destination_id: &self.destination_id,
        }
    }
}

impl MessageUser {
    fn borrowed<'a>(&'a self, segments: &'a [Segment<'a>]) -> User<'a> {
        User {
            aam_uuid: &self.aam_uuid,
            data_partner_uuid: &self.data_partner_uuid,
            regions: &self.regions,
            segments,
        }
    }
}

impl MessageSegment {
    fn borrowed(&self) -> Segment<'_> {
        Segment {
            id: number::canonical(&self.segment_id)
                .map_or(SegmentRef::Text(&self.segment_id), SegmentRef::Number),
            status: self.status,
            date_time: self.date_time,
        }
    }
}
