//! OpenAPI v2 and v3: as the aggregator and kubectl fetch them.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use crate::support::assert_status;
use crate::widgets::harness;

/// Every `$ref` in a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.insert(reference.clone());
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[track_caller]
fn assert_closed(document: &Value) {
    let mut found = BTreeSet::new();
    references(document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference} dangles");
    }
}

#[tokio::test]
async fn the_index_links_each_group_and_version_by_hash() {
    let harness = harness().await;
    let client = harness.client(None);
    let index = client.get("/openapi/v3").await.json();
    let paths = index["paths"].as_object().expect("paths");
    let names: Vec<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "apis/coordination.k8s.io/v1",
            "apis/g.example/v1",
            "apis/g.example/v1beta1"
        ]
    );
    let link = paths["apis/g.example/v1"]["serverRelativeURL"]
        .as_str()
        .expect("a link");
    assert!(
        link.starts_with("/openapi/v3/apis/g.example/v1?hash="),
        "{link}"
    );
    let document = client.get(link).await;
    assert_eq!(document.header("cache-control"), "public, immutable");
    assert_closed(&document.json());

    let stale = client.get("/openapi/v3/apis/g.example/v1?hash=OLD").await;
    assert_eq!(stale.code, 200, "never a redirect");
    assert_eq!(stale.header("cache-control"), "no-cache, private");
    assert_eq!(stale.json(), document.json());
}

#[tokio::test]
async fn the_document_of_a_version_is_what_kubectl_works_from() {
    let harness = harness().await;
    let document = harness
        .client(None)
        .get("/openapi/v3/apis/g.example/v1")
        .await
        .json();
    let path = "/apis/g.example/v1/namespaces/{namespace}/widgets/{name}";
    let patch = &document["paths"][path]["patch"];
    let types: Vec<&String> = patch["requestBody"]["content"]
        .as_object()
        .expect("types")
        .keys()
        .collect();
    assert!(
        !types.iter().any(|media| media.contains("strategic")),
        "{types:?}"
    );
    assert!(
        types
            .iter()
            .any(|media| *media == "application/merge-patch+json"),
        "{types:?}"
    );
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "g.example", "version": "v1", "kind": "Widget"})
    );
    insta::assert_json_snapshot!("openapi_v3", document);
}

#[tokio::test]
async fn version_2_is_whole_and_has_an_etag() {
    let harness = harness().await;
    let client = harness.client(None);
    let answer = client.get("/openapi/v2").await;
    assert_eq!(answer.header("content-type"), "application/json");
    let document = answer.json();
    assert_eq!(document["swagger"], "2.0");
    assert_closed(&document);
    let etag = answer.header("etag").to_owned();
    let again = client
        .get_with("/openapi/v2", &[("If-None-Match", &etag)])
        .await;
    assert_eq!((again.code, again.body.len()), (304, 0));
}

#[tokio::test]
async fn protobuf_is_not_offered() {
    let harness = harness().await;
    let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let answer = harness
        .client(None)
        .get_with("/openapi/v2", &[("Accept", protobuf)])
        .await;
    assert_status(&answer, StatusCode::NOT_ACCEPTABLE, "NotAcceptable");
}
