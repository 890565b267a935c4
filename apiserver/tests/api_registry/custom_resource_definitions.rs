//! Definitions as `apiextensions.k8s.io/v1` shows them: the same objects, without what is about sharing.

use helium_testkit::wait_for;
use serde_json::{Value, json};

use crate::store::{BOUND, TestStore};
use crate::support::{
    ALL_WIDGETS, Client, DEFINITIONS, JSON_PATCH, MERGE, TestServer, WIDGETS, names, widget,
    widgets,
};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGET_CRD: &str =
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com";
const WIDGET_DEFINITION: &str = "/apis/helium.dev/v1/sharedresourcedefinitions/widgets.example.com";

/// What a tool that knows nothing of the fleet writes.
fn crd() -> Value {
    let mut crd = widgets();
    crd["apiVersion"] = "apiextensions.k8s.io/v1".into();
    crd["kind"] = "CustomResourceDefinition".into();
    crd
}

async fn server() -> (TestStore, TestServer, Client) {
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    (store, server, client)
}

fn established(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|list| {
        list.iter()
            .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
    })
}

#[tokio::test]
async fn a_custom_resource_definition_is_a_shared_definition_with_the_default_sharing() {
    let (_store, server, client) = server().await;
    let created = client.post(CRDS, &crd()).await.ok();
    assert_eq!(created["kind"], "CustomResourceDefinition");
    assert_eq!(created["apiVersion"], "apiextensions.k8s.io/v1");
    assert_eq!(created["spec"]["sharing"], Value::Null);
    wait_for("the definition is established", BOUND, || async {
        established(&client.get(WIDGET_CRD).await.body)
    })
    .await;
    client.wait_served(ALL_WIDGETS).await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();

    let shown = client.get(WIDGET_CRD).await.ok();
    let shared = client.get(WIDGET_DEFINITION).await.ok();
    assert_eq!(shared["kind"], "SharedResourceDefinition");
    assert_eq!(
        shown["metadata"], shared["metadata"],
        "one object, two views"
    );
    assert_eq!(shared["spec"]["sharing"]["scope"], "Fleet");
    assert_eq!(shown["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(shown["status"]["acceptedNames"]["kind"], "Widget");
    assert_eq!(names(&client.get(CRDS).await.ok()), ["widgets.example.com"]);
    client.post(CRDS, &crd()).await.fails(409, "AlreadyExists");

    let table = client
        .get_as(CRDS, "application/json;as=Table;g=meta.k8s.io;v=v1")
        .await
        .ok();
    let columns = table["columnDefinitions"].as_array().expect("columns");
    let columns: Vec<_> = columns.iter().map(|column| &column["name"]).collect();
    assert_eq!(columns, ["Name", "Created At"]);
    server.stop().await;
}

#[tokio::test]
async fn changes_of_the_plain_view_leave_the_sharing_alone() {
    let (_store, server, client) = server().await;
    let mut definition = widgets();
    definition["spec"]["sharing"] = json!({"scope": "PerCluster", "namespaceDeletion": "Block"});
    client.declare(&definition).await;
    let sharing = client.get(WIDGET_DEFINITION).await.ok()["spec"]["sharing"].clone();
    assert_eq!(sharing["namespaceDeletion"], "Block");
    let clusters = json!([{"name": "c9", "registered": true, "available": true}]);
    client
        .patch(
            &format!("{WIDGET_DEFINITION}/status"),
            MERGE,
            &json!({"status": {"clusters": clusters}}),
        )
        .await
        .ok();

    let mut shown = client.get(WIDGET_CRD).await.ok();
    assert_eq!(shown["spec"]["sharing"], Value::Null);
    assert_eq!(shown["status"]["clusters"], Value::Null);
    shown["spec"]["names"]["shortNames"] = json!(["wd"]);
    let updated = client.put(WIDGET_CRD, &shown).await.ok();
    assert_eq!(updated["spec"]["sharing"], Value::Null);
    assert_eq!(updated["spec"]["names"]["shortNames"], json!(["wd"]));
    client
        .patch(
            WIDGET_CRD,
            MERGE,
            &json!({"metadata": {"labels": {"team": "a"}}}),
        )
        .await
        .ok();
    client
        .patch(
            &format!("{WIDGET_CRD}/status"),
            JSON_PATCH,
            &json!([{"op": "add", "path": "/status/storedVersions", "value": ["v1"]}]),
        )
        .await
        .ok();
    let stored = client.get(WIDGET_DEFINITION).await.ok();
    assert_eq!(stored["spec"]["sharing"], sharing);
    assert_eq!(stored["status"]["clusters"], clusters);
    assert_eq!(stored["metadata"]["labels"]["team"], "a");
    assert_eq!(stored["spec"]["names"]["shortNames"], json!(["wd"]));

    // There is no way in for what the view doesn't have.
    let mut sneaky = client.get(WIDGET_CRD).await.ok();
    sneaky["spec"]["sharing"] = json!({"scope": "Fleet", "namespaceDeletion": "Detach"});
    let strict = format!("{WIDGET_CRD}?fieldValidation=Strict");
    let message = client.put(&strict, &sneaky).await.fails(400, "BadRequest");
    assert!(
        message.contains("unknown field \"spec.sharing\""),
        "{message}"
    );
    client.put(WIDGET_CRD, &sneaky).await.ok();
    assert_eq!(
        client.get(WIDGET_DEFINITION).await.ok()["spec"]["sharing"],
        sharing
    );
    server.stop().await;
}

#[tokio::test]
async fn both_views_tell_the_same_events_and_a_deletion_takes_the_objects_along() {
    let (_store, server, client) = server().await;
    let mut events = client.watch(&format!("{CRDS}?resourceVersion=0")).await;
    client.declare(&widgets()).await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    let event = events.next().await.expect("an event");
    assert_eq!(event["type"], "ADDED");
    assert_eq!(event["object"]["kind"], "CustomResourceDefinition");
    assert_eq!(event["object"]["spec"]["sharing"], Value::Null);

    let leaving = client.delete(WIDGET_CRD).await.ok();
    assert_eq!(leaving["kind"], "CustomResourceDefinition");
    assert_eq!(leaving["spec"]["sharing"], Value::Null);
    loop {
        let event = events.next().await.expect("an event");
        assert_eq!(event["object"]["spec"]["sharing"], Value::Null);
        if event["type"] == "DELETED" {
            break;
        }
    }
    client.get(WIDGET_CRD).await.fails(404, "NotFound");
    assert_eq!(names(&client.get(DEFINITIONS).await.ok()), [""; 0]);
    server.stop().await;
}

#[tokio::test]
async fn rules_of_definitions_hold_in_the_plain_view_too() {
    let (_store, server, client) = server().await;
    let mut taken = crd();
    taken["metadata"]["name"] = "widgets.apps".into();
    taken["spec"]["group"] = "apps".into();
    let message = client.post(CRDS, &taken).await.fails(422, "Invalid");
    assert!(
        message.starts_with("CustomResourceDefinition.apiextensions.k8s.io \"widgets.apps\"")
            && message.contains("spec.group: Forbidden"),
        "{message}"
    );
    client.declare(&widgets()).await;
    let mut owned = widget("a", "red");
    let uid = client.get(WIDGET_CRD).await.ok()["metadata"]["uid"].clone();
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "name": "widgets.example.com", "uid": uid,
    }]);
    // A cluster's own API has other objects under that name.
    let message = client.post(WIDGETS, &owned).await.fails(422, "Invalid");
    assert!(message.contains("not shared by the fleet"), "{message}");
    owned["metadata"]["ownerReferences"][0]["apiVersion"] = "helium.dev/v1".into();
    owned["metadata"]["ownerReferences"][0]["kind"] = "SharedResourceDefinition".into();
    client.post(WIDGETS, &owned).await.ok();
    server.stop().await;
}
