//! Documents, sound and not.

use super::*;
use tidings_engine::MappingChanges;
use tidings_model::{Catalog, DataSource, DataSourceKind, ExportUses};

fn catalog() -> ActiveCatalog {
    let data_source = |id, code: Option<&str>| DataSource {
        id: DataSourceId(id),
        name: "A".to_owned(),
        kind: DataSourceKind::CrossDevice,
        integration_code: code.map(str::to_owned),
        export_controls: ExportUses::default(),
    };
    let catalog = Catalog {
        data_sources: vec![data_source(4, None), data_source(7, Some("loyaltyCard"))],
        ..Catalog::default()
    };
    ActiveCatalog::new(catalog, 1, MappingChanges::default()).unwrap()
}

/// What a document asks for, or what is wrong with it.
fn shown(text: &str) -> String {
    let document = match parse(text.as_bytes(), &catalog()) {
        Ok(document) => document,
        Err(problem) => return format!("{} {}", problem.code(), problem.detail()),
    };
    let users = document.users.iter().map(|user| {
        let ids = user.ids.iter().map(|(_, subject)| match subject {
            Subject::Device(uuid) => format!("device {uuid}"),
            Subject::Id { data_source, id } => format!("{data_source}/{id}"),
        });
        let ids: Vec<_> = ids.collect();
        format!("{} {:?} {}", user.key, user.actions, ids.join(" "))
    });
    let users: Vec<_> = users.collect();
    format!("{}: {}", document.regulation, users.join("; "))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(shown(text), expected, "{text}");
}

/// A document with one user of these ids, `NAMESPACE TYPE VALUE` each.
fn with_ids(ids: &[&str]) -> String {
    let ids = ids.iter().map(|id| {
        let mut parts = id.splitn(3, ' ');
        let mut part = || parts.next().unwrap();
        let (namespace, kind, value) = (part(), part(), part());
        format!(r#"{{"namespace":"{namespace}","value":"{value}","type":"{kind}"}}"#)
    });
    let ids: Vec<_> = ids.collect();
    format!(
        r#"{{"users":[{{"key":"u","action":["delete"],"userIDs":[{}]}}],"regulation":"gdpr"}}"#,
        ids.join(",")
    )
}

#[track_caller]
fn check_id(id: &str, expected: &str) {
    check(&with_ids(&[id]), expected);
}

#[test]
fn the_published_sample_is_read() {
    check(
        r#"{"companyContexts":[{"namespace":"imsOrgID","value":"1231659F56A68A8B7F000101@AdobeOrg"}],
            "users":[{"key":"David Smith","action":["delete"],
              "userIDs":[{"namespace":"20915","value":"FD3E9002-6787-4100-8C96-E6D7C65E0BC8","type":"namespaceId"}]}],
            "include":["AudienceManager"],"regulation":"ccpa"}"#,
        "ccpa: David Smith [Delete] 20915/FD3E9002-6787-4100-8C96-E6D7C65E0BC8",
    );
    check(
        r#"{"regulation":"[GDPR]","users":[{"userIDs":[{"type":"standard","value":"7","namespace":"CORE"}],
            "action":["access","delete","access"],"key":"a"}],"include":["Analytics","AudienceManager"]}"#,
        "gdpr: a [Access, Delete] device 7",
    );
}

#[test]
fn every_kind_of_id_is_read() {
    for (id, expected) in [
        ("0 namespaceId 12", "device 12"),
        ("CORE namespaceId 12", "device 12"),
        ("CORE standard 12", "device 12"),
        ("4 namespaceId e", "4/e"),
        ("ECID namespaceId e", "4/e"),
        ("ECID standard e", "4/e"),
        ("7 namespaceId crm a", "7/crm a"),
        ("loyaltyCard integrationCode crm", "7/crm"),
    ] {
        check_id(id, &format!("gdpr: u [Delete] {expected}"));
    }
}

#[test]
fn a_mistake_in_an_id_is_named_with_its_place() {
    let at = "users[0].userIDs[0]";
    for (id, expected) in [
        (
            "0 namespaceId x",
            "invalid_uuid AT.value: the id has a character that is not a digit at position 0",
        ),
        (
            "7 namespaceId a:b",
            "invalid_id AT.value: has a colon at byte 1, which declared ids may not contain",
        ),
        (
            "9 namespaceId a",
            "unknown_data_source AT.namespace: there is no such data source",
        ),
        (
            "crm namespaceId a",
            "invalid_privacy_request AT.namespace: expected the id of a data source, CORE or ECID",
        ),
        (
            "7 standard a",
            "invalid_privacy_request AT.namespace: with the type standard it is CORE or ECID",
        ),
        (
            "card integrationCode a",
            "unknown_integration_code AT.namespace: no data source has this integration code",
        ),
        (
            "7 custom a",
            "invalid_privacy_request AT.type: expected namespaceId, standard or integrationCode",
        ),
    ] {
        check_id(id, &expected.replace("AT", at));
    }
    let second = with_ids(&["7 namespaceId a", "7 namespaceId "]);
    check(&second, "invalid_id users[0].userIDs[1].value: is empty");
}

#[test]
fn a_mistake_in_a_document_is_named_with_its_place() {
    let sound = with_ids(&["7 namespaceId a"]);
    for (from, to, expected) in [
        (
            r#""gdpr""#,
            r#""lgpd""#,
            "regulation: expected gdpr or ccpa",
        ),
        (
            r#""key":"u""#,
            r#""key":"""#,
            "users[0].key: expected 1 to 255 characters",
        ),
        (
            r#"["delete"]"#,
            "[]",
            "users[0].action: expected access, delete or both",
        ),
        (
            r#"["delete"]"#,
            r#"["erase"]"#,
            "users[0].action[0]: expected `access` or `delete`",
        ),
        (
            r#""value":"a""#,
            r#""value":5"#,
            "users[0].userIDs[0].value: expected a string",
        ),
        (r#""key":"u","#, "", "users[0]: missing field `key`"),
        (
            r#""key":"u""#,
            r#""key":"u","kez":1"#,
            "users[0].kez: expected one of `key`, `action`, `userIDs`",
        ),
        (
            r#""key":"u""#,
            r#""key":"u","key":"v""#,
            "users[0]: duplicate field `key`",
        ),
        (r#""key":"u","#, r#""key":"u";"#, "the document is not JSON"),
        (r#""gdpr"}"#, r#""gdpr"} {}"#, "the document is not JSON"),
    ] {
        assert!(sound.contains(from), "{from}");
        let text = sound.replacen(from, to, 1);
        check(&text, &format!("invalid_privacy_request {expected}"));
    }
    check(
        &sound.replacen('{', r#"{"include":["Analytics"],"#, 1),
        "not_included include: AudienceManager is not among the products",
    );
}

#[test]
fn there_are_limits() {
    let user = r#"{"key":"u","action":["access"],"userIDs":[{"namespace":"7","value":"a","type":"namespaceId"}]}"#;
    let many = |count: usize| {
        let users = vec![user; count].join(",");
        format!(r#"{{"users":[{users}],"regulation":"gdpr"}}"#)
    };
    check(
        &many(0),
        "too_many_users users: 0 users; 1 to 1000 are taken",
    );
    check(
        &many(1_001),
        "too_many_users users: 1001 users; 1 to 1000 are taken",
    );
    assert!(shown(&many(1_000)).starts_with("gdpr: u"));
    let ids = with_ids(&vec!["7 namespaceId a"; 1_001]);
    check(
        &ids,
        "too_many_ids users[0].userIDs: over 1000 ids in all users together",
    );
}
