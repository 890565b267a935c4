//! What one instance has acknowledged, every other one shows.

use helium_testkit::Postgres;

use super::client::{op_delete, op_put, revision, txn, watcher};
use super::instance::Instance;

const ROUNDS: usize = 120;

/// A put, a deletion, or both in one transaction, in turn. Returns its revision.
async fn write(writer: &Instance, round: usize, value: &str) -> i64 {
    let client = &writer.client;
    match round % 3 {
        0 => client.put("key", value.to_owned()).await,
        1 => revision(client.delete("key").await.header),
        _ => {
            let both = vec![op_delete("other", ""), op_put("key", value.to_owned())];
            let done = client.txn(txn(vec![], both, vec![])).await;
            revision(done.expect("a transaction").header)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_through_one_is_in_the_next_read_and_in_the_watch_of_the_other() {
    let postgres = Postgres::start().await;
    let url = postgres.url("fleet");
    let instances = [
        Instance::start("a", &url, 0).await,
        Instance::start("b", &url, 0).await,
    ];
    let mut watches = Vec::new();
    for instance in &instances {
        watches.push(instance.client.watch_created(watcher("key", "")).await);
    }
    let mut expected = 1;
    for round in 0..ROUNDS {
        for (writer, reader) in [(0, 1), (1, 0)] {
            let value = format!("{round} by {writer}");
            // Each instance deletes what the other one has put.
            if round % 3 == 1 {
                instances[reader].client.put("key", "to be deleted").await;
                expected += 1;
                for watch in &mut watches {
                    watch.events(1).await;
                }
            }
            let at = write(&instances[writer], round, &value).await;
            expected += 1;
            assert_eq!(at, expected, "every write is one revision, whoever made it");
            let read = instances[reader].client.get("key").await;
            let read = read.map(|kv| (kv.value, kv.mod_revision));
            let deleted = round % 3 == 1;
            let shown = (!deleted).then(|| (value.clone().into(), at));
            assert_eq!(read, shown, "round {round}: the read that follows");
            for (instance, watch) in watches.iter_mut().enumerate() {
                let events = watch.events(1).await;
                let kv = events[0].kv.clone().expect("a pair");
                let seen = (events.len(), events[0].r#type == 1, kv.mod_revision);
                assert_eq!(seen, (1, deleted, at), "round {round}: watch at {instance}");
            }
        }
    }
    for instance in instances {
        instance.stop().await;
    }
}
