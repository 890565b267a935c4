//! Declaring kinds: from the definition to its objects and back.

use helium_testkit::wait_for;
use serde_json::{Value, json};

use crate::store::{BOUND, TestStore};
use crate::support::{
    ALL_WIDGETS, Client, DEFINITIONS, FLEET, MERGE, TestServer, WIDGETS, definition, names,
    one_server, widget, widgets,
};

fn condition(object: &Value, kind: &str) -> Value {
    let list = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    list.into_iter()
        .find(|condition| condition["type"] == kind)
        .unwrap_or_default()
}

async fn wait_condition(client: &Client, name: &str, kind: &str, status: &str) -> Value {
    let url = format!("{DEFINITIONS}/{name}");
    wait_for(format!("{name} is {kind}={status}"), BOUND, || async {
        condition(&client.get(&url).await.body, kind)["status"] == status
    })
    .await;
    client.get(&url).await.ok()
}

#[tokio::test]
async fn a_definition_tells_what_became_of_it() {
    let (_store, server, client) = one_server().await;
    let stored = wait_condition(&client, "widgets.example.com", "Established", "True").await;
    assert_eq!(condition(&stored, "NamesAccepted")["reason"], "NoConflicts");
    assert_eq!(stored["status"]["acceptedNames"]["listKind"], "WidgetList");
    assert_eq!(stored["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(stored["spec"]["names"]["singular"], "widget");
    assert_eq!(
        stored["spec"]["sharing"],
        json!({"scope": "Fleet", "namespaceDeletion": "Detach", "ownerReferences": "SharedOnly"})
    );
    assert_eq!(
        stored["metadata"]["finalizers"],
        json!(["helium.dev/instance-cleanup"])
    );
    server.stop().await;
}

#[tokio::test]
async fn a_kind_declared_on_one_server_is_served_by_the_other_at_once() {
    let store = TestStore::start().await;
    let (one, two) = (
        TestServer::start(&store, "c1").await,
        TestServer::start(&store, "c2").await,
    );
    let (first, second) = (one.client(), two.client());
    first.declare(&widgets()).await;
    // Not eventually: the second server confirms its definitions before it says 404 (R3).
    assert_eq!(second.get(ALL_WIDGETS).await.code, 200);
    let mut events = second.watch(&format!("{WIDGETS}?resourceVersion=0")).await;
    let created = first.post(WIDGETS, &widget("a", "red")).await.ok();
    let event = events.next().await.unwrap();
    assert_eq!(event["object"], created);
    assert_eq!(second.get(&format!("{WIDGETS}/a")).await.ok(), created);
    let patched = second
        .patch(
            &format!("{WIDGETS}/a"),
            MERGE,
            &json!({"spec": {"size": 4}}),
        )
        .await
        .ok();
    assert_eq!(
        patched["metadata"]["annotations"]["helium.dev/origin-cluster"],
        "c2"
    );
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_changed_schema_applies_to_new_and_stored_objects() {
    let (_store, server, client) = one_server().await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    let url = format!("{DEFINITIONS}/widgets.example.com");
    let fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let operations = json!([
        {"op": "remove", "path": format!("{fields}/size")},
        {"op": "add", "path": format!("{fields}/weight"), "value": {"type": "integer", "default": 7}},
    ]);
    client
        .patch(&url, crate::support::JSON_PATCH, &operations)
        .await
        .ok();
    wait_for("the new schema applies", BOUND, || async {
        let body = client.get(&format!("{WIDGETS}/a")).await.body;
        body["spec"] == json!({"color": "red", "weight": 7})
    })
    .await;
    wait_for("lists follow", BOUND, || async {
        client.get(WIDGETS).await.body["items"][0]["spec"]["weight"] == 7
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_definition_takes_its_objects_along_and_waits_for_their_finalizers() {
    let (store, server, client) = one_server().await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    let mut held = widget("b", "red");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    client.post(WIDGETS, &held).await.ok();
    let url = format!("{DEFINITIONS}/widgets.example.com");
    let marked = client.delete(&url).await.ok();
    assert!(marked["metadata"]["deletionTimestamp"].is_string());

    wait_for("the free object is gone", BOUND, || async {
        names(&client.get(WIDGETS).await.body) == ["b"]
    })
    .await;
    wait_condition(&client, "widgets.example.com", "Terminating", "True").await;
    client
        .post(WIDGETS, &widget("c", "red"))
        .await
        .fails(403, "Forbidden");
    client
        .patch(
            &format!("{WIDGETS}/b"),
            MERGE,
            &json!({"metadata": {"finalizers": null}}),
        )
        .await
        .ok();
    wait_for("the definition is gone", BOUND, || async {
        client.get(&url).await.code == 404
    })
    .await;
    wait_for("the kind is gone", BOUND, || async {
        client.get(WIDGETS).await.code == 404
    })
    .await;
    let left: Vec<_> = store.keys().await;
    assert!(
        left.iter().all(|key| !key.contains("example.com")),
        "{left:?}"
    );

    client.declare(&widgets()).await;
    assert!(names(&client.get(WIDGETS).await.ok()).is_empty());
    server.stop().await;
}

#[tokio::test]
async fn malformed_definitions_and_foreign_groups_are_refused() {
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    let refused = async |change: &dyn Fn(&mut Value)| {
        let mut body = widgets();
        change(&mut body);
        client.post(DEFINITIONS, &body).await.fails(422, "Invalid")
    };
    let message = refused(&|d| d["metadata"]["name"] = "other.example.com".into()).await;
    assert!(message.contains("metadata.name"), "{message}");
    refused(&|d| d["spec"]["versions"][0]["storage"] = false.into()).await;
    refused(&|d| d["spec"]["scope"] = "Galaxy".into()).await;
    refused(&|d| {
        d["spec"]["versions"][0]["schema"] = json!({"openAPIV3Schema": {"properties": {"a": {}}}})
    })
    .await;
    refused(&|d| d["spec"]["sharing"] = json!({"namespaceDeletion": "Explode"})).await;
    for group in [
        "apps",
        "storage.k8s.io",
        "x.kubernetes.io",
        "helium.dev",
        "coordination.helium.dev",
    ] {
        let message = refused(&|d| {
            d["metadata"]["name"] = format!("widgets.{group}").into();
            d["spec"]["group"] = group.into();
        })
        .await;
        assert!(message.contains("spec.group"), "{message}");
    }
    let mut unknown = widgets();
    unknown["spec"]["versions"][0]["shcema"] = json!({});
    let strict = format!("{DEFINITIONS}?fieldValidation=Strict");
    client
        .post(&strict, &unknown)
        .await
        .fails(400, "BadRequest");
    assert!(names(&client.get(DEFINITIONS).await.ok()).is_empty());
    server.stop().await;
}

#[tokio::test]
async fn names_that_are_taken_are_not_served_twice() {
    let (_store, server, client) = one_server().await;
    let mut rival = definition("gadgets", "Widget", "Namespaced");
    rival["spec"]["names"]["singular"] = "gadget".into();
    client.post(DEFINITIONS, &rival).await.ok();
    let stored = wait_condition(&client, "gadgets.example.com", "NamesAccepted", "False").await;
    assert_eq!(
        condition(&stored, "NamesAccepted")["reason"],
        "KindConflict"
    );
    assert_eq!(client.get("/apis/example.com/v1/gadgets").await.code, 404);
    server.stop().await;
}

#[tokio::test]
async fn scope_and_sharing_scope_are_immutable() {
    let (_store, server, client) = one_server().await;
    let url = format!("{DEFINITIONS}/widgets.example.com");
    wait_condition(&client, "widgets.example.com", "Established", "True").await;
    let per_cluster = json!({"spec": {"sharing": {"scope": "PerCluster"}}});
    client
        .patch(&url, MERGE, &per_cluster)
        .await
        .fails(422, "Invalid");
    client
        .patch(&url, MERGE, &json!({"spec": {"scope": "Cluster"}}))
        .await
        .fails(422, "Invalid");
    server.stop().await;
}

#[tokio::test]
async fn each_cluster_has_its_own_objects_of_a_per_cluster_kind() {
    let store = TestStore::start().await;
    let (one, two) = (
        TestServer::start(&store, "c1").await,
        TestServer::start(&store, "c2").await,
    );
    let (first, second) = (one.client(), two.client());
    let mut own = widgets();
    own["spec"]["sharing"] = json!({"scope": "PerCluster"});
    first.declare(&own).await;
    second.wait_served(ALL_WIDGETS).await;
    first.post(WIDGETS, &widget("a", "red")).await.ok();
    second.post(WIDGETS, &widget("a", "blue")).await.ok();
    assert_eq!(
        first.get(&format!("{WIDGETS}/a")).await.ok()["spec"]["color"],
        "red"
    );
    assert_eq!(
        second.get(&format!("{WIDGETS}/a")).await.ok()["spec"]["color"],
        "blue"
    );
    let keys = store.keys().await;
    assert!(
        keys.contains(&"/registry/example.com/widgets/c2/default/a".to_owned()),
        "{keys:?}"
    );
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn versions_are_views_of_one_object() {
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    let mut body = widgets();
    let mut old = body["spec"]["versions"][0].clone();
    old["name"] = "v1beta1".into();
    old["storage"] = false.into();
    old["deprecated"] = true.into();
    body["spec"]["versions"].as_array_mut().unwrap().push(old);
    client.declare(&body).await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();

    let beta_url = WIDGETS.replace("/v1/", "/v1beta1/");
    let beta = client.get(&format!("{beta_url}/a")).await;
    assert_eq!(beta.warnings, ["example.com/v1beta1 Widget is deprecated"]);
    let mut beta = beta.ok();
    assert_eq!(beta["apiVersion"], "example.com/v1beta1");
    beta["spec"]["color"] = "blue".into();
    client.put(&format!("{beta_url}/a"), &beta).await.ok();
    let stable = client.get(&format!("{WIDGETS}/a")).await.ok();
    assert_eq!(
        (&stable["apiVersion"], &stable["spec"]["color"]),
        (&json!("example.com/v1"), &json!("blue"))
    );
    let list = client.get(&beta_url).await.ok();
    assert_eq!(list["items"][0]["apiVersion"], "example.com/v1beta1");
    server.stop().await;
}

#[tokio::test]
async fn the_control_plane_is_there_and_stays() {
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let other = TestServer::start(&store, "c2").await;
    let client = server.client();
    let fleet = client.get(FLEET).await.ok();
    assert_eq!(fleet["kind"], "ControlPlane");
    assert_eq!(other.client().get(FLEET).await.ok(), fleet, "made once");
    client.delete(FLEET).await.fails(405, "MethodNotAllowed");
    client
        .put(FLEET, &fleet)
        .await
        .fails(405, "MethodNotAllowed");
    let all = client.get("/apis/helium.dev/v1/controlplanes").await.ok();
    assert_eq!(names(&all), ["fleet"]);
    other.stop().await;
    server.stop().await;
}
