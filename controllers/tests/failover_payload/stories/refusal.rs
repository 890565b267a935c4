//! What can't be applied is told, with what to do; others' objects stay as they are (P2).

use http::Method;
use serde_json::json;

use super::{SETTINGS, WEB};
use crate::world::{World, words};

pub(crate) async fn somebody_elses_object_is_left_alone(world: &World) {
    let member = world.member("foreign").await;
    world
        .cluster
        .apply(
            &SETTINGS
                .replace("name: settings", "name: settings, namespace: foreign")
                .replace("red", "theirs"),
        )
        .await;
    let before = world.config_map("foreign", "settings").await;
    let writes = member.relay.writes();
    let problems = member.rejected(WEB).await;
    assert_eq!(
        words(&problems),
        [
            "ForeignObject ConfigMap foreign/settings: it is there and isn't ours: its fields were written by test; give the payload's object another name, or delete the one that is there"
        ]
    );
    // Nothing else of it was applied, or written down.
    assert_eq!(member.relay.writes(), writes);
    assert!(world.footprint(&member).await.is_null());
    assert_eq!(world.config_map("foreign", "settings").await, before);
    member.gone(1).await;
    assert_eq!(world.config_map("foreign", "settings").await, before);
}

pub(crate) async fn an_object_that_appears_in_between_is_left_alone(world: &World) {
    let member = world.member("between").await;
    for (content, difference) in [("theirs", "another content"), ("red", "the same content")] {
        let hold = member.relay.hold(Method::PATCH, "/between/configmaps/");
        let apply = member.rejected(SETTINGS);
        let other = async {
            member
                .relay
                .sees("PATCH /api/v1/namespaces/between/configmaps/settings")
                .await;
            world
                .cluster
                .apply(
                    &SETTINGS
                        .replace("name: settings", "name: settings, namespace: between")
                        .replace("red", content),
                )
                .await;
            hold.release();
        };
        let (problems, ()) = tokio::join!(apply, other);
        assert!(
            words(&problems)[0].starts_with("ForeignObject ConfigMap between/settings: "),
            "{difference}: {problems:?}"
        );
        let now = world.config_map("between", "settings").await;
        assert_eq!(now["data"], json!({"colour": content}), "{difference}");
        assert!(
            now["metadata"]["labels"].is_null() && now["metadata"]["annotations"].is_null(),
            "{difference}: {now}"
        );
        member.gone(1).await;
        assert_eq!(
            world.config_map("between", "settings").await["metadata"]["uid"],
            now["metadata"]["uid"]
        );
        world
            .cluster
            .delete(&world.api(Some("between"), "v1", "ConfigMap"), "settings")
            .await;
        let forgotten = member
            .site
            .forget(&member.group, helium_failover::Token(1))
            .await;
        assert_eq!(
            forgotten,
            helium_controllers::failover::payload::ForgetOutcome::Forgotten
        );
    }
}

pub(crate) async fn two_groups_cannot_have_the_same_object(world: &World) {
    let first = world.member("shared").await;
    let second = world.member_with("shared", "mail", "8f3", |_| {});
    first.applied(SETTINGS, 1).await;
    let before = world.config_map("shared", "settings").await;
    let problems = second.rejected(SETTINGS).await;
    assert_eq!(
        words(&problems),
        [
            "ForeignObject ConfigMap shared/settings: it is there and isn't ours: it belongs to MultiCluster shared/berlin (uid 7e2, group shared.web); give the payload's object another name, or delete the one that is there"
        ]
    );
    second.gone(1).await;
    assert_eq!(world.config_map("shared", "settings").await, before);
    // With names of their own they don't meet.
    second
        .applied(&SETTINGS.replace("name: settings", "name: mail"), 1)
        .await;
    second.gone(1).await;
    assert_eq!(world.config_map("shared", "settings").await, before);
    // The same MultiCluster under another callsign waits until the old group is stopped.
    let renamed = world.member_with("shared", "www", "7e2", |_| {});
    let failure = renamed.failed(SETTINGS).await;
    assert!(
        failure.is_retryable() && failure.message.contains("still of the group shared.web"),
        "{failure}"
    );
    first.gone(1).await;
    renamed.applied(SETTINGS, 1).await;
    renamed.gone(1).await;
}

pub(crate) async fn what_the_cluster_does_not_know_is_named(world: &World) {
    let member = world.member("unknown").await;
    let payload = "
apiVersion: v1
kind: ConfigMap
metadata: {name: fine}
---
apiVersion: nowhere.example.com/v1
kind: Gadget
metadata: {name: a}
---
apiVersion: apps/v1beta1
kind: Deployment
metadata: {name: b}
---
apiVersion: v1
kind: Deployment
metadata: {name: c}
---
apiVersion: v1
kind: Namespace
metadata: {name: d, namespace: unknown}
---
apiVersion: v1
kind: Namespace
metadata: {name: helium-system}
";
    insta::assert_snapshot!(
        "unknown_kinds",
        words(&member.rejected(payload).await).join("\n")
    );
    let elsewhere = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: not-there}}";
    insta::assert_snapshot!(
        "missing_namespace",
        words(&member.rejected(elsewhere).await).join("\n")
    );
    assert_eq!(member.relay.writes(), 0);
}

pub(crate) async fn what_the_server_refuses_is_told_and_goes_with_the_stop(world: &World) {
    let member = world.member("invalid").await;
    // Services come before workloads: that one is applied before the Deployment is refused.
    let invalid = WEB.replace("replicas: 1", "replicas: -1");
    insta::assert_snapshot!(
        "invalid_value",
        words(&member.rejected(&invalid).await).join("\n")
    );
    assert!(!world.config_map("invalid", "settings").await.is_null());
    let record = world.footprint(&member).await;
    assert_eq!(
        (
            record["phase"].as_str(),
            record["inventory"].as_array().map(Vec::len)
        ),
        (Some("Starting"), Some(3))
    );
    // A corrected one goes on from there.
    member.applied(WEB, 1).await;
    // From now on an edit is judged as a whole: a bad one leaves the payload that runs as it is.
    let before = world.footprint(&member).await;
    let edited = WEB.replace("colour: red", "colour: blue");
    let unknown_field = edited.replace("replicas: 1", "replikas: 1");
    let problems = member.rejected(&unknown_field).await;
    insta::assert_snapshot!("unknown_field", words(&problems).join("\n"));
    let wrong_type = edited.replace("replicas: 1", "replicas: many");
    insta::assert_snapshot!(
        "wrong_type",
        words(&member.rejected(&wrong_type).await).join("\n")
    );
    let immutable = edited
        .replace("matchLabels: {app: web}", "matchLabels: {app: other}")
        .replace(
            "labels: {app: web}}\n    spec",
            "labels: {app: other}}\n    spec",
        );
    insta::assert_snapshot!(
        "immutable",
        words(&member.rejected(&immutable).await).join("\n")
    );
    assert_eq!(world.footprint(&member).await, before);
    let settings = world.config_map("invalid", "settings").await;
    assert_eq!(settings["data"]["colour"], "red");
    member.gone(1).await;
    assert!(world.config_map("invalid", "settings").await.is_null());
}

pub(crate) async fn rights_that_are_missing_are_named(world: &World) {
    world.namespace("rights").await;
    let member = world.member_with("rights", "web", "7e2", |options| {
        options.service_account = Some("deployer".to_owned());
    });
    insta::assert_snapshot!(
        "forbidden",
        words(&member.rejected(SETTINGS).await).join("\n")
    );
    assert!(world.footprint(&member).await.is_null());
    world.cluster.apply(RIGHTS).await;
    helium_testkit::wait_for("the rights are there", crate::cluster::START, || async {
        let outcome = member
            .apply(
                SETTINGS,
                &crate::world::term(1, helium_failover::kind::Mode::Fast),
            )
            .await;
        matches!(
            outcome,
            helium_controllers::failover::payload::ApplyOutcome::Applied(_)
        )
    })
    .await;
    member.gone(1).await;
}

const RIGHTS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: deployer, namespace: rights}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [get, list, create, patch, delete]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer, namespace: rights}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: deployer}
subjects: [{kind: ServiceAccount, name: deployer, namespace: rights}]
";
