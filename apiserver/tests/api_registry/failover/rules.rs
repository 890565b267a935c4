//! What of a group, and of its lease, only some may write.

use helium_testkit::wait_for;
use serde_json::{Value, json};

use super::{GROUP, GROUPS, LEASE, LEASES, STATUS, lease, servers, token, write};
use crate::members::{MEMBERS, two_members};
use crate::store::{BOUND, TestStore};
use crate::support::{Client, MERGE};

fn group(spec: Value) -> Value {
    json!({
        "apiVersion": "helium.dev/v1", "kind": "FailoverGroup", "metadata": {"name": "web"}, "spec": spec,
    })
}

/// Adds an entry to the group's members, or replaces it.
async fn enter(client: &Client, entry: Value) -> crate::support::Reply {
    let mut group = client.get(GROUP).await.ok();
    if group["status"].is_null() {
        group["status"] = json!({});
    }
    let mut entries = group["status"]["members"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    entries.retain(|other| other["cluster"] != entry["cluster"]);
    entries.push(entry);
    group["status"]["members"] = entries.into();
    client.put(STATUS, &group).await
}

#[tokio::test]
async fn a_lease_is_held_by_a_cluster_in_its_own_name() {
    let store = TestStore::start().await;
    let [one, two] = servers::<2>(&store).await;
    let (first, second) = (one.client(), two.client());
    for holder in ["c2", "somebody"] {
        let message = first
            .post(LEASES, &lease(holder, 1, "Free"))
            .await
            .fails(403, "Forbidden");
        assert!(
            message.contains(&format!("only cluster {holder:?} writes it"))
                && message.contains("this is cluster \"c1\""),
            "{message}"
        );
    }
    let claimed = first.post(LEASES, &lease("c1", 1, "Free")).await.ok();
    // The other cluster can neither renew nor give it up, by either name of the kind.
    let kubernetes = LEASE.replace("coordination.helium.dev", "coordination.k8s.io");
    for url in [LEASE, &kubernetes] {
        let renewal = json!({"spec": {"renewTime": "2026-01-01T00:00:10.000000Z"}});
        second
            .patch(url, MERGE, &renewal)
            .await
            .fails(403, "Forbidden");
        let release = json!({"spec": {"holderIdentity": ""}});
        let message = second
            .patch(url, MERGE, &release)
            .await
            .fails(403, "Forbidden");
        assert!(message.contains("cluster \"c1\" holds it"), "{message}");
        let forged = json!({"spec": {"holderIdentity": "c1", "leaseTransitions": 9}});
        second
            .patch(url, MERGE, &forged)
            .await
            .fails(403, "Forbidden");
        second.delete(url).await.fails(403, "Forbidden");
        first.delete(url).await.fails(403, "Forbidden");
    }
    let unlabelled = json!({"metadata": {"labels": null}});
    let message = first
        .patch(LEASE, MERGE, &unlabelled)
        .await
        .fails(422, "Invalid");
    assert!(message.contains("field is immutable"), "{message}");
    assert_eq!(first.get(LEASE).await.ok(), claimed);

    write(&first, lease("", 1, "Stopped")).await.ok();
    second.delete(LEASE).await.ok();
    let group = first.get(GROUP).await.ok();
    assert_eq!(group["status"]["history"][0]["endReason"], "Stopped");
    // Leases that are nobody's group's are as free as ever.
    let mut plain = lease("somebody", 1, "");
    plain["metadata"]["labels"] = Value::Null;
    plain["metadata"]["name"] = "leader".into();
    first.post(LEASES, &plain).await.ok();
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn each_cluster_writes_its_own_entry_and_the_server_who_leads() {
    let store = TestStore::start().await;
    let [one, two] = servers::<2>(&store).await;
    let (first, second) = (one.client(), two.client());
    first.post(GROUPS, &group(json!({}))).await.ok();
    enter(&first, json!({"cluster": "c1", "rank": 5}))
        .await
        .ok();
    enter(&second, json!({"cluster": "c2", "rank": 10}))
        .await
        .ok();
    let message = enter(&second, json!({"cluster": "c1", "rank": 5, "stopped": 900}))
        .await
        .fails(403, "Forbidden");
    assert!(
        message.contains("only cluster \"c1\" itself")
            && message.contains("this is cluster \"c2\""),
        "{message}"
    );
    let alone = json!({"status": {"members": [{"cluster": "c2", "rank": 1}]}});
    second
        .patch(STATUS, MERGE, &alone)
        .await
        .fails(403, "Forbidden");
    enter(&first, json!({"cluster": "c3"}))
        .await
        .fails(403, "Forbidden");

    let claimed = write(&first, lease("c1", 1, "Free")).await.ok();
    let before = first.get(GROUP).await.ok();
    let forged = json!({"status": {
        "leader": "c2", "leaderAddress": "evil", "token": 1, "since": "2020-01-01T00:00:00Z", "reason": "Mine", "history": [],
    }});
    let after = second.patch(STATUS, MERGE, &forged).await.ok();
    assert_eq!(after, before, "nothing of it counts");
    // What counts beside it does.
    let mut both = forged;
    both["status"]["conditions"] = json!([{"type": "Odd", "status": "True"}]);
    let after = second.patch(STATUS, MERGE, &both).await.ok();
    assert_eq!(after["status"]["conditions"][0]["type"], "Odd");
    assert_eq!(after["status"]["leader"], "c1");
    assert_eq!(after["status"]["token"], token(&claimed));
    assert_eq!(after["status"]["history"], before["status"]["history"]);

    // The spec is a person's, through any cluster.
    let paused = json!({"spec": {"paused": true, "preferredCluster": "c2", "force": {"token": token(&claimed), "cluster": "c2"}}});
    let after = second.patch(GROUP, MERGE, &paused).await.ok();
    assert_eq!(after["spec"]["paused"], true);
    assert_eq!(after["status"]["leader"], "c1");
    for (wrong, expected) in [
        (
            json!({"leaseDurationSeconds": 0}),
            "spec.leaseDurationSeconds",
        ),
        (
            json!({"leaseDurationSeconds": 3601}),
            "spec.leaseDurationSeconds",
        ),
        (json!({"stopBudgetSeconds": -1}), "spec.stopBudgetSeconds"),
        (
            json!({"stopBudgetSeconds": 14}),
            "leaves no time to renew a lease of 15s",
        ),
        (
            json!({"mode": "Slow"}),
            "supported values: \"Fast\", \"Strict\"",
        ),
        (
            json!({"preferredCluster": "No Name"}),
            "must be the name of a cluster",
        ),
        (
            json!({"force": {"token": -1, "cluster": "c2"}}),
            "spec.force.token",
        ),
        (
            json!({"force": {"token": 1_i64 << 40, "cluster": "c2"}}),
            "the token of the last term",
        ),
    ] {
        let message = first
            .patch(GROUP, MERGE, &json!({"spec": wrong}))
            .await
            .fails(422, "Invalid");
        assert!(message.contains(expected), "{message}");
    }
    let message = second.delete(GROUP).await.fails(403, "Forbidden");
    assert!(
        message.contains("cluster \"c1\" leads the group"),
        "{message}"
    );
    write(&first, lease("", 1, "Stopped")).await.ok();
    let message = second.delete(GROUP).await.fails(403, "Forbidden");
    assert!(message.contains("is a member of the group"), "{message}");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_cluster_that_left_the_fleet_leaves_the_groups_and_its_lease_may_go() {
    let store = TestStore::start().await;
    let [one, two] = two_members(&store).await;
    let (first, second) = (one.client(), two.client());
    first
        .post(GROUPS, &group(json!({"mode": "Strict"})))
        .await
        .ok();
    enter(&first, json!({"cluster": "c1", "rank": 5}))
        .await
        .ok();
    enter(&second, json!({"cluster": "c2", "rank": 10}))
        .await
        .ok();
    write(&second, lease("c2", 1, "Free")).await.ok();
    first.delete(LEASE).await.fails(403, "Forbidden");

    first.delete(&format!("{MEMBERS}/c2")).await.ok();
    wait_for("the member is settled", BOUND, || async {
        first.get(&format!("{MEMBERS}/c2")).await.code == 404
    })
    .await;
    let left = first.get(GROUP).await.ok();
    assert_eq!(
        left["status"]["members"],
        json!([{"cluster": "c1", "rank": 5}])
    );
    assert_eq!(left["status"]["leader"], "c2", "that is the lease's to say");
    assert_eq!(left["spec"]["mode"], "Strict");
    first.delete(LEASE).await.ok();
    let left = first.get(GROUP).await.ok();
    assert_eq!(left["status"]["leader"], Value::Null);
    assert_eq!(left["status"]["history"][0]["endReason"], "Deleted");
    let message = first.delete(GROUP).await.fails(403, "Forbidden");
    assert!(message.contains("cluster \"c1\" is a member"), "{message}");
    let alone = json!({"status": {"members": []}});
    first.patch(STATUS, MERGE, &alone).await.ok();
    first.delete(GROUP).await.ok();
    one.stop().await;
    two.stop().await;
}
