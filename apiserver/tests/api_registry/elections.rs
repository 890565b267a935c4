//! Coordinated elections over servers of several clusters: who is picked, when, and by whom.

use helium_testkit::wait_for;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::store::{BOUND, TestStore};
use crate::support::{Client, MERGE, TestServer, names, revision};

const CANDIDATES: &str = "/apis/coordination.k8s.io/v1beta1/namespaces/team/leasecandidates";
const LEADER: &str = "/apis/coordination.k8s.io/v1/namespaces/team/leases/leader";
const TOKEN: &str = "helium.dev/fencing-token";
const ORIGIN: &str = "helium.dev/origin-cluster";

/// As client-go's `leasecandidate` writes it.
fn candidate(name: &str, emulation: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1beta1", "kind": "LeaseCandidate",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {
            "leaseName": "leader", "binaryVersion": "1.36.0", "emulationVersion": emulation,
            "strategy": "OldestEmulationVersion", "renewTime": "2026-01-01T00:00:00.000000Z",
        },
    })
}

fn prioritised(name: &str, priority: &str) -> Value {
    let mut candidate = candidate(name, "1.36.0");
    candidate["spec"]["strategy"] = "helium.dev/Priority".into();
    candidate["metadata"]["annotations"] = json!({"helium.dev/priority": priority});
    candidate
}

/// A program that stands for the lease and answers when it is asked, by a clock of its own.
struct Standing(JoinHandle<()>);

impl Standing {
    async fn begin(client: &Client, candidate: &Value) -> Self {
        client.post(CANDIDATES, candidate).await.ok();
        let name = candidate["metadata"]["name"].as_str().expect("a name");
        let one = format!("{CANDIDATES}/{name}");
        let selected = format!("{CANDIDATES}?fieldSelector=metadata.name%3D{name}");
        let mut events = client.watch(&selected).await;
        let client = client.clone();
        Self(tokio::spawn(async move {
            let mut clock = 0;
            while let Some(event) = events.next_ever().await {
                let spec = &event["object"]["spec"];
                // Both are texts of one form.
                let asked = spec["pingTime"].as_str() > spec["renewTime"].as_str();
                if event["type"] == "DELETED" || !asked {
                    continue;
                }
                clock += 1;
                let mut renewed = event["object"].clone();
                let time = format!("2026-01-01T00:{:02}:{:02}.000000Z", clock / 60, clock % 60);
                renewed["spec"]["renewTime"] = time.into();
                client.put(&one, &renewed).await;
            }
        }))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn two_clusters() -> (TestStore, [TestServer; 2], [Client; 2]) {
    let store = TestStore::start().await;
    let servers = [
        TestServer::start(&store, "c1").await,
        TestServer::start(&store, "c2").await,
    ];
    let clients = [servers[0].client(), servers[1].client()];
    (store, servers, clients)
}

/// Waits until somebody is picked, and returns the lease.
async fn picked(client: &Client, holder: &str) -> Value {
    wait_for(format!("{holder} is picked"), BOUND, || async {
        client.get(LEADER).await.body["spec"]["holderIdentity"] == holder
    })
    .await;
    client.get(LEADER).await.ok()
}

/// Renews as a holder does, for a term of one second.
async fn renew(client: &Client, lease: &Value) -> Value {
    let mut renewed = lease.clone();
    renewed["spec"]["leaseDurationSeconds"] = 1.into();
    renewed["spec"]["renewTime"] = "2026-01-01T01:00:00.000000Z".into();
    client.put(LEADER, &renewed).await.ok()
}

fn token(lease: &Value) -> i64 {
    let text = lease["metadata"]["annotations"][TOKEN].as_str();
    text.and_then(|text| text.parse().ok()).expect("a token")
}

#[tokio::test]
async fn the_best_candidate_of_all_clusters_is_picked_once_with_a_term_of_its_own() {
    let (store, servers, [first, second]) = two_clusters().await;
    // The better one stands first, since whoever stands alone leads.
    let _old = Standing::begin(&second, &candidate("old", "1.35.0")).await;
    let lease = picked(&first, "old").await;
    let _new = Standing::begin(&first, &candidate("new", "1.36.0")).await;
    assert_eq!(lease["spec"]["strategy"], "OldestEmulationVersion");
    assert_eq!(lease["spec"]["leaseTransitions"], 0);
    assert_eq!(
        token(&lease),
        revision(&lease),
        "an acquisition like any other"
    );
    assert_eq!(
        lease["metadata"]["annotations"][ORIGIN], "c2",
        "the cluster of the candidate, whoever picked it"
    );
    let fenced = json!({"metadata": {"annotations": {"helium.dev/fence": format!("team/leader={}", token(&lease))}}});
    second
        .patch(&format!("{CANDIDATES}/old"), MERGE, &fenced)
        .await
        .ok();
    let kept = renew(&second, &lease).await;
    assert_eq!(token(&kept), token(&lease));

    // It gives the lease up and goes; the other one follows, in a new term.
    drop(_old);
    let mut free = kept.clone();
    free["spec"] = json!({"holderIdentity": "", "leaseDurationSeconds": 1});
    second.delete(&format!("{CANDIDATES}/old")).await.ok();
    second.put(LEADER, &free).await.ok();
    let next = picked(&second, "new").await;
    assert!(token(&next) > token(&kept));
    assert_eq!(next["metadata"]["annotations"][ORIGIN], "c1");

    // However many coordinators there are, each term was given once.
    let history = store.history(1..=revision(&next)).await;
    let grants = history.iter().filter_map(|event| {
        let kv = event.kv.as_ref()?;
        let key = String::from_utf8_lossy(&kv.key).into_owned();
        (event.r#type == 0 && key.ends_with("/helium.dev/terms/team/leader")).then_some(())
    });
    assert_eq!(grants.count(), 2);
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_better_candidate_waits_for_the_end_of_the_term() {
    let (_store, servers, [first, second]) = two_clusters().await;
    let _low = Standing::begin(&first, &prioritised("low", "1")).await;
    let lease = renew(&first, &picked(&first, "low").await).await;
    let _high = Standing::begin(&second, &prioritised("high", "10")).await;
    // The holder renews until it is told, and then stops, as client-go's elector does.
    let mut lease = lease;
    while lease["spec"]["preferredHolder"].is_null() {
        assert_eq!(lease["spec"]["holderIdentity"], "low");
        let mut renewed = lease.clone();
        renewed["spec"]["leaseDurationSeconds"] = 1.into();
        let answer = first.put(LEADER, &renewed).await;
        lease = match answer.code {
            409 => first.get(LEADER).await.ok(),
            _ => answer.ok(),
        };
        tokio::task::yield_now().await;
    }
    assert_eq!(lease["spec"]["preferredHolder"], "high");
    assert_eq!(lease["spec"]["holderIdentity"], "low");
    let next = picked(&first, "high").await;
    assert_eq!(next["spec"]["preferredHolder"], Value::Null);
    assert_eq!(next["spec"]["leaseTransitions"], 1);
    assert_eq!(next["metadata"]["annotations"][ORIGIN], "c2");

    // Who leads can be changed from anywhere, by a number.
    let kept = renew(&second, &next).await;
    assert_eq!(kept["spec"]["holderIdentity"], "high");
    let raised = json!({"metadata": {"annotations": {"helium.dev/priority": "11"}}});
    let low = second
        .patch(&format!("{CANDIDATES}/low"), MERGE, &raised)
        .await
        .ok();
    assert_eq!(
        low["metadata"]["annotations"][ORIGIN], "c1",
        "and whose it is stays"
    );
    picked(&second, "low").await;
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_candidate_that_does_not_answer_is_passed_over() {
    let (_store, servers, [first, second]) = two_clusters().await;
    // It is there in the store alone.
    first
        .post(CANDIDATES, &candidate("dead", "1.30.0"))
        .await
        .ok();
    let _live = Standing::begin(&second, &candidate("live", "1.36.0")).await;
    let lease = picked(&first, "live").await;
    assert_eq!(lease["metadata"]["annotations"][ORIGIN], "c2");
    let dead = first.get(&format!("{CANDIDATES}/dead")).await.ok();
    assert_eq!(
        dead["spec"]["pingTime"], "2026-01-01T00:00:00.000001Z",
        "asked by its own clock"
    );
    // Plain candidates are no business of ours.
    let foreign = {
        let mut foreign = candidate("foreign", "1.36.0");
        foreign["spec"]["leaseName"] = "other".into();
        foreign["spec"]["strategy"] = "example.com/Mine".into();
        foreign
    };
    first.post(CANDIDATES, &foreign).await.ok();
    let renewed = renew(&second, &lease).await;
    picked(&first, "live").await;
    assert!(revision(&renewed) > revision(&lease));
    first
        .get("/apis/coordination.k8s.io/v1/namespaces/team/leases/other")
        .await
        .fails(404, "NotFound");
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_candidates_name_belongs_to_its_cluster() {
    let (_store, servers, [first, second]) = two_clusters().await;
    let created = first
        .post(CANDIDATES, &candidate("Node_1", "1.36.0"))
        .await
        .ok();
    assert_eq!(created["metadata"]["annotations"][ORIGIN], "c1");
    second
        .post(CANDIDATES, &candidate("Node_1", "1.36.0"))
        .await
        .fails(409, "AlreadyExists");
    let one = format!("{CANDIDATES}/Node_1");
    let renewal = json!({"spec": {"renewTime": "2026-01-01T00:00:09.000000Z"}});
    let message = second
        .patch(&one, MERGE, &renewal)
        .await
        .fails(403, "Forbidden");
    assert!(
        message.contains("belongs to cluster \"c1\"") && message.contains("put the cluster's name"),
        "{message}"
    );
    first.patch(&one, MERGE, &renewal).await.ok();

    // The same candidates in every view and version.
    for url in [
        "/apis/coordination.k8s.io/v1alpha2/namespaces/team/leasecandidates",
        "/apis/coordination.helium.dev/v1/namespaces/team/leasecandidates",
        "/apis/coordination.helium.dev/v1/leasecandidates",
    ] {
        assert_eq!(names(&second.get(url).await.ok()), ["Node_1"], "{url}");
    }
    let message = first
        .post(CANDIDATES, &candidate("a b", "1.36"))
        .await
        .fails(422, "Invalid");
    assert!(
        message.contains("metadata.name") && message.contains("spec.emulationVersion"),
        "{message}"
    );
    second.delete(&one).await.ok();
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn candidates_of_a_cluster_that_was_shut_out_are_passed_over() {
    let (_store, servers, [first, second]) = two_clusters().await;
    let member = json!({
        "apiVersion": "helium.dev/v1", "kind": "Member", "metadata": {"name": "c2"},
    });
    first
        .post("/apis/helium.dev/v1/members", &member)
        .await
        .ok();
    let _out = Standing::begin(&second, &candidate("out", "1.30.0")).await;
    renew(&second, &picked(&first, "out").await).await;
    let revoked = json!({"spec": {"revoked": true, "revokedReason": "stolen"}});
    first
        .patch("/apis/helium.dev/v1/members/c2", MERGE, &revoked)
        .await
        .ok();
    let _in = Standing::begin(&first, &candidate("in", "1.36.0")).await;
    picked(&first, "in").await;
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn what_many_candidates_of_two_clusters_do_never_overlaps() {
    let (store, servers, [first, second]) = two_clusters().await;
    let clients = [&first, &second];
    let mut standing = Vec::new();
    for at in 0..6 {
        let candidate = prioritised(&format!("c{at}"), &(at + 1).to_string());
        standing.push(Standing::begin(clients[at % 2], &candidate).await);
    }
    // Whoever is picked dies at once, without giving anything up; its place is free after its term of a second.
    let mut dead: Vec<usize> = Vec::new();
    while dead.len() < 6 {
        let next = |lease: &Value| {
            let holder = lease["spec"]["holderIdentity"].as_str()?;
            let at: usize = holder.strip_prefix('c')?.parse().ok()?;
            (!dead.contains(&at)).then_some(at)
        };
        wait_for("somebody new is picked", BOUND, || async {
            next(&first.get(LEADER).await.body).is_some()
        })
        .await;
        let lease = first.get(LEADER).await.ok();
        let at = next(&lease).expect("nobody else is picked while its term lasts");
        renew(clients[at % 2], &lease).await;
        first.delete(&format!("{CANDIDATES}/c{at}")).await.ok();
        dead.push(at);
    }
    // The store's own record: each holder follows the end of the one before, in one term each.
    let end = revision(&first.get(LEADER).await.ok());
    let history = store.history(1..=end).await;
    let mut holders: Vec<String> = Vec::new();
    for event in history {
        let Some(kv) = event.kv else { continue };
        if !String::from_utf8_lossy(&kv.key).ends_with("/leases/team/leader") {
            continue;
        }
        let lease: Value = serde_json::from_slice(&kv.value).expect("a lease");
        let holder = lease["spec"]["holderIdentity"]
            .as_str()
            .expect("a holder")
            .to_owned();
        if holders.last() != Some(&holder) {
            assert!(
                !holders.contains(&holder),
                "{holder} again after {holders:?}"
            );
            holders.push(holder);
        }
    }
    assert_eq!(holders.len(), 6, "{holders:?}");
    drop(standing);
    for server in servers {
        server.stop().await;
    }
}
