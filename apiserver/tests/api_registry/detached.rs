//! A cluster that is shut out of the fleet: refused everywhere, and not broken.

use std::time::Duration;

use helium_testkit::wait_for;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::members::{MEMBERS, authority, member, patch_member, two_members};
use crate::store::{BOUND, TestStore};
use crate::support::{
    Client, Events, GARBAGE_COLLECTOR, MERGE, NAMESPACE_CONTROLLER, Reply, TestServer, WIDGETS,
    names, widget, widgets,
};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
/// Within this everything that comes from a revoked cluster is refused, and what lasts has ended.
const AT_ONCE: Duration = Duration::from_secs(2);

fn revoked(reason: &str) -> Value {
    json!({"spec": {"revoked": true, "revokedReason": reason}})
}

async fn wait_detached(server: &TestServer) {
    wait_for("the cluster is shut out", AT_ONCE, || async {
        server.registry().members().detached().is_some()
    })
    .await;
}

async fn wait_attached(server: &TestServer) {
    wait_for("the cluster is let in again", BOUND, || async {
        server.registry().members().detached().is_none()
    })
    .await;
}

/// The last event of a watch that is ended.
async fn last(mut events: Events) -> Value {
    let mut last = Value::Null;
    let drained = timeout(AT_ONCE, async {
        while let Some(event) = events.next().await {
            last = event;
        }
    });
    drained.await.expect("the watch ends at once");
    last
}

#[track_caller]
fn refused(reply: Reply, why: &str) {
    let message = reply.fails(403, "Forbidden");
    assert!(message.contains(why), "{message}");
}

async fn refused_everything(client: &Client, why: &str) {
    let red = widget("b", "red");
    let patch = json!({"spec": {"color": "blue"}});
    let url = format!("{WIDGETS}/a");
    let lease = json!({"metadata": {"name": "l"}, "spec": {}});
    for reply in [
        client.get(WIDGETS).await,
        client.get(&format!("{WIDGETS}?resourceVersion=0")).await,
        client.get(&format!("{WIDGETS}?watch=true")).await,
        client.get(&url).await,
        client.get(&format!("{WIDGETS}/nobody")).await,
        client.post(WIDGETS, &red).await,
        client.put(&url, &widget("a", "blue")).await,
        client.patch(&url, MERGE, &patch).await,
        client.patch(&format!("{url}/status"), MERGE, &patch).await,
        client.get(&format!("{url}/scale")).await,
        client.delete(&url).await,
        client.delete(WIDGETS).await,
        client.get(LEASES).await,
        client.post(LEASES, &lease).await,
        client.get(MEMBERS).await,
        client.get("/apis/other.example/v1/things").await,
    ] {
        refused(reply, why);
    }
}

#[tokio::test]
async fn a_revoked_cluster_is_refused_at_once_and_its_watches_end() {
    let store = TestStore::start().await;
    let [one, two] = two_members(&store).await;
    one.client().declare(&widgets()).await;
    two.client().wait_served(WIDGETS).await;
    one.client().post(WIDGETS, &widget("a", "red")).await.ok();
    let theirs = two.client().watch(WIDGETS).await;
    let mut ours = one.client().watch(WIDGETS).await;
    ours.step().await;

    patch_member(&one.client(), "c2", &revoked("laptop stolen"))
        .await
        .ok();
    wait_detached(&two).await;
    refused_everything(&two.client(), "cluster c2 was revoked: laptop stolen").await;
    let end = last(theirs).await;
    assert_eq!(
        (&end["type"], &end["object"]["code"]),
        (&json!("ERROR"), &json!(403))
    );
    let message = end["object"]["message"].as_str().expect("a message");
    assert!(
        message.contains("cluster c2 was revoked: laptop stolen"),
        "{message}"
    );

    // The others go on, and nothing was lost for them.
    let list = one.client().get(WIDGETS).await.ok();
    assert_eq!(names(&list), ["a"]);
    one.client().post(WIDGETS, &widget("b", "red")).await.ok();
    assert_eq!(ours.step().await.1, "b");

    patch_member(
        &one.client(),
        "c2",
        &json!({"spec": {"revoked": null, "revokedReason": null}}),
    )
    .await
    .ok();
    wait_attached(&two).await;
    assert_eq!(names(&two.client().get(WIDGETS).await.ok()), ["a", "b"]);
    two.client().post(WIDGETS, &widget("c", "red")).await.ok();
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_revoked_clusters_own_namespaces_and_collector_go_on() {
    let mut store = TestStore::start().await;
    let [one, two] = two_members(&store).await;
    let mut own = widgets();
    own["spec"]["sharing"] = json!({"scope": "PerCluster"});
    own["spec"]["names"] = json!({"plural": "gears", "kind": "Gear"});
    own["metadata"]["name"] = "gears.example.com".into();
    let mut kept = widgets();
    kept["spec"]["sharing"] = json!({"namespaceDeletion": "Block"});
    for definition in [&own, &kept] {
        one.client().declare(definition).await;
    }
    let gears = WIDGETS.replace("widgets", "gears");
    two.client().wait_served(&gears).await;
    two.client().wait_served(WIDGETS).await;
    one.client().post(WIDGETS, &widget("a", "red")).await.ok();
    let mut gear = widget("g", "red");
    gear["kind"] = "Gear".into();
    two.client().post(&gears, &gear).await.ok();
    patch_member(&one.client(), "c2", &revoked("")).await.ok();
    wait_detached(&two).await;

    // With the store down too: what is known is enough.
    for round in ["with the store", "without it"] {
        let leaving = two.client_as(NAMESPACE_CONTROLLER);
        for url in [WIDGETS, &gears, LEASES] {
            leaving.delete(url).await.ok();
            let list = leaving.get(url).await.ok();
            assert!(names(&list).is_empty(), "{round}: {list}");
            leaving.delete(&format!("{url}/a")).await.ok();
        }
        let collector = two.client_as(GARBAGE_COLLECTOR);
        for reply in [
            collector.get("/apis/example.com/v1/widgets").await,
            collector
                .get("/apis/example.com/v1/widgets?watch=true")
                .await,
            collector.get(&format!("{WIDGETS}/a")).await,
            collector.delete(&format!("{WIDGETS}/a")).await,
            collector
                .patch(&format!("{WIDGETS}/a"), MERGE, &json!({}))
                .await,
        ] {
            refused(reply, "cluster c2 was revoked");
        }
        let catalog = two.registry().catalog();
        assert!(
            catalog.find("example.com", "widgets").is_some(),
            "discovery goes on"
        );
        if round == "with the store" {
            store.stop().await;
        }
    }
    store.resume().await;
    wait_for("the store is back", BOUND, || async {
        one.client().get(WIDGETS).await.code == 200
    })
    .await;
    assert_eq!(names(&one.client().get(WIDGETS).await.ok()), ["a"]);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_cluster_that_must_be_a_member_is_refused_while_it_is_none() {
    let store = TestStore::start().await;
    let one = TestServer::start(&store, "c1").await;
    let three = TestServer::start_requiring_member(&store, "c3").await;
    // In an open fleet everybody belongs.
    three.client().get(LEASES).await.ok();
    let watch = three.client().watch(LEASES).await;
    one.client()
        .post(MEMBERS, &member("c1", Some(&authority("one"))))
        .await
        .ok();
    wait_detached(&three).await;
    refused(
        three.client().get(LEASES).await,
        "cluster c3 is not a member of the fleet: it left or never joined",
    );
    assert_eq!(last(watch).await["object"]["code"], 403);
    one.client()
        .post(MEMBERS, &member("c3", Some(&authority("three"))))
        .await
        .ok();
    wait_attached(&three).await;
    three.client().get(LEASES).await.ok();
    one.stop().await;
    three.stop().await;
}

// A server that had read the definitions, and not yet the members, served a revoked cluster for that moment.
#[tokio::test]
async fn a_revoked_clusters_server_serves_nothing_while_it_starts() {
    let store = TestStore::start().await;
    let [one, two] = two_members(&store).await;
    two.stop().await;
    patch_member(&one.client(), "c2", &revoked("laptop stolen"))
        .await
        .ok();
    for _ in 0..10 {
        let two = TestServer::start_unready(&store, "c2");
        let client = two.client();
        let lease = json!({"metadata": {"name": "l"}, "spec": {}});
        let refused = async {
            loop {
                let reply = client.post(LEASES, &lease).await;
                assert!(matches!(reply.code, 403 | 503), "{}", reply.code);
                if reply.code == 403 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(BOUND, refused).await.expect("it learns who it is");
        two.stop().await;
    }
}
