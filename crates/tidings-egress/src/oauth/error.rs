//! Why there is no token.

use crate::failure::{Failure, printable};
use std::fmt;

/// Longest error code taken from a token endpoint, in characters.
const CODE_CHARS_MAX: usize = 64;

/// Why there is no token. Cloned to everybody who waits or asks again before the next fetch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The token endpoint gave no response.
    #[error("no answer from the token endpoint: {0}")]
    Unreachable(Failure),
    /// Another status than 200, and no error code that tells more.
    #[error("the token endpoint answered {0}")]
    Status(u16),
    /// The token endpoint refused with an error code.
    #[error("the token endpoint answered {status} with the error {code}")]
    Denied {
        /// The HTTP status.
        status: u16,
        /// The code (RFC 6749 5.2).
        code: OAuthCode,
    },
    /// The body did not come to its end, or is too long.
    #[error("the token endpoint's answer is incomplete: {0}")]
    Incomplete(&'static str),
    /// The body cannot be decoded or is not a token response.
    #[error("the token endpoint's answer cannot be used: {0}")]
    Malformed(&'static str),
    /// The token is of another type than bearer.
    #[error("the token is of type {0:?}, not bearer")]
    TokenType(Box<str>),
    /// Destinations refuse the tokens that the endpoint hands out; the next fetch comes after a
    /// pause.
    #[error("the destination refuses fresh tokens, waiting before another is fetched")]
    Refused,
}

impl TokenError {
    /// A stable name for counting, `snake_case`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "token_unreachable",
            Self::Status(_) => "token_status",
            Self::Denied { .. } => "token_denied",
            Self::Incomplete(_) => "token_incomplete",
            Self::Malformed(_) => "token_malformed",
            Self::TokenType(_) => "token_type",
            Self::Refused => "token_refused",
        }
    }

    /// Whether waiting will not help: the operator has to look at the credentials.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Denied { code, .. } if code.is_configuration())
    }
}

/// An error code of a token endpoint (RFC 6749 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OAuthCode {
    /// The credentials are wrong.
    InvalidClient,
    /// The client may not use this grant.
    UnauthorizedClient,
    /// The grant is not offered.
    UnsupportedGrantType,
    /// The grant is refused.
    InvalidGrant,
    /// The scope is refused.
    InvalidScope,
    /// The request is not understood.
    InvalidRequest,
    /// Any other code, printable, at most 64 characters.
    Other(Box<str>),
}

impl OAuthCode {
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "invalid_client" => Self::InvalidClient,
            "unauthorized_client" => Self::UnauthorizedClient,
            "unsupported_grant_type" => Self::UnsupportedGrantType,
            "invalid_grant" => Self::InvalidGrant,
            "invalid_scope" => Self::InvalidScope,
            "invalid_request" => Self::InvalidRequest,
            other => Self::Other(printable(other, CODE_CHARS_MAX).into()),
        }
    }

    fn is_configuration(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for OAuthCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidRequest => "invalid_request",
            Self::Other(code) => code,
        })
    }
}
