//! What a destination sends through: connections, token, signatures. Made from its secrets and
//! files, and brought up to date when those change, without a pause.
//!
//! Invariant: all of it is replaced or nothing is. What cannot be read or used leaves everything as
//! it was. A message keeps the signatures of its first attempt; attempts under way keep their
//! connection.
//!
//! Not here: when files are looked at (`server`), which destinations there are (`deliveries`).

mod tokens;

pub(crate) use tokens::Tokens;

use crate::{
    redact::{Redactor, credential},
    secret::{read_secret, read_trust},
    signing::Signatures,
};
use anyhow::Context as _;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::{
    fs,
    hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tidings_egress::{
    Egress, Endpoint, EndpointSettings, TlsProfile, TlsSettings, oauth::Credentials,
    oauth::TokenSource,
};
use tidings_model::{Destination, OAuthCredentials, SecretRef, TlsFiles};
use zeroize::Zeroizing;

/// What a destination's task works with.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) token: ArcSwapOption<TokenSource>,
    pub(crate) signatures: Arc<Signatures>,
    pub(crate) redactor: ArcSwap<Redactor>,
    /// Of the files that the connections were made from.
    tls: AtomicU64,
}

/// What was read and found good, before any of it is used.
struct Parts {
    tls: Option<TlsProfile>,
    token: Option<Arc<TokenSource>>,
    signatures: Signatures,
    redactor: Redactor,
}

impl Outlet {
    /// Reads the destination's secrets and files. What was `known` before goes on being masked.
    pub(crate) fn new(
        destination: &Destination,
        egress: &Arc<Egress>,
        tokens: &Tokens,
        known: &Redactor,
    ) -> anyhow::Result<Self> {
        egress.check_url(&destination.url).context("url")?;
        let endpoint = Endpoint::new(
            Arc::clone(egress),
            &destination.url,
            EndpointSettings::default(),
        )
        .context("url")?;
        let tls = tokens.mark(&destination.tls);
        let mut parts = Parts::read(destination, egress, tokens)?;
        parts.redactor.remember(known, &[]);
        if let Some(profile) = parts.tls {
            endpoint.set_tls(profile);
        }
        Ok(Self {
            endpoint: Arc::new(endpoint),
            token: ArcSwapOption::new(parts.token),
            signatures: Arc::new(parts.signatures),
            redactor: ArcSwap::from_pointee(parts.redactor),
            tls: AtomicU64::new(tls),
        })
    }

    /// Reads them again and goes on with what they say now.
    pub(crate) fn refresh(
        &self,
        destination: &Destination,
        egress: &Arc<Egress>,
        tokens: &Tokens,
    ) -> anyhow::Result<()> {
        let tls = tokens.mark(&destination.tls);
        let mut parts = Parts::read(destination, egress, tokens)?;
        parts.redactor.remember(&self.known(), &[]);
        // Connections stay open when it was another secret that changed.
        if self.tls.swap(tls, Ordering::Relaxed) != tls
            && let Some(profile) = parts.tls
        {
            self.endpoint.set_tls(profile);
        }
        self.redactor.store(Arc::new(parts.redactor));
        self.token.store(parts.token);
        self.signatures.replace(parts.signatures);
        Ok(())
    }

    /// Every secret that a partner may repeat, tokens included.
    pub(crate) fn known(&self) -> Redactor {
        let tokens = self.token.load().as_ref().map(|source| source.recent());
        let mut known = Redactor::default();
        known.remember(&self.redactor.load(), &tokens.unwrap_or_default());
        known
    }
}

impl Parts {
    fn read(
        destination: &Destination,
        egress: &Arc<Egress>,
        tokens: &Tokens,
    ) -> anyhow::Result<Self> {
        let tls = tls_profile(&destination.tls, egress).context("tls")?;
        let mut redactor = Redactor::default();
        let token = match &destination.oauth {
            None => None,
            Some(oauth) => {
                egress
                    .check_url(&oauth.token_url)
                    .context("oauth.token_url")?;
                let credentials = credentials(&oauth.credentials, &mut redactor)?;
                let profile = tls.clone().map(|tls| (tokens.mark(&destination.tls), tls));
                let source = tokens.source(egress, &oauth.token_url, credentials, profile);
                Some(source.context("oauth.token_url")?)
            }
        };
        for signing in &destination.signing {
            // Whether it can be read is for the signatures to say.
            if let Ok(secret) = read_secret(&signing.secret) {
                redactor.add(&secret);
            }
        }
        let signatures = Signatures::new(&destination.signing)?;
        Ok(Self {
            tls,
            token,
            signatures,
            redactor,
        })
    }
}

/// `None` for a destination that has nothing of its own.
fn tls_profile(files: &TlsFiles, egress: &Egress) -> anyhow::Result<Option<TlsProfile>> {
    if *files == TlsFiles::default() {
        return Ok(None);
    }
    let roots = files.ca_file.as_deref().map(read_trust);
    let roots = roots.transpose().context("ca_file")?;
    let client = match &files.client {
        None => None,
        Some(client) => Some((
            read_secret(&client.chain).context("client_cert")?,
            read_secret(&client.key).context("client_key")?,
        )),
    };
    let settings = TlsSettings {
        ca_pem: roots.as_deref(),
        client: client
            .as_ref()
            .map(|(chain, key)| (chain.as_bytes(), key.as_bytes())),
    };
    Ok(Some(egress.tls_profile(settings)?))
}

fn credentials(
    from: &OAuthCredentials,
    redactor: &mut Redactor,
) -> anyhow::Result<(Credentials, Zeroizing<String>)> {
    match from {
        OAuthCredentials::Client {
            client_id,
            client_secret,
        } => {
            let secret = read_secret(client_secret).context("oauth.client_secret")?;
            redactor.add(&secret);
            let credentials = Credentials::client(client_id, &secret).context("oauth")?;
            let sent = credentials.authorization();
            if let Ok(sent) = std::str::from_utf8(credential(sent.as_bytes())) {
                redactor.add(sent);
            }
            // A colon separates: an id has none in what is sent.
            let both = Zeroizing::new(format!("{client_id}:{}", secret.as_str()));
            redactor.add(&both);
            Ok((credentials, both))
        }
        OAuthCredentials::BasicRaw(secret) => {
            let secret = read_secret(secret).context("oauth.basic_raw")?;
            redactor.add(&secret);
            let credentials = Credentials::basic_raw(&secret).context("oauth.basic_raw")?;
            Ok((credentials, secret))
        }
    }
}

/// Tells the contents of files apart, without keeping them: a keyed hash that no two runs share.
#[derive(Debug, Default)]
pub(crate) struct Marks(RandomState);

impl Marks {
    /// Of every file that `destination` names, those that cannot be read included.
    pub(crate) fn of(&self, destination: &Destination) -> u64 {
        let mut files = of_tls(&destination.tls);
        files.extend(
            destination
                .signing
                .iter()
                .filter_map(|entry| path(&entry.secret)),
        );
        files.extend(
            destination
                .oauth
                .iter()
                .filter_map(|oauth| match &oauth.credentials {
                    OAuthCredentials::Client { client_secret, .. } => path(client_secret),
                    OAuthCredentials::BasicRaw(secret) => path(secret),
                }),
        );
        self.mark(files)
    }

    fn mark<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> u64 {
        let mut hasher = self.0.build_hasher();
        for file in files {
            match bounded(file) {
                Ok(content) => content.hash(&mut hasher),
                Err(error) => error.kind().hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    fn text(&self, text: &str) -> u64 {
        self.0.hash_one(text)
    }
}

fn bounded(file: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    if fs::metadata(file)?.len() > crate::secret::TRUST_BYTES_MAX {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    fs::read(file).map(Zeroizing::new)
}

fn of_tls(files: &TlsFiles) -> Vec<&Path> {
    let client = files.client.iter();
    let client = client.flat_map(|client| [&client.chain, &client.key]);
    let client = client.filter_map(path);
    files.ca_file.as_deref().into_iter().chain(client).collect()
}

fn path(secret: &SecretRef) -> Option<&Path> {
    match secret {
        SecretRef::File(path) => Some(path),
        SecretRef::Env(_) | SecretRef::Plain(_) => None,
    }
}
