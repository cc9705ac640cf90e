//! From user objects to the bytes of a message: the wire options, head and signatures of one
//! destination, prepared once.

use smallvec::SmallVec;
use tidings_engine::UserObject;
use tidings_model::{DataSourceId, Destination, DeviceUuid, HashName, Method, Numbers, Timestamp};
use tidings_wire::{
    self as wire,
    template::{Template, Values},
};

/// How one destination's messages are written.
#[derive(Debug)]
pub struct MessageFormat {
    options: wire::Options,
    /// Of a destination that takes GET requests.
    template: Option<Template>,
    client_id: String,
    destination_id: String,
}

impl MessageFormat {
    /// The format that the catalog asks for.
    #[must_use]
    pub fn new(destination: &Destination) -> Self {
        let settings = &destination.wire;
        Self {
            // The catalog was read with the same parser.
            template: (destination.method == Method::Get)
                .then(|| Template::parse(&destination.url).ok())
                .flatten(),
            options: wire::Options {
                numbers: match settings.numbers {
                    Numbers::String => wire::Numbers::Strings,
                    Numbers::Integer => wire::Numbers::Integers,
                },
                destination_key: settings.destination_key.clone(),
                user_dpid: settings.user_dpid,
                regions: settings.regions,
            },
            client_id: destination.client_id.clone(),
            destination_id: settings
                .destination_id
                .clone()
                .unwrap_or_else(|| destination.id.to_string()),
        }
    }

    /// How its messages are sent.
    #[must_use]
    pub const fn method(&self) -> Method {
        match self.template {
            Some(_) => Method::Get,
            None => Method::Post,
        }
    }

    /// Encodes one user object, whose id is of this namespace; `None` if it has no segments, which is never
    /// sent.
    #[must_use]
    pub fn user(
        &self,
        uuid: &DeviceUuid,
        namespace: DataSourceId,
        regions: &[u32],
        evaluated: Timestamp,
        object: &UserObject<'_>,
    ) -> Option<Vec<u8>> {
        uuid.with_text(|digits| self.user_with(digits, namespace, regions, evaluated, object))
    }

    fn user_with(
        &self,
        aam_uuid: &str,
        namespace: DataSourceId,
        regions: &[u32],
        evaluated: Timestamp,
        object: &UserObject<'_>,
    ) -> Option<Vec<u8>> {
        let segments: SmallVec<[_; 8]> = object
            .segments
            .iter()
            .map(|entry| wire::Segment {
                id: entry.value.map_or(
                    wire::SegmentRef::Number(entry.segment.0),
                    wire::SegmentRef::Text,
                ),
                status: if entry.active {
                    wire::Status::Active
                } else {
                    wire::Status::Inactive
                },
                date_time: evaluated.0,
            })
            .collect();
        let user = wire::User {
            aam_uuid,
            data_partner_uuid: object.id,
            regions,
            segments: &segments,
        };
        let mut out = Vec::new();
        if let Some(template) = &self.template {
            let values = Values {
                user: &user,
                data_source: number(namespace),
                client_id: &self.client_id,
                destination_id: &self.destination_id,
            };
            template.write(&values, &mut out);
            return (!segments.is_empty()).then_some(out);
        }
        wire::encode::encode_user(&self.options, &user, &mut out).ok()?;
        Some(out)
    }

    /// Puts user objects together into one message built at `now`: the body of a POST, or path and query of
    /// a GET, which has one user. Empty only if `users` is.
    #[must_use]
    pub fn message<'a, I>(&self, now: Timestamp, namespace: DataSourceId, users: I) -> Vec<u8>
    where
        I: IntoIterator<Item = &'a [u8]>,
        I::IntoIter: Clone,
    {
        if self.template.is_some() {
            let user = users.into_iter().next();
            return user.map(<[u8]>::to_vec).unwrap_or_default();
        }
        let head = wire::Head {
            process_time: now.0,
            user_dpid: number(namespace),
            client_id: &self.client_id,
            destination_id: &self.destination_id,
        };
        let mut out = Vec::new();
        match wire::encode::encode_message(&self.options, &head, users, &mut out) {
            Ok(()) => out,
            Err(_) => Vec::new(),
        }
    }
}

fn number(namespace: DataSourceId) -> Option<u32> {
    (namespace != DataSourceId::NONE).then_some(namespace.0)
}

/// The hash function of the wire crate for one of the catalog.
#[must_use]
pub const fn hash(name: HashName) -> wire::Hash {
    match name {
        HashName::Md5 => wire::Hash::Md5,
        HashName::Sha1 => wire::Hash::Sha1,
        HashName::Sha256 => wire::Hash::Sha256,
    }
}
