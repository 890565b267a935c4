//! Failover groups: what is served, what is written with a term, and what only some may write.

mod contention;
mod records;
mod rules;
mod setbacks;

use serde_json::{Value, json};

use crate::store::TestStore;
use crate::support::{Client, DEFINITIONS, MERGE, TestServer};

pub(super) const GROUPS: &str = "/apis/helium.dev/v1/namespaces/default/failovergroups";
pub(super) const GROUP: &str = "/apis/helium.dev/v1/namespaces/default/failovergroups/web";
pub(super) const STATUS: &str = "/apis/helium.dev/v1/namespaces/default/failovergroups/web/status";
pub(super) const LEASES: &str = "/apis/coordination.helium.dev/v1/namespaces/default/leases";
pub(super) const LEASE: &str =
    "/apis/coordination.helium.dev/v1/namespaces/default/leases/failover-web";

/// The lease of the group `web`, as its holder writes it.
pub(super) fn lease(holder: &str, transitions: i64, reason: &str) -> Value {
    json!({
        "apiVersion": "coordination.helium.dev/v1",
        "kind": "Lease",
        "metadata": {
            "name": "failover-web",
            "labels": {"helium.dev/failover-group": "web"},
            "annotations": {
                "helium.dev/failover-address": format!("{holder}.example"),
                "helium.dev/failover-reason": reason,
            },
        },
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": 15,
            "leaseTransitions": transitions,
        },
    })
}

/// The token of a lease.
pub(super) fn token(lease: &Value) -> i64 {
    let text = &lease["metadata"]["annotations"]["helium.dev/fencing-token"];
    text.as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// Writes the lease over what is there.
pub(super) async fn write(client: &Client, mut lease: Value) -> crate::support::Reply {
    let current = client.get(LEASE).await;
    if current.code == 404 {
        return client.post(LEASES, &lease).await;
    }
    lease["metadata"]["resourceVersion"] = current.ok()["metadata"]["resourceVersion"].clone();
    client.put(LEASE, &lease).await
}

/// Servers of clusters c1, c2 and so on.
pub(super) async fn servers<const N: usize>(store: &TestStore) -> [TestServer; N] {
    let mut servers = Vec::new();
    for number in 1..=N {
        servers.push(TestServer::start(store, &format!("c{number}")).await);
    }
    servers
        .try_into()
        .unwrap_or_else(|_| unreachable!("as many as were started"))
}

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

fn renamed(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["name"] = "another".into();
    object
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
    // What is accepted and means nothing is told when it is written, and then no more.
    let example = &manifest("examples/sheffield.yaml")[0];
    let url = format!("{MULTI_CLUSTERS}/sheffield");
    let again = client
        .post(&format!("{MULTI_CLUSTERS}?dryRun=All"), &renamed(example))
        .await;
    let expected = ["spec.fleet: clusters find", "spec.port: clusters find"];
    assert!(
        again.warnings.len() == 2
            && again
                .warnings
                .iter()
                .zip(expected)
                .all(|(text, start)| text.starts_with(start)),
        "{:?}",
        again.warnings
    );
    let rank = client
        .patch(&url, MERGE, &json!({"spec": {"rank": 11}}))
        .await;
    assert_eq!(rank.warnings, [""; 0]);
    let port = json!({"spec": {"port": 9991, "address": "0.0.0.0", "fleet": null}});
    let port = client.patch(&url, MERGE, &port).await;
    assert_eq!(port.warnings.len(), 2, "{:?}", port.warnings);
    assert!(
        port.warnings[0].starts_with("spec.address: nothing listens"),
        "{:?}",
        port.warnings
    );
    assert_eq!(port.ok()["spec"]["port"], 9991);
    // What makes no sense is told by a condition, not refused.
    let odd = json!({
        "apiVersion": "kube-vip.io/v1alpha1", "kind": "MultiCluster",
        "metadata": {"name": "odd"},
        "spec": {"callsign": "No Name", "rank": -1, "payload": ""},
    });
    client.post(MULTI_CLUSTERS, &odd).await.ok();
    server.stop().await;
}
