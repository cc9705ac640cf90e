//! What the partner gave us to ask for tokens with.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderValue;
use std::fmt;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

/// Longest credential, in bytes of the header.
const CREDENTIAL_BYTES_MAX: usize = 8 * 1024;

/// Credentials for a token endpoint; never printed, wiped when dropped.
#[derive(Clone)]
pub struct Credentials(HeaderValue);

/// Why a text cannot be a credential. Names no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// There is nothing to send.
    #[error("the credential is empty")]
    Empty,
    /// Longer than a header should be.
    #[error("the credential is longer than {CREDENTIAL_BYTES_MAX} bytes")]
    TooLong,
    /// A raw credential has a line break or another character that a header cannot carry.
    #[error("the credential has a character that a header cannot carry")]
    Character,
}

impl Credentials {
    /// A client's id and secret: form-encoded, joined by a colon, in Base64 (RFC 6749 2.3.1).
    ///
    /// # Errors
    /// When the id is empty or both together are too long. An empty secret is allowed.
    pub fn client(client_id: &str, client_secret: &str) -> Result<Self, CredentialsError> {
        if client_id.is_empty() {
            return Err(CredentialsError::Empty);
        }
        let mut pair = Zeroizing::new(String::new());
        pair.extend(byte_serialize(client_id.as_bytes()));
        pair.push(':');
        pair.extend(byte_serialize(client_secret.as_bytes()));
        Self::basic_raw(&Zeroizing::new(STANDARD.encode(pair.as_bytes())))
    }

    /// The text after `Basic `, sent exactly as the partner supplied it, decodable or not.
    ///
    /// # Errors
    /// When it is empty, too long, or not visible ASCII.
    pub fn basic_raw(credential: &str) -> Result<Self, CredentialsError> {
        if credential.is_empty() {
            return Err(CredentialsError::Empty);
        }
        if credential.len() > CREDENTIAL_BYTES_MAX {
            return Err(CredentialsError::TooLong);
        }
        secret_header("Basic ", credential)
            .map(Self)
            .ok_or(CredentialsError::Character)
    }

    /// The value of the `Authorization` header that they are sent in, marked as sensitive.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// `scheme` and `secret` as a header value that is marked as sensitive and whose bytes are wiped
/// with its last clone; `None` when the secret is not visible ASCII.
pub(super) fn secret_header(scheme: &str, secret: &str) -> Option<HeaderValue> {
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(scheme.len() + secret.len()));
    bytes.extend_from_slice(scheme.as_bytes());
    bytes.extend_from_slice(secret.as_bytes());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(bytes)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(credentials: Result<Credentials, CredentialsError>, expected: &str) {
        let credentials = credentials.unwrap();
        assert_eq!(credentials.authorization().to_str().unwrap(), expected);
        assert_eq!(format!("{credentials:?}"), "Credentials(***)");
        assert_eq!(format!("{:?}", credentials.authorization()), "Sensitive");
    }

    #[test]
    fn encodes_id_and_secret() {
        // "aladdin:opensesame" and "a+b%26:%C3%A4%3A+%2F~" before Base64.
        check(
            Credentials::client("aladdin", "opensesame"),
            "Basic YWxhZGRpbjpvcGVuc2VzYW1l",
        );
        check(
            Credentials::client("a b&", "ä: /"),
            "Basic YStiJTI2OiVDMyVBNCUzQSslMkY=",
        );
    }

    #[test]
    fn sends_raw_text_as_it_is() {
        let odd = "zq2LOO1CcYGrODS5nXiNHpEz97eCpVHAoMF8pAgCntXAzxp5uRV7DTAE2qtPLjhMQwrEX3O6MHV4S";
        check(Credentials::basic_raw(odd), &format!("Basic {odd}"));
    }

    #[test]
    fn refuses_what_a_header_cannot_carry() {
        let error = |text: &str| Credentials::basic_raw(text).unwrap_err();
        assert_eq!(error(""), CredentialsError::Empty);
        assert_eq!(error("a\r\nHost: evil"), CredentialsError::Character);
        assert_eq!(error("ä"), CredentialsError::Character);
        assert_eq!(error(&"a".repeat(9_000)), CredentialsError::TooLong);
        assert_eq!(
            Credentials::client("", "x").unwrap_err(),
            CredentialsError::Empty
        );
    }
}
