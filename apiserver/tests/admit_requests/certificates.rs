//! Client certificates, anonymous requests, impersonation.

use helium_apiserver::config::Authorization;
use helium_apiserver::definitions::Catalog;
use helium_tls::pki::Authority;
use http::StatusCode;
use serde_json::json;

use crate::support::{Harness, Pki, assert_status, config};

const WIDGETS: &str = "/apis/g.example/v1/widgets";

#[tokio::test]
async fn a_certificate_names_its_user_and_groups() {
    let harness = Harness::plain().await;
    let user = harness.pki.user("jane", &["dev"]);
    let body = harness.client(Some(&user)).get(WIDGETS).await.json();
    assert_eq!(body["user"], "jane");
    assert_eq!(body["groups"], json!(["dev", "system:authenticated"]));
    let credential = &body["extra"]["authentication.kubernetes.io/credential-id"][0];
    assert!(
        credential
            .as_str()
            .is_some_and(|id| id.starts_with("X509SHA256=")),
        "{body}"
    );
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_unauthorized_and_not_anonymous() {
    let harness = Harness::plain().await;
    let stranger = Authority::new("stranger").expect("an authority");
    let certificate = stranger
        .issue_client("jane", &["system:masters"])
        .expect("issued");
    let answer = harness.client(Some(&certificate)).get(WIDGETS).await;
    assert_status(&answer, StatusCode::UNAUTHORIZED, "Unauthorized");
}

#[tokio::test]
async fn a_serving_certificate_is_no_users() {
    let harness = Harness::plain().await;
    let serving = harness
        .pki
        .client
        .issue_server("jane", &["jane"])
        .expect("issued");
    let answer = harness.client(Some(&serving)).get(WIDGETS).await;
    assert_status(&answer, StatusCode::UNAUTHORIZED, "Unauthorized");
}

#[tokio::test]
async fn anonymous_requests_can_be_turned_off() {
    let pki = Pki::new();
    let mut config = config(&pki);
    config.authentication.anonymous = false;
    let harness = Harness::start(pki, config, Catalog::new(1, true, Vec::new())).await;
    let answer = harness.client(None).get(WIDGETS).await;
    assert_status(&answer, StatusCode::UNAUTHORIZED, "Unauthorized");
}

#[tokio::test]
async fn a_token_that_nobody_can_review_is_unauthorized() {
    let harness = Harness::plain().await;
    let bearer = [("Authorization", "Bearer x")];
    let answer = harness.client(None).get_with(WIDGETS, &bearer).await;
    assert_status(&answer, StatusCode::UNAUTHORIZED, "Unauthorized");
}

#[tokio::test]
async fn direct_impersonation_is_refused_rather_than_ignored() {
    let harness = Harness::plain().await;
    let user = harness.pki.user("jane", &["system:masters"]);
    let headers = [("Impersonate-User", "joe")];
    let answer = harness
        .client(Some(&user))
        .get_with(WIDGETS, &headers)
        .await;
    assert_status(&answer, StatusCode::FORBIDDEN, "Forbidden");
}

#[tokio::test]
async fn masters_only_lets_masters_in_and_tells_the_others_why_not() {
    let pki = Pki::new();
    let mut config = config(&pki);
    config.authorization = Authorization::MastersOnly {
        always_allow_paths: vec!["/healthz".into()],
    };
    let harness = Harness::start(pki, config, Catalog::new(1, true, Vec::new())).await;
    let master = harness.pki.user("root", &["system:masters"]);
    assert_eq!(harness.client(Some(&master)).get(WIDGETS).await.code, 200);
    let user = harness.pki.user("jane", &[]);
    let client = harness.client(Some(&user));
    let answer = client
        .get("/apis/g.example/v1/namespaces/n/widgets/a/status")
        .await;
    assert_status(&answer, StatusCode::FORBIDDEN, "Forbidden");
    assert_eq!(
        answer.json()["message"],
        "widgets.g.example \"a\" is forbidden: User \"jane\" cannot get resource \
         \"widgets/status\" in API group \"g.example\" in the namespace \"n\""
    );
    assert_eq!(client.get("/healthz").await.code, 200);
    let answer = client.get("/metrics").await;
    assert_status(&answer, StatusCode::FORBIDDEN, "Forbidden");
}

#[tokio::test]
async fn an_authority_that_is_replaced_counts_soon() {
    let harness = Harness::plain().await;
    let next = Authority::new("next").expect("an authority");
    std::fs::write(harness.pki.path("client-ca.crt"), next.certificate_pem()).expect("written");
    let user = next.issue_client("jane", &[]).expect("issued");
    let client = harness.client(Some(&user));
    helium_testkit::wait_for(
        "the new authority",
        std::time::Duration::from_secs(30),
        || async { client.get(WIDGETS).await.code == 200 },
    )
    .await;
}
