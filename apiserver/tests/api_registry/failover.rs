//! Failover groups: what is served, and what of them only some may write.

use serde_json::{Value, json};

use crate::store::TestStore;
use crate::support::{DEFINITIONS, TestServer};

const MULTI_CLUSTERS: &str = "/apis/kube-vip.io/v1alpha1/namespaces/default/multiclusters";

/// The documents of a file of `manifests/failover`.
fn manifest(file: &str) -> Vec<Value> {
    let path = format!(
        "{}/../manifests/failover/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| serde::Deserialize::deserialize(document).expect("YAML"))
        .collect()
}

#[tokio::test]
async fn the_examples_are_objects_of_the_kind_that_is_declared() {
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    let strict = "?fieldValidation=Strict";
    let definition = &manifest("definition.yaml")[0];
    client
        .post(&format!("{DEFINITIONS}{strict}"), definition)
        .await
        .ok();
    client
        .wait_served("/apis/kube-vip.io/v1alpha1/multiclusters")
        .await;
    for (file, rank) in [
        ("newyork.yaml", 5),
        ("sheffield.yaml", 10),
        ("shop.yaml", 5),
    ] {
        let example = &manifest(&format!("examples/{file}"))[0];
        let made = client
            .post(&format!("{MULTI_CLUSTERS}{strict}"), example)
            .await
            .ok();
        assert_eq!(made["spec"]["rank"], rank, "{file}");
    }
    // What makes no sense is told by a condition, not refused.
    let odd = json!({
        "apiVersion": "kube-vip.io/v1alpha1", "kind": "MultiCluster",
        "metadata": {"name": "odd"},
        "spec": {"callsign": "No Name", "rank": -1, "payload": ""},
    });
    client.post(MULTI_CLUSTERS, &odd).await.ok();
    server.stop().await;
}
