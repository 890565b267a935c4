//! What is written is there.

use std::time::Duration;

use helium_controllers::failover::clock;
use helium_controllers::failover::payload::{ApplyOutcome, Condition, FailureReason};
use helium_failover::kind::Mode;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{SETTINGS, WEB};
use crate::cluster::START;
use crate::world::{World, names, never, term};

pub(crate) async fn a_payload_is_applied_edited_and_pruned(world: &World) {
    let member = world.member("edits").await;
    let applied = member.applied(WEB, 7).await;
    assert_eq!(applied.created, 3);
    let wanted = [
        "ConfigMap edits/settings",
        "Deployment edits/web",
        "Service edits/web",
    ];
    assert_eq!(names(&applied), wanted.map(str::to_owned).into());
    let settings = world.config_map("edits", "settings").await;
    let metadata = &settings["metadata"];
    assert_eq!(
        metadata["labels"],
        json!({"app": "web", "helium.dev/failover-group": "edits.web"})
    );
    assert_eq!(metadata["annotations"]["helium.dev/failover-owner"], "7e2");
    assert_eq!(metadata["annotations"]["helium.dev/failover-token"], "7");
    let managers: Vec<_> = metadata["managedFields"]
        .as_array()
        .expect("managers")
        .iter()
        .map(|entry| (entry["manager"].clone(), entry["operation"].clone()))
        .collect();
    assert_eq!(managers, [(json!("helium-failover"), json!("Apply"))]);

    // P1: all of it is written down.
    let record = world.footprint(&member).await;
    assert_eq!(
        (record["phase"].as_str(), record["token"].as_i64()),
        (Some("Running"), Some(7))
    );
    let uids: Vec<&Value> = record["inventory"]
        .as_array()
        .expect("objects")
        .iter()
        .map(|one| &one["uid"])
        .collect();
    assert!(
        uids.len() == 3 && uids.contains(&&metadata["uid"]),
        "{record}"
    );

    // An edit is applied in place; what somebody else has set stays; what the payload dropped goes.
    let config_maps = world.api(Some("edits"), "v1", "ConfigMap");
    let theirs = json!({"metadata": {"annotations": {"theirs": "1"}}, "data": {"colour": "blue", "more": "x"}});
    config_maps
        .patch("settings", &PatchParams::default(), &Patch::Merge(&theirs))
        .await
        .expect("patched");
    let edited = WEB.replace("colour: red", "size: big").replace(
        "name: web}\nspec: {selector",
        "name: other}\nspec: {selector",
    );
    let applied = member.applied(&edited, 7).await;
    assert_eq!(applied.created, 1);
    let pruned: Vec<String> = applied
        .pruned
        .iter()
        .map(|place| place.object().to_string())
        .collect();
    assert_eq!(pruned, ["Service edits/web"]);
    let now = world.config_map("edits", "settings").await;
    assert_eq!(now["metadata"]["uid"], metadata["uid"]);
    assert_eq!(now["metadata"]["annotations"]["theirs"], "1");
    assert_eq!(
        now["data"],
        json!({"size": "big", "more": "x", "colour": "blue"})
    );
    let services = world.api(Some("edits"), "v1", "Service");
    assert!(world.get(&services, "web").await.is_null());
    assert!(!world.get(&services, "other").await.is_null());

    // The same again changes nothing.
    let before = world.get(&services, "other").await;
    member.applied(&edited, 7).await;
    assert_eq!(world.get(&services, "other").await, before);

    member.gone(7).await;
    assert!(world.config_map("edits", "settings").await.is_null());
    assert_eq!(world.footprint(&member).await["phase"], "Stopping");
    // A term that is over isn't begun again.
    assert_eq!(
        member.apply(WEB, &term(7, Mode::Fast)).await,
        ended("the term of token 7 is over")
    );
    let forgotten = member
        .site
        .forget(&member.group, helium_failover::Token(7))
        .await;
    assert_eq!(
        forgotten,
        helium_controllers::failover::payload::ForgetOutcome::Forgotten
    );
    assert!(world.footprint(&member).await.is_null());
}

fn ended(message: &str) -> ApplyOutcome {
    ApplyOutcome::Failed(helium_controllers::failover::payload::Failure {
        reason: FailureReason::Ended,
        message: message.to_owned(),
    })
}

pub(crate) async fn pods_are_handed_the_token(world: &World) {
    let member = world.member("tokens").await;
    member.applied(WEB, 41).await;
    // As the pod has it that the cluster's own controllers have made.
    let pods = world.api(Some("tokens"), "v1", "Pod");
    let found = std::sync::Mutex::new(Value::Null);
    helium_testkit::wait_for("the Deployment has a pod", START, || async {
        let list = pods.list(&Default::default()).await.expect("pods");
        let first = list.items.into_iter().next();
        let value = serde_json::to_value(&first).expect("JSON");
        *found.lock().expect("not poisoned") = value;
        first.is_some()
    })
    .await;
    let pod = found.into_inner().expect("not poisoned");
    assert_eq!(
        pod["metadata"]["labels"]["helium.dev/failover-group"],
        "tokens.web"
    );
    assert_eq!(
        pod["metadata"]["annotations"]["helium.dev/failover-token"],
        "41"
    );
    let ours = json!([
        {"name": "HELIUM_FENCING_TOKEN", "value": "41"},
        {"name": "HELIUM_FENCE", "value": "tokens/failover-web=41"},
        {"name": "HELIUM_CLUSTER", "value": "east"}]);
    assert_eq!(pod["spec"]["initContainers"][0]["env"], ours);
    let mut all = ours;
    all.as_array_mut()
        .expect("a list")
        .push(json!({"name": "MINE", "value": "$(HELIUM_FENCING_TOKEN)"}));
    assert_eq!(pod["spec"]["containers"][0]["env"], all);
    member.gone(41).await;
}

pub(crate) async fn a_kind_and_an_object_of_it_come_together(world: &World) {
    let member = world.member("kinds").await;
    let payload = DATABASE.replace("GROUP", "kinds.example.com");
    let applied = member.applied(&payload, 1).await;
    assert_eq!(applied.created, 2);
    let databases = world.api(Some("kinds"), "kinds.example.com/v1", "Database");
    assert_eq!(world.get(&databases, "orders").await["spec"]["size"], 3);
    // Once more, now that the kind is served.
    member
        .applied(&payload.replace("size: 3", "size: 4"), 1)
        .await;
    assert_eq!(world.get(&databases, "orders").await["spec"]["size"], 4);
    member.gone(1).await;
    let definitions = world.api(None, "apiextensions.k8s.io/v1", "CustomResourceDefinition");
    assert!(
        world
            .get(&definitions, "databases.kinds.example.com")
            .await
            .is_null()
    );
}

pub(crate) async fn nothing_is_sent_after_the_end(world: &World) {
    let member = world.member("until").await;
    let payload = member.parse(SETTINGS);
    let term = term(1, Mode::Fast);
    let over = clock::now();
    let outcome = member
        .site
        .apply(
            &member.group,
            &member.owner,
            &payload,
            &term,
            over,
            &never(),
        )
        .await;
    let ApplyOutcome::Failed(failure) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(failure.reason, FailureReason::TimeOver);
    let cancelled = never();
    cancelled.cancel();
    let until = clock::now() + Duration::from_secs(60);
    let outcome = member
        .site
        .apply(
            &member.group,
            &member.owner,
            &payload,
            &term,
            until,
            &cancelled,
        )
        .await;
    let ApplyOutcome::Failed(failure) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(failure.reason, FailureReason::Ended);
    assert_eq!(member.relay.writes(), 0);
    // Nothing was begun, so there is nothing to stop (F4).
    member.gone(1).await;
}

pub(crate) async fn a_payload_says_how_far_it_is(world: &World) {
    let member = world.member("ready").await;
    assert!(
        member
            .site
            .readiness(&member.group)
            .await
            .expect("an answer")
            .is_none()
    );
    member
        .applied(&WEB.replace("replicas: 1", "replicas: 0"), 1)
        .await;
    helium_testkit::wait_for("a Deployment without pods is ready", START, || async {
        let readiness = member
            .site
            .readiness(&member.group)
            .await
            .expect("an answer");
        readiness.is_some_and(|found| found.is_ready())
    })
    .await;
    member.applied(WEB, 1).await;
    let readiness = member
        .site
        .readiness(&member.group)
        .await
        .expect("an answer")
        .expect("objects");
    let worst = readiness.worst().expect("not ready");
    assert_eq!(worst.condition, Condition::Progressing);
    assert_eq!(worst.object.to_string(), "Deployment ready/web");
    world
        .cluster
        .delete(&world.api(Some("ready"), "v1", "Service"), "web")
        .await;
    let readiness = member
        .site
        .readiness(&member.group)
        .await
        .expect("an answer")
        .expect("objects");
    assert_eq!(
        readiness.worst().map(|worst| worst.condition),
        Some(Condition::Missing)
    );
    member.gone(1).await;
}

/// A kind, and an object of it.
pub(crate) const DATABASE: &str = "
apiVersion: GROUP/v1
kind: Database
metadata: {name: orders}
spec: {size: 3}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: Database, plural: databases, singular: database}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
";
