//! Clusters leave namespaces and come back: what is recorded, what goes with them, and what the store's absence changes.

use helium_testkit::wait_for;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::store::{BOUND, TestStore};
use crate::support::{
    CONTROLLER_MANAGER, Client, DEFINITIONS, MERGE, NAMESPACE_CONTROLLER, TestServer, definition,
    names, widget,
};

const MEMBERS: &str = "/apis/helium.dev/v1/members";

fn widgets_in(namespace: &str) -> String {
    format!("/apis/example.com/v1/namespaces/{namespace}/widgets")
}

fn widgets_with(sharing: Value) -> Value {
    let mut widgets = definition("widgets", "Widget", "Namespaced");
    widgets["spec"]["sharing"] = sharing;
    widgets
}

fn record(namespace: &str, cluster: &str) -> String {
    format!("/registry/helium.dev/departures/{namespace}/{cluster}")
}

async fn wait_recorded(store: &TestStore, namespace: &str, cluster: &str, there: bool) {
    let key = record(namespace, cluster);
    wait_for(format!("{key} is there: {there}"), BOUND, || async {
        store.keys().await.contains(&key) == there
    })
    .await;
}

/// Two clusters that share widgets of a policy.
async fn two(sharing: Value) -> (TestStore, [TestServer; 2]) {
    let store = TestStore::start().await;
    let servers = [
        TestServer::start(&store, "c1").await,
        TestServer::start(&store, "c2").await,
    ];
    servers[0].client().declare(&widgets_with(sharing)).await;
    servers[1]
        .client()
        .wait_served(&widgets_in("default"))
        .await;
    (store, servers)
}

async fn join(server: &TestServer, cluster: &str) {
    let member = json!({
        "apiVersion": "helium.dev/v1", "kind": "Member", "metadata": {"name": cluster}, "spec": {},
    });
    server.client().post(MEMBERS, &member).await.ok();
}

async fn put(client: &Client, namespace: &str, name: &str) {
    client
        .post(&widgets_in(namespace), &widget(name, "red"))
        .await
        .ok();
}

async fn leave(server: &TestServer, namespace: &str) {
    let controller = server.client_as(NAMESPACE_CONTROLLER);
    controller.delete(&widgets_in(namespace)).await.ok();
    let list = controller.get(&widgets_in(namespace)).await.ok();
    assert_eq!(list["items"], json!([]));
}

async fn stop(servers: [TestServer; 2]) {
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_departure_is_recorded_and_withdrawn_by_the_clusters_next_write() {
    let (store, servers) = two(json!({})).await;
    let client = servers[1].client();
    put(&client, "team", "a").await;
    // What one server wrote, the other may not have seen yet; a namespace without objects needs no record.
    let other = servers[0].client();
    other
        .wait_served(&format!("{}/a", widgets_in("team")))
        .await;
    leave(&servers[0], "empty").await;
    leave(&servers[0], "team").await;
    wait_recorded(&store, "team", "c1", true).await;
    assert!(!store.keys().await.contains(&record("empty", "c1")));
    assert_eq!(names(&client.get(&widgets_in("team")).await.ok()), ["a"]);

    // Another cluster's writes change nothing; its own do, before they are made.
    put(&client, "team", "b").await;
    assert!(store.keys().await.contains(&record("team", "c1")));
    put(&other, "team", "c").await;
    let keys = store.keys().await;
    assert!(!keys.contains(&record("team", "c1")), "{keys:?}");
    assert!(keys.contains(&"/registry/helium.dev/returns".to_owned()));
    // And it can leave again.
    leave(&servers[0], "team").await;
    wait_recorded(&store, "team", "c1", true).await;
    let url = format!("{}/c", widgets_in("team"));
    let red = json!({"spec": {"color": "blue"}});
    other.patch(&url, MERGE, &red).await.ok();
    assert!(!store.keys().await.contains(&record("team", "c1")));
    stop(servers).await;
}

#[tokio::test]
async fn objects_of_the_policy_cascade_go_when_every_member_has_left() {
    let (store, servers) = two(json!({"namespaceDeletion": "Cascade"})).await;
    let client = servers[0].client();
    for (server, cluster) in servers.iter().zip(["c1", "c2"]) {
        join(server, cluster).await;
    }
    for namespace in ["one", "back", "all", "stays"] {
        put(&client, namespace, "a").await;
    }
    let mut held = widget("held", "red");
    held["metadata"]["finalizers"] = json!(["example.com/wait"]);
    client.post(&widgets_in("all"), &held).await.ok();
    // First those that must stay, so that they have had all the time that the last one has.
    leave(&servers[0], "one").await;
    leave(&servers[1], "back").await;
    leave(&servers[0], "back").await;
    wait_recorded(&store, "back", "c1", true).await;
    put(&client, "back", "b").await;
    leave(&servers[0], "all").await;
    leave(&servers[1], "all").await;

    wait_for("what all have left is gone", BOUND, || async {
        let list = client.get(&widgets_in("all")).await.ok();
        names(&list) == ["held"] && list["items"][0]["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    for (namespace, left) in [
        ("one", vec!["a"]),
        ("back", vec!["a", "b"]),
        ("stays", vec!["a"]),
    ] {
        let list = client.get(&widgets_in(namespace)).await.ok();
        assert_eq!(names(&list), left, "{namespace}");
    }
    stop(servers).await;
}

#[tokio::test]
async fn a_member_that_leaves_the_fleet_or_is_revoked_is_waited_for_no_longer() {
    let (store, servers) = two(json!({"namespaceDeletion": "Cascade"})).await;
    let client = servers[0].client();
    for (server, cluster) in servers.iter().zip(["c1", "c2"]) {
        join(server, cluster).await;
    }
    put(&client, "team", "a").await;
    leave(&servers[0], "team").await;
    wait_recorded(&store, "team", "c1", true).await;
    let revoked = json!({"spec": {"revoked": true}});
    client
        .patch(&format!("{MEMBERS}/c2"), MERGE, &revoked)
        .await
        .ok();
    wait_for("the object is gone", BOUND, || async {
        names(&client.get(&widgets_in("team")).await.ok()).is_empty()
    })
    .await;

    join(&servers[0], "c3").await;
    put(&client, "other", "a").await;
    leave(&servers[0], "other").await;
    wait_recorded(&store, "other", "c1", true).await;
    client.delete(&format!("{MEMBERS}/c3")).await.ok();
    wait_for("the object is gone", BOUND, || async {
        names(&client.get(&widgets_in("other")).await.ok()).is_empty()
    })
    .await;
    stop(servers).await;
}

#[tokio::test]
async fn cascade_in_a_fleet_without_members_does_what_detach_does_and_says_so() {
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    let declared = client
        .post(
            DEFINITIONS,
            &widgets_with(json!({"namespaceDeletion": "Cascade"})),
        )
        .await;
    let [warning] = declared.warnings.as_slice() else {
        panic!("one warning, not {:?}", declared.warnings);
    };
    assert!(warning.contains("no members yet"), "{warning}");
    client.wait_served(&widgets_in("default")).await;
    put(&client, "team", "a").await;
    leave(&server, "team").await;
    wait_recorded(&store, "team", "c1", true).await;
    assert_eq!(names(&client.get(&widgets_in("team")).await.ok()), ["a"]);

    let own = widgets_with(json!({"scope": "PerCluster", "namespaceDeletion": "Cascade"}));
    let mut own = own;
    own["metadata"]["name"] = "gadgets.example.com".into();
    own["spec"]["names"] = json!({"plural": "gadgets", "kind": "Gadget"});
    let message = client.post(DEFINITIONS, &own).await.fails(422, "Invalid");
    assert!(
        message.contains("Cascade needs the scope Fleet"),
        "{message}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_clusters_own_objects_go_with_its_namespace_and_no_others() {
    let (_store, servers) = two(json!({"scope": "PerCluster"})).await;
    for server in &servers {
        put(&server.client(), "team", "a").await;
    }
    leave(&servers[0], "team").await;
    assert!(names(&servers[0].client().get(&widgets_in("team")).await.ok()).is_empty());
    assert_eq!(
        names(&servers[1].client().get(&widgets_in("team")).await.ok()),
        ["a"]
    );
    stop(servers).await;
}

#[tokio::test]
async fn what_a_cluster_was_promised_without_the_store_is_done_once_when_it_is_back() {
    let state = TempDir::new().unwrap();
    let mut store = TestStore::start().await;
    let server = TestServer::start_with_state(&store, "c1", state.path());
    let client = server.client();
    client.wait_served(DEFINITIONS).await;
    client
        .declare(&widgets_with(json!({"scope": "PerCluster"})))
        .await;
    for (namespace, name) in [("team", "a"), ("team", "b"), ("other", "a")] {
        put(&client, namespace, name).await;
    }
    // Its cache has them all.
    assert_eq!(
        names(&client.get(&widgets_in("team")).await.ok()),
        ["a", "b"]
    );
    store.stop().await;

    let controller = server.client_as(NAMESPACE_CONTROLLER);
    // Who is one identity with others isn't taken for the namespace controller when it only looks.
    let shared = server.client_as(CONTROLLER_MANAGER);
    assert_eq!(shared.get(&widgets_in("team")).await.code, 503);
    controller.delete(&widgets_in("team")).await.ok();
    controller.delete(&widgets_in("team")).await.ok();
    for client in [&controller, &shared] {
        let list = client.get(&widgets_in("team")).await.ok();
        assert_eq!(list["items"], json!([]));
    }
    let kept = std::fs::read_to_string(state.path().join("departures")).unwrap();
    assert_eq!(kept.matches("homeDeletion").count(), 1, "{kept}");
    // The process ends before the store is back.
    server.stop().await;

    store.resume().await;
    // The namespace was made again, and through another server of the cluster one of its objects too.
    let other = TestServer::start(&store, "c1").await;
    let client = other.client();
    client.wait_served(&widgets_in("team")).await;
    let blue = json!({"spec": {"color": "blue"}});
    client
        .patch(&format!("{}/b", widgets_in("team")), MERGE, &blue)
        .await
        .ok();
    put(&client, "team", "new").await;
    let server = TestServer::start_with_state(&store, "c1", state.path());
    wait_for("the promise is kept", BOUND, || async {
        names(&client.get(&widgets_in("team")).await.ok()) == ["b", "new"]
    })
    .await;
    wait_for("the promise is forgotten", BOUND, || async {
        let kept = std::fs::read_to_string(state.path().join("departures")).unwrap();
        !kept.contains("homeDeletion")
    })
    .await;
    assert_eq!(names(&client.get(&widgets_in("other")).await.ok()), ["a"]);
    // Not again by the next start.
    put(&client, "team", "a").await;
    server.stop().await;
    let server = TestServer::start_with_state(&store, "c1", state.path());
    let client = server.client();
    client.wait_served(&widgets_in("team")).await;
    assert_eq!(
        names(&client.get(&widgets_in("team")).await.ok()),
        ["a", "b", "new"]
    );
    server.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_server_that_never_saw_the_store_promises_by_the_age_of_objects() {
    let state = TempDir::new().unwrap();
    let mut store = TestStore::start().await;
    let server = TestServer::start_with_state(&store, "c1", state.path());
    let client = server.client();
    client.wait_served(DEFINITIONS).await;
    client
        .declare(&widgets_with(json!({"scope": "PerCluster"})))
        .await;
    put(&client, "team", "old").await;
    let created = client
        .get(&format!("{}/old", widgets_in("team")))
        .await
        .ok();
    let created = created["metadata"]["creationTimestamp"].clone();
    let file = state.path().join("definitions");
    wait_for("the definitions are kept", BOUND, || async {
        std::fs::read_to_string(&file)
            .unwrap_or_default()
            .contains("Established")
    })
    .await;
    // Creation times have whole seconds: let one pass, by the clock that stamps objects.
    wait_for("the second is over", BOUND, || async {
        let probe = client
            .post(
                &format!("{}?dryRun=All", widgets_in("x")),
                &widget("probe", "red"),
            )
            .await;
        probe.ok()["metadata"]["creationTimestamp"] != created
    })
    .await;
    server.stop().await;
    store.stop().await;

    let server = TestServer::start_with_state(&store, "c1", state.path());
    leave(&server, "team").await;
    store.resume().await;
    let client = server.client();
    client.wait_served(&widgets_in("team")).await;
    wait_for("the old object is gone", BOUND, || async {
        names(&client.get(&widgets_in("team")).await.ok()).is_empty()
    })
    .await;
    put(&client, "team", "new").await;
    assert_eq!(names(&client.get(&widgets_in("team")).await.ok()), ["new"]);
    server.stop().await;
}

#[tokio::test]
async fn a_departure_without_the_store_is_recorded_later_and_a_return_overtakes_it() {
    let state = TempDir::new().unwrap();
    let mut store = TestStore::start().await;
    let server = TestServer::start_with_state(&store, "c1", state.path());
    let client = server.client();
    client.wait_served(DEFINITIONS).await;
    client.declare(&widgets_with(json!({}))).await;
    for namespace in ["gone", "again"] {
        put(&client, namespace, "a").await;
        client.get(&widgets_in(namespace)).await.ok();
    }
    store.stop().await;
    for namespace in ["gone", "again"] {
        leave(&server, namespace).await;
    }
    wait_for("the departures are kept", BOUND, || async {
        let kept = std::fs::read_to_string(state.path().join("departures")).unwrap_or_default();
        kept.matches("departure\"").count() == 2
    })
    .await;
    // Nothing is written without the store; the cluster is back all the same.
    let refused = client.post(&widgets_in("again"), &widget("b", "red")).await;
    assert!(matches!(refused.code, 503 | 504), "{}", refused.body);
    store.resume().await;
    wait_recorded(&store, "gone", "c1", true).await;
    wait_for("the object can be written", BOUND, || async {
        matches!(
            client
                .post(&widgets_in("again"), &widget("b", "red"))
                .await
                .code,
            201 | 409
        )
    })
    .await;
    assert!(!store.keys().await.contains(&record("again", "c1")));
    server.stop().await;
}
