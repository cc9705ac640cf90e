//! Rows of the removal ledger: what proves that a partner was told that a device left a segment.
//!
//! ```text
//! removals  version 1 | removals, the newest last
//! removal   cause u8 | state u8 (0 owed, 1 acknowledged, 2 cancelled) | owed: folded varint |
//!           tries: varint | first, last: folded varints, if there were tries |
//!           ended: folded varint, unless owed | message: varint, if acknowledged
//! ```

use super::bytes::{DecodeError, Problem, Reader, put_i64, put_u64};
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, SegmentId, Timestamp};

const VERSION: u8 = 1;

/// Removals kept of one device, segment and partner id; the oldest make room.
pub const REMOVALS_KEPT_MAX: usize = 16;

/// Names a row: which partner is owed a Status 0 about what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemovalKey {
    /// The partner's destination.
    pub destination: DestinationId,
    /// The device.
    pub uuid: DeviceUuid,
    /// The segment that it left.
    pub segment: SegmentId,
    /// The namespace of the id.
    pub namespace: DataSourceId,
    /// The id that the partner knows the device by, empty for none. Its text, since the proof must
    /// outlive the link.
    pub id: Box<str>,
}

/// The removals of one device from one segment under one id, the newest last.
pub type Removals = Vec<Removal>;

/// One time that a device left a segment that a partner had been told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Why it left.
    pub cause: RemovalCause,
    /// When the Status 0 became owed.
    pub owed: Timestamp,
    /// Messages that carried it and came to an end.
    pub tries: u32,
    /// When the first and the last of them came to its end; meaningless without tries.
    pub tried: (Timestamp, Timestamp),
    /// What ended it.
    pub end: RemovalEnd,
}

/// What became of a Status 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalEnd {
    /// Nothing yet.
    Owed,
    /// The partner acknowledged the message with this number.
    Acknowledged {
        /// When.
        at: Timestamp,
        /// Which message.
        message: u64,
    },
    /// It is not true any more, or must not be told: the device is in the segment again, or the
    /// segment is no longer mapped for the partner.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// Why a device left a segment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum RemovalCause {
            $($(#[$doc])* $variant,)*
        }

        impl RemovalCause {
            /// Every cause.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            const fn number(self) -> u8 {
                match self { $(Self::$variant => $number,)* }
            }
        }
    };
}

causes! {
    /// An event changed what a rule says of it.
    Rule = 1, "rule";
    /// Time did: a trait expired, or a recency ended.
    Expiry = 2, "expiry";
    /// It was not seen for as long as devices are remembered.
    Idle = 3, "idle";
    /// The catalog changed.
    Catalog = 4, "catalog";
    /// It opted out.
    OptOut = 5, "opt_out";
    /// It was deleted on request.
    Deletion = 6, "deletion";
}

impl Removal {
    /// A Status 0 that has become owed.
    #[must_use]
    pub const fn new(cause: RemovalCause, owed: Timestamp) -> Self {
        Self {
            cause,
            owed,
            tries: 0,
            tried: (owed, owed),
            end: RemovalEnd::Owed,
        }
    }

    /// A message that carried it came to its end at `now`.
    pub const fn was_tried(&mut self, now: Timestamp) {
        if self.tries == 0 {
            self.tried.0 = now;
        }
        self.tries = self.tries.saturating_add(1);
        self.tried.1 = now;
    }

    /// When it ended; `None` while it is owed.
    #[must_use]
    pub const fn ended(&self) -> Option<Timestamp> {
        match self.end {
            RemovalEnd::Owed => None,
            RemovalEnd::Acknowledged { at, .. } | RemovalEnd::Cancelled { at } => Some(at),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.cause.number());
        out.push(match self.end {
            RemovalEnd::Owed => 0,
            RemovalEnd::Acknowledged { .. } => 1,
            RemovalEnd::Cancelled { .. } => 2,
        });
        put_i64(out, self.owed.0);
        put_u64(out, self.tries.into());
        if self.tries > 0 {
            put_i64(out, self.tried.0.0);
            put_i64(out, self.tried.1.0);
        }
        if let Some(at) = self.ended() {
            put_i64(out, at.0);
        }
        if let RemovalEnd::Acknowledged { message, .. } = self.end {
            put_u64(out, message);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let cause = reader.u8("removal's cause")?;
        let cause = RemovalCause::ALL
            .iter()
            .copied()
            .find(|known| known.number() == cause)
            .ok_or_else(|| reader.fail("removal's cause", Problem::OutOfRange))?;
        let state = reader.u8("removal's state")?;
        let mut removal = Self::new(cause, Timestamp(reader.i64("removal's time")?));
        removal.tries = reader.u32("removal's tries")?;
        if removal.tries > 0 {
            let first = Timestamp(reader.i64("removal's first try")?);
            removal.tried = (first, Timestamp(reader.i64("removal's last try")?));
        }
        removal.end = match state {
            0 => RemovalEnd::Owed,
            1 => RemovalEnd::Acknowledged {
                at: Timestamp(reader.i64("removal's end")?),
                message: reader.u64("removal's message")?,
            },
            2 => RemovalEnd::Cancelled {
                at: Timestamp(reader.i64("removal's end")?),
            },
            _ => return Err(reader.fail("removal's state", Problem::OutOfRange)),
        };
        Ok(removal)
    }
}

pub(crate) fn encode_removals(removals: &[Removal], out: &mut Vec<u8>) {
    out.push(VERSION);
    let oldest = removals.len().saturating_sub(REMOVALS_KEPT_MAX);
    for removal in removals.get(oldest..).unwrap_or_default() {
        removal.encode(out);
    }
}

pub(crate) fn decode_removals(bytes: &[u8]) -> Result<Removals, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.version(VERSION)?;
    let mut removals = Vec::new();
    while reader.remaining() > 0 {
        removals.push(Removal::decode(&mut reader)?);
    }
    Ok(removals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn removals_come_back(
            of_each in proptest::collection::vec((0..6usize, any::<[i64; 4]>(), any::<u32>(), 0..3, any::<u64>()), 0..5),
        ) {
            let removals: Vec<_> = of_each.into_iter().map(|(cause, [owed, first, last, at], tries, state, message)| {
                let mut removal = Removal::new(RemovalCause::ALL[cause], Timestamp(owed));
                if tries > 0 {
                    removal.tries = tries;
                    removal.tried = (Timestamp(first), Timestamp(last));
                }
                removal.end = match state {
                    0 => RemovalEnd::Owed,
                    1 => RemovalEnd::Acknowledged { at: Timestamp(at), message },
                    _ => RemovalEnd::Cancelled { at: Timestamp(at) },
                };
                removal
            }).collect();
            let mut out = Vec::new();
            encode_removals(&removals, &mut out);
            prop_assert_eq!(decode_removals(&out), Ok(removals));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            drop(decode_removals(&bytes));
        }
    }

    #[test]
    fn the_oldest_removals_make_room() {
        let removals: Vec<_> = (0..20)
            .map(|at| Removal::new(RemovalCause::Rule, Timestamp(at)))
            .collect();
        let mut out = Vec::new();
        encode_removals(&removals, &mut out);
        assert_eq!(decode_removals(&out).unwrap(), removals[4..]);
    }
}
