//! Members that are deleted: what the cluster leaves behind goes, whoever does it, and nothing else.

use helium_testkit::wait_for;
use serde_json::{Value, json};

use crate::members::{MEMBERS, two_members};
use crate::store::{BOUND, TestStore};
use crate::support::{
    Client, DEFINITIONS, MERGE, NAMESPACE_CONTROLLER, TestServer, WIDGETS, names, widget, widgets,
};

const GEARS: &str = "/apis/example.com/v1/namespaces/default/gears";
const HEARTBEATS: &str = "/apis/coordination.helium.dev/v1/namespaces/helium-system/leases";

fn gears() -> Value {
    let mut definition = widgets();
    definition["spec"]["sharing"] = json!({"scope": "PerCluster"});
    definition["spec"]["names"] = json!({"plural": "gears", "kind": "Gear"});
    definition["metadata"]["name"] = "gears.example.com".into();
    definition
}

fn gear(name: &str) -> Value {
    let mut object = widget(name, "red");
    object["kind"] = "Gear".into();
    object["metadata"]["finalizers"] = json!(["example.com/never-heeded"]);
    object
}

async fn beat(client: &Client, cluster: &str) {
    let lease = json!({
        "apiVersion": "coordination.helium.dev/v1", "kind": "Lease",
        "metadata": {"name": format!("member-{cluster}")},
        "spec": {"holderIdentity": cluster, "leaseDurationSeconds": 15},
    });
    client.post(HEARTBEATS, &lease).await.ok();
}

/// What each of two members has of its own, and what they share.
async fn furnish(one: &TestServer, two: &TestServer) {
    one.client().declare(&widgets()).await;
    one.client().declare(&gears()).await;
    two.client().wait_served(GEARS).await;
    two.client().wait_served(WIDGETS).await;
    for (server, cluster) in [(one, "c1"), (two, "c2")] {
        let client = server.client();
        client
            .post(GEARS, &gear(&format!("{cluster}-a")))
            .await
            .ok();
        client
            .post(GEARS, &gear(&format!("{cluster}-b")))
            .await
            .ok();
        client
            .post(WIDGETS, &widget(&format!("from-{cluster}"), "red"))
            .await
            .ok();
        beat(&client, cluster).await;
    }
    let entry = |name: &str| json!({"name": name, "registered": true, "available": true});
    let status = json!({"status": {"clusters": [entry("c1"), entry("c2")]}});
    let url = format!("{DEFINITIONS}/gears.example.com/status");
    one.client().patch(&url, MERGE, &status).await.ok();
    two.client_as(NAMESPACE_CONTROLLER)
        .delete(WIDGETS)
        .await
        .ok();
}

/// Keys that are the second cluster's own.
async fn own_keys(store: &TestStore) -> Vec<String> {
    let keys = store.keys().await;
    let own = |key: &String| {
        key.contains("/gears/c2/") || key.contains("member-c2") || key.ends_with("/c2")
    };
    keys.into_iter().filter(own).collect()
}

async fn wait_gone(client: &Client) {
    wait_for("the member is gone", BOUND, || async {
        client.get(&format!("{MEMBERS}/c2")).await.code == 404
    })
    .await;
}

/// That the first cluster has all it had.
async fn assert_others_untouched(one: &TestServer) {
    let client = one.client();
    assert_eq!(names(&client.get(GEARS).await.ok()), ["c1-a", "c1-b"]);
    assert_eq!(
        names(&client.get(WIDGETS).await.ok()),
        ["from-c1", "from-c2"]
    );
    assert_eq!(names(&client.get(HEARTBEATS).await.ok()), ["member-c1"]);
    let definition = client
        .get(&format!("{DEFINITIONS}/gears.example.com"))
        .await
        .ok();
    let clusters = definition["status"]["clusters"]
        .as_array()
        .expect("clusters");
    let named: Vec<_> = clusters.iter().map(|entry| &entry["name"]).collect();
    assert_eq!(named, ["c1"]);
    assert_eq!(client.get(&format!("{MEMBERS}/c1")).await.code, 200);
}

#[tokio::test]
async fn a_dead_cluster_is_settled_by_any_other() {
    let store = TestStore::start().await;
    let [one, two] = two_members(&store).await;
    furnish(&one, &two).await;
    wait_for("the departure is recorded", BOUND, || async {
        own_keys(&store)
            .await
            .iter()
            .any(|key| key.contains("/departures/"))
    })
    .await;
    two.stop().await;
    let deleted = one.client().delete(&format!("{MEMBERS}/c2")).await.ok();
    assert!(
        deleted["metadata"]["deletionTimestamp"].is_string(),
        "{deleted}"
    );
    wait_gone(&one.client()).await;
    assert_eq!(own_keys(&store).await, Vec::<String>::new());
    assert_others_untouched(&one).await;
    one.stop().await;
}

#[tokio::test]
async fn what_a_server_didnt_finish_the_next_one_does() {
    let store = TestStore::start().await;
    let [one, two] = two_members(&store).await;
    furnish(&one, &two).await;
    two.stop().await;
    one.client().delete(&format!("{MEMBERS}/c2")).await.ok();
    // In the middle of it.
    one.stop().await;
    assert!(
        store
            .keys()
            .await
            .iter()
            .any(|key| key.ends_with("/members/c2"))
    );
    let next = TestServer::start(&store, "c3").await;
    wait_gone(&next.client()).await;
    assert_eq!(own_keys(&store).await, Vec::<String>::new());
    next.stop().await;
}

#[tokio::test]
async fn a_cluster_that_leaves_by_itself_is_settled_too_and_may_come_back() {
    let store = TestStore::start().await;
    let [one, two] = two_members(&store).await;
    furnish(&one, &two).await;
    two.client().delete(&format!("{MEMBERS}/c2")).await.ok();
    wait_gone(&two.client()).await;
    assert_eq!(own_keys(&store).await, Vec::<String>::new());
    assert_others_untouched(&one).await;
    let again = crate::members::member("c2", Some(&crate::members::authority("new")));
    one.client().post(MEMBERS, &again).await.ok();
    assert!(names(&two.client().get(GEARS).await.ok()).is_empty());
    two.client().post(GEARS, &gear("new")).await.ok();
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn finalizers_of_others_hold_the_member() {
    let store = TestStore::start().await;
    let [one, two] = two_members(&store).await;
    let url = format!("{MEMBERS}/c2");
    let held =
        json!({"metadata": {"finalizers": ["helium.dev/member-cleanup", "example.com/held"]}});
    one.client().patch(&url, MERGE, &held).await.ok();
    one.client().delete(&url).await.ok();
    wait_for("our finalizer is gone", BOUND, || async {
        let member = one.client().get(&url).await.ok();
        member["metadata"]["finalizers"] == json!(["example.com/held"])
    })
    .await;
    let released = json!({"metadata": {"finalizers": null}});
    one.client().patch(&url, MERGE, &released).await.ok();
    wait_gone(&one.client()).await;
    one.stop().await;
    two.stop().await;
}
