//! The three forms of discovery.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::assert_status;
use crate::widgets::{catalog, harness};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const BETA: &str = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

#[tokio::test]
async fn legacy_documents_are_as_every_client_knows_them() {
    let harness = harness().await;
    let client = harness.client(None);
    for (name, path) in [
        ("legacy_groups", "/apis"),
        ("legacy_group", "/apis/g.example"),
        ("legacy_resources", "/apis/g.example/v1"),
    ] {
        let answer = client.get(path).await;
        assert_eq!(
            (answer.code, answer.header("content-type")),
            (200, "application/json")
        );
        insta::assert_json_snapshot!(name, answer.json());
    }
}

#[tokio::test]
async fn aggregated_discovery_comes_in_the_version_asked_for() {
    let harness = harness().await;
    let client = harness.client(None);
    let both = format!("{AGGREGATED},{BETA},application/json");
    let answer = client.get_with("/apis", &[("Accept", &both)]).await;
    assert_eq!(answer.header("content-type"), AGGREGATED);
    assert_eq!(answer.json()["apiVersion"], "apidiscovery.k8s.io/v2");
    insta::assert_json_snapshot!("aggregated", answer.json());

    let answer = client
        .get_with("/apis", &[("Accept", &format!("{BETA},application/json"))])
        .await;
    assert_eq!(answer.header("content-type"), BETA);
    assert_eq!(answer.json()["apiVersion"], "apidiscovery.k8s.io/v2beta1");

    let future = AGGREGATED.replace("v=v2", "v=v3");
    let answer = client
        .get_with(
            "/apis",
            &[("Accept", &format!("{future},application/json"))],
        )
        .await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.json()["kind"], "APIGroupList");

    let answer = client
        .get_with("/apis", &[("Accept", "application/cbor")])
        .await;
    assert_status(&answer, StatusCode::NOT_ACCEPTABLE, "NotAcceptable");
}

#[tokio::test]
async fn every_response_kind_is_filled() {
    let harness = harness().await;
    let answer = harness
        .client(None)
        .get_with("/apis", &[("Accept", AGGREGATED)])
        .await;
    fn check(value: &Value) {
        match value {
            Value::Object(map) => {
                if map.contains_key("resource") || map.contains_key("subresource") {
                    let kind = &map["responseKind"]["kind"];
                    assert!(
                        kind.as_str().is_some_and(|kind| !kind.is_empty()),
                        "{value}"
                    );
                }
                map.values().for_each(check);
            }
            Value::Array(items) => items.iter().for_each(check),
            _ => {}
        }
    }
    check(&answer.json());
}

#[tokio::test]
async fn an_unchanged_document_is_not_sent_again() {
    let harness = harness().await;
    let client = harness.client(None);
    let accept = ("Accept", AGGREGATED);
    let first = client.get_with("/apis", &[accept]).await;
    let etag = first.header("etag").to_owned();
    assert!(etag.starts_with('"') && etag.len() > 10, "{etag}");
    let again = client
        .get_with("/apis", &[accept, ("If-None-Match", &etag)])
        .await;
    assert_eq!((again.code, again.body.len()), (304, 0));
    assert_eq!(again.header("etag"), etag);

    harness
        .echo
        .catalog
        .store(Arc::new(helium_apiserver::definitions::Catalog::new(
            2,
            true,
            Vec::new(),
        )));
    let changed = client
        .get_with("/apis", &[accept, ("If-None-Match", &etag)])
        .await;
    assert_eq!(changed.code, 200);
    assert_eq!(changed.json()["items"], json!([]));
}

#[tokio::test]
async fn an_aggregator_never_sees_what_its_cluster_serves_itself() {
    let harness = harness().await;
    let proxy = harness.pki.front_proxy("front-proxy-client");
    let aggregator = harness.client(Some(&proxy));
    let user = ("X-Remote-User", "system:kube-aggregator");
    let groups = aggregator.get_with("/apis", &[user]).await.text();
    assert!(
        groups.contains("g.example") && !groups.contains("coordination.k8s.io"),
        "{groups}"
    );
    let direct = harness.client(None).get("/apis").await.text();
    assert!(direct.contains("coordination.k8s.io"));
    let openapi = aggregator.get_with("/openapi/v2", &[user]).await.text();
    assert!(!openapi.contains("coordination.k8s.io"));
}

#[tokio::test]
async fn a_group_declared_elsewhere_is_confirmed_before_it_is_denied() {
    let harness = harness().await;
    harness.echo.catalog.store(Arc::default());
    harness
        .echo
        .catalog
        .store(Arc::new(helium_apiserver::definitions::Catalog::new(
            5,
            true,
            Vec::new(),
        )));
    harness.echo.elsewhere.store(Some(Arc::new(catalog(6))));
    let client = harness.client(None);
    assert_eq!(client.get("/apis/g.example/v1").await.code, 200);

    harness
        .echo
        .store_up
        .store(false, std::sync::atomic::Ordering::SeqCst);
    let unknown = client.get("/apis/h.example/v1").await;
    assert_status(
        &unknown,
        StatusCode::SERVICE_UNAVAILABLE,
        "ServiceUnavailable",
    );
    assert_eq!(
        client.get("/apis/g.example/v1").await.code,
        200,
        "from memory"
    );
    assert_eq!(client.get("/openapi/v3").await.code, 200, "from memory");

    harness
        .echo
        .store_up
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let unknown = client.get("/apis/h.example/v1").await;
    assert_eq!(
        (unknown.code, unknown.text().as_str()),
        (404, "404 page not found\n")
    );
}

#[tokio::test]
async fn the_index_lists_what_there_is() {
    let harness = harness().await;
    let answer = harness.client(None).get("/").await;
    insta::assert_json_snapshot!("index", answer.json());
}

#[tokio::test]
async fn the_legacy_prefix_is_empty_but_there() {
    let harness = harness().await;
    let client = harness.client(None);
    assert_eq!(client.get("/api").await.json()["versions"], json!([]));
    let aggregated = client.get_with("/api", &[("Accept", AGGREGATED)]).await;
    assert_eq!(aggregated.json()["items"], json!([]));
    assert_eq!(client.get("/api/v1").await.code, 404);
}
