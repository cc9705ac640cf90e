//! Opt-outs of declared ids, and of devices of which nothing else is stored: that they must not be
//! collected, kept without the id itself.
//!
//! The row is named by `HMAC-SHA256(key, data source u32 LE | id)`, cut to 16 bytes; a device is its
//! digits in the data source that stands for none, which no declared id has. The key is random,
//! made when the directory is opened for the first time by a version that knows opt-outs, and leaves
//! the directory with it alone. So a deleted id is recognised when it comes back, while what is stored
//! says nothing to whoever has no key, and ids cannot be tried out against it.
//!
//! Invariant: a row is written once and never removed; there is no way to opt back in.

use crate::codec::bytes::{DecodeError, Reader};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fmt;
use tidings_model::{DataSourceId, DeviceUuid};

/// The key that ids are hashed with.
#[derive(Clone)]
pub struct OptOutKey([u8; 32]);

/// A declared id or a device that opted out, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OptOutMark(pub(crate) [u8; 16]);

impl OptOutKey {
    /// A key of these bytes, which are to be random where the rows last.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new key. Randomness of the system does not fail on the platforms we run on; a key that can
    /// be guessed would be worse than none.
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        Self(bytes)
    }

    /// The mark of a declared id.
    #[must_use]
    pub fn mark(&self, data_source: DataSourceId, id: &str) -> OptOutMark {
        self.hash(data_source, id.as_bytes())
    }

    /// The mark of a device.
    #[must_use]
    pub fn device_mark(&self, uuid: &DeviceUuid) -> OptOutMark {
        let mut digits = Vec::with_capacity(38);
        uuid.write_to(&mut digits);
        self.hash(DataSourceId::NONE, &digits)
    }

    fn hash(&self, data_source: DataSourceId, id: &[u8]) -> OptOutMark {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0);
        let mut mac = mac.expect("HMAC takes keys of any length");
        mac.update(&data_source.0.to_le_bytes());
        mac.update(id);
        let code = mac.finalize().into_bytes();
        let mut mark = [0; 16];
        mark.iter_mut().zip(code).for_each(|(to, from)| *to = from);
        OptOutMark(mark)
    }

    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let key = reader.array("key")?;
        reader.end("key")?;
        Ok(Self(key))
    }
}

impl fmt::Debug for OptOutKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OptOutKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_depends_on_key_data_source_and_id() {
        let key = OptOutKey::new([7; 32]);
        let mark = key.mark(DataSourceId(1), "a");
        assert_eq!(mark, key.mark(DataSourceId(1), "a"));
        assert_ne!(mark, key.mark(DataSourceId(2), "a"));
        assert_ne!(mark, key.mark(DataSourceId(1), "b"));
        assert_ne!(mark, OptOutKey::new([8; 32]).mark(DataSourceId(1), "a"));
        assert_ne!(
            key.device_mark(&"7".parse().unwrap()),
            key.mark(DataSourceId(0), "7")
        );
        assert_eq!(format!("{key:?}"), "OptOutKey(***)");
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert!(OptOutKey::decode(&[0; 32]).is_ok());
        assert!(OptOutKey::decode(&[0; 31]).is_err());
        assert!(OptOutKey::decode(&[0; 33]).is_err());
    }
}
