//! The row of a resend: how far the undelivered pairs of a destination were put back to be told.
//!
//! ```text
//! resend   version 1 | flags (1 ended, 2 under way) | asked, ended if it has: folded varints |
//!          resent, healed: varints | the last device that was put back, as in a key, if any
//! ```

use super::bytes::{DecodeError, Reader, put_i64, put_u64};
use crate::keys;
use tidings_model::{DeviceUuid, Timestamp};

const VERSION: u8 = 1;
const ENDED: u8 = 1;
const BEGUN: u8 = 2;

/// The last resend of a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resend {
    /// When it was asked for.
    pub asked: Timestamp,
    /// When all its pairs had been put back to be told; `None` while it is under way.
    pub ended: Option<Timestamp>,
    /// Pairs put back to be told.
    pub resent: u64,
    /// Pairs taken off the list because nothing about them is left to tell.
    pub healed: u64,
    /// Where it goes on: after this device.
    pub after: Option<DeviceUuid>,
}

impl Resend {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        let ended = if self.ended.is_some() { ENDED } else { 0 };
        out.push(ended | if self.after.is_some() { BEGUN } else { 0 });
        put_i64(out, self.asked.0);
        if let Some(ended) = self.ended {
            put_i64(out, ended.0);
        }
        put_u64(out, self.resent);
        put_u64(out, self.healed);
        if let Some(after) = &self.after {
            keys::put_uuid(out, after);
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let flags = reader.flags("resend's flags", ENDED | BEGUN)?;
        let asked = Timestamp(reader.i64("resend's time")?);
        let ended = match flags & ENDED {
            0 => None,
            _ => Some(Timestamp(reader.i64("resend's end")?)),
        };
        let (resent, healed) = (reader.u64("resent pairs")?, reader.u64("healed pairs")?);
        let after = match flags & BEGUN {
            0 => None,
            _ => Some(keys::read_uuid(&mut reader)?),
        };
        reader.end("resend")?;
        Ok(Self {
            asked,
            ended,
            resent,
            healed,
            after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn a_resend_comes_back(
            (asked, ended, resent, healed) in any::<(i64, Option<i64>, u64, u64)>(),
            after in proptest::option::of("[0-9]{1,64}|[0-9]{38}"),
        ) {
            let resend = Resend {
                asked: Timestamp(asked),
                ended: ended.map(Timestamp),
                resent,
                healed,
                after: after.map(|uuid| uuid.parse().unwrap()),
            };
            let mut out = Vec::new();
            resend.encode(&mut out);
            prop_assert_eq!(Resend::decode(&out), Ok(resend));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            drop(Resend::decode(&bytes));
        }
    }
}
