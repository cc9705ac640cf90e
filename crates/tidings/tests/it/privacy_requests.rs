//! Request documents of data privacy services, sent to a running server.

use crate::privacy::{CRM, ask, catalog, person};
use crate::support::{
    http::{post, send},
    partner::Partner,
    poll,
    server::{Home, Server},
};
use serde_json::{Value, json};

/// Sends a document: status and body.
async fn request(server: &Server, document: &str) -> (u16, Value) {
    let asked = post(
        "/v1/privacy/requests",
        "application/json",
        document.to_owned(),
    );
    let reply = send(server.admin, asked).await;
    (reply.status.into(), reply.json())
}

/// A document about one person, known by a loyalty card and by a device.
fn document(action: &str) -> String {
    format!(
        r#"{{"companyContexts":[{{"namespace":"imsOrgID","value":"5AB13068374019BC@AdobeOrg"}}],
            "users":[
              {{"key":"David Smith","action":{action},"userIDs":[
                {{"namespace":"loyaltyCard","value":"crm","type":"integrationCode"}},
                {{"namespace":"CORE","value":"77","type":"standard"}}]}}],
            "include":["AudienceManager"],"regulation":"[gdpr]"}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_tells_and_deletes() {
    let partner = Partner::start().await;
    let catalog =
        catalog(&partner).replace("{ id: 502,", "{ id: 502, integration_code: loyaltyCard,");
    let home = Home::new(&catalog, &[&partner]);
    let server = home.start().await;
    person(&server, &partner).await;

    let (status, told) = request(&server, &document(r#"["access"]"#)).await;
    assert_eq!(
        (status, &told["regulation"]),
        (200, &json!("gdpr")),
        "{told}"
    );
    let card = &told["users"][0]["userIDs"][0];
    let (_, stored) = ask(&server, "access", CRM).await;
    assert_eq!(card["access"], stored);
    assert_eq!(stored["devices"].as_array().unwrap().len(), 2, "{stored}");
    assert_eq!(card.get("delete"), None, "{told}");

    // A mistake anywhere keeps everything as it is.
    let wrong = document(r#"["delete"]"#).replace("\"77\"", "\"7x\"");
    let (status, problem) = request(&server, &wrong).await;
    assert_eq!((status, &problem["code"]), (400, &json!("invalid_uuid")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("users[0].userIDs[1].value: "),
        "{detail}"
    );
    assert_eq!(ask(&server, "access", CRM).await.1, stored);

    let (status, answer) = request(&server, &document(r#"["access","delete"]"#)).await;
    let user = &answer["users"][0];
    assert_eq!(
        (status, &user["key"]),
        (200, &json!("David Smith")),
        "{answer}"
    );
    assert_eq!(user["action"], json!(["access", "delete"]));
    let (card, device) = (&user["userIDs"][0], &user["userIDs"][1]);
    assert_eq!(card["namespace"], "loyaltyCard");
    assert_eq!(card["access"], stored);
    assert_eq!(card["delete"]["devices"], json!(["1", "2"]), "{answer}");
    assert_eq!(
        card["delete"]["destinations"][0]["to_be_told"], 2,
        "{answer}"
    );
    assert_eq!(device["delete"]["devices"], json!(["77"]), "{answer}");
    poll("both devices to be told out", async || {
        let told = ["p1", "p2"].map(|id| partner.state(id, 101));
        (told == [Some(false); 2]).then_some(())
    })
    .await;
    let (_, left) = ask(&server, "access", CRM).await;
    assert_eq!(left, json!({ "id_opted_out": true, "devices": [] }));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_taken_on_the_admin_side_within_limits() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner), &[&partner]);
    let server = home.start().await;
    let huge = format!("{{\"users\":[],\"x\":\"{}\"}}", "x".repeat(1 << 20));
    let (status, problem) = request(&server, &huge).await;
    assert_eq!((status, &problem["code"]), (413, &json!("body_too_large")));
    let (status, problem) = request(&server, "{\n \"users\": 5}").await;
    let expected = json!({
        "title": "Bad Request", "status": 400, "code": "invalid_privacy_request",
        "detail": "users: expected a sequence", "line": 2, "column": 11,
    });
    assert_eq!((status, problem), (400, expected));
    let public = post("/v1/privacy/requests", "application/json", document("[]"));
    assert_eq!(send(server.collect, public).await.status, 404);
    server.stop().await;
}

/// Opt-outs among events happen in their order; deletions do not come by the public side.
#[tokio::test(flavor = "multi_thread")]
async fn opt_outs_happen_in_order_with_the_events_around_them() {
    let partner = Partner::start().await;
    let home = Home::new(&catalog(&partner), &[&partner]);
    let server = home.start().await;
    person(&server, &partner).await;
    let answer = server
        .events(
            r#"{"uuid":"1","traits":[2]}
{"do":"opt_out","uuid":"1"}
{"uuid":"1","traits":[3]}
{"do":"delete","uuid":"2"}
{"do":"opt_out","id":{"data_source":9,"id":"crm"}}
{"do":"opt_out","id":{"data_source":502,"id":"crm"}}
{"traits":[3],"ids":[{"data_source":502,"id":"crm"}]}"#,
        )
        .await;
    assert_eq!(answer["accepted"], 5, "{answer}");
    let refused = [&answer["rejected"][0], &answer["rejected"][1]].map(|one| &one["code"]);
    assert_eq!(refused, ["not_allowed", "unknown_data_source"], "{answer}");
    assert_eq!(answer["uuids"][1], "1", "{answer}");
    assert_eq!(answer["uuids"][5], Value::Null, "{answer}");
    poll("both devices to be told out", async || {
        let told = ["p1", "p2"].map(|id| partner.state(id, 101));
        (told == [Some(false); 2]).then_some(())
    })
    .await;
    let (_, stored) = ask(&server, "access", r#"{"uuid":"1"}"#).await;
    let traits = stored["devices"][0]["traits"].as_array().unwrap();
    let traits: Vec<_> = traits.iter().map(|one| &one["id"]).collect();
    assert_eq!(traits, [1, 2], "{stored}");
    server.stop().await;
}
