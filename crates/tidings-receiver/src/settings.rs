//! Settings of a receiver: plain data, decided by the caller. Nothing here reads files or the
//! environment.

use crate::{Fault, Received};
use http::HeaderName;
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    sync::Arc,
    time::Duration,
};
use tidings_model::SecretRef;
use tidings_wire::{Hash, Key, Options, template::Template};

/// Called with every request, in the task that serves it and before it is answered: be quick, and
/// do not block.
pub type Observer = Arc<dyn Fn(&Received) + Send + Sync>;

/// What a receiver is to do. The default takes every valid message on any port of 127.0.0.1.
#[derive(Clone)]
pub struct ReceiverSettings {
    /// Where to listen; port 0 is any free one.
    pub listen: SocketAddr,
    /// Directory of `ca.pem`, `cert.pem` and `key.pem`, which are made if none is there. `None`
    /// makes them in memory, anew at each start.
    pub tls_dir: Option<PathBuf>,
    /// Host names and addresses of a certificate made here, besides `localhost`, `127.0.0.1`,
    /// `::1` and the address listened on.
    pub tls_names: Vec<String>,
    /// Signatures demanded: of every header named here, one rule must match one of its values.
    pub verify: Vec<VerifyRule>,
    /// Demands bearer tokens and issues them at `/oauth2/token`.
    pub oauth: Option<OAuthSettings>,
    /// Takes GET requests whose path and query are of this template, instead of POST.
    pub get: Option<Template>,
    /// What goes wrong on purpose.
    pub faults: Vec<Fault>,
    /// Seed of the faults' rates: the same requests in the same order meet the same faults.
    pub seed: u64,
    /// File to append a line of JSON to for every request.
    pub record: Option<PathBuf>,
    /// How messages are judged.
    pub strictness: Strictness,
    /// A name of the member with the destination's id that is taken besides the published ones.
    pub destination_key: Option<String>,
    /// Keeps the last state of every segment of every partner id in memory.
    pub keep_states: bool,
    /// Is shown every request.
    pub on_request: Option<Observer>,
}

impl Default for ReceiverSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls_dir: None,
            tls_names: Vec::new(),
            verify: Vec::new(),
            oauth: None,
            get: None,
            faults: Vec::new(),
            seed: 0,
            record: None,
            strictness: Strictness::default(),
            destination_key: None,
            keep_states: false,
            on_request: None,
        }
    }
}

impl fmt::Debug for ReceiverSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverSettings")
            .field("listen", &self.listen)
            .field("tls_dir", &self.tls_dir)
            .field("tls_names", &self.tls_names)
            .field("verify", &self.verify)
            .field("oauth", &self.oauth)
            .field("get", &self.get)
            .field("faults", &self.faults)
            .field("seed", &self.seed)
            .field("record", &self.record)
            .field("strictness", &self.strictness)
            .field("destination_key", &self.destination_key)
            .field("keep_states", &self.keep_states)
            .field("on_request", &self.on_request.is_some())
            .finish()
    }
}

/// How messages are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Takes every form that senders of this protocol are known to use, and reports what is odd.
    #[default]
    Tolerant,
    /// Takes the same forms, but refuses what is odd: a `User_count` that is not the number of
    /// users, empty lists, a segment told twice, a content type other than JSON.
    Strict,
    /// Takes only what a sender with these options sends, to the letter.
    Exact(Options),
}

/// A signature that requests must carry.
#[derive(Clone, Debug)]
pub struct VerifyRule {
    /// The header that carries it.
    pub header: HeaderName,
    /// The key it is made with, and its hash.
    pub key: Key,
}

/// A [`VerifyRule`] as it is written, `HEADER:HASH:KEY`, before its key is looked up.
///
/// `KEY` is `env:NAME`, `file:PATH`, `plain:TEXT` or the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifySpec {
    /// The header that carries the signature.
    pub header: HeaderName,
    /// The hash of the signature.
    pub hash: Hash,
    /// Where the key is to be found.
    pub secret: SecretRef,
}

/// A text is not a [`VerifySpec`]. Shows no part of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifySpecError {
    /// Fewer than three parts.
    #[error("a signature check is HEADER:HASH:KEY, as in X-Signature:sha1:env:KEY")]
    Form,
    /// The first part is no header name.
    #[error("`{0}` is not a header name")]
    Header(String),
    /// The second part is no hash.
    #[error("`{0}` is not a hash: sha1, sha256 or md5")]
    Hash(String),
    /// `env:` or `file:` without a name.
    #[error("`{0}` needs a name after it")]
    Secret(String),
}

impl VerifySpec {
    /// The rule with the key that was found.
    #[must_use]
    pub fn with_key(self, key: &[u8]) -> VerifyRule {
        VerifyRule {
            header: self.header,
            key: Key::new(self.hash, key),
        }
    }
}

impl FromStr for VerifySpec {
    type Err = VerifySpecError;

    fn from_str(text: &str) -> Result<Self, VerifySpecError> {
        let mut parts = text.splitn(3, ':');
        let (Some(header), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(VerifySpecError::Form);
        };
        let secret = match key {
            "env:" | "file:" => return Err(VerifySpecError::Secret(key.to_owned())),
            _ => SecretRef::parse(key).unwrap_or_else(|| SecretRef::Plain(key.to_owned())),
        };
        Ok(Self {
            header: header
                .parse()
                .map_err(|_| VerifySpecError::Header(header.to_owned()))?,
            hash: hash
                .parse()
                .map_err(|_| VerifySpecError::Hash(hash.to_owned()))?,
            secret,
        })
    }
}

/// The one OAuth client a receiver knows.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuthSettings {
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// How long a token is valid; the answer announces it in whole seconds.
    pub token_ttl: Duration,
}

impl OAuthSettings {
    /// How long a token is valid unless something else is said.
    pub const TOKEN_TTL: Duration = Duration::from_secs(60);

    /// Parses `id:secret`; the secret may hold further colons. `None` when there is no colon or no
    /// id.
    #[must_use]
    pub fn parse(text: &str, token_ttl: Duration) -> Option<Self> {
        let (client_id, client_secret) = text.split_once(':')?;
        (!client_id.is_empty()).then(|| Self {
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            token_ttl,
        })
    }
}

impl fmt::Debug for OAuthSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthSettings")
            .field("client_id", &self.client_id)
            .field("client_secret", &"***")
            .field("token_ttl", &self.token_ttl)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, VerifySpecError>) {
        let parsed = text.parse::<VerifySpec>();
        assert_eq!(
            parsed.map(|spec| format!("{} {} {:?}", spec.header, spec.hash, spec.secret)),
            expected.map(str::to_owned)
        );
    }

    #[test]
    fn parses_signature_checks() {
        check("X-Signature:sha1:env:KEY", Ok("x-signature sha1 env:KEY"));
        check("X-S:sha256:file:/a:b", Ok("x-s sha256 file:/a:b"));
        check("X-S:md5:plain:a:b", Ok("x-s md5 plain:***"));
        check("X-S:md5:a:b", Ok("x-s md5 plain:***"));
        check("X-S:md5", Err(VerifySpecError::Form));
        check("X S:md5:k", Err(VerifySpecError::Header("X S".into())));
        check("X-S:SHA1:k", Err(VerifySpecError::Hash("SHA1".into())));
        check("X-S:sha1:env:", Err(VerifySpecError::Secret("env:".into())));
    }

    #[test]
    fn parses_clients_and_hides_their_secret() {
        let client = OAuthSettings::parse("a:b:c", OAuthSettings::TOKEN_TTL).unwrap();
        assert_eq!(
            (client.client_id.as_str(), client.client_secret.as_str()),
            ("a", "b:c")
        );
        assert!(!format!("{client:?}").contains("b:c"));
        assert_eq!(OAuthSettings::parse("a", Duration::ZERO), None);
        assert_eq!(OAuthSettings::parse(":b", Duration::ZERO), None);
    }
}
