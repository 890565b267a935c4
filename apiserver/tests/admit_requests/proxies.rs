//! What is behind `controlplanes/fleet/proxy`: rights are asked twice, the second time for what is really asked.

use std::time::Duration;

use helium_apiserver::config::{Authorization, Kubeconfig};
use helium_apiserver::definitions::{Catalog, builtin};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;

use crate::host::Host;
use crate::support::{Harness, Pki, assert_status, config, request};

const PROXY: &str = "/apis/helium.dev/v1/controlplanes/fleet/proxy";

fn catalog() -> Catalog {
    let resources = builtin::resources(true).expect("built-in kinds are valid");
    Catalog::new(1, true, resources)
}

async fn open_to_all() -> Harness {
    let pki = Pki::new();
    let config = config(&pki);
    Harness::start(pki, config, catalog()).await
}

async fn delegated() -> (Harness, Host) {
    let pki = Pki::new();
    let host = Host::start(&pki).await;
    let kubeconfig = Kubeconfig::File(host.kubeconfig.clone());
    let mut config = config(&pki);
    config.authorization = Authorization::Delegated {
        kubeconfig,
        always_allow_paths: Vec::new(),
        allowed_ttl: Duration::from_secs(60),
        denied_ttl: Duration::from_secs(60),
    };
    (Harness::start(pki, config, catalog()).await, host)
}

#[tokio::test]
async fn rights_are_asked_for_the_way_and_for_what_lies_behind() {
    let (harness, host) = delegated().await;
    let user = harness.pki.user("jane", &["dev"]);
    let client = harness.client(Some(&user));
    let path = format!("{PROXY}/apis/coordination.k8s.io/v1/namespaces/n/leases/l");
    let answer = client.send(request(Method::PUT, &path, &[], "{}")).await;
    let body = answer.json();
    assert_eq!(
        (
            &body["verb"],
            &body["group"],
            &body["resource"],
            &body["name"]
        ),
        (
            &json!("update"),
            &json!("coordination.k8s.io"),
            &json!("leases"),
            &json!("l")
        ),
    );
    assert_eq!(body["bytes"], 2, "the body goes along");
    let asked = host.access_reviews();
    assert_eq!(
        asked[0]["resourceAttributes"],
        json!({
            "verb": "update", "group": "helium.dev", "version": "v1",
            "resource": "controlplanes", "subresource": "proxy", "name": "fleet",
        })
    );
    assert_eq!(
        asked[1]["resourceAttributes"],
        json!({
            "namespace": "n", "verb": "update", "group": "coordination.helium.dev", "version": "v1",
            "resource": "leases", "name": "l",
        }),
        "under the shared group's name"
    );
}

#[tokio::test]
async fn views_are_asked_for_under_the_name_of_what_they_show() {
    let (harness, host) = delegated().await;
    let user = harness.pki.user("jane", &["dev"]);
    let client = harness.client(Some(&user));
    let cases = [
        (
            "apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            "sharedresourcedefinitions",
        ),
        ("apis/events.k8s.io/v1/namespaces/n/events", "events"),
        ("api/v1/namespaces/n/events", "events"),
    ];
    for (path, resource) in cases {
        client.get(&format!("{PROXY}/{path}")).await;
        let asked = host.access_reviews();
        let asked = &asked.last().expect("a question")["resourceAttributes"];
        assert_eq!(
            (&asked["group"], &asked["resource"]),
            (&json!("helium.dev"), &json!(resource)),
            "{path}"
        );
    }
    host.facts
        .denied
        .lock()
        .push("sharedresourcedefinitions".to_owned());
    let user = harness.pki.user("joe", &["dev"]);
    let answer = harness
        .client(Some(&user))
        .get(&format!("{PROXY}/{}", cases[0].0))
        .await;
    assert_status(&answer, StatusCode::FORBIDDEN, "Forbidden");
    let message = answer.json()["message"].to_string();
    assert!(
        message.contains("sharedresourcedefinitions.helium.dev"),
        "{message}"
    );
}

#[tokio::test]
async fn the_right_to_the_way_gives_none_to_what_lies_behind() {
    let (harness, host) = delegated().await;
    let user = harness.pki.user("jane", &["dev"]);
    let client = harness.client(Some(&user));
    host.facts.denied.lock().push("leases".to_owned());
    let path = format!("{PROXY}/apis/coordination.k8s.io/v1/namespaces/n/leases");
    let answer = client.get(&path).await;
    assert_status(&answer, StatusCode::FORBIDDEN, "Forbidden");
    let message = answer.json()["message"].to_string();
    assert!(
        message.contains("leases.coordination.helium.dev"),
        "{message}"
    );
    host.facts.denied.lock().push("controlplanes".to_owned());
    let user = harness.pki.user("joe", &["dev"]);
    let answer = harness
        .client(Some(&user))
        .get(&format!("{PROXY}/apis"))
        .await;
    assert_status(&answer, StatusCode::FORBIDDEN, "Forbidden");
    let message = answer.json()["message"].to_string();
    assert!(message.contains("controlplanes/proxy"), "{message}");
}

#[tokio::test]
async fn the_documents_are_those_of_the_direct_endpoint() {
    let harness = open_to_all().await;
    let certificate = harness.pki.front_proxy("front-proxy-client");
    let client = harness.client(Some(&certificate));
    let identity = [("X-Remote-User", "jane")];
    let groups = |answer: crate::support::Answer| -> Vec<String> {
        let body = answer.json();
        let groups = body["groups"].as_array().expect("groups").clone();
        let name =
            |group: &serde_json::Value| group["name"].as_str().unwrap_or_default().to_owned();
        groups.iter().map(name).collect()
    };
    let merged = groups(client.get_with("/apis", &identity).await);
    assert!(
        !merged.contains(&"coordination.k8s.io".to_owned()),
        "{merged:?}"
    );
    let behind = groups(client.get_with(&format!("{PROXY}/apis"), &identity).await);
    assert!(
        behind.contains(&"coordination.k8s.io".to_owned()),
        "{behind:?}"
    );
    for path in ["", "/", "/version", "/api/v1", "/openapi/v3", "/healthz"] {
        let answer = client.get_with(&format!("{PROXY}{path}"), &identity).await;
        assert_eq!(answer.code, 200, "{path}: {}", answer.text());
    }
    let answer = client
        .get_with(&format!("{PROXY}/nothing"), &identity)
        .await;
    assert_eq!(answer.code, 404);
}

#[tokio::test]
async fn other_names_and_ways_through_ways_are_refused() {
    let harness = open_to_all().await;
    let client = harness.client(None);
    let answer = client
        .get("/apis/helium.dev/v1/controlplanes/moon/proxy/apis")
        .await;
    assert_status(&answer, StatusCode::NOT_FOUND, "NotFound");
    let answer = client.get(&format!("{PROXY}{PROXY}/apis")).await;
    assert_status(&answer, StatusCode::BAD_REQUEST, "BadRequest");
}

#[tokio::test]
async fn a_stream_behind_lasts_and_a_call_behind_does_not() {
    let pki = Pki::new();
    let mut config = config(&pki);
    config.limits.request_timeout = Duration::from_millis(200);
    let harness = Harness::start(pki, config, catalog()).await;
    let client = harness.client(None);
    let answer = client
        .get(&format!("{PROXY}/apis/g.example/v1/hangs"))
        .await;
    assert_status(&answer, StatusCode::GATEWAY_TIMEOUT, "Timeout");
    let path = format!("{PROXY}/apis/g.example/v1/hangs?timeout=soon");
    assert_status(
        &client.get(&path).await,
        StatusCode::BAD_REQUEST,
        "BadRequest",
    );
    let path = format!("{PROXY}/apis/g.example/v1/streams?watch=1");
    let mut stream = client
        .open(request(Method::GET, &path, &[], ""))
        .await
        .into_body();
    let started = tokio::time::Instant::now();
    while started.elapsed() < Duration::from_millis(500) {
        stream.frame().await.expect("it goes on").expect("a frame");
    }
}

#[tokio::test]
async fn who_belongs_to_the_fleet_is_asked_as_a_right_of_its_own() {
    let (harness, host) = delegated().await;
    let members = "/apis/helium.dev/v1/members/c2";
    for (user, administers) in [("jane", true), ("keeper", false)] {
        let user = harness.pki.user(user, &["dev"]);
        let client = harness.client(Some(&user));
        for way in ["", PROXY] {
            let path = format!("{way}{members}");
            let answer = client.send(request(Method::PUT, &path, &[], "{}")).await;
            assert_eq!(answer.json()["administers"], administers, "{path}");
            let path = format!("{way}{members}/status");
            let answer = client.send(request(Method::PUT, &path, &[], "{}")).await;
            assert_eq!(answer.json()["administers"], false, "{path}");
        }
    }
    let asked = host.access_reviews();
    let asked = asked
        .iter()
        .filter(|review| review["resourceAttributes"]["verb"] == "administer")
        .map(|review| &review["resourceAttributes"]["name"]);
    assert_eq!(
        asked.collect::<Vec<_>>(),
        ["c2", "c2"],
        "once for each user"
    );
}
