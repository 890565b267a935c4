use k8s_openapi::api::rbac::v1::ClusterRole;
use serde_json::{Value, json};

use super::*;
use crate::registrar::plan::Seen;
use crate::scripted::{Scripted, refusal};

fn role(resource_version: Option<&str>) -> ClusterRole {
    let mut role = ClusterRole::default();
    role.metadata.name = Some("helium:a:view".to_owned());
    role.metadata.resource_version = resource_version.map(ToOwned::to_owned);
    role
}

fn stored() -> (u16, Value) {
    (200, serde_json::to_value(role(Some("7"))).unwrap())
}

async fn write(server: &Scripted, change: Change<ClusterRole>) -> (Outcome, Metrics) {
    let metrics = Metrics::default();
    let writer = Writer::new(server.client(), metrics.clone());
    let plan = Plan {
        cluster_roles: vec![change],
        ..Plan::default()
    };
    (writer.write(plan).await, metrics)
}

fn deletion() -> Change<ClusterRole> {
    Change::Delete(Seen {
        name: "helium:a:view".to_owned(),
        uid: Some("u".to_owned()),
        resource_version: Some("7".to_owned()),
    })
}

#[tokio::test]
async fn making_never_overwrites() {
    let server = Scripted::new([stored()]);
    let (outcome, _) = write(&server, Change::Create(role(None))).await;
    assert!(outcome.clean());
    let [asked] = &server.asked()[..] else {
        panic!("{:?}", server.asked());
    };
    // A patch would, if somebody else had made one meanwhile.
    assert_eq!(asked.method, "POST");
    assert!(asked.query.contains("fieldManager=helium-registrar"));
}

#[tokio::test]
async fn changing_names_the_object_that_was_seen() {
    let server = Scripted::new([stored()]);
    let (outcome, _) = write(&server, Change::Apply(role(Some("7")))).await;
    assert!(outcome.clean());
    let asked = &server.asked()[0];
    assert_eq!(asked.method, "PATCH");
    assert!(asked.query.contains("force=true"), "{}", asked.query);
    assert_eq!(asked.body["metadata"]["resourceVersion"], "7");
}

#[tokio::test]
async fn removing_names_the_object_that_was_seen() {
    let server = Scripted::new([stored()]);
    let (outcome, _) = write(&server, deletion()).await;
    assert!(outcome.clean());
    let asked = &server.asked()[0];
    assert_eq!(asked.method, "DELETE");
    let wanted = json!({"uid": "u", "resourceVersion": "7"});
    assert_eq!(asked.body["preconditions"], wanted);
}

#[tokio::test]
async fn a_lost_race_is_no_failure() {
    for (change, code, reason) in [
        (Change::Create(role(None)), 409, "AlreadyExists"),
        (Change::Apply(role(Some("7"))), 409, "Conflict"),
        (deletion(), 409, "Conflict"),
        (deletion(), 404, "NotFound"),
    ] {
        let server = Scripted::new([refusal(code, reason)]);
        let (outcome, _) = write(&server, change).await;
        assert!(outcome.clean(), "{reason}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_the_object_that_it_is_about() {
    let server = Scripted::new([refusal(403, "Forbidden")]);
    let (outcome, _) = write(&server, Change::Create(role(None))).await;
    assert!(outcome.failures["helium:a:view"].contains("Forbidden"));
}
