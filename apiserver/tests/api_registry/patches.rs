//! `patch`.

use serde_json::json;

use crate::support::{JSON_PATCH, MERGE, WIDGETS, one_server, revision, widget};

#[tokio::test]
async fn objects_are_patched_by_merge_and_by_operations() {
    let (_store, server, client) = one_server().await;
    let url = format!("{WIDGETS}/a");
    let created = client.post(WIDGETS, &widget("a", "red")).await.ok();

    let merged = client
        .patch(&url, MERGE, &json!({"spec": {"color": null, "size": 3}}))
        .await
        .ok();
    assert_eq!(merged["spec"], json!({"size": 3}));
    assert_eq!(merged["metadata"]["generation"], 2);
    let same = client
        .patch(&url, MERGE, &json!({"spec": {"size": 3}}))
        .await
        .ok();
    assert_eq!(
        revision(&same),
        revision(&merged),
        "a patch without a change writes nothing"
    );

    let operations = json!([{"op": "add", "path": "/spec/tags", "value": ["x"]}]);
    let patched = client.patch(&url, JSON_PATCH, &operations).await.ok();
    assert_eq!(patched["spec"]["tags"], json!(["x"]));
    let failed = json!([{"op": "test", "path": "/spec/size", "value": 7}]);
    assert_eq!(client.patch(&url, JSON_PATCH, &failed).await.code, 422);
    client
        .patch(&url, MERGE, &json!({"spec": {"size": "three"}}))
        .await
        .fails(422, "Invalid");

    let stale = json!({"metadata": {"resourceVersion": created["metadata"]["resourceVersion"]}, "spec": {"size": 9}});
    client
        .patch(&url, MERGE, &stale)
        .await
        .fails(409, "Conflict");
    client
        .patch(&format!("{WIDGETS}/missing"), MERGE, &json!({}))
        .await
        .fails(404, "NotFound");
    server.stop().await;
}

#[tokio::test]
async fn patches_that_are_not_served_are_unsupported_media_types() {
    let (_store, server, client) = one_server().await;
    let url = format!("{WIDGETS}/a");
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    for media in [
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "text/plain",
    ] {
        client
            .patch(&url, media, &json!({}))
            .await
            .fails(415, "UnsupportedMediaType");
    }
    server.stop().await;
}

#[tokio::test]
async fn built_in_kinds_take_the_patches_that_kubectl_apply_sends_for_them() {
    // 415 once made every apply of a Namespace fail, since every namespace exists already.
    let (_store, server, client) = one_server().await;
    let strategic = "application/strategic-merge-patch+json";
    let url = "/api/v1/namespaces/team-a";
    let patch = json!({"metadata": {"labels": {"a": "1"}, "finalizers": ["x.io/y"]}});
    client.patch(url, strategic, &patch).await.ok();
    let patch = json!({"metadata": {
        "labels": {"b": "2"}, "$deleteFromPrimitiveList/finalizers": ["x.io/y"],
    }});
    let patched = client.patch(url, strategic, &patch).await.ok();
    assert_eq!(patched["metadata"].get("finalizers"), None);
    let labels = &patched["metadata"]["labels"];
    assert_eq!((&labels["a"], &labels["b"]), (&json!("1"), &json!("2")));

    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
        "spec": {"holderIdentity": "x", "leaseDurationSeconds": 15},
    });
    client.post(leases, &lease).await.ok();
    let patch = json!({"spec": {"holderIdentity": "y"}});
    let url = format!("{leases}/l");
    let patched = client.patch(&url, strategic, &patch).await.ok();
    assert_eq!(
        patched["spec"],
        json!({"holderIdentity": "y", "leaseDurationSeconds": 15})
    );
    server.stop().await;
}

#[tokio::test]
async fn concurrent_patches_are_all_applied() {
    let (_store, server, client) = one_server().await;
    let url = format!("{WIDGETS}/a");
    let mut body = widget("a", "red");
    body["metadata"]["labels"] = json!({});
    client.post(WIDGETS, &body).await.ok();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let (client, url) = (client.clone(), url.clone());
        writers.spawn(async move {
            for round in 0..5 {
                let label = format!("l-{writer}-{round}");
                let patch = json!({"metadata": {"labels": {label: "x"}}});
                client.patch(&url, MERGE, &patch).await.ok();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.expect("a writer");
    }
    let labels = client.get(&url).await.ok()["metadata"]["labels"].clone();
    assert_eq!(labels.as_object().map(serde_json::Map::len), Some(40));
    server.stop().await;
}

#[tokio::test]
async fn unknown_fields_of_a_patch_are_reported() {
    let (_store, server, client) = one_server().await;
    let url = format!("{WIDGETS}/a");
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    let patch = json!({"spec": {"colour": "blue"}});
    let warned = client.patch(&url, MERGE, &patch).await;
    assert_eq!(warned.warnings, ["unknown field \"spec.colour\""]);
    warned.ok();
    let strict = format!("{url}?fieldValidation=Strict");
    client
        .patch(&strict, MERGE, &patch)
        .await
        .fails(422, "Invalid");
    server.stop().await;
}
