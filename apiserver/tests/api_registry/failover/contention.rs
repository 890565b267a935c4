//! Many who write a group at once.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{GROUP, GROUPS, LEASE, LEASES, STATUS, lease, servers, token};
use crate::store::TestStore;
use crate::support::{Client, revision};

const WRITERS: i64 = 50;
const ROUNDS: i64 = 1;
const CLUSTERS: usize = 5;
/// Of whom so many are at it at a time: of all that read one revision, one writes.
const AT_ONCE: usize = 12;

/// Counts up its cluster's entry, among others that do so, too.
async fn count(client: Client, cluster: String, turn: Arc<Semaphore>) {
    let _turn = turn.acquire().await.expect("a turn");
    for _ in 0..ROUNDS {
        loop {
            let mut group = client.get(GROUP).await.ok();
            let mut entries = group["status"]["members"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            match entries
                .iter_mut()
                .find(|entry| entry["cluster"] == *cluster)
            {
                Some(entry) => {
                    entry["rank"] = (entry["rank"].as_i64().unwrap_or_default() + 1).into()
                }
                None => entries.push(json!({"cluster": cluster, "rank": 1})),
            }
            if group["status"].is_null() {
                group["status"] = json!({});
            }
            group["status"]["members"] = entries.into();
            let reply = client.put(STATUS, &group).await;
            match reply.code {
                200 => break,
                409 => {}
                code => panic!("{code}: {}", reply.body),
            }
        }
    }
}

/// Takes the lease again and again, whoever has it, and gives it up in between; returns the tokens that it got.
async fn lead(client: Client, cluster: String, rounds: i64) -> Vec<i64> {
    let mut tokens = Vec::new();
    while tokens.len() < rounds as usize {
        let current = client.get(LEASE).await;
        let reply = if current.code == 404 {
            client.post(LEASES, &lease(&cluster, 1, "Free")).await
        } else {
            let current = current.ok();
            let transitions = current["spec"]["leaseTransitions"]
                .as_i64()
                .unwrap_or_default();
            let held = current["spec"]["holderIdentity"] == *cluster;
            let holder = if held { "" } else { cluster.as_str() };
            let mut next = lease(holder, transitions + 1, "Test");
            next["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"].clone();
            client.put(LEASE, &next).await
        };
        match reply.code {
            200 | 201 => {
                let written = reply.ok();
                if written["spec"]["holderIdentity"] == *cluster {
                    assert_eq!(token(&written), revision(&written));
                    tokens.push(token(&written));
                }
            }
            409 => {}
            code => panic!("{code}: {}", reply.body),
        }
    }
    tokens
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_entry_is_lost_and_no_token_is_wrong_while_fifty_write_and_terms_change() {
    let store = TestStore::start().await;
    let servers = servers::<CLUSTERS>(&store).await;
    let client = servers[0].client();
    let group = json!({"apiVersion": "helium.dev/v1", "kind": "FailoverGroup", "metadata": {"name": "web"}});
    let start = revision(&client.post(GROUPS, &group).await.ok());
    let of = |number: usize| (servers[number].client(), format!("c{}", number + 1));
    let leaders: Vec<_> = (0..2)
        .map(|number| {
            let (client, cluster) = of(number);
            tokio::spawn(lead(client, cluster, 10))
        })
        .collect();
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let writers: Vec<_> = (0..WRITERS as usize)
        .map(|number| {
            let (client, cluster) = of(number % CLUSTERS);
            tokio::spawn(count(client, cluster, Arc::clone(&turn)))
        })
        .collect();
    let mut tokens = Vec::new();
    for leader in leaders {
        tokens.extend(leader.await.expect("a leader ends well"));
    }
    for writer in writers {
        writer.await.expect("a writer ends well");
    }

    let last = client.get(GROUP).await.ok();
    let mut ranks: Vec<_> = last["status"]["members"]
        .as_array()
        .expect("members")
        .iter()
        .map(|entry| entry["rank"].as_i64().unwrap_or_default())
        .collect();
    ranks.sort_unstable();
    assert_eq!(ranks, [WRITERS * ROUNDS / CLUSTERS as i64; CLUSTERS]);

    // What was told of the leader at every revision is what the lease was at that revision.
    let mut events = client
        .watch(&format!("{GROUPS}?resourceVersion={start}"))
        .await;
    let mut leases = client
        .watch(&format!("{LEASES}?resourceVersion={start}"))
        .await;
    let mut terms: Vec<(i64, Value, Value)> = Vec::new();
    let end = revision(&client.get(LEASE).await.ok());
    while terms.last().is_none_or(|(at, ..)| *at < end) {
        let lease = leases.next().await.expect("an event")["object"].clone();
        let held = lease["spec"]["holderIdentity"]
            .as_str()
            .filter(|holder| !holder.is_empty());
        let token = held.map(|_| token(&lease));
        terms.push((revision(&lease), json!(held), json!(token)));
    }
    let (mut at, mut seen) = (0, 0);
    while at < revision(&last) {
        let group = events.next().await.expect("an event")["object"].clone();
        at = revision(&group);
        let term = terms.iter().rev().find(|(from, ..)| *from <= at);
        let (_, leader, token) = term.cloned().unwrap_or_default();
        assert_eq!(
            (&group["status"]["leader"], &group["status"]["token"]),
            (&leader, &token),
            "at {at}"
        );
        let history = group["status"]["history"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let told: Vec<_> = history
            .iter()
            .filter_map(|term| term["token"].as_i64())
            .collect();
        assert_eq!(
            told.len(),
            history.len(),
            "every term has its token: {history:?}"
        );
        assert!(told.is_sorted_by(|newer, older| newer > older), "{told:?}");
        assert!(
            told.iter().all(|token| tokens.contains(token)),
            "{told:?} {tokens:?}"
        );
        seen += 1;
    }
    assert!(i64::from(seen) > WRITERS * ROUNDS, "{seen} writes");
    for server in servers {
        server.stop().await;
    }
}
