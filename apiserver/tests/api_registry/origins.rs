//! The origin of a write: stamped by the server of the cluster that it comes through, whatever clients say of it.

use serde_json::{Value, json};

use crate::store::TestStore;
use crate::support::{JSON_PATCH, MERGE, TestServer, WIDGETS, widget, widgets};

const ORIGIN: &str = "helium.dev/origin-cluster";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

fn forged(mut object: Value) -> Value {
    object["metadata"]["annotations"][ORIGIN] = "c9".into();
    object
}

#[track_caller]
fn came_through(object: &Value, cluster: &str) {
    assert_eq!(
        object["metadata"]["annotations"][ORIGIN], cluster,
        "{object}"
    );
}

async fn two_servers(store: &TestStore) -> [TestServer; 2] {
    let one = TestServer::start(store, "c1").await;
    let two = TestServer::start(store, "c2").await;
    one.client().declare(&widgets()).await;
    two.client().wait_served(WIDGETS).await;
    [one, two]
}

#[tokio::test]
async fn no_write_forges_its_origin() {
    let store = TestStore::start().await;
    let [one, two] = two_servers(&store).await;
    let created = one
        .client()
        .post(WIDGETS, &forged(widget("a", "red")))
        .await
        .ok();
    came_through(&created, "c1");

    let url = format!("{WIDGETS}/a");
    let (one_client, two_client) = (one.client(), two.client());
    // Each changes something, through one cluster and the other in turn.
    let mut other = forged(created.clone());
    other["spec"]["color"] = "blue".into();
    let replaced = two_client.put(&url, &other).await.ok();
    came_through(&replaced, "c2");
    let merge = forged(json!({"spec": {"color": "green"}}));
    came_through(&one_client.patch(&url, MERGE, &merge).await.ok(), "c1");
    let pointer = "/metadata/annotations/helium.dev~1origin-cluster";
    let operations = json!([
        {"op": "replace", "path": pointer, "value": "c9"},
        {"op": "replace", "path": "/spec/color", "value": "black"},
    ]);
    came_through(
        &two_client.patch(&url, JSON_PATCH, &operations).await.ok(),
        "c2",
    );
    let removed = json!([
        {"op": "remove", "path": pointer}, {"op": "replace", "path": "/spec/color", "value": "red"},
    ]);
    came_through(
        &one_client.patch(&url, JSON_PATCH, &removed).await.ok(),
        "c1",
    );

    let status = format!("{url}/status");
    let patch = forged(json!({"status": {"phase": "one"}}));
    came_through(&two_client.patch(&status, MERGE, &patch).await.ok(), "c2");
    let mut whole = forged(one_client.get(&url).await.ok());
    whole["status"]["phase"] = "two".into();
    came_through(&one_client.put(&status, &whole).await.ok(), "c1");
    let scale = forged(json!({"spec": {"replicas": 5}}));
    two_client
        .patch(&format!("{url}/scale"), MERGE, &scale)
        .await
        .ok();
    came_through(&one_client.get(&url).await.ok(), "c2");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_forged_origin_alone_is_no_change() {
    let store = TestStore::start().await;
    let [one, two] = two_servers(&store).await;
    let created = one.client().post(WIDGETS, &widget("a", "red")).await.ok();
    let url = format!("{WIDGETS}/a");
    let only = forged(json!({}));
    for media in [MERGE, "application/merge-patch+json;charset=utf-8"] {
        let same = two.client().patch(&url, media, &only).await.ok();
        assert_eq!(same, created, "nothing was written");
    }
    let same = two.client().put(&url, &forged(created.clone())).await.ok();
    assert_eq!(same, created);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn leases_are_stamped_under_both_their_groups() {
    let store = TestStore::start().await;
    let [one, two] = two_servers(&store).await;
    let lease = |api: &str| {
        forged(json!({
            "apiVersion": api, "kind": "Lease", "metadata": {"name": "leader"},
            "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15},
        }))
    };
    let created = one
        .client()
        .post(LEASES, &lease("coordination.k8s.io/v1"))
        .await
        .ok();
    came_through(&created, "c1");
    let shared = LEASES.replace("k8s.io", "helium.dev");
    let strategic = forged(json!({"spec": {"leaseDurationSeconds": 20}}));
    for (url, seconds) in [(LEASES, 20), (shared.as_str(), 30)] {
        let mut patch = strategic.clone();
        patch["spec"]["leaseDurationSeconds"] = seconds.into();
        let media = if url == LEASES { STRATEGIC } else { MERGE };
        let patched = two
            .client()
            .patch(&format!("{url}/leader"), media, &patch)
            .await
            .ok();
        came_through(&patched, "c2");
        let mut back = patched.clone();
        back["spec"]["leaseDurationSeconds"] = 15.into();
        let replaced = one
            .client()
            .put(&format!("{url}/leader"), &forged(back))
            .await
            .ok();
        came_through(&replaced, "c1");
    }
    one.stop().await;
    two.stop().await;
}
