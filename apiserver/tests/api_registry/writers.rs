//! The policy of writers: through which clusters a kind's objects may be written, and in which namespaces.

use helium_testkit::wait_for;
use serde_json::{Value, json};

use crate::store::{BOUND, TestStore};
use crate::support::{
    Client, DEFINITIONS, GARBAGE_COLLECTOR, JSON_PATCH, MERGE, NAMESPACE_CONTROLLER, Reply,
    TestServer, WIDGETS, definition, names, widget, widgets,
};

fn with_writers(mut definition: Value, writers: Value) -> Value {
    definition["spec"]["sharing"]["clusters"]["writers"] = writers;
    definition
}

/// c1 may write everywhere, c2 only into team-a.
fn policy() -> Value {
    json!([
        {"clusters": ["c1"], "namespaces": ["*"]},
        {"clusters": ["c2"], "namespaces": ["team-a"]},
    ])
}

async fn two_servers(store: &TestStore, definition: &Value) -> [TestServer; 2] {
    let one = TestServer::start(store, "c1").await;
    let two = TestServer::start(store, "c2").await;
    one.client().declare(definition).await;
    two.client().wait_served(WIDGETS).await;
    [one, two]
}

#[track_caller]
fn refused(reply: Reply, texts: &[&str]) {
    let message = reply.fails(403, "Forbidden");
    for text in texts {
        assert!(message.contains(text), "{message}");
    }
}

/// Every way to write an object that is there, in the namespace of a URL.
async fn all_writes(client: &Client, widgets: &str) -> Vec<Reply> {
    let url = format!("{widgets}/a");
    let merge = json!({"spec": {"replicas": 3}});
    let operations = json!([{"op": "add", "path": "/spec/replicas", "value": 3}]);
    let status = json!({"status": {"phase": "x"}});
    let scale = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 3},
    });
    vec![
        client.post(widgets, &widget("b", "red")).await,
        client
            .post(&format!("{widgets}?dryRun=All"), &widget("b", "red"))
            .await,
        client.put(&url, &widget("a", "blue")).await,
        client.patch(&url, MERGE, &merge).await,
        client.patch(&url, JSON_PATCH, &operations).await,
        client.patch(&format!("{url}/status"), MERGE, &status).await,
        client
            .put(&format!("{url}/status"), &widget("a", "blue"))
            .await,
        client.patch(&format!("{url}/scale"), MERGE, &merge).await,
        client.put(&format!("{url}/scale"), &scale).await,
        client.delete(&url).await,
        client.delete(widgets).await,
    ]
}

#[tokio::test]
async fn a_cluster_writes_where_the_policy_lets_it_and_reads_everywhere() {
    let store = TestStore::start().await;
    let [one, two] = two_servers(&store, &with_writers(widgets(), policy())).await;
    let team = WIDGETS.replace("default", "team-a");
    for url in [WIDGETS, &team] {
        one.client().post(url, &widget("a", "red")).await.ok();
    }
    let before = one.client().get(&format!("{WIDGETS}/a")).await.ok();
    for reply in all_writes(&two.client(), WIDGETS).await {
        refused(
            reply,
            &[
                "the definition widgets.example.com lets namespace \"default\" be written only through c1",
                "this is cluster c2",
            ],
        );
    }
    assert_eq!(one.client().get(&format!("{WIDGETS}/a")).await.ok(), before);
    assert_eq!(names(&two.client().get(WIDGETS).await.ok()), ["a"]);
    two.client().get(&format!("{WIDGETS}/a")).await.ok();
    let mut watch = two.client().watch(WIDGETS).await;
    assert_eq!(watch.step().await.1, "a");

    for reply in all_writes(&two.client(), &team).await {
        assert_ne!(reply.code, 403, "{}", reply.body);
    }
    assert!(
        names(&two.client().get(&team).await.ok()).is_empty(),
        "deleted as asked"
    );
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn clusters_own_controllers_stay_harmless() {
    let store = TestStore::start().await;
    let nobody = with_writers(widgets(), json!([]));
    let [one, two] = two_servers(&store, &with_writers(widgets(), policy())).await;
    one.client().post(WIDGETS, &widget("a", "red")).await.ok();
    let url = format!("{DEFINITIONS}/widgets.example.com");
    let patch = json!({"spec": {"sharing": nobody["spec"]["sharing"]}});
    one.client().patch(&url, MERGE, &patch).await.ok();
    wait_for("the policy holds", BOUND, || async {
        let denied = async |server: &TestServer| {
            server
                .client()
                .post(WIDGETS, &widget("b", "red"))
                .await
                .code
                == 403
        };
        denied(&one).await && denied(&two).await
    })
    .await;
    // A namespace controller gets what lets its namespace go, a collector what lets it try again.
    let leaving = two.client_as(NAMESPACE_CONTROLLER);
    leaving.delete(WIDGETS).await.ok();
    assert!(names(&leaving.get(WIDGETS).await.ok()).is_empty());
    let collector = two.client_as(GARBAGE_COLLECTOR);
    let message = collector
        .delete(&format!("{WIDGETS}/a"))
        .await
        .fails(403, "Forbidden");
    assert!(
        message.contains("be written through no cluster"),
        "{message}"
    );
    assert_eq!(names(&one.client().get(WIDGETS).await.ok()), ["a"]);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_clusters_own_objects_go_with_its_namespace_whatever_the_policy() {
    let store = TestStore::start().await;
    let mut own = widgets();
    own["spec"]["sharing"]["scope"] = "PerCluster".into();
    let [one, two] = two_servers(&store, &own).await;
    two.client().post(WIDGETS, &widget("a", "red")).await.ok();
    let url = format!("{DEFINITIONS}/widgets.example.com");
    let patch = json!({"spec": {"sharing": {"clusters": {"writers": [
        {"clusters": ["c1"], "namespaces": ["*"]},
    ]}}}});
    one.client().patch(&url, MERGE, &patch).await.ok();
    wait_for("the policy holds", BOUND, || async {
        two.client().post(WIDGETS, &widget("b", "red")).await.code == 403
    })
    .await;
    let leaving = two.client_as(NAMESPACE_CONTROLLER);
    leaving.delete(WIDGETS).await.ok();
    assert!(names(&leaving.get(WIDGETS).await.ok()).is_empty());
    assert!(names(&two.client().get(WIDGETS).await.ok()).is_empty());
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn objects_without_a_namespace_need_an_entry_for_all_of_them() {
    let store = TestStore::start().await;
    let one = TestServer::start(&store, "c1").await;
    let two = TestServer::start(&store, "c2").await;
    let policy = json!([{"clusters": ["c1"], "namespaces": ["*"]}]);
    let planets = with_writers(definition("planets", "Planet", "Cluster"), policy);
    one.client().declare(&planets).await;
    let url = "/apis/example.com/v1/planets";
    two.client().wait_served(url).await;
    let mut mars = widget("mars", "red");
    mars["kind"] = "Planet".into();
    refused(
        two.client().post(url, &mars).await,
        &["lets objects without a namespace be written only through c1"],
    );
    one.client().post(url, &mars).await.ok();
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_policy_that_means_nothing_is_refused() {
    let store = TestStore::start().await;
    let one = TestServer::start(&store, "c1").await;
    for (policy, wanted) in [
        (
            json!([{"clusters": [], "namespaces": ["*"]}]),
            "writers[0].clusters: Required value",
        ),
        (
            json!([{"clusters": ["C 1"], "namespaces": ["*"]}]),
            "writers[0].clusters[0]: Invalid value",
        ),
        (
            json!([{"clusters": ["c1"]}]),
            "writers[0].namespaces: Required value",
        ),
    ] {
        let reply = one
            .client()
            .post(DEFINITIONS, &with_writers(widgets(), policy))
            .await;
        let message = reply.fails(422, "Invalid");
        assert!(message.contains(wanted), "{message}");
    }
    let good = with_writers(widgets(), policy());
    let stored = one.client().post(DEFINITIONS, &good).await.ok();
    assert_eq!(stored["spec"]["sharing"]["clusters"]["writers"], policy());
    one.stop().await;
}
