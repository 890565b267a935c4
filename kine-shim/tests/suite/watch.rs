//! Watches of what happens from now on.

use std::time::Duration;

use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::watch_create_request::FilterType;

use super::client::{op_delete, op_put, revision, txn, watcher};
use super::target::Target;

pub(crate) async fn progress_of_an_idle_watch_is_current(target: &Target) {
    let client = &target.client;
    let mut watch = client.watch_created(watcher("idle", "")).await;
    for number in 0..5 {
        client.put("busy", number.to_string()).await;
    }
    watch.progress().await;
    let answer = watch.next().await;
    assert_eq!((answer.watch_id, answer.events.len()), (-1, 0));
    assert_eq!(revision(answer.header), 6);
}

pub(crate) async fn previous_pairs_come_with_changes_but_not_with_creations(target: &Target) {
    let client = &target.client;
    let lease = client.grant(600, 0).await.expect("a lease").id;
    let create = pb::WatchCreateRequest {
        prev_kv: true,
        ..watcher("a", "")
    };
    let mut watch = client.watch_created(create).await;
    let mut bare = client.watch_created(watcher("a", "")).await;
    let put = pb::PutRequest {
        key: "a".into(),
        value: "1".into(),
        lease,
        ..Default::default()
    };
    client.put_with(put).await.expect("a put");
    client.put("a", "2").await;
    client.delete("a").await;
    let events = watch.events(3).await;
    assert!(
        events[0].prev_kv.is_none(),
        "a creation has nothing before it"
    );
    let first = events[1]
        .prev_kv
        .as_ref()
        .expect("the version before the update");
    assert_eq!(
        (&first.value[..], first.version, first.lease),
        (&b"1"[..], 1, lease)
    );
    let second = events[2]
        .prev_kv
        .as_ref()
        .expect("the version before the deletion");
    assert_eq!(
        (
            &second.value[..],
            second.version,
            second.lease,
            second.create_revision
        ),
        (&b"2"[..], 2, 0, 2)
    );
    assert!(
        bare.events(3)
            .await
            .iter()
            .all(|event| event.prev_kv.is_none())
    );
}

pub(crate) async fn transaction_comes_as_one_message(target: &Target) {
    let client = &target.client;
    client.put("gone", "1").await;
    let mut watch = client.watch_created(watcher("\0", "\0")).await;
    let operations = vec![op_put("c", "1"), op_delete("gone", ""), op_put("a", "1")];
    client
        .txn(txn(vec![], operations, vec![]))
        .await
        .expect("a transaction");
    let message = watch.next().await;
    let order: Vec<_> = message
        .events
        .iter()
        .filter_map(|event| event.kv.as_ref())
        .map(|kv| (kv.key.clone(), kv.mod_revision))
        .collect();
    let expected: Vec<(bytes::Bytes, i64)> =
        vec![("c".into(), 3), ("gone".into(), 3), ("a".into(), 3)];
    assert_eq!(order, expected);
    assert!(revision(message.header) >= 3);
}

pub(crate) async fn watch_from_the_future_starts_there(target: &Target) {
    let client = &target.client;
    let create = pb::WatchCreateRequest {
        start_revision: 4,
        ..watcher("a", "")
    };
    let mut watch = client.watch_created(create).await;
    client.put("a", "2").await;
    client.put("a", "3").await;
    watch.progress().await;
    client.put("a", "4").await;
    client.put("a", "5").await;
    let message = watch.next().await;
    assert!(
        !message.events.is_empty(),
        "no progress is told before the start: {message:?}"
    );
    let mut revisions: Vec<i64> = Vec::new();
    let mut events = message.events;
    loop {
        revisions.extend(
            events
                .iter()
                .filter_map(|event| Some(event.kv.as_ref()?.mod_revision)),
        );
        if revisions.len() >= 2 {
            break;
        }
        events = watch.events(1).await;
    }
    assert_eq!(revisions, [4, 5]);
}

pub(crate) async fn identifiers_are_given_out_and_checked(target: &Target) {
    let client = &target.client;
    let mut watch = client.watch().await;
    for expected in [0, 1, 2] {
        watch.create(watcher("a", "")).await;
        let created = watch.next().await;
        assert_eq!((created.created, created.watch_id), (true, expected));
    }
    let create = |watch_id| pb::WatchCreateRequest {
        watch_id,
        ..watcher("a", "")
    };
    watch.create(create(5)).await;
    assert_eq!(watch.next().await.watch_id, 5);
    let duplicate = "mvcc: duplicate watch ID provided on the WatchStream";
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    for (request, reason) in [
        (create(5), duplicate),
        (create(1), duplicate),
        (watcher("b", "a"), "mvcc: watcher range is empty"),
        (watcher("a", "a"), "mvcc: watcher range is empty"),
        (
            pb::WatchCreateRequest {
                start_revision: -1,
                ..watcher("a", "")
            },
            compacted,
        ),
    ] {
        watch.create(request.clone()).await;
        let refused = watch.next().await;
        assert_eq!(
            (refused.created, refused.canceled, refused.watch_id),
            (true, true, -1),
            "{request:?}"
        );
        assert_eq!(refused.cancel_reason, reason, "{request:?}");
    }
    watch.cancel(404).await;
    watch.cancel(5).await;
    let canceled = watch.next().await;
    assert_eq!(
        (canceled.canceled, canceled.created, canceled.watch_id),
        (true, false, 5)
    );
    assert!(canceled.cancel_reason.is_empty());
    watch.create(create(5)).await;
    assert!(
        watch.next().await.created,
        "an identifier that was cancelled is free again"
    );
    client.put("a", "1").await;
    let mut seen: Vec<i64> = Vec::new();
    for _ in 0..4 {
        seen.push(watch.next().await.watch_id);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 5], "every watcher gets the event");
}

pub(crate) async fn filters_withhold_events(target: &Target) {
    let client = &target.client;
    let filtered = |filter: FilterType| pb::WatchCreateRequest {
        filters: vec![filter.into()],
        ..watcher("a", "")
    };
    let mut puts = client.watch_created(filtered(FilterType::Nodelete)).await;
    let mut deletions = client.watch_created(filtered(FilterType::Noput)).await;
    client.put("a", "1").await;
    client.delete("a").await;
    client.put("a", "2").await;
    let revisions = |events: Vec<helium_etcd_proto::mvccpb::Event>| -> Vec<i64> {
        events
            .iter()
            .filter_map(|event| Some(event.kv.as_ref()?.mod_revision))
            .collect()
    };
    assert_eq!(revisions(puts.events(2).await), [2, 4]);
    assert_eq!(revisions(deletions.events(1).await), [3]);
    deletions.progress().await;
    let progress = deletions.next().await;
    assert_eq!(
        revision(progress.header),
        4,
        "what was filtered counts as seen"
    );
    assert!(progress.events.is_empty());
}

pub(crate) async fn half_closed_stream_goes_on(target: &Target) {
    let client = &target.client;
    let mut watch = client.watch_created(watcher("a", "")).await;
    watch.half_close();
    for number in 0..3 {
        client.put("a", number.to_string()).await;
    }
    assert_eq!(watch.events(3).await.len(), 3);
}

pub(crate) async fn many_watchers_share_a_stream(target: &Target) {
    const WATCHERS: usize = 1000;
    let client = &target.client;
    let mut watch = client.watch().await;
    for number in 0..WATCHERS {
        watch.create(watcher(format!("k{number}"), "")).await;
    }
    for _ in 0..WATCHERS {
        assert!(watch.next().await.created);
    }
    client.put("k0", "1").await;
    client.put("k999", "1").await;
    let (first, second) = (watch.next().await, watch.next().await);
    assert_eq!((first.watch_id, second.watch_id), (0, 999));
    assert!(
        watch.next_within(Duration::from_millis(50)).await.is_none(),
        "nothing else"
    );
}
