//! Puts, deletions, compactions.

use std::collections::BTreeSet;

use helium_etcd_proto::etcdserverpb as pb;
use tonic::Code;

use super::client::{everything, one, revision, watcher};
use super::target::Target;

pub(crate) async fn put_of_the_same_value_is_a_write(target: &Target) {
    let client = &target.client;
    assert_eq!(client.revision().await, 1, "an empty store");
    assert_eq!(client.put("a", "1").await, 2);
    assert_eq!(client.put("a", "1").await, 3);
    let kv = client.get("a").await.expect("the key");
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 3, 2));
}

pub(crate) async fn delete_of_nothing_changes_nothing(target: &Target) {
    let client = &target.client;
    client.put("a", "1").await;
    let mut watch = client.watch_created(watcher(&b"\0"[..], &b"\0"[..])).await;
    for (key, end) in [("b", ""), ("b", "c"), ("c", "b"), ("a", "a")] {
        let request = pb::DeleteRangeRequest {
            key: key.into(),
            range_end: end.into(),
            prev_kv: true,
        };
        let answer = client.delete_with(request).await.expect("a deletion");
        assert_eq!(
            (answer.deleted, revision(answer.header)),
            (0, 2),
            "{key} {end}"
        );
    }
    let answer = client.delete("a").await;
    assert_eq!((answer.deleted, revision(answer.header)), (1, 3));
    let events = watch.events(1).await;
    assert_eq!(events.len(), 1, "only the real deletion is an event");
    let kv = events[0].kv.clone().expect("a pair");
    assert_eq!((kv.mod_revision, kv.create_revision, kv.version), (3, 0, 0));
    assert!(kv.value.is_empty());
}

pub(crate) async fn key_begins_anew_after_its_deletion(target: &Target) {
    let client = &target.client;
    client.put("a", "1").await;
    client.put("a", "2").await;
    client.delete("a").await;
    assert!(client.get("a").await.is_none());
    client.put("a", "3").await;
    let kv = client.get("a").await.expect("the key");
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (5, 5, 1));
}

pub(crate) async fn put_options_are_checked(target: &Target) {
    let client = &target.client;
    let put = |key: &'static str| pb::PutRequest {
        key: key.into(),
        ..Default::default()
    };
    for (request, code, text) in [
        (
            put(""),
            Code::InvalidArgument,
            "etcdserver: key is not provided",
        ),
        (
            pb::PutRequest {
                value: "v".into(),
                ignore_value: true,
                ..put("a")
            },
            Code::InvalidArgument,
            "etcdserver: value is provided",
        ),
        (
            pb::PutRequest {
                lease: 1,
                ignore_lease: true,
                ..put("a")
            },
            Code::InvalidArgument,
            "etcdserver: lease is provided",
        ),
        (
            pb::PutRequest {
                ignore_value: true,
                ..put("a")
            },
            Code::InvalidArgument,
            "etcdserver: key not found",
        ),
        (
            pb::PutRequest {
                ignore_lease: true,
                ..put("a")
            },
            Code::InvalidArgument,
            "etcdserver: key not found",
        ),
        (
            pb::PutRequest {
                lease: 77,
                ..put("a")
            },
            Code::NotFound,
            "etcdserver: requested lease not found",
        ),
    ] {
        let status = client.put_with(request.clone()).await.expect_err("refused");
        assert_eq!(
            (status.code(), status.message()),
            (code, text),
            "{request:?}"
        );
    }
    assert_eq!(client.revision().await, 1, "nothing was written");
    client.put("a", "1").await;
    client
        .put_with(pb::PutRequest {
            ignore_value: true,
            ..put("a")
        })
        .await
        .expect("a put");
    let kv = client.get("a").await.expect("the key");
    assert_eq!((&kv.value[..], kv.version), (&b"1"[..], 2));
}

pub(crate) async fn previous_pairs_are_answered_on_request(target: &Target) {
    let client = &target.client;
    let put = |value: &'static str| pb::PutRequest {
        key: "a".into(),
        value: value.into(),
        prev_kv: true,
        ..Default::default()
    };
    assert!(
        client
            .put_with(put("1"))
            .await
            .expect("a put")
            .prev_kv
            .is_none()
    );
    let before = client
        .put_with(put("2"))
        .await
        .expect("a put")
        .prev_kv
        .expect("a pair");
    assert_eq!((&before.value[..], before.version), (&b"1"[..], 1));
    let request = pb::DeleteRangeRequest {
        key: "a".into(),
        range_end: "b".into(),
        prev_kv: true,
    };
    let deleted = client
        .delete_with(request)
        .await
        .expect("a deletion")
        .prev_kvs;
    assert_eq!(deleted.len(), 1);
    assert_eq!((deleted[0].mod_revision, deleted[0].version), (3, 2));
}

pub(crate) async fn concurrent_puts_get_dense_revisions(target: &Target) {
    const WRITERS: usize = 16;
    const EACH: usize = 20;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let client = target.client.clone();
        writers.spawn(async move {
            let mut revisions = Vec::new();
            for number in 0..EACH {
                revisions.push(client.put(format!("k{writer}"), number.to_string()).await);
            }
            revisions
        });
    }
    let revisions: BTreeSet<i64> = writers.join_all().await.into_iter().flatten().collect();
    let expected: BTreeSet<i64> = (2..2 + i64::try_from(WRITERS * EACH).expect("small")).collect();
    assert_eq!(revisions, expected);
}

pub(crate) async fn compaction_is_refused_below_and_above(target: &Target) {
    let client = &target.client;
    for number in 0..5 {
        client.put("a", number.to_string()).await;
    }
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    let future = "etcdserver: mvcc: required revision is a future revision";
    let header = client.compact(4).await.expect("a compaction").header;
    assert_eq!(revision(header), 6, "the header shows the current revision");
    for (at, text) in [(4, compacted), (3, compacted), (7, future)] {
        let status = client.compact(at).await.expect_err("refused");
        assert_eq!(
            (status.code(), status.message()),
            (Code::OutOfRange, text),
            "{at}"
        );
    }
    client
        .compact(6)
        .await
        .expect("the current revision can be compacted");
    assert_eq!(client.revision().await, 6, "a compaction is no change");
    assert_eq!(&client.get("a").await.expect("the key").value[..], b"4");
}

pub(crate) async fn compaction_at_a_deletion_keeps_the_tombstone_for_watches(target: &Target) {
    let client = &target.client;
    client.put("a", "1").await;
    client.delete("a").await;
    client.put("b", "1").await;
    client.compact(3).await.expect("a compaction");
    let at = |revision| pb::RangeRequest {
        revision,
        ..everything()
    };
    assert!(client.range(at(3)).await.expect("a range").kvs.is_empty());
    let status = client.range(at(2)).await.expect_err("compacted");
    assert_eq!(
        status.message(),
        "etcdserver: mvcc: required revision has been compacted"
    );
    let create = pb::WatchCreateRequest {
        start_revision: 3,
        ..watcher("a", "")
    };
    let mut watch = client.watch_created(create).await;
    let events = watch.events(1).await;
    assert_eq!(events[0].r#type, 1, "the deletion itself is delivered");
    assert_eq!(events[0].kv.as_ref().map(|kv| kv.mod_revision), Some(3));
}

pub(crate) async fn errors_have_the_codes_and_texts_of_the_contract(target: &Target) {
    let client = &target.client;
    client.put("a", "1").await;
    client.put("a", "2").await;
    client.compact(3).await.expect("a compaction");
    let ranges = [
        (
            one(""),
            Code::InvalidArgument,
            "etcdserver: key is not provided",
        ),
        (
            pb::RangeRequest {
                revision: 99,
                ..one("a")
            },
            Code::OutOfRange,
            "etcdserver: mvcc: required revision is a future revision",
        ),
        (
            pb::RangeRequest {
                revision: 2,
                ..one("a")
            },
            Code::OutOfRange,
            "etcdserver: mvcc: required revision has been compacted",
        ),
        (
            pb::RangeRequest {
                sort_order: 7,
                ..one("a")
            },
            Code::InvalidArgument,
            "etcdserver: invalid sort option",
        ),
        (
            pb::RangeRequest {
                sort_target: 9,
                ..one("a")
            },
            Code::InvalidArgument,
            "etcdserver: invalid sort option",
        ),
    ];
    for (request, code, text) in ranges {
        let status = client.range(request.clone()).await.expect_err("refused");
        assert_eq!(
            (status.code(), status.message()),
            (code, text),
            "{request:?}"
        );
    }
    let status = client
        .delete_with(pb::DeleteRangeRequest::default())
        .await
        .expect_err("a deletion without a key");
    assert_eq!(status.message(), "etcdserver: key is not provided");
    let status = client.revoke(404).await.expect_err("no such lease");
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "etcdserver: requested lease not found")
    );
}
