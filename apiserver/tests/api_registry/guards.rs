//! Clusters' own controllers against shared objects; leases; namespaces.

use helium_testkit::wait_for;
use serde_json::{Value, json};

use crate::store::{BOUND, TestStore};
use crate::support::{
    CONTROLLER_MANAGER, GARBAGE_COLLECTOR, MERGE, NAMESPACE_CONTROLLER, TestServer, WIDGETS, names,
    one_server, widget, widgets,
};

#[tokio::test]
async fn a_namespace_controller_sees_nothing_and_deletes_nothing() {
    let (_store, server, client) = one_server().await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    for user in [NAMESPACE_CONTROLLER, CONTROLLER_MANAGER] {
        let controller = server.client_as(user);
        assert_eq!(controller.delete(WIDGETS).await.code, 200, "{user}");
        let metadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
        let list = controller.get_as(WIDGETS, metadata).await.ok();
        assert_eq!(list["items"], json!([]), "{user}");
    }
    server
        .client_as(NAMESPACE_CONTROLLER)
        .delete(&format!("{WIDGETS}/a"))
        .await
        .ok();
    assert_eq!(names(&client.get(WIDGETS).await.ok()), ["a"]);
    // An administrator's own deletion is a deletion.
    client.delete(WIDGETS).await.ok();
    assert!(names(&client.get(WIDGETS).await.ok()).is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_namespace_leaves_with_the_store_down_too() {
    let (mut store, server, client) = one_server().await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    store.stop().await;
    let controller = server.client_as(NAMESPACE_CONTROLLER);
    assert_eq!(controller.delete(WIDGETS).await.code, 200);
    assert_eq!(controller.get(WIDGETS).await.ok()["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn the_policy_block_refuses_the_controller() {
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    let mut definition = widgets();
    definition["spec"]["sharing"] = json!({"namespaceDeletion": "Block"});
    client.declare(&definition).await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    let controller = server.client_as(NAMESPACE_CONTROLLER);
    let message = controller.delete(WIDGETS).await.fails(403, "Forbidden");
    assert!(message.contains("Block"), "{message}");
    assert_eq!(names(&controller.get(WIDGETS).await.ok()), ["a"]);
    // One that the namespace doesn't have keeps nothing. (Every namespace once hung as soon as there was such a kind.)
    let empty = WIDGETS.replace("default", "empty");
    controller.delete(&empty).await.ok();
    assert_eq!(controller.get(&empty).await.ok()["items"], json!([]));
    client.delete(WIDGETS).await.ok();
    controller.delete(WIDGETS).await.ok();
    server.stop().await;
}

#[tokio::test]
async fn the_policy_block_goes_by_what_is_remembered_when_the_store_is_down() {
    let mut store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    let mut definition = widgets();
    definition["spec"]["sharing"] = json!({"namespaceDeletion": "Block"});
    client.declare(&definition).await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    client.get(WIDGETS).await.ok();
    store.stop().await;
    let controller = server.client_as(NAMESPACE_CONTROLLER);
    controller.delete(WIDGETS).await.fails(403, "Forbidden");
    assert_eq!(names(&controller.get(WIDGETS).await.ok()), ["a"]);
    let empty = WIDGETS.replace("default", "empty");
    controller.delete(&empty).await.ok();
    assert_eq!(controller.get(&empty).await.ok()["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn only_shared_owners_may_be_referred_to() {
    let (_store, server, client) = one_server().await;
    let owner = client.post(WIDGETS, &widget("owner", "red")).await.ok();
    let reference = |api_version: &str, kind: &str, uid: &Value| json!([{"apiVersion": api_version, "kind": kind, "name": "owner", "uid": uid}]);
    let uid = &owner["metadata"]["uid"];
    let mut dependent = widget("a", "red");
    dependent["metadata"]["ownerReferences"] = reference("v1", "ConfigMap", uid);
    let message = client.post(WIDGETS, &dependent).await.fails(422, "Invalid");
    assert!(message.contains("metadata.ownerReferences[0]"), "{message}");
    assert!(message.contains("not shared by the fleet"), "{message}");
    dependent["metadata"]["ownerReferences"] = reference("example.com/v1", "Widget", uid);
    client.post(WIDGETS, &dependent).await.ok();
    let local = json!({"metadata": {"ownerReferences": reference("apps/v1", "Deployment", uid)}});
    client
        .patch(&format!("{WIDGETS}/a"), MERGE, &local)
        .await
        .fails(422, "Invalid");
    server.stop().await;
}

#[tokio::test]
async fn a_garbage_collector_is_believed_only_when_the_owner_is_gone_from_the_store() {
    let (_store, server, client) = one_server().await;
    let owner = client.post(WIDGETS, &widget("owner", "red")).await.ok();
    let mut dependent = widget("a", "red");
    dependent["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "example.com/v1", "kind": "Widget", "name": "owner", "uid": owner["metadata"]["uid"],
    }]);
    client.post(WIDGETS, &dependent).await.ok();
    let url = format!("{WIDGETS}/a");
    let drop_owners = json!({"metadata": {"ownerReferences": null}});
    for user in [GARBAGE_COLLECTOR, CONTROLLER_MANAGER] {
        let collector = server.client_as(user);
        collector.delete(&url).await.fails(409, "Conflict");
        collector
            .patch(&url, MERGE, &drop_owners)
            .await
            .fails(409, "Conflict");
    }
    client.delete(&format!("{WIDGETS}/owner")).await.ok();
    let collector = server.client_as(GARBAGE_COLLECTOR);
    let options = json!({"propagationPolicy": "Background"});
    collector.delete_with(&url, &options).await.ok();
    client.get(&url).await.fails(404, "NotFound");
    server.stop().await;
}

#[tokio::test]
async fn dependents_of_a_foreground_deletion_may_go_first() {
    let (_store, server, client) = one_server().await;
    let owner = client.post(WIDGETS, &widget("owner", "red")).await.ok();
    let mut dependent = widget("a", "red");
    dependent["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "example.com/v1", "kind": "Widget", "name": "owner",
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": true,
    }]);
    client.post(WIDGETS, &dependent).await.ok();
    let foreground = json!({"propagationPolicy": "Foreground"});
    client
        .delete_with(&format!("{WIDGETS}/owner"), &foreground)
        .await
        .ok();
    let collector = server.client_as(GARBAGE_COLLECTOR);
    collector.delete(&format!("{WIDGETS}/a")).await.ok();
    let done = json!({"metadata": {"finalizers": null}});
    collector
        .patch(&format!("{WIDGETS}/owner"), MERGE, &done)
        .await
        .ok();
    client
        .get(&format!("{WIDGETS}/owner"))
        .await
        .fails(404, "NotFound");
    server.stop().await;
}

#[tokio::test]
async fn an_owner_whose_dependents_stay_waits_for_the_other_clusters_collectors() {
    let (_store, server, client) = one_server().await;
    client.post(WIDGETS, &widget("owner", "red")).await.ok();
    let url = format!("{WIDGETS}/owner");
    let orphan = json!({"propagationPolicy": "Orphan"});
    client.delete_with(&url, &orphan).await.ok();
    let collector = server.client_as(GARBAGE_COLLECTOR);
    let done = json!({"metadata": {"finalizers": null}});
    let message = collector
        .patch(&url, MERGE, &done)
        .await
        .fails(409, "Conflict");
    assert!(message.contains("other clusters"), "{message}");
    // Collectors try again by themselves.
    wait_for("the owner may go", BOUND, || async {
        collector.patch(&url, MERGE, &done).await.code == 200
    })
    .await;
    client.get(&url).await.fails(404, "NotFound");
    // A person doesn't wait.
    client.post(WIDGETS, &widget("owner", "red")).await.ok();
    client.delete_with(&url, &orphan).await.ok();
    client.patch(&url, MERGE, &done).await.ok();
    client.get(&url).await.fails(404, "NotFound");
    server.stop().await;
}

#[tokio::test]
async fn a_lease_is_one_object_under_both_its_groups() {
    let store = TestStore::start().await;
    let (one, two) = (
        TestServer::start(&store, "c1").await,
        TestServer::start(&store, "c2").await,
    );
    let kubernetes = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let shared = "/apis/coordination.helium.dev/v1/namespaces/default/leases";
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "leader"},
        "spec": {
            "holderIdentity": "one",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:00.000000Z",
            "leaseTransitions": 0,
        },
    });
    let created = one.client().post(kubernetes, &lease).await.ok();
    let seen = two.client().get(&format!("{shared}/leader")).await.ok();
    assert_eq!(seen["apiVersion"], "coordination.helium.dev/v1");
    assert_eq!(seen["spec"], created["spec"]);
    assert_eq!(seen["metadata"], created["metadata"]);

    let mut taken = seen.clone();
    taken["spec"]["holderIdentity"] = "two".into();
    two.client()
        .put(&format!("{shared}/leader"), &taken)
        .await
        .ok();
    let mut late = created.clone();
    late["spec"]["renewTime"] = "2026-01-01T00:00:05.000000Z".into();
    one.client()
        .put(&format!("{kubernetes}/leader"), &late)
        .await
        .fails(409, "Conflict");

    let mut broken = lease;
    broken["metadata"]["name"] = "broken".into();
    broken["spec"]["leaseDurationSeconds"] = 0.into();
    one.client()
        .post(kubernetes, &broken)
        .await
        .fails(422, "Invalid");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn every_valid_name_is_a_namespace() {
    let (_store, server, client) = one_server().await;
    let namespaces = "/api/v1/namespaces";
    let implied = client.get(&format!("{namespaces}/team-a")).await.ok();
    assert_eq!(implied["status"]["phase"], "Active");
    // Nobody created it. (It once claimed 1970, and kubectl an age of 56 years.)
    assert_eq!(implied["metadata"].get("creationTimestamp"), None);
    client
        .get(&format!("{namespaces}/No_Name"))
        .await
        .fails(404, "NotFound");
    client
        .post(&WIDGETS.replace("default", "used"), &widget("a", "red"))
        .await
        .ok();
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"}});
    let made = client.post(namespaces, &body).await.ok();
    assert_eq!(made["status"]["phase"], "Active");
    let list = client.get(namespaces).await.ok();
    assert_eq!(names(&list), ["default", "made", "used"]);

    let label = json!({"metadata": {"labels": {"team": "a"}}});
    let labelled = client
        .patch(&format!("{namespaces}/team-a"), MERGE, &label)
        .await
        .ok();
    assert_eq!(labelled["metadata"]["labels"]["team"], "a");
    let deleted = client.delete(&format!("{namespaces}/made")).await;
    assert!(deleted.warnings.is_empty());
    let deleted = deleted.ok();
    assert_eq!(deleted["details"]["uid"], made["metadata"]["uid"]);
    let after = client.get(&format!("{namespaces}/made")).await.ok();
    assert_ne!(after["metadata"]["uid"], made["metadata"]["uid"]);
    // Its objects stay, which surprises people who aren't told.
    let left = client.delete(&format!("{namespaces}/used")).await;
    let [warning] = left.warnings.as_slice() else {
        panic!("one warning, not {:?}", left.warnings);
    };
    assert!(
        warning.contains("kubectl delete widgets.example.com --all -n used"),
        "{warning}"
    );
    server.stop().await;
}

#[tokio::test]
async fn repeated_owners_are_dropped_with_a_warning() {
    let (_store, server, client) = one_server().await;
    let owner = client.post(WIDGETS, &widget("owner", "red")).await.ok();
    let reference = json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "name": "owner",
        "uid": owner["metadata"]["uid"],
    });
    let mut dependent = widget("a", "red");
    dependent["metadata"]["ownerReferences"] = json!([reference, reference]);
    let created = client.post(WIDGETS, &dependent).await;
    assert_eq!(created.warnings.len(), 1, "{:?}", created.warnings);
    assert_eq!(
        created.ok()["metadata"]["ownerReferences"],
        json!([reference])
    );
    server.stop().await;
}
