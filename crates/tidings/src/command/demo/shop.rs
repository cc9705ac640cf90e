//! The made-up shop's catalog, and the partners that go with it.

use crate::failure::Failure;
use std::path::Path;
use tidings_catalog::Source;
use tidings_model::{Catalog, Destination, HashName, OAuthCredentials, SecretRef};
use tidings_receiver::{OAuthSettings, ReceiverSettings, Running, TOKEN_PATH, VerifySpec};

/// The catalog as users find it among the examples.
const CATALOG: &str = include_str!("../../../../../examples/demo/catalog.yaml");

/// Reads the catalog. Its partners' addresses are those of the example.
pub(crate) fn catalog() -> Result<Catalog, Failure> {
    let source = Source {
        name: "examples/demo/catalog.yaml",
        text: CATALOG,
        directory: Path::new("."),
    };
    // The partners are on this machine, which is why nothing is held against their addresses.
    let loaded = tidings_catalog::read(source, |_url| None).map_err(|faults| {
        let list: Vec<_> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the demo's catalog has faults\n{}", list.join("\n"))
    })?;
    Ok(loaded.catalog)
}

/// A partner that demands of the server just what the catalog says it does.
pub(crate) fn partner(destination: &Destination) -> Result<ReceiverSettings, Failure> {
    let mut verify = Vec::new();
    for signing in &destination.signing {
        let hash = match signing.hash {
            HashName::Md5 => "md5",
            HashName::Sha1 => "sha1",
            HashName::Sha256 => "sha256",
        };
        let spec: VerifySpec = format!("{}:{hash}:", signing.header)
            .parse()
            .map_err(anyhow::Error::new)?;
        verify.push(spec.with_key(plain(&signing.secret)?.as_bytes()));
    }
    let oauth = match destination.oauth.as_ref().map(|oauth| &oauth.credentials) {
        Some(OAuthCredentials::Client {
            client_id,
            client_secret,
        }) => Some(OAuthSettings {
            client_id: client_id.clone(),
            client_secret: plain(client_secret)?.to_owned(),
            token_ttl: OAuthSettings::TOKEN_TTL,
        }),
        _ => None,
    };
    Ok(ReceiverSettings {
        verify,
        oauth,
        keep_states: true,
        ..ReceiverSettings::default()
    })
}

/// Leads a destination to where its partner really listens.
pub(crate) fn connect(destination: &mut Destination, partner: &Running) {
    destination.url = format!("{}/segments", partner.url());
    if let Some(oauth) = &mut destination.oauth {
        oauth.token_url = format!("{}{TOKEN_PATH}", partner.url());
    }
}

fn plain(secret: &SecretRef) -> Result<&str, Failure> {
    match secret {
        SecretRef::Plain(text) => Ok(text),
        SecretRef::Env(_) | SecretRef::File(_) => Err(Failure::Work(anyhow::anyhow!(
            "the demo's catalog holds its made-up secrets itself, not {secret:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_demand_what_the_catalog_says() {
        let catalog = catalog().unwrap();
        let demands: Vec<_> = catalog
            .destinations
            .iter()
            .map(|destination| {
                let settings = partner(destination).unwrap();
                let headers: Vec<_> = settings.verify.iter().map(|rule| &rule.header).collect();
                format!("{headers:?}, {:?}", settings.oauth.is_some())
            })
            .collect();
        assert_eq!(demands, [r#"["x-signature"], false"#, "[], true"]);
    }
}
