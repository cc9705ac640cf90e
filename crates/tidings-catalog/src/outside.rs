//! Addresses, header names and secrets: values that are sent to others or kept from them.
//!
//! The text of a URL or a secret is never shown: the one may carry credentials by mistake, the
//! other is one.

use crate::context::Context;
use crate::fault::Remark;
use crate::limits::{HEADER_BYTES_MAX, SECRET_BYTES_MAX, URL_BYTES_MAX};
use crate::suggest::quote;
use crate::value::Value;
use std::path::PathBuf;
use tidings_model::SecretRef;
use url::Url;

/// Headers that the sender or the connection sets; a signature must not replace them.
const OWN_HEADERS: [&str; 18] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// Reads the address of a partner: `https`, no user info, no fragment.
///
/// What the caller holds against the address is a warning, since the rest of the catalog can work.
pub(crate) fn url(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<String> {
    let text = value.text(ctx)?;
    if let Some(remark) = fault_of_url(text) {
        ctx.fault(value, remark);
        return None;
    }
    if let Some(judgement) = (ctx.judge_url)(text) {
        ctx.warn(value, judgement);
    }
    Some(text.to_owned())
}

fn fault_of_url(text: &str) -> Option<Remark> {
    if text.len() > URL_BYTES_MAX {
        return Some(format!("longer than {URL_BYTES_MAX} bytes").into());
    }
    // The parser of URLs drops or replaces these, so what it sees is not what is written.
    if text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || c == '\\')
    {
        return Some("a URL has no blanks, line breaks or backslashes".into());
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            return Some(
                Remark::new(format!("not a URL: {error}")).hint("write https://host/path"),
            );
        }
    };
    if url.scheme() == "http" {
        return Some(
            Remark::new("plain http is refused: messages are only sent over https")
                .hint("write https://"),
        );
    }
    if url.scheme() != "https" {
        return Some(format!("the scheme must be https, not {}", quote(url.scheme())).into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        let hint = "use `oauth` or `signing` for credentials";
        return Some(Remark::new("a URL must not hold a user name or password").hint(hint));
    }
    if url.fragment().is_some() {
        return Some("a URL must not have a fragment (`#…`)".into());
    }
    if url.port() == Some(0) {
        return Some("nothing listens on port 0".into());
    }
    None
}

/// Reads the name of a header that carries a signature.
pub(crate) fn header(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<String> {
    let text = value.text(ctx)?;
    let is_own = OWN_HEADERS
        .iter()
        .any(|name| name.eq_ignore_ascii_case(text));
    let fault = if text.is_empty() || !text.bytes().all(is_token_byte) {
        format!(
            "{} is not a header name: letters, digits and `-` make one",
            quote(text)
        )
    } else if text.len() > HEADER_BYTES_MAX {
        format!("longer than {HEADER_BYTES_MAX} bytes")
    } else if is_own {
        format!("the header {} is set by the sender itself", quote(text))
    } else {
        return Some(text.to_owned());
    };
    ctx.fault(value, fault);
    None
}

/// A byte of a `token`, RFC 9110 section 5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Reads where a secret is to be found. A relative path is one from the catalog's directory.
pub(crate) fn secret(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<SecretRef> {
    let text = value.text(ctx)?;
    if text.len() > SECRET_BYTES_MAX {
        ctx.fault(value, format!("longer than {SECRET_BYTES_MAX} bytes"));
        return None;
    }
    let fault = match SecretRef::parse(text) {
        Some(SecretRef::Plain(secret)) if secret.is_empty() => "the secret is empty",
        Some(SecretRef::Env(name)) if !is_variable(&name) => {
            "the name of an environment variable is made of letters, digits and `_`"
        }
        Some(SecretRef::File(path)) if path.as_os_str().as_encoded_bytes().contains(&0) => {
            "a path has no zero character"
        }
        Some(SecretRef::File(path)) => return Some(SecretRef::File(ctx.directory.join(path))),
        Some(secret) => return Some(secret),
        None => {
            let hint = "write env:NAME, file:PATH or plain:TEXT";
            ctx.fault(value, Remark::new("not a reference to a secret").hint(hint));
            return None;
        }
    };
    ctx.fault(value, fault);
    None
}

/// Reads the path of a file that holds no secret. A relative path is one from the catalog's
/// directory; `file:` before it is taken as for secrets.
pub(crate) fn file(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<PathBuf> {
    let text = value.text(ctx)?;
    let path = text.strip_prefix("file:").unwrap_or(text);
    let fault = if path.is_empty() {
        "the path is empty"
    } else if path.len() > SECRET_BYTES_MAX {
        "the path is too long"
    } else if path.contains('\0') {
        "a path has no zero character"
    } else {
        return Some(ctx.directory.join(path));
    };
    ctx.fault(value, fault);
    None
}

fn is_variable(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
