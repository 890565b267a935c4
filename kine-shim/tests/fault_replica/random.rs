//! Many writers on several replicas over a journal that fails at random, and a check of the whole
//! history: revisions dense, no acknowledged write lost, none done twice, every watcher sees every
//! event once and in order, no linearizable read stale.
//!
//! The seed is printed; `HELIUM_FAULT_SEED` replays it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use helium_mvcc::{
    DeleteRangeRequest, EventKind, KeyRange, Request, Response, Revision, WatchBody, WatchRequest,
};
use helium_testkit::wait_for;
use kine_shim::replica::{Error, Options, WatchStream};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::harness::{BOUND, Instance, World, options, put, quiet, swap};

const KEYS: usize = 6;
const WRITERS: usize = 6;
const WRITES: usize = 60;

/// What clients were told.
#[derive(Debug, Default)]
struct Told {
    /// Acknowledged values by the revision of their acknowledgement; empty for a deletion.
    acknowledged: Mutex<BTreeMap<Revision, String>>,
    newest: AtomicI64,
    unknown: AtomicI64,
}

impl Told {
    fn acknowledge(&self, revision: Revision, value: String) {
        let twice = self.acknowledged.lock().insert(revision, value);
        assert_eq!(twice, None, "two writes were acknowledged at {revision}");
        self.newest.fetch_max(revision.0, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_random_schedule_keeps_every_promise() {
    let seeds: Vec<u64> = match std::env::var("HELIUM_FAULT_SEED") {
        Ok(seed) => vec![seed.parse().expect("HELIUM_FAULT_SEED is a number")],
        Err(_) => (0..4).map(|_| rand::rng().random()).collect(),
    };
    for (round, seed) in seeds.into_iter().enumerate() {
        println!("seed {seed}");
        run(seed, 2 + round % 2).await;
    }
}

async fn run(seed: u64, replicas: usize) {
    let world = World::default();
    let told = Arc::new(Told::default());
    let mut instances = Vec::new();
    for n in 0..replicas {
        let options = Options {
            poll_max: Duration::from_millis(5),
            owner_timeout: Duration::from_millis(200),
            heartbeat_interval: Duration::from_millis(50),
            ..options(&format!("replica-{n}"))
        };
        instances.push(Arc::new(world.start_with(options).await));
    }
    let watchers: Vec<_> = instances
        .iter()
        .map(|instance| {
            let stream = instance.replica.watch_stream().expect("served");
            stream.create(WatchRequest {
                start_revision: Revision(2),
                ..WatchRequest::new(KeyRange::all())
            });
            let seen = Arc::new(Mutex::new(Vec::new()));
            (tokio::spawn(watch(stream, Arc::clone(&seen))), seen)
        })
        .collect();
    for (n, instance) in instances.iter().enumerate() {
        instance.journal.misbehave(seed.wrapping_add(n as u64), 4);
    }

    let mut tasks = Vec::new();
    for (n, instance) in instances.iter().enumerate() {
        for writer in 0..WRITERS {
            let rng = StdRng::seed_from_u64(seed ^ ((n * 100 + writer) as u64 + 1));
            let work = write(
                Arc::clone(instance),
                Arc::clone(&told),
                rng,
                format!("{n}-{writer}"),
            );
            tasks.push(tokio::spawn(work));
        }
        tasks.push(tokio::spawn(read(Arc::clone(instance), Arc::clone(&told))));
    }
    for task in tasks {
        task.await
            .unwrap_or_else(|panic| panic!("seed {seed}: {panic}"));
    }

    for instance in &instances {
        instance.journal.behave();
    }
    let fresh = world.start_with(quiet("fresh")).await;
    let last = fresh.revision();
    for instance in &instances {
        instance
            .replica
            .read_barrier()
            .await
            .expect("it behaves now");
        assert_eq!(instance.digest(), fresh.digest(), "seed {seed}");
        assert_eq!(instance.replica.status().incarnation.0, 0, "seed {seed}");
    }
    for (task, seen) in watchers {
        wait_for(
            format!("seed {seed}: the watcher to see {last}"),
            BOUND,
            || std::future::ready(seen.lock().last().is_some_and(|(at, _)| *at >= last)),
        )
        .await;
        task.abort();
        check(seed, last, &seen.lock(), &told);
    }
    for instance in instances {
        instance.replica.stop().await;
    }
}

/// All that a watcher saw, against what clients were told.
fn check(seed: u64, last: Revision, seen: &[(Revision, String)], told: &Told) {
    let revisions: Vec<i64> = seen.iter().map(|(revision, _)| revision.0).collect();
    let dense: Vec<i64> = (2..=last.0).collect();
    assert_eq!(
        revisions, dense,
        "seed {seed}: each revision once, in order"
    );
    let at: HashMap<Revision, &String> = seen.iter().map(|(at, value)| (*at, value)).collect();
    for (revision, value) in told.acknowledged.lock().iter() {
        assert_eq!(
            at.get(revision),
            Some(&value),
            "seed {seed}: acknowledged at {revision}"
        );
    }
    let mut values: Vec<_> = seen
        .iter()
        .map(|(_, value)| value)
        .filter(|v| !v.is_empty())
        .collect();
    let all = values.len();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), all, "seed {seed}: a write was done twice");
    let acknowledged = told.acknowledged.lock().len();
    let unknown = usize::try_from(told.unknown.load(Ordering::SeqCst)).expect("a count");
    assert!(
        all <= acknowledged + unknown,
        "seed {seed}: a refused write was done"
    );
    assert!(
        acknowledged > WRITES,
        "seed {seed}: hardly anything was acknowledged"
    );
}

async fn watch(stream: WatchStream, seen: Arc<Mutex<Vec<(Revision, String)>>>) {
    loop {
        let poll = stream.next().await.expect("not stopped");
        assert!(!poll.closed, "the stream ended");
        for message in poll.messages {
            match message.body {
                WatchBody::Events(events) => seen.lock().extend(events.iter().map(|event| {
                    let value = match event.kind {
                        EventKind::Put => String::from_utf8_lossy(&event.kv.value).into_owned(),
                        EventKind::Delete => String::new(),
                    };
                    (event.revision(), value)
                })),
                WatchBody::Created | WatchBody::Progress => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn write(instance: Arc<Instance>, told: Arc<Told>, mut rng: StdRng, name: String) {
    for n in 0..WRITES {
        let key = format!("key-{}", rng.random_range(0..KEYS));
        let value = format!("{name}-{n}");
        let (request, value) = match rng.random_range(0..10) {
            0 => {
                let delete = DeleteRangeRequest::new(KeyRange::single(key));
                (Request::DeleteRange(delete), String::new())
            }
            1..5 => (put(&key, &value), value),
            _ => {
                let known = instance.replica.read(|state| {
                    state
                        .get(key.as_bytes())
                        .map_or(Revision::UNSET, |kv| kv.mod_revision)
                });
                (swap(&key, known.expect("served"), &value), value)
            }
        };
        match instance.propose(request).await {
            Ok(Response::Put(answer)) => told.acknowledge(answer.revision, value),
            Ok(Response::Txn(answer)) if answer.succeeded => {
                told.acknowledge(answer.revision, value);
            }
            Ok(Response::DeleteRange(answer)) if answer.deleted > 0 => {
                told.acknowledge(answer.revision, value);
            }
            Ok(_) => {}
            Err(Error::Refused(error)) => panic!("{error}"),
            Err(_) => {
                told.unknown.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

async fn read(instance: Arc<Instance>, told: Arc<Told>) {
    for _ in 0..WRITES * 2 {
        let acknowledged = told.newest.load(Ordering::SeqCst);
        if instance.replica.read_barrier().await.is_ok() {
            let read = instance.revision().0;
            assert!(
                read >= acknowledged,
                "a read at {read} began after {acknowledged}"
            );
        }
        tokio::task::yield_now().await;
    }
}
