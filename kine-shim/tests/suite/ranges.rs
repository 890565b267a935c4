//! Reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use tonic::Code;

use super::client::{answers, between, everything, one, op_get, op_put, revision, txn};
use super::target::Target;

fn keys(response: &pb::RangeResponse) -> Vec<String> {
    let key =
        |kv: &helium_etcd_proto::mvccpb::KeyValue| String::from_utf8_lossy(&kv.key).into_owned();
    response.kvs.iter().map(key).collect()
}

pub(crate) async fn header_of_a_past_range_is_current(target: &Target) {
    let client = &target.client;
    for value in ["1", "2", "3"] {
        client.put("a", value).await;
    }
    let past = client
        .range(pb::RangeRequest {
            revision: 2,
            ..one("a")
        })
        .await
        .expect("a range");
    assert_eq!(revision(past.header), 4);
    assert_eq!(&past.kvs[0].value[..], b"1");
    let header = past.header.expect("a header");
    assert!(
        header.cluster_id != 0 && header.member_id != 0 && header.raft_term != 0,
        "{header:?}"
    );
}

pub(crate) async fn sort_and_filters_come_before_the_limit(target: &Target) {
    let client = &target.client;
    // Created in the order c, a, d, b; then a and c are updated.
    for key in ["c", "a", "d", "b", "a", "c"] {
        client.put(key, format!("value of {key}")).await;
    }
    let newest = pb::RangeRequest {
        limit: 1,
        sort_order: SortOrder::Descend.into(),
        sort_target: SortTarget::Create.into(),
        max_create_revision: 4,
        ..everything()
    };
    let answer = client.range(newest).await.expect("a range");
    assert_eq!(
        keys(&answer),
        ["d"],
        "the newest of those created by revision 4"
    );
    assert_eq!((answer.count, answer.more), (4, true));
    let by_mod = pb::RangeRequest {
        sort_order: SortOrder::Ascend.into(),
        sort_target: SortTarget::Mod.into(),
        min_mod_revision: 5,
        ..everything()
    };
    let answer = client.range(by_mod).await.expect("a range");
    assert_eq!(keys(&answer), ["b", "a", "c"]);
    assert_eq!((answer.count, answer.more), (4, false));
    let by_version = pb::RangeRequest {
        sort_order: SortOrder::Descend.into(),
        sort_target: SortTarget::Value.into(),
        limit: 2,
        ..everything()
    };
    let answer = client.range(by_version).await.expect("a range");
    assert_eq!(keys(&answer), ["d", "c"]);
    let backwards = pb::RangeRequest {
        sort_order: SortOrder::Descend.into(),
        ..everything()
    };
    assert_eq!(
        keys(&client.range(backwards).await.expect("a range")),
        ["d", "c", "b", "a"]
    );
}

pub(crate) async fn count_ignores_limit_and_filters(target: &Target) {
    let client = &target.client;
    for key in ["a", "b", "c", "d", "e"] {
        client.put(key, "v").await;
    }
    for (limit, more, kvs) in [
        (0, false, 5),
        (-1, false, 5),
        (2, true, 2),
        (5, false, 5),
        (9, false, 5),
    ] {
        let request = pb::RangeRequest {
            limit,
            ..everything()
        };
        let answer = client.range(request).await.expect("a range");
        assert_eq!(
            (answer.count, answer.more, answer.kvs.len()),
            (5, more, kvs),
            "limit {limit}"
        );
    }
    let counted = pb::RangeRequest {
        count_only: true,
        limit: 2,
        ..everything()
    };
    let answer = client.range(counted).await.expect("a range");
    assert_eq!((answer.count, answer.more, answer.kvs.len()), (5, false, 0));
    for (key, end) in [("c", "c"), ("d", "b")] {
        let answer = client.range(between(key, end)).await.expect("a range");
        assert_eq!(
            (answer.count, answer.more, answer.kvs.len()),
            (0, false, 0),
            "{key} {end}"
        );
    }
}

pub(crate) async fn binary_keys_are_ordered_by_their_bytes(target: &Target) {
    let client = &target.client;
    let mut keys: Vec<Vec<u8>> = vec![
        vec![0],
        vec![0, 0],
        b"a".to_vec(),
        b"a\0".to_vec(),
        "é".as_bytes().to_vec(),
        vec![0x80],
        vec![0xff],
        vec![0xff, 0xff],
        b"/a/x".to_vec(),
        b"/ab".to_vec(),
    ];
    for key in keys.iter().rev() {
        client.put(key.clone(), key.clone()).await;
    }
    keys.sort();
    let answer = client.range(everything()).await.expect("a range");
    let found: Vec<Vec<u8>> = answer.kvs.iter().map(|kv| kv.key.to_vec()).collect();
    assert_eq!(found, keys);
    let prefix = client.range(between("/a/", "/a0")).await.expect("a range");
    assert_eq!(
        prefix.kvs.len(),
        1,
        "a prefix doesn't leak into its neighbours"
    );
    let top = client
        .range(between(vec![0xff], vec![0]))
        .await
        .expect("a range");
    assert_eq!(top.kvs.len(), 2, "what begins with 0xff");
}

pub(crate) async fn every_range_form_is_understood(target: &Target) {
    let client = &target.client;
    for key in ["a", "b", "c"] {
        client.put(key, key).await;
    }
    for (key, end, expected) in [
        ("b", "", vec!["b"]),
        ("b", "\0", vec!["b", "c"]),
        ("\0", "\0", vec!["a", "b", "c"]),
        ("a", "c", vec!["a", "b"]),
        ("aa", "bb", vec!["b"]),
        ("x", "", vec![]),
    ] {
        let answer = client.range(between(key, end)).await.expect("a range");
        assert_eq!(keys(&answer), expected, "{key:?} {end:?}");
        let count = i64::try_from(expected.len()).expect("small");
        assert_eq!(answer.count, count);
    }
    for serializable in [true, false] {
        let request = pb::RangeRequest {
            serializable,
            ..one("b")
        };
        assert_eq!(client.range(request).await.expect("a range").kvs.len(), 1);
    }
}

pub(crate) async fn keys_only_drops_values(target: &Target) {
    let client = &target.client;
    client.put("a", "1").await;
    client.put("a", "2").await;
    let request = pb::RangeRequest {
        keys_only: true,
        ..everything()
    };
    let answer = client.range(request).await.expect("a range");
    let kv = &answer.kvs[0];
    assert!(kv.value.is_empty());
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (2, 3, 2));
}

pub(crate) async fn read_only_transaction_is_one_snapshot(target: &Target) {
    let client = target.client.clone();
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (client, done) = (client.clone(), Arc::clone(&done));
        async move {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                let both = vec![
                    op_put("x", number.to_string()),
                    op_put("y", number.to_string()),
                ];
                client
                    .txn(txn(vec![], both, vec![]))
                    .await
                    .expect("a transaction");
            }
        }
    });
    for round in 0..100 {
        let serializable = round % 2 == 0;
        let get = |key: &'static str| {
            super::client::op_range(pb::RangeRequest {
                serializable,
                ..one(key)
            })
        };
        let request = if round % 3 == 0 {
            txn(vec![], vec![op_get("x"), op_get("y")], vec![])
        } else {
            txn(vec![], vec![get("x"), get("y")], vec![])
        };
        let response = client.txn(request).await.expect("a transaction");
        let values: Vec<_> = answers(response)
            .into_iter()
            .map(|answer| match answer {
                pb::response_op::Response::ResponseRange(range) => range
                    .kvs
                    .first()
                    .map(|kv| (kv.value.clone(), kv.mod_revision)),
                other => panic!("a range, got {other:?}"),
            })
            .collect();
        assert_eq!(values[0], values[1], "round {round}");
    }
    done.store(true, Ordering::Relaxed);
    writer.await.expect("the writer ends");
}

pub(crate) async fn streamed_range_merges_into_the_range(target: &Target) {
    let client = &target.client;
    for number in 0..137 {
        client.put(format!("k{number:04}"), vec![b'v'; 1000]).await;
    }
    for request in [
        everything(),
        pb::RangeRequest {
            limit: 50,
            ..everything()
        },
        pb::RangeRequest {
            count_only: true,
            ..everything()
        },
        pb::RangeRequest {
            keys_only: true,
            ..between("k0010", "k0020")
        },
        pb::RangeRequest {
            revision: 40,
            ..everything()
        },
        one("k0003"),
        one("nothing"),
    ] {
        let whole = client.range(request.clone()).await.expect("a range");
        let stream = client
            .kv()
            .range_stream(request.clone())
            .await
            .expect("a stream");
        let mut stream = stream.into_inner();
        let mut merged = pb::RangeResponse::default();
        while let Some(chunk) = stream.message().await.expect("a chunk") {
            let chunk = chunk.range_response.expect("a range");
            assert!(merged.header.is_none(), "the header comes last");
            merged.kvs.extend(chunk.kvs);
            merged.header = chunk.header;
            merged.more |= chunk.more;
            merged.count += chunk.count;
        }
        assert_eq!(merged.kvs, whole.kvs, "{request:?}");
        assert_eq!(
            (merged.more, merged.count),
            (whole.more, whole.count),
            "{request:?}"
        );
        assert_eq!(
            revision(merged.header),
            revision(whole.header),
            "{request:?}"
        );
    }
    let sorted = pb::RangeRequest {
        sort_order: SortOrder::Descend.into(),
        ..everything()
    };
    let refused = async {
        client
            .kv()
            .range_stream(sorted)
            .await?
            .into_inner()
            .message()
            .await
    };
    assert_eq!(
        refused.await.expect_err("refused").code(),
        Code::Unimplemented
    );
}
