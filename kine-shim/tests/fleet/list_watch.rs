//! List, then watch from there: nothing is missed, doubled or out of order, through whichever
//! instance, while 32 clients write through two of them and commits are delayed, or done without
//! an answer.
//!
//! The seed is printed; `HELIUM_SEED` replays it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::mvccpb::{Event, KeyValue};
use helium_journal::faulty::{Call, Rates, seed};
use helium_testkit::{Postgres, wait_for};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::JoinSet;

use super::client::{Client, everything, op_delete, op_put, revision, txn, watcher};
use super::instance::Instance;

const WRITERS: usize = 32;
const WRITES: usize = 10_000;
const KEYS: usize = 100;
/// Clients that list and watch, at each instance, spread over the time of the writing.
const READERS: usize = 6;
const BOUND: Duration = Duration::from_secs(60);
/// Every write makes one revision, and the empty store is at 1.
const LAST: i64 = 1 + WRITES as i64;

/// How far the writing is, and what was acknowledged.
#[derive(Default)]
struct Progress {
    begun: AtomicUsize,
    /// The key and value that was put, by revision.
    acknowledged: Mutex<BTreeMap<i64, (Bytes, Bytes)>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_or_doubled_by_list_and_watch_while_commits_are_slow() {
    let seed = seed();
    println!("HELIUM_SEED={seed}");
    let postgres = Postgres::start().await;
    let url = postgres.url("fleet");
    let instances = [
        Instance::start("a", &url, seed).await,
        Instance::start("b", &url, seed.wrapping_add(1)).await,
    ];
    for instance in &instances {
        let rates = Rates {
            slow: 0.3,
            slow_up_to: Duration::from_millis(8),
            unanswered: 0.01,
            ..Rates::default()
        };
        instance.faults.rates_of(Call::EntryAppend, rates);
    }
    let progress = Arc::new(Progress::default());
    let mut tasks = JoinSet::new();
    for (n, instance) in instances.iter().enumerate() {
        for reader in 0..READERS {
            let (client, progress) = (instance.client.clone(), Arc::clone(&progress));
            tasks.spawn(async move { read(client, &progress, reader * WRITES / READERS).await });
        }
        for writer in 0..WRITERS / instances.len() {
            let rng = StdRng::seed_from_u64(seed ^ (n * WRITERS + writer) as u64);
            let (client, progress) = (instance.client.clone(), Arc::clone(&progress));
            tasks.spawn(async move { write(client, &progress, rng).await });
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap_or_else(|panic| panic!("HELIUM_SEED={seed}: {panic}"));
    }
    for instance in instances {
        instance.stop().await;
    }
}

async fn write(client: Client, progress: &Progress, mut rng: StdRng) {
    loop {
        let number = progress.begun.fetch_add(1, Ordering::SeqCst);
        if number >= WRITES {
            return;
        }
        let key = rng.random_range(0..KEYS);
        let other = (key + rng.random_range(1..KEYS)) % KEYS;
        let (key, other) = (format!("key-{key:03}"), format!("key-{other:03}"));
        let value = format!("value {number}");
        let at = if rng.random_bool(0.3) {
            let moved = vec![op_delete(other, ""), op_put(key.clone(), value.clone())];
            let done = client.txn(txn(vec![], moved, vec![])).await;
            revision(done.expect("a transaction").header)
        } else {
            client.put(key.clone(), value.clone()).await
        };
        let put = (key.into(), value.into());
        let twice = progress.acknowledged.lock().insert(at, put);
        assert_eq!(twice, None, "two writes were acknowledged at {at}");
    }
}

/// Lists once `after` writes have begun, watches from there to the end, and checks everything.
async fn read(client: Client, progress: &Progress, after: usize) {
    let begun = || std::future::ready(progress.begun.load(Ordering::SeqCst) >= after);
    wait_for("the writing to begin", BOUND, begun).await;
    let mut copy = Copy::list(&client).await;
    let listed_at = copy.revision;
    let create = pb::WatchCreateRequest {
        start_revision: listed_at + 1,
        prev_kv: true,
        ..watcher("\0", "\0")
    };
    let mut watch = client.watch_created(create).await;
    let follow = async {
        while copy.revision < LAST {
            let message = watch.next().await;
            let mut last = copy.revision;
            for event in message.events {
                copy.apply(event, &mut last);
            }
            copy.revision = last;
        }
    };
    let followed = tokio::time::timeout(BOUND, follow).await;
    followed.unwrap_or_else(|_| panic!("at {} after {BOUND:?}, not at {LAST}", copy.revision));
    let now = Copy::list(&client).await;
    assert_eq!(now.revision, LAST, "every write is one revision");
    assert_eq!(copy.pairs, now.pairs, "the copy is the store");
    let every = || std::future::ready(progress.acknowledged.lock().len() == WRITES);
    wait_for("every write to be acknowledged", BOUND, every).await;
    let acknowledged = progress.acknowledged.lock();
    let since: Vec<_> = acknowledged.range(listed_at + 1..).collect();
    let seen: Vec<_> = copy.puts.iter().map(|(at, put)| (at, put)).collect();
    assert_eq!(seen, since, "what is seen is what was acknowledged");
}

/// A client's copy of the store.
struct Copy {
    revision: i64,
    pairs: BTreeMap<Bytes, KeyValue>,
    /// What was put while it was watched, by revision.
    puts: Vec<(i64, (Bytes, Bytes))>,
}

impl Copy {
    async fn list(client: &Client) -> Self {
        let listed = client.range(everything()).await.expect("a list");
        let revision = revision(listed.header);
        let pairs: BTreeMap<_, _> = listed
            .kvs
            .into_iter()
            .map(|kv| (kv.key.clone(), kv))
            .collect();
        assert!(pairs.values().all(|kv| kv.mod_revision <= revision));
        Self {
            revision,
            pairs,
            puts: Vec::new(),
        }
    }

    /// Applies an event of the same revision as the one before it, or of the next.
    fn apply(&mut self, event: Event, last: &mut i64) {
        let kv = event.kv.expect("a pair");
        let same = kv.mod_revision == *last && *last > self.revision;
        assert!(
            same || kv.mod_revision == *last + 1,
            "{} follows {last} in a message after {}",
            kv.mod_revision,
            self.revision
        );
        *last = kv.mod_revision;
        let deleted = event.r#type == 1;
        let before = self.pairs.get(&kv.key).cloned();
        assert_eq!(event.prev_kv, before, "prev_kv at {last}");
        if deleted {
            assert!(self.pairs.remove(&kv.key).is_some(), "deleted at {last}");
        } else {
            let version = before.as_ref().map_or(0, |kv| kv.version) + 1;
            let created = before.map_or(*last, |kv| kv.create_revision);
            assert_eq!((kv.version, kv.create_revision), (version, created));
            self.puts.push((*last, (kv.key.clone(), kv.value.clone())));
            self.pairs.insert(kv.key.clone(), kv);
        }
    }
}
