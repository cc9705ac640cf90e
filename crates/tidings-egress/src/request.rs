//! One request: what the caller brings, and the head that is written for it.
//!
//! Header order and values are those of the protocol's published samples:
//! `Host, User-Agent, Accept, Accept-Encoding, Authorization, Content-Type, Content-Length`, then
//! the caller's own (signatures) in the order given. Names go out in title case (`X-Signature`,
//! also when it was configured as `X-SIGNATURE`: header names have no case).

use crate::{
    failure::{Failure, FailureClass},
    target::Target,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use http_body_util::Full;
use tidings_model::limits::REQUEST_TARGET_BYTES_MAX;

const ANY: HeaderValue = HeaderValue::from_static("*/*");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The header is one that the connection needs for itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {0} cannot be set by configuration")]
pub struct ReservedHeader(HeaderName);

/// A request, ready to be sent any number of times with the same bytes.
#[derive(Clone, Debug)]
pub struct Request {
    content: Content,
    authorization: Option<HeaderValue>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Where a request has what it tells.
#[derive(Clone, Debug)]
enum Content {
    /// In the JSON body of a POST.
    Body(Bytes),
    /// In path and query of a GET.
    Target(Bytes),
}

impl Request {
    /// A GET of this path and query, exactly as they stand, in place of those of the endpoint. One that
    /// cannot be sent fails each attempt as [`FailureClass::UrlRefused`].
    #[must_use]
    pub const fn get(target: Bytes) -> Self {
        Self {
            content: Content::Target(target),
            authorization: None,
            headers: Vec::new(),
        }
    }

    /// A POST with this JSON body, exactly as it stands.
    #[must_use]
    pub const fn json(body: Bytes) -> Self {
        Self {
            content: Content::Body(body),
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

    /// The bytes that tell something, which signatures cover: the body of a POST, path and query of a
    /// GET.
    #[must_use]
    pub const fn content(&self) -> &Bytes {
        match &self.content {
            Content::Body(bytes) | Content::Target(bytes) => bytes,
        }
    }

    pub(crate) fn message(
        &self,
        target: &Target,
        user_agent: &HeaderValue,
    ) -> Result<Message, Failure> {
        let mut headers = HeaderMap::with_capacity(7 + self.headers.len());
        headers.insert(header::HOST, target.authority.clone());
        headers.insert(header::USER_AGENT, user_agent.clone());
        headers.insert(header::ACCEPT, ANY);
        headers.insert(header::ACCEPT_ENCODING, GZIP);
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        if let Content::Body(body) = &self.content {
            headers.insert(header::CONTENT_TYPE, JSON);
            headers.insert(header::CONTENT_LENGTH, body.len().into());
        }
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        match &self.content {
            Content::Body(body) => Ok(message(target, headers, body.clone())),
            Content::Target(bytes) => {
                let mut message = message(target, headers, Bytes::new());
                *message.method_mut() = Method::GET;
                *message.uri_mut() = request_target(bytes)?;
                Ok(message)
            }
        }
    }
}

fn request_target(bytes: &Bytes) -> Result<Uri, Failure> {
    let refused = |detail: String| Failure {
        class: FailureClass::UrlRefused,
        detail,
    };
    if bytes.len() > REQUEST_TARGET_BYTES_MAX {
        let detail = format!(
            "path and query have {} bytes, the limit is {REQUEST_TARGET_BYTES_MAX}",
            bytes.len()
        );
        return Err(refused(detail));
    }
    if bytes.first() != Some(&b'/') {
        return Err(refused("the path does not begin with a slash".to_owned()));
    }
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    Uri::try_from(text).map_err(|error| refused(error.to_string()))
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
    fn a_target_that_cannot_be_sent_is_refused() {
        let check = |target: String| {
            let refused = request_target(&Bytes::from(target)).unwrap_err();
            (refused.class, refused.detail)
        };
        let (class, detail) = check(format!("/?{}", "x".repeat(REQUEST_TARGET_BYTES_MAX)));
        assert_eq!(class, FailureClass::UrlRefused);
        assert_eq!(detail, "path and query have 8194 bytes, the limit is 8192");
        check("//h\n/".to_owned());
        check("https://other.example/".to_owned());
        check(String::new());
        let longest = format!("/?{}", "x".repeat(REQUEST_TARGET_BYTES_MAX - 2));
        assert_eq!(
            request_target(&Bytes::from(longest.clone())).unwrap(),
            longest.as_str()
        );
    }

    #[test]
    fn the_token_is_not_printed() {
        let mut token = HeaderValue::from_static("Bearer hush");
        token.set_sensitive(true);
        let request = Request::json(Bytes::new()).with_authorization(token);
        assert!(!format!("{request:?}").contains("hush"));
    }
}
