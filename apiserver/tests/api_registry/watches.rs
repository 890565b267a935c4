//! `watch`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::store::TestStore;
use crate::support::{
    ALL_WIDGETS, MERGE, TestServer, WIDGETS, names, one_server, revision, widget, widgets,
};

#[tokio::test]
async fn a_watch_tells_what_happens_after_its_version() {
    let (_store, server, client) = one_server().await;
    let start = revision(&client.get(WIDGETS).await.ok());
    let mut events = client
        .watch(&format!("{WIDGETS}?resourceVersion={start}"))
        .await;
    let created = client.post(WIDGETS, &widget("a", "red")).await.ok();
    let url = format!("{WIDGETS}/a");
    let changed = client
        .patch(&url, MERGE, &json!({"spec": {"size": 2}}))
        .await
        .ok();
    client
        .post(
            &WIDGETS.replace("default", "elsewhere"),
            &widget("b", "red"),
        )
        .await
        .ok();
    client.delete(&url).await.ok();

    let first = events.next().await.unwrap();
    assert_eq!(
        (&first["type"], &first["object"]),
        (&json!("ADDED"), &created)
    );
    let second = events.next().await.unwrap();
    assert_eq!(
        (&second["type"], &second["object"]),
        (&json!("MODIFIED"), &changed)
    );
    let third = events.next().await.unwrap();
    assert_eq!(third["type"], "DELETED");
    assert_eq!(third["object"]["spec"], changed["spec"], "the last state");
    assert!(
        revision(&third["object"]) > revision(&changed),
        "at the version of the deletion"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_the_present() {
    let (_store, server, client) = one_server().await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    for query in ["", "?resourceVersion=0"] {
        let mut events = client.watch(&format!("{ALL_WIDGETS}{query}")).await;
        let (kind, name, _) = events.step().await;
        assert_eq!((kind.as_str(), name.as_str()), ("ADDED", "a"));
    }
    server.stop().await;
}

#[tokio::test]
async fn objects_enter_and_leave_a_selection() {
    let (_store, server, client) = one_server().await;
    let url = format!("{WIDGETS}/a");
    let mut events = client
        .watch(&format!("{WIDGETS}?labelSelector=color%3Dred"))
        .await;
    client.post(WIDGETS, &widget("a", "blue")).await.ok();
    let recolour = async |color: &str| {
        let patch = json!({"metadata": {"labels": {"color": color}}});
        revision(&client.patch(&url, MERGE, &patch).await.ok())
    };
    let entered = recolour("red").await;
    let left = recolour("blue").await;
    recolour("green").await;
    let again = recolour("red").await;
    client.delete(&url).await.ok();
    assert_eq!(
        events.step().await,
        ("ADDED".to_owned(), "a".to_owned(), entered)
    );
    let gone = events.next().await.unwrap();
    assert_eq!(
        (&gone["type"], revision(&gone["object"])),
        (&json!("DELETED"), left)
    );
    assert_eq!(
        gone["object"]["metadata"]["labels"]["color"], "red",
        "the last selected state"
    );
    assert_eq!(
        events.step().await,
        ("ADDED".to_owned(), "a".to_owned(), again)
    );
    assert_eq!(events.step().await.0, "DELETED");
    server.stop().await;
}

#[tokio::test]
async fn a_watch_list_ends_its_initial_state_with_a_bookmark() {
    let (_store, server, client) = one_server().await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    let query = "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let mut events = client.watch(&format!("{WIDGETS}?{query}")).await;
    let (_, name, added) = events.step().await;
    assert_eq!(name, "a");
    let mark = events.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["kind"], "Widget");
    assert_eq!(
        mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert!(revision(&mark["object"]) >= added);
    client.post(WIDGETS, &widget("b", "red")).await.ok();
    assert_eq!(events.step().await.1, "b");

    let refused = client
        .get(&format!("{WIDGETS}?watch=true&sendInitialEvents=true"))
        .await;
    refused.fails(422, "Invalid");
    server.stop().await;
}

#[tokio::test]
async fn a_watch_ends_in_time_and_says_where() {
    let (store, server, client) = one_server().await;
    let mut events = client
        .watch(&format!(
            "{WIDGETS}?timeoutSeconds=1&allowWatchBookmarks=true"
        ))
        .await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    assert_eq!(events.step().await.1, "a");
    let (kind, _, at) = events.step().await;
    assert_eq!(
        (kind.as_str(), Some(at)),
        ("BOOKMARK", store.revision().await)
    );
    assert!(events.next().await.is_none());
    server.stop().await;
}

#[tokio::test]
async fn a_watch_from_compacted_history_is_told_so() {
    let (store, server, client) = one_server().await;
    let old = revision(&client.post(WIDGETS, &widget("a", "red")).await.ok());
    for name in ["b", "c"] {
        client.post(WIDGETS, &widget(name, "red")).await.ok();
    }
    server.stop().await;
    store.compact(store.revision().await.unwrap()).await;

    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    client.wait_served(WIDGETS).await;
    let mut events = client
        .watch(&format!("{WIDGETS}?resourceVersion={old}"))
        .await;
    let event = events.next().await.unwrap();
    assert_eq!(event["type"], "ERROR");
    assert_eq!(
        (&event["object"]["code"], &event["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert!(events.next().await.is_none());
    server.stop().await;
}

#[tokio::test]
async fn a_watch_resumes_across_a_restart_from_the_history_of_the_store() {
    let (store, server, client) = one_server().await;
    let seen = revision(&client.post(WIDGETS, &widget("a", "red")).await.ok());
    client.post(WIDGETS, &widget("b", "red")).await.ok();
    let url = format!("{WIDGETS}/a");
    client
        .patch(
            &url,
            MERGE,
            &json!({"metadata": {"labels": {"color": "blue"}}}),
        )
        .await
        .ok();
    server.stop().await;

    let server = TestServer::start(&store, "c1").await;
    let client = server.client();
    client.wait_served(WIDGETS).await;
    let mut all = client
        .watch(&format!("{WIDGETS}?resourceVersion={seen}"))
        .await;
    let red = format!("{WIDGETS}?resourceVersion={seen}&labelSelector=color%3Dred");
    let mut red = client.watch(&red).await;
    client.delete(&url).await.ok();
    let short = |(kind, name, _): (String, String, i64)| format!("{kind} {name}");
    assert_eq!(short(all.step().await), "ADDED b");
    assert_eq!(short(all.step().await), "MODIFIED a");
    assert_eq!(short(all.step().await), "DELETED a");
    assert_eq!(short(red.step().await), "ADDED b");
    assert_eq!(short(red.step().await), "DELETED a");
    server.stop().await;
}

#[tokio::test]
async fn a_table_watch_describes_its_columns_once() {
    let (_store, server, client) = one_server().await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let mut events = client.watch_as(WIDGETS, table).await;
    client.post(WIDGETS, &widget("a", "red")).await.ok();
    client.post(WIDGETS, &widget("b", "blue")).await.ok();
    let first = events.next().await.unwrap();
    assert_eq!(first["object"]["kind"], "Table");
    assert!(
        !first["object"]["columnDefinitions"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let second = events.next().await.unwrap();
    assert_eq!(second["object"]["rows"][0]["cells"], json!(["b", "blue"]));
    assert!(
        second["object"]["columnDefinitions"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
    server.stop().await;
}

/// Applies events to a state and checks that each follows from it.
fn apply(state: &mut BTreeMap<String, Value>, last: &mut i64, event: &Value) {
    let object = event["object"].clone();
    let name = object["metadata"]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    let at = revision(&object);
    assert!(at > *last, "{at} after {last}");
    *last = at;
    match event["type"].as_str().expect("a type") {
        "ADDED" => assert!(state.insert(name, object).is_none(), "added twice"),
        "MODIFIED" => assert!(
            state.insert(name, object).is_some(),
            "modified before added"
        ),
        "DELETED" => assert!(state.remove(&name).is_some(), "deleted before added"),
        other => panic!("unexpected {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_on_two_servers_miss_nothing_under_eight_writers() {
    const WRITERS: usize = 8;
    const ROUNDS: usize = 30;
    let store = TestStore::start().await;
    let servers = [
        TestServer::start(&store, "c1").await,
        TestServer::start(&store, "c2").await,
    ];
    servers[0].client().declare(&widgets()).await;
    servers[1].client().wait_served(ALL_WIDGETS).await;
    let start = revision(&servers[1].client().get(ALL_WIDGETS).await.ok());

    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let client = servers[writer % 2].client();
        writers.spawn(async move {
            let url = format!("{WIDGETS}/w{writer}");
            let mut writes = 0;
            for round in 0..ROUNDS {
                client
                    .post(WIDGETS, &widget(&format!("w{writer}"), "red"))
                    .await
                    .ok();
                client
                    .patch(&url, MERGE, &json!({"spec": {"size": round + 2}}))
                    .await
                    .ok();
                writes += 2;
                if round + 1 < ROUNDS {
                    client.delete(&url).await.ok();
                    writes += 1;
                }
            }
            writes
        });
    }
    let mut watchers = tokio::task::JoinSet::new();
    for watcher in 0..4 {
        let client = servers[watcher % 2].client();
        watchers.spawn(async move {
            let mut events = client
                .watch(&format!("{ALL_WIDGETS}?resourceVersion={start}"))
                .await;
            let (mut state, mut last, mut count) = (BTreeMap::new(), start, 0);
            while count < WRITERS * (3 * ROUNDS - 1) {
                apply(&mut state, &mut last, &events.next().await.unwrap());
                count += 1;
            }
            state
        });
    }
    let mut writes = 0;
    while let Some(done) = writers.join_next().await {
        writes += done.expect("a writer");
    }
    assert_eq!(writes, WRITERS * (3 * ROUNDS - 1));
    let list = servers[0].client().get(ALL_WIDGETS).await.ok();
    while let Some(state) = watchers.join_next().await {
        let state = state.expect("a watcher");
        assert_eq!(
            state.keys().map(String::as_str).collect::<Vec<_>>(),
            names(&list)
        );
        assert!(list["items"].as_array().unwrap().iter().eq(state.values()));
    }
    for server in servers {
        server.stop().await;
    }
}
