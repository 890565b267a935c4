//! TokenReview and SubjectAccessReview: what is asked, what is remembered, what an error means.

use std::time::Duration;

use helium_apiserver::config::{Authorization, Kubeconfig};
use helium_apiserver::definitions::Catalog;
use http::{Method, StatusCode};
use serde_json::json;

use crate::host::Host;
use crate::support::{Harness, Pki, assert_status, config, request};

const WIDGETS: &str = "/apis/g.example/v1/widgets";

async fn delegated(allowed_ttl: Duration) -> (Harness, Host) {
    let pki = Pki::new();
    let host = Host::start(&pki).await;
    let kubeconfig = Kubeconfig::File(host.kubeconfig.clone());
    let mut config = config(&pki);
    config.authentication.kubeconfig = kubeconfig.clone();
    config.authorization = Authorization::Delegated {
        kubeconfig,
        always_allow_paths: vec!["/livez".into()],
        allowed_ttl,
        denied_ttl: Duration::from_secs(60),
    };
    (
        Harness::start(pki, config, Catalog::new(1, true, Vec::new())).await,
        host,
    )
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_token_is_reviewed_once_and_remembered() {
    let (harness, host) = delegated(LONG).await;
    let client = harness.client(None);
    for _ in 0..3 {
        let answer = client
            .get_with(WIDGETS, &[("Authorization", "Bearer good-jane")])
            .await;
        let body = answer.json();
        assert_eq!(body["user"], "jane");
        assert_eq!(body["uid"], "u-1");
        assert_eq!(body["groups"], json!(["dev", "system:authenticated"]));
        assert_eq!(body["extra"], json!({"k": ["v"]}));
        assert_eq!(body["headers"], json!([]), "the token goes no further");
    }
    assert_eq!(host.token_reviews(), 1);
    assert_eq!(host.access_reviews().len(), 1);
}

#[tokio::test]
async fn an_invalid_token_is_unauthorized_and_remembered_too() {
    let (harness, host) = delegated(LONG).await;
    let client = harness.client(None);
    for _ in 0..2 {
        let answer = client
            .get_with(WIDGETS, &[("Authorization", "Bearer bad")])
            .await;
        assert_status(&answer, StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    assert_eq!(host.token_reviews(), 1);
    assert!(host.access_reviews().is_empty());
}

#[tokio::test]
async fn a_review_that_fails_is_asked_again() {
    let (harness, host) = delegated(LONG).await;
    host.facts.failures.lock().extend([500, 503]);
    let bearer = [("Authorization", "Bearer good-jane")];
    let answer = harness.client(None).get_with(WIDGETS, &bearer).await;
    assert_eq!(answer.code, 200, "{}", answer.text());
    assert_eq!(host.token_reviews(), 3);
}

#[tokio::test]
async fn an_authorizer_that_cannot_answer_is_an_error_and_is_not_remembered() {
    let (harness, host) = delegated(LONG).await;
    let user = harness.pki.user("jane", &["dev"]);
    let client = harness.client(Some(&user));
    // 403 from the host cluster: we lack the right to ask, and asking again won't help.
    host.facts.failures.lock().push(403);
    let answer = client.get(WIDGETS).await;
    assert_status(&answer, StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
    assert_eq!(client.get(WIDGETS).await.code, 200);
}

#[tokio::test]
async fn the_question_names_everything_that_rules_may_depend_on() {
    let (harness, host) = delegated(LONG).await;
    let user = harness.pki.user("jane", &["dev"]);
    let client = harness.client(Some(&user));
    let path = "/apis/g.example/v1/namespaces/n/widgets\
                ?watch=1&fieldSelector=metadata.name%3Da&labelSelector=x%3Dy";
    let stream = client.open(request(Method::GET, path, &[], "")).await;
    assert_eq!(stream.status(), StatusCode::OK);
    client.get("/version").await;
    let asked = host.access_reviews();
    assert_eq!(
        asked[0]["resourceAttributes"],
        json!({
            "namespace": "n", "verb": "watch", "group": "g.example", "version": "v1",
            "resource": "widgets", "name": "a",
            "fieldSelector": {"rawSelector": "metadata.name=a"},
            "labelSelector": {"rawSelector": "x=y"},
        })
    );
    assert_eq!(asked[0]["user"], "jane");
    assert_eq!(asked[0]["groups"], json!(["dev", "system:authenticated"]));
    assert_eq!(
        asked[1]["nonResourceAttributes"],
        json!({"path": "/version", "verb": "get"})
    );
}

#[tokio::test]
async fn denied_says_who_what_where_and_why() {
    let (harness, _host) = delegated(LONG).await;
    let user = harness.pki.user("jane", &["dev"]);
    let delete = request(
        Method::DELETE,
        "/apis/g.example/v1/namespaces/n/widgets/a",
        &[],
        "",
    );
    let answer = harness.client(Some(&user)).send(delete).await;
    assert_status(&answer, StatusCode::FORBIDDEN, "Forbidden");
    assert_eq!(
        answer.json()["message"],
        "widgets.g.example \"a\" is forbidden: User \"jane\" cannot delete resource \"widgets\" \
         in API group \"g.example\" in the namespace \"n\": as the stand-in says"
    );
}

#[tokio::test]
async fn masters_and_always_allowed_paths_are_never_asked_for() {
    let (harness, host) = delegated(LONG).await;
    let master = harness
        .pki
        .user("system:kube-aggregator", &["system:masters"]);
    assert_eq!(harness.client(Some(&master)).get(WIDGETS).await.code, 200);
    assert_eq!(harness.client(None).get("/livez").await.code, 200);
    assert!(host.access_reviews().is_empty());
}

#[tokio::test]
async fn an_allowance_expires() {
    let (harness, host) = delegated(Duration::from_millis(1)).await;
    let user = harness.pki.user("jane", &["dev"]);
    let client = harness.client(Some(&user));
    client.get(WIDGETS).await;
    helium_testkit::wait_for("a second review", LONG, || async {
        client.get(WIDGETS).await;
        host.access_reviews().len() > 1
    })
    .await;
}
