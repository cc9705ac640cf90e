//! One request: what the caller brings, and the head that is written for it.
//!
//! Header order and values are those of the protocol's published samples:
//! `Host, User-Agent, Accept, Accept-Encoding, Authorization, Content-Type, Content-Length`, then
//! the caller's own (signatures) in the order given. Names go out in title case (`X-Signature`,
//! also when it was configured as `X-SIGNATURE`: header names have no case).

use crate::target::Target;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body_util::Full;

const ANY: HeaderValue = HeaderValue::from_static("*/*");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The header is one that the connection needs for itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {0} cannot be set by configuration")]
pub struct ReservedHeader(HeaderName);

/// A POST, ready to be sent any number of times with the same bytes.
#[derive(Clone, Debug)]
pub struct Request {
    body: Bytes,
    authorization: Option<HeaderValue>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Request {
    /// A request with this JSON body, exactly as it stands.
    #[must_use]
    pub const fn json(body: Bytes) -> Self {
        Self {
            body,
            authorization: None,
            headers: Vec::new(),
        }
    }

    /// Sets `Authorization`; mark the value as sensitive so that it cannot be printed.
    #[must_use]
    pub fn with_authorization(mut self, value: HeaderValue) -> Self {
        self.authorization = Some(value);
        self
    }

    /// Adds a header, such as a signature, after those given before. A name may be given twice:
    /// both lines are sent, in the order given, at the place of the first.
    ///
    /// # Errors
    /// When the name is one of [`is_reserved_header`].
    pub fn with_header(
        mut self,
        name: HeaderName,
        value: HeaderValue,
    ) -> Result<Self, ReservedHeader> {
        if is_reserved_header(&name) {
            return Err(ReservedHeader(name));
        }
        self.headers.push((name, value));
        Ok(self)
    }

    /// The body's bytes.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    pub(crate) fn message(&self, target: &Target, user_agent: &HeaderValue) -> Message {
        let mut headers = HeaderMap::with_capacity(7 + self.headers.len());
        headers.insert(header::HOST, target.authority.clone());
        headers.insert(header::USER_AGENT, user_agent.clone());
        headers.insert(header::ACCEPT, ANY);
        headers.insert(header::ACCEPT_ENCODING, GZIP);
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::CONTENT_LENGTH, self.body.len().into());
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        message(target, headers, self.body.clone())
    }
}

/// What is handed to the HTTP connection.
pub(crate) type Message = http::Request<Full<Bytes>>;

/// A POST to the target with exactly these headers.
pub(crate) fn message(target: &Target, headers: HeaderMap, body: Bytes) -> Message {
    let mut message = http::Request::new(Full::new(body));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = target.uri.clone();
    *message.headers_mut() = headers;
    message
}

/// Whether a header name cannot be used for a signature: the request or the connection needs it,
/// and a second one could split or redirect requests.
#[must_use]
pub fn is_reserved_header(name: &HeaderName) -> bool {
    const RESERVED: &[HeaderName] = &[
        header::HOST,
        header::USER_AGENT,
        header::ACCEPT,
        header::ACCEPT_ENCODING,
        header::AUTHORIZATION,
        header::PROXY_AUTHORIZATION,
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::EXPECT,
        header::TE,
        header::TRAILER,
        header::COOKIE,
    ];
    RESERVED.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_frame_the_request_are_reserved() {
        for name in ["Content-Length", "TRANSFER-ENCODING", "host", "keep-alive"] {
            let name = HeaderName::try_from(name).unwrap();
            let refused = Request::json(Bytes::new())
                .with_header(name, JSON)
                .unwrap_err();
            assert!(
                refused
                    .to_string()
                    .ends_with("cannot be set by configuration")
            );
        }
        let name = HeaderName::try_from("X-Signature").unwrap();
        assert!(Request::json(Bytes::new()).with_header(name, JSON).is_ok());
    }

    #[test]
    fn the_token_is_not_printed() {
        let mut token = HeaderValue::from_static("Bearer hush");
        token.set_sensitive(true);
        let request = Request::json(Bytes::new()).with_authorization(token);
        assert!(!format!("{request:?}").contains("hush"));
    }
}
