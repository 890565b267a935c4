//! The store goes away and comes back.

use helium_testkit::wait_for;
use serde_json::json;

use crate::store::{BOUND, TestStore};
use crate::support::{
    DEFINITIONS, MERGE, TestServer, WIDGETS, names, one_server, revision, widget,
};

#[tokio::test]
async fn without_the_store_reads_go_on_from_memory_and_the_rest_is_unavailable() {
    let (mut store, server, client) = one_server().await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    client.get(WIDGETS).await.ok();
    store.stop().await;

    assert_eq!(
        names(
            &client
                .get(&format!("{WIDGETS}?resourceVersion=0"))
                .await
                .ok()
        ),
        ["a"]
    );
    client
        .get(&format!("{WIDGETS}/a?resourceVersion=0"))
        .await
        .ok();
    assert!(!server.registry().catalog().shared_versions().is_empty());
    let mut events = client.watch(&format!("{WIDGETS}?resourceVersion=0")).await;
    assert_eq!(events.step().await.1, "a");
    for reply in [
        client.get(WIDGETS).await,
        client.get(&format!("{WIDGETS}/a")).await,
        client.post(WIDGETS, &widget("b", "red")).await,
        client.delete(&format!("{WIDGETS}/a")).await,
        client.get("/apis/example.com/v1/unknown").await,
    ] {
        assert!(
            matches!(reply.code, 503 | 504),
            "{} {}",
            reply.code,
            reply.body
        );
        assert_eq!(reply.body["kind"], "Status");
        let message = reply.body["message"].as_str().unwrap();
        for inside in ["tcp", "transport", "os error", "127.0.0.1", "h2"] {
            assert!(!message.contains(inside), "{message}");
        }
        // With Retry-After client-go sends again by itself: right for all but a write that may have happened.
        let again = reply.retry_after.is_some();
        match reply.body["reason"].as_str().unwrap() {
            "ServiceUnavailable" => {
                assert!(again && message.contains("--etcd-servers"), "{message}")
            }
            "Timeout" => assert_eq!(again, !message.contains("may have happened"), "{message}"),
            other => panic!("{other}"),
        }
    }
    assert!(server.registry().store_health().await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn a_watch_outlives_an_outage_without_gap_or_duplicate() {
    let (mut store, server, client) = one_server().await;
    let url = format!("{WIDGETS}/a");
    let first = client.post(WIDGETS, &widget("a", "red")).await.ok();
    let mut events = client.watch(&format!("{WIDGETS}?resourceVersion=0")).await;
    assert_eq!(events.step().await.2, revision(&first));
    let mut expected = Vec::new();
    for round in 0..3 {
        store.stop().await;
        store.resume().await;
        // Another server writes before this one has found its way back.
        let other = TestServer::start(&store, "c2").await;
        other.client().wait_served(WIDGETS).await;
        let patch = json!({"spec": {"size": round + 10}});
        expected.push(revision(
            &other.client().patch(&url, MERGE, &patch).await.ok(),
        ));
        other.stop().await;
    }
    for revision in expected {
        assert_eq!(
            events.step().await,
            ("MODIFIED".to_owned(), "a".to_owned(), revision)
        );
    }
    assert_eq!(names(&client.get(WIDGETS).await.ok()), ["a"]);
    server.stop().await;
}

#[tokio::test]
async fn a_compaction_during_an_outage_expires_the_watches_and_nothing_else() {
    let (mut store, server, client) = one_server().await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    let mut events = client.watch(&format!("{WIDGETS}?resourceVersion=0")).await;
    assert_eq!(events.step().await.1, "a");
    store.stop().await;
    // While this server waits for its next attempt, history moves on and is forgotten.
    store.resume().await;
    let other = TestServer::start(&store, "c2").await;
    other.client().wait_served(WIDGETS).await;
    other.client().delete(&format!("{WIDGETS}/a")).await.ok();
    other.client().post(WIDGETS, &widget("b", "red")).await.ok();
    store.compact(store.revision().await.unwrap()).await;
    other.stop().await;

    wait_for("this server is back", BOUND, || async {
        let reply = client.get(WIDGETS).await;
        reply.code == 200 && names(&reply.body) == ["b"]
    })
    .await;
    // Depending on who was faster the watch went on or was told to begin anew: never silence, never a gap.
    let event = events.next().await.unwrap();
    match event["type"].as_str().unwrap() {
        "ERROR" => assert_eq!(event["object"]["code"], 410),
        kind => {
            assert_eq!(kind, "DELETED");
            assert_eq!(events.step().await.1, "b");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_starts_without_the_store_says_so_and_recovers() {
    let mut store = TestStore::start().await;
    store.stop().await;
    let server = TestServer::start_unready(&store, "c1");
    let client = server.client();
    let reply = client.get(DEFINITIONS).await;
    assert!(matches!(reply.code, 503 | 504), "{}", reply.code);
    store.resume().await;
    wait_for("it recovers", BOUND, || async {
        client.get(DEFINITIONS).await.code == 200
    })
    .await;
    server.stop().await;
}
