//! Identity headers count only behind the front proxy's certificate.

use http::StatusCode;
use serde_json::json;

use crate::support::{Harness, Pki, assert_status, config, request_header};
use helium_apiserver::definitions::Catalog;

const WIDGETS: &str = "/apis/g.example/v1/widgets";
const MASTER: [(&str, &str); 2] = [
    ("X-Remote-User", "root"),
    ("X-Remote-Group", "system:masters"),
];

#[tokio::test]
async fn the_front_proxy_speaks_for_its_users() {
    let harness = Harness::plain().await;
    let proxy = harness.pki.front_proxy("front-proxy-client");
    let headers = [
        ("X-Remote-User", "jane"),
        ("X-Remote-Group", "dev"),
        ("X-Remote-Group", "ops"),
        ("X-Remote-Extra-Example.com%2Fscopes", "a"),
        ("X-Remote-Uid", "forged"),
    ];
    let answer = harness
        .client(Some(&proxy))
        .get_with(WIDGETS, &headers)
        .await;
    let body = answer.json();
    assert_eq!(body["user"], "jane");
    assert_eq!(
        body["groups"],
        json!(["dev", "ops", "system:authenticated"])
    );
    assert_eq!(body["extra"], json!({"example.com/scopes": ["a"]}));
    assert_eq!(body["uid"], "", "no uid header is configured");
    assert_eq!(body["headers"], json!([]), "identity headers go no further");
}

#[tokio::test]
async fn a_user_without_groups_still_is_authenticated() {
    let harness = Harness::plain().await;
    let proxy = harness.pki.front_proxy("front-proxy-client");
    let headers = [("X-Remote-User", "system:aggregator")];
    let answer = harness
        .client(Some(&proxy))
        .get_with(WIDGETS, &headers)
        .await;
    assert_eq!(answer.json()["groups"], json!(["system:authenticated"]));
}

#[tokio::test]
async fn headers_without_a_certificate_are_ignored() {
    let harness = Harness::plain().await;
    let answer = harness.client(None).get_with(WIDGETS, &MASTER).await;
    let body = answer.json();
    assert_eq!(body["user"], "system:anonymous");
    assert_eq!(body["groups"], json!(["system:unauthenticated"]));
    assert_eq!(body["headers"], json!([]));
}

#[tokio::test]
async fn headers_behind_a_users_certificate_are_ignored() {
    let harness = Harness::plain().await;
    let user = harness.pki.user("front-proxy-client", &["dev"]);
    let answer = harness.client(Some(&user)).get_with(WIDGETS, &MASTER).await;
    let body = answer.json();
    assert_eq!(body["user"], "front-proxy-client");
    assert_eq!(body["groups"], json!(["dev", "system:authenticated"]));
    assert_eq!(body["headers"], json!([]));
}

#[tokio::test]
async fn a_proxy_certificate_with_another_name_is_refused() {
    let harness = Harness::plain().await;
    let other = harness.pki.front_proxy("somebody-else");
    let answer = harness
        .client(Some(&other))
        .get_with(WIDGETS, &MASTER)
        .await;
    assert_status(&answer, StatusCode::UNAUTHORIZED, "Unauthorized");
}

#[tokio::test]
async fn no_allowed_names_allow_every_name() {
    let pki = Pki::new();
    let mut config = config(&pki);
    config.authentication.request_header = Some(request_header(&pki.path("proxy-ca.crt"), &[]));
    let harness = Harness::start(pki, config, Catalog::new(1, true, Vec::new())).await;
    let other = harness.pki.front_proxy("somebody-else");
    let answer = harness
        .client(Some(&other))
        .get_with(WIDGETS, &MASTER)
        .await;
    assert_eq!(answer.json()["user"], "root");
}

#[tokio::test]
async fn a_proxy_that_names_nobody_is_refused() {
    let harness = Harness::plain().await;
    let proxy = harness.pki.front_proxy("front-proxy-client");
    let headers = [("X-Remote-Group", "system:masters")];
    let answer = harness
        .client(Some(&proxy))
        .get_with(WIDGETS, &headers)
        .await;
    assert_status(&answer, StatusCode::UNAUTHORIZED, "Unauthorized");
}
