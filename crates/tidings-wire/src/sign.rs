//! Signatures: `base64(HMAC-hash(key, bytes))`, one header per key.
//!
//! What is signed is the exact bytes on the wire: the body of a POST, or path and query string of a GET
//! as transmitted. The key is the bytes of the agreed text, neither trimmed nor decoded. The header
//! value is the signature alone: standard Base64 alphabet, padded, no line breaks.
//!
//! A [`Key`] holds the two hash states that HMAC (RFC 2104) derives from the key text, so signing costs
//! the hash of the message and of one block more. The key text is not kept. The states are wiped when
//! dropped and never printed; keep the text itself no longer than needed.
//!
//! Invariant: comparing is constant in time. Not here: header names' case, several values of one header,
//! which keys are in force at a time (the caller's); replay protection (the protocol has none).

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::Sha256;

/// Characters of the longest signature, that of [`Hash::Sha256`].
pub const SIGNATURE_CHARS_MAX: usize = 44;

/// Bytes of the longest code before Base64.
const MAC_BYTES_MAX: usize = 32;

/// The hash of a signature. MD5 and SHA-1 exist for compatibility; new destinations take SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hash {
    /// `md5`: 24 characters of Base64.
    Md5,
    /// `sha1`: 28 characters, the hash of all published examples.
    Sha1,
    /// `sha256`: 44 characters.
    Sha256,
}

/// The name is not that of a supported hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown hash, expected md5, sha1 or sha256")]
pub struct UnknownHash;

impl Hash {
    /// The name in settings: `md5`, `sha1`, `sha256`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Hash {
    type Err = UnknownHash;

    fn from_str(name: &str) -> Result<Self, UnknownHash> {
        [Self::Md5, Self::Sha1, Self::Sha256]
            .into_iter()
            .find(|hash| hash.name() == name)
            .ok_or(UnknownHash)
    }
}

/// A shared key, prepared once for any number of messages.
#[derive(Clone)]
pub struct Key(Keyed);

/// HMAC after it has taken in the key and before it has seen a message.
#[derive(Clone)]
enum Keyed {
    Md5(Hmac<Md5>),
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
}

impl Key {
    /// Prepares the key `text` (any length, also empty) for `hash`.
    #[must_use]
    pub fn new(hash: Hash, text: &[u8]) -> Self {
        Self(match hash {
            Hash::Md5 => Keyed::Md5(keyed(text)),
            Hash::Sha1 => Keyed::Sha1(keyed(text)),
            Hash::Sha256 => Keyed::Sha256(keyed(text)),
        })
    }

    /// The hash this key is for.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        match self.0 {
            Keyed::Md5(_) => Hash::Md5,
            Keyed::Sha1(_) => Hash::Sha1,
            Keyed::Sha256(_) => Hash::Sha256,
        }
    }

    /// The signature of exactly these bytes. Does not allocate.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        match &self.0 {
            Keyed::Md5(state) => Signature::new(&fed(state, bytes).finalize().into_bytes()),
            Keyed::Sha1(state) => Signature::new(&fed(state, bytes).finalize().into_bytes()),
            Keyed::Sha256(state) => Signature::new(&fed(state, bytes).finalize().into_bytes()),
        }
    }

    /// Whether `signature`, the value of the header, is this key's signature of exactly these bytes.
    ///
    /// `signature` must be padded standard Base64 without white space around it. The codes are compared
    /// in constant time; how long a text that is no Base64 takes says nothing about the key.
    #[must_use]
    pub fn verify(&self, bytes: &[u8], signature: &str) -> bool {
        let mut decoded = [0; MAC_BYTES_MAX];
        let Ok(length) = STANDARD.decode_slice(signature, &mut decoded) else {
            return false;
        };
        let code = &decoded[..length];
        // Refuses a code of another length, in particular one that is cut short.
        match &self.0 {
            Keyed::Md5(state) => fed(state, bytes).verify_slice(code).is_ok(),
            Keyed::Sha1(state) => fed(state, bytes).verify_slice(code).is_ok(),
            Keyed::Sha256(state) => fed(state, bytes).verify_slice(code).is_ok(),
        }
    }
}

/// A copy of the keyed `state` that has seen `bytes`.
fn fed<M: Mac + Clone>(state: &M, bytes: &[u8]) -> M {
    state.clone().chain_update(bytes)
}

fn keyed<M: KeyInit>(text: &[u8]) -> M {
    M::new_from_slice(text).expect("HMAC takes keys of any length")
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, ***)", self.hash())
    }
}

/// A signature as the header carries it, kept on the stack.
#[derive(Clone, Copy)]
pub struct Signature {
    chars: [u8; SIGNATURE_CHARS_MAX],
    length: usize,
}

impl Signature {
    fn new(code: &[u8]) -> Self {
        let mut chars = [0; SIGNATURE_CHARS_MAX];
        let length = STANDARD
            .encode_slice(code, &mut chars)
            .expect("32 bytes give 44 characters");
        Self { chars, length }
    }

    /// The Base64 text.
    ///
    /// # Panics
    /// Never: Base64 is ASCII.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).expect("Base64 is ASCII")
    }

    /// The Base64 text as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.chars[..self.length]
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

/// The signing entries of one destination: a header name and a key each, in configured order.
///
/// Normally one. Two while a key is rotated: the old one, then the new one under its own header name
/// (or under the same name, which gives two field lines).
#[derive(Clone, Debug, Default)]
pub struct Signer {
    entries: Vec<(String, Key)>,
}

impl Signer {
    /// A signer that produces one header for each of `entries`; none at all if that is empty.
    #[must_use]
    pub const fn new(entries: Vec<(String, Key)>) -> Self {
        Self { entries }
    }

    /// Header names and keys, in configured order.
    #[must_use]
    pub fn entries(&self) -> &[(String, Key)] {
        &self.entries
    }

    /// Header name and signature of every entry, all over the same bytes. Computed as the iterator is
    /// drawn from; does not allocate.
    pub fn sign<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> impl ExactSizeIterator<Item = (&'a str, Signature)> {
        self.entries
            .iter()
            .map(move |(header, key)| (header.as_str(), key.sign(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_names_go_both_ways() {
        for hash in [Hash::Md5, Hash::Sha1, Hash::Sha256] {
            assert_eq!(hash.to_string().parse(), Ok(hash));
        }
        assert_eq!("SHA1".parse::<Hash>(), Err(UnknownHash));
    }

    #[test]
    fn debug_shows_no_key() {
        let signer = Signer::new(vec![(
            "X-Signature".to_owned(),
            Key::new(Hash::Sha1, b"geheim"),
        )]);
        assert_eq!(
            format!("{signer:?}"),
            r#"Signer { entries: [("X-Signature", Key(sha1, ***))] }"#
        );
    }
}
