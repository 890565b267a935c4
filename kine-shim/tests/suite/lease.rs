//! Leases.

use std::time::{Duration, Instant};

use helium_etcd_proto::etcdserverpb as pb;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::client::{BOUND, Client, revision, watcher};
use super::target::Target;

async fn put_leased(client: &Client, key: &'static str, lease: i64) {
    let put = pb::PutRequest {
        key: key.into(),
        value: "v".into(),
        lease,
        ..Default::default()
    };
    client.put_with(put).await.expect("a put");
}

pub(crate) async fn revocation_deletes_sorted_in_one_revision(target: &Target) {
    let client = &target.client;
    let granted = client.grant(600, 7).await.expect("a lease");
    assert_eq!(
        (granted.id, granted.ttl, revision(granted.header)),
        (7, 600, 1)
    );
    for key in ["c", "a", "b"] {
        put_leased(client, key, 7).await;
    }
    let create = pb::WatchCreateRequest {
        prev_kv: true,
        ..watcher("\0", "\0")
    };
    let mut watch = client.watch_created(create).await;
    let revoked = client.revoke(7).await.expect("a revocation");
    assert_eq!(revision(revoked.header), 5);
    let message = watch.next().await;
    let order: Vec<(bytes::Bytes, i64, i64)> = message
        .events
        .iter()
        .map(|event| {
            let kv = event.kv.clone().expect("a pair");
            (
                kv.key,
                kv.mod_revision,
                event.prev_kv.as_ref().expect("a pair before").lease,
            )
        })
        .collect();
    assert_eq!(
        order,
        [("a".into(), 5, 7), ("b".into(), 5, 7), ("c".into(), 5, 7)]
    );
    client.grant(600, 8).await.expect("a lease");
    client.revoke(8).await.expect("a revocation");
    assert_eq!(
        client.revision().await,
        5,
        "a lease without keys leaves no trace"
    );
}

pub(crate) async fn keys_can_leave_and_change_leases(target: &Target) {
    let client = &target.client;
    for id in [1, 2] {
        client.grant(600, id).await.expect("a lease");
    }
    for key in ["leaves", "moves", "stays"] {
        put_leased(client, key, 1).await;
    }
    client.put("leaves", "v").await;
    put_leased(client, "moves", 2).await;
    let kept = pb::PutRequest {
        key: "stays".into(),
        value: "new".into(),
        ignore_lease: true,
        ..Default::default()
    };
    client.put_with(kept).await.expect("a put");
    assert_eq!(client.get("stays").await.map(|kv| kv.lease), Some(1));
    client.revoke(1).await.expect("a revocation");
    assert!(client.get("leaves").await.is_some());
    assert!(client.get("stays").await.is_none());
    assert_eq!(client.get("moves").await.map(|kv| kv.lease), Some(2));
}

pub(crate) async fn unknown_leases_are_answers_not_errors(target: &Target) {
    let client = &target.client;
    let (requests, receiver) = mpsc::channel(8);
    // A real etcd sends no headers before its first answer, so a client asks first.
    let first = pb::LeaseKeepAliveRequest { id: 405 };
    requests
        .send(first)
        .await
        .expect("the stream takes requests");
    let mut service = client.lease();
    let stream = service.lease_keep_alive(ReceiverStream::new(receiver));
    let mut stream = stream.await.expect("a stream").into_inner();
    let answer = stream
        .message()
        .await
        .expect("no error")
        .expect("an answer");
    assert_eq!((answer.id, answer.ttl), (405, 0));
    let mut keep_alive = async |id| {
        requests
            .send(pb::LeaseKeepAliveRequest { id })
            .await
            .expect("the stream takes requests");
        stream
            .message()
            .await
            .expect("no error")
            .expect("an answer")
    };
    assert_eq!(keep_alive(404).await.ttl, 0);
    client.grant(600, 9).await.expect("a lease");
    let kept = keep_alive(9).await;
    assert_eq!(
        (kept.id, kept.ttl),
        (9, 600),
        "the stream goes on after an unknown lease"
    );
    client.revoke(9).await.expect("a revocation");
    assert_eq!(keep_alive(9).await.ttl, 0);
    let unknown = client.time_to_live(404).await;
    assert_eq!((unknown.ttl, unknown.granted_ttl, unknown.id), (-1, 0, 404));
    let status = client.revoke(404).await.expect_err("nothing to revoke");
    assert_eq!(status.code(), Code::NotFound);
    drop(requests);
    assert!(
        stream.message().await.expect("no error").is_none(),
        "half-closed: the stream ends"
    );
    if !target.is_etcd() {
        // Whoever waits for the headers first gets them.
        let (requests, receiver) = mpsc::channel(8);
        let stream = service.lease_keep_alive(ReceiverStream::new(receiver));
        let opened = tokio::time::timeout(BOUND, stream).await;
        let mut stream = opened.expect("in time").expect("a stream").into_inner();
        let request = pb::LeaseKeepAliveRequest { id: 404 };
        requests
            .send(request)
            .await
            .expect("the stream takes requests");
        let answer = stream
            .message()
            .await
            .expect("no error")
            .expect("an answer");
        assert_eq!((answer.id, answer.ttl), (404, 0));
    }
}

pub(crate) async fn grants_are_checked(target: &Target) {
    let client = &target.client;
    let own = client.grant(600, 0).await.expect("a lease");
    assert!(own.id > 0);
    let status = client.grant(600, own.id).await.expect_err("taken");
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, "etcdserver: lease already exists")
    );
    assert_eq!(
        client
            .grant(600, -5)
            .await
            .expect("negative ids are allowed")
            .id,
        -5
    );
    let status = client.grant(9_000_000_001, 0).await.expect_err("too long");
    assert_eq!(
        (status.code(), status.message()),
        (Code::OutOfRange, "etcdserver: too large lease TTL")
    );
    client.grant(9_000_000_000, 0).await.expect("the longest");
    if !target.is_etcd() {
        // etcd's minimum follows from its election timeout, which the tests shorten.
        for ttl in [0, 1, -3] {
            assert_eq!(client.grant(ttl, 0).await.expect("a lease").ttl, 2, "{ttl}");
        }
    }
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        racers.spawn(async move { client.grant(600, 42).await.is_ok() });
    }
    let winners = racers
        .join_all()
        .await
        .into_iter()
        .filter(|won| *won)
        .count();
    assert_eq!(winners, 1, "one of several grants of one id wins");
    assert_eq!(client.revision().await, 1, "leases are no revisions");
}

pub(crate) async fn time_to_live_counts_down_and_lists_keys(target: &Target) {
    let client = &target.client;
    client.grant(100, 3).await.expect("a lease");
    client.grant(50, 4).await.expect("a lease");
    put_leased(client, "b", 3).await;
    put_leased(client, "a", 3).await;
    let answer = client.time_to_live(3).await;
    assert_eq!(answer.granted_ttl, 100);
    assert!((95..=100).contains(&answer.ttl), "{answer:?}");
    let mut keys = answer.keys;
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
    let leases = client
        .lease()
        .lease_leases(pb::LeaseLeasesRequest {})
        .await
        .expect("a list");
    let ids: Vec<i64> = leases
        .into_inner()
        .leases
        .iter()
        .map(|lease| lease.id)
        .collect();
    assert_eq!(ids, [4, 3], "the soonest to expire comes first");
}

pub(crate) async fn expired_lease_deletes_its_keys(target: &Target) {
    let client = &target.client;
    let began = Instant::now();
    let ttl = client.grant(2, 6).await.expect("a lease").ttl;
    put_leased(client, "x", 6).await;
    put_leased(client, "y", 6).await;
    let mut watch = client.watch_created(watcher("\0", "\0")).await;
    let message = watch.next().await;
    let ttl = Duration::from_secs(u64::try_from(ttl).expect("positive"));
    assert!(
        began.elapsed() >= ttl,
        "a lease never ends early: {:?}",
        began.elapsed()
    );
    assert_eq!(message.events.len(), 2, "one revision");
    assert_eq!(client.time_to_live(6).await.ttl, -1);
}
