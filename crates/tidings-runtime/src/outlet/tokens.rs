//! Token sources by token URL and credential: destinations that have both in common share a token,
//! and with it the one fetch in flight, as long as they also speak TLS from the same files.

use super::{Marks, of_tls};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tidings_egress::{
    Egress, TlsProfile, UrlError,
    oauth::{Credentials, TokenSettings, TokenSource},
};
use tidings_model::TlsFiles;
use zeroize::Zeroizing;

/// Token URL, mark of the credential, mark of the TLS files if there are any.
type Key = (String, u64, Option<u64>);

/// The token sources in use.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    marks: Marks,
    sources: Mutex<HashMap<Key, Weak<TokenSource>>>,
}

impl Tokens {
    pub(crate) const fn marks(&self) -> &Marks {
        &self.marks
    }

    pub(super) fn mark(&self, files: &TlsFiles) -> u64 {
        self.marks.mark(of_tls(files))
    }

    /// The source of these, a new one if nobody uses it yet. The credential comes twice: as it is
    /// sent, and as the text it is told apart by.
    pub(super) fn source(
        &self,
        egress: &Arc<Egress>,
        token_url: &str,
        (credentials, text): (Credentials, Zeroizing<String>),
        tls: Option<(u64, TlsProfile)>,
    ) -> Result<Arc<TokenSource>, UrlError> {
        let (mark, profile) = tls.unzip();
        let key = (token_url.to_owned(), self.marks.text(&text), mark);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = sources.get(&key).and_then(Weak::upgrade) {
            return Ok(shared);
        }
        let source = TokenSource::new(
            Arc::clone(egress),
            token_url,
            credentials,
            TokenSettings::default(),
        )?;
        if let Some(profile) = profile {
            source.set_tls(profile);
        }
        let source = Arc::new(source);
        sources.retain(|_, source| source.strong_count() > 0);
        sources.insert(key, Arc::downgrade(&source));
        Ok(source)
    }
}
