//! Events in their two views: one object, which goes by itself.

use std::time::Duration;

use bytes::Bytes;
use helium_apiserver::config::Rules;
use helium_testkit::wait_for;
use http::Method;
use serde_json::{Value, json};

use crate::store::{BOUND, TestStore};
use crate::support::{Client, MERGE, TestServer, names, revision};

const CORE: &str = "/api/v1/namespaces/team/events";
const NEWER: &str = "/apis/events.k8s.io/v1/namespaces/team/events";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// As client-go's older recorder writes it.
fn older(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": name, "namespace": "team", "creationTimestamp": null},
        "involvedObject": {"kind": "Widget", "namespace": "team", "name": "w", "uid": "u", "apiVersion": "example.com/v1"},
        "reason": "Placed", "message": "where it is", "source": {"component": "placer"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1, "type": "Normal", "eventTime": null,
        "reportingComponent": "placer", "reportingInstance": "",
    })
}

/// As client-go's newer recorder writes it.
fn newer(name: &str) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": name, "namespace": "team", "creationTimestamp": null},
        "eventTime": "2026-01-01T00:00:00.000001Z",
        "reportingController": "placer", "reportingInstance": "placer-0",
        "action": "Placing", "reason": "Placed", "type": "Normal", "note": "where it is",
        "regarding": {"kind": "Gadget", "namespace": "team", "name": "g"},
        "deprecatedSource": {}, "deprecatedFirstTimestamp": null, "deprecatedLastTimestamp": null,
    })
}

async fn server() -> (TestStore, TestServer, Client) {
    let store = TestStore::start().await;
    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    (store, server, client)
}

#[tokio::test]
async fn an_event_of_either_view_is_seen_in_the_other() {
    let (_store, server, client) = server().await;
    let mut events = client.watch(&format!("{NEWER}?resourceVersion=0")).await;
    let old = client.post(CORE, &older("a")).await.ok();
    assert_eq!(old["message"], "where it is");
    assert_eq!(
        old["metadata"]["annotations"]["helium.dev/origin-cluster"],
        "c1"
    );
    let new = client.get(&format!("{NEWER}/a")).await.ok();
    assert_eq!(new["apiVersion"], "events.k8s.io/v1");
    assert_eq!(new["metadata"], old["metadata"], "one object");
    assert_eq!(new["note"], "where it is");
    assert_eq!(new["regarding"], old["involvedObject"]);
    assert_eq!(new["deprecatedSource"], json!({"component": "placer"}));
    assert_eq!(new["deprecatedCount"], 1);
    assert_eq!(new["message"], Value::Null);
    let event = events.next().await.expect("an event");
    assert_eq!(event["object"], new);

    let new = client.post(NEWER, &newer("b")).await.ok();
    let old = client.get(&format!("{CORE}/b")).await.ok();
    assert_eq!(old["message"], "where it is");
    assert_eq!(old["reportingComponent"], "placer");
    assert_eq!(old["involvedObject"], new["regarding"]);
    assert_eq!(old["metadata"], new["metadata"]);
    assert_eq!(names(&client.get("/api/v1/events").await.ok()), ["a", "b"]);

    client.delete(&format!("{CORE}/b")).await.ok();
    client
        .get(&format!("{NEWER}/b"))
        .await
        .fails(404, "NotFound");
    server.stop().await;
}

#[tokio::test]
async fn a_series_is_counted_up_by_strategic_patches_in_both_views() {
    let (_store, server, client) = server().await;
    client.post(CORE, &older("a")).await.ok();
    let patch = json!({"count": 2, "lastTimestamp": "2026-01-01T00:00:09Z"});
    let patched = client
        .patch(&format!("{CORE}/a"), STRATEGIC, &patch)
        .await
        .ok();
    assert_eq!(patched["count"], 2);
    let created = client.post(NEWER, &newer("b")).await.ok();
    let series = json!({"count": 2, "lastObservedTime": "2026-01-01T00:00:09.000001Z"});
    let patched = client
        .patch(&format!("{NEWER}/b"), STRATEGIC, &json!({"series": series}))
        .await
        .ok();
    assert_eq!(patched["series"], series);
    assert_eq!(patched["note"], "where it is", "the rest stays");
    assert!(revision(&patched) > revision(&created));
    assert_eq!(
        client.get(&format!("{CORE}/b")).await.ok()["series"],
        series
    );

    // Events may be replaced whatever their version, as in Kubernetes.
    let mut again = older("a");
    again["message"] = "elsewhere".into();
    let replaced = client.put(&format!("{CORE}/a"), &again).await.ok();
    assert_eq!(replaced["message"], "elsewhere");
    let stale = client.get(&format!("{CORE}/a")).await.ok();
    client
        .patch(&format!("{CORE}/a"), MERGE, &json!({"count": 9}))
        .await
        .ok();
    client
        .put(&format!("{CORE}/a"), &stale)
        .await
        .fails(409, "Conflict");
    server.stop().await;
}

#[tokio::test]
async fn events_are_found_by_what_they_are_about() {
    let (_store, server, client) = server().await;
    client.post(CORE, &older("a")).await.ok();
    client.post(NEWER, &newer("b")).await.ok();
    // As kubectl describe and kubectl get events --for ask.
    let describe = "involvedObject.name=w,involvedObject.namespace=team,involvedObject.kind=Widget,involvedObject.uid=u";
    let list = client
        .get(&format!("{CORE}?fieldSelector={describe}"))
        .await
        .ok();
    assert_eq!(names(&list), ["a"]);
    let list = client
        .get(&format!("{NEWER}?fieldSelector=regarding.kind=Gadget"))
        .await
        .ok();
    assert_eq!(names(&list), ["b"]);
    let list = client
        .get(&format!("{CORE}?fieldSelector=type!=Warning,reason=Placed"))
        .await
        .ok();
    assert_eq!(names(&list), ["a", "b"]);
    client
        .get(&format!("{CORE}?fieldSelector=spec.x=1"))
        .await
        .fails(400, "BadRequest");

    let table = client
        .get_as(CORE, "application/json;as=Table;g=meta.k8s.io;v=v1")
        .await
        .ok();
    let columns = table["columnDefinitions"].as_array().expect("columns");
    let at = |name: &str| {
        let found = columns.iter().position(|column| column["name"] == name);
        found.unwrap_or_else(|| panic!("no column {name}"))
    };
    let [a, b] = [0, 1].map(|row| &table["rows"][row]["cells"]);
    assert_eq!(
        (&a[at("Object")], &b[at("Kind")]),
        (&json!("w"), &json!("Gadget"))
    );
    assert_eq!(
        (&a[at("Source")], &b[at("Source")]),
        (&json!("placer"), &json!("placer"))
    );
    for row in [a, b] {
        assert!(row[at("Last Seen")].is_string(), "{row}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_event_that_makes_no_sense_is_refused_with_its_fields() {
    let (_store, server, client) = server().await;
    let mut wrong = older("a");
    wrong["involvedObject"]["namespace"] = "other".into();
    let message = client.post(CORE, &wrong).await.fails(422, "Invalid");
    assert!(
        message.contains("involvedObject.namespace: Invalid value: \"other\""),
        "{message}"
    );
    let mut wrong = newer("a");
    wrong["action"] = "".into();
    wrong["eventTime"] = Value::Null;
    let message = client.post(NEWER, &wrong).await.fails(422, "Invalid");
    assert!(message.contains("eventTime: Required value"), "{message}");
    server.stop().await;
}

/// A protobuf field that holds bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short");
    assert!(length < 128, "one byte tells the length");
    [&[number << 3 | 2, length], content].concat()
}

#[tokio::test]
async fn typed_clients_send_events_in_protobuf() {
    let (_store, server, client) = server().await;
    let metadata = [field(1, b"a"), field(3, b"team")].concat();
    let about = [field(1, b"Widget"), field(2, b"team"), field(3, b"w")].concat();
    let raw = [field(1, &metadata), field(2, &about), field(4, b"text")].concat();
    let types = [field(1, b"v1"), field(2, b"Event")].concat();
    let body = [&b"k8s\0"[..], &field(1, &types), &field(2, &raw)].concat();
    let headers = [
        ("content-type", "application/vnd.kubernetes.protobuf"),
        (
            "accept",
            "application/vnd.kubernetes.protobuf,application/json",
        ),
    ];
    let (response, _) = client
        .send(Method::POST, CORE, &headers, Bytes::from(body))
        .await;
    assert_eq!(response.status().as_u16(), 201);
    assert_eq!(
        client.get(&format!("{CORE}/a")).await.ok()["message"],
        "text"
    );
    server.stop().await;
}

#[tokio::test]
async fn events_go_by_themselves_and_a_change_prolongs_their_life() {
    let store = TestStore::start().await;
    let rules = Rules {
        event_ttl: Duration::from_secs(3),
        ..Rules::default()
    };
    let server = TestServer::start_with(&store, "c1", rules);
    let client = server.client();
    client.wait_served("/api/v1/events").await;
    let mut events = client.watch(&format!("{CORE}?resourceVersion=0")).await;
    client.post(CORE, &older("short")).await.ok();
    client.post(NEWER, &newer("long")).await.ok();
    for _ in 0..2 {
        assert_eq!(events.next().await.expect("an event")["type"], "ADDED");
    }
    let long = format!("{CORE}/long");
    // As long as it is changed it stays, while the other goes.
    let mut count = 0;
    let gone = loop {
        count += 1;
        client
            .patch(&long, MERGE, &json!({"count": count}))
            .await
            .ok();
        let event = events.next().await.expect("an event");
        match event["type"].as_str() {
            Some("MODIFIED") => {}
            _ => break event,
        }
    };
    assert_eq!(gone["type"], "DELETED");
    assert_eq!(gone["object"]["metadata"]["name"], "short");
    client
        .get(&format!("{CORE}/short"))
        .await
        .fails(404, "NotFound");
    client.get(&long).await.ok();
    wait_for("the other goes too", BOUND, || async {
        client.get(&long).await.code == 404
    })
    .await;
    server.stop().await;
}
