//! What is said to be gone is gone (P4).

use std::time::Duration;

use helium_controllers::failover::payload::{
    ApplyOutcome, FailureReason, StopOutcome, SweepOutcome,
};
use helium_failover::Token;
use helium_failover::kind::Mode;
use helium_testkit::wait_for;
use http::Method;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::applying::DATABASE;
use super::{SETTINGS, WEB};
use crate::cluster::START;
use crate::world::{World, never, term};

/// Binds the pods of a namespace to a node: from then on only a kubelet ends them.
async fn bound(world: &World, namespace: &str) -> String {
    let pods = world.api(Some(namespace), "v1", "Pod");
    let name = std::sync::Mutex::new(String::new());
    wait_for("the Deployment has a pod", START, || async {
        let list = pods.list(&Default::default()).await.expect("pods");
        let first = list.items.first().map(ResourceExt::name_any);
        *name.lock().expect("not poisoned") = first.clone().unwrap_or_default();
        first.is_some()
    })
    .await;
    let name = name.into_inner().expect("not poisoned");
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "node-1"}});
    let request = http::Request::post(format!(
        "/api/v1/namespaces/{namespace}/pods/{name}/binding"
    ))
    .header("content-type", "application/json")
    .body(binding.to_string().into_bytes());
    let answer: Value = world
        .cluster
        .admin
        .request(request.expect("a request"))
        .await
        .expect("bound");
    assert_eq!(answer["status"], "Success");
    name
}

pub(crate) async fn strict_waits_for_pods_and_fast_does_not(world: &World) {
    for (namespace, mode) in [("pods-fast", Mode::Fast), ("pods-strict", Mode::Strict)] {
        world.namespace(namespace).await;
        let member = world.member_with(namespace, "web", "7e2", |options| {
            options.patience = Duration::from_secs(3);
        });
        let outcome = member.apply(WEB, &term(1, mode)).await;
        assert!(matches!(outcome, ApplyOutcome::Applied(_)), "{outcome:?}");
        let pod = bound(world, namespace).await;
        let live = never();
        let stop = || member.site.stop(&member.group, Token(1), mode, &live);
        let pods = world.api(Some(namespace), "v1", "Pod");
        let kubelet = async {
            let now = DeleteParams {
                grace_period_seconds: Some(0),
                ..DeleteParams::default()
            };
            pods.delete(&pod, &now).await.expect("ended");
        };
        match mode {
            Mode::Fast => {
                assert_eq!(stop().await, StopOutcome::Gone { kept: Vec::new() });
                assert!(!world.get(&pods, &pod).await.is_null(), "its pod is ending");
                kubelet.await;
            }
            Mode::Strict => {
                // With the pod still there it says what it waits for, and doesn't say that it is gone.
                let StopOutcome::Failed(failure) = stop().await else {
                    panic!("the pod is there")
                };
                assert_eq!(failure.reason, FailureReason::Remaining);
                assert!(
                    failure.message.contains(&format!("Pod {namespace}/{pod}")),
                    "{failure}"
                );
                let (outcome, ()) = tokio::join!(
                    async {
                        loop {
                            match stop().await {
                                StopOutcome::Failed(_) => {}
                                outcome => return outcome,
                            }
                        }
                    },
                    kubelet
                );
                assert_eq!(outcome, StopOutcome::Gone { kept: Vec::new() });
                let left = pods.list(&Default::default()).await.expect("pods");
                assert!(left.items.is_empty());
            }
        }
    }
}

pub(crate) async fn pods_of_what_was_dropped_are_waited_for(world: &World) {
    world.namespace("dropped").await;
    let member = world.member_with("dropped", "web", "7e2", |options| {
        options.patience = Duration::from_secs(2);
    });
    let strict = term(1, Mode::Strict);
    let outcome = member.apply(WEB, &strict).await;
    assert!(matches!(outcome, ApplyOutcome::Applied(_)), "{outcome:?}");
    let pod = bound(world, "dropped").await;
    let ApplyOutcome::Applied(applied) = member.apply(SETTINGS, &strict).await else {
        panic!("not applied")
    };
    assert_eq!(applied.pruned.len(), 2);
    let live = never();
    let stop = || {
        member
            .site
            .stop(&member.group, Token(1), Mode::Strict, &live)
    };
    let StopOutcome::Failed(failure) = stop().await else {
        panic!("the pod is there")
    };
    assert!(
        failure.message.contains(&format!("Pod dropped/{pod}")),
        "{failure}"
    );
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    let pods = world.api(Some("dropped"), "v1", "Pod");
    pods.delete(&pod, &now).await.expect("ended");
    assert_eq!(stop().await, StopOutcome::Gone { kept: Vec::new() });
}

pub(crate) async fn a_pod_without_controller_ends_in_its_own_time_in_fast_mode(world: &World) {
    let member = world.member("pod").await;
    let payload = "
apiVersion: v1
kind: Pod
metadata: {name: alone}
spec: {nodeName: node-1, containers: [{name: c, image: busybox}]}
";
    member.applied(payload, 1).await;
    member.gone(1).await;
    let pods = world.api(Some("pod"), "v1", "Pod");
    let left = world.get(&pods, "alone").await;
    assert!(
        left["metadata"]["deletionTimestamp"].is_string(),
        "it is ending: {left}"
    );
    // The next term waits for its name.
    let failure = member.failed_in(payload, 2).await;
    assert!(
        failure.is_retryable() && failure.message.contains("still being deleted"),
        "{failure}"
    );
    let now = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    pods.delete("alone", &now).await.expect("ended");
    member.applied(payload, 2).await;
    pods.delete("alone", &now).await.expect("ended");
    member.gone(2).await;
}

pub(crate) async fn a_write_in_flight_is_waited_for(world: &World) {
    let member = world.member("flight").await;
    let hold = member.relay.hold(Method::PATCH, "/flight/configmaps/");
    let stopping = async {
        member
            .relay
            .sees("PATCH /api/v1/namespaces/flight/configmaps/settings")
            .await;
        let mut stop = Box::pin(member.stop(1));
        let early = tokio::time::timeout(Duration::from_millis(500), &mut stop).await;
        assert!(
            early.is_err(),
            "said to be gone with a write in flight: {early:?}"
        );
        hold.release();
        stop.await
    };
    let fast = term(1, Mode::Fast);
    let (applied, stopped) = tokio::join!(member.apply(SETTINGS, &fast), stopping);
    let ApplyOutcome::Failed(failure) = applied else {
        panic!("not ended: {applied:?}")
    };
    assert_eq!(failure.reason, FailureReason::Ended);
    assert_eq!(stopped, StopOutcome::Gone { kept: Vec::new() });
    assert!(world.config_map("flight", "settings").await.is_null());

    // Whoever drops the application in the middle leaves its write behind: it is waited for all the same.
    let member = world.member_with("flight", "other", "7e2", |options| {
        options.request_timeout = Duration::from_secs(3);
    });
    let hold = member.relay.hold(Method::PATCH, "/flight/configmaps/");
    let term = term(1, Mode::Fast);
    let mut apply = Box::pin(member.apply(SETTINGS, &term));
    tokio::select! {
        outcome = &mut apply => panic!("{outcome:?}"),
        () = member.relay.sees("PATCH /api/v1/namespaces/flight/configmaps/settings") => {}
    }
    drop(apply);
    let stopping = async {
        let mut stop = Box::pin(member.stop(1));
        let early = tokio::time::timeout(Duration::from_millis(500), &mut stop).await;
        assert!(
            early.is_err(),
            "said to be gone with a write in flight: {early:?}"
        );
        hold.release();
        stop.await
    };
    assert_eq!(stopping.await, StopOutcome::Gone { kept: Vec::new() });
    assert!(world.config_map("flight", "settings").await.is_null());
}

pub(crate) async fn a_write_that_lands_late_is_swept(world: &World) {
    world.namespace("late").await;
    let member = world.member_with("late", "web", "7e2", |options| {
        options.request_timeout = Duration::from_millis(700);
    });
    let payload = member.parse(SETTINGS);
    let hold = member.relay.hold(Method::PATCH, "/late/configmaps/");
    let outcome = {
        let stopping = async {
            member
                .relay
                .sees("PATCH /api/v1/namespaces/late/configmaps/settings")
                .await;
            member.stop(1).await
        };
        let fast = term(1, Mode::Fast);
        let (_, stopped) = tokio::join!(member.apply(SETTINGS, &fast), stopping);
        stopped
    };
    // Nothing that a server could still be at is left: it was told the bound. What a network keeps for longer, nobody can know.
    assert_eq!(outcome, StopOutcome::Gone { kept: Vec::new() });
    // While the footprint is there its objects aren't swept: they are the stop's.
    assert_eq!(
        member
            .site
            .sweep(&member.group, &member.owner, &payload)
            .await,
        SweepOutcome::InUse
    );
    member.site.forget(&member.group, Token(1)).await;
    hold.release();
    world.sees_config_map("late", "settings").await;
    let SweepOutcome::Swept(swept) = member
        .site
        .sweep(&member.group, &member.owner, &payload)
        .await
    else {
        panic!("not swept")
    };
    assert_eq!(
        swept.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["ConfigMap late/settings"]
    );
    assert!(world.config_map("late", "settings").await.is_null());
    // What is another's stays.
    let other = world.member_with("late", "mail", "8f3", |_| {});
    other.applied(SETTINGS, 1).await;
    let swept = member
        .site
        .sweep(&member.group, &member.owner, &payload)
        .await;
    assert_eq!(swept, SweepOutcome::Swept(Vec::new()));
    other.gone(1).await;

    // A late one that the next payload doesn't have goes with it.
    world.cluster.apply(&LATE.replace("NAME", "stray")).await;
    let applied = member.applied(SETTINGS, 9).await;
    assert_eq!(
        applied
            .pruned
            .iter()
            .map(|place| place.name.as_str())
            .collect::<Vec<_>>(),
        ["stray"]
    );
    assert!(world.config_map("late", "stray").await.is_null());
    member.gone(9).await;
}

const LATE: &str = "
apiVersion: v1
kind: ConfigMap
metadata:
  name: NAME
  namespace: late
  labels: {helium.dev/failover-group: late.web}
  annotations: {helium.dev/failover-owner: '7e2'}
";

pub(crate) async fn what_lost_its_marks_is_stopped_all_the_same(world: &World) {
    let member = world.member("marks").await;
    member.applied(WEB, 1).await;
    let unmarked = json!({"metadata": {"labels": {"helium.dev/failover-group": null}, "annotations": {"helium.dev/failover-owner": null}}});
    let config_maps = world.api(Some("marks"), "v1", "ConfigMap");
    config_maps
        .patch(
            "settings",
            &PatchParams::default(),
            &Patch::Merge(&unmarked),
        )
        .await
        .expect("unmarked");
    // The footprint is removed by hand, too.
    let footprints = world.api(Some("helium-system"), "v1", "ConfigMap");
    world
        .cluster
        .delete(&footprints, "failover-marks.web")
        .await;
    member.gone(1).await;
    assert!(world.config_map("marks", "settings").await.is_null());
    assert_eq!(world.footprint(&member).await["phase"], "Stopping");
}

pub(crate) async fn others_keep_what_holds_their_objects(world: &World) {
    let member = world.member("holders").await;
    let payload = format!(
        "{}\n---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: holders-empty}}}}\n---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: holders-full}}}}\n---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: ours, namespace: holders-full}}}}",
        DATABASE.replace("GROUP", "holders.example.com")
    );
    member.applied(&payload, 1).await;
    let theirs = "
apiVersion: holders.example.com/v1
kind: Database
metadata: {name: theirs, namespace: default}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: theirs, namespace: holders-full}
";
    world.cluster.apply(theirs).await;
    let StopOutcome::Gone { kept } = member.stop(1).await else {
        panic!("not gone")
    };
    let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
    assert_eq!(
        kept,
        [
            "CustomResourceDefinition databases.holders.example.com",
            "Namespace holders-full"
        ]
    );
    assert!(world.config_map("holders-full", "ours").await.is_null());
    assert!(!world.config_map("holders-full", "theirs").await.is_null());
    let databases = world.api(Some("default"), "holders.example.com/v1", "Database");
    assert!(!world.get(&databases, "theirs").await.is_null());
    assert!(
        world
            .get(&world.api(None, "v1", "Namespace"), "holders-empty")
            .await
            .is_null()
    );
    // The next term finds them, and takes them as its own.
    member.site.forget(&member.group, Token(1)).await;
    member.applied(&payload, 2).await;
    world.cluster.delete(&databases, "theirs").await;
    world
        .cluster
        .delete(
            &world.api(Some("holders-full"), "v1", "ConfigMap"),
            "theirs",
        )
        .await;
    member.gone(2).await;
}
