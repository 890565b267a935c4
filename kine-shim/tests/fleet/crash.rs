//! `kill -9` in the middle of writes, again and again: what was acknowledged is there, nothing is
//! there twice, and revisions have no holes.
//!
//! The seed is printed; `HELIUM_SEED` replays when the kills come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::compare::{CompareResult, TargetUnion};
use helium_etcd_proto::mvccpb::Event;
use helium_journal::faulty::seed;
use helium_testkit::{Postgres, free_port, wait_for};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;

use super::client::{BOUND, Client, compare, everything, op_put, revision, txn, watcher};
use super::instance::Instance;
use super::program::Program;

const ROUNDS: usize = 50;
const WRITERS: usize = 4;
const COUNTER: &str = "counter";

/// What the clients know.
#[derive(Default)]
struct Told {
    /// Keys that were put, each once, by the revision of the acknowledgement.
    acknowledged: BTreeMap<i64, Bytes>,
    /// Keys whose put got no answer.
    unknown: BTreeSet<Bytes>,
    /// Counts that were acknowledged, by revision.
    counted: BTreeMap<i64, i64>,
    /// Increments that got no answer.
    uncounted: usize,
}

type Shared = Arc<Mutex<Told>>;

/// Puts keys that nobody else puts, until a put gets no answer.
async fn put_all(client: Client, told: Shared, name: String) {
    for number in 0.. {
        let key = Bytes::from(format!("{name}/{number}"));
        let put = pb::PutRequest {
            key: key.clone(),
            value: key.clone(),
            ..Default::default()
        };
        match client.put_with(put).await {
            Ok(done) => {
                let at = revision(done.header);
                let twice = told.lock().acknowledged.insert(at, key);
                assert_eq!(twice, None, "two puts were acknowledged at {at}");
            }
            Err(_) => {
                told.lock().unknown.insert(key);
                return;
            }
        }
    }
}

/// Counts in one key, by comparing, until there is no answer. Others may count there too.
async fn count(client: Client, told: Shared) {
    loop {
        let Ok(read) = client.range(super::client::one(COUNTER)).await else {
            return;
        };
        let (now, at) = read.kvs.first().map_or((0, 0), |kv| {
            let text = std::str::from_utf8(&kv.value).expect("text");
            (text.parse().expect("a number"), kv.mod_revision)
        });
        let next: i64 = now + 1;
        let unchanged = compare(COUNTER, CompareResult::Equal, TargetUnion::ModRevision(at));
        let write = vec![op_put(COUNTER, next.to_string())];
        match client.txn(txn(vec![unchanged], write, vec![])).await {
            Ok(done) if done.succeeded => {
                told.lock().counted.insert(revision(done.header), next);
            }
            Ok(_) => {}
            Err(_) => {
                told.lock().uncounted += 1;
                return;
            }
        }
    }
}

/// Writes through the program and kills it once some more writes are acknowledged.
async fn round(program: Program, told: &Shared, name: &str, kill_after: usize) {
    let before = told.lock().acknowledged.len();
    let mut tasks = JoinSet::new();
    for writer in 0..WRITERS {
        let name = format!("{name}/{writer}");
        tasks.spawn(put_all(program.client.clone(), Arc::clone(told), name));
    }
    tasks.spawn(count(program.client.clone(), Arc::clone(told)));
    wait_for("writes to be acknowledged", BOUND, || {
        std::future::ready(told.lock().acknowledged.len() >= before + kill_after)
    })
    .await;
    program.kill();
    let ended = tokio::time::timeout(BOUND, tasks.join_all()).await;
    ended.expect("clients of a dead server are told");
}

/// A client that did `put_all` was stopped: its last put may have happened.
fn give_up(told: &Shared, name: &str) {
    let mut told = told.lock();
    let prefix = format!("{name}/");
    let keys = told.acknowledged.values();
    let answered = keys
        .filter(|key| key.starts_with(prefix.as_bytes()))
        .count();
    told.unknown.insert(format!("{prefix}{answered}").into());
}

/// The newest write that was acknowledged is in a linearizable read.
async fn check_newest(client: &Client, told: &Shared) {
    let newest = told
        .lock()
        .acknowledged
        .last_key_value()
        .map(|(at, key)| (*at, key.clone()));
    if let Some((at, key)) = newest {
        let found = client.get(key.clone()).await.map(|kv| kv.mod_revision);
        assert_eq!(found, Some(at), "{key:?} was acknowledged");
    }
}

/// The whole history of the store, by a watch from its beginning.
async fn history(client: &Client) -> Vec<Event> {
    let create = pb::WatchCreateRequest {
        start_revision: 1,
        ..watcher("\0", "\0")
    };
    let mut watch = client.watch_created(create).await;
    let last = client.revision().await;
    let count = usize::try_from(last - 1).expect("a revision");
    watch.events(count).await
}

/// Everything that happened, against what the clients know.
fn check(history: &[Event], told: &Told) {
    let pairs: Vec<_> = history
        .iter()
        .filter_map(|event| event.kv.as_ref())
        .collect();
    let revisions: Vec<i64> = pairs.iter().map(|kv| kv.mod_revision).collect();
    let dense: Vec<i64> = (2..).take(pairs.len()).collect();
    assert_eq!(
        revisions, dense,
        "one event for each revision, without holes"
    );
    let mut puts = BTreeMap::new();
    let mut counts = Vec::new();
    for kv in pairs {
        if kv.key == COUNTER {
            let text = std::str::from_utf8(&kv.value).expect("text");
            counts.push((kv.mod_revision, text.parse::<i64>().expect("a number")));
        } else {
            assert_eq!(kv.version, 1, "{:?} was put twice", kv.key);
            puts.insert(kv.mod_revision, kv.key.clone());
        }
    }
    for (at, key) in &told.acknowledged {
        assert_eq!(puts.get(at), Some(key), "acknowledged at {at}");
    }
    for (at, key) in &puts {
        let known = told.acknowledged.get(at) == Some(key) || told.unknown.contains(key);
        assert!(known, "{key:?} at {at} was never asked for");
    }
    let happened = puts.values().filter(|key| told.unknown.contains(*key));
    println!(
        "{} puts acknowledged, {} without an answer, of which {} happened; {} counts",
        told.acknowledged.len(),
        told.unknown.len(),
        happened.count(),
        counts.len()
    );
    for (step, (at, value)) in (1..).zip(&counts) {
        assert_eq!(*value, step, "the count at {at}");
    }
    for (at, value) in &told.counted {
        assert!(
            counts.contains(&(*at, *value)),
            "{value} acknowledged at {at}"
        );
    }
    assert!(counts.len() <= told.counted.len() + told.uncounted);
}

fn moments() -> StdRng {
    let seed = seed();
    println!("HELIUM_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_what_was_acknowledged_over_fifty_kills() {
    let mut moments = moments();
    let folder = tempfile::tempdir().expect("a folder");
    let database = format!("sqlite://{}", folder.path().join("state.db").display());
    let (told, port) = (Shared::default(), free_port());
    for number in 0..ROUNDS {
        let program = Program::start(&database, port).await;
        check_newest(&program.client, &told).await;
        round(
            program,
            &told,
            &number.to_string(),
            moments.random_range(1..40),
        )
        .await;
    }
    let program = Program::start(&database, port).await;
    check(&history(&program.client).await, &told.lock());
}

/// In every other round another instance lives on, and is written to as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_what_was_acknowledged_over_fifty_kills() {
    let mut moments = moments();
    let postgres = Postgres::start().await;
    let database = postgres.url("fleet");
    let (told, port) = (Shared::default(), free_port());
    for number in 0..ROUNDS {
        let (name, kill_after) = (number.to_string(), moments.random_range(1..40));
        let program = Program::start(&database, port).await;
        check_newest(&program.client, &told).await;
        if number % 2 == 0 {
            round(program, &told, &name, kill_after).await;
            continue;
        }
        let survivor = Instance::start("survivor", &database, 0).await;
        let mut watch = survivor.client.watch_created(watcher("\0", "\0")).await;
        let from = survivor.client.revision().await;
        let writing = put_all(
            survivor.client.clone(),
            Arc::clone(&told),
            format!("survivor/{number}"),
        );
        tokio::select! {
            () = writing => panic!("the survivor's writes go on"),
            () = round(program, &told, &name, kill_after) => {}
        }
        give_up(&told, &format!("survivor/{number}"));
        check_newest(&survivor.client, &told).await;
        let listed = survivor.client.range(everything()).await.expect("a list");
        let upto = revision(listed.header);
        let mut seen = from;
        while seen < upto {
            for event in watch.next().await.events {
                let at = event.kv.expect("a pair").mod_revision;
                assert!(
                    at <= from || at == seen + 1,
                    "the survivor's watch: {at} follows {seen}"
                );
                seen = seen.max(at);
            }
        }
        survivor.stop().await;
    }
    let survivor = Instance::start("last", &database, 0).await;
    check(&history(&survivor.client).await, &told.lock());
    survivor.stop().await;
}
