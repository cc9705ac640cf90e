//! Outgoing HTTPS: one guarded way from this process to partners' endpoints.
//!
//! [`Egress`] holds what all connections share (TLS policy, resolver, address policy), an
//! [`Endpoint`] is one destination with its own pool of connections and makes one attempt per
//! [`Endpoint::post`], an [`oauth::TokenSource`] fetches and keeps bearer tokens over the same
//! guarded connections.
//!
//! Rules that hold for everything here: HTTPS only, TLS 1.2 or 1.3, certificate and host name
//! verified, every dialled address judged by [`AddressPolicy`], no redirects, no proxies from the
//! environment, no cookies, no decompression of delivery responses, everything read is bounded,
//! every outcome has a name ([`FailureClass`]).
//!
//! Left out on purpose: what is sent and when to repeat it (the callers' business), HTTP/2 (each
//! connection carries one request at a time, which is what keeps a slow response from delaying the
//! others).
#![forbid(unsafe_code)]

mod attempt;
mod dial;
mod egress;
mod endpoint;
mod failure;
mod link;
pub mod oauth;
mod own;
mod policy;
mod pool;
mod request;
mod resolve;
mod status;
mod target;
mod tls;

pub use attempt::{Attempt, BodyEnd, EXCERPT_BYTES_MAX, RETRY_AFTER_MAX, Response, Timings};
pub use egress::{Egress, EgressError, EgressSettings};
pub use endpoint::{Endpoint, EndpointSettings};
pub use failure::{Failure, FailureClass};
pub use policy::{AddressKind, AddressPolicy, AddressRefusal};
pub use pool::PoolSettings;
pub use request::{Request, ReservedHeader, is_reserved_header};
pub use resolve::{HostsFile, NameServers};
pub use target::{URL_BYTES_MAX, UrlError, check_url};
pub use tls::{RootsError, TlsProfile, TlsSettings, TlsSettingsError};
