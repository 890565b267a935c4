//! What a group says of its leader, and when.

use serde_json::{Value, json};

use super::{GROUP, GROUPS, LEASE, LEASES, lease, servers, token, write};
use crate::store::TestStore;
use crate::support::{MERGE, WIDGETS, revision, widget, widgets};

#[tokio::test]
async fn a_term_and_its_record_are_one_revision_wherever_they_are_read() {
    let store = TestStore::start().await;
    let [one, two] = servers::<2>(&store).await;
    let (first, second) = (one.client(), two.client());
    let start = revision(&first.get(LEASES).await.ok());
    let from = |url: &str| format!("{url}?resourceVersion={start}");
    let mut groups = second.watch(&from(GROUPS)).await;
    let mut leases = second.watch(&from(LEASES)).await;

    // The group is made with the first term.
    let claimed = first.post(LEASES, &lease("c1", 1, "Free")).await.ok();
    assert_eq!(token(&claimed), revision(&claimed));
    assert_eq!(claimed["spec"]["strategy"], "helium.dev/Failover");
    let group = second.get(GROUP).await.ok();
    assert_eq!(revision(&group), revision(&claimed));
    assert_eq!(group["metadata"]["generation"], 1);
    assert_eq!(group["spec"]["mode"], "Fast");
    assert_eq!(group["spec"]["leaseDurationSeconds"], 15);
    let status = &group["status"];
    assert_eq!(status["leader"], "c1");
    assert_eq!(status["leaderAddress"], "c1.example");
    assert_eq!(status["token"], token(&claimed));
    assert_eq!(status["reason"], "Free");
    assert_eq!(status["history"][0]["token"], token(&claimed));
    let event = groups.next().await.expect("an event");
    assert_eq!(
        (&event["type"], &event["object"]),
        (&json!("ADDED"), &group)
    );
    let event = leases.next().await.expect("an event");
    assert_eq!(event["object"], claimed);
    let listed = second
        .get(&format!("{GROUPS}?resourceVersion=0"))
        .await
        .ok();
    assert_eq!(listed["items"][0]["status"], group["status"]);

    // Renewals leave it alone, unless the leader is somewhere else now.
    let mut renewal = lease("c1", 1, "Free");
    renewal["spec"]["renewTime"] = "2026-01-01T00:00:10.000000Z".into();
    let renewed = write(&first, renewal.clone()).await.ok();
    assert_eq!(token(&renewed), token(&claimed));
    assert_eq!(second.get(GROUP).await.ok(), group);
    renewal["metadata"]["annotations"]["helium.dev/failover-address"] = "elsewhere".into();
    let moved = write(&first, renewal).await.ok();
    let group = second.get(GROUP).await.ok();
    assert_eq!(revision(&group), revision(&moved));
    assert_eq!(group["status"]["leaderAddress"], "elsewhere");
    assert_eq!(group["status"]["token"], token(&claimed));

    // Given up, and taken by the other.
    let freed = write(&first, lease("", 1, "HigherRank")).await.ok();
    let group = first.get(GROUP).await.ok();
    assert_eq!(revision(&group), revision(&freed));
    assert_eq!(group["status"]["leader"], Value::Null);
    assert_eq!(group["status"]["token"], Value::Null);
    assert_eq!(group["status"]["leaderAddress"], Value::Null);
    assert_eq!(group["status"]["reason"], "HigherRank");
    assert_eq!(group["status"]["history"][0]["endReason"], "HigherRank");
    let taken = write(&second, lease("c2", 2, "HandedOver")).await.ok();
    let group = first.get(GROUP).await.ok();
    assert_eq!(revision(&group), revision(&taken));
    assert_eq!(group["status"]["leader"], "c2");
    assert_eq!(group["status"]["token"], token(&taken));
    // And taken away.
    let forced = write(&first, lease("c1", 3, "Forced")).await.ok();
    let group = second.get(GROUP).await.ok();
    let history = &group["status"]["history"];
    let terms: Vec<_> = [0, 1, 2]
        .map(|at| (history[at]["cluster"].clone(), history[at]["token"].clone()))
        .into();
    assert_eq!(
        json!(terms),
        json!([
            ["c1", token(&forced)],
            ["c2", token(&taken)],
            ["c1", token(&claimed)]
        ])
    );
    assert_eq!(history[1]["endReason"], "Forced");

    // Every event of the group is at a revision of the lease: none of it is told apart from its term.
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(groups.step().await.2);
    }
    let mut written = Vec::new();
    for _ in 0..5 {
        written.push(leases.step().await.2);
    }
    assert!(
        told.iter().all(|revision| written.contains(revision)),
        "{told:?} {written:?}"
    );
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_group_that_was_there_before_keeps_its_spec_and_one_that_vanished_is_made_again() {
    let store = TestStore::start().await;
    let [one] = servers::<1>(&store).await;
    let client = one.client();
    let group = json!({
        "apiVersion": "helium.dev/v1", "kind": "FailoverGroup",
        "metadata": {"name": "web"},
        "spec": {"mode": "Strict", "leaseDurationSeconds": 30},
        "status": {"leader": "c9", "token": 1},
    });
    let made = client.post(GROUPS, &group).await.ok();
    assert_eq!(made["status"], Value::Null);
    let claimed = write(&client, lease("c1", 1, "Free")).await.ok();
    let led = client.get(GROUP).await.ok();
    assert_eq!(led["spec"], made["spec"]);
    assert_eq!(led["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!(led["status"]["token"], token(&claimed));

    // Whatever took it away: the lease is the truth, and its next renewal says so.
    store
        .delete("/registry/helium.dev/failovergroups/default/web")
        .await;
    helium_testkit::wait_for("its end is seen", crate::store::BOUND, || async {
        client.get(&format!("{GROUP}?resourceVersion=0")).await.code == 404
    })
    .await;
    let renewed = write(&client, lease("c1", 1, "Free")).await.ok();
    let again = client.get(GROUP).await.ok();
    assert_eq!(revision(&again), revision(&renewed));
    assert_eq!(again["status"]["leader"], "c1");
    assert_eq!(again["status"]["token"], token(&claimed));
    assert_eq!(again["status"]["history"][0]["token"], token(&claimed));
    one.stop().await;
}

#[tokio::test]
async fn the_history_of_a_group_is_bounded() {
    let store = TestStore::start().await;
    let [one] = servers::<1>(&store).await;
    let client = one.client();
    let mut tokens = Vec::new();
    for term in 1..=40 {
        tokens.insert(
            0,
            token(&write(&client, lease("c1", term, "Resumed")).await.ok()),
        );
    }
    let group = client.get(GROUP).await.ok();
    let history = group["status"]["history"].as_array().expect("a history");
    let told: Vec<_> = history
        .iter()
        .filter_map(|term| term["token"].as_i64())
        .collect();
    assert_eq!(told, tokens[..32]);
    one.stop().await;
}

#[tokio::test]
async fn a_write_under_the_fence_of_a_group_is_taken_while_its_leader_leads() {
    let store = TestStore::start().await;
    let [one, two] = servers::<2>(&store).await;
    let (first, second) = (one.client(), two.client());
    first.declare(&widgets()).await;
    second.wait_served(WIDGETS).await;
    let claimed = write(&first, lease("c1", 1, "Free")).await.ok();
    let fenced = |name: &str, token: i64| {
        let mut widget = widget(name, "red");
        let fence = format!("default/failover-web={token}");
        widget["metadata"]["annotations"] = json!({"helium.dev/fence": fence});
        widget
    };
    let old = token(&claimed);
    first.post(WIDGETS, &fenced("a", old)).await.ok();
    let group = first.get(GROUP).await.ok();
    assert_eq!(group["status"]["token"], old, "the group tells it too");
    write(&second, lease("c2", 2, "Expired")).await.ok();
    let message = first
        .post(WIDGETS, &fenced("b", old))
        .await
        .fails(409, "Conflict");
    assert!(
        message.contains("\"c2\" of cluster \"c2\" holds it"),
        "{message}"
    );
    let new = second.get(GROUP).await.ok()["status"]["token"].as_i64();
    let new = new.expect("a token");
    second.post(WIDGETS, &fenced("b", new)).await.ok();
    // A term may be fenced by another one, too: both are looked at in its transaction.
    let change = json!({"metadata": {"annotations": {"helium.dev/fence": format!("default/failover-web={old}")}},
        "spec": {"renewTime": "2026-01-01T00:00:10.000000Z"}});
    second
        .patch(LEASE, MERGE, &change)
        .await
        .fails(409, "Conflict");
    one.stop().await;
    two.stop().await;
}
