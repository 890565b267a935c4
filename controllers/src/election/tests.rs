use serde_json::{Value, json};

use super::*;
use crate::scripted::{Scripted, refusal};

fn lease(holder: &str) -> (u16, Value) {
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "agent", "namespace": "here", "resourceVersion": "3"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15}});
    (200, lease)
}

fn election(server: &Scripted) -> Election {
    Election::new(server.client(), "here", "agent", "me".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_stops_before_others_may_start() {
    let server = Scripted::new([refusal(503, "ServiceUnavailable")]);
    let begun = Instant::now();
    election(&server).hold(&CancellationToken::new()).await;
    let held = begun.elapsed();
    assert!(held >= RENEW_DEADLINE && held < DURATION, "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_lease_was_taken_stops_at_once() {
    let server = Scripted::new([lease("another")]);
    let begun = Instant::now();
    election(&server).hold(&CancellationToken::new()).await;
    assert!(begun.elapsed() <= RETRY * 2);
    assert!(server.asked().iter().all(|asked| asked.method == "GET"));
}

#[tokio::test(start_paused = true)]
async fn a_dead_holders_lease_is_taken_with_the_version_that_was_seen_and_given_back() {
    // The other's record stands still; then the write succeeds.
    let looks = DURATION.as_secs() / RETRY.as_secs() + 2;
    let answers = (0..looks).map(|_| lease("another"));
    let server = Scripted::new(answers.chain([lease("me")]));
    let mut election = election(&server);
    let begun = Instant::now();
    let ready = Readiness::default();
    assert!(election.acquire(&CancellationToken::new(), &ready).await);
    assert!(begun.elapsed() >= DURATION);
    let asked = server.asked();
    let take = asked.iter().find(|asked| asked.method == "PUT").unwrap();
    assert_eq!(take.body["metadata"]["resourceVersion"], "3");
    assert_eq!(take.body["spec"]["holderIdentity"], "me");
    assert_eq!(take.body["spec"]["leaseTransitions"], 1);

    election.release().await;
    let last = server.asked().pop().unwrap();
    assert_eq!(
        (last.method.as_str(), &last.body["spec"]["holderIdentity"]),
        ("PUT", &json!(""))
    );
}

#[tokio::test(start_paused = true)]
async fn a_candidate_can_be_stopped() {
    let server = Scripted::new([lease("another")]);
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(RETRY).await;
        stopping.cancel();
    });
    let ready = Readiness::default();
    assert!(!election(&server).acquire(&stop, &ready).await);
}
