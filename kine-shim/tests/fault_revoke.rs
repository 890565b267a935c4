//! A cluster is revoked under load, at a random moment: by its `Member` and its role in the database.
//! Nothing that was acknowledged is lost, nothing of the revoked one is acknowledged later than two
//! seconds after, and the other one never stops.
//!
//! The seed is printed; `HELIUM_FAULT_SEED` replays it.

#[allow(dead_code, reason = "the suite's client has more than is used here")]
#[path = "suite/client.rs"]
mod client;
#[allow(dead_code, reason = "the fleet has more than is used here")]
#[path = "fleet_members/fleet.rs"]
mod fleet;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use helium_etcd_proto::etcdserverpb as pb;
use helium_journal::postgres::roles::{create_member_role, member_endpoint, revoke_member_role};
use helium_journal::{TlsFiles, endpoint};
use helium_testkit::{Postgres, wait_for};
use helium_tls::{ClientTls, Component};
use kine_shim::{Config, replica};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use client::{BOUND, Client, between, revision};
use fleet::{CUT_OFF, Cluster, Shim};

/// Writers on each way into the store.
const WRITERS: usize = 3;
/// No writer of a member in good standing waits longer for its answer, on a very busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// After that a writer gives a call up, as every client of etcd does.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long the load may take to build up.
const LOAD: Duration = Duration::from_secs(120);
/// Pause of a writer that isn't let in.
const RETRY: Duration = Duration::from_millis(100);
/// How long the load goes on after the revocation.
const AFTER: Duration = Duration::from_secs(4);

/// What writers were told.
#[derive(Debug, Default)]
struct Told {
    /// Revision and moment of each acknowledged key.
    acknowledged: Mutex<BTreeMap<String, (i64, Instant)>>,
    count: AtomicUsize,
    over: AtomicBool,
}

impl Told {
    fn acknowledge(&self, key: String, at: i64) {
        let told = self.acknowledged.lock().insert(key, (at, Instant::now()));
        assert_eq!(told, None, "each key is written once");
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

async fn put(client: &Client, key: &str) -> Result<i64, tonic::Status> {
    let request = pb::PutRequest {
        key: key.to_owned().into(),
        value: key.to_owned().into(),
        ..Default::default()
    };
    Ok(revision(client.put_with(request).await?.header))
}

/// Writes one key after the other, on as many connections as it takes. An error is the end of a key,
/// whose outcome nobody knows. Returns how many there were, and the longest wait for an answer.
async fn write(
    shim: Arc<Shim>,
    tls: ClientTls,
    name: String,
    told: Arc<Told>,
) -> (usize, Duration) {
    let (mut failed, mut longest) = (0, Duration::ZERO);
    let mut client = None;
    let mut number = 0_usize;
    while !told.over.load(Ordering::SeqCst) {
        let Some(connected) = &client else {
            let connected = tokio::time::timeout(DEADLINE, shim.connect(&tls)).await;
            client = connected.ok().and_then(Result::ok);
            if client.is_none() {
                failed += 1;
                tokio::time::sleep(RETRY).await;
            }
            continue;
        };
        let key = format!("load/{name}/{number}");
        number += 1;
        let begun = Instant::now();
        match tokio::time::timeout(DEADLINE, put(connected, &key)).await {
            Ok(Ok(at)) => told.acknowledge(key, at),
            Ok(Err(_)) | Err(_) => {
                failed += 1;
                client = None;
            }
        }
        longest = longest.max(begun.elapsed());
    }
    (failed, longest)
}

async fn start(cluster: &Cluster, server: &Postgres, request_timeout: Duration) -> Arc<Shim> {
    let admin = server.url("fleet");
    let created = create_member_role(&admin, &cluster.name, "secret").await;
    created.expect("a role");
    let url = member_endpoint(&admin, &cluster.name, "secret").expect("an endpoint");
    let options = helium_journal::Options::default();
    let journal = endpoint::open(&url, &TlsFiles::default(), &options).await;
    let config = cluster.config(journal.expect("the database opens"), None);
    let replica = replica::Options {
        request_timeout,
        ..config.replica
    };
    Arc::new(Shim::start(cluster, Config { replica, ..config }).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_revocation_under_load_loses_nothing_and_stops_nobody_else() {
    let seeds: Vec<u64> = match std::env::var("HELIUM_FAULT_SEED") {
        Ok(seed) => vec![seed.parse().expect("HELIUM_FAULT_SEED is a number")],
        Err(_) => (0..2).map(|_| rand::rng().random()).collect(),
    };
    for seed in seeds {
        println!("seed {seed}");
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let mut coin = StdRng::seed_from_u64(seed);
    let server = Postgres::start_with(&[("fsync", "off")]).await;
    let (a, b) = (Cluster::new("a"), Cluster::new("b"));
    let good = start(&a, &server, PATIENCE).await;
    let bad = start(&b, &server, Duration::from_secs(5)).await;
    for cluster in [&a, &b] {
        let member = cluster.member(&[&cluster.authority]);
        good.write(cluster.object(&member)).await;
    }
    wait_for("both are members everywhere", BOUND, || async {
        bad.metric("kine_members_trusted").await == 2
    })
    .await;
    let told = Arc::new(Told::default());
    let (mut loyal, mut revoked) = (Vec::new(), Vec::new());
    for number in 0..WRITERS {
        // The revoked one writes through its own instance, and through the other one's.
        for (name, cluster, shim) in [("a-a", &a, &good), ("b-b", &b, &bad), ("b-a", &b, &good)] {
            let tls = shim.tls(Some(&cluster.identity(Component::ApiServer)));
            let name = format!("{name}-{number}");
            let writer = write(Arc::clone(shim), tls, name, Arc::clone(&told));
            let group = if cluster.name == "a" {
                &mut loyal
            } else {
                &mut revoked
            };
            group.push(tokio::spawn(writer));
        }
    }
    let moment = coin.random_range(50..500);
    wait_for("some load", LOAD, || {
        std::future::ready(told.count.load(Ordering::SeqCst) >= moment)
    })
    .await;

    let shut_out = b.object(&b.revoked("for the test"));
    let admin = server.url("fleet");
    if coin.random() {
        good.write(shut_out).await;
        revoke_member_role(&admin, "b").await.expect("revoked");
    } else {
        revoke_member_role(&admin, "b").await.expect("revoked");
        good.write(shut_out).await;
    }
    let since = Instant::now();
    let before = told.count.load(Ordering::SeqCst);
    wait_for("the load goes on", BOUND, || {
        std::future::ready(since.elapsed() > AFTER)
    })
    .await;
    told.over.store(true, Ordering::SeqCst);
    for writer in loyal {
        let (failed, longest) = writer.await.expect("a writer");
        assert_eq!(failed, 0, "the other one never stops");
        assert!(longest < PATIENCE, "an answer took {longest:?}");
    }
    for writer in revoked {
        let (failed, _) = writer.await.expect("a writer");
        assert!(failed > 0, "the revoked one is out");
    }
    let acknowledged = told.acknowledged.lock().clone();
    assert!(acknowledged.len() > before, "somebody goes on");

    // Late is what was told after the bound.
    let late = |key: &String, at: &Instant| key.starts_with("load/b") && *at > since + CUT_OFF;
    let late: Vec<_> = acknowledged
        .iter()
        .filter(|(key, (_, at))| late(key, at))
        .collect();
    assert!(late.is_empty(), "{late:?}");

    // Everything is there, as a member reads it.
    let reader = good.client(&a.identity(Component::Operator)).await;
    let all = reader.range(between("load/", "load0")).await;
    let all: BTreeMap<String, i64> = all
        .expect("a range")
        .kvs
        .into_iter()
        .map(|kv| {
            let key = String::from_utf8(kv.key.to_vec()).expect("text");
            (key, kv.mod_revision)
        })
        .collect();
    for (key, (at, _)) in &acknowledged {
        assert_eq!(all.get(key), Some(at), "{key} was acknowledged");
    }
    drop(reader);
    for shim in [good, bad] {
        let shim = Arc::into_inner(shim).expect("no writer is left");
        shim.stop().await;
    }
}
