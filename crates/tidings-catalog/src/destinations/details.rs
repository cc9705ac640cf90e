//! Signing, OAuth, the batch and the wire format of a destination.

use crate::context::Context;
use crate::fault::Remark;
use crate::limits::{BATCH_EVERY_MAX, BATCH_EVERY_MIN};
use crate::outside;
use crate::record::Record;
use crate::suggest::quote;
use crate::value::{self, Value};
use tidings_model::{
    Batch, ClientCertificate, HashName, Numbers, OAuth, OAuthCredentials, Signing, Timestamp,
    TlsFiles, WireSettings,
};

const SIGNING_KEYS: [&str; 5] = ["header", "hash", "secret", "not_before", "not_after"];
const HASHES: [(&str, HashName); 3] = [
    ("md5", HashName::Md5),
    ("sha1", HashName::Sha1),
    ("sha256", HashName::Sha256),
];
const OAUTH_KEYS: [&str; 4] = ["token_url", "client_id", "client_secret", "basic_raw"];
const TLS_KEYS: [&str; 3] = ["ca_file", "client_cert", "client_key"];
const BATCH_KEYS: [&str; 2] = ["every", "at"];
const WIRE_KEYS: [&str; 5] = [
    "numbers",
    "destination_key",
    "destination_id",
    "user_dpid",
    "regions",
];
const NUMBERS: [(&str, Numbers); 2] = [("string", Numbers::String), ("integer", Numbers::Integer)];

/// Members of a message beside the one that carries the destination's id.
const OTHER_MEMBERS: [&str; 5] = [
    "ProcessTime",
    "User_DPID",
    "Client_ID",
    "User_count",
    "Users",
];

/// Two in the morning, when a batch disturbs least.
const BATCH_MINUTE_DEFAULT: u16 = 2 * 60;

/// Reads one signature header. Header and hash default to those of the published example.
pub(super) fn signing(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<Signing> {
    let record = Record::open(value, &SIGNING_KEYS, ctx)?;
    let header = record.or("header", "X-Signature".to_owned(), outside::header);
    let hash = record.or("hash", HashName::Sha1, |value, ctx| {
        value.choice(&HASHES, ctx)
    });
    let secret = record.required("secret", outside::secret);
    let not_before = record.optional("not_before", instant);
    let not_after = record.optional("not_after", instant);
    if let (Some(from), Some(until), Some(at)) = (not_before, not_after, record.field("not_after"))
        && until <= from
    {
        ctx.fault(at, format!("{until} is not after `not_before`, {from}"));
    }
    Some(Signing {
        header,
        hash,
        secret: secret?,
        not_before,
        not_after,
    })
}

fn instant(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<Timestamp> {
    let text = value.text(ctx)?;
    let instant = Timestamp::parse(text).ok();
    if instant.is_none() {
        let message = format!("{} is not an instant", quote(text));
        let hint = "write it as in 2016-07-27T16:17:22Z";
        ctx.fault(value, Remark::new(message).hint(hint));
    }
    instant
}

/// Reads the credentials for the token endpoint, in one of their two forms.
pub(super) fn oauth(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<OAuth> {
    let record = Record::open(value, &OAUTH_KEYS, ctx)?;
    let token_url = record.required("token_url", outside::url);
    let client_id = record.optional("client_id", value::name);
    let client_secret = record.optional("client_secret", outside::secret);
    let basic_raw = record.optional("basic_raw", outside::secret);
    let has = |key| record.field(key).is_some();
    match (has("client_id"), has("client_secret"), has("basic_raw")) {
        (true, true, false) | (false, false, true) => {}
        (_, _, true) => ctx.fault(
            record.value(),
            "`basic_raw` excludes `client_id` and `client_secret`",
        ),
        (false, false, false) => ctx.fault(
            record.value(),
            "credentials are missing: `client_id` and `client_secret`, or `basic_raw`",
        ),
        (true, false, false) => ctx.fault(record.value(), "`client_secret` is missing"),
        (false, true, false) => ctx.fault(record.value(), "`client_id` is missing"),
    }
    let credentials = match (client_id, client_secret, basic_raw) {
        (_, _, Some(secret)) => OAuthCredentials::BasicRaw(secret),
        (Some(client_id), Some(client_secret), None) => OAuthCredentials::Client {
            client_id,
            client_secret,
        },
        _ => return None,
    };
    Some(OAuth {
        token_url: token_url?,
        credentials,
    })
}

/// Reads a destination's own trust roots and client certificate.
pub(super) fn tls(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<TlsFiles> {
    let record = Record::open(value, &TLS_KEYS, ctx)?;
    let ca_file = record.optional("ca_file", outside::file);
    let chain = record.optional("client_cert", outside::secret);
    let key = record.optional("client_key", outside::secret);
    let has = |key| record.field(key).is_some();
    match (has("client_cert"), has("client_key")) {
        (true, false) => ctx.fault(record.value(), "`client_key` is missing"),
        (false, true) => ctx.fault(record.value(), "`client_cert` is missing"),
        (true, true) | (false, false) => {}
    }
    Some(TlsFiles {
        ca_file,
        client: chain
            .zip(key)
            .map(|(chain, key)| ClientCertificate { chain, key }),
    })
}

/// Reads the daily batch.
pub(super) fn batch(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<Batch> {
    let record = Record::open(value, &BATCH_KEYS, ctx)?;
    Some(Batch {
        every: record.or("every", BATCH_EVERY_MIN, |value, ctx| {
            value.duration(BATCH_EVERY_MIN..=BATCH_EVERY_MAX, ctx)
        }),
        at_minute: record.or("at", BATCH_MINUTE_DEFAULT, minute),
    })
}

/// Reads a time of day, `02:00`, as minutes after midnight.
fn minute(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<u16> {
    let text = value.text(ctx)?;
    let minute = parse_minute(text);
    if minute.is_none() {
        let message = format!("{} is not a time of day", quote(text));
        ctx.fault(
            value,
            Remark::new(message).hint("write it as in \"02:00\", in UTC"),
        );
    }
    minute
}

fn parse_minute(text: &str) -> Option<u16> {
    let two_digits = |part: &str| {
        let sound = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        sound.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

/// Reads the details of the wire format.
pub(super) fn wire(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<WireSettings> {
    let record = Record::open(value, &WIRE_KEYS, ctx)?;
    let default = WireSettings::default();
    Some(WireSettings {
        numbers: record.or("numbers", default.numbers, |value, ctx| {
            value.choice(&NUMBERS, ctx)
        }),
        destination_key: record.or("destination_key", default.destination_key, member),
        destination_id: record.optional("destination_id", value::name),
        user_dpid: record.or("user_dpid", default.user_dpid, value::flag),
        regions: record.or("regions", default.regions, value::flag),
    })
}

fn member(value: Value<'_, '_>, ctx: &Context<'_>) -> Option<String> {
    let name = value::name(value, ctx)?;
    if OTHER_MEMBERS.contains(&name.as_str()) {
        let message = format!("{} is another member of the message", quote(&name));
        ctx.fault(value, message);
        return None;
    }
    Some(name)
}
