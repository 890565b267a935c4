//! Watches that begin in the past.

use helium_etcd_proto::etcdserverpb as pb;

use super::client::{op_put, revision, txn, watcher};
use super::target::Target;

pub(crate) async fn created_comes_before_history(target: &Target) {
    const WRITES: usize = 2500;
    let client = &target.client;
    fill(target, WRITES).await;
    let create = pb::WatchCreateRequest {
        start_revision: 2,
        ..watcher("\0", "\0")
    };
    let mut watch = client.watch().await;
    watch.create(create).await;
    let first = watch.next().await;
    assert!(first.created && first.events.is_empty(), "{first:?}");
    let revisions: Vec<i64> = watch
        .events(WRITES)
        .await
        .iter()
        .filter_map(|event| Some(event.kv.as_ref()?.mod_revision))
        .collect();
    let last = i64::try_from(WRITES).expect("small") + 1;
    assert_eq!(revisions, (2..=last).collect::<Vec<i64>>());
}

/// Writes `count` times, many at once.
async fn fill(target: &Target, count: usize) {
    const WRITERS: usize = 50;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let client = target.client.clone();
        writers.spawn(async move {
            for number in (writer..count).step_by(WRITERS) {
                client
                    .put(format!("k{}", number % 100), number.to_string())
                    .await;
            }
        });
    }
    writers.join_all().await;
}

pub(crate) async fn watch_below_compaction_is_cancelled_with_the_revision(target: &Target) {
    let client = &target.client;
    for number in 0..5 {
        client.put("a", number.to_string()).await;
    }
    let mut watch = client.watch_created(watcher("a", "")).await;
    client.compact(5).await.expect("a compaction");
    watch
        .create(pb::WatchCreateRequest {
            start_revision: 4,
            ..watcher("a", "")
        })
        .await;
    let created = watch.next().await;
    assert!(created.created && !created.canceled, "{created:?}");
    let canceled = watch.next().await;
    assert_eq!(
        (
            canceled.watch_id,
            canceled.canceled,
            canceled.compact_revision
        ),
        (1, true, 5)
    );
    assert!(canceled.events.is_empty());
    watch
        .create(pb::WatchCreateRequest {
            start_revision: 5,
            ..watcher("a", "")
        })
        .await;
    assert!(
        watch.next().await.created,
        "the compact revision itself can be watched"
    );
    let events = watch.events(2).await;
    assert_eq!(events[0].kv.as_ref().map(|kv| kv.mod_revision), Some(5));
    client.put("a", "last").await;
    let message = watch.next().await;
    assert_eq!(
        message.events.len(),
        1,
        "the other watchers of the stream go on"
    );
}

pub(crate) async fn revision_is_never_split_by_catching_up(target: &Target) {
    const REVISIONS: i64 = 1100;
    let client = &target.client;
    for batch in 0..REVISIONS {
        let three = (0..3)
            .map(|key| op_put(format!("k{key}"), batch.to_string()))
            .collect();
        client
            .txn(txn(vec![], three, vec![]))
            .await
            .expect("a transaction");
    }
    for start_revision in [2, 500] {
        let create = pb::WatchCreateRequest {
            start_revision,
            ..watcher("\0", "\0")
        };
        let mut watch = client.watch_created(create).await;
        let mut expected = start_revision;
        while expected < REVISIONS + 2 {
            let message = watch.next().await;
            for revision in message.events.chunks(3) {
                let revisions: Vec<i64> = revision
                    .iter()
                    .filter_map(|event| Some(event.kv.as_ref()?.mod_revision))
                    .collect();
                assert_eq!(revisions, [expected; 3]);
                expected += 1;
            }
        }
    }
}

pub(crate) async fn progress_never_overtakes_events(target: &Target) {
    const WRITES: usize = 2000;
    let client = target.client.clone();
    fill(target, WRITES).await;
    let create = pb::WatchCreateRequest {
        start_revision: 2,
        ..watcher("\0", "\0")
    };
    let mut watch = client.watch_created(create).await;
    let writer = tokio::spawn({
        let client = client.clone();
        async move {
            for number in 0..200 {
                client.put("live", number.to_string()).await;
            }
        }
    });
    let last = i64::try_from(WRITES + 200).expect("small") + 1;
    let (mut seen, mut promised, mut answers) = (1, 0, 0);
    while seen < last || promised < last {
        watch.progress().await;
        let message = watch.next().await;
        if message.events.is_empty() {
            assert_eq!(message.watch_id, -1);
            promised = revision(message.header);
            answers += 1;
            assert_eq!(
                promised, seen,
                "an answer promises what was delivered, no more"
            );
        }
        for event in message.events {
            let kv = event.kv.expect("a pair");
            assert!(
                kv.mod_revision > promised,
                "an event came after its promise"
            );
            assert!(kv.mod_revision >= seen);
            seen = kv.mod_revision;
        }
    }
    assert!(answers > 0);
    writer.await.expect("the writer ends");
}
