//! Terms after the store went back in time.

use std::sync::Arc;
use std::time::Duration;

use helium_journal::memory::MemoryDatabase;
use helium_journal::{Journal, LogId, Slot};
use helium_testkit::wait_for;
use serde_json::json;

use super::{GROUP, GROUPS, lease, servers, token, write};
use crate::store::{BOUND, TestStore};
use crate::support::{Client, MERGE, TestServer};

/// What kine-shim writes when it finds that the database went back in time.
const INCARNATION: &str = "/registry/helium.dev/incarnations/store";

/// What is said to who asks too early, and after how many seconds it may ask again.
async fn refused(client: &Client, holder: &str, transitions: i64) -> u64 {
    let reply = write(client, lease(holder, transitions, "Free")).await;
    let seconds = reply.retry_after.clone().expect("a Retry-After");
    let message = reply.fails(503, "ServiceUnavailable");
    assert!(message.contains("store went back in time"), "{message}");
    seconds.parse().expect("seconds")
}

#[tokio::test]
async fn no_term_begins_after_a_setback_and_what_goes_on_goes_on() {
    let store = TestStore::start().await;
    let [one, two] = servers::<2>(&store).await;
    let (first, second) = (one.client(), two.client());
    let claimed = write(&first, lease("c1", 1, "Free")).await.ok();

    store.put(INCARNATION, "2").await;
    // 15 s of the lease and 5 s of its end, as the group says.
    let seconds = refused(&second, "c2", 2).await;
    assert!((18..=21).contains(&seconds), "{seconds}");
    let mut renewal = lease("c1", 1, "Free");
    renewal["spec"]["renewTime"] = "2026-01-01T00:00:10.000000Z".into();
    assert_eq!(token(&write(&first, renewal).await.ok()), token(&claimed));
    // A term of its own is a new term, too.
    refused(&first, "c1", 2).await;
    write(&first, lease("", 1, "Stopped")).await.ok();
    refused(&first, "c1", 2).await;
    assert_eq!(
        second.get(GROUP).await.ok()["status"]["leader"],
        json!(null)
    );

    // Whoever comes new counts from its own first sight.
    let three = TestServer::start(&store, "c3").await;
    refused(&three.client(), "c3", 2).await;
    // Other leases know nothing of this.
    let mut plain = lease("anybody", 1, "");
    plain["metadata"] = json!({"name": "leader"});
    first.post(super::LEASES, &plain).await.ok();
    one.stop().await;
    two.stop().await;
    three.stop().await;
}

#[tokio::test]
async fn terms_begin_again_when_those_that_were_forgotten_are_over() {
    let store = TestStore::start().await;
    let [one] = servers::<1>(&store).await;
    let client = one.client();
    let group = json!({
        "apiVersion": "helium.dev/v1", "kind": "FailoverGroup", "metadata": {"name": "web"},
        "spec": {"leaseDurationSeconds": 2, "stopBudgetSeconds": 0},
    });
    client.post(GROUPS, &group).await.ok();
    let claim = |transitions| {
        let mut claim = lease("c1", transitions, "Free");
        claim["spec"]["leaseDurationSeconds"] = 2.into();
        claim
    };
    store.put(INCARNATION, "2").await;
    let before = std::time::Instant::now();
    write(&client, claim(1))
        .await
        .fails(503, "ServiceUnavailable");
    wait_for("a term may begin", BOUND, || async {
        write(&client, claim(1)).await.code == 201
    })
    .await;
    // From when the server saw it, which was before the first refusal.
    assert!(
        before.elapsed() > Duration::from_millis(1500),
        "{:?}",
        before.elapsed()
    );
    // It went back once more.
    write(&client, lease("", 1, "Stopped")).await.ok();
    store.put(INCARNATION, "3").await;
    write(&client, claim(2))
        .await
        .fails(503, "ServiceUnavailable");
    // A group whose terms are longer waits for longer.
    client
        .patch(GROUP, MERGE, &json!({"spec": {"leaseDurationSeconds": 60}}))
        .await
        .ok();
    let reply = write(&client, claim(2)).await;
    let seconds: u64 = reply
        .retry_after
        .expect("a Retry-After")
        .parse()
        .expect("seconds");
    assert!(seconds > 50, "{seconds}");
    one.stop().await;
}

/// A database that is failed over to a copy which lacks the newest entries, a term among them: its holder believes in it.
#[tokio::test]
async fn a_term_that_the_database_has_lost_is_not_followed_by_another_at_once() {
    let database = MemoryDatabase::default();
    let log = LogId(0);
    let store = TestStore::start_on(Arc::new(database.journal(log)), INCARNATION).await;
    let [one, two] = servers::<2>(&store).await;
    let (first, second) = (one.client(), two.client());
    write(&first, lease("c1", 1, "Free")).await.ok();
    write(&first, lease("", 1, "Stopped")).await.ok();
    let newest = database.journal(log).head_read(Slot::ZERO).await;
    let (slot, _) = newest.expect("memory").newest.expect("entries");
    let claimed = write(&first, lease("c1", 2, "Free")).await.ok();
    let lost = database.lose_tail(log, slot);
    assert!(lost.is_some_and(|lost| lost > 0), "{lost:?}");

    // Free, as far as the store knows. The first answers may be those of a store that is being loaded.
    wait_for("the store is back", BOUND, || async {
        second.get(super::LEASE).await.code == 200
    })
    .await;
    assert_eq!(
        second.get(super::LEASE).await.ok()["spec"]["holderIdentity"],
        ""
    );
    wait_for("the claim is refused for the setback", BOUND, || async {
        let reply = write(&second, lease("c2", 3, "Free")).await;
        assert_ne!(reply.code, 200, "{}", reply.body);
        reply.body["message"]
            .as_str()
            .is_some_and(|text| text.contains("store went back in time"))
    })
    .await;
    refused(&second, "c2", 3).await;
    refused(&first, "c1", 3).await;
    assert!(crate::support::revision(&second.get(GROUP).await.ok()) < token(&claimed));
    one.stop().await;
    two.stop().await;
}
