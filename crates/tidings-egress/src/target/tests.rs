//! The URL corpus: spellings that have slipped past other people's checks.

use super::*;

/// `expected` is `host | Host header | request target` of a URL that is taken and whose host is
/// permitted by default, or the error's text.
#[track_caller]
fn check(url: &str, expected: &str) {
    let shown = match check_url(url, AddressPolicy::default()) {
        Err(error) => error.to_string(),
        Ok(()) => show(url),
    };
    assert_eq!(shown, expected, "{url}");
}

fn show(url: &str) -> String {
    let target = Target::parse(url).unwrap();
    let host = match &target.host {
        TargetHost::Name(name) => name.clone(),
        TargetHost::Address(ip) => ip.to_string(),
    };
    let authority = target.authority.to_str().unwrap();
    format!("{host} | {authority} | {}", target.uri)
}

#[test]
fn takes_https_urls() {
    check(
        "https://api.partner.com",
        "api.partner.com | api.partner.com | /",
    );
    check(
        "https://api.partner.com/segments/aam",
        "api.partner.com | api.partner.com | /segments/aam",
    );
    check(
        "HTTPS://API.Partner.com:443/a?b=c&d=%20,1,2",
        "api.partner.com | api.partner.com | /a?b=c&d=%20,1,2",
    );
    check(
        "https://api.partner.com:8443/",
        "api.partner.com | api.partner.com:8443 | /",
    );
    check(
        "https://api.partner.com./x",
        "api.partner.com | api.partner.com | /x",
    );
    check(
        "https://api.partner.com?",
        "api.partner.com | api.partner.com | /?",
    );
    check(
        "https://api.partner.com/a/../b",
        "api.partner.com | api.partner.com | /b",
    );
    check(
        "https://bücher.example/ü",
        "xn--bcher-kva.example | xn--bcher-kva.example | /%C3%BC",
    );
    check("https://a_b.example/", "a_b.example | a_b.example | /");
    check("https://1.1.1.1/x", "1.1.1.1 | 1.1.1.1 | /x");
    check(
        "https://[2606:4700::1111]:444/",
        "2606:4700::1111 | [2606:4700::1111]:444 | /",
    );
    check(
        "https://p.example/a|b{c}[d]^`'?q={x}|[y]^`'",
        "p.example | p.example | /a|b%7Bc%7D[d]^%60'?q={x}|[y]^`%27",
    );
    check(
        "https://localhost.example.com/",
        "localhost.example.com | localhost.example.com | /",
    );
}

#[test]
fn refuses_what_is_not_plain_https() {
    for (url, expected) in [
        ("", "not a URL: relative URL without a base"),
        ("api.partner.com", "not a URL: relative URL without a base"),
        (
            "//api.partner.com/",
            "not a URL: relative URL without a base",
        ),
        ("http://api.partner.com/", "only https:// is allowed"),
        ("ftp://api.partner.com/", "only https:// is allowed"),
        ("file:///etc/passwd", "only https:// is allowed"),
        ("javascript:alert(1)", "only https:// is allowed"),
        ("https:api.partner.com", "only https:// is allowed"),
        ("https:/api.partner.com", "only https:// is allowed"),
        ("https://", "not a URL: empty host"),
        (
            "https://user@api.partner.com/",
            "user name and password are not allowed in the URL",
        ),
        (
            "https://u:p@api.partner.com/",
            "user name and password are not allowed in the URL",
        ),
        (
            "https://@api.partner.com/",
            "user name and password are not allowed in the URL",
        ),
        (
            "https://a@b@api.partner.com/",
            "user name and password are not allowed in the URL",
        ),
        (
            "https://1.1.1.1@127.0.0.1/",
            "user name and password are not allowed in the URL",
        ),
        (
            "https://api.partner.com/#x",
            "a fragment is not allowed in the URL",
        ),
        (
            "https://api.partner.com#",
            "a fragment is not allowed in the URL",
        ),
        ("https://api.partner.com:0/", "port 0 is not allowed"),
        (
            "https://api.partner.com:65536/",
            "not a URL: invalid port number",
        ),
        (
            " https://api.partner.com/",
            "the URL has a blank, control character or backslash at byte 0",
        ),
        (
            "https://api.partner.com/\n",
            "the URL has a blank, control character or backslash at byte 24",
        ),
        (
            "https://api\t.partner.com/",
            "the URL has a blank, control character or backslash at byte 11",
        ),
        (
            "https://api.partner.com\\@127.0.0.1/",
            "the URL has a blank, control character or backslash at byte 23",
        ),
        (
            "https:\\\\api.partner.com/",
            "the URL has a blank, control character or backslash at byte 6",
        ),
        (
            "https://api..partner.com/",
            "not a host name: api..partner.com",
        ),
        ("https://.partner.com/", "not a host name: .partner.com"),
        (
            "https://api.partner.com../",
            "not a host name: api.partner.com..",
        ),
        ("https://localhost../", "not a host name: localhost.."),
        ("https://[127.0.0.1]/", "not a URL: invalid IPv6 address"),
        (
            "https://[api.partner.com]/",
            "not a URL: invalid IPv6 address",
        ),
        (
            "https://[fe80::1%25eth0]/",
            "not a URL: invalid IPv6 address",
        ),
        ("https://[::1/", "not a URL: invalid IPv6 address"),
        (
            "https://256.256.256.256/",
            "not a URL: invalid IPv4 address",
        ),
        ("https://1.2.3.4.5/", "not a URL: invalid IPv4 address"),
        (
            "https://exa%00mple.com/",
            "not a URL: invalid international domain name",
        ),
        ("https://*.partner.com/", "not a host name: *.partner.com"),
    ] {
        check(url, expected);
    }
    check(
        &format!("https://p.example/{}", "a".repeat(URL_BYTES_MAX)),
        "the URL has 4114 bytes, the limit is 4096",
    );
}

#[test]
fn sees_through_every_spelling_of_a_refused_address() {
    for (url, address) in [
        (
            "https://127.0.0.1/",
            "127.0.0.1 is refused: a loopback address",
        ),
        ("https://127.1/", "127.0.0.1 is refused: a loopback address"),
        (
            "https://127.0.1/",
            "127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://2130706433/",
            "127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://0x7f000001/",
            "127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://0x7f.1/",
            "127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://017700000001/",
            "127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://0177.0.0.1/",
            "127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://127.0.0.1./",
            "127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://%31%32%37.0.0.1/",
            "127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://１２７.0.0.1/",
            "127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://127。0。0。1/",
            "127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://①②⑦.0.0.1/",
            "127.0.0.1 is refused: a loopback address",
        ),
        ("https://0/", "0.0.0.0 is refused: an unspecified address"),
        (
            "https://0.0.0.0/",
            "0.0.0.0 is refused: an unspecified address",
        ),
        ("https://10.1/", "10.0.0.1 is refused: a private address"),
        (
            "https://0xa9fea9fe/",
            "169.254.169.254 is refused: a cloud metadata address",
        ),
        (
            "https://169.254.169.254/latest",
            "169.254.169.254 is refused: a cloud metadata address",
        ),
        (
            "https://2852039166/",
            "169.254.169.254 is refused: a cloud metadata address",
        ),
        ("https://[::1]/", "::1 is refused: a loopback address"),
        (
            "https://[0:0:0:0:0:0:0:1]/",
            "::1 is refused: a loopback address",
        ),
        ("https://[::]/", ":: is refused: an unspecified address"),
        (
            "https://[::ffff:127.0.0.1]/",
            "::ffff:127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://[::ffff:7f00:1]/",
            "::ffff:127.0.0.1 is refused: a loopback address",
        ),
        (
            "https://[64:ff9b::a9fe:a9fe]/",
            "64:ff9b::a9fe:a9fe is refused: a cloud metadata address",
        ),
        (
            "https://[2002:7f00:1::]/",
            "2002:7f00:1:: is refused: a loopback address",
        ),
        (
            "https://[fd00:ec2::254]/",
            "fd00:ec2::254 is refused: a cloud metadata address",
        ),
        (
            "https://[fe80::1]/",
            "fe80::1 is refused: a link-local address",
        ),
        ("https://localhost/", "localhost is this machine"),
        ("https://LOCALHOST:8443/", "localhost is this machine"),
        ("https://localhost./", "localhost is this machine"),
        ("https://a.b.localhost/", "a.b.localhost is this machine"),
        ("https://ｌocalhost/", "localhost is this machine"),
        ("https://ⓛocalhost/", "localhost is this machine"),
    ] {
        check(url, address);
        let error = check_url(url, AddressPolicy::default()).unwrap_err();
        assert!(error.is_refusal(), "{url}");
    }
}

#[test]
fn private_hosts_pass_when_allowed() {
    let policy = AddressPolicy {
        allow_private: true,
    };
    for url in [
        "https://127.1:9443/",
        "https://[::1]/",
        "https://localhost./",
        "https://10.0.0.1/",
    ] {
        assert_eq!(check_url(url, policy), Ok(()), "{url}");
    }
    for url in [
        "https://169.254.169.254/",
        "https://0/",
        "https://[ff02::1]/",
    ] {
        assert!(
            check_url(url, policy).is_err_and(|error| error.is_refusal()),
            "{url}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn never_panics_and_keeps_to_https(url in "(https://)?[a-zA-Z0-9.:/@#?%\\[\\]-]{0,40}") {
        if let Ok(target) = Target::parse(&url) {
            proptest::prop_assert!(url.to_ascii_lowercase().starts_with("https://"));
            proptest::prop_assert!(target.port != 0);
            proptest::prop_assert!(!url.contains('#'));
        }
    }
}
