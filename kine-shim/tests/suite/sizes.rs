//! Large requests, answers and numbers of streams.

use helium_etcd_proto::etcdserverpb as pb;
use tonic::Code;

use super::client::{everything, op_put, txn, watcher};
use super::target::Target;

pub(crate) async fn largest_request_is_taken_and_larger_ones_refused(target: &Target) {
    const LIMIT: usize = 1_572_864;
    let client = &target.client;
    // etcd counts its own envelope, of less than a hundred bytes.
    client.put("a", vec![b'v'; LIMIT - 100]).await;
    for size in [LIMIT + 1, LIMIT + 200_000] {
        let put = pb::PutRequest {
            key: "a".into(),
            value: vec![b'v'; size].into(),
            ..Default::default()
        };
        let status = client.put_with(put).await.expect_err("too large");
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, "etcdserver: request is too large"),
            "{size}"
        );
    }
    let put = pb::PutRequest {
        key: "a".into(),
        value: vec![b'v'; 3 << 20].into(),
        ..Default::default()
    };
    let status = client
        .put_with(put)
        .await
        .expect_err("above what is received at all");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(client.revision().await, 2);
}

pub(crate) async fn large_list_comes_in_one_answer(target: &Target) {
    const KEYS: usize = 32;
    const SIZE: usize = 1 << 20;
    let client = &target.client;
    for number in 0..KEYS {
        client.put(format!("k{number}"), vec![b'v'; SIZE]).await;
    }
    let answer = client.range(everything()).await.expect("a range");
    assert_eq!(answer.kvs.len(), KEYS);
    assert!(answer.kvs.iter().all(|kv| kv.value.len() == SIZE));
}

pub(crate) async fn large_revision_is_split_only_on_request(target: &Target) {
    const KEYS: usize = 5000;
    const VALUE: usize = 1000;
    let client = &target.client;
    for chunk in (0..KEYS).collect::<Vec<_>>().chunks(100) {
        let puts = chunk
            .iter()
            .map(|key| op_put(format!("k{key:05}"), vec![b'v'; VALUE]));
        client
            .txn(txn(vec![], puts.collect(), vec![]))
            .await
            .expect("a transaction");
    }
    let create = |fragment| pb::WatchCreateRequest {
        fragment,
        prev_kv: true,
        ..watcher("\0", "\0")
    };
    let mut whole = client.watch_created(create(false)).await;
    let mut split = client.watch_created(create(true)).await;
    let all = pb::DeleteRangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        prev_kv: false,
    };
    assert_eq!(
        client.delete_with(all).await.expect("a deletion").deleted,
        5000
    );
    let message = whole.next().await;
    assert_eq!((message.events.len(), message.fragment), (KEYS, false));
    let mut parts = vec![split.next().await];
    while parts.last().is_some_and(|part| part.fragment) {
        parts.push(split.next().await);
    }
    assert!(parts.len() >= 3, "{} parts of more than 5 MB", parts.len());
    let events: Vec<_> = parts.into_iter().flat_map(|part| part.events).collect();
    assert_eq!(events, message.events);
}

pub(crate) async fn many_streams_share_a_connection(target: &Target) {
    const STREAMS: usize = 300;
    let client = &target.client;
    let mut watches = Vec::new();
    for number in 0..STREAMS {
        watches.push(
            client
                .watch_created(watcher(format!("k{number}"), ""))
                .await,
        );
    }
    // Calls still get through on the same connection.
    for number in [0, STREAMS - 1] {
        client.put(format!("k{number}"), "v").await;
        assert_eq!(watches[number].events(1).await.len(), 1);
    }
}
