//! Fifty watchers on two servers, writers that never rest, and a store that is stopped, started and compacted under
//! them (cache invariants C1 to C3): each watcher sees each change once and in order, or is told that it can't, reads
//! the state and goes on from there.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use helium_testkit::wait_for;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::store::{BOUND, TestStore};
use crate::support::{ALL_WIDGETS, Client, MERGE, TestServer, WIDGETS, revision, widget, widgets};

const WATCHERS: usize = 50;
const WRITERS: usize = 6;
const ROUNDS: usize = 6;
/// Acknowledged writes between two outages.
const WRITES: u64 = 60;
/// Between two attempts at a store that is away.
const PAUSE: Duration = Duration::from_millis(5);
/// The object that is written last.
const LAST: &str = "last";

/// A change: its type, and the object's name, by revision.
type Changes = BTreeMap<i64, (String, String)>;

/// What one watcher lived through.
#[derive(Default)]
struct Seen {
    events: Vec<(i64, (String, String))>,
    /// Revisions that it was told that it can't see.
    skipped: Vec<RangeInclusive<i64>>,
    resumed: usize,
}

/// Lists and watches as client-go's reflectors do, until it knows the last object.
async fn reflect(client: Client, start: i64) -> Seen {
    let mut seen = Seen::default();
    let mut at = start;
    loop {
        let url = format!("{ALL_WIDGETS}?resourceVersion={at}");
        let mut events = client.watch(&url).await;
        let expired = loop {
            let Some(event) = events.next().await else {
                break false;
            };
            let kind = event["type"].as_str().expect("a type").to_owned();
            if kind == "ERROR" {
                assert_eq!(event["object"]["code"], 410, "{event}");
                break true;
            }
            at = revision(&event["object"]);
            let name = event["object"]["metadata"]["name"].as_str();
            let name = name.expect("a name").to_owned();
            let last = name == LAST;
            seen.events.push((at, (kind, name)));
            if last {
                return seen;
            }
        };
        seen.resumed += 1;
        if expired {
            let list = list(&client).await;
            let now = revision(&list);
            assert!(now >= at, "a list went back from {at} to {now}");
            seen.skipped.push(at + 1..=now);
            at = now;
            let names = crate::support::names(&list);
            if names.contains(&LAST) {
                return seen;
            }
        }
    }
}

async fn list(client: &Client) -> serde_json::Value {
    loop {
        let reply = client.get(ALL_WIDGETS).await;
        if reply.code == 200 {
            return reply.body;
        }
        assert!(matches!(reply.code, 503 | 504), "{}", reply.body);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Creates, changes and deletes objects of its own until told to stop; what the store doesn't take is tried on.
async fn write(client: Client, writer: usize, done: Arc<AtomicU64>, stop: CancellationToken) {
    for turn in 0_u64.. {
        let name = format!("w{writer}-{}", turn % 3);
        let url = format!("{WIDGETS}/{name}");
        let size = json!({"spec": {"size": turn + 1}});
        for step in 0..3 {
            if stop.is_cancelled() {
                return;
            }
            let reply = match step {
                0 => client.post(WIDGETS, &widget(&name, "red")).await,
                1 => client.patch(&url, MERGE, &size).await,
                _ => client.delete(&url).await,
            };
            match reply.code {
                200 | 201 => {
                    done.fetch_add(1, Ordering::Relaxed);
                }
                // The step before it, or an unconfirmed attempt of its own, did or didn't happen.
                404 | 409 => {}
                503 | 504 => tokio::time::sleep(PAUSE).await,
                _ => panic!("{name}, step {step}: {}", reply.body),
            }
        }
    }
}

/// The store's own word on what happened to widgets in these revisions.
async fn happened(store: &TestStore, revisions: RangeInclusive<i64>, changes: &mut Changes) {
    for event in store.history(revisions).await {
        let kv = event.kv.as_ref().expect("a key");
        let key = String::from_utf8_lossy(&kv.key);
        if let Some((before, name)) = key.rsplit_once('/')
            && before.contains("/widgets/")
        {
            let kind = match (event.r#type, kv.version) {
                (1, _) => "DELETED",
                (_, 1) => "ADDED",
                _ => "MODIFIED",
            };
            changes.insert(kv.mod_revision, (kind.to_owned(), name.to_owned()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_each_change_once_while_the_store_comes_and_goes() {
    let mut store = TestStore::start().await;
    let servers = [
        TestServer::start(&store, "c1").await,
        TestServer::start(&store, "c2").await,
    ];
    servers[0].client().declare(&widgets()).await;
    servers[1].client().wait_served(ALL_WIDGETS).await;
    let start = store.revision().await.expect("a revision");

    let mut watchers = JoinSet::new();
    for at in 0..WATCHERS {
        watchers.spawn(reflect(servers[at % 2].client(), start));
    }
    let (done, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
    let mut writers = JoinSet::new();
    for at in 0..WRITERS {
        let client = servers[at % 2].client();
        writers.spawn(write(client, at, Arc::clone(&done), stop.clone()));
    }

    let mut changes = Changes::new();
    let mut known = start;
    for round in 0..ROUNDS {
        let wanted = done.load(Ordering::Relaxed) + WRITES;
        wait_for("writes go on", BOUND, || async {
            done.load(Ordering::Relaxed) >= wanted
        })
        .await;
        store.stop().await;
        store.resume().await;
        if round % 2 == 1 {
            // Perhaps before a server has found its way back, so that its place in the history is gone.
            let now = store.revision().await.expect("a revision");
            happened(&store, known + 1..=now, &mut changes).await;
            store.compact(now).await;
            known = now;
        }
    }
    stop.cancel();
    writers.join_all().await;
    let last = loop {
        let reply = servers[0]
            .client()
            .post(WIDGETS, &widget(LAST, "red"))
            .await;
        match reply.code {
            201 => break revision(&reply.body),
            503 | 504 => tokio::time::sleep(PAUSE).await,
            _ => panic!("{}", reply.body),
        }
    };
    happened(&store, known + 1..=last, &mut changes).await;

    for seen in watchers.join_all().await {
        let told = |revision: &i64| !seen.skipped.iter().any(|range| range.contains(revision));
        let expected: Vec<_> = changes
            .clone()
            .into_iter()
            .filter(|(revision, _)| told(revision))
            .collect();
        assert_eq!(
            seen.events,
            expected,
            "resumed {} times, was told to list {} times",
            seen.resumed,
            seen.skipped.len()
        );
    }
    for server in servers {
        server.stop().await;
    }
}
