//! What is written here reads back as the generated messages.

use std::sync::Arc;

use helium_etcd_proto::etcdserverpb as pb;
use helium_mvcc::{LeaseId, Revision};
use proptest::prelude::*;
use prost::Message;

use super::*;

fn written(message: &impl Wire) -> BytesMut {
    let mut buffer = BytesMut::new();
    message.write(&mut buffer);
    assert_eq!(
        buffer.len(),
        message.len(),
        "a message is as long as it says"
    );
    buffer
}

fn header() -> Header {
    Header {
        cluster_id: u64::MAX,
        member_id: 1 << 63,
        revision: 300,
        raft_term: 2,
    }
}

fn kv(key: &'static str, value: Vec<u8>, lease: i64) -> Arc<KeyValue> {
    Arc::new(KeyValue {
        key: key.into(),
        value: value.into(),
        create_revision: Revision(2),
        mod_revision: Revision(1 << 40),
        version: 128,
        lease: LeaseId(lease),
    })
}

fn assert_same(ours: &KeyValue, theirs: &helium_etcd_proto::mvccpb::KeyValue) {
    assert_eq!(ours.key, theirs.key);
    assert_eq!(ours.value, theirs.value);
    assert_eq!(ours.create_revision.0, theirs.create_revision);
    assert_eq!(ours.mod_revision.0, theirs.mod_revision);
    assert_eq!(ours.version, theirs.version);
    assert_eq!(ours.lease.0, theirs.lease);
}

proptest! {
    #[test]
    fn ranges_read_back(
        value in proptest::collection::vec(any::<u8>(), 0..300),
        lease in any::<i64>(),
        more in any::<bool>(),
        count in any::<i64>(),
    ) {
        let response = RangeResponse {
            revision: Revision(300),
            kvs: vec![kv("a", value.clone(), lease), kv("b", Vec::new(), 0)],
            more,
            count,
        };
        let bytes = written(&Answer::new(header(), &response));
        let read = pb::RangeResponse::decode(bytes).expect("a message");
        prop_assert_eq!(read.header, Some(header().into()));
        prop_assert_eq!((read.more, read.count), (more, count));
        prop_assert_eq!(read.kvs.len(), 2);
        for (ours, theirs) in response.kvs.iter().zip(&read.kvs) {
            assert_same(ours, theirs);
        }
    }
}

#[test]
fn transactions_read_back_with_everything_nested() {
    let nested = TxnResponse {
        revision: Revision::UNSET,
        succeeded: true,
        responses: vec![TxnOpResponse::DeleteRange(DeleteRangeResponse {
            revision: Revision(9),
            deleted: 1,
            prev_kvs: vec![kv("d", vec![1; 200], 7)],
        })],
    };
    let txn = TxnResponse {
        revision: Revision(9),
        succeeded: false,
        responses: vec![
            TxnOpResponse::Put(PutResponse {
                revision: Revision(9),
                prev_kv: Some(kv("p", vec![2; 3], -1)),
            }),
            TxnOpResponse::Range(RangeResponse {
                revision: Revision(8),
                ..Default::default()
            }),
            TxnOpResponse::Txn(nested),
        ],
    };
    let read = pb::TxnResponse::decode(written(&Answer::new(header(), &txn))).expect("a message");
    use pb::response_op::Response;
    let inner: Vec<_> = read
        .responses
        .into_iter()
        .filter_map(|op| op.response)
        .collect();
    let [
        Response::ResponsePut(put),
        Response::ResponseRange(range),
        Response::ResponseTxn(txn),
    ] = &inner[..]
    else {
        panic!("the three responses in order, got {inner:?}");
    };
    assert_eq!(put.header.map(|header| header.revision), Some(9));
    assert_eq!(put.prev_kv.as_ref().map(|kv| kv.lease), Some(-1));
    assert_eq!(range.header.map(|header| header.revision), Some(8));
    assert_eq!(txn.header.map(|header| header.revision), Some(0));
    assert!(matches!(
        &txn.responses[0].response,
        Some(Response::ResponseDeleteRange(delete)) if delete.deleted == 1
    ));
}

#[test]
fn watch_messages_read_back() {
    let events = [
        Event::new(kv("a", vec![5; 1000], 0), Some(kv("a", vec![4], 3))),
        Event::new(Arc::new(KeyValue::tombstone("b".into(), Revision(8))), None),
    ];
    let message = WatchMessage {
        header: header(),
        watch_id: -1,
        fragment: true,
        cancel_reason: "why",
        events: &events,
        ..WatchMessage::default()
    };
    let read = pb::WatchResponse::decode(written(&message)).expect("a message");
    assert_eq!(
        (read.watch_id, read.fragment, read.cancel_reason.as_str()),
        (-1, true, "why")
    );
    assert_same(&events[0].kv, read.events[0].kv.as_ref().expect("the pair"));
    assert!(read.events[0].prev_kv.is_some());
    assert_eq!(read.events[1].r#type, 1);
    assert_eq!(
        read.events[1].kv.as_ref().map(|kv| kv.mod_revision),
        Some(8)
    );
}

#[test]
fn chunks_of_a_stream_merge_into_the_range() {
    let response = RangeResponse {
        revision: Revision(5),
        kvs: vec![kv("a", vec![1], 0)],
        more: true,
        count: 7,
    };
    let read = |last| {
        let chunk = Chunk(Answer::new(header(), &response), last);
        let read = pb::RangeStreamResponse::decode(written(&chunk)).expect("a message");
        read.range_response.expect("a range")
    };
    let (first, last) = (read(false), read(true));
    assert_eq!(
        (first.header, first.more, first.count, first.kvs.len()),
        (None, false, 0, 1)
    );
    assert_eq!(
        (last.header.is_some(), last.more, last.count),
        (true, true, 7)
    );
}
