//! The token endpoint: grants, refusals, life of a token.

use super::*;
use http::HeaderName;

const TTL: Duration = Duration::from_secs(60);

fn issuer() -> TokenIssuer {
    TokenIssuer::new(OAuthSettings {
        client_id: "a b".to_owned(),
        client_secret: "s:ü%".to_owned(),
        token_ttl: TTL,
    })
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect()
}

fn basic_header(credentials: &str) -> String {
    format!("Basic {}", general_purpose::STANDARD.encode(credentials))
}

/// Requests a token and shows status and error.
#[track_caller]
fn check(content_type: &str, authorization: &str, body: &str, expected: &str) {
    let headers = headers(&[
        ("content-type", content_type),
        ("authorization", authorization),
    ]);
    let (answer, error) = issuer().grant(&headers, body.as_bytes(), Instant::now());
    let shown = format!(
        "{} {}",
        answer.status.as_u16(),
        error.as_deref().unwrap_or("granted")
    );
    assert_eq!(shown, expected);
}

const FORM: &str = "application/x-www-form-urlencoded;charset=UTF-8";
const GRANT: &str = "grant_type=client_credentials";

#[test]
fn grants_what_follows_the_protocol() {
    let good = basic_header("a+b:s%3A%C3%BC%25");
    check(FORM, &good, GRANT, "200 granted");
    let spaced = "Application/X-WWW-Form-Urlencoded ; charset=UTF-8";
    check(spaced, &good, GRANT, "200 granted");
    check(
        FORM,
        &good.replacen("Basic", "basic", 1),
        GRANT,
        "200 granted",
    );
    check(
        FORM,
        &good,
        "scope=x&grant%5Ftype=client_credentials",
        "200 granted",
    );
}

#[test]
fn refuses_what_does_not() {
    let good = basic_header("a+b:s%3A%C3%BC%25");
    let client = "401 the client credentials are missing or wrong";
    check(FORM, &basic_header("a b:s:ü%"), GRANT, client);
    check(FORM, &basic_header("a+b:wrong"), GRANT, client);
    check(FORM, &basic_header("no colon"), GRANT, client);
    check(FORM, "Basic !", GRANT, client);
    check(FORM, "Bearer abc", GRANT, client);
    check(
        "application/json",
        &good,
        GRANT,
        "400 Content-Type is not application/x-www-form-urlencoded",
    );
    check(FORM, &good, "", "400 grant_type is missing");
    check(
        FORM,
        &good,
        "grant_type=a&grant_type=b",
        "400 grant_type is missing",
    );
    check(
        FORM,
        &good,
        "grant_type=password",
        "400 grant_type is not client_credentials",
    );
}

#[test]
fn a_token_lives_its_time_and_dies_when_revoked() {
    let issuer = issuer();
    let start = Instant::now();
    let token = issuer.issue(start).unwrap();
    let bearer = headers(&[("authorization", &format!("bearer {token}"))]);
    assert!(issuer.is_authorized(&bearer, start));
    assert!(issuer.is_authorized(&bearer, start + TTL - Duration::from_millis(1)));
    assert!(!issuer.is_authorized(&bearer, start + TTL));

    let other = headers(&[("authorization", "Bearer other")]);
    assert!(!issuer.is_authorized(&other, start));
    assert!(!issuer.is_authorized(&HeaderMap::new(), start));
    let mut twice = bearer.clone();
    twice.append("authorization", HeaderValue::from_static("Bearer other"));
    assert!(!issuer.is_authorized(&twice, start));

    issuer.revoke_all();
    assert!(!issuer.is_authorized(&bearer, start));
}

#[test]
fn forgets_expired_tokens_and_keeps_a_bounded_number() {
    let issuer = issuer();
    let start = Instant::now();
    for _ in 0..TOKENS_MAX + 1 {
        issuer.issue(start).unwrap();
    }
    assert_eq!(issuer.issued().expires.len(), TOKENS_MAX);
    issuer.issue(start + TTL).unwrap();
    let issued = issuer.issued();
    assert_eq!((issued.expires.len(), issued.order.len()), (1, 1));
}

#[test]
fn records_no_secret() {
    assert_eq!(
        redact_form("a=b&client%5Fsecret=x&client_secret=y&c"),
        "a=b&client_secret=***&client_secret=***&c"
    );
}
